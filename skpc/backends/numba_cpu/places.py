"""Where the rows of every scope of a chunk lie, and which thread computes them: see chunks.py.

Scopes with much of the circuit below them that have many rows are halved: two threads may share
them. That depends on the rows alone, and with it every sum's order, not on the threads that come;
which thread has which of them is another matter: see owners.py.
Flows that come back to a scope are of use until they were sent on. Its thread goes through a
subtree from the last scope to the first, so it needs room for those that lie above and beside
the one at work, not for all: they lie on a stack, which stays in the cache.
"""

from __future__ import annotations

from .columns import (
    ABOVE,
    AT_FACTORS,
    AT_OFFERS,
    AT_RETURNS,
    AT_SCALES,
    AT_SLOTS,
    AT_VALUES,
    BEFORE,
    CHILDREN,
    CODE,
    CUT,
    FACTORS,
    FIRST_MAP,
    LAST_MAP,
    N_DISTINCT,
    OFFERS,
    OWNER,
    PANELS,
    ROOM,
    SCALES,
    SIDE_FROM,
    SLOTS,
    SUBTREE,
    TWOFOLD,
    VALUES,
    WORK,
)
from .kernel_cache import kernel
from .owners import ABOVE_SUBTREES, MOST_THREADS, SHARED, add_costs, give_out
from .simd import PANEL, never_inline

#: Subtrees of so many equal parts of the work are not halved.
SUBTREES = 16
#: In place of a half, where a thread has both.
WHOLE = -1


@kernel
def place(scopes, below, active, n, n_team, places, tasks, lists, buffers, down, offers):
    """Say where the rows of every scope lie, and list the tasks of all threads; whether it pays."""
    never_inline()
    values, scales, factors = buffers
    _, slots, most, for_many, halved_from = down
    _halve(scopes, below, active, places, halved_from)
    give_out(scopes, active, n_team, places, lists)
    n_values = n_scales = n_factors = n_slots = n_offers = 0
    work = full = 0
    for i in range(active.size):
        s = active[i]
        rows = places[s, PANELS] * PANEL
        places[s, AT_VALUES], places[s, AT_SCALES] = n_values, n_scales
        places[s, AT_FACTORS], places[s, AT_SLOTS] = n_factors, n_slots
        places[s, AT_OFFERS] = n_offers
        n_values += scopes[s, VALUES] * rows
        n_scales += scopes[s, SCALES] * rows
        n_factors += scopes[s, FACTORS] * rows
        n_slots += scopes[s, SLOTS] * rows
        n_offers += scopes[s, OFFERS] * rows
        work += scopes[s, WORK] * rows
        full += scopes[s, WORK]
    _stack_returns(scopes, active, places, for_many)
    _tell_sides(active, places)
    _list_tasks(active, n_team, places, tasks)
    fits = n_values <= values.size and n_scales <= scales[0].size and n_factors <= _size(factors)
    # Twice as much as is offered can come back.
    fits = fits and n_slots <= slots.size and n_offers <= offers[0].size
    return fits and work <= most * full * n


@kernel
def _halve(scopes, below, active, places, halved_from):
    """Halve what is large and has much of the circuit below."""
    for i in range(active.size):
        s = active[i]
        places[s, TWOFOLD] = 0
        places[s, PANELS] = (places[s, N_DISTINCT] + PANEL - 1) // PANEL
    add_costs(scopes, active, places)
    total = places[active[active.size - 1], SUBTREE]
    # From above: what is read by halves is told so before it is looked at.
    for back in range(active.size):
        s = active[active.size - 1 - back]
        panels = places[s, PANELS]
        halved = panels >= halved_from and scopes[s, CODE] < 0
        halved = halved and places[s, SUBTREE] * SUBTREES > total
        places[s, CUT] = panels // 2 if halved else panels
        if halved:
            for m in range(scopes[s, FIRST_MAP], scopes[s, LAST_MAP]):
                places[below[m], TWOFOLD] = 1


@kernel
def _stack_returns(scopes, active, places, for_many):
    """Say where flows come back to: behind those of the scope above if that has the same thread,
    and is done by then with what lies there."""
    for i in range(active.size):
        s = active[i]
        places[s, ROOM] = places[s, CHILDREN] = places[s, BEFORE] = 0
    for i in range(active.size):
        s = active[i]
        above = scopes[s, ABOVE]
        if _is_stacked(s, above, places, for_many):
            # Siblings are met from the first, and sent on from the last: what lies behind one is
            # free for the scopes below it by then.
            places[s, BEFORE] = places[above, CHILDREN]
            places[above, CHILDREN] += _n_returns(s, scopes, places)
            room = places[above, CHILDREN] + places[s, ROOM]
            places[above, ROOM] = max(places[above, ROOM], room)
    end = 0
    for back in range(active.size):
        s = active[active.size - 1 - back]
        above, own = scopes[s, ABOVE], _n_returns(s, scopes, places)
        if _is_stacked(s, above, places, for_many):
            first = places[above, AT_RETURNS] + _n_returns(above, scopes, places)
            places[s, AT_RETURNS] = first + places[s, BEFORE]
        else:
            places[s, AT_RETURNS] = end
            end += own + places[s, ROOM]


@kernel
def _tell_sides(active, places):
    """Say from where on what lies before a scope is of the same thread alone."""
    before = active[0]
    for i in range(active.size):
        s = active[i]
        goes_on = places[s, OWNER] == places[before, OWNER] and places[s, OWNER] != SHARED
        places[s, SIDE_FROM] = places[before, SIDE_FROM] if goes_on and i > 0 else s
        before = s


@kernel
def _is_stacked(s, above, places, for_many):
    if not for_many or above < 0:
        return False
    return 0 <= places[s, OWNER] < ABOVE_SUBTREES and places[s, OWNER] == places[above, OWNER]


@kernel
def _n_returns(s, scopes, places):
    return scopes[s, OFFERS] * places[s, PANELS] * PANEL * (1 + places[s, TWOFOLD])


@kernel
def _list_tasks(active, n_team, places, tasks):
    """Tasks of every thread: the subtrees that it has, then what it has of the scopes above.

    Where those of thread t begin stands at 2t, where the scopes above do behind it.
    """
    end = 2 * MOST_THREADS + 1
    pairs = max(1, n_team // 2)
    for t in range(n_team):
        tasks[2 * t] = end
        for i in range(active.size):
            if places[active[i], OWNER] == t:
                tasks[end] = _task(active[i], WHOLE)
                end += 1
        tasks[2 * t + 1] = end
        for i in range(active.size):
            if places[active[i], OWNER] == ABOVE_SUBTREES + t:
                tasks[end] = _task(active[i], WHOLE)
                end += 1
            elif places[active[i], OWNER] == SHARED:
                for half in range(2):
                    if (half * pairs + i % pairs) % n_team == t:
                        tasks[end] = _task(active[i], half)
                        end += 1
    tasks[2 * n_team] = end


@kernel
def _task(s, half):
    return 3 * s + half + 1


@kernel
def task_at(tasks, i):
    """The scope of a task, and 0 or 1 for its half or ``WHOLE``."""
    return tasks[i] // 3, tasks[i] % 3 - 1


@kernel
def _size(array):
    return 0 if array is None else array.size
