"""What users pass as X: checked, turned into one array, with the dtypes of its columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..circuit import Circuit
from ..utils.sklearn_compat import validate_data

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

    def part(self, weight: np.ndarray) -> Table:
        """The rows that have weight, with these weights."""
        used = np.flatnonzero(weight)
        weight = weight[used]
        return Table(self.X[used], None if (weight == 1).all() else weight, self.kinds)

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
        except (ValueError, TypeError, OverflowError) as error:
            refuse_cells(X, error)
            raise
    if table.dtype.kind == "f":
        if table.dtype.itemsize > 8:
            with np.errstate(over="ignore"):
                table = table.astype(np.float64)
        for part in chunks(len(table)):
            if np.isinf(table[part]).any():
                _refuse_infinite(estimator, table)
    elif table.dtype.kind not in "biu":
        refusal = ValueError(f"X has dtype {table.dtype}; real numbers are needed.")
        refuse_cells(X, refusal)
        raise refusal
    return table


def check_table(
    estimator: Any, X: Any, sample_weight: Any, reset: bool, learns: bool = True
) -> Table:
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
    weight = None if sample_weight is None else check_weight(sample_weight, len(rows))
    if learns and isinstance(estimator.structure, Circuit):
        _check_cells(estimator, rows, weight)
    if weight is not None and not weight.all():
        rows, weight = rows[weight > 0], weight[weight > 0]
    return Table(rows, weight, kinds)


def check_weight(sample_weight: Any, n_rows: int) -> np.ndarray:
    """Weights as a float64 array, one a row: finite, none negative, not all zero.

    Raises
    ------
    ValueError
        For anything else.
    """
    try:
        given = np.asarray(sample_weight)
        if given.dtype.kind == "c":
            raise ValueError(f"sample_weight has dtype {given.dtype}; real numbers are needed.")
        weight = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        if str(error).startswith("sample_weight"):
            raise
        shown = sample_weight if np.ndim(sample_weight) == 0 else next(iter(sample_weight))
        raise ValueError(
            f"sample_weight={shown!r} must be None, a number or one number a row ({error})."
        ) from error
    if weight.ndim == 0:
        weight = np.full(n_rows, weight)
    if weight.ndim != 1:
        raise ValueError(
            f"Sample weights must be 1D array or scalar, got {weight.ndim}D array. Give "
            "sample_weight as one number a row."
        )
    if weight.shape != (n_rows,):
        raise ValueError(
            f"sample_weight.shape == {weight.shape}, expected {(n_rows,)}: one number a row of X."
        )
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"sample_weight has {int(wrong.sum())} negative, infinite or NaN values (first "
            f"{weight[row]} at row {row}); weights must be finite and not negative, 0 leaves a row "
            "out."
        )
    with np.errstate(over="ignore"):
        total = weight.sum()
    if total == 0:
        raise ValueError(
            "sample_weight is zero for every row; one must be positive. Pass None to count every "
            "row once."
        )
    if not 1e-150 <= total <= 1e150:
        raise ValueError(
            f"sample_weight has the sum {total}; multiply the weights by a number that brings it "
            "between 1e-150 and 1e150."
        )
    return weight


def _check_cells(estimator: Any, X: np.ndarray, weight: np.ndarray | None) -> None:
    """Refuse tables that a circuit made by hand cannot take."""
    circuit = estimator.structure
    if circuit.n_variables != X.shape[1]:
        raise ValueError(
            f"X has {X.shape[1]} columns, but the circuit given as structure is over "
            f"{circuit.n_variables}."
        )
    for variable, family in {(v, i.distribution): 0 for i in circuit.inputs for v in i.variables}:
        cells = X[:, variable] if weight is None else np.where(weight > 0, X[:, variable], np.nan)
        try:
            family.validate(cells)
        except ValueError as error:
            raise ValueError(f"Column {column_name(estimator, variable)!r}: {error}") from error


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


def refuse_cells(X: Any, error: Exception) -> None:
    """Raise ``error`` again in words that name what is wrong with X, if that can be found."""
    if "feature names" in str(error) or "features, but" in str(error):
        return
    kind = TypeError if isinstance(error, TypeError) else ValueError
    found = _first_word(X)
    dtype = getattr(X, "dtype", None)
    if isinstance(found and found[1], complex) or getattr(dtype, "kind", "") == "c":
        dtype = "complex" if dtype is None else dtype
        raise ValueError(
            f"Complex data not supported: X has dtype {dtype}; pass real numbers, for example real "
            "and imaginary parts as two columns."
        ) from None
    lengths = _row_lengths(X)
    if len(set(lengths)) > 1:
        other = next(i for i, length in enumerate(lengths) if length != lengths[0])
        raise ValueError(
            f"X has rows of different lengths ({lengths[0]}, but {lengths[other]} at row {other}); "
            "give every row the same number of cells, NaN for missing."
        ) from error
    if found is None:
        return
    name, cell = found
    if isinstance(cell, int):
        raise ValueError(
            f"Column {name!r} holds a number too large for float64; remove or scale it, or pass "
            "NaN for missing."
        ) from error
    raise kind(
        f"Column {name!r} holds {cell!r}, which is not a number ({error}). Encode the column "
        "as integers, for example with sklearn.preprocessing.OrdinalEncoder, and name it in "
        "categorical_features; pass NaN for missing."
    ) from error


def _row_lengths(X: Any) -> list[int]:
    """Of lists of lists; empty for anything else."""
    if not isinstance(X, list | tuple):
        return []
    return [len(row) for row in X if isinstance(row, list | tuple)]


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
    if cell is None or type(cell).__name__ == "NAType":
        return True
    try:
        np.array([cell], dtype=object).astype(np.float64)
    except (ValueError, TypeError, OverflowError):
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
