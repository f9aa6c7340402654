"""The density estimator: probabilistic circuits with scikit-learn's methods."""

from __future__ import annotations

import os
import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ..circuit import Circuit, Parameters
from ..distributions import Distribution
from ..inference.sample import Sampler
from ..solvers import SOLVERS, Solver, resolve_solver
from ..structures import Structure, learns_parameters
from ..training import EpochRecord
from ..utils.nested_settings import refuse_settings_of_names
from ..utils.sklearn_compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
    validate_params,
    with_callbacks,
)
from .columns import chunks
from .curvature import CurvatureMixin
from .devices import check_device
from .fitting import Model, canonical, fit_model, learning_solver
from .frame_schema import FrameSchema
from .frames import FrameTable
from .persistence import write_model
from .progress import FitProgress
from .stacking import fit_table
from .streaming import Stream, learn_chunk, new_stream
from .tables import check_rows, check_table, columns_kept, words_named
from .thresholds import DecisionMixin, Threshold

#: Pieces of a stream that ``history_`` keeps.
MOST_RECORDS = 10_000


def _streams(estimator: PCDensityEstimator) -> bool:
    """Whether there is ``partial_fit``: solver and structure learn from parts of the data."""
    if learns_parameters(estimator.structure):
        raise AttributeError(
            f"partial_fit is not available with structure={estimator.structure!r}, which learns "
            "from all rows at once. Use 'hclt' or another structure."
        )
    solver = estimator.solver
    kind = SOLVERS.get(solver) if isinstance(solver, str) else solver
    if getattr(kind, "full_batch", False) and _can_work(solver):
        others = [name for name, kind in sorted(SOLVERS.items()) if not kind.full_batch]
        raise AttributeError(
            f"partial_fit is only available with solvers that learn from batches; "
            f"solver={solver!r} needs all rows at once. Use {', '.join(map(repr, others))}."
        )
    return True


def _can_work(solver: str | Solver) -> bool:
    """Whether the settings of a solver are sound; if not, ``partial_fit`` says so itself."""
    try:
        resolve_solver(solver)
    except ValueError:
        return False
    return True


