"""The slow path against brute force, including where everything else underflows."""

import numpy as np
import pytest

from skpc.backends import log_domain
from tests import reference


def assert_same(actual, expected):
    np.testing.assert_allclose(actual.log_likelihood, expected.log_likelihood, rtol=1e-12)
    assert actual.weight == expected.weight
    np.testing.assert_allclose(actual.flows, expected.flows, rtol=1e-10, atol=1e-13)
    for mine, true in zip(actual.leaves, expected.leaves, strict=True):
        np.testing.assert_allclose(mine, true, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("zero_fraction", [0.0, 0.4])
@pytest.mark.parametrize("name", reference.CIRCUITS)
def test_values_and_statistics(name, zero_fraction):
    parameters = reference.make(name, zero_fraction=zero_fraction)
    rng = np.random.default_rng(1)
    X = reference.random_rows(parameters.program.circuit, rng, 25)
    expected = reference.log_likelihood(parameters, X)
    np.testing.assert_allclose(
        log_domain.log_likelihood(parameters, X), expected, rtol=1e-12, atol=1e-12
    )
    X, weight = X[np.isfinite(expected)], rng.random(np.isfinite(expected).sum())
    assert_same(
        log_domain.statistics(parameters, X, weight), reference.statistics(parameters, X, weight)
    )


def test_chunks_of_rows_change_nothing(monkeypatch):
    parameters = reference.make("kronecker")
    X = reference.random_rows(parameters.program.circuit, np.random.default_rng(1), 23)
    whole, values = log_domain.statistics(parameters, X), log_domain.log_likelihood(parameters, X)
    monkeypatch.setattr(log_domain, "CHUNK", 200)
    assert_same(log_domain.statistics(parameters, X), whole)
    np.testing.assert_array_equal(log_domain.log_likelihood(parameters, X), values)


def test_impossible_rows_have_no_flow_and_rows_of_weight_zero_are_absent():
    parameters = reference.make("tree")
    parameters.leaves[0][:3] = 0.0
    X = np.zeros((3, 5))
    X[0, 0] = 1.0
    actual = log_domain.statistics(parameters, X)
    expected = reference.statistics(parameters, X[1:])
    assert actual.log_likelihood == -np.inf
    np.testing.assert_allclose(actual.flows, expected.flows, rtol=1e-10)
    np.testing.assert_allclose(actual.leaves[0], expected.leaves[0], rtol=1e-10)
    without = log_domain.statistics(parameters, X, np.array([0.0, 1.0, 1.0]))
    assert_same(without, expected)


def test_probabilities_far_below_the_smallest_number():
    parameters = reference.make("tree")
    parameters.leaves[0][:] = 1e-300
    X = np.ones((2, 5))
    actual = log_domain.log_likelihood(parameters, X)
    np.testing.assert_allclose(actual, 5 * np.log(1e-300), rtol=1e-12)
    assert_same(log_domain.statistics(parameters, X), reference.statistics(parameters, X))


def test_no_rows():
    parameters = reference.make("tree")
    X = np.zeros((0, 5))
    assert log_domain.log_likelihood(parameters, X).shape == (0,)
    assert log_domain.statistics(parameters, X).weight == 0
