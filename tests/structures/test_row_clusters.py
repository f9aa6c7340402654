import numpy as np
import pytest

from skpc.distributions import Bernoulli, Categorical, Gaussian
from skpc.structures.row_clusters import two_clusters
from skpc.structures.row_evidence import RowEvidence

FAMILIES = [Gaussian(), Bernoulli(), Categorical(4), Bernoulli(), Gaussian()]


def mixed_rows(n_rows=400, missing=0.1, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.random(n_rows) < 0.3
    X = np.column_stack(
        [
            rng.normal(size=n_rows) + 3 * z,
            rng.random(n_rows) < np.where(z, 0.9, 0.1),
            np.where(z, rng.integers(2, 4, n_rows), rng.integers(0, 3, n_rows)),
            rng.random(n_rows) < np.where(z, 0.1, 0.8),
            rng.normal(size=n_rows),
        ]
    ).astype(float)
    X[rng.random(X.shape) < missing] = np.nan
    return X, z


def evidence_of(X, weight=None):
    priors = [family.moments_prior(X[:, v], weight) for v, family in enumerate(FAMILIES)]
    return RowEvidence(X, FAMILIES).part(np.arange(len(X)), np.arange(len(FAMILIES))), priors


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_log_densities_are_those_of_the_families(missing):
    X, _ = mixed_rows(50, missing)
    rng = np.random.default_rng(0)
    part, priors = evidence_of(X)
    means = part.means(rng.random((50, 2)), priors, 1.0)
    expected = np.zeros((50, 2))
    for kind, mean in zip(part.kinds, means):
        for column, variable in enumerate(kind.variables):
            expected += kind.family.log_density(mean[:, column], X[:, variable]).T
    found = part.log_densities(means)
    # What is alike under both components is left out.
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_means_are_weighted_means(missing):
    X, _ = mixed_rows(50, missing)
    weight = np.random.default_rng(0).random(50)
    part, priors = evidence_of(X)
    means = part.means(weight[:, None], priors, 2.0)
    for kind, mean in zip(part.kinds, means):
        for column, variable in enumerate(kind.variables):
            seen = ~np.isnan(X[:, variable])
            sums = kind.family.statistics(X[seen, variable]) @ weight[seen] + 2 * priors[variable]
            np.testing.assert_allclose(mean[0, column], sums / (weight[seen].sum() + 2))


def test_part_of_the_table():
    X, _ = mixed_rows(30)
    rows, variables = np.array([3, 4, 9]), np.array([4, 1, 0])
    part = RowEvidence(X, FAMILIES).part(rows, variables)
    assert part.variables.tolist() == [4, 0, 1]  # by family
    np.testing.assert_array_equal(part.present, ~np.isnan(X[np.ix_(rows, [4, 0, 1])]))
    assert RowEvidence(np.zeros((3, 5)), FAMILIES).present is None


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_planted_clusters_are_found(missing):
    X, z = mixed_rows(missing=missing)
    part, priors = evidence_of(X)
    found = two_clusters(part, np.ones(len(X)), priors)
    right = (found == z).mean()
    assert max(right, 1 - right) > 0.97 - 0.5 * missing


def test_weights_are_repeated_rows():
    X, _ = mixed_rows(80)
    weight = np.random.default_rng(0).integers(1, 4, 80)
    part, priors = evidence_of(X, weight)
    once = two_clusters(part, weight.astype(float), priors)
    part, priors = evidence_of(X.repeat(weight, axis=0))
    np.testing.assert_array_equal(
        once.repeat(weight), two_clusters(part, np.ones(weight.sum()), priors)
    )


def test_equal_rows_are_one_cluster():
    part, priors = evidence_of(np.ones((20, 5)))
    assert len(set(two_clusters(part, np.ones(20), priors))) == 1
