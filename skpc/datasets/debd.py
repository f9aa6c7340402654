"""The binary density-estimation benchmarks: found in a local folder, or downloaded and checked."""

import os
import tempfile
from importlib import resources
from pathlib import Path

from sklearn.utils import Bunch

from .binary_text import read_binary_table
from .downloads import data_homes, download_file

COMMIT = "37d53c1a8ba488d0a39e8c64bd3387577080b143"
REPOSITORY = "UCLA-StarAI/Density-Estimation-Datasets"
BASE_URL = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/datasets/"
SPLITS = ("train", "valid", "test")

LOWD_DAVIS = (
    "D. Lowd and J. Davis. Learning Markov network structure with decision trees. ICDM 2010."
)
VAN_HAAREN_DAVIS = (
    "J. Van Haaren and J. Davis. Markov network structure learning: a randomized feature "
    "generation approach. AAAI 2012."
)
BEKKER = (
    "J. Bekker, J. Davis, A. Choi, A. Darwiche and G. Van den Broeck. Tractable learning for "
    "complex probability queries. NIPS 2015."
)
LAROCHELLE_MURRAY = (
    "H. Larochelle and I. Murray. The neural autoregressive distribution estimator. AISTATS 2011."
)

# The usual twenty first, by number of columns as in the papers' tables; then the eight others.
TITLES_AND_SOURCES = {
    "nltcs": ("NLTCS", LOWD_DAVIS),
    "msnbc": ("MSNBC", LOWD_DAVIS),
    "kdd": ("KDD Cup 2000", LOWD_DAVIS),
    "plants": ("Plants", LOWD_DAVIS),
    "baudio": ("Audio", LOWD_DAVIS),
    "jester": ("Jester", LOWD_DAVIS),
    "bnetflix": ("Netflix", LOWD_DAVIS),
    "accidents": ("Accidents", VAN_HAAREN_DAVIS),
    "tretail": ("Retail", VAN_HAAREN_DAVIS),
    "pumsb_star": ("Pumsb-star", VAN_HAAREN_DAVIS),
    "dna": ("DNA", VAN_HAAREN_DAVIS),
    "kosarek": ("Kosarek", VAN_HAAREN_DAVIS),
    "msweb": ("MSWeb", LOWD_DAVIS),
    "book": ("Book", LOWD_DAVIS),
    "tmovie": ("EachMovie", LOWD_DAVIS),
    "cwebkb": ("WebKB", LOWD_DAVIS),
    "cr52": ("Reuters-52", LOWD_DAVIS),
    "c20ng": ("20 Newsgroups", LOWD_DAVIS),
    "bbc": ("BBC", VAN_HAAREN_DAVIS),
    "ad": ("Ad", VAN_HAAREN_DAVIS),
    "mushrooms": ("Mushrooms", LAROCHELLE_MURRAY),
    "adult": ("Adult", LAROCHELLE_MURRAY),
    "connect4": ("Connect 4", LAROCHELLE_MURRAY),
    "ocr_letters": ("OCR letters", LAROCHELLE_MURRAY),
    "rcv1": ("RCV1", LAROCHELLE_MURRAY),
    "nips": ("NIPS", LAROCHELLE_MURRAY),
    "moviereview": ("Movie reviews", BEKKER),
    "voting": ("Voting", BEKKER),
}
DEBD_NAMES = tuple(TITLES_AND_SOURCES)


