"""One pass over rows of a stream, which has neither an end nor a second pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ..backends import Backend
from ..circuit import Parameters, Statistics
from ..solvers import Solver, SolverState
from .loop import learn_batch
from .sources import batch_bounds


def learn_stream(
    backend: Backend,
    parameters: Parameters,
    state: SolverState,
    solver: Solver,
    X: np.ndarray,
    sample_weight: np.ndarray,
    *,
    batch_size: int,
    smoothing: Callable[[float], Statistics],
    weight_seen: float,
    log_units: np.ndarray,
) -> tuple[Parameters, SolverState, list[float]]:
    """Learn from rows once, in their order, in pieces of at most ``batch_size`` rows.

    A piece that weighs less than a batch is learnt with a smaller step, so that rows that
    come one by one teach the model as much as rows that come by the hundred.

    Parameters
    ----------
    backend, parameters, state, solver
        What computes, from where to go on, and how.
    X : ndarray of shape (n, n_variables)
        Encoded rows.
    sample_weight : ndarray of shape (n,)
        Positive.
    batch_size : int
        Rows for which the solver's whole step is meant.
    smoothing : callable
        From the weight of all rows to the pseudo-evidence of an update.
    weight_seen : float
        Weight of all rows so far, these included.
    log_units : ndarray of shape (n,)
        Log density of the user's units over that of encoded rows, nats.

    Returns
    -------
    parameters : Parameters
    state : SolverState
    history : list of float
        Of every piece, the mean log-likelihood of its rows before they were learnt, nats.
    """
    history = []
    # Without a horizon the step is constant.
    state = replace(state, horizon=None)
    evidence = smoothing(weight_seen)
    for start, stop in pairwise(batch_bounds(len(X), batch_size)):
        part = slice(start, stop)
        statistics = backend.statistics(parameters, X[part], sample_weight[part])
        state = replace(state, share=min(1.0, statistics.weight / batch_size))
        total = statistics.log_likelihood + float(np.dot(sample_weight[part], log_units[part]))
        history.append(total / statistics.weight)
        state, parameters = learn_batch(backend, parameters, state, solver, statistics, evidence)
    return parameters, replace(state, share=1.0), history
