"""The same bits for any number of threads, neighbours, position, process and caller."""

import multiprocessing
import pickle
import sys
import threading
import time

import joblib
import numpy as np
import pytest

from skpc.backends import log_domain
from skpc.backends import weights as loops
from skpc.backends.numba_cpu import NumbaBackend, lanes, learning, workspace
from skpc.backends.numba_cpu.crew import Crew
from skpc.backends.numba_cpu.lanes import allowed_threads, run_lanes, threads_at_work
from skpc.backends.numba_cpu.room import Room
from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
from skpc.distributions import Bernoulli, Gaussian, MultivariateGaussian
from tests import reference

DTYPES = ["float32", "float64"]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def problem(name="tree", n_rows=3000, dtype=None):
    parameters = reference.make(name)
    circuit = parameters.program.circuit
    X = reference.random_rows(circuit, np.random.default_rng(1), n_rows)
    return parameters, X


def damaged_problem(n_rows, dtype):
    """Some rows, those of many ones, take the slow path."""
    tiny = {"float32": 1e-25, "float64": 1e-170}[dtype]
    means = np.where(np.eye(4), 0.7, tiny)
    leaves = [Input(i, Bernoulli(), 4, mean=mean) for i, mean in enumerate(means)]
    parameters = Parameters.uniform(Program(Circuit(Sum(Product(leaves)))))
    X = reference.random_rows(parameters.program.circuit, np.random.default_rng(1), n_rows)
    return parameters, X


def bits(statistics):
    parts = [statistics.log_likelihood, statistics.weight, statistics.flows, *statistics.leaves]
    return b"".join(np.asarray(part).tobytes() for part in parts)


@every_dtype
@pytest.mark.parametrize("name", ["tree", "kronecker", "mixed_families"])
def test_threads_change_no_bit(name, dtype):
    parameters, X = problem(name)
    weight = np.random.default_rng(2).random(len(X))
    results = set()
    for n_jobs in (1, 2, 5, None):
        backend = NumbaBackend(parameters.program, dtype, n_jobs)
        scores = backend.log_likelihood(parameters, X).tobytes()
        results.add((scores, bits(backend.statistics(parameters, X, weight))))
    assert len(results) == 1


@every_dtype
@pytest.mark.parametrize("make", [problem, damaged_problem])
def test_neighbours_and_position_change_no_bit_of_a_row(make, dtype, monkeypatch):
    parameters, X = make(n_rows=400, dtype=dtype)
    backend = NumbaBackend(parameters.program, dtype)
    slow = []
    whole = log_domain.log_likelihood
    monkeypatch.setattr(
        log_domain, "log_likelihood", lambda p, rows: slow.append(len(rows)) or whole(p, rows)
    )
    scores = backend.log_likelihood(parameters, X)
    assert 0 < sum(slow) < 400 if make is damaged_problem else not slow
    order = np.random.default_rng(3).permutation(len(X))
    np.testing.assert_array_equal(backend.log_likelihood(parameters, X[order]), scores[order])
    for start, stop in [(0, 1), (5, 20), (17, 145), (399, 400)]:
        np.testing.assert_array_equal(
            backend.log_likelihood(parameters, X[start:stop]), scores[start:stop]
        )
    repeated = np.repeat(X[7:8], 100, axis=0)
    assert set(backend.log_likelihood(parameters, repeated)) == {scores[7]}


@every_dtype
def test_the_same_call_twice_gives_the_same_bits(dtype):
    parameters, X = problem("kronecker")
    backend = NumbaBackend(parameters.program, dtype)
    first = bits(backend.statistics(parameters, X))
    assert bits(backend.statistics(parameters, X)) == first
    assert bits(NumbaBackend(parameters.program, dtype).statistics(parameters, X)) == first


