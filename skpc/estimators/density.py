"""The density estimator: probabilistic circuits with scikit-learn's methods."""

from __future__ import annotations

import os
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from ..circuit import Circuit, Parameters, Program
from ..inference import sample
from ..solvers import Solver, resolve_solver
from ..structures import Structure, resolve_structure
from ..structures.row_sample import stratified_row_sample
from ..training import (
    ArraySource,
    EpochRecord,
    default_batch_size,
    default_passes,
    initial_parameters,
    leaf_priors,
    smoothing_statistics,
    train,
)
from .encoding import IdentityEncoder, TableEncoder
from .persistence import damage_named, read_file, rebuild_parts, write_model
from .tables import CHUNK_ROWS, check_rows, column_kinds, column_name

#: float64 is used while rows times edges stay below this: about a second of work.
FLOAT64_WORK = 2e7
#: Most rows that are encoded for a structure to learn from: 0.8 MB a column in float64. Tables
#: that need no encoding are seen whole.
STRUCTURE_ROWS = 100_000
#: Most rows that the distributions of single columns are taken from.
PRIOR_ROWS = 1 << 15


class PCDensityEstimator(DensityMixin, BaseEstimator):
    """Density of a table by a probabilistic circuit.

    The circuit is a deep mixture whose likelihoods, marginals and samples are exact. Missing
    cells (NaN) are integrated out, in learning and in scoring.

    Parameters
    ----------
    structure : {"hclt"}, Structure or Circuit, default="hclt"
        How the circuit is drawn from the data: a name, an object of ``skpc.structures``, or
        a hand-made circuit, whose leaves then read the columns as they are.
    solver : {"anemone", "em", "minibatch_em"} or Solver, default="anemone"
        How its parameters are learnt.
    n_components : int, default=32
        Latent states a region of the structure: the width of the model.
    categorical_features : "from_dtype", array-like of bool or int, or None, \
            default="from_dtype"
        Columns that hold categories. By default whole-number columns with at most 64
        distinct values, and columns of a pandas ``category`` dtype with numeric
        categories. Every column of a data frame has its own dtype; an array has one for all,
        so that one column of floats makes all columns floats. Columns that are not
        named and hold no values but 0 and 1 are binary: other values in a later table are
        an error where the dtype is whole or boolean, and merely unusual where it is
        float. None: all columns are numbers, but for boolean ones, which are binary.
    init_params : {"random"}, callable or Parameters, default="random"
        Start values. A callable is called as ``init_params(program, leaf_priors, rng)`` with
        the Program of the circuit, a list with the mean parameters of the column of every
        leaf unit, and a numpy Generator, and returns Parameters of that program.
    batch_size : int or "auto", default="auto"
        Rows between two updates. "auto": an eighth of the rows, but between 32 and 256.
    max_iter : int or "auto", default="auto"
        Passes over the data. "auto": 50, fewer above 50 000 rows (2.5 million rows in all,
        but at least 4 passes); 100 for solvers that take all rows at once.
    tol : float, default=1e-4
        Smallest rise of the mean log-likelihood, in nats a row, that counts as one. Of the
        held-out rows with ``early_stopping``; else of the training rows, and then only for
        solvers with a constant step ("em"), for others make all passes.
    early_stopping : bool, default=False
        Whether rows are held out, training stops when their likelihood stops rising, and
        the best parameters are kept. Off, the step falls to its smallest value over all
        passes and every row is learnt from; on four tables of numbers that ended better.
    validation_fraction : float, default=0.1
        Share of the rows that is held out.
    n_iter_no_change : int, default=10
        Passes without a rise after which training ends; used where ``tol`` is.
    alpha : float, default=0.3
        Pseudocount in rows, spread over the children of every unit.
    device : {"auto", "cpu"}, default="auto"
        Where to compute.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Precision of the values inside the circuit; "auto" is float64 for small problems.
    n_jobs : int or None, default=None
        Threads; None uses the allowed cores, and one inside a joblib worker.
    random_state : int, RandomState instance or None, default=None
        Start values, the order of the rows, the held-out share, and samples.
    verbose : int, default=0
        1 prints a line an epoch.

    Attributes
    ----------
    circuit_ : Circuit
    structure_ : Structure or Circuit
        What drew it.
    parameters_ : Parameters
    history_ : list of EpochRecord
        Epoch, mean log-likelihood of the training batches and of the held-out rows, nats.
    n_iter_ : int
        Passes made.
    converged_ : bool
        Whether the watched likelihood stopped rising before ``max_iter``, or the step of the
        solver fell to its smallest value over all passes. False where a solver with a
        constant step used up its passes.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skpc import PCDensityEstimator
    >>> X = load_iris().data
    >>> model = PCDensityEstimator(n_components=4, random_state=0).fit(X)
    >>> model.score_samples(X[:2]).shape
    (2,)
    """

    _parameter_constraints: dict = {
        "structure": [str, Structure, Circuit],
        "solver": [str, Solver],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
        "init_params": [StrOptions({"random"}), callable, Parameters],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "device": [StrOptions({"auto", "cpu"})],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "n_jobs": [
            Interval(Integral, None, -1, closed="right"),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        structure="hclt",
        solver="anemone",
        *,
        n_components=32,
        categorical_features="from_dtype",
        init_params="random",
        batch_size="auto",
        max_iter="auto",
        tol=1e-4,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        alpha=0.3,
        device="auto",
        dtype="auto",
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.structure = structure
        self.solver = solver
        self.n_components = n_components
        self.categorical_features = categorical_features
        self.init_params = init_params
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.alpha = alpha
        self.device = device
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # -- learning -----------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Learn structure and parameters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers; NaN marks missing cells.
        y : Ignored
        sample_weight : array-like of shape (n_samples,), optional
            A weight of 2 equals two rows, 0 equals absence.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For values that cannot be learnt from; the estimator stays as it was.
        """
        before = dict(vars(self))
        try:
            return self._fit(X, sample_weight)
        except BaseException:
            # The check of X has already written the number and the names of its columns.
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _fit(self, X, sample_weight):
        solver = resolve_solver(self.solver)
        by_hand = isinstance(self.structure, Circuit)
        structure = self.structure if by_hand else resolve_structure(self.structure)
        kinds = column_kinds(X)
        X = check_rows(self, X, reset=True)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
            used = weight > 0
            if not used.any():
                raise ValueError("sample_weight is zero for every row; one must be positive.")
            if not used.all():
                X, weight = X[used], weight[used]
        if by_hand and structure.n_variables != X.shape[1]:
            raise ValueError(
                f"X has {X.shape[1]} columns, but the circuit given as structure is over "
                f"{structure.n_variables}."
            )
        if by_hand:
            self._check_leaves(structure, X)
        random_state = check_random_state(self.random_state)
        rng = np.random.default_rng(random_state.randint(2**31))
        encoder = IdentityEncoder() if by_hand else TableEncoder()
        encoder.fit(
            X,
            weight,
            self._categorical_mask(X.shape[1]),
            kinds,
            numbers_only=self.categorical_features is None,
        )
        circuit = structure
        if not by_hand:
            most = len(X) if encoder.passes_through(X) else STRUCTURE_ROWS
            rows, row_weight = _some_rows(X, weight, most, rng)
            circuit = structure.build(
                encoder.transform(rows),
                encoder.distributions,
                n_components=self.n_components,
                sample_weight=row_weight,
                random_state=int(rng.integers(2**31)),
            )
        program = Program(circuit)
        learn, validation = self._split(X, weight, encoder, rng)
        backend = self._make_backend(program, self._resolve_dtype(program, len(X)))
        rows, row_weight = _some_rows(X, weight, PRIOR_ROWS, rng)
        priors = leaf_priors(program, encoder.transform(rows), row_weight)
        parameters = initial_parameters(program, self.init_params, priors, rng)
        result = train(
            backend,
            parameters,
            learn,
            solver,
            smoothing=smoothing_statistics(program, self.alpha, learn.total_weight, priors),
            batch_size=default_batch_size(self.batch_size, learn.n_rows),
            max_iter=default_passes(self.max_iter, learn.n_rows, solver),
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            validation=validation,
            rng=rng,
            callback=_print_epoch if self.verbose else None,
        )
        self.structure_ = structure
        self.circuit_ = circuit
        self.encoder_ = encoder
        self.parameters_ = result.parameters
        self.history_ = result.history
        self.n_iter_ = len(result.history)
        self.converged_ = result.converged
        self._dtype = backend.dtype.name
        self._backend = backend
        return self

    def _categorical_mask(self, n_columns: int) -> np.ndarray | None:
        named = self.categorical_features
        if isinstance(named, str):
            return None
        named = np.asarray([] if named is None else named)
        if named.dtype == bool:
            if named.shape != (n_columns,):
                raise ValueError(
                    f"categorical_features is a mask of shape {named.shape}; X has {n_columns} "
                    "columns."
                )
            return named
        mask = np.zeros(n_columns, dtype=bool)
        if named.size and (
            named.dtype.kind not in "iu" or named.min() < 0 or named.max() >= n_columns
        ):
            raise ValueError(
                f"categorical_features={self.categorical_features!r} must hold column numbers "
                f"from 0 to {n_columns - 1}, or be a mask of {n_columns} booleans."
            )
        mask[named.astype(np.intp)] = True
        return mask

    def _split(self, X, weight, encoder, rng):
        """Sources of the rows to learn from, and of those held out."""
        if not self.early_stopping or len(X) < 2:
            return ArraySource(X, weight, encoder.transform), None
        order = rng.permutation(len(X))
        n_held = min(max(1, round(self.validation_fraction * len(X))), len(X) - 1)
        held, kept = np.sort(order[:n_held]), np.sort(order[n_held:])
        return (
            ArraySource(X, weight, encoder.transform, kept),
            ArraySource(X, weight, encoder.transform, held),
        )

    def _check_leaves(self, circuit: Circuit, X: np.ndarray) -> None:
        """Refuse cells that the leaves of a hand-made circuit cannot take."""
        for variable, family in {(leaf.variable, leaf.distribution): 0 for leaf in circuit.inputs}:
            try:
                family.validate(X[:, variable])
            except ValueError as error:
                raise ValueError(f"Column {column_name(self, variable)!r}: {error}") from error

    def _resolve_dtype(self, program: Program, n_rows: int) -> str:
        if self.dtype != "auto":
            return self.dtype
        small = n_rows * max(1, program.n_weights) <= FLOAT64_WORK
        return "float64" if small else "float32"

    def _make_backend(self, program: Program, dtype: str):
        from ..backends.numba_cpu import NumbaBackend

        return NumbaBackend(program, np.dtype(dtype), self.n_jobs)

    # -- scoring ------------------------------------------------------------------------

    def score_samples(self, X):
        """Log density of every row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            NaN marks missing cells: the density is then that of the cells that are there.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            Natural logarithms, in the units of X.
        """
        check_is_fitted(self)
        X = check_rows(self, X, reset=False)
        out = np.empty(len(X))
        backend = self._ready_backend()
        for start in range(0, len(X), CHUNK_ROWS):
            part = X[start : start + CHUNK_ROWS]
            rows = self.encoder_.transform(part)
            out[start : start + CHUNK_ROWS] = backend.log_likelihood(
                self.parameters_, rows
            ) + self.encoder_.log_jacobian(part)
        return out

    def score(self, X, y=None):
        """Mean log density of the rows, nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        float
        """
        return float(np.mean(self.score_samples(X)))

    # -- other queries --------------------------------------------------------------------

    def sample(self, n_samples=1, random_state=None):
        """Draw new rows.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None
            None uses the estimator's.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples={n_samples!r} must be a whole number of at least 1.")
        seed = check_random_state(self.random_state if random_state is None else random_state)
        rng = np.random.default_rng(seed.randint(2**31))
        out = np.empty((int(n_samples), self.n_features_in_))
        for start in range(0, len(out), CHUNK_ROWS):
            part = out[start : start + CHUNK_ROWS]
            part[:] = self.encoder_.inverse_transform(sample(self.parameters_, len(part), rng))
        return out

    # -- files ------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted model to a file that :func:`skpc.load` reads.

        The format is safetensors with a JSON header: no code is stored. Arguments of the
        constructor that it cannot hold (a callable, a RandomState, a structure or solver of
        your own class) come back as defaults, of which a UserWarning tells.

        Parameters
        ----------
        path : str or path-like
        """
        check_is_fitted(self)
        fitted = {
            "n_features_in": self.n_features_in_,
            "feature_names_in": list(getattr(self, "feature_names_in_", [])),
            "history": [list(record) for record in self.history_],
            "converged": bool(self.converged_),
            "dtype": self._dtype,
        }
        params = self.get_params(deep=False)
        write_model(path, self.parameters_, self.encoder_, fitted, params)

    def _restore(self, parameters: Parameters, encoder: TableEncoder, fitted: dict) -> None:
        self.parameters_ = parameters
        self.circuit_ = parameters.program.circuit
        self.structure_ = self.circuit_
        self.encoder_ = encoder
        self.n_features_in_ = fitted["n_features_in"]
        if fitted["feature_names_in"]:
            self.feature_names_in_ = np.array(fitted["feature_names_in"], dtype=object)
        self.history_ = [EpochRecord(*record) for record in fitted["history"]]
        self.n_iter_ = len(self.history_)
        self.converged_ = fitted["converged"]
        self._dtype = fitted["dtype"]

    def __getstate__(self):
        state = dict(super().__getstate__())
        state.pop("_backend", None)
        return state

    def _ready_backend(self):
        """The backend, made again after loading."""
        if getattr(self, "_backend", None) is None:
            self._backend = self._make_backend(self.parameters_.program, self._dtype)
        # It may have been changed by set_params.
        self._backend.n_jobs = self.n_jobs
        return self._backend

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def load(path: str | os.PathLike) -> PCDensityEstimator:
    """Read an estimator that ``save`` wrote.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    PCDensityEstimator

    Raises
    ------
    ValueError
        If the file was not written by skpc, is damaged, or is of a newer format.

    Examples
    --------
    >>> import os, tempfile, skpc
    >>> from sklearn.datasets import load_iris
    >>> model = skpc.PCDensityEstimator(n_components=2, max_iter=2).fit(load_iris().data)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "iris.skpc")
    ...     model.save(path)
    ...     again = skpc.load(path)
    >>> bool((again.score_samples([[5, 3, 1, 0]]) == model.score_samples([[5, 3, 1, 0]])).all())
    True
    """
    arrays, header = read_file(path)
    with damage_named(path):
        parts = rebuild_parts(arrays, header)
        estimator = PCDensityEstimator(**parts.params)
        estimator._restore(parts.parameters, parts.encoder, parts.fitted)
    return estimator


def _some_rows(X, weight, most: int, rng: np.random.Generator):
    """At most ``most`` rows, drawn by weight, and how often each was drawn; or all of them."""
    if len(X) <= most:
        return X, weight
    seed = np.random.RandomState(int(rng.integers(2**31)))
    draws = stratified_row_sample(np.ones(len(X)) if weight is None else weight, most, seed)
    drawn = np.flatnonzero(draws)
    return X[drawn], draws[drawn]


def _print_epoch(record) -> None:
    held_out = "" if record.validation is None else f", held out {record.validation:.4f}"
    print(f"Epoch {record.epoch}: training rows {record.train:.4f}{held_out} nats")
