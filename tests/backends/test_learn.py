"""Batches that the backend learns itself end where a solver's single steps do."""

import numpy as np
import pytest

from skpc.backends import Mixing
from skpc.backends.base import Backend
from skpc.backends.numba_cpu import NumbaBackend, crew, learning, sharing, tiles
from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
from skpc.distributions import Bernoulli, Categorical, Indicator
from skpc.solvers import EM, Anemone, MiniBatchEM, SolverState
from skpc.training import smoothing_statistics
from skpc.training.updates import Updates
from tests import reference

SIZES = (40, 1, 90, 64, 33)
#: Circuits whose batches follow each other in compiled code.
TOGETHER = ("tree", "wide", "kronecker", "sums_of_columns")


@pytest.fixture(autouse=True)
def for_small_circuits(monkeypatch):
    for module, name in ((sharing, "LEAST_WORK"), (learning, "LANE_WORK"), (learning, "LANE_ROWS")):
        monkeypatch.setattr(module, name, 1)
    monkeypatch.setattr(sharing, "HALVED_WORK", 0)
    for name in ("MOST_WORK", "MOST_WORK_ALONE"):
        monkeypatch.setattr(sharing, name, 2.0)


def problem(parameters, weighted=False):
    rng = np.random.default_rng(1)
    circuit = parameters.program.circuit
    batches = []
    for i, n in enumerate(SIZES):
        weight = rng.integers(0, 3, n).astype(float) if weighted and i != 1 else None
        batches.append((reference.random_rows(circuit, rng, n), weight))
    return batches


def smoothing_of(program, alpha=0.1):
    priors = [
        np.tile(f.uniform_prior(), (n, 1)) for f, n in zip(program.families, program.family_units)
    ]
    return smoothing_statistics(program, alpha, 200.0, priors)


def learnt(backend, parameters, batches, solver, smoothing, at_once=16):
    """Parameters after all batches, the sum of log-likelihoods, and most that one call learnt."""
    updates = Updates(backend, solver, smoothing)
    state, total, most = SolverState(horizon=10), 0.0, 0
    left = list(batches)
    while left:
        n, state, parameters, log_likelihood, _ = updates.learn(state, parameters, left[:at_once])
        del left[:n]
        total += log_likelihood
        most = max(most, n)
    assert state.step == len(batches)
    return parameters, total, most


class Plain(NumbaBackend):
    """Statistics, then the step of the solver."""

    learn = Backend.learn


def assert_close(found, expected, rtol):
    np.testing.assert_allclose(found.weights, expected.weights, rtol, 1e-12)
    for mine, other in zip(found.leaves, expected.leaves, strict=True):
        np.testing.assert_allclose(mine, other, rtol, 1e-12)


def bits(parameters):
    return b"".join(a.tobytes() for a in (parameters.weights, *parameters.leaves))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", [Anemone(), MiniBatchEM()], ids=repr)
@pytest.mark.parametrize("name", sorted(reference.CIRCUITS))
def test_it_ends_where_single_steps_do(name, solver, weighted):
    parameters = reference.make(name, zero_fraction=0.2)
    program = parameters.program
    batches = problem(parameters, weighted)
    for smoothing in (None, smoothing_of(program)):
        plain = Plain(program, np.float64, 1)
        expected, total, _ = learnt(plain, parameters, batches, solver, smoothing)
        for n_jobs in (1, 2):
            backend = NumbaBackend(program, np.float64, n_jobs)
            found, mine, most = learnt(backend, parameters, batches, solver, smoothing)
            assert_close(found, expected, 1e-9)
            assert mine == pytest.approx(total, rel=1e-11)
            assert most == len(SIZES) or name not in TOGETHER


