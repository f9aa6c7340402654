"""The contract that every input distribution keeps."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ..utils.arrays import as_floats

FloatArray = npt.NDArray[np.float64]


class Distribution(ABC):
    r"""An exponential family over one variable, in mean parameters.

    .. math:: \log p(x) = \langle\eta, s(x)\rangle - A(\eta) + h(x), \qquad m = E[s(x)]

    Every parameter array that circuits and solvers hold is a *mean parameter* :math:`m`, of shape
    (..., S): expected statistics add and average, so each update is a weighted mean. Rounding can
    carry an update out of the admissible set: call `project` after it, for the other methods
    expect admissible arrays.

    Logarithms are natural (nats). NaN is a missing cell everywhere: it is marginalised, so it has
    log-density 0 and adds nothing to any statistic.

    A family is a frozen dataclass, so that equal distributions compare and hash equal and can be
    stored together. It gives `name`, `n_states`, `n_statistics`, `support` and the abstract
    methods below; the others follow from these, and are overridden where a closed form is more
    stable or faster. Fields must be values that JSON can hold.

    Attributes
    ----------
    name : str
        Name in configurations, saved models and `DISTRIBUTIONS`.
    n_states : int or None
        Size of the support 0, ..., n_states - 1; None where the support is not finite.
    n_statistics : int
        Number S of statistics, the last axis of every parameter array.
    support : str
        The values that the family allows, in words, for error messages.

    References
    ----------
    Wainwright and Jordan (2008), "Graphical Models, Exponential Families, and Variational
    Inference", chapter 3.
    """

    name: ClassVar[str]
    #: What the mean parameters of a member are, in words, for error messages.
    mean_in_words: ClassVar[str] = "the expected statistics of a member"
    n_states: int | None
    #: Whether the states are numbers, so that neighbours are alike.
    ordered: ClassVar[bool] = False
    #: Whether members know their values, so that nothing must draw them elsewhere.
    is_fixed: ClassVar[bool] = False
    #: Whether what is computed from parameters alone takes tensors of torch too: ``project``,
    #: natural and mean parameters, ``log_partition``, unconstrained coordinates and the gradient
    #: in them, and ``probabilities`` of a finite family. A GPU then needs no help from the CPU.
    takes_tensors: ClassVar[bool] = False
    #: Columns that a member speaks of together; rows of such a group are the last axis of x.
    n_variables: int = 1

    @property
    @abstractmethod
    def n_statistics(self) -> int:
        """Number S of statistics."""

    @property
    @abstractmethod
    def support(self) -> str:
        """The allowed values in words."""

    @abstractmethod
    def statistics(self, x: npt.ArrayLike) -> FloatArray:
        """Sufficient statistics s(x), finite for every x; zeros for a missing cell.

        Parameters
        ----------
        x : array-like of any shape

        Returns
        -------
        ndarray of shape (S, *x.shape)
        """

    @abstractmethod
    def log_base_measure(self, x: npt.ArrayLike) -> FloatArray:
        """The term h(x), in nats: -inf outside the support, 0 for a missing cell.

        Parameters
        ----------
        x : array-like of any shape

        Returns
        -------
        ndarray of the shape of x
        """

    @abstractmethod
    def log_partition(self, natural: npt.ArrayLike) -> FloatArray:
        """The log-normaliser A(natural), in nats; its gradient is `mean_parameters`.

        Parameters
        ----------
        natural : array-like of shape (..., S)

        Returns
        -------
        ndarray of shape (...)
        """

    @abstractmethod
    def natural_parameters(self, mean: npt.ArrayLike) -> FloatArray:
        """Natural parameters of the member with this mean; infinite on the boundary.

        Parameters
        ----------
        mean : array-like of shape (..., S)

        Returns
        -------
        ndarray of shape (..., S)
        """

    @abstractmethod
    def mean_parameters(self, natural: npt.ArrayLike) -> FloatArray:
        """Mean parameters E[s(x)] of the member with these natural parameters.

        Parameters
        ----------
        natural : array-like of shape (..., S)

        Returns
        -------
        ndarray of shape (..., S)
        """

    @abstractmethod
    def project(self, mean: npt.ArrayLike) -> FloatArray:
        """Nearest mean parameters that belong to a member; projecting twice changes nothing.

        Probabilities of exactly zero and one are kept: smoothing is the task of a prior.

        Parameters
        ----------
        mean : array-like of shape (..., S)

        Returns
        -------
        ndarray of shape (..., S)
        """

    @abstractmethod
    def uniform_prior(self) -> FloatArray:
        """Mean parameters of the least informative member.

        It has the highest entropy of the family; on an unbounded support, of its members on the
        scale of a standardised column.

        Returns
        -------
        ndarray of shape (S,)
        """

    @abstractmethod
    def sample(self, mean: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
        """Draw one value from every member.

        Parameters
        ----------
        mean : array-like of shape (n, S)
            One row a draw.
        rng : numpy.random.Generator

        Returns
        -------
        ndarray of shape (n,)
        """

    @abstractmethod
    def mode(self, mean: npt.ArrayLike) -> FloatArray:
        """Most probable value; the smallest of equals.

        Parameters
        ----------
        mean : array-like of shape (..., S)

        Returns
        -------
        ndarray of shape (...)
        """

    @abstractmethod
    def expectation(self, mean: npt.ArrayLike) -> FloatArray:
        """Expected value E[x].

        Parameters
        ----------
        mean : array-like of shape (..., S)

        Returns
        -------
        ndarray of shape (...)
        """

    @abstractmethod
    def variance(self, mean: npt.ArrayLike) -> FloatArray:
        """Variance E[(x - E[x])^2].

        Parameters
        ----------
        mean : array-like of shape (..., S)

        Returns
        -------
        ndarray of shape (...)
        """

    @abstractmethod
    def random_mean(
        self, prior_mean: npt.ArrayLike, n_units: int, rng: np.random.Generator, *, spread: float
    ) -> FloatArray:
        """Diverse start parameters for the units of one input node.

        Units that start alike stay alike, so the draws differ on purpose.

        Parameters
        ----------
        prior_mean : array-like of shape (S,)
            Mean parameters of the column's marginal, from `moments_prior`.
        n_units : int
        rng : numpy.random.Generator
        spread : float
            How far apart the units start; every family gives its own meaning and default.

        Returns
        -------
        ndarray of shape (n_units, S)
        """

    def log_density(self, mean: npt.ArrayLike, x: npt.ArrayLike) -> FloatArray:
        """Log-density of every value under every member, in nats.

        Parameters
        ----------
        mean : array-like of shape (..., S)
        x : array-like of shape (n,)

        Returns
        -------
        ndarray of shape (..., n)
            0 for a missing cell, -inf for a value that the member cannot take.
        """
        x = np.asarray(x, dtype=np.float64)
        natural = self.natural_parameters(mean)
        inner = natural @ self.statistics(x) - self.log_partition(natural)[..., np.newaxis]
        return np.where(np.isnan(x), 0.0, inner + self.log_base_measure(x))

    def flow_statistics(
        self, mean: npt.ArrayLike, x: npt.ArrayLike, flow: npt.ArrayLike
    ) -> FloatArray:
        """Flows and flow-weighted statistics of some rows, summed over the rows.

        A missing cell counts for nothing; in a group of columns it counts with what the others
        make the member expect.

        Parameters
        ----------
        mean : array-like of shape (U, S)
        x : array-like of shape (n,), or (n, n_variables) for a group
        flow : array-like of shape (n, U)

        Returns
        -------
        ndarray of shape (U, 1 + S)
            Column 0 holds the sums of the flows.
        """
        x, flow = np.asarray(x, dtype=np.float64), np.asarray(flow, dtype=np.float64)
        seen = ~np.isnan(x)
        sums = self.statistics(x[seen]) @ flow[seen]
        return np.column_stack([flow[seen].sum(axis=0), sums.T])

    def validate(self, x: npt.ArrayLike) -> None:
        """Refuse values outside the support; a missing cell is always allowed.

        Parameters
        ----------
        x : array-like of any shape

        Raises
        ------
        ValueError
            Naming the first such value, its position and what is allowed.
        """
        x = np.asarray(x, dtype=np.float64)
        bad = np.isinf(x) | np.isneginf(self.log_base_measure(x))
        if bad.any():
            first = tuple(np.argwhere(bad)[0].tolist())
            position = first[0] if len(first) == 1 else first
            raise ValueError(
                f"x has {bad.sum()} values that {self!r} cannot take (first {float(x[first])!r} "
                f"at position {position}); allowed are {self.support}, and NaN for missing"
            )

    def moments_prior(
        self,
        x: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        pseudocount: float = 1.0,
    ) -> FloatArray:
        """Mean parameters of a whole column's marginal, the target of priors and start values.

        Parameters
        ----------
        x : array-like of shape (n,)
            Missing cells and rows of weight zero do not count; there may be none left.
        sample_weight : array-like of shape (n,), default=None
            A weight of 2 equals two rows; None is 1 everywhere.
        pseudocount : float, default=1.0
            Rows of `uniform_prior` mixed in, so that a state which the column lacks is rare
            instead of impossible. With 0 the result is the plain marginal.

        Returns
        -------
        ndarray of shape (S,)
        """
        x, weight = observed_cells(x, sample_weight)
        total = weight.sum() + pseudocount
        if total == 0:
            return self.uniform_prior()
        evidence = self._sum_statistics(x, weight) + pseudocount * self.uniform_prior()
        return self.project(evidence / total)

    def _sum_statistics(self, x: FloatArray, weight: FloatArray) -> FloatArray:
        """Sufficient statistics of cells that are there, times their weights, added up."""
        return self.statistics(x) @ weight

    def to_unconstrained(self, mean: npt.ArrayLike) -> FloatArray:
        """Coordinates that may take any real value, for gradient solvers.

        The natural parameters, unless the family has constraints on those.

        Parameters
        ----------
        mean : array-like of shape (..., S)

        Returns
        -------
        ndarray of shape (..., S)
            Infinite where a probability is exactly zero or one; a gradient step leaves it there.
        """
        return self.natural_parameters(mean)

    def from_unconstrained(self, unconstrained: npt.ArrayLike) -> FloatArray:
        """Mean parameters at these unconstrained coordinates.

        Parameters
        ----------
        unconstrained : array-like of shape (..., S)

        Returns
        -------
        ndarray of shape (..., S)
        """
        return self.mean_parameters(unconstrained)

    def unconstrained_gradient(
        self, mean: npt.ArrayLike, flow: npt.ArrayLike, flow_statistics: npt.ArrayLike
    ) -> FloatArray:
        r"""Gradient of :math:`\sum_x F(x) \log p(x)` in the unconstrained coordinates.

        In natural parameters it is :math:`\sum_x F(x) s(x) - m \sum_x F(x)`, and the chain rule
        does the rest: no pass over the data and no autograd is needed.

        Parameters
        ----------
        mean : array-like of shape (..., S)
        flow : array-like of shape (...)
            Sum of the flows F(x), in rows, missing cells left out.
        flow_statistics : array-like of shape (..., S)
            Sum of F(x) s(x).

        Returns
        -------
        ndarray of shape (..., S)
            In nats times rows for each unit of the coordinate.
        """
        flow = as_floats(flow)[..., np.newaxis]
        return as_floats(flow_statistics) - flow * as_floats(mean)

    def kl(self, mean_p: npt.ArrayLike, mean_q: npt.ArrayLike) -> FloatArray:
        """Kullback-Leibler divergence KL(p || q) between members, in nats.

        Holds for members with finite natural parameters; a family with others overrides it.

        Parameters
        ----------
        mean_p, mean_q : array-like of shape (..., S)

        Returns
        -------
        ndarray of shape (...)
            At least 0.
        """
        natural_p, natural_q = self.natural_parameters(mean_p), self.natural_parameters(mean_q)
        inner = ((natural_p - natural_q) * np.asarray(mean_p, dtype=np.float64)).sum(axis=-1)
        divergence = inner - self.log_partition(natural_p) + self.log_partition(natural_q)
        return np.maximum(divergence, 0.0)

    def to_config(self) -> dict[str, Any]:
        """Name and fields as a dict that JSON can hold; `from_config` reads it.

        Returns
        -------
        dict
        """
        return {"name": self.name, **asdict(self)}  # type: ignore[call-overload]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Rebuild a distribution of this class from what `to_config` returned.

        Parameters
        ----------
        config : mapping

        Returns
        -------
        Distribution
            Equal to the one that was saved.

        Raises
        ------
        ValueError
            If the name is another family's, or the fields do not make a member of this one.
        """
        fields = {key: value for key, value in config.items() if key != "name"}
        if config.get("name") != cls.name:
            raise ValueError(
                f"config names the distribution {config.get('name')!r}, but {cls.__name__} reads "
                f"{cls.name!r}; use skpc.distributions.resolve_distribution for any family"
            )
        try:
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f"config does not describe a {cls.__name__}: {error}") from error


def observed_cells(
    x: npt.ArrayLike, sample_weight: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray]:
    """Cells that are not missing and whose row has weight, with these weights.

    Parameters
    ----------
    x : array-like of shape (n,)
    sample_weight : array-like of shape (n,) or None

    Returns
    -------
    x, weight : ndarrays of shape (n_observed,)
    """
    x = np.asarray(x, dtype=np.float64)
    weight = np.ones_like(x) if sample_weight is None else np.asarray(sample_weight, np.float64)
    observed = ~np.isnan(x) & (weight > 0)
    return x[observed], weight[observed]
