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
    last one has the smallest step. Without a horizon (a stream) the step is constant.
    """
    base = float(solver.step_size)
    if solver.schedule == "constant" or state.horizon is None:
        return base
    share = min(1.0, state.step / max(1, state.horizon - 1))
    return max(float(solver.min_step_size), base * 0.5 * (1 + math.cos(math.pi * share)))


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
