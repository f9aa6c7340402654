import numpy as np
import pytest
from scipy import stats

from skpc.distributions import Gaussian

LOCATION = np.array([-2.0, 0.0, 1.5])
SCALE = np.array([0.05, 1.0, 30.0])
MEAN = np.stack([LOCATION, LOCATION**2 + SCALE**2], axis=1)
EXTREME = np.array([1e30, -1e30, 1e150, 1e300, -1e300, np.finfo(float).max, np.inf])


def test_matches_scipy():
    x = np.linspace(-50, 50, 101)
    expected = stats.norm.logpdf(x, LOCATION[:, None], SCALE[:, None])
    np.testing.assert_allclose(Gaussian().log_density(MEAN, x), expected, rtol=1e-10)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("floor", [1e-300, 1e-3])
def test_extreme_values_stay_finite(floor):
    family = Gaussian(variance_floor=floor)
    point = family.project([[0.0, 0.0]])
    means = np.concatenate([MEAN, point, family.project([[1e150, 0.0]])])
    log_density = family.log_density(means, EXTREME)
    assert np.isfinite(log_density).all()
    assert (log_density[:-1] < -1e50).all()
    statistics = family.statistics(EXTREME)
    assert np.isfinite(statistics).all()
    assert np.isfinite(statistics.sum(axis=1) * 1e6).all()
    assert family.log_density(MEAN[1], [1e30]) == pytest.approx(-0.5e60)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("x", [EXTREME[:6], [1e300] * 5, [1e300], [0.0, 1e30]])
def test_moments_of_extreme_columns_stay_finite(x):
    family = Gaussian()
    prior = family.moments_prior(x, np.full(len(x), 1e5))
    start = family.random_mean(prior, 4, np.random.default_rng(0))
    assert np.isfinite(prior).all()
    assert np.isfinite(start).all()
    assert np.isfinite(family.log_density(start, x)).all()


def test_moments_are_those_of_the_column():
    x = np.random.default_rng(0).normal(3, 2, 50)
    weight = np.random.default_rng(1).random(50)
    family = Gaussian()
    plain = family.moments_prior(x, weight, pseudocount=0)
    average = np.average(x, weights=weight)
    variance = np.average((x - average) ** 2, weights=weight)
    np.testing.assert_allclose(family.expectation(plain), average)
    np.testing.assert_allclose(family.variance(plain), variance)
    mixed = family.moments_prior(x, weight)
    np.testing.assert_allclose(family.expectation(mixed), average)
    rows = weight.sum()
    np.testing.assert_allclose(family.variance(mixed), (rows * variance + 1) / (rows + 1))


def test_floor_holds_for_updates_and_queries():
    family = Gaussian(variance_floor=0.25)
    collapsed = np.array([[2.0, 4.0], [2.0, 3.0]])
    np.testing.assert_array_equal(family.project(collapsed), [[2, 4.25], [2, 4.25]])
    np.testing.assert_array_equal(family.variance(collapsed), 0.25)
    np.testing.assert_allclose(
        family.log_density(collapsed, [2.0])[:, 0], stats.norm.logpdf(0, 0, 0.5)
    )
    np.testing.assert_allclose(family.from_unconstrained([2.0, -40.0]), [2, 4.25])
    assert family.variance(family.moments_prior([5.0], pseudocount=0)) == 0.25
    flow, flow_statistics = np.array([3.0, 3.0]), np.array([[5.0, 9.0], [5.0, 9.0]])
    np.testing.assert_allclose(
        family.unconstrained_gradient(collapsed, flow, flow_statistics),
        family.unconstrained_gradient(family.project(collapsed), flow, flow_statistics),
    )


@pytest.mark.filterwarnings("error")
def test_wild_coordinates_lead_to_a_finite_member():
    mean = Gaussian().from_unconstrained([[1e300, 0.0], [0.0, 1e5], [0.0, -1e5]])
    assert np.isfinite(mean).all()


@pytest.mark.filterwarnings("error")
def test_distant_members_have_finite_parameters_and_divergence():
    family = Gaussian(variance_floor=1e-20)
    near, far = family.project([0.0, 0.0]), family.project([1e150, 0.0])
    assert np.isfinite(family.kl(near, far))
    assert np.isfinite(family.kl(far, near))
    standard = Gaussian(variance_floor=1e-5)
    natural = standard.natural_parameters(standard.project([1e150, 0.0]))
    assert np.isfinite(standard.log_partition(natural))


def test_kl_of_distant_scales():
    family = Gaussian(variance_floor=1e-20)
    p, q = np.array([0.0, 1e-20]), np.array([0.0, 1.0])
    assert family.kl(p, q) == pytest.approx(0.5 * (-1 + np.log(1e20)))


def test_starts_follow_the_marginal():
    family = Gaussian()
    start = family.random_mean([2.0, 4.0 + 9.0], 4000, np.random.default_rng(0), spread=0.1)
    location = family.expectation(start)
    assert location.mean() == pytest.approx(2, abs=0.2)
    assert location.std() == pytest.approx(3, rel=0.05)
    np.testing.assert_allclose(family.variance(start), 0.9)


@pytest.mark.parametrize("floor", [0.0, -1.0, np.nan, np.inf])
def test_impossible_floors_are_refused(floor):
    with pytest.raises(ValueError, match="variance_floor must be positive"):
        Gaussian(variance_floor=floor)
