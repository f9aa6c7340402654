"""From the series of every library of data frames to columns of numbers and codes.

Only narwhals is imported, and only when a data frame comes; libraries are those of the user's
own objects.
"""

from __future__ import annotations

from decimal import Decimal
from numbers import Real
from typing import Any, NoReturn

import numpy as np

from .columns import CATEGORY, NOTHING, WORDS
from .frame_schema import ColumnSchema, FrameSchema
from .frames import BufferColumn, CodedColumn, Column, FrameTable, SeriesColumn


def is_frame(X: Any) -> bool:
    """Whether X is a data frame in memory, of any library that narwhals knows.

    Raises
    ------
    ValueError
        For frames that are yet to be computed.
    """
    if isinstance(X, np.ndarray | list | tuple) or X is None or np.isscalar(X):
        return False
    import narwhals.stable.v2 as nw

    if nw.dependencies.is_into_dataframe(X):
        return True
    if nw.dependencies.is_polars_lazyframe(X) or nw.dependencies.is_narwhals_lazyframe(X):
        raise ValueError("X is a lazy frame; pass X.collect(), a data frame in memory.")
    return False


def column_names(X: Any) -> list[Any]:
    """Names of the columns of a data frame."""
    import narwhals.stable.v2 as nw

    return list(nw.from_native(X, eager_only=True).columns)


def as_array(X: Any) -> np.ndarray | None:
    """The frame as one array, where that is as good as the frame.

    pandas keeps equal columns of plain numbers side by side; truth values and small whole
    numbers may be what circuits read. None for all other frames.
    """
    import narwhals.stable.v2 as nw

    frame = nw.from_native(X, eager_only=True)
    native: Any = frame.to_native()
    if nw.dependencies.is_pandas_like_dataframe(native):
        dtypes = list(native.dtypes)
        plain = bool(dtypes) and isinstance(dtypes[0], np.dtype) and dtypes[0].kind in "biuf"
        return native.to_numpy() if plain and all(d == dtypes[0] for d in dtypes) else None
    types = set(frame.schema.values())
    if len(types) != 1 or not types <= {nw.Boolean(), nw.UInt8()}:
        return None
    has_nulls = any(series.null_count() for series in frame.iter_columns())
    return None if has_nulls else frame.to_numpy()


def read_frame(X: Any) -> FrameTable:
    """A table over the columns of a data frame.

    Raises
    ------
    ValueError
        For columns that hold neither numbers nor words, naming them.
    """
    import narwhals.stable.v2 as nw

    frame = nw.from_native(X, eager_only=True)
    library = frame.implementation.value
    reader: type[_Reader] = _PolarsReader
    if nw.dependencies.is_pandas_like_dataframe(frame.to_native()):
        reader = _PandasReader
    elif nw.dependencies.is_pyarrow_table(frame.to_native()):
        reader = _ArrowReader
    named = zip(frame.columns, frame.iter_columns())
    columns = [reader(nw, name, series).read() for name, series in named]
    return FrameTable(library, columns, len(frame))


def read_objects(X: np.ndarray, schema: FrameSchema) -> FrameTable:
    """A table over an array of numbers or objects, for a model of frames with words.

    Raises
    ------
    ValueError
        For cells that are neither numbers nor words.
    """
    columns: list[Column] = []
    for column, cells in zip(schema.columns, X.T):
        if X.dtype.kind in "biuf":
            columns.append(BufferColumn(ColumnSchema(column.name, X.dtype.kind, {}), cells))
            continue
        table: dict[Any, int] = {}
        try:
            codes = np.array([table.setdefault(cell, len(table)) for cell in cells.tolist()])
        except TypeError:
            _refuse_nested(column.name, cells)
        columns.append(coded_objects(column.name, {}, codes, list(table)))
    return FrameTable(schema.library, columns, len(X))


