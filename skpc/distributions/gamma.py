"""Gamma leaves: positive numbers such as waiting times and amounts."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, psi, zeta

from .base import Distribution, FloatArray, observed_cells

# A number's product with a million rows, and its reciprocal, stay finite.
_LARGEST = 1e150
_LARGEST_LOG = np.log(_LARGEST)
#: Largest log E[x] - E[log x] of a member, at a shape of 1 / 1000.
_LARGEST_GAP = 1000.0
_LEAST_SHAPE, _LARGEST_SHAPE = 1e-3, 1e10
_ROUNDING = 4.0 * np.finfo(np.float64).eps
#: Newton's method needs 2 or 3 steps from its start.
_MOST_STEPS = 10


@dataclass(frozen=True)
class Gamma(Distribution):
    r"""A positive number: s(x) = (log x, x), the mean their expectations.

    Natural parameters are the shape k and minus the rate, with base measure 1 / x; unconstrained
    coordinates are the logarithms of the shape and of the expectation. A member is
    :math:`\log k - \psi(k) = \log E[x] - E[\log x]`, which Newton's method inverts to rounding.
    A shape of 1 is the exponential distribution. Zero and negative numbers have probability zero;
    numbers beyond 1e150, or closer to 0 than 1e-150, count as these.

    Parameters
    ----------
    variance_floor : float, default=1e-3
        Smallest variance of a member, in squared units of its expectation: the shape is at most
        about 1 / variance_floor. Without one, a unit that is left with a single value has an
        unbounded likelihood.

    Raises
    ------
    ValueError
        If `variance_floor` does not lie between 1e-9 and 1.

    References
    ----------
    Minka (2002), "Estimating a Gamma distribution".

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Gamma
    >>> leaf = Gamma()
    >>> mean = leaf.mean_parameters([2.0, -0.5])
    >>> [round(float(f(mean)), 10) for f in (leaf.expectation, leaf.variance, leaf.mode)]
    [4.0, 8.0, 2.0]
    >>> leaf.log_density(mean, [2.0, 50.0, 0.0, np.nan]).round(3)
    array([ -1.693, -22.474,    -inf,   0.   ])
    """

    variance_floor: float = 1e-3
    name: ClassVar[str] = "gamma"
    mean_in_words: ClassVar[str] = "[E[log x], E[x]], where E[log x] is below log E[x]"
    n_states = None
    n_statistics = 2
    support = "finite numbers above 0"

    def __post_init__(self) -> None:
        object.__setattr__(self, "variance_floor", float(self.variance_floor))
        if not 1e-9 <= self.variance_floor <= 1:
            raise ValueError(
                f"variance_floor must lie between 1e-09 and 1, got {self.variance_floor}"
            )

    def statistics(self, x: npt.ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        inside = _is_positive(x)
        x = np.clip(np.where(inside, x, 1.0), 1.0 / _LARGEST, _LARGEST)
        return np.where(inside, np.stack([np.log(x), x]), 0.0)

    def log_base_measure(self, x: npt.ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        return np.where(np.isnan(x) | _is_positive(x), -self.statistics(x)[0], -np.inf)

    def log_partition(self, natural: npt.ArrayLike) -> FloatArray:
        shape, minus_rate = np.moveaxis(np.asarray(natural, dtype=np.float64), -1, 0)
        return gammaln(shape) - shape * np.log(-minus_rate)

    def natural_parameters(self, mean: npt.ArrayLike) -> FloatArray:
        shape, location = self._shape_and_location(mean)
        return np.stack([shape, -shape / location], axis=-1)

    def mean_parameters(self, natural: npt.ArrayLike) -> FloatArray:
        shape, minus_rate = np.moveaxis(np.asarray(natural, dtype=np.float64), -1, 0)
        return np.stack([psi(shape) - np.log(-minus_rate), -shape / minus_rate], axis=-1)

    def project(self, mean: npt.ArrayLike) -> FloatArray:
        """Clip E[log x] to what is possible at an unchanged E[x].

        Parameters
        ----------
        mean : array-like of shape (..., 2)

        Returns
        -------
        ndarray of shape (..., 2)
        """
        mean = np.asarray(mean, dtype=np.float64)
        location = np.clip(mean[..., 1], 1.0 / _LARGEST, _LARGEST)
        log_location = np.log(location)
        # log k - ψ(k) is 1 / (2 k) for a large shape.
        highest = log_location - 0.5 * self.variance_floor
        return np.stack(
            [np.clip(mean[..., 0], log_location - _LARGEST_GAP, highest), location], axis=-1
        )

    def uniform_prior(self) -> FloatArray:
        # On the positive numbers of expectation 1, the exponential has the highest entropy.
        return np.array([-np.euler_gamma, 1.0])

    def moments_prior(
        self,
        x: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        pseudocount: float = 1.0,
    ) -> FloatArray:
        """Mean parameters of a whole column's marginal, whatever its unit.

        Parameters
        ----------
        x : array-like of shape (n,)
            Missing cells, cells outside the support and rows of weight zero do not count; there
            may be none left.
        sample_weight : array-like of shape (n,), default=None
            A weight of 2 equals two rows; None is 1 everywhere.
        pseudocount : float, default=1.0
            Rows of an exponential distribution with the column's own expectation that are mixed
            in. With 0 the result is the plain marginal.

        Returns
        -------
        ndarray of shape (2,)
        """
        x, weight = observed_cells(x, sample_weight)
        inside = _is_positive(x)
        x, weight = x[inside], weight[inside]
        if weight.size == 0:
            return self.uniform_prior()
        rows = weight.sum()
        log_location, location = self.statistics(x) @ (weight / rows)
        kept = rows / (rows + pseudocount)
        exponential = np.log(location) - np.euler_gamma
        return self.project([kept * log_location + (1.0 - kept) * exponential, location])

    def to_unconstrained(self, mean: npt.ArrayLike) -> FloatArray:
        return np.log(np.stack(self._shape_and_location(mean), axis=-1))

    def from_unconstrained(self, unconstrained: npt.ArrayLike) -> FloatArray:
        log_shape, log_location = np.moveaxis(np.asarray(unconstrained, dtype=np.float64), -1, 0)
        log_shape = np.clip(log_shape, np.log(_LEAST_SHAPE), np.log(_LARGEST_SHAPE))
        log_location = np.clip(log_location, -_LARGEST_LOG, _LARGEST_LOG)
        return self.project(self._pack(np.exp(log_shape), np.exp(log_location)))

    def unconstrained_gradient(
        self, mean: npt.ArrayLike, flow: npt.ArrayLike, flow_statistics: npt.ArrayLike
    ) -> FloatArray:
        mean = self.project(mean)
        shape, location = self._shape_and_location(mean)
        by_shape, by_minus_rate = np.moveaxis(
            super().unconstrained_gradient(mean, flow, flow_statistics), -1, 0
        )
        rate = shape / location
        return np.stack([shape * by_shape - rate * by_minus_rate, rate * by_minus_rate], axis=-1)

    def sample(self, mean: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
        shape, location = self._shape_and_location(mean)
        drawn = rng.gamma(shape) * (location / shape)
        return np.clip(drawn, 1.0 / _LARGEST, _LARGEST)

    def mode(self, mean: npt.ArrayLike) -> FloatArray:
        """Most probable value; 1e-150 where the density is infinite at 0, or highest there.

        Parameters
        ----------
        mean : array-like of shape (..., 2)

        Returns
        -------
        ndarray of shape (...)
        """
        shape, location = self._shape_and_location(mean)
        return np.maximum(np.maximum(shape - 1.0, 0.0) * (location / shape), 1.0 / _LARGEST)

    def expectation(self, mean: npt.ArrayLike) -> FloatArray:
        return self.project(mean)[..., 1]

    def variance(self, mean: npt.ArrayLike) -> FloatArray:
        shape, location = self._shape_and_location(mean)
        return location * (location / shape)

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
            Variance of every unit, in squares of its expectation, as a fraction of the
            marginal's.

        Returns
        -------
        ndarray of shape (n_units, 2)
        """
        shape, location = self._shape_and_location(prior_mean)
        drawn = rng.gamma(shape, size=n_units) * (location / shape)
        # No unit starts at nothing: below 1e-3 of the column's expectation it would never leave.
        drawn = np.maximum(drawn, 1e-3 * location)
        return self.project(self._pack(np.full(n_units, shape / spread), drawn))

    def _pack(self, shape: FloatArray, location: FloatArray) -> FloatArray:
        return np.stack([np.log(location) - (np.log(shape) - psi(shape)), location], axis=-1)

    def _shape_and_location(self, mean: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        mean = self.project(mean)
        location = mean[..., 1]
        gap = np.log(location) - mean[..., 0]
        # Minka's start, with an error of at most 1.5 %; the step is his too, in 1 / k.
        shape = (3.0 - gap + np.sqrt((gap - 3.0) ** 2 + 24.0 * gap)) / (12.0 * gap)
        for _ in range(_MOST_STEPS):
            level = psi(shape)
            residual = np.log(shape) - level - gap
            step = residual / (1.0 - shape * zeta(2.0, shape))
            shape = shape / (1.0 + np.clip(step, -0.5, 1.0))
            exact = np.abs(residual) <= _ROUNDING * (1.0 + np.abs(level))
            if (exact | (np.abs(step) <= 1e-10)).all():
                break
        return shape, location


def _is_positive(x: FloatArray) -> npt.NDArray[np.bool_]:
    """Which values are in the support (a missing cell is not)."""
    return (x > 0) & (x < np.inf)
