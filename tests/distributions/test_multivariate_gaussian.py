import json

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from skpc.distributions import (
    FactorGaussian,
    Gaussian,
    MultivariateGaussian,
    resolve_distribution,
)

D, UNITS = 3, 4


@pytest.fixture(scope="module")
def members():
    """A family, mean parameters of four members, their locations and covariances."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(UNITS, D, D))
    location, covariance = rng.normal(size=(UNITS, D)), root @ root.transpose(0, 2, 1)
    covariance += 0.1 * np.eye(D)
    leaf = MultivariateGaussian(D, 1e-4)
    return leaf, leaf.pack(location, covariance), location, covariance


def rows(n=40, missing=0.4, seed=1):
    X = np.random.default_rng(seed).normal(size=(n, D))
    X[np.random.default_rng(seed + 1).random(X.shape) < missing] = np.nan
    X[0] = np.nan
    return X


def by_pattern(location, covariance, x):
    """Log density of what is there, mean and covariance of what is not, one row at a time."""
    seen = ~np.isnan(x)
    density = 0.0
    filled, rest = location.copy(), covariance.copy()
    if seen.any():
        own = covariance[np.ix_(seen, seen)]
        density = multivariate_normal(location[seen], own).logpdf(x[seen])
        gain = covariance[:, seen] @ np.linalg.inv(own)
        filled = location + gain @ (x[seen] - location[seen])
        rest = covariance - gain @ covariance[seen]
        filled[seen], rest[seen], rest[:, seen] = x[seen], 0, 0
    return density, filled, rest


def test_densities_of_whole_rows(members):
    leaf, mean, location, covariance = members
    X = rows(missing=0.0)[1:]
    expected = [multivariate_normal(m, c).logpdf(X) for m, c in zip(location, covariance)]
    np.testing.assert_allclose(leaf.log_density(mean, X), expected, rtol=1e-10)


@pytest.mark.parametrize("by_pattern_first", [True, False])
def test_densities_and_statistics_of_rows_with_holes(members, by_pattern_first, monkeypatch):
    if not by_pattern_first:
        monkeypatch.setattr("skpc.distributions.multivariate_gaussian.PATTERN_VARIABLES", 0)
        monkeypatch.setattr("skpc.distributions.multivariate_gaussian.PATTERN_ROWS", 10**9)
    leaf, mean, location, covariance = members
    X, flow = rows(), np.random.default_rng(3).random((40, UNITS))
    found = leaf.log_density(mean, X)
    statistics = leaf.flow_statistics(mean, X, flow)
    for k in range(UNITS):
        total = np.zeros(1 + leaf.n_statistics)
        for i, x in enumerate(X):
            density, filled, rest = by_pattern(location[k], covariance[k], x)
            assert found[k, i] == pytest.approx(density, rel=1e-9, abs=1e-12)
            if not np.isnan(x).all():
                second = np.outer(filled, filled) + rest
                total += flow[i, k] * np.r_[1, filled, second[np.triu_indices(D)]]
        np.testing.assert_allclose(statistics[k], total, rtol=1e-9, atol=1e-12)


def test_a_row_has_the_same_bits_among_any_others(members):
    leaf, mean, _, _ = members
    X = rows(300, missing=0.1)
    whole = leaf.log_density(mean, X)
    for part in (slice(5, 6), slice(0, 200), slice(130, 300, 3)):
        np.testing.assert_array_equal(leaf.log_density(mean, X[part]), whole[:, part])


def test_far_rows_are_finite_and_in_order(members):
    leaf, mean, _, _ = members
    X = np.array([1.0, 10, 1e6, 1e30, 1e100])[:, None] * np.array([1, -1, 0.5])
    scores = leaf.log_density(mean, X)
    assert np.isfinite(scores).all()
    assert (np.diff(scores, axis=1) < 0).all()
    assert np.isfinite(leaf.log_density(mean, np.full((1, D), 1e300))).all()


def test_one_variable_is_a_gaussian():
    leaf, plain = MultivariateGaussian(1, 1e-9), Gaussian(1e-9)
    mean = np.array([[0.5, 2.0], [-1.0, 1.5]])
    x = np.array([0.3, -4.0, np.nan])
    np.testing.assert_allclose(
        leaf.log_density(mean, x[:, None]), plain.log_density(mean, x), rtol=1e-8
    )


def test_natural_and_unconstrained_coordinates(members):
    leaf, mean, location, covariance = members
    np.testing.assert_allclose(leaf.unpack(mean)[0], location, rtol=1e-12)
    np.testing.assert_allclose(leaf.unpack(mean)[1], covariance, rtol=1e-10, atol=1e-12)
    natural = leaf.natural_parameters(mean)
    np.testing.assert_allclose(leaf.mean_parameters(natural), mean, rtol=1e-8, atol=1e-9)
    X = rows(missing=0.0)[1:]
    inner = natural @ leaf.statistics(X) - leaf.log_partition(natural)[:, None]
    expected = inner + leaf.log_base_measure(X)
    np.testing.assert_allclose(leaf.log_density(mean, X), expected, rtol=1e-9)
    free = leaf.to_unconstrained(mean)
    np.testing.assert_allclose(leaf.from_unconstrained(free), mean, rtol=1e-9, atol=1e-10)


def test_the_gradient_is_that_of_finite_differences(members):
    leaf, mean, _, _ = members
    X = rows(missing=0.0)[1:]
    flow = np.random.default_rng(4).random(len(X))
    free, sums = leaf.to_unconstrained(mean), leaf.statistics(X) @ flow
    gradient = leaf.unconstrained_gradient(
        mean, np.full(UNITS, flow.sum()), np.tile(sums, (UNITS, 1))
    )
    for s, step in enumerate(1e-6 * np.eye(leaf.n_statistics)):
        up, down = (
            leaf.log_density(leaf.from_unconstrained(free + d), X) @ flow for d in (step, -step)
        )
        np.testing.assert_allclose(gradient[:, s], (up - down) / 2e-6, rtol=1e-5, atol=1e-5)


def test_projection_lifts_what_is_no_covariance(members):
    leaf, mean, _, _ = members
    np.testing.assert_array_equal(leaf.project(mean), mean)
    bad = mean.copy()
    bad[0, D:] = 0
    good = leaf.project(bad)
    assert (np.linalg.eigvalsh(leaf.unpack(good)[1]) >= 0.99 * leaf.variance_floor).all()
    np.testing.assert_allclose(leaf.project(good), good, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(good[1:], mean[1:], rtol=1e-9, atol=1e-9)


def test_the_prior_is_the_marginal_of_the_group(members):
    leaf = members[0]
    X = np.random.default_rng(0).normal(size=(500, D)) @ np.array(
        [[1, 0.9, 0], [0, 0.4, 0], [0, 0, 2]]
    )
    weight = np.random.default_rng(1).integers(0, 3, 500)
    found = leaf.moments_prior(X, weight.astype(float), pseudocount=0)
    again = leaf.moments_prior(np.repeat(X, weight, axis=0), pseudocount=0)
    np.testing.assert_allclose(found, again, rtol=1e-10)
    location, covariance = leaf.unpack(again)
    repeated = np.repeat(X, weight, axis=0)
    np.testing.assert_allclose(location, repeated.mean(axis=0), atol=1e-12)
    floor = leaf.variance_floor * np.eye(D)
    np.testing.assert_allclose(covariance - floor, np.cov(repeated.T, bias=True), atol=1e-10)
    holes = X.copy()
    holes[np.random.default_rng(2).random(X.shape) < 0.2] = np.nan
    np.testing.assert_allclose(leaf.moments_prior(holes), leaf.moments_prior(X), atol=0.4)


@pytest.mark.parametrize("X", [
    np.zeros((0, D)), np.full((4, D), np.nan), np.zeros((1, D)), np.full((3, D), 1e300),
])  # fmt: skip
def test_priors_of_hardly_any_data_are_admissible(members, X):
    leaf = members[0]
    prior = leaf.moments_prior(X)
    units = leaf.random_mean(prior, 5, np.random.default_rng(0))
    assert np.isfinite(leaf.log_density(units, np.zeros((2, D)))).all()


def test_samples_have_the_moments(members):
    leaf, mean, location, covariance = members
    S = leaf.sample(np.tile(mean[1], (40_000, 1)), np.random.default_rng(0))
    np.testing.assert_allclose(S.mean(axis=0), location[1], atol=0.05)
    np.testing.assert_allclose(np.cov(S.T), covariance[1], rtol=0.1, atol=0.1)
    np.testing.assert_allclose(leaf.variance(mean), np.diagonal(covariance, axis1=1, axis2=2))


def test_kl(members):
    leaf, mean, _, _ = members
    np.testing.assert_allclose(leaf.kl(mean, mean), 0, atol=1e-9)
    S = leaf.sample(np.tile(mean[0], (40_000, 1)), np.random.default_rng(0))
    logs = leaf.log_density(mean[:2], S)
    assert leaf.kl(mean[0], mean[1]) == pytest.approx((logs[0] - logs[1]).mean(), rel=0.05)


@pytest.mark.parametrize(("args", "message"), [
    ((0,), "n_variables must be at least 1"), ((2, 0.0), "variance_floor must be positive"),
    ((2, (1e-3, -1.0)), "variance_floor must be positive"),
    ((2, (1e-3, 1e-3, 1e-3)), "must be one number, or one for each of 2 columns"),
])  # fmt: skip
def test_bad_fields(args, message):
    with pytest.raises(ValueError, match=message):
        MultivariateGaussian(*args)


@pytest.mark.parametrize("make", [MultivariateGaussian, FactorGaussian])
def test_every_column_has_its_own_floor(make):
    floors = (1e-3, 0.5, 0.02)
    leaf = make(D, floors)
    mean = leaf.project(leaf.moments_prior(np.ones((5, D)), pseudocount=0))
    location, covariance = leaf.unpack(mean)
    np.testing.assert_allclose(covariance, np.diag(floors), rtol=1e-6)
    highest = leaf.log_density(mean[None], location[None])[0, 0]
    assert highest == pytest.approx(-0.5 * np.log(2 * np.pi * np.array(floors)).sum(), abs=1e-5)
    again = resolve_distribution(json.loads(json.dumps(leaf.to_config())))
    assert again == leaf
    assert hash(again) == hash(leaf)
    assert make(D, (0.1,) * D) == make(D, 0.1)
