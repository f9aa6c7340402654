"""MNIST, images of handwritten digits: found in a local folder, or downloaded and checked."""

import os
import tempfile
from pathlib import Path

from sklearn.utils import Bunch

from .downloads import data_homes, download_file
from .idx import read_idx

BASE_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
DIGESTS = {
    "train-images-idx3-ubyte.gz": (
        "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}


def fetch_mnist(
    subset: str = "train",
    *,
    data_home: str | os.PathLike | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Load the training or the test images of MNIST [1]_, downloading them if necessary.

    The two files of the subset, as published (``t10k-images-idx3-ubyte.gz`` ...), are looked for
    in the folder ``mnist`` of `data_home`, then of the folder that the environment variable
    ``SKPC_DATA`` names, then of the user's cache (``~/.cache/skpc`` on Linux). What is found is
    used as it is; only its shape is checked. Otherwise both are downloaded, with checksums, into
    `data_home` if given, else into the cache.

    Parameters
    ----------
    subset : {"train", "test"}, default="train"
        60 000 or 10 000 images.
    data_home : path-like, default=None
        A folder to look in first, and to download into.
    download_if_missing : bool, default=True
        If False, raise an error instead of downloading.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        With the attributes

        images : ndarray of shape (n, 28, 28), dtype uint8
            Ink, 0 to 255.
        labels : ndarray of shape (n,), dtype uint8
        DESCR : str

    Raises
    ------
    FileNotFoundError
        If the files are not there and `download_if_missing` is False.
    ImportError
        If a download is needed and pooch is not installed.
    OSError
        If the download fails or a checksum differs.
    ValueError
        If `subset` is unknown or a file is damaged.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to
       document recognition", Proceedings of the IEEE 86, 1998.

    Examples
    --------
    >>> from skpc.datasets import fetch_mnist
    >>> fetch_mnist("test").images.shape  # doctest: +SKIP
    (10000, 28, 28)
    """
    if subset not in FILES:
        raise ValueError(f"subset={subset!r} is not known; use one of {tuple(FILES)}.")
    folders = [home / "mnist" for home in data_homes(data_home)]
    folder = next((f for f in folders if all((f / n).is_file() for n in FILES[subset])), None)
    if folder is None:
        if not download_if_missing:
            places = ", ".join(str(folder) for folder in folders)
            raise FileNotFoundError(
                f"The files {' and '.join(FILES[subset])} are in none of {places}; put them there "
                "or pass download_if_missing=True."
            )
        folder = folders[0] if data_home else folders[-1]
        for name in FILES[subset]:
            download(name, folder)
    images, labels = (read_idx(folder / name) for name in FILES[subset])
    if images.shape != (len(labels), 28, 28):
        raise ValueError(
            f"{folder} has images of shape {images.shape} and {len(labels)} labels; "
            f"({len(labels)}, 28, 28) is needed."
        )
    descr = f"MNIST: {len(images)} {subset} images of 28 x 28 pixels, handwritten digits.\n"
    return Bunch(images=images, labels=labels, DESCR=descr)


def download(name, folder):
    """Download one file, check it and put it into the folder at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as scratch:
        path = Path(scratch) / name
        download_file(BASE_URL + name, path, DIGESTS[name], folder)
        path.replace(folder / name)
