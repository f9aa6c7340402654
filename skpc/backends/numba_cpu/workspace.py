"""A plan's buffers: made once, borrowed by threads, given back."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from . import lines
from .plan import Plan
from .sharing import Sharing
from .simd import PANEL

#: Encoded cells that one thread writes while the others wake up.
FEW_NUMBERS = 1 << 16


class Workspace(NamedTuple):
    """What one thread needs for one tile, and for chunks of rows that share parts."""

    buffers: tuple
    flow: np.ndarray
    slots: np.ndarray
    shared: Any
    own: Any


class Bench:
    """A plan, its tables, and the buffers that threads borrow from it."""

    def __init__(self, plan: Plan, dtype: np.dtype, sharing: Sharing | None = None) -> None:
        self.plan, self.sharing = plan, sharing
        self.dtype = dtype
        self.tables = (plan.instructions, plan.args, plan.pulls)
        self._free: list[tuple[int, Any]] = []
        self._accumulators: queue.SimpleQueue = queue.SimpleQueue()

    @property
    def most_together(self) -> int:
        """Rows up to which threads that stand by compute a batch.

        One thread encodes them for all, or everybody does if they are a chunk. The others wait in
        their kernels then, and do not want the interpreter when it does.
        """
        plan, sharing = self.plan, self.sharing
        if plan.group_leaves:
            return 0
        few = FEW_NUMBERS // (plan.n_codes + plan.n_data)
        if sharing is not None and sharing.for_many and not plan.n_data:
            return max(few, sharing.n_rows)
        return few

    @contextmanager
    def workspace(self, panels: int) -> Iterator[Workspace]:
        """A workspace for tiles of so many panels or more, for a ``with`` block.

        Too small a one is dropped.
        """
        try:
            there, space = self._free.pop()
        except IndexError:
            there, space = 0, None
        if there < panels:
            there, space = panels, self.new_workspace(panels)
        yield space
        # Not after an error: another thread may still be at work there.
        self._free.append((there, space))

    def new_workspace(self, panels: int, leads: bool = True) -> Workspace:
        """A workspace that is not lent out; for a thread that follows without what it shares."""
        plan, rows = self.plan, panels * PANEL

        def empty(units: int) -> np.ndarray:
            return lines.zeros(max(1, units) * rows, dtype=self.dtype)

        scales = (
            empty(plan.n_scales),
            lines.zeros(plan.n_scales * rows),
            empty(plan.n_scales),
            empty(plan.n_scales),
        )
        # Without factors (None) kernels are compiled that know dense sums of one child only:
        # all that most circuits need, in two thirds of the time.
        factors = empty(plan.n_factors) if plan.n_factors else None
        buffers = (empty(plan.n_values), scales, factors, empty(plan.max_units))
        sharing = self.sharing
        shared = own = None
        if sharing is not None:
            shared, own = sharing.space() if leads else None, sharing.own_space()
        return Workspace(buffers, empty(plan.max_units), empty(plan.n_slots), shared, own)

    def accumulators(self, n_weights: int, n_lanes: int) -> tuple[np.ndarray, np.ndarray]:
        """Zeroed (lanes, weights) and (lanes, leaf statistics), of ``n_lanes`` or more.

        Too small a pair is dropped, so that one pair a concurrent caller is kept.
        """
        try:
            found = self._accumulators.get_nowait()
            if len(found[0]) >= n_lanes:
                return found
        except queue.Empty:
            pass
        edges = lines.zeros((n_lanes, n_weights), dtype=self.dtype)
        return edges, lines.zeros((n_lanes, self.plan.n_leaf_out))

    def give_accumulators(self, accumulators: tuple[np.ndarray, np.ndarray]) -> None:
        """Give a pair back, which the caller has cleared."""
        self._accumulators.put(accumulators)
