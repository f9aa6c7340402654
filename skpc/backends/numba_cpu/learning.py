"""Statistics on the CPU: rows in lanes, lanes in threads, and their sums read back."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ...circuit import Parameters, Program, Statistics
from ...utils.lazy import lazy
from .accumulate import add_lanes, add_rows
from .chunks import CHUNK, NO_CHUNK, PLACED
from .crew import Crew
from .distinct import find_distinct
from .lanes import (
    MAX_LANES,
    PART_NUMBERS,
    TURNS_TO_WAKE,
    Task,
    allowed_threads,
    cores,
    cuts,
    most_panels,
    run_lanes,
)
from .layout import Layout, lay_out
from .packing import Packed, Packer
from .plan import make_plan
from .room import Room
from .rows import Data, check_columns, empty_data, encode_rows, group_flows, readable
from .run import Run, is_simple
from .sharing import Sharing
from .simd import PANEL
from .stepper import Stepper
from .tables import add_statistics, unpack_tables
from .tiles import ALONE, ENDS, FOLLOWS, LEADS, LOST_SHARE, NO_CELLS, learn_tiles, write_job
from .workspace import Bench, Workspace

#: Least rows times weights of a lane: with fewer, threads that stand by do not gain.
LANE_WORK = 500_000
#: Least rows times weights of all lanes for which threads are woken that do not stand by.
WAKE_WORK = 12_000_000
#: Sums of all lanes up to which threads stand by: more are added up by several threads, which
#: others that stand by would keep from the cores.
CREW_NUMBERS = 1 << 23
#: Least rows of a lane: with fewer, adding up the lanes takes a tenth of the time.
LANE_ROWS = 128
#: Bytes that the lanes' accumulators may take together.
LANE_BYTES = 1 << 28


Again = Callable[[Parameters, np.ndarray, np.ndarray, tuple[str, ...]], Statistics]


class Passed(NamedTuple):
    """What a pass over rows leaves behind.

    Attributes
    ----------
    X : ndarray
        The rows, without those that are equal to one of them.
    room : Room
        With their log-likelihoods, bounds and weights.
    unit : float
        The sums are in units of that weight.
    edges, leaf_out : ndarray of shape (n_lanes, ...)
        Derivatives by the weights, and leaf statistics; to be cleared by whoever reads them.
    groups : list of list of ndarray
        Flows of group leaves, lane by lane.
    n_threads, n_parts : int
        Threads at hand, and parts in which to add up the lanes.
    give_back : callable
        Takes the cleared sums back.
    """

    X: np.ndarray
    room: Room
    unit: float
    edges: np.ndarray
    leaf_out: np.ndarray
    groups: list[list[np.ndarray]]
    n_threads: int
    n_parts: int
    give_back: Callable[[], None]


def _nobody() -> None:
    """Take back what threads that stand by keep."""


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
        Tiles of a lane on average, at most.
    lost : float
        What one rounding to zero may cost.
    again : callable
        From parameters, rows that lost too much, their weights, and what is wanted beside flows to
        their statistics.
    sharing : Sharing or None
        How chunks of rows share parts, if they may.
    stepper : Stepper
    """

    def __init__(
        self,
        program: Program,
        dtype: np.dtype,
        packer: Packer,
        tile_panels: int,
        lane_tiles: int,
        lost: float,
        again: Again,
        sharing: Sharing | None,
        stepper: Stepper,
    ) -> None:
        self._again = again
        self.program, self.dtype, self._packer = program, dtype, packer
        self._tile_panels, self._lane_tiles, self._lost = tile_panels, lane_tiles, lost
        self.bench = Bench(make_plan(program, training=True), dtype, sharing)
        self._rooms: list[Room] = []
        self._known_lanes: dict[int, tuple[Layout, int]] = {}  # of up to so many rows of a chunk
        for_many = sharing is not None and sharing.for_many and not self.bench.plan.n_data
        #: Parameters of batches that follow each other, where that can be.
        self.run: Run | None = None
        if for_many and is_simple(program):
            assert sharing is not None
            self.run = Run(program, self.bench.plan, sharing, packer, stepper)
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
        total = self._nothing(np.empty(self.program.n_weights))
        for start in range(0, max(1, len(X)), self._most_rows):
            part = slice(start, start + self._most_rows)
            mine = weight if weight is None else weight[part]
            # The first part writes its sums into the total, the others add theirs.
            flows = np.empty_like(total.flows) if start else total.flows
            passed = self._pass(model, X[part], mine, n_jobs, curve, beside)
            if isinstance(passed, Passed):
                self._collect(model, passed, flows, total, curve)
            else:
                flows[:] = 0
                self._rooms.append(passed)
            if start:
                total.flows += flows
            beside = None
        if curve is not None:
            curve.add_to(total, self._read_leaves)
        return total

    def learn(
        self,
        model: Packed,
        X: np.ndarray,
        weight: np.ndarray | None,
        n_jobs: int | None,
        take_step: Callable[[Passed, Statistics], Any],
    ) -> tuple[Statistics, Any]:
        """Statistics of a batch, or what is made of them at once.

        ``take_step`` gets what the pass left and statistics without flows, and clears the edge
        sums; it returns None where a number was not finite, and what this returns then are
        statistics.
        """
        if not 0 < len(X) <= self._most_rows:
            return self.statistics(model, X, weight, n_jobs, None, None), None
        passed = self._pass(model, X, weight, n_jobs, None, None)
        if not isinstance(passed, Passed):
            self._rooms.append(passed)
            return self._nothing(np.zeros(self.program.n_weights)), None
        room, nothing = passed.room, np.zeros(0)
        mine, learnt, n_damaged = add_rows(
            room.log_likelihood, room.bound, room.sums, len(passed.X), LOST_SHARE
        )
        if n_damaged or not learnt > 0:
            total = self._nothing(np.empty(self.program.n_weights))
            self._collect(model, passed, total.flows, total, None)
            return total, None
        total = self._nothing(nothing)
        total.log_likelihood, total.weight = mine, learnt
        found = None
        if self._collect_leaves(model, passed, total):
            found = take_step(passed, total)
        if found is None:
            total = self._nothing(np.zeros(self.program.n_weights))
            passed.edges[:] = 0
            total += self._again(model.parameters, passed.X, room.sums[: len(passed.X)], ())
        passed.give_back()
        self._rooms.append(room)
        return total, found

    def _nothing(self, flows: np.ndarray) -> Statistics:
        return Statistics(0.0, 0.0, flows, [np.zeros(shape) for shape in self._leaf_shapes])

    @lazy
    def _most_rows(self) -> int:
        return self.max_lanes * self._lane_tiles * self._tile_panels * PANEL

    def _pass(
        self,
        model: Packed,
        X: np.ndarray,
        weight: np.ndarray | None,
        n_jobs: int | None,
        curve: Any,
        beside: Task | None,
    ) -> Passed | Room:
        """Pass rows; the room alone if there is nothing to learn."""
        room = self._room(len(X))
        if room.crew is not None and curve is None and len(X) <= self.bench.most_together:
            room.crew.come()
        same = None
        sharing = self.bench.sharing
        in_chunk = sharing is not None and len(X) <= sharing.n_rows and curve is None
        if not self.bench.plan.n_data and not (in_chunk and sharing and sharing.for_many):
            same = find_distinct(X, self.program.n_weights)
        if same is not None:
            X = X.take(same.first, axis=0)
        work = len(X) * self.program.n_weights
        most = max(1, min(self.max_lanes, work // LANE_WORK, -(-len(X) // LANE_ROWS)))
        layout = lay_out(len(X), most)
        unit = room.take_weights(weight, len(X), same, layout.n_padded)
        if not unit > 0:
            return room
        bench = self.bench if curve is None else curve.bench
        n_threads = min(layout.n_lanes, allowed_threads(n_jobs))
        if in_chunk:
            # Threads of a chunk wait for each other, which they should not do on one core.
            n_threads = min(n_threads, cores())
        # A chunk of rows has sums in two lanes.
        n_lanes = max(layout.n_lanes, 2) if in_chunk else layout.n_lanes
        together = (
            curve is None
            and (in_chunk or sharing is None)
            and n_lanes * self.program.n_weights <= CREW_NUMBERS
            and layout.n_padded <= bench.most_together
        )
        if not together and work < WAKE_WORK:
            n_threads = 1
        groups: list[list[np.ndarray]] = []
        paid = False
        give_back: Callable[[], None] = _nobody
        if together:
            crew = self._learn_together(
                model, X, room, layout, n_lanes, n_threads, in_chunk, beside
            )
            accumulators, paid = (crew.edges, crew.leaf_out), crew.paid
        else:
            accumulators = bench.accumulators(self.program.n_weights, n_lanes)
            give_back = partial(bench.give_accumulators, accumulators)
            rest = layout, accumulators, n_threads, curve, beside
            if in_chunk:
                groups, paid = self._learn_chunk(bench, model, X, room, *rest)
            else:
                groups = self._learn_apart(bench, model, X, room, *rest)
        # A chunk's edge sums are in the first lane.
        edges, leaf_out = accumulators[0][: 1 if paid else n_lanes], accumulators[1][:n_lanes]
        n_parts = 1 if together else min(MAX_LANES, 1 + edges.size // PART_NUMBERS)
        return Passed(X, room, unit, edges, leaf_out, groups, n_threads, n_parts, give_back)

    def _collect_leaves(self, model: Packed, passed: Passed, total: Statistics) -> bool:
        """Add leaf flows to the total, and edge flows of merged sums to the others; whether all
        was finite: if not, nothing is added."""
        leaves = np.empty(self.bench.plan.n_leaf_out)
        if not math.isfinite(add_lanes(passed.leaf_out, None, passed.unit, 0, len(leaves), leaves)):
            return False
        self._unpack_leaves(leaves, total, model, passed)
        for lane_groups in passed.groups:
            for leaf, group_flow in zip(self.bench.plan.group_leaves, lane_groups):
                total.leaves[leaf.family][leaf.units] += group_flow * passed.unit
        return True

    def _collect(
        self, model: Packed, passed: Passed, flows: np.ndarray, total: Statistics, curve: Any
    ) -> None:
        """Write the flows of edges, and add what else there is to the total."""
        X, room, unit = passed.X, passed.room, passed.unit
        mine = self._nothing(flows)
        finite = self._collect_leaves(model, passed, mine)
        parts = passed.n_parts, passed.n_threads
        flow = self._add_lanes(passed.edges, model.parameters.weights, unit, flows, *parts)
        passed.give_back()
        finite = finite and math.isfinite(flow)
        if curve is not None:
            finite = curve.collect(unit if finite else 0.0) and finite
        if finite:
            for sums, more in zip(total.leaves, mine.leaves, strict=True):
                sums += more
        else:
            # A derivative left the range of the dtype, which weights near its smallest
            # number can bring about although no mass was lost.
            room.bound[:] = np.inf
            flows[:] = 0
        likelihood, learnt, n_damaged = add_rows(
            room.log_likelihood, room.bound, room.sums, len(X), LOST_SHARE
        )
        total.log_likelihood += likelihood
        total.weight += learnt
        if n_damaged:
            damaged = np.flatnonzero(~(room.bound[: len(X)] <= LOST_SHARE))
            rows = X[damaged], room.sums[damaged]
            wanted = () if curve is None else curve.wanted
            total += self._again(model.parameters, *rows, wanted)
        self._rooms.append(room)

    def _room(self, n: int) -> Room:
        """Room for so many rows, off the list while it is used: others may learn meanwhile.

        Too small a one is dropped.
        """
        try:
            room = self._rooms.pop()
            if room.n_rows >= n:
                return room
        except IndexError:
            pass
        return Room(n, self.dtype)

    def _new_crew(self, room: Room, n_lanes: int, n_threads: int) -> Crew:
        return Crew(
            self.bench,
            (room.log_likelihood, room.bound, room.shares),
            room.sums,
            self.run,
            self._tile_panels,
            self.program.n_weights,
            n_lanes,
            n_threads,
            self._lost,
        )

    def may_run(self, n_rows: int) -> bool:
        """Whether batches of so many rows may follow each other in compiled code."""
        sharing = self.bench.sharing
        return self.run is not None and sharing is not None and 0 < n_rows <= sharing.n_rows

    def _lanes(self, n_rows: int) -> tuple[Layout, int]:
        """How rows of a chunk lie, and how many lanes their sums have."""
        found = self._known_lanes.get(n_rows)
        if found is None:
            found = self._known_lanes[n_rows] = self._new_lanes(n_rows)
        return found

    def _new_lanes(self, n_rows: int) -> tuple[Layout, int]:
        work = n_rows * self.program.n_weights
        most = max(1, min(self.max_lanes, work // LANE_WORK, -(-n_rows // LANE_ROWS)))
        layout = lay_out(n_rows, most)
        return layout, max(layout.n_lanes, 2)

    def learn_batches(
        self, batches: list[tuple[np.ndarray, np.ndarray | None]], n_jobs: int | None
    ) -> tuple[int, int]:
        """Learn batches that may follow each other, with the steps of the run; how many, and what
        came of the last."""
        assert self.run is not None
        for X, _ in batches:
            for leaf in self.bench.plan.families:
                check_columns(leaf, X)
        batches = [(readable(X), weight) for X, weight in batches]
        found = [self._lanes(len(X)) for X, _ in batches]
        n_lanes = max(n for _, n in found)
        room = self._room(max(len(X) for X, _ in batches))
        n_threads = min(n_lanes, allowed_threads(n_jobs), cores())
        crew = room.crew
        if crew is None or crew.n_lanes < n_lanes or crew.n_threads < n_threads:
            crew = room.crew = self._new_crew(room, n_lanes, n_threads)
        done = crew.learn_batches([layout for layout, _ in found], batches, n_threads)
        self._rooms.append(room)
        return done

    def _learn_together(
        self,
        model: Packed,
        X: np.ndarray,
        room: Room,
        layout: Layout,
        n_lanes: int,
        n_threads: int,
        in_chunk: bool,
        beside: Task | None,
    ) -> Crew:
        """Pass rows that this thread encodes for all; who has the sums."""
        crew = room.crew
        if crew is None or crew.n_lanes < n_lanes or crew.n_threads < n_threads:
            crew = room.crew = self._new_crew(room, n_lanes, n_threads)
            crew.come()
        families, plan = self.program.families, self.bench.plan
        data = crew.data(len(X), layout.n_padded)
        encoded_here = in_chunk and not plan.n_data
        if encoded_here:
            for leaf in plan.families:
                check_columns(leaf, X)
            X = readable(X)

        def prepare() -> None:
            self._packer.fill(model)
            if not encoded_here:
                encode_rows(plan, families, model.members, X, data)
            elif beside is not None:
                beside()

        cells = X if encoded_here else None
        crew.learn(model, layout, n_threads, prepare, in_chunk, cells)
        if beside is not None and not encoded_here:
            beside()
        return crew

    def _learn_apart(
        self,
        bench: Bench,
        model: Packed,
        X: np.ndarray,
        room: Room,
        layout: Layout,
        accumulators: tuple[np.ndarray, np.ndarray],
        n_threads: int,
        curve: Any,
        beside: Task | None,
    ) -> list[list[np.ndarray]]:
        """Pass rows, encoded lane by lane; flows of group leaves, lane by lane."""
        edges, leaf_out = accumulators
        n_lanes, ends, _ = layout
        groups: list[list[np.ndarray]] = [[]] * n_lanes
        families = self.program.families

        def piece(lane: int) -> None:
            rows = slice(ends[lane] * PANEL, ends[lane + 1] * PANEL)
            mine = X[rows]
            data = empty_data(bench.plan, rows.stop - rows.start)
            encode_rows(bench.plan, families, model.members, mine, data)
            of_rows = room.log_likelihood[rows], room.bound[rows], room.shares[rows]
            if curve is not None:
                sums = edges[lane], leaf_out[lane]
                curve.learn_tiles(lane, mine, data, self._tile_panels, self._lost, *of_rows, *sums)
            else:
                job = np.empty(ENDS + 2, dtype=np.int64)
                where = (0, 1), model.addresses, ends[lane : lane + 2] - ends[lane]
                write_job(job, False, ALONE, data[2], self._tile_panels, *where)
                with bench.workspace(most_panels(self._tile_panels)) as space:
                    sums = edges[lane : lane + 1], leaf_out[lane : lane + 1]
                    learn = self._prepared(bench, data, of_rows, space, space.shared, sums, job)
                    room.chores.wait(partial(learn, room.chores.left))
            if bench.plan.group_leaves:
                groups[lane] = group_flows(bench.plan, families, model.members, mine, data)

        needed = [partial(self._packer.fill, model)]
        if curve is not None or n_threads == 1:
            room.chores.do_now(needed, beside)
        else:
            room.chores.begin(needed, beside)
        tasks = [partial(piece, lane) for lane in range(n_lanes)]
        run_lanes(tasks, n_threads, first=room.chores.help_out, cancel=room.chores.cancel)
        return groups

    def _prepared(
        self,
        bench: Bench,
        data: Data,
        of_rows: tuple[np.ndarray, ...],
        space: Workspace,
        shared: Any,
        sums: tuple[np.ndarray, np.ndarray],
        job: np.ndarray,
    ) -> Callable[[np.ndarray], bool]:
        """The kernel, which needs but the flag that it waits for."""
        begun = bench.tables, *data[:2], space.buffers, self._lost, *of_rows
        own = space.own, None
        return partial(learn_tiles, *begun, space.flow, space.slots, *sums, shared, *own, job)

    def _learn_chunk(
        self,
        bench: Bench,
        model: Packed,
        X: np.ndarray,
        room: Room,
        layout: Layout,
        accumulators: tuple[np.ndarray, np.ndarray],
        n_threads: int,
        curve: Any,
        beside: Task | None,
    ) -> tuple[list[list[np.ndarray]], bool]:
        """Pass rows as one chunk, encoded for all, if that is less work; else lane by lane.

        Returns flows of group leaves, and whether it was.
        """
        data = empty_data(bench.plan, layout.n_padded)
        encode = partial(encode_rows, bench.plan, self.program.families, model.members, X, data)
        needed = [encode, partial(self._packer.fill, model)]
        of_rows = room.log_likelihood, room.bound, room.shares

        def member(i: int, shared: Any, space: Workspace) -> None:
            job = np.empty(ENDS + layout.n_lanes + 1, dtype=np.int64)
            way, lanes = FOLLOWS if i else LEADS, (ends[i], ends[i + 1])
            size, team = (data[2], self._tile_panels), (n_threads, TURNS_TO_WAKE)
            addresses, starts = model.addresses, layout.ends
            write_job(job, False, way, *size, lanes, addresses, starts, NO_CELLS, *team)
            learn = self._prepared(bench, data, of_rows, space, shared, accumulators, job)
            room.chores.wait(partial(learn, room.chores.left))

        ends = cuts(layout.n_lanes, n_threads)
        if n_threads == 1:
            room.chores.do_now(needed, beside)
        else:
            room.chores.begin(needed, beside)
        with ExitStack() as lent:
            spaces = [
                lent.enter_context(bench.workspace(most_panels(self._tile_panels)))
                for _ in range(n_threads)
            ]
            shared = spaces[0].shared
            shared[-1][:] = 0

            def cancel() -> None:
                shared[-1][PLACED] = NO_CHUNK
                room.chores.cancel()

            tasks = [partial(member, i, shared, space) for i, space in enumerate(spaces)]
            run_lanes(tasks, n_threads, first=room.chores.help_out, cancel=cancel)
        groups = []
        if bench.plan.group_leaves:
            groups = [group_flows(bench.plan, self.program.families, model.members, X, data)]
        return groups, bool(shared[-1][PLACED] == CHUNK)

    def _add_lanes(self, edges, weights, unit: float, flows, n_parts: int, n_threads: int) -> float:
        """Flows from the sums of all lanes, in parts that threads share; their sum."""
        n = len(flows)
        if n_parts == 1:
            return add_lanes(edges, weights, unit, 0, n, flows)
        totals = np.zeros(n_parts)

        def part(number: int, start: int, stop: int) -> None:
            totals[number] = add_lanes(edges, weights, unit, start, stop, flows)

        tasks = [partial(part, i, *cut) for i, cut in enumerate(pairwise(cuts(n, n_parts)))]
        run_lanes(tasks, n_threads)
        return float(totals.sum())

    def _unpack_leaves(
        self, leaves: np.ndarray, total: Statistics, model: Packed, passed: Passed
    ) -> None:
        plan = self.bench.plan
        parts = {}
        for leaf in plan.families:
            n_units = self.program.family_units[leaf.family]
            part = leaves[leaf.out_start : leaf.out_start + n_units * leaf.n_terms]
            parts[leaf.family] = part.reshape(n_units, leaf.n_terms)
        most_states, most_units = self._packer.layout.widest
        unpack_tables(
            self._packer.layout,
            model.parameters.weights,
            model.by_state,
            model.values,
            leaves,
            passed.unit,
            passed.edges,
            np.empty(2 * (most_states + 1)),
            np.empty(most_states * most_units),
        )
        self._read_leaves(parts, total.leaves)

    def _read_leaves(self, parts: dict[int, np.ndarray], leaves: list[np.ndarray]) -> None:
        """From flows by state, or flow-weighted statistics, to those of every family."""
        for leaf in self.bench.plan.families:
            part, out = parts[leaf.family], leaves[leaf.family]
            if leaf.is_table:
                add_statistics(part, self._state_statistics[leaf.family], out)
            else:
                out += part

    @lazy
    def _leaf_shapes(self) -> list[tuple[int, int]]:
        program = self.program
        pairs = zip(program.families, program.family_units, strict=True)
        return [(n, 1 + family.n_statistics) for family, n in pairs]

    @lazy
    def _state_statistics(self) -> dict[int, np.ndarray | None]:
        """Sufficient statistics of every state of the finite families; None if they are one-hot."""
        found: dict[int, np.ndarray | None] = {}
        for f, family in enumerate(self.program.families):
            if family.n_states is None:
                continue
            if family.is_table and family.n_statistics == family.n_states:
                found[f] = None
            else:
                found[f] = np.ascontiguousarray(family.statistics(np.arange(family.n_states)).T)
        return found
