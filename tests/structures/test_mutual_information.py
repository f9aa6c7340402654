from collections import defaultdict
from time import perf_counter

import numpy as np
import pytest

from skpc.structures import mutual_information as module
from skpc.structures.column_codes import quantile_edges
from skpc.structures.mutual_information import affordable_rows, pairwise_mutual_information


def naive_pair(x, y, weight):
    """Row by row, from the definition, without correction."""
    joint = defaultdict(float)
    for a, b, w in zip(x, y, weight):
        if not (np.isnan(a) or np.isnan(b)):
            joint[a, b] += w
    total = sum(joint.values())
    left, right = defaultdict(float), defaultdict(float)
    for (a, b), count in joint.items():
        left[a] += count
        right[b] += count
    return sum(
        count / total * np.log(count * total / (left[a] * right[b]))
        for (a, b), count in joint.items()
        if count > 0
    )


def naive_bias(x, y, weight):
    both = ~(np.isnan(x) | np.isnan(y))
    if not both.any():
        return 0.0
    cells = np.unique(np.column_stack([x, y])[both], axis=0)
    s, t = np.unique(x[both]).size, np.unique(y[both]).size
    return (len(cells) - s - t + 1) / (2 * weight[both].sum())


def naive(X, weight=None, corrected=True):
    """Corrected as if weights that sum to less than the rows were shares of them."""
    weight = np.ones(len(X)) if weight is None else weight
    X, weight = X[weight > 0], weight[weight > 0]
    rows = weight * max(1.0, 1 / weight.mean())
    return np.array(
        [[naive_pair(x, y, weight) - corrected * naive_bias(x, y, rows) for y in X.T] for x in X.T]
    )


def repeated_rows_bins(x, n_bins):
    """Bins of rows of weight 1; a test of their own holds `quantile_edges` to counting."""
    return np.searchsorted(quantile_edges(x, np.ones(x.size), n_bins), x)


def discrete_table(rng, n_rows, n_states, missing=0.0):
    """Columns that follow a shared hidden cause, so that informations are far from 0."""
    cause = rng.uniform(size=(n_rows, 1))
    noise = rng.uniform(size=(n_rows, len(n_states)))
    X = np.floor((0.5 * cause + 0.5 * noise) * np.array(n_states))
    X[rng.uniform(size=X.shape) < missing] = np.nan
    return X


N_STATES = [2, 2, 3, 5, 20, 21, 60, 2]


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("weights", ["none", "integer", "constant", "real"])
def test_discrete_against_naive(missing, weights):
    rng = np.random.default_rng(0)
    X = discrete_table(rng, 150, N_STATES, missing)
    X[:, -1] = rng.integers(0, 2, 150)  # complete beside columns with missing cells
    weight = {
        "none": None,
        "integer": rng.integers(0, 4, 150).astype(float),
        "constant": np.full(150, 0.3),
        "real": rng.gamma(1.0, size=150) * (rng.uniform(size=150) > 0.1),
    }[weights]
    information = pairwise_mutual_information(X, N_STATES, sample_weight=weight)
    np.testing.assert_allclose(information, naive(X, weight), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(information, information.T)


def test_bias_correction_of_independent_columns():
    rng = np.random.default_rng(9)
    X = np.column_stack([rng.integers(0, 5, (2000, 60)), rng.integers(0, 30, (2000, 2))])
    n_states = [5] * 60 + [30] * 2
    pairs = np.triu_indices(62, 1)
    corrected = pairwise_mutual_information(X, n_states)[pairs].mean()
    few = X[:, ::20]
    assert naive(few, corrected=False)[np.triu_indices(few.shape[1], 1)].mean() > 0.003
    assert abs(corrected) < 0.0004


def test_bias_correction_of_columns_without_information():
    X = np.array([[0, np.nan, 1, np.nan], [1, np.nan, 1, 0], [0, np.nan, 1, np.nan]])
    information = pairwise_mutual_information(X, [2] * 4)
    assert (information[:, 1:] == 0).all()
    assert pairwise_mutual_information(X[:0], [2] * 4).shape == (4, 4)


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_blocks_of_rows_and_columns(monkeypatch, missing):
    rng = np.random.default_rng(1)
    X = discrete_table(rng, 120, N_STATES, missing)
    whole = pairwise_mutual_information(X, N_STATES)
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    monkeypatch.setattr(module, "BLOCK_STATES", 20)
    np.testing.assert_array_equal(pairwise_mutual_information(X, N_STATES), whole)


def test_both_ways_of_counting_agree(monkeypatch):
    rng = np.random.default_rng(2)
    X = discrete_table(rng, 300, [9] * 6, 0.1)
    by_products = pairwise_mutual_information(X, [9] * 6)
    monkeypatch.setattr(module, "MAX_MATRIX_STATES", 1)
    by_pairs = pairwise_mutual_information(X, [9] * 6)
    np.testing.assert_allclose(by_pairs, by_products, rtol=0, atol=1e-12)


def test_tables_larger_than_the_rows_are_not_made():
    X = np.arange(500.0).repeat(2)[:, None] * [1, 1]
    X[:, 1] = X[::-1, 1]
    information = pairwise_mutual_information(X, [10**5] * 2)
    bias = (500 - 500 - 500 + 1) / 2000  # as many cells as rows and as columns
    np.testing.assert_allclose(information, np.log(500) - bias, rtol=1e-12)


@pytest.mark.parametrize("n_bins", [2, 5])
def test_continuous_against_naive(n_bins):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(90, 4))
    X[:, 1] += X[:, 0]
    X[:, 2] = np.maximum(X[:, 0] + X[:, 2], 0)  # half of it one value
    X[:, 3] = rng.integers(0, 3, 90)
    weight = rng.integers(0, 3, 90)
    binned = np.column_stack([repeated_rows_bins(x.repeat(weight), n_bins) for x in X.T])
    information = pairwise_mutual_information(X, [None] * 4, sample_weight=weight, n_bins=n_bins)
    np.testing.assert_allclose(information, naive(binned), rtol=0, atol=1e-12)


