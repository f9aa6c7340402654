import numpy as np
import pytest

from skpc.datasets.binary_text import read_binary_table

ROWS = [[0, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    "text",
    ["0,1,1\n1,0,0\n", "0,1,1\n1,0,0", "0,1,1\r\n1,0,0\r\n", "0,1,1\n1,0,0\n\n"],
    ids=["plain", "no last line end", "Windows line ends", "blank last line"],
)
def test_reads_a_table(tmp_path, text):
    path = tmp_path / "table.data"
    path.write_bytes(text.encode())
    table = read_binary_table(path)
    assert table.tolist() == ROWS
    assert table.dtype == np.uint8
    assert table.flags.c_contiguous and table.flags.owndata


def test_reads_one_column(tmp_path):
    path = tmp_path / "table.data"
    path.write_text("0\n1\n1\n")
    assert read_binary_table(path).tolist() == [[0], [1], [1]]


def test_agrees_with_loadtxt(tmp_path):
    expected = np.random.RandomState(0).randint(2, size=(200, 37))
    path = tmp_path / "table.data"
    np.savetxt(path, expected, fmt="%d", delimiter=",")
    table = read_binary_table(path)
    np.testing.assert_array_equal(table, np.loadtxt(path, delimiter=",", dtype=np.uint8))
    np.testing.assert_array_equal(table, expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1\n0,2\n", "line 2: '2' in column 2 is not 0 or 1"),
        ("0,1\n/,1\n", "line 2: '/' in column 1"),
        ("0,1\n0,0.0\n", "line 2: '0.0' in column 2"),
        ("0,1\n1,1\n0,1,1\n", "line 3: 3 values, but line 1 has 2"),
        ("0,1\n0\n", "line 2: 1 values, but line 1 has 2"),
        # As many bytes as a good table, so that only the separators betray it.
        ("0,1,1\n1,0\n0,1,1,0\n", "line 2: 2 values, but line 1 has 3"),
        ("0,1\n1\n0\n", "line 2: 1 values, but line 1 has 2"),
        ("0,1\n0,1,0,1\n", "line 2: 4 values, but line 1 has 2"),
        ("0 1\n1 0\n", "line 1: '0 1' in column 1"),
        ("0,1\n1;0\n", "line 2: '1;0' in column 1"),
        ("0,1,\n1,0,\n", "line 1: '' in column 3"),
        ("0,1\n\n1,0\n", "line 2: '' in column 1"),
        ("\n0,1\n", "line 1: '' in column 1"),
        ("a,b\n0,1\n", "line 1: 'a' in column 1"),
    ],
)
def test_malformed_file_is_refused_by_line(tmp_path, text, message):
    path = tmp_path / "broken.data"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        read_binary_table(path)
    assert str(caught.value).startswith(f"{path}, {message}")


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_empty_file_is_refused(tmp_path, text):
    path = tmp_path / "empty.data"
    path.write_text(text)
    with pytest.raises(ValueError, match="empty.data is empty"):
        read_binary_table(path)


def test_message_about_a_binary_file_is_short(tmp_path):
    path = tmp_path / "image.data"
    path.write_bytes(bytes(range(1, 10)) * 10_000)
    with pytest.raises(ValueError, match="line 1") as caught:
        read_binary_table(path)
    assert len(str(caught.value)) < len(str(path)) + 150
