"""Numpy's functions for numpy arrays, torch's for its tensors, whichever a caller has.

Solvers are written once for both. Torch is never imported here: whoever has a tensor has done so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def namespace(array: Any) -> Any:
    """The module whose functions take the array.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.utils.arrays import namespace
    >>> namespace(np.zeros(2)).__name__
    'numpy'
    """
    return np if isinstance(array, np.ndarray | np.generic) else sys.modules["torch"]


def as_floats(x: Any) -> Any:
    """A tensor as it is, anything else as an array of float64."""
    is_tensor = type(x).__module__.partition(".")[0] == "torch"
    return x if is_tensor else np.asarray(x, dtype=np.float64)


def full(like: Any, n: int, value: Any) -> Any:
    """``n`` equal numbers, as the array is: of its library, precision and device."""
    # Filled, for new_full would bring a value that is a tensor to the host first.
    return np.full(n, value) if isinstance(like, np.ndarray) else like.new_empty(n).fill_(value)


def codes(like: Any, n: int) -> Any:
    """0, ..., n - 1 as floats, made where the array is."""
    if isinstance(like, np.ndarray | np.generic):
        return np.arange(n, dtype=np.float64)
    return sys.modules["torch"].arange(n, dtype=like.dtype, device=like.device)


def special(array: Any) -> Any:
    """The special functions that take the array: scipy's or torch's, by the same names."""
    if isinstance(array, np.ndarray | np.generic):
        import scipy.special

        return scipy.special
    return sys.modules["torch"].special


def to_numpy(array: Any) -> np.ndarray:
    """The array as numpy's."""
    return array if isinstance(array, np.ndarray) else array.detach().cpu().numpy()


def by_numpy(function: Callable[..., np.ndarray], *arrays: Any) -> Any:
    """A function of numpy arrays applied to any, the result where the first one was."""
    first = arrays[0]
    if isinstance(first, np.ndarray):
        return function(*arrays)
    result = function(*map(to_numpy, arrays))
    return sys.modules["torch"].from_numpy(np.ascontiguousarray(result)).to(first.device)


def of_family(family: Any, function: Callable[..., Any], *arrays: Any) -> Any:
    """A function of the parameters of a family, by numpy where the family takes no tensors."""
    return function(*arrays) if family.takes_tensors else by_numpy(function, *arrays)


def sent(array: np.ndarray, like: Any) -> Any:
    """An array of numpy as one of the library and device of another."""
    if isinstance(like, np.ndarray):
        return array
    return sys.modules["torch"].from_numpy(np.ascontiguousarray(array)).to(like.device)


def repeated(array: Any, counts: Any) -> Any:
    """Every entry as often as its count says."""
    is_numpy = isinstance(array, np.ndarray)
    return array.repeat(counts) if is_numpy else array.repeat_interleave(counts)
