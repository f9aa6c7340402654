"""What the rows of one scope read of another, and the flows that go back: see scopes.py.

A scope offers it row by row, all units of a row side by side: rows in any order are read, and
added to, in a few cache lines each. On the way they are turned into panels, and back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .columns import CUT, PANELS
from .kernel_cache import kernel
from .simd import HALF, LANES, PANEL, load, never_inline, store, vdivide_or_zero
from .transposing import (
    add_half_rows,
    add_rows,
    read_half_rows,
    read_rows,
    row_of,
    write_half_rows,
    write_rows,
)


class Reading(NamedTuple):
    """What the vectors of a scope read of others, and offer to others, for rows from some row on.

    Attributes
    ----------
    rows, stride : pointer, int
        Rows of the scopes below: those of a map lie ``stride`` behind those of the one before.
    scopes, places : ndarray
    offers, scales : pointer, tuple of pointer
        Of all scopes.
    mine, width : pointer, int
        Where the scope offers its own, and how many numbers a row.
    passing, passing_scales : pointer, tuple of pointer
        Scratch for what passes: see ``columns.py``.
    """

    rows: Any
    stride: Any
    scopes: Any
    places: Any
    offers: Any
    scales: Any
    mine: Any
    width: Any
    passing: Any
    passing_scales: Any


class Sending(NamedTuple):
    """Where they send flows, and what comes back for what the scope offers.

    Attributes
    ----------
    rows, stride, scopes, places
        As in ``Reading``.
    returns : pointer
        Flows that come back, of all scopes.
    half : int
        Those of the scope below that get flows of such a half of a scope.
    mine, offered, width : pointer, pointer, int
        Flows that came back, what was offered, and how many numbers a row.
    """

    rows: Any
    stride: Any
    scopes: Any
    places: Any
    returns: Any
    half: Any
    mine: Any
    offered: Any
    width: Any


@kernel
def halves(place, at, size, column):
    """Rows of the first half of a scope, and where one of ``size`` numbers of every row would begin
    if all were like them, or all like those of the second half. What lies there begins ``at``."""
    cut = place[CUT] * PANEL
    rest = place[PANELS] * PANEL - cut
    return cut, at + column * cut, at + (size - 1) * cut + column * rest


@kernel
def gather(rows, r, source, divisor, at, step, target, t, units, n_panels):
    """target[k, i] = source[rows[i], k], where the rows of the source are ``step`` apart; without
    ``rows`` they follow each other. With a ``divisor``, whose rows lie like those, it is the
    quotient, or 0 where the divisor is not above 0."""
    never_inline()
    wide, narrow = units - units % LANES, units - units % HALF
    for i in range(0, n_panels * PANEL, LANES):
        o = t + i // PANEL * (units * PANEL) + i % PANEL
        for k in range(0, wide, LANES):
            read_rows(rows, r + i, source, divisor, at + k, step, target, o + k * PANEL)
        for k in range(wide, narrow, HALF):
            read_half_rows(rows, r + i, source, divisor, at + k, step, target, o + k * PANEL)
        for k in range(narrow, units):
            for j in range(LANES):
                a = at + row_of(rows, r + i + j) * step + k
                value = load(source, a)
                if divisor is not None:
                    value = vdivide_or_zero(value, load(divisor, a))
                store(target, o + k * PANEL + j, value)


@kernel
def scatter(rows, r, source, s, target, at, step, units, n_panels):
    """target[rows[i], k] += source[k, i]."""
    never_inline()
    wide, narrow = units - units % LANES, units - units % HALF
    for i in range(0, n_panels * PANEL, LANES):
        a = s + i // PANEL * (units * PANEL) + i % PANEL
        for k in range(0, wide, LANES):
            add_rows(source, a + k * PANEL, rows, r + i, target, at + k, step)
        for k in range(wide, narrow, HALF):
            add_half_rows(source, a + k * PANEL, rows, r + i, target, at + k, step)
        for k in range(narrow, units):
            for j in range(LANES):
                o = at + row_of(rows, r + i + j) * step + k
                store(target, o, load(target, o) + load(source, a + k * PANEL + j))


@kernel
def offer(source, s, target, at, step, units, n_panels):
    """target[i, k] = source[k, i]."""
    never_inline()
    wide, narrow, none = units - units % LANES, units - units % HALF, None
    for i in range(0, n_panels * PANEL, LANES):
        a = s + i // PANEL * (units * PANEL) + i % PANEL
        for k in range(0, wide, LANES):
            write_rows(source, a + k * PANEL, none, i, target, at + k, step)
        for k in range(wide, narrow, HALF):
            write_half_rows(source, a + k * PANEL, none, i, target, at + k, step)
        for k in range(narrow, units):
            for j in range(LANES):
                store(target, at + (i + j) * step + k, load(source, a + k * PANEL + j))


@kernel
def gather_scale(rows, r, source, where, target, t, n):
    """The scales of n rows."""
    never_inline()
    cut, near, far = where
    inverse, exponent, relative, absolute = source
    to_inverse, to_exponent, to_relative, to_absolute = target
    for i in range(t, t + n):
        row = load(rows, r + i - t)
        row += near if row < cut else far
        store(to_inverse, i, load(inverse, row))
        store(to_exponent, i, load(exponent, row))
        store(to_relative, i, load(relative, row))
        store(to_absolute, i, load(absolute, row))
