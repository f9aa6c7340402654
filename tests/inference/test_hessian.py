"""The whole Hessian against brute force: p is linear in each weight, so steps of one are exact."""

import numpy as np
import pytest

from skpc.circuit import Circuit, Input, Product, Sum
from skpc.distributions import Bernoulli, Categorical
from skpc.inference import hessian_spectrum, tree_hessian
from tests import reference
from tests.backends.test_curvature import brute_hessians


def leaf(variable, n_units=1):
    return Input(variable, Bernoulli(), n_units)


def mixture():
    return Circuit(Sum(Product([leaf(0, 4), leaf(1, 4), leaf(2, 4)])))


def by_hand():
    """Sums below products below sums, a chain of sums, and a leaf with two parents."""
    shared = leaf(3)
    pair = Sum([Product([leaf(1), leaf(2)]), Product([leaf(1), leaf(2)])])
    left = Product([Sum([leaf(0), leaf(0)]), pair, shared])
    chain = Sum([Sum([leaf(0), leaf(0), leaf(0)])])
    right = Product([chain, Sum([leaf(1), leaf(1)]), leaf(2), shared])
    return Circuit(Sum([left, right]))


def mixed():
    a, b = Input(0, Categorical(3), 3), leaf(1, 3)
    parts = [Product([a, b]), Product([Input(0, Categorical(3), 3), leaf(1, 3)])]
    return Circuit(Sum(Sum(parts, 3, kind="mixing")))


@pytest.mark.parametrize("make", [mixture, by_hand, mixed])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_brute_one(make, weighted):
    parameters = reference.make(make(), seed=4)
    circuit = parameters.program.circuit
    X = reference.random_rows(circuit, np.random.default_rng(1), 5)
    weight = np.array([1.0, 0.0, 2.0, 0.5, 1.0]) if weighted else None
    hessians, _ = brute_hessians(parameters, X)
    expected = np.average(hessians, axis=0, weights=weight)
    actual = tree_hessian(parameters, X, weight)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(
        hessian_spectrum(parameters, X, weight), np.linalg.eigvalsh(expected), atol=1e-8
    )


@pytest.mark.parametrize("name", ["tree", "dag", "kronecker", "hmm"])
def test_circuits_that_are_not_trees_are_refused_with_the_reason(name):
    parameters = reference.make(name)
    X = np.zeros((1, parameters.program.n_variables))
    with pytest.raises(ValueError, match="parents|Kronecker|shared weights"):
        tree_hessian(parameters, X)


def test_a_matrix_too_large_is_refused(monkeypatch):
    monkeypatch.setattr("skpc.inference.hessian.MOST_WEIGHTS", 3)
    parameters = reference.make(mixture())
    with pytest.raises(ValueError, match="4 weights; their Hessian is computed for at most 3"):
        tree_hessian(parameters, np.zeros((1, 3)))
