"""Plain gradient steps, with momentum."""

from __future__ import annotations

from .gradient import Coordinates, GradientSolver
from .momentum import check_decay, running_mean


class SGD(GradientSolver):
    """Log weights and leaves move by a multiple of the gradient of the mean log-likelihood.

    As for :class:`Adam` the gradient comes from flows, and weights are renormalised. Gradients
    of units that are rarely used are small, so steps must be large.

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

    def __init__(
        self,
        step_size=1.0,
        min_step_size=0.1,
        schedule="cosine",
        momentum=0.9,
        weight_decay=0.0,
        clipping=None,
    ):
        self.step_size = step_size
        self.min_step_size = min_step_size
        self.schedule = schedule
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.clipping = clipping

    def check(self):
        super().check()
        check_decay(self, "momentum")

    def direction(self, slope, state):
        """The running mean of the gradients."""
        means, kept = running_mean(self.momentum, slope.named(), state.arrays, state.share)
        return Coordinates.from_named(means), kept
