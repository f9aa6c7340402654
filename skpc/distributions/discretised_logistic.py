"""Discretised logistic leaves: ordered states, such as the levels of a pixel."""

import operator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit

from .base import FloatArray
from .finite import FiniteDistribution

#: Smallest expectation, and smallest distance of the largest from the last state.
_EDGE = 1e-6
#: Share of the possible variances, from the least to the greatest, that no member takes.
_LEAST_SPREAD, _LEAST_REST = 1e-3, 1e-4
#: Newton's method converges in 3 to 8 steps in the bulk, in 25 next to the edges.
_MOST_STEPS = 60
_LARGEST_LOCATION, _LARGEST_LOG_SCALE = 1e9, 20.0


@dataclass(frozen=True)
class DiscretisedLogistic(FiniteDistribution):
    r"""Ordered states 0, ..., n_states - 1: a logistic variable, rounded to the nearest state.

    .. math:: P(x \ge k) = \sigma\left(\frac{\mu - k + \frac12}{s}\right), \quad k = 1, ..., n - 1

    The tails are open: the first state has all the mass below 1/2, the last all from n - 3/2 on.
    So a member may be narrow, broad, heaped at one end, or at both ends where s is large.

    It is *no exponential family*, but two moments determine a member: s(x) = (x, x^2), the mean
    parameters are their expectations, and the member is the one with these moments (there is
    exactly one: log-likelihoods of logistic regressions have one maximum). What follows from it:

    - The M-step matches moments instead of maximising the likelihood. EM is then a generalised
      one: the log-likelihood rises at first, but near its end it may fall a little at every
      step. On five columns, mixtures of up to eight units ended at most 0.0025 nats below their
      best iteration (a column heaped at both ends) and one unit 0.001 to 0.03 nats below the
      likeliest member (most on a Cauchy column). `Categorical` never falls.
    - Gradient solvers get the best linear combination of the two statistics (the quasi-score)
      instead of the score; it vanishes where moments match, so both find the same members.
    - `natural_parameters`, `mean_parameters` and `log_partition` do not exist and raise
      NotImplementedError.

    Probabilities cost some Newton steps over n_states values for every unit and update, about
    0.1 s for 1000 units of 256 states. Unconstrained coordinates are the location and the
    logarithm of the scale.

    Admissible moments lie just inside of what variables on these states can have: expectations
    between 1e-6 and n - 1 - 1e-6, variances 1e-3 min(1, E[x], n - 1 - E[x]) above the least,
    which is that of two neighbouring states.

    Parameters
    ----------
    n_states : int
        Number of states, at least 3; for 2 use `Bernoulli`.

    Raises
    ------
    ValueError
        If `n_states` is below 3.
    TypeError
        If `n_states` is not a whole number.

    References
    ----------
    Salimans, Karpathy, Chen and Kingma (2017), "PixelCNN++: Improving the PixelCNN with
    discretized logistic mixture likelihood and other modifications", section 2.1; Wedderburn
    (1974), "Quasi-likelihood functions, generalized linear models, and the Gauss-Newton method".

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import DiscretisedLogistic
    >>> pixel = DiscretisedLogistic(256)
    >>> mean = pixel.moments_prior([100, 110, 111, 119, np.nan], pseudocount=0)
    >>> np.stack(pixel.location_and_scale(mean)).round(2)
    array([110.  ,   3.72])
    >>> pixel.log_density(mean, [110, 90, np.nan]).round(2)
    array([-2.7, -6.7,  0. ])
    """

    n_states: int
    name: ClassVar[str] = "discretised_logistic"
    ordered: ClassVar[bool] = True
    mean_in_words: ClassVar[str] = "[E[x], E[x²]] of a variable on the states, not of one alone"
    n_statistics = 2

    def __post_init__(self) -> None:
        # A NumPy integer would not survive JSON.
        object.__setattr__(self, "n_states", operator.index(self.n_states))
        if self.n_states < 3:
            raise ValueError(
                f"n_states must be at least 3, got {self.n_states}; use Bernoulli() for 2 states"
            )

    @property
    def support(self) -> str:
        return f"the whole numbers 0 to {self.n_states - 1}"

    def statistics(self, x: npt.ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        x = np.where(self._in_support(x), x, 0.0)
        return np.stack([x, x * x])

    def project(self, mean: npt.ArrayLike) -> FloatArray:
        """Clip the expectation to the states, then the variance to what is possible there.

        Parameters
        ----------
        mean : array-like of shape (..., 2)

        Returns
        -------
        ndarray of shape (..., 2)
        """
        mean = np.asarray(mean, dtype=np.float64)
        last = self.n_states - 1.0
        location = np.clip(mean[..., 0], _EDGE, last - _EDGE)
        part = location - np.floor(location)
        least, greatest = part * (1.0 - part), location * (last - location)
        room = np.minimum(1.0, np.minimum(location, last - location))
        low = least + _LEAST_SPREAD * room
        high = greatest - _LEAST_REST * (greatest - least)
        square = location * location
        return np.stack([location, np.clip(mean[..., 1], square + low, square + high)], axis=-1)

    def location_and_scale(self, mean: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Location and scale of the logistic variable before it is rounded, in states.

        Parameters
        ----------
        mean : array-like of shape (..., 2)

        Returns
        -------
        location, scale : ndarrays of shape (...)
        """
        mean = self.project(mean)
        offset, slope = self._matched(mean)
        return mean[..., 0] + offset / slope, 1.0 / slope

    def log_probabilities(self, mean: npt.ArrayLike) -> FloatArray:
        mean = self.project(mean)
        offset, slope = self._matched(mean)
        return self._log_table(self._heights(mean[..., 0], offset, slope), slope)

    def probabilities(self, mean: npt.ArrayLike) -> FloatArray:
        return np.exp(self.log_probabilities(mean))

    def mean_from_probabilities(self, probabilities: npt.ArrayLike) -> FloatArray:
        """Moments of any table of probabilities; inverse of `probabilities` on members.

        Parameters
        ----------
        probabilities : array-like of shape (..., n_states)

        Returns
        -------
        ndarray of shape (..., 2)
        """
        states = np.arange(self.n_states, dtype=np.float64)
        return np.asarray(probabilities, dtype=np.float64) @ np.stack([states, states**2], axis=1)

    def to_unconstrained(self, mean: npt.ArrayLike) -> FloatArray:
        location, scale = self.location_and_scale(mean)
        return np.stack([location, np.log(scale)], axis=-1)

    def from_unconstrained(self, unconstrained: npt.ArrayLike) -> FloatArray:
        unconstrained = np.asarray(unconstrained, dtype=np.float64)
        location = np.clip(unconstrained[..., 0], -_LARGEST_LOCATION, _LARGEST_LOCATION)
        log_scale = np.clip(unconstrained[..., 1], -_LARGEST_LOG_SCALE, _LARGEST_LOG_SCALE)
        step = np.arange(1, self.n_states, dtype=np.float64)
        distance = location[..., np.newaxis] - step + 0.5
        above = expit(distance * np.exp(-log_scale)[..., np.newaxis])
        return self.project(np.stack([above.sum(axis=-1), above @ (2.0 * step - 1.0)], axis=-1))

    def unconstrained_gradient(
        self, mean: npt.ArrayLike, flow: npt.ArrayLike, flow_statistics: npt.ArrayLike
    ) -> FloatArray:
        r"""Quasi-score: the linear function of the statistics that is nearest to the score.

        With :math:`J = \partial m / \partial u` and the covariance V of the statistics under the
        member it is :math:`J^\top V^{-1} (\sum_x F(x) s(x) - m \sum_x F(x))`; for an exponential
        family it would be the gradient itself.

        Parameters
        ----------
        mean : array-like of shape (..., 2)
        flow : array-like of shape (...)
        flow_statistics : array-like of shape (..., 2)

        Returns
        -------
        ndarray of shape (..., 2)
        """
        mean = self.project(mean)
        flow = np.asarray(flow, dtype=np.float64)
        observed = np.asarray(flow_statistics, dtype=np.float64)
        location, variance = mean[..., 0], mean[..., 1] - mean[..., 0] ** 2
        # Everything about the expectation, where the statistics do not cancel.
        first = observed[..., 0] - flow * location
        second = observed[..., 1] - 2.0 * location * observed[..., 0]
        second += flow * (location * location - variance)
        offset, slope = self._matched(mean)
        height = self._heights(location, offset, slope)
        p = np.exp(self._log_table(height, slope))
        deviation = np.arange(self.n_states) - location[..., np.newaxis]
        third = (p * deviation**3).sum(axis=-1)
        fourth = (p * deviation**4).sum(axis=-1) - variance**2
        determinant = variance * fourth - third**2
        solved = (
            np.stack([fourth * first - third * second, variance * second - third * first], axis=-1)
            / determinant[..., np.newaxis]
        )
        # Derivatives of both moments, again about the expectation.
        middle = self._middles(location)
        weight = expit(height) * expit(-height) * slope[..., np.newaxis]
        from_location = middle - (offset / slope)[..., np.newaxis]
        jacobian = np.stack([weight, weight * from_location], axis=-2)
        by_first = jacobian.sum(axis=-1)
        by_second = 2.0 * (jacobian * middle[..., np.newaxis, :]).sum(axis=-1)
        return by_first * solved[..., :1] + by_second * solved[..., 1:]

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
            Moments of the column, from `moments_prior`.
        n_units : int
        rng : numpy.random.Generator
        spread : float, default=0.5
            Variance of every unit as a fraction of the column's.

        Returns
        -------
        ndarray of shape (n_units, 2)
        """
        prior_mean = self.project(prior_mean)
        variance = prior_mean[1] - prior_mean[0] ** 2
        location = prior_mean[0] + np.sqrt(variance) * rng.standard_normal(n_units)
        # Drawn beyond an end, it is reflected: two units at the same end would stay alike.
        last = self.n_states - 1.0
        location = last - np.abs(last - np.abs(location) % (2.0 * last))
        return self.project(np.stack([location, location**2 + spread * variance], axis=-1))

    def log_partition(self, natural: npt.ArrayLike) -> FloatArray:
        raise self._no_exponential_family()

    def natural_parameters(self, mean: npt.ArrayLike) -> FloatArray:
        raise self._no_exponential_family()

    def mean_parameters(self, natural: npt.ArrayLike) -> FloatArray:
        raise self._no_exponential_family()

    def _no_exponential_family(self) -> NotImplementedError:
        return NotImplementedError(
            f"{self!r} is no exponential family and has no natural parameters; use probabilities, "
            "location_and_scale, to_unconstrained or from_unconstrained"
        )

    def _middles(self, location: FloatArray) -> FloatArray:
        """Boundaries between states as seen from the expectation, (..., n_states - 1)."""
        return np.arange(self.n_states - 1) + 0.5 - location[..., np.newaxis]

    def _heights(self, location: FloatArray, offset: FloatArray, slope: FloatArray) -> FloatArray:
        """Logits of P(x >= k), k from 1, of shape (..., n_states - 1)."""
        return offset[..., np.newaxis] - slope[..., np.newaxis] * self._middles(location)

    def _log_table(self, height: FloatArray, slope: FloatArray) -> FloatArray:
        """Log-probabilities (..., n_states) from these logits."""
        # The difference of neighbouring sigmoids without its cancellation:
        # σ(u) - σ(v) = σ(u) σ(-v) (1 - exp(v - u)).
        out = np.zeros((*height.shape[:-1], self.n_states))
        out[..., 1:] += log_expit(height)
        out[..., :-1] += log_expit(-height)
        out[..., 1:-1] += np.log(-np.expm1(-slope))[..., np.newaxis]
        return out

    def _matched(self, mean: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Offset c and slope b of the logits c - b t_k at which a member has these moments.

        t_k is the boundary below state k minus E[x]. The two equations, E[x] = Σ σ(c - b t_k) and
        Var(x) = E[x]² + 2 Σ t_k σ(c - b t_k), are the gradient of the convex function
        Σ log(1 + exp(c - b t_k)) - c E[x] + b (Var(x) - E[x]²) / 2. Newton's method with steps
        damped by log(1 + d) / d, d their largest change of a logit, converges from anywhere
        (Bach, 2010, "Self-concordant analysis for logistic regression").
        """
        shape = mean.shape[:-1]
        location = mean[..., 0].reshape(-1)
        variance = mean[..., 1].reshape(-1) - location**2
        c, b = np.zeros_like(location), np.pi / np.sqrt(3.0 * variance + 1.0)
        rounding = 4.0 * np.finfo(np.float64).eps * self.n_states
        todo = np.arange(location.size)
        for _ in range(_MOST_STEPS):
            t = self._middles(location[todo])
            height = self._heights(location[todo], c[todo], b[todo])
            above = expit(height)
            weight = above * (1.0 - above)
            first = above.sum(axis=-1) - location[todo]
            moment = (t * above).sum(axis=-1)
            second = 0.5 * (variance[todo] - location[todo] ** 2) - moment
            h_cc = weight.sum(axis=-1)
            weight *= t
            h_cb = -weight.sum(axis=-1)
            h_bb = (weight * t).sum(axis=-1)
            determinant = h_cc * h_bb - h_cb * h_cb
            step_c = (h_cb * second - h_bb * first) / determinant
            step_b = (h_cb * first - h_cc * second) / determinant
            change = np.abs(step_c[:, np.newaxis] - step_b[:, np.newaxis] * t)
            d = (change / np.maximum(1.0, np.abs(height) / 3.0)).max(axis=-1)
            damping = np.log1p(d) / np.maximum(d, np.finfo(np.float64).tiny)
            c[todo] += np.where(d > 0, damping, 0.0) * step_c
            b[todo] += np.where(d > 0, damping, 0.0) * step_b
            small = (np.abs(first) <= rounding) & (np.abs(second) <= rounding * self.n_states)
            todo = todo[~((d <= 1e-9) | small)]
            if not todo.size:
                break
        return c.reshape(shape), b.reshape(shape)
