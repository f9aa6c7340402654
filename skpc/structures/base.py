"""What every structure has: a size of its own, and `build`."""

from abc import ABC, abstractmethod

from sklearn.base import BaseEstimator

from ..utils.numbers import is_whole


class Structure(BaseEstimator, ABC):
    """A recipe that turns data into a circuit.

    A subclass takes ``n_components=None`` among its parameters and builds with
    ``self.resolve_n_components(n_components)``.

    Attributes
    ----------
    learns_parameters : bool
        Whether the nodes carry start values learnt from the rows, which training only refines.
    """

    learns_parameters = False

    @property
    def shares_columns(self) -> bool:
        """Whether columns share leaves, so that all must be encoded alike."""
        return False

    @property
    def reads_numbers(self) -> bool:
        """Whether the circuit depends on how large numbers are, not on their order alone.

        Cells far out are then drawn in before `build` sees them, and linear algebra keeps to one
        thread, for several round differently.
        """
        return self.learns_parameters

    @abstractmethod
    def build(self, X, distributions, *, n_components, sample_weight=None, random_state=None):
        """Make a circuit over all columns of X.

        Parameters
        ----------
        X : array of shape (n_rows, n_variables), of floats, uint8 or bool
            Encoded rows: codes 0, 1, ... in discrete columns, NaN where a cell is missing.
        distributions : sequence of length n_variables, of Distribution
            The leaf family of each column.
        n_components : int
            Latent states a region, where the structure has no number of its own.
        sample_weight : array of shape (n_rows,), optional
            A weight of 2 equals two rows, a weight of 0 equals absence.
        random_state : int, numpy RandomState or None

        Returns
        -------
        Circuit
        """

    def check(self) -> None:
        """Raise ValueError for a setting that cannot work, before any work is done."""
        own = getattr(self, "n_components", None)
        if own is not None:
            self.resolve_n_components(own)

    def resolve_n_components(self, n_components):
        """The structure's own number of latent states, or else the given one.

        Parameters
        ----------
        n_components : int

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If the number that holds is not a positive integer.
        """
        own = getattr(self, "n_components", None)
        number = n_components if own is None else own
        if not is_whole(number, 1):
            raise ValueError(f"n_components={number!r} must be an integer of at least 1.")
        return int(number)
