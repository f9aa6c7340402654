"""Flat loops over the sums of lanes and of rows.

Where an index is a sum, arrays are read through bare pointers: numba would test every such index
for being negative, and do one number at a time, at a third to a quarter of the speed.
"""

from __future__ import annotations

from .kernel_cache import entry_kernel, kernel
from .simd import (
    LANES,
    load,
    pointer,
    store,
    vadd,
    vdouble,
    vfill,
    vload,
    vmul,
    vstore,
    vsum,
)


@entry_kernel
def add_lanes(edges, weights, unit, start, stop, flows):
    """flows[i] = unit · weights[i] · Σ over lanes of edges[lane, i], in float64.

    For i from ``start`` to ``stop``; lanes are cleared. Without weights (None) leave them out.
    Returns the sum of these flows, which is not finite if one of them is not.
    """
    n_lanes, n = edges.shape
    return add_some(pointer(edges), n_lanes, n, pointer(weights), unit, start, stop, pointer(flows))


@kernel
def add_some(lanes, n_lanes, n, weight, unit, start, stop, out):
    """The same with bare pointers; lanes lie ``n`` numbers apart."""
    nothing = vfill(lanes, 0)
    totals = vfill(out, 0)
    whole = stop - (stop - start) % LANES
    for i in range(start, whole, LANES):
        flow, at = vfill(out, 0), i
        # A range of such steps would take a division.
        for _ in range(n_lanes):
            flow = vadd(flow, vdouble(vload(lanes, at)))
            vstore(lanes, at, nothing)
            at += n
        flow = vmul(flow, vfill(out, unit))
        if weight is not None:
            flow = vmul(flow, vload(weight, i))
        vstore(out, i, flow)
        totals = vadd(totals, flow)
    total = vsum(totals)
    for i in range(whole, stop):
        flow, at = 0.0, i
        for _ in range(n_lanes):
            flow += load(lanes, at)
            store(lanes, at, 0.0)
            at += n
        flow *= unit
        if weight is not None:
            flow *= load(weight, i)
        store(out, i, flow)
        total += flow
    return total


@entry_kernel
def add_rows(log_likelihood, bound, weights, n, lost_share):
    """Sums over ``n`` rows: weight · log-likelihood, weight, and how many are damaged.

    Damaged are rows whose bound on lost mass is not at most ``lost_share``; the sums leave them
    out. A row without weight adds nothing, whatever its log-likelihood.
    """
    total, weight, damaged = 0.0, 0.0, 0
    for i in range(n):
        if not bound[i] <= lost_share:
            damaged += 1
        elif weights[i] > 0:
            weight += weights[i]
            total += weights[i] * log_likelihood[i]
    return total, weight, damaged
