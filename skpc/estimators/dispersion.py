"""Which columns vary less around what the other columns say of them than counts can."""

from __future__ import annotations

import numpy as np

from .scaling import REACH, robust_moments

#: Counts are taken for others where they are narrower than Poisson variables of their rate by this
#: factor: a Poisson unit then loses 0.03 nats a row, of which a normal one may lose a part.
NARROW = 0.7
#: By so many standard errors.
SURE = 3.0
#: Rows that are looked at, at most: a draw from long tables.
MOST_ROWS = 1 << 12
#: Columns whose values are predicted from each other at once, at most.
MOST_COLUMNS = 512


def narrower_than_counts(X, sample_weight: np.ndarray | None, columns: list[int]) -> np.ndarray:
    """Which columns of counts no mixture of Poisson variables can follow.

    Given the other columns, a column of a circuit with Poisson or negative binomial leaves is a
    mixture of such variables, so its variance is at least its expectation; and around any
    prediction from the other columns it varies no less. A column x that they predict as f with
    E[(x - f)²] < E[x] is therefore no column of counts, as far as the others go: rounded
    measurements, totals, counts of which one contains the other. Predictions are linear, by ridge
    regression, and their errors corrected for having seen the row, by generalised
    cross-validation.

    Parameters
    ----------
    X : array or FrameTable of shape (n, n_columns)
        NaN is missing.
    sample_weight : ndarray of shape (n,) or None
    columns : list of int
        Columns of whole numbers from 0 on.

    Returns
    -------
    ndarray of bool, shape (len(columns),)
        Where the mean of (x - f)² lies below 0.7 times that of x by three standard errors.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> age = rng.normal(45, 9, 200)
    >>> X = np.round(np.column_stack([age, age + rng.normal(size=200), rng.poisson(45, 200)]))
    >>> narrower_than_counts(X, None, [0, 1, 2])
    array([ True,  True, False])
    """
    n, n_columns = X.shape
    rows: slice | np.ndarray = slice(None)
    if n > MOST_ROWS:
        rows = np.unique(np.random.RandomState(0).randint(n, size=MOST_ROWS))
    weight = None if sample_weight is None else sample_weight[rows]
    asked = np.zeros(n_columns, dtype=bool)
    asked[columns] = True
    for start in range(0, n_columns, MOST_COLUMNS):
        part = slice(start, start + MOST_COLUMNS)
        if asked[part].any():
            cells = np.asarray(X[rows], dtype=np.float64)[:, part]
            asked[part] = _narrower(cells, weight, np.flatnonzero(asked[part]))
    return asked[columns]


def _narrower(X: np.ndarray, weight: np.ndarray | None, columns: np.ndarray) -> np.ndarray:
    """The same for all columns of an array; of others than those asked for, False."""
    n_columns = X.shape[1]
    weight = np.ones(len(X)) if weight is None else weight
    shift, scale = np.array([robust_moments(x, weight) for x in X.T]).T
    with np.errstate(over="ignore"):
        z = (X - shift) / scale
    # Wild cells tell nothing, as missing ones.
    seen = np.abs(z) <= REACH
    z = np.where(seen, z, 0.0)
    # Row i less its prediction from the other columns is (z P)_ij / P_jj, P the precision.
    precision = np.linalg.inv((z.T * weight) @ z + n_columns * np.eye(n_columns))
    through = z @ precision
    freedom = weight @ (through * z).sum(axis=1) / weight.sum()
    error = through / np.diag(precision) / (1.0 - freedom)
    # Rows in which the column that says most is missing would hide what it says.
    strength = np.abs(precision)
    np.fill_diagonal(strength, 0.0)
    seen &= seen[:, strength.argmax(axis=0)]
    seen, error, z = seen[:, columns], error[:, columns], z[:, columns]
    shift, scale = shift[columns], scale[columns]
    excess = np.where(seen, (scale * error) ** 2 - NARROW * (shift + scale * z), 0.0)
    observed = np.maximum(weight @ seen, 1.0)
    mean = weight @ excess / observed
    spread = np.sqrt(weight @ np.where(seen, excess - mean, 0.0) ** 2) / observed
    out = np.zeros(n_columns, dtype=bool)
    out[columns] = mean + SURE * spread < 0
    return out
