"""Columns as small integer codes: states, or bins at weighted quantiles."""

import numpy as np

from ..utils.numbers import is_whole

# Pairs of 1000 columns in 8 bins are counted over 20 000 rows in about ten seconds on two cores.
BINNED_STATES = 8000


def check_weight(sample_weight, n_rows):
    """Split weights into the kept rows and their weights.

    Parameters
    ----------
    sample_weight : array of shape (n_rows,) or None
    n_rows : int

    Returns
    -------
    kept : boolean array of shape (n_rows,) or None
        None when no row has weight 0.
    weight : array of shape (n_kept,), float64
    """
    if sample_weight is None:
        return None, np.ones(n_rows)
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n_rows,):
        raise ValueError(
            f"sample_weight has shape {weight.shape}, X has {n_rows} rows; give one weight a row."
        )
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("sample_weight has negative or non-finite entries; weights are 0 or more.")
    kept = weight > 0
    return (None, weight) if kept.all() else (kept, weight[kept])


def default_n_bins(total_weight, n_columns):
    """Number of bins for continuous columns, between 2 and 10.

    A table of two binned columns keeps five rows a cell, so that 150 rows have 5 bins, 500 or more
    rows 10; and all columns together have at most 8000 bins, or three each, the fewest in which a
    dependence symmetric about the median does not vanish.

    Parameters
    ----------
    total_weight : float
        Rows, or the sum of their weights.
    n_columns : int
        Number of continuous columns.

    Returns
    -------
    int

    Examples
    --------
    >>> default_n_bins(150, 4), default_n_bins(20_000, 100), default_n_bins(20_000, 1000)
    (5, 10, 8)
    """
    by_rows = int(min(10, np.sqrt(total_weight / 5)))
    by_columns = max(3, BINNED_STATES // max(n_columns, 1))
    return max(2, min(by_rows, by_columns))


def check_n_bins(n_bins):
    """Raise ValueError unless this is a number of bins, or "auto"."""
    if not (is_whole(n_bins, 2) or (isinstance(n_bins, str) and n_bins == "auto")):
        raise ValueError(f"n_bins={n_bins!r} must be 'auto' or an integer of at least 2.")


def resolve_n_bins(n_bins, total_weight, n_states):
    """An explicit number of bins, checked, or the default one."""
    check_n_bins(n_bins)
    if isinstance(n_bins, str):
        return default_n_bins(total_weight, sum(states is None for states in n_states))
    return n_bins


def quantile_edges(values, weight, n_bins):
    """Upper edges of the bins of a continuous column, the last bin being open.

    Edge k is the smallest value at or below which lies at least a share k / n_bins of the weight,
    exactly as if every row were repeated weight times. A column with at most n_bins distinct values
    has a bin for each; a value that makes up several bins closes one of them.

    Parameters
    ----------
    values : array of shape (n,)
        Without NaN.
    weight : array of shape (n,)
        Positive.
    n_bins : int

    Returns
    -------
    array of shape (n_edges,)
        Strictly increasing, below the largest value; bin(x) is the number of edges below x.

    Examples
    --------
    >>> import numpy as np
    >>> quantile_edges(np.array([4.0, 1.0, 3.0, 2.0]), np.array([1.0, 1.0, 1.0, 3.0]), 2)
    array([2.])
    """
    order = np.argsort(values)
    ordered = values[order]
    last_of_value = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), ordered.size - 1)
    if last_of_value.size <= n_bins:
        return ordered[last_of_value[:-1]]
    cumulated = np.cumsum(weight[order])
    # Both sides times n_bins: for integer weights the comparison is exact.
    positions = np.searchsorted(cumulated * n_bins, np.arange(1, n_bins) * cumulated[-1])
    edges = np.unique(ordered[positions])
    return edges[edges < ordered[-1]]


def encode_column(values, weight, column, n_states, n_bins):
    """Replace values by 0 ... size - 1, every code occurring, and missing cells by -1.

    Parameters
    ----------
    values, weight : arrays of shape (n_rows,)
    column : int
        For the error sentence.
    n_states : int or None
    n_bins : int

    Returns
    -------
    codes : array of shape (n_rows,), int8 for up to 127 states, else int32
    size : int
    """
    missing = np.isnan(values)
    has_missing = missing.any()
    if has_missing:
        present, present_weight = values[~missing], weight[~missing]
    else:
        present, present_weight = values, weight
    if present.size == 0:
        return np.full(values.shape, -1, dtype=np.int8), 0
    if n_states is None:
        edges = quantile_edges(present, present_weight, n_bins)
        codes, size = np.searchsorted(edges, present), edges.size + 1
    else:
        if not (present.min() >= 0 and present.max() < n_states):
            raise ValueError(
                f"X has values from {present.min():g} to {present.max():g} in column {column}, a "
                f"discrete column of {n_states} states; its codes are 0 to {n_states - 1}."
            )
        codes = present.astype(np.intp)
        if (codes != present).any():
            raise ValueError(
                f"X has values that are no integers in column {column}, a discrete column of "
                f"{n_states} states; give its codes, or None as its n_states."
            )
        occurs = np.bincount(codes, minlength=n_states) > 0
        size = np.count_nonzero(occurs)
        if size < n_states:
            codes = (np.cumsum(occurs) - 1)[codes]
    encoded = np.full(values.shape, -1, dtype=np.int8 if size <= 127 else np.int32)
    if has_missing:
        encoded[~missing] = codes
    else:
        encoded[:] = codes
    return encoded, int(size)
