import numpy as np
import pytest

from skpc.training import ArraySource

X = np.arange(23.0)[:, None] * [1, 10]
WEIGHT = np.linspace(0.5, 3, 23)


def rng():
    return np.random.default_rng(0)


def test_in_order_without_a_generator():
    batches = list(ArraySource(X).batches(10, None))
    # No remainder of three rows, which would get a full step.
    assert [len(rows) for rows, _ in batches] == [7, 8, 8]
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in batches]), X)
    assert all(weight is None for _, weight in batches)  # every row counts once


@pytest.mark.parametrize("index", [None, np.array([3, 4, 7, 11, 20])])
def test_shuffled_batches_cover_every_row_once_with_its_weight(index):
    source = ArraySource(X, WEIGHT, index=index)
    expected = np.arange(23) if index is None else index
    assert source.n_rows == len(expected)
    assert source.total_weight == pytest.approx(WEIGHT[expected].sum())
    seen = []
    for rows, weight in source.batches(4, rng()):
        assert len(rows) <= 4
        number = rows[:, 0].astype(int)
        np.testing.assert_array_equal(weight, WEIGHT[number])
        np.testing.assert_array_equal(rows[:, 1], 10 * rows[:, 0])
        seen += number.tolist()
    assert sorted(seen) == expected.tolist()
    assert seen != expected.tolist()


def test_every_pass_is_shuffled_anew():
    source, generator = ArraySource(X), rng()
    first, second = ([r[:, 0].tolist() for r, _ in source.batches(8, generator)] for _ in "ab")
    assert first != second


def test_an_index_without_a_generator_keeps_its_order():
    index = np.array([9, 2, 5])
    ((rows, weight),) = ArraySource(X, WEIGHT, index=index).batches(10, None)
    np.testing.assert_array_equal(rows[:, 0], index)
    np.testing.assert_array_equal(weight, WEIGHT[index])


def test_rows_are_encoded_batch_by_batch():
    sizes = []

    def encode(rows):
        sizes.append(len(rows))
        return -rows

    for generator in (None, rng()):
        rows = np.concatenate([r for r, _ in ArraySource(X, encode=encode).batches(9, generator)])
        np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(-X, axis=0))
    assert sizes == [7, 8, 8] * 2
