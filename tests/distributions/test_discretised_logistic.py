import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from skpc.distributions import DiscretisedLogistic

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def admissible_moments(n_states):
    """Moments (n, 2) all over the admissible set, most of them at its edges."""
    last = n_states - 1
    location = np.concatenate([np.linspace(0, last, 15), [1e-6, 1e-3, 0.5, 1.5, last - 1e-3]])
    rest = location - np.floor(location)
    least, greatest = rest * (1 - rest), location * (last - location)
    height = np.array([0, 1e-5, 1e-3, 0.1, 0.5, 0.99, 1])[:, None]
    square = location**2 + least + height * (greatest - least)
    mean = np.stack([np.broadcast_to(location, square.shape), square], axis=-1)
    return DiscretisedLogistic(n_states).project(mean.reshape(-1, 2))


def true_gradient(family, mean, x):
    """Gradient of the mean log-likelihood in the unconstrained coordinates, by differences."""
    at, step = family.to_unconstrained(mean), 1e-5 * np.eye(2)
    ends = family.log_density(family.from_unconstrained(at + np.concatenate([step, -step])), x)
    return (ends.mean(axis=1)[:2] - ends.mean(axis=1)[2:]) / 2e-5


@pytest.mark.parametrize(("location", "scale"), [(3.2, 0.8), (-2.0, 1.5), (9.7, 4.0), (5.0, 0.15)])
def test_is_a_rounded_logistic_variable_with_open_tails(location, scale):
    family = DiscretisedLogistic(10)
    mean = family.from_unconstrained([location, np.log(scale)])
    below = stats.logistic.cdf(np.arange(9) + 0.5, location, scale)
    expected = np.diff(np.concatenate([[0.0], below, [1.0]]))
    np.testing.assert_allclose(family.probabilities(mean), expected, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(family.location_and_scale(mean), [location, scale], rtol=1e-9)


@pytest.mark.parametrize("n_states", [3, 4, 10, 256])
def test_every_admissible_pair_of_moments_has_its_member(n_states):
    family, mean = DiscretisedLogistic(n_states), admissible_moments(n_states)
    np.testing.assert_array_equal(family.project(mean), mean)
    p = family.probabilities(mean)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-13)
    states = np.arange(n_states)
    np.testing.assert_allclose(p @ states, mean[:, 0], rtol=1e-9)
    variance = (p * (states - mean[:, :1]) ** 2).sum(axis=1)
    # E[x²] of states around 255 leaves 1e-11 of their variance to rounding.
    np.testing.assert_allclose(
        variance, mean[:, 1] - mean[:, 0] ** 2, rtol=1e-8, atol=1e-15 * n_states**2
    )
    assert np.isfinite(family.log_probabilities(mean)).all()
    assert np.isfinite(family.to_unconstrained(mean)).all()
    gradient = family.unconstrained_gradient(mean, np.ones(len(mean)), mean + 1e-3)
    assert np.isfinite(gradient).all()


def test_the_variance_covers_its_whole_range():
    family = DiscretisedLogistic(9)
    wanted = family.project([[4.0, 0.0], [4.0, 1e9], [4.5, 0.0], [0.0, 0.0], [99.0, 0.0]])
    variance = wanted[:, 1] - wanted[:, 0] ** 2
    np.testing.assert_allclose(variance[:3], [0.001, 16 * (1 - 1e-4), 0.251])
    p = family.probabilities(wanted)
    assert p[0, 4] > 0.998
    assert p[1, [0, 8]].sum() > 0.999
    assert p[3, 0] > 1 - 1e-5
    assert p[4, 8] > 1 - 1e-5


def test_wild_coordinates_lead_to_a_member():
    wild = [[1e300, 0.0], [-1e300, 0.0], [3.0, 1e5], [3.0, -1e5], [np.inf, np.inf]]
    family = DiscretisedLogistic(9)
    mean = family.from_unconstrained(wild)
    np.testing.assert_allclose(family.probabilities(mean).sum(axis=1), 1)


