"""What an estimator remembers of the data frame it was fitted to, as plain data.

The schema says what every column held, and gives every word its number. It makes data frames
of samples, and it goes into files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..utils.lazy import lazy
from .columns import NOTHING, WORDS


@dataclass(frozen=True)
class ColumnSchema:
    """One column of a data frame.

    Parameters
    ----------
    name : str or int
    kind : str
        "b", "i", "u" or "f" as numpy's dtypes, or one of ``columns``.
    dtype : dict
        The dtype in the words of its library, from ``frames``.
    words : tuple of str, optional
        Of a column of words: the place of a word is its number.
    declared : int, default=0
        So many of the words come from the dtype, whose order they keep.
    numbers : tuple of float, optional
        Categories that the dtype declares, where they are numbers.
    """

    name: Any
    kind: str
    dtype: dict[str, Any]
    words: tuple[str, ...] | None = None
    declared: int = 0
    numbers: tuple[float, ...] | None = None

    @lazy
    def numbers_of_words(self) -> dict[str, int]:
        """The number of every word."""
        return {word: i for i, word in enumerate(self.words or ())}

    def categories(self, seen: np.ndarray) -> np.ndarray:
        """All categories in their order, of which these were seen.

        Declared ones in the order of the declaration, words by the alphabet, numbers by size.
        """
        seen = seen[seen == seen]
        if self.words is not None:
            others = [int(i) for i in seen if i >= self.declared]
            words = self.words
            in_order = [*range(self.declared), *sorted(others, key=lambda i: words[i])]
            return np.array(in_order, dtype=np.float64)
        return seen if self.numbers is None else np.union1d(seen, np.array(self.numbers))


@dataclass(frozen=True)
class FrameSchema:
    """The columns of a data frame, and the library it was from, as narwhals calls it."""

    library: str
    columns: tuple[ColumnSchema, ...]

    @property
    def kinds(self) -> list[str]:
        """Kind of every column."""
        return [column.kind for column in self.columns]

    @property
    def has_words(self) -> bool:
        """Whether a plain array of numbers cannot hold such a frame."""
        return WORDS in self.kinds

    def merged(self, new: FrameSchema | None, kinds: list[str]) -> FrameSchema:
        """After more rows, whose columns came as ``new`` and are of these kinds altogether.

        Columns keep their first dtype, but for numbers that no longer fit it.
        """
        columns = list(self.columns)
        for j, (old, kind) in enumerate(zip(self.columns, kinds)):
            column = replace(old, kind=kind, dtype={}) if new is None else new.columns[j]
            if old.kind == NOTHING or column.words is not None or old.kind != kind == column.kind:
                columns[j] = column
        return FrameSchema(self.library, tuple(columns))

    # -- samples ------------------------------------------------------------------------

    def to_frame(self, X: np.ndarray) -> Any:
        """Rows of numbers as a data frame of the library and dtypes of this schema.

        Without that library a pandas data frame, without pandas an array.

        Parameters
        ----------
        X : ndarray of shape (n, n_columns)
            In the units of the user, words by their numbers.
        """
        import narwhals.stable.v2 as nw

        def namespace(library: Any) -> Any:
            return nw.Implementation.from_backend(library).to_native_namespace()

        cells = [_cells(column, X[:, j]) for j, column in enumerate(self.columns)]
        names = [column.name for column in self.columns]
        try:
            library = namespace(self.library)
        except ImportError:
            try:
                pandas = namespace("pandas")
            except ImportError:
                if any(column.kind == WORDS for column in self.columns):
                    return np.array(cells, dtype=object).T
                return X
            return pandas.DataFrame(dict(zip(names, cells)))
        if self.library == "pyarrow":
            make: Callable = _arrow_array
        elif hasattr(library, "CategoricalDtype"):
            make = _pandas_series
        else:
            series = [
                _narwhals_series(nw, self.library, column, values)
                for column, values in zip(self.columns, cells)
            ]
            return library.DataFrame([s.to_native() for s in series])
        columns = [make(library, column, values) for column, values in zip(self.columns, cells)]
        if self.library == "pyarrow":
            return library.Table.from_arrays(columns, names=names)
        frame = library.DataFrame(dict(enumerate(columns)))
        frame.columns = names
        return frame

    # -- files ----------------------------------------------------------------------------

    def to_plain(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any], n_columns: int) -> FrameSchema:
        """What :meth:`to_plain` made, of so many columns."""
        if len(plain["columns"]) != n_columns:
            raise ValueError(
                f"the frame has {len(plain['columns'])} columns; {n_columns} are needed."
            )
        columns = []
        for column in plain["columns"]:
            for key in ("words", "numbers"):
                if column[key] is not None:
                    column[key] = tuple(column[key])
            columns.append(ColumnSchema(**column))
        return cls(str(plain["library"]), tuple(columns))


def _cells(column: ColumnSchema, values: np.ndarray) -> Any:
    """Cells of a column as numpy knows them, in objects with None where some are missing."""
    missing = np.isnan(values)
    if column.kind == NOTHING:
        return np.full(len(values), None)
    if column.kind == WORDS:
        words = np.array([*(column.words or ()), None], dtype=object)
        # A circuit made by hand may have states that no word was seen for.
        none = missing | (values >= len(words))
        return words[np.where(none, len(words) - 1, values).astype(np.intp)]
    if column.kind == "b":
        cells = values == 1
    elif column.kind in "iu":
        dtype = np.dtype(column.dtype.get("whole", "int64"))
        limits = np.iinfo(dtype)
        # The largest number of 64 bits is no float64; that below it is.
        top = np.nextafter(limits.max, 0) if dtype.itemsize == 8 else limits.max
        cells = np.clip(np.rint(np.where(missing, 0, values)), limits.min, top).astype(dtype)
    elif column.numbers is not None:
        # Where the categories were learnt as numbers, the nearest one.
        numbers = np.sort(column.numbers)
        nearest = numbers[np.searchsorted((numbers[1:] + numbers[:-1]) / 2, values)]
        return np.where(missing, np.nan, nearest)
    else:
        return values
    return np.where(missing, None, cells.astype(object)) if missing.any() else cells


def _pandas_series(pandas: Any, column: ColumnSchema, cells: Any) -> Any:
    described = column.dtype
    if not described:
        return pandas.Series(cells)
    if described["name"] == "category":
        categories = list(described.get("categories", column.words or ()))
        place = {value: i for i, value in enumerate(categories)}
        index = pandas.Index(categories, dtype=described["of"])
        dtype: Any = pandas.CategoricalDtype(index, described["ordered"])
        codes = [place.get(cell, -1) for cell in cells.tolist()]
        return pandas.Series(pandas.Categorical.from_codes(codes, dtype=dtype))
    dtype = described["name"]
    if described.get("arrow"):
        import pyarrow

        dtype = pandas.ArrowDtype(pyarrow.type_for_alias(dtype.removesuffix("[pyarrow]")))
    elif "storage" in described:
        try:
            na = np.nan if described["na"] == "nan" else pandas.NA
            dtype = pandas.StringDtype(described["storage"], na_value=na)
        except TypeError:  # before 2.3
            dtype = pandas.StringDtype(described["storage"])
    return pandas.Series(cells, dtype=object if cells.dtype == object else None).astype(dtype)


def _arrow_array(arrow: Any, column: ColumnSchema, cells: Any) -> Any:
    described = column.dtype
    cells = cells.tolist()
    if "values" in described:
        place = {value: i for i, value in enumerate(column.words or ())}
        return arrow.DictionaryArray.from_arrays(
            arrow.array([place.get(cell) for cell in cells], described["indices"]),
            arrow.array(list(place), described["values"]),
            ordered=described["ordered"],
        )
    name = described.get("name", "null")
    return arrow.array(cells, None if name == "null" else arrow.type_for_alias(name))


def _narwhals_series(nw: Any, library: str, column: ColumnSchema, cells: Any) -> Any:
    name = column.dtype.get("name")
    dtype = None if name in (None, "Unknown") else getattr(nw, name)
    if name == "Enum":
        dtype = nw.Enum(column.words or ())
    return nw.new_series(column.name, cells.tolist(), dtype, backend=library)
