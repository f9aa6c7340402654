"""Threads that stand by for small batches, all of them with arrays that stay where they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from time import perf_counter

import numpy as np

from .chunks import CHUNK, NO_CHUNK, PLACED
from .handover import Helper
from .lanes import cuts, most_panels
from .layout import Layout
from .packing import Packed
from .rows import READ, Data
from .tiles import ENDS, FOLLOWS, IN_TILES, LEADS, NO_CELLS, STAYS, learn_tiles, write_job
from .workspace import Bench

_GO = np.zeros(1, dtype=np.int64)
#: Batches with all threads, and then with one, before the faster way is taken; after how many the
#: other is tried again; and how many back a mean reaches.
WARM, TRY_EVERY, MEMORY = 4, 32, 6


class Pace:
    """Whether threads that stand by help: by the time of batches with them and without.

    On a machine that is busy otherwise they may get no core while they are waited for.
    """

    def __init__(self) -> None:
        self._n = 0
        self._seconds = {False: 0.0, True: 0.0}

    def prefers_alone(self) -> bool:
        """For the next batch: whichever was faster, and the other one now and then."""
        self._n += 1
        if self._n <= WARM:
            return False
        if self._n <= 2 * WARM:
            return True
        alone = self._seconds[True] < self._seconds[False]
        return not alone if self._n % TRY_EVERY == 0 else alone

    def note(self, alone: bool, seconds: float) -> None:
        """What a row of a batch took."""
        before = self._seconds[alone]
        self._seconds[alone] = seconds if before == 0 else before + (seconds - before) / MEMORY


class Crew:
    """The threads that learn the batches of one room.

    Parameters
    ----------
    bench : Bench
    of_rows : tuple of ndarray
        Log-likelihoods, bounds and shares of up to so many rows: see ``Room``.
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
        tile_panels: int,
        n_weights: int,
        n_lanes: int,
        n_threads: int,
        lost: float,
    ) -> None:
        self.n_lanes, self.n_threads = n_lanes, n_threads
        self._tile_panels = tile_panels
        plan, n_padded = bench.plan, min(len(of_rows[0]), bench.most_together)
        self._codes = np.empty(plan.n_codes * n_padded, dtype=np.int32)
        self._floats = np.empty(plan.n_data * n_padded)
        self.edges = np.zeros((n_lanes, n_weights), dtype=bench.dtype)
        self.leaf_out = np.zeros((n_lanes, plan.n_leaf_out))
        self._plan = plan
        self._jobs = np.zeros((n_threads, ENDS + n_lanes + 1), dtype=np.int64)
        self._jobs[1:, STAYS] = 1  # threads read it before their first job
        calls = []
        panels = most_panels(tile_panels)
        spaces = [bench.new_workspace(panels, i == 0) for i in range(n_threads)]
        #: What the threads have in common while they compute a chunk of rows together.
        self._shared = spaces[0].shared
        for job, space in zip(self._jobs, spaces, strict=True):
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
                job,
            )
            calls.append(call)
        self._own = calls[0]
        self._pace = Pace()
        self._helpers = [Helper(call) for call in calls[1:]]

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
            write_job(self._jobs[0], False, leads, *size, mine, *where, cells)
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