class _Reader:
    """From a series to a Column; every library has its own way to categories and words.

    Parameters
    ----------
    nw : module
        narwhals.
    name : str or int
    series : narwhals.Series
    """

    is_pandas = False

    def __init__(self, nw: Any, name: Any, series: Any) -> None:
        self.nw = nw
        name = name.item() if isinstance(name, np.generic) else name
        # Names go into files.
        self.name = name if isinstance(name, str | int) else str(name)
        self.series = series
        self.native = series.to_native()
        self.dtype = series.dtype

    def read(self) -> Column:
        nw, dtype = self.nw, self.dtype
        if isinstance(dtype, nw.Categorical | nw.Enum):
            return self.categories()
        if isinstance(dtype, nw.String):
            return self.words()
        if isinstance(dtype, nw.Boolean):
            return self.numbers("b")
        if dtype.is_integer():
            return self.numbers("i" if dtype.is_signed_integer() else "u")
        if dtype.is_numeric():
            return self.numbers("f")
        if self.series.null_count() == len(self.series):
            codes = np.zeros(len(self.series), np.uint8)
            return CodedColumn(self.schema(NOTHING), codes, _counted(0))
        return self.others()

    def schema(self, kind: str, **rest: Any) -> ColumnSchema:
        described = self.described()
        if kind in "iu":
            described["whole"] = str(self.dtype).lower()
            if described["whole"].endswith("128"):
                described["whole"] = described["whole"].removesuffix("128") + "64"
        return ColumnSchema(self.name, kind, described, **rest)

    def described(self) -> dict[str, Any]:
        raise NotImplementedError

    def numbers(self, kind: str) -> Column:
        return SeriesColumn(self.schema(kind), self.series, self.is_pandas)

    def words(self) -> Column:
        raise NotImplementedError

    def categories(self) -> Column:
        return self.words()

    def others(self) -> NoReturn:
        raise ValueError(
            f"Column {self.name!r} holds cells of dtype {self.native_dtype()}, which is not a "
            "number, a truth value, a word or a category. Turn it into columns of these, for "
            "example a date into days since a first day and a weekday, or leave it out."
        )

    def native_dtype(self) -> Any:
        return getattr(self.native, "dtype", self.dtype)


class _PandasReader(_Reader):
    is_pandas = True

    def read(self):
        dtype = self.native_dtype()
        if hasattr(dtype, "categories"):
            return self.categories()
        if getattr(dtype, "kind", None) == "O" and isinstance(dtype, np.dtype):
            return self.objects()
        if str(dtype).startswith("Sparse["):
            return BufferColumn(self.schema("f"), np.asarray(self.native, dtype=np.float64))
        return super().read()

    def described(self):
        dtype = self.native_dtype()
        described: dict[str, Any] = {"name": str(dtype)}
        if type(dtype).__name__ == "ArrowDtype":
            described["arrow"] = True
        elif hasattr(dtype, "storage"):
            na = "nan" if isinstance(getattr(dtype, "na_value", None), float) else "NA"
            described |= {"storage": dtype.storage, "na": na}
        return described

    def numbers(self, kind):
        if isinstance(self.native_dtype(), np.dtype):
            return BufferColumn(self.schema(kind), self.native.to_numpy())
        return super().numbers(kind)

    def words(self):
        codes, words = self.native.factorize()
        return coded_objects(self.name, self.described(), codes, words.tolist(), True)

    def objects(self):
        try:
            codes, values = self.native.factorize()
        except TypeError:
            _refuse_nested(self.name, self.native.to_numpy())
        return coded_objects(self.name, self.described(), codes, values.tolist())

    def categories(self):
        dtype = self.native_dtype()
        if not hasattr(self.native, "cat"):
            return super().categories()
        categories = dtype.categories.tolist()
        described: dict[str, Any] = {"name": "category", "of": str(dtype.categories.dtype)}
        described["ordered"] = bool(dtype.ordered)
        codes = self.native.cat.codes.to_numpy()
        if all(isinstance(c, str) for c in categories):
            codes = _small(codes, len(categories))
            schema = ColumnSchema(self.name, WORDS, described, tuple(categories), len(categories))
            return CodedColumn(schema, codes, _counted(len(categories)), categories)
        if not all(isinstance(c, Real) for c in categories):
            raise ValueError(
                f"Column {self.name!r} has categories such as {categories[0]!r}, which are neither "
                "all words nor all numbers; name them by words, for example with .astype(str)."
            )
        column = coded_objects(self.name, described, codes, categories)
        numbers = tuple(float(c) for c in categories)
        described["categories"] = categories
        column.schema = ColumnSchema(self.name, CATEGORY, described, numbers=numbers)
        return column


class _ArrowReader(_Reader):
    def described(self):
        kind = self.native.type
        if hasattr(kind, "index_type"):
            return {
                "indices": str(kind.index_type),
                "values": str(kind.value_type),
                "ordered": kind.ordered,
            }
        return {"name": str(kind)}

    def words(self):
        native = self.native
        if not hasattr(native.type, "index_type"):
            native = native.dictionary_encode()
        native = native.unify_dictionaries().combine_chunks()
        if hasattr(native, "chunks"):
            native = native.chunk(0)
        words = native.dictionary.to_pylist()
        codes = native.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
        return coded_objects(self.name, self.described(), codes, words, True)


