"""What gradient solvers share: settings, a penalty, and a step uphill."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np

from ..backends import TopDown
from ..backends.weights import row_sums, spread_rows
from ..circuit import Parameters, Statistics
from ..utils.arrays import full, namespace
from ..utils.numbers import is_number
from .base import SolverState, StepSolver
from .coordinates import LARGEST_MOVE, Coordinates, gradient, moved
from .schedules import check_steps, whole_step
from .sharpness import (
    automatic_part,
    check_strength,
    penalty_statistics,
    refuse_tied,
    strength_now,
)


class GradientSolver(StepSolver):
    """Base of the solvers that climb the log-likelihood by its gradient.

    They have ``step_size``, ``min_step_size``, ``schedule``, ``weight_decay``, ``clipping`` and
    ``sharpness``.
    """

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

    def next_step(self, state):
        """The multiple of the direction that is due, or a share of it for a share of a batch."""
        return whole_step(self, state) * state.share

    def take_step(self, step, state, parameters, statistics, top_down):
        """Go uphill."""
        statistics = self.objective(parameters, statistics, state)
        slope = self.conditioned(gradient(parameters, statistics), parameters, statistics, top_down)
        if self.clipping is not None:
            slope = slope.scaled((self.clipping / slope.norm().clip(1e-300)).clip(max=1.0))
        direction, arrays = self.direction(slope, state)
        move = direction.scaled(step)
        if self.weight_decay:
            move.weights[:] -= step * self.weight_decay * _above_uniform(parameters)
        return arrays, moved(parameters, move)


def _above_uniform(parameters: Parameters) -> np.ndarray:
    """Logarithms of the weights, less those of equal weights; 0 for weights of zero."""
    program, weights = parameters.program, parameters.weights
    ones = full(weights, program.n_rows, 1.0)
    length = row_sums(program, spread_rows(program, ones))
    ratio = weights * spread_rows(program, length)
    xp = namespace(weights)
    return xp.log(xp.where(weights > 0, ratio, 1.0))
