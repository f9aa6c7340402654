"""Quantiles of weighted values that equal those of repeated values."""

from __future__ import annotations

import numpy as np

#: Shares of a sum are compared with this relative tolerance: 0.07 · 100 is not 7 in binary.
_ROUNDING = 1e-12


def weighted_quantiles(
    values: np.ndarray, weight: np.ndarray | None, shares: list[float]
) -> np.ndarray:
    """Values below which given shares of the weight lie.

    The averaged inverse of the distribution function: where a share ends exactly between two
    values, their mean; otherwise the value it ends in. So a value of weight 2 counts as two
    values, one of weight 0 not at all, and all weights may be multiplied by the same number.

    Parameters
    ----------
    values : ndarray of shape (n,)
        At least one, without NaN.
    weight : ndarray of shape (n,) or None
        Positive; None is 1 everywhere.
    shares : list of float
        Between 0 and 1.

    Returns
    -------
    ndarray of shape (n_shares,)

    Examples
    --------
    >>> import numpy as np
    >>> weighted_quantiles(np.array([3.0, 1.0]), np.array([3.0, 1.0]), [0.25, 0.5])
    array([2., 3.])
    >>> weighted_quantiles(np.array([1.0, 3.0, 3.0, 3.0]), None, [0.25, 0.5])
    array([2., 3.])
    """
    asked = np.asarray(shares, dtype=np.float64)
    if weight is None:
        n = len(values)
        below = np.ceil(asked * n * (1 - _ROUNDING)).astype(int) - 1
        above = np.floor(asked * n * (1 + _ROUNDING)).astype(int)
        ordered = values
    else:
        order = np.argsort(values, kind="stable")
        ordered, ends = values[order], np.cumsum(weight[order])
        n = len(values)
        below = np.searchsorted(ends, asked * ends[-1] * (1 - _ROUNDING), side="left")
        above = np.searchsorted(ends, asked * ends[-1] * (1 + _ROUNDING), side="right")
    below, above = np.clip(below, 0, n - 1), np.clip(above, 0, n - 1)
    if weight is None:
        ordered = np.partition(values, np.unique([below, above]))
    low, high = ordered[below], ordered[above]
    # Halves first, so that nothing overflows.
    return np.where(low == high, low, low / 2 + high / 2)
