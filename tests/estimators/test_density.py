import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from skpc import PCDensityEstimator, load
from skpc.circuit import Circuit, Input, Parameters, Product, Sum
from skpc.distributions import Bernoulli, Categorical
from skpc.estimators import fitting
from skpc.inference.sample import Sampler
from skpc.solvers import Anemone
from skpc.structures import HCLT
from tests import reference


def make(**params):
    return PCDensityEstimator(**{"n_components": 4, "max_iter": 5, "random_state": 0, **params})


def mixed_table(n_rows=120, seed=0):
    """Binary, ternary and continuous columns that depend on one another; missing cells."""
    rng = np.random.default_rng(seed)
    z = rng.integers(0, 2, n_rows)
    X = np.column_stack([
        z, (z + rng.integers(0, 2, n_rows)) % 3, 50 * z + rng.normal(size=n_rows),
        1e-3 * rng.normal(size=n_rows),
    ]).astype(float)  # fmt: skip
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


@pytest.fixture(scope="module")
def table():
    return mixed_table()


@pytest.fixture(scope="module")
def fitted(table):
    return make(categorical_features=[1]).fit(table)


# -- what the numbers mean ----------------------------------------------------------------


def test_scores_are_those_of_the_circuit_in_the_users_units(fitted, table):
    codes = fitted.encoder_.transform(table)
    present = ~np.isnan(table[:, 2:])
    expected = reference.log_likelihood(fitted.parameters_, codes)
    expected -= present @ np.log(fitted.encoder_.scale[2:])
    seen = ~np.isnan(table[:, 0])
    expected += seen * np.log1p(-1 / ((seen.sum() + 1) * (seen.sum() + 2)))
    np.testing.assert_allclose(fitted.score_samples(table), expected, rtol=1e-10, atol=1e-10)
    assert fitted.score(table) == pytest.approx(expected.mean())


@pytest.mark.parametrize("unit", [1e-200, 1e-3, 1.0, 1e200])
def test_a_density_integrates_to_one_in_the_users_units(unit):
    x = np.concatenate([np.random.default_rng(0).normal(m, s, 60) for m, s in ((-3, 1), (4, 0.2))])
    model = make().fit(unit * x[:, None])
    grid, step = np.linspace(-30, 30, 60_001, retstep=True)
    log_density = model.score_samples(unit * grid[:, None]) + np.log(unit)
    assert np.exp(log_density).sum() * step == pytest.approx(1, abs=1e-9)


def test_probabilities_of_a_mixed_table_sum_to_one(fitted):
    """Over the states of the finite columns, the others missing; 7 is a value never seen."""
    states = np.array([[a, b, np.nan, np.nan] for a in (0, 1, 7) for b in (0, 1, 2, 7)])
    assert np.exp(fitted.score_samples(states)).sum() == pytest.approx(1)


def test_missing_cells_are_integrated_out(fitted):
    nothing = np.full((1, 4), np.nan)
    assert fitted.score_samples(nothing)[0] == pytest.approx(0, abs=1e-12)
    rows = np.tile(nothing, (3, 1))
    rows[:, 0] = [0, 1, -3]
    assert np.exp(fitted.score_samples(rows)).sum() == pytest.approx(1)


def test_a_category_never_seen_is_unusual_not_normal():
    rng = np.random.default_rng(0)
    X = rng.choice(4, size=(300, 2), p=[0.6, 0.3, 0.07, 0.03])
    model = make(max_iter=20).fit(X)
    seen = model.score_samples([[c, 0] for c in range(4)])
    unseen = model.score_samples([[9, 0], [-1, 0]])
    missing = make(max_iter=20).fit(X).score_samples(np.array([[np.nan, 0]]))
    assert unseen[0] == unseen[1] < seen.min() - 1
    assert unseen[0] < missing[0] - 4
    assert np.isfinite(unseen).all()


def test_far_rows_are_finite_and_in_order():
    X = np.random.default_rng(0).normal(3, 2, size=(100, 5))
    for dtype in ("float32", "float64"):
        model = make(dtype=dtype).fit(X)
        far = 3 + 2 * np.array([0, 10, 1e3, 1e6, 1e12, 1e30])[:, None] * np.ones(5)
        scores = model.score_samples(far)
        assert np.isfinite(scores).all()
        assert (np.diff(scores) < 0).all()


