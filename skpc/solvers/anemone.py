"""Anemone: mini-batch EM with a step that knows how often a unit is used."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..backends import Mixing, TopDown
from ..circuit import Parameters, Statistics
from .base import StepSolver
from .mixing import SMALLEST, mix, unit_flows
from .momentum import check_decay, with_momentum
from .schedules import check_steps


class Anemone(StepSolver):
    """θ' ∝ (1 - α) TD(n) θ_nc + α F̄_nc on every batch: eq. 7 and 19 of Liu, Shao and
    Van den Broeck, arXiv 2505.19982 [1]_.

    It minimises the KL divergence of the joint distribution of data and latent variables
    to that of the last parameters, plus the loss of the batch. A unit that the batch used
    more than the circuit expects, F̄_n > TD(n), moves by more than α, one it hardly used by
    less (:func:`unit_steps` says by how much); mini-batch EM moves all alike.

    Parameters
    ----------
    step_size : float, default=0.9
        α at the first update, in (0, 1]; 1 is EM on the batch.
    min_step_size : float or "auto", default="auto"
        α at the last update of the cosine schedule.
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
    >>> from skpc.solvers import Anemone
    >>> Anemone(momentum=0.9)
    Anemone(momentum=0.9)
    """

    needs_top_down: ClassVar[bool] = True

    def __init__(self, step_size=0.9, min_step_size="auto", schedule="cosine", momentum=0.0):
        self.step_size = step_size
        self.min_step_size = min_step_size
        self.schedule = schedule
        self.momentum = momentum

    def check(self):
        check_steps(self)
        check_decay(self, "momentum")

    def mixing(self, step):
        return Mixing(step, by_top_down=True) if self.momentum == 0 else None

    def take_step(self, step, state, parameters, statistics, top_down):
        """Mix the joint distribution's expectation with the batch's."""
        statistics, arrays = with_momentum(self.momentum, state, statistics)
        return arrays, mix(parameters, Mixing(step, by_top_down=True), statistics, top_down)


def unit_steps(
    step: float, parameters: Parameters, statistics: Statistics, top_down: TopDown
) -> TopDown:
    """a_n = αF̄_n / ((1 - α) TD(n) + αF̄_n): how far anemone moves each unit.

    Anemone is mini-batch EM with this step for unit n: 1 replaces its parameters by what the
    batch says, 0 leaves them. At the root it is α; where the batch used a unit as often as the
    circuit expects, too.

    Parameters
    ----------
    step : float
        α in (0, 1].
    parameters : Parameters
    statistics : Statistics
        Of a batch; sums or means.
    top_down : TopDown
        Of the parameters.

    Returns
    -------
    TopDown
        The steps in its layout: of every unit of every sum, and of every leaf family. 0 for a
        unit that neither batch nor circuit uses.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.backends.numba_cpu import NumbaBackend
    >>> from skpc.circuit import Circuit, Input, Parameters, Program, Sum
    >>> from skpc.distributions import Bernoulli
    >>> from skpc.solvers import unit_steps
    >>> coins = Input(0, Bernoulli(), 2, mean=[0.1, 0.9])
    >>> program = Program(Circuit(Sum(coins, weights=[0.5, 0.5])))
    >>> parameters, backend = Parameters.uniform(program), NumbaBackend(program, np.float64)
    >>> heads = backend.statistics(parameters, np.array([[1.0]]))
    >>> steps = unit_steps(0.5, parameters, heads, backend.top_down(parameters))
    >>> steps.rows.round(2), steps.leaves[0].round(2)
    (array([0.5]), array([0.17, 0.64]))
    """
    rows, leaves = unit_flows(statistics.mean(), parameters)

    def rate(flow, use):
        new = step * flow
        total = (1 - step) * use + new
        return np.divide(new, total, out=np.zeros_like(new), where=total >= SMALLEST)

    return TopDown(rate(rows, top_down.rows), [rate(f, t) for f, t in zip(leaves, top_down.leaves)])