def test_the_quasi_score_vanishes_where_moments_match():
    family = DiscretisedLogistic(20)
    mean = admissible_moments(20).reshape(2, -1, 2)
    flow = np.full(mean.shape[:-1], 3.0)
    gradient = family.unconstrained_gradient(mean, flow, 3.0 * mean)
    # E[x²] is exact to 1e-13, and narrow members divide by a variance of 1e-6.
    scale = np.abs(family.unconstrained_gradient(mean, flow, 3.0 * mean + 1.0))
    assert (np.abs(gradient) <= 1e-11 * (1 + scale)).all()


@pytest.mark.parametrize(("location", "log_scale"), [(6.3, 0.5), (1.0, 0.0), (15.0, 1.5)])
def test_the_quasi_score_is_the_part_of_the_score_that_the_statistics_see(location, log_scale):
    """Where rows come from a near member, only the other one's first order counts."""
    family = DiscretisedLogistic(20)
    mean = family.from_unconstrained([location, log_scale])
    p, x = family.probabilities(mean), np.arange(20)
    step = 1e-5 * np.eye(2)
    at = family.to_unconstrained(mean)
    score = (
        np.diff(
            family.log_density(
                family.from_unconstrained(np.stack([at - step, at + step], axis=1)), x
            ),
            axis=1,
        )[:, 0]
        / 2e-5
    )
    centred = (family.statistics(x) - mean[:, None]) * p
    covariance = centred @ family.statistics(x).T
    weights = np.linalg.solve(covariance, centred @ score.T)
    flow = np.random.default_rng(0).random(20)
    observed = family.statistics(x) @ flow
    np.testing.assert_allclose(
        family.unconstrained_gradient(mean, flow.sum(), observed),
        weights.T @ (observed - flow.sum() * mean),
        rtol=1e-5,
    )


def test_the_quasi_score_climbs():
    rng = np.random.default_rng(0)
    family = DiscretisedLogistic(20)
    x = np.clip(rng.normal(7, 3, 500).round(), 0, 19)
    for start in family.from_unconstrained([[5.0, 0.0], [9.0, 1.5], [7.0, 2.0], [14.0, 1.0]]):
        quasi = family.unconstrained_gradient(start, 1.0, family.statistics(x).mean(axis=1))
        true = true_gradient(family, start, x)
        assert quasi @ true > 0.9 * np.linalg.norm(quasi) * np.linalg.norm(true)


def test_em_ends_near_its_best_iteration():
    rng = np.random.default_rng(0)
    family = DiscretisedLogistic(64)
    x = np.clip(
        np.where(rng.random(600) < 0.4, rng.normal(12, 3, 600), rng.normal(45, 6, 600)), 0, 63
    )
    x = x.round()
    statistics = family.statistics(x).T
    mean, weight, history = family.random_mean(family.moments_prior(x), 3, rng), np.ones(3) / 3, []
    for _ in range(60):
        joint = family.log_density(mean, x) + np.log(weight)[:, None]
        total = logsumexp(joint, axis=0)
        history.append(total.mean())
        share = np.exp(joint - total)
        weight = share.mean(axis=1)
        mean = family.project(share @ statistics / share.sum(axis=1)[:, None])
    assert history[-1] > history[0] + 0.3
    assert history[-1] > max(history) - 1e-3
    assert (np.diff(history) > -1e-4).all()


def test_is_no_exponential_family_and_says_so():
    family = DiscretisedLogistic(5)
    for method in (family.log_partition, family.natural_parameters, family.mean_parameters):
        with pytest.raises(NotImplementedError, match="no exponential family.*probabilities"):
            method(family.uniform_prior())


@pytest.mark.parametrize("value", [5.0, -1.0, 0.5])
def test_outside_the_support(value):
    family = DiscretisedLogistic(5)
    assert np.isneginf(family.log_density(family.uniform_prior(), [value])).all()
    assert (family.statistics([value]) == 0).all()


@pytest.mark.parametrize(("n_states", "error"), [(2, ValueError), (2.5, TypeError)])
def test_impossible_sizes_are_refused(n_states, error):
    with pytest.raises(error):
        DiscretisedLogistic(n_states)
