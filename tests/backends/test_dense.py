"""Products of panels, whatever their sizes."""

import numba
import numpy as np
import pytest

from skpc.backends.numba_cpu import lines
from skpc.backends.numba_cpu.dense import add_outer_products
from skpc.backends.numba_cpu.simd import LANES, PANEL, pointer, pointer_at

AT = 5


@numba.njit
def outer(left, right, result, ahead, at, height, width, n_panels):
    beside = pointer_at(pointer(ahead), at)
    add_outer_products(
        pointer(left), 0, height * PANEL, pointer(right), 0, width * PANEL, height, width,
        n_panels, pointer(result), AT, beside,
    )  # fmt: skip


def as_rows(panels, units):
    return panels.reshape(-1, units, PANEL).transpose(0, 2, 1).reshape(-1, units)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_panels", [1, 4, 9])
@pytest.mark.parametrize("height", [1, 7, 8, 11, 32])
@pytest.mark.parametrize("width", sorted({1, 6, LANES, PANEL, PANEL + 1, 3 * PANEL + LANES}))
def test_outer_products_are_added_for_any_size(width, height, n_panels, dtype):
    rng = np.random.default_rng(width)
    left = rng.random(n_panels * height * PANEL).astype(dtype)
    right = rng.random(n_panels * width * PANEL).astype(dtype)
    before = rng.random(AT + height * width + 3).astype(dtype)
    expected = before.copy()
    product = as_rows(left, height).T @ as_rows(right, width)
    expected[AT : AT + height * width] += product.ravel()
    weights = np.zeros(len(before))
    for address in (0, weights.ctypes.data):  # with and without weights to fetch
        result = before.copy()
        outer(left, right, result, weights, address, height, width, n_panels)
        np.testing.assert_allclose(result, expected, rtol=1e-5 if dtype == np.float32 else 1e-13)
        np.testing.assert_array_equal(result[:AT], before[:AT])
        np.testing.assert_array_equal(result[AT + height * width :], before[AT + height * width :])


@pytest.mark.parametrize("shape", [0, 1, (), (3, 5), (2, 0), np.int64(7)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_arrays_begin_at_a_cache_line(shape, dtype):
    for make, of_numpy in ((lines.empty, np.empty), (lines.zeros, np.zeros)):
        array, expected = make(shape, dtype), of_numpy(shape, dtype)
        assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
        assert array.size == 0 or array.ctypes.data % lines.LINE == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable
    np.testing.assert_array_equal(lines.zeros(shape, dtype), np.zeros(shape, dtype))
