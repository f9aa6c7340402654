"""Exponential-family input distributions: what a leaf is, in plain NumPy float64.

Here lives one small file a family; each knows densities, mean parameters, start values, samples.
Circuits, flows, solvers and compiled or device code may not come in; they call these methods.
"""

from collections.abc import Mapping
from typing import Any

from .base import Distribution
from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .categorical import Categorical
from .counts import CountDistribution
from .discretised_logistic import DiscretisedLogistic
from .factor_gaussian import FactorGaussian
from .finite import FiniteDistribution
from .gamma import Gamma
from .gaussian import Gaussian
from .indicator import Indicator
from .log_normal import LogNormal
from .multivariate_gaussian import MultivariateGaussian
from .negative_binomial import NegativeBinomial
from .poisson import Poisson

__all__ = [
    "DISTRIBUTIONS",
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "CountDistribution",
    "DiscretisedLogistic",
    "Distribution",
    "FactorGaussian",
    "FiniteDistribution",
    "Gamma",
    "Gaussian",
    "Indicator",
    "LogNormal",
    "MultivariateGaussian",
    "NegativeBinomial",
    "Poisson",
    "resolve_distribution",
]

DISTRIBUTIONS: dict[str, type[Distribution]] = {
    family.name: family
    for family in (
        Bernoulli,
        Beta,
        Binomial,
        Categorical,
        DiscretisedLogistic,
        FactorGaussian,
        Gamma,
        Gaussian,
        Indicator,
        LogNormal,
        MultivariateGaussian,
        NegativeBinomial,
        Poisson,
    )
}
"""Families by name; add your own class here and models that use it can be loaded."""


def resolve_distribution(distribution: str | Mapping[str, Any] | Distribution) -> Distribution:
    """Turn a name, a saved configuration or a distribution into a distribution.

    Parameters
    ----------
    distribution : str, mapping or Distribution
        The name of a family whose fields all have defaults, what `Distribution.to_config`
        returned, or a distribution, which comes back as it is.

    Returns
    -------
    Distribution

    Raises
    ------
    ValueError
        If the name is unknown, or the fields do not make a member of the family.
    TypeError
        If `distribution` is none of the three.

    Examples
    --------
    >>> from skpc.distributions import resolve_distribution
    >>> resolve_distribution("gaussian")
    Gaussian(variance_floor=0.001)
    >>> resolve_distribution({"name": "categorical", "n_states": 3})
    Categorical(n_states=3)
    """
    if isinstance(distribution, Distribution):
        return distribution
    if isinstance(distribution, str):
        distribution = {"name": distribution}
    if not isinstance(distribution, Mapping):
        hint = "; call the class to make one" if isinstance(distribution, type) else ""
        raise TypeError(
            "distribution must be a name, a mapping or a Distribution object, got "
            f"{distribution!r}{hint}"
        )
    name = distribution.get("name")
    if name not in DISTRIBUTIONS:
        raise ValueError(
            f"distribution has the unknown name {name!r}; use one of {sorted(DISTRIBUTIONS)}, "
            "or add your class to skpc.distributions.DISTRIBUTIONS"
        )
    return DISTRIBUTIONS[name].from_config(distribution)
