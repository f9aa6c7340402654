"""Where everything of a tile lies in memory: a Program turned into tables of offsets.

Two plans are made of one program. For training every value that the backward pass reads
keeps its place. For scoring a place is used again as soon as its last reader is done, so
that the live set stays in cache.

A dense sum straight above a leaf with few states is itself a leaf with few states: its
table is weights · table, made once an update, and its flows by state give back those of
its edges and of the leaf below. In a hidden Chow-Liu tree these are the sums above the
tree's leaves, and no row ever passes through their products.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...circuit.program import Program
from ...utils.lazy import lazy
from .columns import (
    ARG,
    ARG_END,
    BELOW,
    CHILD,
    CHILD_SCALE,
    CHILD_UNITS,
    CHILD_VALUE,
    COLUMNS,
    DATA,
    DIRECT,
    EXPONENTIAL,
    FACTOR,
    FACTOR_ROW,
    GATHER,
    GIVEN,
    HEIGHT,
    KEPT,
    KRONECKER,
    LEAF,
    LEAF_OUT,
    LEAVES,
    LOG_SCALE,
    LOOKUP,
    MAP,
    MEASURE,
    MIXING,
    N_ARG_COLUMNS,
    N_INSTRUCTION_COLUMNS,
    OFFER,
    OP,
    PASSING,
    PRODUCT,
    PRODUCTS,
    PULL,
    PULL_END,
    PUSH,
    PUSH_DIVIDED,
    PUSH_FIRST,
    PUSH_LEAF,
    PUSH_MORE,
    PUSH_NOTHING,
    SCALE,
    SKIP,
    SLOT,
    SUM,
    TABLE,
    TARGET,
    TRANSPOSE,
    UNITS,
    VALUE,
    WEIGHTS,
    WIDTH,
)
from .leaves import SELECT_STATES
from .scopes import Scoped
from .simd import PANEL


@dataclass
class LeafFamily:
    """How one family is packed for the kernels."""

    family: int
    is_table: bool
    n_terms: int  # states kept in the statistics, or 1 + n_statistics
    packed_start: int  # in the table or coefficient array
    out_start: int  # in the leaf accumulator
    variables: list[int] = field(default_factory=list)
    first_slot: int = 0

    @lazy
    def columns(self) -> np.ndarray:
        """The variables as an array."""
        return np.array(self.variables, dtype=np.int64)

    @lazy
    def last_column(self) -> int:
        """The highest of them."""
        return max(self.variables)


@dataclass
class MergedTables:
    """Sums of one shape straight above leaves of one family, read as leaves themselves.

    Packed values lie as (n, height, states + 2) from ``packed_start``, flows as (n, height,
    states + 1) from ``out_start``; the last kept state is a missing cell.
    """

    family: int
    states: int
    height: int
    width: int
    sums: list[int]
    weight_starts: np.ndarray  # (n,): first weight of every sum
    unit_starts: np.ndarray  # (n,): first unit of its leaf in the family
    packed_start: int
    out_start: int
    scale_start: int

    @property
    def weight_index(self) -> np.ndarray:
        """All weights, (n, height · width)."""
        return self.weight_starts[:, None] + np.arange(self.height * self.width)

    @property
    def unit_index(self) -> np.ndarray:
        """All units of the leaves in their family, (n, width)."""
        return self.unit_starts[:, None] + np.arange(self.width)


@dataclass
class GroupLeaf:
    """An input over a group of columns; its log densities, and then its flows, lie in the data."""

    family: int
    columns: np.ndarray
    units: slice  # of its family
    n_units: int
    first_slot: int


@dataclass
class Plan:
    """Tables of offsets for the kernels; all integers are int64."""

    instructions: np.ndarray
    args: np.ndarray
    pulls: np.ndarray
    families: list[LeafFamily]
    merged: list[MergedTables]
    group_leaves: list[GroupLeaf]
    #: (scopes, 5): units of values, rows of scales and factors, units of slots and of offers.
    sizes: np.ndarray
    max_units: int
    n_codes: int  # rows of the code array
    n_data: int  # rows of the float data array
    n_leaf_out: int
    n_packed_table: int
    n_packed_coefficients: int
    n_log_scale: int

    @property
    def n_values(self) -> int:
        """Units of the value buffer, if all scopes have the same rows."""
        return int(self.sizes[:, 0].sum())

    @property
    def n_scales(self) -> int:
        """Rows of the scale buffers."""
        return int(self.sizes[:, 1].sum())

    @property
    def n_factors(self) -> int:
        """Rows of the factor buffer."""
        return int(self.sizes[:, 2].sum())

    @property
    def n_slots(self) -> int:
        """Units of the flow buffer."""
        return int(self.sizes[:, 3].sum())

    @property
    def n_offers(self) -> int:
        """Units that scopes offer to others."""
        return int(self.sizes[:, 4].sum())

    @property
    def code_dtype(self) -> type[np.signedinteger]:
        """Of codes of states, and of numbers of rows: the shorter, the less is moved."""
        most = max((leaf.n_terms + 2 for leaf in self.families if leaf.is_table), default=0)
        return np.int16 if most <= np.iinfo(np.int16).max else np.int32


class _Places:
    """First-fit reuse of buffers of equal size."""

    def __init__(self) -> None:
        self.size = 0
        self._free: dict[int, list[int]] = {}

    def take(self, units: int) -> int:
        free = self._free.get(units)
        if free:
            return free.pop()
        self.size += units
        return self.size - units

    def give(self, place: int, units: int) -> None:
        self._free.setdefault(units, []).append(place)


#: Sums above leaves with more states keep their own product: its table would cost more.
MERGE_STATES = 64


def make_plan(program: Program | Scoped, training: bool, keep_scales: bool = False) -> Plan:
    """Lay out one tile of a program, for scoring or for training, with scales that last or not.

    Places are counted from the beginning of the vector's scope; a Program has one scope.
    """
    n = program.n_vectors
    scope = np.zeros(n, dtype=np.int64)
    if isinstance(program, Scoped):
        scope = program.scope
    table = np.zeros((n, N_INSTRUCTION_COLUMNS), dtype=np.int64)
    args = np.zeros((len(program.args), N_ARG_COLUMNS), dtype=np.int64)
    args[:, :6] = program.args
    owner = np.repeat(np.arange(n), np.diff(program.arg_start))
    table[:, OP] = program.op
    table[:, UNITS] = program.units
    table[:, ARG] = program.arg_start[:-1]
    table[:, ARG_END] = program.arg_start[1:]

    families, group_leaves, numbers = _lay_out_leaves(program, table)
    merged = _merge_sums_into_leaves(program, table, args, owner, families, numbers)
    if isinstance(program, Scoped):
        _lay_out_gathers(program, table, args)
    parents: list[list[int]] = [[] for _ in range(n)]  # argument numbers
    for a in range(len(args)):
        if table[owner[a], OP] not in (TABLE, LOOKUP, SKIP):
            parents[args[a, CHILD]].append(a)
    parent_ops = [{int(table[owner[a], OP]) for a in parents[v]} for v in range(n)]
    reader_ops = _through_gathers(parents, parent_ops, owner)
    unread = [v for v in range(n - 1) if not parents[v]]
    table[unread, OP] = SKIP

    _choose_scales(table, args, reader_ops)
    for v in range(n):
        table[v, PASSING] = _is_passing(v, table, args, scope, parents, parent_ops)
    sizes = np.zeros((int(scope[-1]) + 1, 5), dtype=np.int64)
    sizes[:, 2] = _place_factors(table, args, scope)
    sizes[:, :2] = _place_values(table, args, scope, parents, parent_ops, training, keep_scales)
    args[:, CHILD_VALUE] = table[args[:, CHILD], VALUE]
    args[:, CHILD_UNITS] = program.units[args[:, CHILD]]
    args[:, CHILD_SCALE] = table[args[:, CHILD], SCALE]
    sizes[:, 4] = _place_offers(table, scope, owner, parents)
    pulls = np.zeros((0, 2), dtype=np.int64)
    if training:
        pulls, sizes[:, 3] = _place_flows(table, args, scope, owner, parents, parent_ops)
    return Plan(
        instructions=table,
        args=args,
        pulls=pulls,
        families=list(families.values()),
        merged=merged,
        group_leaves=group_leaves,
        sizes=sizes,
        max_units=int(program.units.max()),
        **numbers,
    )


def _merge_sums_into_leaves(program, table, args, owner, families, numbers) -> list[MergedTables]:
    """Turn sums over one leaf with few states into leaves, grouped by shape."""
    by_shape: dict[tuple[int, int, int], list[int]] = {}
    for v in np.flatnonzero((table[:, OP] == SUM) & (table[:, ARG_END] - table[:, ARG] == 1)):
        arg = args[table[v, ARG]]
        leaf = families.get(int(program.family[arg[CHILD]]))
        if leaf is not None and leaf.is_table and leaf.n_terms <= MERGE_STATES:
            shape = leaf.family, int(arg[HEIGHT]), int(arg[COLUMNS])
            by_shape.setdefault(shape, []).append(int(v))
    merged = []
    # Sorted, so that every plan of a circuit has the same tables.
    for (family, height, width), sums in sorted(by_shape.items()):
        # In the order of their weights, which lie in memory like that.
        sums.sort(key=lambda v: args[table[v, ARG], WEIGHTS])
        states = families[family].n_terms
        mine = args[table[sums, ARG]]
        group = MergedTables(
            family,
            states,
            height,
            width,
            sums,
            np.ascontiguousarray(mine[:, WEIGHTS]),
            program.unit_start[mine[:, CHILD]],
            numbers["n_packed_table"],
            numbers["n_leaf_out"],
            numbers["n_log_scale"],
        )
        index = np.arange(len(sums))
        table[sums, OP] = TABLE
        table[sums, DATA] = table[mine[:, CHILD], DATA]
        table[sums, WIDTH] = states + 2
        table[sums, KEPT] = states + 1
        table[sums, LEAF] = group.packed_start + index * height * (states + 2)
        table[sums, LEAF_OUT] = group.out_start + index * height * (states + 1)
        table[sums, LOG_SCALE] = group.scale_start + index * (states + 2)
        table[sums, ARG_END] = table[sums, ARG]
        numbers["n_packed_table"] += len(sums) * height * (states + 2)
        numbers["n_leaf_out"] += len(sums) * height * (states + 1)
        numbers["n_log_scale"] += len(sums) * (states + 2)
        merged.append(group)
    return merged


def _lay_out_leaves(program: Program | Scoped, table: np.ndarray):
    families: dict[int, LeafFamily] = {}
    group_leaves = []
    out = packed_table = packed_coefficients = log_scale = codes = data = 0
    for f, (family, units) in enumerate(zip(program.families, program.family_units, strict=True)):
        vectors = np.flatnonzero(program.family == f)
        # So, too, that every plan of a circuit has the same tables.
        vectors = vectors[np.argsort(program.unit_start[vectors], kind="stable")]
        if family.n_variables > 1:
            for v in vectors:
                n_units, start = int(program.units[v]), int(program.unit_start[v])
                mine = slice(start, start + n_units)
                group_leaves.append(GroupLeaf(f, program.columns[v], mine, n_units, data))
                table[v, OP] = GIVEN
                table[v, DATA] = data
                data += 2 * n_units
            continue
        variables = sorted({int(program.variable[v]) for v in vectors})
        position = {variable: i for i, variable in enumerate(variables)}
        is_table = family.n_states is not None
        if is_table:
            kept, width = family.n_states, family.n_states + 2
            entry = LeafFamily(f, True, kept, packed_table, out, variables, codes)
            table[vectors, OP] = TABLE
            codes += len(variables)
        else:
            kept = width = 1 + family.n_statistics
            entry = LeafFamily(f, False, kept, packed_coefficients, out, variables, data)
            table[vectors, OP] = EXPONENTIAL
            data += len(variables) * (1 + kept)
        starts = {}
        for v in vectors:
            start = int(program.unit_start[v])
            place = position[int(program.variable[v])]
            table[v, LEAF] = entry.packed_start + start * width
            table[v, LEAF_OUT] = out + start * kept
            table[v, WIDTH] = width
            table[v, KEPT] = kept
            table[v, DATA] = entry.first_slot + place * (1 if is_table else 1 + kept)
            if start not in starts:
                starts[start] = log_scale
                log_scale += width if is_table else 0
            table[v, LOG_SCALE] = starts[start]
        families[f] = entry
        out += units * kept
        if is_table:
            packed_table += units * width
        else:
            packed_coefficients += units * width
    numbers = {
        "n_codes": codes,
        "n_data": data,
        "n_leaf_out": out,
        "n_packed_table": packed_table,
        "n_packed_coefficients": packed_coefficients,
        "n_log_scale": log_scale,
    }
    return families, group_leaves, numbers


def _lay_out_gathers(program: Scoped, table, args) -> None:
    """Say where they read, and look up what is a table of few states."""
    gathers = np.flatnonzero(table[:, OP] == GATHER)
    children = args[table[gathers, ARG], CHILD]
    table[gathers, BELOW] = program.scope[children]
    table[gathers, MAP] = program.map_of[gathers]
    few = (table[children, OP] == TABLE) & (table[children, WIDTH] <= SELECT_STATES)
    for column in (LEAF, LEAF_OUT, LOG_SCALE, WIDTH, KEPT):
        table[gathers[few], column] = table[children[few], column]
    table[gathers[few], OP] = LOOKUP
    table[gathers[few], ARG_END] = table[gathers[few], ARG]
    # Where every state is a row: see ``Sharing.space``.
    here = np.flatnonzero((table[:, OP] == TABLE) & (table[:, WIDTH] <= PANEL))
    table[here, OP] = LOOKUP
    table[here, MAP] = len(program.maps) + table[here, WIDTH]


def _is_passing(v: int, table, args, scope, parents, parent_ops) -> bool:
    """Whether a vector is never kept: what a single product reads of another scope, or a sum that
    other scopes alone read, straight above all that it adds up."""
    if table[v, OP] in (GATHER, LOOKUP):
        return len(parents[v]) == 1 and parent_ops[v] == {PRODUCT}
    first, end = table[v, ARG], table[v, ARG_END]
    if not table[v, DIRECT] or table[v, MEASURE] or end - first != 1 or parent_ops[v] != {GATHER}:
        return False
    child = args[first, CHILD]
    whole = args[first, COLUMNS] == table[child, UNITS]
    return child == v - 1 and scope[child] == scope[v] and whole and len(parents[child]) == 1


def _through_gathers(parents, parent_ops, owner) -> list[set[int]]:
    """Operations that read a vector, be it gathered for them."""
    found = []
    for v, ops in enumerate(parent_ops):
        if GATHER in ops:
            gathers = [int(owner[a]) for a in parents[v]]
            ops = (ops - {GATHER}).union(*(parent_ops[g] for g in gathers if g != v))
        found.append(ops)
    return found


def _choose_scales(table, args, parent_ops) -> None:
    """A sum of one child keeps the child's scale, and measures its own only for another sum."""
    for v in range(len(table)):
        if table[v, OP] in (SUM, MIXING):
            mine = args[table[v, ARG] : table[v, ARG_END]]
            one_child = len(mine) * mine[0, HEIGHT] == table[v, UNITS]
            table[v, DIRECT] = one_child and table[v, OP] == SUM
            sums_above = bool(parent_ops[v] & {SUM, MIXING, KRONECKER, TRANSPOSE})
            table[v, MEASURE] = sums_above or not table[v, DIRECT]
        elif table[v, OP] == KRONECKER:
            table[v, MEASURE] = True


