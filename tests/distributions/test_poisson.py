import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from skpc import PCDensityEstimator
from skpc.circuit import Circuit, Input, Sum
from skpc.distributions import Poisson

RATE = np.array([[1e-6], [0.3], [1.0], [2.5], [40.0]])
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def test_matches_scipy():
    x = np.arange(60)
    expected = stats.poisson.logpmf(x, RATE)
    np.testing.assert_allclose(Poisson().log_density(RATE, x), expected, rtol=1e-10, atol=1e-14)


def test_large_counts_are_finite_and_exact_to_their_digits():
    x = np.array([1e9, 1e12])
    np.testing.assert_allclose(
        Poisson().log_density(x[:, None], x), stats.poisson.logpmf(x, x[:, None]), rtol=1e-5
    )
    beyond = np.array([2.0**53, 1e17, 1e300])
    log_density = Poisson().log_density(RATE, beyond)
    assert np.isfinite(log_density).all()
    np.testing.assert_array_equal(log_density[:, 1:], log_density[:, :1].repeat(2, axis=1))
    prior = Poisson().moments_prior(beyond, np.full(3, 1e6))
    assert np.isfinite(Poisson().log_density(prior, beyond)).all()
    assert np.isfinite(Poisson().sample(np.array([prior]), np.random.default_rng(0))).all()


@pytest.mark.parametrize("value", [-1.0, 0.5, -0.5])
def test_outside_the_support(value):
    assert np.isneginf(Poisson().log_density(RATE, [value])).all()
    assert (Poisson().statistics([value]) == 0).all()
    with pytest.raises(ValueError, match=f"first {value} at position 1.*whole numbers from 0"):
        Poisson().validate([2, value])


def test_a_unit_left_with_zeros_can_still_see_a_count():
    family = Poisson(rate_floor=1e-3)
    zeros = family.moments_prior(np.zeros(10), pseudocount=0)
    assert zeros == 1e-3
    assert family.log_density(zeros, [1.0]) == pytest.approx(np.log(1e-3) - 1e-3)
    np.testing.assert_array_equal(family.project([[-3.0], [0.0], [np.inf]])[:2], 1e-3)


@pytest.mark.parametrize("rate", [0.2, 1.0, 3.0, 3.5])
def test_mode_is_the_smallest_of_equals(rate):
    x = np.arange(20)
    assert Poisson().mode([rate]) == np.argmax(stats.poisson.pmf(x, rate).round(14))


@pytest.mark.parametrize("floor", [0.0, -1.0, 1.0, np.nan])
def test_impossible_floors_are_refused(floor):
    with pytest.raises(ValueError, match="rate_floor must lie between 0 and 1"):
        Poisson(rate_floor=floor)


def test_a_fitted_mixture_scores_as_scipy_does():
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.choice([1.0, 8.0, 30.0], 400)).astype(float)
    circuit = Circuit(Sum(Input(0, Poisson(), 3)))
    model = PCDensityEstimator(structure=circuit, random_state=0, dtype="float64", max_iter=40)
    model.fit(x[:, None])
    rates, weights = model.parameters_.leaves[0], model.parameters_.weights
    cells = np.array([0.0, 1.0, 7.0, 33.0, 200.0, 1e6])
    expected = logsumexp(stats.poisson.logpmf(cells, rates) + np.log(weights)[:, None], axis=0)
    np.testing.assert_allclose(model.score_samples(cells[:, None]), expected, rtol=1e-8)
    with_gaps = np.array([[np.nan], [-1.0], [0.5]])
    np.testing.assert_array_equal(model.score_samples(with_gaps).round(12), [0, -np.inf, -np.inf])
    assert model.score(x[:, None]) > stats.poisson.logpmf(x, x.mean()).mean() + 1
    np.testing.assert_allclose(np.sort(rates[:, 0]), [1, 8, 30], rtol=0.2)
