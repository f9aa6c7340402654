"""Plain gradient steps, with momentum."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .base import SMALLEST, unit_flows
from .gradient import Coordinates, GradientSolver
from .momentum import check_decay, running_mean


class SGD(GradientSolver):
    """Log weights and leaves move by a multiple of the gradient of the mean log-likelihood.

    As for :class:`Adam` the gradient comes from flows, and weights are renormalised. That of a
    unit is proportional to how often it is used, which the many units of a deep circuit seldom
    are; so it is divided by that.

    Parameters
    ----------
    step_size : float, default=1.0
        Multiple of the gradient at the first update; no coordinate moves by more than 1.
    min_step_size : float, default=0.1
        That at the last update of the cosine schedule.
    schedule : {"cosine", "constant"} or Schedule, default="cosine"
        A stream has no end and is learnt with a constant step, √(step_size · min_step_size)
        for the cosine schedule.
    momentum : float, default=0.9
        k in [0, 1): gradients are replaced by M ← k M + (1 - k) g, divided by 1 - k^t. On
        a stream it is k^share for statistics that stand for a share of a batch.
    per_unit : bool, default=True
        Whether the gradient of a unit is divided by how often batch or circuit use it, whichever
        is more. Without it steps must be ten times larger, and end lower.
    weight_decay : float, default=0.0
        Log weights are drawn towards equal ones by step · weight_decay of their distance at
        every update; for leaves there is the pseudocount.
    clipping : float or None, default=None
        Largest norm of a gradient, in nats a row.

    Examples
    --------
    >>> from skpc.solvers import SGD
    >>> SGD(momentum=0.5)
    SGD(momentum=0.5)
    """

    needs_top_down: ClassVar[bool] = True

    def __init__(
        self,
        step_size=1.0,
        min_step_size=0.1,
        schedule="cosine",
        momentum=0.9,
        per_unit=True,
        weight_decay=0.0,
        clipping=None,
    ):
        self.step_size = step_size
        self.min_step_size = min_step_size
        self.schedule = schedule
        self.momentum = momentum
        self.per_unit = per_unit
        self.weight_decay = weight_decay
        self.clipping = clipping

    def check(self):
        super().check()
        check_decay(self, "momentum")

    def conditioned(self, slope, parameters, statistics, top_down):
        """Divided by the use of each unit."""
        if not self.per_unit:
            return slope
        rows, leaves = unit_flows(statistics, parameters)
        inverse = _inverse(np.maximum(rows, top_down.rows))
        return Coordinates(
            slope.weights * parameters.program.spread_rows(inverse),
            [
                x * _inverse(np.maximum(flow, use))[:, None]
                for x, flow, use in zip(slope.leaves, leaves, top_down.leaves, strict=True)
            ],
        )

    def direction(self, slope, state):
        """The running mean of the gradients."""
        means, kept = running_mean(self.momentum, slope.named(), state.arrays, state.share)
        return Coordinates.from_named(means), kept


def _inverse(use):
    return np.divide(1.0, use, out=np.zeros_like(use), where=use >= SMALLEST)
