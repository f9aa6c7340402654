"""Chunks of rows through the circuit scope by scope, by one thread or by several: see scopes.py.

Cells are encoded, if they are not; rows of a scope are numbered; values go up; flows come down.
Threads that come in time are a team, and each has its part of the circuit, subtree by subtree: what
it reads it has written itself, for the most part, and finds in its own cache; what another core
has written takes twenty times as long to get. Where a scope has many rows, their halves may be
tasks of two threads: flows that they send to the same row below come to different places, and their
sums to different lanes, which are added up while they are near. A thread waits for what it needs of
the others, and nothing depends on how many there are.

Where a step follows, it is taken on the way down: see steps.py.
"""

from __future__ import annotations

import numpy as np

from .atomics import add, peek
from .backward import backward_tile
from .columns import (
    ABOVE,
    AT_FACTORS,
    AT_OFFERS,
    AT_RETURNS,
    AT_SCALES,
    AT_SLOTS,
    AT_VALUES,
    CODE,
    CODE_ROW,
    COLUMN,
    COUNT,
    CUT,
    FACTORS,
    FIRST,
    FIRST_MAP,
    LAST,
    LAST_MAP,
    N_DISTINCT,
    OFFERS,
    OWNER,
    PANELS,
    PART,
    PART_END,
    POSITION,
    RUN,
    RUN_END,
    SCALES,
    SIDE_FROM,
    SLOT,
    SLOTS,
    STATES_OF_BLOCK,
    TWOFOLD,
    VALUES,
    WORK,
)
from .forward import LOST_SHARE, forward_tile, root_result
from .gather import Reading, Sending, halves
from .kernel_cache import kernel
from .lines import FLOATS
from .numbering import codes_are_numbers, keep_codes, number_scope, numbers_of
from .owners import SHARED, thread_by_habit
from .places import WHOLE, place, task_at
from .rows import write_block
from .short_vectors import put, take
from .simd import (
    LANES,
    PANEL,
    load,
    never_inline,
    offset,
    pointer,
    pointer_at,
    prefetch,
    store,
    vadd,
    vfill,
    vload,
    vstore,
)
from .steps import DAMAGED, LEARNT, LOST, begin_step, step_scope, tell_below
from .team import LATE, await_team, close_team, join_team, wait_for_flag, wait_for_number

# What threads tell each other, far enough apart for a cache line each: blocks of cells that are
# taken, by helpers, and encoded; how many have joined, and how many the team has; who has numbered
# the rows of its scopes; whether their places are known (or that row by row is no more work);
# what is to follow; who is done; whether sums were not finite. Behind it, for every scope, what is
# done of it.
(
    NEXT_BLOCK,
    FROM_BEHIND,
    ENCODED,
    JOINED,
    TEAM,
    NUMBERED,
    PLACED,
    AT_ROOT,
    FINISHED,
    NOT_FINITE,
    TOLD,
) = range(0, 176, 16)
CHUNK, NO_CHUNK = 1, 2
# What follows at the root: flows, flows and a step, or nothing, where no step can be taken.
FLOWS, STEP, NOTHING = 1, 2, 3
#: Beyond all numbers.
FAR = 1 << 62
#: Weights that are fetched before what needs them is begun: more would not stay near.
MOST_AHEAD = 1 << 15


@kernel
def chunk_buffers(buffers):
    """Those of a ``Sharing.space``, as bare pointers."""
    values, scales, factors = buffers
    inverse, exponent, relative, absolute = scales
    return (
        (pointer(inverse), pointer(exponent), pointer(relative), pointer(absolute)),
        (pointer(values), pointer(factors)),
    )


@kernel
def chunk_panels(shared):
    """Most panels of a chunk."""
    return shared[5][0].shape[1] // PANEL


@kernel
def begin_chunk(shared):
    """Forget the chunk before, when no other thread is at work on it."""
    team = shared[-1]
    for i in range(team.size):
        team[i] = 0


