import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from skpc.structures.column_codes import default_n_bins, encode_column, quantile_edges


def naive_quantile_bins(x, n_bins):
    """Bins by counting rows one at a time, in the repeated data."""
    ordered = np.sort(x)
    if np.unique(x).size <= n_bins:
        return np.unique(x, return_inverse=True)[1]
    edges = set()
    for k in range(1, n_bins):
        position = next(i for i in range(x.size) if (i + 1) * n_bins >= k * x.size)
        edges.add(ordered[position])
    edges.discard(ordered[-1])
    return np.array([sum(edge < value for edge in edges) for value in x])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(-3, 8), st.integers(0, 4)), min_size=1, max_size=30),
    st.integers(2, 6),
)
def test_weighted_quantiles_are_those_of_repeated_rows(rows, n_bins):
    values, counts = np.array(rows, dtype=float).T
    if counts.sum() == 0:
        return
    kept = counts > 0
    repeated = values.repeat(counts.astype(int))
    edges = quantile_edges(values[kept], counts[kept], n_bins)
    np.testing.assert_array_equal(edges, quantile_edges(repeated, np.ones(repeated.size), n_bins))
    bins = np.searchsorted(edges, repeated)
    np.testing.assert_array_equal(bins, naive_quantile_bins(repeated, n_bins))
    assert np.unique(bins).size == edges.size + 1 <= n_bins


def test_infinite_values_are_the_outermost():
    X = np.array([-np.inf, -1, 0, 1, np.inf])[:, None]
    codes, size = encode_column(X[:, 0], np.ones(5), 0, None, 5)
    assert size == 5
    np.testing.assert_array_equal(codes, np.arange(5))


def test_default_n_bins():
    assert [default_n_bins(w, 10) for w in (1, 20, 150, 500, 10**6)] == [2, 2, 5, 10, 10]
    assert [default_n_bins(10**6, v) for v in (800, 1000, 10**4)] == [10, 8, 3]
    assert default_n_bins(10**6, 0) == 10
