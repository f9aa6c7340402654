"""How the step of a solver changes over its updates."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any, ClassVar

from sklearn.base import BaseEstimator

from ..utils.numbers import is_number


class Schedule(BaseEstimator, ABC):
    """From the updates done to the step of the next one; any solver with a step takes it."""

    #: Whether the step falls to the end of the training, which must not stop before.
    anneals: ClassVar[bool]

    def check(self) -> None:
        """Raise ValueError for a setting that cannot work."""

    @abstractmethod
    def step(self, first: float, smallest: float, done: int, horizon: int | None) -> float:
        """Step of the next update.

        Parameters
        ----------
        first, smallest : float
            ``step_size`` and ``min_step_size`` of the solver.
        done : int
            Updates before this one.
        horizon : int or None
            Updates planned, None on a stream, which has no end.
        """


class Constant(Schedule):
    """The same step from the first update to the last.

    Examples
    --------
    >>> from skpc.solvers import Constant
    >>> Constant().step(0.1, 0.02, 7, 10)
    0.1
    """

    anneals: ClassVar[bool] = False

    def step(self, first, smallest, done, horizon):
        """``first``."""
        return first


class Cosine(Schedule):
    """max(smallest, first · ½ (1 + cos(π (t - flat) / (T - 1 - flat)))) at t = 0, …, T - 1.

    The last update has the smallest step. A stream has no end and gets √(first · smallest), the
    middle of the range. (On NLTCS and plants, 1000 rows fitted and the rest streamed, constant
    steps of 0.02, 0.05, 0.1, 0.2 ended one pass at -6.09, -6.06, -6.05, -6.04 and -14.06, -13.91,
    -13.81, -13.75 nats on test rows, but large steps forget fast.)

    Parameters
    ----------
    flat : int, default=0
        Updates with the first step before it begins to fall.

    Examples
    --------
    >>> from skpc.solvers import Cosine
    >>> [round(Cosine(flat=2).step(0.8, 0.1, t, 7), 3) for t in range(7)]
    [0.8, 0.8, 0.8, 0.683, 0.4, 0.117, 0.1]
    """

    anneals: ClassVar[bool] = True

    def __init__(self, flat=0):
        self.flat = flat

    def check(self):
        if not isinstance(self.flat, Integral) or isinstance(self.flat, bool) or self.flat < 0:
            raise ValueError(f"flat={self.flat!r} must be a whole number of updates, 0 or more.")

    def step(self, first, smallest, done, horizon):
        """One half turn of the cosine over the updates after the flat ones."""
        if horizon is None:
            return math.sqrt(first * smallest)
        fallen = max(0, done - self.flat) / max(1, horizon - 1 - self.flat)
        return max(smallest, first * 0.5 * (1 + math.cos(math.pi * min(1.0, fallen))))


SCHEDULES: dict[str, type[Schedule]] = {"cosine": Cosine, "constant": Constant}
_DEFAULTS = {name: schedule() for name, schedule in SCHEDULES.items()}


def resolve_schedule(schedule: str | Schedule) -> Schedule:
    """A checked schedule from a name or an object."""
    if isinstance(schedule, str) and schedule in SCHEDULES:
        return _DEFAULTS[schedule]
    if not isinstance(schedule, Schedule):
        raise ValueError(
            f"schedule={schedule!r} is not known; use one of {tuple(SCHEDULES)} or a Schedule "
            "object such as Cosine(flat=100)."
        )
    schedule.check()
    return schedule


def whole_step(solver: Any, state: Any) -> float:
    """The step of the next whole batch, for a solver with step_size, min_step_size, schedule."""
    schedule = resolve_schedule(solver.schedule)
    step = schedule.step(float(solver.step_size), smallest_step(solver), state.step, state.horizon)
    if not 0 < step < math.inf:
        raise ValueError(
            f"schedule={schedule!r} gave the step {step!r} at update {state.step}; steps must be "
            "positive, finite numbers."
        )
    return step


def scheduled_step(solver: Any, state: Any) -> float:
    """The share of the new in a mean of old and new: the step of the EM family.

    Statistics that stand for a share of a batch only get 1 - (1 - s)^share, so that the parts
    of a batch together move as far as the batch.
    """
    step = whole_step(solver, state)
    if step > 1:
        raise ValueError(
            f"schedule={solver.schedule!r} gave the step {step!r} at update {state.step}; steps of "
            f"{type(solver).__name__} must lie in (0, 1]."
        )
    if state.share == 1.0 or step == 1.0:
        return step
    return -math.expm1(state.share * math.log1p(-step))


def smallest_step(solver: Any) -> float:
    """``min_step_size``, or for "auto" what is usual for the solver, at most its ``step_size``."""
    if isinstance(solver.min_step_size, str):
        return min(float(solver.step_size), solver.usual_min_step)
    return float(solver.min_step_size)


def check_steps(solver: Any, most: float = 1.0) -> None:
    """Refuse steps outside (0, most] and unknown schedules."""
    allowed = {"step_size": "", "min_step_size": ' or "auto"'}
    for name, also in allowed.items():
        value = getattr(solver, name)
        if also and isinstance(value, str) and value == "auto":
            continue
        if not is_number(value) or not 0 < float(value) <= most:
            raise ValueError(f"{name}={value!r} must be a number in (0, {most:g}]{also}.")
    smallest, first = smallest_step(solver), solver.step_size
    if resolve_schedule(solver.schedule).anneals and smallest > first:
        raise ValueError(f"min_step_size={smallest!r} must not exceed step_size={first!r}.")
