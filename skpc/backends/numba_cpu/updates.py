"""The M-step of the EM family, as flat loops over all parameters."""

from __future__ import annotations

from .kernel_cache import entry_kernel, kernel
from .simd import load, pointer, store


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