class PCDensityEstimator(
    CallbackSupportMixin, DecisionMixin, CurvatureMixin, DensityMixin, BaseEstimator
):
    """Density of a table by a probabilistic circuit.

    The circuit is a deep mixture whose likelihoods, marginals and samples are exact. Tables are
    arrays of numbers, or data frames of pandas, polars or pyarrow with columns of any kind.
    Missing cells (NaN, None, NA, null) are integrated out, in learning and in scoring.

    Parameters
    ----------
    structure : str, Structure or Circuit, default="auto"
        How the circuit is drawn from the data: a name in ``skpc.structures.STRUCTURES``, such as
        "hclt", "rat" or "hmm", an object of ``skpc.structures``, or a hand-made circuit,
        whose leaves then read the columns as they are. "auto" is "hclt" (a hidden Chow-Liu tree)
        for binary and categorical tables. With 2 to 100 continuous columns it mixes one with a
        mixture of normal distributions with full covariances, by weights learnt from rows held
        out.
    solver : str or Solver, default="anemone"
        How its parameters are learnt: "adam", "anemone", "em", "minibatch_em", "sgd",
        "sharpness_em", or an object of ``skpc.solvers``. With "learnspn", which brings parameters,
        "anemone" stands for five passes of "em".
    n_components : int, default=32
        Latent states a region of the structure: the width of the model.
    leaves : "auto", str, Distribution or dict, default="auto"
        Distributions of the columns of numbers in the circuit's leaves, as a dict from names or
        places of columns ({"age": "poisson", 3: Binomial(10)}; the others are "auto"), or one
        for all of them. Names are those of ``skpc.distributions``: "gaussian", "log_normal",
        "gamma", "beta", "poisson", "negative_binomial", "binomial", "discretised_logistic",
        "categorical", "bernoulli". "auto" takes Gaussian ones, but others for counts (unless
        other columns tell them more closely than counts can be told), for positive numbers
        (log-normal) and for numbers between 0 and 1 that ask for them;
        ``leaves_`` tells what every column got, and why. "gamma", "binomial" and
        "discretised_logistic" are only taken by name. What is given for all columns leaves
        columns that hold nothing but 0 and 1 binary, unless ``categorical_features=None``;
        "categorical" and ``Categorical(n)`` take these too. Not used with a circuit made by hand.
    categorical_features : "from_dtype", array-like of bool, int or str, or None, \
            default="from_dtype"
        Columns of numbers that hold categories: a mask, their places, or their names in a data
        frame. By default whole-number columns with few distinct values (at most 64, and at most
        a tenth of the rows or five), and those of a ``category`` dtype; ``encoder_.kinds`` says
        what was decided. Every column of a data frame has its own dtype; an array has one for
        all, so that one column of floats makes all columns floats. Columns that are not named
        and hold no values but 0 and 1 are binary. None: all columns are numbers, but for
        boolean ones, which are binary. Columns of words always hold categories: those that a
        pandas ``category`` or an ``Enum`` declares, else the different words.
    handle_unknown : {"other", "error"}, default="other"
        Values of binary and categorical columns that did not occur in training, and numbers
        that the leaves of their column cannot take, as -1 in a column of counts: "other" gives
        them a small probability, so that they look unusual; "error" refuses them.
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
    n_init : int, default=1
        Trainings from different start values, of which the best is kept: that with the highest
        likelihood of the held-out rows, or of the training rows without them.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the fitted model: structure, encoding of the columns,
        parameters and the state of the solver are kept. A solver whose step fell to the end
        goes on with its smallest step.
    structure_rows : int, default=1000
        Rows of a stream from which ``partial_fit`` learns the structure; also the most rows that
        a fitted model remembers, from which ``partial_fit`` computes ``offset_``.
    contamination : "auto" or float, default="auto"
        Where ``predict`` draws the line. A float in (0, 0.5] is the share of the training rows
        that lie below it; of new rows more may, for a model fits its training rows best.
        "auto" draws it far below most rows, at Q1 - 3 max(Q3 - Q1, 1) with the quartiles Q1
        and Q3 of their log densities in nats: of clean normal data less than one row in a
        hundred lies below.
    device : {"auto", "cpu", "cuda", "cuda:1", ..., "torch"}, default="auto"
        Where to compute. "cuda" is an NVIDIA GPU, with a number if there are several, by PyTorch
        (``pip install 'skpc[torch]'``); "torch" is PyTorch on the CPU. "auto" is the CPU, but
        a GPU if there is one and the circuit has a million weights or more. A fitted model moves
        by ``set_params(device=...)``.
    dtype : {"auto", "float32", "float64", "tf32", "bfloat16"}, default="auto"
        Precision of the values inside the circuit; "auto" is float64 for small problems, and
        lets a GPU learn with TF32 products, but not score. "tf32" and "bfloat16" need
        ``device="cuda"`` or ``"torch"``: values, sums and scores are float32, but the factors of
        the products that flows are learnt with are rounded to 11 or 8 bits, by which a GPU takes
        them several times as fast. A CPU ignores "tf32".
    n_jobs : int or None, default=None
        Threads; None uses the allowed cores, and one inside a joblib worker.
    random_state : int, RandomState instance or None, default=None
        Start values, the order of the rows, the held-out share, and samples.
    verbose : int, default=0
        1 prints a line when a circuit is to be drawn, its size, and a line an epoch. In
        scikit-learn 1.9 and newer ``set_callbacks`` takes scikit-learn's own progress bars and
        monitors.

    Attributes
    ----------
    circuit_ : Circuit
    structure_ : Structure, Circuit or list of Structure
        What drew it; several where "auto" mixes their circuits.
    encoder_ : TableEncoder
        What the columns are, and how their cells are encoded.
    leaves_ : dict
        By name or place of every column the distribution of its leaves, in the units of X, and
        why it has it.
    parameters_ : Parameters
    history_ : list of EpochRecord
        Epoch, mean log-likelihood of the training batches and of the held-out rows, nats in the
        units of X, and the weight of the rows that were learnt: their number, where no row has
        a weight of its own. ``partial_fit`` adds one record a piece, of which at least the
        last 10 000 are kept.
    n_iter_ : int
        Passes that ``fit`` made, plus pieces that ``partial_fit`` learnt.
    converged_ : bool
        Whether the watched likelihood stopped rising before ``max_iter``, or the step of the
        solver fell to its smallest value over all passes. False where a solver with a
        constant step used up its passes, after an interruption, and for streams.
    offset_ : float
        Log density below which a row is an outlier, nats; see ``contamination``.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    See Also
    --------
    sklearn.mixture.GaussianMixture : One sum over normal distributions of all columns.
    sklearn.neighbors.KernelDensity : A normal distribution around every training row.

    Notes
    -----
    Rows without any cell have the log density 0. Densities of rows with different cells missing
    are densities over different columns; compare them with care.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skpc import PCDensityEstimator
    >>> X = load_iris().data
    >>> model = PCDensityEstimator(n_components=4, random_state=0).fit(X)
    >>> model.score_samples(X[:2]).shape
    (2,)
    """

    _model: Model
    _parameter_constraints: dict = {
        "structure": [str, Structure, Circuit],
        "solver": [str, Solver],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "leaves": [str, Distribution, dict],
        "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
        "handle_unknown": [StrOptions({"other", "error"})],
        "init_params": [StrOptions({"random"}), callable, Parameters],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "structure_rows": [Interval(Integral, 1, None, closed="left")],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "device": [str],
        "dtype": [StrOptions({"auto", "float32", "float64", "tf32", "bfloat16"})],
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
        structure="auto",
        solver="anemone",
        *,
        n_components=32,
        leaves="auto",
        categorical_features="from_dtype",
        handle_unknown="other",
        init_params="random",
        batch_size="auto",
        max_iter="auto",
        tol=1e-4,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        alpha=0.3,
        n_init=1,
        warm_start=False,
        structure_rows=1000,
        contamination="auto",
        device="auto",
        dtype="auto",
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.structure = structure
        self.solver = solver
        self.n_components = n_components
        self.leaves = leaves
        self.categorical_features = categorical_features
        self.handle_unknown = handle_unknown
        self.init_params = init_params
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.alpha = alpha
        self.n_init = n_init
        self.warm_start = warm_start
        self.structure_rows = structure_rows
        self.contamination = contamination
        self.device = device
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def set_params(self, **params):
        """Set arguments of the constructor, also those of objects: ``solver__step_size``.

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
        refuse_settings_of_names(self, params, "skpc.{}s")
        return super().set_params(**params)

    # -- learning -----------------------------------------------------------------------

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Learn structure and parameters.

        An interruption by Ctrl-C ends the training with the model of the last whole epoch and a
        warning, as ``MLPClassifier`` does: a loop around ``fit`` goes on. Before the end of
        the first epoch, and after any error, the estimator stays as it was. Where "auto" mixes
        circuits, which takes four trainings, it ends all of them.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Numbers; NaN marks missing cells. Frames of pandas, polars, pyarrow and others may
            have columns of words, categories, truth values and numbers; None, NA and null are
            missing cells too.
        y : Ignored
        sample_weight : array-like of shape (n_samples,), optional
            A weight of 2 equals two rows, 0 equals absence.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For arguments and values that cannot be learnt from.
        """
        check_device(self.device, self.dtype)
        solver = learning_solver(self)
        goes_on = self.warm_start and hasattr(self, "circuit_")
        with columns_kept(self):
            if goes_on:
                self._check_goes_on(X)
            known = getattr(self, "_schema", None) if goes_on else None
            grows = None if goes_on else "sorted"
            table = check_table(self, X, sample_weight, not goes_on, known, grows)
            if goes_on:
                with words_named(table.X):
                    self._ready_model().check_known(
                        table.X, getattr(self, "feature_names_in_", None)
                    )
            random_state = check_random_state(self.random_state)
            rng = np.random.default_rng(random_state.randint(2**31))
            whole_table, table = table, canonical(self, table)
            shown = whole_table if isinstance(whole_table.X, FrameTable) else table
            progress = FitProgress(self, table, fitted_attributes, shown)
            if goes_on:
                model, result = fit_model(
                    self, self._ready_model(), table, rng, goes_on=True, begins=progress.begins
                )
            else:
                model, result = fit_table(self, table, rng, begins=progress.begins)
            stream = None
            if not solver.full_batch:
                stream = new_stream(self, table.kinds, rng, is_open=False).remembering(whole_table)
            threshold = Threshold.of_rows(model, table, self.contamination)
        self.__dict__.pop("_drawn_by", None)
        self._adopt(model, stream, threshold, table.schema)
        self.history_ = result.history
        self.n_iter_ = len(result.history)
        self.converged_ = result.converged
        if result.interrupted:
            done = f"that of epoch {result.best_epoch} of {result.max_iter}"
            if len(result.history) == result.max_iter:
                done = "made of the circuits that were finished, from four fifths of the rows"
            warnings.warn(
                f"Interrupted: the model is {done}, and usable. With warm_start=True fit goes on "
                "from it.",
                UserWarning,
                stacklevel=2,
            )
        elif not (result.converged or solver.anneals):
            warnings.warn(
                f"After {self.n_iter_} passes the likelihood still rises by more than "
                f"tol={self.tol:g} nats a row; raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=2,
            )
        progress.ends(dict(vars(self)))
        return self

    @available_if(_streams)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Learn from the next rows of a stream.

        The first ``structure_rows`` rows are kept, and structure, encoding and parameters are
        learnt anew from them whenever their number has doubled. From then on, and after
        ``fit``, structure and encoding stay as they are, with the arguments that decided over
        them (``n_components``, ``structure``, ``leaves``, ``categorical_features``,
        ``handle_unknown``), and one call is one pass over its rows with a constant step.

        Solvers and structures that need all rows at once ("em", "learnspn") have no
        ``partial_fit``; ``__cause__`` of the AttributeError says why.

        Any error or interruption leaves the estimator as it was before the call.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Numbers, or a frame as for ``fit``; NaN marks missing cells. One row is enough.
        y : Ignored
        sample_weight : array-like of shape (n_samples,), optional
            A weight of 2 equals two rows, 0 equals absence.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For arguments and values that cannot be learnt from, and arguments that were changed
            after they had decided over structure and encoding.
        """
        first = not hasattr(self, "circuit_")
        # scikit-learn looks at arguments once a fit, which takes as long as a small update.
        is_open = first or (self._stream is not None and self._stream.is_open)
        if is_open or self._arguments_read != _read_by_stream(self):
            validate_params(self)
            check_device(self.device, self.dtype)
        if not is_open:
            self._check_drawn_alike(
                "partial_fit goes on with the circuit of that fit; use a new estimator, or fit, to "
                "learn another circuit."
            )
        with columns_kept(self):
            known = None if first else getattr(self, "_schema", None)
            grows = "appearance" if first or (is_open and known is not None) else None
            table = check_table(self, X, sample_weight, first, known, grows)
            stream = self._stream_so_far(table.kinds)
            model = None if first else self._ready_model()
            with words_named(table.X):
                model, stream, pieces = learn_chunk(
                    self, model, stream, table, getattr(self, "feature_names_in_", None)
                )
        done = 0 if first else self.n_iter_
        history = [] if first else self.history_
        self._adopt(model, stream, Threshold(self.contamination), table.schema)
        new = [EpochRecord(done + i, x, None, w) for i, (x, w) in enumerate(pieces, start=1)]
        # A copy of the estimator may have the same list.
        history = history + new
        if len(history) > 2 * MOST_RECORDS:
            history = history[-MOST_RECORDS:]
        self.history_ = history
        self.n_iter_ = done + len(pieces)
        self.converged_ = False
        return self

    def _stream_so_far(self, kinds: list[str]) -> Stream:
        stream = getattr(self, "_stream", None)
        if stream is None:
            # Fitted by a solver that takes all rows at once: nothing is remembered of them.
            random_state = check_random_state(self.random_state)
            rng = np.random.default_rng(random_state.randint(2**31))
            fitted = hasattr(self, "circuit_")
            is_open = not (fitted or isinstance(self.structure, Circuit))
            stream = new_stream(self, kinds, rng, is_open)
        return stream

    def _check_drawn_alike(self, but: str) -> None:
        """What decided over a circuit that is kept must not have been changed."""
        for name, before in self._drawn_by.items():
            now = getattr(self, name)
            if not _same(before, now):
                raise ValueError(
                    f"{name} changed from {before!r} to {now!r} since the last fit, but {but}"
                )

    def _check_goes_on(self, X) -> None:
        """What warm_start keeps must not have been changed."""
        way_out = "set warm_start=False to learn a new circuit."
        self._check_drawn_alike(f"warm_start=True goes on with the circuit of that fit; {way_out}")
        try:
            check_rows(self, X)
        except ValueError as error:
            raise ValueError(
                f"{error} warm_start=True keeps the columns of the last fit; {way_out}"
            ) from error

    def _ready_model(self) -> Model:
        # Both may have been changed by set_params.
        self._model = self._model.on_device(self.device, self.n_jobs, self.dtype)
        return self._model

    def _adopt(
        self,
        model: Model,
        stream: Stream | None,
        threshold: Threshold,
        schema: FrameSchema | None,
    ) -> None:
        """Take over what was learnt; nothing in here can fail halfway."""
        # On a stream, which must be fast, the circuit is mostly the one of the call before.
        drawn_by = vars(self).get("_drawn_by")
        if drawn_by is None or model.circuit is not self.circuit_:
            drawn_by = _drawn_by(self)
        self.__dict__.update(
            fitted_attributes(model, stream, threshold, schema),
            _drawn_by=drawn_by,
            _arguments_read=_read_by_stream(self),
        )

    @property
    def parameters_(self):
        """Weights and leaves of ``circuit_``."""
        if "_model" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no parameters_ before fit.")
        return self._model.parameters

    @property
    def leaves_(self):
        """The distribution of every column's leaves, and why it has it."""
        if "_model" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no leaves_ before fit.")
        names = getattr(self, "feature_names_in_", range(self.n_features_in_))
        return dict(zip(names, self._model.leaves))

    # -- scoring ------------------------------------------------------------------------

    def score_samples(self, X):
        """Log density of every row.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            NaN marks missing cells: the density is then that of the cells that are there.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            Natural logarithms, in the units of X.
        """
        check_is_fitted(self)
        X = check_rows(self, X)
        return self._scores(X)

    def _scores(self, X) -> np.ndarray:
        with words_named(X):
            return self._ready_model().scores(X, getattr(self, "feature_names_in_", None))

    def score(self, X, y=None, sample_weight=None):
        """Mean log density of the rows, nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the mean; those of weight zero are not looked at.

        Returns
        -------
        float
        """
        check_is_fitted(self)
        if sample_weight is None:
            return float(np.mean(self.score_samples(X)))
        known = getattr(self, "_schema", None)
        table = check_table(self, X, sample_weight, False, known, learns=False)
        return float(np.average(self._scores(table.X), weights=table.weights))

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
        ndarray of shape (n_samples, n_features), or data frame
            After a data frame one of the same library, with the same columns, dtypes and
            categories.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples={n_samples!r} must be a whole number of at least 1.")
        seed = check_random_state(self.random_state if random_state is None else random_state)
        rng = np.random.default_rng(seed.randint(2**31))
        model = self._ready_model()
        sampler = Sampler(model.backend.taken(model.parameters))
        out = np.empty((int(n_samples), self.n_features_in_))
        for part in chunks(len(out)):
            with model.backend.at_work():
                drawn = sampler.draw(part.stop - part.start, rng)
            out[part] = self.encoder_.inverse_transform(drawn)
        return out if self._schema is None else self._schema.to_frame(out)

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
            "frame": None if self._schema is None else self._schema.to_plain(),
            "history": [list(record) for record in self.history_],
            "n_iter": self.n_iter_,
            "converged": bool(self.converged_),
            "offset": self.offset_,
            "contamination": _plain(self._threshold.contamination),
            "dtype": self._model.backend.dtype.name,
        }
        params = self.get_params(deep=False)
        write_model(path, self._ready_model(), self._stream, fitted, params)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def fitted_attributes(
    model: Model, stream: Stream | None, threshold: Threshold, schema: FrameSchema | None
) -> dict[str, Any]:
    """What a fitted estimator has beside its history."""
    return {
        "structure_": model.structure,
        "circuit_": model.circuit,
        "encoder_": model.encoder,
        "_model": model,
        "_stream": stream,
        "_threshold": threshold,
        "_schema": schema,
    }


def _drawn_by(estimator: PCDensityEstimator) -> dict[str, Any]:
    """The arguments that decide over the circuit; later changes of objects do not reach them."""
    names = ("n_components", "structure", "leaves", "categorical_features", "handle_unknown")
    values = {name: getattr(estimator, name) for name in names}
    return {
        name: value if isinstance(value, Circuit) else clone(value, safe=False)
        for name, value in values.items()
    }


def _same(one: Any, other: Any) -> bool:
    """Whether two arguments of a constructor mean the same."""
    if isinstance(one, BaseEstimator) and type(one) is type(other):
        mine, others = one.get_params(deep=False), other.get_params(deep=False)
        return all(_same(value, others[name]) for name, value in mine.items())
    if isinstance(one, str | Circuit | BaseEstimator) or isinstance(other, str | Circuit):
        return one is other or (isinstance(one, str) and one == other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


def _plain(number: Any) -> Any:
    return number if isinstance(number, str) else float(number)


def _read_by_stream(estimator: PCDensityEstimator) -> tuple:
    """The arguments that ``partial_fit`` of a fitted estimator reads, but for the solver."""
    return estimator.alpha, estimator.batch_size, estimator.contamination, estimator.device
