"""What follows the pass of a batch: its sums become new parameters, and these what kernels read.

The same loops serve solvers one by one; here they follow each other in compiled code, so that
batches do.
"""

from __future__ import annotations

import numpy as np

from .accumulate import add_lanes, add_rows
from .descent import descend
from .kernel_cache import kernel
from .simd import load, never_inline, offset, pointer, store
from .tables import OUT, STATES, UNITS, pack_tables, unpack_tables

#: What came of a batch: learnt; or, and nothing has changed, it has no weight, or rows that lost
#: too much or sums that are not finite.
LEARNT, NO_WEIGHT, DAMAGED = range(3)
#: How members of a family are tables: they stay as they are; they are one; the first state has
#: what the others leave.
STAYS, WHOLE, BUT_FIRST = range(3)


@kernel
def finish(n, lost_share, of_rows, unit, edges, leaf_out, step, result, here, stepping):
    """Take the step of a batch; what came of it.

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
    edges, leaf_out : ndarray of shape (n_lanes, ...)
        Sums, which are cleared.
    step : tuple of float
        1 - α, α, and 1 for top-down probabilities or 0 for flows.
    result : ndarray of shape (2,)
        Gets log-likelihood and weight.
    here : int
        Where of both places parameters lie; the other one gets the new ones.
    stepping : tuple
        See ``Run``.
    """
    never_inline()
    circuit, layout, kinds, smoothing, places, packed, scratch, smallest = stepping
    weights, chances, rows, leaves = places
    more_rows, more_states = smoothing
    packed_weights, table, log2_scale, by_state, values = packed
    sums, reach, messages, team, ratios, used, tops = scratch
    there = 1 - here
    log_likelihood, learnt, n_damaged = add_rows(*of_rows, n, lost_share)
    if n_damaged > 0 or not learnt > 0:
        return DAMAGED
    scale = unit / learnt
    if not np.isfinite(add_lanes(leaf_out, None, scale, 0, sums.size, sums)):
        return DAMAGED
    unpack_tables(layout, weights[here], by_state, values, sums, scale, edges, ratios, used)
    rows[there] = 0.0
    leaves[there] = 0.0
    whole_step = step[0], step[1], step[2], scale, smallest
    if not descend(
        circuit, weights[here], True, whole_step, edges, more_rows, rows[here], weights[there],
        packed_weights, reach, messages, rows[there], leaves[there], team, 1, True,
    ):  # fmt: skip
        return DAMAGED
    _mix_tables(
        layout[0], kinds, step, smallest, sums, more_states, leaves[here], chances[here],
        chances[there],
    )  # fmt: skip
    pack_tables(layout, weights[there], chances[there], by_state, values, tops, table, log2_scale)
    result[0], result[1] = log_likelihood, learnt
    return LEARNT


@kernel
def _mix_tables(families, kinds, step, smallest, flows, more, before, old, new):
    """Mix the tables of every family with mean flows by state, as ``mix_leaves`` does."""
    keep, learn, by_top_down = step
    flow, smooth, likely = pointer(flows), pointer(more), pointer(before)
    source, target = pointer(old), pointer(new)
    for f in range(families.shape[0]):
        states, kind, first = families[f, STATES], kinds[f, 0], kinds[f, 1]
        for u in range(families[f, UNITS]):
            at = families[f, OUT] + u * states
            if kind == STAYS:
                for s in range(at, at + states):
                    store(target, s, load(source, s))
                continue
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
            if total >= smallest:
                for s in range(at, at + states):
                    mixed = x * load(source, s) + y * (load(flow, s) + load(smooth, s))
                    store(target, s, mixed / total)
            else:
                for s in range(at, at + states):
                    store(target, s, load(source, s))
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
