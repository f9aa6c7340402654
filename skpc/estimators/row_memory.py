"""The rows an estimator remembers: all of them at first, then a fair sample."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Keys drawn at once.
DRAWN = 1024
LARGEST = np.finfo(float).max


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
    seed : int
        Of the keys.

    Attributes
    ----------
    X : ndarray of shape (n, n_columns)
    sample_weight : ndarray of shape (n,)
        Of the rows while all are held; then what each of them stands for.
    n_seen : int
        Rows added so far.
    weight_seen : float
        Their weight.

    References
    ----------
    .. [1] Efraimidis and Spirakis, "Weighted random sampling with a reservoir", Information
       Processing Letters 97, 2006.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        self.capacity = capacity
        self.seed = seed
        self.n = 0
        self.n_seen = 0
        self.weight_seen = 0.0
        self._space = _Space(np.empty((0, 0)), np.empty(0), np.empty(0))
        #: Above it no key of a full memory lies.
        self._worst = np.inf
        #: The smallest key that found no place.
        self._smallest_out = np.inf
        #: Number of a row, and the draws from it on.
        self._drawn = 0, np.empty(0)

    @property
    def is_whole(self) -> bool:
        """Whether every row is still held."""
        return self.n_seen == self.n

    @property
    def X(self) -> np.ndarray:
        return self._space.rows[: self.n]

    @property
    def sample_weight(self) -> np.ndarray:
        weight = self._space.weight[: self.n]
        if self.is_whole:
            return weight
        # A row of weight w stays with probability 1 - exp(-w τ) where τ is the smallest key
        # that did not: weighted by its inverse the sample stands for all rows.
        kept = -np.expm1(-np.minimum(weight * self._smallest_out, 700.0))
        return weight / np.maximum(kept, np.finfo(float).tiny)

    def added(self, X: Any, sample_weight: np.ndarray) -> RowMemory:
        """The memory after these rows, an array or a FrameTable; their weights are positive."""
        new = copy.copy(self)
        new.n_seen += len(X)
        new.weight_seen += float(sample_weight.sum())
        keys = new._next_keys(self.n_seen, sample_weight)
        free = self.capacity - self.n
        if len(X) <= free:
            new._append(X[:], sample_weight, keys)
            return new
        if free == 0:
            # Most rows of a long stream end here, and nothing is copied.
            better = keys < self._worst
            out = keys[~better]
            new._smallest_out = min(self._smallest_out, float(out.min(initial=np.inf)))
            if not better.any():
                return new
            X, sample_weight, keys = X[better], sample_weight[better], keys[better]
        rows, weight, old_keys = self._space.cut(self.n)
        rows = np.concatenate([rows, X]) if self.n else X
        weight = np.concatenate([weight, sample_weight])
        keys = np.concatenate([old_keys, keys])
        order = np.argpartition(keys, self.capacity - 1)
        kept, out = np.sort(order[: self.capacity]), keys[order[self.capacity :]]
        new._smallest_out = min(new._smallest_out, float(out.min(initial=np.inf)))
        new._take(rows[kept], weight[kept], keys[kept])
        return new

    def _next_keys(self, number: int, sample_weight: np.ndarray) -> np.ndarray:
        """Keys of the rows from this number on: the seed and the number of a row decide."""
        n, (first, draws) = len(sample_weight), self._drawn
        if not first <= number <= number + n <= first + len(draws):
            # A generator takes longer to make than a thousand numbers to draw.
            generator = np.random.Generator(np.random.PCG64(self.seed).advance(number))
            first, draws = number, -np.log1p(-generator.random(max(n, DRAWN)))
            self._drawn = first, draws
        with np.errstate(over="ignore"):
            keys = draws[number - first :][:n] / sample_weight
        return np.minimum(keys, LARGEST)

    def _take(self, rows: np.ndarray, weight: np.ndarray, keys: np.ndarray) -> None:
        self.n = len(rows)
        self._space = _Space(rows, weight, keys, self.n)
        self._worst = float(keys.max(initial=0.0))

    def _append(self, X: np.ndarray, sample_weight: np.ndarray, keys: np.ndarray) -> None:
        """Put rows behind the last one, in space that no other memory looks at."""
        end = self.n + len(X)
        if not self._space.has_room(self.n, end, X.dtype):
            rows, weight, old_keys = self._space.cut(self.n)
            # Twice the space, so that a stream of single rows copies each a few times only.
            size = min(self.capacity, 2 * end)
            dtype = np.result_type(rows, X) if self.n else X.dtype
            space = _Space(np.empty((size, X.shape[1]), dtype), np.empty(size), np.empty(size))
            if self.n:
                space.write(0, rows, weight, old_keys)
            self._space = space
        self._space.write(self.n, X, sample_weight, keys)
        self.n = end
        self._worst = max(float(keys.max()), self._worst if end > len(X) else 0.0)

    # -- files ----------------------------------------------------------------------------

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict]:
        """Arrays and a JSON-able header."""
        rows, weight, keys = self._space.cut(self.n)
        names = ("capacity", "seed", "n_seen", "weight_seen")
        header = {name: getattr(self, name) for name in names}
        # JSON knows no infinity.
        header["smallest_out"] = None if self.is_whole else self._smallest_out
        return {"rows": rows, "weight": weight, "keys": keys}, header

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], header: dict) -> RowMemory:
        """What :meth:`to_arrays` wrote."""
        new = cls(int(header["capacity"]), int(header["seed"]))
        new.n_seen, new.weight_seen = int(header["n_seen"]), float(header["weight_seen"])
        new._take(arrays["rows"], arrays["weight"], arrays["keys"])
        out = header["smallest_out"]
        new._smallest_out = np.inf if out is None else float(out)
        return new


@dataclass
class _Space:
    """Rows, weights and keys with room behind them, which several memories may share.

    ``used`` is the end of what any of them has written: whoever ends there may write on.
    """

    rows: np.ndarray
    weight: np.ndarray
    keys: np.ndarray
    used: int = 0

    def has_room(self, start: int, end: int, dtype: np.dtype) -> bool:
        return (
            self.used == start
            and len(self.rows) >= end
            and np.result_type(self.rows, dtype) == self.rows.dtype
            # Not when mapped from a file.
            and self.rows.flags.writeable
            and self.weight.flags.writeable
            and self.keys.flags.writeable
        )

    def cut(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.rows[:n], self.weight[:n], self.keys[:n]

    def write(self, start: int, rows: np.ndarray, weight: np.ndarray, keys: np.ndarray) -> None:
        self.used = start + len(rows)
        part = slice(start, self.used)
        self.rows[part], self.weight[part], self.keys[part] = rows, weight, keys