def test_a_constant_column_and_huge_units_change_nothing_else():
    X = np.random.default_rng(0).normal(size=(80, 3))
    plain = make().fit(X).score_samples(X)
    huge = make().fit(X * 1e200).score_samples(X * 1e200)
    np.testing.assert_allclose(huge + 3 * 200 * np.log(10), plain, rtol=1e-6, atol=1e-6)
    constant = make().fit(np.column_stack([X, np.full(80, 1e200)]))
    assert np.isfinite(constant.score_samples(np.column_stack([X, np.full(80, 1e200)]))).all()


# -- fitting ------------------------------------------------------------------------------


def test_learning_raises_the_likelihood(table):
    model = make(categorical_features=[1], max_iter=30, tol=0).fit(table)
    assert model.score(table) > make(categorical_features=[1], max_iter=1).fit(table).score(table)
    assert model.n_iter_ == len(model.history_) <= 30
    assert model.converged_
    assert not make(solver="em", max_iter=2, n_iter_no_change=5).fit(table).converged_
    stopped = make(max_iter=9, n_iter_no_change=2, tol=1e9, early_stopping=True)
    assert stopped.fit(table).converged_


@pytest.mark.parametrize("solver", ["anemone", "em", "minibatch_em", Anemone(0.5, momentum=0.5)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fit_repeated_has_the_same_bits_for_any_number_of_threads(table, solver, dtype):
    X = np.tile(table, (4, 1))
    one, two = (
        make(solver=solver, dtype=dtype, n_jobs=n_jobs, batch_size=300).fit(X) for n_jobs in (1, 2)
    )
    np.testing.assert_array_equal(one.parameters_.weights, two.parameters_.weights)
    np.testing.assert_array_equal(one.score_samples(X), two.score_samples(X))
    assert one.history_ == two.history_


def test_the_seed_matters(table):
    one, other = make().fit(table), make(random_state=1).fit(table)
    assert (one.score_samples(table) != other.score_samples(table)).any()


@pytest.mark.parametrize("solver", ["anemone", "em", "minibatch_em"])
def test_weights_are_repeated_rows(table, solver):
    weight = np.random.default_rng(1).integers(0, 3, len(table)).astype(float)
    repeated = np.repeat(table, weight.astype(int), axis=0)
    params = {"solver": solver, "batch_size": 1000, "dtype": "float64"}
    one = make(**params).fit(table, sample_weight=weight)
    other = make(**params).fit(repeated)
    np.testing.assert_allclose(
        one.score_samples(table), other.score_samples(table), rtol=1e-6, atol=1e-6
    )


def test_rows_of_weight_zero_are_absent(table):
    weight = np.ones(len(table))
    weight[::3] = 0
    spoilt = table.copy()
    spoilt[::3] = [1, 99, -1e9, 1e9]
    one = make(categorical_features=[1]).fit(spoilt, sample_weight=weight)
    other = make(categorical_features=[1]).fit(table[weight > 0])
    np.testing.assert_array_equal(one.score_samples(table), other.score_samples(table))


def test_early_stopping_holds_rows_out_and_restores_the_best(table):
    model = make(early_stopping=True, max_iter=40, n_iter_no_change=3, validation_fraction=0.3)
    model.set_params(categorical_features=[1]).fit(table)
    held_out = [record.validation for record in model.history_]
    assert None not in held_out
    encoded, rows = model.encoder_.transform(table), len(table)
    # The rows held out are those of the seed; any share of the table has its best epoch.
    assert model.n_iter_ < 40
    assert model.converged_
    assert np.isfinite(reference.log_likelihood(model.parameters_, encoded)).sum() == rows
    assert make(early_stopping=False).fit(table).history_[0].validation is None
    assert make().fit(table).history_[0].validation is None


@pytest.mark.parametrize("early_stopping", [False, True])
def test_rows_are_held_out_on_request_only(table, early_stopping):
    model = make(max_iter=1, n_components=1, early_stopping=early_stopping).fit(table)
    assert (model.history_[0].validation is not None) == early_stopping


@pytest.mark.parametrize("shape", [(1, 3), (1, 1), (40, 1), (2, 2)])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_small_tables(shape, early_stopping):
    X = np.random.default_rng(0).normal(size=shape)
    model = make(early_stopping=early_stopping).fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    assert model.sample(3).shape == (3, shape[1])


@pytest.mark.parametrize("named", ["from_dtype", [1]])
def test_a_column_and_rows_without_values(table, named):
    X = table.copy()
    X[:, 1] = np.nan
    X[:7] = np.nan
    model = make(categorical_features=named).fit(X)
    scores = model.score_samples(X)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[:7], 0, atol=1e-12)
    assert np.isfinite(model.score_samples(mixed_table(seed=3))).all()


def test_many_columns_and_few_rows():
    rng = np.random.default_rng(0)
    X = (rng.random((50, 1359)) < 0.3).astype(float)
    for dtype in ("float32", "float64"):
        model = make(max_iter=2, dtype=dtype).fit(X)
        scores = model.score_samples(X)
        assert np.isfinite(scores).all()
        assert -1359 < scores.mean() < -100


def test_single_precision_is_double_precision_within_a_ten_thousandth():
    folder = os.environ.get("SKPC_DATA")
    if not folder:
        pytest.skip("SKPC_DATA does not name a folder with the benchmarks")
    path = Path(folder, "debd", "nltcs", "nltcs.train.data")
    if not path.exists():
        pytest.skip(f"{path} is missing")
    X = np.loadtxt(path, delimiter=",", dtype=np.uint8, max_rows=2000)
    scores = {}
    for dtype in ("float32", "float64"):
        model = make(n_components=8, max_iter=4, dtype=dtype).fit(X)
        scores[dtype] = model.score_samples(X)
    np.testing.assert_allclose(scores["float32"], scores["float64"], atol=1e-4, rtol=0)
    assert (scores["float32"] != scores["float64"]).any()


# -- structures, solvers, start values as arguments ----------------------------------------


def hand_made():
    a, b = Input(0, Categorical(3), 2), Input(2, Bernoulli(), 2)
    return Circuit(Sum(Product([a, Sum(b, 2)])), n_variables=3)


def test_a_circuit_made_by_hand_reads_columns_as_they_are():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 3, 90), rng.normal(size=90), rng.integers(0, 2, 90)])
    circuit = hand_made()
    model = make(structure=circuit, max_iter=30).fit(X)
    assert model.circuit_ is circuit
    np.testing.assert_allclose(
        model.score_samples(X), reference.log_likelihood(model.parameters_, X), rtol=1e-10
    )
    states = np.array([[a, np.nan, c] for a in range(3) for c in range(2)])
    assert np.exp(model.score_samples(states)).sum() == pytest.approx(1)
    assert np.isnan(model.sample(5)[:, 1]).all()
    np.testing.assert_array_equal(clone(model).fit(X).score_samples(X), model.score_samples(X))


