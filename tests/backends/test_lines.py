"""Arrays at cache lines, and memory that is used again."""

import pickle

import numpy as np
import pytest

from skpc.backends.numba_cpu import lines


@pytest.mark.parametrize("make", [lines.empty, lines.zeros, lambda n: lines.Lender(n).lend()])
@pytest.mark.parametrize("n", [1, 7, 64, 1000])
def test_arrays_begin_at_a_line(make, n):
    array = make(n)
    assert array.shape == (n,) and array.dtype == np.float64
    assert array.ctypes.data % lines.LINE == 0 and array.flags.writeable


def test_memory_is_lent_again_when_nobody_has_any_of_it():
    lender = lines.Lender(10)
    first = lender.lend()
    place, part, copy = first.ctypes.data, first[3:5].reshape(1, 2), pickle.dumps(first)
    first[:] = 1.0
    del first
    second = lender.lend()
    assert second.ctypes.data != place
    second[:] = 2.0
    np.testing.assert_array_equal(part, 1.0)
    del part
    assert lender.lend().ctypes.data == place
    assert len(pickle.loads(copy)) == 10


def test_one_array_is_kept_at_most():
    lender = lines.Lender(10)
    several = [lender.lend() for _ in range(4)]
    assert len({array.ctypes.data for array in several}) == 4
    del several
    assert len(lender._spare) == 1
