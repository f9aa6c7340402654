"""Tables of finite leaves, and of the sums that were merged into the leaves below them.

With W the weights of such a sum, T[c, s] the probability of state s under leaf unit c (1
for a missing cell) and M = W T its own table, the kernels count C[n, s], the flow of unit
n over rows in state s. The edge n→c then had Σ_s W[n, c] T[c, s] C[n, s] / M[n, s], and
leaf unit c in state s had Σ_n of the same terms.

Once a batch this goes over all such weights, so it is compiled, and one call does it for all
families and sums, whose arrays lie behind each other: see ``TableLayout``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...circuit import Program
from .columns import LOG_SCALE
from .kernel_cache import entry_kernel, kernel
from .plan import Plan
from .short_vectors import put, take
from .simd import (
    LANES,
    load,
    offset,
    pointer,
    store,
    vadd,
    vdiv,
    vdouble,
    vfill,
    vfma,
    vlike,
    vload,
    vmax,
    vstore,
    vsum,
)

# Columns of the table of finite families: units, states, where they begin among leaf statistics
# and in the packed table, and whether sums are merged with them.
UNITS, STATES, OUT, PACKED, MERGED = range(5)
N_FAMILY_COLUMNS = 5
# Columns of the table of groups of merged sums of one shape: family and its states, height, width,
# number; where their counts, packed tables, scales and values begin.
FAMILY, GROUP_STATES, HEIGHT, WIDTH, N_SUMS, COUNTED, TABLE, SCALE, VALUES = range(9)
N_GROUP_COLUMNS = 9
# Columns of the tables of inputs and of merged sums: see TableLayout.
FIRST_UNIT, END_UNIT, SCALES, ROW = range(4)
FIRST_WEIGHT, LEAF_UNIT, GROUP, PLACE = range(4)


class TableLayout(NamedTuple):
    """Where everything lies that is about tables; all integers are int64.

    Attributes
    ----------
    families, groups : ndarray of shape (n, columns)
        See above.
    inputs : ndarray of shape (n_inputs, 4)
        First unit and end of every input in its family, from where its scales are written, and the
        row of the family.
    places : ndarray of shape (n_merged, 4)
        First weight of every merged sum, first unit of its leaf in the family; the row of its
        group, and its place there.
    widest : ndarray of shape (2,)
        Most states and most units that one of them has.
    """

    families: np.ndarray
    groups: np.ndarray
    inputs: np.ndarray
    places: np.ndarray
    widest: np.ndarray

    @property
    def n_values(self) -> int:
        """Numbers that merged sums come to."""
        groups = self.groups
        return int((groups[:, N_SUMS] * groups[:, HEIGHT] * (groups[:, GROUP_STATES] + 1)).sum())


def lay_out_tables(program: Program, plan: Plan) -> TableLayout:
    """The tables of a plan."""
    row_of = {leaf.family: i for i, leaf in enumerate(f for f in plan.families if f.is_table)}
    merged = {group.family for group in plan.merged}
    families, inputs, groups, places = [], [], [], []
    for leaf in plan.families:
        if not leaf.is_table:
            continue
        f = leaf.family
        n_units = program.family_units[f]
        vectors = np.flatnonzero(program.family == f)
        starts, first = np.unique(program.unit_start[vectors], return_index=True)
        ends = np.append(starts[1:], n_units)
        scales = plan.instructions[vectors[first], LOG_SCALE]
        inputs += [(*each, row_of[f]) for each in np.column_stack([starts, ends, scales]).tolist()]
        families.append((n_units, leaf.n_terms, leaf.out_start, leaf.packed_start, f in merged))
    n_values = 0
    for group in plan.merged:
        shape = group.height, group.width, len(group.sums)
        at = group.out_start, group.packed_start, group.scale_start, n_values
        pairs = zip(group.weight_starts.tolist(), group.unit_starts.tolist())
        places += [(*pair, len(groups), i) for i, pair in enumerate(pairs)]
        groups.append((row_of[group.family], group.states, *shape, *at))
        n_values += len(group.sums) * group.height * (group.states + 1)
    most = (
        max((f[STATES] for f in families), default=0),
        max((g[WIDTH] for g in groups), default=0),
    )

    def table(rows: list, n_columns: int) -> np.ndarray:
        return np.array(rows, dtype=np.int64).reshape(-1, n_columns)

    return TableLayout(
        table(families, N_FAMILY_COLUMNS),
        table(groups, N_GROUP_COLUMNS),
        table(inputs, 4),
        table(places, 4),
        np.array(most, dtype=np.int64),
    )


@entry_kernel
def pack_tables(layout, weights, chances, by_state, values, tops, table, log2_scale):
    """Write the packed tables of all finite leaves and merged sums.

    Parameters
    ----------
    layout : tuple of ndarray
        A ``TableLayout``.
    weights : ndarray of shape (n_weights,)
    chances : ndarray of shape (n_leaf_out,)
        Probabilities (units, states) of every family.
    by_state : ndarray of shape (n_leaf_out,)
        Gets them as (states, units), where sums are merged: the units of an input lie side by side
        there.
    values : ndarray of shape (n_values,)
        Gets M of every merged sum, (sums, height, states + 1) of every group.
    tops : ndarray
        Scratch for the most states.
    table, log2_scale : ndarray
        Get what the kernels read.
    """
    none = np.int64(0)  # a literal would be compiled for
    where = bare_layout(layout)
    share, chance, turned, value = (
        pointer(weights), pointer(chances), pointer(by_state), pointer(values)
    )  # fmt: skip
    top, out, scale = pointer(tops), pointer(table), pointer(log2_scale)
    pack_inputs(none, layout[2].shape[0], where, chance, turned, top, out, scale)
    pack_sums(none, layout[3].shape[0], where, share, turned, value, out, scale)


@kernel
def bare_layout(layout):
    """Tables of families, groups, inputs and merged sums as bare pointers."""
    return pointer(layout[0]), pointer(layout[1]), pointer(layout[2]), pointer(layout[3])


@kernel
def family_at(layout, f, column):
    """What a layout says of a family."""
    return load(layout[0], N_FAMILY_COLUMNS * f + column)


@kernel
def group_at(layout, g, column):
    """What it says of a group."""
    return load(layout[1], N_GROUP_COLUMNS * g + column)


@kernel
def input_at(layout, i, column):
    """What it says of an input."""
    return load(layout[2], 4 * i + column)


@kernel
def sum_at(layout, p, column):
    """What it says of a merged sum."""
    return load(layout[3], 4 * p + column)


@kernel
def pack_inputs(first, last, layout, chance, turned, top, out, scale):
    """Those of some inputs, and their probabilities by state."""
    for i in range(first, last):
        begin, end = input_at(layout, i, FIRST_UNIT), input_at(layout, i, END_UNIT)
        f = input_at(layout, i, ROW)
        states, at = family_at(layout, f, STATES), family_at(layout, f, OUT)
        _pack_input(
            begin, end, states, offset(chance, at), top,
            offset(out, family_at(layout, f, PACKED)), offset(scale, input_at(layout, i, SCALES)),
        )  # fmt: skip
        if family_at(layout, f, MERGED) != 0:
            n_units = family_at(layout, f, UNITS)
            for u in range(begin, end):
                for s in range(states):
                    store(turned, at + s * n_units + u, load(chance, at + u * states + s))


@kernel
def pack_sums(first, last, layout, share, turned, value, out, scale):
    """Those of some merged sums, when the inputs below them are packed."""
    for p in range(first, last):
        g, i = sum_at(layout, p, GROUP), sum_at(layout, p, PLACE)
        f, states = group_at(layout, g, FAMILY), group_at(layout, g, GROUP_STATES)
        height, first_unit = group_at(layout, g, HEIGHT), sum_at(layout, p, LEAF_UNIT)
        _pack_sum(
            offset(share, sum_at(layout, p, FIRST_WEIGHT)), height, group_at(layout, g, WIDTH),
            states, offset(turned, family_at(layout, f, OUT) + first_unit),
            family_at(layout, f, UNITS),
            offset(value, group_at(layout, g, VALUES) + i * height * (states + 1)),
            offset(out, group_at(layout, g, TABLE) + i * height * (states + 2)),
            offset(scale, group_at(layout, g, SCALE) + i * (states + 2)),
        )  # fmt: skip


@kernel
def _pack_input(first, last, n_states, source, top, out, log2_scale):
    """Values of every (unit, state) divided by the largest of the input's units.

    ``source`` is (units, states), ``out`` (units, states + 2): the last two states are a missing
    cell and a value outside the support.
    """
    whole = n_states - n_states % LANES
    for s in range(n_states):
        store(top, s, 0.0)
    for u in range(first, last):
        at = u * n_states
        for s in range(0, whole, LANES):
            vstore(top, s, vmax(vload(source, at + s), vload(top, s)))
        for s in range(whole, n_states):
            store(top, s, max(load(top, s), load(source, at + s)))
    for s in range(n_states):
        if not load(top, s) > 0:
            store(top, s, 1.0)
        store(log2_scale, s, np.log2(load(top, s)))
    for u in range(first, last):
        at, to = u * n_states, u * (n_states + 2)
        for s in range(0, whole, LANES):
            vstore(out, to + s, vlike(out, vdiv(vload(source, at + s), vload(top, s))))
        for s in range(whole, n_states):
            store(out, to + s, load(source, at + s) / load(top, s))
        store(out, to + n_states, 1.0)


@kernel
def _pack_sum(share, height, width, n_states, chance, n_units, values, out, log2_scale):
    """M of a merged sum, and M divided by its largest unit with the logarithm of that.

    What the kernels look up has one state more.
    """
    n_kept = n_states + 1
    for n in range(height):
        w = n * width
        for s in range(n_states):
            store(values, n * n_kept + s, _dot(share, w, chance, s * n_units, width))
        store(values, n * n_kept + n_states, _sum(share, w, width))
    for s in range(n_kept):
        top = 0.0
        for n in range(height):
            top = max(top, load(values, n * n_kept + s))
        if not top > 0:
            top = 1.0
        for n in range(height):
            store(out, n * (n_kept + 1) + s, load(values, n * n_kept + s) / top)
        store(log2_scale, s, np.log2(top))


@kernel
def _dot(left, a, right, b, n):
    total = vfill(left, 0)
    for k in range(0, n, LANES):
        total = vfma(take(left, a + k, n - k), take(right, b + k, n - k), total)
    return vsum(total)


@kernel
def _sum(source, a, n):
    total = vfill(source, 0)
    for k in range(0, n, LANES):
        total = vadd(total, take(source, a + k, n - k))
    return vsum(total)


@entry_kernel
def unpack_tables(layout, weights, by_state, values, leaves, unit, edges, ratios, used):
    """Turn what merged sums counted into flows of leaves by state, and derivatives by weights.

    Parameters
    ----------
    layout, weights, by_state, values
        As in ``pack_tables``.
    leaves : ndarray of shape (n_leaf_out,)
        Has the counts of merged sums; flows are added to those of the families.
    unit : float
        The derivatives are in units of that weight.
    edges : ndarray of shape (n_lanes, n_weights)
        To its first lane they are added.
    ratios, used : ndarray
        Scratch for the most states and one more, twice, and for the most units in most states.
    """
    unpack_sums(
        np.int64(0), layout[3].shape[0], bare_layout(layout), pointer(weights), pointer(by_state),
        pointer(values), pointer(leaves), unit, pointer(edges), pointer(ratios), pointer(used),
    )  # fmt: skip


@kernel
def unpack_sums(
    first, last, layout, share, chance, value, flow, unit, slope, ratio, sent
):  # fmt: skip
    """What some of the merged sums counted."""
    for p in range(first, last):
        w, first_unit = sum_at(layout, p, FIRST_WEIGHT), sum_at(layout, p, LEAF_UNIT)
        g, i = sum_at(layout, p, GROUP), sum_at(layout, p, PLACE)
        f, states = group_at(layout, g, FAMILY), group_at(layout, g, GROUP_STATES)
        height, width = group_at(layout, g, HEIGHT), group_at(layout, g, WIDTH)
        at, n_units = family_at(layout, f, OUT), family_at(layout, f, UNITS)
        size, turned = i * height * (states + 1), offset(chance, at + first_unit)
        _unpack_sum(
            offset(share, w), height, width, states, turned, n_units,
            offset(value, group_at(layout, g, VALUES) + size),
            offset(flow, group_at(layout, g, COUNTED) + size), unit, offset(slope, w), ratio, sent,
        )  # fmt: skip
        out = offset(flow, at + first_unit * states)
        for k in range(width):
            for s in range(states):
                more = load(sent, s * width + k) * load(turned, s * n_units + k)
                store(out, k * states + s, load(out, k * states + s) + more)


@kernel
def _unpack_sum(
    share, height, width, n_states, chance, n_units, values, counted, unit, slope, ratios, sent
):  # fmt: skip
    """Derivatives by the weights of a merged sum; ``sent`` gets leaf flows by state over theirs."""
    n_kept = n_states + 1
    for i in range(n_states * width):
        store(sent, i, 0.0)
    # Ratios of counts to values, and what that is in units of derivatives.
    scaled = offset(ratios, n_kept)
    for n in range(height):
        w, at = n * width, n * n_kept
        for s in range(n_kept):
            value, count = load(values, at + s), load(counted, at + s)
            ratio = count / value if value > 0 and count != 0 else 0.0
            store(ratios, s, ratio)
            store(scaled, s, ratio / unit)
        for k in range(0, width, LANES):
            rest = width - k
            weights = take(share, w + k, rest)
            slopes = vfill(share, load(scaled, n_states))
            for s in range(n_states):
                chances = take(chance, s * n_units + k, rest)
                slopes = vfma(vfill(share, load(scaled, s)), chances, slopes)
                more = vfma(vfill(share, load(ratios, s)), weights, take(sent, s * width + k, rest))
                put(sent, s * width + k, more, rest)
            slopes = vadd(vdouble(take(slope, w + k, rest)), slopes)
            put(slope, w + k, vlike(slope, slopes), rest)


@entry_kernel
def add_statistics(flows, statistics, leaves):
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
