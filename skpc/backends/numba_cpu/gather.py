"""Vectors of one scope read by the rows of another, and the flows that go back: see scopes.py.

The rows of a scope lie in two halves or in one, one after the other.
"""

from __future__ import annotations

from .columns import CUT, PANELS
from .kernel_cache import kernel
from .simd import PANEL, load, never_inline, store


@kernel
def halves(place, at, size, start, units):
    """Rows of the first half of a scope, and where a vector would begin if all were like them, or
    all like those of the second half.

    What lies there begins ``at``, with ``size`` numbers a row; the vector has ``units`` of them
    from ``start``.
    """
    cut = place[CUT] * PANEL
    rest = place[PANELS] * PANEL - cut
    return cut, at + start * cut, at + (size - units) * cut + start * rest


@kernel
def gather(rows, r, source, where, target, t, units, n_panels):
    """target[k, i] = source[k, rows[i]], for ``units`` of both."""
    never_inline()
    cut, near, far = where
    for p in range(n_panels):
        for j in range(PANEL):
            row = load(rows, r + p * PANEL + j)
            a = (near if row < cut else far) + row // PANEL * (units * PANEL) + row % PANEL
            o = t + p * units * PANEL + j
            for _ in range(units):
                store(target, o, load(source, a))
                a += PANEL
                o += PANEL


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


@kernel
def scatter(rows, r, source, s, target, where, units, n_panels):
    """target[k, rows[i]] += source[k, i]."""
    never_inline()
    cut, near, far = where
    for p in range(n_panels):
        for j in range(PANEL):
            row = load(rows, r + p * PANEL + j)
            a = s + p * units * PANEL + j
            o = (near if row < cut else far) + row // PANEL * (units * PANEL) + row % PANEL
            for _ in range(units):
                store(target, o, load(target, o) + load(source, a))
                a += PANEL
                o += PANEL
