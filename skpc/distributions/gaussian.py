"""Gaussian leaves: a bell curve on a standardised column."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..utils.arrays import as_floats, namespace
from .base import Distribution, FloatArray, observed_cells

# Squares of larger values overflow float64; 1e300 also leaves room for a sum over 1e8 rows.
_LARGEST = 1e150
_LOG_TWO_PI = np.log(2.0 * np.pi)


@dataclass(frozen=True)
class Gaussian(Distribution):
    """A real variable: s(x) = (x, x^2), the mean (E[x], E[x^2]).

    The variance is a difference of the two, so it has few digits where the expectation is large
    against the scale (none from a ratio of 1e8 on): standardise columns beforehand. Values beyond
    +-1e150 count as +-1e150, so everything stays finite. Unconstrained coordinates are the
    expectation and the logarithm of the standard deviation.

    Parameters
    ----------
    variance_floor : float, default=1e-3
        Smallest variance of a member, in squared units of the standardised column. Without one,
        a unit that is left with a single value has an unbounded likelihood.

    Raises
    ------
    ValueError
        If `variance_floor` is not positive and finite.

    References
    ----------
    Wainwright and Jordan (2008), "Graphical Models, Exponential Families, and Variational
    Inference", example 3.3.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Gaussian
    >>> leaf = Gaussian()
    >>> mean = leaf.moments_prior([-1.0, 1.0, np.nan])
    >>> mean
    array([0., 1.])
    >>> leaf.log_density(mean, [0.0, 1e30, np.nan])
    array([-9.18938533e-01, -5.00000000e+59,  0.00000000e+00])
    """

    variance_floor: float = 1e-3
    name: ClassVar[str] = "gaussian"
    takes_tensors: ClassVar[bool] = True
    mean_in_words: ClassVar[str] = "[mean, mean² + sd²], with sd² at least the variance_floor"
    n_states = None
    n_statistics = 2
    support = "finite numbers"

    def __post_init__(self) -> None:
        object.__setattr__(self, "variance_floor", float(self.variance_floor))
        if not 0 < self.variance_floor < np.inf:
            raise ValueError(
                f"variance_floor must be positive and finite, got {self.variance_floor}"
            )

    def statistics(self, x: npt.ArrayLike) -> FloatArray:
        x = _clip(np.nan_to_num(np.asarray(x, dtype=np.float64), nan=0.0))
        return np.stack([x, x * x])

    def log_base_measure(self, x: npt.ArrayLike) -> FloatArray:
        return np.where(np.isnan(np.asarray(x, dtype=np.float64)), 0.0, -0.5 * _LOG_TWO_PI)

    def log_partition(self, natural: npt.ArrayLike) -> FloatArray:
        linear, quadratic = _last_axis(natural)
        log = namespace(linear).log
        return -0.25 * linear * (linear / quadratic) - 0.5 * log(-2.0 * quadratic)

    def natural_parameters(self, mean: npt.ArrayLike) -> FloatArray:
        location, variance = self._moments(mean)
        return _stack(location / variance, -0.5 / variance)

    def mean_parameters(self, natural: npt.ArrayLike) -> FloatArray:
        linear, quadratic = _last_axis(natural)
        variance = -0.5 / quadratic
        return _pack(linear * variance, variance)

    def log_density(self, mean: npt.ArrayLike, x: npt.ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        location, variance = (part[..., np.newaxis] for part in self._moments(mean))
        deviation = _clip((_clip(x) - location) / np.sqrt(variance))
        log_density = -0.5 * (deviation * deviation + np.log(variance) + _LOG_TWO_PI)
        return np.where(np.isnan(x), 0.0, log_density)

    def project(self, mean: npt.ArrayLike) -> FloatArray:
        """Raise the variance to the floor at an unchanged expectation.

        Parameters
        ----------
        mean : array-like of shape (..., 2)

        Returns
        -------
        ndarray of shape (..., 2)
        """
        location, square = _last_axis(mean)
        location = _clip(location)
        larger = namespace(location).maximum
        return _stack(location, larger(square, location * location + self.variance_floor))

    def uniform_prior(self) -> FloatArray:
        return _pack(np.zeros(()), np.maximum(np.ones(()), self.variance_floor))

    def moments_prior(
        self,
        x: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        pseudocount: float = 1.0,
    ) -> FloatArray:
        """Mean parameters of a whole column's marginal, by two passes that cannot overflow.

        Parameters
        ----------
        x : array-like of shape (n,)
            Missing cells and rows of weight zero do not count; there may be none left.
        sample_weight : array-like of shape (n,), default=None
            A weight of 2 equals two rows; None is 1 everywhere.
        pseudocount : float, default=1.0
            Rows of variance 1 around the column's own average that are mixed in: a constant
            column, or a single row, gets a usable variance. With 0 the variance is the plain one.

        Returns
        -------
        ndarray of shape (2,)
        """
        x, weight = observed_cells(x, sample_weight)
        if weight.size == 0:
            return self.uniform_prior()
        rows = weight.sum()
        share = weight / rows
        x = _clip(x)
        location = share @ x
        variance = share @ (x - location) ** 2
        kept = rows / (rows + pseudocount)
        variance = kept * variance + (1.0 - kept)
        return self.project(_pack(location, variance))

    def to_unconstrained(self, mean: npt.ArrayLike) -> FloatArray:
        location, variance = self._moments(mean)
        return _stack(location, 0.5 * namespace(variance).log(variance))

    def from_unconstrained(self, unconstrained: npt.ArrayLike) -> FloatArray:
        location, log_scale = _last_axis(unconstrained)
        variance = namespace(log_scale).exp(2.0 * log_scale.clip(max=np.log(_LARGEST)))
        return self.project(_pack(_clip(location), variance))

    def unconstrained_gradient(
        self, mean: npt.ArrayLike, flow: npt.ArrayLike, flow_statistics: npt.ArrayLike
    ) -> FloatArray:
        mean = self.project(mean)
        location, variance = self._moments(mean)
        first, second = _last_axis(super().unconstrained_gradient(mean, flow, flow_statistics))
        return _stack(first, second - 2.0 * location * first) / variance[..., None]

    def sample(self, mean: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
        location, variance = self._moments(mean)
        return location + np.sqrt(variance) * rng.standard_normal(location.shape)

    def mode(self, mean: npt.ArrayLike) -> FloatArray:
        return self._moments(mean)[0]

    def expectation(self, mean: npt.ArrayLike) -> FloatArray:
        return self._moments(mean)[0]

    def variance(self, mean: npt.ArrayLike) -> FloatArray:
        return self._moments(mean)[1]

    def kl(self, mean_p: npt.ArrayLike, mean_q: npt.ArrayLike) -> FloatArray:
        location_p, variance_p = self._moments(mean_p)
        location_q, variance_q = self._moments(mean_q)
        shift = _clip((location_p - location_q) / np.sqrt(variance_q))
        log_ratio = np.log(variance_p) - np.log(variance_q)
        return np.maximum(0.5 * (np.expm1(log_ratio) - log_ratio + shift * shift), 0.0)

    def random_mean(
        self,
        prior_mean: npt.ArrayLike,
        n_units: int,
        rng: np.random.Generator,
        *,
        spread: float = 0.5,
    ) -> FloatArray:
        """Expectations drawn from the column's marginal, each with a share of its variance.

        Parameters
        ----------
        prior_mean : array-like of shape (2,)
            Mean parameters of the column's marginal, from `moments_prior`.
        n_units : int
        rng : numpy.random.Generator
        spread : float, default=0.5
            Variance of every unit as a fraction of the marginal variance.

        Returns
        -------
        ndarray of shape (n_units, 2)
        """
        location, variance = self._moments(prior_mean)
        locations = location + np.sqrt(variance) * rng.standard_normal(n_units)
        return self.project(_pack(locations, np.full(n_units, spread * variance)))

    def _moments(self, mean: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Expectation and floored variance, each of shape (...)."""
        location, square = _last_axis(mean)
        location = _clip(location)
        return location, (square - location * location).clip(self.variance_floor)


def _clip(x: FloatArray) -> FloatArray:
    return x.clip(-_LARGEST, _LARGEST)


def _last_axis(array: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The two components of an array of shape (..., 2)."""
    floats = as_floats(array)
    return floats[..., 0], floats[..., 1]


def _stack(first: FloatArray, second: FloatArray) -> FloatArray:
    """The inverse of ``_last_axis``."""
    return namespace(first).stack([first, second], axis=-1)


def _pack(location: FloatArray, variance: FloatArray) -> FloatArray:
    """Mean parameters of shape (..., 2) from expectation and variance."""
    return _stack(location, location * location + variance)