@kernel
def take_part(
    leads, n_threads, turns, cells, model, data, row, n_panels, lost, log_likelihood, bound,
    learning, step, shared, own,
):  # fmt: skip
    """Compute rows from ``row`` with others; False if row by row is no more work.

    Parameters
    ----------
    leads : bool
        One thread does, which returns when all is done, and comes when the model is there.
    n_threads, turns : int
        How many are expected, and how often the one that leads looks whether they have come.
    cells : tuple or None
        Rows that are to be encoded: kind and address of the array, rows, columns. The kind is a
        place in ``rows.READ``, or -1 if the codes are there, as they are without it.
    learning : tuple or None
        Row weights; edge sums, and how far those of second halves lie behind, where they are but
        for that while; leaf sums, and how far. Both may be 0. Without all that rows are only
        scored.
    step : tuple or None
        Whether there is one; the batch, see ``begin_step``; scratch of this thread, see
        ``step_scope``; and a ``Stepping``. None where there never is one.
    shared : tuple
        ``Sharing.space``, common to all.
    own : tuple
        ``Sharing.own_space``, of this thread.
    """
    never_inline()
    (
        _,
        (scopes, parts, below, active, _, blocks, columns),
        numbers,
        (places, (tasks, lists)),
        buffers,
        _,
        offers,
        team,
    ) = shared
    told = pointer(team)
    n_scopes, n_active = scopes.shape[0], active.size
    numbered, up = offset(told, TOLD), offset(told, TOLD + n_scopes)
    down = offset(told, TOLD + 2 * n_scopes)
    codes, _, stride = data
    n = n_panels * PANEL
    keys, table = own[2], own[3]
    # Literals would be compiled for.
    none, one, whole = np.int64(0), np.int64(1), np.int64(WHOLE)
    me = none
    if not leads:
        me = join_team(offset(told, JOINED)) if shared[5][3] else np.int64(LATE)
    if cells is not None:
        if cells[0] >= 0 and me < LATE:
            front = 0
            while add(offset(told, NEXT_BLOCK), 1) <= blocks.shape[0]:
                i = front
                if me > 0:
                    i = blocks.shape[0] - add(offset(told, FROM_BEHIND), 1)
                front += 1
                _encode(i, cells, codes, stride, blocks, columns, own[4])
                add(offset(told, ENCODED), 1)
            if leads:
                wait_for_number(offset(told, ENCODED), blocks.shape[0])
    if leads:
        n_team = close_team(offset(told, JOINED), offset(told, TEAM), n_threads, turns)
    else:
        n_team = 1
        if me < LATE:
            n_team = await_team(offset(told, TEAM), offset(told, PLACED))
            if n_team == 0:
                return False  # the one that leads will not come
    if me < LATE:
        # What needs others comes last.
        for patient in range(2):
            for i in range(n_active):
                s = active[i]
                if thread_by_habit(i, active, n_team, places) != me:
                    continue
                done = peek(offset(numbered, i)) != 0
                if not done and _are_numbered(s, patient, scopes, parts, numbered):
                    number_scope(
                        s, scopes, parts, codes, row, stride, n, numbers, places, keys, table
                    )  # fmt: skip
                    add(offset(numbered, i), 1)
        add(offset(told, NUMBERED), 1)
    if leads:
        wait_for_number(offset(told, NUMBERED), n_team)
        pays = place(
            scopes, below, active, n, n_team, places, tasks, lists, buffers, shared[5], offers
        )
        add(offset(told, PLACED), CHUNK if pays else NO_CHUNK)
    wait_for_flag(offset(told, PLACED))
    if peek(offset(told, PLACED)) != CHUNK:
        return False
    if me >= LATE:
        return True
    # Subtrees come first on the way up, and last on that down; what lies above them, on top.
    first, top, last = tasks[2 * me], tasks[2 * me + 1], tasks[2 * me + 2]
    for i in range(first, top):
        s, _ = task_at(tasks, i)
        _go_up(s, whole, model, data, row, lost, learning, shared, own)
    for i in range(top, last):
        s, half = task_at(tasks, i)
        for m in range(scopes[s, FIRST_MAP], scopes[s, LAST_MAP]):
            _is_done(up, below[m], one, scopes, places)
        _go_up(s, half, model, data, row, lost, learning, shared, own)
    if leads:
        _is_done(up, n_scopes - 1, one, scopes, places)
        _tell_rows(row, n, log_likelihood, bound, shared)
        if learning is not None:
            follows = one * FLOWS
            if step is not None:
                taken, batch, _, stepping = step
                if taken:
                    can = begin_step(batch, LOST_SHARE, one, stepping) == LEARNT
                    follows = one * (STEP if can else NOTHING)
            if follows != NOTHING:
                _flow_of_rows(row, n, learning[0], shared)
            add(offset(told, AT_ROOT), follows)
    if learning is not None:
        wait_for_flag(offset(told, AT_ROOT))
        steps, brought = peek(offset(told, AT_ROOT)) == STEP, none
        at_work = model, data, row, learning, steps, step, shared, own
        own[6][:] = FAR
        if peek(offset(told, AT_ROOT)) == NOTHING:
            first = top = last  # of no task
        for back in range(last - top):
            s, half = task_at(tasks, last - 1 - back)
            above = scopes[s, ABOVE]
            if above >= 0:
                # Rather than wait for the other half of what is above, do what is ready.
                while not _is_done(down, above, none, scopes, places):
                    for i in range(first, top):
                        other, _ = task_at(tasks, first + top - 1 - i)
                        if _is_ready(other, none, down, scopes, places):
                            _go_down(other, whole, *at_work)
                            break
                    else:
                        _is_done(down, above, one, scopes, places)
            _go_down(s, half, *at_work)
            brought = _join_halves(brought, back + 1, none, last, learning, steps, step, shared)
        for patient in range(2):
            for back in range(top - first):
                s, _ = task_at(tasks, top - 1 - back)
                if _is_ready(s, patient, down, scopes, places):
                    _go_down(s, whole, *at_work)
        _join_halves(brought, last - top, one, last, learning, steps, step, shared)
        add(offset(told, FINISHED), 1)
        # All of them, or those that are done would give up standing by for what comes next.
        wait_for_number(offset(told, FINISHED), n_team)
    return True


