"""Equal rows are computed once: which they are, and that nothing but time changes."""

import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend, distinct, engine, learning, sharing
from skpc.backends.numba_cpu.distinct import find_distinct, share_weights
from tests import reference

MUCH = 10**6


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.int64, np.float64])
@pytest.mark.parametrize("width", [1, 7, 8, 9, 16])
def test_rows_are_numbered_as_numpy_finds_them(dtype, width):
    rng = np.random.default_rng(width)
    X = rng.integers(0, 2, (300, width)).astype(dtype)
    X[::2] = X[rng.integers(0, 150, 150)]
    found = find_distinct(X, MUCH)
    assert len(found.first) == len(np.unique(X, axis=0))
    np.testing.assert_array_equal(X[found.first][found.owner], X)
    assert (np.diff(found.first) > 0).all()  # in the order in which they are met


def test_weights_of_equal_rows_are_added_and_shared():
    weight, owner = np.array([1.0, 2.0, 0.5, 4.0]), np.array([0, 1, 0, 1])
    sums, shares = np.full(5, np.nan), np.full(4, np.nan, np.float32)
    assert share_weights(weight, owner, 2, sums, shares) == 6
    np.testing.assert_array_equal(sums[:2], [1.5, 6])
    np.testing.assert_array_equal(shares, [0.25, 1, 0, 0])
    for nothing in (0.0, np.nan):
        assert not share_weights(np.full(4, nothing), owner, 2, sums, shares) > 0


def test_rows_that_are_no_blocks_of_memory_are_numbered_too():
    X = np.asfortranarray(np.random.default_rng(0).integers(0, 2, (200, 4)))
    X.flags.writeable = False
    for rows in (X, X[::-2], X[:, ::2]):
        found = find_distinct(rows, MUCH)
        np.testing.assert_array_equal(rows[found.first][found.owner], rows)


def test_missing_cells_are_equal():
    X = np.array([[np.nan, 1.0], [0.0, 1.0], [np.nan, 1.0]] * 5)
    assert find_distinct(X, MUCH).first.tolist() == [0, 1]


def test_it_is_left_where_it_does_not_pay():
    equal, different = np.zeros((100, 8)), np.arange(800.0).reshape(100, 8)
    assert find_distinct(equal, MUCH) is not None
    assert find_distinct(equal, 10) is None  # the circuit is too small
    assert find_distinct(different, MUCH) is None
    assert find_distinct(equal[:1], MUCH) is None
    assert find_distinct(equal[:0], MUCH) is None


@pytest.mark.parametrize("name", ["tree", "kronecker", "hmm", "wide"])
@pytest.mark.parametrize("weighted", [False, True])
def test_only_time_changes(name, weighted, monkeypatch):
    monkeypatch.setattr(distinct, "WEIGHTS_OF_WORD", 0)
    monkeypatch.setattr(sharing, "CHUNK_ROWS", 64)  # more rows are not one chunk
    parameters = reference.make(name)
    rng = np.random.default_rng(0)
    X = reference.random_rows(parameters.program.circuit, rng, 40)[rng.integers(0, 40, 400)]
    weight = rng.random(400) if weighted else None
    backend = NumbaBackend(parameters.program, np.float64)
    used = []

    def watched(*args):
        used.append(find_distinct(*args))
        return used[-1]

    for module in (engine, learning):
        monkeypatch.setattr(module, "find_distinct", watched)
    scores, merged = (
        backend.log_likelihood(parameters, X),
        backend.statistics(parameters, X, weight),
    )
    assert len(used) == 2 and all(len(one.first) <= 40 for one in used)
    for module in (engine, learning):
        monkeypatch.setattr(module, "find_distinct", lambda *args: None)
    assert scores.tobytes() == backend.log_likelihood(parameters, X).tobytes()
    single = backend.statistics(parameters, X, weight)
    assert merged.weight == pytest.approx(single.weight, rel=1e-14)
    assert merged.log_likelihood == pytest.approx(single.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(merged.flows, single.flows, rtol=1e-10, atol=1e-12)
    for mine, other in zip(merged.leaves, single.leaves, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "f2", "f4", ">f8", "g", "O"])
def test_merged_rows_are_those_that_are_computed_alone(dtype, monkeypatch):
    parameters = reference.make("tree")
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (300, 5)).astype(dtype)
    weight = rng.random(300)
    backend = NumbaBackend(parameters.program, np.float64)
    alone = backend.log_likelihood(parameters, X), backend.statistics(parameters, X, weight)
    monkeypatch.setattr(distinct, "WEIGHTS_OF_WORD", 0)
    if dtype not in "Og":  # long doubles have bytes without a meaning
        assert find_distinct(X, 0) is not None
    merged = backend.log_likelihood(parameters, X), backend.statistics(parameters, X, weight)
    np.testing.assert_array_equal(merged[0], alone[0])
    np.testing.assert_allclose(merged[1].flows, alone[1].flows, rtol=1e-12)
    np.testing.assert_allclose(merged[1].leaves[0], alone[1].leaves[0], rtol=1e-12)
    assert merged[1].weight == pytest.approx(alone[1].weight, rel=1e-14)
