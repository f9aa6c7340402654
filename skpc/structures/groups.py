"""Groups of continuous columns that one latent variable emits together."""

from ..circuit import Input
from ..distributions import FactorGaussian, Gaussian, MultivariateGaussian


def gaussian_columns(distributions):
    """The columns with Gaussian leaves.

    Parameters
    ----------
    distributions : sequence of Distribution

    Returns
    -------
    tuple of int
    """
    return tuple(v for v, family in enumerate(distributions) if isinstance(family, Gaussian))


def gather(groups, wanted):
    """Groups of columns in which those of every wanted group stand together, in order.

    Examples
    --------
    >>> gather([(0,), (1,), (2,), (3,)], [(1, 3)])
    [(0,), (1, 3), (2,)]
    """
    taken = {variable for group in wanted for variable in group}
    rest = [group for group in groups if not taken.intersection(group)]
    return sorted(rest + [tuple(group) for group in wanted if group])


def group_leaf(group, distributions, n_units, n_factors=None):
    """The input of a group: a column's own family, or normal distributions of several columns.

    Parameters
    ----------
    group : tuple of int
    distributions : sequence of Distribution
        Of every column; those of a group of several are Gaussian.
    n_units : int
    n_factors : int, optional
        Factors of the covariance of several columns. None is a full one, as are enough factors
        for every covariance: one less than columns.

    Returns
    -------
    Input
    """
    family = distributions[group[0]]
    if len(group) > 1:
        floor = tuple(distributions[variable].variance_floor for variable in group)
        if n_factors is None or n_factors >= len(group) - 1:
            family = MultivariateGaussian(len(group), floor)
        else:
            family = FactorGaussian(len(group), floor, n_factors)
    return Input(group, family, n_units)