@kernel
def came_of(shared):
    """What came of a batch of which the steps were taken on the way down."""
    team = shared[-1]
    if team[AT_ROOT] == NOTHING:
        return DAMAGED
    return LEARNT if team[NOT_FINITE] == 0 else LOST


@kernel
def _encode(i, cells, codes, stride, blocks, columns, like):
    """Codes of a block of columns."""
    kind, address, n, width = cells
    used, count = offset(pointer(columns), blocks[i, COLUMN]), blocks[i, COUNT]
    states, out = blocks[i, STATES_OF_BLOCK], offset(codes, blocks[i, CODE_ROW] * stride)
    if kind == 0:
        source = pointer_at(pointer(like[0]), address)
        write_block(source, n, width, used, count, states, stride, out)
    elif kind == 1:
        whole = pointer_at(pointer(columns), address)
        write_block(whole, n, width, used, count, states, stride, out)
    else:
        number = pointer_at(pointer(like[1]), address)
        write_block(number, n, width, used, count, states, stride, out)


@kernel
def _are_numbered(s, patient, scopes, parts, numbered):
    """Whether the parts of a scope are; for the patient they will be."""
    for p in range(scopes[s, PART], scopes[s, PART_END]):
        if scopes[parts[p], WORK] > 0:
            flag = offset(numbered, scopes[parts[p], POSITION])
            if patient == 0 and peek(flag) == 0:
                return False
            wait_for_flag(flag)
    return True


@kernel
def _is_ready(s, patient, down, scopes, places):
    """Whether the flows of a scope are to be sent, and can be; for the patient they will."""
    if peek(offset(down, scopes[s, POSITION])) != 0:
        return False
    return scopes[s, ABOVE] < 0 or _is_done(down, scopes[s, ABOVE], patient, scopes, places)


@kernel
def _is_done(done, s, patient, scopes, places):
    """Whether a scope is, by all that have some of it; for the patient it will be."""
    if scopes[s, WORK] > 0:
        flag = offset(done, scopes[s, POSITION])
        n_tasks = 2 if places[s, OWNER] == SHARED else 1
        if patient == 0 and peek(flag) < n_tasks:
            return False
        wait_for_number(flag, n_tasks)
    return True


@kernel
def _part(s, half, places):
    """First panel of a half, and how many it has."""
    cut = places[s, CUT]
    return (0, cut) if half == 0 else (cut, places[s, PANELS] - cut)


