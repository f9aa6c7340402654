"""What follows the pass of a batch: its sums become new parameters, and these what kernels read.

The same loops serve solvers one by one; here they follow each other in compiled code, so that
batches do. Threads that have passed the batch together share them, sum by sum and leaf by leaf.
"""

from __future__ import annotations

import numpy as np

from .accumulate import add_lanes, add_rows
from .atomics import add, peek
from .descent import descend
from .kernel_cache import kernel
from .simd import load, never_inline, offset, pointer, store
from .tables import OUT, STATES, pack_inputs, pack_sums, unpack_sums
from .team import LATE, await_team, close_team, join_team, wait_for_number

#: What came of a batch: learnt; it has no weight, or rows that lost too much or leaf sums that are
#: not finite, and nothing has changed; or other sums are not, and the parameters are lost.
LEARNT, NO_WEIGHT, DAMAGED, LOST = range(4)
#: How members of a family are tables: they stay as they are; they are one; the first state has
#: what the others leave.
STAYS, WHOLE, BUT_FIRST = range(3)
# What threads tell each other, a cache line apart: who joined, how many the team has, who is done
# with what merged sums counted, whether the weights are new, and who is done with inputs and all.
JOINED, TEAM, UNPACKED, DESCENDED, PACKED, FINISHED = range(0, 96, 16)
# What the leading thread tells the others of a step.
KEEP, LEARN, BY_TOP_DOWN, SCALE, N_LANES, PLACE = range(6)


@kernel
def begin_step(n, lost_share, of_rows, unit, n_lanes, leaf_out, step, result, here, stepping):
    """See whether the step of a batch can be taken, and say how.

    Parameters
    ----------
    n : int
        Rows.
    lost_share : float
        See ``add_rows``.
    of_rows : tuple of ndarray
        Log-likelihoods, bounds and weights.
    unit : float
        Weight that sums are in units of.
    n_lanes : int
        Lanes that have edge sums.
    leaf_out : ndarray of shape (n_lanes, n_leaf_out)
        Sums, which are cleared.
    step : ndarray of shape (3,)
        1 - α, α, and 1 for top-down probabilities or 0 for flows.
    result : ndarray of shape (2,)
        Gets log-likelihood and weight.
    here : int
        Where of both places parameters lie; the other one gets the new ones.
    stepping : tuple
        See ``Run``.
    """
    never_inline()
    sums, (told, team, says) = stepping[6][0], stepping[7]
    log_likelihood, learnt, n_damaged = add_rows(*of_rows, n, lost_share)
    if n_damaged > 0 or not learnt > 0:
        return DAMAGED
    scale = unit / learnt
    if not np.isfinite(add_lanes(leaf_out, None, scale, 0, sums.size, sums)):
        return DAMAGED
    result[0], result[1] = log_likelihood, learnt
    told[:] = 0
    team[:] = 0
    says[KEEP], says[LEARN], says[BY_TOP_DOWN] = step[0], step[1], step[2]
    says[SCALE], says[N_LANES], says[PLACE] = scale, n_lanes, here
    return LEARNT


