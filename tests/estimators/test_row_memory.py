import numpy as np
import pytest

from skpc.estimators.row_memory import RowMemory


def memory(capacity, seed=0):
    return RowMemory(capacity, seed)


def filled(capacity, X, weight=None, chunk=7, seed=0):
    weight = np.ones(len(X)) if weight is None else weight
    found = memory(capacity, seed)
    for start in range(0, len(X), chunk):
        found = found.added(X[start : start + chunk], weight[start : start + chunk])
    return found


@pytest.mark.parametrize("chunk", [1, 3, 50])
def test_until_it_is_full_it_holds_all_rows_in_order(chunk):
    X, weight = np.arange(40).reshape(20, 2), np.linspace(1, 2, 20)
    found = filled(20, X, weight, chunk)
    np.testing.assert_array_equal(found.X, X)
    np.testing.assert_array_equal(found.sample_weight, weight)
    assert found.is_whole
    assert (found.n, found.n_seen) == (20, 20)
    assert found.weight_seen == pytest.approx(30)


@pytest.mark.parametrize("chunk", [1, 7, 200])
def test_then_it_is_a_sample_and_chunks_do_not_matter(chunk):
    X = np.arange(100)[:, None]
    found = filled(20, X, chunk=chunk)
    assert not found.is_whole
    assert len(set(found.X[:, 0])) == 20
    # Every row stands for as many: about 100 in all.
    assert found.sample_weight.std() < 1e-9
    assert found.sample_weight.sum() == pytest.approx(100, rel=0.5)
    assert (found.n_seen, found.weight_seen) == (100, 100)
    np.testing.assert_array_equal(found.X, filled(20, X, chunk=13).X)


def test_every_row_stays_with_the_same_chance():
    X = np.arange(60)[:, None]
    counts = np.zeros(60)
    for seed in range(600):
        counts[filled(15, X, chunk=60, seed=seed).X[:, 0]] += 1
    # Binomial with mean 150 and deviation 10.6.
    assert abs(counts - 150).max() < 4.5 * 10.6
    assert counts[:30].sum() == pytest.approx(4500, abs=200)


def test_rows_stay_in_proportion_to_their_weight():
    X, weight = np.arange(50)[:, None], np.where(np.arange(50) < 25, 3.0, 1.0)
    heavy = sum((filled(5, X, weight, 50, seed).X < 25).sum() for seed in range(500))
    assert heavy / 2500 == pytest.approx(0.75, abs=0.04)


@pytest.mark.parametrize("n", [5, 20, 60])
def test_an_older_memory_is_left_as_it_was(n):
    X = np.random.default_rng(0).normal(size=(n, 3))
    old = filled(20, X)
    rows, weight, seen = old.X.copy(), old.sample_weight.copy(), old.n_seen
    for _ in range(2):
        old.added(np.full((30, 3), 9.0), np.ones(30))
        old.added(np.full((2, 3), 7.0), np.ones(2))
    np.testing.assert_array_equal(old.X, rows)
    np.testing.assert_array_equal(old.sample_weight, weight)
    assert old.n_seen == seen


def test_the_dtype_grows_with_what_comes():
    found = memory(10).added(np.ones((2, 2), np.uint8), np.ones(2))
    assert found.X.dtype == np.uint8
    found = found.added(np.full((1, 2), np.nan), np.ones(1))
    np.testing.assert_array_equal(found.X, [[1, 1], [1, 1], [np.nan, np.nan]])
    assert filled(2, np.ones((5, 2), np.uint8)).X.dtype == np.uint8


@pytest.mark.parametrize("n", [5, 60])
def test_a_file_goes_on_as_the_memory_does(n):
    X, more = np.random.default_rng(0).normal(size=(2, n, 3))
    old = filled(20, X)
    again = RowMemory.from_arrays(*old.to_arrays())
    for found in (old, again):
        np.testing.assert_array_equal(found.X, old.X)
    one, other = (found.added(more, np.ones(n)) for found in (old, again))
    np.testing.assert_array_equal(one.X, other.X)
    assert (one.n_seen, one.weight_seen) == (other.n_seen, other.weight_seen)


def test_weights_of_a_sample_make_it_stand_for_all_rows():
    X, weight = np.arange(400)[:, None], np.where(np.arange(400) < 8, 100.0, 1.0)
    shares = []
    for seed in range(40):
        found = filled(60, X, weight, 400, seed)
        heavy = found.sample_weight[found.X[:, 0] < 8].sum()
        shares.append(heavy / found.sample_weight.sum())
    assert np.mean(shares) == pytest.approx(800 / 1192, abs=0.03)
