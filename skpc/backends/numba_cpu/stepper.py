"""What one way down through the parameters needs: tables made once, scratch, and threads."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ...circuit import Parameters, Program
from ..base import SMALLEST, Mixing, TopDown
from . import lines
from .columns import CHILD, COLUMNS, INPUT, KRONECKER, MIXING, SUM
from .descent import VISITED, descend
from .lanes import PART_NUMBERS, Task, run_lanes

#: No step: it is not read.
_NO_STEP = (0.0, 0.0, 1, 0.0, 0.0)


class Stepper:
    """Top-down probabilities of a program's parameters, and steps of the EM family.

    Parameters
    ----------
    program : Program
    dtype : dtype
        Of the kernels' weights.
    """

    def __init__(self, program: Program, dtype: np.dtype) -> None:
        self.program = program
        units, args = program.units, program.args
        starts = np.concatenate([[0], np.cumsum(units)[:-1]]).astype(np.int64)
        owner = np.repeat(np.arange(program.n_vectors), np.diff(program.arg_start))
        # Whoever reads a vector, those above first.
        order = np.lexsort((np.arange(len(args)), -owner, args[:, CHILD]))
        parents = np.searchsorted(args[order, CHILD], np.arange(program.n_vectors + 1))
        lengths = np.where(program.op[owner] == MIXING, units[owner], args[:, COLUMNS])
        is_sum = np.isin(program.op, (SUM, MIXING, KRONECKER))
        ends = np.concatenate([[0], np.cumsum(np.where(is_sum[owner], lengths, 0))])
        self._family_ends = np.concatenate([[0], np.cumsum(program.family_units)]).astype(np.int64)
        visits = _from_the_root(program, owner)
        leaf_start = self._family_ends[program.family] + program.unit_start
        #: For the kernels: of every vector its operation, units, first row of weights, and where
        #: its units are counted; who reads it, from where on in a list of vectors and their
        #: arguments; its arguments, and where their messages lie; where it is among the leaves.
        self.circuit = (
            program.op,
            units,
            program.row_start,
            starts,
            parents.astype(np.int64),
            np.column_stack([owner[order], order]).astype(np.int64),
            program.arg_start,
            args,
            ends.astype(np.int64),
            np.where(program.op == INPUT, leaf_start, -1),
        )
        self._copies = visits, *_last_copies(program, visits)
        self._n_units, self._n_messages = int(units.sum()), int(ends[-1])
        self._no_edges = np.zeros((1, 0), dtype=dtype), np.zeros(0), np.zeros(0, dtype=dtype)
        self._scratch: list[tuple[np.ndarray, ...]] = []

    def top_down(self, parameters: Parameters) -> TopDown:
        """Of the parameters."""
        edges, nothing, packed = self._no_edges
        arrays = edges, nothing, parameters.weights, packed
        _, found = self._descend(parameters.weights, False, _NO_STEP, arrays, 1)
        return found

    def step(
        self,
        weights: np.ndarray,
        mixing: Mixing,
        scale: float,
        edges: np.ndarray,
        more: np.ndarray,
        packed: np.ndarray,
        n_threads: int,
    ) -> tuple[np.ndarray, TopDown] | None:
        """New weights, which ``packed`` gets too, and top-down probabilities of the old ones, zeros
        for a step by flows.

        None if some number was not finite; ``packed`` then has no meaning.

        Parameters
        ----------
        weights : ndarray of shape (n_weights,)
        mixing : Mixing
        scale : float
            Brings the sums of the lanes to means a row.
        edges : ndarray of shape (n_lanes, n_weights)
            Derivatives by the weights; they are cleared.
        more : ndarray of shape (n_rows,)
            Added to the mean flow of every weight of a row.
        packed : ndarray of shape (n_weights,)
        n_threads : int
            At most.
        """
        by_top_down = int(mixing.by_top_down)
        step = 1.0 - mixing.step, float(mixing.step), by_top_down, float(scale), SMALLEST
        new = lines.empty(weights.shape)
        arrays = edges, more, new, packed
        most = max(1, min(n_threads, self.program.n_weights // PART_NUMBERS + 1))
        finite, found = self._descend(weights, True, step, arrays, most)
        return (new, found) if finite else None

    def new_scratch(self) -> tuple[np.ndarray, np.ndarray]:
        """What visits write over: see ``descend``."""
        return lines.empty(self._n_units), lines.empty(self._n_messages)

    def _descend(
        self, weights: np.ndarray, learns: bool, step: Any, arrays: Any, n_threads: int
    ) -> tuple[bool, TopDown]:
        program = self.program
        try:
            reach, messages, team = self._scratch.pop()
        except IndexError:
            team = np.empty(VISITED + program.n_vectors, dtype=np.int64)
            reach, messages = self.new_scratch()
        team[:] = 0
        rows, leaves = lines.zeros(program.n_rows), lines.zeros(self._family_ends[-1])
        call = partial(
            descend, self.circuit, self._copies, weights, learns, step, *arrays, reach, messages,
            rows, leaves, team, n_threads,
        )  # fmt: skip
        if n_threads == 1:
            finite = call(True)
        else:
            found: list[bool] = []
            tasks: list[Task] = [lambda: found.append(call(True))]
            run_lanes(tasks + [partial(call, False)] * (n_threads - 1), n_threads)
            (finite,) = found
        self._scratch.append((reach, messages, team))
        parts = [leaves[start:stop] for start, stop in pairwise(self._family_ends.tolist())]
        return finite, TopDown(rows, parts)


def _from_the_root(program: Program, owner: np.ndarray) -> np.ndarray:
    """All vectors, those that are fewer steps below the root first: neighbours wait for others."""
    depth = [0] * program.n_vectors
    pairs = zip(owner[::-1].tolist(), program.args[::-1, CHILD].tolist())
    for parent, child in pairs:
        depth[child] = max(depth[child], depth[parent] + 1)
    return np.lexsort((-np.arange(program.n_vectors), np.array(depth)))


def _last_copies(program: Program, visits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the part of every vector begins in a list, and that list: see ``descend``."""
    copies: dict[int, list[int]] = {}
    for v in visits.tolist():
        if program.row_start[v] >= 0:
            copies.setdefault(int(program.row_start[v]), []).append(v)
    last = {mine[-1]: sorted(mine) for mine in copies.values()}
    ends = np.cumsum([0] + [len(last.get(v, ())) for v in range(program.n_vectors)])
    found = [u for v in sorted(last) for u in last[v]]
    return ends.astype(np.int64), np.array(found, dtype=np.int64)