def _place_factors(table, args, scope) -> np.ndarray:
    """Rows of scale factors: one for every argument of a sum that is not direct."""
    n_factors = np.zeros(int(scope[-1]) + 1, dtype=np.int64)
    for v in range(len(table)):
        indirect = table[v, OP] in (MIXING, KRONECKER) or (
            table[v, OP] == SUM and not table[v, DIRECT]
        )
        start = n_factors[scope[v]]
        table[v, FACTOR] = start if indirect else -1
        rows = slice(table[v, ARG], table[v, ARG_END])
        args[rows, FACTOR_ROW] = -1
        if indirect:
            count = int(table[v, ARG_END] - table[v, ARG])
            args[rows, FACTOR_ROW] = np.arange(start, start + count)
            n_factors[scope[v]] += count
    return n_factors


def _place_values(table, args, scope, parents, parent_ops, training, keep_scales):
    places = [(_Places(), _Places()) for _ in range(int(scope[-1]) + 1)]
    readers = np.array([len(p) for p in parents])
    last = len(table) - 1
    readers[last] += 1
    scale_readers: dict[tuple[int, int], int] = {}
    for v in range(len(table)):
        passing = bool(table[v, PASSING])
        if table[v, OP] == SKIP or (passing and table[v, OP] != SUM):
            continue
        s = int(scope[v])
        values, scales = places[s]
        units = int(table[v, UNITS])
        mine = args[table[v, ARG] : table[v, ARG_END], CHILD]
        own = not (table[v, DIRECT] and not table[v, MEASURE])
        if own:
            slot = scales.take(1)
            scale_readers[s, slot] = 0
        else:
            slot = int(table[mine[0], SCALE])
        table[v, SCALE] = slot
        scale_readers[s, slot] += int(readers[v])
        if not passing:
            table[v, VALUE] = values.take(units)
        for child in mine.tolist():
            if table[child, PASSING]:
                continue
            readers[child] -= 1
            values, scales = places[int(scope[child])]
            place = int(table[child, SCALE])
            scale_readers[int(scope[child]), place] -= 1
            if scale_readers[int(scope[child]), place] == 0 and not keep_scales:
                scales.give(place, 1)
            # In training a leaf below products only is never read again.
            leaf = table[child, OP] in LEAVES and parent_ops[child] <= PRODUCTS
            if readers[child] == 0 and (leaf or not training):
                values.give(int(table[child, VALUE]), int(table[child, UNITS]))
    return [(values.size, scales.size) for values, scales in places]


