"""How the rows of a batch lie in lanes of whole panels."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .lanes import cuts
from .simd import PANEL


class Layout(NamedTuple):
    """How rows lie.

    Attributes
    ----------
    n_lanes : int
        The order of sums depends on it.
    ends : ndarray of shape (n_lanes + 1,)
        First panel of every lane, and the end of the last.
    n_padded : int
        Rows of all panels.
    """

    n_lanes: int
    ends: np.ndarray
    n_padded: int


@lru_cache(maxsize=4096)
def lay_out(n: int, most_lanes: int) -> Layout:
    """So many rows in panels, and these in a power of two of lanes: threads share them evenly."""
    n_panels = max(1, -(-n // PANEL))
    n_lanes = 1 << (max(1, min(n_panels, most_lanes)).bit_length() - 1)
    ends = np.array(cuts(n_panels, n_lanes))
    ends.flags.writeable = False  # several callers may use it
    return Layout(n_lanes, ends, n_panels * PANEL)
