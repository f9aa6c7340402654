"""Room for the rows of a batch: what they weigh, and what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import lines
from .distinct import Distinct, share_weights
from .handover import Chores
from .simd import PANEL

if TYPE_CHECKING:
    from .crew import Crew


class Room:
    """Arrays for up to so many rows, whatever their layout.

    Attributes
    ----------
    log_likelihood, bound, shares : ndarray of shape (n_padded,) or longer
        Of every row, and of those that fill the last panel. Shares are weights over the largest
        of them, in the dtype of the kernels, whose derivatives stay in its range so.
    sums : ndarray of shape (n_rows,) or longer
        Weights.
    chores : Chores
        What must be done before tiles.
    crew : Crew or None
        Threads that stand by for the next batch.
    """

    crew: Crew | None = None

    def __init__(self, n_rows: int, dtype: np.dtype) -> None:
        self.n_rows = n_rows
        n_padded = max(1, -(-n_rows // PANEL)) * PANEL
        self.log_likelihood, self.bound = lines.empty((2, n_padded))
        self.shares = lines.empty(n_padded, dtype=dtype)
        self.sums = lines.empty(n_rows)
        self.chores = Chores()
        self._ones, self._all = np.ones(n_rows), np.arange(n_rows)

    def take_weights(
        self, weight: np.ndarray | None, n: int, same: Distinct | None, n_padded: int
    ) -> float:
        """Set sums and shares of ``n`` rows; the largest sum, or 0 if there is nothing to learn.

        ``weight`` has one of every row before equal ones became one; None weighs each 1.
        """
        owner = self._all[:n] if same is None else same.owner
        if weight is None:
            weight = self._ones[: len(owner)]
        return share_weights(weight, owner, n, self.sums, self.shares[:n_padded])
