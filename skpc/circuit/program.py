"""A circuit lowered to flat arrays: one instruction a vector, one offset a weight block.

Every backend, solver and query reads these arrays, never the nodes. The layout of the
weights is fixed here: blocks of equal shape stand together, within a shape by level, so
that a batched product over a level is a view, and each (sum, child) pair owns one
contiguous row-major block.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .circuit import Circuit
from .nodes import Input, Node, Product, Sum

INPUT, PRODUCT, SUM, MIXING, KRONECKER, TRANSPOSE = range(6)


class Block(NamedTuple):
    """Where a rectangle of a sum's weight matrix lies."""

    child: int  # position among the children (0 or 1; the first factor for Kronecker)
    rows: int
    cols: int
    row_start: int  # first unit of the sum
    col_start: int  # first column of the node's (n_units, n_inputs) matrix
    in_start: int  # first unit of the child


class WeightGroup(NamedTuple):
    """Blocks of one shape: ``weights[offset:offset + n*rows*cols]`` as (n, rows, cols)."""

    offset: int
    n: int
    rows: int
    cols: int
    row_index: np.ndarray  # (n, rows): the normaliser row of every block row

    def view(self, weights: np.ndarray) -> np.ndarray:
        """The group's part of a flat array, without a copy."""
        size = self.n * self.rows * self.cols
        return weights[self.offset : self.offset + size].reshape(self.n, self.rows, self.cols)


def blocks_of(node: Sum) -> list[Block]:
    """The rectangles of a sum's weight matrix, in the order of its instruction."""
    units = node.n_units
    if node.kind == "mixing":
        return [Block(c, units, 1, 0, c, 0) for c in range(len(node.children))]
    child = node.children[0]
    if isinstance(child, Product) and child.kronecker:
        first, second = (c.n_units for c in child.children)
        return [Block(0, units, second, 0, i * second, 0) for i in range(first)]
    parts, blocks, column = node.n_blocks, [], 0
    for c, child in enumerate(node.children):
        width = child.n_units // parts
        rows = units // parts
        blocks += [Block(c, rows, width, b * rows, column, b * width) for b in range(parts)]
        column += width
    return blocks