def test_continuous_with_missing_cells():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(80, 2)) @ [[1.0, 0.8], [0.0, 0.6]]
    X[rng.uniform(size=X.shape) < 0.3] = np.nan
    binned = np.full_like(X, np.nan)
    for column in range(2):
        present = ~np.isnan(X[:, column])
        binned[present, column] = repeated_rows_bins(X[present, column], 4)
    information = pairwise_mutual_information(X, [None] * 2, n_bins=4)
    np.testing.assert_allclose(information, naive(binned), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_bins", ["auto", 3])
def test_weights_are_repeated_rows(n_bins):
    rng = np.random.default_rng(5)
    X = np.column_stack([discrete_table(rng, 200, [2, 4, 40], 0.1), rng.normal(size=(200, 2))])
    n_states = [2, 4, 40, None, None]
    weight = rng.integers(0, 5, 200)
    weighted = pairwise_mutual_information(X, n_states, sample_weight=weight, n_bins=n_bins)
    repeated = pairwise_mutual_information(X.repeat(weight, axis=0), n_states, n_bins=n_bins)
    np.testing.assert_allclose(weighted, repeated, rtol=0, atol=1e-12)


def test_weights_beyond_float32():
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
    weight = np.array([2.0**30 + 1, 2.0**30, 2.0**30, 2.0**30 + 1])
    information = pairwise_mutual_information(X, [2, 2], sample_weight=weight)
    excess = 1 / (2 * weight.sum())  # p(a, b) = 1/4 +- excess
    bias = 1 / (2 * weight.sum())
    assert abs(information[0, 1] + bias) < 16 * excess**2 + 1e-15
    np.testing.assert_allclose(np.diag(information), np.log(2) + bias, rtol=1e-12)


def test_constant_and_missing_columns_are_exactly_zero():
    rng = np.random.default_rng(6)
    X = np.column_stack([rng.integers(0, 2, 33), np.ones(33), np.full(33, np.nan), np.zeros(33)])
    X[:5, 3] = np.nan
    for n_states in ([2, 2, 2, 2], [2, None, None, 3]):
        information = pairwise_mutual_information(X, n_states)
        assert (information[:, 1:] == 0).all()
        assert (information[1:] == 0).all()
    # Constant on the rows of the pair only.
    X = np.column_stack([rng.integers(0, 2, 33), np.arange(33) < 5]).astype(float)
    X[:5, 0] = np.nan
    assert pairwise_mutual_information(X, [2, 2])[0, 1] == 0


def test_columns_never_observed_together():
    X = np.array([[0, np.nan], [1, np.nan], [np.nan, 0], [np.nan, 1]])
    own = np.log(2) + 1 / 4  # two rows
    np.testing.assert_allclose(pairwise_mutual_information(X, [2, 2]), own * np.eye(2))


def test_no_rows_of_positive_weight():
    X = np.ones((3, 2))
    assert (pairwise_mutual_information(X, [2, None], sample_weight=np.zeros(3)) == 0).all()


@pytest.mark.parametrize("dtype", [np.uint8, bool])
def test_codes_of_other_types(dtype):
    X = discrete_table(np.random.default_rng(10), 100, [2, 2, 2])
    np.testing.assert_array_equal(
        pairwise_mutual_information(X.astype(dtype), [2] * 3),
        pairwise_mutual_information(X, [2] * 3),
    )


def test_affordable_rows():
    assert affordable_rows([256] * 784) == 10_000
    assert affordable_rows([2] * 10) > affordable_rows([None] * 10) > affordable_rows([None] * 100)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_states": [2]}, "n_states has 1 entries for X of shape"),
        ({"n_states": [2, 1]}, "values from 0 to 1 in column 1, a discrete column of 1 states"),
        ({"X": np.array([[0, 0.5]])}, "no integers in column 1"),
        ({"X": np.array([[0.0, -1.0]])}, "values from -1 to -1 in column 1"),
        ({"sample_weight": [1.0]}, "sample_weight has shape"),
        ({"sample_weight": [1.0, -1.0]}, "negative"),
        ({"sample_weight": [1.0, np.nan]}, "non-finite"),
        ({"n_bins": 1}, "n_bins=1"),
    ],
)
def test_errors(change, message):
    arguments = {"X": np.array([[0.0, 0.0], [1.0, 1.0]]), "n_states": [2, 2]} | change
    with pytest.raises(ValueError, match=message):
        pairwise_mutual_information(**arguments)


def test_speed():
    """A loop over the pairs and their rows would take minutes."""
    X = np.random.default_rng(7).normal(size=(2000, 150))
    start = perf_counter()
    pairwise_mutual_information(X, [None] * 150)
    assert perf_counter() - start < 10
