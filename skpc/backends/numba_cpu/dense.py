"""Matrix products on panels: the three products of a dense sum.

A vector of K units over a tile of rows is stored panel by panel, (panel, unit, PANEL
rows), so that a product streams through consecutive memory whatever K is. Each result is
a sum in one fixed order down a lane, so a row's bits do not depend on its neighbours.
"""

from __future__ import annotations

import numpy as np

from .kernel_cache import kernel
from .lines import DOUBLES
from .simd import (
    LANES,
    PANEL,
    add_four_sums,
    is_there,
    load,
    never_inline,
    numbers_of_line,
    prefetch,
    prefetch_to_write,
    store,
    vadd,
    vbroadcast,
    vfill,
    vfma,
    vload,
    vmul,
    vstore,
    vsum,
)
from .transposing import TURNED, room_to_turn, write_rows

STORE, ADD, TIMES = 0, 1, 2
#: Rows of a result that must read what is turned, or turning costs more than it saves.
LEAST_ROWS = 8


@kernel
def _add(result, i, value):
    store(result, i, load(result, i) + value)


@kernel
def _put(mode, other, o, result, i, a, b):
    if mode == ADD:
        a = vadd(a, vload(result, i))
        b = vadd(b, vload(result, i + LANES))
    elif mode == TIMES:
        a = vmul(a, vload(other, o))
        b = vmul(b, vload(other, o + LANES))
    vstore(result, i, a)
    vstore(result, i + LANES, b)


@kernel
def fetch(place, first, n):
    """Bring numbers near, as one's own."""
    for i in range(first, first + n, numbers_of_line(place)):
        prefetch_to_write(place, i)


@kernel
def spread(n, rows, n_panels):
    """How many numbers every four rows fetch, that n of them are fetched in all, or a few less."""
    return 4 * n // max(rows * n_panels, 1)


@kernel
def matrix_times_panels(
    matrix,
    at,
    row_step,
    col_step,
    source,
    s,
    s_step,
    result,
    r,
    r_step,
    rows,
    cols,
    n_panels,
    mode,
    other,
    o,
    o_step,
    fetched,
):
    """result[m] = Σ_k matrix[m, k] · source[k] for every row of the tile.

    ``matrix[at + m·row_step + k·col_step]``; vectors start at ``s``, ``r`` and move by their
    step a panel. ``mode``: STORE, ADD to the result, or TIMES ``other`` before storing.
    ``fetched``: two places that are read or written next, each with how many numbers of it every
    four rows of a panel fetch, or None: memory has the time that the product takes.
    """
    never_inline()
    zero = vfill(result, 0)
    fours, turn = rows - rows % 4, 0
    for _ in range(n_panels):
        m = 0
        while m < fours:
            a = at + m * row_step
            if fetched is not None:
                near, n_near, far, n_far = fetched
                fetch(near, turn * n_near, n_near)
                fetch(far, turn * n_far, n_far)
                turn += 1
            c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = zero
            k = s
            for _ in range(cols):
                left = vload(source, k)
                right = vload(source, k + LANES)
                x = vbroadcast(matrix, a)
                c00 = vfma(x, left, c00)
                c01 = vfma(x, right, c01)
                x = vbroadcast(matrix, a + row_step)
                c10 = vfma(x, left, c10)
                c11 = vfma(x, right, c11)
                x = vbroadcast(matrix, a + 2 * row_step)
                c20 = vfma(x, left, c20)
                c21 = vfma(x, right, c21)
                x = vbroadcast(matrix, a + 3 * row_step)
                c30 = vfma(x, left, c30)
                c31 = vfma(x, right, c31)
                a += col_step
                k += PANEL
            i = r + m * PANEL
            j = o + m * PANEL
            _put(mode, other, j, result, i, c00, c01)
            _put(mode, other, j + PANEL, result, i + PANEL, c10, c11)
            _put(mode, other, j + 2 * PANEL, result, i + 2 * PANEL, c20, c21)
            _put(mode, other, j + 3 * PANEL, result, i + 3 * PANEL, c30, c31)
            m += 4
        while m < rows:
            a = at + m * row_step
            c00 = c01 = zero
            k = s
            for _ in range(cols):
                x = vbroadcast(matrix, a)
                c00 = vfma(x, vload(source, k), c00)
                c01 = vfma(x, vload(source, k + LANES), c01)
                a += col_step
                k += PANEL
            _put(mode, other, o + m * PANEL, result, r + m * PANEL, c00, c01)
            m += 1
        s += s_step
        r += r_step
        o += o_step


