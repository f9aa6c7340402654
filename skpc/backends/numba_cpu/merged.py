"""Tables of finite leaves, and of the sums that were merged into the leaves below them.

With W the weights of such a sum, T[c, s] the probability of state s under leaf unit c (1
for a missing cell) and M = W T its own table, the kernels count C[n, s], the flow of unit
n over rows in state s. The edge n→c then had Σ_s W[n, c] T[c, s] C[n, s] / M[n, s], and
leaf unit c in state s had Σ_n of the same terms.

Once a batch this goes over all such weights, so it is compiled. For merged sums probabilities
are passed state by state, (states, family units): so the units of an input lie side by side.
"""

from __future__ import annotations

import numpy as np

from .kernel_cache import entry_kernel, kernel
from .simd import (
    LANES,
    load,
    pointer,
    store,
    vadd,
    vdiv,
    vfill,
    vfma,
    vlike,
    vload,
    vmax,
    vstore,
    vsum,
)


@entry_kernel
def pack_tables(probability, starts, ends, scale_starts, tops, table, log2_scale):
    """Values of every (unit, state) divided by the largest of the input's units.

    ``probability`` is (units, states); input i has the units from ``starts[i]`` to ``ends[i]``;
    ``table`` is (units, states + 2), the last two states being a missing cell and a value
    outside the support. ``tops`` (states,) is scratch.
    """
    n_states = probability.shape[1]
    source, top, out = pointer(probability), pointer(tops), pointer(table)
    whole = n_states - n_states % LANES
    for i in range(starts.size):
        tops[...] = 0.0
        for u in range(starts[i], ends[i]):
            at = u * n_states
            for s in range(0, whole, LANES):
                vstore(top, s, vmax(vload(source, at + s), vload(top, s)))
            for s in range(whole, n_states):
                store(top, s, max(load(top, s), load(source, at + s)))
        for s in range(n_states):
            if not tops[s] > 0:
                tops[s] = 1.0
            log2_scale[scale_starts[i] + s] = np.log2(tops[s])
        for u in range(starts[i], ends[i]):
            at, to = u * n_states, u * (n_states + 2)
            for s in range(0, whole, LANES):
                vstore(out, to + s, vlike(out, vdiv(vload(source, at + s), vload(top, s))))
            for s in range(whole, n_states):
                store(out, to + s, load(source, at + s) / load(top, s))
            store(out, to + n_states, 1.0)


@entry_kernel
def pack_merged(weights, weight_starts, width, probability, unit_starts, values, table, log2_scale):
    """M of every merged sum, and M divided by its largest unit with the logarithm of that.

    M goes to ``values`` (sums, height, states + 1); what the kernels look up has one state
    more.
    """
    n_sums, height, n_kept = values.shape
    n_units = probability.shape[1]
    share, chance = pointer(weights), pointer(probability)
    for i in range(n_sums):
        for n in range(height):
            w = weight_starts[i] + n * width
            for s in range(n_kept - 1):
                values[i, n, s] = _dot(share, w, chance, s * n_units + unit_starts[i], width)
            values[i, n, n_kept - 1] = _sum(share, w, width)
        for s in range(n_kept):
            top = 0.0
            for n in range(height):
                top = max(top, values[i, n, s])
            if not top > 0:
                top = 1.0
            for n in range(height):
                table[(i * height + n) * (n_kept + 1) + s] = values[i, n, s] / top
            log2_scale[i * (n_kept + 1) + s] = np.log2(top)


@kernel
def _dot(left, a, right, b, n):
    total = vfill(left, 0)
    whole = n - n % LANES
    for i in range(0, whole, LANES):
        total = vfma(vload(left, a + i), vload(right, b + i), total)
    rest = vsum(total)
    for i in range(whole, n):
        rest += load(left, a + i) * load(right, b + i)
    return rest


@kernel
def _sum(source, a, n):
    total = vfill(source, 0)
    whole = n - n % LANES
    for i in range(0, whole, LANES):
        total = vadd(total, vload(source, a + i))
    rest = vsum(total)
    for i in range(whole, n):
        rest += load(source, a + i)
    return rest


@entry_kernel
def unpack_merged(
    weights, weight_starts, probability, unit_starts, values, counted, edge, used, unit, edges,
    leaf_flows,
):  # fmt: skip
    """Add what the merged sums counted to the leaf flows by state and, as derivatives by their
    weights in that unit, to the first lane of ``edges``.

    ``counted`` (sums, height, states + 1) is C; ``edge`` (width,) and ``used`` (states, width)
    are scratch; ``leaf_flows`` is (family units, states).
    """
    n_sums, height, n_kept = values.shape
    n_units = probability.shape[1]
    width = edge.size
    share, chance = pointer(weights), pointer(probability)
    here, sent, slope = pointer(edge), pointer(used), pointer(edges)
    for i in range(n_sums):
        used[...] = 0
        for n in range(height):
            w = weight_starts[i] + n * width
            ratio = 0.0
            if values[i, n, n_kept - 1] > 0:
                ratio = counted[i, n, n_kept - 1] / values[i, n, n_kept - 1]
            for k in range(width):
                store(here, k, ratio)
            for s in range(n_kept - 1):
                if values[i, n, s] > 0 and counted[i, n, s] != 0:
                    ratio = counted[i, n, s] / values[i, n, s]
                    c = s * n_units + unit_starts[i]
                    for k in range(width):
                        store(here, k, load(here, k) + ratio * load(chance, c + k))
                    for k in range(width):
                        more = load(sent, s * width + k) + ratio * load(share, w + k)
                        store(sent, s * width + k, more)
            for k in range(width):
                store(slope, w + k, load(slope, w + k) + load(here, k) / unit)
        for s in range(n_kept - 1):
            for k in range(width):
                u = unit_starts[i] + k
                leaf_flows[u, s] += used[s, k] * probability[s, u]


@entry_kernel
def unpack_tables(flows, statistics, leaves):
    """Add flows by state (units, states) to ``leaves`` (units, 1 + S): their sum, and their
    statistics.

    ``statistics`` is (states, S), or None where states are what is counted.
    """
    n_units, n_states = flows.shape
    source, out = pointer(flows), pointer(leaves)
    width = leaves.shape[1]
    for u in range(n_units):
        at, to = u * n_states, u * width
        if statistics is None:
            total = _sum(source, at, n_states)
            for s in range(n_states):
                store(out, to + 1 + s, load(out, to + 1 + s) + load(source, at + s))
        else:
            total = 0.0
            for s in range(n_states):
                flow = load(source, at + s)
                total += flow
                for k in range(width - 1):
                    store(out, to + 1 + k, load(out, to + 1 + k) + flow * statistics[s, k])
        store(out, to, load(out, to) + total)
