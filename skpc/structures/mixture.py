"""Mixtures: one latent variable over all columns."""

import numpy as np

from ..circuit import Circuit, Product, Sum
from ..utils.numbers import is_whole
from .base import Structure
from .groups import gather, gaussian_columns, group_leaf

COVARIANCES = ("full", "factor", "diag")


class Mixture(Structure):
    """One sum over components in which columns are independent, or jointly Gaussian.

    With ``covariance="full"`` and continuous columns alone it is a Gaussian mixture, as
    ``sklearn.mixture.GaussianMixture`` fits it, with missing cells integrated out.

    Parameters
    ----------
    n_components : int, optional
        Components; None takes the estimator's.
    covariance : {"full", "factor", "diag"}, default="full"
        Whether the continuous columns of a component have any covariance, one with few factors
        (a mixture of factor analysers [2]_), or are independent. Columns of other kinds are
        always independent within a component.
    n_factors : int or "auto", default="auto"
        Factors of a component's covariance with ``covariance="factor"``; "auto" takes the root of
        the number of continuous columns, rounded. One less than columns is a full covariance.
    depth : int, default=1
        Number of consecutive sums. With more than one, the weight of every component is a product
        of as many weights: the same family of distributions with more parameters [1]_. The
        components must then be a product of as many numbers of at least 2.

    Notes
    -----
    Factors pay where columns are many for the rows, and cost where columns are nearly functions of
    each other. Eight components, standardised columns, five folds, nats a row: wine (13 columns)
    -14.62 full, -14.07 with "auto" (4) factors, -14.58 diagonal; breast_cancer (30 columns, most of
    them radii, areas and perimeters) -3.90 full, -10.83 with "auto" (5), -5.45 with 12, -24.94
    diagonal. A fit took 0.4, 2.4 and 0.2 s of one core on wine, 0.9, 9.3, 16.5 and 0.3 s on
    breast_cancer.

    References
    ----------
    .. [1] Trapp, Peharz and Pernkopf, "Optimisation of overparametrized sum-product networks",
       TPM 2019.
    .. [2] Ghahramani and Hinton, "The EM algorithm for mixtures of factor analyzers", technical
       report CRG-TR-96-1, University of Toronto, 1996.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Bernoulli, Gaussian
    >>> from skpc.structures import Mixture
    >>> Mixture(depth=2).build(np.zeros((4, 3)), [Gaussian(), Gaussian(), Bernoulli()],
    ...                        n_components=6)
    Circuit(n_variables=3, ...)
    """

    def __init__(self, n_components=None, covariance="full", depth=1, n_factors="auto"):
        self.n_components = n_components
        self.covariance = covariance
        self.depth = depth
        self.n_factors = n_factors

    def check(self):
        if self.covariance not in COVARIANCES:
            raise ValueError(
                f"covariance={self.covariance!r} is not known; use one of {COVARIANCES}."
            )
        if not (self.n_factors == "auto" or is_whole(self.n_factors, 1)):
            raise ValueError(
                f"n_factors={self.n_factors!r} must be 'auto' or an integer of at least 1."
            )
        if not is_whole(self.depth, 1):
            raise ValueError(f"depth={self.depth!r} must be an integer of at least 1.")
        super().check()

    def resolve_n_components(self, n_components):
        """The number of components, as in `Structure`, checked to fit the depth."""
        n_components = super().resolve_n_components(n_components)
        sum_sizes(n_components, self.depth)
        return n_components

    def build(self, X, distributions, *, n_components, sample_weight=None, random_state=None):
        """Make the circuit; the rows are not looked at.

        Parameters
        ----------
        X : array of shape (n_rows, n_variables)
        distributions : sequence of length n_variables, of Distribution
            The leaf family of each column.
        n_components : int
            Components, where the structure has no number of its own.
        sample_weight, random_state
            Not used.

        Returns
        -------
        Circuit
        """
        self.check()
        n_components = self.resolve_n_components(n_components)
        groups = [(variable,) for variable in range(len(distributions))]
        n_factors = None
        if self.covariance != "diag":
            together = gaussian_columns(distributions)
            groups = gather(groups, [together])
            if self.covariance == "factor":
                n_factors = self.n_factors
                if n_factors == "auto":
                    n_factors = max(1, round(len(together) ** 0.5))
        leaves = [group_leaf(group, distributions, n_components, n_factors) for group in groups]
        node = leaves[0] if len(leaves) == 1 else Product(leaves)
        for size in sum_sizes(n_components, self.depth):
            node = Sum([node], size, kind="block", n_blocks=size)
        return Circuit(node, len(distributions))


def sum_sizes(n_components, depth):
    """Units of every sum from the components to the root.

    Raises
    ------
    ValueError
        If the number of components is no product of so many numbers of at least 2.

    Examples
    --------
    >>> sum_sizes(8, 1), sum_sizes(8, 2), sum_sizes(8, 3), sum_sizes(28, 3)
    ([1], [2, 1], [4, 2, 1], [4, 2, 1])
    """
    if depth > 1 and count_primes(n_components) < depth:
        raise ValueError(
            f"depth={depth} needs n_components to be a product of {depth} numbers of at least 2, "
            f"which {n_components} is not; take a power of 2 from {2**depth} on, or depth=1."
        )
    factors, rest = [], n_components
    for left in range(depth, 1, -1):
        # The factor next to the root of what is left, of those that leave enough for the others.
        target = rest ** (1 / left)
        choices = [
            f for f in range(2, rest) if rest % f == 0 and count_primes(rest // f) >= left - 1
        ]
        factors.append(min(choices, key=lambda f: (round(abs(np.log(f / target)), 9), f)))
        rest //= factors[-1]
    return np.cumprod([1, *factors])[::-1].tolist()


def count_primes(number):
    """How many primes a number is the product of.

    Examples
    --------
    >>> count_primes(1), count_primes(7), count_primes(28)
    (0, 1, 3)
    """
    count, factor = 0, 2
    while number > 1:
        if number % factor:
            factor += 1
        else:
            number //= factor
            count += 1
    return count
