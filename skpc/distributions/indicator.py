"""Indicators: leaves that know their state, for circuits that branch on observed values."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..utils.arrays import as_floats, codes, namespace
from .base import FloatArray
from .categorical import Categorical


@dataclass(frozen=True)
class Indicator(Categorical):
    """A variable that a member knows: its mean is one-hot, and learning never changes it.

    A vector of n_states units, one a state, lets the sum above it choose the state: the leaves of a
    Chow-Liu tree.

    Parameters
    ----------
    n_states : int
        Number of states, at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Indicator
    >>> Indicator(3).project([[0.2, 0.5, 0.3]])
    array([[0., 1., 0.]])
    """

    name: ClassVar[str] = "indicator"
    is_fixed: ClassVar[bool] = True
    mean_in_words: ClassVar[str] = "a one for one state, zeros for the others"

    def project(self, mean: npt.ArrayLike) -> FloatArray:
        """The state with the largest mass, the first of equals."""
        mass = as_floats(mean)
        xp, state = namespace(mass), mass.argmax(axis=-1)[..., np.newaxis]
        return xp.where(codes(mass, self.n_states) == state, xp.ones_like(mass), 0.0)

    def uniform_prior(self) -> FloatArray:
        """The first state: no member is less informative than another."""
        return np.eye(self.n_states)[0]

    def random_mean(
        self,
        prior_mean: npt.ArrayLike,
        n_units: int,
        rng: np.random.Generator,
        *,
        spread: float = 0.0,
    ) -> FloatArray:
        """The states in turn; nothing is drawn.

        Parameters
        ----------
        prior_mean, rng, spread
            Not used.
        n_units : int

        Returns
        -------
        ndarray of shape (n_units, n_states)
        """
        return np.eye(self.n_states)[np.arange(n_units) % self.n_states]