@pytest.mark.parametrize("solver", [Anemone(), MiniBatchEM()], ids=repr)
@pytest.mark.parametrize("name", ["tree", "wide", "hmm", "dag", "mixed_families"])
def test_bits_do_not_depend_on_threads_or_on_how_many_come_together(name, solver):
    parameters = reference.make(name)
    program, smoothing = parameters.program, smoothing_of(parameters.program)
    batches = problem(parameters)
    found = set()
    for n_jobs, at_once in ((1, 16), (3, 16), (2, 2), (1, 1)):
        backend = NumbaBackend(program, np.float32, n_jobs)
        found.add(bits(learnt(backend, parameters, batches, solver, smoothing, at_once)[0]))
        # Nor on what else the backend was asked in between.
        backend = NumbaBackend(program, np.float32, n_jobs)
        half, _, _ = learnt(backend, parameters, batches[:2], solver, smoothing)
        learnt(backend, parameters, batches[:1], solver, smoothing)
        again = NumbaBackend(program, np.float32, 1)
        both = [learnt(b, half, batches[2:], solver, smoothing)[0] for b in (backend, again)]
        assert bits(both[0]) == bits(both[1])
    assert len(found) == 1


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_rows_that_lose_too_much_are_learnt_by_single_steps(n_jobs, monkeypatch):
    """Also where a call that finds out whether threads help ends before them."""
    monkeypatch.setattr(crew, "TRIED_BATCHES", 1)
    means = [[0.5, 1e-30]] * 2 + [[1e-30, 0.5]] * 2
    inputs = [Input(i, Bernoulli(), 2, mean=np.array(m)[:, None]) for i, m in enumerate(means)]
    program = Program(Circuit(Sum(Product(inputs))))
    parameters = Parameters.uniform(program)
    batches = [(np.random.default_rng(i).integers(0, 2, (n, 4)), None) for i, n in enumerate(SIZES)]
    for X, _ in batches:
        X[:, 2:] = 0
    # All units find these as unlikely, which only logarithms tell.
    batches[2][0][:3] = 1
    solver = Anemone(step_size=0.5)
    expected, total, _ = learnt(Plain(program, np.float64, 1), parameters, batches, solver, None)
    backend = NumbaBackend(program, np.float32, n_jobs)
    found, mine, most = learnt(backend, parameters, batches, solver, None)
    assert mine == pytest.approx(total, rel=1e-5)
    assert_close(found, expected, 1e-4)
    assert most == 2


def test_a_batch_without_weight_and_rows_of_other_kinds():
    parameters = reference.make("tree")
    batches = [(X, None) for X, _ in problem(parameters)]
    batches[1] = batches[1][0], np.zeros(len(batches[1][0]))
    batches[2] = np.nan_to_num(batches[2][0]).astype(np.int32), None
    batches[3] = np.nan_to_num(batches[3][0]).astype(bool), None
    batches[4] = np.asfortranarray(batches[4][0]), np.arange(33)
    solver, smoothing = Anemone(), smoothing_of(parameters.program)
    plain = Plain(parameters.program, np.float64, 1)
    expected, total, _ = learnt(plain, parameters, batches, solver, smoothing)
    backend = NumbaBackend(parameters.program, np.float64, 1)
    found, mine, _ = learnt(backend, parameters, batches, solver, smoothing)
    assert mine == pytest.approx(total)
    assert_close(found, expected, 1e-9)


@pytest.fixture
def teams(monkeypatch):
    """Helpers are waited for, be there a core or not; what came of every run."""
    seen = []
    run = crew.Crew.learn_batches

    def watched(self, *args):
        done = run(self, *args)
        seen.append(int(self._batch_jobs[0, tiles.N_THREADS]))
        return done

    monkeypatch.setattr(crew, "WORK_OF_TURN", 1e-3)
    monkeypatch.setattr(learning, "cores", lambda: 4)
    monkeypatch.setattr(crew.Crew, "learn_batches", watched)
    monkeypatch.setattr(crew.Pace, "prefers_alone", lambda self: False)
    return seen


