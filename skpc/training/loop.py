"""The training loop: epochs of shuffled batches, a schedule, and the best parameters."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..backends import Backend
from ..circuit import Parameters, Statistics
from ..solvers import Solver, SolverState
from .shrinkage import ReadOut
from .sources import Batch, Source, n_batches
from .updates import Updates

#: Rows that a full-batch pass hands to the backend at once.
FULL_PASS_ROWS = 1 << 15


class EpochRecord(NamedTuple):
    """One line of the learning curve; mean log-likelihoods in nats a row.

    ``train`` is that of each batch before it was learnt, averaged over the epoch;
    ``validation`` that of the held-out rows after the epoch, None without them. ``weight`` is
    that of the rows behind ``train``: their number, where no row has a weight of its own;
    None in files that were saved before it was written down.
    """

    epoch: int
    train: float
    validation: float | None
    weight: float | None = None


class Monitor:
    """Is told of every epoch; this one does nothing."""

    def epoch_begins(self) -> None:
        """Called before an epoch."""

    def epoch_ends(self, record: EpochRecord, parameters: Parameters) -> bool:
        """Called after an epoch with what it learnt; True ends the training."""
        return False

    def finished(self) -> None:
        """Called after the last epoch."""


@dataclass
class TrainingResult:
    """What training leaves behind.

    ``converged`` says whether the watched curve stopped rising, or the step of the solver fell
    to its end over all passes; ``interrupted`` whether a KeyboardInterrupt cut it off, the
    parameters then being those of the last whole epoch. ``raw`` are the parameters that the
    solver goes on from: others than ``parameters`` where these are read out.
    """

    parameters: Parameters
    raw: Parameters
    state: SolverState
    history: list[EpochRecord] = field(default_factory=list)
    converged: bool = False
    interrupted: bool = False
    best_epoch: int = 0
    max_iter: int = 0

    @property
    def log_likelihood(self) -> float:
        """Of the epoch that was kept: held-out rows if there are any, else training rows."""
        record = self.history[self.best_epoch - 1]
        return record.train if record.validation is None else record.validation


def train(
    backend: Backend,
    parameters: Parameters,
    source: Source,
    solver: Solver,
    *,
    state: SolverState | None = None,
    smoothing: Statistics | None = None,
    batch_size: int = 256,
    max_iter: int = 40,
    tol: float = 0.0,
    n_iter_no_change: int = 10,
    validation: Source | None = None,
    rng: np.random.Generator | None = None,
    monitor: Monitor | None = None,
    read_out: ReadOut | None = None,
) -> TrainingResult:
    """Learn parameters from a source of rows.

    Parameters
    ----------
    backend, parameters, source, solver
        What computes, where to start, what to learn from, and how.
    state : SolverState, optional
        To go on from an earlier training.
    smoothing : Statistics, optional
        Pseudo-evidence added to the mean statistics of every batch.
    batch_size : int, default=256
        Rows of a batch; ignored by full-batch solvers.
    max_iter : int, default=40
        Epochs.
    tol : float, default=0.0
        Training ends when the watched curve (validation if there is one, else train) has
        not risen by more than ``tol`` nats a row for ``n_iter_no_change`` epochs. Without
        validation rows a solver whose step falls to the end is never stopped early: at its
        first large steps the curve may well stand still. It has converged when it has made
        all its passes.
    validation : Source, optional
        Held-out rows; the parameters of their best epoch are returned.
    rng : numpy.random.Generator, optional
        Shuffles the rows.
    monitor : Monitor, optional
        Told of every epoch.
    read_out : callable, optional
        From parameters and top-down probabilities to the parameters that are used and kept.

    Returns
    -------
    TrainingResult

    Raises
    ------
    KeyboardInterrupt
        If no epoch was finished before; later ones only end the training.
    """
    solver.check_circuit(backend.program.circuit)
    monitor = Monitor() if monitor is None else monitor
    # What parameters are read out by, and what is computed of second derivatives, are arrays.
    stays = backend.keeps_parameters and solver.takes_tensors and read_out is None
    stays = stays and not solver.wanted
    taken, given = (backend.taken, backend.given) if stays else (_same, _same)
    per_epoch = 1 if solver.full_batch else n_batches(source.n_rows, batch_size)
    if state is None:
        state = SolverState(horizon=per_epoch * max_iter)
    state = replace(state, share=1.0, total_weight=source.total_weight).owned_by(solver)
    state = replace(state, arrays=taken(state.arrays))
    parameters = taken(parameters)
    updates = Updates(backend, solver, taken(smoothing))
    shown = _shown(backend, parameters, read_out)
    result = TrainingResult(shown, parameters, state, max_iter=max_iter)
    best = mark = -np.inf
    waited = 0
    whole = result.parameters, parameters, state
    try:
        for epoch in range(1, max_iter + 1):
            monitor.epoch_begins()
            with backend.at_work():
                record = _epoch(
                    backend,
                    result,
                    source,
                    solver,
                    updates,
                    batch_size,
                    validation,
                    rng,
                    epoch,
                    read_out,
                )
            whole = result.parameters, result.raw, result.state
            result.history.append(record)
            watched = record.train if record.validation is None else record.validation
            if record.validation is not None and (watched > best or epoch == 1):
                best, best_whole, result.best_epoch = watched, whole, epoch
            if monitor.epoch_ends(record, given(result.parameters)):
                break
            waited = 0 if watched > mark + tol else waited + 1
            mark = max(mark, watched)
            may_stop = validation is not None or not solver.anneals
            if may_stop and waited >= n_iter_no_change:
                result.converged = True
                break
        else:
            result.converged = solver.anneals
    except KeyboardInterrupt:
        if not result.history:
            raise
        result.parameters, result.raw, result.state = whole
        result.interrupted = True
    if validation is not None:
        result.parameters, result.raw, _ = best_whole
    else:
        result.best_epoch = len(result.history)
    alike = result.raw is result.parameters
    result.parameters = given(result.parameters)
    result.raw = result.parameters if alike else given(result.raw)
    result.state = replace(result.state, arrays=given(result.state.arrays))
    monitor.finished()
    return result


def _same(thing):
    return thing


def mean_log_likelihood(backend: Backend, parameters: Parameters, source: Source) -> float:
    """Weighted mean log-likelihood of a source, nats a row."""
    total = 0.0
    for X, weight in source.batches(FULL_PASS_ROWS, None):
        found = backend.log_likelihood(parameters, X)
        if weight is None:
            total += float(found.sum())
        else:
            used = weight > 0
            total += float(np.dot(weight[used], found[used]))
    return total / source.total_weight + source.log_units


def _shown(backend, raw, read_out):
    return raw if read_out is None else read_out(raw, backend.top_down(raw))


def _epoch(backend, result, source, solver, updates, batch_size, validation, rng, number, read_out):
    """One pass over the data; its record."""
    total, weight = 0.0, 0.0
    steps = _steps(backend, result, source, solver, updates, batch_size, rng, read_out)
    for state, raw, log_likelihood, learnt in steps:
        total += log_likelihood
        weight += learnt
        result.state, result.raw = state, raw
        result.parameters = _shown(backend, raw, read_out)
    held_out = None
    if validation is not None:
        held_out = mean_log_likelihood(backend, result.parameters, validation)
    mean = total / weight + source.log_units if weight > 0 else 0.0
    if held_out is not None and mean != 0:
        result.state = replace(result.state, overfitting=(mean - held_out) / abs(mean))
    return EpochRecord(number, mean, held_out, weight)


def _steps(backend, result, source, solver, updates, batch_size, rng, read_out):
    """State and parameters after one update of an epoch or several, and the sums over their rows
    of log-likelihood and weight, each with the parameters of its moment."""
    if solver.full_batch:
        total = None
        for X, weight in source.batches(FULL_PASS_ROWS, None):
            part = backend.statistics(result.parameters, X, weight, solver.wanted)
            if total is None:
                total = part
            else:
                total += part
        assert total is not None
        seen = total.log_likelihood, total.weight
        yield *updates(result.state, result.raw, total), *seen
        return
    batches = source.batches(batch_size, rng)
    if read_out is not None:
        for batch in batches:
            yield updates.learn_shown(result.state, result.raw, result.parameters, *batch)
        return
    ahead: list[Batch] = []
    most = updates.most_batches(result.state, min(batch_size, source.n_rows))
    while True:
        ahead += islice(batches, most - len(ahead))
        if not ahead:
            return
        n, *learnt = updates.learn(result.state, result.raw, ahead)
        del ahead[:n]
        yield learnt
