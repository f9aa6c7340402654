"""Where everything lies: instructions of a level that are alike stand together.

A *layer* is a fold of vectors of one kind and shape that do not need each other; its values are one
view (fold, units, rows) of the buffer. Its vectors are sorted by how many children they have, so
that the j-th children belong to a prefix of the fold, and otherwise as their parents read them.
Levels count from the root, so that all sums below a level of a tree share a layer.

A TRANSPOSE instruction is no vector: its units are those of its child, read in another order.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from ...circuit import Program
from ...circuit.program import INPUT, KRONECKER, MIXING, PRODUCT, SUM, TRANSPOSE

SUMS = (SUM, MIXING, KRONECKER)
#: How the flow of a vector arrives. It is that of the one product above; or the one sum above
#: writes it over the vector's values (for a sum its derivative, flow / value); or several parents
#: add to it.
SAME, WRITTEN, DERIVATIVE, ADDED = range(4)


class Child(NamedTuple):
    """What a vector reads: unit k of the slot is unit ``order[k]`` of ``vector``."""

    vector: int
    order: np.ndarray
    #: Blocks that the slot is cut into, and their shape; the blocks' bank and places in it.
    n_blocks: int = 1
    height: int = 0
    width: int = 0
    bank: tuple = ()
    offsets: tuple = ()


class Layer(NamedTuple):
    """A fold: vectors of one kind, as they lie in the buffer from ``start``."""

    kind: int
    vectors: np.ndarray
    units: int
    start: int
    #: First scale of the layer; of direct sums that nobody measures the children's are used.
    scale_start: int
    measured: bool


class Slot(NamedTuple):
    """The j-th children of the first vectors of a layer."""

    children: list[Child]

    @property
    def n(self) -> int:
        return len(self.children)


class Plan:
    """Layers of a program, and the places of values, scales and flows.

    Attributes
    ----------
    layers : list of Layer
        Above the inputs, children first.
    inputs : list of Layer
        Of one family and length each.
    slots : dict of int to list of Slot
        By the number of the layer's first vector.
    place, flow_place : dict of int to ndarray of shape (units,)
        Rows of the buffer with a vector's values, and with its flow.
    scale : dict of int to int
    mode : dict of int to int
        How the flow of a vector arrives.
    banks : dict of tuple to ndarray of int
        Weight offsets of the matrices that are stored together.
    n_places, n_values, n_scales, widest : int
        Rows of the buffer; of these, values; scales; units of the widest layer or slot.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._resolve(program)
        self._find_parents(program)
        self._fold(program)
        self._place_flows(program)
        self._place_weights()

    # -- children ---------------------------------------------------------------------

    def _resolve(self, program: Program) -> None:
        """Children of every vector, seen through transposes."""
        self._is: dict[int, Child] = {}
        self.children: dict[int, list[Child]] = {}
        for v in range(program.n_vectors):
            args = program.args[program.arg_start[v] : program.arg_start[v + 1]]
            units = int(program.units[v])
            self._is[v] = Child(v, np.arange(units))
            op = int(program.op[v])
            if op == TRANSPOSE:
                child, _, rows, cols = args[0, :4]
                below = self._is[int(child)]
                order = np.arange(units).reshape(rows, cols).T.ravel()
                self._is[v] = Child(below.vector, below.order[order])
            elif op == PRODUCT:
                self.children[v] = [self._is[int(c)] for c in args[:, 0]]
            elif op == KRONECKER:
                (a, offset, rows, n_a, _, _), (b, _, _, n_b, _, _) = args.tolist()
                bank = ("kronecker", rows, n_a, n_b)
                self.children[v] = [
                    self._is[a]._replace(height=rows, width=n_a, bank=bank, offsets=(offset,)),
                    self._is[b]._replace(height=rows, width=n_b),
                ]
            elif op in SUMS:
                found, at = [], 0
                while at < len(args):
                    c, _, height, width, _, _ = args[at].tolist()
                    n_blocks = 1 if op == MIXING else units // height
                    found.append(
                        self._is[c]._replace(
                            n_blocks=n_blocks,
                            height=height,
                            width=width,
                            bank=("dense", height, width),
                            offsets=tuple(args[at : at + n_blocks, 1].tolist()),
                        )
                    )
                    at += n_blocks
                self.children[v] = found
        self.root = self._is[program.n_vectors - 1].vector

    def _find_parents(self, program: Program) -> None:
        parents: dict[int, list[int]] = defaultdict(list)
        level: dict[int, int] = {self.root: 0}
        for v in range(program.n_vectors - 1, -1, -1):
            for child in self.children.get(v, []):
                parents[child.vector].append(v)
                level[child.vector] = max(level.get(child.vector, 0), level[v] + 1)
        self.mode: dict[int, int] = {}
        measured = set()
        for v in level:
            above = [int(program.op[p]) for p in parents[v]]
            if v == self.root or len(above) != 1 or above[0] == KRONECKER:
                self.mode[v] = ADDED
            elif above[0] == PRODUCT:
                self.mode[v] = SAME
            else:
                self.mode[v] = DERIVATIVE if program.op[v] in SUMS else WRITTEN
            if any(op in SUMS for op in above):
                measured.add(v)
        self._parents, self._level, self._measured = parents, level, measured

    # -- layers -----------------------------------------------------------------------

    def _fold(self, program: Program) -> None:
        groups: dict[tuple, list[int]] = defaultdict(list)
        for v, level in self._level.items():
            groups[self._signature(program, v, level)].append(v)
        self.layers: list[Layer] = []
        self.inputs: list[Layer] = []
        self.slots: dict[int, list[Slot]] = {}
        self.place: dict[int, np.ndarray] = {}
        self.scale: dict[int, int] = {}
        read_at: dict[int, tuple] = {}
        start = 0
        made: list[list[int]] = []
        for signature in sorted(groups, key=lambda s: s[:2] + tuple(map(str, s[2:]))):
            vectors = groups[signature]

            def order(v):
                return -len(self.children.get(v, [])), read_at.get(v, ()), v

            vectors.sort(key=order)
            number = len(made)
            for position, v in enumerate(vectors):
                for j, child in enumerate(self.children.get(v, [])):
                    here = (number, j, position)
                    read_at[child.vector] = min(read_at.get(child.vector, here), here)
            units = int(program.units[vectors[0]])
            for v in vectors:
                self.place[v] = start + np.arange(units)
                start += units
            made.append(vectors)
        self.n_values = start
        self.n_scales = 0
        for vectors in reversed(made):
            self._make_layer(program, vectors)
        self.widest = max(
            [len(x.vectors) * x.units for x in (*self.layers, *self.inputs)]
            + [s.n * len(s.children[0].order) for many in self.slots.values() for s in many]
        )

    def _signature(self, program: Program, v: int, level: int) -> tuple:
        op, units = int(program.op[v]), int(program.units[v])
        if op == INPUT:
            f = int(program.family[v])
            return (1 << 62, op, f, units, self.mode[v] == SAME)
        shapes = tuple(dict.fromkeys((c.n_blocks, c.height, c.width) for c in self.children[v]))
        if op == PRODUCT:
            return (level, op, units)
        if len(shapes) > 1 and op != MIXING:
            shapes = tuple((c.n_blocks, c.height, c.width) for c in self.children[v])
        direct = op == SUM and len(self.children[v]) == 1
        measured = v in self._measured or not direct
        return (level, op, units, shapes, direct, measured, self.mode[v] == DERIVATIVE)

    def _make_layer(self, program: Program, vectors: list[int]) -> None:
        first = vectors[0]
        kind, units = int(program.op[first]), int(program.units[first])
        children = self.children.get(first, [])
        borrows = kind == SUM and len(children) == 1 and first not in self._measured
        for i, v in enumerate(vectors):
            if borrows:
                self.scale[v] = self.scale[self.children[v][0].vector]
            else:
                self.scale[v] = self.n_scales + i
        layer = Layer(
            kind,
            np.array(vectors),
            units,
            int(self.place[first][0]),
            -1 if borrows else self.n_scales,
            not borrows,
        )
        if not borrows:
            self.n_scales += len(vectors)
        if kind == INPUT:
            self.inputs.append(layer)
            return
        self.layers.append(layer)
        self.slots[first] = [
            Slot([self.children[v][j] for v in vectors if len(self.children[v]) > j])
            for j in range(len(children))
        ]

    # -- flows ------------------------------------------------------------------------

    def _place_flows(self, program: Program) -> None:
        self.flow_place: dict[int, np.ndarray] = {}
        place = self.n_values
        for layer in (*reversed(self.layers), *self.inputs):
            for v in layer.vectors.tolist():
                if self.mode[v] == ADDED:
                    self.flow_place[v] = place + np.arange(layer.units)
                    place += layer.units
                elif self.mode[v] == SAME:
                    (parent,) = self._parents[v]
                    (child,) = (c for c in self.children[parent] if c.vector == v)
                    self.flow_place[v] = np.empty(layer.units, dtype=np.int64)
                    self.flow_place[v][child.order] = self.flow_place[parent]
                else:
                    self.flow_place[v] = self.place[v]
        self.n_places = place

    # -- weights ----------------------------------------------------------------------

    def _place_weights(self) -> None:
        found: dict[tuple, dict[int, int]] = defaultdict(dict)
        for layer in reversed(self.layers):
            for slot in self.slots[int(layer.vectors[0])]:
                for child in slot.children:
                    bank = found[child.bank] if child.offsets else {}
                    for offset in child.offsets:
                        bank.setdefault(offset, len(bank))
        self._bank_places = dict(found)
        self.banks = {key: np.array(list(bank)) for key, bank in found.items()}

    def bank_places(self, slot: Slot) -> np.ndarray:
        """Places of the matrices of a slot in their bank, block by block."""
        bank = self._bank_places[slot.children[0].bank]
        return np.array([bank[offset] for child in slot.children for offset in child.offsets])
