"""Flat loops over all parameters: adding up lanes and rows, top-down probabilities.

Where an index is a sum, arrays are read through bare pointers: numba would test every such index
for being negative, and do one number at a time, at a third to a quarter of the speed.
"""

from __future__ import annotations

from .columns import (
    CHILD,
    COLUMNS,
    HEIGHT,
    IN,
    KRONECKER,
    MIXING,
    OUT,
    PRODUCT,
    SUM,
    TRANSPOSE,
    WEIGHTS,
)
from .kernel_cache import entry_kernel
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
    lanes, weight, out = pointer(edges), pointer(weights), pointer(flows)
    nothing = vfill(lanes, 0)
    totals = vfill(out, 0)
    whole = stop - (stop - start) % LANES
    for i in range(start, whole, LANES):
        flow = vfill(out, 0)
        for at in range(i, i + n_lanes * n, n):
            flow = vadd(flow, vdouble(vload(lanes, at)))
            vstore(lanes, at, nothing)
        flow = vmul(flow, vfill(out, unit))
        if weights is not None:
            flow = vmul(flow, vload(weight, i))
        vstore(out, i, flow)
        totals = vadd(totals, flow)
    total = vsum(totals)
    for i in range(whole, stop):
        flow = 0.0
        for at in range(i, i + n_lanes * n, n):
            flow += load(lanes, at)
            store(lanes, at, 0.0)
        flow *= unit
        if weights is not None:
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


@entry_kernel
def top_down(
    op, units, arg_start, args, row_start, leaf_start, starts, weights, reach, rows, leaves
):
    """Probability of every unit, from the arrays of a Program.

    ``reach`` holds one number a unit of a vector, from ``starts``; sums add theirs to
    ``rows``, leaves to ``leaves`` from ``leaf_start``.
    """
    last = op.size - 1
    reach[starts[last]] = 1.0
    reached, share = pointer(reach), pointer(weights)
    for back in range(last + 1):
        v = last - back
        at = starts[v]
        n = units[v]
        if op[v] == PRODUCT:
            for j in range(arg_start[v], arg_start[v + 1]):
                c = starts[args[j, CHILD]]
                for k in range(n):
                    reach[c + k] += reach[at + k]
        elif op[v] == TRANSPOSE:
            a = arg_start[v]
            c = starts[args[a, CHILD]]
            height = args[a, HEIGHT]
            width = args[a, COLUMNS]
            for i in range(height):
                for k in range(width):
                    reach[c + i * width + k] += reach[at + k * height + i]
        elif op[v] == SUM:
            for j in range(arg_start[v], arg_start[v + 1]):
                c = starts[args[j, CHILD]] + args[j, IN]
                w = args[j, WEIGHTS]
                width = args[j, COLUMNS]
                for m in range(args[j, HEIGHT]):
                    above = load(reached, at + args[j, OUT] + m)
                    for k in range(width):
                        more = above * load(share, w + k)
                        store(reached, c + k, load(reached, c + k) + more)
                    w += width
        elif op[v] == MIXING:
            for j in range(arg_start[v], arg_start[v + 1]):
                c = starts[args[j, CHILD]]
                for k in range(n):
                    reach[c + k] += reach[at + k] * weights[args[j, WEIGHTS] + k]
        elif op[v] == KRONECKER:
            a = arg_start[v]
            first = starts[args[a, CHILD]]
            second = starts[args[a + 1, CHILD]]
            w = args[a, WEIGHTS]
            width = args[a + 1, COLUMNS]
            for i in range(args[a, COLUMNS]):
                for m in range(n):
                    for k in range(width):
                        x = reach[at + m] * weights[w + k]
                        reach[second + k] += x
                        reach[first + i] += x
                    w += width
        else:
            for k in range(n):
                leaves[leaf_start[v] + k] += reach[at + k]
        if row_start[v] >= 0:
            for k in range(n):
                rows[row_start[v] + k] += reach[at + k]
