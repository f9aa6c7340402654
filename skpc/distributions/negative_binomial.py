"""Negative binomial leaves: counts that vary more than independent events do."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from ..utils.arrays import as_floats, namespace
from .base import FloatArray
from .counts import LARGEST, CountDistribution

#: From this size on, a difference of two log-gammas is taken from Stirling's series instead.
_STIRLING_FROM = 1e3
#: Share of the rate below which excess variance cannot be told from none.
_LEAST_EXCESS = 1e-6
_ALMOST_ONE = np.nextafter(1.0, 0.0)


@dataclass(frozen=True)
class NegativeBinomial(CountDistribution):
    r"""A count of rate m and variance m + m^2 / size: a Poisson rate drawn from a gamma.

    .. math:: p(x) = \frac{\Gamma(x + r)}{x!\,\Gamma(r)}
        \left(\frac{r}{r + m}\right)^r \left(\frac{m}{r + m}\right)^x

    With the size r fixed it is an exponential family: s(x) = x, the mean is the rate m, the
    natural parameter log(m r / (m + r)), which is below log(r). For r to infinity everything here
    becomes that of `Poisson`; r = 1 is the geometric distribution.

    The size is not learnt. `size_from_moments` takes it from a column; the units of a mixture
    are narrower than the column, so it is a lower limit for them, and two to ten times as much is
    worth a try.

    Unconstrained coordinates are the logarithms of the rates.

    Parameters
    ----------
    size : float
        Dispersion r, the shape of the gamma distribution; positive and finite.
    rate_floor : float, default=1e-6
        Smallest rate of a member, below 1.

    Raises
    ------
    ValueError
        If `size` is not positive and finite, or `rate_floor` does not lie between 0 and 1.

    References
    ----------
    Hilbe (2011), "Negative Binomial Regression", 2nd edition, section 8.2 (NB2).

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import NegativeBinomial
    >>> x = np.array([0, 0, 1, 2, 9, 12])
    >>> leaf = NegativeBinomial(NegativeBinomial.size_from_moments(x.mean(), x.var()))
    >>> leaf.variance([[x.mean()]]) - x.var()
    array([0.])
    >>> leaf.log_density([[4.0]], [0, 100, np.nan]).round(3)
    array([[ -1.501, -21.911,   0.   ]])
    """

    size: float
    rate_floor: float = 1e-6
    name: ClassVar[str] = "negative_binomial"
    takes_tensors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "size", float(self.size))
        if not 0 < self.size < np.inf:
            raise ValueError(
                f"size must be positive and finite, got {self.size}; without excess variance "
                "use Poisson()"
            )

    @staticmethod
    def size_from_moments(mean: float, variance: float) -> float:
        """The size at which a member of this expectation has this variance.

        Parameters
        ----------
        mean : float
            Average of a column, not negative.
        variance : float
            Variance of the column.

        Returns
        -------
        float
            mean^2 / (variance - mean), at least 1e-6. Where the variance is not above the mean it
            is 1e6 times the mean, which cannot be told from a Poisson distribution; 1 where
            the mean is 0.

        Raises
        ------
        ValueError
            If a moment is negative or not finite.
        """
        if not (0 <= mean < np.inf and 0 <= variance < np.inf):
            raise ValueError(
                f"mean and variance must be finite and not negative, got {mean} and {variance}"
            )
        if mean == 0:
            return 1.0
        return float(max(mean / max(variance / mean - 1.0, _LEAST_EXCESS), 1e-6))

    def _log_base_measure(self, count: FloatArray) -> FloatArray:
        return self._log_rising_factorial(count) - gammaln(count + 1.0)

    def _log_rising_factorial(self, count: FloatArray) -> FloatArray:
        """log Γ(x + r) - log Γ(r) - x log r, which is 0 for r to infinity."""
        r = self.size
        if r < _STIRLING_FROM:
            return gammaln(count + r) - gammaln(r) - count * np.log(r)
        series = _stirling(count + r) - _stirling(r)
        return (count + r - 0.5) * np.log1p(count / r) - count + series

    def log_partition(self, natural: npt.ArrayLike) -> FloatArray:
        share = self._share(natural)[..., 0]
        return -self.size * namespace(share).log1p(-share)

    def natural_parameters(self, mean: npt.ArrayLike) -> FloatArray:
        mean = self.project(mean)
        xp = namespace(mean)
        return xp.log(mean) - xp.log1p(mean / self.size)

    def mean_parameters(self, natural: npt.ArrayLike) -> FloatArray:
        share = self._share(natural)
        return self.size * (share / (1.0 - share))

    def _share(self, natural: npt.ArrayLike) -> FloatArray:
        """m / (m + r), below 1 also where the natural parameter is rounded to log(r)."""
        natural = as_floats(natural)
        log_share = (natural - np.log(self.size)).clip(max=0.0)
        return namespace(natural).exp(log_share).clip(max=_ALMOST_ONE)

    def log_density(self, mean: npt.ArrayLike, x: npt.ArrayLike) -> FloatArray:
        # Not by way of A: close to its limit log(r), the natural parameter has too few digits.
        x = np.asarray(x, dtype=np.float64)
        mean = self.project(mean)
        inner = self.natural_parameters(mean) @ self.statistics(x)
        inner -= self.size * np.log1p(mean / self.size)
        return np.where(np.isnan(x), 0.0, inner + self.log_base_measure(x))

    def unconstrained_gradient(
        self, mean: npt.ArrayLike, flow: npt.ArrayLike, flow_statistics: npt.ArrayLike
    ) -> FloatArray:
        mean = self.project(mean)
        gradient = super().unconstrained_gradient(mean, flow, flow_statistics)
        return gradient / (1.0 + mean / self.size)

    def sample(self, mean: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
        rate = rng.gamma(self.size, self.expectation(mean) / self.size)
        return rng.poisson(np.minimum(rate, LARGEST)).astype(np.float64)

    def mode(self, mean: npt.ArrayLike) -> FloatArray:
        top = self.expectation(mean) * (1.0 - 1.0 / self.size)
        # A whole number there is the larger of two modes.
        return np.maximum(np.ceil(top) - 1.0, 0.0)

    def variance(self, mean: npt.ArrayLike) -> FloatArray:
        rate = self.expectation(mean)
        return rate + rate * (rate / self.size)


def _stirling(z: npt.ArrayLike) -> FloatArray:
    """log Γ(z) - ((z - 1/2) log z - z + log(2π)/2), to 1e-18 from 1e3 on."""
    z = np.asarray(z, dtype=np.float64)
    return (1.0 / 12.0 - 1.0 / (360.0 * z * z)) / z
