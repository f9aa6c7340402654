"""Where training rows come from: anything that can be cut into encoded batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import numpy as np

Batch = tuple[np.ndarray, np.ndarray]


class Source(ABC):
    """Rows with weights, read again and again."""

    #: Number of rows and sum of their weights.
    n_rows: int
    total_weight: float

    @abstractmethod
    def batches(self, size: int, rng: np.random.Generator | None) -> Iterator[Batch]:
        """(rows, weights) once over the data: shuffled by ``rng``, in order for None."""


class ArraySource(Source):
    """An array in memory or mapped from disk; rows are encoded batch by batch.

    Parameters
    ----------
    X : array of shape (n, n_columns)
        As the user gave it; never copied as a whole.
    sample_weight : ndarray of shape (n,) or None
    encode : callable, optional
        From rows of X to what backends read.
    index : ndarray of int, optional
        The rows to use, all by default.
    """

    def __init__(
        self,
        X: np.ndarray,
        sample_weight: np.ndarray | None = None,
        encode: Callable[[np.ndarray], np.ndarray] | None = None,
        index: np.ndarray | None = None,
    ) -> None:
        self._X = X
        self._weight = sample_weight
        self._encode = encode
        self._index = index
        self.n_rows = len(X) if index is None else len(index)
        if sample_weight is None:
            self.total_weight = float(self.n_rows)
        else:
            used = sample_weight if index is None else sample_weight[index]
            self.total_weight = float(used.sum())

    def batches(self, size, rng):
        order = None if rng is None else rng.permutation(self.n_rows)
        for start in range(0, self.n_rows, size):
            stop = min(start + size, self.n_rows)
            if order is not None:
                part = order[start:stop]
                if self._index is not None:
                    part = self._index[part]
                rows = self._X[np.sort(part)]
                weight = None if self._weight is None else self._weight[np.sort(part)]
            else:
                part = slice(start, stop) if self._index is None else self._index[start:stop]
                rows = self._X[part]
                weight = None if self._weight is None else self._weight[part]
            if weight is None:
                weight = np.ones(len(rows))
            yield (rows if self._encode is None else self._encode(rows)), weight
