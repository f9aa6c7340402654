"""Beta leaves: shares and probabilities, numbers between 0 and 1."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, psi, zeta

from .base import Distribution, FloatArray

#: Least expected logarithm of a member; that of a cell at the default margin is -13.8.
_LEAST_LOG = -700.0
_LARGEST_LOG_SHAPE = 50.0
_ROUNDING = 4.0 * np.finfo(np.float64).eps
#: Newton's method converges in 3 to 6 steps, at the limits of the admissible set in 12.
_MOST_STEPS = 50


@dataclass(frozen=True)
class Beta(Distribution):
    r"""A number between 0 and 1: s(x) = (log x, log(1 - x)), the mean their expectations.

    Natural parameters are the shapes a and b, with base measure 1 / (x (1 - x)); unconstrained
    coordinates are the logarithms of the shapes. A member is :math:`E[\log x] = \psi(a) -
    \psi(a + b)` and likewise in 1 - x; Newton's method inverts these to rounding.

    Densities at exactly 0 and 1 are 0 or infinite. Cells closer to an end than `margin` count as
    cells at that distance.

    Parameters
    ----------
    margin : float, default=1e-6
        Smallest distance of a cell from 0 and from 1.
    variance_floor : float, default=1e-5
        Smallest variance of a member, roughly, as a share of E[x] (1 - E[x]), which is the
        largest possible: shapes add up to at most about 1 / variance_floor. Without one, a unit
        that is left with a single value has an unbounded likelihood.

    Raises
    ------
    ValueError
        If `margin` does not lie between 1e-12 and 0.1, or `variance_floor` between 1e-9 and 0.1.

    References
    ----------
    Johnson, Kotz and Balakrishnan (1995), "Continuous Univariate Distributions", volume 2,
    chapter 25; Minka (2000), "Estimating a Dirichlet distribution".

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Beta
    >>> leaf = Beta()
    >>> mean = leaf.mean_parameters([2.0, 3.0])
    >>> leaf.log_density(mean, [0.3, 0.0, 1.0, 2.0, np.nan]).round(4)
    array([  0.5676, -11.3306, -25.1461,     -inf,   0.    ])
    >>> leaf.natural_parameters(mean).round(10)
    array([2., 3.])
    """

    margin: float = 1e-6
    variance_floor: float = 1e-5
    name: ClassVar[str] = "beta"
    mean_in_words: ClassVar[str] = "[E[log x], E[log(1 - x)]], whose exponentials sum to below 1"
    n_states = None
    n_statistics = 2
    support = "the numbers from 0 to 1"

    def __post_init__(self) -> None:
        for field, low, high in (("margin", 1e-12, 0.1), ("variance_floor", 1e-9, 0.1)):
            value = float(getattr(self, field))
            object.__setattr__(self, field, value)
            if not low <= value <= high:
                raise ValueError(f"{field} must lie between {low} and {high}, got {value}")

    def statistics(self, x: npt.ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        inside = (x >= 0) & (x <= 1)
        x = np.clip(np.where(inside, x, 0.5), self.margin, 1.0 - self.margin)
        return np.where(inside, np.stack([np.log(x), np.log1p(-x)]), 0.0)

    def log_base_measure(self, x: npt.ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        allowed = np.isnan(x) | ((x >= 0) & (x <= 1))
        return np.where(allowed, -self.statistics(x).sum(axis=0), -np.inf)

    def log_partition(self, natural: npt.ArrayLike) -> FloatArray:
        natural = np.asarray(natural, dtype=np.float64)
        return betaln(natural[..., 0], natural[..., 1])

    def natural_parameters(self, mean: npt.ArrayLike) -> FloatArray:
        mean = self.project(mean)
        target = mean.reshape(-1, 2)
        share = np.exp(target)
        # The maximum-likelihood estimate for large shapes.
        rest = 1.0 - share.sum(axis=-1, keepdims=True)
        natural = 0.5 + 0.5 * share / rest
        todo = np.arange(len(natural))
        for _ in range(_MOST_STEPS):
            shape = natural[todo]
            total = shape.sum(axis=-1, keepdims=True)
            level = psi(total)
            residual = psi(shape) - level - target[todo]
            curve, shared = zeta(2.0, shape), zeta(2.0, total)
            # diag(curve) - shared, inverted; its determinant over the product of the curves:
            left = 1.0 - shared * (1.0 / curve).sum(axis=-1, keepdims=True)
            part = residual / curve
            pull = shared * part.sum(axis=-1, keepdims=True) / np.maximum(left, _ROUNDING)
            step = -(part + pull / curve) / shape
            size = np.abs(step).max(axis=-1, keepdims=True)
            # In logarithms shapes stay positive, and no step is longer than a factor e.
            natural[todo] = shape * np.exp(step / np.maximum(size, 1.0))
            limit = _ROUNDING * (1.0 + np.abs(target[todo]) + np.abs(level))
            exact = (np.abs(residual) <= limit).all(axis=-1)
            todo = todo[~(exact | (size[:, 0] <= 1e-9))]
            if not todo.size:
                break
        return natural.reshape(mean.shape)

    def mean_parameters(self, natural: npt.ArrayLike) -> FloatArray:
        natural = np.asarray(natural, dtype=np.float64)
        return psi(natural) - psi(natural.sum(axis=-1, keepdims=True))

    def project(self, mean: npt.ArrayLike) -> FloatArray:
        """Shift both expected logarithms alike until the variance is at its floor.

        Parameters
        ----------
        mean : array-like of shape (..., 2)

        Returns
        -------
        ndarray of shape (..., 2)
        """
        mean = np.clip(np.asarray(mean, dtype=np.float64), _LEAST_LOG, 0.0)
        # E[x] + E[1 - x] is 1, and so exp E[log x] + exp E[log(1 - x)] is below by about
        # 1 / (2 (a + b)).
        excess = np.log(np.exp(mean).sum(axis=-1, keepdims=True))
        excess -= np.log1p(-0.5 * self.variance_floor)
        # What is at the floor up to rounding stays, so that projecting twice is projecting once.
        moved = np.maximum(mean - excess, _LEAST_LOG)
        return np.where(excess > _ROUNDING * 4.0, moved, mean)

    def uniform_prior(self) -> FloatArray:
        return np.array([-1.0, -1.0])

    def to_unconstrained(self, mean: npt.ArrayLike) -> FloatArray:
        return np.log(self.natural_parameters(mean))

    def from_unconstrained(self, unconstrained: npt.ArrayLike) -> FloatArray:
        unconstrained = np.asarray(unconstrained, dtype=np.float64)
        bounded = np.clip(unconstrained, -_LARGEST_LOG_SHAPE, _LARGEST_LOG_SHAPE)
        return self.project(self.mean_parameters(np.exp(bounded)))

    def unconstrained_gradient(
        self, mean: npt.ArrayLike, flow: npt.ArrayLike, flow_statistics: npt.ArrayLike
    ) -> FloatArray:
        mean = self.project(mean)
        gradient = super().unconstrained_gradient(mean, flow, flow_statistics)
        return gradient * self.natural_parameters(mean)

    def sample(self, mean: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
        shape = self.natural_parameters(mean)
        return rng.beta(shape[..., 0], shape[..., 1])

    def mode(self, mean: npt.ArrayLike) -> FloatArray:
        """Most probable value; an end, `margin` away from it, where the density is infinite.

        Parameters
        ----------
        mean : array-like of shape (..., 2)

        Returns
        -------
        ndarray of shape (...)
        """
        a, b = np.moveaxis(self.natural_parameters(mean), -1, 0)
        inner = (a > 1) & (b > 1)
        top = np.where(inner, a - 1.0, 1.0) / np.where(inner, a + b - 2.0, 2.0)
        return np.clip(
            np.where(inner, top, np.where(a <= b, 0.0, 1.0)), self.margin, 1.0 - self.margin
        )

    def expectation(self, mean: npt.ArrayLike) -> FloatArray:
        a, b = np.moveaxis(self.natural_parameters(mean), -1, 0)
        return a / (a + b)

    def variance(self, mean: npt.ArrayLike) -> FloatArray:
        a, b = np.moveaxis(self.natural_parameters(mean), -1, 0)
        return a / (a + b) * (b / (a + b)) / (a + b + 1.0)

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
            Variance of every unit, over E[x] (1 - E[x]), as a fraction of the marginal's.

        Returns
        -------
        ndarray of shape (n_units, 2)
        """
        a, b = self.natural_parameters(prior_mean)
        total = (a + b + 1.0) / spread - 1.0
        location = np.clip(rng.beta(a, b, n_units), self.margin, 1.0 - self.margin)
        natural = np.stack([location * total, (1.0 - location) * total], axis=-1)
        return self.project(self.mean_parameters(natural))
