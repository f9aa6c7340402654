"""Which thread has which scopes of a chunk: see places.py.

A thread has whole subtrees: what it reads there it has written itself, and within them nobody
waits. Two threads share what lies above, where it has rows enough. From the root on the largest
subtree is divided into those below its first scope, time and again; of all these divisions the one
counts by which the rows are through first, when every subtree, the largest first, went to the
thread that had it, or that has least.
"""

from __future__ import annotations

import numpy as np

from .columns import ABOVE, CUT, HABIT, OWNER, PANELS, SUBTREE, SUBTREE_FROM, WORK
from .kernel_cache import kernel
from .lanes import MAX_LANES
from .simd import never_inline

#: Threads of a team at most.
MOST_THREADS = MAX_LANES
#: The owner of what two threads share; thread t has alone, above the subtrees, where others wait
#: for it, what is owned by t + ``ABOVE_SUBTREES``.
SHARED, ABOVE_SUBTREES = -1, MOST_THREADS
# Columns of the list of subtrees: the first and last of the scopes that have something to do,
# whether they are more than one subtree, small ones that lie side by side; what that costs; and
# the thread that has it.
FROM, TO, SEVERAL, COST, THREAD = range(5)
N_SUBTREE_COLUMNS = 5
#: Subtrees in a list, at most.
MOST_SUBTREES = 1024
#: Those that a thread's part of the work has many of are not looked at one by one.
SMALL = 16
#: What a thread had before, and finds in its cache, it keeps while it has not too much by one of so
#: many parts.
FAIR = 32
#: What a task costs beside its work, and panels of rows that its weights cost as much as.
TASK_WORK, PANELS_OF_WEIGHTS = 1000, 1
#: What two threads take for a scope that they share: half the time, and what they wait for.
SHARED_COST = 0.75


@kernel
def add_costs(scopes, active, places):
    """Write what every scope costs together with all below."""
    for i in range(active.size):
        places[active[i], SUBTREE] = 0
    for i in range(active.size):
        s = active[i]
        places[s, SUBTREE] += _cost(s, scopes, places)
        if scopes[s, ABOVE] >= 0:
            places[scopes[s, ABOVE], SUBTREE] += places[s, SUBTREE]


@kernel
def _cost(s, scopes, places):
    return scopes[s, WORK] * (places[s, PANELS] + PANELS_OF_WEIGHTS) + TASK_WORK


@kernel
def give_out(scopes, active, n_team, places, lists):
    """Write which thread has every scope, or ``SHARED`` (see ``ABOVE_SUBTREES``), and habits.

    Parameters
    ----------
    scopes, places : ndarray
    active : ndarray of int
        In the order of subtrees.
    n_team : int
    lists : tuple of ndarray
        Two lists of subtrees, and a number for every thread; they are written over.
    """
    never_inline()
    subtrees, best, loads = lists
    n_found = 0
    if n_team > 1:
        n_found = _divide(scopes, active, n_team, places, subtrees, best, loads)
    for i in range(active.size):
        places[active[i], OWNER] = SHARED if n_team > 1 else 0
    for k in range(n_found):
        for i in range(best[k, FROM], best[k, TO] + 1):
            places[active[i], OWNER] = best[k, THREAD]
            places[active[i], HABIT] = best[k, THREAD] + 1
    for i in range(active.size):
        s = active[i]
        if places[s, OWNER] == SHARED and places[s, CUT] == places[s, PANELS]:
            # What is too small to be shared is for who has what lies next to it.
            mine = thread_by_habit(max(i - 1, 0), active, n_team, places)
            places[s, OWNER], places[s, HABIT] = ABOVE_SUBTREES + mine, mine + 1


@kernel
def thread_by_habit(i, active, n_team, places):
    """Which thread finds most of a scope in its cache, and numbers its rows."""
    habit = places[active[i], HABIT]
    return (habit - 1) % n_team if habit > 0 else i * n_team // active.size


@kernel
def _divide(scopes, active, n_team, places, subtrees, best, loads):
    """List the subtrees of the best division, and their threads; how many."""
    pairs = n_team // 2
    n, n_best = 1, 0
    last = active.size - 1
    rest = places[active[last], SUBTREE]
    small = rest // (SMALL * n_team)
    _put(subtrees, 0, 0, last, 0, rest)
    above, shortest = 0.0, np.inf
    while True:
        time = above + _deal(subtrees, n, rest, n_team, active, places, loads)
        if time < shortest:
            shortest, n_best = time, n
            for k in range(n):
                _copy(subtrees, k, best, k)
        # Divide the first, which is the largest.
        first, end = subtrees[0, FROM], subtrees[0, TO]
        s = active[end]
        cost = _cost(s, scopes, places)
        shared = places[s, CUT] != places[s, PANELS]
        above += cost * (SHARED_COST / pairs if shared else 1.0)
        rest -= cost
        # Any further division takes longer than this at least.
        at_least = above + rest / n_team
        if first == end or subtrees[0, SEVERAL] != 0 or at_least >= shortest:
            return n_best
        n -= 1
        for k in range(n):
            _copy(subtrees, k + 1, subtrees, k)
        to, begin, several, cost = end - 1, end - 1, 0, 0
        i = end - 1
        while i >= first:
            # The subtrees below, from the last to the first.
            mine, habit = places[active[i], SUBTREE], places[active[i], HABIT]
            differs = habit != places[active[to], HABIT] and n < MOST_SUBTREES // 2
            if cost > 0 and (cost + mine > small or differs):
                n = _insert(subtrees, n, begin, to, several, cost)
                to, several, cost = i, 0, 0
            several += cost > 0
            begin, cost = scopes[active[i], SUBTREE_FROM], cost + mine
            i = begin - 1
        n = _insert(subtrees, n, begin, to, several, cost)
        if n == MOST_SUBTREES:
            return n_best


@kernel
def _deal(subtrees, n, rest, n_team, active, places, loads):
    """Give every subtree to the thread that had it, or to the one that has least; the most that
    one has."""
    for t in range(n_team):
        loads[t] = 0
    fair = rest // n_team + rest // (FAIR * n_team)
    most = 0
    for k in range(n):
        mine, cost = places[active[subtrees[k, TO]], HABIT] - 1, subtrees[k, COST]
        if mine < 0 or mine >= n_team or loads[mine] + cost > fair:
            mine = 0
            for t in range(1, n_team):
                if loads[t] < loads[mine]:
                    mine = t
        loads[mine] += cost
        subtrees[k, THREAD] = mine
        most = max(most, loads[mine])
    return most


@kernel
def _insert(subtrees, n, begin, to, several, cost):
    """Add to a list in which large ones come first; its length."""
    if n == MOST_SUBTREES:
        return n
    k = n
    while k > 0 and subtrees[k - 1, COST] < cost:
        _copy(subtrees, k - 1, subtrees, k)
        k -= 1
    _put(subtrees, k, begin, to, several, cost)
    return n + 1


@kernel
def _copy(source, i, target, k):
    for c in range(N_SUBTREE_COLUMNS):
        target[k, c] = source[i, c]


@kernel
def _put(subtrees, k, begin, to, several, cost):
    subtrees[k, FROM], subtrees[k, TO] = begin, to
    subtrees[k, SEVERAL], subtrees[k, COST] = several, cost
