"""Which columns of some rows are independent: tests of all pairs, and what hangs together."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import chi2

from .mutual_information import coded_information


def independent_groups(codes, sizes, weight, significance):
    """Groups of columns such that no two columns of different groups are found dependent.

    Every pair is tested by the likelihood ratio of its table of counts, the G-test: under
    independence G = 2 N · information is distributed about as chi-squared with
    (s - 1) (t - 1) degrees of freedom, s and t being the states that occur. Columns are in one
    group if a chain of dependent pairs joins them [1]_.

    Parameters
    ----------
    codes : integer array of shape (n_columns, n_rows)
        -1 is missing; a pair is tested on the rows in which both cells are present.
    sizes : sequence of int
        Codes of a column are below.
    weight : array of shape (n_rows,)
        Positive; a weight of 2 equals two rows.
    significance : float
        Probability of finding two independent columns dependent.

    Returns
    -------
    groups : list of arrays of int
        Columns of every group, groups by their first column.
    information : array of shape (n_columns, n_columns)
        Mutual informations, in nats.

    References
    ----------
    .. [1] R. Gens and P. Domingos, "Learning the structure of sum-product networks", ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.tile([0, 0, 1, 1], 50)
    >>> y = np.tile([0, 1, 0, 1], 50)
    >>> groups, _ = independent_groups(np.array([x, y, x]), [2, 2, 2], np.ones(200), 0.01)
    >>> [group.tolist() for group in groups]
    [[0, 2], [1]]
    """
    information = coded_information(list(codes), sizes, weight, 0.0)
    seen = codes >= 0
    if seen.all():
        together = np.full(information.shape, weight.sum())
    else:
        together = (seen * weight) @ seen.T.astype(np.float64)
    occurring = [np.count_nonzero(np.bincount(column + 1)[1:]) for column in codes]
    freedom = np.maximum(occurring, 1) - 1
    freedom = np.outer(freedom, freedom)
    several, which = np.unique(freedom, return_inverse=True)
    least = chi2.isf(significance, np.maximum(several, 1))[which].reshape(freedom.shape)
    dependent = (2 * together * information > least) & (freedom > 0)
    n_groups, label = connected_components(csr_array(dependent), directed=False)
    return [np.flatnonzero(label == group) for group in range(n_groups)], information
