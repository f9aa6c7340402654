"""Parts of a circuit that see the same columns, and what differs between them.

A part of a circuit sees a few columns only, its scope, and what these hold differs in few
rows: two yes-or-no columns have four values at most, however many rows there are. So every
scope has rows of its own, the different ones that a chunk of rows has there, and whatever
lies in it is computed for them alone. A product, which joins scopes, gathers what it reads
from the rows of the scopes below by a map; on the way down flows of rows that read the same
one are added up there. The values are those of computing row by row, to the bit; flows are
the same sums in another order.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np

from ...circuit.program import INPUT, Program
from .columns import (
    ABOVE,
    FIRST,
    FIRST_MAP,
    GATHER,
    LAST,
    LAST_MAP,
    N_SCOPE_COLUMNS,
    PART,
    PART_END,
)


class Map(NamedTuple):
    """From the rows of a scope to those of one below."""

    scope: int
    below: int


class Scoped:
    """A program in the order of its scopes, as plans read it: subtree by subtree, those below
    before those above. What is needed next lies next in every table, in which the hardware sees it
    coming.

    A vector that reads one of another scope reads a ``GATHER`` of it instead.

    Attributes
    ----------
    op, units, arg_start, args, variable, family, unit_start, columns, families, family_units
        As those of a Program.
    scope : ndarray of shape (n_vectors,)
        Of every vector, from 0; the last is that of the root.
    map_of : ndarray of shape (n_vectors,)
        Which map a ``GATHER`` reads by, -1 otherwise.
    maps : list of Map
        Those of a scope follow each other.
    scopes : ndarray of shape (n_scopes, N_SCOPE_COLUMNS)
        For the kernels, as far as it is known before a plan is made.
    parts : ndarray of int
        Scopes into which the first product of every scope divides it.
    """

    def __init__(self, program: Program) -> None:
        self.families, self.family_units = program.families, program.family_units
        of_vector, below = _number_scopes(program)
        #: Of every vector of the program.
        self.scope_of = np.array(of_vector, dtype=np.int64)
        n_scopes = len(below)
        arg_start = program.arg_start.tolist()
        members: list[list[int]] = [[] for _ in range(n_scopes)]
        for v, s in enumerate(of_vector):
            members[s].append(v)
        place: dict[int, int] = {}
        source: list[int] = []  # the vector of the program, or its child for a GATHER
        op: list[int] = []
        args: list[list[int]] = []
        starts, scope, map_of = [0], [], []
        self.maps: list[Map] = []
        self.scopes = np.zeros((n_scopes, N_SCOPE_COLUMNS), dtype=np.int64)

        def add(v: int, code: int, s: int, number: int, mine: list[list[int]]) -> int:
            source.append(v)
            op.append(code)
            scope.append(s)
            map_of.append(number)
            args.extend(mine)
            starts.append(len(args))
            return len(op) - 1

        for s in range(n_scopes):
            self.scopes[s, FIRST], self.scopes[s, FIRST_MAP] = len(op), len(self.maps)
            known: dict[int, int] = {}
            gathered: dict[int, int] = {}
            for v in members[s]:
                mine = program.args[arg_start[v] : arg_start[v + 1]].tolist()
                for arg in mine:
                    child = arg[0]
                    if of_vector[child] == s:
                        arg[0] = place[child]
                        continue
                    if child not in gathered:
                        t = of_vector[child]
                        if t not in known:
                            known[t] = len(self.maps)
                            self.maps.append(Map(s, t))
                        n = int(program.units[child])
                        whole = [[place[child], -1, n, n, 0, 0]]
                        gathered[child] = add(child, GATHER, s, known[t], whole)
                    arg[0] = gathered[child]
                place[v] = add(v, int(program.op[v]), s, -1, mine)
            self.scopes[s, LAST], self.scopes[s, LAST_MAP] = len(op), len(self.maps)
        self.n_vectors = len(op)
        self.op = np.array(op, dtype=np.int64)
        self.arg_start = np.array(starts, dtype=np.int64)
        self.args = np.array(args, dtype=np.int64).reshape(-1, 6)
        self.scope = np.array(scope, dtype=np.int64)
        self.map_of = np.array(map_of, dtype=np.int64)
        self.units = program.units[source]
        gathers = self.op == GATHER
        self.variable = np.where(gathers, -1, program.variable[source])
        self.family = np.where(gathers, -1, program.family[source])
        self.unit_start = np.where(gathers, -1, program.unit_start[source])
        nothing = np.zeros(0, dtype=np.int64)
        self.columns = [
            nothing if g else program.columns[v] for v, g in zip(source, gathers, strict=True)
        ]
        ends = np.cumsum([0, *(len(b) for b in below)])
        self.scopes[:, PART], self.scopes[:, PART_END] = ends[:-1], ends[1:]
        self.scopes[:, ABOVE] = -1
        #: Whether no scope is read by two others.
        self.is_tree = len({m.below for m in self.maps}) == len(self.maps)
        for m in self.maps:
            self.scopes[m.below, ABOVE] = m.scope
        self.parts = np.array([s for b in below for s in b], dtype=np.int64)


def _number_scopes(program: Program) -> tuple[list[int], list[list[int]]]:
    """The scope of every vector, and the scopes that each of them is divided into."""
    # Columns are disjoint below a product: sums of random numbers tell scopes apart.
    draw = random.Random(0)
    number = [draw.getrandbits(128) for _ in range(program.n_variables)]
    start, children = program.arg_start.tolist(), program.args[:, 0].tolist()
    name: list[int] = []
    size: list[int] = []
    for v in range(program.n_vectors):
        if program.op[v] == INPUT:
            mine = program.columns[v].tolist()
            name.append(sum(number[c] for c in mine))
            size.append(len(mine))
            continue
        # A child may be read by several blocks of a sum.
        names = {name[c]: size[c] for c in children[start[v] : start[v + 1]]}
        name.append(sum(names))
        size.append(sum(names.values()))
    order = sorted(range(program.n_vectors), key=lambda v: (size[v], v))
    index: dict[int, int] = {}
    for v in order:
        index.setdefault(name[v], len(index))
    of_vector = [index[n] for n in name]
    below: list[list[int]] = [[] for _ in index]
    read: list[set[int]] = [set() for _ in index]
    for v in order:
        s = of_vector[v]
        parts = dict.fromkeys(of_vector[c] for c in children[start[v] : start[v + 1]])
        if not below[s] and set(parts) != {s}:
            below[s] = list(parts)
        read[s].update(t for t in parts if t != s)
    found = _by_subtrees(read)
    place = {s: i for i, s in enumerate(found)}
    return [place[s] for s in of_vector], [[place[t] for t in below[s]] for s in found]


def _by_subtrees(below: list[set[int]]) -> list[int]:
    """All that is below the last, and that itself, after what is below it."""
    ordered = [sorted(b) for b in below]
    found: dict[int, None] = {}
    waiting = [len(below) - 1]
    while waiting:
        s = waiting[-1]
        missing = [t for t in ordered[s] if t not in found]
        if missing:
            waiting.append(missing[-1])
        else:
            found[waiting.pop()] = None
    return list(found)
