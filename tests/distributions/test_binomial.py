import numpy as np
import pytest
from scipy import stats

from skpc.distributions import Bernoulli, Binomial

SHARE = np.array([[0.0], [1e-12], [0.2], [0.5], [0.97], [1.0]])
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


@pytest.mark.parametrize("n_trials", [1, 2, 25, 1000])
def test_matches_scipy(n_trials):
    x = np.arange(n_trials + 1)
    family = Binomial(n_trials)
    expected = stats.binom.logpmf(x, n_trials, SHARE)
    # The binomial coefficient is a difference of log-gammas: 1000 log 1000 has 12 digits left.
    np.testing.assert_allclose(
        family.log_density(n_trials * SHARE, x), expected, rtol=1e-10, atol=1e-11
    )
    np.testing.assert_allclose(family.probabilities(n_trials * SHARE).sum(axis=1), 1, rtol=1e-11)
    np.testing.assert_allclose(
        family.variance(n_trials * SHARE), n_trials * (SHARE * (1 - SHARE))[:, 0], rtol=1e-12
    )


def test_one_trial_is_bernoulli():
    x = [0, 1, np.nan, 2]
    np.testing.assert_allclose(
        Binomial(1).log_density(SHARE, x), Bernoulli().log_density(SHARE, x), rtol=1e-12, atol=1e-15
    )


def test_probabilities_that_underflow_have_finite_logarithms():
    log_density = Binomial(1000).log_density([1.0], [1000.0])
    assert log_density == pytest.approx(-1000 * np.log(1000), rel=1e-12)


def test_certain_members_survive_every_map():
    family, certain = Binomial(4), np.array([[0.0], [4.0]])
    np.testing.assert_array_equal(family.project(certain), certain)
    np.testing.assert_array_equal(
        family.from_unconstrained(family.to_unconstrained(certain)), certain
    )
    np.testing.assert_array_equal(family.mode(certain), [0, 4])
    np.testing.assert_array_equal(family.kl(certain, certain), 0)
    assert np.isfinite(family.random_mean(certain[0], 9, np.random.default_rng(0))).all()


@pytest.mark.parametrize("value", [5.0, -1.0, 0.5])
def test_outside_the_support(value):
    family = Binomial(4)
    assert np.isneginf(family.log_density([2.0], [value])).all()
    assert np.isneginf(family.log_base_measure([value])).all()
    assert (family.statistics([value]) == 0).all()
    with pytest.raises(ValueError, match=f"first {value} at position 0.*the whole numbers 0 to 4"):
        family.validate([value])


@pytest.mark.parametrize(("n_trials", "error"), [(0, ValueError), (2.5, TypeError)])
def test_impossible_sizes_are_refused(n_trials, error):
    with pytest.raises(error):
        Binomial(n_trials)
