"""From a checked table to everything that a fitted estimator knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..backends import Backend
from ..circuit import Circuit, Parameters, Program, Statistics
from ..distributions import Gaussian
from ..solvers import EM, Solver, SolverState, resolve_solver
from ..structures import Structure, learns_parameters, resolve_structure
from ..structures.row_sample import stratified_row_sample
from ..training import (
    ArraySource,
    Learnt,
    Monitor,
    OpenBatch,
    ReadOut,
    ToLearn,
    TrainingResult,
    covariance_shrinkage,
    default_batch_size,
    default_passes,
    initial_parameters,
    leaf_priors,
    refining_passes,
    smoothing_statistics,
    train,
)
from .columns import chunks
from .devices import PRODUCTS, make_backend, resolve_device
from .encoding import IdentityEncoder, TableEncoder
from .leaf_choice import Leaf, named_leaves
from .tables import Table, merged_rows

#: float64 is used while rows times edges stay below this: about a second of work.
FLOAT64_WORK = 2e7
#: Most rows that are encoded for a structure to learn from: 0.8 MB a column in float64. Tables
#: that need no encoding are seen whole.
STRUCTURE_ROWS = 100_000
#: Most cells that are encoded once, in 16 MB, and not batch by batch again in every epoch.
FEW_CELLS = 1 << 21
#: Most rows that are looked through for equal ones.
MERGED_ROWS = 1 << 13
#: Most rows that the distributions of single columns are taken from.
PRIOR_ROWS = 1 << 15


@dataclass
class Model:
    """A circuit with its columns and parameters, and what is needed to go on learning.

    Attributes
    ----------
    structure : Structure, Circuit, or list of Structure
        What drew the circuit; several where their circuits are mixed.
    encoder : TableEncoder
    learnt : Learnt or ToLearn
        Parameters that scores are computed with, those that the solver goes on from (others
        where covariances are shrunk for use), and its state.
    priors : list of ndarray
        Mean parameters of the column of every leaf unit: smoothing draws towards them.
    backend : Backend
    open_batch : OpenBatch or None
        The last rows of a stream, if they do not make a whole batch yet.
    """

    structure: Structure | Circuit | list[Structure]
    encoder: TableEncoder
    learnt: Learnt | ToLearn
    priors: list[np.ndarray]
    backend: Backend
    open_batch: OpenBatch | None = None
    _unit_smoothing: Statistics | None = field(default=None, repr=False)

    @property
    def program(self) -> Program:
        """That of the parameters."""
        return self.backend.program

    @property
    def circuit(self) -> Circuit:
        """The circuit of the parameters."""
        return self.program.circuit

    @property
    def parameters(self) -> Parameters:
        """What scores are computed with."""
        return self.learnt.parameters

    @property
    def leaves(self) -> list[Leaf]:
        """Of every column; those of a circuit made by hand are what it has."""
        if not isinstance(self.encoder, IdentityEncoder):
            return self.encoder.leaves
        found = {v: node.distribution for node in self.circuit.inputs for v in node.variables}
        nothing = Leaf(Gaussian(), "not in the circuit")
        every = range(self.circuit.n_variables)
        return [Leaf(found[v], "made by hand") if v in found else nothing for v in every]

    def on_device(self, device: str, n_jobs: int | None, dtype: str) -> Model:
        """Itself or, where its backend computes elsewhere, the same on the device asked for.

        Of the ``dtype`` of an estimator only what it learns with there is new.
        """
        device = resolve_device(device, self.program)
        self.backend.n_jobs = n_jobs
        if device == self.backend.device:
            return self
        values = self.backend.dtype.name
        backend = make_backend(self.program, values, n_jobs, device, PRODUCTS.get(dtype))
        batch = self.open_batch
        if batch is not None:
            # What it has computed with the backend before, it computes again.
            batch = OpenBatch(batch.shown, batch.parameters, batch.state, backend, batch.statistics)
        return replace(self, backend=backend, open_batch=batch)

    def smoothing(self, alpha: float) -> Callable[[float], Statistics]:
        """From the weight of the data to the pseudocount as evidence."""
        if self._unit_smoothing is None:
            self._unit_smoothing = smoothing_statistics(self.program, 1.0, 1.0, self.priors)
        unit = self._unit_smoothing
        return lambda total_weight: unit.scaled(alpha / total_weight)

    @property
    def read_out(self) -> Callable[[float], ReadOut | None]:
        """From the weight of the data to the rule by which parameters are read out."""
        return partial(covariance_shrinkage, self.program, self.priors)

    def check_known(self, X: np.ndarray, names: Any = None) -> None:
        """Refuse values never seen where ``handle_unknown="error"``, before work begins."""
        if self.encoder.handle_unknown == "error":
            for part in chunks(len(X)):
                self.encoder.transform(X[part], part.start, names)

    def scores(self, X: Any, names: Any = None) -> np.ndarray:
        """Log density of every row in the user's units, nats.

        Parameters
        ----------
        X : ndarray or FrameTable of shape (n, n_columns)
            Checked, not encoded.
        names : array of str, optional
            Names of the columns, for error messages.

        Returns
        -------
        ndarray of shape (n,), float64
        """
        out = np.empty(len(X))
        for part in chunks(len(X)):
            cells = X[part]
            rows = self.encoder.transform(cells, part.start, names)
            out[part] = self.backend.log_likelihood(self.parameters, rows)
            out[part] += self.encoder.log_jacobian(cells)
            if cells.dtype.kind == "f":
                # The sum over everything is one, whatever was rounded on the way.
                out[part][np.isnan(cells).all(axis=1)] = 0.0
        return out

    def __getstate__(self):
        return vars(self) | {"_unit_smoothing": None}


#: Called with number, n_init, max_iter, the Model and the rows it learns from before every start.
Begins = Callable[[int, int, int, Model, int], Monitor]


def canonical(estimator: Any, table: Table) -> Table:
    """The table as it is, or with equal rows merged where every pass over it is one batch."""
    n = len(table.X)
    whole = learning_solver(estimator).full_batch
    if n > MERGED_ROWS or not (whole or n <= default_batch_size(estimator.batch_size, n)):
        return table
    return merged_rows(table)


def draw_model(
    estimator: Any,
    table: Table,
    rng: np.random.Generator,
    *,
    rows_to_come: int = 0,
    structure: Any = None,
    encoder: TableEncoder | None = None,
) -> Model:
    """Encoding, structure and start values for a table, by the estimator's arguments.

    Parameters
    ----------
    estimator : PCDensityEstimator
    table : Table
    rng : numpy.random.Generator
    rows_to_come : int, default=0
        Rows that are expected at least, for the choice of the precision.
    structure : Structure or Circuit, optional
        Instead of the estimator's.
    encoder : TableEncoder, optional
        One that has seen the table.

    Returns
    -------
    Model
    """
    X, weight, kinds, schema = table
    solver = resolve_solver(estimator.solver)
    structure = estimator.structure if structure is None else structure
    by_hand = isinstance(structure, Circuit)
    if by_hand:
        solver.check_circuit(structure)
    structure = structure if by_hand else resolve_structure(structure)
    if encoder is None:
        names = None if schema is None else [column.name for column in schema.columns]
        encoder = (IdentityEncoder if by_hand else TableEncoder)(estimator.handle_unknown)
        encoder.fit(
            X,
            weight,
            categorical_mask(estimator.categorical_features, X.shape[1], names),
            kinds,
            numbers_only=estimator.categorical_features is None,
            schema=schema,
            leaves=named_leaves(estimator.leaves, X.shape[1], names),
            names=names,
            alike=not by_hand and structure.shares_columns,
        )
    circuit = structure
    if not by_hand:
        most = len(X) if encoder.passes_through(X) else STRUCTURE_ROWS
        rows, row_weight = some_rows(X, weight, most, rng)
        rows = encoder.transform(rows)
        name = type(structure).__name__
        if estimator.verbose:
            print(f"{name}: drawing a circuit from {len(rows)} rows of {rows.shape[1]} columns")
        if structure.reads_numbers:
            rows = encoder.within_reach(rows)
        # Threads would share out products of small matrices, and round them differently.
        with library_threads(1 if structure.reads_numbers else estimator.n_jobs):
            circuit = structure.build(
                rows,
                encoder.distributions,
                n_components=estimator.n_components,
                sample_weight=row_weight,
                random_state=int(rng.integers(2**31)),
            )
        solver.check_circuit(circuit)
    program = Program(circuit)
    if estimator.verbose and not by_hand:
        print(f"{name}: {program.n_weights} weights, {sum(program.family_units)} leaves")
    dtype = _dtype(estimator.dtype, program, max(len(X), rows_to_come))
    device = resolve_device(estimator.device, program)
    products = PRODUCTS.get(estimator.dtype)
    backend = make_backend(program, dtype, estimator.n_jobs, device, products)
    rows, row_weight = some_rows(X, weight, PRIOR_ROWS, rng)
    priors = leaf_priors(program, encoder.within_reach(encoder.transform(rows)), row_weight)
    parameters = initial_parameters(program, estimator.init_params, priors, rng)
    return Model(structure, encoder, Learnt(parameters, parameters, SolverState()), priors, backend)


def fit_model(
    estimator: Any,
    model: Model,
    table: Table,
    rng: np.random.Generator,
    *,
    goes_on: bool = False,
    begins: Begins | None = None,
) -> tuple[Model, TrainingResult]:
    """Learn the parameters of a model from a table.

    Parameters
    ----------
    estimator : PCDensityEstimator
    model : Model
        Left as it is.
    table : Table
    rng : numpy.random.Generator
    goes_on : bool, default=False
        Whether the solver goes on from its state, instead of starting ``n_init`` times.
    begins : callable, optional
        Makes the monitor of every start.

    Returns
    -------
    Model, TrainingResult
        Of the best start.

    Raises
    ------
    KeyboardInterrupt
        If no epoch was finished before; later ones only end the training, with a warning.
    """
    solver = learning_solver(estimator)
    refines = learns_parameters(estimator.structure)
    learn, validation = _split(estimator, table, model.encoder, rng)
    smoothing = model.smoothing(estimator.alpha)(learn.total_weight)
    n_init = 1 if goes_on else estimator.n_init
    if refines:
        max_iter = refining_passes(estimator.max_iter)
    else:
        max_iter = default_passes(estimator.max_iter, learn.n_rows, solver)
    best: TrainingResult | None = None
    for number in range(1, n_init + 1):
        parameters = model.learnt.raw
        if number > 1:
            parameters = initial_parameters(model.program, estimator.init_params, model.priors, rng)
        try:
            result = train(
                model.backend,
                parameters,
                learn,
                solver,
                state=model.learnt.state if goes_on else None,
                smoothing=smoothing,
                batch_size=default_batch_size(estimator.batch_size, learn.n_rows),
                max_iter=max_iter,
                tol=estimator.tol,
                n_iter_no_change=estimator.n_iter_no_change,
                validation=validation,
                rng=rng,
                monitor=None
                if begins is None
                else begins(number, n_init, max_iter, model, learn.n_rows),
                read_out=model.read_out(learn.total_weight),
            )
        except KeyboardInterrupt:
            if best is None:
                raise
            best.interrupted = True
            break
        interrupted = result.interrupted
        if best is None or result.log_likelihood > best.log_likelihood:
            best = result
        best.interrupted = interrupted
        if interrupted:
            break
    assert best is not None
    best.converged |= refines and estimator.solver == "anemone"
    best.converged &= not best.interrupted
    learnt = Learnt(best.parameters, best.raw, best.state)
    return replace(model, learnt=learnt, open_batch=None), best


def learning_solver(estimator: Any) -> Solver:
    """The estimator's solver; EM instead of the default one for a structure that brings learnt
    parameters, which large first steps would undo."""
    if estimator.solver == "anemone" and learns_parameters(estimator.structure):
        return EM()
    return resolve_solver(estimator.solver)


@contextmanager
def library_threads(n_jobs: int | None) -> Iterator[None]:
    """Linear algebra takes no more threads than the estimator may."""
    from ..backends.numba_cpu.lanes import allowed_threads

    if n_jobs is None and allowed_threads(None) > 1:
        yield
        return
    with threadpool_limits(limits=allowed_threads(n_jobs), user_api="blas"):
        yield


def categorical_mask(
    named: Any, n_columns: int, names: list[Any] | None = None
) -> np.ndarray | None:
    """The columns that ``categorical_features`` names; None where dtypes decide."""
    if isinstance(named, str):
        return None
    asked = np.asarray([] if named is None else named)
    if names is not None and asked.ndim == 1 and asked.dtype.kind in "UO":
        unknown = [name for name in asked.tolist() if name not in names]
        if unknown:
            raise ValueError(
                f"categorical_features names the column {unknown[0]!r}, which X does not have; "
                f"give names of its columns, which begin with {names[:5]}."
            )
        return np.isin(np.array(names, dtype=object), asked.astype(object))
    if asked.dtype == bool:
        if asked.shape != (n_columns,):
            raise ValueError(
                f"categorical_features is a mask of shape {asked.shape}; X has {n_columns} columns."
            )
        return asked
    mask = np.zeros(n_columns, dtype=bool)
    if asked.ndim != 1 or (
        asked.size and (asked.dtype.kind not in "iu" or asked.min() < 0 or asked.max() >= n_columns)
    ):
        raise ValueError(
            f"categorical_features={named!r} must hold column numbers from 0 to "
            f"{n_columns - 1}, or be a mask of {n_columns} booleans."
        )
    mask[asked.astype(np.intp)] = True
    return mask


def some_rows(X, weight, most: int, rng: np.random.Generator):
    """At most ``most`` rows, drawn by weight, and how often each was drawn; or all of them."""
    if len(X) <= most:
        return X[:], weight
    seed = np.random.RandomState(int(rng.integers(2**31)))
    draws = stratified_row_sample(np.ones(len(X)) if weight is None else weight, most, seed)
    drawn = np.flatnonzero(draws)
    return X[drawn], draws[drawn]


def held_out(weights: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """The part of every row's weight that is held out, about ``share`` of all.

    Points are spread evenly over the weight, each for the mean weight of a row; so a row that
    stands for many is held out in part, as if it were repeated. One row at least is held out,
    and one kept.

    Parameters
    ----------
    weights : ndarray of shape (n,)
        At least two rows.
    share : float
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (n,)
    """
    n = len(weights)
    n_points = min(max(1, round(share * n)), n - 1)
    seed = np.random.RandomState(int(rng.integers(2**31)))
    points = stratified_row_sample(weights, n_points, seed)
    held = np.minimum(points * (weights.sum() / n), weights)
    if (held == weights).all():
        held[rng.integers(n)] = 0.0
    return held


def _split(estimator, table, encoder, rng):
    """Sources of the rows to learn from, and of those held out."""
    if not estimator.early_stopping or len(table.X) < 2:
        return _source(table.X, table.sample_weight, encoder, None), None
    weights = table.weights
    held = held_out(weights, estimator.validation_fraction, rng)
    return tuple(
        _source(table.X, part, encoder, np.flatnonzero(part)) for part in (weights - held, held)
    )


def _source(X, weight, encoder, index):
    few = X.shape[0] * X.shape[1] <= FEW_CELLS
    rows, encode = (encoder.transform(X[:]), None) if few else (X, encoder.transform)
    source = ArraySource(rows, weight, encode, index)
    total = 0.0
    for part in chunks(source.n_rows):
        rows = part if index is None else index[part]
        units = encoder.log_jacobian(X[rows])
        total += float(units.sum() if weight is None else units @ weight[rows])
    source.log_units = total / source.total_weight
    return source


def _dtype(asked: str, program: Program, n_rows: int) -> str:
    if asked != "auto":
        return "float32" if asked in PRODUCTS else asked
    small = n_rows * max(1, program.n_weights) <= FLOAT64_WORK
    return "float64" if small else "float32"
