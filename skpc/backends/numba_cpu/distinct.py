"""Equal rows, computed once: of zeros and ones many are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .kernel_cache import entry_kernel
from .simd import load, pointer, store

#: Weights of a circuit for every eight bytes of a row from which on looking for equal rows takes
#: at most a tenth of the time of a pass.
WEIGHTS_OF_WORD = 256
#: Share of different rows above which merging the others would not be felt.
MOST = 0.95


class Distinct(NamedTuple):
    """The different ones of some rows.

    Attributes
    ----------
    first : ndarray of shape (n_distinct,)
        Where each is met first.
    owner : ndarray of shape (n,)
        Which of them every row is.
    """

    first: np.ndarray
    owner: np.ndarray


def find_distinct(X: np.ndarray, n_weights: int) -> Distinct | None:
    """The different rows of an array by their bytes, or None where that does not pay.

    ``n_weights`` is what a pass of a row costs.
    """
    n, width = len(X), X.shape[1] * X.itemsize
    n_words = -(-width // 8)
    if n < 2 or X.dtype.hasobject or n_weights < WEIGHTS_OF_WORD * n_words:
        return None
    X = np.ascontiguousarray(X)
    if width % 8:
        words = np.zeros((n, n_words), dtype=np.uint64)
        words.view(np.uint8)[:, :width] = X.view(np.uint8).reshape(n, width)
    else:
        words = X.view(np.uint64)
    table = np.empty(1 << (2 * n - 1).bit_length(), dtype=np.int64)
    first, owner = np.empty((2, n), dtype=np.int64)
    n_distinct = number_rows(words, table, first, owner)
    if n_distinct > MOST * n:
        return None
    return Distinct(first[:n_distinct], owner)


@entry_kernel
def number_rows(words, table, first, owner):
    """Number equal rows alike, in the order in which they are met; how many numbers that takes.

    ``table``, a power of two and longer than the rows, becomes their hash table.
    """
    n, n_words = words.shape
    table[:] = -1
    source, place, met, number = pointer(words), pointer(table), pointer(first), pointer(owner)
    mask = table.size - 1
    found = 0
    for i in range(n):
        at = i * n_words
        h = np.uint64(0x9E3779B97F4A7C15)
        for k in range(n_words):
            h = (h ^ load(source, at + k)) * np.uint64(0xD6E8FEB86659FD93)
            h ^= h >> np.uint64(32)
        # Once more, or the top bits of the last word would stay out of the slot.
        h *= np.uint64(0xD6E8FEB86659FD93)
        h ^= h >> np.uint64(32)
        slot = np.int64(h & np.uint64(mask))
        while True:
            known = load(place, slot)
            if known < 0:
                store(place, slot, found)
                store(met, found, i)
                store(number, i, found)
                found += 1
                break
            other = load(met, known) * n_words
            k = 0
            while k < n_words and load(source, at + k) == load(source, other + k):
                k += 1
            if k == n_words:
                store(number, i, known)
                break
            slot = (slot + 1) & mask
    return found


@entry_kernel
def share_weights(weight, owner, n, sums, shares):
    """Sums of the weights of each of ``n`` rows that several may be, and their shares.

    Row i of those that have weights is row ``owner[i]``. Shares are sums over the largest of
    them, which is returned, and 0 after row ``n``; when no sum is above 0 they are not written.
    """
    for i in range(n):
        sums[i] = 0.0
    for i in range(weight.size):
        sums[owner[i]] += weight[i]
    unit = 0.0
    for i in range(n):
        if sums[i] > unit or np.isnan(sums[i]):
            unit = sums[i]
    if unit > 0:
        for i in range(n):
            shares[i] = sums[i] / unit
        for i in range(n, shares.size):
            shares[i] = 0
    return unit
