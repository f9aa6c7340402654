import numpy as np
import pytest

from skpc import PCDensityEstimator
from skpc.distributions import Gaussian, Poisson
from skpc.estimators import dispersion
from skpc.estimators.dispersion import narrower_than_counts

WORDS = "closer to other columns than counts can be"


def measured(rng, n=300, noise=1.0):
    """Two rounded readings of one size, and counts beside them."""
    size = rng.normal(45, 9, n)
    return np.round(np.column_stack([size, size + rng.normal(0, noise, n), rng.poisson(45, n)]))


def counted(rng, n=300):
    """True counts: alone, of a common rate, too varied, mostly zero, rare, and of a chain."""
    rate = rng.gamma(2, 0.5, n)
    chain = np.exp(np.cumsum(rng.normal(0, 0.3, (n, 4)), axis=1))
    return np.column_stack([
        rng.poisson([1, 50], (n, 2)), rng.poisson(5 * rate), rng.poisson(40 * rate),
        rng.negative_binomial(1, 0.1, (n, 2)), rng.poisson(9, n) * (rng.random(n) < 0.5),
        rng.poisson(0.03, n), rng.poisson(6 * chain),
    ]).astype(float)  # fmt: skip


def every(X):
    return list(range(X.shape[1]))


@pytest.mark.parametrize("n", [25, 100, 5000])
def test_true_counts_are_left_alone(n):
    for seed in range(10):
        X = counted(np.random.default_rng(seed), n)
        assert not narrower_than_counts(X, None, every(X)).any()


def test_many_columns_for_few_rows_deny_no_counts():
    for seed in range(3):
        X = np.random.default_rng(seed).poisson(3, (60, 200)).astype(float)
        assert narrower_than_counts(X, None, every(X)).sum() <= 1


@pytest.mark.parametrize("n", [40, 100, 5000])
def test_rounded_measurements_are_no_counts(n):
    for seed in range(10):
        X = measured(np.random.default_rng(seed), n)
        assert narrower_than_counts(X, None, [0, 1, 2]).tolist() == [True, True, False]
        # One alone has nothing to be close to.
        assert not narrower_than_counts(X[:, [0]], None, [0]).any()


def test_totals_and_counts_of_which_one_contains_the_other_are_denied():
    rng = np.random.default_rng(0)
    parts = rng.poisson([3, 8], (500, 2))
    X = np.column_stack([parts, parts.sum(axis=1), rng.poisson(5, 500)]).astype(float)
    assert narrower_than_counts(X, None, every(X)).tolist() == [True, True, True, False]
    X = np.column_stack([parts[:, 1], parts[:, 1] + rng.poisson(0.5, 500)]).astype(float)
    assert narrower_than_counts(X, None, [1]).tolist() == [True]


def test_missing_and_wild_cells_do_not_hide_it():
    rng = np.random.default_rng(0)
    X = measured(rng, 400)
    X[rng.random(X.shape) < 0.3] = np.nan
    X[[3, 50], [0, 1]] = 99_999
    assert narrower_than_counts(X, None, [0, 1, 2]).tolist() == [True, True, False]
    with np.errstate(all="raise", under="ignore"):
        assert not narrower_than_counts(np.full((30, 2), np.nan), None, [0, 1]).any()
        narrower_than_counts(np.array([[3.0, 1e300], [4.0, -1e300]] * 10), None, [0])


def test_weights_are_repeated_rows():
    """About as narrow as it takes: whether they are is a matter of the weights."""
    outcomes = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = measured(rng, 60, noise=4.5)
        weight = rng.integers(0, 4, len(X))
        found = narrower_than_counts(X[weight > 0], weight[weight > 0].astype(float), every(X))
        again = narrower_than_counts(np.repeat(X, weight, axis=0), None, every(X))
        assert found.tolist() == again.tolist()
        outcomes += [found[0] != narrower_than_counts(X, None, every(X))[0]]
    assert any(outcomes)


def test_tables_that_are_taken_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    X = np.column_stack([measured(rng, 400), measured(rng, 400)])
    monkeypatch.setattr(dispersion, "MOST_COLUMNS", 3)
    monkeypatch.setattr(dispersion, "MOST_ROWS", 100)
    found = narrower_than_counts(X, np.ones(400), every(X))
    assert found.tolist() == [True, True, False] * 2
    assert narrower_than_counts(X, None, [4, 2]).tolist() == [True, False]


def test_a_narrow_dependence_is_learnt():
    """Poisson leaves would be at -6.8, the truth is at -5.1."""
    rng = np.random.default_rng(0)
    X = measured(rng, 1200)
    model = PCDensityEstimator(n_components=4, random_state=0).fit(X[:600])
    leaves = [leaf.distribution for leaf in model.leaves_.values()]
    assert isinstance(leaves[0], Gaussian)
    assert leaves[0] == leaves[1]
    assert leaves[2] == Poisson()
    assert model.leaves_[0].why.endswith(WORDS)
    rest = X[600:].copy()
    rest[:, 2] = np.nan
    assert model.score(rest) > -5.3
    named = PCDensityEstimator(n_components=4, leaves="poisson", max_iter=1).fit(X[:600])
    assert {leaf.distribution for leaf in named.leaves_.values()} == {Poisson()}
    assert {leaf.why for leaf in named.leaves_.values()} == {"as leaves says"}


def test_columns_that_share_an_encoding_tell_of_each_other():
    rng = np.random.default_rng(0)
    start = rng.normal(45, 9, (300, 1))
    series = np.round(start + np.cumsum(rng.normal(size=(300, 5)), axis=1))
    model = PCDensityEstimator("hmm", n_components=3, max_iter=1).fit(series)
    for leaf in model.leaves_.values():
        assert isinstance(leaf.distribution, Gaussian)
        assert leaf.why.endswith(WORDS)
    counts = rng.poisson(45, (300, 5)).astype(float)
    model = PCDensityEstimator("hmm", n_components=3, max_iter=1).fit(counts)
    assert {leaf.distribution for leaf in model.leaves_.values()} == {Poisson()}