def _place_offers(table, scope, owner, parents):
    """Where what other scopes gather lies in the rows of its own."""
    n_offers = np.zeros(int(scope[-1]) + 1, dtype=np.int64)
    table[:, OFFER] = -1
    for v in range(len(table)):
        if any(table[owner[a], OP] == GATHER for a in parents[v]):
            table[v, OFFER] = n_offers[scope[v]]
            n_offers[scope[v]] += table[v, UNITS]
    return n_offers


def _place_flows(table, args, scope, owner, parents, parent_ops):
    """Decide how the flow of every vector arrives: pulled from sums, pushed by products."""
    pulls: list[tuple[int, int]] = []
    n_slots = np.zeros(int(scope[-1]) + 1, dtype=np.int64)
    args[:, PUSH] = PUSH_NOTHING
    table[:, SLOT] = -1
    waiting: dict[int, bool] = {}
    last = len(table) - 1
    for v in range(len(table)):
        table[v, PULL] = len(pulls)
        pushing = []
        for a in parents[v]:
            if table[owner[a], OP] in (SUM, MIXING):
                pulls.append((int(owner[a]), a))
            elif table[owner[a], OP] != GATHER:  # which sends to what is offered
                pushing.append(a)
        table[v, PULL_END] = len(pulls)
        if v == last:  # the runner writes the row weights there
            table[v, SLOT] = n_slots[scope[v]]
            n_slots[scope[v]] += 1
        if not pushing:
            continue
        is_leaf = table[v, OP] in LEAVES
        if is_leaf and parent_ops[v] <= PRODUCTS:
            args[pushing, PUSH] = PUSH_LEAF
        elif (
            len(parents[v]) == 1
            and parent_ops[v] <= PRODUCTS
            and table[v, OP] in (SUM, MIXING, KRONECKER)
        ):
            args[pushing, PUSH] = PUSH_DIVIDED
            args[pushing, TARGET] = table[v, VALUE]
        else:
            table[v, SLOT] = n_slots[scope[v]]
            args[pushing, TARGET] = n_slots[scope[v]]
            args[pushing, PUSH] = PUSH_MORE
            waiting[v] = True
            n_slots[scope[v]] += int(table[v, UNITS])
    # The parents are visited in reverse, so the last one writes and the others add.
    for v in waiting:
        pushing = [a for a in parents[v] if args[a, PUSH] == PUSH_MORE]
        first = max(pushing, key=lambda a: (int(owner[a]), -a))
        args[first, PUSH] = PUSH_FIRST
    return np.array(pulls, dtype=np.int64).reshape(-1, 2), n_slots
