"""How strong a penalty on sharp maxima is, for the solvers that have one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends.base import UNTIE
from ..circuit import Circuit, Parameters, Statistics
from ..utils.numbers import is_number
from .base import SolverState

#: A larger penalty changes nothing any more, and its square would overflow.
LARGEST = 1e100
#: "auto" without held-out rows. Adam on 1 % of jester, nltcs and plants, 50 passes, ended at -63.9,
#: -6.74, -16.6 nats on test rows without a penalty, at -63.4, -6.69, -16.3 with a part of 0.1, at
#: -60.5, -6.65, -16.2 with 0.5, and at -58.8, -6.80, -16.9 with 1.
USUAL_PART = 0.5


def check_strength(name: str, value: Any) -> None:
    """Refuse strengths that are not "auto", a number or a sequence of numbers, at least 0."""
    if isinstance(value, str) and value == "auto":
        return
    values = [value] if np.ndim(value) == 0 else list(value)
    fine = [is_number(v) and 0 <= float(v) < np.inf for v in values]
    if not values or not all(fine):
        raise ValueError(
            f'{name}={value!r} must be "auto", a finite number of at least 0, or a sequence of '
            "such numbers."
        )


def strength_now(value: Any, state: SolverState) -> float:
    """The strength at the next update, from a number or a sequence over the training."""
    values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if state.horizon is None:
        return min(float(values[-1]), LARGEST)
    done = min(1.0, state.step / max(1, state.horizon - 1))
    now = np.interp(done * (len(values) - 1), np.arange(len(values)), values)
    return min(float(now), LARGEST)


def automatic_part(state: SolverState) -> float:
    """How large a part of the slope of the likelihood the penalty may have: the degree of
    overfitting, at most one; 0.5 without held-out rows to see it."""
    return USUAL_PART if state.overfitting is None else float(np.clip(state.overfitting, 0, 1))


def penalty_statistics(parameters: Parameters, statistics: Statistics) -> Statistics:
    """What takes the place of flows in the gradient of Σ g², from the "curvature" asked for.

    F is the derivative of log p by a log weight, and by the log density of a leaf. That of Σ g² is
    θ · (2 H g), and what the statistics hold for the leaves; the rest of a gradient is the same.
    """
    extra = statistics.extra
    leaves = [extra[f"curvature_{f}"] for f in range(len(parameters.leaves))]
    return Statistics(0.0, 0.0, parameters.weights * extra["curvature"], leaves)


def refuse_tied(circuit: Circuit, what: str) -> None:
    """ValueError for shared sum weights, for which the trace of the Hessian is another."""
    shared = [s for s in circuit.sums if s.share is not None]
    if shared:
        raise ValueError(
            f"{what} cannot learn a circuit with shared weights ({len(shared)} sums of this one "
            "use those of another): its penalty is the trace of the Hessian, and where one weight "
            "is used at several places the second derivatives have terms that it lacks. Use "
            f"another solver. {UNTIE}"
        )
