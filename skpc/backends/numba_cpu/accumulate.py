"""Flat loops over all parameters: adding up lanes, top-down probabilities, the M-step.

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

    For i from ``start`` to ``stop``; lanes are cleared. Returns the sum of these flows, which is
    not finite if one of them is not.
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
        flow = vmul(flow, vmul(vload(weight, i), vfill(out, unit)))
        vstore(out, i, flow)
        totals = vadd(totals, flow)
    total = vsum(totals)
    for i in range(whole, stop):
        flow = 0.0
        for at in range(i, i + n_lanes * n, n):
            flow += load(lanes, at)
            store(lanes, at, 0.0)
        flow *= unit * load(weight, i)
        store(out, i, flow)
        total += flow
    return total


@entry_kernel
def add_rows(log_likelihood, bound, weights, lost_share):
    """Sums over rows: weight · log-likelihood, weight, and how many are damaged.

    Damaged are rows whose bound on lost mass is not at most ``lost_share``; the sums leave them
    out. A row without weight adds nothing, whatever its log-likelihood.
    """
    total, weight, damaged = 0.0, 0.0, 0
    for i in range(weights.size):
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


@entry_kernel
def mix_rows(segments, weights, flows, keep, learn, smallest, totals, new):
    """new ∝ keep · weights + learn · flows, row by row; a row without mass keeps its weights.

    ``segments`` are (first weight, number, row), as in a Program; ``totals`` is scratch of
    one zero a row. A row may lie in several segments. Below ``smallest`` a total counts as
    no mass.
    """
    n_segments = segments.shape[0]
    old, flow, out = pointer(weights), pointer(flows), pointer(new)
    # Where every row is one segment, it is divided while it lies in the cache.
    alone = n_segments == totals.size
    for s in range(n_segments):
        start = segments[s, 0]
        end = start + segments[s, 1]
        row = segments[s, 2]
        a = keep[row]
        b = learn[row]
        for i in range(start, end):
            store(out, i, a * load(old, i) + b * load(flow, i))
        # Four sums side by side: each addition need not wait for the one before.
        first, second, third, fourth = 0.0, 0.0, 0.0, 0.0
        whole = end - (end - start) % 4
        for i in range(start, whole, 4):
            first += load(out, i)
            second += load(out, i + 1)
            third += load(out, i + 2)
            fourth += load(out, i + 3)
        for i in range(whole, end):
            first += load(out, i)
        totals[row] += (first + second) + (third + fourth)
        if alone:
            _normalise(old, out, start, end, totals[row], smallest)
    if not alone:
        for s in range(n_segments):
            start = segments[s, 0]
            total = totals[segments[s, 2]]
            _normalise(old, out, start, start + segments[s, 1], total, smallest)


@kernel
def _normalise(old, out, start, end, total, smallest):
    if total >= smallest:
        inverse = 1.0 / total
        for i in range(start, end):
            store(out, i, load(out, i) * inverse)
    else:
        for i in range(start, end):
            store(out, i, load(old, i))


@entry_kernel
def mix_leaves(mean, flows, keep, learn, smallest, new):
    """new = (keep · mean + learn · flows[1:]) / (keep + learn · flows[0]), unit by unit.

    A unit whose divisor is below ``smallest`` keeps its mean.
    """
    for i in range(mean.shape[0]):
        total = keep[i] + learn[i] * flows[i, 0]
        for k in range(mean.shape[1]):
            if total >= smallest:
                new[i, k] = (keep[i] * mean[i, k] + learn[i] * flows[i, k + 1]) / total
            else:
                new[i, k] = mean[i, k]