@pytest.mark.parametrize("units", [4, 40])
@pytest.mark.parametrize("most_work", [2.0, 0.01], ids=["chunk", "row by row"])
def test_teams_change_no_bit(units, most_work, teams, monkeypatch):
    """With many units the step is shared, too."""
    monkeypatch.setattr(sharing, "MOST_WORK", most_work)
    rng = np.random.default_rng(0)
    node = Product([Input(i, Bernoulli(), units) for i in range(2)])
    for i in range(2, 16):
        node = Product(
            [Sum(node, units), Input(i, Categorical(3) if i % 3 else Bernoulli(), units)]
        )
    program = Program(Circuit(Sum(node)))
    assert (program.n_weights > tiles.STEP_WEIGHTS) == (units > 4)
    parameters = reference.random_parameters(program, rng)
    batches = [(rng.integers(0, 2, (n, 16)).astype(np.uint8), None) for n in (500, 200, 400)]
    found = set()
    for n_jobs in (1, 2, 4):
        backend = NumbaBackend(program, np.float32, n_jobs)
        for _ in range(100):
            learned, _, most = learnt(
                backend, parameters, batches, Anemone(), smoothing_of(program)
            )
            assert most == 3
            found.add(bits(learned))
            # A helper that waits in vain on a busy machine, for this thread has no core, leaves.
            if n_jobs == 1 or teams[-1] > 1:
                break
    assert len(found) == 1
    assert max(teams) > 1
    plain = Plain(program, np.float32, 1)
    expected, _, _ = learnt(plain, parameters, batches, Anemone(), smoothing_of(program))
    assert_close(learned, expected, 2e-3)


