"""Threads that stand by for small batches, all of them with arrays that stay where they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import inf
from time import perf_counter

import numpy as np

from . import lines
from .chunks import CHUNK, NO_CHUNK, PLACED
from .handover import Helper
from .lanes import WORK_OF_TURN, cuts, most_panels
from .layout import Layout
from .packing import Packed
from .rows import READ, Data
from .run import MOST_BATCHES, Run
from .steps import LEARNT
from .tiles import (
    AT_CELLS,
    CAME,
    DONE,
    ENDS,
    FOLLOWS,
    IN_TILES,
    LEADS,
    N_BATCHES,
    N_HELPERS,
    NO_CELLS,
    STAYS,
    learn_tiles,
    write_job,
)
from .workspace import Bench

_GO = np.zeros(1, dtype=np.int64)
#: Calls with all threads, and then with one, before the faster way is taken; after how many the
#: other one is tried again; and how many of the last are compared. One thread that takes so many
#: times as long is not given all of its calls, nor another one soon. A call that is made to find
#: out has so many batches at most. After a change the first call is not timed: threads must come,
#: and caches to fill.
WARM, TRY_EVERY, MEMORY = 4, 24, 3
CLEARLY, SELDOM = 1.3, 4
TRIED_BATCHES = 4


class Pace:
    """Whether threads that stand by help: by the time of calls with them and without.

    On a machine that is busy otherwise they may get no core while they are waited for. The best of
    the last calls counts: what disturbs one of them says nothing about the next.

    Attributes
    ----------
    is_trying : bool
        Whether the next call is made to find out.
    """

    def __init__(self) -> None:
        self._n, self._since = 0, 0
        self._chosen: bool | None = None
        self._is_first, self.is_trying = True, True
        self._timed = dict.fromkeys((False, True), 0)
        self._seconds: dict[bool, deque[float]] = {
            alone: deque([inf], maxlen=MEMORY) for alone in (False, True)
        }

    def prefers_alone(self) -> bool:
        """For the next call: whichever was faster, and the other one now and then."""
        self._n += 1
        together, alone = min(self._seconds[False]), min(self._seconds[True])
        clear = self._timed[True] > 1 and alone > CLEARLY * together
        self.is_trying = self._n <= 2 * WARM and not clear
        chosen = self._n > WARM if self.is_trying else alone < together
        if not self.is_trying:
            self._since += 1
            # Two calls, of which the second is timed.
            over = self._since - TRY_EVERY * (SELDOM if clear else 1)
            self.is_trying = over >= 0
            if over > 0:
                self._since = 0
            chosen = chosen != self.is_trying
        self._is_first, self._chosen = chosen is not self._chosen, chosen
        return chosen

    def note(self, alone: bool, seconds: float) -> None:
        """What a row of a call took."""
        if not self._is_first:
            self._seconds[alone].append(seconds)
            self._timed[alone] += 1


class Crew:
    """The threads that learn the batches of one room.

    Parameters
    ----------
    bench : Bench
    of_rows : tuple of ndarray
        Log-likelihoods, bounds and shares of up to so many rows: see ``Room``.
    row_sums : ndarray
        Their weights.
    run : Run or None
        Where several batches may follow each other: see there.
    tile_panels : int
    n_weights : int
    n_lanes, n_threads : int
        The caller's thread is one of them.
    lost : float
        What one rounding to zero may cost.

    Attributes
    ----------
    edges, leaf_out : ndarray of shape (n_lanes, ...)
        Sums of the lanes, which the caller clears.
    """

    def __init__(
        self,
        bench: Bench,
        of_rows: tuple[np.ndarray, np.ndarray, np.ndarray],
        row_sums: np.ndarray,
        run: Run | None,
        tile_panels: int,
        n_weights: int,
        n_lanes: int,
        n_threads: int,
        lost: float,
    ) -> None:
        self.n_lanes, self.n_threads, self._run = n_lanes, n_threads, run
        self._tile_panels = tile_panels
        plan, n_padded = bench.plan, min(len(of_rows[0]), bench.most_together)
        self._codes = lines.empty(plan.n_codes * n_padded, dtype=plan.code_dtype)
        self._floats = lines.empty(plan.n_data * n_padded)
        self.edges = lines.zeros((n_lanes, n_weights), dtype=bench.dtype)
        self.leaf_out = lines.zeros((n_lanes, plan.n_leaf_out))
        self._plan = plan
        self._jobs = np.zeros((n_threads, ENDS + n_lanes + 1), dtype=np.int64)
        self._jobs[1:, STAYS] = 1  # threads read it before their first job
        shared_batches: tuple = ()
        if run is not None:
            self._batch_jobs = np.zeros((MOST_BATCHES, self._jobs.shape[1]), dtype=np.int64)
            self._flags = np.zeros(n_threads, dtype=np.int64)
            self._weights_at = np.zeros(MOST_BATCHES, dtype=np.int64)
            shared_batches = (
                self._batch_jobs, self._jobs[1:], self._flags, self._weights_at, row_sums,
                run.steps, run.results,
            )  # fmt: skip
        calls = []
        panels = most_panels(tile_panels)
        spaces = [bench.new_workspace(panels, i == 0) for i in range(n_threads)]
        #: What the threads have in common while they compute a chunk of rows together.
        self._shared = spaces[0].shared
        for job, space in zip(self._jobs, spaces, strict=True):
            batches = None
            if run is not None:
                batches = *shared_batches, run.told, run.own_space(), tuple(run.arrays)
            call = partial(
                learn_tiles,
                bench.tables,
                self._codes,
                self._floats,
                space.buffers,
                lost,
                *of_rows,
                space.flow,
                space.slots,
                self.edges,
                self.leaf_out,
                self._shared,
                space.own,
                batches,
                job,
            )
            calls.append(call)
        self._own = calls[0]
        #: Of single batches, and of several at once.
        self._pace, self._run_pace = Pace(), Pace()
        self._helpers = [Helper(call) for call in calls[1:]]
        if run is not None:
            self._flags[: len(self._helpers)] = [helper.address for helper in self._helpers]

    def come(self) -> None:
        """Let the others stand by: work is near."""
        for helper in self._helpers:
            helper.come()

    def data(self, n: int, n_padded: int) -> Data:
        """Where ``n`` rows are encoded."""
        plan = self._plan
        floats = self._floats[: plan.n_data * n_padded]
        if plan.n_data:
            floats.reshape(plan.n_data, n_padded)[:, n:] = 0
        return self._codes[: plan.n_codes * n_padded], floats, n_padded

    def _turns(self, layout: Layout) -> int:
        return layout.n_padded * self.edges.shape[1] // WORK_OF_TURN

    def learn_batches(
        self,
        layouts: list[Layout],
        batches: list[tuple[np.ndarray, np.ndarray | None]],
        n_threads: int,
    ) -> tuple[int, int]:
        """Learn batches with the steps of the run; how many, and what came of the last.

        Rows are as ``rows.readable`` makes them. Those of a batch that was not learnt are as if
        they had not been looked at.
        """
        run = self._run
        assert run is not None
        written: dict[object, int] = {}
        for i, (layout, (X, weight)) in enumerate(zip(layouts, batches, strict=True)):
            job, lanes = self._batch_jobs[i], (0, layout.n_lanes)
            like = written.setdefault((X.dtype, X.shape), i)
            address = X.__array_interface__["data"][0]  # a third of the time of ctypes
            if like == i:
                cells = READ.index(X.dtype), address, *X.shape
                addresses, size = run.model.addresses, (layout.n_padded, self._tile_panels)
                expected = 1, self._turns(layout)
                write_job(job, False, LEADS, *size, lanes, addresses, layout.ends, cells, *expected)
            else:
                job[:] = self._batch_jobs[like]
                job[AT_CELLS] = address
            self._weights_at[i] = 0 if weight is None else weight.ctypes.data
        job, pace, came = self._jobs[0], self._run_pace, LEARNT
        job[DONE] = 0
        while job[DONE] < len(batches) and came == LEARNT:
            first = int(job[DONE])
            alone = n_threads > 1 and pace.prefers_alone()
            most = TRIED_BATCHES if n_threads > 1 and pace.is_trying else len(batches)
            last = min(first + most, len(batches))
            n_helpers = 0 if alone else n_threads - 1
            job[N_BATCHES], job[N_HELPERS] = last, n_helpers
            for helper in self._helpers[:n_helpers]:
                helper.keep((run, batches))
                helper.come()
            started = perf_counter()
            self._own(_GO)
            seconds = perf_counter() - started
            came = int(job[CAME])
            rows = sum(layout.n_padded for layout in layouts[first : job[DONE]])
            if n_threads > 1 and rows:
                pace.note(alone, seconds / rows)
        if came != LEARNT:
            self.edges[:] = 0
            self.leaf_out[:] = 0
        return int(job[DONE]), came

    def learn(
        self,
        model: Packed,
        layout: Layout,
        n_threads: int,
        prepare: Callable[[], None],
        in_chunk: bool,
        X: np.ndarray | None,
    ) -> None:
        """Learn rows.

        Parameters
        ----------
        model : Packed
        layout : Layout
        n_threads : int
        prepare : callable
            Fills the model, and encodes the rows into ``data`` if it is not done here.
        in_chunk : bool
            Whether to compute them as a chunk, if that is less work.
        X : ndarray or None
            Rows of a chunk, in one of ``rows.READ``, to be encoded here, or None.
        """
        alone = n_threads > 1 and self._pace.prefers_alone()
        if alone:
            n_threads = 1
        started = perf_counter()
        helpers = self._helpers[: n_threads - 1]
        size, where = (layout.n_padded, self._tile_panels), (model.addresses, layout.ends)
        mine, *others = pairwise(cuts(layout.n_lanes, n_threads))
        leads = follows = IN_TILES
        cells, team = NO_CELLS, None
        if in_chunk:
            leads, follows, team = LEADS, FOLLOWS, self._shared[-1]
            team[:] = 0
        if X is None:
            prepare()
        else:
            cells = (READ.index(X.dtype), X.ctypes.data, *X.shape)
        try:
            for helper, job, part in zip(helpers, self._jobs[1:], others):
                write_job(job, True, follows, *size, part, *where, cells)
                helper.call((model, X))
            if X is not None:
                prepare()
            expected = 1 + len(helpers), self._turns(layout)
            write_job(self._jobs[0], False, leads, *size, mine, *where, cells, *expected)
            self._own(_GO)
        except BaseException:
            if team is not None:
                team[PLACED] = NO_CHUNK  # let nobody wait for it
            raise
        #: Whether the rows were computed as a chunk.
        self.paid = paid = team is not None and team[PLACED] == CHUNK
        for helper, part in zip(helpers, others):
            if not helper.take_back():
                helper.wait()
            elif not paid:
                write_job(self._jobs[0], False, IN_TILES, *size, part, *where)
                self._own(_GO)
        if alone or helpers:
            self._pace.note(alone, (perf_counter() - started) / layout.n_padded)
