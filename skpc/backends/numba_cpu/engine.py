"""The CPU backend: plans, packed parameters, lanes, and the guard against lost mass."""

from __future__ import annotations

import math
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...circuit import Parameters, Program, Statistics
from .. import log_curvature, log_domain
from ..base import Backend, TopDown, check_wanted
from .accumulate import add_lanes, add_rows, top_down
from .lanes import allowed_threads, run_lanes
from .merged import unpack_merged
from .packing import Packed, Packer
from .plan import make_plan
from .rows import encode_rows, group_flows
from .simd import PANEL
from .tiles import LOST_SHARE, announce, learn_tiles, score_tiles
from .workspace import Bench

if TYPE_CHECKING:
    from .curvature import CurvatureBench

#: Rows of a tile up to 64 units, and above: four vectors of a node stay in a cache of 256 KB.
TILE_ROWS, WIDE_TILE_ROWS = 128, 64
#: Most lanes, hence threads, that one batch is cut into.
MAX_LANES = 16
#: Tiles a lane works through before its float32 sums are added up in float64.
LANE_TILES = 32
#: Least rows times weights of a lane: below it waking a thread costs more than it saves.
LANE_WORK = 6_000_000
#: Least rows of a lane: with fewer, adding up the lanes takes a tenth of the time.
LANE_ROWS = 128
#: Least numbers of the lanes that a thread adds up.
PART_NUMBERS = 1 << 19
#: Encoded cells that a lane holds at once, 16 MB of float64.
ENCODED_NUMBERS = 1 << 21
#: Lanes with fewer encoded cells together are one piece of work.
PIECE_NUMBERS = 1 << 18
#: Bytes that the lanes' accumulators may take together.
LANE_BYTES = 1 << 28


