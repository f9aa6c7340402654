"""A user's columns as circuits read them: codes, and numbers brought to unit scale."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from ..distributions import (
    Bernoulli,
    Categorical,
    CountDistribution,
    Distribution,
    Gaussian,
    LogNormal,
    resolve_distribution,
)
from .columns import CATEGORY, NOTHING, WORDS, UnknownCategoryError, merged_kind
from .dispersion import narrower_than_counts
from .frame_schema import FrameSchema
from .leaf_choice import Leaf, choose_leaf, completed, unit_of_steps
from .scaling import REACH, robust_moments

BINARY, CATEGORICAL, CONTINUOUS, LOGARITHM, NATIVE = range(5)
#: An integer column with more distinct values than this is treated as a number, and so is one with
#: more than a tenth of its rows, but for five: 60 ages are numbers, though they have 50 values.
MAX_CATEGORIES, FEW_CATEGORIES, ROWS_A_CATEGORY = 64, 5, 10

#: Why a column has the leaves that it was given.
AS_SAID = "as leaves says"
#: Logarithms beyond which float64 has no numbers.
LARGEST_LOG = 700.0


class TableEncoder:
    """Learns how every column is encoded; rows are then encoded as they are needed.

    - *binary*: only 0 and 1 occur, and the user does not name it; the codes are the values.
    - *categorical*: columns of words, and those that the user names; where nobody names any,
      those of a ``category`` dtype and whole-number columns with few distinct values: at most
      64, and at most a tenth of the rows or five. Also columns of floats that are whole but
      for missing cells, which made them floats. One more code, the last, is kept for
      categories never seen.
    - *continuous*: (x - shift) / scale with robust float64 moments; ``log_scale`` brings
      densities back to the user's units.
    - *logarithm*: the same of log x, for log-normal leaves.
    - *native*: the values as they are, or less a shift, for other leaves.

    Parameters
    ----------
    handle_unknown : {"other", "error"}, default="other"
        Whether values of binary and categorical columns that ``fit`` has not seen are taken as
        unusual, or refused.

    Attributes
    ----------
    kinds : ndarray of shape (n_columns,)
    categories : list of ndarray or None
        Categories of every categorical column: sorted, or in the order of their schema.
    shift, scale : ndarray of shape (n_columns,)
    open_share : ndarray of shape (n_columns,)
        Probability eps = 1 / ((W + 1) (W + 2)) that a column, seen in rows of weight W, takes a
        value that its leaves cannot take, as 2 where all were 0 or 1, or 0 where all were
        positive: that of a first exception, 1 / (W + 2), times the belief that the column has
        any, 1 / (W + 1) after W rows without one. Such a cell is marginalised in the circuit
        and scored log(eps), and all other cells log(1 - eps) more. Zero for columns that take
        any value.
    width : ndarray of shape (n_columns,)
        Robust standard deviation in the user's units. Numbers that the leaves of a column of
        numbers cannot take have the density of a Cauchy variable of this scale times eps.
    distributions : list of Distribution
        Of the encoded columns.
    leaves : list of Leaf
        What every column has in the user's units, and why.
    """

    def __init__(self, handle_unknown: str = "other") -> None:
        self.handle_unknown = handle_unknown

    categories: list[np.ndarray | None]
    leaves: list[Leaf]

    def fit(
        self,
        X: np.ndarray,
        sample_weight: np.ndarray | None = None,
        categorical: np.ndarray | None = None,
        kinds: list[str] | None = None,
        numbers_only: bool = False,
        schema: Any = None,
        leaves: dict[int, str | Distribution] | str | Distribution = "auto",
        names: Any = None,
        alike: bool = False,
    ) -> TableEncoder:
        """Look at every column once.

        Parameters
        ----------
        X : ndarray or FrameTable of shape (n, n_columns)
        sample_weight : ndarray of shape (n,), optional
        categorical : boolean ndarray of shape (n_columns,), optional
            The columns the user names; None where their dtypes decide.
        kinds : list of str, optional
            Kind of every column, see ``columns``; by default the dtype kind of X.
        numbers_only : bool, default=False
            Whether all columns but words, boolean ones and those named are numbers.
        schema : FrameSchema, optional
            Which categories were declared, and in which order they are.
        leaves : dict, str or Distribution, default="auto"
            What the leaves of columns shall be, by number; or of all columns of numbers.
        names : list of str, optional
            Of the columns, for error messages.
        alike : bool, default=False
            Whether all columns have one encoding, learnt from the cells of all of them.

        Raises
        ------
        ValueError
            For a column that cannot have the leaves that it is given, and if columns that should
            be encoded alike are of different kinds.
        """
        n_columns = X.shape[1]
        kinds = [X.dtype.kind] * n_columns if kinds is None else kinds
        if alike and n_columns > 1:
            return self._fit_alike(
                X, sample_weight, categorical, kinds, numbers_only, schema, leaves, names
            )
        self._start(n_columns)
        by_column = leaves if isinstance(leaves, dict) else {}
        others = "auto" if isinstance(leaves, dict) else leaves
        for j, kind in enumerate(kinds):
            leaf = by_column.get(j, others)
            named = kind == CATEGORY if categorical is None else bool(categorical[j])
            if named or kind == WORDS or leaf == "categorical":
                name = j if names is None else names[j]
                if j in by_column and leaf not in ("auto", "categorical"):
                    raise ValueError(
                        f"leaves gives column {name!r} {leaf!r}, but it holds words or categories; "
                        "leave it out of leaves, or out of categorical_features."
                    )
                values = np.unique(X[:, j]) if isinstance(X, np.ndarray) else X.distinct(j)
                if schema is not None:
                    values = schema.columns[j].categories(values)
                declared = schema is not None and schema.columns[j].declared > 0
                why = "words" if kind == WORDS and not declared else "categories"
                self._make_categorical(j, values, why if named or kind == WORDS else AS_SAID)
                continue
            column = X[:, j]
            if j in by_column and leaf != "auto":
                self._make_numbers(j, column, sample_weight, leaf, names)
            elif kind == "b" or (
                not (numbers_only or isinstance(leaf, Categorical))
                and _only_zero_and_one(column, kind)
            ):
                self._make_binary(j, column, sample_weight, "truth values" if kind == "b" else
                                  "no numbers but 0 and 1")  # fmt: skip
            elif (
                leaf == "auto"
                and categorical is None
                and (kind in "iu" or _has_gaps(column, kind))
                and not numbers_only
                and _has_few(values := np.unique(column), column, sample_weight)
            ):
                n_values = np.count_nonzero(values == values)
                self._make_categorical(j, values, f"whole numbers, {n_values} different ones")
            else:
                self._make_numbers(j, column, sample_weight, leaf, names)
        self._check_counts(X, sample_weight, names)
        self._finish()
        return self

    def _check_counts(self, X, sample_weight, names) -> None:
        """Other leaves for columns that were taken for counts, where the others deny it."""
        counts = [j for j, leaf in enumerate(self.leaves) if _is_guessed_count(leaf)]
        if counts:
            denied = narrower_than_counts(X, sample_weight, counts)
            for j in np.array(counts)[denied].tolist():
                self._make_no_counts(j, X[:, j], sample_weight, names)

    def _fit_alike(self, X, sample_weight, categorical, kinds, numbers_only, schema, leaves, names):
        """As if the cells of all columns were one column."""
        n_columns = X.shape[1]
        cells = X[:].reshape(-1, 1)
        weight = None if sample_weight is None else np.repeat(sample_weight, n_columns)
        if categorical is not None and categorical.any() != categorical.all():
            raise ValueError(
                f"categorical_features names {categorical.sum()} of {n_columns} columns, but the "
                "structure shares one encoding among all columns; name all or none of them."
            )
        if isinstance(leaves, dict):
            given = [leaves.get(j, "auto") for j in range(n_columns)]
            if any(leaf != given[0] for leaf in given):
                raise ValueError(
                    "leaves gives columns different distributions, but the structure shares one "
                    "encoding among all columns; give one for all of them, as leaves='gaussian'."
                )
            leaves = {0: given[0]}
        if schema is not None:
            schema = _common_schema(schema)
        one = TableEncoder(self.handle_unknown).fit(
            cells,
            weight,
            None if categorical is None else categorical[:1],
            [reduce(merged_kind, kinds)],
            numbers_only,
            schema,
            leaves,
            names,
        )
        if _is_guessed_count(one.leaves[0]):
            denied = narrower_than_counts(X, sample_weight, list(range(n_columns)))
            # One encoding for all: most columns decide.
            if denied.mean() > 0.5:
                one._make_no_counts(0, cells[:, 0], weight, names)
        for name in ("kinds", "shift", "scale", "open_share", "width"):
            setattr(self, name, np.repeat(getattr(one, name), n_columns))
        self.categories = one.categories * n_columns
        self.leaves = one.leaves * n_columns
        self._finish()
        return self

    def _start(self, n_columns: int) -> None:
        self.kinds = np.full(n_columns, CONTINUOUS)
        self.categories = [None] * n_columns
        self.shift = np.zeros(n_columns)
        self.scale = np.ones(n_columns)
        self.open_share = np.zeros(n_columns)
        self.width = np.ones(n_columns)
        self.leaves = [Leaf(Gaussian(), "numbers")] * n_columns

    def _make_categorical(self, j: int, values: np.ndarray, why: str) -> None:
        self.kinds[j] = CATEGORICAL
        values = self.categories[j] = values[values == values]  # without NaN
        self.leaves[j] = Leaf(Categorical(max(2, len(values) + 1)), why)

    def _make_binary(self, j: int, column, sample_weight, why: str) -> None:
        self.kinds[j] = BINARY
        self.leaves[j] = Leaf(Bernoulli(), why)
        self._open(j, column, sample_weight)

    def _make_numbers(self, j: int, column, sample_weight, leaf, names, counts=True) -> None:
        """A column of numbers, with these leaves or with those that fit it best."""
        if leaf == "auto":
            self.leaves[j] = choose_leaf(column, sample_weight, counts)
        else:
            family, self.shift[j] = completed(leaf, column, sample_weight)
            self.leaves[j] = Leaf(family, AS_SAID)
        family = self.leaves[j].distribution
        if isinstance(family, Bernoulli | Gaussian | LogNormal):
            places = {Bernoulli: BINARY, Gaussian: CONTINUOUS, LogNormal: LOGARITHM}
            self.kinds[j] = places[type(family)]
        else:
            self.kinds[j] = NATIVE
        column = np.asarray(column, dtype=np.float64)
        moments = robust_moments(column, sample_weight)
        if self.kinds[j] == CONTINUOUS:
            self.shift[j], self.scale[j] = moments
            if leaf == "auto":
                self.scale[j] = unit_of_steps(family) or moments[1]
            return
        try:
            family.validate(column - self.shift[j])
        except ValueError as error:
            name = j if names is None else names[j]
            raise ValueError(
                f"leaves gives column {name!r} {leaf!r}, but {error}. Choose other leaves, or pass "
                "NaN in these cells."
            ) from error
        if self.kinds[j] == LOGARITHM:
            self.shift[j], self.scale[j] = robust_moments(np.log(column), sample_weight)
        self.width[j] = moments[1]
        self._open(j, column, sample_weight)

    def _make_no_counts(self, j: int, column, sample_weight, names) -> None:
        """A column of numbers with the leaves that fit it best but for those of counts."""
        self.open_share[j], self.width[j] = 0.0, 1.0
        self._make_numbers(j, column, sample_weight, "auto", names, counts=False)

    def _open(self, j: int, column, sample_weight) -> None:
        if self.handle_unknown == "other":
            seen = _observed_weight(column, sample_weight)
            self.open_share[j] = 1 / ((seen + 1) * (seen + 2))

    def _finish(self) -> None:
        self.distributions: list[Distribution] = [
            # The logarithm of a log-normal variable is standardised, too.
            Gaussian(leaf.distribution.variance_floor)
            if isinstance(leaf.distribution, LogNormal)
            else leaf.distribution
            for leaf in self.leaves
        ]
        self._all_binary = bool((self.kinds == BINARY).all())
        self._bounded = np.flatnonzero((self.kinds == LOGARITHM) | (self.kinds == NATIVE))
        self._log_usual = float(np.log1p(-self.open_share).sum())
        self._codes = {j: _code_table(c) for j, c in enumerate(self.categories) if c is not None}
        self.log_scale = np.where(self.kinds >= CONTINUOUS, np.log(self.scale), 0.0)

    def passes_through(self, X: np.ndarray) -> bool:
        """Whether ``transform`` returns X itself, if it holds nothing but 0 and 1."""
        return self._all_binary and X.dtype.kind in "bu"

    def transform(self, X: np.ndarray, first_row: int = 0, names: Any = None) -> np.ndarray:
        """Encoded rows, float64 with NaN for missing cells; whole-number tables of binary
        columns are returned as they are.

        Parameters
        ----------
        X : ndarray of shape (n, n_columns)
        first_row : int, default=0
            Number of the first row, for error messages.
        names : array of str, optional
            Names of the columns, for error messages.

        Raises
        ------
        UnknownCategoryError
            For a value never seen, with ``handle_unknown="error"``.
        """
        if self._is_encoded(X):
            return X
        out = np.array(X, dtype=np.float64)
        binary = np.flatnonzero(self.kinds == BINARY)
        if binary.size:
            part = out[:, binary]
            other = ~(np.isnan(part) | (part == 0) | (part == 1))
            if other.any():
                self._refuse_unknown(X, other, binary, first_row, names)
                part[other] = np.nan
                out[:, binary] = part
        if self._bounded.size:
            other = self._outside(out)
            self._refuse_unknown(X, other, self._bounded, first_row, names)
            part = out[:, self._bounded]
            part[other] = np.nan
            logarithm = self.kinds[self._bounded] == LOGARITHM
            part[:, logarithm] = np.log(part[:, logarithm])
            out[:, self._bounded] = part
        numbers = self.kinds >= CONTINUOUS
        if numbers.any():
            with np.errstate(over="ignore"):
                z = (out[:, numbers] - self.shift[numbers]) / self.scale[numbers]
            out[:, numbers] = np.clip(z, -1e150, 1e150)
        for j, (values, codes, is_counted) in self._codes.items():
            column = out[:, j].copy()
            if is_counted:
                # A tenth of the time of a search.
                place = np.fmin(np.fmax(column, 0), len(values) - 1).astype(np.intp)
            else:
                place = np.searchsorted(values[:-1], column)
            unknown = (values[place] != column) & (column == column)
            if unknown.any():
                self._refuse_unknown(X, unknown[:, None], np.array([j]), first_row, names)
                place[unknown] = len(values) - 1
            code = codes[place]
            code[column != column] = np.nan
            out[:, j] = code
        return out

    def _outside(self, X: np.ndarray) -> np.ndarray:
        """Which cells of the bounded columns their leaves cannot take; a missing cell is none."""
        out = np.zeros((len(X), len(self._bounded)), dtype=bool)
        for place, j in enumerate(self._bounded):
            if self.kinds[j] == LOGARITHM:
                out[:, place] = X[:, j] <= 0
            else:
                x = np.asarray(X[:, j], dtype=np.float64) - self.shift[j]
                out[:, place] = np.isneginf(self.distributions[j].log_base_measure(x))
        return out

    def _is_encoded(self, X: np.ndarray) -> bool:
        return self.passes_through(X) and not (X.size and X.max() > 1)

    def _refuse_unknown(self, X, unknown, columns, first_row, names) -> None:
        if self.handle_unknown == "other" or not unknown.any():
            return
        row, place = np.argwhere(unknown)[0].tolist()
        column = int(columns[place])
        name = column if names is None else names[column]
        raise UnknownCategoryError(column, float(X[row, column]), name, first_row + row)

    def within_reach(self, rows: np.ndarray) -> np.ndarray:
        """Encoded rows whose far cells are drawn in, for start values: see ``scaling``."""
        continuous = (self.kinds == CONTINUOUS) | (self.kinds == LOGARITHM)
        if not continuous.any():
            return rows
        rows = rows.copy()
        rows[:, continuous] = np.clip(rows[:, continuous], -2 * REACH, 2 * REACH)
        return rows

    def inverse_transform(self, Z: np.ndarray) -> np.ndarray:
        """Rows in the user's units; the code for unseen categories becomes the first one."""
        out = np.array(Z, dtype=np.float64)
        numbers = self.kinds >= CONTINUOUS
        out[:, numbers] = out[:, numbers] * self.scale[numbers] + self.shift[numbers]
        logarithm = self.kinds == LOGARITHM
        out[:, logarithm] = np.exp(np.clip(out[:, logarithm], -LARGEST_LOG, LARGEST_LOG))
        for j in np.flatnonzero(self.kinds == CATEGORICAL):
            categories = np.asarray(self.categories[j], dtype=np.float64)
            code = out[:, j]
            if not len(categories):
                out[:, j] = np.nan
                continue
            known = np.where(np.isnan(code) | (code >= len(categories)), 0, code).astype(int)
            out[:, j] = np.where(np.isnan(code), np.nan, categories[known])
        return out

    def log_jacobian(self, X: np.ndarray) -> np.ndarray:
        """Log density of the user's units over that of encoded rows, (n,), nats, with the share of
        values that leaves cannot take."""
        if self._is_encoded(X):
            return np.full(len(X), self._log_usual)
        out = np.zeros(len(X))
        used = (self.kinds == CONTINUOUS) & (self.log_scale != 0)
        if used.any():
            out -= (~np.isnan(X[:, used].astype(np.float64))) @ self.log_scale[used]
        is_open = (self.kinds == BINARY) & (self.open_share > 0)
        if is_open.any():
            usual, other = np.log1p(-self.open_share[is_open]), np.log(self.open_share[is_open])
            part = X[:, is_open]
            seen = (part == 0) | (part == 1)
            out += seen @ usual + (~seen & (part == part)) @ other
        if self._bounded.size:
            out += self._bounded_units(np.asarray(X[:, self._bounded], dtype=np.float64), X)
        return out

    def _bounded_units(self, x: np.ndarray, X: np.ndarray) -> np.ndarray:
        """The same, of the columns whose leaves cannot take all numbers."""
        outside, seen = self._outside(X), x == x
        share, width = self.open_share[self._bounded], self.width[self._bounded]
        with np.errstate(divide="ignore", over="ignore"):
            rare = np.log(share) + np.log(width / np.pi) - 2 * np.log(np.hypot(width, x))
        usual = np.log1p(-share) - self.log_scale[self._bounded]
        logarithm = self.kinds[self._bounded] == LOGARITHM
        usual = usual - np.log(np.where(logarithm & seen & ~outside, x, 1.0))
        return np.where(seen, np.where(outside, rare, usual), 0.0).sum(axis=1)

    def __repr__(self) -> str:
        counts = np.bincount(self.kinds, minlength=5)
        return (
            f"{type(self).__name__}({counts[BINARY]} binary, {counts[CATEGORICAL]} categorical, "
            f"{counts[CONTINUOUS:].sum()} columns of numbers)"
        )

    # -- files ------------------------------------------------------------------------

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and a JSON-able header."""
        arrays = {
            "kinds": self.kinds.astype(np.int64),
            "shift": self.shift,
            "scale": self.scale,
            "open_share": self.open_share,
            "width": self.width,
        }
        header = {
            "categories": [
                None if c is None else c.astype(float).tolist() for c in self.categories
            ],
            "leaves": [[leaf.distribution.to_config(), leaf.why] for leaf in self.leaves],
            "handle_unknown": self.handle_unknown,
        }
        return arrays, header

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> TableEncoder:
        """What :meth:`to_arrays` wrote."""
        self = cls(header["handle_unknown"])
        self.kinds, self.shift, self.scale = arrays["kinds"], arrays["shift"], arrays["scale"]
        self.open_share, self.width = arrays["open_share"], arrays["width"]
        self.leaves = [Leaf(resolve_distribution(leaf), why) for leaf, why in header["leaves"]]
        self.categories = [None if c is None else np.array(c) for c in header["categories"]]
        self._finish()
        return self


class IdentityEncoder(TableEncoder):
    """For a hand-made circuit: cells are read as they are, families come from its leaves."""

    def fit(self, X, *args, **kwargs):
        self._start(X.shape[1])
        self._finish()
        return self

    def within_reach(self, rows):
        return rows


def _is_guessed_count(leaf: Leaf) -> bool:
    """Whether a column has leaves of counts, and nobody said so."""
    return isinstance(leaf.distribution, CountDistribution) and leaf.why != AS_SAID


def _has_gaps(column: np.ndarray, kind: str) -> bool:
    """Whether these are whole numbers that missing cells made floats."""
    missing = column != column
    some = kind == "f" and missing.any() and not missing.all()
    return bool(some and (missing | (column == np.floor(column))).all())


def _has_few(values: np.ndarray, column: np.ndarray, sample_weight: np.ndarray | None) -> bool:
    """Whether whole numbers are so few that they are categories."""
    rows = _observed_weight(column, sample_weight) / ROWS_A_CATEGORY
    most = min(MAX_CATEGORIES, max(FEW_CATEGORIES, rows))
    return bool(np.count_nonzero(values == values) <= most)


def _code_table(categories: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """The categories sorted, their codes, and whether they are 0, 1, 2 ... Last come NaN, which
    equals nothing, so that what lies above the largest is not known, and the code for that."""
    values = np.asarray(categories, dtype=np.float64)
    order = np.argsort(values)
    values = values[order]
    codes = np.append(order, len(order)).astype(np.float64)
    return np.append(values, np.nan), codes, bool((values == np.arange(len(values))).all())


def _common_schema(schema: FrameSchema) -> FrameSchema:
    """The schema of a column that holds the cells of all columns."""
    columns = [column for column in schema.columns if column.kind != NOTHING]
    for column in columns:
        if (column.words, column.numbers) != (columns[0].words, columns[0].numbers):
            raise ValueError(
                f"Columns {columns[0].name!r} and {column.name!r} hold different categories, but "
                "the structure shares one encoding among all columns; give all columns one "
                "categorical dtype, for example X.astype(pandas.CategoricalDtype(words)), or every "
                "step its own encoding, as HMM(homogeneous=False) does."
            )
    return replace(schema, columns=tuple(columns[:1] or schema.columns[:1]))


def _only_zero_and_one(column: np.ndarray, kind: str) -> bool:
    zero, one = column == 0, column == 1
    seen = zero | one
    if not (seen | (column != column)).all():
        return False
    # A column of numbers that happens to be constant is not yet a binary one.
    return bool(seen.any() if kind in "iu" else zero.any() and one.any())


def _observed_weight(column: np.ndarray, sample_weight: np.ndarray | None) -> float:
    seen = column == column
    return float(seen.sum() if sample_weight is None else sample_weight[seen].sum())
