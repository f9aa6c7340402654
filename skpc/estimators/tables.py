"""What users pass as X: checked, turned into one array, with the dtypes of its columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..circuit import Circuit
from ..utils.sklearn_compat import check_columns, validate_data
from .columns import WORDS, chunks, merged_kinds
from .frame_reading import as_array, column_names, is_frame, read_frame, read_objects
from .frame_schema import FrameSchema
from .frames import FrameTable


class Table(NamedTuple):
    """Rows to learn from: no row has weight zero; weight None is 1 everywhere.

    ``X`` is an array or a FrameTable, ``kinds`` has the kind of every column (see ``columns``),
    ``schema`` what is known of a data frame.
    """

    X: Any
    sample_weight: np.ndarray | None
    kinds: list[str]
    schema: FrameSchema | None = None

    def part(self, weight: np.ndarray) -> Table:
        """The rows that have weight, with these weights."""
        keep = weight > 0
        weight = weight[keep]
        return self._replace(
            X=_kept(self.X, keep), sample_weight=None if (weight == 1).all() else weight
        )

    @property
    def weights(self) -> np.ndarray:
        """Weights as an array."""
        return np.ones(len(self.X)) if self.sample_weight is None else self.sample_weight


def _kept(X: Any, mask: np.ndarray) -> Any:
    """Some rows; those of a frame are not copied."""
    return X.kept(mask) if isinstance(X, FrameTable) else X[mask]


def merged_rows(table: Table) -> Table:
    """The table with equal rows as one row of their weight, in an order that the rows decide.

    Where every pass over the data is one batch, neither the order of the rows nor repetitions
    matter, but for rounding. In this form they do not matter at all: a weight of 2 gives the same
    bits as two rows, in float32 too.
    """
    X = np.asarray(table.X)
    if X.dtype.kind == "f":
        # One zero and one NaN, for rows are compared byte by byte.
        X = np.where(np.isnan(X), X.dtype.type(np.nan), X + 0)
    X = np.ascontiguousarray(X)
    as_bytes = X.view(np.dtype((np.void, X.dtype.itemsize * X.shape[1]))).ravel()
    _, first, group = np.unique(as_bytes, return_index=True, return_inverse=True)
    weight = np.bincount(group.ravel(), weights=table.sample_weight)
    merged = None if (weight == 1).all() else weight.astype(float)
    return table._replace(X=X[first], sample_weight=merged)


def check_rows(estimator: Any, X: Any) -> Any:
    """X as rows that a fitted estimator can score: an array of real numbers or a FrameTable,
    NaN where a cell is missing.

    Raises
    ------
    ValueError, TypeError
        For infinities, other columns than those fitted, words where there were none, and what
        is no table, naming the column where there is one.
    """
    known = getattr(estimator, "_schema", None)
    rows = _read_rows(estimator, X, False, known)
    return rows.settled(known, None) if isinstance(rows, FrameTable) else rows


def check_table(
    estimator: Any,
    X: Any,
    sample_weight: Any,
    reset: bool,
    known: FrameSchema | None = None,
    grows: str | None = None,
    learns: bool = True,
) -> Table:
    """Rows to learn from, with their weights and the kinds of their columns; rows of weight
    zero are dropped.

    Parameters
    ----------
    estimator : PCDensityEstimator
    X : array-like, data frame
    sample_weight : array-like or None
    reset : bool
        Whether number and names of the columns are those of X from now on.
    known : FrameSchema, optional
        Of the rows before.
    grows : {"sorted", "appearance"}, optional
        How new words join the schema; by default they do not.
    learns : bool, default=True
        Whether the cells must be such as a circuit made by hand can learn from.

    Raises
    ------
    ValueError, TypeError
        As in :func:`check_rows`, and for weights that are negative, not finite or all zero.
    """
    rows = _read_rows(estimator, X, reset, known)
    weight = None if sample_weight is None else check_weight(sample_weight, len(rows))
    by_hand = learns and isinstance(estimator.structure, Circuit)
    if by_hand and not isinstance(rows, FrameTable):
        _check_cells(estimator, rows, weight)
    if weight is not None and not weight.all():
        keep = weight > 0
        rows, weight = _kept(rows, keep), weight[keep]
    if not isinstance(rows, FrameTable):
        kinds, found = [rows.dtype.kind] * rows.shape[1], None
        if grows and known is None and is_frame(X):
            found = read_frame(X).schema
    else:
        rows = rows.settled(known, grows)
        kinds, found = rows.schema.kinds, rows.schema
        if by_hand:
            _check_cells(estimator, rows, None)
    schema = known
    if grows and known is None:
        schema = found
    elif known is not None and grows:
        schema = known.merged(found if is_frame(X) else None, merged_kinds(known.kinds, kinds))
    if schema is not None:
        kinds = [WORDS if c.words is not None else kind for c, kind in zip(schema.columns, kinds)]
    return Table(rows, weight, kinds, schema)


def _read_rows(estimator: Any, X: Any, reset: bool, known: FrameSchema | None) -> Any:
    """An array of real numbers, or a table over a data frame whose words have no numbers yet."""
    if isinstance(X, FrameTable) or (not reset and known is None and _is_checked(estimator, X)):
        rows = X
    elif is_frame(X):
        check_columns(estimator, X, column_names(X), reset)
        _check_size(estimator, X.shape)
        rows = None if known is not None and known.has_words else as_array(X)
        rows = read_frame(X) if rows is None else rows
    else:
        rows = None
        if not reset and known is not None and known.has_words:
            rows = _read_array(estimator, X, known)
        if rows is None:
            rows = _read_numbers(estimator, X, reset)
    if rows.dtype.kind == "f" and rows.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            rows = rows.astype(np.float64)
    for part in _with_infinities(rows):
        if np.isinf(part).any():
            _refuse_infinite(estimator, rows)
    return rows


def _read_array(estimator: Any, X: Any, known: FrameSchema) -> FrameTable | None:
    """An array for a model of a frame with words; None if it is no table."""
    try:
        is_array = isinstance(X, np.ndarray) and X.dtype.kind != "U"
        array = X if is_array else np.asarray(X, dtype=object)
    except ValueError:
        return None
    if array.ndim != 2 or array.dtype.kind not in "Obiuf" or not array.size:
        return None
    validate_data(estimator, X, reset=False, skip_check_array=True)
    return read_objects(array, known)


def _read_numbers(estimator: Any, X: Any, reset: bool) -> np.ndarray:
    try:
        table = validate_data(
            estimator, _with_holes(X), reset=reset, dtype="numeric", ensure_all_finite=False
        )
    except (ValueError, TypeError, OverflowError) as error:
        refuse_cells(X, error)
        raise
    if table.dtype.kind not in "biuf":
        refusal = ValueError(f"X has dtype {table.dtype}; real numbers are needed.")
        refuse_cells(X, refusal)
        raise refusal
    return table


def _with_holes(X: Any) -> Any:
    """NaN where lists of rows have None, and where cells of a masked array are masked."""
    if isinstance(X, np.ma.MaskedArray):
        return X.astype(np.result_type(X, np.float32)).filled(np.nan) if X.mask.any() else X.data
    if isinstance(X, list | tuple) and any(
        isinstance(row, list | tuple) and any(cell is None for cell in row) for row in X
    ):
        return [[np.nan if cell is None else cell for cell in row] for row in X]
    return X


def _check_size(estimator: Any, shape: tuple[int, int]) -> None:
    for found, what in zip(shape, ("sample", "feature")):
        if not found:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={tuple(shape)}) while a minimum of 1 is "
                f"required by {type(estimator).__name__}."
            )


def _with_infinities(rows: Any) -> Iterator[np.ndarray]:
    """Parts that may hold infinite values."""
    for part in chunks(len(rows)):
        if isinstance(rows, FrameTable):
            for j, column in enumerate(rows.columns):
                if column.schema.kind in "fc":
                    yield rows[part, j]
        elif rows.dtype.kind == "f":
            yield rows[part]


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


def _check_cells(estimator: Any, X: Any, weight: np.ndarray | None) -> None:
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


@contextmanager
def words_named(X: Any) -> Iterator[None]:
    """Errors about words that were never seen in X name them."""
    if isinstance(X, FrameTable):
        with X.words_named():
            yield
    else:
        yield


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
    try:
        array = np.asarray(X, dtype=None if hasattr(X, "dtype") else object)
    except ValueError:
        return None
    if array.ndim != 2 or array.dtype.kind not in "OSU":
        return None
    columns = enumerate(array.T)
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


def _refuse_infinite(estimator: Any, X: Any) -> NoReturn:
    count, first = 0, None
    for part in chunks(len(X)):
        infinite = np.isinf(X[part])
        count += int(infinite.sum())
        if first is None and count:
            row, column = np.argwhere(infinite)[0].tolist()
            first = part.start + row, column_name(estimator, column)
    assert first is not None
    raise ValueError(
        f"Input X contains infinity: {count} infinite values (first at row {first[0]}, feature "
        f"{first[1]!r}); remove or clip them, or pass NaN for missing."
    )
