"""Room for the rows of a batch: how they lie in tiles and lanes, what they weigh and come to."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .distinct import Distinct, share_weights
from .handover import Chores
from .lanes import cuts, even_tiles
from .simd import PANEL


class Layout(NamedTuple):
    """How rows lie.

    Attributes
    ----------
    panels : int
        Of a tile.
    n_lanes : int
        The order of sums depends on it.
    ends : ndarray of shape (n_lanes + 1,)
        First tile of every lane, and the end of the last.
    n_padded : int
        Rows of all tiles.
    """

    panels: int
    n_lanes: int
    ends: np.ndarray
    n_padded: int


@lru_cache(maxsize=4096)
def lay_out(n: int, tile_panels: int, most_lanes: int) -> Layout:
    """So many rows in tiles of at most ``tile_panels`` panels, tiles in at most so many lanes."""
    panels, n_tiles = even_tiles(n, tile_panels, even=most_lanes > 1)
    n_lanes = max(1, min(n_tiles, most_lanes))
    ends = np.array(cuts(n_tiles, n_lanes))
    ends.flags.writeable = False  # several callers may use it
    return Layout(panels, n_lanes, ends, n_tiles * panels * PANEL)


class Room:
    """Arrays for up to so many rows, whatever their layout.

    Attributes
    ----------
    log_likelihood, bound, shares : ndarray of shape (n_padded,) or longer
        Of every row, and of those that fill the last tile. Shares are weights over the largest
        of them, in the dtype of the kernels, whose derivatives stay in its range so.
    sums : ndarray of shape (n_rows,) or longer
        Weights.
    chores : Chores
        What must be done before tiles.
    """

    def __init__(self, n_rows: int, tile_panels: int, dtype: np.dtype) -> None:
        self.n_rows = n_rows
        # Tiles are of equal length, and all but the last are full.
        n_padded = (-(-n_rows // PANEL) + tile_panels) * PANEL
        self.log_likelihood, self.bound = np.empty((2, n_padded))
        self.shares = np.empty(n_padded, dtype=dtype)
        self.sums = np.empty(n_rows)
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
