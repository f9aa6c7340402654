"""Fewer rows for structure learning, by weight."""

import numpy as np


def stratified_row_sample(weight, n_draws, random_state):
    """How often each row is drawn when n_draws draws are spread evenly over the weight.

    The rows lie end to end, each as long as its weight; the line is cut into n_draws equal parts
    and one point is drawn in each. So a row is drawn in proportion to its weight, a row of weight 2
    exactly as often as two neighbouring rows of weight 1, and a row of weight 0 never.

    Parameters
    ----------
    weight : array of shape (n_rows,)
        Not negative, with a positive sum.
    n_draws : int
    random_state : numpy RandomState

    Returns
    -------
    array of shape (n_rows,), float64
        Integers that sum to n_draws.

    Examples
    --------
    >>> import numpy as np
    >>> stratified_row_sample(np.array([1.0, 0.0, 3.0]), 4, np.random.RandomState(0))
    array([1., 0., 3.])
    """
    ends = np.cumsum(weight)
    points = (np.arange(n_draws) + random_state.uniform(size=n_draws)) * (ends[-1] / n_draws)
    # Rounding may put the last point on the end of the line, which belongs to no row.
    points = np.minimum(points, np.nextafter(ends[-1], 0))
    rows = np.searchsorted(ends, points, side="right")
    return np.bincount(rows, minlength=ends.size).astype(np.float64)
