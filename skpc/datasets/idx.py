"""Reading IDX files, the format of MNIST and its successors."""

import gzip
import math
import zlib

import numpy as np

#: The byte of the header that names the type of the values; all are big-endian.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path):
    """Read an array from an IDX file, compressed with gzip or not.

    The header is two zero bytes, a byte for the type, a byte for the number of axes, and the length
    of every axis as a big-endian 32-bit integer; the values follow in C order.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    ndarray
        In the byte order of the machine, C-contiguous.

    Raises
    ------
    ValueError
        If the file is no IDX file, or does not hold as many values as its header says.
    """
    with open(path, "rb") as file:
        content = file.read()
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is a damaged gzip file: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise ValueError(f"{path} is not an IDX file: it begins with {content[:4]!r}.")
    dtype, n_axes = np.dtype(TYPES[content[2]]), content[3]
    start = 4 + 4 * n_axes
    if len(content) < start:
        raise ValueError(f"{path} ends in its header, after {len(content)} of {start} bytes.")
    shape = tuple(np.frombuffer(content, ">u4", n_axes, 4).tolist())
    size = math.prod(shape) * dtype.itemsize
    if len(content) != start + size:
        raise ValueError(
            f"{path} holds {len(content) - start} bytes of values; its shape {shape} needs {size}."
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))
