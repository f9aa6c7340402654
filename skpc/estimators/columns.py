"""Words that all who handle columns share: their kinds, cuts of their rows, unknown categories."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: Rows that are looked at or encoded at once, so that scoring needs little memory.
CHUNK_ROWS = 1 << 14
#: Kinds of columns beside numpy's "b", "i", "u" and "f": numbers of a categorical dtype, words,
#: and no type, as no cell has a value.
CATEGORY, WORDS, NOTHING = "cwn"


class UnknownCategoryError(ValueError):
    """A value that ``fit`` has not seen, where ``handle_unknown="error"``.

    Parameters
    ----------
    column : int
    value : float
        As it is encoded.
    name : str or int
        Of the column.
    row : int
    shown : str, optional
        The value as the user wrote it.
    """

    def __init__(
        self, column: int, value: float, name: Any, row: int, shown: str | None = None
    ) -> None:
        self.column = column
        self.value = value
        super().__init__(
            f"Column {name!r} holds {f'{value:g}' if shown is None else shown} in row {row}, a "
            "value that did not occur when the model was fitted. Pass NaN where the value is "
            "unknown, remove the row, or fit with handle_unknown='other', which scores it as "
            "unusual."
        )


def chunks(n_rows: int) -> Iterator[slice]:
    """Cuts of a table that are encoded at once, so that scoring needs little memory."""
    for start in range(0, n_rows, CHUNK_ROWS):
        yield slice(start, min(start + CHUNK_ROWS, n_rows))


def merged_kinds(one: list[str], other: list[str]) -> list[str]:
    """Kinds of columns of which some rows had one dtype and some another."""
    return [merged_kind(a, b) for a, b in zip(one, other)]


def merged_kind(a: str, b: str) -> str:
    """Kind of a column of which some rows are of one kind and some of another."""
    if a == b or b == NOTHING:
        return a
    if a == NOTHING:
        return b
    if WORDS in (a, b):
        return WORDS
    return "i" if {a, b} <= set("biu") else "f"
