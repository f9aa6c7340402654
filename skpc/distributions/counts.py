"""What families over the counts 0, 1, 2, ... share: s(x) = x, and the mean is the rate."""

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..utils.arrays import as_floats, namespace
from .base import Distribution, FloatArray

#: float64 cannot tell larger counts apart.
LARGEST = 2.0**53


class CountDistribution(Distribution):
    """A family over 0, 1, 2, ... with s(x) = x: its one mean parameter is the rate E[x].

    The rate is at least `rate_floor`: at a rate of zero a single count would be impossible for
    ever. Rates and counts beyond 2^53 count as 2^53. A log-density is a difference of terms of
    the size of x log x, so it has an error of about 1e-16 x log x nats: 5e-6 at a count of 1e9.
    Unconstrained coordinates are the logarithms of the rates.
    """

    rate_floor: float
    mean_in_words: ClassVar[str] = "the rate E[x], at least the rate_floor"
    n_states = None
    n_statistics = 1
    support = "the whole numbers from 0"

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate_floor", float(self.rate_floor))
        if not 0 < self.rate_floor < 1:
            raise ValueError(f"rate_floor must lie between 0 and 1, got {self.rate_floor}")

    def statistics(self, x: npt.ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        return np.where(_is_count(x), np.minimum(x, LARGEST), 0.0)[np.newaxis]

    def log_base_measure(self, x: npt.ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        inside = _is_count(x)
        count = np.where(inside, np.minimum(x, LARGEST), 0.0)
        outside = np.where(np.isnan(x), 0.0, -np.inf)
        return np.where(inside, self._log_base_measure(count), outside)

    def _log_base_measure(self, count: FloatArray) -> FloatArray:
        """h at values known to be counts."""
        raise NotImplementedError

    def project(self, mean: npt.ArrayLike) -> FloatArray:
        return as_floats(mean).clip(self.rate_floor, LARGEST)

    def uniform_prior(self) -> FloatArray:
        return np.ones(1)

    def to_unconstrained(self, mean: npt.ArrayLike) -> FloatArray:
        mean = self.project(mean)
        return namespace(mean).log(mean)

    def from_unconstrained(self, unconstrained: npt.ArrayLike) -> FloatArray:
        log_rate = as_floats(unconstrained).clip(max=np.log(LARGEST))
        return self.project(namespace(log_rate).exp(log_rate))

    def expectation(self, mean: npt.ArrayLike) -> FloatArray:
        return self.project(mean)[..., 0]

    def random_mean(
        self,
        prior_mean: npt.ArrayLike,
        n_units: int,
        rng: np.random.Generator,
        *,
        spread: float = 0.5,
    ) -> FloatArray:
        """Rates around the column's own, log-normal.

        Parameters
        ----------
        prior_mean : array-like of shape (1,)
            Rate of the column, from `moments_prior`.
        n_units : int
        rng : numpy.random.Generator
        spread : float, default=0.5
            Standard deviation of the logarithms of the rates.

        Returns
        -------
        ndarray of shape (n_units, 1)
        """
        log_rate = self.to_unconstrained(prior_mean) + spread * rng.standard_normal((n_units, 1))
        return self.from_unconstrained(log_rate)


def _is_count(x: FloatArray) -> npt.NDArray[np.bool_]:
    """Which values are counts (a missing cell is not one)."""
    return (x >= 0) & (x < np.inf) & (x == np.floor(x))
