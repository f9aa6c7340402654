"""Binomial leaves: how many of a known number of trials succeed."""

import operator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from ..utils.arrays import as_floats, codes, namespace, special
from .base import FloatArray
from .finite import FiniteDistribution, softplus


@dataclass(frozen=True)
class Binomial(FiniteDistribution):
    """A count of successes among `n_trials`: s(x) = x, the mean is the expected count.

    The natural parameter is the logit of the probability of a success, and the unconstrained
    coordinate. One trial is `Bernoulli`. Its support is finite, so a circuit keeps a table of
    `n_trials` + 1 probabilities for every unit.

    Parameters
    ----------
    n_trials : int
        Number of trials, at least 1.

    Raises
    ------
    ValueError
        If `n_trials` is below 1.
    TypeError
        If `n_trials` is not a whole number.

    References
    ----------
    Wainwright and Jordan (2008), "Graphical Models, Exponential Families, and Variational
    Inference", section 3.3.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Binomial
    >>> exam = Binomial(2)
    >>> np.exp(exam.log_density([[1.0], [2.0]], [0, 1, 2, np.nan])).round(4)
    array([[0.25, 0.5 , 0.25, 1.  ],
           [0.  , 0.  , 1.  , 1.  ]])
    >>> exam.moments_prior([2, 2, 1, np.nan], pseudocount=0).round(4)
    array([1.6667])
    """

    n_trials: int
    name: ClassVar[str] = "binomial"
    takes_tensors: ClassVar[bool] = True
    ordered: ClassVar[bool] = True
    mean_in_words: ClassVar[str] = "the expected count, from 0 to n_trials"
    n_statistics = 1

    def __post_init__(self) -> None:
        # A NumPy integer would not survive JSON.
        object.__setattr__(self, "n_trials", operator.index(self.n_trials))
        if self.n_trials < 1:
            raise ValueError(f"n_trials must be at least 1, got {self.n_trials}")

    @property
    def n_states(self) -> int:  # type: ignore[override]
        return self.n_trials + 1

    @property
    def support(self) -> str:
        return f"the whole numbers 0 to {self.n_trials}"

    def statistics(self, x: npt.ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        return np.where(self._in_support(x), x, 0.0)[np.newaxis]

    def log_base_measure(self, x: npt.ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        log_ways = self._log_ways(self.statistics(x)[0])
        return np.where(self._in_support(x), log_ways, super().log_base_measure(x))

    def log_partition(self, natural: npt.ArrayLike) -> FloatArray:
        return self.n_trials * softplus(as_floats(natural)[..., 0])

    def natural_parameters(self, mean: npt.ArrayLike) -> FloatArray:
        count = as_floats(mean)
        log = namespace(count).log
        with np.errstate(divide="ignore"):
            return log(count) - log(self.n_trials - count)

    def mean_parameters(self, natural: npt.ArrayLike) -> FloatArray:
        logits = as_floats(natural)
        return self.n_trials * namespace(logits).exp(-softplus(-logits))

    def project(self, mean: npt.ArrayLike) -> FloatArray:
        return as_floats(mean).clip(0.0, self.n_trials)

    def log_probabilities(self, mean: npt.ArrayLike) -> FloatArray:
        mean = self.project(mean)
        count = codes(mean, self.n_states)
        successes = special(mean).xlogy(count, mean / self.n_trials)
        failures = special(mean).xlog1py(self.n_trials - count, -mean / self.n_trials)
        return self._log_ways(count) + successes + failures

    def _log_ways(self, count: FloatArray) -> FloatArray:
        """Logarithms of the binomial coefficients."""
        log_gamma, n = special(count).gammaln, self.n_trials
        log_fewer = log_gamma(count + 1.0) + log_gamma(n - count + 1.0)
        return float(gammaln(n + 1.0)) - log_fewer

    def probabilities(self, mean: npt.ArrayLike) -> FloatArray:
        logarithms = self.log_probabilities(mean)
        return namespace(logarithms).exp(logarithms)

    def mean_from_probabilities(self, probabilities: npt.ArrayLike) -> FloatArray:
        """Expected count of any table of probabilities; inverse of `probabilities` on members.

        Parameters
        ----------
        probabilities : array-like of shape (..., n_trials + 1)

        Returns
        -------
        ndarray of shape (..., 1)
        """
        states = np.arange(self.n_states, dtype=np.float64)
        return (np.asarray(probabilities, dtype=np.float64) @ states)[..., np.newaxis]

    def sample(self, mean: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
        share = self.project(mean)[..., 0] / self.n_trials
        return rng.binomial(self.n_trials, share).astype(np.float64)

    def expectation(self, mean: npt.ArrayLike) -> FloatArray:
        return self.project(mean)[..., 0]

    def variance(self, mean: npt.ArrayLike) -> FloatArray:
        expected = self.expectation(mean)
        return expected * (1.0 - expected / self.n_trials)

    def random_mean(
        self,
        prior_mean: npt.ArrayLike,
        n_units: int,
        rng: np.random.Generator,
        *,
        spread: float = 1.0,
    ) -> FloatArray:
        """Probabilities of a success around the column's own, normal in their logits.

        Many trials say much about their probability: starts that ignored the column, as those of
        other finite families do, would all lie far from it.

        Parameters
        ----------
        prior_mean : array-like of shape (1,)
            Expected count of the column, from `moments_prior`.
        n_units : int
        rng : numpy.random.Generator
        spread : float, default=1.0
            Standard deviation of the logits.

        Returns
        -------
        ndarray of shape (n_units, 1)
        """
        # A column of zeros alone has the logit of a probability of 1e-6 instead of -inf.
        logit = np.clip(self.natural_parameters(prior_mean), -13.8, 13.8)
        return self.mean_parameters(logit + spread * rng.standard_normal((n_units, 1)))
