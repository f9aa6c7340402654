"""The CPU backend: plans, packed parameters, lanes, and the guard against lost mass."""

from __future__ import annotations

from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...circuit import Parameters, Program, Statistics
from .. import log_curvature, log_domain
from ..base import Backend, TopDown, check_wanted
from .accumulate import add_lanes, top_down
from .columns import LOG_SCALE
from .lanes import allowed_threads, run_lanes
from .merged import Factors, merged_factors, pack_merged, unpack_merged
from .plan import make_plan
from .rows import encode_rows, group_flows
from .simd import PANEL
from .tiles import LOST_SHARE, learn_tiles, score_tiles
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
#: Encoded cells that a lane holds at once, 16 MB of float64.
ENCODED_NUMBERS = 1 << 21
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
        return parameters if isinstance(parameters, Packed) else self._packed(parameters)

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
        total = Statistics.zeros(self.program)
        weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
        if weight.shape != (len(X),):
            raise ValueError(f"sample_weight has shape {weight.shape}; {(len(X),)} is needed.")
        model = self.prepared(parameters)
        step = self._max_lanes * self._lane_tiles * self._tile_panels * PANEL
        leaves = np.zeros(self._learning.plan.n_leaf_out)
        curve = None
        if wanted:
            from .curvature import CurvaturePass

            curve = CurvaturePass(self._curving, model, wanted, self._max_lanes)
        for start in range(0, len(X), step):
            part = slice(start, start + step)
            self._learn(model, X[part], weight[part], total, leaves, curve)
        self._unpack_leaves(leaves, total, model)
        if curve is not None:
            curve.add_to(total, self._read_leaves)
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

    # -- parameters as the kernels read them ------------------------------------------------

    def _check(self, parameters: Parameters) -> None:
        """The kernels read bare pointers, so wrong lengths must not reach them."""
        needed: list[tuple[int, ...]] = [(self.program.n_weights,)]
        needed += [
            (n, f.n_statistics)
            for f, n in zip(self.program.families, self.program.family_units, strict=True)
        ]
        found = [a.shape for a in (parameters.weights, *parameters.leaves)]
        if found != needed:
            raise ValueError(
                f"parameters have arrays of shapes {found}, but the program needs {needed}; use "
                "parameters of the same circuit."
            )

    def _packed(self, parameters: Parameters) -> Packed:
        self._check(parameters)
        plan = self._scoring.plan
        table = np.zeros(plan.n_packed_table, dtype=self.dtype)
        log2_scale = np.zeros(plan.n_log_scale)
        coefficients = np.zeros(plan.n_packed_coefficients)
        probabilities = {}
        for leaf in plan.families:
            family, mean = self.program.families[leaf.family], parameters.leaves[leaf.family]
            if leaf.is_table:
                size = len(mean) * (family.n_states + 2)
                part = table[leaf.packed_start : leaf.packed_start + size]
                probabilities[leaf.family] = family.probabilities(mean)
                self._pack_table(leaf.family, probabilities[leaf.family], part, log2_scale)
            else:
                natural = family.natural_parameters(mean)
                rows = np.column_stack([-family.log_partition(natural), natural])
                size = rows.size
                coefficients[leaf.packed_start : leaf.packed_start + size] = rows.ravel()
        factors = [merged_factors(g, parameters, probabilities[g.family]) for g in plan.merged]
        for group, (_, _, values) in zip(plan.merged, factors, strict=True):
            pack_merged(group, values, table, log2_scale)
        weights = parameters.weights.astype(self.dtype)
        members = {
            f: family.members(parameters.leaves[f])
            for f, family in enumerate(self.program.families)
            if family.n_variables > 1
        }
        return Packed(parameters, (weights, table, log2_scale, coefficients), factors, members)

    def _pack_table(self, f: int, probability, part, log2_scale) -> None:
        """Values of every (unit, state) divided by the largest of the input's units."""
        starts, lengths, scale_index = self._table_places[f]
        states = probability.shape[1]
        top = np.maximum.reduceat(probability, starts, axis=0)
        top[top == 0] = 1.0
        out = part.reshape(-1, states + 2)
        out[:, :states] = probability / np.repeat(top, lengths, axis=0)
        out[:, states] = 1.0
        log2_scale[scale_index] = np.log2(top)

    @cached_property
    def _table_places(self) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """First unit and number of units of every input, and where its scales are written."""
        found = {}
        for f, family in enumerate(self.program.families):
            if family.n_states is None:
                continue
            vectors = np.flatnonzero(self.program.family == f)
            starts, first = np.unique(self.program.unit_start[vectors], return_index=True)
            lengths = np.diff(np.append(starts, self.program.family_units[f]))
            scales = self._scoring.plan.instructions[vectors[first], LOG_SCALE]
            found[f] = starts, lengths, scales[:, None] + np.arange(family.n_states)
        return found

    @cached_property
    def _state_statistics(self) -> dict[int, np.ndarray]:
        """Sufficient statistics of every state of the finite families."""
        return {
            f: family.statistics(np.arange(family.n_states, dtype=float)).T
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

        run_lanes([partial(lane, *cut) for cut in _cuts(n_tiles, n_lanes)], n_threads)
        out, bound = out[:n], bound[:n]
        damaged = np.flatnonzero(~(bound <= LOST_SHARE))
        if damaged.size:
            out[damaged] = log_domain.log_likelihood(model.parameters, X[damaged])
        return out

    # -- learning ---------------------------------------------------------------------------

    def _learn(self, model: Packed, X, weight, total: Statistics, leaves, curve=None) -> None:
        n = len(X)
        panels = min(self._tile_panels, max(1, -(-n // PANEL)))
        tile = panels * PANEL
        n_tiles = -(-n // tile)
        work = n_tiles * tile * max(1, self.program.n_weights)
        n_lanes = min(n_tiles, self._max_lanes, max(1, work // LANE_WORK))
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

        groups: list[list[np.ndarray]] = [[]] * n_lanes

        def lane(number: int, first: int, last: int) -> None:
            rows = slice(first * tile, last * tile)
            families = self.program.families
            data = encode_rows(bench.plan, families, model.members, X[rows], (last - first) * tile)
            if curve is not None:
                curve.learn_tiles(
                    number,
                    X[rows],
                    data,
                    last - first,
                    panels,
                    self._lost,
                    log_likelihood[rows],
                    bound[rows],
                    padded[rows],
                    edges[number],
                    leaf_out[number],
                )
                groups[number] = group_flows(bench.plan, families, model.members, X[rows], data)
                return
            with bench.workspace(panels) as space:
                learn_tiles(
                    bench.tables,
                    model.arrays,
                    data,
                    last - first,
                    panels,
                    space.buffers,
                    self._lost,
                    log_likelihood[rows],
                    bound[rows],
                    padded[rows],
                    space.flow,
                    space.slots,
                    edges[number],
                    leaf_out[number],
                )
            groups[number] = group_flows(bench.plan, families, model.members, X[rows], data)

        tasks = [partial(lane, i, *cut) for i, cut in enumerate(_cuts(n_tiles, n_lanes))]
        run_lanes(tasks, allowed_threads(self.n_jobs) if n_lanes > 1 else 1)
        flows = np.zeros(self.program.n_weights)
        add_lanes(edges, model.parameters.weights, flows)
        part_leaves = leaf_out.sum(axis=0)
        leaf_out[...] = 0
        bench.give_accumulators(accumulators)
        log_likelihood, bound = log_likelihood[:n], bound[:n]
        used = weight > 0
        whole = bound <= LOST_SHARE
        finite = np.isfinite(flows.sum()) and np.isfinite(part_leaves.sum())
        if curve is not None:
            finite = curve.collect(unit if finite else 0.0) and finite
        if finite:
            total.flows += flows * unit if unit != 1.0 else flows
            leaves += part_leaves * unit
            for lane_groups in groups:
                for leaf, flow in zip(bench.plan.group_leaves, lane_groups, strict=True):
                    total.leaves[leaf.family][leaf.units] += flow * unit
        else:
            # A derivative left the range of the dtype, which weights near its smallest
            # number can bring about although no mass was lost.
            whole[:] = False
        kept = used & whole
        total.weight += float(weight[whole].sum())
        total.log_likelihood += float(np.dot(weight[kept], log_likelihood[kept]))
        if not whole.all():
            damaged = np.flatnonzero(~whole)
            wanted = () if curve is None else curve.wanted
            extra = log_curvature.statistics(model.parameters, X[damaged], weight[damaged], wanted)
            total.weight += extra.weight
            total.log_likelihood += extra.log_likelihood
            total.flows += extra.flows
            for mine, more in zip(total.leaves, extra.leaves, strict=True):
                mine += more
            for name, more in extra.extra.items():
                total.extra[name] = total.extra.get(name, 0.0) + more

    def _unpack_leaves(self, leaves: np.ndarray, total: Statistics, model: Packed) -> None:
        plan = self._learning.plan
        parts = {}
        for leaf in plan.families:
            n_units = self.program.family_units[leaf.family]
            part = leaves[leaf.out_start : leaf.out_start + n_units * leaf.n_terms]
            parts[leaf.family] = part.reshape(n_units, leaf.n_terms)
        for group, factors in zip(plan.merged, model.factors, strict=True):
            unpack_merged(group, factors, leaves, total.flows, parts[group.family])
        self._read_leaves(parts, total.leaves)

    def _read_leaves(self, parts: dict[int, np.ndarray], leaves: list[np.ndarray]) -> None:
        """From flows by state, or flow-weighted statistics, to those of every family."""
        for leaf in self._learning.plan.families:
            part = parts[leaf.family]
            out = leaves[leaf.family]
            if leaf.is_table:
                out[:, 0] += part.sum(axis=1)
                out[:, 1:] += part @ self._state_statistics[leaf.family]
            else:
                out += part


class Packed(NamedTuple):
    """Parameters as the kernels read them, matrices of merged sums, members of group families."""

    parameters: Parameters
    arrays: tuple
    factors: list[Factors]
    members: dict[int, Any]


def _cuts(n_tiles: int, n_lanes: int) -> list[tuple[int, int]]:
    """Lane i's first and last tile; lengths differ by one at most."""
    return list(pairwise(i * n_tiles // n_lanes for i in range(n_lanes + 1)))
