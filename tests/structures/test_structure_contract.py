"""What every structure must do. One that is added to the registry is covered by itself."""

import pickle
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chisquare
from sklearn.base import clone

import skpc
from skpc import PCDensityEstimator
from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Input, Parameters, Product, Program, circuit_to_arrays
from skpc.distributions import Bernoulli, Categorical, Gaussian
from skpc.solvers import Anemone, SolverState
from skpc.structures import (
    HCLT,
    PD,
    PDHCLT,
    RAT,
    STRUCTURES,
    MixedStructures,
    Mixture,
    Quad,
    resolve_structure,
)
from skpc.training.updates import learn_batch
from tests import reference
from tests.backends.kinds import KINDS, needs_torch

#: Every structure by its name, and settings that make other circuits.
MADE = {name: resolve_structure(name) for name in sorted(STRUCTURES)} | {
    "hclt-input_sum": HCLT(input_sum=True),
    "mixed-three": MixedStructures([HCLT(), Mixture(n_components=3), RAT(depth=1)]),
    "mixture-deep": Mixture(depth=2),
    "pd-image": PD((2, 3), delta=1),
    "pd-kronecker": PD((2, 3), delta=1, product="kronecker", n_leaf_units=3),
    "pd-few": PD(delta=1, max_partitions=2),
    "pdhclt-line": PDHCLT(chunk=2),
    "pdhclt-image": PDHCLT((2, 3), chunk=(1, 2), input_sum=True),
    "pdhclt-kronecker": PDHCLT(chunk=2, product="kronecker"),
    "quad-tree": Quad((2, 3), kind="tree"),
    "quad-graph": Quad((2, 3)),
    "quad-kronecker": Quad((2, 3), product="kronecker"),
    "quad-tree-kronecker": Quad((2, 3), kind="tree", product="kronecker", n_leaf_units=2),
    "rat-shallow": RAT(depth=1, n_repetitions=2, n_leaf_units=5),
    "rat-kronecker": RAT(n_repetitions=3, product="kronecker"),
}
#: A square, which some structures need.
N_COMPONENTS = 4
FEWEST_COMPONENTS = {"mixture-deep": 4, "monarch_hmm": 4}
#: Structures in which all columns have leaves in common.
ONE_FAMILY = {"hmm", "monarch_hmm"}

every_structure = pytest.mark.parametrize("name", sorted(MADE))


def binary(n_rows=60, n_columns=6, seed=0):
    """0 and 1 in columns that depend on one another."""
    rng = np.random.default_rng(seed)
    state = rng.integers(0, 3, n_rows)
    share = np.random.default_rng(7).choice([0.1, 0.5, 0.9], size=(3, n_columns))
    return (rng.random((n_rows, n_columns)) < share[state]).astype(float)


def build(name, X, families=None, *, n_components=N_COMPONENTS, **others):
    families = [Bernoulli()] * X.shape[1] if families is None else families
    others = {"random_state": 0, **others}
    return clone(MADE[name]).build(X, families, n_components=n_components, **others)


def estimator(name, **settings):
    defaults = {"n_components": N_COMPONENTS, "max_iter": 3, "dtype": "float64", "n_jobs": 1}
    return PCDensityEstimator(MADE[name], random_state=0, **{**defaults, **settings})


def described(circuit):
    """Everything that a circuit is, in comparable form."""
    arrays, header = circuit_to_arrays(circuit)
    return {key: array.tolist() for key, array in arrays.items()}, header


@pytest.fixture(scope="module")
def fitted():
    """One trained model a structure."""
    models = {}

    def get(name):
        if name not in models:
            models[name] = estimator(name).fit(binary())
        return models[name]

    return get


@every_structure
def test_scopes(name):
    """Sums mix the same columns, products multiply different ones, the root speaks of all."""
    circuit = build(name, binary())
    scopes = {}
    for node in circuit.nodes:
        below = [scopes[child] for child in node.children]
        if isinstance(node, Input):
            scopes[node] = set(node.variables)
        elif isinstance(node, Product):
            assert all(not one & other for one, other in combinations(below, 2))
            scopes[node] = set().union(*below)
        else:
            assert all(scope == below[0] for scope in below)
            scopes[node] = below[0]
        assert node.scope == scopes[node]
    assert scopes[circuit.root] == set(range(6))
    assert circuit.n_variables == 6


