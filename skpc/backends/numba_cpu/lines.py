"""Arrays that begin at a cache line.

numpy's begin anywhere, and then every vector of a register's width lies in two lines: it takes
twice as long to read, and longer to write. Those of which one follows the other, batch after batch,
are lent, so that memory is used again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

#: Bytes of a cache line, and of the widest registers.
LINE = 64
#: Numbers of a cache line, of float32 and of float64.
FLOATS, DOUBLES = LINE // 4, LINE // 8


def empty(shape: int | tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """An array whose numbers are not set."""
    return _cut(np.empty, shape, np.dtype(dtype))


def zeros(shape: int | tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """An array of zeros, which takes up memory only where it is written."""
    return _cut(np.zeros, shape, np.dtype(dtype))


def _cut(make: Any, shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    shape = (shape,) if isinstance(shape, (int, np.integer)) else shape
    size = math.prod(shape) * dtype.itemsize
    whole = make(size + LINE, dtype=np.uint8)
    start = -whole.ctypes.data % LINE
    return whole[start : start + size].view(dtype).reshape(shape)


class Lender:
    """Lends float64 arrays that are used again when nobody has any part of them any more.

    The system clears memory that it gives, which takes as long as to write it twice.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._spare: list[np.ndarray] = []

    def lend(self) -> np.ndarray:
        """An array whose numbers are not set."""
        try:
            array = self._spare.pop()
        except IndexError:
            array = empty(self._size)
        return np.asarray(_Loan(array, self._spare))


class _Loan:
    """What all arrays on the same lent memory refer to: when the last of them goes, this does."""

    def __init__(self, array: np.ndarray, spare: list[np.ndarray]) -> None:
        self.__array_interface__ = array.__array_interface__
        self._array, self._spare = array, spare

    def __del__(self) -> None:
        if not self._spare:  # one is enough, where each follows the one before
            self._spare.append(self._array)
