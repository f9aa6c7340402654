"""What every solver of the registry keeps, on every kind of circuit, with every kind of leaf."""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
from skpc.distributions import (
    Bernoulli,
    Categorical,
    FactorGaussian,
    Gaussian,
    MultivariateGaussian,
)
from skpc.solvers import SOLVERS, SolverState, resolve_solver
from skpc.structures import HCLT, Mixture
from skpc.training import initial_parameters, leaf_priors
from skpc.training.updates import learn_batch
from tests.backends.kinds import KINDS, needs_torch

N_REGIONS, N_ROWS, N_UPDATES = 3, 40, 6


class Leaf(NamedTuple):
    """The distribution of a region, that of each of its columns, and how many these are."""

    distribution: object
    of_column: object
    width: int = 1


LEAVES = {
    "bernoulli": Leaf(Bernoulli(), Bernoulli()),
    "categorical": Leaf(Categorical(4), Categorical(4)),
    "gaussian": Leaf(Gaussian(), Gaussian()),
    "groups": Leaf(MultivariateGaussian(2), Gaussian(), 2),
    "factors": Leaf(FactorGaussian(3), Gaussian(), 3),
}


def columns_of(leaf, region):
    first = region * leaf.width
    return tuple(range(first, first + leaf.width))


def hclt(leaf, X):
    groups = [columns_of(leaf, i) for i in range(N_REGIONS)] if leaf.width > 1 else None
    structure = HCLT(groups=groups)
    return structure.build(X, [leaf.of_column] * X.shape[1], n_components=3, random_state=0)


def mixture(leaf, X):
    structure = Mixture(covariance="full" if leaf.width > 1 else "diag")
    return structure.build(X, [leaf.of_column] * X.shape[1], n_components=3, random_state=0)


def dag(leaf, X):
    """A leaf below a sum and a product, and a sum below two products."""
    a, b, c = (Input(columns_of(leaf, i), leaf.distribution, 2) for i in range(N_REGIONS))
    shared = Sum(Product([a, b]), 2)
    both = Sum([Product([shared, c]), Product([shared, Sum(c, 2)])], 2, kind="mixing")
    return Circuit(Sum([both, Product([Sum(a, 2), Sum(b, 2), c])]))


def tied_chain(leaf, X):
    """One transition matrix and one emission for all regions."""
    emission = node = Input(columns_of(leaf, N_REGIONS - 1), leaf.distribution, 2)
    transition = None
    for i in range(N_REGIONS - 2, -1, -1):
        above = Sum(node, 2, share=transition)
        transition = transition or above
        here = Input(columns_of(leaf, i), leaf.distribution, 2, share=emission)
        node = Product([here, above])
    return Circuit(Sum(node))


CIRCUITS = {f.__name__: f for f in (hclt, mixture, dag, tied_chain)}


class Problem(NamedTuple):
    backend: NumbaBackend
    start: Parameters
    X: np.ndarray


@cache
def problem(circuit, leaf):
    leaf = LEAVES[leaf]
    rng = np.random.default_rng(0)
    cluster = rng.integers(0, 2, (N_ROWS, 1))
    X = cluster + 0.7 * rng.normal(size=(N_ROWS, N_REGIONS * leaf.width))
    if leaf.of_column.n_states is not None:
        X = np.clip(np.round(X), 0, leaf.of_column.n_states - 1)
    X[rng.random(X.shape) < 0.1] = np.nan
    program = Program(CIRCUITS[circuit](leaf, X))
    start = initial_parameters(program, "random", leaf_priors(program, X), rng)
    return Problem(NumbaBackend(program, np.float64, 1), start, X)


def learnt(solver, given, n_updates=N_UPDATES, parameters=None, state=None, **changed):
    """Parameters and state after some updates, yielded one by one."""
    parameters = given.start if parameters is None else parameters
    state = SolverState(horizon=n_updates) if state is None else state
    X, weight = changed.get("X", given.X), changed.get("weight")
    for _ in range(n_updates):
        statistics = given.backend.statistics(parameters, X, weight)
        state, parameters = learn_batch(given.backend, parameters, state, solver, statistics, None)
        yield state, parameters


