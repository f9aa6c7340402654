"""Adam: gradient steps of about equal size in every coordinate."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..utils.arrays import namespace
from ..utils.numbers import is_number
from .coordinates import Coordinates
from .gradient import GradientSolver
from .momentum import check_decay, running_mean


class Adam(GradientSolver):
    """Log weights and leaves move by the mean of the gradients over the root of that of their
    squares: Kingma and Ba [1]_.

    The gradient comes from flows, without automatic differentiation; weights are renormalised
    globally after every step (eq. 8 of Liu, Shao and Van den Broeck, arXiv 2505.19982), those
    that are shared row by row.

    Parameters
    ----------
    step_size : float, default=0.2
        Most that a coordinate moves at the first update, about: a log weight in nats. In (0, 1],
        for no coordinate moves by more than 1.
    min_step_size : float or "auto", default="auto"
        That at the last update of the cosine schedule.
        "auto": 0.001, or ``step_size`` where that is smaller.
    schedule : {"cosine", "constant"} or Schedule, default="cosine"
        A stream has no end and is learnt with a constant step, √(step_size · min_step_size)
        for the cosine schedule.
    beta_1, beta_2 : float, default=0.9 and 0.99
        Decay of the means of gradients and of their squares, in [0, 1). On a stream
        β^share for statistics that stand for a share of a batch.
    epsilon : float, default=1e-8
        Added to the root; coordinates with a smaller gradient hardly move.
    weight_decay : float, default=0.0
        Log weights are drawn towards equal ones by step · weight_decay of their distance at
        every update; for leaves there is the pseudocount.
    clipping : float or None, default=None
        Largest norm of a gradient, in nats a row.
    sharpness : float, sequence of float or "auto", default=0.0
        μ of a penalty μ · mean Σ g² on sharp maxima, with g the derivative of log p by every
        linear sum weight: minus the trace of the Hessian, Suresh et al., arXiv 2508.05537. It
        makes a step about three times as long, and pays on few rows. A sequence is walked
        through from the first update to the last, linearly in between. "auto" gives the penalty
        a slope of fixed relative length: that of the likelihood times the degree of overfitting
        on the held-out rows, or times 0.5 without such rows. Not for shared weights.

    References
    ----------
    .. [1] Kingma and Ba, "Adam: a method for stochastic optimization", arXiv 1412.6980.

    Examples
    --------
    >>> from skpc.solvers import Adam
    >>> Adam(step_size=0.005)
    Adam(step_size=0.005)
    """

    usual_min_step: ClassVar[float] = 1e-3

    def __init__(
        self,
        step_size=0.2,
        min_step_size="auto",
        schedule="cosine",
        beta_1=0.9,
        beta_2=0.99,
        epsilon=1e-8,
        weight_decay=0.0,
        clipping=None,
        sharpness=0.0,
    ):
        self.step_size = step_size
        self.min_step_size = min_step_size
        self.schedule = schedule
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.clipping = clipping
        self.sharpness = sharpness

    def check(self):
        super().check()
        check_decay(self, "beta_1", "beta_2")
        if not is_number(self.epsilon) or not 0 < float(self.epsilon) < np.inf:
            raise ValueError(f"epsilon={self.epsilon!r} must be a positive, finite number.")

    def direction(self, slope, state):
        """First moment over the root of the second, both free of their zero start."""
        new = slope.named()
        squares = {name: x * x for name, x in new.items()}
        first, kept = running_mean(self.beta_1, new, _part(state, "first_"), state.share)
        second, squared = running_mean(self.beta_2, squares, _part(state, "second_"), state.share)
        arrays = {f"first_{name}": x for name, x in kept.items()}
        arrays |= {f"second_{name}": x for name, x in squared.items()}
        ratio = {
            name: x / (namespace(x).sqrt(second[name]) + self.epsilon) for name, x in first.items()
        }
        return Coordinates.from_named(ratio), arrays


def _part(state, prefix):
    return {
        name.removeprefix(prefix): x for name, x in state.arrays.items() if name.startswith(prefix)
    }