@every_structure
def test_densities_sum_to_one_and_marginals_agree(name):
    """By enumeration, for weights and leaves drawn at random."""
    parameters = reference.make(build(name, binary()), seed=1)
    backend = NumbaBackend(parameters.program, np.float64, 1)
    states = reference.all_states(parameters.program.circuit)
    density = np.exp(backend.log_likelihood(parameters, states))
    assert density.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(
        density[::9], np.exp(reference.log_likelihood(parameters, states[::9])), rtol=1e-10
    )
    kept = [0, 4]
    marginal = states.copy()
    marginal[:, [1, 2, 3, 5]] = np.nan
    found = np.exp(backend.log_likelihood(parameters, marginal))
    for values in ([0, 0], [0, 1], [1, 0], [1, 1]):
        here = (states[:, kept] == values).all(axis=1)
        np.testing.assert_allclose(found[here], density[here].sum(), rtol=1e-10)


@every_structure
def test_equal_weights_are_a_distribution(name):
    """What a structure builds means something before anything is drawn or learnt."""
    parameters = Parameters.uniform(Program(build(name, binary())))
    states = reference.all_states(parameters.program.circuit)
    backend = NumbaBackend(parameters.program, np.float64, 1)
    density = np.exp(backend.log_likelihood(parameters, states))
    assert density.sum() == pytest.approx(1, abs=1e-12)
    assert density.min() > 0


@every_structure
@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32])
def test_rows_of_every_type(name, dtype):
    X = binary()
    assert described(build(name, X.astype(dtype))) == described(build(name, X))


@every_structure
def test_one_row_and_one_component(name):
    circuit = build(name, binary(1), n_components=FEWEST_COMPONENTS.get(name, 1))
    assert (circuit.scope, circuit.root.n_units) == (set(range(6)), 1)


@every_structure
def test_same_seed_same_circuit_and_nothing_changes(name):
    X = binary()
    structure = clone(MADE[name])
    before, rows = repr(structure), X.copy()
    once, again = (
        described(structure.build(X, [Bernoulli()] * 6, n_components=4, random_state=seed))
        for seed in (5, 5)
    )
    assert once == again
    assert repr(structure) == before == repr(clone(structure))
    np.testing.assert_array_equal(X, rows)


@every_structure
def test_weights_are_repeated_rows(name):
    X = binary()
    weight = np.random.default_rng(3).integers(0, 3, len(X))
    weighted = build(name, X, sample_weight=weight)
    assert described(weighted) == described(build(name, X.repeat(weight, axis=0)))


@every_structure
def test_own_number_of_components(name):
    if "n_components" not in MADE[name].get_params():
        pytest.skip("has no number of components")
    own = clone(MADE[name]).set_params(n_components=9)
    X = binary()
    given = own.build(X, [Bernoulli()] * 6, n_components=4, random_state=0)
    assert described(given) == described(build(name, X, n_components=9))
    for bad in (0, 1.5, True, "many"):
        with pytest.raises(ValueError, match="n_components=.* must be an integer"):
            resolve_structure(clone(MADE[name]).set_params(n_components=bad))


@every_structure
@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_columns_that_say_nothing(name, fill):
    X = binary()
    X[:, 2] = fill
    assert build(name, X).scope == set(range(6))
    assert build(name, np.full((5, 6), fill)).scope == set(range(6))


@every_structure
def test_one_column(name):
    if MADE[name].get_params().get("shape") is not None:
        pytest.skip("has a shape of its own")
    circuit = build(name, binary(n_columns=1))
    assert (circuit.scope, circuit.root.n_units) == ({0}, 1)