def test_a_circuit_over_other_columns_is_refused():
    with pytest.raises(ValueError, match="X has 2 columns, but the circuit .* is over 3"):
        make(structure=hand_made()).fit(np.zeros((4, 2)))


def test_objects_are_cloned_and_their_settings_reached(table):
    structure, solver = HCLT(n_components=2), Anemone(step_size=0.5)
    model = make(structure=structure, solver=solver).fit(table)
    assert model.circuit_.inputs[0].n_units == 2
    assert model.structure_ is not structure
    assert not [name for name in vars(structure) if name.endswith("_")]
    model.set_params(structure__n_components=3, solver__step_size=0.7)
    assert (structure.n_components, solver.step_size) == (3, 0.7)
    assert model.fit(table).circuit_.inputs[0].n_units == 3


def test_learning_goes_on_from_given_parameters(table):
    first = make(max_iter=10, structure="hclt").fit(table)
    params = {"structure": "hclt", "init_params": first.parameters_}
    second = make(max_iter=1, solver="em", **params).fit(table)
    assert second.history_[0].train > first.history_[-1].train - 0.5
    assert second.parameters_.program is not first.parameters_.program
    with pytest.raises(ValueError, match="init_params=.* are of another circuit"):
        make(n_components=2, init_params=first.parameters_).fit(table)


