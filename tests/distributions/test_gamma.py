import numpy as np
import pytest
from scipy import stats

from skpc.distributions import Gamma

SHAPE = np.array([0.02, 0.5, 1.0, 3.0, 300.0])
RATE = np.array([3.0, 1e-9, 1.0, 1e9, 0.1])
NATURAL = np.stack([SHAPE, -RATE], axis=1)
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def test_matches_scipy():
    family, reference = Gamma(), stats.gamma(SHAPE[:, None], scale=1 / RATE[:, None])
    mean = family.mean_parameters(NATURAL)
    x = np.exp(np.linspace(-30, 30, 61))
    np.testing.assert_allclose(
        family.log_density(mean, x), reference.logpdf(x), rtol=1e-10, atol=1e-9
    )
    np.testing.assert_allclose(family.expectation(mean), reference.mean()[:, 0], rtol=1e-12)
    np.testing.assert_allclose(family.variance(mean), reference.var()[:, 0], rtol=1e-10)


def test_newton_inverts_digamma_over_extreme_shapes():
    rng = np.random.default_rng(0)
    log_shape, log_rate = rng.uniform(np.log(2e-3), np.log(1e6), 3000), rng.uniform(-50, 50, 3000)
    natural = np.stack([np.exp(log_shape), -np.exp(log_rate)], axis=1)
    family = Gamma(variance_floor=1e-9)
    mean = family.mean_parameters(natural)
    found = family.natural_parameters(mean)
    # log E[x] - E[log x] is 1 / (2 k), of logarithms around 50.
    np.testing.assert_allclose(found, natural, rtol=5e-8)
    np.testing.assert_allclose(family.mean_parameters(found), mean, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_priors_and_starts_follow_the_unit_of_the_column(unit):
    x = stats.gamma(2.0).rvs(200, random_state=0)
    family = Gamma()
    plain, scaled = family.moments_prior(x), family.moments_prior(unit * x)
    np.testing.assert_allclose(scaled, [plain[0] + np.log(unit), unit * plain[1]], rtol=1e-10)
    start = family.random_mean(scaled, 8, np.random.default_rng(0))
    again = family.random_mean(plain, 8, np.random.default_rng(0))
    np.testing.assert_allclose(start[:, 1], unit * again[:, 1], rtol=1e-10)


def test_moments_are_those_of_the_column():
    x = np.array([1.0, 2.0, 6.0])
    family = Gamma()
    np.testing.assert_allclose(
        family.moments_prior(x, pseudocount=0), [np.log(12) / 3, 3], rtol=1e-12
    )
    mixed = family.moments_prior(x)
    np.testing.assert_allclose(mixed, [(np.log(12) + np.log(3) - np.euler_gamma) / 4, 3])
    np.testing.assert_array_equal(family.moments_prior([0.0, -1.0, 2.0]), family.moments_prior([2]))


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, -np.inf])
def test_outside_the_support(value):
    family = Gamma()
    assert np.isneginf(family.log_density(family.uniform_prior(), [value])).all()
    assert (family.statistics([value]) == 0).all()
    with pytest.raises(ValueError, match="at position 1.*finite numbers above 0"):
        family.validate([1.0, value])


def test_extreme_values_stay_finite():
    family = Gamma()
    x = np.array([5e-324, 1e-150, 1.0, 1e150, 1e300])
    for column in (x, x[:1], x[-1:]):
        prior = family.moments_prior(column, np.full(len(column), 1e6))
        start = family.random_mean(prior, 4, np.random.default_rng(0))
        for mean in (prior, start):
            assert np.isfinite(family.log_density(mean, x)).all()
            assert np.isfinite(family.natural_parameters(mean)).all()
        family.validate(family.sample(start, np.random.default_rng(0)))
    wild = family.from_unconstrained([[1e300, 0.0], [-1e300, 0.0], [0.0, 1e300], [0.0, -1e300]])
    np.testing.assert_array_equal(family.project(wild), wild)


def test_floor_holds():
    family = Gamma(variance_floor=0.01)
    collapsed = family.moments_prior([7.0] * 5, pseudocount=0)
    assert family.expectation(collapsed) == pytest.approx(7, rel=1e-14)
    assert family.variance(collapsed) == pytest.approx(0.49, rel=0.01)


@pytest.mark.parametrize("floor", [0.0, -1.0, 2.0, np.nan])
def test_impossible_floors_are_refused(floor):
    with pytest.raises(ValueError, match="variance_floor must lie between"):
        Gamma(variance_floor=floor)