@kernel
def _halves(s, half, places):
    """First and last of the halves that a task has."""
    none, one = np.int64(0), np.int64(1)
    if half == WHOLE:
        return none, one * (places[s, CUT] != places[s, PANELS])
    return half, half


@kernel
def read_below(shared, own, s, start):
    """A ``Reading`` for the rows of a scope from ``start``, None for None."""
    if shared is None:
        return None
    _, (scopes, _, _, _, _, _, _), numbers, (places, _), buffers, _, offers, _ = shared
    scales, _ = chunk_buffers(buffers)
    mapped, given, width = numbers[2], pointer(offers[0]), scopes[s, OFFERS]
    mine = offset(given, places[s, AT_OFFERS] + start * width)
    rows = offset(pointer(mapped), start)
    passing, (inverse, exponent, relative, absolute) = own[5]
    passing_scales = pointer(inverse), pointer(exponent), pointer(relative), pointer(absolute)
    return Reading(
        rows, mapped.shape[1], scopes, places, given, scales, mine, width, pointer(passing),
        passing_scales,
    )  # fmt: skip


@kernel
def sent_below(shared, s, start, half):
    """A ``Sending``, None for None."""
    if shared is None:
        return None
    _, (scopes, _, _, _, _, _, _), numbers, (places, _), _, _, offers, _ = shared
    rows, returns, width = numbers[2], pointer(offers[1]), scopes[s, OFFERS]
    mine = offset(returns, places[s, AT_RETURNS] + start * width)
    offered = offset(pointer(offers[0]), places[s, AT_OFFERS] + start * width)
    where, stride = offset(pointer(rows), start), rows.shape[1]
    return Sending(where, stride, scopes, places, returns, half, mine, offered, width)


@kernel
def _go_up(s, half, model, data, row, lost, learning, shared, own):
    """Compute the values of a scope or of a half."""
    never_inline()
    _, (scopes, _, _, _, runs, _, _), _, (places, _), _, _, _, team = shared
    first, last = _halves(s, half, places)
    for r in range(scopes[s, RUN], scopes[s, RUN_END]):
        for i in range(runs[r, 0], runs[r, 0] + min(runs[r, 1], MOST_AHEAD), FLOATS):
            prefetch(model[0], i)
    for i in range(first, last + 1):
        _values_up(s, i, model, data, row, lost, learning, shared, own)
    add(offset(pointer(team), TOLD + scopes.shape[0] + scopes[s, POSITION]), 1)


@kernel
def _values_up(s, half, model, data, row, lost, learning, shared, own):
    never_inline()
    tables, (scopes, _, below, _, _, _, _), numbers, (places, _), buffers, down, offers, _ = shared
    scales, (values, factors) = chunk_buffers(buffers)
    inverse, exponent, relative, absolute = scales
    ids, first, mapped = numbers
    chunk = ids.shape[1]
    codes, _, stride = data
    number, met, out = pointer(ids), offset(pointer(first), s * chunk), pointer(mapped)
    found = places[s, N_DISTINCT]
    first_panel, n_panels = _part(s, half, places)
    start, rows = first_panel * PANEL, n_panels * PANEL
    if scopes[s, CODE] >= 0 and not codes_are_numbers(s, scopes):
        keep_codes(s, scopes, codes, row, stride, met, found, rows)
    for m in range(scopes[s, FIRST_MAP], scopes[s, LAST_MAP]):
        other = numbers_of(below[m], scopes, codes, row, stride, number, chunk)
        for i in range(start, min(found, start + rows)):
            store(out, m * chunk + i, load(other, load(met, i)))
        # What fills the last panel must be readable, and gets no flow.
        for i in range(max(start, found), start + rows):
            store(out, m * chunk + i, 0)
    results, slots, _, _, _ = down
    if learning is not None:
        _clear(slots, places[s, AT_SLOTS] + scopes[s, SLOTS] * start, scopes[s, SLOTS] * rows)
        if not down[3]:  # several scopes may read this one, which is whole then
            size = scopes[s, OFFERS]
            _clear(offers[1], places[s, AT_RETURNS] + size * start, size * rows)
    at = places[s, AT_SCALES] + scopes[s, SCALES] * start
    mine = offset(inverse, at), offset(exponent, at), offset(relative, at), offset(absolute, at)
    here = offset(values, places[s, AT_VALUES] + scopes[s, VALUES] * start)
    forward_tile(
        tables, scopes[s, FIRST], scopes[s, LAST], model, data, row + start, n_panels, here, mine,
        offset(factors, places[s, AT_FACTORS] + scopes[s, FACTORS] * start), pointer(own[1]), lost,
        read_below(shared, own, s, start),
    )  # fmt: skip
    if s == scopes.shape[0] - 1:
        of_rows = pointer(results)
        root_result(
            tables, start, n_panels, here, mine, of_rows, offset(of_rows, results.shape[1])
        )  # fmt: skip


