"""Gradient ascent on linear weights of an unnormalised circuit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..backends import Backend
from ..circuit import Parameters


class Ascent(NamedTuple):
    """Unnormalised parameters, and the mean log-likelihood before every step, nats a row."""

    parameters: Parameters
    curve: np.ndarray


def linear_ascent(
    backend: Backend,
    parameters: Parameters,
    X: np.ndarray,
    *,
    step_size: float = 0.01,
    n_iter: int = 500,
    floor: float = 1e-4,
) -> Ascent:
    """Climb the mean of log f(x) - log Z with plain steps on the weights themselves.

    f is the circuit with weights that need not sum to one, Z what it gives for a row without any
    cell. The gradient of a weight is (F̄_nc - F_nc(no cell)) / θ_nc. Leaves stay as they are. It
    is how Trapp, Peharz and Pernkopf [1]_ showed that consecutive sums speed up learning; for
    everyday use the solvers are faster by orders of magnitude.

    Parameters
    ----------
    backend : Backend
    parameters : Parameters
        Start values, whose weights must not be below ``floor``.
    X : ndarray of shape (n, n_variables)
        Encoded rows.
    step_size : float, default=0.01
    n_iter : int, default=500
    floor : float, default=1e-4
        Weights are clipped there, so that none dies.

    Returns
    -------
    Ascent
        ``skpc.backends.renormalise`` turns its parameters into those of a distribution.

    Raises
    ------
    ValueError
        For a step or a floor that is not positive, and weights below the floor.

    References
    ----------
    .. [1] Trapp, Peharz and Pernkopf, "Optimisation of overparametrized sum-product networks",
       TPM 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.backends.numba_cpu import NumbaBackend
    >>> from skpc.circuit import Circuit, Input, Parameters, Program, Sum
    >>> from skpc.distributions import Indicator
    >>> sides = Input(0, Indicator(2), 2, mean=[[1, 0], [0, 1]])
    >>> coin = Circuit(Sum(sides, weights=[[0.5, 0.5]]))
    >>> start = Parameters.uniform(Program(coin))
    >>> backend = NumbaBackend(start.program, np.float64)
    >>> ascent = linear_ascent(backend, start, np.array([[1.0], [1.0], [0.0]]), n_iter=2000)
    >>> (ascent.parameters.weights / ascent.parameters.weights.sum()).round(3)
    array([0.333, 0.667])
    """
    for name, value in (("step_size", step_size), ("floor", floor)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name}={value!r} must be a positive, finite number.")
    if parameters.weights.min(initial=floor) < floor:
        raise ValueError(
            f"parameters have weights below floor={floor!r}; start from larger ones, or lower it."
        )
    no_cell = np.full((1, parameters.program.circuit.n_variables), np.nan)
    curve = np.empty(n_iter)
    for i in range(n_iter):
        seen = backend.statistics(parameters, X)
        unseen = backend.statistics(parameters, no_cell)
        curve[i] = seen.log_likelihood / seen.weight - unseen.log_likelihood
        slope = (seen.flows / seen.weight - unseen.flows) / parameters.weights
        weights = np.maximum(parameters.weights + step_size * slope, floor)
        parameters = Parameters(parameters.program, weights, parameters.leaves)
    return Ascent(parameters, curve)