def test_two_callers_at_once_get_the_same_bits():
    """One backend, several Python threads: buffers are borrowed, never shared."""
    parameters, X = problem("kronecker")
    backend = NumbaBackend(parameters.program, n_jobs=2)
    parts = [X[i::4] for i in range(4)]
    expected = [
        (backend.log_likelihood(parameters, p).tobytes(), bits(backend.statistics(parameters, p)))
        for p in parts
    ]
    found = [set() for _ in parts]
    start = threading.Barrier(len(parts))

    def call(i):
        start.wait()
        for _ in range(15):
            scores = backend.log_likelihood(parameters, parts[i]).tobytes()
            found[i].add((scores, bits(backend.statistics(parameters, parts[i]))))

    callers = [threading.Thread(target=call, args=(i,)) for i in range(len(parts))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [len(results) for results in found] == [1] * len(parts)
    assert [next(iter(results)) for results in found] == expected


def test_callers_at_once_never_share_room(monkeypatch):
    parameters, X = problem("tree", 100)
    backend = NumbaBackend(parameters.program, n_jobs=1)
    backend.statistics(parameters, X)
    in_use = set()
    take, add = Room.take_weights, learning.add_rows

    def begins(room, weight, n, same, n_padded):
        here = id(room.log_likelihood)
        assert n <= n_padded <= len(room.shares)
        assert here not in in_use
        in_use.add(here)
        return take(room, weight, n, same, n_padded)

    def ends(log_likelihood, *others):
        in_use.remove(id(log_likelihood))
        return add(log_likelihood, *others)

    monkeypatch.setattr(Room, "take_weights", begins)
    monkeypatch.setattr(learning, "add_rows", ends)

    def call(seed):
        for n in np.random.default_rng(seed).choice([1, 10, 20, 40, 80], size=300):
            backend.statistics(parameters, X[:n])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        joblib.Parallel(8, backend="threading")(joblib.delayed(call)(i) for i in range(8))
    finally:
        sys.setswitchinterval(before)


def test_lanes_do_not_depend_on_what_was_learnt_before(monkeypatch):
    parameters, X = problem("kronecker", 1000)
    monkeypatch.setattr(learning, "LANE_WORK", 500 * parameters.program.n_weights)
    few = X[:999]  # one lane, and as many tiles as 1000 rows in two
    expected = bits(NumbaBackend(parameters.program).statistics(parameters, few))
    backend = NumbaBackend(parameters.program)
    backend.statistics(parameters, X)
    assert bits(backend.statistics(parameters, few)) == expected


def _in_child(connection, backend, parameters, X):
    scores = backend.log_likelihood(parameters, X).tobytes()
    connection.send((scores, bits(backend.statistics(parameters, X))))


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork"
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("together", [1, 1 << 18])
def test_a_forked_process_goes_on_with_threads_of_its_own(together, monkeypatch, many_lanes):
    """The threads of the parent's pool do not exist in the child, which would wait for ever."""
    monkeypatch.setattr(workspace, "FEW_NUMBERS", together)
    parameters, X = problem()
    backend = NumbaBackend(parameters.program, n_jobs=2)
    scores = backend.log_likelihood(parameters, X).tobytes()
    expected = scores, bits(backend.statistics(parameters, X))
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_in_child, args=(there, backend, parameters, X))
    child.start()
    try:
        assert here.poll(60), "the child did not answer"
        assert here.recv() == expected
    finally:
        child.kill()
        child.join()


@pytest.fixture
def many_lanes(monkeypatch):
    """Small circuits are learnt in one lane, for they would not gain from more."""
    monkeypatch.setattr(learning, "LANE_WORK", 1)
    monkeypatch.setattr(learning, "WAKE_WORK", 1)
    monkeypatch.setattr(learning, "PART_NUMBERS", 64)


def with_groups():
    """Two components over a pair of columns and one more."""
    pair, single = MultivariateGaussian(2), Gaussian()
    products = [Product([Input((0, 1), pair, 2), Input(2, single, 2)]) for _ in range(2)]
    return Program(Circuit(Sum([Sum(product, 2) for product in products])))


@pytest.mark.parametrize("together", [1, 1 << 18])
@pytest.mark.parametrize("name", ["tree", "kronecker", "groups"])
def test_lanes_of_several_threads_add_up_to_the_same_bits(name, together, monkeypatch, many_lanes):
    monkeypatch.setattr(workspace, "FEW_NUMBERS", together)
    if name == "groups":
        parameters = reference.random_parameters(with_groups(), np.random.default_rng(0))
        X = np.random.default_rng(1).standard_normal((3000, 3))
    else:
        parameters, X = problem(name)
    used = []
    run = learning.run_lanes

    def counted(tasks, n_threads, **others):
        used.append(n_threads)
        run(tasks, n_threads, **others)

    def learnt(crew, model, layout, n_threads, *others):
        used.append(n_threads)
        learn(crew, model, layout, n_threads, *others)

    learn = Crew.learn
    monkeypatch.setattr(Crew, "learn", learnt)
    monkeypatch.setattr(learning, "run_lanes", counted)
    found = [
        bits(NumbaBackend(parameters.program, n_jobs=n).statistics(parameters, X))
        for n in (1, 2, 3, 2)
    ]
    assert max(used) == 3
    assert len(set(found)) == 1


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_what_is_computed_beside_the_statistics_has_the_same_bits(n_jobs, many_lanes):
    parameters, X = problem()
    other = reference.random_parameters(parameters.program, np.random.default_rng(5))
    backend = NumbaBackend(parameters.program, n_jobs=n_jobs)
    expected = backend.top_down(parameters)
    plain = bits(backend.statistics(parameters, X))
    assert bits(backend.statistics(parameters, X, top_down=True)) == plain
    found = backend.top_down(parameters)
    assert found.rows.tobytes() == expected.rows.tobytes()
    backend.statistics(parameters, X, top_down=True)
    np.testing.assert_array_equal(
        backend.top_down(other).rows, NumbaBackend(parameters.program).top_down(other).rows
    )


