"""Random and tensorised circuits: columns cut at random, again and again."""

from sklearn.utils import check_random_state

from .base import Structure
from .region_graph import Region, check_counts, check_product, factorised_leaf, region_circuit


class RAT(Structure):
    """A mixture of random circuits: all columns are halved at random, then every half, and so on.

    The structure is not learnt [1]_: it takes no time, is balanced, and suits tables whose columns
    depend on one another in no known order. With ``product="kronecker"`` it is an Einsum network
    [2]_.

    Parameters
    ----------
    n_components : int, optional
        Sums of every region; None takes the estimator's.
    depth : int or None, default=3
        How often the columns are halved, at most until every column stands alone; None halves
        that often. Random halves that are cut finer are harder to learn (see Notes).
    n_repetitions : int, default=10
        Random circuits, which the root mixes. They share no parameters.
    n_leaf_units : int, optional
        Units of every leaf region, in each of which its columns are independent; None has as many
        as there are sums.
    product : {"elementwise", "kronecker"}, default="elementwise"
        Whether two halves are multiplied unit by unit, or every unit of one with every unit of
        the other. The latter has n_components times as many parameters and takes as many times
        longer.

    Notes
    -----
    Test log-likelihoods by depth, 10 repetitions: NLTCS (16 columns, 32 sums, 40 passes) with 2, 3,
    4 halvings -6.015, -6.001, -6.049; Plants (69 columns, 16 sums, 15 passes) with 2, 3, 4, 6
    halvings -13.30, -13.21, -13.20, -13.59.

    References
    ----------
    .. [1] R. Peharz et al., "Random sum-product networks: a simple and effective approach to
       probabilistic deep learning", UAI 2019.
    .. [2] R. Peharz et al., "Einsum networks: fast and scalable learning of tractable
       probabilistic circuits", ICML 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Bernoulli
    >>> from skpc.structures import RAT
    >>> RAT(depth=2, n_repetitions=3).build(np.zeros((1, 8)), [Bernoulli()] * 8, n_components=4)
    Circuit(n_variables=8, ...)
    """

    def __init__(
        self,
        n_components=None,
        depth=3,
        n_repetitions=10,
        n_leaf_units=None,
        product="elementwise",
    ):
        self.n_components = n_components
        self.depth = depth
        self.n_repetitions = n_repetitions
        self.n_leaf_units = n_leaf_units
        self.product = product

    def check(self):
        super().check()
        check_counts(self, "n_repetitions", optional=["depth", "n_leaf_units"])
        check_product(self.product)

    def build(self, X, distributions, *, n_components, sample_weight=None, random_state=None):
        """Make the circuit; the rows are not looked at.

        Parameters
        ----------
        X : array of shape (n_rows, n_variables)
        distributions : sequence of length n_variables, of Distribution
            The leaf family of each column.
        n_components : int
            Sums of every region, where the structure has no number of its own.
        sample_weight
            Not used.
        random_state : int, numpy RandomState or None
            Cuts the columns.

        Returns
        -------
        Circuit
        """
        self.check()
        n_components = self.resolve_n_components(n_components)
        n_variables = len(distributions)
        root = random_regions(
            n_variables, self.depth, self.n_repetitions, check_random_state(random_state)
        )
        leaf = factorised_leaf(distributions, self.n_leaf_units or n_components)
        return region_circuit(root, leaf, n_components, n_variables, self.product)


def random_regions(n_variables, depth, n_repetitions, random_state):
    """All columns, cut `n_repetitions` times into halves of halves.

    Parameters
    ----------
    n_variables : int
    depth : int or None
        None cuts until every column stands alone.
    n_repetitions : int
    random_state : numpy RandomState

    Returns
    -------
    Region
    """
    if depth is None:
        depth = n_variables

    def cut(columns, depth):
        if depth == 0 or len(columns) == 1:
            return Region(sorted(columns))
        return Region(partitions=[halves(columns, depth)])

    def halves(columns, depth):
        # A random order cut in the middle is cut at random at every level.
        middle = len(columns) // 2
        return cut(columns[:middle], depth - 1), cut(columns[middle:], depth - 1)

    if n_variables == 1:
        return Region([0])
    orders = [random_state.permutation(n_variables) for _ in range(n_repetitions)]
    return Region(partitions=[halves(order, depth) for order in orders])
