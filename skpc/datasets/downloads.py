"""Where published data lie on this machine, and downloading files with checksums."""

import hashlib
import os
import sys
from pathlib import Path


def data_homes(data_home):
    """Folders to look for data in, in order: the given one, ``SKPC_DATA``, the user's cache."""
    homes = [data_home, os.environ.get("SKPC_DATA"), cache_folder()]
    return [Path(home).expanduser() for home in homes if home]


def cache_folder():
    """Return the folder in which downloads are kept for this user (it need not exist)."""
    if sys.platform == "win32":
        root, otherwise = os.environ.get("LOCALAPPDATA"), "~/AppData/Local"
    elif sys.platform == "darwin":
        root, otherwise = None, "~/Library/Caches"
    else:
        root, otherwise = os.environ.get("XDG_CACHE_HOME"), "~/.cache"
    return Path(root or otherwise).expanduser() / "skpc"


def download_file(url, path, digest, folder):
    """Download a file to `path` and check it; `folder` is where it will be looked for."""
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            f"Downloading {url} needs pooch; install it with `pip install skpc[datasets]`, or name "
            "a folder that has the data in SKPC_DATA."
        ) from error
    try:
        pooch.HTTPDownloader()(url, str(path), None)
    except OSError as error:
        raise OSError(
            f"Could not download {url} ({error}); try again, or put the published files into "
            f"{folder}."
        ) from error
    check_digest(path, digest, url)


def check_digest(path, expected, url):
    """Raise OSError unless the file has the `expected` digest, "sha256:..." or "git-sha1:..."."""
    algorithm = expected.partition(":")[0]
    content = path.read_bytes()
    if algorithm == "git-sha1":
        # Git names a file by this sum; it guards against damage, not against an enemy of SHA-1.
        header = b"blob %d\0" % len(content)
        digest = hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
    else:
        digest = hashlib.new(algorithm, content).hexdigest()
    if f"{algorithm}:{digest}" != expected:
        raise OSError(
            f"{url} has the checksum {algorithm}:{digest}, expected {expected}; the download was "
            "damaged or the file was changed, and nothing was kept. Try again."
        )
