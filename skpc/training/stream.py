"""One pass over rows of a stream, which has neither an end nor a second pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..backends import Backend, TopDown
from ..circuit import Parameters, Statistics
from ..solvers import Solver, SolverState
from ..utils.lazy import lazy
from .shrinkage import ReadOut
from .updates import learn_batch


@dataclass(frozen=True)
class OpenBatch:
    """A batch of a stream that later rows may still join.

    Attributes
    ----------
    shown : Parameters
        Those before the batch: what its rows are looked at with.
    parameters : Parameters
        What the solver goes on from; see ``shrinkage``.
    state : SolverState
        Of the solver before the batch.
    backend : Backend
    statistics : Statistics
        Sums over its rows so far.
    """

    shown: Parameters
    parameters: Parameters
    state: SolverState
    backend: Backend
    statistics: Statistics

    @lazy
    def prepared(self) -> Any:
        """The parameters as the backend reads them."""
        return self.backend.prepared(self.shown)

    @lazy
    def top_down(self) -> TopDown:
        """Of the parameters."""
        return self.backend.top_down(self.parameters)

    def joined(self, statistics: Statistics) -> OpenBatch:
        """With the rows that these statistics are sums over."""
        new = replace(self, statistics=self.statistics + statistics)
        # What was computed for the parameters still holds.
        new.__dict__.update(vars(self) | vars(new))
        return new

    def __getstate__(self):
        names = ("shown", "parameters", "state", "backend", "statistics")
        return {name: vars(self)[name] for name in names}


class Learnt(NamedTuple):
    """Parameters for use, those that the solver goes on from, and its state."""

    parameters: Parameters
    raw: Parameters
    state: SolverState


class ToLearn:
    """What an open batch teaches, as :class:`Learnt`, computed when somebody asks for it.

    Most rows of a stream of single rows are joined by the next one before anybody looks.
    """

    def __init__(self, compute: Callable[[], Learnt]) -> None:
        self._compute = compute

    @lazy
    def _learnt(self) -> Learnt:
        return self._compute()

    @property
    def parameters(self) -> Parameters:
        return self._learnt.parameters

    @property
    def raw(self) -> Parameters:
        return self._learnt.raw

    @property
    def state(self) -> SolverState:
        return self._learnt.state

    def __reduce__(self):
        return Learnt, tuple(self._learnt)


class Piece(NamedTuple):
    """Mean log-likelihood of rows of a stream before their batch was learnt, and their weight."""

    train: float
    weight: float


class StreamResult(NamedTuple):
    """What a pass over some rows of a stream leaves behind.

    ``history`` has its pieces; ``batch`` is the batch that is not full yet, None if there is none.
    """

    learnt: Learnt | ToLearn
    batch: OpenBatch | None
    history: list[Piece]


def learn_stream(
    backend: Backend,
    learnt: Learnt | ToLearn,
    batch: OpenBatch | None,
    solver: Solver,
    X: np.ndarray,
    sample_weight: np.ndarray,
    *,
    encode: Callable[[np.ndarray], np.ndarray],
    log_units: Callable[[np.ndarray], np.ndarray],
    batch_size: int,
    smoothing: Callable[[float], Statistics],
    read_out: Callable[[float], ReadOut | None],
    weight_seen: float,
) -> StreamResult:
    """Learn from rows once, in their order.

    A batch that is not full is learnt with a step that shrinks with its weight; rows that come
    later join it, and the step is taken again from where the batch began. So the model has always
    learnt from every row, and batches are the same however the rows are cut into chunks.

    Parameters
    ----------
    backend : Backend
    learnt : Learnt or ToLearn
        From where to go on.
    batch : OpenBatch or None
        What an earlier pass left open.
    solver : Solver
    X : ndarray of shape (n, n_variables)
        Rows as the user gave them; they are encoded batch by batch.
    sample_weight : ndarray of shape (n,)
        Positive.
    encode : callable
        From rows to what the backend reads.
    log_units : callable
        From rows to the log density of the user's units over that of encoded rows, nats.
    batch_size : int
        Weight, in rows, for which the solver's whole step is meant.
    smoothing : callable
        From the weight of all rows to the pseudo-evidence of an update.
    read_out : callable
        From the weight of all rows to the rule by which parameters are read out, or None.
    weight_seen : float
        Weight of all rows before these.

    Returns
    -------
    StreamResult
    """
    solver.check_circuit(backend.program.circuit)
    history = []
    if batch is not None and batch.state.owned_by(solver) is not batch.state:
        batch = None
    ends = np.cumsum(sample_weight)
    start, done = 0, 0.0
    while start < len(X):
        begins = batch is None
        if batch is None:
            # Without a horizon the step is constant.
            state = replace(learnt.state.owned_by(solver), horizon=None)
            nothing = Statistics.zeros(backend.program)
            batch = OpenBatch(learnt.parameters, learnt.raw, state, backend, nothing)
        room = batch_size - batch.statistics.weight
        # The rows that fit, one at least.
        stop = int(np.searchsorted(ends, done + room * (1 + 1e-9), side="right"))
        part = slice(start, max(start + 1, stop))
        start, done = part.stop, float(ends[part.stop - 1])
        rows, weight = X[part], sample_weight[part]
        statistics = backend.statistics(batch.prepared, encode(rows), weight, solver.wanted)
        total = statistics.log_likelihood + float(np.dot(weight, log_units(rows)))
        history.append(Piece(total / statistics.weight, statistics.weight))
        batch = batch.joined(statistics)
        seen = weight_seen + done
        learnt = ToLearn(partial(_learn, batch, solver, batch_size, smoothing, read_out, seen))
        is_full = batch.statistics.weight >= (1 - 1e-9) * batch_size
        if begins or is_full:
            # A solver that fails does so here, not when somebody looks.
            learnt = Learnt(learnt.parameters, learnt.raw, learnt.state)
        if is_full:
            batch = None
    return StreamResult(learnt, batch, history)


def _learn(
    batch: OpenBatch,
    solver: Solver,
    batch_size: int,
    smoothing: Callable[[float], Statistics],
    read_out: Callable[[float], ReadOut | None],
    seen: float,
) -> Learnt:
    """The step of a batch."""
    state, raw = learn_batch(
        batch.backend,
        batch.parameters,
        replace(
            batch.state, share=min(1.0, batch.statistics.weight / batch_size), total_weight=seen
        ),
        solver,
        batch.statistics.scaled(1.0),  # the sums are still needed: more rows may join
        smoothing(seen),
        batch.top_down if solver.needs_top_down else None,
    )
    rule = read_out(seen)
    return Learnt(raw if rule is None else rule(raw, batch.backend.top_down(raw)), raw, state)