def fetch_debd(
    name: str,
    *,
    data_home: str | os.PathLike | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Load one of 28 binary density-estimation benchmarks, downloading it if necessary.

    The three files ``debd/<name>/<name>.{train,valid,test}.data`` are looked for in `data_home`,
    then in the folder that the environment variable ``SKPC_DATA`` names, then in the user's cache
    (``~/.cache/skpc`` on Linux). The first of these that has the set is used as it is; only its
    shape and values are checked. Otherwise the set is downloaded, with a checksum for every file,
    from one commit of the public collection [1]_ into `data_home` if given, else into the cache.

    Parameters
    ----------
    name : str
        One of ``skpc.datasets.DEBD_NAMES``: the twenty usual sets are the first twenty of these.
    data_home : path-like, default=None
        A folder to look in first, and to download into.
    download_if_missing : bool, default=True
        If False, raise an error instead of downloading.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        With the attributes

        train, valid, test : ndarray of shape (n_rows, n_columns), dtype uint8
            Zeros and ones, C-contiguous, in the published order.
        name : str
            As given.
        DESCR : str
            Title, shape and source.

    Raises
    ------
    FileNotFoundError
        If the set is not there and `download_if_missing` is False, or a folder has only some of
        its files.
    ImportError
        If a download is needed and pooch is not installed.
    OSError
        If the download fails or a checksum differs.
    ValueError
        If `name` is unknown or a file is not a 0/1 table with the columns of the other two.

    References
    ----------
    .. [1] https://github.com/UCLA-StarAI/Density-Estimation-Datasets

    Examples
    --------
    >>> from skpc.datasets import fetch_debd
    >>> nltcs = fetch_debd("nltcs")  # doctest: +SKIP
    >>> nltcs.train.shape, nltcs.valid.shape, nltcs.test.shape  # doctest: +SKIP
    ((16181, 16), (2157, 16), (3236, 16))
    """
    if name not in TITLES_AND_SOURCES:
        raise ValueError(f"name={name!r} is not a known set; choose from {', '.join(DEBD_NAMES)}.")

    folders = [home / "debd" / name for home in data_homes(data_home)]
    folder = next((folder for folder in folders if holds_set(folder, name)), None)
    if folder is None:
        if not download_if_missing:
            places = ", ".join(str(folder) for folder in folders)
            raise FileNotFoundError(
                f"The set {name!r} is in none of {places}; put its files there or pass "
                "download_if_missing=True."
            )
        folder = folders[0] if data_home else folders[-1]
        download(name, folder)

    tables = {}
    for split in SPLITS:
        path = folder / file_name(name, split)
        tables[split] = read_binary_table(path)
        n_columns = tables["train"].shape[1]
        if tables[split].shape[1] != n_columns:
            raise ValueError(
                f"{path}, line 1: {tables[split].shape[1]} values, but "
                f"{file_name(name, 'train')} beside it has {n_columns} columns."
            )
    return Bunch(**tables, name=name, DESCR=describe(name, tables))


def file_name(name, split):
    """Return the published name of the file of one split."""
    return f"{name}.{split}.data"


def holds_set(folder, name):
    """Tell whether `folder` has the set; having a part of it is an error: parts must not mix."""
    missing = [file_name(name, split) for split in SPLITS]
    missing = [file for file in missing if not (folder / file).is_file()]
    if 0 < len(missing) < len(SPLITS):
        raise FileNotFoundError(
            f"{folder} lacks {' and '.join(missing)}; complete the folder or remove it."
        )
    return not missing


def download(name, folder):
    """Download the three files of a set, check them and put them into the new `folder` at once.

    They are gathered in a temporary folder beside it, which is then renamed: other processes see
    all of the set or nothing, and an interrupted download leaves nothing behind.
    """
    digests = read_registry()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder.parent) as scratch:
        # A folder of our own making below: mkdtemp's can be read by its owner only.
        gathered = Path(scratch) / name
        gathered.mkdir()
        for split in SPLITS:
            path = gathered / file_name(name, split)
            key = f"{name}/{path.name}"
            download_file(BASE_URL + key, path, digests[key], folder)
        try:
            gathered.rename(folder)
        except OSError:
            # Another process may have been quicker; its files passed the same checks.
            if not holds_set(folder, name):
                raise


def read_registry():
    """Return {"<name>/<file>": "<algorithm>:<hexadecimal digest>"} for every published file."""
    text = resources.files(__package__).joinpath("debd_registry.txt").read_text("utf-8")
    return dict(line.split() for line in text.splitlines() if not line.startswith("#"))


def describe(name, tables):
    """Write the description of a loaded set."""
    title, source = TITLES_AND_SOURCES[name]
    rows = ", ".join(f"{len(tables[split])} {split}" for split in SPLITS)
    return (
        f"{title}: {tables['train'].shape[1]} binary variables; rows: {rows}.\n\n"
        f"Published in {source}\n"
    )