@pytest.mark.parametrize(("named", "kinds"), [
    ("from_dtype", [0, 1, 2]), (None, [2, 2, 2]), ([], [0, 2, 2]), ([2], [0, 2, 1]),
    ([False, True, False], [0, 1, 2]), (np.array([0, 1]), [1, 1, 2]),
])  # fmt: skip
def test_categorical_features(named, kinds):
    X = np.column_stack([np.arange(80) % 2, np.arange(80) % 5, np.arange(80)])
    found = make(categorical_features=named, max_iter=1).fit(X).encoder_.kinds
    # All kinds of numbers are numbers here.
    assert np.minimum(found, 2).tolist() == kinds


@pytest.mark.parametrize(("named", "message"), [
    ([True], r"mask of shape \(1,\); X has 4 columns"),
    ([4], "must hold column numbers from 0 to 3"),
    ([-1], "must hold column numbers from 0 to 3"),
    (["a"], "must hold column numbers from 0 to 3"),
    ([0.5], "must hold column numbers from 0 to 3"),
])  # fmt: skip
def test_bad_categorical_features(table, named, message):
    with pytest.raises(ValueError, match=message):
        make(categorical_features=named).fit(table)


@pytest.mark.parametrize("params", [
    {"solver": "adamm"}, {"structure": "tree"}, {"solver": Anemone(step_size=2)},
    {"n_components": 0}, {"batch_size": 0}, {"alpha": -1}, {"validation_fraction": 1.0},
    {"dtype": "float16"}, {"device": "gpu"}, {"structure": HCLT(n_components=0)},
], ids=repr)  # fmt: skip
def test_bad_settings_are_refused_by_name(table, params):
    ((name, value),) = params.items()
    shown = name if isinstance(value, (int, float, str)) else "(step_size|n_components)"
    with pytest.raises(ValueError, match=shown):
        make(**params).fit(table)


# -- input --------------------------------------------------------------------------------


def test_infinities_are_refused_with_row_and_column(fitted, table):
    X = table.copy()
    X[7, 2], X[9, 3] = np.inf, -np.inf
    message = r"2 infinite values \(first at row 7, feature 2\); .* NaN for missing"
    with pytest.raises(ValueError, match=message):
        fitted.score_samples(X)
    with pytest.raises(ValueError, match=message):
        make().fit(X)


def test_data_frames_bring_names(table):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(table, columns=["age", "city", "pay", "error"])
    model = make().fit(frame)
    assert model.feature_names_in_.tolist() == ["age", "city", "pay", "error"]
    np.testing.assert_array_equal(
        model.score_samples(frame), make().fit(table).score_samples(table)
    )
    with pytest.raises(ValueError, match="feature names"):
        model.score_samples(frame[["city", "age", "pay", "error"]])
    frame.loc[3, "pay"] = np.inf
    with pytest.raises(ValueError, match="first at row 3, feature 'pay'"):
        model.score_samples(frame)


@pytest.mark.parametrize("X", [
    np.zeros((0, 3)), np.zeros(3), [["a", "b"]], np.ones((4, 2)) * 1j,
], ids=["no rows", "one axis", "words", "complex"])  # fmt: skip
def test_what_is_no_table_of_numbers_is_refused(X):
    with pytest.raises(ValueError):
        make().fit(X)


@pytest.mark.parametrize("weight", [[-1.0], [np.nan], [np.inf], [0.0]])
def test_bad_weights_are_refused(table, weight):
    weights = np.zeros(len(table))
    weights[:1] = weight
    with pytest.raises(ValueError, match="(?i)weight"):
        make().fit(table, sample_weight=weights)


def test_all_kinds_of_numbers_are_read_alike():
    X = np.random.default_rng(0).integers(0, 2, size=(60, 5))
    expected = make().fit(X).score_samples(X)
    for dtype in (bool, np.uint8, np.int32, np.float32, float):
        Z = X.astype(dtype)
        np.testing.assert_allclose(make().fit(Z).score_samples(Z), expected, rtol=1e-9)
    np.testing.assert_allclose(make().fit(X.tolist()).score_samples(X.tolist()), expected)
    np.testing.assert_allclose(make().fit(np.asfortranarray(X)).score_samples(X), expected)


