"""Where everything of a tile lies in memory: a Program turned into tables of offsets.

Two plans are made of one program. For training every value that the backward pass reads
keeps its place. For scoring a place is used again as soon as its last reader is done, so
that the live set stays in cache (plants, 32 units: 34 vectors instead of 207).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...circuit.program import Program
from .columns import (
    ARG,
    ARG_END,
    CHILD,
    CHILD_SCALE,
    CHILD_UNITS,
    CHILD_VALUE,
    DATA,
    DIRECT,
    EXPONENTIAL,
    FACTOR,
    FACTOR_ROW,
    HEIGHT,
    INPUT,
    KEPT,
    KRONECKER,
    LEAF,
    LEAF_OUT,
    LOG_SCALE,
    MEASURE,
    MIXING,
    OP,
    PRODUCT,
    PULL,
    PULL_END,
    PUSH,
    PUSH_DIVIDED,
    PUSH_FIRST,
    PUSH_LEAF,
    PUSH_MORE,
    PUSH_NOTHING,
    ROWS,
    SCALE,
    SLOT,
    SUM,
    TABLE,
    TARGET,
    UNITS,
    VALUE,
    WIDTH,
)


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


@dataclass
class Plan:
    """Tables of offsets for the kernels; all integers are int64."""

    instructions: np.ndarray
    args: np.ndarray
    pulls: np.ndarray
    families: list[LeafFamily]
    n_values: int  # units of the value buffer
    n_scales: int
    n_factors: int
    n_slots: int  # units of the flow buffer
    max_units: int
    n_codes: int  # rows of the code array
    n_data: int  # rows of the float data array
    n_leaf_out: int
    n_packed_table: int
    n_packed_coefficients: int
    n_log_scale: int


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


def make_plan(program: Program, training: bool) -> Plan:
    """Lay out one tile of a program, for scoring or for training."""
    n = program.n_vectors
    table = np.zeros((n, 20), dtype=np.int64)
    args = np.zeros((len(program.args), 12), dtype=np.int64)
    args[:, :6] = program.args
    owner = np.repeat(np.arange(n), np.diff(program.arg_start))
    table[:, OP] = program.op
    table[:, UNITS] = program.units
    table[:, ARG] = program.arg_start[:-1]
    table[:, ARG_END] = program.arg_start[1:]
    table[:, ROWS] = program.row_start

    parents: list[list[int]] = [[] for _ in range(n)]  # argument numbers
    for a, child in enumerate(args[:, CHILD]):
        parents[child].append(a)
    parent_ops = [{int(program.op[owner[a]]) for a in parents[v]} for v in range(n)]

    families, numbers = _lay_out_leaves(program, table)
    _choose_scales(program, table, args, parent_ops)
    n_factors = _place_factors(program, table, args)
    n_values, n_scales = _place_values(program, table, args, parents, parent_ops, training)
    args[:, CHILD_VALUE] = table[args[:, CHILD], VALUE]
    args[:, CHILD_UNITS] = program.units[args[:, CHILD]]
    args[:, CHILD_SCALE] = table[args[:, CHILD], SCALE]
    pulls = np.zeros((0, 2), dtype=np.int64)
    n_slots = 0
    if training:
        pulls, n_slots = _place_flows(program, table, args, owner, parents, parent_ops)
    return Plan(
        instructions=table,
        args=args,
        pulls=pulls,
        families=families,
        n_values=n_values,
        n_scales=n_scales,
        n_factors=n_factors,
        n_slots=n_slots,
        max_units=int(program.units.max()),
        **numbers,
    )


def _lay_out_leaves(program: Program, table: np.ndarray):
    families = []
    out = packed_table = packed_coefficients = log_scale = codes = data = 0
    for f, (family, units) in enumerate(zip(program.families, program.family_units, strict=True)):
        vectors = np.flatnonzero(program.family == f)
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
        families.append(entry)
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
    return families, numbers


def _choose_scales(program, table, args, parent_ops) -> None:
    """A sum of one child keeps the child's scale, and measures its own only for another sum."""
    for v in range(program.n_vectors):
        if program.op[v] in (SUM, MIXING):
            mine = args[table[v, ARG] : table[v, ARG_END]]
            one_child = len(mine) * mine[0, HEIGHT] == program.units[v]
            table[v, DIRECT] = one_child and program.op[v] == SUM
            sums_above = bool(parent_ops[v] & {SUM, MIXING, KRONECKER})
            table[v, MEASURE] = sums_above or not table[v, DIRECT]
        elif program.op[v] == KRONECKER:
            table[v, MEASURE] = True


