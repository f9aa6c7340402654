"""Equal rows, computed once: what is merged, and that it changes nothing that is told."""

import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend, distinct
from skpc.backends.numba_cpu.distinct import find_distinct
from tests import reference

MUCH = 1 << 30


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "f2", "f4", ">f8", "g", "O"])
def test_merged_rows_are_those_that_are_computed_alone(dtype, monkeypatch):
    parameters = reference.make("tree")
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (300, 5)).astype(dtype)
    weight = rng.random(300)
    backend = NumbaBackend(parameters.program, np.float64)
    alone = backend.log_likelihood(parameters, X), backend.statistics(parameters, X, weight)
    monkeypatch.setattr(distinct, "WEIGHTS_OF_WORD", 0)
    if dtype != "O":
        assert find_distinct(X, 0) is not None
    merged = backend.log_likelihood(parameters, X), backend.statistics(parameters, X, weight)
    np.testing.assert_array_equal(merged[0], alone[0])
    np.testing.assert_allclose(merged[1].flows, alone[1].flows, rtol=1e-12)
    np.testing.assert_allclose(merged[1].leaves[0], alone[1].leaves[0], rtol=1e-12)
    assert merged[1].weight == pytest.approx(alone[1].weight, rel=1e-14)


@pytest.mark.parametrize(("dtype", "width"), [("u1", 1), ("u1", 9), ("f4", 3), ("f8", 2)])
def test_rows_are_numbered_as_they_are_met(dtype, width):
    X = np.random.default_rng(1).integers(0, 2, (100, width)).astype(dtype)
    X[50:] = X[:50]
    found = find_distinct(X, MUCH)
    seen = list(dict.fromkeys(map(bytes, X)))
    assert [bytes(X[i]) for i in found.first] == seen
    assert [seen[i] for i in found.owner] == list(map(bytes, X))
    np.testing.assert_array_equal(found.weights(None), np.bincount(found.owner))


def test_different_rows_and_small_circuits_are_left():
    X = np.arange(100.0)[:, None]
    assert find_distinct(X, MUCH) is None
    assert find_distinct(X % 2, 1) is None
    assert find_distinct(X[:1], MUCH) is None