class _PolarsReader(_Reader):
    def described(self):
        name = type(self.dtype).__name__
        # Decimals come back as the floats that they are read as.
        return {"name": "Float64" if name == "Decimal" else name}

    def numbers(self, kind):
        plain = kind != "b" and not str(self.dtype).startswith(("Decimal", "Int128", "UInt128"))
        if plain and self.native.n_chunks() == 1 and not self.series.null_count():
            return BufferColumn(self.schema(kind), self.series.to_numpy())
        return super().numbers(kind)

    def words(self):
        words = self.series.unique().drop_nulls().cast(self.nw.String).sort().to_list()
        return self._coded(self.series.cast(self.nw.Enum(words)), words, ())

    def categories(self):
        if not isinstance(self.dtype, self.nw.Enum):
            return self.words()
        words = list(self.dtype.categories)
        return self._coded(self.series, words, tuple(words))

    def _coded(self, series, words, declared):
        codes = series.to_native().to_physical()
        codes = _small(codes.fill_null(0).to_numpy(), len(words), codes.is_null().to_numpy())
        schema = self.schema(WORDS, words=declared, declared=len(declared))
        return CodedColumn(schema, codes, _counted(len(words)), words)


def coded_objects(
    name: Any,
    described: dict[str, Any],
    codes: np.ndarray,
    values: list,
    of_words: bool = False,
) -> Column:
    """A column of any objects, of which ``codes`` say which cell holds which value.

    Parameters
    ----------
    name : str or int
    described : dict
        The dtype, for its schema.
    codes : ndarray of int, shape (n,)
        -1 is missing.
    values : list
        Different ones; some may mean that a cell is missing.
    of_words : bool, default=False
        Whether a column without values is one of words too.

    Raises
    ------
    ValueError
        If they are neither all words nor all numbers.
    """
    there = [i for i, value in enumerate(values) if not _is_missing(value)]
    found = [values[i] for i in there]
    if len(there) < len(values):
        place = np.full(len(values) + 1, -1)
        place[there] = np.arange(len(there))
        codes = place[codes]
    codes = _small(codes, len(found))
    if not (found or of_words):
        return CodedColumn(ColumnSchema(name, NOTHING, described), codes, _counted(0))
    if all(isinstance(value, str) for value in found):
        schema = ColumnSchema(name, WORDS, described, ())
        return CodedColumn(schema, codes, _counted(len(found)), [str(value) for value in found])
    for value in found:
        if not isinstance(value, Real | Decimal | np.bool_):
            _refuse_cell(name, value)
    kind = "b" if all(isinstance(value, bool | np.bool_) for value in found) else "f"
    try:
        numbers = [float(value) for value in found]
    except OverflowError as error:
        raise ValueError(
            f"Column {name!r} holds a number too large for float64; remove or scale it, or pass "
            "NaN for missing."
        ) from error
    return CodedColumn(ColumnSchema(name, kind, described), codes, np.array([*numbers, np.nan]))


def _counted(n: int) -> np.ndarray:
    """The numbers of n values, and NaN."""
    return np.append(np.arange(n, dtype=np.float64), np.nan)


def _small(codes: np.ndarray, n: int, missing: np.ndarray | None = None) -> np.ndarray:
    """Codes in few bytes, n for missing ones: by default those below zero."""
    out = codes.astype(np.min_scalar_type(n))
    out[codes < 0 if missing is None else missing] = n
    return out


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating | Decimal) and value != value


def _refuse_nested(name: Any, cells: np.ndarray) -> NoReturn:
    for cell in cells:
        try:
            hash(cell)
        except TypeError:
            _refuse_cell(name, cell)
    raise ValueError(f"Column {name!r} holds objects that cannot be compared.")


def _refuse_cell(name: Any, cell: Any) -> NoReturn:
    raise ValueError(
        f"Column {name!r} holds {cell!r}, which is not a number, beside other cells that are not "
        "all words. Make all cells words, or encode the column as integers, for example with "
        "sklearn.preprocessing.OrdinalEncoder, and name it in categorical_features; pass None "
        "or NaN for missing."
    )
