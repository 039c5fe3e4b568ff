"""Reading files: against gzip and plain writes, and one test per way in which a file can be bad."""

import gzip
import re

import pytest

from weft.data import DataError, load_cifar
from weft.data.files import read_bytes, require

CONTENT = bytes(range(256)) * 40


def test_plain_and_gzip_are_told_by_content(tmp_path):
    for name, written in [("a", CONTENT), ("a.gz", gzip.compress(CONTENT)), ("b.gz", CONTENT)]:
        (tmp_path / name).write_bytes(written)
        assert read_bytes(tmp_path / name) == CONTENT


def test_data_error_is_a_value_error():
    assert issubclass(DataError, ValueError)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (None, "expected a file, found nothing of that name; check the path"),
        (b"", "expected data, found an empty file; download it again"),
        (gzip.compress(CONTENT)[:-9], r"expected a complete gzip file, found one cut short after \d+ bytes"),
        (
            gzip.compress(CONTENT)[:-8] + bytes(8),
            "expected an intact gzip file, found corruption .*incorrect data check",
        ),
        (gzip.compress(CONTENT)[:10] + b"\x07" * 60, "expected an intact gzip file, found corruption"),
    ],
    ids=["missing", "empty", "truncated", "checksum", "garbage"],
)
def test_faults(tmp_path, written, message):
    path = tmp_path / "images.gz"
    if written is not None:
        path.write_bytes(written)
    with pytest.raises(DataError, match=re.escape(f"`{path}`: ") + message):
        read_bytes(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"`{tmp_path}`: expected a file, found a folder; name the file")):
        read_bytes(tmp_path)


def test_require_lists_the_names(tmp_path):
    (tmp_path / "b").write_bytes(b"x")
    assert require(tmp_path, ["a", "b"]) == tmp_path / "b"
    with pytest.raises(DataError, match=re.escape(f"`{tmp_path}`: expected a or c, found no such file; download")):
        require(tmp_path, iter(["a", "c"]))


def test_gzip_of_which_nothing_says_the_size(tmp_path, monkeypatch):
    monkeypatch.setattr("weft.data.files.SPARE", 5000)
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        (tmp_path / name).write_bytes(gzip.compress(bytes(3073)))
    assert len(load_cifar(tmp_path).train) == 5
    (tmp_path / "data_batch_3.bin").write_bytes(gzip.compress(bytes(3 * 3073)))
    with pytest.raises(
        DataError, match=r"data_batch_3.bin`: expected at most \d{4} bytes of data, found more; decompress it"
    ):
        load_cifar(tmp_path)
