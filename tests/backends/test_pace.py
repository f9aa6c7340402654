"""Threads that stand by are used where they help."""

import pytest

from skpc.backends.numba_cpu.crew import SELDOM, TRY_EVERY, WARM, Pace


def run(pace, n, seconds):
    """How often n calls were made alone, where both ways take what ``seconds`` says."""
    found = 0
    for _ in range(n):
        alone = pace.prefers_alone()
        found += alone
        pace.note(alone, seconds(alone))
    return found


@pytest.mark.parametrize("faster", [False, True])
def test_the_faster_way_is_taken_and_the_other_tried_now_and_then(faster):
    def seconds(alone):
        return 1.0 if alone is faster else 1.2

    pace = Pace()
    assert run(pace, 2 * WARM, seconds) == WARM
    n = 10 * TRY_EVERY
    alone = run(pace, n, seconds)
    # Two calls each time, of which the first is not timed.
    assert 16 <= (n - alone if faster else alone) <= 22


def test_one_thread_that_is_clearly_slower_is_seldom_tried():
    def seconds(alone):
        return 2.0 if alone else 1.0

    pace = Pace()
    assert run(pace, 2 * WARM, seconds) == 3  # the first one does not count
    assert 16 <= run(pace, 10 * SELDOM * TRY_EVERY, seconds) <= 22


@pytest.mark.parametrize("faster", [False, True])
def test_a_call_after_a_change_may_be_slow(faster):
    """Threads have to wake up, and caches to fill."""
    last = None

    def seconds(alone):
        nonlocal last
        warm, last = alone is last, alone
        return (1.0 if alone is faster else 1.2) if warm else 5.0

    pace = Pace()
    run(pace, 2 * WARM, seconds)
    assert pace.is_trying
    n = 10 * TRY_EVERY
    alone = run(pace, n, seconds)
    assert 16 <= (n - alone if faster else alone) <= 22
    # It comes back from a busy time.
    run(pace, 3 * TRY_EVERY, lambda alone: 9.0 if alone is faster else 2.0)
    alone = run(pace, n, seconds)
    assert (alone if faster else n - alone) > n / 2


def test_it_changes_its_mind_when_the_machine_does():
    pace = Pace()
    run(pace, 50, lambda alone: 2.0 if alone else 1.0)
    assert run(pace, 10 * TRY_EVERY, lambda alone: 2.0 if alone else 9.0) > 5 * TRY_EVERY


def test_a_disturbance_does_not_decide():
    pace = Pace()
    times = iter([5.0, 1.0, 30.0, 1.1, 9.0, 2.0, 2.0, 2.0])
    run(pace, 2 * WARM, lambda alone: next(times))
    assert not pace.prefers_alone()


def test_a_way_that_was_never_timed_is_not_taken_for_fast():
    pace = Pace()
    for _ in range(2 * WARM):
        pace.prefers_alone()
    assert not pace.prefers_alone()
