"""Gaussian leaves over a group of columns, with every covariance and missing cells exact."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ..utils.lazy import lazy
from .base import Distribution, FloatArray

# Larger values count as so large: their squares leave room for products of matrices.
_LARGEST = 1e100
_LOG_TWO_PI = np.log(2.0 * np.pi)
#: Rows whose products are taken at once, always so many: a row has the same bits among any others.
BLOCK_ROWS = 128
#: Numbers of the covariances of partly observed rows held at once, 32 MB.
CHUNK = 1 << 22
#: Up to so many variables rows are taken by the pattern of their missing cells, of which there are
#: at most 254; above where a pattern has so many rows on average, else every row by itself.
PATTERN_VARIABLES, PATTERN_ROWS = 8, 4


class Members(NamedTuple):
    """Moments of some members, and what densities are computed from.

    ``location`` (U, d), ``covariance`` (U, d, d) with the floor, ``whiten`` (U, d, d) the inverse
    of its Cholesky factor, ``log_norm`` (U,) the log-density at the location; ``carried`` (U, ...)
    what families with more parameters carry on.
    """

    location: FloatArray
    covariance: FloatArray
    whiten: FloatArray
    log_norm: FloatArray
    carried: FloatArray


@dataclass(frozen=True)
class MultivariateGaussian(Distribution):
    """A group of d real variables: s(x) = (x_i, x_i x_j for i <= j), the mean their expectations.

    The covariance of a member is E[xx'] - E[x]E[x]' + `variance_floor` on the diagonal, as
    scikit-learn's GaussianMixture adds `reg_covar`. A row in which some cells of the group are
    missing has the density of the others; in learning its missing cells count with their
    conditional expectations, so that EM stays exact. Rows without any cell count for nothing.

    Unconstrained coordinates are the expectation and the Cholesky factor, with the logarithms of
    its diagonal.

    Parameters
    ----------
    n_variables : int
        Columns of the group.
    variance_floor : float or tuple of float, default=1e-3
        Added to every variance, in squared units of the standardised columns; of every column, or
        one for all.

    Raises
    ------
    ValueError
        If there is no variable, or `variance_floor` is not positive and finite, or of another
        number of columns.

    References
    ----------
    Dempster, Laird and Rubin (1977), "Maximum likelihood from incomplete data via the EM
    algorithm"; Ghahramani and Jordan (1994), "Supervised learning from incomplete data via an EM
    approach".

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import MultivariateGaussian
    >>> leaf = MultivariateGaussian(2, variance_floor=1e-6)
    >>> mean = leaf.pack(np.zeros(2), np.array([[1.0, 0.6], [0.6, 1.0]]))
    >>> leaf.log_density(mean, [[1.0, 1.0], [1.0, np.nan], [np.nan, np.nan]]).round(4)
    array([-2.2397, -1.4189,  0.    ])
    """

    n_variables: int
    variance_floor: float | tuple[float, ...] = 1e-3
    name: ClassVar[str] = "multivariate_gaussian"
    mean_in_words: ClassVar[str] = "the means and, for i <= j, E[x_i x_j]"
    n_states = None
    support = "finite numbers"

    def __post_init__(self) -> None:
        if self.n_variables < 1:
            raise ValueError(f"n_variables must be at least 1, got {self.n_variables}")
        floors = np.atleast_1d(np.asarray(self.variance_floor, dtype=np.float64))
        if floors.shape not in ((1,), (self.n_variables,)):
            raise ValueError(
                f"variance_floor={self.variance_floor!r} must be one number, or one for each of "
                f"{self.n_variables} columns"
            )
        if not ((floors > 0) & (floors < np.inf)).all():
            raise ValueError(
                f"variance_floor must be positive and finite, got {self.variance_floor}"
            )
        # Equal families are computed together: one number for all has one form.
        same = bool((floors == floors[0]).all())
        floor = float(floors[0]) if same else tuple(floors.tolist())
        object.__setattr__(self, "variance_floor", floor)

    @property
    def n_statistics(self) -> int:
        d = self.n_variables
        return d + d * (d + 1) // 2

    @lazy
    def _floor(self) -> FloatArray:
        """The floors as a diagonal matrix."""
        return np.diag(np.broadcast_to(self.variance_floor, self.n_variables))

    @lazy
    def _upper(self) -> tuple[np.ndarray, np.ndarray]:
        return np.triu_indices(self.n_variables)

    # -- between mean parameters and moments -----------------------------------------------

    def pack(self, location: npt.ArrayLike, covariance: npt.ArrayLike) -> FloatArray:
        """Mean parameters of members with these locations and covariances, floor included.

        Parameters
        ----------
        location : array-like of shape (..., d)
        covariance : array-like of shape (..., d, d)

        Returns
        -------
        ndarray of shape (..., S)
        """
        location = np.asarray(location, dtype=np.float64)
        second = np.asarray(covariance, dtype=np.float64) - self._floor
        second = second + location[..., :, None] * location[..., None, :]
        return self._packed(location, second)

    def unpack(self, mean: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Location and covariance, floor included.

        Parameters
        ----------
        mean : array-like of shape (..., S)

        Returns
        -------
        location : ndarray of shape (..., d)
        covariance : ndarray of shape (..., d, d)
        """
        location, second = self._moments(mean)
        covariance = second - location[..., :, None] * location[..., None, :]
        return location, covariance + self._floor

    def repack(
        self, mean: npt.ArrayLike, location: npt.ArrayLike, covariance: npt.ArrayLike
    ) -> FloatArray:
        """As `pack`, for members near those with mean parameters `mean`."""
        return self.pack(location, covariance)

    def _packed(self, location, second) -> FloatArray:
        i, j = self._upper
        return np.concatenate([location, second[..., i, j]], axis=-1)

    def _moments(self, mean: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        mean = np.asarray(mean, dtype=np.float64)
        d = self.n_variables
        second = np.empty((*mean.shape[:-1], d, d))
        i, j = self._upper
        second[..., i, j] = second[..., j, i] = mean[..., d : d + len(i)]
        return mean[..., :d], second

    def members(self, mean: npt.ArrayLike) -> Members:
        """Members ready for densities, for arrays of shape (U, S)."""
        location, covariance = self.unpack(mean)
        factor, covariance = _cholesky(covariance)
        log_norm = -_log_det(factor) - 0.5 * self.n_variables * _LOG_TWO_PI
        whiten = np.asarray(np.linalg.inv(factor), np.float64)
        return Members(location, covariance, whiten, log_norm, np.zeros((len(location), 0)))

    # -- densities and statistics ------------------------------------------------------------

    def log_density(self, mean: npt.ArrayLike, x: npt.ArrayLike) -> FloatArray:
        """Log-density of every row under every member, in nats.

        Parameters
        ----------
        mean : array-like of shape (..., S)
        x : array-like of shape (n, d)
            NaN marks missing cells.

        Returns
        -------
        ndarray of shape (..., n)
        """
        mean = np.asarray(mean, dtype=np.float64)
        flat = self.members(mean.reshape(-1, self.n_statistics))
        x = np.asarray(x, dtype=np.float64)
        return self.member_log_density(flat, x).reshape(*mean.shape[:-1], len(x))

    def member_log_density(self, members: Members, x: FloatArray) -> FloatArray:
        """As `log_density`, (U, n), for members that are ready."""
        out = np.zeros((len(members.location), len(x)))
        complete, partly = _kinds(x)
        self._log_density_of(members, x, complete, out)
        patterns = _patterns(x, partly)
        if patterns is not None:
            for rows, seen in patterns:
                part = _marginal(members, seen)
                self._log_density_of(part, x[:, seen], rows, out)
            return out
        for rows in self._parts(partly, len(members.location)):
            seen = ~np.isnan(x[rows])
            factor = np.linalg.cholesky(self._masked(members, seen))
            centred = self._centred(members, x[rows], seen)
            z = np.linalg.solve(factor, centred[..., None])[..., 0]
            log_norm = -_log_det(factor) - 0.5 * _LOG_TWO_PI * seen.sum(axis=1)[:, None]
            out[:, rows] = (log_norm - 0.5 * (_clip(z) ** 2).sum(axis=-1)).T
        return out

    def _log_density_of(self, members: Members, x, rows: np.ndarray, out: FloatArray) -> None:
        """Write the log-densities of rows that have all cells of the members."""
        for block in _blocks(rows):
            # Always as many columns, so that a row has the same bits among any others.
            cells = np.zeros((x.shape[1], BLOCK_ROWS))
            cells[:, : len(block)] = _clip(x[block]).T
            z = members.whiten @ (cells - members.location[:, :, None])
            quadratic = (_clip(z) ** 2).sum(axis=1)[:, : len(block)]
            out[:, block] = members.log_norm[:, None] - 0.5 * quadratic

    def flow_statistics(self, mean: npt.ArrayLike, x: npt.ArrayLike, flow) -> FloatArray:
        """Flows and flow-weighted expected statistics of some rows.

        Parameters
        ----------
        mean : array-like of shape (U, S)
        x : array-like of shape (n, d)
        flow : array-like of shape (n, U)

        Returns
        -------
        ndarray of shape (U, 1 + S)
        """
        x = np.asarray(x, dtype=np.float64)
        return self.member_flow_statistics(self.members(mean), x, np.asarray(flow).T)

    def member_flow_statistics(self, members: Members, x, flow: FloatArray) -> FloatArray:
        """As `flow_statistics`, for members that are ready and flows (U, n)."""
        out = np.zeros((len(flow), 1 + self.n_statistics))
        complete, partly = _kinds(x)
        if len(complete) == len(x):
            out += flow @ self._row_statistics(x)
        elif complete.size:
            out += flow[:, complete] @ self._row_statistics(x[complete])
        patterns = _patterns(x, partly)
        if patterns is not None:
            for rows, seen in patterns:
                out += self._pattern_statistics(members, x[rows], seen, flow[:, rows])
            return out
        for rows in self._parts(partly, len(flow)):
            seen = ~np.isnan(x[rows])
            both = seen[:, None, :, None] & seen[:, None, None, :]
            precision = np.where(both, np.linalg.inv(self._masked(members, seen)), 0.0)
            gain = members.covariance @ precision
            centred = self._centred(members, x[rows], seen)
            filled = members.location + (gain @ centred[..., None])[..., 0]
            filled = np.where(seen[:, None], np.nan_to_num(_clip(x[rows]))[:, None], filled)
            rest = members.covariance - gain @ members.covariance
            second = filled[..., :, None] * filled[..., None, :] + np.where(
                (~seen)[:, None, :, None] & (~seen)[:, None, None, :], rest, 0.0
            )
            mine = flow[:, rows]
            out[:, 0] += mine.sum(axis=1)
            out[:, 1:] += np.einsum("un,nus->us", mine, self._packed(filled, second))
        return out

    def _pattern_statistics(self, members: Members, x, seen: np.ndarray, flow) -> FloatArray:
        """Flow statistics of rows in which the same cells are there."""
        gain = members.covariance[:, :, seen] @ np.linalg.inv(
            members.covariance[:, seen][:, :, seen]
        )
        cells = _clip(x[:, seen]).T
        filled = members.location[:, :, None] + gain @ (cells - members.location[:, seen, None])
        filled[:, seen] = cells
        rest = members.covariance - gain @ members.covariance[:, seen]
        rest[:, seen] = rest[:, :, seen] = 0.0
        total = flow.sum(axis=1)
        weighted = filled * flow[:, None, :]
        second = weighted @ np.swapaxes(filled, 1, 2) + total[:, None, None] * rest
        return np.column_stack([total, self._packed(weighted.sum(axis=2), second)])

    def _row_statistics(self, x: FloatArray) -> FloatArray:
        return np.column_stack([np.ones(len(x)), self.statistics(x).T])

    def _parts(self, rows: np.ndarray, n_members: int):
        size = max(1, CHUNK // (n_members * self.n_variables**2))
        return (rows[start : start + size] for start in range(0, len(rows), size))

    def _masked(self, members: Members, seen: np.ndarray) -> FloatArray:
        """Covariances (n, U, d, d) with rows and columns of missing cells those of the identity."""
        both = seen[:, None, :, None] & seen[:, None, None, :]
        return np.where(both, members.covariance, np.eye(self.n_variables))

    def _centred(self, members: Members, x: FloatArray, seen: np.ndarray) -> FloatArray:
        cells = _clip(np.where(seen, x, 0.0))[:, None, :]
        return np.where(seen[:, None, :], cells - members.location, 0.0)

    # -- an exponential family ----------------------------------------------------------------

    def statistics(self, x: npt.ArrayLike) -> FloatArray:
        """Sufficient statistics of rows; all zero where a cell is missing.

        Parameters
        ----------
        x : array-like of shape (..., d)

        Returns
        -------
        ndarray of shape (S, ...)
        """
        x = np.asarray(x, dtype=np.float64)
        x = _clip(np.where(np.isnan(x).any(axis=-1, keepdims=True), 0.0, x))
        i, j = self._upper
        return np.moveaxis(np.concatenate([x, x[..., i] * x[..., j]], axis=-1), -1, 0)

    def log_base_measure(self, x: npt.ArrayLike) -> FloatArray:
        """-d/2 log 2π for rows (..., d), 0 where a cell is missing."""
        missing = np.isnan(np.asarray(x, dtype=np.float64)).any(axis=-1)
        return np.where(missing, 0.0, -0.5 * self.n_variables * _LOG_TWO_PI)

    def log_partition(self, natural: npt.ArrayLike) -> FloatArray:
        location, precision = self._natural_moments(natural)
        inner = (location[..., None, :] @ precision @ location[..., :, None])[..., 0, 0]
        return 0.5 * inner - 0.5 * np.linalg.slogdet(precision)[1]

    def natural_parameters(self, mean: npt.ArrayLike) -> FloatArray:
        location, covariance = self.unpack(mean)
        precision = np.linalg.inv(covariance)
        # Off the diagonal, x_i x_j stands for two terms of the quadratic form.
        second = -precision + 0.5 * precision * np.eye(self.n_variables)
        return self._packed((precision @ location[..., None])[..., 0], second)

    def mean_parameters(self, natural: npt.ArrayLike) -> FloatArray:
        location, precision = self._natural_moments(natural)
        return self.project(self.repack(natural, location, np.linalg.inv(precision)))

    def _natural_moments(self, natural) -> tuple[FloatArray, FloatArray]:
        linear, second = self._moments(natural)
        precision = -second - second * np.eye(self.n_variables)
        return np.asarray(np.linalg.solve(precision, linear[..., None])[..., 0]), precision

    def project(self, mean: npt.ArrayLike) -> FloatArray:
        """Clip locations, and lift eigenvalues below zero of what is not the floor to zero.

        Parameters
        ----------
        mean : array-like of shape (..., S)

        Returns
        -------
        ndarray of shape (..., S)
        """
        mean = np.asarray(mean, dtype=np.float64)
        d = self.n_variables
        if d and np.abs(mean[..., :d]).max(initial=0.0) > _LARGEST:
            mean = np.concatenate([_clip(mean[..., :d]), mean[..., d:]], axis=-1)
        location, second = self._moments(mean)
        outer = location[..., :, None] * location[..., None, :]
        covariance = second - outer
        try:
            # Rounding may leave eigenvalues a little below zero, which the floor makes good.
            np.linalg.cholesky(covariance + 0.5 * self._floor)
            return mean
        except np.linalg.LinAlgError:
            size = np.abs(covariance).max(initial=1.0)
            values, vectors = np.linalg.eigh(covariance / size)
            values = size * np.maximum(values, 0.0)
            lifted = (vectors * values[..., None, :]) @ np.swapaxes(vectors, -1, -2)
            return self._packed(location, outer + lifted)

    def uniform_prior(self) -> FloatArray:
        eye = np.eye(self.n_variables)
        return self._packed(np.zeros(self.n_variables), eye)

    def moments_prior(
        self,
        x: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        pseudocount: float = 1.0,
    ) -> FloatArray:
        """Mean parameters of the whole group's marginal.

        Means and variances are those of the cells that are there, covariances those of pairs of
        cells that are there together.

        Parameters
        ----------
        x : array-like of shape (n, d)
        sample_weight : array-like of shape (n,), default=None
            A weight of 2 equals two rows; None is 1 everywhere.
        pseudocount : float, default=1.0
            Rows of variance 1 around the average that are mixed in.

        Returns
        -------
        ndarray of shape (S,)
        """
        x = _clip(np.asarray(x, dtype=np.float64).reshape(-1, self.n_variables))
        weight = np.ones(len(x)) if sample_weight is None else np.asarray(sample_weight, float)
        seen = ~np.isnan(x)
        mass = (seen * weight[:, None]).sum(axis=0)
        location = np.divide(
            np.where(seen, x * weight[:, None], 0.0).sum(axis=0),
            mass,
            out=np.zeros(self.n_variables),
            where=mass > 0,
        )
        centred = np.where(seen, x - location, 0.0)
        pairs = seen.T @ (seen * weight[:, None])
        covariance = np.divide(
            centred.T @ (centred * weight[:, None]),
            pairs,
            out=np.zeros_like(pairs, dtype=float),
            where=pairs > 0,
        )
        rows = np.minimum(mass[:, None], mass[None, :])
        kept = np.divide(rows, rows + pseudocount, out=np.zeros_like(rows), where=rows > 0)
        covariance = kept * covariance + (1.0 - kept) * np.eye(self.n_variables)
        second = covariance + location[:, None] * location[None, :]
        return self.project(self._packed(location, second))

    def random_mean(
        self,
        prior_mean: npt.ArrayLike,
        n_units: int,
        rng: np.random.Generator,
        *,
        spread: float = 1.0,
    ) -> FloatArray:
        """Expectations drawn from the group's marginal, each with a share of its covariance.

        Parameters
        ----------
        prior_mean : array-like of shape (S,)
        n_units : int
        rng : numpy.random.Generator
        spread : float, default=1.0
            Covariance of every unit as a fraction of that of the marginal.

        Returns
        -------
        ndarray of shape (n_units, S)
        """
        location, covariance = self.unpack(prior_mean)
        factor, covariance = _cholesky(covariance)
        locations = location + rng.standard_normal((n_units, self.n_variables)) @ factor.T
        covariance = spread * np.broadcast_to(covariance, (n_units, *covariance.shape))
        near = np.broadcast_to(np.asarray(prior_mean), (n_units, self.n_statistics))
        return self.project(self.repack(near, locations, covariance))

    # -- queries --------------------------------------------------------------------------------

    def sample(self, mean: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
        """Draw one row from every member, (n, d) for arrays of shape (n, S)."""
        location, covariance = self.unpack(mean)
        noise = rng.standard_normal(location.shape)
        return location + (_cholesky(covariance)[0] @ noise[..., None])[..., 0]

    def mode(self, mean: npt.ArrayLike) -> FloatArray:
        """The location, (..., d)."""
        return self.unpack(mean)[0]

    def expectation(self, mean: npt.ArrayLike) -> FloatArray:
        """The location, (..., d)."""
        return self.unpack(mean)[0]

    def variance(self, mean: npt.ArrayLike) -> FloatArray:
        """Variances of the variables, (..., d)."""
        return np.diagonal(self.unpack(mean)[1], axis1=-2, axis2=-1)

    def kl(self, mean_p: npt.ArrayLike, mean_q: npt.ArrayLike) -> FloatArray:
        location_p, covariance_p = self.unpack(mean_p)
        location_q, covariance_q = self.unpack(mean_q)
        precision = np.linalg.inv(covariance_q)
        shift = (location_p - location_q)[..., None]
        quadratic = (np.swapaxes(shift, -1, -2) @ precision @ shift)[..., 0, 0]
        ratio = np.linalg.slogdet(covariance_q)[1] - np.linalg.slogdet(covariance_p)[1]
        trace = np.trace(precision @ covariance_p, axis1=-2, axis2=-1)
        return np.maximum(0.5 * (trace - self.n_variables + ratio + quadratic), 0.0)

    # -- for gradient solvers -------------------------------------------------------------------

    def to_unconstrained(self, mean: npt.ArrayLike) -> FloatArray:
        location, covariance = self.unpack(mean)
        factor = _cholesky(covariance)[0]
        d = np.arange(self.n_variables)
        factor[..., d, d] = np.log(factor[..., d, d])
        return self._packed(location, np.swapaxes(factor, -1, -2))

    def from_unconstrained(self, unconstrained: npt.ArrayLike) -> FloatArray:
        location, factor = self._factor(unconstrained)
        return self.project(
            self.repack(unconstrained, location, factor @ np.swapaxes(factor, -1, -2))
        )

    def _factor(self, unconstrained) -> tuple[FloatArray, FloatArray]:
        location, second = self._moments(unconstrained)
        factor = np.tril(second)
        d = np.arange(self.n_variables)
        factor[..., d, d] = np.exp(np.minimum(factor[..., d, d], np.log(_LARGEST)))
        return _clip(location), factor

    def unconstrained_gradient(
        self, mean: npt.ArrayLike, flow: npt.ArrayLike, flow_statistics: npt.ArrayLike
    ) -> FloatArray:
        flow = np.asarray(flow, dtype=np.float64)[..., None]
        location, covariance = self.unpack(mean)
        first, second = self._moments(flow_statistics)
        factor = np.linalg.cholesky(covariance)
        whiten = np.asarray(np.linalg.inv(factor), np.float64)
        back = np.swapaxes(whiten, -1, -2)
        cross = location[..., :, None] * first[..., None, :]
        outer = location[..., :, None] * location[..., None, :]
        scatter = second - cross - np.swapaxes(cross, -1, -2) + flow[..., None] * outer
        eye = np.eye(self.n_variables)
        change = whiten @ scatter @ back - flow[..., None] * eye
        down = back @ self._followed(np.asarray(mean), change, whiten)
        d = np.arange(self.n_variables)
        down[..., d, d] = down[..., d, d] * factor[..., d, d]
        centre = (back @ whiten @ (first - flow * location)[..., None])[..., 0]
        return self._packed(centre, np.swapaxes(np.tril(down), -1, -2))

    def _followed(self, mean: FloatArray, change: FloatArray, whiten: FloatArray) -> FloatArray:
        """The part of changes of whitened covariances that members can follow."""
        return change


def _cholesky(covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Factors, and the covariances: lifted where huge values left no digits for the small ones."""
    try:
        return np.asarray(np.linalg.cholesky(covariance), np.float64), covariance
    except np.linalg.LinAlgError:
        size = np.abs(covariance).max(axis=(-2, -1), keepdims=True)
        values, vectors = np.linalg.eigh(covariance / size)
        values = np.maximum(values, 1e-12)[..., None, :]
        covariance = size * ((vectors * values) @ np.swapaxes(vectors, -1, -2))
        covariance = (covariance + np.swapaxes(covariance, -1, -2)) / 2
        return np.asarray(np.linalg.cholesky(covariance), np.float64), covariance


def _kinds(x: FloatArray) -> tuple[np.ndarray, np.ndarray]:
    """Rows with all cells, and rows with some."""
    missing = np.isnan(x).sum(axis=1)
    return np.flatnonzero(missing == 0), np.flatnonzero((missing > 0) & (missing < x.shape[1]))


def _patterns(x: FloatArray, rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Rows with the same cells missing, and which cells are there; None where hardly any agree."""
    if not rows.size:
        return []
    seen = ~np.isnan(x[rows])
    packed = np.ascontiguousarray(np.packbits(seen, axis=1))
    as_bytes = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, group = np.unique(as_bytes, return_index=True, return_inverse=True)
    if x.shape[1] > PATTERN_VARIABLES and len(first) * PATTERN_ROWS > len(rows):
        return None
    order = np.argsort(group, kind="stable")
    parts = np.split(rows[order], np.cumsum(np.bincount(group.ravel()))[:-1])
    return [(mine, seen[i]) for mine, i in zip(parts, first, strict=True)]


def _marginal(members: Members, seen: np.ndarray) -> Members:
    """The members of the variables that are seen."""
    covariance = members.covariance[:, seen][:, :, seen]
    factor = np.linalg.cholesky(covariance)
    log_norm = -_log_det(factor) - 0.5 * seen.sum() * _LOG_TWO_PI
    whiten = np.asarray(np.linalg.inv(factor), np.float64)
    return members._replace(
        location=members.location[:, seen], covariance=covariance, whiten=whiten, log_norm=log_norm
    )


def _log_det(factor: np.ndarray) -> FloatArray:
    return np.asarray(np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(axis=-1), np.float64)


def _blocks(rows: np.ndarray):
    return (rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS))


def _clip(x: FloatArray) -> FloatArray:
    return np.clip(x, -_LARGEST, _LARGEST)
