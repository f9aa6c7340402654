"""What users pass as X: checked, turned into one array, with the dtypes of its columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..utils.sklearn_compat import check_sample_weight, validate_data

#: Rows that are looked at or encoded at once, so that scoring needs little memory.
CHUNK_ROWS = 1 << 14
#: Kind of a column of a pandas ``category`` dtype, beside numpy's "b", "i", "u" and "f".
CATEGORY = "c"


class Table(NamedTuple):
    """Rows to learn from: no row has weight zero; weight None is 1 everywhere.

    ``kinds`` has the dtype kind of every column.
    """

    X: np.ndarray
    sample_weight: np.ndarray | None
    kinds: list[str]

    @property
    def weights(self) -> np.ndarray:
        """Weights as an array."""
        return np.ones(len(self.X)) if self.sample_weight is None else self.sample_weight


def column_kinds(X: Any) -> list[str] | None:
    """Dtype kind of every column of a data frame, before one array levels them.

    Nullable dtypes count as what they hold, ``category`` as ``CATEGORY``, and all that is
    neither whole nor boolean as "f". None for what is no data frame: an array has one dtype.
    """
    dtypes = getattr(X, "dtypes", None)
    if dtypes is None or not hasattr(X, "columns"):
        return None
    return [_kind(dtype) for dtype in dtypes]


def _kind(dtype: Any) -> str:
    if hasattr(dtype, "categories"):
        return CATEGORY
    kind = getattr(dtype, "kind", "f")
    return kind if kind in "biu" else "f"


def merged_rows(table: Table) -> Table:
    """The table with equal rows as one row of their weight, in an order that the rows decide.

    Where every pass over the data is one batch, neither the order of the rows nor repetitions
    matter, but for rounding. In this form they do not matter at all: a weight of 2 gives the same
    bits as two rows, in float32 too.
    """
    X = table.X
    if X.dtype.kind == "f":
        # One zero and one NaN, for rows are compared byte by byte.
        X = np.where(np.isnan(X), X.dtype.type(np.nan), X + 0)
    X = np.ascontiguousarray(X)
    as_bytes = X.view(np.dtype((np.void, X.dtype.itemsize * X.shape[1]))).ravel()
    _, first, group = np.unique(as_bytes, return_index=True, return_inverse=True)
    weight = np.bincount(group.ravel(), weights=table.sample_weight)
    return Table(X[first], None if (weight == 1).all() else weight.astype(float), table.kinds)


def merged_kinds(one: list[str], other: list[str]) -> list[str]:
    """Kinds of columns of which some rows had one dtype and some another."""
    if one == other:
        return one
    return [a if a == b else "i" if {a, b} <= set("biu") else "f" for a, b in zip(one, other)]


def chunks(n_rows: int) -> Iterator[slice]:
    """Cuts of a table that are encoded at once, so that scoring needs little memory."""
    for start in range(0, n_rows, CHUNK_ROWS):
        yield slice(start, min(start + CHUNK_ROWS, n_rows))


def check_rows(estimator: Any, X: Any, reset: bool) -> np.ndarray:
    """X as an array of real numbers, NaN where a cell is missing.

    Raises
    ------
    ValueError, TypeError
        For infinities, words, and what is no table, naming the column where there is one.
    """
    if not reset and _is_checked(estimator, X):
        table = X
    else:
        try:
            table = validate_data(
                estimator, X, reset=reset, dtype="numeric", ensure_all_finite=False
            )
        except (ValueError, TypeError) as error:
            _refuse_words(X, error)
            raise
    if table.dtype.kind == "f":
        for part in chunks(len(table)):
            if np.isinf(table[part]).any():
                _refuse_infinite(estimator, table)
    elif table.dtype.kind not in "biu":
        refusal = ValueError(f"X has dtype {table.dtype}; real numbers are needed.")
        _refuse_words(X, refusal)
        raise refusal
    return table


def check_table(estimator: Any, X: Any, sample_weight: Any, reset: bool) -> Table:
    """Rows to learn from, with their weights and the dtypes of their columns; rows of weight
    zero are dropped.

    Raises
    ------
    ValueError, TypeError
        As in :func:`check_rows`, and for weights that are negative, not finite or all zero.
    """
    kinds = column_kinds(X)
    rows = check_rows(estimator, X, reset)
    if kinds is None:
        kinds = [rows.dtype.kind] * rows.shape[1]
    if sample_weight is None:
        return Table(rows, None, kinds)
    weight = check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
    used = weight > 0
    if not used.any():
        raise ValueError(
            "sample_weight is zero for every row; one must be positive. Pass None to count every "
            "row once."
        )
    if not used.all():
        rows, weight = rows[used], weight[used]
    return Table(rows, weight, kinds)


@contextmanager
def columns_kept(estimator: Any) -> Iterator[None]:
    """Should this fail, the estimator has the columns of its earlier fit again.

    scikit-learn's checks write down number and names of the columns of a table before anything
    is learnt from it.
    """
    names = ("n_features_in_", "feature_names_in_")
    before = {name: vars(estimator)[name] for name in names if name in vars(estimator)}
    try:
        yield
    except BaseException:
        for name in names:
            vars(estimator).pop(name, None)
        vars(estimator).update(before)
        raise


def column_name(estimator: Any, column: int) -> Any:
    """The name of a column where the table had names, else its number."""
    names = getattr(estimator, "feature_names_in_", None)
    return column if names is None else names[column]


def _is_checked(estimator: Any, X: Any) -> bool:
    """Whether scikit-learn's checks would hand X back as it is: they take 0.2 ms, which counts
    on streams of single rows."""
    return (
        type(X) is np.ndarray
        and X.ndim == 2
        and X.dtype.kind in "biuf"
        and len(X) > 0
        and X.shape[1] == estimator.n_features_in_
        and not hasattr(estimator, "feature_names_in_")
    )


def _refuse_words(X: Any, error: ValueError | TypeError) -> None:
    """Raise ``error`` again with the first column that holds no numbers, if there is one."""
    found = _first_word(X)
    if found is None:
        return
    name, cell = found
    kind = TypeError if isinstance(error, TypeError) else ValueError
    raise kind(
        f"Column {name!r} holds {cell!r}, which is not a number ({error}). Encode the column "
        "as integers, for example with sklearn.preprocessing.OrdinalEncoder, and name it in "
        "categorical_features; pass NaN for missing."
    ) from error


def _first_word(X: Any) -> tuple[Any, Any] | None:
    """Column and value of the first cell that is no number, None where all are."""
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        columns = [(name, np.asarray(X[name], dtype=object)) for name in X.columns]
    else:
        try:
            array = np.asarray(X, dtype=None if hasattr(X, "dtype") else object)
        except ValueError:
            return None
        if array.ndim != 2 or array.dtype.kind not in "OSU":
            return None
        columns = list(enumerate(array.T))
    for name, cells in columns:
        for cell in cells.ravel():
            if cells.dtype.kind != "O" or not _is_number(cell):
                return name, cell.item() if isinstance(cell, np.generic) else cell
    return None


def _is_number(cell: Any) -> bool:
    try:
        np.array([cell], dtype=object).astype(np.float64)
    except (ValueError, TypeError):
        return False
    return True


def _refuse_infinite(estimator: Any, X: np.ndarray) -> None:
    infinite = np.isinf(X)
    row, column = np.argwhere(infinite)[0].tolist()
    raise ValueError(
        f"Input X contains infinity: {int(infinite.sum())} infinite values (first at row "
        f"{row}, feature {column_name(estimator, column)!r}); remove or clip them, or pass NaN "
        "for missing."
    )
