"""Threads that stand by for small batches, all of them with arrays that stay where they are."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from .handover import Helper
from .lanes import cuts, most_panels
from .layout import Layout
from .packing import Packed
from .rows import Data
from .tiles import ENDS, STAYS, learn_tiles, write_job
from .workspace import Bench

_GO = np.zeros(1, dtype=np.int64)


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
        for job in self._jobs:
            space = bench.new_workspace(most_panels(tile_panels))
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
                job,
            )
            calls.append(call)
        self._own = calls[0]
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

    def learn(self, model: Packed, layout: Layout, n_threads: int) -> None:
        """Learn the rows that lie in ``data``."""
        helpers = self._helpers[: n_threads - 1]
        size, where = (layout.n_padded, self._tile_panels), (model.addresses, layout.ends)
        mine, *others = pairwise(cuts(layout.n_lanes, n_threads))
        for helper, job, part in zip(helpers, self._jobs[1:], others):
            write_job(job, True, *size, part, *where)
            helper.call(model)
        write_job(self._jobs[0], False, *size, mine, *where)
        self._own(_GO)
        for helper, part in zip(helpers, others):
            if helper.take_back():
                write_job(self._jobs[0], False, *size, part, *where)
                self._own(_GO)
            else:
                helper.wait()
