"""What every solver is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from ..backends import Mixing, TopDown
from ..circuit import Circuit, Parameters, Statistics
from ..utils.nested_settings import refuse_settings_of_names
from .schedules import resolve_schedule, scheduled_step


@dataclass
class SolverState:
    """What a solver remembers between updates; saved with the model.

    Attributes
    ----------
    step : int
        Updates done.
    horizon : int or None
        Updates planned, None on a stream; schedules with an end need it.
    arrays : dict of str to ndarray
        Moments, flat, in the layout of the parameters.
    total_weight : float
        Weight, in rows, of all rows that are learnt from (on a stream: so far): means times it
        are sums over the training rows, whatever the batch.
    overfitting : float or None
        (train - held-out) / |train| of the mean log-likelihoods of the last epoch, None without
        held-out rows.
    share : float
        Part of a whole batch that the next statistics stand for: a stream may come in single
        rows, and each is then learnt with so small a step that a batch of them has the effect
        of one step.
    owner : str
        Class of the solver whose arrays these are.
    """

    step: int = 0
    horizon: int | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    share: float = 1.0
    owner: str = ""
    total_weight: float = 1.0
    overfitting: float | None = None

    def owned_by(self, solver: Any) -> SolverState:
        """For this solver: the arrays of another one mean nothing to it."""
        name = type(solver).__name__
        return self if name == self.owner else replace(self, arrays={}, owner=name)

    def advanced(self, arrays: dict[str, np.ndarray] | None = None, by: int = 1) -> SolverState:
        """After one more update, or several."""
        new = object.__new__(type(self))  # copy() takes ten times as long
        vars(new).update(vars(self), step=self.step + by, arrays={} if arrays is None else arrays)
        return new


class Solver(BaseEstimator, ABC):
    """Base of all solvers.

    ``update`` receives *means* over the rows of a batch, smoothed by the pseudocount, and
    returns a new state and new parameters; it changes neither argument.
    """

    #: Whether ``update`` reads the top-down probabilities.
    needs_top_down: ClassVar[bool] = False
    #: What ``min_step_size="auto"`` stands for, in solvers that have it.
    usual_min_step: ClassVar[float] = 0.02
    #: Whether a batch must be the whole data set.
    full_batch: bool = False
    #: Whether ``update`` takes tensors of torch as well: parameters then stay on a GPU.
    takes_tensors: ClassVar[bool] = False

    @property
    def wanted(self) -> tuple[str, ...]:
        """Statistics that ``update`` reads beside the usual ones: see ``Statistics.extra``."""
        return ()

    @property
    def anneals(self) -> bool:
        """Whether the step falls to the end of the training, which must not stop before."""
        return resolve_schedule(getattr(self, "schedule", "constant")).anneals

    def set_params(self, **params):
        """Set arguments of the constructor, also those of a schedule: ``schedule__flat``.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For names that are not there.
        """
        refuse_settings_of_names(self, params, "skpc.solvers")
        return super().set_params(**params)

    def check(self) -> None:
        """Raise ValueError for a setting that cannot work, before any work is done."""

    def check_circuit(self, circuit: Circuit) -> None:
        """Raise ValueError for a circuit that cannot be learnt so, before any row is looked at."""

    @abstractmethod
    def update(
        self,
        state: SolverState,
        parameters: Parameters,
        statistics: Statistics,
        top_down: TopDown | None,
    ) -> tuple[SolverState, Parameters]:
        """One step."""


class StepSolver(Solver):
    """Base of solvers whose update is arithmetic of arrays, and one number: the step.

    A backend may record the arithmetic, on tensors, and repeat it with other numbers. So
    ``take_step`` never looks at what is in an array to choose what to do, and of the state it
    reads ``arrays`` and ``share`` only, unless it asks for ``wanted`` statistics.
    """

    takes_tensors: ClassVar[bool] = True

    def next_step(self, state: SolverState) -> float:
        """How far the next update goes: by the schedule, the share of the new in a mean."""
        return scheduled_step(self, state)

    def mixing(self, step: float) -> Mixing | None:
        """The whole update, if it is one of the EM family and remembers nothing; None otherwise.

        A backend may then take it while it collects the statistics: see ``Backend.learn``.
        """
        return None

    @abstractmethod
    def take_step(
        self,
        step: Any,
        state: SolverState,
        parameters: Parameters,
        statistics: Statistics,
        top_down: TopDown | None,
    ) -> tuple[dict[str, np.ndarray], Parameters]:
        """Arrays to remember and new parameters; the step is a number, or a tensor of one."""

    def update(self, state, parameters, statistics, top_down):
        """One step of the length that is due."""
        step = self.next_step(state)
        arrays, new = self.take_step(step, state, parameters, statistics, top_down)
        return state.advanced(arrays), new
