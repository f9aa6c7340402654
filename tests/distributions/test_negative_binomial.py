import numpy as np
import pytest
from scipy import stats

from skpc.distributions import NegativeBinomial, Poisson

RATE = np.array([[1e-6], [0.3], [1.0], [2.5], [40.0], [1e4]])
SIZES = [0.05, 1.0, 7.5, 999.0, 1e3, 1e5]
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


@pytest.mark.parametrize("size", SIZES)
def test_matches_scipy(size):
    x, rate = np.arange(80), RATE[1:]
    expected = stats.nbinom.logpmf(x, size, size / (size + rate))
    log_density = NegativeBinomial(size).log_density(rate, x)
    np.testing.assert_allclose(log_density, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", SIZES)
def test_matches_the_product_of_its_factors(size):
    """scipy's probability 1 - p of a failure has few digits where the rate is small."""
    x = np.arange(80)
    factors = np.log1p(np.arange(79) / size) - np.log(np.arange(1, 80))
    expected = np.concatenate([[0.0], factors.cumsum()]) + x * np.log(RATE)
    expected -= (x + size) * np.log1p(RATE / size)
    log_density = NegativeBinomial(size).log_density(RATE, x)
    np.testing.assert_allclose(log_density, expected, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize(("size", "digits"), [(1e9, 1e-6), (1e15, 1e-11)])
def test_is_poisson_for_a_large_size(size, digits):
    family, x = NegativeBinomial(size), np.arange(60)
    rate = RATE[:-1]
    np.testing.assert_allclose(
        family.log_density(rate, x), Poisson().log_density(rate, x), rtol=digits, atol=1e-11
    )
    natural = family.natural_parameters(rate)
    np.testing.assert_allclose(natural, np.log(rate), atol=1e-7)
    np.testing.assert_allclose(family.log_partition(natural), rate[:, 0], rtol=digits)


@pytest.mark.parametrize("size", [999.999, 1e3])
def test_both_ways_to_the_base_measure_agree(size):
    """The two sides of the threshold for Stirling's series."""
    x = np.array([0.0, 1.0, 30.0, 1e4, 1e9])
    steps = np.log1p(np.arange(30.0) / size).sum()
    found = NegativeBinomial(size).log_base_measure(x) - Poisson().log_base_measure(x)
    assert found[2] == pytest.approx(steps, rel=1e-9)
    other = NegativeBinomial(999.5).log_base_measure(x) - Poisson().log_base_measure(x)
    np.testing.assert_allclose(found, other, rtol=2e-3, atol=1e-12)


@pytest.mark.parametrize("size", [1e-6, 0.5, 1e3, 1e12])
def test_extreme_values_stay_finite(size):
    family = NegativeBinomial(size)
    means = family.project([[0.0], [1.0], [1e9], [np.inf]])
    x = np.array([0.0, 1e9, 2.0**53, 1e300])
    assert np.isfinite(family.log_density(means, x)).all()
    natural = family.natural_parameters(means)
    assert np.isfinite(family.log_partition(natural)).all()
    assert np.isfinite(family.mean_parameters(natural)).all()
    assert np.isfinite(family.kl(means, means[::-1])).all()
    draws = family.sample(means, np.random.default_rng(0))
    assert np.isfinite(draws).all()
    family.validate(draws)


@pytest.mark.parametrize(("size", "mean"), [(0.5, 3.0), (1.0, 3.0), (3.0, 3.0), (2.5, 40.0)])
def test_mode_is_the_smallest_of_equals(size, mean):
    p = stats.nbinom.pmf(np.arange(60), size, size / (size + mean))
    assert NegativeBinomial(size).mode([mean]) == np.argmax(p.round(14))


def test_size_from_moments():
    family = NegativeBinomial(NegativeBinomial.size_from_moments(4.0, 14.0))
    assert family.size == pytest.approx(1.6)
    assert family.variance([[4.0]]) == pytest.approx(14)
    assert NegativeBinomial.size_from_moments(4.0, 4.0) == pytest.approx(4e6)
    assert NegativeBinomial.size_from_moments(4.0, 1.0) == pytest.approx(4e6)
    assert NegativeBinomial.size_from_moments(0.0, 0.0) == 1
    assert 0 < NegativeBinomial.size_from_moments(1e-12, 1e12) < 1e-5
    assert np.isfinite(NegativeBinomial.size_from_moments(1e300, 1e300))
    for wrong in [(-1.0, 1.0), (1.0, -1.0), (np.nan, 1.0), (1.0, np.inf)]:
        with pytest.raises(ValueError, match="mean and variance must be finite"):
            NegativeBinomial.size_from_moments(*wrong)


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan, np.inf])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(ValueError, match="size must be positive and finite"):
        NegativeBinomial(size)
