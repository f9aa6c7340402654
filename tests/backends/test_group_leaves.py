"""Leaves over groups of columns in the engine: against float64 logarithms."""

import numpy as np
import pytest

from skpc.backends import log_domain
from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Circuit, Input, Product, Program, Sum
from skpc.circuit.serialise import circuit_from_arrays, circuit_to_arrays
from skpc.distributions import Bernoulli, Gaussian, MultivariateGaussian
from skpc.inference import sample
from skpc.training import initial_parameters, leaf_priors
from tests.backends.kinds import KINDS, each


def mixed_circuit(k=5):
    pair, triple = MultivariateGaussian(2), MultivariateGaussian(3)
    below = Product([Input((1, 3, 4), triple, k), Sum(Input(5, Bernoulli(), k), k)])
    top = Product([Input((0, 2), pair, k), Sum(below, k), Input(6, Gaussian(), k)])
    return Circuit(Sum(top))


def shared_circuit():
    """A leaf below two sums, one below two products, and two that share their parameters."""
    pair = MultivariateGaussian(2)
    a, b = Input((0, 1), pair, 2), Input((2, 3), pair, 2)
    tied = Input((4, 5), pair, 2, share=b)
    one, two = Product([Sum(a, 2), b]), Product([Sum(a, 2), b])
    return Circuit(Sum(Product([Sum([one, two], 2), tied])))


@pytest.fixture(scope="module", params=[mixed_circuit, shared_circuit], ids=["mixed", "shared"])
def problem(request):
    circuit = request.param()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, circuit.n_variables))
    if circuit.n_variables == 7:
        X[:, 5] = X[:, 5] > 0
    X[rng.random(X.shape) < 0.2] = np.nan
    X[:3] = np.nan
    program = Program(circuit)
    parameters = initial_parameters(program, "random", leaf_priors(program, X), rng)
    return parameters, X, rng.random(300)


@pytest.mark.parametrize("kind", each(KINDS))
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_values_and_statistics_are_those_of_logarithms(problem, kind, dtype, tolerance):
    parameters, X, weight = problem
    backend = KINDS[kind](parameters.program, dtype, 2)
    np.testing.assert_allclose(
        backend.log_likelihood(parameters, X), log_domain.log_likelihood(parameters, X),
        rtol=tolerance, atol=tolerance,
    )  # fmt: skip
    found, expected = (
        b(parameters, X, weight) for b in (backend.statistics, log_domain.statistics)
    )
    np.testing.assert_allclose(found.flows, expected.flows, rtol=tolerance, atol=tolerance)
    for one, other in zip(found.leaves, expected.leaves, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_threads_and_neighbours_change_no_bit(problem, dtype):
    parameters, X, weight = problem
    one, two = (NumbaBackend(parameters.program, dtype, n) for n in (1, 2))
    whole = one.log_likelihood(parameters, X)
    np.testing.assert_array_equal(two.log_likelihood(parameters, X), whole)
    np.testing.assert_array_equal(one.log_likelihood(parameters, X[40:41]), whole[40:41])
    np.testing.assert_array_equal(
        one.statistics(parameters, X, weight).leaves[0],
        two.statistics(parameters, X, weight).leaves[0],
    )


@pytest.mark.parametrize("kind", each(KINDS))
def test_far_rows_are_finite(problem, kind):
    parameters, X, _ = problem
    far = np.zeros((3, X.shape[1]))
    far[:, 0], far[:, 1] = 1e30, -1e30
    far[1] *= -1
    backend = KINDS[kind](parameters.program, np.float32)
    scores = backend.log_likelihood(parameters, far)
    assert np.isfinite(scores).all()
    statistics = backend.statistics(parameters, far)
    assert np.isfinite(statistics.flows).all()
    assert np.isfinite(statistics.leaves[0]).all()


def test_a_file_keeps_the_columns_of_groups(problem):
    circuit = problem[0].program.circuit
    again = circuit_from_arrays(*circuit_to_arrays(circuit))
    assert [leaf.variables for leaf in again.inputs] == [leaf.variables for leaf in circuit.inputs]
    assert repr(again) == repr(circuit)


def test_samples_fill_the_columns(problem):
    S = sample(problem[0], 4000, np.random.default_rng(0))
    assert np.isfinite(S).all()
    seen = problem[1][:, 0]
    assert S[:, 0].mean() == pytest.approx(np.nanmean(seen), abs=3)


@pytest.mark.parametrize(("variables", "family", "message"), [
    ((0, 1), Gaussian(), r"\(0, 1\) are 2 columns, but Gaussian.* distribution of 1"),
    (0, MultivariateGaussian(2), "0 are 1 columns, but MultivariateGaussian.* of 2"),
    ((3, 3), MultivariateGaussian(2), r"\(3, 3\) names a column twice"),
])  # fmt: skip
def test_columns_that_do_not_fit_the_family(variables, family, message):
    with pytest.raises(ValueError, match=message):
        Input(variables, family)
