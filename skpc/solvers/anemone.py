"""Anemone: mini-batch EM with a step that knows how often a unit is used."""

from __future__ import annotations

from numbers import Real
from typing import ClassVar

import numpy as np

from ..circuit import Statistics
from .base import Solver, mix
from .schedules import check_steps, scheduled_step


class Anemone(Solver):
    """θ' ∝ (1 - α) TD(n) θ_nc + α F̄_nc on every batch: eq. 7 and 19 of Liu, Shao and
    Van den Broeck, arXiv 2505.19982 [1]_.

    It minimises the KL divergence of the joint distribution of data and latent variables
    to that of the last parameters, plus the loss of the batch. A unit that the batch used
    more than the circuit expects, F̄_n > TD(n), moves by more than α, one it hardly used by
    less; mini-batch EM moves all alike.

    Parameters
    ----------
    step_size : float, default=0.9
        α at the first update, in (0, 1]; 1 is EM on the batch.
    min_step_size : float, default=0.02
        α at the last update of the cosine schedule.
    schedule : {"cosine", "constant"}, default="cosine"
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
    >>> from skpc.solvers import Anemone
    >>> Anemone(momentum=0.9)
    Anemone(momentum=0.9)
    """

    needs_top_down: ClassVar[bool] = True

    def __init__(self, step_size=0.9, min_step_size=0.02, schedule="cosine", momentum=0.0):
        self.step_size = step_size
        self.min_step_size = min_step_size
        self.schedule = schedule
        self.momentum = momentum

    def check(self):
        check_steps(self.step_size, self.min_step_size, self.schedule)
        if not isinstance(self.momentum, Real) or not 0 <= float(self.momentum) < 1:
            raise ValueError(f"momentum={self.momentum!r} must be a number in [0, 1).")

    def update(self, state, parameters, statistics, top_down):
        """Mix the joint distribution's expectation with the batch's."""
        step = scheduled_step(self, state)
        statistics, arrays = self._averaged(state, statistics)
        keep = (1 - step) * top_down.rows, [(1 - step) * t for t in top_down.leaves]
        learn = (
            np.full(len(top_down.rows), step),
            [np.full(len(t), step) for t in top_down.leaves],
        )
        new = mix(parameters, keep, learn, statistics)
        return state.advanced(arrays), new

    def _averaged(self, state, statistics):
        """Bias-corrected running means of the flows, and the arrays that carry them."""
        if not self.momentum:
            return statistics, {}
        k = self.momentum**state.share
        new = -np.expm1(state.share * np.log(self.momentum))
        current = {"flows": statistics.flows}
        current |= {f"leaves_{i}": leaf for i, leaf in enumerate(statistics.leaves)}
        before = state.arrays
        arrays = {
            name: new * value + (k * before[name] if before else 0.0)
            for name, value in current.items()
        }
        # The weight that the zeros of the start still have.
        log_start = before.get("log_start_weight", np.zeros(1)) + state.share * np.log(
            self.momentum
        )
        arrays["log_start_weight"] = log_start
        correction = 1 / -np.expm1(log_start[0])
        averaged = Statistics(
            statistics.log_likelihood,
            statistics.weight,
            correction * arrays["flows"],
            [correction * arrays[f"leaves_{i}"] for i in range(len(statistics.leaves))],
        )
        return averaged, arrays