def test_settings_of_names_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="solver='anemone' is a name; give an object of skpc.solv"):
        make().set_params(solver__step_size=0.3)
    with pytest.raises(ValueError, match="structure='hclt' is a name"):
        make().set_params(structure="hclt", structure__n_bins=3)
    model = make().set_params(solver=Anemone(), solver__step_size=0.3, max_iter=7)
    assert (model.solver.step_size, model.max_iter) == (0.3, 7)


def test_none_and_masks_are_missing_cells():
    X = np.array([[1.0, np.nan], [2.0, 3.0], [np.nan, 5.0], [4.0, 1.0]])
    expected = make(max_iter=3).fit(X).score_samples(X)
    lists = [[None if cell != cell else cell for cell in row] for row in X.tolist()]
    masked = np.ma.masked_invalid(np.where(np.isnan(X), 7.0, X))
    masked.mask = np.isnan(X)
    whole = np.ma.masked_array(np.where(np.isnan(X), 7, X).astype(np.int64), np.isnan(X))
    for table in (lists, np.array(lists, dtype=object), masked, whole):
        np.testing.assert_array_equal(make(max_iter=3).fit(table).score_samples(table), expected)


def test_before_fit():
    for call in (lambda m: m.score_samples([[1.0]]), lambda m: m.sample(), lambda m: m.save("x")):
        with pytest.raises(NotFittedError):
            call(make())


@pytest.mark.parametrize("spoil", ["inf", "solver", "weight", "circuit"])
def test_a_failed_fit_leaves_the_earlier_one(table, spoil, monkeypatch):
    model = make().fit(table)
    before, state = model.score_samples(table), dict(vars(model))
    X, weight = np.random.default_rng(0).normal(size=(20, 7)), None
    if spoil == "inf":
        X[0, 0] = np.inf
    elif spoil == "weight":
        weight = np.zeros(20)
    elif spoil == "circuit":
        monkeypatch.setattr("skpc.estimators.fitting.train", None)
    else:
        monkeypatch.setattr(Anemone, "update", lambda *args: 1 / 0)
    with pytest.raises((ValueError, TypeError, ZeroDivisionError)):
        model.fit(X, sample_weight=weight)
    assert vars(model).keys() == state.keys()
    assert all(vars(model)[name] is value for name, value in state.items())
    assert model.n_features_in_ == 4
    np.testing.assert_array_equal(model.score_samples(table), before)


def test_fit_does_not_change_its_arguments(table):
    X, weight = table.copy(), np.linspace(0, 2, len(table))
    model = make(categorical_features=[1])
    params = {k: repr(v) for k, v in model.get_params().items()}
    model.fit(X, sample_weight=weight).score_samples(X)
    np.testing.assert_array_equal(X, table)
    np.testing.assert_array_equal(weight, np.linspace(0, 2, len(table)))
    assert {k: repr(v) for k, v in model.get_params().items()} == params


# -- samples ------------------------------------------------------------------------------


def test_samples_look_like_the_table(fitted, table):
    S = fitted.sample(4000, random_state=0)
    assert not np.isnan(S).any()
    assert set(np.unique(S[:, 0])) == {0, 1}
    assert set(np.unique(S[:, 1])) <= {0, 1, 2}
    np.testing.assert_allclose(S.mean(axis=0), np.nanmean(table, axis=0), rtol=0.15, atol=2e-4)
    np.testing.assert_allclose(S.std(axis=0), np.nanstd(table, axis=0), rtol=0.15)
    # High where column 0 is 1: the columns were learnt together.
    assert S[S[:, 0] == 1, 2].mean() - S[S[:, 0] == 0, 2].mean() > 25


def test_the_seed_of_a_sample(fitted):
    np.testing.assert_array_equal(fitted.sample(5), fitted.sample(5))
    assert (fitted.sample(5, random_state=1) != fitted.sample(5, random_state=2)).any()
    generator = np.random.RandomState(0)
    assert (fitted.sample(5, generator) != fitted.sample(5, generator)).any()


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "3", None])
def test_bad_numbers_of_samples(fitted, n_samples):
    with pytest.raises(ValueError, match="n_samples=.* whole number of at least 1"):
        fitted.sample(n_samples)


