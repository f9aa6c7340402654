"""Rows that scopes offer each other become panels and back, whatever their width."""

import numba
import numpy as np
import pytest

from skpc.backends.numba_cpu.gather import gather, offer, scatter
from skpc.backends.numba_cpu.simd import LANES, PANEL, pointer

AT, BEHIND = 3, 5


@numba.njit
def turn(rows, source, step, panels, units, n_panels, taken):
    gather(pointer(rows), 0, pointer(source), None, AT, step, pointer(panels), 0, units, n_panels)
    gather(None, 0, pointer(source), None, AT, step, pointer(taken), 0, units, n_panels)


@numba.njit
def turn_quotients(source, divisor, step, panels, units, n_panels):
    gather(
        None, 0, pointer(source), pointer(divisor), AT, step, pointer(panels), 0, units, n_panels
    )


@numba.njit
def turn_back(rows, panels, sums, copy, step, units, n_panels):
    scatter(pointer(rows), 0, pointer(panels), 0, pointer(sums), AT, step, units, n_panels)
    offer(pointer(panels), 0, pointer(copy), AT, step, units, n_panels)


def as_rows(panels, units):
    return panels.reshape(-1, units, PANEL).transpose(0, 2, 1).reshape(-1, units)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("units", sorted({1, 3, LANES // 2, 12, LANES, 17, 2 * LANES, 45}))
def test_rows_become_panels_and_come_back(units, dtype):
    rng = np.random.default_rng(units)
    n_panels = 3
    n, step = n_panels * PANEL, AT + units + BEHIND
    rows = rng.integers(0, n, n).astype(np.int32)
    source = rng.random((n, step)).astype(dtype)
    panels, taken = np.zeros((2, n * units), dtype=dtype)
    turn(rows, source.ravel(), step, panels, units, n_panels, taken)
    mine = slice(AT, AT + units)
    np.testing.assert_array_equal(as_rows(panels, units), source[rows, mine])
    np.testing.assert_array_equal(as_rows(taken, units), source[:, mine])

    divisor = rng.integers(0, 3, (n, step)).astype(dtype)
    quotients = np.zeros_like(panels)
    turn_quotients(source.ravel(), divisor.ravel(), step, quotients, units, n_panels)
    expected = np.divide(source, divisor, out=np.zeros_like(source), where=divisor > 0)
    np.testing.assert_array_equal(as_rows(quotients, units), expected[:, mine])

    before = rng.random((n, step)).astype(dtype)
    sums, copy = before.copy(), before.copy()
    turn_back(rows, panels, sums.reshape(-1), copy.reshape(-1), step, units, n_panels)
    expected = before.copy()
    np.add.at(expected[:, mine], rows, source[rows, mine])
    np.testing.assert_array_equal(sums, expected)  # row after row, to the bit
    expected = before.copy()
    expected[:, mine] = source[rows, mine]
    np.testing.assert_array_equal(copy, expected)
