import functools
import hashlib
import http.server
import os
import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from skpc.datasets import DEBD_NAMES, debd, downloads, fetch_debd

TEXTS = {"train": "0,1,1\n1,0,0\n", "valid": "1,1,1\n", "test": "0,0,0\n0,1,0\n1,0,1\n"}
TABLES = {"train": [[0, 1, 1], [1, 0, 0]], "valid": [[1, 1, 1]]}

# (columns, train, valid, test rows) as published.
LOCAL_SHAPES = {
    "nltcs": (16, 16181, 2157, 3236),
    "plants": (69, 17412, 2321, 3482),
    "baudio": (100, 15000, 2000, 3000),
    "jester": (100, 9000, 1000, 4116),
    "accidents": (111, 12758, 1700, 2551),
    "dna": (180, 1600, 400, 1186),
}


def write_set(folder, name="nltcs", **changes):
    folder.mkdir(parents=True)
    for split, text in {**TEXTS, **changes}.items():
        if text is not None:
            (folder / f"{name}.{split}.data").write_bytes(text.encode())
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache in a temporary folder, and no SKPC_DATA: the real ones stay out of sight."""
    folder = tmp_path / "cache"
    monkeypatch.delenv("SKPC_DATA", raising=False)
    monkeypatch.setattr(downloads, "cache_folder", lambda: folder)
    return folder


@pytest.fixture
def no_download(monkeypatch):
    def refuse(name, folder):
        raise AssertionError("tried to download")

    monkeypatch.setattr(debd, "download", refuse)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, cache, monkeypatch):
    """The public layout served on loopback; returns the folder that is served."""
    pytest.importorskip("pooch", reason="downloads need pooch")
    public = tmp_path / "public"
    write_set(public / "nltcs")
    handler = functools.partial(QuietHandler, directory=str(public))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(debd, "BASE_URL", f"http://127.0.0.1:{httpd.server_port}/")
        registry = {
            f"nltcs/nltcs.{split}.data": "sha256:" + hashlib.sha256(text.encode()).hexdigest()
            for split, text in TEXTS.items()
        }
        monkeypatch.setattr(debd, "read_registry", lambda: registry)
        yield public
        httpd.shutdown()
        thread.join()


# Local folders ---------------------------------------------------------------------------------


def test_data_home_then_environment_then_cache(tmp_path, cache, no_download, monkeypatch):
    write_set(cache / "debd" / "nltcs", valid="0,0,0\n")
    assert fetch_debd("nltcs").valid.tolist() == [[0, 0, 0]]

    write_set(tmp_path / "environment" / "debd" / "nltcs", valid="0,0,1\n")
    monkeypatch.setenv("SKPC_DATA", str(tmp_path / "environment"))
    assert fetch_debd("nltcs").valid.tolist() == [[0, 0, 1]]

    home = tmp_path / "home"
    assert fetch_debd("nltcs", data_home=home).valid.tolist() == [[0, 0, 1]]
    write_set(home / "debd" / "nltcs")
    for given in (home, str(home)):
        assert fetch_debd("nltcs", data_home=given).valid.tolist() == [[1, 1, 1]]


def test_bunch(tmp_path, cache):
    write_set(tmp_path / "debd" / "nltcs")
    dataset = fetch_debd("nltcs", data_home=tmp_path)
    assert set(dataset) == {"train", "valid", "test", "name", "DESCR"}
    assert dataset.name == "nltcs"
    assert "3 binary variables; rows: 2 train, 1 valid, 3 test" in dataset.DESCR
    assert "Lowd" in dataset.DESCR
    for split in ("train", "valid"):
        assert dataset[split].tolist() == TABLES[split]
        assert dataset[split].dtype == np.uint8 and dataset[split].flags.c_contiguous


def test_unknown_name():
    with pytest.raises(ValueError, match="name='iris' is not a known set; choose from nltcs, msn"):
        fetch_debd("iris")


def test_incomplete_folder(tmp_path, cache, no_download):
    write_set(tmp_path / "debd" / "nltcs", valid=None, test=None)
    with pytest.raises(FileNotFoundError, match="lacks nltcs.valid.data and nltcs.test.data"):
        fetch_debd("nltcs", data_home=tmp_path)


def test_malformed_file_is_named(tmp_path, cache):
    write_set(tmp_path / "debd" / "nltcs", test="0,0,0\n0,5,0\n")
    with pytest.raises(ValueError, match=r"nltcs\.test\.data, line 2: '5' in column 2"):
        fetch_debd("nltcs", data_home=tmp_path)


def test_splits_must_agree_in_columns(tmp_path, cache):
    write_set(tmp_path / "debd" / "nltcs", valid="0,1\n")
    message = r"nltcs\.valid\.data, line 1: 2 values, but nltcs\.train\.data beside it has 3"
    with pytest.raises(ValueError, match=message):
        fetch_debd("nltcs", data_home=tmp_path)


def test_missing_set_without_download(tmp_path, cache, no_download, monkeypatch):
    monkeypatch.setenv("SKPC_DATA", str(tmp_path / "environment"))
    with pytest.raises(FileNotFoundError) as caught:
        fetch_debd("dna", data_home=tmp_path / "home", download_if_missing=False)
    for home in ("home", "environment", "cache"):
        assert str(tmp_path / home / "debd" / "dna") in str(caught.value)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="XDG folders are for Linux")
def test_cache_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert downloads.cache_folder() == Path("/somewhere/skpc")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert downloads.cache_folder() == Path.home() / ".cache" / "skpc"


# Downloads -------------------------------------------------------------------------------------


def test_download_into_the_cache_happens_once(server, cache, monkeypatch):
    assert fetch_debd("nltcs").train.tolist() == TABLES["train"]
    # Nothing but the set is left: no scratch folder, no half-written file.
    files = sorted(path.relative_to(cache).as_posix() for path in cache.rglob("*"))
    names = [f"debd/nltcs/nltcs.{split}.data" for split in ("test", "train", "valid")]
    assert files == ["debd", "debd/nltcs", *names]

    monkeypatch.setattr(debd, "BASE_URL", "http://127.0.0.1:1/")
    assert fetch_debd("nltcs").train.tolist() == TABLES["train"]


def test_download_into_data_home(server, cache, tmp_path):
    fetch_debd("nltcs", data_home=tmp_path / "home")
    assert (tmp_path / "home" / "debd" / "nltcs" / "nltcs.test.data").is_file()
    assert not cache.exists()


def test_damaged_download_is_refused_and_not_kept(server, cache):
    (server / "nltcs" / "nltcs.valid.data").write_text("1,1,0\n")
    with pytest.raises(OSError, match=r"nltcs\.valid\.data has the checksum sha256:\w{64}, expect"):
        fetch_debd("nltcs")
    assert list((cache / "debd").iterdir()) == []


@pytest.mark.parametrize("digest_of", ["1,1,1\n", "1,1,0\n"])
def test_checksum_as_git_names_files(server, cache, digest_of):
    digest = hashlib.sha1(b"blob 6\0" + digest_of.encode()).hexdigest()
    debd.read_registry()["nltcs/nltcs.valid.data"] = f"git-sha1:{digest}"
    if digest_of == TEXTS["valid"]:
        assert fetch_debd("nltcs").valid.tolist() == TABLES["valid"]
    else:
        with pytest.raises(OSError, match="checksum git-sha1"):
            fetch_debd("nltcs")


def test_file_missing_on_the_server(server, cache):
    (server / "nltcs" / "nltcs.test.data").unlink()
    with pytest.raises(OSError, match=r"Could not download http://127\.0.*nltcs\.test\.data \(404"):
        fetch_debd("nltcs")
    assert list((cache / "debd").iterdir()) == []


def test_another_process_was_quicker(server, cache, monkeypatch):
    folder = cache / "debd" / "nltcs"
    check = downloads.check_digest

    def check_while_another_finishes(path, expected, url):
        check(path, expected, url)
        if not folder.exists():
            write_set(folder, valid="0,0,0\n")

    monkeypatch.setattr(downloads, "check_digest", check_while_another_finishes)
    assert fetch_debd("nltcs").valid.tolist() == [[0, 0, 0]]


def test_missing_pooch(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"needs pooch; install it with `pip install skpc\[datas"):
        fetch_debd("nltcs")


def test_pooch_is_not_needed_for_local_files(tmp_path, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    write_set(tmp_path / "debd" / "nltcs")
    fetch_debd("nltcs", data_home=tmp_path)


# The registry and the real files ---------------------------------------------------------------


def test_registry_has_every_file_with_a_digest():
    registry = debd.read_registry()
    assert list(registry) != [] and len(DEBD_NAMES) == 28
    expected = {f"{n}/{n}.{s}.data" for n in DEBD_NAMES for s in ("train", "valid", "test")}
    assert set(registry) == expected
    for digest in registry.values():
        assert re.fullmatch(r"sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40}", digest)
    assert len(set(registry.values())) == len(registry)


def test_addresses_are_pinned_to_the_commit_of_the_registry():
    lines = Path(debd.__file__).with_name("debd_registry.txt").read_text("utf-8").splitlines()
    header = " ".join(line for line in lines if line.startswith("#"))
    assert debd.COMMIT in header
    assert f"/{debd.COMMIT}/" in debd.BASE_URL


@pytest.mark.parametrize("name", LOCAL_SHAPES)
def test_real_files(name):
    if not os.environ.get("SKPC_DATA"):
        pytest.skip("SKPC_DATA is not set")
    folder = Path(os.environ["SKPC_DATA"]) / "debd" / name
    if not folder.is_dir():
        pytest.skip(f"SKPC_DATA has no {name}")
    dataset = fetch_debd(name, download_if_missing=False)
    n_columns, *n_rows = LOCAL_SHAPES[name]
    registry = debd.read_registry()
    for split, n in zip(("train", "valid", "test"), n_rows, strict=True):
        assert dataset[split].shape == (n, n_columns)
        path = folder / f"{name}.{split}.data"
        downloads.check_digest(path, registry[f"{name}/{path.name}"], str(path))
