"""Compiled kernels on disk, keyed by the text of every kernel file.

numba's own cache looks at the file that defines a function, not at the files of the
functions it calls, so an edited helper would run stale. Here one hash over all files of
this folder, the file of the operation codes, and numba's version names the folder of the
cache: an edit anywhere means another folder. The cache lies in the package folder, or in
the user's cache folder where that one cannot be written. This is the only file that
touches numba's internals.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numba
from numba.core import caching
from numba.core.options import DefaultOptions
from numba.core.runtime import rtsys

_FOLDER = Path(__file__).parent
#: Its operation codes are constants in the compiled kernels.
_PROGRAM = _FOLDER.parents[1] / "circuit" / "program.py"


def source_hash(folder: Path = _FOLDER) -> str:
    """Hash of the names and texts of all kernel files, and of the versions they compile with."""
    digest = hashlib.sha256(f"{numba.__version__} {sys.version_info[:2]}".encode())
    for path in [*sorted(folder.glob("*.py")), _PROGRAM]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder(hashed: str) -> Path:
    """The first of the candidate folders that can be written, else a new one that is not kept."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        candidates = [Path(os.environ["NUMBA_CACHE_DIR"]) / "skpc"]
    else:
        candidates = [
            _FOLDER / "__pycache__",
            Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "skpc",
        ]
    for base in candidates:
        folder = base / f"kernels-{hashed}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    if os.environ.get("NUMBA_CACHE_DIR"):
        raise RuntimeError(
            f"No file can be written in {candidates[0]} for compiled kernels; set NUMBA_CACHE_DIR "
            "to one that can be written, or unset it."
        )
    # Of this process alone: what lies in a shared folder under a known name anybody could plant.
    return Path(tempfile.mkdtemp(prefix="skpc-kernels-"))


_HASH = source_hash()


class _Locator(caching._CacheLocator):
    def __init__(self, py_func, py_file) -> None:
        self._line = py_func.__code__.co_firstlineno

    def get_cache_path(self):
        return str(_folder())

    def get_source_stamp(self):
        return _HASH

    def get_disambiguator(self):
        return str(self._line)

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func, py_file)


class _Impl(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]


class _Cache(caching.FunctionCache):
    _impl_class = _Impl

    def load_overload(self, sig, target_context):
        # numba would first load all it needs to compile anything, which takes longer than every
        # kernel of a usual fit; machine code needs but its runtime.
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            found = self._load_overload(sig, target_context)
        if found is None:
            _announce(self._py_func.__name__)
        return found


#: Kernels whose compilation is felt: what they are for, and seconds of a core of their own on an
#: AMD EPYC (Zen 3); the rest takes two seconds in all. More where others were not compiled before.
_LONG = {
    "score_tiles": ("scoring", "2 to 15"),
    "learn_tiles": ("learning", "7 to 40"),
    "curve_tiles": ("second derivatives", "30 to 60"),
}


def _announce(name: str) -> None:
    """One line before every long compilation, so that nobody wonders what takes so long."""
    if name in _LONG:
        purpose, seconds = _LONG[name]
        print(
            f"skpc: compiling kernels for {purpose}, once for this precision and kind of circuit, "
            f"{seconds} s of a free core (kept in {_folder()})",
            file=sys.stderr,
            flush=True,
        )


_found: list[Path] = []
_lock = threading.Lock()


def _folder() -> Path:
    with _lock:
        if not _found:
            _found.append(cache_folder(_HASH))
        return _found[0]


#: No references to arrays are counted, where numba can do without: callers keep what kernels read,
#: and threads that change the same counters at every call take each other's cache lines. A kernel
#: cannot make an array so.
_WITHOUT_COUNTS: Any = {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {}
#: No wrapper for callbacks from C, and for inner kernels none for calls from Python.
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
    **_WITHOUT_COUNTS,
}


def kernel(function):
    """A function that other kernels call: compiled into each of them, never stored alone."""
    options = _OPTIONS | {"no_cpython_wrapper": True}
    return numba.njit(**options)(function)


def entry_kernel(function):
    """A kernel that Python calls, kept on disk together with all it calls."""
    dispatcher = numba.njit(**_OPTIONS)(function)
    dispatcher._cache = _Cache(function)
    return dispatcher
