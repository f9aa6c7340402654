"""The log-likelihood around fitted weights, along a line or over a plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends import Backend
from ..circuit import Parameters
from ..utils.random_generator import random_generator


@dataclass(frozen=True)
class Landscape:
    """Mean log-likelihoods on a line or a grid of weights.

    Attributes
    ----------
    steps : ndarray of shape (n,)
        Multiples of the directions; 0 are the parameters themselves.
    values : ndarray of shape (n,) or (n, n)
        Nats a row; with two directions, first index along the first.
    directions : ndarray of shape (1 or 2, n_weights)
        In log weights.
    """

    steps: np.ndarray
    values: np.ndarray
    directions: np.ndarray

    def plot(self, ax: Any = None) -> Any:
        """Draw the curve, or contours; needs matplotlib. Returns the axes."""
        import matplotlib.pyplot as plt

        ax = plt.subplots()[1] if ax is None else ax
        if self.values.ndim == 1:
            ax.plot(self.steps, self.values)
            ax.set(xlabel="step along the direction", ylabel="mean log-likelihood, nats")
        else:
            drawn = ax.contourf(self.steps, self.steps, self.values.T, levels=20)
            ax.figure.colorbar(drawn, ax=ax, label="mean log-likelihood, nats")
            ax.set(xlabel="step along the first direction", ylabel="along the second")
        return ax


def loss_landscape(
    backend: Backend,
    parameters: Parameters,
    X: np.ndarray,
    sample_weight: np.ndarray | None = None,
    *,
    directions: Any = 1,
    steps: Any = None,
    random_state: Any = None,
) -> Landscape:
    """Mean log-likelihood where log weights are moved along one or two directions.

    Weights are normalised at every point, row by row, so each point is a distribution; weights of
    zero stay zero, and leaves stay as they are.

    Parameters
    ----------
    backend : Backend
    parameters : Parameters
    X : ndarray of shape (n, n_variables)
        Encoded rows, NaN for missing cells.
    sample_weight : ndarray of shape (n,), optional
    directions : {1, 2} or array-like of shape (n_weights,) or (1 or 2, n_weights), default=1
        A number draws so many at random, filter-normalised: Gaussian in every log weight, and for
        every unit of every sum scaled to the length of its own centred log weights, so that
        circuits of different scales can be compared.
    steps : array-like of shape (n,), optional
        By default 21 from -1 to 1.
    random_state : int, RandomState, Generator or None, default=None

    Returns
    -------
    Landscape

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.backends.numba_cpu import NumbaBackend
    >>> from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
    >>> leaves = [Input(i, "bernoulli", 2, mean=[0.9, 0.2]) for i in range(2)]
    >>> program = Program(Circuit(Sum(Product(leaves), weights=[0.5, 0.5])))
    >>> backend, X = NumbaBackend(program, np.float64), np.array([[1.0, 1.0], [0.0, 1.0]])
    >>> found = loss_landscape(
    ...     backend, Parameters.uniform(program), X, directions=[1.0, -1.0], steps=[-1, 0, 1]
    ... )
    >>> found.values.round(3)
    array([-1.956, -1.468, -1.325])
    """
    program = parameters.program
    steps = np.linspace(-1, 1, 21) if steps is None else np.asarray(steps, dtype=np.float64)
    if np.ndim(directions) == 0:
        if directions not in (1, 2):
            raise ValueError(f"directions={directions!r} must be 1, 2, or one or two directions.")
        rng = random_generator(random_state)
        chosen = np.array([filter_normalised(parameters, rng) for _ in range(directions)])
    else:
        chosen = np.atleast_2d(np.asarray(directions, dtype=np.float64))
        if chosen.shape[1:] != (program.n_weights,) or len(chosen) > 2:
            raise ValueError(
                f"directions has shape {np.shape(directions)}; the circuit needs one or two of "
                f"{program.n_weights} weights."
            )
    finite = np.isfinite(steps).all() and np.isfinite(chosen).all()
    if steps.ndim != 1 or not len(steps) or not finite:
        raise ValueError(
            "steps must be a list of finite numbers, and directions must be finite, too."
        )
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
    used = weight > 0

    def value(move: np.ndarray) -> float:
        with np.errstate(divide="ignore"):
            logs = np.log(parameters.weights)
        logs = np.where(parameters.weights > 0, logs + move, -np.inf)
        top = np.full(program.n_rows, -np.inf)
        np.maximum.at(top, np.repeat(program.segments[:, 2], program.segments[:, 1]), logs)
        new = np.exp(logs - program.spread_rows(np.where(np.isfinite(top), top, 0.0)))
        total = program.row_sums(new)
        new /= program.spread_rows(np.where(total > 0, total, 1.0))
        point = Parameters(program, new, parameters.leaves)
        return float(np.average(backend.log_likelihood(point, X)[used], weights=weight[used]))

    if len(chosen) == 1:
        values = np.array([value(s * chosen[0]) for s in steps])
    else:
        values = np.array([[value(s * chosen[0] + t * chosen[1]) for t in steps] for s in steps])
    return Landscape(steps, values, chosen)


def filter_normalised(parameters: Parameters, rng: np.random.Generator) -> np.ndarray:
    """A random direction in the log weights, as long as these are, unit by unit.

    Both are centred, as adding a number to all log weights of a unit changes nothing; a unit with
    equal weights has no length, and does not move.
    """
    program = parameters.program
    kept = parameters.weights > 0
    count = np.maximum(program.row_sums(kept.astype(np.float64)), 1.0)

    def centred(x: np.ndarray) -> np.ndarray:
        mean = program.row_sums(np.where(kept, x, 0.0)) / count
        return np.where(kept, x - program.spread_rows(mean), 0.0)

    logs = centred(np.log(np.where(kept, parameters.weights, 1.0)))
    drawn = centred(rng.standard_normal(program.n_weights))
    long, wide = (np.sqrt(program.row_sums(x**2)) for x in (logs, drawn))
    return drawn * program.spread_rows(
        np.divide(long, wide, out=np.zeros_like(long), where=wide > 0)
    )
