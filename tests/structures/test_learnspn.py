import pickle
import time

import numpy as np
import pytest
from scipy.stats import chisquare

import skpc
from skpc import PCDensityEstimator
from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
from skpc.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    DiscretisedLogistic,
    Gamma,
    Gaussian,
    LogNormal,
    NegativeBinomial,
    Poisson,
)
from skpc.solvers import Anemone
from skpc.structures import CLTree, LearnSPN, MixedStructures
from tests import reference


def blocks(n_rows=600, seed=0):
    """Columns 0, 1, 2 depend on one another, and 3, 4, and 5 alone; ones are clusters."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 2, (2, n_rows))
    share = np.column_stack([first, first, first, second, second, np.full(n_rows, 0.5)])
    return (rng.random((n_rows, 6)) < 0.1 + 0.8 * share).astype(float)


def learnt(X, families=None, sample_weight=None, **settings):
    families = [Bernoulli()] * X.shape[1] if families is None else families
    circuit = LearnSPN(**settings).build(X, families, n_components=1, sample_weight=sample_weight)
    return Parameters.uniform(Program(circuit))


def scores(parameters, X):
    return NumbaBackend(parameters.program, np.float64).log_likelihood(parameters, X)


def mixed(n_rows=500, seed=0, missing=0.1):
    rng = np.random.default_rng(seed)
    z = rng.integers(0, 3, n_rows)
    X = np.column_stack(
        [
            z == 1,
            rng.normal(size=n_rows) + 3 * z,
            (z + rng.integers(0, 2, n_rows)) % 4,
            rng.normal(size=n_rows),
            rng.random(n_rows) < 0.5,
        ]
    ).astype(float)
    X[rng.random(X.shape) < missing] = np.nan
    return X, [Bernoulli(), Gaussian(), Categorical(4), Gaussian(), Bernoulli()]


# -- what is found ------------------------------------------------------------------------


def test_planted_blocks_are_found():
    X = blocks()
    for leaves in ("chow_liu", "independent"):
        circuit = LearnSPN(leaves=leaves).build(X, [Bernoulli()] * 6, n_components=1)
        root = circuit.root
        assert isinstance(root, Product)
        assert sorted(sorted(child.scope) for child in root.children) == [[0, 1, 2], [3, 4], [5]]


def test_planted_clusters_are_found():
    circuit = LearnSPN(leaves="independent").build(blocks(), [Bernoulli()] * 6, n_components=1)
    (three,) = (child for child in circuit.root.children if len(child.scope) == 3)
    assert isinstance(three, Sum)
    np.testing.assert_allclose(three.weights, [[0.5, 0.5]], atol=0.1)
    for cluster in three.children:
        ones = [leaf.mean[0, 0] for leaf in cluster.children]
        assert np.ptp(ones) < 0.15
        assert min(abs(np.mean(ones) - 0.1), abs(np.mean(ones) - 0.9)) < 0.1


def test_a_table_that_is_not_split_is_a_chow_liu_tree():
    """Whose tables are those of the counts, with a row more."""
    X = blocks(90)[:, :3]
    found = learnt(X, min_rows=1000, pseudocount=1e-9)
    tree = CLTree().build(X, [Bernoulli()] * 3, n_components=1)
    model = PCDensityEstimator(tree, "em", alpha=0.0, max_iter=2, tol=0.0)
    with pytest.warns(UserWarning, match="passes"):
        model.fit(X)
    np.testing.assert_allclose(scores(found, X), model.score_samples(X), atol=1e-5)


def test_continuous_columns_hang_on_discrete_ones():
    X, families = mixed()
    circuit = LearnSPN(min_rows=10_000).build(X, families, n_components=1)
    units = {leaf.variable: leaf.n_units for leaf in circuit.inputs}
    assert units[1] in (2, 4)
    numbers = LearnSPN(min_rows=10_000).build(X[:, [1, 3]], [Gaussian()] * 2, n_components=1)
    assert all(leaf.n_units == 1 for leaf in numbers.inputs)


def test_mixed_columns_beat_independent_ones():
    X, families = mixed(1500)
    test, _ = mixed(500, seed=1)
    alone = sum(
        family.log_density(family.moments_prior(X[:, v])[None], test[:, v])[0]
        for v, family in enumerate(families)
    )
    assert scores(learnt(X, families), test).mean() > alone.mean() + 0.7


# -- that it is a distribution --------------------------------------------------------------


@pytest.mark.parametrize("leaves", ["chow_liu", "independent"])
def test_densities_sum_to_one_and_marginals_agree(leaves):
    settings = {"chow_liu": {"min_rows": 400}, "independent": {"significance": 0.5}}
    parameters = learnt(blocks(), leaves=leaves, **settings[leaves])
    assert len(parameters.program.circuit.sums) > 4
    states = reference.all_states(parameters.program.circuit)
    density = np.exp(scores(parameters, states))
    assert density.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(density, np.exp(reference.log_likelihood(parameters, states)))
    marginal = np.where(np.arange(6) % 2, np.nan, states)
    for row, found in zip(marginal[::7], np.exp(scores(parameters, marginal[::7]))):
        here = ((states == row) | np.isnan(row)).all(axis=1)
        assert found == pytest.approx(density[here].sum(), rel=1e-10)


def test_samples_follow_the_density():
    model = PCDensityEstimator("learnspn", random_state=0).fit(blocks())
    cells = np.full((8, 6), np.nan)
    cells[:, [0, 1, 3]] = [[i // 4, i // 2 % 2, i % 2] for i in range(8)]
    expected = np.exp(model.score_samples(cells))
    drawn = (model.sample(4000)[:, [0, 1, 3]] @ [4, 2, 1]).astype(int)
    counts = np.bincount(drawn, minlength=8)
    assert chisquare(counts, expected / expected.sum() * 4000).pvalue > 1e-4


# -- rows, weights, missing cells -----------------------------------------------------------


def test_weights_are_repeated_rows():
    X, families = mixed(200)
    weight = np.random.default_rng(1).integers(0, 3, 200)
    settings = {"min_rows": 30, "significance": 0.01}
    weighted = learnt(X, families, weight, **settings)
    repeated = learnt(X.repeat(weight, axis=0), families, **settings)
    assert len(weighted.weights) > 10
    np.testing.assert_allclose(weighted.weights, repeated.weights, rtol=1e-9)
    np.testing.assert_allclose(scores(weighted, X), scores(repeated, X), rtol=1e-9)


def test_the_same_rows_make_the_same_circuit():
    X, families = mixed(200)
    one, other = (learnt(X, families, min_rows=20) for _ in range(2))
    np.testing.assert_array_equal(one.weights, other.weights)


@pytest.mark.parametrize("n_rows", [1, 2])
def test_few_rows(n_rows):
    X, families = mixed(50)
    parameters = learnt(X[:n_rows], families)
    assert np.isfinite(scores(parameters, X)).all()
    model = PCDensityEstimator("learnspn").fit(blocks()[:n_rows])
    assert np.isfinite(model.score_samples(blocks())).all()


def test_constant_and_empty_columns():
    X = blocks()
    X[:, 1], X[:, 4] = 1, np.nan
    parameters = learnt(X)
    assert parameters.program.circuit.scope == set(range(6))
    assert np.isfinite(scores(parameters, blocks())).all()


def test_missing_cells_hardly_change_it():
    X = blocks(3000)
    whole = scores(learnt(X), blocks(500, seed=1)).mean()
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    assert scores(learnt(X), blocks(500, seed=1)).mean() > whole - 0.05


def test_columns_of_many_states():
    """Words beside a binary column: leaves that hang on it, or stand alone."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, 3000)
    X = np.column_stack([z, rng.integers(0, 400, 3000) // 2 + 200 * z, z]).astype(float)
    X[rng.random(X.shape) < 0.05] = np.nan
    families = [Bernoulli(), Categorical(400), Bernoulli()]
    for leaves in ("chow_liu", "independent"):
        parameters = learnt(X, families, leaves=leaves)
        found = scores(parameters, np.array([[1, 300, 1], [1, 50, 1], [1, 300, np.nan]]))
        assert found[0] > found[1] + 3
        states = np.array([[1.0, x, 0.0] for x in range(400)])
        rest = scores(parameters, np.array([[1, np.nan, 0]]))[0]
        assert np.exp(scores(parameters, states)).sum() == pytest.approx(np.exp(rest), rel=1e-9)
    wide = [Categorical(400)] * 2
    assert np.isfinite(scores(learnt(X[:, [1, 1]], wide), X[:, [1, 1]])).all()


@pytest.mark.parametrize(
    ("family", "draw"),
    [
        (Beta(), lambda rng, z: rng.beta(1 + 5 * z, 2)),
        (Binomial(10), lambda rng, z: rng.binomial(10, 0.2 + 0.5 * z)),
        (DiscretisedLogistic(256), lambda rng, z: rng.normal(60 + 100 * z, 8).round()),
        (Gamma(), lambda rng, z: rng.gamma(1 + 5 * z)),
        (LogNormal(), lambda rng, z: np.exp(rng.normal(size=len(z)) + 2 * z)),
        (NegativeBinomial(2.0), lambda rng, z: rng.poisson(1 + 9 * z)),
        (Poisson(), lambda rng, z: rng.poisson(1 + 9 * z)),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_every_family(family, draw):
    """Two columns that depend on a third."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, 400)
    X = np.column_stack([z, draw(rng, z), draw(rng, z)]).astype(float)
    found = scores(learnt(X, [Bernoulli(), family, family]), X).mean()
    alone = sum(
        f.log_density(f.moments_prior(X[:, v])[None], X[:, v]).mean()
        for v, f in enumerate([Bernoulli(), family, family])
    )
    assert found > alone + 0.3


@pytest.mark.parametrize("structure", ["learnspn", MixedStructures(["learnspn"])])
def test_a_wild_cell_does_not_stop_the_splitting(structure):
    X = np.random.default_rng(0).normal(size=(400, 3)) + 4 * blocks(400)[:, :3]
    model = PCDensityEstimator(structure, max_iter=2, random_state=0).fit(X)
    X[0, 0] = 1e12
    wild = PCDensityEstimator(structure, max_iter=2, random_state=0).fit(X)
    assert len(wild.circuit_.sums) == len(model.circuit_.sums) > 0


def test_two_hundred_columns():
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, (300, 20)).repeat(10, axis=1)
    X = (rng.random(z.shape) < 0.2 + 0.6 * z).astype(float)
    begin = time.perf_counter()
    parameters = learnt(X)
    assert time.perf_counter() - begin < 20
    assert np.isfinite(scores(parameters, X)).all()


# -- in the estimator -----------------------------------------------------------------------


def test_fit_refines_what_was_learnt():
    X = blocks()
    model = PCDensityEstimator("learnspn").fit(X)
    assert model.n_iter_ == 5
    assert model.converged_
    start = PCDensityEstimator("learnspn", max_iter=1).fit(X)
    assert model.score(X) >= start.score(X)
    assert model.history_[0].train == pytest.approx(start.history_[0].train)
    other = PCDensityEstimator("learnspn", Anemone(step_size=0.2), max_iter=2).fit(X)
    assert [record.epoch for record in other.history_] == [1, 2]
    assert other.history_[1].train != pytest.approx(model.history_[1].train, abs=1e-12)


def test_no_stream():
    for structure in ("learnspn", LearnSPN(min_rows=5)):
        model = PCDensityEstimator(structure)
        with pytest.raises(AttributeError, match="partial_fit"):
            model.partial_fit(blocks())
    assert hasattr(PCDensityEstimator("hclt"), "partial_fit")


def test_saved_and_pickled(tmp_path):
    X, _ = mixed()
    model = PCDensityEstimator(LearnSPN(min_rows=40), random_state=0).fit(X)
    model.save(tmp_path / "model")
    loaded, copied = skpc.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))
    for again in (loaded, copied):
        np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    # A file holds the circuit, and the recipe as a setting.
    assert isinstance(loaded.structure_, Circuit)
    assert repr(loaded.structure) == repr(copied.structure_) == "LearnSPN(min_rows=40)"


def test_nodes_are_single_units_but_for_trees():
    circuit = LearnSPN(leaves="independent").build(blocks(), [Bernoulli()] * 6, n_components=1)
    assert {node.n_units for node in circuit.nodes} == {1}
    for node in circuit.nodes:
        if not isinstance(node, Input):
            assert not any(type(child) is type(node) for child in node.children)


@pytest.mark.parametrize(
    "setting",
    [
        {"min_rows": 0},
        {"min_rows": 2.5},
        {"significance": 0},
        {"significance": 1.0},
        {"significance": "low"},
        {"leaves": "trees"},
        {"n_bins": 1},
        {"pseudocount": 0.0},
        {"pseudocount": None},
    ],
)
def test_settings_that_cannot_work(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"{name}="):
        PCDensityEstimator(LearnSPN(**setting)).fit(blocks())