def log_likelihood(given, parameters):
    return given.backend.log_likelihood(parameters, given.X).mean()


def assert_sound(parameters):
    program = parameters.program
    assert np.isfinite(parameters.weights).all()
    assert (parameters.weights >= 0).all()
    np.testing.assert_allclose(parameters.row_sums(), 1.0, rtol=1e-9)
    for family, mean in zip(program.families, parameters.leaves, strict=True):
        assert np.isfinite(mean).all()
        np.testing.assert_allclose(family.project(mean), mean, rtol=1e-9, atol=1e-12)
    for node in program.circuit.sums:
        if node.share is not None:
            copy, owner = (program.read_matrix(n, parameters.weights) for n in (node, node.share))
            np.testing.assert_array_equal(copy, owner)


@pytest.fixture(params=sorted(LEAVES))
def leaf(request):
    return request.param


@pytest.fixture(params=sorted(CIRCUITS))
def given(request, leaf):
    return problem(request.param, leaf)


@pytest.fixture(params=sorted(SOLVERS))
def solver(request):
    return resolve_solver(request.param)


def test_updates_keep_parameters_sound_and_the_likelihood_does_not_fall(solver, given):
    curve = [log_likelihood(given, given.start)]
    for _, parameters in learnt(solver, given):
        assert_sound(parameters)
        curve.append(log_likelihood(given, parameters))
    assert curve[-1] > curve[0]
    if type(solver) is SOLVERS["em"]:
        # The floor that a group's covariance carries is no part of the likelihood.
        grouped = any(family.n_variables > 1 for family in given.start.program.families)
        assert np.diff(curve).min() > (-1e-3 if grouped else -1e-12)


@pytest.mark.parametrize("nothing", ["no weight", "no cells"])
def test_a_batch_that_says_nothing_changes_nothing(solver, given, nothing):
    """At the start; later what a solver remembers may move the parameters on."""
    if nothing == "no cells" and type(solver) is SOLVERS["sharpness_em"]:
        pytest.skip("its penalty moves weights wherever there is flow")
    changed = {"weight": np.zeros(N_ROWS)}
    if nothing == "no cells":
        changed = {"X": np.full(given.X.shape, np.nan)}
    ((_, parameters),) = learnt(solver, given, 1, **changed)
    np.testing.assert_allclose(parameters.weights, given.start.weights, rtol=1e-6)
    for mine, before in zip(parameters.leaves, given.start.leaves, strict=True):
        np.testing.assert_allclose(mine, before, rtol=1e-6, atol=1e-12)

    *_, (state, parameters) = learnt(solver, given)
    before = log_likelihood(given, parameters)
    ((_, parameters),) = learnt(solver, given, 1, parameters, state, **changed)
    assert_sound(parameters)
    assert log_likelihood(given, parameters) > before - 0.2


@needs_torch
def test_torch_updates_as_numba_does(solver, given):
    """On tensors where the solver takes them: parameters stay on the device then."""
    program = given.start.program
    backend = KINDS["torch"](program, np.float64)
    start, state = given.start, SolverState(horizon=3)
    if solver.takes_tensors:
        start = backend.taken(start)
    other = given._replace(backend=backend)
    pairs = zip(learnt(solver, given, 3), learnt(solver, other, 3, start, state), strict=True)
    for (_, expected), (_, actual) in pairs:
        assert isinstance(actual.weights, np.ndarray) is not solver.takes_tensors
        actual = backend.given(actual)
        np.testing.assert_allclose(actual.weights, expected.weights, rtol=1e-9, atol=1e-10)
        for mine, true in zip(actual.leaves, expected.leaves, strict=True):
            np.testing.assert_allclose(mine, true, rtol=1e-8, atol=1e-8)
