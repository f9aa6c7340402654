"""What a user sees of a running fit: printed lines, and scikit-learn's callbacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from ..circuit import Parameters
from ..training import EpochRecord, Learnt, Monitor
from ..utils.sklearn_compat import has_callbacks
from .fitting import Model
from .tables import Table
from .thresholds import Threshold


class FitProgress:
    """Tells of the starts of a fit and of their epochs.

    Parameters
    ----------
    estimator : estimator
        Its ``verbose`` says whether lines are printed.
    table : Table
        What is learnt from.
    attributes : callable
        From model, stream, threshold and schema to the fitted attributes of an estimator.
    shown : Table
        What callbacks get: rows that the estimator can score.
    """

    def __init__(self, estimator: Any, table: Table, attributes: Callable, shown: Table) -> None:
        self._estimator = estimator
        self._table = table
        self._attributes = attributes
        self._given = {"estimator": estimator, "X": shown.X}
        if shown.sample_weight is not None:
            self._given["metadata"] = {"sample_weight": shown.sample_weight}
        self._root: Any = None

    def begins(self, number: int, n_init: int, max_iter: int, model: Model, n_rows: int) -> Monitor:
        """The monitor of start ``number`` of ``n_init``, each of at most ``max_iter`` epochs."""
        monitors: list[Monitor] = []
        if self._estimator.verbose:
            start = "" if n_init == 1 else f", start {number} of {n_init}"
            monitors.append(_PrintedEpochs(f"{_name(model)}{start}, {n_rows} rows, "))
        if has_callbacks(self._estimator):
            if self._root is None:
                # How many trainings there will be, nobody knows yet.
                self._root = self._estimator._init_callback_context(max_subtasks=None)
                self._root.call_on_fit_task_begin(**self._given)
            context = self._root.subcontext(
                task_name=f"training of {_name(model)}", max_subtasks=max_iter
            )
            context.call_on_fit_task_begin(**self._given)
            usable = partial(self._usable, model)
            monitors.append(_CallbackEpochs(context, self._given, usable))
        return _Monitors(monitors)

    def ends(self, attributes: dict[str, Any]) -> None:
        """The fit is done; these are the attributes of the estimator."""
        if self._root is not None:
            self._root.call_on_fit_task_end(reconstruction_attributes=attributes, **self._given)

    def _usable(self, model: Model, parameters: Parameters, history: list[EpochRecord]) -> dict:
        """Attributes of an estimator as if the fit had ended here."""
        now = replace(model, learnt=Learnt(parameters, parameters, model.learnt.state))
        threshold = Threshold.of_rows(now, self._table, self._estimator.contamination)
        attributes = self._attributes(now, None, threshold, self._table.schema)
        known = vars(self._estimator)
        more = {name: known[name] for name in ("_drawn_by", "_arguments_read") if name in known}
        return (
            more
            | attributes
            | {
                "history_": history,
                "n_iter_": len(history),
                "converged_": False,
                "n_features_in_": self._table.X.shape[1],
            }
        )


def _name(model: Model) -> str:
    return type(model.structure).__name__


class _PrintedEpochs(Monitor):
    def __init__(self, before: str) -> None:
        self._before = before

    def epoch_ends(self, record, parameters):
        line = f"{self._before}epoch {record.epoch}: training rows {record.train:.4f}"
        print(line if record.validation is None else f"{line}, held out {record.validation:.4f}")
        return False


class _CallbackEpochs(Monitor):
    """Every epoch is a task of its own, in the context of its start."""

    def __init__(self, context: Any, given: dict, attributes: Callable) -> None:
        self._context = context
        self._given = given
        self._attributes = attributes
        self._history: list[EpochRecord] = []

    def epoch_begins(self):
        self._task = self._context.subcontext(task_name="epoch")
        self._task.call_on_fit_task_begin(**self._given)

    def epoch_ends(self, record, parameters):
        self._history.append(record)
        return self._task.call_on_fit_task_end(
            reconstruction_attributes=lambda: self._attributes(parameters, list(self._history)),
            **self._given,
        )

    def finished(self):
        self._context.call_on_fit_task_end(**self._given)


class _Monitors(Monitor):
    """Several monitors; any of them may end the training."""

    def __init__(self, monitors: list[Monitor]) -> None:
        self._monitors = monitors

    def epoch_begins(self):
        for monitor in self._monitors:
            monitor.epoch_begins()

    def epoch_ends(self, record, parameters):
        # All of them are told.
        asked = [monitor.epoch_ends(record, parameters) for monitor in self._monitors]
        return any(asked)

    def finished(self):
        for monitor in self._monitors:
            monitor.finished()