class NumbaBackend(Backend):
    """Computes a program on the CPU, in tiles of rows, lanes of tiles, threads of lanes.

    Parameters
    ----------
    program : Program
    dtype : {float32, float64}
        Of values inside a tile. Scales, leaf statistics and all sums over tiles are float64.
    n_jobs : int or None
        Threads; None means the allowed cores, and one inside a joblib worker. The result
        has the same bits for any number.
    """

    def __init__(
        self, program: Program, dtype: Any = np.float32, n_jobs: int | None = None
    ) -> None:
        self.program = program
        self.dtype = np.dtype(dtype)
        self.n_jobs = n_jobs
        wide = int(program.units.max()) > 64
        self._tile_panels = max(1, (WIDE_TILE_ROWS if wide else TILE_ROWS) // PANEL)
        # Below one rounding per unit and term of a sum: see products.py.
        self._lost = float(np.finfo(self.dtype).tiny) * (8 + int(program.units.max()))

    def __reduce__(self):
        # Buffers and tables stay behind: a copy makes its own.
        return NumbaBackend, (self.program, self.dtype, self.n_jobs)

    # -- the contract -----------------------------------------------------------------

    def prepared(self, parameters: Parameters | Packed) -> Packed:
        model = self._packer.packed(parameters)
        self._packer.fill(model)
        return model

    def log_likelihood(self, parameters: Parameters | Packed, X: np.ndarray) -> np.ndarray:
        out = np.empty(len(X))
        model = self.prepared(parameters)
        step = MAX_LANES * self._lane_tiles * self._tile_panels * PANEL
        for start in range(0, len(X), step):
            rows = X[start : start + step]
            out[start : start + step] = self._score(model, rows)
        return out

    def statistics(
        self,
        parameters: Parameters | Packed,
        X: np.ndarray,
        sample_weight: np.ndarray | None = None,
        wanted: tuple[str, ...] = (),
    ) -> Statistics:
        check_wanted(self.program, wanted)
        weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
        if weight.shape != (len(X),):
            raise ValueError(f"sample_weight has shape {weight.shape}; {(len(X),)} is needed.")
        total = Statistics.zeros(self.program)
        if not weight.any():
            return total
        model = self._packer.packed(parameters)
        step = self._max_lanes * self._lane_tiles * self._tile_panels * PANEL
        leaves = np.zeros(self._learning.plan.n_leaf_out)
        curve = None
        if wanted:
            from .curvature import CurvaturePass

            self._packer.fill(model)
            curve = CurvaturePass(self._curving, model, wanted, self._max_lanes)
        for start in range(0, len(X), step):
            part = slice(start, start + step)
            # The first part writes its flows into the total, the others add theirs.
            flows = np.empty_like(total.flows) if start else total.flows
            self._learn(model, X[part], weight[part], total, flows, leaves, curve)
        self._unpack_leaves(leaves, total, model)
        if curve is not None:
            curve.add_to(total, self._read_leaves)
        if model is not parameters:
            self._packer.take_back(model)
        return total

    def top_down(self, parameters: Parameters) -> TopDown:
        program = self.program
        reach = np.zeros(self._starts[-1] + program.units[-1])
        rows = np.zeros(program.n_rows)
        leaves = np.zeros(self._family_ends[-1])
        top_down(
            program.op,
            program.units,
            program.arg_start,
            program.args,
            program.row_start,
            self._leaf_starts,
            self._starts,
            parameters.weights,
            reach,
            rows,
            leaves,
        )
        return TopDown(rows, [leaves[a:b] for a, b in pairwise([0, *self._family_ends])])

    # -- layout, made once ----------------------------------------------------------------

    @cached_property
    def _scoring(self) -> Bench:
        return Bench(make_plan(self.program, training=False), self.dtype)

    @cached_property
    def _learning(self) -> Bench:
        return Bench(make_plan(self.program, training=True), self.dtype)

    @cached_property
    def _curving(self) -> CurvatureBench:
        from .curvature import CurvatureBench

        return CurvatureBench(self.program, self.dtype)

    @cached_property
    def _packer(self) -> Packer:
        return Packer(self.program, self._scoring.plan, self.dtype)

    @cached_property
    def _leaf_starts(self) -> np.ndarray:
        first = np.concatenate([[0], np.cumsum(self.program.family_units)]).astype(np.int64)
        return first[self.program.family] + self.program.unit_start

    @cached_property
    def _family_ends(self) -> list[int]:
        return np.cumsum(self.program.family_units).tolist()

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.program.units)[:-1]]).astype(np.int64)

    @cached_property
    def _max_lanes(self) -> int:
        size = self.program.n_weights * self.dtype.itemsize + self._learning.plan.n_leaf_out * 8
        return int(np.clip(LANE_BYTES // max(1, size), 1, MAX_LANES))

    @cached_property
    def _lane_tiles(self) -> int:
        plan = self._scoring.plan
        numbers = (plan.n_codes + plan.n_data) * self._tile_panels * PANEL
        return int(np.clip(ENCODED_NUMBERS // max(1, numbers), 1, LANE_TILES))

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

    # -- scoring ----------------------------------------------------------------------------

    def _score(self, model: Packed, X: np.ndarray) -> np.ndarray:
        n = len(X)
        panels = min(self._tile_panels, -(-n // PANEL))
        tile = panels * PANEL
        n_tiles = -(-n // tile)
        n_threads = allowed_threads(self.n_jobs)
        n_lanes = min(n_tiles, max(n_threads, -(-n_tiles // self._lane_tiles)))
        out = np.empty(n_tiles * tile)
        bound = np.empty(n_tiles * tile)
        bench = self._scoring

        def lane(first: int, last: int) -> None:
            rows = slice(first * tile, last * tile)
            data = encode_rows(
                bench.plan, self.program.families, model.members, X[rows], (last - first) * tile
            )
            with bench.workspace(panels) as space:
                score_tiles(
                    bench.tables,
                    model.arrays,
                    data,
                    last - first,
                    panels,
                    space.buffers,
                    self._lost,
                    out[rows],
                    bound[rows],
                )

        run_lanes([partial(lane, *cut) for cut in pairwise(_cuts(n_tiles, n_lanes))], n_threads)
        out, bound = out[:n], bound[:n]
        damaged = np.flatnonzero(~(bound <= LOST_SHARE))
        if damaged.size:
            out[damaged] = log_domain.log_likelihood(model.parameters, X[damaged])
        return out

    # -- learning ---------------------------------------------------------------------------

    def _learn(
        self, model: Packed, X, weight, total: Statistics, flows, leaves, curve=None
    ) -> None:
        n = len(X)
        panels = min(self._tile_panels, max(1, -(-n // PANEL)))
        tile = panels * PANEL
        n_tiles = -(-n // tile)
        work = n_tiles * tile * max(1, self.program.n_weights)
        most = min(self._max_lanes, work // LANE_WORK, -(-n // LANE_ROWS))
        n_lanes = min(n_tiles, max(1, most))
        log_likelihood = np.empty(n_tiles * tile)
        bound = np.empty(n_tiles * tile)
        # Weights at most one keep the derivatives in the range of the dtype.
        unit = float(weight.max()) if n else 0.0
        if unit <= 0:
            return
        padded = np.zeros(n_tiles * tile, dtype=self.dtype)
        padded[:n] = weight / unit
        bench = self._learning if curve is None else curve.bench
        accumulators = bench.accumulators(self.program.n_weights, n_lanes)
        edges, leaf_out = (a[:n_lanes] for a in accumulators)

        cuts = np.array(_cuts(n_tiles, n_lanes))
        n_threads = min(n_lanes, allowed_threads(self.n_jobs))
        together = 1
        if curve is None and not bench.plan.group_leaves:
            numbers = (bench.plan.n_codes + bench.plan.n_data) * tile * -(-n_tiles // n_lanes)
            together = max(1, PIECE_NUMBERS // max(1, numbers))
        groups: list[list[np.ndarray]] = [[]] * n_lanes
        ready = np.zeros(1, dtype=np.int64)

        def piece(first: int, last: int) -> None:
            begin = cuts[first] * tile
            rows = slice(begin, cuts[last] * tile)
            families = self.program.families
            data = encode_rows(bench.plan, families, model.members, X[rows], rows.stop - begin)
            if curve is not None:
                curve.learn_tiles(
                    first,
                    X[rows],
                    data,
                    cuts[last] - cuts[first],
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
                    learn_tiles(
                        bench.tables,
                        model.arrays,
                        data,
                        cuts[first : last + 1] - cuts[first],
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
            if bench.plan.group_leaves:
                groups[first] = group_flows(bench.plan, families, model.members, X[rows], data)

        def fill() -> None:
            self._packer.fill(model)
            announce(ready, 1)

        tasks = [
            partial(piece, i, min(i + together, last))
            for first, last in pairwise(_cuts(n_lanes, n_threads))
            for i in range(first, last, together)
        ]
        run_lanes(tasks, n_threads, first=fill, cancel=partial(announce, ready, -1))
        flow = self._add_lanes(edges, model.parameters.weights, unit, flows)
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
            flows[:] = 0
        mine, learnt, n_damaged = add_rows(log_likelihood, bound, weight, LOST_SHARE)
        total.log_likelihood += mine
        total.weight += learnt
        if n_damaged:
            damaged = np.flatnonzero(~(bound[:n] <= LOST_SHARE))
            wanted = () if curve is None else curve.wanted
            total += log_curvature.statistics(model.parameters, X[damaged], weight[damaged], wanted)

    def _add_lanes(self, edges, weights, unit: float, flows) -> float:
        """Flows from the sums of all lanes, by several threads if they are many; their sum."""
        n = len(flows)
        n_parts = min(MAX_LANES, 1 + edges.size // PART_NUMBERS)
        totals = np.zeros(n_parts)

        def part(number: int, start: int, stop: int) -> None:
            totals[number] = add_lanes(edges, weights, unit, start, stop, flows)

        tasks = [partial(part, i, *cut) for i, cut in enumerate(pairwise(_cuts(n, n_parts)))]
        run_lanes(tasks, allowed_threads(self.n_jobs) if n_parts > 1 else 1)
        return float(totals.sum())

    def _unpack_leaves(self, leaves: np.ndarray, total: Statistics, model: Packed) -> None:
        plan = self._learning.plan
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
        for leaf in self._learning.plan.families:
            part = parts[leaf.family]
            out = leaves[leaf.family]
            if leaf.is_table:
                out += part @ self._state_statistics[leaf.family]
            else:
                out += part


def _cuts(n: int, n_parts: int) -> list[int]:
    """Where parts begin and the last one ends; lengths differ by one at most."""
    return [i * n // n_parts for i in range(n_parts + 1)]
