"""Plain gradient steps, with momentum."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np

from ..backends.weights import row_sums, spread_rows
from ..utils.arrays import namespace, of_family
from .coordinates import Coordinates
from .gradient import GradientSolver
from .mixing import SMALLEST, unit_flows
from .momentum import check_decay, running_mean

#: The plain gradient of the weights of a unit that is rarely used is as small as its use.
LARGEST_PLAIN_STEP = 100.0


class SGD(GradientSolver):
    """Log weights and leaves move along the gradient of the mean log-likelihood.

    As for :class:`Adam` the gradient comes from flows, and weights are renormalised. The plain
    gradient of a weight is proportional to the weight and to how often its unit is used, so that
    no step suits all: the *natural* gradient is measured in the divergence of the joint
    distribution of data and latent variables instead, as mini-batch EM's steps are.

    Parameters
    ----------
    step_size : float, default=0.9
        Multiple of the gradient at the first update; no coordinate moves by more than 1. In
        (0, 1] for the natural gradient, whose step of 1 is about that of EM on the batch; in
        (0, 100] for the plain one.
    min_step_size : float or "auto", default="auto"
        That at the last update of the cosine schedule.
        "auto": 0.02, or ``step_size`` where that is smaller.
    schedule : {"cosine", "constant"} or Schedule, default="cosine"
        A stream has no end and is learnt with a constant step, √(step_size · min_step_size)
        for the cosine schedule.
    momentum : float, default=0.0
        k in [0, 1): gradients are replaced by M ← k M + (1 - k) g, divided by 1 - k^t. On
        a stream it is k^share for statistics that stand for a share of a batch. Large natural
        steps overshoot with it: 0.9 and a step of 0.5 ended at -29.1 nats on plants, not -12.8.
    natural : bool, default=True
        Whether the gradient is the natural one: divided by the Fisher information, which is known
        in closed form. The plain one needs steps of about 5 on binary tables.
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

    Examples
    --------
    >>> from skpc.solvers import SGD
    >>> SGD(momentum=0.5)
    SGD(momentum=0.5)
    """

    needs_top_down: ClassVar[bool] = True

    def __init__(
        self,
        step_size=0.9,
        min_step_size="auto",
        schedule="cosine",
        momentum=0.0,
        natural=True,
        weight_decay=0.0,
        clipping=None,
        sharpness=0.0,
    ):
        self.step_size = step_size
        self.min_step_size = min_step_size
        self.schedule = schedule
        self.momentum = momentum
        self.natural = natural
        self.weight_decay = weight_decay
        self.clipping = clipping
        self.sharpness = sharpness

    def check(self):
        super().check()
        check_decay(self, "momentum")
        if not isinstance(self.natural, bool | np.bool_):
            raise ValueError(f"natural={self.natural!r} must be True or False.")

    @property
    def _largest_step(self):
        return 1.0 if self.natural else LARGEST_PLAIN_STEP

    def conditioned(self, slope, parameters, statistics, top_down):
        """The natural gradient: divided by use and weight; for leaves the EM step, a little of it.

        A unit counts with the use by batch or circuit, whichever is more.
        """
        if not self.natural:
            return slope
        program, weights = parameters.program, parameters.weights
        rows, flows = unit_flows(statistics, parameters)
        own = slope.weights - weights * spread_rows(program, row_sums(program, slope.weights))
        larger = namespace(rows).maximum
        scale = weights * spread_rows(program, larger(rows, top_down.rows))
        leaves = [
            of_family(family, partial(_natural_gradient, family), mean, leaf, larger(flow, use))
            for family, mean, leaf, flow, use in zip(
                program.families,
                parameters.leaves,
                statistics.leaves,
                flows,
                top_down.leaves,
                strict=True,
            )
        ]
        return Coordinates(_quotient(own, scale), leaves)

    def direction(self, slope, state):
        """The running mean of the gradients."""
        means, kept = running_mean(self.momentum, slope.named(), state.arrays, state.share)
        return Coordinates.from_named(means), kept


def _natural_gradient(family, mean, flow, use):
    """In unconstrained coordinates, a unit of use.

    In mean parameters it is Σ F (s - m), whatever the family; the change of coordinates is a
    derivative along that line.
    """
    small = 1e-6
    line = _quotient(flow[:, 1:] - flow[:, :1] * mean, use[:, None])
    with np.errstate(invalid="ignore"):
        moved = family.to_unconstrained(mean + small * line) - family.to_unconstrained(mean)
    xp = namespace(moved)
    return xp.where(xp.isfinite(moved), moved / small, 0.0)


def _quotient(value, by):
    used = by >= SMALLEST
    where = namespace(value).where
    return where(used, value / where(used, by, 1.0), 0.0)
