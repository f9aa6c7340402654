import numpy as np
from scipy.stats import chi2_contingency

from skpc.structures.independence import independent_groups


def codes_of(X):
    return np.where(np.isnan(X), -1, X).T.astype(np.int32)


def groups_of(X, sizes, significance=0.01, weight=None):
    weight = np.ones(len(X)) if weight is None else weight
    groups, _ = independent_groups(codes_of(X), sizes, weight, significance)
    return [group.tolist() for group in groups]


def test_it_is_the_likelihood_ratio_test():
    """One pair is joined exactly where scipy's p-value says so."""
    rng = np.random.default_rng(0)
    joined = 0
    for _ in range(60):
        x = rng.integers(0, 3, 300)
        y = np.where(rng.random(300) < 0.12, x, rng.integers(0, 4, 300))
        table = np.zeros((3, 4))
        np.add.at(table, (x, y), 1)
        p = chi2_contingency(table, correction=False, lambda_="log-likelihood").pvalue
        found = groups_of(np.column_stack([x, y]).astype(float), [3, 4])
        assert (len(found) == 1) == (p < 0.01)
        joined += p < 0.01
    assert 10 < joined < 50


def test_independent_columns_are_rarely_joined():
    X = np.random.default_rng(0).integers(0, 2, (1000, 40)).astype(float)
    assert len(groups_of(X, [2] * 40, significance=1e-5)) == 40
    assert len(groups_of(X, [2] * 40, significance=0.05)) < 30


def test_chains_are_one_group():
    rng = np.random.default_rng(0)
    a, c = rng.integers(0, 2, (2, 2000))
    X = np.column_stack([a, 2 * a + c, c, rng.integers(0, 2, 2000)]).astype(float)
    assert groups_of(X, [2, 4, 2, 2], 1e-4) == [[0, 1, 2], [3]]


def test_constant_and_missing_columns_stand_alone():
    X = np.zeros((50, 3))
    X[:, 1] = np.nan
    assert groups_of(X, [2, 2, 2]) == [[0], [1], [2]]


def test_missing_cells_leave_a_pair_out():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, 400).astype(float)
    X = np.column_stack([x, x])
    X[:395, 0] = np.nan
    whole = X[395:]
    assert groups_of(X, [2, 2], 1e-3) == groups_of(whole, [2, 2], 1e-3)


def test_weights_are_repeated_rows():
    rng = np.random.default_rng(1)
    X = rng.integers(0, 2, (60, 8)).astype(float)
    weight = rng.integers(1, 5, 60).astype(float)
    for significance in (0.3, 0.1, 0.01):
        repeated = groups_of(X.repeat(weight.astype(int), axis=0), [2] * 8, significance)
        assert groups_of(X, [2] * 8, significance, weight) == repeated


def test_states_beyond_the_matrix_products():
    x = np.arange(3000) % 30
    X = np.column_stack([x, x // 2, np.random.default_rng(0).integers(0, 25, 3000)]).astype(float)
    assert groups_of(X, [30, 15, 25], 1e-4) == [[0, 1], [2]]
