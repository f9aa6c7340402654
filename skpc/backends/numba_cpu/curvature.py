"""Second derivatives on the CPU backend: layout, buffers, and what the counted sums say.

Loaded, and its kernels compiled, only when "squares" or "curvature" is asked for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...circuit import Parameters, Program, Statistics
from ..log_curvature import LARGEST
from . import lines
from .columns import (
    CHILD,
    COLUMNS,
    HEIGHT,
    IN,
    KRONECKER,
    LEAVES,
    OP,
    PRODUCT,
    PRODUCTS,
    SKIP,
    SUM,
    TRANSPOSE,
    UNITS,
)
from .curvature_tiles import (
    CHANGE,
    CLEAR,
    FIRST,
    FLOW,
    MERGED,
    SHARED,
    SLOPE,
    SOLE,
    curve_tiles,
)
from .lanes import most_panels
from .plan import MergedTables, Plan, make_plan
from .rows import group_flows
from .simd import PANEL
from .workspace import Bench


class Layout(NamedTuple):
    """Where flows, changes and slopes of every vector lie, and how flows arrive."""

    vectors: np.ndarray  # (n_vectors, 5), see curvature_tiles
    pushes: np.ndarray  # (n_args, 3)
    n_flows: int  # units
    n_changes: int
    n_slopes: int


class CurvatureSpace(NamedTuple):
    """What one thread needs for one tile."""

    buffers: tuple
    arrays: tuple


class CurvatureBench(Bench):
    """Tables and buffers of the four passes."""

    def __init__(self, program: Program, dtype: np.dtype) -> None:
        super().__init__(make_plan(program, training=True, keep_scales=True), dtype)
        self.layout = make_layout(program, self.plan)

    def new_workspace(self, panels: int, leads: bool = True) -> Any:
        plan, layout, rows = self.plan, self.layout, panels * PANEL

        def empty(units: int) -> np.ndarray:
            return lines.zeros(max(1, units) * rows, dtype=self.dtype)

        scales = (
            empty(plan.n_scales),
            lines.zeros(max(1, plan.n_scales) * rows),
            empty(plan.n_scales),
            empty(plan.n_scales),
        )
        buffers = (empty(plan.n_values), scales, empty(plan.n_factors), empty(plan.max_units))
        arrays = (
            empty(layout.n_flows),
            empty(layout.n_flows),
            empty(layout.n_changes),
            empty(layout.n_slopes),
            *(empty(plan.max_units) for _ in range(5)),
            empty(1),
            lines.zeros(rows),
        )
        return CurvatureSpace(buffers, arrays)


def make_layout(program: Program, plan: Plan) -> Layout:
    """Places of every vector in the buffers of the passes."""
    table, args = plan.instructions, plan.args
    n = len(table)
    layout = np.full((n, 5), -1, dtype=np.int64)
    layout[:, [CLEAR, MERGED]] = 0
    for group in plan.merged:
        layout[group.sums, MERGED] = 1
    pushes = lines.zeros((len(args), 3), dtype=np.int64)
    arriving: list[list[tuple[int, int]]] = [[] for _ in range(n)]
    n_flows = n_slopes = 0
    for v in range(n - 1, -1, -1):
        op, units = table[v, OP], table[v, UNITS]
        if op == SKIP:
            continue
        order = arriving[v]
        if len(order) == 1 and table[order[0][0], OP] == PRODUCT:
            layout[v, FLOW] = layout[order[0][0], FLOW]
            pushes[order[0][1], SHARED] = 1
        else:
            layout[v, FLOW] = n_flows
            n_flows += int(units)
            if order:
                parent, a = order[0]
                whole = table[parent, OP] != SUM or (
                    args[a, IN] == 0
                    and args[a, COLUMNS] == units
                    and args[a, HEIGHT] == table[parent, UNITS]
                )
                whole = whole and table[parent, OP] != KRONECKER
                pushes[a, FIRST] = whole
                pushes[a, SOLE] = whole and len(order) == 1
                layout[v, CLEAR] = not whole
        if op in LEAVES:
            continue
        if op not in PRODUCTS:
            layout[v, SLOPE] = n_slopes
            n_slopes += int(units)
        for a in range(program.arg_start[v], program.arg_start[v + 1]):
            arriving[args[a, CHILD]].append((v, a))
    n_changes = 0
    for v in range(n):
        op = table[v, OP]
        if op == SKIP or (op in LEAVES and not layout[v, MERGED]):
            continue
        if op == PRODUCT:
            children = args[program.arg_start[v] : program.arg_start[v + 1], CHILD]
            places = [p for p in layout[children, CHANGE].tolist() if p >= 0]
            if len(places) < 2:
                layout[v, CHANGE] = places[0] if places else -1
                continue
        elif op == TRANSPOSE and layout[args[program.arg_start[v], CHILD], CHANGE] < 0:
            continue
        layout[v, CHANGE] = n_changes
        n_changes += int(table[v, UNITS])
    return Layout(layout, pushes, n_flows, n_changes, n_slopes)


class CurvaturePass:
    """One call for statistics with second derivatives: its kernels and its sums.

    Parameters
    ----------
    bench : CurvatureBench
    model : Packed
    wanted : tuple of str
        "squares", "curvature" or both.
    n_lanes : int
        Most lanes of a part of the rows.
    """

    def __init__(self, bench: CurvatureBench, model: Any, wanted: tuple[str, ...], n_lanes) -> None:
        self.bench, self.model, self.wanted = bench, model, wanted
        self._factors = [
            _factors_of(group, model.parameters, *found)
            for group, found in zip(bench.plan.merged, model.merged(bench.plan), strict=True)
        ]
        plan, n_weights = bench.plan, len(model.parameters.weights)
        self._ratios = lines.zeros(plan.n_packed_table, dtype=bench.dtype)
        for group, factors in zip(plan.merged, self._factors, strict=True):
            size = len(group.sums) * group.height * (group.states + 2)
            part = self._ratios[group.packed_start : group.packed_start + size]
            part = part.reshape(len(group.sums), group.height, -1)
            # Beyond the range of the dtype it is infinite, which sends the rows to logarithms.
            with np.errstate(over="ignore"):
                part[:, :, :-1] = _squared_ratios(factors)
        self._with = "squares" in wanted, "curvature" in wanted
        sizes = [n_weights if used else 0 for used in self._with]
        self._edges = [lines.zeros((n_lanes, max(1, size)), dtype=bench.dtype) for size in sizes]
        self._leaves = [lines.zeros((n_lanes, max(1, plan.n_leaf_out))) for _ in range(2)]
        self._groups: dict[int, list[np.ndarray]] = {}
        # Sums over all parts of the rows.
        self.edges = [lines.zeros(size) for size in sizes]
        self.leaves = [lines.zeros(plan.n_leaf_out) for _ in range(2)]
        self.group_leaves = [
            lines.zeros((g.n_units, 1 + model.parameters.program.families[g.family].n_statistics))
            for g in plan.group_leaves
        ]

    def learn_tiles(
        self, lane, X, data, tile_panels, lost, log_likelihood, bound, weights, edges, leaf_out
    ) -> None:
        """The rows of one lane, with its rows, data, weights and accumulators."""
        families, model, bench = self.model.parameters.program.families, self.model, self.bench
        roots = np.sqrt(weights)
        more_data = np.zeros_like(data[1])
        with bench.workspace(most_panels(tile_panels)) as borrowed:
            space: Any = borrowed
            curve_tiles(
                bench.tables,
                bench.layout.vectors,
                bench.layout.pushes,
                model.arrays,
                self._ratios,
                data,
                more_data,
                data[2] // PANEL,
                tile_panels,
                space.buffers,
                space.arrays,
                lost,
                log_likelihood,
                bound,
                roots,
                bool((weights[: len(X)] != 1).any()),
                *self._with,
                (edges, self._edges[0][lane], self._edges[1][lane]),
                (leaf_out, self._leaves[0][lane], self._leaves[1][lane]),
            )
        more = data[0], more_data, data[2]
        self._groups[lane] = group_flows(bench.plan, families, model.members, X, more)

    def collect(self, unit: float) -> bool:
        """Add up the lanes, times the unit of the weights; nothing, and False, after overflow."""
        edges = [lanes.sum(axis=0, dtype=np.float64) for lanes in self._edges]
        leaves = [lanes.sum(axis=0) for lanes in self._leaves]
        groups = [self._groups[lane] for lane in sorted(self._groups)]
        for lanes in (*self._edges, *self._leaves):
            lanes[...] = 0
        self._groups = {}
        if not all(np.isfinite(a.sum()) for a in (*edges, *leaves)):
            return False
        for total, part in zip((*self.edges, *self.leaves), (*edges, *leaves)):
            total += unit * part[: len(total)]
        for lane_groups in groups:
            for total, part in zip(self.group_leaves, lane_groups):
                total += unit * part
        return True

    def add_to(self, total: Statistics, read_leaves: Any) -> None:
        """Put what was summed into the statistics.

        ``read_leaves`` turns sums as the kernels count them into one array a family; see
        ``Learner``.
        """
        with_squares, with_gradient = self._with
        squares, second = self.edges
        leaf_squares, leaf_second = self.leaves
        plan = self.bench.plan
        moved = {}
        for leaf in plan.families:
            units = self.model.parameters.program.family_units[leaf.family]
            part = leaf_second[leaf.out_start : leaf.out_start + units * leaf.n_terms]
            moved[leaf.family] = part.reshape(units, leaf.n_terms)
        for group, factors in zip(plan.merged, self._factors, strict=True):
            size = len(group.sums) * group.height * (group.states + 1)
            span = slice(group.out_start, group.out_start + size)
            if with_squares:
                _add_merged_squares(group, factors, leaf_squares[span], squares)
            if with_gradient:
                counted = leaf_squares[span], leaf_second[span]
                _add_merged_second(group, factors, *counted, second, moved[group.family])
        if with_squares:
            total.extra["squares"] = total.extra.get("squares", 0.0) + squares
        if with_gradient:
            total.extra["curvature"] = total.extra.get("curvature", 0.0) + 2 * second
            arrays = [np.zeros_like(a) for a in total.leaves]
            read_leaves(moved, arrays)
            for group_leaf, part in zip(plan.group_leaves, self.group_leaves):
                arrays[group_leaf.family][group_leaf.units] += part
            for f, part in enumerate(arrays):
                name = f"curvature_{f}"
                total.extra[name] = total.extra.get(name, 0.0) + 2 * part


def _squared_ratios(factors: Factors) -> np.ndarray:
    """Σ_c r² of every unit and state of merged sums."""
    squares = (factors.tables**2).sum(axis=1)[:, None, :]
    ratios = np.zeros_like(factors.values)
    inverse = _inverse(factors)
    with np.errstate(over="ignore"):
        np.multiply(squares, inverse**2, out=ratios)
    return ratios


def _inverse(factors: Factors) -> np.ndarray:
    values = factors.values
    with np.errstate(over="ignore"):
        inverse = np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)
    return np.minimum(inverse, LARGEST)


def _add_merged_squares(group: MergedTables, factors: Factors, counted, squares) -> None:
    """Σ_s (T / M)² C of every edge, C the sum of F² over the rows in state s."""
    ratio = counted.reshape(factors.values.shape) * _inverse(factors) ** 2
    _add_edges(group, ratio @ (factors.tables**2).transpose(0, 2, 1), squares)


def _add_merged_second(
    group: MergedTables, factors: Factors, counted_squares, counted, second, leaves
) -> None:
    """From the sums of F² and of Ḟ - F τ by state to H g, and to Ḟ of the leaves below."""
    inverse = _inverse(factors)
    here = counted.reshape(factors.values.shape) * inverse
    squares = counted_squares.reshape(factors.values.shape) * inverse**2
    _add_edges(group, here @ factors.tables.transpose(0, 2, 1), second)
    moved = factors.tables * (factors.weights.transpose(0, 2, 1) @ here)
    moved += factors.tables**2 * squares.sum(axis=1)[:, None, :]
    np.add.at(leaves, group.unit_index, moved[:, :, :-1])


def _add_edges(group: MergedTables, edges: np.ndarray, out: np.ndarray) -> None:
    np.add.at(out, group.weight_index, edges.reshape(len(group.sums), -1))


class Factors(NamedTuple):
    """W (n, height, width), T (n, width, states + 1) and M = W T of a group."""

    weights: np.ndarray
    tables: np.ndarray
    values: np.ndarray


def _factors_of(
    group: MergedTables, parameters: Parameters, probability: np.ndarray, values: np.ndarray
) -> Factors:
    """The matrices of a group."""
    tables = np.ones((len(group.sums), group.width, group.states + 1))
    tables[:, :, :-1] = probability[group.unit_index]
    weights = parameters.weights[group.weight_index]
    return Factors(weights.reshape(len(group.sums), group.height, group.width), tables, values)
