import numpy as np
import pytest
from scipy import stats

from skpc.distributions import Gaussian, LogNormal

LOCATION = np.array([-2.0, 0.0, 1.5, 20.0])
SCALE = np.array([0.05, 1.0, 4.0, 0.5])
MEAN = np.stack([LOCATION, LOCATION**2 + SCALE**2], axis=1)
EXTREME = np.array([5e-324, 1e-300, 1e300, np.finfo(float).max])
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def test_matches_scipy():
    x = np.exp(np.linspace(-30, 30, 61))
    family, reference = LogNormal(), stats.lognorm(SCALE[:, None], scale=np.exp(LOCATION[:, None]))
    np.testing.assert_allclose(family.log_density(MEAN, x), reference.logpdf(x), rtol=1e-10)
    np.testing.assert_allclose(family.expectation(MEAN), reference.mean()[:, 0], rtol=1e-10)
    np.testing.assert_allclose(family.variance(MEAN), reference.var()[:, 0], rtol=1e-10)


def test_parameters_are_those_of_the_logarithm():
    x = np.exp(np.random.default_rng(0).normal(3, 2, 50))
    weight = np.random.default_rng(1).random(50)
    np.testing.assert_array_equal(
        LogNormal(0.1).moments_prior(x, weight), Gaussian(0.1).moments_prior(np.log(x), weight)
    )
    np.testing.assert_array_equal(LogNormal().project([[3.0, 0.0]]), [[3.0, 9.001]])


@pytest.mark.parametrize("value", [0.0, -0.0, -1.0, -np.inf, np.inf])
def test_outside_the_support(value):
    family = LogNormal()
    assert np.isneginf(family.log_density(MEAN, [value])).all()
    assert np.isneginf(family.log_base_measure([value])).all()
    assert (family.statistics([value]) == 0).all()
    np.testing.assert_array_equal(
        family.moments_prior([value, 2.0, np.nan]), family.moments_prior([2.0])
    )
    with pytest.raises(ValueError, match="at position 1.*finite numbers above 0"):
        family.validate([1.0, value])


def test_extreme_values_stay_finite():
    family = LogNormal()
    assert np.isfinite(family.log_density(MEAN, EXTREME)).all()
    assert np.isfinite(family.statistics(EXTREME)).all()
    prior = family.moments_prior(EXTREME)
    wild = np.array([prior, [1e3, 1e6 + 1e3], [-1e3, 1e6 + 1e3], [0.0, 1e300]])
    for method in (family.expectation, family.variance, family.mode):
        assert np.isfinite(method(wild)).all()
    family.validate(family.sample(wild.repeat(50, axis=0), np.random.default_rng(0)))


@pytest.mark.parametrize("floor", [0.0, -1.0, np.nan, np.inf])
def test_impossible_floors_are_refused(floor):
    with pytest.raises(ValueError, match="variance_floor must be positive"):
        LogNormal(variance_floor=floor)
