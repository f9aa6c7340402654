"""Bernoulli leaves: a coin."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..utils.arrays import as_floats, namespace
from .base import FloatArray
from .finite import FiniteDistribution, softplus


@dataclass(frozen=True)
class Bernoulli(FiniteDistribution):
    """A binary variable: s(x) = x, the mean is the probability of 1, the natural its logit.

    Unconstrained coordinates are the logits.

    References
    ----------
    Wainwright and Jordan (2008), "Graphical Models, Exponential Families, and Variational
    Inference", table 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Bernoulli
    >>> np.exp(Bernoulli().log_density([[0.25], [1.0]], [0, 1, np.nan]))
    array([[0.75, 0.25, 1.  ],
           [0.  , 1.  , 1.  ]])
    """

    name: ClassVar[str] = "bernoulli"
    takes_tensors: ClassVar[bool] = True
    is_table: ClassVar[bool] = True
    mean_in_words: ClassVar[str] = "the probability of a 1, between 0 and 1"
    n_states = 2
    n_statistics = 1
    support = "0 and 1"

    def statistics(self, x: npt.ArrayLike) -> FloatArray:
        return (np.asarray(x, dtype=np.float64) == 1.0).astype(np.float64)[np.newaxis]

    def log_partition(self, natural: npt.ArrayLike) -> FloatArray:
        return softplus(as_floats(natural)[..., 0])

    def natural_parameters(self, mean: npt.ArrayLike) -> FloatArray:
        ones = as_floats(mean)
        xp = namespace(ones)
        with np.errstate(divide="ignore"):
            return xp.log(ones) - xp.log1p(-ones)

    def mean_parameters(self, natural: npt.ArrayLike) -> FloatArray:
        logits = as_floats(natural)
        return namespace(logits).exp(-softplus(-logits))

    def project(self, mean: npt.ArrayLike) -> FloatArray:
        return as_floats(mean).clip(0.0, 1.0)

    def probabilities(self, mean: npt.ArrayLike) -> FloatArray:
        ones = as_floats(mean)
        return namespace(ones).concatenate([1.0 - ones, ones], axis=-1)

    def mean_from_probabilities(self, probabilities: npt.ArrayLike) -> FloatArray:
        return np.asarray(probabilities, dtype=np.float64)[..., 1:]
