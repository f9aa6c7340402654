"""Compiled kernels on disk: every edit is seen, and any folder that can be written will do."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import skpc
from skpc.backends.numba_cpu import curvature_tiles, kernel_cache, tiles

PACKAGE = Path(skpc.__file__).parent
KERNELS = Path("skpc/backends/numba_cpu")

HELPER = """
from .kernel_cache import kernel

FACTOR = 2.0

@kernel
def scaled(x):
    return FACTOR * x
"""

ENTRY = """
from .kernel_cache import entry_kernel
from .helper import scaled

@entry_kernel
def scale(x):
    return scaled(x)
"""

SCRIPT = """
import json, os
from skpc.backends.numba_cpu import kernel_cache
from skpc.backends.numba_cpu.entry import scale
value = scale(21.0)
print(json.dumps({
    "value": value,
    "hits": sum(scale.stats.cache_hits.values()),
    "hash": kernel_cache._HASH,
    "folder": scale.stats.cache_path,
    "files": len(os.listdir(scale.stats.cache_path)),
}))
"""


@pytest.fixture
def copied(tmp_path):
    """A copy of the package with one small kernel and its helper in two files."""
    shutil.copytree(PACKAGE, tmp_path / "skpc", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / KERNELS / "helper.py").write_text(HELPER)
    (tmp_path / KERNELS / "entry.py").write_text(ENTRY)
    return tmp_path


def run(folder, **environment):
    clean = {"PATH": "", "HOME": str(folder / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=folder, env=clean | environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"told": done.stderr}


def test_an_edited_helper_is_compiled_anew(copied):
    first = run(copied)
    assert first["value"] == 42
    assert first["hits"] == 0
    assert first["told"] == ""  # it does not take long
    assert Path(first["folder"]).parent == copied / KERNELS / "__pycache__"
    assert first["files"] == 2  # the index and the code
    again = run(copied)
    assert (again["value"], again["hits"], again["folder"]) == (42, 1, first["folder"])
    helper = copied / KERNELS / "helper.py"
    helper.write_text(HELPER.replace("2.0", "3.0"))
    edited = run(copied)
    assert (edited["value"], edited["hits"]) == (63, 0)
    assert edited["folder"] != first["folder"]


def test_long_compilations_are_told_when_they_happen(copied):
    assert set(kernel_cache._LONG) <= {*vars(tiles), *vars(curvature_tiles)}
    long = ENTRY.replace("def scale(", "def curve_tiles(") + "\nscale = curve_tiles\n"
    (copied / KERNELS / "entry.py").write_text(long)
    assert run(copied)["told"].startswith("skpc: compiling kernels for second derivatives, once")
    assert run(copied)["told"] == ""


def test_a_package_folder_that_cannot_be_written(copied):
    """The user's cache folder takes over."""
    (copied / KERNELS / "__pycache__").write_text("a file where the folder should be")
    found = run(copied, XDG_CACHE_HOME=str(copied / "cache"))
    assert Path(found["folder"]) == copied / "cache" / "skpc" / f"kernels-{found['hash']}"
    assert found["files"] == 2
    assert found["value"] == 42


@pytest.fixture
def kernels(tmp_path):
    folder = tmp_path / "kernels"
    shutil.copytree(kernel_cache._FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_the_hash_follows_every_file_name_and_text(kernels):
    files = sorted(kernels.glob("*.py"))
    assert {"simd.py", "tiles.py", "plan.py", "dense.py"} <= {f.name for f in files}
    hashes = {kernel_cache.source_hash(kernels)}
    for n, path in enumerate(files, start=2):
        path.write_text(path.read_text() + "\n# edited\n")
        hashes.add(kernel_cache.source_hash(kernels))
        assert len(hashes) == n, path
    (kernels / "more.py").write_text("")
    hashes.add(kernel_cache.source_hash(kernels))
    (kernels / "more.py").rename(kernels / "other.py")
    hashes.add(kernel_cache.source_hash(kernels))
    assert len(hashes) == len(files) + 3


def test_the_hash_follows_the_operation_codes(kernels, tmp_path, monkeypatch):
    """They are constants in the compiled kernels, although their file lies elsewhere."""
    before = kernel_cache.source_hash(kernels)
    program = tmp_path / "program.py"
    shutil.copy(kernel_cache._PROGRAM, program)
    assert "KRONECKER, TRANSPOSE = range(6)" in program.read_text()
    monkeypatch.setattr(kernel_cache, "_PROGRAM", program)
    assert kernel_cache.source_hash(kernels) == before
    program.write_text(program.read_text().replace("range(6)", "range(1, 7)"))
    assert kernel_cache.source_hash(kernels) != before


def test_the_hash_follows_the_compiler(kernels, monkeypatch):
    before = kernel_cache.source_hash(kernels)
    monkeypatch.setattr(kernel_cache.numba, "__version__", "0.0")
    assert kernel_cache.source_hash(kernels) != before


def test_a_folder_named_by_the_user_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert kernel_cache.cache_folder("abc") == tmp_path / "skpc" / "kernels-abc"


def test_a_named_folder_that_cannot_be_written_is_an_error_with_a_way_out(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(blocked))
    with pytest.raises(RuntimeError, match="set NUMBA_CACHE_DIR to one that can"):
        kernel_cache.cache_folder("abc")


def test_the_last_resort_is_a_folder_nobody_could_prepare(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(kernel_cache, "_FOLDER", blocked)
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setattr(kernel_cache.tempfile, "tempdir", str(tmp_path))
    first, second = (kernel_cache.cache_folder("abc") for _ in range(2))
    assert first != second
    assert first.stat().st_mode & 0o077 == 0
