import numpy as np
import pytest
from scipy import stats

from skpc.distributions import Beta

SHAPES = np.array([[0.05, 0.07], [0.5, 3.0], [1.0, 1.0], [2.0, 1.0], [30.0, 4.0], [800.0, 9000.0]])
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def test_matches_scipy():
    family, (a, b) = Beta(), SHAPES.T[:, :, None]
    mean = family.mean_parameters(SHAPES)
    x = np.concatenate([[1e-6, 1e-4], np.linspace(0.01, 0.99, 50), [1 - 1e-6]])
    np.testing.assert_allclose(
        family.log_density(mean, x), stats.beta.logpdf(x, a, b), rtol=1e-10, atol=1e-9
    )
    np.testing.assert_allclose(family.expectation(mean), stats.beta.mean(*SHAPES.T), rtol=1e-9)
    np.testing.assert_allclose(family.variance(mean), stats.beta.var(*SHAPES.T), rtol=1e-9)


def test_newton_inverts_digamma_over_extreme_shapes():
    log_shapes = np.random.default_rng(0).uniform(np.log(2e-3), np.log(5e4), (3000, 2))
    family = Beta(variance_floor=1e-9)
    mean = family.mean_parameters(np.exp(log_shapes))
    natural = family.natural_parameters(mean)
    # E[log x] of a share close to 1 is as small as 1e-6, and itself only exact to 1e-15.
    np.testing.assert_allclose(natural, np.exp(log_shapes), rtol=1e-7)
    np.testing.assert_allclose(family.mean_parameters(natural), mean, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("floor", [1e-9, 1e-5, 0.1])
def test_newton_converges_all_over_the_admissible_set(floor):
    family = Beta(variance_floor=floor)
    side = np.concatenate([[-1e3, -300.0], -np.logspace(2, -12, 30), [0.0]])
    mean = family.project(np.stack(np.meshgrid(side, side), axis=-1))
    np.testing.assert_array_equal(family.project(mean), mean)
    natural = family.natural_parameters(mean)
    np.testing.assert_allclose(family.mean_parameters(natural), mean, rtol=1e-10, atol=1e-13)
    assert natural.sum(axis=-1).max() == pytest.approx(1 / floor, rel=0.1)


def test_cells_at_the_ends_count_as_cells_at_the_margin():
    family = Beta(margin=1e-3)
    x = np.array([0.0, 1e-4, 1.0, 1 - 1e-4])
    inside = np.array([1e-3, 1e-3, 1 - 1e-3, 1 - 1e-3])
    mean = family.mean_parameters(SHAPES)
    np.testing.assert_array_equal(family.log_density(mean, x), family.log_density(mean, inside))
    np.testing.assert_array_equal(family.statistics(x), family.statistics(inside))
    family.validate(x)


@pytest.mark.parametrize("value", [-1e-9, 1.0000001, -np.inf, 1e300])
def test_outside_the_support(value):
    family = Beta()
    assert np.isneginf(family.log_density(family.uniform_prior(), [value])).all()
    assert (family.statistics([value]) == 0).all()
    with pytest.raises(ValueError, match="at position 1.*the numbers from 0 to 1"):
        family.validate([0.5, value])


@pytest.mark.parametrize("value", [0.0, 1e-7, 0.3, 1.0])
def test_a_constant_column_has_a_narrow_member(value):
    family = Beta()
    prior = family.moments_prior(np.full(50, value), pseudocount=0)
    nearest = np.clip(value, 1e-6, 1 - 1e-6)
    assert family.expectation(prior) == pytest.approx(nearest, abs=6e-6)
    assert family.variance(prior) < 1.1e-5
    assert np.isfinite(family.log_density(prior, [0.0, value, 1.0])).all()


@pytest.mark.parametrize(
    ("shapes", "mode"),
    [((3.0, 2.0), 2 / 3), ((1.0, 1.0), 0), ((0.5, 0.5), 0), ((0.9, 0.5), 1), ((2.0, 1.0), 1)],
)
def test_modes(shapes, mode):
    family = Beta()
    found = family.mode(family.mean_parameters(shapes))
    assert found == pytest.approx(np.clip(mode, 1e-6, 1 - 1e-6), rel=1e-9)


def test_wild_coordinates_lead_to_a_member():
    family = Beta()
    mean = family.from_unconstrained([[1e300, 0.0], [-1e300, 0.0], [1e300, 1e300], [-90.0, -90.0]])
    np.testing.assert_array_equal(family.project(mean), mean)
    assert np.isfinite(family.natural_parameters(mean)).all()


@pytest.mark.parametrize("field", ["margin", "variance_floor"])
@pytest.mark.parametrize("value", [0.0, -1.0, 0.5, np.nan])
def test_impossible_fields_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} must lie between"):
        Beta(**{field: value})
