"""Updates from the statistics of batches, which a backend may record and repeat."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import Backend, TopDown
from ..backends.weights import smoothed_means
from ..circuit import Parameters, Statistics
from ..solvers import Solver, SolverState, StepSolver
from .sources import Batch


def learn_batch(
    backend: Backend,
    parameters: Parameters,
    state: SolverState,
    solver: Solver,
    statistics: Statistics,
    smoothing: Statistics | None,
    top_down: TopDown | None = None,
) -> tuple[SolverState, Parameters]:
    """One update from the statistics of a batch, which are lost."""
    evidence = smoothed_means(statistics, smoothing)
    if top_down is None:
        top_down = _top_down(backend, solver, parameters)
    return solver.update(state, parameters, evidence, top_down)


class Updates:
    """The updates of one training: :func:`learn_batch`, recorded where the backend can.

    What is recorded is all but the choice of the step and the division by the weight of the
    batch: smoothing, top-down pass, momentum, the step itself, and the projections of leaves.

    Parameters
    ----------
    backend : Backend
    solver : Solver
    smoothing : Statistics or None
        As the backend holds them.
    """

    def __init__(self, backend: Backend, solver: Solver, smoothing: Statistics | None) -> None:
        self._backend, self._solver, self._smoothing = backend, solver, smoothing
        # Statistics that are wanted beside the usual ones come as arrays.
        may = isinstance(solver, StepSolver) and not solver.wanted
        self._recorded = backend.recorded(self._arithmetic) if may else None

    def __call__(
        self, state: SolverState, parameters: Parameters, statistics: Statistics
    ) -> tuple[SolverState, Parameters]:
        """State and parameters after a whole batch, whose statistics are lost."""
        solver = self._solver
        are_arrays = isinstance(parameters.weights, np.ndarray)
        if self._recorded is None or are_arrays or not statistics.weight > 0:
            return learn_batch(
                self._backend, parameters, state, solver, statistics, self._smoothing
            )
        assert isinstance(solver, StepSolver)
        means, step = statistics.mean(in_place=True), solver.next_step(state)
        arrays, new = self._recorded(step, state.arrays, parameters, means)
        return state.advanced(arrays), new

    def most_batches(self, state: SolverState, n_rows: int) -> int:
        """How many batches of so many rows to give to ``learn`` at once."""
        solver = self._solver
        if not isinstance(solver, StepSolver) or solver.mixing(solver.next_step(state)) is None:
            return 1
        return self._backend.most_batches(n_rows)

    def learn(
        self,
        state: SolverState,
        parameters: Parameters,
        batches: list[Batch],
    ) -> tuple[int, SolverState, Parameters, float, float]:
        """Learn the first of some batches; how many, state and parameters after them, and the sums
        of their log-likelihoods and weights."""
        solver = self._solver
        mixings = []
        if isinstance(solver, StepSolver):
            at = state.advanced(by=0)
            for _ in batches:
                mixing = solver.mixing(solver.next_step(at))
                if mixing is None:
                    break
                mixings.append(mixing)
                at.step += 1
        if len(mixings) < len(batches):
            return 1, *self.learn_shown(state, parameters, parameters, *batches[0])
        learnt = self._backend.learn(parameters, batches, mixings, self._smoothing)
        n, log_likelihood, weight, new, statistics = learnt
        if n:
            state = state.advanced(by=n)
        if statistics is not None:
            log_likelihood += statistics.log_likelihood
            weight += statistics.weight
            state, new = self(state, new, statistics)
            n += 1
        return n, state, new, log_likelihood, weight

    def learn_shown(
        self,
        state: SolverState,
        parameters: Parameters,
        shown: Parameters,
        X: np.ndarray,
        sample_weight: np.ndarray | None,
    ) -> tuple[SolverState, Parameters, float, float]:
        """The same with a batch whose rows are looked at with other parameters, which are shown."""
        beside = self._solver.needs_top_down and shown is parameters
        statistics = self._backend.statistics(shown, X, sample_weight, self._solver.wanted, beside)
        seen = statistics.log_likelihood, statistics.weight
        return *self(state, parameters, statistics), *seen

    def _arithmetic(
        self, step: Any, arrays: dict, parameters: Parameters, means: Statistics
    ) -> tuple[dict, Parameters]:
        """What an update does with arrays; the means are lost."""
        solver = self._solver
        assert isinstance(solver, StepSolver)
        evidence = smoothed_means(means, self._smoothing)
        top_down = _top_down(self._backend, solver, parameters)
        return solver.take_step(step, SolverState(arrays=arrays), parameters, evidence, top_down)


def _top_down(backend: Backend, solver: Solver, parameters: Parameters) -> TopDown | None:
    return backend.top_down(parameters) if solver.needs_top_down else None
