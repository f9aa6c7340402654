import numpy as np
import pytest
from scipy import stats

from skpc.distributions import Bernoulli

P = np.array([0.0, 1e-300, 0.2, 0.5, 1 - 1e-12, 1.0])


def test_matches_scipy():
    expected = stats.bernoulli.logpmf([[0, 1]], P[:, None])
    log_density = Bernoulli().log_density(P[:, None], [0, 1])
    np.testing.assert_allclose(log_density, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(Bernoulli().variance(P[:, None]), P * (1 - P), rtol=1e-9)


@pytest.mark.parametrize("value", [2.0, -1.0, 0.5])
def test_outside_the_support(value):
    assert np.isneginf(Bernoulli().log_density([[0.5]], [value])).all()
    assert (Bernoulli().statistics([value]) == 0).all()
    with pytest.raises(
        ValueError,
        match=rf"x has 2 values that Bernoulli\(\) cannot take \(first {value} at position 2\); "
        "allowed are 0 and 1, and NaN for missing",
    ):
        Bernoulli().validate([0, np.nan, value, 1, value])


def test_position_in_a_table():
    with pytest.raises(ValueError, match=r"at position \(1, 0\)"):
        Bernoulli().validate([[0, 1], [3, 0]])


def test_certain_probabilities_survive_every_map():
    certain = np.array([[0.0], [1.0]])
    family = Bernoulli()
    np.testing.assert_array_equal(family.project(certain), certain)
    np.testing.assert_array_equal(family.to_unconstrained(certain), [[-np.inf], [np.inf]])
    np.testing.assert_array_equal(
        family.from_unconstrained(family.to_unconstrained(certain)), certain
    )
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(family.sample(np.repeat(certain, 500, axis=0), rng)[:500], 0)
    np.testing.assert_array_equal(family.sample(np.repeat(certain, 500, axis=0), rng)[500:], 1)
    np.testing.assert_array_equal(family.kl(certain, certain), 0)
    np.testing.assert_array_equal(family.kl([[0.5]], certain), np.inf)


def test_extreme_logits_do_not_overflow():
    means = Bernoulli().mean_parameters([[-1e300], [-700.0], [700.0], [1e300]])
    np.testing.assert_allclose(means[:, 0], [0, np.exp(-700.0), 1, 1])
    assert Bernoulli().log_partition([1e300]) == 1e300


def test_project_clips():
    np.testing.assert_array_equal(Bernoulli().project([[-0.1], [1.1]]), [[0], [1]])


def test_a_constant_column_leaves_the_other_state_possible():
    assert Bernoulli().moments_prior(np.ones(9)) == pytest.approx(0.95)
    assert Bernoulli().moments_prior(np.ones(9), pseudocount=0) == 1


def test_starts_span_the_documented_range():
    start = Bernoulli().random_mean([0.999], 2000, np.random.default_rng(0), spread=4.0)
    log_ratio = np.abs(np.log(start) - np.log1p(-start))
    assert 3.5 < log_ratio.max() <= 4
    assert start.mean() == pytest.approx(0.5, abs=0.03)
