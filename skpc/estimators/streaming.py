"""Learning from chunks: first all over again from a buffer, then one pass over what comes."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..solvers import resolve_solver
from ..training import Piece, default_batch_size, learn_stream
from .columns import CHUNK_ROWS, UnknownCategoryError, merged_kinds
from .fitting import Model, canonical, draw_model
from .frame_schema import FrameSchema
from .frames import FrameTable
from .row_memory import RowMemory
from .stacking import fit_table
from .tables import Table


@dataclass(frozen=True)
class Stream:
    """Where a stream stands.

    Attributes
    ----------
    memory : RowMemory
        The buffer, and later the reservoir.
    kinds : list of str
        Kind of every column, over all chunks.
    is_open : bool
        Whether structure and encoding are still learnt anew from the buffer.
    refit_at : int
        Rows of the buffer at which this happens next.
    seed : int
        Of every such learning.
    """

    memory: RowMemory
    kinds: list[str]
    is_open: bool
    refit_at: int
    seed: int

    def remembering(self, table: Table) -> Stream:
        """The stream with more rows in its memory."""
        return replace(self, memory=self.memory.added(table.X, table.weights))


def new_stream(estimator: Any, kinds: list[str], rng: np.random.Generator, is_open: bool) -> Stream:
    """A stream before its first row."""
    memory = RowMemory(estimator.structure_rows, int(rng.integers(2**31)))
    return Stream(memory, kinds, is_open, 1, int(rng.integers(2**31)))


def learn_chunk(
    estimator: Any, model: Model | None, stream: Stream, table: Table, names: Any = None
) -> tuple[Model, Stream, list[Piece]]:
    """Learn from the next chunk of a stream; the arguments stay as they are.

    Parameters
    ----------
    estimator : PCDensityEstimator
    model : Model or None
        None before the first chunk.
    stream : Stream
    table : Table
    names : array of str, optional
        Names of the columns, for error messages.

    Returns
    -------
    model : Model
    stream : Stream
    history : list of Piece
        Every piece before it was learnt; where there was no model yet, the first epoch.
    """
    kinds = merged_kinds(stream.kinds, table.kinds)
    if kinds is not stream.kinds:
        stream = replace(stream, kinds=kinds)
    history: list[Piece] = []
    X, weight = table.X, table.weights
    if model is not None and not stream.is_open:
        model.check_known(X, names)
    # Rows of a frame are put together tile by tile.
    most = CHUNK_ROWS if isinstance(X, FrameTable) else len(X)
    start = 0
    while start < len(X):
        room = stream.memory.capacity - stream.memory.n if stream.is_open else most
        part = slice(start, start + max(1, room))
        rows, row_weight = X[part], weight[part]
        start = part.stop
        model, stream, records = _learn_rows(
            estimator, model, stream, rows, row_weight, table.schema
        )
        history += records
    assert model is not None
    return model, stream, history


def _learn_rows(estimator, model, stream, X, weight, schema):
    seen = stream.memory.weight_seen
    stream = replace(stream, memory=stream.memory.added(X, weight))
    if model is None and not stream.is_open:
        # A circuit made by hand needs no look at the data but for its start values.
        rng = np.random.default_rng(stream.seed)
        model = draw_model(estimator, _remembered(stream, schema), rng)
    if model is None or (stream.is_open and stream.memory.n >= stream.refit_at):
        return _learn_anew(estimator, model, stream, X, weight, schema)
    try:
        model.check_known(X)
    except UnknownCategoryError:
        return _learn_anew(estimator, model, stream, X, weight, schema)
    result = learn_stream(
        model.backend,
        model.learnt,
        model.open_batch,
        resolve_solver(estimator.solver),
        X,
        weight,
        encode=model.encoder.transform,
        log_units=model.encoder.log_jacobian,
        # The same for all rows: what a batch is must not depend on the chunks.
        batch_size=default_batch_size(estimator.batch_size, sys.maxsize),
        smoothing=model.smoothing(estimator.alpha),
        read_out=model.read_out,
        weight_seen=seen,
    )
    new = replace(model, learnt=result.learnt, open_batch=result.batch)
    return new, stream, result.history


def _learn_anew(estimator, model, stream, X, weight, schema):
    """Structure, encoding and parameters from all rows of the buffer."""
    rng = np.random.default_rng(stream.seed)
    table = canonical(estimator, _remembered(stream, schema))
    new, result = fit_table(estimator, table, rng, rows_to_come=stream.memory.capacity)
    if result.interrupted:
        raise KeyboardInterrupt
    surprise = result.history[0].train
    if model is not None:
        with suppress(UnknownCategoryError):
            surprise = float(np.average(model.scores(X), weights=weight))
    n = stream.memory.n
    stream = replace(
        stream,
        is_open=n < stream.memory.capacity,
        refit_at=min(2 * n, stream.memory.capacity),
    )
    return new, stream, [Piece(surprise, float(weight.sum()))]


def _remembered(stream: Stream, schema: FrameSchema | None) -> Table:
    return Table(stream.memory.X, stream.memory.sample_weight, stream.kinds, schema)
