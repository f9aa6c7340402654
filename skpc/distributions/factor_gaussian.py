"""Gaussian leaves over a group of columns, whose covariances are factor models."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from .base import FloatArray
from .factor_model import SAME, FactorModel, factor_model, on_tangent
from .multivariate_gaussian import Members, MultivariateGaussian

#: Steps of Newton's method at most where the noise is known from before: none lowers the
#: likelihood, and the next update goes on. One fold of breast_cancer, eight components: 1, 2, 5 and
#: 10 steps have -18.3, -13.0, -11.4 and -11.3 nats a row held out, in 4, 5, 8 and 12 s.
STEPS = 5


@dataclass(frozen=True)
class FactorGaussian(MultivariateGaussian):
    """A group of d real variables with few factors: covariances ΛΛ' + Ψ, Λ (d, k), Ψ diagonal.

    As `MultivariateGaussian`, with d (k + 1) - k (k - 1) / 2 free numbers in a covariance instead
    of d (d + 1) / 2. Of the covariance E[xx'] - E[x]E[x]' + `variance_floor` on the diagonal a
    member has the factor model of largest likelihood; Ψ is at least the floor. `project` finds
    it from the noise of the member before, so that a step of EM never lowers the likelihood
    (but for the floor), and leaves factor models as they are.

    The last d numbers of a member are no expectations: they are the diagonal of Ψ, carried on by
    every average as the statistics of a row that has just this noise, since a covariance alone
    may be near several factor models. Zeros stand for noise that is not known.

    Parameters
    ----------
    n_variables : int
        Columns of the group, at least 3.
    variance_floor : float or tuple of float, default=1e-3
        Added to every variance, in squared units of the standardised columns.
    n_factors : int, default=1
        Columns k of Λ, at most d - 2; with d - 1 every covariance is a factor model.

    Raises
    ------
    ValueError
        If a field is out of its range.

    References
    ----------
    Ghahramani and Hinton (1996), "The EM algorithm for mixtures of factor analyzers"; Zhao, Yu and
    Jiang (2008), "ML estimation for factor analysis: EM or non-EM?".

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import FactorGaussian
    >>> leaf = FactorGaussian(4, n_factors=1)
    >>> loading = np.array([2.0, 1.0, 0.5, 1.0])
    >>> mean = leaf.pack(np.zeros(4), np.outer(loading, loading) + np.eye(4))
    >>> leaf.noise(mean).round(3)
    array([1., 1., 1., 1.])
    """

    n_variables: int = 3
    variance_floor: float | tuple[float, ...] = 1e-3
    n_factors: int = 1
    name: ClassVar[str] = "factor_gaussian"
    mean_in_words: ClassVar[str] = (
        "the means, for i <= j E[x_i x_j] of covariances that are factor models, and their noise"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.n_factors, int | np.integer) and not isinstance(
            self.n_factors, bool
        )
        if not whole or not 1 <= self.n_factors <= self.n_variables - 2:
            raise ValueError(
                f"n_factors={self.n_factors!r} must be an integer from 1 to n_variables - 2 = "
                f"{self.n_variables - 2}; MultivariateGaussian has every covariance"
            )
        object.__setattr__(self, "n_factors", int(self.n_factors))

    @property
    def n_statistics(self) -> int:
        return super().n_statistics + self.n_variables

    # -- between mean parameters and moments -----------------------------------------------

    def pack(self, location: npt.ArrayLike, covariance: npt.ArrayLike) -> FloatArray:
        """Mean parameters of members with these locations, and factor models of the covariances.

        Parameters
        ----------
        location : array-like of shape (..., d)
        covariance : array-like of shape (..., d, d)
            With the floor.

        Returns
        -------
        ndarray of shape (..., S)
        """
        return self.project(super().pack(location, covariance))

    def repack(
        self, mean: npt.ArrayLike, location: npt.ArrayLike, covariance: npt.ArrayLike
    ) -> FloatArray:
        """As `pack`, starting from the noise of members with mean parameters `mean`."""
        return self.project(self._with_noise(super().pack(location, covariance), mean))

    def noise(self, mean: npt.ArrayLike) -> FloatArray:
        """Diagonals of Ψ, (..., d)."""
        return np.asarray(mean, dtype=np.float64)[..., -self.n_variables :]

    def factor_model(self, mean: npt.ArrayLike) -> FactorModel:
        """Λ, Ψ and what the covariances lack of it, for arrays of shape (U, S)."""
        return self._fitted(self.unpack(mean)[1], self.noise(mean))

    def _fitted(self, covariance: FloatArray, noise: FloatArray) -> FactorModel:
        floor = np.diagonal(self._floor)
        fit = partial(factor_model, n_factors=self.n_factors, floor=floor)
        known = (noise > 0.0).all(axis=1)
        if known.all():
            return fit(covariance, noise=noise, max_steps=STEPS)
        return fit(covariance, noise=noise)

    def _packed(self, location, second) -> FloatArray:
        packed = super()._packed(location, second)
        return np.concatenate([packed, np.zeros_like(location)], axis=-1)

    def _with_noise(self, packed: FloatArray, mean: npt.ArrayLike) -> FloatArray:
        packed = packed.copy()
        packed[..., -self.n_variables :] = self.noise(mean)
        return packed

    def project(self, mean: npt.ArrayLike) -> FloatArray:
        """Replace covariances by factor models of them, unless they are factor models.

        Parameters
        ----------
        mean : array-like of shape (..., S)

        Returns
        -------
        ndarray of shape (..., S)
            Equal to `mean` for members that have their noise with them and whose discrepancy
            from their factor model is at most `factor_model.SAME`.
        """
        mean = np.asarray(mean, dtype=np.float64)
        flat = mean.reshape(-1, self.n_statistics)
        moments = super().project(flat)
        location, covariance = self.unpack(moments)
        model = self._fitted(covariance, self.noise(flat))
        same = model.discrepancy <= SAME
        new = np.where(same[:, None], moments, super().pack(location, model.covariance))
        known = same & (self.noise(flat) > 0.0).all(axis=1)
        new[:, -self.n_variables :] = np.where(known[:, None], self.noise(flat), model.noise)
        return new.reshape(mean.shape)

    # -- what is carried on ---------------------------------------------------------------------

    def members(self, mean: npt.ArrayLike) -> Members:
        """Members ready for densities, with their noise, for arrays of shape (U, S)."""
        return super().members(mean)._replace(carried=self.noise(mean))

    def member_flow_statistics(self, members: Members, x, flow: FloatArray) -> FloatArray:
        """As `flow_statistics`, for members that are ready and flows (U, n)."""
        out = super().member_flow_statistics(members, x, flow)
        out[:, -self.n_variables :] = out[:, :1] * members.carried
        return out

    def statistics(self, x: npt.ArrayLike) -> FloatArray:
        """Sufficient statistics of rows; all zero where a cell is missing, and of the noise.

        Parameters
        ----------
        x : array-like of shape (..., d)

        Returns
        -------
        ndarray of shape (S, ...)
        """
        found = super().statistics(x)
        return np.concatenate([found, np.zeros((self.n_variables, *found.shape[1:]))])

    def natural_parameters(self, mean: npt.ArrayLike) -> FloatArray:
        return self._with_noise(super().natural_parameters(mean), mean)

    def to_unconstrained(self, mean: npt.ArrayLike) -> FloatArray:
        return self._with_noise(super().to_unconstrained(mean), mean)

    def uniform_prior(self) -> FloatArray:
        return self.project(super().uniform_prior())

    def _followed(self, mean: FloatArray, change: FloatArray, whiten: FloatArray) -> FloatArray:
        d = self.n_variables
        model = self.factor_model(mean.reshape(-1, self.n_statistics))
        part = on_tangent(change.reshape(-1, d, d), model, whiten.reshape(-1, d, d))
        return part.reshape(change.shape)