@pytest.mark.parametrize("n", [1, 307, 1000])
def test_batches_of_many_cells_follow_each_other_too(n):
    """Cells that one thread would not encode for all, in rows that fill no panel."""
    program = Program(Circuit(Sum(Product([Input(i, Bernoulli(), 2) for i in range(300)]))))
    parameters = reference.random_parameters(program, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    batches = [(rng.integers(0, 2, (n, 300)).astype(np.uint8), None) for _ in range(3)]
    backend = NumbaBackend(program, np.float64, 2)
    found, total, most = learnt(backend, parameters, batches, Anemone(), None)
    assert most == 3
    plain = Plain(program, np.float64, 1)
    expected, there, _ = learnt(plain, parameters, batches, Anemone(), None)
    assert_close(found, expected, 1e-9)
    assert total == pytest.approx(there, rel=1e-11)


def test_weights_need_not_lie_side_by_side():
    parameters = reference.make("tree")
    X = problem(parameters)[2][0]
    columns = np.random.default_rng(0).random((len(X), 3))
    backend = NumbaBackend(parameters.program, np.float64, 1)
    steps = [Mixing(0.5, True)]
    found = backend.learn(parameters, [(X, columns[:, 1])], steps, None)
    expected = backend.learn(parameters, [(X, columns[:, 1].copy())], steps, None)
    assert found[:3] == expected[:3]
    assert found.weight == pytest.approx(columns[:, 1].sum())
    assert bits(found.parameters) == bits(expected.parameters)


def test_a_run_that_was_interrupted_while_it_began_knows_nothing(monkeypatch):
    parameters = reference.make("tree")
    backend = NumbaBackend(parameters.program, np.float64, 1)
    batches, steps = problem(parameters), [Mixing(0.5, True)] * len(SIZES)
    first = backend.learn(parameters, batches, steps, None).parameters
    expected = backend.learn(first, batches, steps, None)
    backend.learn(parameters, batches, steps, None)
    first = backend.learn(parameters, batches, steps, None).parameters
    with pytest.MonkeyPatch.context() as patch:
        # When the new weights are packed already.
        patch.setattr(
            backend._packer, "_fill_leaves", lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            backend.learn(parameters, batches, steps, None)
    found = backend.learn(first, batches, steps, None)
    assert found.log_likelihood == expected.log_likelihood


def test_what_was_handed_out_stays_as_it_is():
    parameters = reference.make("tree")
    backend = NumbaBackend(parameters.program, np.float64, 1)
    batches, steps = problem(parameters), [Mixing(0.5, True)] * len(SIZES)
    seen = [parameters]
    for _ in range(3):
        seen.append(backend.learn(seen[-1], batches, steps, None).parameters)
        assert backend.learn(seen[-1], batches[:1], steps[:1], None).n == 1
    found = [bits(each) for each in seen]
    assert len(set(found)) == len(found)
    backend.learn(seen[1], batches, steps, None)
    assert [bits(each) for each in seen] == found


def test_one_batch_is_held_at_a_time_where_more_are_of_no_use():
    parameters = reference.make("tree")
    backend = NumbaBackend(parameters.program, np.float64, 1)
    state = SolverState(horizon=10)
    assert Updates(backend, Anemone(), None).most_batches(state, 100) == 64
    assert Updates(backend, Anemone(momentum=0.9), None).most_batches(state, 100) == 1
    assert Updates(backend, Anemone(), None).most_batches(state, 1 << 20) == 1
    others = NumbaBackend(reference.make("mixed_families").program, np.float64, 1)
    assert Updates(others, Anemone(), None).most_batches(state, 100) == 1


def test_fixed_leaves_stay_and_tables_stay_tables():
    below = [Sum(Product([Input(2 * i, Indicator(3), 3), Input(2 * i + 1, Categorical(3), 3)]), 3)
             for i in range(3)]  # fmt: skip
    program = Program(Circuit(Sum(Product([*below, Input(6, Bernoulli(), 3)]))))
    parameters = reference.random_parameters(program, np.random.default_rng(0))
    backend = NumbaBackend(program, np.float64, 1)
    batches = problem(parameters)
    found, _, most = learnt(backend, parameters, batches, Anemone(), smoothing_of(program))
    assert most == len(SIZES)
    for family, before, after in zip(program.families, parameters.leaves, found.leaves):
        if family == Indicator(3):
            np.testing.assert_array_equal(before, after)
        else:
            assert not np.array_equal(before, after)
            np.testing.assert_array_equal(family.project(after), after)


def test_smoothing_that_differs_within_a_row_is_left_to_the_solver():
    parameters = reference.make("tree")
    smoothing = smoothing_of(parameters.program)
    smoothing.flows[0] *= 2
    batches = problem(parameters)
    plain = Plain(parameters.program, np.float64, 1)
    expected, _, _ = learnt(plain, parameters, batches, Anemone(), smoothing)
    backend = NumbaBackend(parameters.program, np.float64, 1)
    found, _, _ = learnt(backend, parameters, batches, Anemone(), smoothing)
    assert bits(found) == bits(expected)


def test_solvers_that_remember_something_take_their_own_steps():
    assert Anemone(momentum=0.9).mixing(0.5) is None
    assert MiniBatchEM(momentum=0.9).mixing(0.5) is None
    assert EM().mixing(1.0) is None
    assert Anemone().mixing(0.5) == Mixing(0.5, True)


def test_parameters_that_were_read_out_are_not_written_over():
    parameters = reference.make("tree")
    backend = NumbaBackend(parameters.program, np.float64, 1)
    batches = problem(parameters)
    before = bits(parameters)
    first, _, _ = learnt(backend, parameters, batches[:1], Anemone(), None)
    kept = bits(first)
    learnt(backend, first, batches, Anemone(), None)
    assert bits(first) == kept
    assert bits(parameters) == before


def test_wrong_weights_are_refused():
    parameters = reference.make("tree")
    backend = NumbaBackend(parameters.program)
    batches = [(X, np.ones(3)) for X, _ in problem(parameters)]
    with pytest.raises(ValueError, match="sample_weight has shape"):
        backend.learn(parameters, batches, [Mixing(0.5, True)] * len(batches), None)


def test_columns_that_are_not_there_are_refused():
    parameters = reference.make("tree")
    backend = NumbaBackend(parameters.program)
    batches = [(X[:, :3], None) for X, _ in problem(parameters)]
    with pytest.raises(IndexError, match="3 columns"):
        backend.learn(parameters, batches, [Mixing(0.5, True)] * len(batches), None)


def test_parameters_of_another_circuit_are_refused():
    parameters, other = reference.make("tree"), reference.make("hmm")
    backend = NumbaBackend(parameters.program)
    batches = problem(parameters)
    wrong = Parameters(parameters.program, other.weights, other.leaves)
    with pytest.raises(ValueError, match="same circuit"):
        backend.learn(wrong, batches, [Mixing(0.5, True)] * len(batches), None)