@pytest.mark.parametrize("name", ["tree", "dag"])
def test_threads_at_work_change_no_bit_of_an_update(name, monkeypatch):
    monkeypatch.setattr(lanes, "PART_NUMBERS", 4)
    parameters, X = problem(name, 50)
    program, backend = parameters.program, NumbaBackend(parameters.program)
    keep, learn = np.random.default_rng(0).random((2, program.n_rows))

    def updated():
        means = loops.smoothed_means(
            backend.statistics(parameters, X), backend.statistics(parameters, X[:5])
        )
        coefficients = (1.0, keep), (0.5, learn)
        mixed = loops.mix_rows(program, parameters.weights, means.flows, *coefficients)
        return means.flows.tobytes(), mixed.tobytes()

    alone = updated()
    with threads_at_work(3):
        assert updated() == alone


def test_parameters_that_cannot_be_packed_end_the_waiting_threads(monkeypatch, many_lanes):
    parameters, X = problem()
    backend = NumbaBackend(parameters.program, n_jobs=3)
    expected = bits(backend.statistics(parameters, X))

    def fails(model):
        raise MemoryError("packing")

    with monkeypatch.context() as spoilt:
        spoilt.setattr(backend._packer, "fill", fails)
        with pytest.raises(MemoryError, match="packing"):
            backend.statistics(parameters, X)
    assert bits(backend.statistics(parameters, X)) == expected


def test_threads_that_waited_long_sleep_until_they_are_told(monkeypatch, many_lanes):
    parameters, X = problem()
    backend = NumbaBackend(parameters.program, n_jobs=3)
    expected = bits(backend.statistics(parameters, X))
    fill = backend._packer.fill

    def slow(model):
        time.sleep(0.2)
        fill(model)

    monkeypatch.setattr(backend._packer, "fill", slow)
    assert bits(backend.statistics(parameters, X)) == expected


def test_a_used_backend_can_be_pickled():
    parameters, X = problem("kronecker", 50)
    backend = NumbaBackend(parameters.program, "float64", n_jobs=1)
    scores = backend.log_likelihood(parameters, X)
    again, copy = pickle.loads(pickle.dumps((backend, parameters)))
    assert again.dtype == np.float64
    assert again.n_jobs == 1
    assert again.program is copy.program
    np.testing.assert_array_equal(again.log_likelihood(copy, X), scores)


# -- lanes --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [0, 1, 2, 3, 20])
def test_every_task_runs_once(n_threads):
    done = []
    run_lanes([lambda i=i: done.append(i) for i in range(7)], n_threads)
    assert sorted(done) == list(range(7))
    run_lanes([], n_threads)


@pytest.mark.parametrize("failing", range(4))
def test_an_error_in_any_lane_is_raised_after_all_have_stopped(failing):
    done = []

    def task(i):
        if i == failing:
            raise MemoryError("lane")
        done.append(i)

    with pytest.raises(MemoryError, match="lane"):
        run_lanes([lambda i=i: task(i) for i in range(4)], 4)
    assert sorted(done) == [i for i in range(4) if i != failing]


def test_what_tasks_wait_for_is_cancelled_when_it_cannot_come():
    """Otherwise the caller would wait for a thread that waits for the caller."""
    over = threading.Event()

    def fails():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_lanes([lambda: None, lambda: over.wait(60)], 2, first=fails, cancel=over.set)
    assert over.is_set()


def test_an_error_leaves_the_backend_usable(monkeypatch):
    parameters, X = problem()
    backend = NumbaBackend(parameters.program, n_jobs=2)
    expected = bits(backend.statistics(parameters, X))
    with pytest.raises((IndexError, ValueError)):
        backend.statistics(parameters, X[:, :3])
    assert bits(backend.statistics(parameters, X)) == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("width", [0, 3, 4])
def test_rows_that_are_too_short_are_refused(width, dtype):
    """Kernels would read on into the next row, and beyond the last."""
    parameters, _ = problem()
    backend = NumbaBackend(parameters.program)
    X = np.zeros((20, width), dtype=dtype)
    for call in (backend.log_likelihood, backend.statistics):
        with pytest.raises(IndexError, match=f"X has {width} columns, but the circuit reads"):
            call(parameters, X)


def test_number_of_threads():
    cores = joblib.cpu_count()
    assert allowed_threads(None) == cores
    assert allowed_threads(3) == 3
    assert allowed_threads(-1) == cores
    assert allowed_threads(-cores - 5) == 1


def test_one_thread_inside_a_joblib_worker():
    inside = joblib.Parallel(n_jobs=2, backend="threading")(
        joblib.delayed(allowed_threads)(n_jobs) for n_jobs in (None, 3)
    )
    assert inside == [1, 3]
