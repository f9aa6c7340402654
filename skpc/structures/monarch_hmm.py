"""Hidden Markov models with many states: the transition is a Monarch matrix."""

from ..circuit import Product, Sum
from .hmm import HMM


class MonarchHMM(HMM):
    """Hidden Markov model whose transition matrix is a product of two block-diagonal ones.

    The states are the cells (i, j) of a grid of ``rows x columns``. A step first chooses the next
    row given the whole state, then the next column given that row and the column before:
    P(i', j' | i, j) = L_j[i, i'] R_i'[j, j']. As matrices this is a permutation between two
    block-diagonal factors, a Monarch matrix [1]_ [2]_. It has K (rows + columns) numbers for K
    states instead of K squared, and takes as many multiplications.

    Parameters
    ----------
    n_components : int, optional
        States, a product of two numbers of at least 2; None takes the estimator's. Squares, such
        as 256, 1024 or 4096, need the fewest numbers.
    homogeneous : bool, default=True
        As in `HMM`.

    References
    ----------
    .. [1] T. Dao et al., "Monarch: expressive structured matrices for efficient and accurate
       training", ICML 2022.
    .. [2] H. Zhang, M. Dang, B. Wang, S. Ermon, N. Peng and G. Van den Broeck, "Scaling
       probabilistic circuits via Monarch matrices", ICML 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Categorical
    >>> from skpc.structures import HMM, MonarchHMM
    >>> X, families = np.zeros((1, 3)), [Categorical(5)] * 3
    >>> HMM().build(X, families, n_components=64).n_parameters
    4480
    >>> MonarchHMM().build(X, families, n_components=64).n_parameters
    1408
    """

    def resolve_n_components(self, n_components):
        """The number of states, as in `Structure`, checked to make a grid."""
        n_components = super().resolve_n_components(n_components)
        grid_of(n_components)
        return n_components

    def move(self, later, n_states, shared):
        """From the states of a step to those of the one before it; see `HMM.move`."""
        rows, columns = grid_of(n_states)
        right, left = shared or (None, None)
        column = Sum(later, n_states, kind="block", n_blocks=rows, share=right)
        turned = Product(column, grid=(rows, columns))
        row = Sum(turned, n_states, kind="block", n_blocks=columns, share=left)
        return Product(row, grid=(columns, rows)), [column, row]


def grid_of(n_states):
    """Rows and columns, as equal as can be, of a grid of so many cells.

    Raises
    ------
    ValueError
        If there is none of at least two rows.

    Examples
    --------
    >>> grid_of(64), grid_of(32), grid_of(6)
    ((8, 8), (4, 8), (2, 3))
    """
    rows = max(n for n in range(1, int(n_states**0.5) + 1) if n_states % n == 0)
    if rows == 1:
        raise ValueError(
            f"n_components={n_states} must be a product of two numbers of at least 2 for a "
            "Monarch matrix; take a square such as 64 or 256, or structure='hmm'."
        )
    return rows, n_states // rows
