"""How the step of a solver changes over its updates."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from .base import SolverState

SCHEDULES = ("cosine", "constant")


def scheduled_step(solver: Any, state: SolverState) -> float:
    """The step for the next update of a solver with step_size, min_step_size, schedule.

    Cosine: max(min, base · ½ (1 + cos(π t / (T - 1)))) at update t = 0, …, T - 1, so that the
    last one has the smallest step. A stream has no end: without a horizon the step is constant,
    step_size for the constant schedule, else √(step_size · min_step_size), the middle of the
    range. (On NLTCS and plants, 1000 rows fitted and the rest streamed, constant steps of 0.02,
    0.05, 0.1, 0.2 ended one pass at -6.09, -6.06, -6.05, -6.04 and -14.06, -13.91, -13.81,
    -13.75 nats on test rows, but large steps forget fast.)

    Statistics that stand for a share of a batch only get the step 1 - (1 - s)^share.
    """
    base = float(solver.step_size)
    if solver.schedule == "constant":
        step = base
    elif state.horizon is None:
        step = math.sqrt(base * float(solver.min_step_size))
    else:
        done = min(1.0, state.step / max(1, state.horizon - 1))
        step = max(float(solver.min_step_size), base * 0.5 * (1 + math.cos(math.pi * done)))
    if state.share == 1.0 or step == 1.0:
        return step
    return -math.expm1(state.share * math.log1p(-step))


def check_steps(step_size: Any, min_step_size: Any, schedule: Any) -> None:
    """Refuse steps outside (0, 1] and unknown schedules."""
    for name, value in (("step_size", step_size), ("min_step_size", min_step_size)):
        if not isinstance(value, Real) or not 0 < float(value) <= 1:
            raise ValueError(f"{name}={value!r} must be a number in (0, 1].")
    if schedule != "constant" and min_step_size > step_size:
        raise ValueError(
            f"min_step_size={min_step_size!r} must not exceed step_size={step_size!r}."
        )
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r} is not known; use one of {SCHEDULES}.")
