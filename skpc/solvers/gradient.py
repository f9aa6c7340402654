"""What gradient solvers share: a gradient from flows alone, and a step in coordinates without
bounds."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..backends import TopDown, log_weight_gradient, renormalise
from ..backends.weights import row_sums, spread_rows
from ..circuit import Parameters, Statistics
from ..utils.arrays import by_numpy, full, namespace
from ..utils.numbers import is_number
from .base import Solver, SolverState
from .schedules import check_steps, whole_step
from .sharpness import (
    automatic_part,
    check_strength,
    penalty_statistics,
    refuse_tied,
    strength_now,
)

#: No coordinate moves further in one update: a weight by a factor e, a location by one unit.
LARGEST_MOVE = 1.0


class Coordinates(NamedTuple):
    """A number for every free coordinate of Parameters: a gradient, a moment, a move.

    Attributes
    ----------
    weights : ndarray of shape (n_weights,)
        For the logarithms of the weights.
    leaves : list of ndarray of shape (family units, n_statistics)
        For the unconstrained coordinates of each family.
    """

    weights: np.ndarray
    leaves: list[np.ndarray]

    def named(self) -> dict[str, np.ndarray]:
        """As arrays with names, for a solver's state."""
        return {"weights": self.weights} | {f"leaves_{i}": x for i, x in enumerate(self.leaves)}

    @classmethod
    def from_named(cls, arrays: dict[str, np.ndarray]) -> Coordinates:
        """The inverse of ``named``."""
        leaves = [name for name in arrays if name.startswith("leaves_")]
        return cls(arrays["weights"], [arrays[f"leaves_{i}"] for i in range(len(leaves))])

    def norm(self) -> float:
        """Euclidean length of all together."""
        norm = namespace(self.weights).linalg.norm
        return math.hypot(*(float(norm(x)) for x in (self.weights, *self.leaves)))

    def scaled(self, factor: float) -> Coordinates:
        """All times a factor."""
        return Coordinates(factor * self.weights, [factor * x for x in self.leaves])


def gradient(parameters: Parameters, statistics: Statistics) -> Coordinates:
    """Gradient of the log-likelihood, by which the pseudocount counts as rows.

    Without shared weights F_nc - TD(n) θ_nc, that of log(p / Z) in log θ; with them that of a
    softmax, F_nc - θ_nc F_n, the flows being sums over all copies. Zero for no rows, and for the
    weights, after rows whose cells are all missing.

    Parameters
    ----------
    parameters : Parameters
        Normalised.
    statistics : Statistics
    """
    program, flows = parameters.program, statistics.flows
    if program.circuit.is_tied:
        use = spread_rows(program, row_sums(program, flows))
        weights = flows - use * parameters.weights
    else:
        weights = log_weight_gradient(parameters, flows)
    leaves = [
        by_numpy(family.unconstrained_gradient, mean, flow[:, 0], flow[:, 1:])
        for family, mean, flow in zip(program.families, parameters.leaves, statistics.leaves)
    ]
    return Coordinates(weights, leaves)


def moved(parameters: Parameters, move: Coordinates) -> Parameters:
    """Parameters after a move, normalised: globally, or by row where weights are shared.

    Weights of zero stay zero, and so do probabilities of leaves that are zero or one.
    """
    program = parameters.program
    weights = parameters.weights * namespace(move.weights).exp(_bounded(move.weights))
    leaves = [
        by_numpy(partial(_moved_leaf, family), mean, _bounded(step))
        for family, mean, step in zip(program.families, parameters.leaves, move.leaves)
    ]
    new = Parameters(program, weights, leaves)
    if not program.circuit.is_tied:
        return renormalise(new)
    total = row_sums(program, weights)
    new.weights /= spread_rows(program, namespace(total).where(total > 0, total, 1.0))
    return new


def _moved_leaf(family, mean, step):
    return family.project(family.from_unconstrained(family.to_unconstrained(mean) + step))


def _bounded(move: Any) -> Any:
    return namespace(move).clip(move, -LARGEST_MOVE, LARGEST_MOVE)


class GradientSolver(Solver):
    """Base of the solvers that climb the log-likelihood by its gradient.

    They have ``step_size``, ``min_step_size``, ``schedule``, ``weight_decay``, ``clipping`` and
    ``sharpness``.
    """

    takes_tensors = True

    @property
    def wanted(self):
        """Second derivatives, for a penalty on sharpness."""
        return ("curvature",) if self._is_penalised else ()

    @property
    def _largest_step(self) -> float:
        """Larger ones would only be cut off: see LARGEST_MOVE."""
        return LARGEST_MOVE

    @property
    def _is_penalised(self) -> bool:
        return isinstance(self.sharpness, str) or bool(np.any(np.asarray(self.sharpness) != 0))

    def check(self):
        check_steps(self, self._largest_step)
        decay, clipping = self.weight_decay, self.clipping
        if not is_number(decay) or not 0 <= float(decay) < math.inf:
            raise ValueError(f"weight_decay={decay!r} must be a finite number of at least 0.")
        if clipping is not None and not (is_number(clipping) and 0 < float(clipping) < math.inf):
            raise ValueError(f"clipping={clipping!r} must be None or a positive, finite number.")
        check_strength("sharpness", self.sharpness)

    def check_circuit(self, circuit):
        if self._is_penalised:
            refuse_tied(circuit, f"{type(self).__name__}(sharpness={self.sharpness!r})")

    def objective(
        self, parameters: Parameters, statistics: Statistics, state: SolverState
    ) -> Statistics:
        """Statistics of what is climbed: of the likelihood, less those of a penalty."""
        if "curvature" not in statistics.extra or not self._is_penalised:
            return statistics
        penalty = penalty_statistics(parameters, statistics)
        if isinstance(self.sharpness, str):
            rise, climb = (gradient(parameters, s).norm() for s in (statistics, penalty))
            mu = automatic_part(state) * rise / climb if climb > 0 else 0.0
        else:
            mu = strength_now(self.sharpness, state)
        return statistics + penalty.scaled(-mu)

    def conditioned(
        self,
        slope: Coordinates,
        parameters: Parameters,
        statistics: Statistics,
        top_down: TopDown | None,
    ) -> Coordinates:
        """The slope in the scale in which steps are taken."""
        return slope

    @abstractmethod
    def direction(
        self, slope: Coordinates, state: SolverState
    ) -> tuple[Coordinates, dict[str, np.ndarray]]:
        """Where to go at step 1, and the arrays to remember."""

    def update(self, state, parameters, statistics, top_down):
        """One step uphill."""
        statistics = self.objective(parameters, statistics, state)
        slope = self.conditioned(gradient(parameters, statistics), parameters, statistics, top_down)
        if self.clipping is not None:
            slope = slope.scaled(min(1.0, self.clipping / max(slope.norm(), 1e-300)))
        direction, arrays = self.direction(slope, state)
        step = whole_step(self, state) * state.share
        move = direction.scaled(step)
        if self.weight_decay:
            move.weights[:] -= step * self.weight_decay * _above_uniform(parameters)
        return state.advanced(arrays), moved(parameters, move)


def _above_uniform(parameters: Parameters) -> np.ndarray:
    """Logarithms of the weights, less those of equal weights; 0 for weights of zero."""
    program, weights = parameters.program, parameters.weights
    ones = full(weights, program.n_rows, 1.0)
    length = row_sums(program, spread_rows(program, ones))
    ratio = weights * spread_rows(program, length)
    xp = namespace(weights)
    return xp.log(xp.where(weights > 0, ratio, 1.0))