# -- scikit-learn's ways ------------------------------------------------------------------


def test_clone_and_cross_validation(table):
    model = make(alpha=0.5, solver=Anemone(0.5))
    copy = clone(model)
    assert copy.solver is not model.solver
    assert copy.get_params()["solver__step_size"] == 0.5
    assert np.isfinite(cross_val_score(model, table, cv=3)).all()


def test_output_line_an_epoch(table, capsys):
    make(max_iter=2, verbose=1, structure="hclt", n_init=2).fit(table)
    drawn, size, *lines = capsys.readouterr().out.splitlines()
    assert drawn == f"HCLT: drawing a circuit from 120 rows of {table.shape[1]} columns"
    assert size.startswith("HCLT: ") and size.endswith(" leaves")
    starts = [f"HCLT, start {i} of 2, 120 rows, epoch {j}" for i in (1, 2) for j in (1, 2)]
    assert [line.rpartition(":")[0] for line in lines] == starts
    make(max_iter=2).fit(table)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", ["array", "frame"])
def test_rows_are_the_same_encoded_once_and_batch_by_batch(kind, table, monkeypatch):
    data = table if kind == "array" else mixed_frame(pytest.importorskip("pandas"))
    once = make(early_stopping=True, batch_size=16).fit(data).score_samples(data)
    monkeypatch.setattr(fitting, "FEW_CELLS", 0)
    again = make(early_stopping=True, batch_size=16).fit(data).score_samples(data)
    assert once.tobytes() == again.tobytes()


