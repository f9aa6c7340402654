"""Mixtures of structures: one circuit whose root mixes the circuits of several recipes."""

from sklearn.utils import check_random_state

from ..circuit import Circuit, Sum
from .base import Structure


class MixedStructures(Structure):
    """A mixture of the circuits of several structures, trained together as one circuit.

    Every row goes to the structures in the share in which they explain it. Parameters that a
    structure learns from the rows, as "learnspn" does, are where training starts from.

    Parameters
    ----------
    structures : list or tuple of str or Structure, default=("hclt", "rat")
        Names, or objects with settings of their own. The same structure several times makes
        sense where it draws at random.
    n_components : int, optional
        Latent states a region, for those structures that have no number of their own; None takes
        the estimator's.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Bernoulli
    >>> from skpc.structures import HCLT, MixedStructures
    >>> X = np.array([[0, 0, 1], [0, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=float)
    >>> mixed = MixedStructures([HCLT(n_components=8), "mixture"])
    >>> mixed.build(X, [Bernoulli()] * 3, n_components=4)
    Circuit(n_variables=3, ...)
    """

    def __init__(self, structures=("hclt", "rat"), n_components=None):
        self.structures = structures
        self.n_components = n_components

    @property
    def shares_columns(self):
        return any(member.shares_columns for member in self._members())

    @property
    def reads_numbers(self):
        return any(member.reads_numbers for member in self._members())

    def check(self):
        super().check()
        self._members()

    def build(self, X, distributions, *, n_components, sample_weight=None, random_state=None):
        """Make the circuits of all structures and mix them.

        Parameters
        ----------
        X : array of shape (n_rows, n_variables), of floats, uint8 or bool
            Encoded rows.
        distributions : sequence of length n_variables, of Distribution
            The leaf family of each column.
        n_components : int
            Latent states a region, where neither the mixture nor the structure has a number.
        sample_weight : array of shape (n_rows,), optional
            A weight of 2 equals two rows, a weight of 0 equals absence.
        random_state : int, numpy RandomState or None
            Passed on: every structure draws numbers of its own.

        Returns
        -------
        Circuit
        """
        n_components = self.resolve_n_components(n_components)
        random_state = check_random_state(random_state)
        roots = [
            member.build(
                X,
                distributions,
                n_components=n_components,
                sample_weight=sample_weight,
                random_state=random_state,
            ).root
            for member in self._members()
        ]
        return Circuit(Sum(roots, 1), len(distributions))

    def _members(self):
        # Here, for the registry of names knows this file too.
        from . import STRUCTURES, resolve_structure

        if not isinstance(self.structures, list | tuple) or not self.structures:
            raise ValueError(
                f"structures={self.structures!r} must be a list of at least one name or Structure."
            )
        for member in self.structures:
            known = isinstance(member, str) and member in STRUCTURES
            if not (known or isinstance(member, Structure)):
                names = ", ".join(map(repr, sorted(STRUCTURES)))
                raise ValueError(
                    f"structures holds {member!r}; each must be one of {names}, or a Structure "
                    "object. What is fitted, or learnt with 'auto', is mixed by skpc.mix."
                )
        return [resolve_structure(member) for member in self.structures]