@every_structure
def test_columns_of_several_kinds(name):
    if name in ONE_FAMILY:
        pytest.skip("needs columns of one family")
    rng = np.random.default_rng(0)
    X = np.column_stack([binary(), rng.normal(size=60), rng.integers(0, 3, 60)])[
        :, [0, 6, 1, 7, 2, 3]
    ]
    X[rng.random(X.shape) < 0.1] = np.nan
    families = [Bernoulli(), Gaussian(), Bernoulli(), Categorical(3), Bernoulli(), Bernoulli()]
    parameters = reference.make(build(name, X, families))
    backend = NumbaBackend(parameters.program, np.float64, 1)
    assert np.isfinite(backend.log_likelihood(parameters, X)).all()


@pytest.mark.filterwarnings("ignore:After 8 passes")
@every_structure
def test_every_step_of_em_raises_the_likelihood(name):
    X = binary()
    model = estimator(name, solver="em", alpha=0.0, max_iter=8, tol=0.0).fit(X)
    curve = [record.train for record in model.history_]
    assert np.diff(curve).min() > -1e-9
    assert curve[-1] > curve[0]


@every_structure
def test_learns_from_a_stream(name):
    model = estimator(name, structure_rows=40)
    if not hasattr(model, "partial_fit"):
        pytest.skip("has no partial_fit")
    X = binary(90)
    for part in np.split(X, 3):
        model.partial_fit(part)
    assert np.isfinite(model.score_samples(X)).all()


@every_structure
def test_samples_follow_the_density(name, fitted):
    """In the table of three columns, by a chi-square test."""
    model = fitted(name)
    counts = np.bincount((model.sample(4000)[:, :3] @ [4, 2, 1]).astype(int), minlength=8)
    cells = np.full((8, 6), np.nan)
    cells[:, :3] = [[i // 4, i // 2 % 2, i % 2] for i in range(8)]
    expected = np.exp(model.score_samples(cells))
    # A value never seen in training keeps a little mass, and is not drawn.
    assert expected.sum() > 0.95
    assert chisquare(counts, expected / expected.sum() * 4000).pvalue > 1e-4


@every_structure
def test_saved_and_loaded(name, fitted, tmp_path):
    model, X = fitted(name), binary()
    X[::3, ::2] = np.nan
    model.save(tmp_path / "model")
    for again in (skpc.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
        assert described(again.circuit_) == described(model.circuit_)


@pytest.mark.parametrize("name", sorted(STRUCTURES))
def test_names_make_estimators(name, fitted):
    model = PCDensityEstimator(name, n_components=4, max_iter=3, dtype="float64", n_jobs=1)
    model.set_params(random_state=0).fit(binary())
    np.testing.assert_array_equal(
        model.score_samples(binary()), fitted(name).score_samples(binary())
    )


# -- the same on every backend ------------------------------------------------------------------


@needs_torch
@every_structure
def test_torch_computes_the_same(name):
    """Scores, flows and an update: equal to numba in float64, and nearly so in float32."""
    parameters = reference.make(build(name, binary()), seed=2)
    program = parameters.program
    X = binary()
    X[np.random.default_rng(1).random(X.shape) < 0.1] = np.nan
    exact = NumbaBackend(program, np.float64, 1)
    expected = exact.statistics(parameters, X)
    for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 1e-4)):
        backend = KINDS["torch"](program, dtype)
        scores = backend.log_likelihood(parameters, X)
        np.testing.assert_allclose(scores, exact.log_likelihood(parameters, X), atol=tolerance)
        actual = backend.statistics(parameters, X)
        np.testing.assert_allclose(actual.flows, expected.flows, atol=tolerance)
        for mine, other in zip(actual.leaves, expected.leaves, strict=True):
            np.testing.assert_allclose(mine, other, atol=tolerance)
        (_, one), (_, other) = (
            learn_batch(backend, parameters, SolverState(horizon=5), Anemone(), statistics, None)
            for statistics in (actual, expected.scaled(1.0))  # they are lost
        )
        np.testing.assert_allclose(one.weights, other.weights, atol=tolerance)
