import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Program
from skpc.solvers import EM, Anemone, MiniBatchEM, Solver, SolverState
from skpc.training import ArraySource, Monitor, train
from skpc.training.sources import n_batches
from tests import reference


@pytest.fixture
def problem():
    """A backend, start values, and rows of another member of the same circuit."""
    parameters = reference.make("tree", seed=1)
    states = reference.all_states(parameters.program.circuit)
    probability = np.exp(reference.log_likelihood(reference.make("tree", seed=2), states))
    X = np.random.default_rng(0).choice(states, 110, p=probability / probability.sum())
    return NumbaBackend(parameters.program, np.float64), parameters, X


def rng():
    return np.random.default_rng(0)


class Recorder(Solver):
    """Learns nothing; remembers what it was given."""

    def __init__(self):
        self.seen = []

    def update(self, state, parameters, statistics, top_down):
        self.seen.append((state.step, state.horizon, statistics, top_down))
        return SolverState(state.step + 1, state.horizon), parameters


class Walk(Solver):
    """Replaces the parameters by the next of a list."""

    full_batch = True

    def __init__(self, path):
        self.path = path

    def update(self, state, parameters, statistics, top_down):
        return SolverState(state.step + 1, state.horizon), self.path[state.step]


def test_solvers_get_means_whatever_the_length_of_the_batch(problem):
    backend, parameters, X = problem
    weight = np.linspace(1, 5, len(X))
    solver = Recorder()
    result = train(
        backend, parameters, ArraySource(X, weight), solver, batch_size=50, max_iter=2, rng=None
    )
    assert [(step, horizon) for step, horizon, _, _ in solver.seen] == [(i, 6) for i in range(6)]
    assert (result.state.step, result.state.horizon) == (6, 6)
    for (_, _, statistics, top_down), part in zip(
        solver.seen, (slice(0, 36), slice(36, 73), slice(73, 110))
    ):
        assert statistics.weight == pytest.approx(1)
        expected = reference.statistics(parameters, X[part], weight[part])
        np.testing.assert_allclose(statistics.flows, expected.flows / weight[part].sum())
        assert top_down is None
    mean = weight @ reference.log_likelihood(parameters, X) / weight.sum()
    assert [record.train for record in result.history] == pytest.approx([mean, mean])
    assert [record.epoch for record in result.history] == [1, 2]
    assert [record.weight for record in result.history] == pytest.approx(2 * [weight.sum()])


def test_full_batch_solvers_see_all_rows_at_once(problem, monkeypatch):
    backend, parameters, X = problem
    # Three pieces that do not divide the rows.
    monkeypatch.setattr("skpc.training.loop.FULL_PASS_ROWS", 40)
    result = train(backend, parameters, ArraySource(X), EM(), batch_size=16, max_iter=3)
    assert (result.state.step, result.state.horizon) == (3, 3)
    expected = parameters
    for record in result.history:
        statistics = reference.statistics(expected, X)
        assert record.train == pytest.approx(statistics.log_likelihood / len(X))
        _, expected = EM().update(SolverState(), expected, statistics.mean(), None)
    np.testing.assert_allclose(result.parameters.weights, expected.weights, rtol=1e-9)


def test_full_batch_em_never_falls(problem):
    backend, parameters, X = problem
    result = train(backend, parameters, ArraySource(X), EM(), max_iter=40, n_iter_no_change=99)
    curve = [record.train for record in result.history]
    assert len(curve) == 40
    assert np.all(np.diff(curve) >= -1e-12)
    assert curve[-1] > curve[0] + 0.1
    assert result.best_epoch == 40


@pytest.mark.parametrize("solver", [Anemone(), MiniBatchEM()], ids=repr)
def test_mini_batches_learn_and_the_seed_decides_the_bits(solver, problem):
    backend, parameters, X = problem

    def run(seed, backend=backend):
        generator = np.random.default_rng(seed)
        return train(
            backend, parameters, ArraySource(X), solver,
            batch_size=32, max_iter=8, rng=generator,
        )  # fmt: skip

    one, same, other = run(0), run(0, NumbaBackend(parameters.program, np.float64, 1)), run(1)
    assert one.history == same.history
    np.testing.assert_array_equal(one.parameters.weights, same.parameters.weights)
    assert (one.parameters.weights != other.parameters.weights).any()
    assert one.history[-1].train > one.history[0].train + 0.1
    np.testing.assert_allclose(one.parameters.row_sums(), 1.0)


class Log(Monitor):
    """Notes what it is told; asks to stop, or interrupts, at some epoch."""

    def __init__(self, stop=None, interrupt=None):
        self.calls, self.seen, self.stop, self.interrupt = [], [], stop, interrupt

    def epoch_begins(self):
        self.calls.append("begin")
        if len(self.seen) + 1 == self.interrupt:
            raise KeyboardInterrupt

    def epoch_ends(self, record, parameters):
        self.calls.append("end")
        self.seen.append((record, parameters))
        return record.epoch == self.stop

    def finished(self):
        self.calls.append("finished")


def watched(problem, monitor, **params):
    backend, parameters, X = problem
    return train(
        backend, parameters, ArraySource(X), Anemone(), max_iter=3, rng=rng(), monitor=monitor,
        batch_size=20, **params,
    )  # fmt: skip


def test_the_monitor_sees_every_record_as_it_comes(problem):
    log = Log()
    result = watched(problem, log, validation=ArraySource(problem[2][:9]))
    assert [record for record, _ in log.seen] == result.history
    assert [record.epoch for record, _ in log.seen] == [1, 2, 3]
    assert log.calls == ["begin", "end"] * 3 + ["finished"]


