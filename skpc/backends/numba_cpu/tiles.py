"""The entry kernels: tiles of rows through the circuit, up, and down where it learns."""

from __future__ import annotations

import numpy as np

from .atomics import swap
from .backward import backward_tile
from .chunks import (
    begin_chunk,
    came_of,
    chunk_panels,
    read_below,
    sent_below,
    take_part,
)
from .columns import SLOT
from .forward import LOST_SHARE, forward_tile, root_result
from .handover import CALLED, STANDING, begin, end_call, leave, stand, wait_for
from .kernel_cache import entry_kernel, kernel
from .simd import (
    PANEL,
    flush_subnormals,
    load,
    offset,
    pointer,
    pointer_at,
    restore_rounding,
    store,
)
from .steps import (
    LEARNT,
    NO_WEIGHT,
    bare_scratch,
    bare_stepping,
    begin_step,
    go_on_in_place,
    take_step,
)


@kernel
def bare_pointers(model, data, buffers):
    """Arrays of the call as bare pointers."""
    weights, table, log2_scale, coefficients = model
    codes, floats, n_rows = data
    scales, arrays = bare_buffers(buffers)
    return (
        (pointer(weights), pointer(table), pointer(log2_scale), pointer(coefficients)),
        (pointer(codes), pointer(floats), n_rows),
        scales,
        arrays,
    )


@kernel
def bare_buffers(buffers):
    """Those of a workspace."""
    values, scales, factors, scratch = buffers
    inverse, exponent, relative, absolute = scales
    return (
        (pointer(inverse), pointer(exponent), pointer(relative), pointer(absolute)),
        (pointer(values), pointer(factors), pointer(scratch)),
    )


