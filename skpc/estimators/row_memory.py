"""The rows an estimator remembers: all of them at first, then a fair sample."""

from __future__ import annotations

import math

import numpy as np


class RowMemory:
    """At most ``capacity`` rows of all that were added, each kept in proportion to its weight.

    Until the memory is full it holds every row, in order. Then it is a reservoir: every row has
    the key E / w with an exponential draw E of its own, and those with the smallest keys stay.
    That is a weighted draw without replacement from all rows so far, which neither the order of
    the rows nor the way they were cut into chunks decides [1]_.

    Memories are values: ``added`` returns a new one and leaves the old one as it was.

    Parameters
    ----------
    capacity : int
    rng : numpy.random.Generator
        For the keys; a memory shares it with those that are made from it.

    Attributes
    ----------
    X : ndarray of shape (n, n_columns)
    sample_weight : ndarray of shape (n,)
        Of the rows while all are held; ones as soon as the memory is a sample.
    n_seen : int
        Rows added so far.
    weight_seen : float
        Their weight.

    References
    ----------
    .. [1] Efraimidis and Spirakis, "Weighted random sampling with a reservoir", Information
       Processing Letters 97, 2006.
    """

    def __init__(self, capacity: int, rng: np.random.Generator) -> None:
        self.capacity = capacity
        self.rng = rng
        self.n = 0
        self.n_seen = 0
        self.weight_seen = 0.0
        self._rows: np.ndarray | None = None
        self._weight = np.empty(0)
        self._keys = np.empty(0)
        #: Above it no key of a full memory lies.
        self._worst = np.inf

    @property
    def is_whole(self) -> bool:
        """Whether every row is still held."""
        return self.n_seen == self.n

    @property
    def X(self) -> np.ndarray:
        if self._rows is None:
            raise ValueError("the memory holds no row.")
        return self._rows[: self.n]

    @property
    def sample_weight(self) -> np.ndarray:
        return self._weight[: self.n] if self.is_whole else np.ones(self.n)

    def added(self, X: np.ndarray, sample_weight: np.ndarray) -> RowMemory:
        """The memory after these rows; their weights are positive."""
        new = RowMemory.__new__(RowMemory)
        new.__dict__.update(self.__dict__)
        new.n_seen += len(X)
        new.weight_seen += float(sample_weight.sum())
        free = self.capacity - self.n
        if len(X) <= free:
            new._append(X, sample_weight, self.rng.standard_exponential(len(X)) / sample_weight)
            return new
        keys = self.rng.standard_exponential(len(X)) / sample_weight
        if free == 0:
            # Most rows of a long stream end here, and nothing is copied.
            better = keys < self._worst
            if not better.any():
                return new
            X, sample_weight, keys = X[better], sample_weight[better], keys[better]
        rows = _joined(self._rows, self.n, X)
        weight = np.concatenate([self._weight[: self.n], sample_weight])
        keys = np.concatenate([self._keys[: self.n], keys])
        kept = np.sort(np.argpartition(keys, self.capacity - 1)[: self.capacity])
        new.n, new._rows, new._weight, new._keys = len(kept), rows[kept], weight[kept], keys[kept]
        new._worst = float(new._keys.max())
        return new

    def _append(self, X: np.ndarray, sample_weight: np.ndarray, keys: np.ndarray) -> None:
        """Put rows behind the last one, in space that no older memory looks at."""
        end = self.n + len(X)
        fits = (
            self._rows is not None
            and len(self._rows) >= end
            and np.result_type(self._rows, X) == self._rows.dtype
        )
        if not fits:
            # Twice the space, so that a stream of single rows copies each a few times only.
            space = min(self.capacity, max(end, 2 ** math.ceil(math.log2(max(1, 2 * end)))))
            rows = _joined(self._rows, self.n, X[:0])
            self._rows = np.empty((space, X.shape[1]), np.result_type(rows, X))
            self._rows[: self.n] = rows
            self._weight, self._keys = (
                np.concatenate([a[: self.n], np.zeros(space - self.n)])
                for a in (self._weight, self._keys)
            )
        assert self._rows is not None
        self._rows[self.n : end] = X
        self._weight[self.n : end] = sample_weight
        self._keys[self.n : end] = keys
        self.n = end
        self._worst = float(self._keys[:end].max())

    # -- files ----------------------------------------------------------------------------

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict]:
        """Arrays and a JSON-able header."""
        arrays = {"rows": self.X, "weight": self._weight[: self.n], "keys": self._keys[: self.n]}
        header = {
            "capacity": self.capacity,
            "n_seen": self.n_seen,
            "weight_seen": self.weight_seen,
            "rng": self.rng.bit_generator.state,
        }
        return arrays, header

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], header: dict) -> RowMemory:
        """What :meth:`to_arrays` wrote."""
        rng = np.random.default_rng()
        rng.bit_generator.state = header["rng"]
        new = cls(int(header["capacity"]), rng)
        new._rows, new._weight, new._keys = arrays["rows"], arrays["weight"], arrays["keys"]
        new.n, new.n_seen = len(new._rows), int(header["n_seen"])
        new._worst = float(new._keys.max(initial=0.0))
        new.weight_seen = float(header["weight_seen"])
        return new


def _joined(rows: np.ndarray | None, n: int, X: np.ndarray) -> np.ndarray:
    return X if rows is None else np.concatenate([rows[:n], X])
