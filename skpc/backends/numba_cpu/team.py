"""Threads that come in time work together: whoever leads closes the team and says how many it has.

Nobody is waited for who may not come at all: on a busy machine a thread may get no core for longer
than the work takes.
"""

from __future__ import annotations

from .atomics import add, pause, peek
from .kernel_cache import kernel

#: Whoever joins as that many or more comes too late.
LATE = 1 << 20


@kernel
def join_team(joined):
    """The number of a thread that does not lead: from 1, or ``LATE`` or more."""
    return add(joined, 1)


@kernel
def close_team(joined, team, n_threads, turns):
    """Wait for others, not longer than so many looks; how many threads the team has."""
    while turns > 0 and peek(joined) < n_threads - 1:
        pause()
        turns -= 1
    n_team = add(joined, LATE) - LATE + 1
    add(team, n_team)
    return n_team


@kernel
def await_team(team, given_up):
    """How many threads the team has, for those that joined in time; 0 if it is given up."""
    while peek(team) == 0:
        # What says so may also be said later by a team that was closed meanwhile.
        if peek(given_up) != 0 and peek(team) == 0:
            return 0
        pause()
    return peek(team)


@kernel
def wait_for_number(flag, least):
    """Until a number is there."""
    while peek(flag) < least:
        pause()


@kernel
def wait_for_flag(flag):
    """Until a number is not 0 any more."""
    while peek(flag) == 0:
        pause()