@kernel
def count_tiles(n_panels, tile_panels):
    """Tiles of so many panels: of about as many each, by a quarter more at most."""
    return max(1, (n_panels + tile_panels - 1 - tile_panels // 4) // tile_panels)


@kernel
def count_chunks(n_panels, shared):
    """Chunks of rows that may share parts: one if they do not."""
    if shared is None:
        return 1
    most = chunk_panels(shared)
    return max(1, (n_panels + most - 1) // most)


@kernel
def first_panel(tile, n_tiles, n_panels):
    """Where a tile begins; lengths differ by one panel at most."""
    return tile * n_panels // n_tiles


@entry_kernel
def score_tiles(
    tables, model, data, all_panels, tile_panels, buffers, lost, log_likelihood, bound, shared, own
):
    """Log-likelihoods of the rows of so many panels, tile by tile.

    ``shared`` and ``own`` are spaces of a ``Sharing``, for chunks of rows in which parts of many
    are equal, or None.
    """
    model, data, scales, (values, factors, scratch) = bare_pointers(model, data, buffers)
    log_likelihood = pointer(log_likelihood)
    bound = pointer(bound)
    none = np.int64(0)  # a literal would be compiled for
    before = flush_subnormals()
    n_chunks = count_chunks(all_panels, shared)
    for chunk in range(n_chunks):
        first = first_panel(chunk, n_chunks, all_panels)
        length = first_panel(chunk + 1, n_chunks, all_panels) - first
        if shared is not None:
            begin_chunk(shared)
            if take_part(
                True, 1, 0, None, model, data, first * PANEL, length, lost, log_likelihood, bound,
                None, None, shared, own,
            ):  # fmt: skip
                continue
        n_tiles = count_tiles(length, tile_panels)
        for tile in range(n_tiles):
            start = first_panel(tile, n_tiles, length)
            n_panels = first_panel(tile + 1, n_tiles, length) - start
            row = (first + start) * PANEL
            forward_tile(
                tables, none, tables[0].shape[0], model, data, row, n_panels, values, scales,
                factors, scratch, lost, read_below(shared, own, none, none),
            )  # fmt: skip
            root_result(tables, row, n_panels, values, scales, log_likelihood, bound)
    restore_rounding(before)


@entry_kernel
def learn_tiles(
    tables,
    codes,
    floats,
    buffers,
    lost,
    log_likelihood,
    bound,
    row_weights,
    flow,
    slots,
    edges,
    leaf_out,
    shared,
    own,
    batches,
    job,
    flag,
):
    """Log-likelihoods and flows of the rows of some lanes; damaged rows get no flow.

    ``job`` says what to do, see ``write_job``: rows of lane i add to ``edges[i]`` and
    ``leaf_out[i]``. It is read when ``flag[0]`` is 0, which says that model and data are there
    too; below 0 they never will be. ``shared`` and ``own`` are as in ``score_tiles``, and
    ``batches`` those of jobs that have several, or None: see ``crew.py``. A thread that stays does
    so only if nobody takes the call back before it begins, and waits for the next one after every
    job: see ``handover.py``. Returns whether there is nothing more to wait for.
    """
    scales, (values, factors, scratch) = bare_buffers(buffers)
    numbers, doubles = pointer(edges), pointer(bound)
    of_rows = log_likelihood, bound
    shares = row_weights
    log_likelihood = pointer(log_likelihood)
    bound = pointer(bound)
    row_weights = pointer(row_weights)
    flow = pointer(flow)
    slots = pointer(slots)
    instructions = tables[0]
    none = np.int64(0)  # a literal would be compiled for
    nothing, nowhere = pointer_at(doubles, none), pointer_at(flow, none)
    while True:
        if not wait_for(flag):
            if job[STAYS] == 0 or leave(flag):
                return False
            continue
        if flag[0] < 0:
            return True
        if job[STAYS] != 0 and not begin(flag):
            continue
        if batches is not None:
            if job[TOGETHER] == STEPS:
                _take_step(job[STAYS] == 0, none + 1, none, edges, leaf_out, shared, batches)
                stand(flag)
                continue
        done, came, mine = none, LEARNT, job
        if job[N_BATCHES] > 0:
            done = job[DONE]
        while True:
            unit = 0.0
            if batches is not None:
                if job[N_BATCHES] > 0:
                    mine = batches[0][done]
                    unit = _weigh_batch(done, mine, batches, shares)
                    if not unit > 0:
                        came = NO_WEIGHT
                        break
                    begin_chunk(shared)
                    mine[N_THREADS] = 1 + _call(none + FOLLOWS, mine, job[N_HELPERS], batches)
            step = _step_of(job[N_BATCHES] > 0, done, mine, of_rows, unit, batches)
            model = (
                pointer_at(numbers, mine[AT_WEIGHTS]),
                pointer_at(numbers, mine[AT_TABLE]),
                pointer_at(doubles, mine[AT_SCALE]),
                pointer_at(doubles, mine[AT_COEFFICIENTS]),
            )
            data = pointer(codes), pointer(floats), mine[N_ROWS]
            before = flush_subnormals()
            paid = False
            if shared is not None:
                if mine[TOGETHER] == LEADS or mine[TOGETHER] == FOLLOWS:
                    second = min(1, edges.shape[0] - 1)
                    learning = (
                        row_weights, pointer(edges), second * edges.shape[1],
                        pointer(leaf_out), second * leaf_out.shape[1],
                    )  # fmt: skip
                    cells = mine[KIND], mine[AT_CELLS], mine[CELL_ROWS], mine[CELL_COLUMNS]
                    paid = take_part(
                        mine[TOGETHER] == LEADS, mine[N_THREADS], mine[TURNS], cells, model, data,
                        none, mine[N_ROWS] // PANEL, lost, log_likelihood, bound, learning, step,
                        shared, own,
                    )  # fmt: skip
            # Of a batch that does not pay every thread has some lanes, and the one that leads those
            # of whoever did not come.
            n_parts = 1
            if batches is not None:
                if job[N_BATCHES] > 0 and not paid:
                    n_parts += job[N_HELPERS]
            for part in range(n_parts):
                first_lane, last_lane = mine[FIRST], mine[FIRST] if paid else mine[LAST]
                if n_parts > 1:
                    first_lane, last_lane = part_of_lanes(part, n_parts, mine[LAST])
                    if part > 0:
                        if not is_free(part - 1, batches):
                            continue
                for lane in range(first_lane, last_lane):
                    lane_edges = offset(pointer(edges), lane * edges.shape[1])
                    lane_leaves = offset(pointer(leaf_out), lane * leaf_out.shape[1])
                    first = mine[ENDS + lane]
                    all_panels = mine[ENDS + lane + 1] - first
                    n_chunks = count_chunks(all_panels, shared) if mine[TOGETHER] == ALONE else 1
                    for chunk in range(n_chunks):
                        begun = first_panel(chunk, n_chunks, all_panels)
                        length = first_panel(chunk + 1, n_chunks, all_panels) - begun
                        begun += first
                        if shared is not None:
                            if mine[TOGETHER] == ALONE:
                                begin_chunk(shared)
                                alone = mine[TOGETHER] == ALONE  # no literal, as above
                                cells = none - 1, none, none, none
                                learning = row_weights, lane_edges, none, lane_leaves, none
                                if take_part(
                                    alone, none + 1, none, cells, model, data, begun * PANEL,
                                    length, lost, log_likelihood, bound, learning, step, shared,
                                    own,
                                ):  # fmt: skip
                                    continue
                        n_tiles = count_tiles(length, mine[TILE_PANELS])
                        for tile in range(n_tiles):
                            start = first_panel(tile, n_tiles, length)
                            n_panels = first_panel(tile + 1, n_tiles, length) - start
                            row, rows = (begun + start) * PANEL, n_panels * PANEL
                            forward_tile(
                                tables, none, instructions.shape[0], model, data, row, n_panels,
                                values, scales, factors, scratch, lost,
                                read_below(shared, own, none, none),
                            )  # fmt: skip
                            root_result(
                                tables, row, n_panels, values, scales, log_likelihood, bound
                            )
                            root_slot = instructions[instructions.shape[0] - 1, SLOT] * rows
                            for t in range(rows):
                                whole = load(bound, row + t) <= LOST_SHARE
                                share = load(row_weights, row + t) if whole else 0.0
                                store(slots, root_slot + t, share)
                            backward_tile(
                                tables, none, instructions.shape[0], model, data, row, n_panels,
                                values, factors, scratch, flow, slots, lane_edges, lane_leaves,
                                sent_below(shared, none, none, none), nothing,
                                (nowhere, none, nowhere, none),
                            )  # fmt: skip
            restore_rounding(before)
            if batches is not None:
                if job[N_BATCHES] > 0:
                    _end_calls(job[N_HELPERS], batches)
                    if paid:
                        came = came_of(shared)
                    else:
                        came = _begin_step(step, max(2, mine[LAST]), batches)
                        if came == LEARNT:
                            n_helpers = job[N_HELPERS] if edges.shape[1] >= STEP_WEIGHTS else none
                            n_threads = 1 + _call(none + STEPS, mine, n_helpers, batches)
                            came = _take_step(
                                job[N_BATCHES] > 0, n_threads, mine[TURNS], edges, leaf_out, shared,
                                batches,
                            )  # fmt: skip
                            _end_calls(n_helpers, batches)
                    if came == LEARNT:
                        # Further ones change them in place.
                        go_on_in_place(batches[9])
                        done += 1
                        if done < job[N_BATCHES]:
                            continue
            break
        if job[STAYS] == 0:
            job[DONE], job[CAME] = done, came
            return True
        stand(flag)


@kernel
def _step_of(is_taken, done, mine, of_rows, unit, batches):
    """Of the batch that comes next, for ``take_part``; None where there never is one."""
    if batches is None:
        return None
    _, _, _, _, row_sums, steps, results, _, own, arrays = batches
    batch = (*of_rows, row_sums), mine[CELL_ROWS], unit, steps[done], results[done]
    return is_taken, batch, bare_scratch(own), bare_stepping(arrays)


@kernel
def _begin_step(step, n_lanes, batches):
    """Begin the step of all scopes; what came of that."""
    batches[7][:] = 0
    _, batch, _, stepping = step
    return begin_step(batch, LOST_SHARE, n_lanes, stepping)


@kernel
def _take_step(leads, n_threads, turns, edges, leaf_out, shared, batches):
    """Take it, with others or alone."""
    _, _, _, _, _, _, _, told, own, arrays = batches
    return take_step(
        leads, n_threads, turns, shared[1][0], pointer(told), edges, leaf_out, bare_scratch(own),
        bare_stepping(arrays),
    )  # fmt: skip


@kernel
def _weigh_batch(done, mine, batches, shares):
    """Weights of the rows of a batch, and their shares of the largest one, which is returned."""
    weights_at, sums = batches[3], batches[4]
    n, all_alike, unit = mine[CELL_ROWS], weights_at[done] == 0, 0.0
    weight = pointer_at(pointer(sums), weights_at[done])
    for i in range(n):
        each = 1.0 if all_alike else load(weight, i)
        sums[i] = each
        if each > unit or np.isnan(each):
            unit = each
    if unit > 0:
        for i in range(n):
            shares[i] = sums[i] / unit
        for i in range(n, mine[N_ROWS]):
            shares[i] = 0
    return unit


@kernel
def _call(way, mine, n_helpers, batches):
    """Call helpers to the same job, in their way; how many stood by."""
    calls, flags, found = batches[1], batches[2], 0
    for h in range(n_helpers):
        # All but that it stays, which a thread that gives up may be looking at.
        for k in range(TOGETHER, mine.size):
            calls[h, k] = mine[k]
        calls[h, TOGETHER] = way
        calls[h, FIRST], calls[h, LAST] = part_of_lanes(h + 1, n_helpers + 1, mine[LAST])
        flag = pointer_at(pointer(flags), flags[h])
        calls[h, IS_CALLED] = 1 if swap(flag, STANDING, CALLED) else 0
        found += calls[h, IS_CALLED]
    return found


@kernel
def part_of_lanes(part, n_parts, n_lanes):
    """The first lane of a part of them, and the one after its last."""
    return part * n_lanes // n_parts, (part + 1) * n_lanes // n_parts


@kernel
def is_free(h, batches):
    """Whether a helper has not begun, and will not."""
    calls, flags = batches[1], batches[2]
    free = calls[h, IS_CALLED] == 0 or swap(pointer_at(pointer(flags), flags[h]), CALLED, STANDING)
    if free:
        calls[h, IS_CALLED] = 0
    return free


@kernel
def _end_calls(n_helpers, batches):
    calls, flags = batches[1], batches[2]
    for h in range(n_helpers):
        if calls[h, IS_CALLED] != 0:
            end_call(pointer_at(pointer(flags), flags[h]))


#: What a job consists of; from ``ENDS`` on the first panel of every lane, and the end of the last.
STAYS, TOGETHER, N_ROWS, TILE_PANELS, FIRST, LAST = range(6)
KIND, AT_CELLS, CELL_ROWS, CELL_COLUMNS = range(6, 10)
AT_WEIGHTS, AT_TABLE, AT_SCALE, AT_COEFFICIENTS = range(10, 14)
#: How many threads there are for a chunk, and how long to look for them. Of several batches: where
#: to end, with how many helpers; how many are learnt, before and after, and what came of the last;
#: whether a helper was called.
N_THREADS, TURNS, N_BATCHES, N_HELPERS, DONE, CAME, IS_CALLED, ENDS = range(14, 22)
#: For rows whose codes are there.
NO_CELLS = (-1, 0, 0, 0)
#: How a thread goes about rows of which parts are equal: with its own, chunk by chunk; first or
#: second in a team that has one chunk; or it does not look for them any more; or it helps with a
#: step.
ALONE, LEADS, FOLLOWS, IN_TILES, STEPS = range(5)
#: Weights from which on a step is shared: with fewer, waiting for each other takes as long.
STEP_WEIGHTS = 20_000


def write_job(
    job: np.ndarray,
    stays: bool,
    together: int,
    n_rows: int,
    tile_panels: int,
    lanes: tuple[int, int],
    addresses: list[int],
    ends: np.ndarray,
    cells: tuple[int, int, int, int] = NO_CELLS,
    n_threads: int = 1,
    turns: int = 0,
) -> None:
    """Say what ``learn_tiles`` shall do.

    Parameters
    ----------
    job : ndarray of shape (``ENDS`` + n_lanes + 1,) or longer
    stays : bool
        Whether the thread stands by for another job.
    together : int
        ``ALONE``, ``LEADS``, ``FOLLOWS`` or ``IN_TILES``.
    n_rows : int
        Of the data, padding included.
    tile_panels : int
        See ``count_tiles``.
    lanes : tuple of int
        The first one, and the one after the last.
    addresses : list of int
        Of the arrays of the model.
    ends : ndarray of shape (n_lanes + 1,)
        First panel of every lane, and the end of the last.
    cells : tuple of int
    n_threads, turns : int
        See ``take_part``.
    """
    job[:N_THREADS] = (stays, together, n_rows, tile_panels, *lanes, *cells, *addresses)
    job[N_THREADS], job[TURNS], job[N_BATCHES] = n_threads, turns, 0
    job[ENDS : ENDS + len(ends)] = ends
