"""Images as rows of a table: patches, colour transforms, and likelihoods in bits."""

import math

import numpy as np

from ..utils.numbers import is_number, is_whole


def extract_patches(images, size):
    """Cut images into square patches that do not overlap, one row each.

    Parameters
    ----------
    images : ndarray of shape (n, height, width) or (n, height, width, channels)
    size : int
        Side of a patch; it must divide height and width.

    Returns
    -------
    ndarray of shape (n_patches, channels * size * size)
        Patches of an image follow each other, row by row. A row is a patch of shape
        (channels, size, size) in C order, which is what structures with a ``shape`` expect.

    Raises
    ------
    ValueError
        If the size is no positive integer that divides the height and the width.

    See Also
    --------
    assemble_patches : The images again.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.datasets import extract_patches
    >>> extract_patches(np.arange(16).reshape(1, 4, 4), 2)
    array([[ 0,  1,  4,  5],
           [ 2,  3,  6,  7],
           [ 8,  9, 12, 13],
           [10, 11, 14, 15]])
    """
    images = np.asarray(images)
    if images.ndim not in (3, 4):
        raise ValueError(
            f"images has shape {images.shape}; (n, height, width) or (n, height, width, channels) "
            "is needed."
        )
    if images.ndim == 3:
        images = images[..., None]
    if not is_whole(size, 1):
        raise ValueError(f"size={size!r} must be an integer of at least 1.")
    n, height, width, channels = images.shape
    if height % size or width % size:
        raise ValueError(f"size={size} must divide the height {height} and the width {width}.")
    parts = images.reshape(n, height // size, size, width // size, size, channels)
    return parts.transpose(0, 1, 3, 5, 2, 4).reshape(-1, channels * size * size)


def assemble_patches(patches, shape):
    """Put patches together again: the images that `extract_patches` cut into these.

    Parameters
    ----------
    patches : array-like of shape (n_patches, channels * size * size)
        Patches of an image follow each other, row by row, and each has the shape
        (channels, size, size) in C order: rows that `extract_patches` made, or samples of a model
        that has learnt such rows.
    shape : tuple of int
        Of an image: (height, width) or (height, width, channels).

    Returns
    -------
    ndarray of shape (n, height, width) or (n, height, width, channels)

    Raises
    ------
    ValueError
        If the columns are no square patches that tile such an image, or if there are not as many
        patches as whole images need.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.datasets import assemble_patches, extract_patches
    >>> images = np.arange(72).reshape(2, 4, 3, 3)
    >>> patches = extract_patches(images[:, :, :2], 2)
    >>> bool((assemble_patches(patches, (4, 2, 3)) == images[:, :, :2]).all())
    True
    """
    patches = np.asarray(patches)
    sizes = tuple(shape) if np.ndim(shape) else (shape,)
    if len(sizes) not in (2, 3) or not all(is_whole(size, 1) for size in sizes):
        raise ValueError(
            f"shape={shape!r} must be (height, width) or (height, width, channels) of one image."
        )
    if patches.ndim != 2:
        raise ValueError(f"patches has shape {patches.shape}; a row a patch is needed.")
    height, width, channels = (*sizes, 1)[:3]
    n_patches, n_columns = patches.shape
    size = math.isqrt(n_columns // channels)
    if size < 1 or channels * size**2 != n_columns or height % size or width % size:
        raise ValueError(
            f"patches has {n_columns} columns; an image of shape={shape!r} is tiled by patches of "
            f"{channels} * size * size columns, where size divides {height} and {width}."
        )
    down, across = height // size, width // size
    if n_patches % (down * across):
        raise ValueError(
            f"patches has {n_patches} rows; an image of shape={shape!r} needs {down * across} of "
            f"them, and whole images a multiple of that."
        )
    parts = patches.reshape(-1, down, across, channels, size, size)
    return parts.transpose(0, 1, 4, 2, 5, 3).reshape(-1, *sizes)


def rgb_to_ycocg(images):
    """Colours as luma and two differences, each in 256 steps; some are lost by rounding [1]_.

    For channels in [0, 1]: Co = R - B, t = B + Co/2, Cg = G - t, Y = t + Cg/2. Y is stretched to
    [-1, 1], where Co and Cg lie, and all three are rounded to 256 steps of that interval.

    Parameters
    ----------
    images : ndarray of shape (..., 3), dtype uint8
        Red, green, blue.

    Returns
    -------
    ndarray of shape (..., 3), dtype uint8
        Y, Co, Cg.

    References
    ----------
    .. [1] H. Malvar and G. Sullivan, "YCoCg-R: a color space with RGB reversibility and low dynamic
       range", JVT-I014r3, 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.datasets import rgb_to_ycocg
    >>> rgb_to_ycocg(np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0]], dtype=np.uint8))
    array([[  0, 128, 128],
           [255, 128, 128],
           [ 64, 255,  64]], dtype=uint8)
    """
    red, green, blue = np.moveaxis(checked_rgb(images) / 255, -1, 0)
    co = red - blue
    t = blue + co / 2
    cg = green - t
    y = 2 * (t + cg / 2) - 1
    return np.rint((np.stack([y, co, cg], axis=-1) + 1) * 127.5).astype(np.uint8)


def ycocg_to_rgb(images):
    """Colours near those of which `rgb_to_ycocg` made these, at most one step of 255 away.

    Parameters
    ----------
    images : array-like of shape (..., 3)
        Y, Co, Cg: numbers from 0 to 255, also between the steps. Those of which there is no
        colour, as a model may draw them, become the byte that is nearest in every channel.

    Returns
    -------
    ndarray of shape (..., 3), dtype uint8

    Raises
    ------
    ValueError
        For numbers outside of 0 to 255, and for NaN.
    """
    images = checked_triples(images)
    if images.size and not (images.min() >= 0 and images.max() <= 255):
        raise ValueError(
            f"images holds numbers from {images.min()} to {images.max()}; Y, Co and Cg are numbers "
            "from 0 to 255: clip them, as images.clip(0, 255), and fill in missing ones."
        )
    y, co, cg = np.moveaxis(images / 127.5 - 1, -1, 0)
    t = (y + 1) / 2 - cg / 2
    blue = t - co / 2
    rgb = np.stack([blue + co, cg + t, blue], axis=-1)
    return np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)


def rgb_to_ycocg_r(images):
    """Colours as luma and two differences, without loss [1]_.

    As `rgb_to_ycocg`, in whole numbers with halves rounded down. Co and Cg, which lie between -255
    and 255, are shifted by 256: columns of 512 categories. The likelihood of the result is that of
    the image, for the transform is one to one.

    Parameters
    ----------
    images : ndarray of shape (..., 3), dtype uint8
        Red, green, blue.

    Returns
    -------
    ndarray of shape (..., 3), dtype int16
        Y from 0 to 255; Co and Cg from 1 to 511.

    References
    ----------
    .. [1] H. Malvar and G. Sullivan, "YCoCg-R: a color space with RGB reversibility and low dynamic
       range", JVT-I014r3, 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.datasets import rgb_to_ycocg_r, ycocg_r_to_rgb
    >>> colours = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 1]], dtype=np.uint8)
    >>> rgb_to_ycocg_r(colours)
    array([[  0, 256, 256],
           [255, 256, 256],
           [ 64, 510, 128]], dtype=int16)
    >>> ycocg_r_to_rgb(rgb_to_ycocg_r(colours)).tolist()
    [[0, 0, 0], [255, 255, 255], [255, 0, 1]]
    """
    images = checked_rgb(images)
    red, green, blue = np.moveaxis(images.astype(np.int16), -1, 0)
    co = red - blue
    t = blue + (co >> 1)
    cg = green - t
    y = t + (cg >> 1)
    return np.stack([y, co + np.int16(256), cg + np.int16(256)], axis=-1)


def ycocg_r_to_rgb(images, *, clip=False):
    """The colours of which `rgb_to_ycocg_r` made these.

    Parameters
    ----------
    images : array-like of shape (..., 3), of whole numbers
        Y, Co + 256, Cg + 256.
    clip : bool, default=False
        Whether triples that are the transform of no colour, as a model may draw them, become the
        byte that is nearest in every channel, instead of being refused.

    Returns
    -------
    ndarray of shape (..., 3), dtype uint8

    Raises
    ------
    ValueError
        For numbers that are not whole, and for triples that are the transform of no colour.
    """
    images = checked_triples(images)
    whole = np.isfinite(images) & (images == np.floor(images)) & (np.abs(images) < 2**31)
    if not whole.all():
        raise ValueError(
            f"images holds {images[~whole][0]}; Y, Co + 256 and Cg + 256 are whole numbers, as "
            "rgb_to_ycocg_r makes them: round others, and fill in missing ones."
        )
    y, co, cg = np.moveaxis(images.astype(np.int64), -1, 0)
    co, cg = co - 256, cg - 256
    t = y - (cg >> 1)
    blue = t - (co >> 1)
    rgb = np.stack([blue + co, cg + t, blue], axis=-1)
    if not clip and rgb.size and (rgb.min() < 0 or rgb.max() > 255):
        raise ValueError(
            f"images holds a triple that is the transform of no colour: it would have a channel of "
            f"{rgb.min() if rgb.min() < 0 else rgb.max()}, outside of 0 to 255. Samples of a model "
            "may have such triples; clip=True takes the nearest bytes."
        )
    return rgb.clip(0, 255).astype(np.uint8)


def bits_per_dimension(log_likelihood, n_dimensions):
    """Mean code length of a pixel or channel under a model.

    Parameters
    ----------
    log_likelihood : float or array-like
        Natural logarithms of the probabilities of whole images (or patches), as ``score_samples``
        returns them; they are averaged. They must be probabilities, which categorical, binomial,
        discretised logistic and count leaves have: the densities of continuous leaves, such as
        Gaussian ones, give numbers that are no code lengths, change with the units and may be
        negative. ``leaves_`` of an estimator tells which leaves it has.
    n_dimensions : int
        Columns of a row: height times width times channels.

    Returns
    -------
    float
        -mean(log_likelihood) / (n_dimensions ln 2), in bits.

    Raises
    ------
    ValueError
        If the number of dimensions is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.datasets import bits_per_dimension
    >>> bits_per_dimension(784 * np.log(1 / 256), 784)
    8.0
    """
    if not (is_number(n_dimensions) and 0 < n_dimensions < np.inf):
        raise ValueError(
            f"n_dimensions={n_dimensions!r} must be a positive number: the columns of a row, such "
            "as height * width * channels."
        )
    return float(-np.mean(log_likelihood) / (n_dimensions * np.log(2)))


def checked_rgb(images):
    """The array, if it may be an array of colours."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.shape[-1:] != (3,):
        raise ValueError(
            f"images has dtype {images.dtype} and shape {images.shape}; uint8 and (..., 3) are "
            "needed: red, green, blue."
        )
    return images


def checked_triples(images):
    """The array, if it is one of numbers in threes."""
    images = np.asarray(images)
    if images.dtype.kind not in "iuf" or images.shape[-1:] != (3,):
        raise ValueError(
            f"images has dtype {images.dtype} and shape {images.shape}; numbers and (..., 3) are "
            "needed: Y, Co, Cg."
        )
    return images
