import functools
import gzip
import hashlib
import http.server
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from skpc.datasets import downloads, fetch_mnist, mnist, read_idx


def idx(array, code):
    """An array as the bytes of an IDX file."""
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_set(folder, n=3, n_labels=None, subset="test"):
    folder.mkdir(parents=True, exist_ok=True)
    images = np.arange(n * 784).reshape(n, 28, 28).astype(np.uint8)
    labels = np.arange(n if n_labels is None else n_labels, dtype=np.uint8)
    for name, array in zip(mnist.FILES[subset], (images, labels), strict=True):
        (folder / name).write_bytes(gzip.compress(idx(array, 0x08), mtime=0))
    return images


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache in a temporary folder, and no SKPC_DATA."""
    monkeypatch.delenv("SKPC_DATA", raising=False)
    monkeypatch.setattr(downloads, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("dtype", "code"), [("u1", 8), ("i1", 9), ("i2", 11), ("i4", 12), ("f4", 13), ("f8", 14)]
)
def test_idx_files_of_every_type(tmp_path, dtype, code):
    array = np.arange(-3, 9).reshape(2, 3, 2).astype(dtype)
    for content in (idx(array, code), gzip.compress(idx(array, code))):
        (tmp_path / "file").write_bytes(content)
        found = read_idx(tmp_path / "file")
        np.testing.assert_array_equal(found, array)
        assert found.dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"\1" + content[1:], "is not an IDX file"),
        (lambda content: content[:2] + b"\7" + content[3:], "is not an IDX file"),
        (lambda content: content[:-1], r"holds 5 bytes of values; its shape \(6,\) needs 6"),
        (lambda content: content[:6], "ends in its header, after 6 of 8 bytes"),
        (lambda content: b"", "is not an IDX file"),
        (lambda content: gzip.compress(content)[:-6], "is a damaged gzip file"),
        (lambda content: gzip.compress(content)[:10] + b"\xff" * 30, "is a damaged gzip file"),
    ],
)
def test_damaged_idx_files(tmp_path, damage, message):
    (tmp_path / "file").write_bytes(damage(idx(np.arange(6, dtype=np.uint8), 8)))
    with pytest.raises(ValueError, match=message):
        read_idx(tmp_path / "file")


def test_found_in_folders_in_order(tmp_path, cache, monkeypatch):
    write_set(cache / "mnist", 3)
    assert len(fetch_mnist("test").images) == 3
    write_set(tmp_path / "environment" / "mnist", 4)
    monkeypatch.setenv("SKPC_DATA", str(tmp_path / "environment"))
    assert len(fetch_mnist("test").images) == 4
    images = write_set(tmp_path / "home" / "mnist", 5)
    found = fetch_mnist("test", data_home=tmp_path / "home")
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.labels, np.arange(5))
    assert "5 test images" in found.DESCR


def test_not_there_or_wrong(tmp_path, cache):
    with pytest.raises(ValueError, match="subset='valid' is not known"):
        fetch_mnist("valid")
    with pytest.raises(FileNotFoundError, match="download_if_missing=True"):
        fetch_mnist("test", download_if_missing=False)
    write_set(tmp_path / "mnist", 3, n_labels=2)
    with pytest.raises(ValueError, match=r"images of shape \(3, 28, 28\) and 2 labels"):
        fetch_mnist("test", data_home=tmp_path)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_download_is_checked(tmp_path, cache, monkeypatch):
    pytest.importorskip("pooch", reason="downloads need pooch")
    public = tmp_path / "public"
    images = write_set(public)
    names = mnist.FILES["test"]
    digest = {n: "sha256:" + hashlib.sha256((public / n).read_bytes()).hexdigest() for n in names}
    monkeypatch.setattr(mnist, "DIGESTS", mnist.DIGESTS | digest)
    handler = functools.partial(QuietHandler, directory=str(public))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(mnist, "BASE_URL", f"http://127.0.0.1:{httpd.server_port}/")
        try:
            np.testing.assert_array_equal(fetch_mnist("test").images, images)
            assert sorted(p.name for p in (cache / "mnist").iterdir()) == sorted(names)
            monkeypatch.setattr(downloads, "cache_folder", lambda: tmp_path / "empty")
            (public / names[1]).write_bytes(b"something else")
            with pytest.raises(OSError, match="has the checksum"):
                fetch_mnist("test", data_home=tmp_path / "other")
            assert [p.name for p in (tmp_path / "other" / "mnist").iterdir()] == [names[0]]
            with pytest.raises(OSError, match="Could not download"):
                fetch_mnist("train", data_home=tmp_path / "other")
        finally:
            httpd.shutdown()
            thread.join()


def test_the_published_test_images():
    folder = Path(os.environ.get("SKPC_DATA", "")) / "mnist"
    if not (folder / mnist.FILES["test"][0]).is_file():
        pytest.skip("SKPC_DATA has no MNIST")
    found = fetch_mnist("test", download_if_missing=False)
    assert found.images.shape == (10_000, 28, 28)
    assert found.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(found.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