@kernel
def _go_down(s, half, model, data, row, learning, steps, step, shared, own):
    """Send the flows of a scope or of a half down.

    What is to be done with the sums of a whole scope is done at once.
    """
    never_inline()
    _, (scopes, _, _, _, runs, _, _), _, (places, _), _, _, _, team = shared
    told = pointer(team)
    _, all_edges, stride, leaf_out, leaf_stride = learning
    edges, apart = all_edges, stride
    # Literals would be compiled for.
    none, one = np.int64(0), np.int64(1)
    first, last = _halves(s, half, places)
    nothing = pointer_at(pointer(own[4][1]), none)
    ahead = nothing
    if step is not None and steps:
        _, _, own_step, stepping = step
        if half == 0:
            tell_below(s, own_step, stepping)
        ahead = stepping.weights
        if half == WHOLE and scopes[s, RUN_END] - scopes[s, RUN] == 1:
            # What is read again at once need not go through memory.
            edges, apart = offset(own_step[3], -runs[scopes[s, RUN], 0]), own_step[4]
    for i in range(first, last + 1):
        _flows_down(
            s, i, model, data, row, offset(edges, i * apart), offset(leaf_out, i * leaf_stride),
            shared, own, ahead if i == last else nothing,
        )  # fmt: skip
    if half == WHOLE:
        if step is not None and steps:
            _, _, own_step, stepping = step
            n_lanes, tells = one + last, steps
            if not step_scope(
                s, tells, none, one, (edges, n_lanes, apart), (all_edges, n_lanes, stride),
                (leaf_out, n_lanes, leaf_stride), own_step, stepping,
            ):  # fmt: skip
                add(offset(told, NOT_FINITE), 1)
        elif last > 0 and stride != 0:
            _join_edges(s, none, one, edges, stride, scopes, runs)
    add(offset(told, TOLD + 2 * scopes.shape[0] + scopes[s, POSITION]), 1)


@kernel
def _flows_down(s, half, model, data, row, edges, leaf_out, shared, own, ahead):
    never_inline()
    tables, (scopes, _, below, _, _, _, _), numbers, (places, _), buffers, down, offers, _ = shared
    _, (values, factors) = chunk_buffers(buffers)
    first_panel, n_panels = _part(s, half, places)
    start, rows = first_panel * PANEL, n_panels * PANEL
    slots = offset(pointer(down[1]), places[s, AT_SLOTS] + scopes[s, SLOTS] * start)
    if places[s, TWOFOLD] != 0:
        size = scopes[s, OFFERS]
        here = offset(pointer(offers[1]), places[s, AT_RETURNS] + size * start)
        more = size * places[s, PANELS] * PANEL
        for i in range(0, size * rows, LANES):
            vstore(here, i, vadd(vload(here, i), vload(here, more + i)))
    if down[3]:
        # Just before it is added to, so that it is in the cache once.
        for m in range(scopes[s, FIRST_MAP], scopes[s, LAST_MAP]):
            size = scopes[below[m], OFFERS] * places[below[m], PANELS] * PANEL
            _clear(offers[1], places[below[m], AT_RETURNS] + half * size, size)
    given, fetched = pointer(offers[0]), own[6]
    n_values = _fetch_before(s, AT_VALUES, scopes[s, VALUES] * rows, places, fetched, 0)
    n_offers = _fetch_before(s, AT_OFFERS, scopes[s, OFFERS] * rows, places, fetched, 1)
    backward_tile(
        tables, scopes[s, FIRST], scopes[s, LAST], model, data, row + start, n_panels,
        offset(values, places[s, AT_VALUES] + scopes[s, VALUES] * start),
        offset(factors, places[s, AT_FACTORS] + scopes[s, FACTORS] * start), pointer(own[1]),
        pointer(own[0]), slots, edges, leaf_out, sent_below(shared, s, start, half), ahead,
        (offset(values, fetched[0]), n_values, offset(given, fetched[1]), n_offers),
    )  # fmt: skip


