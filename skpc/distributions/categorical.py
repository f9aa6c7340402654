"""Categorical leaves: a die."""

import operator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..utils.arrays import as_floats, namespace
from .base import FloatArray
from .finite import FiniteDistribution

_EPSILON = np.finfo(np.float64).eps


@dataclass(frozen=True)
class Categorical(FiniteDistribution):
    """A variable with states 0, ..., n_states - 1: s(x) is one-hot, the mean the probabilities.

    The statistics are overcomplete: a constant added to all natural parameters changes nothing,
    and `natural_parameters` returns the logarithms of the probabilities, where A is 0.
    Unconstrained coordinates are these logits.

    Parameters
    ----------
    n_states : int
        Number of states, at least 1.

    Raises
    ------
    ValueError
        If `n_states` is below 1.
    TypeError
        If `n_states` is not a whole number.

    References
    ----------
    Wainwright and Jordan (2008), "Graphical Models, Exponential Families, and Variational
    Inference", example 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Categorical
    >>> die = Categorical(3)
    >>> np.exp(die.log_density([0.5, 0.5, 0.0], [0, 1, 2, np.nan]))
    array([0.5, 0.5, 0. , 1. ])
    >>> die.moments_prior([0, 0, 1], pseudocount=0).round(3)
    array([0.667, 0.333, 0.   ])
    >>> die == Categorical(3)
    True
    """

    n_states: int
    name: ClassVar[str] = "categorical"
    takes_tensors: ClassVar[bool] = True
    is_table: ClassVar[bool] = True
    mean_in_words: ClassVar[str] = "a probability for each state, not negative, that sum to 1"

    def __post_init__(self) -> None:
        # A NumPy integer would not survive JSON.
        object.__setattr__(self, "n_states", operator.index(self.n_states))
        if self.n_states < 1:
            raise ValueError(f"n_states must be at least 1, got {self.n_states}")

    @property
    def n_statistics(self) -> int:
        return self.n_states

    @property
    def support(self) -> str:
        return f"the whole numbers 0 to {self.n_states - 1}"

    def statistics(self, x: npt.ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        states = np.arange(self.n_states).reshape(-1, *[1] * x.ndim)
        return (states == x).astype(np.float64)

    def _sum_statistics(self, x: FloatArray, weight: FloatArray) -> FloatArray:
        # One-hot vectors of all cells would take up as much as the cells times the states.
        known = (x >= 0) & (x < self.n_states) & (x == np.floor(x))
        found = np.bincount(x[known].astype(np.intp), weight[known], self.n_states)
        return np.asarray(found, dtype=np.float64)

    def log_partition(self, natural: npt.ArrayLike) -> FloatArray:
        natural = as_floats(natural)
        xp = namespace(natural)
        largest = xp.amax(natural, axis=-1)
        return largest + xp.log(xp.exp(natural - largest[..., np.newaxis]).sum(axis=-1))

    def natural_parameters(self, mean: npt.ArrayLike) -> FloatArray:
        with np.errstate(divide="ignore"):
            mean = as_floats(mean)
            return namespace(mean).log(mean)

    def mean_parameters(self, natural: npt.ArrayLike) -> FloatArray:
        natural = as_floats(natural)
        xp = namespace(natural)
        mass = xp.exp(natural - xp.amax(natural, axis=-1, keepdims=True))
        return mass / mass.sum(axis=-1, keepdims=True)

    def project(self, mean: npt.ArrayLike) -> FloatArray:
        """Drop negative mass and rescale the rest, which is nearest in the sense of KL.

        A row without any mass becomes uniform.

        Parameters
        ----------
        mean : array-like of shape (..., n_states)

        Returns
        -------
        ndarray of shape (..., n_states)
        """
        mean = as_floats(mean)
        if isinstance(mean, np.ndarray) and self._is_projected(mean):
            return mean  # at once: after most updates, and a table of pixels is large
        xp = namespace(mean)
        mass = xp.clip(mean, 0.0, None)
        total = mass.sum(axis=-1, keepdims=True)
        mass = xp.where(total > 0, mass, 1.0)
        total = xp.where(total > 0, total, self.n_states)
        # A sum that is one up to rounding stays, so that projecting twice is projecting once.
        normalised = xp.abs(total - 1.0) <= self.n_states * _EPSILON
        return xp.where(normalised, mass, mass / total)

    def _is_projected(self, mean: FloatArray) -> bool:
        if mean.size and not mean.min() >= 0:
            return False
        return bool((np.abs(mean.sum(axis=-1) - 1.0) <= self.n_states * _EPSILON).all())

    def probabilities(self, mean: npt.ArrayLike) -> FloatArray:
        return as_floats(mean)

    def mean_from_probabilities(self, probabilities: npt.ArrayLike) -> FloatArray:
        return np.asarray(probabilities, dtype=np.float64)
