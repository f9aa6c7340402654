"""Statistics on the CPU: rows in lanes, lanes in threads, and their sums read back."""

from __future__ import annotations

import math
import threading
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np

from ...circuit import Program, Statistics
from .. import log_curvature
from .accumulate import add_lanes, add_rows
from .handover import announce
from .lanes import MAX_LANES, allowed_threads, cuts, run_lanes
from .merged import unpack_merged
from .packing import Packed, Packer
from .plan import make_plan
from .rows import encode_rows, group_flows
from .simd import PANEL
from .tiles import LOST_SHARE, learn_tiles
from .workspace import Bench

#: Least rows times weights of a lane: below it waking a thread costs more than it saves.
LANE_WORK = 6_000_000
#: Least rows of a lane: with fewer, adding up the lanes takes a tenth of the time.
LANE_ROWS = 128
#: Least numbers of the lanes that a thread adds up.
PART_NUMBERS = 1 << 19
#: Lanes with fewer encoded cells together are one piece of work.
PIECE_NUMBERS = 1 << 18
#: Bytes that the lanes' accumulators may take together.
LANE_BYTES = 1 << 28


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
        size = program.n_weights * dtype.itemsize + self.bench.plan.n_leaf_out * 8
        self.max_lanes = int(np.clip(LANE_BYTES // max(1, size), 1, MAX_LANES))

    def statistics(
        self, model: Packed, X: np.ndarray, weight: np.ndarray, n_jobs: int | None, curve: Any
    ) -> Statistics:
        """Sums over the rows; ``curve`` collects second derivatives beside them, or is None."""
        total = Statistics.zeros(self.program)
        leaves = np.zeros(self.bench.plan.n_leaf_out)
        step = self.max_lanes * self._lane_tiles * self._tile_panels * PANEL
        for start in range(0, len(X), step):
            part = slice(start, start + step)
            # The first part writes its flows into the total, the others add theirs.
            flows = np.empty_like(total.flows) if start else total.flows
            self._learn(model, X[part], weight[part], total, flows, leaves, n_jobs, curve)
        self._unpack_leaves(leaves, total, model)
        if curve is not None:
            curve.add_to(total, self._read_leaves)
        return total

    def _learn(self, model, X, weight, total: Statistics, flows, leaves, n_jobs, curve) -> None:
        n = len(X)
        panels = min(self._tile_panels, max(1, -(-n // PANEL)))
        tile = panels * PANEL
        n_tiles = -(-n // tile)
        work = n_tiles * tile * max(1, self.program.n_weights)
        most = min(self.max_lanes, work // LANE_WORK, -(-n // LANE_ROWS))
        n_lanes = min(n_tiles, max(1, most))
        log_likelihood = np.empty(n_tiles * tile)
        bound = np.empty(n_tiles * tile)
        # Weights at most one keep the derivatives in the range of the dtype.
        unit = float(weight.max()) if n else 0.0
        if unit <= 0:
            return
        padded = np.zeros(n_tiles * tile, dtype=self.dtype)
        padded[:n] = weight / unit
        bench = self.bench if curve is None else curve.bench
        accumulators = bench.accumulators(self.program.n_weights, n_lanes)
        edges, leaf_out = (a[:n_lanes] for a in accumulators)

        ends = np.array(cuts(n_tiles, n_lanes))
        n_threads = min(n_lanes, allowed_threads(n_jobs))
        together = 1
        if curve is None and not bench.plan.group_leaves:
            numbers = (bench.plan.n_codes + bench.plan.n_data) * tile * -(-n_tiles // n_lanes)
            together = max(1, PIECE_NUMBERS // max(1, numbers))
        groups: list[list[np.ndarray]] = [[]] * n_lanes
        ready, told = np.zeros(1, dtype=np.int64), threading.Event()

        def piece(first: int, last: int) -> None:
            begin = ends[first] * tile
            rows = slice(begin, ends[last] * tile)
            families = self.program.families
            data = encode_rows(bench.plan, families, model.members, X[rows], rows.stop - begin)
            if curve is not None:
                curve.learn_tiles(
                    first,
                    X[rows],
                    data,
                    ends[last] - ends[first],
                    panels,
                    self._lost,
                    log_likelihood[rows],
                    bound[rows],
                    padded[rows],
                    edges[first],
                    leaf_out[first],
                )
            else:
                with bench.workspace(panels) as space:
                    learn = partial(
                        learn_tiles,
                        bench.tables,
                        model.arrays,
                        data,
                        ends[first : last + 1] - ends[first],
                        panels,
                        space.buffers,
                        self._lost,
                        log_likelihood[rows],
                        bound[rows],
                        padded[rows],
                        space.flow,
                        space.slots,
                        edges[first:last],
                        leaf_out[first:last],
                        ready,
                    )
                    while not learn():
                        told.wait()
            if bench.plan.group_leaves:
                groups[first] = group_flows(bench.plan, families, model.members, X[rows], data)

        def tell(value: int) -> None:
            announce(ready, value)
            told.set()

        def fill() -> None:
            self._packer.fill(model)
            tell(1)

        tasks = [
            partial(piece, i, min(i + together, last))
            for first, last in pairwise(cuts(n_lanes, n_threads))
            for i in range(first, last, together)
        ]
        run_lanes(tasks, n_threads, first=fill, cancel=partial(tell, -1))
        flow = self._add_lanes(edges, model.parameters.weights, unit, flows, n_jobs)
        part_leaves = leaf_out.sum(axis=0)
        leaf_out[...] = 0
        bench.give_accumulators(accumulators)
        finite = math.isfinite(flow) and math.isfinite(part_leaves.sum())
        if curve is not None:
            finite = curve.collect(unit if finite else 0.0) and finite
        if finite:
            if flows is not total.flows:
                total.flows += flows
            part_leaves *= unit
            leaves += part_leaves
            for lane_groups in groups:
                for leaf, group_flow in zip(bench.plan.group_leaves, lane_groups):
                    total.leaves[leaf.family][leaf.units] += group_flow * unit
        else:
            # A derivative left the range of the dtype, which weights near its smallest
            # number can bring about although no mass was lost.
            bound[:] = np.inf
            flows[:] = 0  # they may be those of the total
        mine, learnt, n_damaged = add_rows(log_likelihood, bound, weight, LOST_SHARE)
        total.log_likelihood += mine
        total.weight += learnt
        if n_damaged:
            damaged = np.flatnonzero(~(bound[:n] <= LOST_SHARE))
            wanted = () if curve is None else curve.wanted
            total += log_curvature.statistics(model.parameters, X[damaged], weight[damaged], wanted)

    def _add_lanes(self, edges, weights, unit: float, flows, n_jobs) -> float:
        """Flows from the sums of all lanes, by several threads if they are many; their sum."""
        n = len(flows)
        n_parts = min(MAX_LANES, 1 + edges.size // PART_NUMBERS)
        totals = np.zeros(n_parts)

        def part(number: int, start: int, stop: int) -> None:
            totals[number] = add_lanes(edges, weights, unit, start, stop, flows)

        tasks = [partial(part, i, *cut) for i, cut in enumerate(pairwise(cuts(n, n_parts)))]
        run_lanes(tasks, allowed_threads(n_jobs) if n_parts > 1 else 1)
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
                out += part @ self._state_statistics[leaf.family]
            else:
                out += part

    @cached_property
    def _state_statistics(self) -> dict[int, np.ndarray]:
        """A one and the sufficient statistics of every state of the finite families."""
        return {
            f: np.column_stack(
                [np.ones(family.n_states), family.statistics(np.arange(family.n_states)).T]
            )
            for f, family in enumerate(self.program.families)
            if family.n_states is not None
        }