@kernel
def _fetch_before(s, column, n, places, fetched, which):
    """Go on by n numbers with what is fetched, down to what lies side by side with a scope of the
    same thread, which is at work on that next; how many they are then."""
    end = min(fetched[which], places[s, column])
    fetched[which] = max(end - n, min(end, places[places[s, SIDE_FROM], column]))
    return end - fetched[which]


@kernel
def _join_halves(done, tasks_done, patient, last, learning, steps, step, shared):
    """Take the step of scopes that two threads share, or else add their edge sums up: as far as
    both halves are there, or of all for the patient. Each thread has a half of the weights.

    Returns for how many of its tasks, counted from the last, that was done.
    """
    never_inline()
    _, (scopes, _, _, _, runs, _, _), _, (places, (tasks, _)), _, _, _, team = shared
    down = offset(pointer(team), TOLD + 2 * scopes.shape[0])
    _, edges, stride, leaf_out, leaf_stride = learning
    if stride == 0:
        return tasks_done
    two = np.int64(2)
    while done < tasks_done:
        s, half = task_at(tasks, last - 1 - done)
        if not _is_done(down, s, patient, scopes, places):
            break
        if half == WHOLE:
            pass  # nobody else has any of it
        elif step is not None and steps:
            _, _, own_step, stepping = step
            both, tells = (edges, two, stride), not steps  # they have told before
            if not step_scope(
                s, tells, half, two, both, both, (leaf_out, two, leaf_stride), own_step, stepping
            ):  # fmt: skip
                add(offset(pointer(team), NOT_FINITE), 1)
        else:
            _join_edges(s, half, two, edges, stride, scopes, runs)
        done += 1
    return done


@kernel
def _join_edges(s, part, n_parts, edges, stride, scopes, runs):
    """Add the second halves' edge sums of a scope to the first ones', and clear them: one of so
    many parts of the weights."""
    more = offset(edges, stride)
    nothing = vfill(edges, 0)
    for r in range(scopes[s, RUN], scopes[s, RUN_END]):
        first, n = runs[r, 0], runs[r, 1]
        begin = part * n // n_parts // LANES * LANES
        end = n if part == n_parts - 1 else (part + 1) * n // n_parts // LANES * LANES
        for k in range(begin, end, LANES):
            i, n_left = first + k, end - k
            put(edges, i, vadd(take(edges, i, n_left), take(more, i, n_left)), n_left)
            put(more, i, nothing, n_left)


@kernel
def _tell_rows(row, n, log_likelihood, bound, shared):
    """Every row has the result of the one that it is equal to."""
    ids, results = shared[2][0], shared[5][0]
    last = ids.shape[0] - 1
    for i in range(n):
        store(log_likelihood, row + i, results[0, ids[last, i]])
        store(bound, row + i, results[1, ids[last, i]])


@kernel
def _flow_of_rows(row, n, row_weights, shared):
    """The root's flows: weights of equal rows together, none for a row that lost too much."""
    tables, (scopes, _, _, _, _, _, _), numbers, (places, _), _, down, _, _ = shared
    results, slots, _, _, _ = down
    ids = numbers[0]
    last = scopes.shape[0] - 1
    slot = tables[0][tables[0].shape[0] - 1, SLOT]
    place = places[last]
    cut, near, far = halves(place, place[AT_SLOTS], scopes[last, SLOTS], slot)
    for i in range(n):
        at = ids[last, i]
        if results[1, at] <= LOST_SHARE:
            slots[(near if at < cut else far) + at] += load(row_weights, row + i)


@kernel
def _clear(array, start, n):
    target = pointer(array)
    zero = vfill(target, 0)
    for i in range(start, start + n, LANES):
        vstore(target, i, zero)