def test_a_monitor_may_end_the_training(problem):
    result = watched(problem, Log(stop=2))
    assert len(result.history) == 2
    assert not result.converged
    assert not result.interrupted


def test_an_interruption_leaves_the_last_whole_epoch(problem):
    log = Log(interrupt=3)
    result = watched(problem, log)
    assert result.interrupted
    assert not result.converged
    assert result.parameters is log.seen[-1][1]
    assert len(result.history) == 2
    with pytest.raises(KeyboardInterrupt):
        watched(problem, Log(interrupt=1))


def test_an_interruption_within_an_epoch_drops_its_updates(problem, monkeypatch):
    backend, _, _ = problem
    calls, whole = [], Log()
    watched(problem, whole)
    learn = type(backend).learn

    def interrupted(self, *args):
        calls.append(args)
        if len(calls) == 2 * batches - 1:
            raise KeyboardInterrupt
        return learn(self, *args)

    batches = n_batches(len(problem[2]), 20)
    assert batches > 1
    monkeypatch.setattr(type(backend), "learn", interrupted)
    result = watched(problem, None)
    assert result.interrupted
    assert len(result.history) == 1
    np.testing.assert_array_equal(result.parameters.weights, whole.seen[0][1].weights)


def path_of(values, parameters, X):
    """Parameters that give the rows of X these mean log-likelihoods, by mixing two ends."""
    good = parameters
    bad = parameters.copy()
    bad.weights[:] = 1 / bad.program.spread_rows(bad.program.row_length.astype(float))
    out = []
    for share in values:
        mixed = good.copy()
        mixed.weights[:] = share * good.weights + (1 - share) * bad.weights
        out.append(mixed)
    return out


@pytest.fixture
def walk(problem):
    """A path that is best at its third step, as the validation rows see it."""
    backend, parameters, X = problem
    learnt = train(backend, parameters, ArraySource(X), EM(), max_iter=30).parameters
    path = path_of([0.2, 0.5, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5], learnt, X)
    values = [reference.log_likelihood(p, X).mean() for p in path]
    assert np.argmax(values) == 2
    return backend, parameters, X, path, values


def test_the_best_epoch_of_the_validation_rows_is_restored(walk):
    backend, parameters, X, path, values = walk
    result = train(
        backend, parameters, ArraySource(X[:30]), Walk(path), max_iter=8,
        validation=ArraySource(X), n_iter_no_change=3,
    )  # fmt: skip
    assert result.converged
    assert [record.validation for record in result.history] == pytest.approx(values[:6])
    assert result.best_epoch == 3
    assert result.parameters is path[2]
    assert result.state.step == 6


def test_without_validation_the_last_parameters_are_returned(walk):
    backend, parameters, X, path, values = walk
    result = train(backend, parameters, ArraySource(X), Walk(path), max_iter=8, n_iter_no_change=3)
    # Here the curve lags by one: it is that of each batch before it is learnt.
    assert result.converged
    assert [r.train for r in result.history][1:] == pytest.approx(values[:6])
    assert result.parameters is path[6]
    assert result.best_epoch == 7
    assert result.history[-1].validation is None


def test_a_rise_below_tol_is_none(walk):
    backend, parameters, X, path, values = walk
    rise = values[2] - values[0]
    for tol, epochs in ((1.01 * rise, 3), (0.0, 5)):
        result = train(
            backend, parameters, ArraySource(X[:30]), Walk(path), max_iter=8,
            validation=ArraySource(X), n_iter_no_change=2, tol=tol,
        )  # fmt: skip
        assert len(result.history) == epochs


def test_training_that_ends_at_max_iter_has_not_converged(walk):
    backend, parameters, X, path, _ = walk
    result = train(backend, parameters, ArraySource(X), Walk(path), max_iter=3)
    assert not result.converged
    assert len(result.history) == 3


def test_a_step_that_fell_to_its_end_has_converged(problem):
    backend, parameters, X = problem
    for schedule in ("cosine", "constant"):
        solver = MiniBatchEM(schedule=schedule)
        result = train(backend, parameters, ArraySource(X), solver, max_iter=2)
        assert result.converged == (schedule == "cosine")


def test_validation_rows_count_by_weight(problem):
    backend, parameters, X = problem
    weight = np.linspace(0, 4, len(X))
    result = train(
        backend, parameters, ArraySource(X), Anemone(), max_iter=1,
        validation=ArraySource(X, weight), rng=rng(),
    )  # fmt: skip
    expected = weight @ reference.log_likelihood(result.parameters, X) / weight.sum()
    assert result.history[0].validation == pytest.approx(expected)


def test_an_earlier_state_goes_on_at_its_step_and_horizon(problem):
    backend, parameters, X = problem
    solver = Recorder()
    result = train(
        backend, parameters, ArraySource(X), solver, state=SolverState(7, None),
        batch_size=60, max_iter=1,
    )  # fmt: skip
    assert [step for step, *_ in solver.seen] == [7, 8]
    assert result.state == SolverState(9, None)


def test_rows_without_probability_do_not_stop_the_learning(problem):
    """A row that the start calls impossible: -inf once, then learnt around, never NaN."""
    parameters = reference.make("tree")
    parameters.leaves[0][parameters.program.input_slice(
        parameters.program.circuit.inputs[0])[1]] = 0.0  # fmt: skip
    _, _, X = problem
    backend = NumbaBackend(Program(parameters.program.circuit), np.float64)
    result = train(backend, parameters, ArraySource(X), Anemone(), max_iter=2, rng=rng())
    assert result.history[0].train == -np.inf
    assert np.isfinite(result.parameters.weights).all()
