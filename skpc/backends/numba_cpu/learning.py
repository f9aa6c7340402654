"""Statistics on the CPU: rows in lanes, lanes in threads, and their sums read back."""

from __future__ import annotations

import math
from collections import deque
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np

from ...circuit import Program, Statistics
from .. import log_curvature
from .accumulate import add_lanes, add_rows
from .distinct import find_distinct
from .handover import Chores
from .lanes import MAX_LANES, PART_NUMBERS, Task, allowed_threads, cuts, even_tiles, run_lanes
from .merged import unpack_merged
from .packing import Packed, Packer
from .plan import make_plan
from .rows import empty_data, encode_rows, group_flows
from .simd import PANEL
from .tiles import LOST_SHARE, learn_tiles
from .workspace import Bench

#: Least rows times weights of a lane: below it waking a thread costs more than it saves.
LANE_WORK = 6_000_000
#: Least rows of a lane: with fewer, adding up the lanes takes a tenth of the time.
LANE_ROWS = 128
#: Sizes of batches for which room is kept: nearly equal ones have a few.
MAX_ROOMS = 4
#: Bytes that the lanes' accumulators may take together.
LANE_BYTES = 1 << 28


class _Room:
    """What tiles of rows need, kept for the next batch of as many.

    Attributes
    ----------
    shape : tuple of int
        Panels of a tile, tiles, and lanes, on which the order of sums depends.
    ends : ndarray of shape (lanes + 1,)
        First tile of every lane, and the end of the last.
    log_likelihood, bound, weights : ndarray of shape (n_padded,)
        Of every row, and of those that fill the last tile; weights of these are 0, the others
        at most one, which keeps derivatives in the range of the dtype.
    ones : ndarray of shape (n_padded,)
    chores : Chores
        What must be done before tiles.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype) -> None:
        self.shape = shape
        self.panels, n_tiles, self.n_lanes = shape
        self.tile, self.ends = self.panels * PANEL, np.array(cuts(n_tiles, self.n_lanes))
        self.n_padded = n_padded = n_tiles * self.tile
        self.log_likelihood, self.bound = np.empty(n_padded), np.empty(n_padded)
        self.weights = np.zeros(n_padded, dtype=dtype)
        self.ones = np.ones(n_padded)
        self.chores = Chores()

    def take_weights(self, weight: np.ndarray | None, n: int) -> float:
        """Set the weights, over their largest; that one, or 0 when there is nothing to learn."""
        if not n:
            return 0.0
        unit = 1.0 if weight is None else float(weight.max())
        if unit > 0:
            mine = self.weights[:n]
            if weight is None:
                mine[:] = 1
            else:
                np.divide(weight, unit, out=mine, casting="same_kind")
            self.weights[n:] = 0
        return unit


class Learner:
    """Collects statistics of rows, with a plan and buffers made once.

    Parameters
    ----------
    program : Program
    dtype : dtype
    packer : Packer
    tile_panels : int
        Panels of rows in a tile.
    lane_tiles : int
        Most tiles of a lane.
    lost : float
        What one rounding to zero may cost.
    """

    def __init__(
        self,
        program: Program,
        dtype: np.dtype,
        packer: Packer,
        tile_panels: int,
        lane_tiles: int,
        lost: float,
    ) -> None:
        self.program, self.dtype, self._packer = program, dtype, packer
        self._tile_panels, self._lane_tiles, self._lost = tile_panels, lane_tiles, lost
        self.bench = Bench(make_plan(program, training=True), dtype)
        self._rooms: deque[_Room] = deque(maxlen=MAX_ROOMS)
        size = program.n_weights * dtype.itemsize + self.bench.plan.n_leaf_out * 8
        self.max_lanes = int(np.clip(LANE_BYTES // max(1, size), 1, MAX_LANES))

    def statistics(
        self,
        model: Packed,
        X: np.ndarray,
        weight: np.ndarray | None,
        n_jobs: int | None,
        curve: Any,
        beside: Task | None,
    ) -> Statistics:
        """Sums over the rows; ``curve`` collects second derivatives beside them, or is None.

        ``beside`` is done by a thread that has nothing else to do.
        """
        total = Statistics.zeros(self.program, flows=np.empty(self.program.n_weights))
        leaves = np.zeros(self.bench.plan.n_leaf_out)
        step = self.max_lanes * self._lane_tiles * self._tile_panels * PANEL
        for start in range(0, max(1, len(X)), step):
            part = slice(start, start + step)
            mine = weight if weight is None else weight[part]
            # The first part writes its flows into the total, the others add theirs.
            flows = np.empty_like(total.flows) if start else total.flows
            self._learn(model, X[part], mine, total, flows, leaves, n_jobs, curve, beside)
            beside = None
        if model.is_filled:  # something was learnt
            self._unpack_leaves(leaves, total, model)
        if curve is not None:
            curve.add_to(total, self._read_leaves)
        return total

    def _room(self, n: int) -> _Room:
        """Room for so many rows, off the list while it is used: others may learn meanwhile."""
        work = n * max(1, self.program.n_weights)
        most = max(1, min(self.max_lanes, work // LANE_WORK, -(-n // LANE_ROWS)))
        panels, n_tiles = even_tiles(n, self._tile_panels, even=most > 1)
        shape = panels, n_tiles, max(1, min(n_tiles, most))
        # One at a time goes off and back: nothing is ever on the list and in use.
        for _ in range(len(self._rooms)):
            try:
                room = self._rooms.popleft()
            except IndexError:  # others took the rest
                break
            if room.shape == shape:
                return room
            self._rooms.append(room)
        return _Room(shape, self.dtype)

    def _learn(
        self,
        model: Packed,
        X: np.ndarray,
        weight: np.ndarray | None,
        total: Statistics,
        flows: np.ndarray,
        leaves: np.ndarray,
        n_jobs: int | None,
        curve: Any,
        beside: Task | None,
    ) -> None:
        same = None
        if not self.bench.plan.n_data:
            same = find_distinct(X, self.program.n_weights)
        if same is not None:
            X, weight = X.take(same.first, axis=0), same.weights(weight)
        room = self._room(len(X))
        unit = room.take_weights(weight, len(X))
        if not unit > 0:
            flows[:] = 0
            return
        bench = self.bench if curve is None else curve.bench
        n_lanes, ends, tile = room.n_lanes, room.ends, room.tile
        accumulators = bench.accumulators(self.program.n_weights, n_lanes)
        edges, leaf_out = (a[:n_lanes] for a in accumulators)
        n_threads = min(n_lanes, allowed_threads(n_jobs))
        groups: list[list[np.ndarray]] = [[]] * n_lanes
        families = self.program.families
        together = None
        if curve is None and bench.encodes_together(room.n_padded):
            together = empty_data(bench.plan, room.n_padded)

        def piece(first: int, last: int) -> None:
            """Lanes in one call; a thread has one piece where all rows are encoded together."""
            rows, data, mine = slice(0, room.n_padded), together, X
            if data is None:
                rows = slice(ends[first] * tile, ends[last] * tile)
                mine = X[rows]
                data = empty_data(bench.plan, rows.stop - rows.start)
                encode_rows(bench.plan, families, model.members, mine, data)
            tiles = ends[first : last + 1] - rows.start // tile
            of_rows = room.log_likelihood[rows], room.bound[rows], room.weights[rows]
            if curve is not None:
                sums = edges[first], leaf_out[first]
                curve.learn_tiles(
                    first, mine, data, tiles[1] - tiles[0], room.panels, self._lost, *of_rows, *sums
                )
            else:
                with bench.workspace(room.panels) as space:
                    learn = partial(
                        learn_tiles,
                        bench.tables,
                        model.arrays,
                        data,
                        tiles,
                        room.panels,
                        space.buffers,
                        self._lost,
                        *of_rows,
                        space.flow,
                        space.slots,
                        edges[first:last],
                        leaf_out[first:last],
                        room.chores.left,
                    )
                    room.chores.wait(learn)
            if bench.plan.group_leaves:
                groups[first] = group_flows(bench.plan, families, model.members, mine, data)

        needed = [partial(self._packer.fill, model)]
        if together is not None:
            needed.append(partial(encode_rows, bench.plan, families, model.members, X, together))
        room.chores.begin(needed, beside)
        if curve is not None:
            room.chores.help_out()
        pieces = pairwise(cuts(n_lanes, n_lanes if together is None else n_threads))
        tasks = [partial(piece, first, last) for first, last in pieces]
        run_lanes(tasks, n_threads, first=room.chores.help_out, cancel=room.chores.cancel)
        flow = self._add_lanes(edges, model.parameters.weights, unit, flows, n_threads)
        part_leaves = np.empty(leaf_out.shape[1])
        leaf_flow = add_lanes(leaf_out, None, unit, 0, len(part_leaves), part_leaves)
        bench.give_accumulators(accumulators)
        finite = math.isfinite(flow) and math.isfinite(leaf_flow)
        if curve is not None:
            finite = curve.collect(unit if finite else 0.0) and finite
        if finite:
            if flows is not total.flows:
                total.flows += flows
            leaves += part_leaves
            for lane_groups in groups:
                for leaf, group_flow in zip(bench.plan.group_leaves, lane_groups):
                    total.leaves[leaf.family][leaf.units] += group_flow * unit
        else:
            # A derivative left the range of the dtype, which weights near its smallest
            # number can bring about although no mass was lost.
            room.bound[:] = np.inf
            flows[:] = 0  # they may be those of the total
        row_weights = room.ones[: len(X)] if weight is None else weight
        mine, learnt, n_damaged = add_rows(room.log_likelihood, room.bound, row_weights, LOST_SHARE)
        total.log_likelihood += mine
        total.weight += learnt
        damaged = np.flatnonzero(~(room.bound[: len(X)] <= LOST_SHARE)) if n_damaged else ()
        self._rooms.append(room)
        if len(damaged):
            wanted = () if curve is None else curve.wanted
            total += log_curvature.statistics(
                model.parameters, X[damaged], row_weights[damaged], wanted
            )

    def _add_lanes(self, edges, weights, unit: float, flows, n_threads: int) -> float:
        """Flows from the sums of all lanes, by several threads if they are many; their sum."""
        n = len(flows)
        n_parts = min(MAX_LANES, 1 + edges.size // PART_NUMBERS)
        if n_parts == 1:
            return add_lanes(edges, weights, unit, 0, n, flows)
        totals = np.zeros(n_parts)

        def part(number: int, start: int, stop: int) -> None:
            totals[number] = add_lanes(edges, weights, unit, start, stop, flows)

        tasks = [partial(part, i, *cut) for i, cut in enumerate(pairwise(cuts(n, n_parts)))]
        run_lanes(tasks, n_threads)
        return float(totals.sum())

    def _unpack_leaves(self, leaves: np.ndarray, total: Statistics, model: Packed) -> None:
        plan = self.bench.plan
        parts = {}
        for leaf in plan.families:
            n_units = self.program.family_units[leaf.family]
            part = leaves[leaf.out_start : leaf.out_start + n_units * leaf.n_terms]
            parts[leaf.family] = part.reshape(n_units, leaf.n_terms)
        for group, values in zip(plan.merged, model.merged, strict=True):
            counted = leaves[group.out_start : group.out_start + values.size]
            unpack_merged(
                model.parameters.weights,
                group.weight_starts,
                model.probabilities[group.family],
                group.unit_starts,
                values,
                counted.reshape(values.shape),
                np.empty(group.width),
                np.empty((group.states, group.width)),
                total.flows,
                parts[group.family],
            )
        self._read_leaves(parts, total.leaves)

    def _read_leaves(self, parts: dict[int, np.ndarray], leaves: list[np.ndarray]) -> None:
        """From flows by state, or flow-weighted statistics, to those of every family."""
        for leaf in self.bench.plan.families:
            part = parts[leaf.family]
            out = leaves[leaf.family]
            if leaf.is_table:
                statistics = self._state_statistics[leaf.family]
                out[:, 0] += part.sum(axis=1)
                if statistics is None:
                    out[:, 1:] += part
                else:
                    out[:, 1:] += part @ statistics
            else:
                out += part

    @cached_property
    def _state_statistics(self) -> dict[int, np.ndarray | None]:
        """Sufficient statistics of every state of the finite families; None if they are one-hot."""
        found: dict[int, np.ndarray | None] = {}
        for f, family in enumerate(self.program.families):
            if family.n_states is not None:
                statistics = family.statistics(np.arange(family.n_states)).T
                one_hot = np.array_equal(statistics, np.eye(family.n_states))
                found[f] = None if one_hot else statistics
        return found
