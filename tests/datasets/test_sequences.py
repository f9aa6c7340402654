import numpy as np
import pytest

from skpc.datasets import chunk_tokens


def test_one_sequence():
    tokens = np.arange(10, dtype=np.uint16)
    rows = chunk_tokens(tokens, 4)
    np.testing.assert_array_equal(rows, [[0, 1, 2, 3], [4, 5, 6, 7]])
    assert rows.dtype == np.uint16
    padded = chunk_tokens(tokens, 4, remainder="missing")
    np.testing.assert_array_equal(padded[2], [8, 9, np.nan, np.nan])
    for remainder, dtype in (("drop", np.int64), ("missing", np.float64)):
        empty = chunk_tokens([], 4, remainder=remainder)
        assert (empty.shape, empty.dtype) == ((0, 4), dtype)


def test_rows_do_not_cross_sequences():
    rows = chunk_tokens([[1, 2, 3], np.array([4, 5]), []], 2)
    np.testing.assert_array_equal(rows, [[1, 2], [4, 5]])
    assert rows.dtype == np.int64
    assert chunk_tokens([[1, 2], [4, 5, 6]], 2, remainder="missing").shape == (3, 2)


@pytest.mark.parametrize(
    ("tokens", "settings", "message"),
    [
        ([1, 2], {"length": 0}, "length=0"),
        ([1, 2], {"length": 2.0}, "length=2.0 must be an integer"),
        ([1, 2], {"length": "a"}, "length='a' must be an integer"),
        ([1, 2], {"length": None}, "length=None must be an integer"),
        ([1, 2], {"length": 2, "remainder": "pad"}, "remainder='pad'"),
        ([1.5, 2.0], {"length": 2}, "integers of at least 0"),
        ([-1, 2], {"length": 2}, "integers of at least 0"),
        ([[3], [1, 4, -2]], {"length": 1}, "holds -2, at place 2"),
        ([[[1]], [[2]]], {"length": 1}, "one axis"),
    ],
)
def test_bad_arguments(tokens, settings, message):
    with pytest.raises(ValueError, match=message):
        chunk_tokens(tokens, **settings)
