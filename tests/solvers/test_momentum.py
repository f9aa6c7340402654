import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend
from skpc.solvers import Anemone, MiniBatchEM, SolverState
from tests import reference

every_kind = pytest.mark.parametrize("kind", [Anemone, MiniBatchEM])
STEP = {"step_size": 0.4, "min_step_size": 0.1, "schedule": "constant"}


@pytest.fixture
def learning():
    """Parameters, a backend, and three batches of different lengths."""
    parameters = reference.make("tree")
    rng = np.random.default_rng(3)
    circuit = parameters.program.circuit
    batches = [reference.random_rows(circuit, rng, n) for n in (20, 20, 5)]
    return parameters, NumbaBackend(parameters.program, np.float64), batches


def step(solver, state, parameters, backend, X):
    evidence = backend.statistics(parameters, X).mean()
    return solver.update(state, parameters, evidence, backend.top_down(parameters))


@every_kind
def test_the_first_step_is_that_without_momentum(learning, kind):
    parameters, backend, (X, _, _) = learning
    plain = step(kind(**STEP), SolverState(), parameters, backend, X)[1]
    state, heavy = step(kind(momentum=0.9, **STEP), SolverState(), parameters, backend, X)
    np.testing.assert_allclose(heavy.weights, plain.weights, rtol=1e-12)
    np.testing.assert_allclose(heavy.leaves[0], plain.leaves[0], rtol=1e-12)
    assert set(state.arrays) == {"flows", "leaves_0", "log_start_weight"}


@every_kind
def test_later_steps_learn_from_the_corrected_running_mean_of_mean_flows(learning, kind):
    parameters, backend, batches = learning
    k, state, solver = 0.7, SolverState(), kind(momentum=0.7, **STEP)
    flows = leaves = 0.0
    for t, X in enumerate(batches, start=1):
        evidence = backend.statistics(parameters, X).mean()
        flows = k * flows + (1 - k) * evidence.flows
        leaves = k * leaves + (1 - k) * evidence.leaves[0]
        expected = evidence.scaled(1.0)
        expected.flows = flows / (1 - k**t)
        expected.leaves = [leaves / (1 - k**t)]
        top_down = backend.top_down(parameters)
        _, plain = kind(**STEP).update(SolverState(), parameters, expected, top_down)
        state, parameters = step(solver, state, parameters, backend, X)
        np.testing.assert_allclose(parameters.weights, plain.weights, rtol=1e-12)
        np.testing.assert_allclose(parameters.leaves[0], plain.leaves[0], rtol=1e-12)


@every_kind
def test_a_short_batch_weighs_no_more_than_its_rows_repeated(learning, kind):
    parameters, backend, (first, _, short) = learning
    ends = []
    for last in (short, np.tile(short, (8, 1))):
        solver = kind(momentum=0.5, **STEP)
        state, between = step(solver, SolverState(), parameters, backend, first)
        ends.append(step(solver, state, between, backend, last)[1].weights)
    np.testing.assert_allclose(*ends, rtol=1e-11)


@every_kind
@pytest.mark.parametrize("momentum", [1.0, -0.1, np.nan, "0.9", None])
def test_bad_momentum_is_refused(kind, momentum):
    with pytest.raises(ValueError, match=r"momentum=.* must be a number in \[0, 1\)"):
        kind(momentum=momentum).check()
