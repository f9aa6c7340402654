"""One Chow-Liu tree: every column depends on one other column, without latent variables."""

import numpy as np

from ..circuit import Circuit, Input, Node, Product, Sum
from ..distributions import Indicator
from .base import Structure
from .chow_liu import maximum_spanning_tree, rooted_tree, tree_centre
from .column_codes import check_n_bins
from .mutual_information import pairwise_mutual_information


class CLTree(Structure):
    """The best tree of dependences between columns, each node a table of conditional probabilities.

    The binary and categorical columns are joined by the spanning tree of largest mutual
    information [1]_; a continuous column depends on the one of them that tells most about it. The
    circuit has no latent variable, so that one step of EM finds its parameters.

    Parameters
    ----------
    n_bins : int or "auto", default="auto"
        Largest number of quantile bins in which a continuous column is counted.

    References
    ----------
    .. [1] C. K. Chow and C. N. Liu, "Approximating discrete probability distributions with
       dependence trees", IEEE Transactions on Information Theory 14, 1968.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Bernoulli
    >>> from skpc.structures import CLTree
    >>> X = np.array([[0, 0, 1], [0, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=float)
    >>> CLTree().build(X, [Bernoulli()] * 3, n_components=1)
    Circuit(n_variables=3, ...)
    """

    def __init__(self, n_bins="auto"):
        self.n_bins = n_bins

    def check(self):
        check_n_bins(self.n_bins)

    def build(self, X, distributions, *, n_components, sample_weight=None, random_state=None):
        """Learn the tree and make its circuit.

        Parameters
        ----------
        X : array of shape (n_rows, n_variables)
            Encoded rows.
        distributions : sequence of length n_variables, of Distribution
        n_components : int
            Not used: a node has as many units as its column states.
        sample_weight : array of shape (n_rows,), optional
        random_state
            Not used.

        Returns
        -------
        Circuit
        """
        self.check()
        n_states = [family.n_states for family in distributions]
        finite = [variable for variable, states in enumerate(n_states) if states is not None]
        if not finite:
            raise ValueError(
                "structure='cltree' needs a binary or categorical column, and there is none; use "
                "'hclt' or 'mixture' for continuous columns."
            )
        information = pairwise_mutual_information(
            X, n_states, sample_weight=sample_weight, n_bins=self.n_bins
        )
        leaves: list[list[Node]] = [[indicators(v, n_states[v])] for v in finite]
        for variable, states in enumerate(n_states):
            if states is None:
                place = int(np.argmax(information[variable, finite]))
                units = n_states[finite[place]]
                leaves[place].append(Input(variable, distributions[variable], units))
        edges = maximum_spanning_tree(information[np.ix_(finite, finite)])

        def table(_node, above, vector):
            return Sum([vector], n_states[finite[above]])

        vector = tree_vector(edges, tree_centre(edges), leaves, table)
        return Circuit(Sum([vector], 1), len(distributions))


def indicators(variable, n_states):
    """The leaf whose units know the states of a column, one each."""
    return Input(variable, Indicator(n_states), n_states, mean=np.eye(n_states))


def tree_vector(edges, root, leaves, transition):
    """The vector at the root of a tree, each node of which is a product.

    Parameters
    ----------
    edges : array of shape (n_nodes - 1, 2), int
    root : int
    leaves : sequence of lists of Node
        What stands at every node: its factors but for those of the nodes below.
    transition : callable
        From a node, the node above it, and the vector of the first, to a factor of the second.

    Returns
    -------
    Node
    """
    parents, order = rooted_tree(edges, root)
    factors = [list(parts) for parts in leaves]

    def vector_of(node):
        parts = factors[node]
        return parts[0] if len(parts) == 1 else Product(parts)

    for node in order[:0:-1]:
        above = parents[node]
        factors[above].append(transition(node, above, vector_of(node)))
    return vector_of(root)
