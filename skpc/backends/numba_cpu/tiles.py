"""The entry kernels: tiles of rows through the circuit, up, and down where it learns."""

from __future__ import annotations

import numpy as np

from .atomics import swap
from .backward import backward_tile
from .chunks import begin_chunk, chunk_panels, read_below, sent_below, take_part
from .columns import SLOT
from .finish import LEARNT, NO_WEIGHT, begin_step, take_step
from .forward import LOST_SHARE, forward_tile, root_result
from .handover import CALLED, STANDING, begin, end_call, leave, stand, wait_for
from .kernel_cache import entry_kernel, kernel
from .simd import (
    PANEL,
    flush_subnormals,
    load,
    never_inline,
    offset,
    pointer,
    pointer_at,
    restore_rounding,
    store,
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
                None, shared, own,
            ):  # fmt: skip
                continue
        n_tiles = count_tiles(length, tile_panels)
        for tile in range(n_tiles):
            start = first_panel(tile, n_tiles, length)
            n_panels = first_panel(tile + 1, n_tiles, length) - start
            row = (first + start) * PANEL
            forward_tile(
                tables, none, tables[0].shape[0], model, data, row, n_panels, values, scales,
                factors, scratch, lost, read_below(shared, none),
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
    arrays = codes, floats, buffers, lost, log_likelihood, bound, row_weights, flow, slots
    sums = edges, leaf_out
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
            if job[N_BATCHES] > 0:
                _learn_batches(tables, arrays, sums, shared, own, job, batches)
                return True
            if job[TOGETHER] == STEPS:
                _, _, _, _, _, _, _, own_steps, stepping = batches
                take_step(job[STAYS] == 0, 1, 0, edges, own_steps, stepping)
                stand(flag)
                continue
        _learn_job(tables, arrays, sums, shared, own, job)
        if job[STAYS] == 0:
            return True
        stand(flag)


@kernel
def _learn_job(tables, arrays, sums, shared, own, job):
    """The rows of a job; whether they were computed as one chunk."""
    never_inline()
    codes, floats, buffers, lost, log_likelihood, bound, row_weights, flow, slots = arrays
    edges, leaf_out = sums
    scales, (values, factors, scratch) = bare_buffers(buffers)
    numbers, doubles = pointer(edges), pointer(bound)
    log_likelihood = pointer(log_likelihood)
    bound = pointer(bound)
    row_weights = pointer(row_weights)
    flow = pointer(flow)
    slots = pointer(slots)
    instructions = tables[0]
    none = np.int64(0)  # a literal would be compiled for
    model = (
        pointer_at(numbers, job[AT_WEIGHTS]),
        pointer_at(numbers, job[AT_TABLE]),
        pointer_at(doubles, job[AT_SCALE]),
        pointer_at(doubles, job[AT_COEFFICIENTS]),
    )
    data = pointer(codes), pointer(floats), job[N_ROWS]
    before = flush_subnormals()
    paid = False
    if shared is not None:
        if job[TOGETHER] == LEADS or job[TOGETHER] == FOLLOWS:
            second = min(1, edges.shape[0] - 1)
            learning = (
                row_weights,
                pointer(edges),
                pointer(leaf_out),
                offset(pointer(edges), second * edges.shape[1]),
                offset(pointer(leaf_out), second * leaf_out.shape[1]),
                job[TOGETHER] != ALONE,
            )
            cells = job[KIND], job[AT_CELLS], job[CELL_ROWS], job[CELL_COLUMNS]
            paid = take_part(
                job[TOGETHER] == LEADS, job[N_THREADS], job[TURNS], cells, model, data, none,
                job[N_ROWS] // PANEL, lost, log_likelihood, bound, learning, shared, own,
            )  # fmt: skip
    for lane in range(job[FIRST], job[FIRST] if paid else job[LAST]):
        lane_edges = offset(pointer(edges), lane * edges.shape[1])
        lane_leaves = offset(pointer(leaf_out), lane * leaf_out.shape[1])
        first = job[ENDS + lane]
        all_panels = job[ENDS + lane + 1] - first
        n_chunks = count_chunks(all_panels, shared) if job[TOGETHER] == ALONE else 1
        for chunk in range(n_chunks):
            begun = first_panel(chunk, n_chunks, all_panels)
            length = first_panel(chunk + 1, n_chunks, all_panels) - begun
            begun += first
            if shared is not None:
                if job[TOGETHER] == ALONE:
                    begin_chunk(shared)
                    alone = job[TOGETHER] == ALONE  # no literal, as above
                    cells = none - 1, none, none, none
                    learning = (
                        row_weights, lane_edges, lane_leaves, lane_edges, lane_leaves, not alone
                    )  # fmt: skip
                    if take_part(
                        alone, none + 1, none, cells, model, data, begun * PANEL, length, lost,
                        log_likelihood, bound, learning, shared, own,
                    ):  # fmt: skip
                        continue
            n_tiles = count_tiles(length, job[TILE_PANELS])
            for tile in range(n_tiles):
                start = first_panel(tile, n_tiles, length)
                n_panels = first_panel(tile + 1, n_tiles, length) - start
                row, rows = (begun + start) * PANEL, n_panels * PANEL
                forward_tile(
                    tables, none, instructions.shape[0], model, data, row, n_panels, values,
                    scales, factors, scratch, lost, read_below(shared, none),
                )  # fmt: skip
                root_result(tables, row, n_panels, values, scales, log_likelihood, bound)
                root_slot = instructions[instructions.shape[0] - 1, SLOT] * rows
                for t in range(rows):
                    whole = load(bound, row + t) <= LOST_SHARE
                    store(slots, root_slot + t, load(row_weights, row + t) if whole else 0.0)
                backward_tile(
                    tables, none, instructions.shape[0], model, data, row, n_panels, values,
                    factors, scratch, flow, slots, lane_edges, lane_leaves,
                    sent_below(shared, none, none),
                )  # fmt: skip
    restore_rounding(before)
    return paid


@kernel
def _learn_batches(tables, arrays, sums, shared, own, job, batches):
    """Learn batches with a step after each, until one needs other means; see ``Crew.run``."""
    jobs, calls, flags, weights_at, row_sums, steps, results, own_steps, stepping = batches
    log_likelihood, bound, shares = arrays[4], arrays[5], arrays[6]
    edges, leaf_out = sums
    told = pointer(job)
    here, came = job[HERE], LEARNT
    done = 0
    while done < job[N_BATCHES] and came == LEARNT:
        mine = jobs[done]
        n = mine[CELL_ROWS]
        weight = pointer_at(pointer(row_sums), weights_at[done])
        unit = _weigh(weight, weights_at[done] == 0, n, mine[N_ROWS], row_sums, shares)
        if not unit > 0:
            came = NO_WEIGHT
            break
        begin_chunk(shared)
        mine[N_THREADS] = 1 + _call(FOLLOWS, mine, job[N_HELPERS], calls, flags, told)
        paid = _learn_job(tables, arrays, sums, shared, own, mine)
        _end_calls(job[N_HELPERS], calls, flags, told)
        n_lanes = max(2, mine[LAST])
        came = begin_step(
            n, LOST_SHARE, (log_likelihood, bound, row_sums), unit, 1 if paid else n_lanes,
            leaf_out[:n_lanes], steps[done], results[done], here, stepping,
        )  # fmt: skip
        if came == LEARNT:
            n_helpers = job[N_HELPERS] if edges.shape[1] >= STEP_WEIGHTS else 0
            n_threads = 1 + _call(STEPS, mine, n_helpers, calls, flags, told)
            leads = job[N_BATCHES] > 0  # a literal would be compiled for
            came = take_step(leads, n_threads, mine[TURNS], edges, own_steps, stepping)
            _end_calls(n_helpers, calls, flags, told)
        if came == LEARNT:
            here = 1 - here
            done += 1
    job[DONE], job[CAME], job[HERE] = done, came, here


@kernel
def _call(way, mine, n_helpers, calls, flags, told):
    """Call helpers to the same job, in their way; how many stood by."""
    found = 0
    for h in range(n_helpers):
        calls[h] = mine
        calls[h, STAYS], calls[h, TOGETHER], calls[h, FIRST] = 1, way, mine[LAST]
        calls[h, CAME] = 1 if swap(pointer_at(told, flags[h]), STANDING, CALLED) else 0
        found += calls[h, CAME]
    return found


@kernel
def _end_calls(n_helpers, calls, flags, told):
    for h in range(n_helpers):
        if calls[h, CAME] != 0:
            end_call(pointer_at(told, flags[h]))


@kernel
def _weigh(weight, all_alike, n, n_padded, sums, shares):
    """Weights of rows, and their shares of the largest one, which is returned."""
    unit = 0.0
    for i in range(n):
        mine = 1.0 if all_alike else load(weight, i)
        sums[i] = mine
        if mine > unit or np.isnan(mine):
            unit = mine
    if unit > 0:
        for i in range(n):
            shares[i] = sums[i] / unit
        for i in range(n, n_padded):
            shares[i] = 0
    return unit


#: What a job consists of; from ``ENDS`` on the first panel of every lane, and the end of the last.
STAYS, TOGETHER, N_ROWS, TILE_PANELS, FIRST, LAST = range(6)
KIND, AT_CELLS, CELL_ROWS, CELL_COLUMNS = range(6, 10)
AT_WEIGHTS, AT_TABLE, AT_SCALE, AT_COEFFICIENTS = range(10, 14)
#: How many threads there are for a chunk, and how long to look for them. Of several batches: how
#: many, with how many helpers, where their parameters lie; how many were learnt, and what came of
#: the last (or whether a helper came).
N_THREADS, TURNS, N_BATCHES, N_HELPERS, HERE, DONE, CAME, ENDS = range(14, 22)
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
