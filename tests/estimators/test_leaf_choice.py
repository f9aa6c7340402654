import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import skpc
from skpc import PCDensityEstimator
from skpc.circuit import Circuit, Input, Product, Sum
from skpc.distributions import Beta, Binomial, Categorical, Gamma, Gaussian, LogNormal, Poisson
from skpc.estimators.encoding import TableEncoder
from skpc.estimators.leaf_choice import choose_leaf


def make(**params):
    return PCDensityEstimator(**{"n_components": 3, "max_iter": 5, "random_state": 0} | params)


def draws(n=400):
    rng = np.random.default_rng(0)
    return {
        "gaussian": rng.normal(3, 2, n),
        "log_normal": np.exp(rng.normal(2, 1, n)),
        "poisson": rng.poisson(4, n),
        "negative_binomial": rng.negative_binomial(1, 0.02, n),
        "beta": rng.beta(0.3, 0.3, n),
    }


@pytest.mark.parametrize("name", draws())
def test_the_family_that_made_a_column_is_chosen(name):
    leaf = choose_leaf(draws()[name].astype(float), None)
    assert leaf.distribution.name == name
    assert "numbers from" in leaf.why


@pytest.mark.parametrize("name", draws())
def test_weights_are_repeated_rows(name):
    x = draws()[name].astype(float)
    weight = np.random.default_rng(1).integers(1, 4, len(x))
    one = choose_leaf(np.append(x, 5.0), np.append(weight, 0).astype(float))
    many = choose_leaf(np.repeat(x, weight), None)
    assert one.distribution.name == many.distribution.name


@pytest.mark.parametrize("column", [
    [], [np.nan] * 30, [2.0], [2.0] * 100, [1e300, 2e300, -1e300] * 10, [*range(1, 40), 1e150],
    np.geomspace(1e-300, 1e-290, 50), [0.0] * 99 + [1.0], np.arange(1e15, 1e15 + 40),
])  # fmt: skip
def test_odd_columns_get_a_leaf(column):
    with np.errstate(all="raise", under="ignore"):
        assert choose_leaf(np.array(column, dtype=float), None).distribution.n_statistics


def test_a_gaussian_of_the_logarithm_is_a_log_normal_leaf():
    x = draws()["log_normal"][:, None]
    one = make(structure="mixture", leaves="log_normal", n_components=1, alpha=0).fit(x)
    log = make(structure="mixture", leaves="gaussian", n_components=1, alpha=0).fit(np.log(x))
    expected = log.score_samples(np.log(x)) - np.log(x[:, 0])
    # Values of zero or below are told to be possible.
    np.testing.assert_allclose(one.score_samples(x), expected, atol=1e-4)


def test_densities_sum_to_one():
    counts = make(leaves="poisson").fit(draws()["poisson"][:, None].astype(float))
    total = np.exp(counts.score_samples(np.arange(200.0)[:, None])).sum()
    assert total == pytest.approx(1, abs=1e-4)
    assert total < 1
    grid = np.linspace(1e-4, 2000, 400_001)
    positive = make(leaves={0: "gamma"}).fit(draws()["log_normal"][:, None])
    total = np.trapezoid(np.exp(positive.score_samples(grid[:, None])), grid)
    assert total == pytest.approx(1, abs=1e-2)


def frame(n=300):
    table = pd.DataFrame(draws(n))
    return table.assign(word=np.where(table["poisson"] > 3, "many", "few"))


def test_leaves_says_what_every_column_got():
    model = make(leaves={"poisson": "binomial", "beta": Beta()}).fit(frame())
    names = {name: leaf.distribution.name for name, leaf in model.leaves_.items()}
    assert names == {
        "gaussian": "gaussian", "log_normal": "log_normal", "poisson": "binomial",
        "negative_binomial": "negative_binomial", "beta": "beta", "word": "categorical",
    }  # fmt: skip
    assert model.leaves_["beta"].why == "as leaves says"
    assert model.leaves_["word"].why == "words"
    assert np.isfinite(model.score_samples(frame())).all()
    drawn = model.sample(200)
    assert (drawn.dtypes == frame().dtypes).all()
    assert (drawn["log_normal"] > 0).all()
    assert drawn["beta"].between(0, 1).all()
    assert drawn["poisson"].between(0, frame()["poisson"].max()).all()


