"""What users pass as X: checked, turned into one array, with the dtypes of its columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

#: Rows that are looked at or encoded at once, so that scoring needs little memory.
CHUNK_ROWS = 1 << 14
#: Kind of a column of a pandas ``category`` dtype, beside numpy's "b", "i", "u" and "f".
CATEGORY = "c"


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


def check_rows(estimator: Any, X: Any, reset: bool) -> np.ndarray:
    """X as an array of real numbers, NaN where a cell is missing.

    Raises
    ------
    ValueError, TypeError
        For infinities, words, and what is no table, naming the column where there is one.
    """
    try:
        table = validate_data(estimator, X, reset=reset, dtype="numeric", ensure_all_finite=False)
    except (ValueError, TypeError) as error:
        _refuse_words(X, error)
        raise
    if table.dtype.kind == "f":
        for start in range(0, len(table), CHUNK_ROWS):
            if np.isinf(table[start : start + CHUNK_ROWS]).any():
                _refuse_infinite(estimator, table)
    elif table.dtype.kind not in "biu":
        refusal = ValueError(f"X has dtype {table.dtype}; real numbers are needed.")
        _refuse_words(X, refusal)
        raise refusal
    return table


def column_name(estimator: Any, column: int) -> Any:
    """The name of a column where the table had names, else its number."""
    names = getattr(estimator, "feature_names_in_", None)
    return column if names is None else names[column]


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
