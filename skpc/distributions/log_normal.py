"""Log-normal leaves: positive numbers whose logarithms are Gaussian."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..utils.lazy import lazy
from .base import Distribution, FloatArray, observed_cells
from .gaussian import Gaussian

# exp of more leaves float64; exp(-700) is still a normal number.
_LARGEST_LOG = 700.0


@dataclass(frozen=True)
class LogNormal(Distribution):
    """A positive number: s(x) = (log x, log^2 x), the mean their expectations.

    Mean parameters, priors, start values and unconstrained coordinates are those of `Gaussian`
    on the logarithm of the column. Zero and negative numbers have probability zero. Columns
    whose logarithms lie far from 0 against their scale lose digits, as Gaussian's do: bring them
    to a median near 1. Expectations and variances beyond exp(700) count as exp(700).

    Parameters
    ----------
    variance_floor : float, default=1e-3
        Smallest variance of a member on the log scale: a relative deviation of 3 %. Without one,
        a unit that is left with a single value has an unbounded likelihood.

    Raises
    ------
    ValueError
        If `variance_floor` is not positive and finite.

    References
    ----------
    Johnson, Kotz and Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 14.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import LogNormal
    >>> leaf = LogNormal()
    >>> mean = leaf.moments_prior([np.exp(-1.0), np.exp(1.0), np.nan])
    >>> mean
    array([0., 1.])
    >>> leaf.log_density(mean, [1.0, 100.0, 0.0, np.nan]).round(3)
    array([ -0.919, -16.128,    -inf,   0.   ])
    >>> [round(float(f(mean)), 4) for f in (leaf.mode, leaf.expectation)]
    [0.3679, 1.6487]
    """

    variance_floor: float = 1e-3
    name: ClassVar[str] = "log_normal"
    takes_tensors: ClassVar[bool] = True
    mean_in_words: ClassVar[str] = "[E[log x], E[log² x]], variance at least the variance_floor"
    n_states = None
    n_statistics = 2
    support = "finite numbers above 0"

    def __post_init__(self) -> None:
        object.__setattr__(self, "variance_floor", self._logarithm.variance_floor)

    @lazy
    def _logarithm(self) -> Gaussian:
        """The distribution of log x."""
        return Gaussian(self.variance_floor)

    def statistics(self, x: npt.ArrayLike) -> FloatArray:
        return self._logarithm.statistics(_log(x))

    def log_base_measure(self, x: npt.ArrayLike) -> FloatArray:
        log_x = _log(x)
        outside = np.isnan(log_x) & ~np.isnan(np.asarray(x, dtype=np.float64))
        jacobian = np.nan_to_num(log_x, nan=0.0)
        return np.where(outside, -np.inf, self._logarithm.log_base_measure(log_x) - jacobian)

    def log_density(self, mean: npt.ArrayLike, x: npt.ArrayLike) -> FloatArray:
        log_x = _log(x)
        outside = np.isnan(log_x) & ~np.isnan(np.asarray(x, dtype=np.float64))
        log_density = self._logarithm.log_density(mean, log_x) - np.nan_to_num(log_x, nan=0.0)
        return np.where(outside, -np.inf, log_density)

    def log_partition(self, natural: npt.ArrayLike) -> FloatArray:
        return self._logarithm.log_partition(natural)

    def natural_parameters(self, mean: npt.ArrayLike) -> FloatArray:
        return self._logarithm.natural_parameters(mean)

    def mean_parameters(self, natural: npt.ArrayLike) -> FloatArray:
        return self._logarithm.mean_parameters(natural)

    def project(self, mean: npt.ArrayLike) -> FloatArray:
        return self._logarithm.project(mean)

    def uniform_prior(self) -> FloatArray:
        return self._logarithm.uniform_prior()

    def moments_prior(
        self,
        x: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        pseudocount: float = 1.0,
    ) -> FloatArray:
        """Mean parameters of a whole column's marginal, from its logarithms.

        Parameters
        ----------
        x : array-like of shape (n,)
            Missing cells, cells outside the support and rows of weight zero do not count; there
            may be none left.
        sample_weight : array-like of shape (n,), default=None
            A weight of 2 equals two rows; None is 1 everywhere.
        pseudocount : float, default=1.0
            Rows of variance 1 on the log scale, around the column's own average, that are mixed
            in.

        Returns
        -------
        ndarray of shape (2,)
        """
        x, weight = observed_cells(x, sample_weight)
        return self._logarithm.moments_prior(_log(x), weight, pseudocount=pseudocount)

    def to_unconstrained(self, mean: npt.ArrayLike) -> FloatArray:
        return self._logarithm.to_unconstrained(mean)

    def from_unconstrained(self, unconstrained: npt.ArrayLike) -> FloatArray:
        return self._logarithm.from_unconstrained(unconstrained)

    def unconstrained_gradient(
        self, mean: npt.ArrayLike, flow: npt.ArrayLike, flow_statistics: npt.ArrayLike
    ) -> FloatArray:
        return self._logarithm.unconstrained_gradient(mean, flow, flow_statistics)

    def sample(self, mean: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
        return _exp(self._logarithm.sample(mean, rng))

    def mode(self, mean: npt.ArrayLike) -> FloatArray:
        location, variance = self._moments(mean)
        return _exp(location - variance)

    def expectation(self, mean: npt.ArrayLike) -> FloatArray:
        location, variance = self._moments(mean)
        return _exp(location + 0.5 * variance)

    def variance(self, mean: npt.ArrayLike) -> FloatArray:
        location, variance = self._moments(mean)
        # log(exp(v) - 1), where exp(v) may overflow.
        log_excess = variance + np.log(-np.expm1(-variance))
        return _exp(2.0 * location + variance + log_excess)

    def kl(self, mean_p: npt.ArrayLike, mean_q: npt.ArrayLike) -> FloatArray:
        return self._logarithm.kl(mean_p, mean_q)

    def random_mean(
        self,
        prior_mean: npt.ArrayLike,
        n_units: int,
        rng: np.random.Generator,
        *,
        spread: float = 0.5,
    ) -> FloatArray:
        """Start values of `Gaussian` for the logarithm.

        Parameters
        ----------
        prior_mean : array-like of shape (2,)
            Mean parameters of the column's marginal, from `moments_prior`.
        n_units : int
        rng : numpy.random.Generator
        spread : float, default=0.5
            Variance of every unit as a fraction of the marginal variance, on the log scale.

        Returns
        -------
        ndarray of shape (n_units, 2)
        """
        return self._logarithm.random_mean(prior_mean, n_units, rng, spread=spread)

    def _moments(self, mean: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Expectation and floored variance of log x."""
        return self._logarithm.expectation(mean), self._logarithm.variance(mean)


def _log(x: npt.ArrayLike) -> FloatArray:
    """log x; NaN for a missing cell and for values outside the support."""
    x = np.asarray(x, dtype=np.float64)
    return np.log(x, where=(x > 0) & (x < np.inf), out=np.full(x.shape, np.nan))


def _exp(x: FloatArray) -> FloatArray:
    return np.exp(np.clip(x, -_LARGEST_LOG, _LARGEST_LOG))