@pytest.mark.parametrize("leaf", [
    "gaussian", "log_normal", "gamma", "poisson", "negative_binomial", "binomial", "categorical",
    "discretised_logistic", Binomial(80), Gamma(), LogNormal(),
])  # fmt: skip
def test_every_leaf_is_learnt_with_cells_missing_and_saved(leaf, tmp_path):
    x = 1 + np.random.default_rng(0).poisson([3, 9, 30], (200, 3)).astype(float)
    x[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan
    model = make(leaves={0: leaf, 2: leaf}).fit(x)
    scores = model.score_samples(x)
    assert np.isfinite(scores).all()
    drawn = model.sample(100)
    assert abs(np.mean(drawn[:, 0]) - np.nanmean(x[:, 0])) < 1.5
    model.save(tmp_path / "model.skpc")
    again = skpc.load(tmp_path / "model.skpc")
    np.testing.assert_array_equal(again.score_samples(x), scores)
    assert again.leaves_ == model.leaves_
    assert again.leaves == model.leaves
    clone(model).partial_fit(x[:50]).partial_fit(x[50:])


def test_values_that_leaves_cannot_take_are_unusual_but_possible():
    x = frame()[["log_normal", "poisson", "gaussian"]].astype(float)
    model = make(leaves={"poisson": "poisson"}).fit(x)
    usual = model.score_samples(x)
    for column, value in [("log_normal", 0.0), ("log_normal", -3.0), ("poisson", 2.5),
                          ("poisson", -1.0)]:  # fmt: skip
        odd = model.score_samples(x.assign(**{column: value}))
        assert np.isfinite(odd).all()
        assert odd.max() < np.median(usual) - 5
    model.partial_fit(x.assign(poisson=-1.0)[:5])
    strict = make(leaves={"poisson": "poisson"}, handle_unknown="error").fit(x)
    with pytest.raises(ValueError, match=r"'poisson' holds 2\.5 in row 0"):
        strict.score_samples(x.assign(poisson=2.5))


@pytest.mark.parametrize(("leaves", "match"), [
    ("cauchy", r"leaves='cauchy' is not known; use 'auto' or one of \['bernoulli'"),
    ({"age": "poisson"}, "leaves names the column 'age', which X does not have; give names"),
    ({9: "poisson"}, "leaves names the column 9"),
    ({"word": "poisson"}, "leaves gives column 'word' 'poisson', but it holds words"),
    ({"gaussian": "poisson"}, "leaves gives column 'gaussian' 'poisson', but x has"),
    ({"gaussian": "indicator"}, r"leaves\['gaussian'\]='indicator' is not known"),
    ({"gaussian": 3}, r"leaves\['gaussian'\]=3 must be 'auto'"),
    ({"gaussian": Poisson}, r"leaves\['gaussian'\]=<class"),
    (3, "The 'leaves' parameter"),
])  # fmt: skip
def test_leaves_that_cannot_be_are_refused(leaves, match):
    with pytest.raises(ValueError, match=match):
        make(leaves=leaves).fit(frame())


def test_a_circuit_made_by_hand_says_its_leaves():
    circuit = Circuit(Product([Input(0, Gaussian(), 1), Input(1, Poisson(), 1)]))
    model = make(structure=circuit).fit(np.array([[0.5, 1.0], [1.5, 3.0]]))
    assert [leaf.distribution for leaf in model.leaves_.values()] == [Gaussian(), Poisson()]


def test_declared_categories_are_not_called_words():
    pandas = pytest.importorskip("pandas")
    table = frame().assign(grade=pandas.Categorical(["low", "high"] * (len(frame()) // 2)))
    leaves = make(max_iter=1).fit(table).leaves_
    assert leaves["grade"].why == "categories"
    assert leaves["word"].why == "words"


def test_reasons_can_be_stored_as_text():
    leaves = make().fit(frame()).leaves_
    assert json.dumps({name: leaf.why for name, leaf in leaves.items()})


def test_counts_of_clusters_are_not_taken_for_wide_ones():
    rng = np.random.default_rng(0)
    counts = rng.poisson(2 + 6 * rng.integers(0, 3, 1500)).astype(float)
    assert choose_leaf(counts, None).distribution == Poisson()


def test_numbers_too_large_to_count_are_no_counts():
    x = np.random.default_rng(0).gamma(2, 3e15, (400, 1)).astype(np.int64)
    assert choose_leaf(x[:, 0].astype(float), None).distribution.n_statistics == 2
    small = make().fit(x / 1e15).score(x / 1e15) - np.log(1e15)
    assert make().fit(x).score(x) == pytest.approx(small, abs=1e-3)


def test_whole_numbers_have_no_density_above_a_mass():
    """Of every part of the default circuit: columns that are equal, with few values."""
    rng = np.random.default_rng(0)
    x = rng.choice([-3.0, 0.0, 4.0], 200)
    X = np.column_stack([x, x, 30 * rng.integers(-9, 9, 200) + x])
    model = make(max_iter=20).fit(X)
    assert len(model.circuit_.root.children) == 2
    pairs = np.array([[a, b, np.nan] for a in range(-9, 10) for b in range(-9, 10)], dtype=float)
    masses = np.exp(model.score_samples(pairs))
    assert masses.max() < 0.6
    assert masses.sum() == pytest.approx(1, abs=0.2)


def test_leaves_of_whole_numbers_have_few_families():
    """Families are computed one by one."""
    rng = np.random.default_rng(0)
    X = np.round(np.geomspace(0.5, 12, 20) * rng.normal(size=(400, 20)))
    encoder = TableEncoder().fit(X, kinds=["f"] * 20)
    floors = np.array([family.variance_floor for family in encoder.distributions])
    assert len(set(floors)) <= 5
    steps = floors * encoder.scale**2
    np.testing.assert_allclose(steps[floors > 1e-3], 1 / (2 * np.pi))
    assert (steps > 0.1).all()


def test_reasons_tell_ranges_single_values_and_spikes():
    x = np.append(np.random.default_rng(0).normal(5, 1, 2000), [-77.25, 88.75])
    assert "from -77.25 to 88.75" in choose_leaf(x, None).why
    assert choose_leaf(np.full(50, 7.5), None).why == "one value only, 7.5"
    assert choose_leaf(np.full(50, np.nan), None).why == "no cell has a value"
    spiked = np.where(np.arange(2002) % 3 > 0, 0.0, x)
    assert "67% of them 0" in choose_leaf(spiked, None).why


def test_reasons_tell_what_else_was_tried():
    rng = np.random.default_rng(0)
    why = {name: choose_leaf(x, None).why for name, x in {
        "positive": rng.normal(50, 5, 400), "shares": np.clip(rng.normal(0.5, 0.1, 400), 0.1, 0.9),
        "counts": np.round(rng.normal(1000, 3, 400)), "numbers": rng.normal(size=400),
    }.items()}  # fmt: skip
    assert why["positive"].endswith("; not enough better: log_normal")
    assert why["shares"].endswith("; not enough better: log_normal, beta")
    assert why["counts"].endswith("; not enough better: poisson")
    assert "better" not in why["numbers"]


def test_one_low_value_keeps_a_column_from_leaves_of_positive_numbers():
    """Quantiles of many values may miss it."""
    x = np.append(draws(4000)["log_normal"], -1.0)
    assert choose_leaf(x, None).distribution.name == "gaussian"
    assert np.isfinite(make().fit(x[:, None]).score(x[:, None]))


def test_a_name_for_all_columns_goes_before_rules_for_few_values():
    counts = np.random.default_rng(0).poisson(3, (200, 2))
    for leaf in ("poisson", "categorical"):
        for X in (counts, counts.astype(float)):
            names = {found.distribution.name for found in make(leaves=leaf).fit(X).leaves_.values()}
            assert names == {leaf}


def test_states_for_all_columns_are_those_of_columns_of_zeros_and_ones_too():
    pixels = np.random.default_rng(0).integers(0, 4, (60, 3))
    pixels[:, 1:] = pixels[:, 1:] > 2
    pixels[:, 2] = 0
    for X in (pixels, pixels.astype(float)):
        model = make(leaves=Categorical(4)).fit(X)
        assert [leaf.distribution for leaf in model.leaves_.values()] == [Categorical(4)] * 3
        assert np.isfinite(model.score([[0, 3, 3]]))
    table = pd.DataFrame({"pixel": pixels[:, 0], "ink": pixels[:, 1].astype(bool)})
    model = make(leaves=Categorical(4)).fit(table)
    assert model.leaves_["ink"].why == "truth values"


def test_ratings_that_missing_cells_made_floats_stay_categories():
    table = pd.DataFrame({"rating": [5, 3, 4, 1, 2] * 20, "age": draws(100)["gaussian"]})
    table.loc[3, "rating"] = None
    model = make().fit(table)
    assert model.leaves_["rating"].distribution.name == "categorical"
    assert set(model.sample(50)["rating"]) <= {1.0, 2.0, 3.0, 4.0, 5.0}


def test_cells_far_outside_the_support_are_finite():
    x = 0.01 * np.exp(np.random.default_rng(0).normal(size=(500, 1)))
    model = make().fit(x)
    assert model.leaves_[0].distribution.name == "log_normal"
    far = model.score_samples([[-1.0], [-1e100], [-1e307]])
    assert np.isfinite(far).all()
    assert (np.diff(far) < 0).all()


def test_columns_that_a_circuit_does_not_have_are_told():
    model = make(structure=Circuit(Sum(Input(0, Gaussian(), 2)), 2))
    leaves = model.fit(np.random.default_rng(0).normal(size=(20, 2))).leaves_
    assert [leaf.why for leaf in leaves.values()] == ["made by hand", "not in the circuit"]
