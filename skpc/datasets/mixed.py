"""Tables of numbers, categories and counts drawn from known densities, to measure against."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from .synthetic import checked_generator


class MixedTable(NamedTuple):
    """Rows and the density they were drawn from.

    Attributes
    ----------
    X : ndarray of shape (n, n_columns)
    whole : tuple of int
        Columns of whole numbers: categories, truth values and counts.
    log_density : callable
        From rows to their true log densities, nats; masses where numbers are whole.
    """

    X: np.ndarray
    whole: tuple[int, ...]
    log_density: Callable[[np.ndarray], np.ndarray]


def make_mixed_clusters(n_samples: int = 100, *, random_state=None) -> MixedTable:
    """Four clusters of three correlated numbers, two categories and two truth values.

    Parameters
    ----------
    n_samples : int, default=100
    random_state : int, RandomState instance or None, default=None
        Draws the rows; the density is always the same.

    Returns
    -------
    MixedTable

    Examples
    --------
    >>> from skpc.datasets import make_mixed_clusters
    >>> table = make_mixed_clusters(200, random_state=0)
    >>> table.X.shape, table.log_density(table.X).shape
    ((200, 7), (200,))
    """
    rng = checked_generator(n_samples, random_state=random_state)
    fixed = np.random.RandomState(1)
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    centres = 3 * fixed.normal(size=(4, 3))
    factors = fixed.normal(size=(4, 3, 3))
    covariances = factors @ factors.transpose(0, 2, 1) + 0.2 * np.eye(3)
    tables = fixed.dirichlet(np.ones(5), (4, 2))
    rates = fixed.random_sample((4, 2))
    cluster = rng.choice(4, n_samples, p=shares)
    X = np.empty((n_samples, 7))
    for k in range(4):
        mine = cluster == k
        n = int(mine.sum())
        X[mine, :3] = rng.multivariate_normal(centres[k], covariances[k], n)
        for j in range(2):
            X[mine, 3 + j] = rng.choice(5, n, p=tables[k, j])
            X[mine, 5 + j] = rng.random_sample(n) < rates[k, j]

    def log_density(X):
        codes = X[:, 3:5].astype(int)
        terms = []
        for k in range(4):
            term = np.log(shares[k])
            term = term + stats.multivariate_normal(centres[k], covariances[k]).logpdf(X[:, :3])
            for j in range(2):
                term = term + np.log(tables[k, j][codes[:, j]])
                term = term + stats.bernoulli(rates[k, j]).logpmf(X[:, 5 + j])
            terms.append(term)
        return np.logaddexp.reduce(terms)

    return MixedTable(X, (3, 4, 5, 6), log_density)


def make_mixed_chain(n_samples: int = 100, *, random_state=None) -> MixedTable:
    """A chain of four categories, and below each a number whose mean and spread it decides.

    Parameters
    ----------
    n_samples : int, default=100
    random_state : int, RandomState instance or None, default=None
        Draws the rows; the density is always the same.

    Returns
    -------
    MixedTable

    Examples
    --------
    >>> from skpc.datasets import make_mixed_chain
    >>> make_mixed_chain(200, random_state=0).whole
    (0, 1, 2, 3)
    """
    rng = checked_generator(n_samples, random_state=random_state)
    fixed = np.random.RandomState(2)
    steps = fixed.dirichlet(np.full(4, 0.5), (4, 4))
    first = fixed.dirichlet(np.ones(4))
    centres, spreads = 2 * fixed.normal(size=(4, 4)), 0.3 + fixed.random_sample((4, 4))
    X = np.empty((n_samples, 8))
    code = rng.choice(4, n_samples, p=first)
    for j in range(4):
        if j:
            ends = np.cumsum(steps[j][code], axis=1)
            code = np.minimum((ends < rng.random_sample((n_samples, 1))).sum(axis=1), 3)
        X[:, j] = code
        X[:, 4 + j] = centres[j, code] + spreads[j, code] * rng.normal(size=n_samples)

    def log_density(X):
        code = X[:, :4].astype(int)
        out = np.log(first[code[:, 0]])
        for j in range(4):
            if j:
                out = out + np.log(steps[j][code[:, j - 1], code[:, j]])
            mine = code[:, j]
            out = out + stats.norm(centres[j, mine], spreads[j, mine]).logpdf(X[:, 4 + j])
        return out

    return MixedTable(X, (0, 1, 2, 3), log_density)


def make_mixed_skewed(n_samples: int = 100, *, random_state=None) -> MixedTable:
    """A switch, and what it decides: a log-normal, a gamma, a normal and a Poisson column.

    The normal one also depends on the logarithm of the first.

    Parameters
    ----------
    n_samples : int, default=100
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    MixedTable

    Examples
    --------
    >>> from skpc.datasets import make_mixed_skewed
    >>> bool((make_mixed_skewed(200, random_state=0).X[:, 1:3] > 0).all())
    True
    """
    rng = checked_generator(n_samples, random_state=random_state)
    on = rng.random_sample(n_samples) < 0.35
    size = np.exp(rng.normal(on, 0.5))
    wait = rng.gamma(2.0 + 2.0 * on)
    other = rng.normal(2.0 * on + 0.8 * np.log(size), 1.0)
    count = rng.poisson(2.0 + 4.0 * on)

    def log_density(X):
        on = X[:, 0]
        return (
            stats.bernoulli(0.35).logpmf(on)
            + stats.lognorm(0.5, scale=np.exp(on)).logpdf(X[:, 1])
            + stats.gamma(2 + 2 * on).logpdf(X[:, 2])
            + stats.norm(2 * on + 0.8 * np.log(X[:, 1]), 1).logpdf(X[:, 3])
            + stats.poisson(2 + 4 * on).logpmf(X[:, 4])
        )

    return MixedTable(np.column_stack([on, size, wait, other, count]), (0, 4), log_density)
