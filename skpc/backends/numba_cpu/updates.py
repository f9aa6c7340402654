"""The M-step of the EM family, as flat loops over all parameters."""

from __future__ import annotations

from .kernel_cache import entry_kernel, kernel
from .simd import LANES, load, pointer, store, vadd, vdiv, vfill, vfma, vload, vmul, vstore, vsum


@entry_kernel
def smooth_means(sums, weight, more, start, stop):
    """sums[i] = sums[i] / weight + more[i] for i from ``start`` to ``stop``."""
    total, other = pointer(sums), pointer(more)
    # Not times the inverse, which overflows for the smallest weights.
    divisor = vfill(total, weight)
    whole = stop - (stop - start) % LANES
    for i in range(start, whole, LANES):
        vstore(total, i, vadd(vdiv(vload(total, i), divisor), vload(other, i)))
    for i in range(whole, stop):
        store(total, i, load(total, i) / weight + load(other, i))


@entry_kernel
def mix_rows(segments, weights, flows, keep, keeps, learn, learns, smallest, new, first, last):
    """new ∝ keep · keeps · weights + learn · learns · flows; a row without mass keeps its weights.

    ``keeps`` and ``learns`` have a number a row, or are None and left out.
    ``segments`` are (first weight, number, row), as in a Program, each a row of its own here;
    the loop goes from segment ``first`` to ``last``. Below ``smallest`` a total counts as no
    mass.
    """
    old, flow, out = pointer(weights), pointer(flows), pointer(new)
    segment, a, b = pointer(segments), pointer(keeps), pointer(learns)
    for s in range(3 * first, 3 * last, 3):
        start, row = load(segment, s), load(segment, s + 2)
        end = start + load(segment, s + 1)
        x, y = _coefficient(keep, a, row), _coefficient(learn, b, row)
        total = _mix(old, flow, out, start, end, x, y)
        _normalise(old, out, start, end, total, smallest)


@entry_kernel
def mix_scattered_rows(segments, weights, flows, keep, keeps, learn, learns, smallest, new, totals):
    """The same where a row may lie in several segments; ``totals`` is a zero for every row."""
    old, flow, out = pointer(weights), pointer(flows), pointer(new)
    a, b = pointer(keeps), pointer(learns)
    for s in range(segments.shape[0]):
        start, row = segments[s, 0], segments[s, 2]
        end = start + segments[s, 1]
        x, y = _coefficient(keep, a, row), _coefficient(learn, b, row)
        totals[row] += _mix(old, flow, out, start, end, x, y)
    for s in range(segments.shape[0]):
        start = segments[s, 0]
        end = start + segments[s, 1]
        _normalise(old, out, start, end, totals[segments[s, 2]], smallest)


@kernel
def _coefficient(scale, values, i):
    """``scale`` times a number behind a pointer, if there is one."""
    if values is None:
        return scale
    return scale * load(values, i)


@kernel
def _mix(old, flow, out, start, end, keep, learn):
    """Mix a segment; its sum."""
    a, b, sums = vfill(old, keep), vfill(old, learn), vfill(old, 0)
    whole = end - (end - start) % LANES
    for i in range(start, whole, LANES):
        mixed = vfma(b, vload(flow, i), vmul(a, vload(old, i)))
        vstore(out, i, mixed)
        sums = vadd(sums, mixed)
    total = vsum(sums)
    for i in range(whole, end):
        mixed = keep * load(old, i) + learn * load(flow, i)
        store(out, i, mixed)
        total += mixed
    return total


@kernel
def _normalise(old, out, start, end, total, smallest):
    """Divide a segment by its row's total, while it lies in the cache."""
    if total >= smallest:
        inverse = 1.0 / total
        many = vfill(out, inverse)
        whole = end - (end - start) % LANES
        for i in range(start, whole, LANES):
            vstore(out, i, vmul(vload(out, i), many))
        for i in range(whole, end):
            store(out, i, load(out, i) * inverse)
    else:
        for i in range(start, end):
            store(out, i, load(old, i))


@entry_kernel
def mix_leaves(mean, flows, keep, keeps, learn, learns, smallest, new):
    """new = (x · mean + y · flows[1:]) / (x + y · flows[0]) with x = keep · keeps and
    y = learn · learns, unit by unit; see ``mix_rows``.

    A unit whose divisor is below ``smallest`` keeps its mean.
    """
    a, b = pointer(keeps), pointer(learns)
    for i in range(mean.shape[0]):
        x, y = _coefficient(keep, a, i), _coefficient(learn, b, i)
        total = x + y * flows[i, 0]
        for k in range(mean.shape[1]):
            if total >= smallest:
                new[i, k] = (x * mean[i, k] + y * flows[i, k + 1]) / total
            else:
                new[i, k] = mean[i, k]
