import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp

from skpc.distributions import Bernoulli, Categorical

MEAN = np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])


def test_matches_scipy():
    family = Categorical(3)
    one_hot = np.eye(3)
    expected = stats.multinomial.logpmf(one_hot[None], 1, MEAN[:, None])
    np.testing.assert_allclose(family.log_density(MEAN, [0, 1, 2]), expected, rtol=1e-12)
    np.testing.assert_allclose(
        family.kl(MEAN[1:], MEAN[:1]), stats.entropy(MEAN[1:], MEAN[:1], axis=1), rtol=1e-12
    )
    assert family.kl(MEAN[0], MEAN[1]) == np.inf


def test_log_partition_ignores_the_gauge_and_does_not_overflow():
    natural = np.array([[1e300, 1e300, -np.inf], [-1e5, -1e5 + 1, -1e5 + 2]])
    family = Categorical(3)
    np.testing.assert_allclose(family.log_partition(natural), logsumexp(natural, axis=1))
    np.testing.assert_allclose(family.mean_parameters(natural)[0], [0.5, 0.5, 0])
    np.testing.assert_allclose(
        family.mean_parameters(natural[1]), family.mean_parameters([0.0, 1.0, 2.0])
    )


def test_two_states_agree_with_bernoulli():
    p = np.array([[0.1], [0.7]])
    mean = np.hstack([1 - p, p])
    x = [0, 1, np.nan, 2]
    np.testing.assert_array_equal(
        Categorical(2).log_density(mean, x), Bernoulli().log_density(p, x)
    )


@pytest.mark.parametrize("value", [3.0, -1.0, 1.5])
def test_outside_the_support(value):
    family = Categorical(3)
    assert np.isneginf(family.log_density(MEAN, [value])).all()
    assert (family.statistics([value]) == 0).all()
    with pytest.raises(ValueError, match=f"first {value} at position 1.*the whole numbers 0 to 2"):
        family.validate([2, value])


def test_impossible_states_survive_every_map():
    family = Categorical(3)
    np.testing.assert_array_equal(family.project(MEAN), MEAN)
    np.testing.assert_allclose(
        family.from_unconstrained(family.to_unconstrained(MEAN)), MEAN, rtol=1e-15
    )
    draws = family.sample(np.repeat(MEAN[1:], 500, axis=0), np.random.default_rng(0))
    assert set(draws[:500]) == {1.0}
    assert set(draws[500:]) == {0.0, 2.0}


class AlmostOne:
    """A generator whose draw is the largest number below one."""

    def random(self, shape):
        return np.full(shape, np.nextafter(1.0, 0.0))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1e-3, 1), min_size=2, max_size=6))
def test_the_highest_draw_never_picks_an_impossible_state(mass):
    probabilities = np.append(np.array(mass) / np.sum(mass), [0.0, 0.0])
    draw = Categorical(len(probabilities)).sample(probabilities[None], AlmostOne())
    assert draw == len(mass) - 1


def test_project_rescales_and_falls_back_to_uniform():
    projected = Categorical(3).project([[-1.0, 1.0, 3.0], [0.0, 0.0, 0.0], [-1.0, -2.0, 0.0]])
    np.testing.assert_allclose(projected, [[0, 0.25, 0.75], [1 / 3] * 3, [1 / 3] * 3])


def test_a_state_that_the_column_lacks_is_rare():
    prior = Categorical(4).moments_prior([0, 0, 1])
    np.testing.assert_allclose(prior, [2.25 / 4, 1.25 / 4, 0.25 / 4, 0.25 / 4])


def test_numpy_sizes_are_stored_as_integers():
    family = Categorical(np.int64(3))
    assert family == Categorical(3)
    assert hash(family) == hash(Categorical(3))
    assert json.loads(json.dumps(family.to_config())) == {"name": "categorical", "n_states": 3}


@pytest.mark.parametrize(("n_states", "error"), [(0, ValueError), (2.5, TypeError)])
def test_impossible_sizes_are_refused(n_states, error):
    with pytest.raises(error):
        Categorical(n_states)


def test_a_column_of_many_states_needs_no_table_of_cells_by_states():
    family, rng = Categorical(300_000), np.random.default_rng(0)
    x, weight = rng.permutation(300_000).astype(float), rng.random(300_000)
    x[:2] = np.nan, 1e30  # missing, and never a state
    prior = family.moments_prior(x, weight, pseudocount=0)  # 720 GB as one-hot vectors
    expected = np.zeros(300_000)
    expected[x[2:].astype(int)] = weight[2:]
    np.testing.assert_allclose(prior, expected / expected.sum(), rtol=1e-12)
    few, cells = Categorical(5), rng.integers(0, 5, 100).astype(float)
    sums = few.statistics(cells) @ weight[:100]
    found = few.moments_prior(cells, weight[:100], pseudocount=0)
    np.testing.assert_allclose(found, sums / weight[:100].sum(), rtol=1e-14)
