"""Poisson leaves: counts of independent events."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from ..utils.arrays import as_floats, namespace
from .base import FloatArray
from .counts import CountDistribution


@dataclass(frozen=True)
class Poisson(CountDistribution):
    """A count: s(x) = x, the mean is the rate, the natural parameter its logarithm.

    Counts beyond 2^53, which float64 cannot tell apart, count as 2^53. Unconstrained coordinates
    are the logarithms of the rates.

    Parameters
    ----------
    rate_floor : float, default=1e-6
        Smallest rate of a member, below 1. At a rate of zero, which a unit that is left with
        zeros would get, a single count would be impossible for ever.

    Raises
    ------
    ValueError
        If `rate_floor` does not lie between 0 and 1.

    References
    ----------
    Wainwright and Jordan (2008), "Graphical Models, Exponential Families, and Variational
    Inference", table 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Poisson
    >>> leaf = Poisson()
    >>> leaf.log_density([[2.0], [5.0]], [0, 3, np.nan]).round(4)
    array([[-2.    , -1.7123,  0.    ],
           [-5.    , -1.9634,  0.    ]])
    >>> leaf.moments_prior([0, 4, 5, np.nan], pseudocount=0)
    array([3.])
    """

    rate_floor: float = 1e-6
    name: ClassVar[str] = "poisson"
    takes_tensors: ClassVar[bool] = True

    def _log_base_measure(self, count: FloatArray) -> FloatArray:
        return -gammaln(count + 1.0)

    def log_partition(self, natural: npt.ArrayLike) -> FloatArray:
        natural = as_floats(natural)[..., 0]
        return namespace(natural).exp(natural)

    def natural_parameters(self, mean: npt.ArrayLike) -> FloatArray:
        mean = self.project(mean)
        return namespace(mean).log(mean)

    def mean_parameters(self, natural: npt.ArrayLike) -> FloatArray:
        natural = as_floats(natural)
        return namespace(natural).exp(natural)

    def sample(self, mean: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
        return rng.poisson(self.expectation(mean)).astype(np.float64)

    def mode(self, mean: npt.ArrayLike) -> FloatArray:
        # A whole rate has two modes, itself and the count below it.
        return np.ceil(self.expectation(mean)) - 1.0

    def variance(self, mean: npt.ArrayLike) -> FloatArray:
        return self.expectation(mean)
