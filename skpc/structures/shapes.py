"""Columns that lie in a line, an image or a volume: checking the shape that is given."""

import math
import warnings

import numpy as np

from ..utils.numbers import is_whole

#: Square numbers of columns from here on look like images: 8 x 8 are scikit-learn's digits.
LEAST_IMAGE = 64
#: Lines, images, and volumes or images with channels.
MOST_AXES = 3


def resolve_shape(shape, n_variables):
    """The shape in which the columns lie, in C order; a line where none is given.

    Parameters
    ----------
    shape : None, int, or sequence of int
    n_variables : int

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If it is no shape, has too many axes, or has not as many cells as there are columns.

    Warns
    -----
    UserWarning
        If none is given and the columns might be the pixels of a square image.

    Examples
    --------
    >>> resolve_shape((2, 3), 6), resolve_shape(None, 6)
    ((2, 3), (6,))
    """
    if shape is None:
        side = math.isqrt(n_variables)
        if n_variables >= LEAST_IMAGE and side**2 == n_variables:
            warnings.warn(
                f"shape=None takes the {n_variables} columns as a line. If they are the pixels of "
                f"an image, give shape=({side}, {side}), or shape=({n_variables},) for a line.",
                stacklevel=3,
            )
        return (n_variables,)
    sizes = check_axes("shape", shape)
    if math.prod(sizes) != n_variables:
        raise ValueError(
            f"shape={shape!r} has {math.prod(sizes)} cells, but there are {n_variables} columns; "
            "they must be equal."
        )
    return sizes


def check_axes(name, sizes):
    """An argument with a size an axis, as a tuple.

    Raises
    ------
    ValueError
        If it has no axis, more than three, or sizes that are not positive integers.
    """
    found = (sizes,) if np.ndim(sizes) == 0 else tuple(sizes)
    if not 1 <= len(found) <= MOST_AXES or not all(is_whole(size, 1) for size in found):
        raise ValueError(
            f"{name}={sizes!r} must be 1 to {MOST_AXES} integers of at least 1, one an axis."
        )
    return tuple(int(size) for size in found)
