import pickle

import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend
from skpc.solvers import SOLVERS, Anemone, MiniBatchEM, SolverState
from skpc.training import leaf_priors, smoothing_statistics
from skpc.training.stream import Learnt, learn_stream
from tests import reference


@pytest.fixture(scope="module")
def problem():
    parameters = reference.make("tree")
    circuit = parameters.program.circuit
    X = reference.random_rows(circuit, np.random.default_rng(0), 60)
    return parameters, NumbaBackend(parameters.program, np.float64), X


def stream(problem, chunks, solver=None, weight=None, batch_size=16, units=0.0):
    """What is left after chunks of these lengths."""
    parameters, backend, X = problem
    weight = np.ones(len(X)) if weight is None else weight
    priors = leaf_priors(parameters.program, X)
    learnt, batch, history = Learnt(parameters, parameters, SolverState()), None, []
    for start, stop in zip(np.cumsum([0, *chunks[:-1]]), np.cumsum(chunks), strict=True):
        result = learn_stream(
            backend, learnt, batch, solver or Anemone(), X[start:stop],
            weight[start:stop], batch_size=batch_size,
            smoothing=lambda total: smoothing_statistics(backend.program, 0.3, total, priors),
            read_out=lambda total: None, weight_seen=float(weight[:start].sum()),
            encode=lambda rows: rows, log_units=lambda rows: np.full(len(rows), units),
        )  # fmt: skip
        history += result.history
        learnt, batch = pickle.loads(pickle.dumps((result.learnt, result.batch)))
    return learnt.parameters, learnt.state, batch, history


STREAMING = [kind() for kind in SOLVERS.values() if not kind.full_batch]
STREAMING += [Anemone(momentum=0.8), MiniBatchEM(momentum=0.8)]


@pytest.mark.parametrize("solver", STREAMING, ids=repr)
@pytest.mark.parametrize("chunks", [[1] * 60, [7] * 8 + [4], [50, 10], [16] * 3 + [12]])
def test_the_cuts_into_chunks_do_not_matter(problem, solver, chunks):
    whole, state, batch, _ = stream(problem, [60], solver)
    cut, cut_state, cut_batch, _ = stream(problem, chunks, solver)
    np.testing.assert_allclose(cut.weights, whole.weights, rtol=1e-9)
    np.testing.assert_allclose(cut.leaves[0], whole.leaves[0], rtol=1e-9, atol=1e-12)
    assert cut_state.step == state.step == 4
    assert cut_batch.statistics.weight == batch.statistics.weight == 60 - 3 * 16


def test_a_whole_batch_gets_the_whole_step_and_a_part_a_smaller_one(problem):
    parameters, backend, X = problem
    for n, share in ((16, 1.0), (4, 0.25)):
        evidence = backend.statistics(parameters, X[:n]).mean()
        priors = leaf_priors(parameters.program, X)
        evidence = evidence + smoothing_statistics(backend.program, 0.3, n, priors)
        step = 1 - (1 - np.sqrt(0.9 * 0.02)) ** share
        expected = Anemone(step, 1e-9, "constant").update(
            SolverState(), parameters, evidence, backend.top_down(parameters)
        )[1]
        found = stream(problem, [n])[0]
        np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-12)


def test_history_has_the_likelihood_of_rows_before_they_are_learnt(problem):
    parameters, backend, X = problem
    history = stream(problem, [3, 13], units=2.5)[3]
    scores = backend.log_likelihood(parameters, X) + 2.5
    means = [scores[:3].mean(), scores[3:16].mean()]
    np.testing.assert_allclose([piece.train for piece in history], means, rtol=1e-12)
    assert [piece.weight for piece in history] == [3, 13]


def test_weights_are_repeated_rows(problem):
    parameters, backend, X = problem
    weight = np.random.default_rng(0).integers(1, 4, 6)
    once = (parameters, backend, X[:6])
    again = (parameters, backend, np.repeat(X[:6], weight, axis=0))
    one = stream(once, [6], weight=weight.astype(float), batch_size=50)
    other = stream(again, [int(weight.sum())], batch_size=50)
    np.testing.assert_allclose(one[0].weights, other[0].weights, rtol=1e-10)


@pytest.mark.parametrize("weight", [1e-6, 40.0])
def test_rows_of_any_weight_are_learnt(problem, weight):
    learnt, _, batch, history = stream(problem, [5], weight=np.full(5, weight))
    assert np.isfinite(learnt.weights).all()
    assert (learnt.weights != problem[0].weights).any()
    assert len(history) == (1 if weight < 1 else 5)
    assert (batch is None) == (weight > 1)