@kernel
def add_outer_products(
    left,
    p,
    p_step,
    right,
    q,
    q_step,
    rows,
    cols,
    n_panels,
    result,
    r,
    ahead,
):
    """result[m, n] += Σ over the tile's rows of left[m] · right[n]; row-major at ``r``.

    Where ``ahead`` is there, what lies at the same places is fetched meanwhile.

    The right one's panels are turned, block by block, so that a vector has PANEL columns of one
    row: then sums need not be added up over lanes. Where that would cost more, they are.
    """
    never_inline()
    whole = cols - cols % PANEL if rows >= LEAST_ROWS else 0
    if whole > 0:
        turned, none, row = room_to_turn(right), None, np.int64(0)
        for n in range(0, whole, PANEL):
            for first in range(0, n_panels, TURNED):
                count = min(TURNED, n_panels - first)
                for i in range(0, count * PANEL, LANES):
                    b = q + (first + i // PANEL) * q_step + n * PANEL + i % PANEL
                    write_rows(right, b, none, row + i, turned, row, PANEL)
                    b += LANES * PANEL
                    write_rows(right, b, none, row + i, turned, row + LANES, PANEL)
                near = first > 0 or not is_there(ahead)
                _add_turned(
                    left, p + first * p_step, p_step, turned, rows, count, result, r + n, cols,
                    ahead, near,
                )  # fmt: skip
    if whole < cols:
        _add_over_lanes(
            left, p, p_step, right, q, q_step, rows, whole, cols, n_panels, result, r
        )  # fmt: skip


@kernel
def _add_turned(left, p, p_step, turned, rows, n_panels, result, r, step, ahead, near):
    """result[m, n] += Σ_t left[m, t] · turned[t, n] for PANEL columns n."""
    zero = vfill(left, 0)
    fours = rows - rows % 4
    for m in range(0, fours, 4):
        c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = zero
        a, k = p + m * PANEL, 0
        if not near:
            for i in range(r + m * step, r + m * step + 4 * step, step):
                for n in range(i, i + PANEL, DOUBLES):
                    prefetch(ahead, n)
        for _ in range(n_panels):
            for t in range(a, a + PANEL):
                x, y = vload(turned, k), vload(turned, k + LANES)
                z = vbroadcast(left, t)
                c00 = vfma(z, x, c00)
                c01 = vfma(z, y, c01)
                z = vbroadcast(left, t + PANEL)
                c10 = vfma(z, x, c10)
                c11 = vfma(z, y, c11)
                z = vbroadcast(left, t + 2 * PANEL)
                c20 = vfma(z, x, c20)
                c21 = vfma(z, y, c21)
                z = vbroadcast(left, t + 3 * PANEL)
                c30 = vfma(z, x, c30)
                c31 = vfma(z, y, c31)
                k += PANEL
            a += p_step
        i = r + m * step
        _put(ADD, result, i, result, i, c00, c01)
        _put(ADD, result, i, result, i + step, c10, c11)
        _put(ADD, result, i, result, i + 2 * step, c20, c21)
        _put(ADD, result, i, result, i + 3 * step, c30, c31)
    for m in range(fours, rows):
        c00 = c01 = zero
        a, k = p + m * PANEL, 0
        for _ in range(n_panels):
            for t in range(a, a + PANEL):
                z = vbroadcast(left, t)
                c00 = vfma(z, vload(turned, k), c00)
                c01 = vfma(z, vload(turned, k + LANES), c01)
                k += PANEL
            a += p_step
        i = r + m * step
        _put(ADD, result, i, result, i, c00, c01)


@kernel
def _add_over_lanes(left, p, p_step, right, q, q_step, rows, first, cols, n_panels, result, r):
    """The same for columns from ``first``, where lanes are rows."""
    never_inline()
    zero = vfill(left, 0)
    twos = rows - rows % 2
    fours = cols - (cols - first) % 4
    for m in range(0, twos, 2):
        for n in range(first, fours, 4):
            c00 = c01 = c02 = c03 = c10 = c11 = c12 = c13 = zero
            a = p + m * PANEL
            b = q + n * PANEL
            for _ in range(n_panels):
                for h in range(0, PANEL, LANES):
                    x = vload(left, a + h)
                    z = vload(left, a + PANEL + h)
                    y = vload(right, b + h)
                    c00 = vfma(x, y, c00)
                    c10 = vfma(z, y, c10)
                    y = vload(right, b + PANEL + h)
                    c01 = vfma(x, y, c01)
                    c11 = vfma(z, y, c11)
                    y = vload(right, b + 2 * PANEL + h)
                    c02 = vfma(x, y, c02)
                    c12 = vfma(z, y, c12)
                    y = vload(right, b + 3 * PANEL + h)
                    c03 = vfma(x, y, c03)
                    c13 = vfma(z, y, c13)
                a += p_step
                b += q_step
            i = r + m * cols + n
            add_four_sums(result, i, c00, c01, c02, c03)
            add_four_sums(result, i + cols, c10, c11, c12, c13)
        for n in range(fours, cols):
            for i in range(m, m + 2):
                x = _dot(left, p + i * PANEL, p_step, right, q + n * PANEL, q_step, n_panels)
                _add(result, r + i * cols + n, x)
    for m in range(twos, rows):
        for n in range(first, cols):
            x = _dot(left, p + m * PANEL, p_step, right, q + n * PANEL, q_step, n_panels)
            _add(result, r + m * cols + n, x)


@kernel
def _dot(left, a, a_step, right, b, b_step, n_panels):
    never_inline()
    total = vfill(left, 0)
    for _ in range(n_panels):
        for h in range(0, PANEL, LANES):
            total = vfma(vload(left, a + h), vload(right, b + h), total)
        a += a_step
        b += b_step
    return vsum(total)