def _place_factors(program, table, args) -> int:
    """Rows of scale factors: one for every argument of a sum that is not direct."""
    n_factors = 0
    for v in range(program.n_vectors):
        indirect = program.op[v] in (MIXING, KRONECKER) or (
            program.op[v] == SUM and not table[v, DIRECT]
        )
        table[v, FACTOR] = n_factors if indirect else -1
        rows = slice(table[v, ARG], table[v, ARG_END])
        args[rows, FACTOR_ROW] = -1
        if indirect:
            count = int(table[v, ARG_END] - table[v, ARG])
            args[rows, FACTOR_ROW] = np.arange(n_factors, n_factors + count)
            n_factors += count
    return n_factors


def _place_values(program, table, args, parents, parent_ops, training):
    values, scales = _Places(), _Places()
    readers = np.array([len(p) for p in parents])
    last = program.n_vectors - 1
    readers[last] += 1
    scale_readers: dict[int, int] = {}
    for v in range(program.n_vectors):
        units = int(program.units[v])
        mine = args[table[v, ARG] : table[v, ARG_END], CHILD]
        own = not (table[v, DIRECT] and not table[v, MEASURE])
        if own:
            slot = scales.take(1)
            scale_readers[slot] = 0
        else:
            slot = int(table[mine[0], SCALE])
        table[v, SCALE] = slot
        scale_readers[slot] += int(readers[v])
        table[v, VALUE] = values.take(units)
        for child in mine.tolist():
            readers[child] -= 1
            place = int(table[child, SCALE])
            scale_readers[place] -= 1
            if scale_readers[place] == 0:
                scales.give(place, 1)
            # In training a leaf below products only is never read again.
            leaf = program.op[child] == INPUT and parent_ops[child] <= {PRODUCT}
            if readers[child] == 0 and (leaf or not training):
                values.give(int(table[child, VALUE]), int(program.units[child]))
    return values.size, scales.size


def _place_flows(program, table, args, owner, parents, parent_ops):
    """Decide how the flow of every vector arrives: pulled from sums, pushed by products."""
    pulls: list[tuple[int, int]] = []
    n_slots = 0
    args[:, PUSH] = PUSH_NOTHING
    table[:, SLOT] = -1
    waiting: dict[int, bool] = {}
    last = program.n_vectors - 1
    for v in range(program.n_vectors):
        table[v, PULL] = len(pulls)
        pushing = []
        for a in parents[v]:
            if program.op[owner[a]] in (SUM, MIXING):
                pulls.append((int(owner[a]), a))
            else:
                pushing.append(a)
        table[v, PULL_END] = len(pulls)
        if v == last:  # the runner writes the row weights there
            table[v, SLOT] = n_slots
            n_slots += 1
        if not pushing:
            continue
        is_leaf = program.op[v] == INPUT
        if is_leaf and parent_ops[v] <= {PRODUCT}:
            args[pushing, PUSH] = PUSH_LEAF
        elif (
            len(parents[v]) == 1
            and parent_ops[v] == {PRODUCT}
            and program.op[v] in (SUM, MIXING, KRONECKER)
        ):
            args[pushing, PUSH] = PUSH_DIVIDED
            args[pushing, TARGET] = table[v, VALUE]
        else:
            table[v, SLOT] = n_slots
            args[pushing, TARGET] = n_slots
            args[pushing, PUSH] = PUSH_MORE
            waiting[v] = True
            n_slots += int(program.units[v])
    # The parents are visited in reverse, so the last one writes and the others add.
    for v in waiting:
        pushing = [a for a in parents[v] if args[a, PUSH] == PUSH_MORE]
        first = max(pushing, key=lambda a: (int(owner[a]), -a))
        args[first, PUSH] = PUSH_FIRST
    return np.array(pulls, dtype=np.int64).reshape(-1, 2), n_slots
