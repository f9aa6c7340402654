import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend
from skpc.inference import (
    degree_of_overfitting,
    hessian_diagonal,
    hessian_trace,
    sharpness_gradient,
)
from tests import reference


def problem(name="dag"):
    parameters = reference.make(name)
    X = reference.random_rows(parameters.program.circuit, np.random.default_rng(1), 20)
    return NumbaBackend(parameters.program, np.float64, 1), parameters, X


def test_the_trace_is_a_mean_and_the_sum_of_the_diagonal():
    backend, parameters, X = problem()
    trace = hessian_trace(backend, parameters, X)
    assert trace < 0
    assert hessian_diagonal(backend, parameters, X).sum() == pytest.approx(trace)
    twice = hessian_trace(backend, parameters, np.repeat(X, 2, axis=0))
    weighted = hessian_trace(backend, parameters, X, np.full(20, 7.0))
    assert trace == pytest.approx(twice) == pytest.approx(weighted)


def test_rows_without_weight_have_no_curvature():
    backend, parameters, X = problem()
    for rows, weight in ((X[:0], None), (X, np.zeros(len(X)))):
        assert hessian_trace(backend, parameters, rows, weight) == 0


def test_the_gradient_is_the_difference_of_traces():
    backend, parameters, X = problem()
    found = sharpness_gradient(backend, parameters, X)
    assert found.sharpness == pytest.approx(-hessian_trace(backend, parameters, X))
    for a in range(0, parameters.program.n_weights, 5):
        values = []
        for step in (-1e-6, 1e-6):
            other = parameters.copy()
            other.weights[a] += step
            values.append(-hessian_trace(backend, other, X))
        assert (values[1] - values[0]) / 2e-6 == pytest.approx(found.weights[a], rel=1e-5)


def test_shared_weights_are_refused():
    backend, parameters, X = problem("hmm")
    for query in (hessian_trace, hessian_diagonal, sharpness_gradient):
        with pytest.raises(ValueError, match="without shared weights"):
            query(backend, parameters, X)


def test_the_degree_of_overfitting():
    assert degree_of_overfitting(-10.0, -12.0) == pytest.approx(0.2)
    assert degree_of_overfitting(2.0, 1.0) == pytest.approx(0.5)  # densities may exceed one
    with pytest.raises(ValueError, match="train=0"):
        degree_of_overfitting(0, -1.0)