class Program:
    """Flat arrays of a circuit.

    Parameters
    ----------
    circuit : Circuit

    Attributes
    ----------
    op, units, level : ndarray of shape (n_vectors,)
        Kind of instruction (``INPUT``, ``PRODUCT``, ``SUM``, ``MIXING``, ``KRONECKER``,
        ``TRANSPOSE``),
        length, and level (children lie lower). Children come before parents; the last
        vector is the root. A product of one child and a Kronecker product have no vector.
    arg_start : ndarray of shape (n_vectors + 1,)
        Instruction v reads ``args[arg_start[v]:arg_start[v + 1]]``.
    args : ndarray of shape (n_args, 6)
        Child vector; weight offset (-1 for products); rows; columns; first unit of the
        result; first unit of the child. A Kronecker instruction has one argument for each
        of its two factors; its blocks follow each other from the first one's offset. Rows and
        columns of a TRANSPOSE instruction are those of the grid that the child fills.
    row_start : ndarray of shape (n_vectors,)
        First normaliser row of a sum, -1 otherwise.
    variable, family, unit_start : ndarray of shape (n_vectors,)
        Of inputs, -1 otherwise: the (first) column, the family, the first unit in its family.
    columns : list of ndarray of int
        All columns of every input, empty for other vectors.
    groups : list of WeightGroup
    families : list of Distribution
    family_units : list of int
        Units (tied ones once) of every family.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.n_variables = circuit.n_variables
        self._number_vectors(circuit)
        self._place_leaves(circuit)
        self._place_weights(circuit)
        self._write_args(circuit)

    def __reduce__(self):
        # Nodes are found by identity, which a copy does not keep: copies are lowered anew.
        return Program, (self.circuit,)

    # -- construction ---------------------------------------------------------------

    def _number_vectors(self, circuit: Circuit) -> None:
        self._vector: dict[int, int] = {}
        self._node_of: list[Node] = []
        op: list[int] = []
        units: list[int] = []
        level: list[int] = []
        for node in circuit.nodes:
            if isinstance(node, Product):
                if node.kronecker:
                    continue
                if len(node.children) == 1 and node.grid is None:
                    self._vector[id(node)] = self._vector[id(node.children[0])]
                    continue
                code = PRODUCT if node.grid is None else TRANSPOSE
            elif isinstance(node, Sum):
                code = MIXING if node.kind == "mixing" else SUM
                if isinstance(node.children[0], Product) and node.children[0].kronecker:
                    code = KRONECKER
            else:
                code = INPUT
            self._vector[id(node)] = len(op)
            self._node_of.append(node)
            below = [level[v] for v in self._child_vectors(node)]
            op.append(code)
            units.append(node.n_units)
            level.append(1 + max(below, default=-1))
        self.op = np.array(op, dtype=np.int64)
        self.units = np.array(units, dtype=np.int64)
        self.level = np.array(level, dtype=np.int64)
        self.n_vectors = len(op)

    def _child_vectors(self, node: Node) -> list[int]:
        children = node.children
        if isinstance(node, Sum) and isinstance(children[0], Product) and children[0].kronecker:
            children = children[0].children
        return [self._vector[id(c)] for c in children]

    def _place_leaves(self, circuit: Circuit) -> None:
        self.families: list[Any] = []
        self.family_units: list[int] = []
        index: dict[Any, int] = {}
        place: dict[int, tuple[int, int]] = {}
        self.variable = np.full(self.n_vectors, -1, dtype=np.int64)
        self.columns = [np.zeros(0, dtype=np.int64)] * self.n_vectors
        self.family = np.full(self.n_vectors, -1, dtype=np.int64)
        self.unit_start = np.full(self.n_vectors, -1, dtype=np.int64)
        for node in sorted(circuit.inputs, key=lambda i: i.share is not None):
            if node.share is None:
                family = index.get(node.distribution)
                if family is None:
                    family = index[node.distribution] = len(self.families)
                    self.families.append(node.distribution)
                    self.family_units.append(0)
                place[id(node)] = (family, self.family_units[family])
                self.family_units[family] += node.n_units
            else:
                place[id(node)] = place[id(node.share)]
            v = self._vector[id(node)]
            self.variable[v] = node.variable
            self.columns[v] = np.array(node.variables, dtype=np.int64)
            self.family[v], self.unit_start[v] = place[id(node)]

    def _place_weights(self, circuit: Circuit) -> None:
        owners = [s for s in circuit.sums if s.share is None]
        self._row_of: dict[int, int] = {}
        rows = 0
        pieces = []
        for order, node in enumerate(owners):
            self._row_of[id(node)] = rows
            height = self.level[self._vector[id(node)]]
            for b, block in enumerate(blocks_of(node)):
                pieces.append((block.rows, block.cols, height, order, b, rows + block.row_start))
            rows += node.n_units
        self.n_rows = rows
        pieces.sort()
        self._offset_of: dict[tuple[int, int], int] = {}
        self.groups: list[WeightGroup] = []
        offset = start = 0
        while start < len(pieces):
            stop = start
            shape = pieces[start][:2]
            first_rows = []
            group_offset = offset
            while stop < len(pieces) and pieces[stop][:2] == shape:
                _, _, _, order, b, first = pieces[stop]
                self._offset_of[id(owners[order]), b] = offset
                offset += shape[0] * shape[1]
                first_rows.append(first)
                stop += 1
            index = np.array(first_rows, dtype=np.int64)[:, None] + np.arange(shape[0])
            self.groups.append(WeightGroup(group_offset, stop - start, *shape, index))
            start = stop
        self.n_weights = offset
        #: First weight, number of weights and normaliser row of every row of every block.
        self.segments = np.concatenate(
            [
                np.column_stack(
                    [
                        g.offset + g.cols * np.arange(g.n * g.rows),
                        np.full(g.n * g.rows, g.cols),
                        g.row_index.ravel(),
                    ]
                )
                for g in self.groups
            ]
            or [np.zeros((0, 3), dtype=np.int64)]
        )
        #: Number of weights of every normaliser row.
        self.row_length = np.bincount(
            self.segments[:, 2], weights=self.segments[:, 1], minlength=rows
        ).astype(np.int64)

    def _write_args(self, circuit: Circuit) -> None:
        start = np.zeros(self.n_vectors + 1, dtype=np.int64)
        self.row_start = np.full(self.n_vectors, -1, dtype=np.int64)
        args: list[tuple[int, int, int, int, int, int]] = []
        for v, node in enumerate(self._node_of):
            vectors = self._child_vectors(node)
            if self.op[v] == PRODUCT:
                args += [(c, -1, node.n_units, node.n_units, 0, 0) for c in vectors]
            elif isinstance(node, Product) and node.grid:
                args.append((vectors[0], -1, *node.grid, 0, 0))
            elif isinstance(node, Sum):
                owner = id(node if node.share is None else node.share)
                self.row_start[v] = self._row_of[owner]
                if self.op[v] == KRONECKER:
                    offset = self._offset_of[owner, 0]
                    lengths = node.input_shapes
                    args += [
                        (c, offset, node.n_units, n, 0, 0)
                        for c, n in zip(vectors, lengths, strict=True)
                    ]
                else:
                    args += [
                        (
                            vectors[block.child],
                            self._offset_of[owner, b],
                            block.rows,
                            block.cols,
                            block.row_start,
                            block.in_start,
                        )
                        for b, block in enumerate(blocks_of(node))
                    ]
            start[v + 1] = len(args)
        self.arg_start = start
        self.args = np.array(args, dtype=np.int64).reshape(-1, 6)

    # -- between a node's matrix and the flat array -----------------------------------

    def write_matrix(self, node: Sum, matrix: np.ndarray, weights: np.ndarray) -> None:
        """Write a node's (n_units, n_inputs) matrix into the flat array."""
        owner = node if node.share is None else node.share
        for b, block in enumerate(blocks_of(node)):
            offset = self._offset_of[id(owner), b]
            part = matrix[
                block.row_start : block.row_start + block.rows,
                block.col_start : block.col_start + block.cols,
            ]
            weights[offset : offset + block.rows * block.cols] = part.ravel()

    def read_matrix(self, node: Sum, weights: np.ndarray) -> np.ndarray:
        """A node's weights out of the flat array, as (n_units, n_inputs)."""
        owner = node if node.share is None else node.share
        matrix = np.zeros((node.n_units, node.n_inputs))
        for b, block in enumerate(blocks_of(node)):
            offset = self._offset_of[id(owner), b]
            matrix[
                block.row_start : block.row_start + block.rows,
                block.col_start : block.col_start + block.cols,
            ] = weights[offset : offset + block.rows * block.cols].reshape(block.rows, block.cols)
        return matrix

    def vector_of(self, node: Node) -> int:
        """Number of the vector that holds a node's values."""
        return self._vector[id(node)]

    def cells(self, v: int, X: np.ndarray) -> np.ndarray:
        """What input v reads of some rows: (n,) numbers, or (n, n_variables) for a group."""
        columns = self.columns[v]
        if self.families[self.family[v]].n_variables == 1:
            return np.asarray(X[:, columns[0]], dtype=np.float64)
        return np.asarray(X[:, columns], dtype=np.float64)

    def input_slice(self, node: Input) -> tuple[int, slice]:
        """Family of an input and where its units lie in the family's array."""
        v = self._vector[id(node)]
        start = int(self.unit_start[v])
        return int(self.family[v]), slice(start, start + node.n_units)

    # -- sums over rows ---------------------------------------------------------------

    def row_sums(self, weights: np.ndarray) -> np.ndarray:
        """Sum of the weights (or flows) of every normaliser row, shape (n_rows,)."""
        if not self.n_weights:
            return np.zeros(self.n_rows)
        parts = np.add.reduceat(weights, self.segments[:, 0])
        return np.bincount(self.segments[:, 2], weights=parts, minlength=self.n_rows)

    def spread_rows(self, values: np.ndarray) -> np.ndarray:
        """A value a row repeated for every weight of the row, shape (n_weights,)."""
        return np.repeat(values[self.segments[:, 2]], self.segments[:, 1])

    def __repr__(self) -> str:
        return (
            f"Program(vectors={self.n_vectors}, levels={int(self.level.max()) + 1}, "
            f"weights={self.n_weights}, rows={self.n_rows}, families={self.families})"
        )
