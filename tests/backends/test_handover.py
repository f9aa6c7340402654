"""Threads that stand by for small batches: every call is answered, whenever it comes."""

import gc
import os
import threading
import time
import weakref

import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend, handover, learning, workspace
from skpc.backends.numba_cpu.handover import AT_WORK, AWAY, CALLED, STANDING, Helper, call
from tests import reference

#: Seconds after which a thread that stands by has left for certain.
LONG = 0.05


def within(seconds, work):
    """The result of some work, or a failure instead of waiting for ever."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, "it waits for ever"
    return found[0]


def answering(done):
    """A kernel in Python, which leaves when nobody has called for some milliseconds."""

    def kernel(flag):
        while True:
            for _ in range(200):
                if flag[0] == CALLED:
                    done.append(1)
                    flag[0] = STANDING
                time.sleep(1e-5)
            # Whoever takes the flag from STANDING first, this thread or a caller, has it.
            if call(flag):
                flag[0] = AWAY
                return

    return kernel


@pytest.mark.parametrize("pause", [0.0, LONG])
def test_every_call_is_answered_once(pause):
    done = []
    helper = Helper(answering(done))
    for i in range(1, 6):
        helper.come()
        time.sleep(pause)
        helper.call()
        within(20, lambda: helper.wait() is None)
        assert len(done) == i


def test_an_error_of_the_thread_is_raised_and_the_next_call_starts_anew():
    done = []
    answers = answering(done)

    def kernel(flag):
        while not done:
            if flag[0] == CALLED:
                done.append(0)
                raise MemoryError("tile")
            time.sleep(1e-5)
        answers(flag)

    helper = Helper(kernel)
    helper.call()
    with pytest.raises(MemoryError, match="tile"):
        helper.wait()
    helper.call()
    within(20, lambda: helper.wait() is None)
    assert done == [0, 1]


def test_a_thread_of_another_process_is_not_called(monkeypatch):
    starts = []
    helper = Helper(starts.append)
    helper.come()
    other = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: other)
    helper.call()
    end = time.monotonic() + 20
    while len(starts) < 2 and time.monotonic() < end:
        time.sleep(1e-3)
    assert len(starts) == 2


@pytest.fixture
def crew(monkeypatch):
    """A backend whose batches two threads share, and what it learns from them."""
    monkeypatch.setattr(learning, "LANE_WORK", 1)
    parameters = reference.make("tree")
    X = reference.random_rows(parameters.program.circuit, np.random.default_rng(0), 600)
    backend = NumbaBackend(parameters.program, np.float64, n_jobs=2)
    return backend, parameters, X


@pytest.mark.parametrize("pause", [0.0, LONG])
def test_batches_go_on_after_any_pause(crew, pause):
    backend, parameters, X = crew
    expected = reference.statistics(parameters, X)
    for _ in range(4):
        found = within(60, lambda: backend.statistics(parameters, X))
        np.testing.assert_allclose(found.flows, expected.flows, rtol=1e-9)
        time.sleep(pause)
    assert backend._learner._rooms[0].crew.n_threads == 2


def test_threads_that_stood_by_before_their_first_job_take_it(crew, monkeypatch):
    backend, parameters, X = crew
    fill = learning.Packer.fill

    def slowly(packer, model):
        time.sleep(LONG)
        fill(packer, model)

    monkeypatch.setattr(learning.Packer, "fill", slowly)
    for _ in range(3):
        within(60, lambda: backend.statistics(parameters, X))


def test_calls_around_the_moment_of_leaving(crew):
    backend, parameters, X = crew
    expected = backend.statistics(parameters, X).flows
    rng = np.random.default_rng(0)

    def hammer():
        for pause in rng.uniform(0, 6e-3, size=150):
            time.sleep(pause)
            found = backend.statistics(parameters, X).flows
            np.testing.assert_array_equal(found, expected)
        return True

    assert within(60, hammer)


def test_threads_keep_still_and_have_no_room_for_what_is_learnt_apart(crew, monkeypatch):
    backend, parameters, X = crew
    monkeypatch.setattr(workspace, "FEW_NUMBERS", 5 * 608)
    backend.statistics(parameters, np.tile(X, (3, 1)))
    backend.statistics(parameters, X)
    mine = backend._learner._rooms[0].crew
    assert mine._codes.size <= 5 * 608
    calls = []
    monkeypatch.setattr(mine, "come", lambda: calls.append(mine))
    backend.statistics(parameters, np.tile(X, (3, 1)))
    backend.statistics(parameters, X, wanted=("squares",))
    assert not calls
    backend.statistics(parameters, X)
    assert calls == [mine]


def test_an_interrupted_caller_leaves_the_threads_what_they_read(crew, monkeypatch):
    backend, parameters, X = crew
    backend.statistics(parameters, X)
    mine = backend._learner._rooms[0].crew
    begun, interrupted, models, alive = threading.Event(), threading.Event(), [], []

    def kernel(flag):
        while flag[0] != CALLED:
            time.sleep(1e-4)
        begun.set()
        interrupted.wait(20)
        alive.append(models[0]() is not None)
        flag[0] = AWAY

    def interrupt(flag):
        begun.wait(20)
        raise KeyboardInterrupt

    def filled(packer, model):
        models.append(weakref.ref(model))
        fill(packer, model)

    fill = learning.Packer.fill
    monkeypatch.setattr(learning.Packer, "fill", filled)
    mine._own = interrupt
    helper = mine._helpers[0]
    while helper._flag[0] != AWAY:
        time.sleep(1e-3)
    helper._kernel = kernel
    del mine, helper
    with pytest.raises(KeyboardInterrupt):
        backend.statistics(parameters, X)
    gc.collect()
    interrupted.set()
    end = time.monotonic() + 20
    while not alive and time.monotonic() < end:
        time.sleep(1e-3)
    assert alive == [True]


def test_work_of_a_thread_that_gets_no_core_is_done_by_the_caller(crew, monkeypatch):
    backend, parameters, X = crew
    expected = reference.statistics(parameters, X)
    backend.statistics(parameters, X)
    done = threading.Event()
    helper = backend._learner._rooms[0].crew._helpers[0]
    while helper._flag[0] != AWAY:
        time.sleep(1e-3)
    monkeypatch.setattr(handover, "hand_over", lambda task: done.set())
    found = within(20, lambda: backend.statistics(parameters, X))
    assert done.is_set()
    assert helper._flag[0] == STANDING
    np.testing.assert_allclose(found.flows, expected.flows, rtol=1e-9)


def test_flags_have_one_winner():
    flag = np.array([STANDING])
    assert handover.call(flag)
    assert flag[0] == CALLED
    assert not handover.call(flag)
    assert handover.take_back(flag)
    assert flag[0] == STANDING
    for state in (STANDING, AT_WORK, AWAY):
        flag[0] = state
        assert not handover.take_back(flag)
    assert not handover.call(flag)