@kernel
def take_step(leads, n_threads, turns, edges, own, stepping):
    """Take the step that was begun, with others or alone; what came of it.

    Parameters
    ----------
    leads : bool
        One thread does, which returns when all is done.
    n_threads, turns : int
        How many are expected, and how often the one that leads looks whether they have come.
    edges : ndarray of shape (n_lanes, n_weights)
        Sums, which are cleared.
    own : tuple of ndarray
        Scratch of this thread: see ``unpack_tables`` and ``pack_tables``.
    stepping : tuple
        See ``Run``.
    """
    never_inline()
    circuit, layout, kinds, smoothing, places, packed, scratch, _, smallest = stepping
    told, team, says = stepping[7]
    flag = pointer(told)
    me, n_team = np.int64(0), np.int64(1)
    if leads:
        n_team = close_team(offset(flag, JOINED), offset(flag, TEAM), n_threads, turns)
    else:
        me = join_team(offset(flag, JOINED))
        if me >= LATE:
            return LEARNT
        n_team = await_team(offset(flag, TEAM), offset(flag, FINISHED))
    weights, chances, rows, leaves = places
    packed_weights, table, log2_scale, by_state, values = packed
    sums, reach, messages = scratch[0], scratch[1], scratch[2]
    ratios, used, tops = own
    here = np.int64(says[PLACE])
    there = 1 - here
    scale, learns = says[SCALE], n_team > 0  # a literal would be compiled for
    lanes = edges[: np.int64(says[N_LANES])]
    inputs, merged = layout[2], layout[3].shape[0]
    first, last = me * merged // n_team, (me + 1) * merged // n_team
    mine, end = first, last
    if layout[4][2] == 0:  # sums that have a leaf in common add to the same flows
        mine, end = 0, merged if leads else 0
    unpack_sums(
        mine, end, layout, weights, by_state, values, sums, scale, lanes, ratios, used
    )  # fmt: skip
    add(offset(flag, UNPACKED), 1)
    wait_for_number(offset(flag, UNPACKED), n_team)
    step = says[KEEP], says[LEARN], np.int64(says[BY_TOP_DOWN]), scale, smallest
    if leads:
        rows[there] = 0.0
        leaves[there] = 0.0
    finite = descend(
        circuit, weights, learns, step, lanes, smoothing[0], rows[here], weights, packed_weights,
        reach, messages, rows[there], leaves[there], team, n_team, me, leads,
    )  # fmt: skip
    if leads:
        add(offset(flag, DESCENDED), 1 if finite else 2)
    wait_for_number(offset(flag, DESCENDED), 1)
    if peek(offset(flag, DESCENDED)) == 1:
        n_inputs = inputs.shape[0]
        begin, stop = me * n_inputs // n_team, (me + 1) * n_inputs // n_team
        _mix_inputs(
            begin, stop, layout, kinds, (says[KEEP], says[LEARN], says[BY_TOP_DOWN]), smallest,
            sums, smoothing[1], leaves[here], chances[here], chances[there],
        )  # fmt: skip
        pack_inputs(begin, stop, layout, chances[there], by_state, tops, table, log2_scale)
        add(offset(flag, PACKED), 1)
        wait_for_number(offset(flag, PACKED), n_team)
        pack_sums(first, last, layout, weights, by_state, values, table, log2_scale)
    add(offset(flag, FINISHED), 1)
    if leads:
        wait_for_number(offset(flag, FINISHED), n_team)
    return LEARNT if peek(offset(flag, DESCENDED)) == 1 else LOST


@kernel
def _mix_inputs(begin, stop, layout, kinds, step, smallest, flows, more, before, old, new):
    """Mix the tables of inputs with mean flows by state, as ``mix_leaves`` does."""
    never_inline()
    keep, learn, by_top_down = step
    families, inputs = layout[0], layout[2]
    flow, smooth, likely = pointer(flows), pointer(more), pointer(before)
    source, target = pointer(old), pointer(new)
    for i in range(begin, stop):
        f = inputs[i, 3]
        states, kind, first = families[f, STATES], kinds[f, 0], kinds[f, 1]
        for u in range(inputs[i, 0], inputs[i, 1]):
            at = families[f, OUT] + u * states
            used = 0.0
            for s in range(at, at + states):
                used += load(flow, s) + load(smooth, s)
            if by_top_down != 0:
                x, y = keep * load(likely, first + u), learn
            elif used >= smallest:
                x, y = keep, learn / used
            else:
                x, y = 1.0, 0.0
            total = x + y * used
            if kind == STAYS or not total >= smallest:
                for s in range(at, at + states):
                    store(target, s, load(source, s))
            else:
                for s in range(at, at + states):
                    mixed = x * load(source, s) + y * (load(flow, s) + load(smooth, s))
                    store(target, s, mixed / total)
                _project(offset(target, at), states, kind)


@kernel
def _project(table, states, kind):
    """As the family itself would: so what it keeps of a table says all about it."""
    total = 0.0
    for s in range(1 if kind == BUT_FIRST else 0, states):
        store(table, s, max(load(table, s), 0.0))
        total += load(table, s)
    if kind == BUT_FIRST:
        store(table, 0, max(1.0 - total, 0.0))
        if total > 1:
            for s in range(1, states):
                store(table, s, load(table, s) / total)
    elif not abs(total - 1.0) <= states * np.finfo(np.float64).eps:
        for s in range(states):
            store(table, s, load(table, s) / total)
