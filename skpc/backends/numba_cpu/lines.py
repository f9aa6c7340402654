"""Arrays that begin at a cache line.

numpy's begin anywhere, and then every vector of a register's width lies in two lines: it takes
twice as long to read, and longer to write.
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
