"""Mini-batch expectation maximisation: a running mean of conditional probabilities."""

from __future__ import annotations

from ..backends import Mixing
from .base import StepSolver
from .mixing import mix
from .momentum import check_decay, with_momentum
from .schedules import check_steps


class MiniBatchEM(StepSolver):
    """θ' = (1 - s) θ + s F̄_nc / F̄_n on every batch: eq. 6 of Liu, Shao and Van den Broeck,
    arXiv 2505.19982 [1]_.

    Every unit moves by the same share s, however rarely the batch used it.

    Parameters
    ----------
    step_size : float, default=0.9
        s at the first update, in (0, 1].
    min_step_size : float or "auto", default="auto"
        s at the last update of the cosine schedule.
        "auto": 0.02, or ``step_size`` where that is smaller.
    schedule : {"cosine", "constant"} or Schedule, default="cosine"
        A stream has no end and is learnt with a constant step, √(step_size · min_step_size)
        for the cosine schedule.
    momentum : float, default=0.0
        k in [0, 1): flows are replaced by M ← k M + (1 - k) F̄, divided by 1 - k^t. On
        a stream it is k^share for statistics that stand for a share of a batch.

    References
    ----------
    .. [1] Liu, Shao & Van den Broeck, "Rethinking probabilistic circuit parameter learning",
       arXiv 2505.19982.

    Examples
    --------
    >>> from skpc.solvers import MiniBatchEM
    >>> MiniBatchEM(step_size=0.5)
    MiniBatchEM(step_size=0.5)
    """

    def __init__(self, step_size=0.9, min_step_size="auto", schedule="cosine", momentum=0.0):
        self.step_size = step_size
        self.min_step_size = min_step_size
        self.schedule = schedule
        self.momentum = momentum

    def check(self):
        check_steps(self)
        check_decay(self, "momentum")

    def mixing(self, step):
        return Mixing(step, by_top_down=False) if self.momentum == 0 else None

    def take_step(self, step, state, parameters, statistics, top_down):
        """Move every unit that had flow by the share s."""
        statistics, arrays = with_momentum(self.momentum, state, statistics)
        return arrays, mix(parameters, Mixing(step, by_top_down=False), statistics, None)
