import numpy as np
import pytest
from scipy.stats import multivariate_normal

from skpc.distributions import FactorGaussian, MultivariateGaussian, resolve_distribution

D, K, UNITS = 5, 2, 4


@pytest.fixture(scope="module")
def members():
    """A family, mean parameters of four members, their locations and covariances."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(UNITS, D, K))
    covariance = loadings @ np.swapaxes(loadings, 1, 2)
    covariance += rng.uniform(0.2, 1, (UNITS, D))[:, :, None] * np.eye(D)
    leaf, location = FactorGaussian(D, 1e-4, K), rng.normal(size=(UNITS, D))
    return leaf, leaf.pack(location, covariance), location, covariance


def rows(n, missing=0.3):
    X = np.random.default_rng(1).normal(size=(n, D))
    X[np.random.default_rng(2).random(X.shape) < missing] = np.nan
    return X


def test_factor_models_come_back(members):
    leaf, mean, location, covariance = members
    found = leaf.unpack(mean)
    np.testing.assert_allclose(found[0], location, rtol=1e-12)
    np.testing.assert_allclose(found[1], covariance, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(leaf.project(mean), mean)
    np.testing.assert_allclose(leaf.factor_model(mean).covariance, found[1], rtol=1e-8, atol=1e-8)


def test_any_covariance_becomes_a_factor_model_and_stays_one(members):
    leaf = members[0]
    rng = np.random.default_rng(3)
    root = rng.normal(size=(20, D, D))
    mean = leaf.pack(rng.normal(size=(20, D)), root @ np.swapaxes(root, 1, 2) + 1e-4 * np.eye(D))
    np.testing.assert_array_equal(leaf.project(mean), mean)
    assert (leaf.noise(mean) >= 1e-4 * (1 - 1e-9)).all()
    rest = leaf.unpack(mean)[1] - leaf.noise(mean)[:, :, None] * np.eye(D)
    values = np.linalg.eigvalsh(rest)
    np.testing.assert_allclose(values[:, : D - K], 0, atol=1e-8 * values.max())
    for again in (
        leaf.from_unconstrained(leaf.to_unconstrained(mean)),
        leaf.mean_parameters(leaf.natural_parameters(mean)),
    ):
        np.testing.assert_allclose(again, mean, rtol=1e-6, atol=1e-6)


def test_rows_with_holes_count_as_with_the_same_full_covariance(members):
    leaf, mean, location, _ = members
    covariance = leaf.unpack(mean)[1]
    full = MultivariateGaussian(D, 1e-4)
    same, X = full.pack(location, covariance), rows(60)
    np.testing.assert_allclose(leaf.log_density(mean, X), full.log_density(same, X), rtol=1e-9)
    seen = ~np.isnan(X[0])
    expected = multivariate_normal(location[1][seen], covariance[1][np.ix_(seen, seen)])
    assert leaf.log_density(mean, X)[1, 0] == pytest.approx(expected.logpdf(X[0][seen]))
    flow = np.random.default_rng(4).random((60, UNITS))
    found = leaf.flow_statistics(mean, X, flow)
    np.testing.assert_allclose(found[:, :-D], full.flow_statistics(same, X, flow), rtol=1e-8)
    np.testing.assert_allclose(found[:, -D:] / found[:, :1], leaf.noise(mean), rtol=1e-12)


def test_the_exponential_family_form(members):
    leaf, mean, _, _ = members
    X = rows(20, missing=0)
    natural = leaf.natural_parameters(mean)
    inner = natural @ leaf.statistics(X) - leaf.log_partition(natural)[:, None]
    np.testing.assert_allclose(
        leaf.log_density(mean, X), inner + leaf.log_base_measure(X), rtol=1e-9
    )


def test_the_gradient_is_that_of_finite_differences_among_factor_models(members, monkeypatch):
    monkeypatch.setattr("skpc.distributions.factor_model.TOLERANCE", 1e-12)
    monkeypatch.setattr("skpc.distributions.factor_gaussian.STEPS", 50)
    leaf, mean, _, _ = members
    X = rows(30, missing=0)
    flow = np.random.default_rng(4).random(len(X))
    free, sums = leaf.to_unconstrained(mean), leaf.statistics(X) @ flow
    gradient = leaf.unconstrained_gradient(
        mean, np.full(UNITS, flow.sum()), np.tile(sums, (UNITS, 1))
    )
    for s, step in enumerate(1e-3 * np.eye(leaf.n_statistics)[:-D]):
        up, down = (
            leaf.log_density(leaf.from_unconstrained(free + d), X) @ flow for d in (step, -step)
        )
        np.testing.assert_allclose(gradient[:, s], (up - down) / 2e-3, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(gradient[:, -D:], 0)


def test_samples_have_the_moments(members):
    leaf, mean, location, covariance = members
    S = leaf.sample(np.tile(mean[1], (40_000, 1)), np.random.default_rng(0))
    np.testing.assert_allclose(S.mean(axis=0), location[1], atol=0.05)
    np.testing.assert_allclose(np.cov(S.T), covariance[1], rtol=0.1, atol=0.1)


@pytest.mark.parametrize("X", [
    np.zeros((0, D)), np.full((4, D), np.nan), np.zeros((1, D)), np.full((3, D), 1e300),
])  # fmt: skip
def test_priors_of_hardly_any_data_are_admissible(members, X):
    leaf = members[0]
    units = leaf.random_mean(leaf.moments_prior(X), 5, np.random.default_rng(0))
    assert np.isfinite(leaf.log_density(units, np.zeros((2, D)))).all()


def test_configuration():
    leaf = FactorGaussian(6, 1e-2, 3)
    assert resolve_distribution(leaf.to_config()) == leaf


@pytest.mark.parametrize("n_factors", [0, -1, 4, 1.5, True, None, "auto"])
def test_bad_numbers_of_factors(n_factors):
    with pytest.raises(ValueError, match=r"n_factors=.* from 1 to n_variables - 2 = 3"):
        FactorGaussian(5, n_factors=n_factors)
