"""Data frames as the rest of the estimator reads tables: rows of numbers, cut when needed.

Columns of numbers stay in the frame they came in. Words become whole numbers, one code of few
bytes a cell. Rows are put together tile by tile, so that no second copy of the frame is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from .columns import NOTHING, WORDS, UnknownCategoryError, chunks
from .frame_schema import ColumnSchema, FrameSchema


class Column:
    """Cells of one column, as numbers.

    Parameters
    ----------
    schema : ColumnSchema
        What it was in its frame.
    """

    def __init__(self, schema: ColumnSchema) -> None:
        self.schema = schema

    def cells(self, rows: Any) -> np.ndarray:
        """The cells at a slice or an array of rows; NaN where one is missing."""
        raise NotImplementedError

    def distinct(self, rows: Any) -> np.ndarray:
        """The different numbers in these rows, sorted."""
        return np.unique(self.cells(rows))


class BufferColumn(Column):
    """Numbers in an array that the frame owns."""

    def __init__(self, schema: ColumnSchema, values: np.ndarray) -> None:
        super().__init__(schema)
        self._values = values

    def cells(self, rows):
        return self._values[rows]


class SeriesColumn(Column):
    """Numbers with nulls, or in pieces: converted as they are needed."""

    def __init__(self, schema: ColumnSchema, series: Any, is_pandas: bool) -> None:
        super().__init__(schema)
        self._series = series
        self._is_pandas = is_pandas

    def cells(self, rows):
        if self._is_pandas:
            part = self._series.to_native().iloc[rows]
            return part.to_numpy(dtype=np.float64, na_value=np.nan)
        import narwhals.stable.v2 as nw

        return self._series[rows].cast(nw.Float64).to_numpy()


class CodedColumn(Column):
    """Small whole numbers, each of which stands for a value.

    Parameters
    ----------
    schema : ColumnSchema
    codes : ndarray of unsigned int, shape (n,)
    values : ndarray of shape (n_values + 1,)
        What the codes stand for; the last one is NaN, for missing cells.
    words : list of str, optional
        What the codes stand for in a column of words.
    """

    def __init__(
        self,
        schema: ColumnSchema,
        codes: np.ndarray,
        values: np.ndarray,
        words: list[str] | None = None,
    ) -> None:
        super().__init__(schema)
        self._codes = codes
        self._values = values
        self._words = words

    def cells(self, rows):
        return self._values[self._codes[rows]]

    def distinct(self, rows):
        return np.unique(self._values[self._appearing(rows)])

    def numbered(self, known: ColumnSchema | None, grows: str | None, rows: Any) -> CodedColumn:
        """Words with the numbers that they have in ``known``, and new ones after them.

        Parameters
        ----------
        known : ColumnSchema or None
            Of the earlier rows.
        grows : {"sorted", "appearance"} or None
            How words that are not known join the schema; None: they do not.
        rows : slice or ndarray of int
            Those that count.
        """
        assert self._words is not None
        words = self._words
        if known is None or known.words is None:
            known = replace(self.schema, words=tuple(words[: self.schema.declared]))
        if grows:
            new = [words[i] for i in self._appearing(rows) if i < len(words)]
            new = [word for word in new if word not in known.numbers_of_words]
            if new:
                new = sorted(new) if grows == "sorted" else new
                known = replace(known, words=(known.words or ()) + tuple(new))
        numbers = known.numbers_of_words
        # A word that is not known gets a number of its own, by which it can be named.
        beyond = len(numbers)
        values = np.full(len(words) + 1, np.nan)
        for i, word in enumerate(words):
            values[i] = numbers.get(word, beyond)
            beyond += values[i] == beyond
        return CodedColumn(known, self._codes, values, words)

    def word_of(self, value: float) -> str | None:
        """The word that has this number."""
        place = np.flatnonzero(self._values == value)
        return None if self._words is None or not place.size else self._words[place[0]]

    def _appearing(self, rows: Any) -> list[int]:
        """Codes in these rows, in the order in which they first appear."""
        found: dict[int, None] = {}
        codes = self._codes[rows]
        for part in chunks(len(codes)):
            values, first = np.unique(codes[part], return_index=True)
            found.update(dict.fromkeys(values[np.argsort(first)].tolist()))
        return list(found)


class FrameTable:
    """A data frame that can be cut like an array of float64.

    ``X[rows]`` is an array, for a slice, a mask or numbers of rows; ``X[rows, j]`` has the
    cells of one column.

    Parameters
    ----------
    library : str
    columns : list of Column
    n_rows : int
    rows : ndarray of int, optional
        The rows of the columns that the table has; all by default.
    """

    ndim = 2
    dtype = np.dtype(np.float64)

    def __init__(
        self, library: str, columns: list[Column], n_rows: int, rows: np.ndarray | None = None
    ) -> None:
        self.columns = columns
        self._library = library
        self._n_rows = n_rows
        self._rows = rows

    @property
    def schema(self) -> FrameSchema:
        """What a fitted estimator remembers of it."""
        return FrameSchema(self._library, tuple(column.schema for column in self.columns))

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), len(self.columns)

    def __len__(self) -> int:
        return self._n_rows if self._rows is None else len(self._rows)

    def _of_columns(self, rows: Any) -> Any:
        """Rows of this table as rows of its columns."""
        if self._rows is not None:
            return self._rows[rows]
        is_mask = isinstance(rows, np.ndarray) and rows.dtype.kind == "b"
        return np.flatnonzero(rows) if is_mask else rows

    def __getitem__(self, part: Any) -> np.ndarray:
        if isinstance(part, tuple):
            return self.columns[part[1]].cells(self._of_columns(part[0]))
        rows = self._of_columns(part)
        n = len(range(*rows.indices(self._n_rows))) if isinstance(rows, slice) else len(rows)
        out = np.empty((n, len(self.columns)))
        for j, column in enumerate(self.columns):
            out[:, j] = column.cells(rows)
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def distinct(self, j: int) -> np.ndarray:
        """The different numbers in a column, sorted, with NaN where cells are missing."""
        return self.columns[j].distinct(self._of_columns(slice(None)))

    def kept(self, mask: np.ndarray) -> FrameTable:
        """The rows that a mask names, not copied."""
        rows = np.flatnonzero(mask)
        return FrameTable(self._library, self.columns, self._n_rows, self._of_columns(rows))

    def settled(self, known: FrameSchema | None, grows: str | None) -> FrameTable:
        """The table with words numbered as in an earlier one.

        Parameters
        ----------
        known : FrameSchema or None
            Of the earlier table.
        grows : {"sorted", "appearance"} or None
            How words that it does not know join it. None: they get numbers beyond all
            others.

        Raises
        ------
        ValueError
            For words in a column of numbers, and for numbers in one of words.
        """
        columns: list[Column] = []
        rows = self._of_columns(slice(None))
        for j, column in enumerate(self.columns):
            old = None if known is None else known.columns[j]
            is_new = grows is not None and (old is None or old.kind == NOTHING)
            if column.schema.kind == WORDS:
                assert isinstance(column, CodedColumn)
                if not is_new and (old is None or old.words is None):
                    column = self._without_words(column, rows)
                else:
                    column = column.numbered(old, grows, rows)
            elif old is not None and old.words is not None:
                values = column.distinct(rows)
                values = values[values == values]
                if values.size:
                    raise ValueError(
                        f"Column {column.schema.name!r} holds {values[0]:g}, but held words when "
                        "the model was fitted. Pass words, or None for missing."
                    )
            columns.append(column)
        return FrameTable(self._library, columns, self._n_rows, self._rows)

    def _without_words(self, column: CodedColumn, rows: Any) -> Column:
        values = column.numbered(None, "sorted", rows)
        seen = values.distinct(rows)
        if seen[seen == seen].size:
            raise ValueError(
                f"Column {column.schema.name!r} holds {values.word_of(seen[0])!r}, but held no "
                "words when the model was fitted. Pass numbers, or NaN for missing."
            )
        return values

    @contextmanager
    def words_named(self) -> Iterator[None]:
        """Errors about a category never seen name the word, and its row in the user's table."""
        try:
            yield
        except UnknownCategoryError as error:
            column = self.columns[error.column]
            word = column.word_of(error.value) if isinstance(column, CodedColumn) else None
            if word is None:
                raise
            row = int(np.flatnonzero(column.cells(self._of_columns(slice(None))) == error.value)[0])
            if self._rows is not None:
                row = int(self._rows[row])
            raise UnknownCategoryError(
                error.column, error.value, column.schema.name, row, repr(word)
            ) from None
