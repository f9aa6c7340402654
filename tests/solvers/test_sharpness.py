"""The penalty of gradient solvers: its slope against differences, its strengths, its refusals."""

import numpy as np
import pytest

from skpc import PCDensityEstimator, load
from skpc.backends import renormalise
from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Parameters
from skpc.solvers import SGD, Adam, SolverState, resolve_solver
from skpc.solvers.coordinates import gradient
from skpc.solvers.sharpness import penalty_statistics
from skpc.training import ArraySource, train
from tests import reference

every_circuit = pytest.mark.parametrize(
    "name", ["tree", "dag", "block", "mixing", "kronecker", "mixed_families", "scalar"]
)


def rows_of(parameters, n_rows=12, seed=2):
    rng = np.random.default_rng(seed)
    return reference.random_rows(parameters.program.circuit, rng, n_rows)


def backend_of(parameters):
    return NumbaBackend(parameters.program, np.float64, 1)


@every_circuit
def test_the_slope_is_that_of_the_penalty_on_the_normalised_circuit(name):
    """Along random lines in the free coordinates, by differences."""
    parameters = reference.make(name)
    program, backend = parameters.program, backend_of(parameters)
    X, rng = rows_of(parameters), np.random.default_rng(0)

    def penalty(move, step):
        leaves = [
            family.from_unconstrained(family.to_unconstrained(mean) + step * part)
            for family, mean, part in zip(program.families, parameters.leaves, move.leaves)
        ]
        weights = parameters.weights * np.exp(step * move.weights)
        there = renormalise(Parameters(program, weights, leaves))
        return backend.statistics(there, X, None, ("squares",)).mean().extra["squares"].sum()

    statistics = backend.statistics(parameters, X, None, ("curvature",)).mean()
    slope = gradient(parameters, penalty_statistics(parameters, statistics))
    for only in ("weights", "leaves"):
        move = slope.scaled(0.0)
        for array in [move.weights] if only == "weights" else move.leaves:
            array[...] = rng.standard_normal(array.shape)
        h = 1e-5
        difference = (penalty(move, h) - penalty(move, -h)) / (2 * h)
        inner = slope.weights @ move.weights
        inner += sum((a * b).sum() for a, b in zip(slope.leaves, move.leaves))
        assert inner == pytest.approx(difference, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("kind", [Adam, SGD])
@pytest.mark.parametrize("sharpness", [0.05, "auto", [0.1, 0.0]])
def test_a_penalised_maximum_is_flatter(kind, sharpness):
    parameters = reference.make("tree")
    backend, X = backend_of(parameters), rows_of(parameters, 20)
    found = []
    for strength in (0.0, sharpness):
        solver = kind(step_size=0.1, min_step_size=0.01, sharpness=strength)
        rng = np.random.default_rng(0)
        result = train(backend, parameters, ArraySource(X), solver, max_iter=60, rng=rng)
        learnt = result.parameters
        squares = backend.statistics(learnt, X, None, ("squares",)).extra["squares"].sum()
        found.append((squares, backend.log_likelihood(learnt, X).mean()))
    assert found[1][0] < found[0][0]
    assert found[1][1] < found[0][1] + 1e-3
    assert np.isfinite(found).all()


def test_weights_are_repeated_rows_and_parts_of_a_batch_add():
    parameters = reference.make("kronecker")
    backend, X = backend_of(parameters), rows_of(parameters)
    weight = np.random.default_rng(0).integers(0, 4, len(X)).astype(float)
    repeated = np.repeat(X, weight.astype(int), axis=0)
    solver = Adam(sharpness=0.3)
    state = SolverState(horizon=10)
    whole = backend.statistics(parameters, X, weight, solver.wanted)
    parts = [
        backend.statistics(parameters, part, None, solver.wanted)
        for part in (repeated[:5], repeated[5:])
    ]
    one, two = (
        solver.update(state, parameters, s.mean(), None)[1] for s in (whole, parts[0] + parts[1])
    )
    np.testing.assert_allclose(one.weights, two.weights, rtol=1e-9)


def test_without_penalty_nothing_is_asked_for():
    assert Adam().wanted == SGD(sharpness=[0.0, 0]).wanted == ()
    assert Adam(sharpness="auto").wanted == ("curvature",)


def test_a_stream_and_its_file_remember_an_open_batch(tmp_path):
    X = np.random.default_rng(0).integers(0, 2, (330, 4)).astype(float)
    model = PCDensityEstimator(
        "hclt", Adam(sharpness=0.1), n_components=3, structure_rows=100, random_state=0, n_jobs=1
    ).partial_fit(X[:290])
    model.save(tmp_path / "model")
    twin = load(tmp_path / "model").partial_fit(X[290:])
    model.partial_fit(X[290:])
    np.testing.assert_allclose(twin.parameters_.weights, model.parameters_.weights, rtol=1e-9)


def test_shared_weights_are_refused_with_a_penalty_only():
    tied, X = reference.hmm(), np.zeros((10, 5))
    with pytest.raises(ValueError, match=r"Adam\(sharpness=0.1\) cannot learn a circuit with sh"):
        PCDensityEstimator(tied, Adam(sharpness=0.1)).fit(X)
    PCDensityEstimator(tied, Adam(), max_iter=1, n_jobs=1).fit(X)


@pytest.mark.parametrize("sharpness", [-1, np.inf, "much", [], None, [1.0, -1.0]])
@pytest.mark.parametrize("kind", [Adam, SGD])
def test_strengths_that_cannot_work_are_refused(kind, sharpness):
    with pytest.raises(ValueError, match="sharpness=.* must be"):
        resolve_solver(kind(sharpness=sharpness))
