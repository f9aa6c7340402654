"""The different rows of a scope in a chunk of rows, numbered in the order they are met."""

from __future__ import annotations

import numpy as np

from .columns import CODE, N_DISTINCT, PART, PART_END, STATES, UNLIKE
from .kernel_cache import kernel
from .simd import PANEL, load, never_inline, offset, pointer, store

#: Eighths of the rows above which a scope, and all above it, keeps the rows as they are.
MOST_EIGHTHS = 7


@kernel
def codes_are_numbers(s, scopes):
    """Whether scope s is a column of so few states that each is a row, be it there or not."""
    return scopes[s, CODE] >= 0 and scopes[s, STATES] + 2 <= PANEL


@kernel
def numbers_of(s, scopes, codes, at, stride, number, chunk):
    """Where the numbers of the rows in scope s lie."""
    if codes_are_numbers(s, scopes):
        return offset(codes, scopes[s, CODE] * stride + at)
    return offset(number, s * chunk)


@kernel
def number_scope(s, scopes, parts, codes, at, stride, n, numbers, places, keys, table):
    """Number the different rows of a scope whose parts are numbered, and say how many they are.

    Parameters
    ----------
    s : int
    scopes, parts : ndarray
        See ``Scoped``.
    codes : pointer
        Of the finite columns, ``stride`` apart, those of the chunk from ``at``.
    n : int
        Rows of the chunk.
    numbers : tuple of ndarray
        Row i has number ``ids[s, i]``, of which ``first[s]`` are the rows where it is met first.
    places : ndarray of shape (n_scopes, N_PLACE_COLUMNS)
        Gets how many they are, which columns of few states say already.
    keys, table : ndarray
        Scratch for the chunk's rows, and for a hash table.
    """
    never_inline()
    ids, first, _ = numbers
    chunk = ids.shape[1]
    number = pointer(ids)
    mine, firsts = offset(number, s * chunk), offset(pointer(first), s * chunk)
    key, slots = pointer(keys), pointer(table)
    found = n
    if codes_are_numbers(s, scopes):
        return
    if scopes[s, UNLIKE] == 0:
        if scopes[s, CODE] >= 0:
            _keys_of(offset(codes, scopes[s, CODE] * stride + at), n, key)
            found = _number_any(key, scopes[s, STATES] + 2, n, slots, table.size, mine, firsts)
        else:
            start, stop = scopes[s, PART], scopes[s, PART_END]
            radix = places[parts[start], N_DISTINCT]
            for p in range(start, stop):
                if 8 * places[parts[p], N_DISTINCT] > MOST_EIGHTHS * n:
                    radix = 0
            if radix > 0:
                _keys_of(numbers_of(parts[start], scopes, codes, at, stride, number, chunk), n, key)
                for p in range(start + 1, stop):
                    if radix * places[parts[p], N_DISTINCT] > table.size and radix > n:
                        radix = _number_any(key, radix, n, slots, table.size, mine, firsts)
                        _keys_of(mine, n, key)
                    other = numbers_of(parts[p], scopes, codes, at, stride, number, chunk)
                    _combine(key, other, np.int32(radix), n)
                    radix *= places[parts[p], N_DISTINCT]
                found = _number_any(key, radix, n, slots, table.size, mine, firsts)
    places[s, N_DISTINCT] = found
    if found == n or (8 * found > MOST_EIGHTHS * n and scopes[s, CODE] < 0):
        places[s, N_DISTINCT] = n
        for i in range(n):
            store(mine, i, i)
            store(firsts, i, i)


@kernel
def keep_codes(s, scopes, codes, at, stride, first, found, rows):
    """Write the codes of the different rows over those of all, and missing ones behind them."""
    column = offset(codes, scopes[s, CODE] * stride + at)
    # Each is met at its place or later.
    for i in range(found):
        store(column, i, load(column, load(first, i)))
    for i in range(found, rows):
        store(column, i, scopes[s, STATES])


@kernel
def _keys_of(numbers, n, keys):
    for i in range(n):
        store(keys, i, load(numbers, i))


@kernel
def _combine(keys, numbers, radix, n):
    for i in range(n):
        store(keys, i, load(keys, i) + radix * load(numbers, i))


@kernel
def _number_any(keys, end, n, table, size, ids, first):
    if end <= size:
        return _number(keys, end, n, table, ids, first)
    return _number_hashed(keys, n, table, size, ids, first)


@kernel
def _number(keys, end, n, table, ids, first):
    """Number different keys, which are below ``end``."""
    for i in range(end):
        store(table, i, -1)
    found = 0
    for i in range(n):
        at = load(keys, i)
        known = load(table, at)
        if known < 0:
            known = found
            store(table, at, found)
            store(first, found, i)
            found += 1
        store(ids, i, known)
    return found


@kernel
def _number_hashed(keys, n, table, size, ids, first):
    """The same for any keys; ``size``, a power of two, is twice the rows or more."""
    for i in range(size):
        store(table, i, -1)
    found = 0
    for i in range(n):
        key = load(keys, i)
        at = (key * 0x9E3779B97F4A7C1) >> 20 & (size - 1)
        while True:
            known = load(table, at)
            if known < 0:
                known = found
                store(table, at, found)
                store(first, found, i)
                found += 1
                break
            if load(keys, load(first, known)) == key:
                break
            at = (at + 1) & (size - 1)
        store(ids, i, known)
    return found
