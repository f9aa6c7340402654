import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.decomposition import FactorAnalysis

from skpc.distributions.factor_model import SAME, factor_model


@pytest.fixture(scope="module")
def wine():
    X = load_wine().data
    return (X - X.mean(axis=0)) / X.std(axis=0)


@pytest.mark.parametrize("n_factors", [1, 2, 3])
def test_it_is_as_likely_as_factor_analysis(wine, n_factors):
    """Numbers of factors with one minimum of the discrepancy."""
    rival = FactorAnalysis(n_factors, tol=1e-9, max_iter=20_000, svd_method="lapack").fit(wine)
    S = np.cov(wine.T, bias=True)
    covariance = factor_model(S[None], n_factors, 1e-6).covariance[0]
    log_det = np.linalg.slogdet(2 * np.pi * covariance)[1]
    found = -0.5 * (log_det + np.trace(np.linalg.solve(covariance, S)))
    assert found == pytest.approx(rival.score(wine), abs=1e-6)


def test_variances_stay_and_the_discrepancy_is_twice_the_divergence(wine):
    S = np.cov(wine.T, bias=True)
    model = factor_model(S[None], 2, 1e-6)
    assert (model.noise > 1e-3).all()
    np.testing.assert_allclose(np.diagonal(model.covariance[0]), np.diagonal(S), atol=1e-3)
    ratio = np.linalg.solve(model.covariance[0], S)
    divergence = np.trace(ratio) - len(S) - np.linalg.slogdet(ratio)[1]
    assert model.discrepancy[0] == pytest.approx(divergence, rel=1e-8)


def test_no_step_raises_the_discrepancy_and_the_noise_stays_above_the_floor():
    rng = np.random.default_rng(0)
    # Fewer rows than columns: the floor binds.
    X = rng.normal(size=(6, 4, 7))
    S = np.swapaxes(X, 1, 2) @ X / 4 + 1e-2 * np.eye(7)
    steps = [factor_model(S, 2, 1e-2, max_steps=n) for n in range(12)]
    curve = np.array([model.discrepancy for model in steps])
    assert (np.diff(curve, axis=0) <= 0).all()
    assert (curve[-1] < 0.9 * curve[0]).all()
    assert min(model.noise.min() for model in steps) >= 1e-2 * (1 - 1e-9)


def test_covariances_that_are_factor_models_are_found_again():
    rng = np.random.default_rng(1)
    loadings, noise = rng.normal(size=(5, 8, 2)), rng.uniform(0.1, 1, (5, 8))
    S = loadings @ np.swapaxes(loadings, 1, 2) + noise[:, :, None] * np.eye(8)
    known = factor_model(S, 2, 1e-3, noise=noise)
    assert (known.discrepancy <= SAME).all()
    np.testing.assert_allclose(known.covariance, S, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(factor_model(S, 2, 1e-3).covariance, S, rtol=1e-6, atol=1e-6)