def test_the_optional_libraries_are_never_loaded():
    code = (
        "import sys, numpy as np, skpc\n"
        "optional = {'torch', 'matplotlib', 'pooch', 'dask', 'skpc.datasets'}\n"
        "assert not optional & set(sys.modules), optional & set(sys.modules)\n"
        "model = skpc.PCDensityEstimator(n_components=2, max_iter=1).fit(np.eye(4))\n"
        "model.score_samples(np.eye(4)), model.sample(2)\n"
        "assert not optional & set(sys.modules), optional & set(sys.modules)\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=300)


# -- tables of mixed columns --------------------------------------------------------------


def mixed_frame(pandas, n_rows=90):
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({
        "pay": rng.normal(size=n_rows), "city": rng.integers(0, 5, n_rows),
        "late": rng.random(n_rows) < 0.3,
        "code": pandas.Series(rng.integers(3, 9, n_rows), dtype="Int64"),
        "flag": pandas.Series(rng.random(n_rows) < 0.3, dtype="boolean"),
        "size": pandas.Categorical(rng.choice([1.5, 2.5, 9.0], n_rows)),
        "year": np.arange(n_rows), "unit": rng.integers(0, 2, n_rows).astype(float),
    })  # fmt: skip
    frame.loc[4, ["code", "flag", "size", "unit"]] = None
    return frame


def test_every_column_of_a_frame_has_its_own_dtype(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = mixed_frame(pandas)
    model = make().fit(frame)
    assert model.encoder_.kinds.tolist() == [2, 1, 0, 1, 0, 1, 2, 0]
    assert np.flatnonzero(model.encoder_.open_share).tolist() == [2, 4, 7]
    odd = frame.head(1).assign(unit=0.5, code=77, late=7)
    assert model.score_samples(odd) < model.score_samples(frame.head(1)) - 12
    strict = make(handle_unknown="error").fit(frame)
    for name, value in {"unit": 0.5, "code": 77, "late": 7, "size": 3.5}.items():
        with pytest.raises(ValueError, match=f"Column {name!r} holds {value} in row 0"):
            strict.score_samples(frame.head(1).assign(**{name: value}))
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again.score_samples(odd), model.score_samples(odd))
    none = make(categorical_features=None, leaves="gaussian").fit(frame)
    assert none.encoder_.kinds.tolist() == [2, 2, 0, 2, 0, 2, 2, 2]


@pytest.mark.parametrize("as_frame", [False, True])
@pytest.mark.parametrize("word", ["Paris", {"a": 1}])
def test_words_are_refused_with_the_column_and_the_way_out(as_frame, word):
    X = np.array([[1, 2.5], [2, word], [3, 1.0]], dtype=object)
    name = 1
    if as_frame:
        pandas = pytest.importorskip("pandas")
        X, name = pandas.DataFrame(X, columns=["age", "city"]), "city"
    with pytest.raises((ValueError, TypeError), match="OrdinalEncoder.*categorical_features") as e:
        make().fit(X)
    assert str(e.value).startswith(f"Column {name!r} holds {word!r}")


@pytest.mark.parametrize("X", [
    [[1, "a"], [2, "b"]], np.array([["1", "a"], ["2", "b"]])[:, ::-1],
], ids=["list", "strings"])  # fmt: skip
def test_words_in_arrays_are_refused(X):
    with pytest.raises(ValueError, match="Column [01] holds 'a', .*OrdinalEncoder"):
        make().fit(X)


# -- few rows for structures, leaves of hand-made circuits, start values -------------------


@pytest.mark.parametrize(("dtype", "seen"), [(float, 50), (np.uint8, 400)])
def test_a_structure_sees_few_encoded_rows(monkeypatch, dtype, seen):
    monkeypatch.setattr("skpc.estimators.fitting.STRUCTURE_ROWS", 50)
    shapes = []

    class Spy(HCLT):
        def build(self, X, distributions, *, sample_weight, **rest):
            shapes.append((len(X), sample_weight))
            return super().build(X, distributions, sample_weight=sample_weight, **rest)

    X = np.random.default_rng(0).integers(0, 2, (400, 3)).astype(dtype)
    make(structure=Spy(), max_iter=1).fit(X)
    ((n_rows, weight),) = shapes
    assert n_rows == seen
    assert weight is None or weight.sum() == seen
    if dtype is float:
        make(structure=Spy(), max_iter=1).fit(X, sample_weight=np.arange(400) % 2 + 1)
        assert shapes[1][0] <= 50
        assert shapes[1][1].sum() == 50


def test_priors_of_leaves_are_drawn_evenly_from_rows_in_a_period(monkeypatch):
    monkeypatch.setattr("skpc.estimators.fitting.PRIOR_ROWS", 50)
    seen = []

    def start(program, leaf_priors, rng):
        seen.append(leaf_priors[0])
        return Parameters.uniform(program)

    # Every eighth row, as a stride would take them, holds a 0.
    X = (np.arange(400) % 2)[:, None]
    make(init_params=start, max_iter=1).fit(X)
    np.testing.assert_allclose(seen[0], 0.5, atol=0.25)


def test_a_cell_that_a_leaf_cannot_take_is_named():
    X = np.array([[0.0, 0, 0], [2, 0, 1], [3, 0, 1]])
    with pytest.raises(ValueError, match=r"Column 0: x has 1 values .* at position 2"):
        make(structure=hand_made()).fit(X)
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="Column 'a': x has"):
        make(structure=hand_made()).fit(pandas.DataFrame(X, columns=list("abc")))


def test_what_a_callable_for_start_values_returns_is_checked(table):
    with pytest.raises(TypeError, match="returned dict; it must return .*Parameters"):
        make(init_params=lambda program, leaf_priors, rng: {}).fit(table)
    other = make(n_components=2).fit(table).parameters_
    with pytest.raises(ValueError, match="of another circuit"):
        make(init_params=lambda program, leaf_priors, rng: other).fit(table)
    model = make(init_params=lambda program, leaf_priors, rng: Parameters.uniform(program))
    assert np.isfinite(model.fit(table).score(table))


def test_the_number_of_threads_can_be_changed_after_fitting(table):
    model = make(n_jobs=1).fit(table)
    model.set_params(n_jobs=2).score_samples(table)
    assert model._model.backend.n_jobs == 2


def test_samples_are_drawn_in_blocks(fitted, monkeypatch):
    sizes = []
    monkeypatch.setattr("skpc.estimators.columns.CHUNK_ROWS", 40)
    draw = Sampler.draw
    monkeypatch.setattr(Sampler, "draw", lambda self, n, rng: sizes.append(n) or draw(self, n, rng))
    S = fitted.sample(100)
    assert sizes == [40, 40, 20]
    assert len(np.unique(S[:, 2])) == 100
