"""Images as rows of a table: patches, colour transforms, and likelihoods in bits."""

import numpy as np

RGB = "red, green, blue"
YCOCG = "Y, Co, Cg"


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
        If the size is no integer that divides the height and the width.

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
    n, height, width, channels = images.shape
    whole = isinstance(size, int | np.integer) and not isinstance(size, bool) and size >= 1
    if not whole or height % size or width % size:
        raise ValueError(
            f"size={size!r} must divide the height {height} and the width {width}, and be an "
            "integer of at least 1."
        )
    parts = images.reshape(n, height // size, size, width // size, size, channels)
    return parts.transpose(0, 1, 3, 5, 2, 4).reshape(-1, channels * size * size)


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
    red, green, blue = np.moveaxis(checked_colours(images, np.uint8, RGB) / 255, -1, 0)
    co = red - blue
    t = blue + co / 2
    cg = green - t
    y = 2 * (t + cg / 2) - 1
    return np.rint((np.stack([y, co, cg], axis=-1) + 1) * 127.5).astype(np.uint8)


def ycocg_to_rgb(images):
    """Colours near those of which `rgb_to_ycocg` made these, at most one step of 255 away.

    Parameters
    ----------
    images : ndarray of shape (..., 3), dtype uint8
        Y, Co, Cg.

    Returns
    -------
    ndarray of shape (..., 3), dtype uint8
    """
    y, co, cg = np.moveaxis(checked_colours(images, np.uint8, YCOCG) / 127.5 - 1, -1, 0)
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
    images = checked_colours(images, np.uint8, RGB)
    red, green, blue = np.moveaxis(images.astype(np.int16), -1, 0)
    co = red - blue
    t = blue + (co >> 1)
    cg = green - t
    y = t + (cg >> 1)
    return np.stack([y, co + np.int16(256), cg + np.int16(256)], axis=-1)


def ycocg_r_to_rgb(images):
    """The colours of which `rgb_to_ycocg_r` made these.

    Parameters
    ----------
    images : ndarray of shape (..., 3), of integers
        Y, Co + 256, Cg + 256.

    Returns
    -------
    ndarray of shape (..., 3), dtype uint8

    Raises
    ------
    ValueError
        If they are no integers, or the transform of no colours.
    """
    images = checked_colours(images, np.integer, YCOCG)
    y, co, cg = np.moveaxis(images.astype(np.int64), -1, 0)
    co, cg = co - 256, cg - 256
    t = y - (cg >> 1)
    blue = t - (co >> 1)
    rgb = np.stack([blue + co, cg + t, blue], axis=-1)
    if rgb.size and (rgb.min() < 0 or rgb.max() > 255):
        raise ValueError(
            f"images holds a triple that is the transform of no colour: it would have a channel of "
            f"{rgb.min() if rgb.min() < 0 else rgb.max()}, outside of 0 to 255."
        )
    return rgb.astype(np.uint8)


def bits_per_dimension(log_likelihood, n_dimensions):
    """Mean code length of a pixel or channel under a model.

    Parameters
    ----------
    log_likelihood : float or array-like
        Natural logarithms of the probabilities of whole images (or patches), as ``score_samples``
        returns them; they are averaged.
    n_dimensions : int
        Columns of a row: height times width times channels.

    Returns
    -------
    float
        -mean(log_likelihood) / (n_dimensions ln 2), in bits.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.datasets import bits_per_dimension
    >>> bits_per_dimension(784 * np.log(1 / 256), 784)
    8.0
    """
    return float(-np.mean(log_likelihood) / (n_dimensions * np.log(2)))


def checked_colours(images, dtype, channels):
    """The array, if it may be an array of colours."""
    images = np.asarray(images)
    if not np.issubdtype(images.dtype, dtype) or images.shape[-1:] != (3,):
        raise ValueError(
            f"images has dtype {images.dtype} and shape {images.shape}; {dtype.__name__} and "
            f"(..., 3) are needed: {channels}."
        )
    return images
