"""Sequences of tokens as rows of a table."""

import numpy as np

from ..utils.numbers import is_whole


def chunk_tokens(tokens, length, *, remainder="drop"):
    """Cut a long sequence of tokens, or several, into rows of one length.

    Parameters
    ----------
    tokens : array-like of int, or list of array-likes of int
        One sequence, or several; no row holds tokens of two of them.
    length : int
        Tokens of a row.
    remainder : {"drop", "missing"}, default="drop"
        What becomes of the end of a sequence that does not fill a row: it is left out, or fills a
        row with NaN after it, which is integrated out exactly.

    Returns
    -------
    ndarray of shape (n_rows, length)
        Integers; float64 with ``remainder="missing"``.

    Raises
    ------
    ValueError
        If there are tokens that are no whole numbers of at least 0, or an argument is not allowed.

    Examples
    --------
    >>> from skpc.datasets import chunk_tokens
    >>> chunk_tokens([7, 1, 2, 9, 4], 2)
    array([[7, 1],
           [2, 9]])
    >>> chunk_tokens([[7, 1, 2], [9]], 2, remainder="missing")
    array([[ 7.,  1.],
           [ 2., nan],
           [ 9., nan]])
    """
    if remainder not in ("drop", "missing"):
        raise ValueError(f"remainder={remainder!r} is not known; use 'drop' or 'missing'.")
    if not is_whole(length, 1):
        raise ValueError(f"length={length!r} must be an integer of at least 1.")
    several = isinstance(tokens, list | tuple) and any(np.ndim(part) for part in tokens)
    rows = []
    for part in tokens if several else [tokens]:
        part = np.asarray(part)
        if part.ndim != 1 or (part.size and part.dtype.kind not in "iu"):
            raise ValueError(
                f"tokens holds a sequence of dtype {part.dtype} and shape {part.shape}; one axis "
                "of integers of at least 0 is needed."
            )
        if not part.size:
            continue  # an empty list is one of floats
        if part.min() < 0:
            place = int(np.argmax(part < 0))
            raise ValueError(
                f"tokens holds {part[place]}, at place {place} of a sequence; tokens are integers "
                "of at least 0: leave such ones out, or number all tokens anew from 0."
            )
        if remainder == "missing":
            part = np.append(part.astype(np.float64), np.full(-part.size % length, np.nan))
        rows.append(part[: part.size // length * length].reshape(-1, length))
    if not rows:
        return np.zeros((0, length), dtype=np.int64 if remainder == "drop" else np.float64)
    return np.concatenate(rows)
