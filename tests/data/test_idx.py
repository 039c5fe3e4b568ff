"""idx files: written by the format's description; the real MNIST and Fashion-MNIST against their published figures."""

import gzip
import re
import struct

import numpy as np
import pytest

from weft.data import DataError, load_mnist, read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array, code=None):
    code = CODES[array.dtype.str[1:]] if code is None else code
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def parts(rng):
    """What the four files of a tiny MNIST hold."""
    arrays = {}
    for part, n in (("train", 12), ("t10k", 5)):
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (n, 4, 3), dtype=np.uint8)
        arrays[f"{part}-labels-idx1-ubyte"] = rng.integers(0, 10, n, dtype=np.uint8)
    return arrays


def write(folder, parts, rename=lambda name: name):
    for name, array in parts.items():
        name = rename(name)
        (folder / name).write_bytes(gzip.compress(idx(array), 1) if name.endswith(".gz") else idx(array))


class TestReadIdx:
    @pytest.mark.parametrize("dtype", CODES)
    @pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4), (0, 3)])
    def test_round_trip(self, tmp_path, rng, dtype, shape):
        array = (rng.standard_normal(shape) * 50).astype(dtype)
        (tmp_path / "a").write_bytes(idx(array))
        read = read_idx(tmp_path / "a")
        assert read.dtype == np.dtype(dtype)
        assert read.dtype.isnative
        np.testing.assert_array_equal(read, array)

    @pytest.mark.parametrize("content", [b"<!DOCTYPE html>", b"\0\0", b"\0\0\7\1" + bytes(8), b"\0\0\x08\3" + bytes(4)])
    def test_another_format(self, tmp_path, content):
        (tmp_path / "a").write_bytes(content)
        expected = f"`{tmp_path / 'a'}`: expected an idx file (two zero bytes, a type, the axes), found {content[:4]!r}"
        with pytest.raises(DataError, match=re.escape(expected)):
            read_idx(tmp_path / "a")

    @pytest.mark.parametrize(("change", "held"), [(lambda b: b[:-3], 117), (lambda b: b + b"xx", 122)])
    def test_length(self, tmp_path, change, held):
        (tmp_path / "a").write_bytes(change(idx(np.zeros((10, 4, 3), np.uint8))))
        expected = f"`{tmp_path / 'a'}`: expected 120 bytes of elements for shape (10, 4, 3), found {held}; download"
        with pytest.raises(DataError, match=re.escape(expected)):
            read_idx(tmp_path / "a")

    def test_labels_given_for_images(self, tmp_path):
        (tmp_path / "a").write_bytes(idx(np.zeros(10, np.uint8)))
        expected = f"`{tmp_path / 'a'}`: expected images (magic 2051), found labels (magic 2049); check that"
        with pytest.raises(DataError, match=re.escape(expected)):
            read_idx(tmp_path / "a", magic=2051)

    def test_another_kind(self, tmp_path):
        (tmp_path / "a").write_bytes(idx(np.zeros((2, 2), "f4")))
        with pytest.raises(DataError, match=re.escape("expected labels (magic 2049), found magic 3330")):
            read_idx(tmp_path / "a", magic=2049)


class TestLoadMnist:
    @pytest.mark.parametrize("suffix", ["", ".gz"])
    @pytest.mark.parametrize("dot", ["-idx", ".idx"])
    def test_names(self, tmp_path, parts, suffix, dot):
        write(tmp_path, parts, lambda name: name.replace("-idx", dot) + suffix)
        data = load_mnist(tmp_path)
        assert repr(data) == "MNIST: train 12, test 5, samples (1, 4, 3) uint8, 10 classes"
        np.testing.assert_array_equal(data.train.x[:, 0], parts["train-images-idx3-ubyte"])
        np.testing.assert_array_equal(data.test.y, parts["t10k-labels-idx1-ubyte"])
        assert data.test.y.dtype == np.int64
        assert data.class_names == tuple("0123456789")

    def test_fashion_is_told_by_its_labels(self, tmp_path, parts):
        parts["train-labels-idx1-ubyte"] = np.array([9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9], np.uint8)
        write(tmp_path, parts)
        data = load_mnist(tmp_path)
        assert data.name == "Fashion-MNIST"
        assert data.class_names[9] == "Ankle boot"

    def test_missing_file(self, tmp_path, parts):
        del parts["t10k-labels-idx1-ubyte"]
        write(tmp_path, parts)
        expected = f"`{tmp_path}`: expected t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz or t10k-labels.idx1"
        with pytest.raises(DataError, match=re.escape(expected)):
            load_mnist(tmp_path)

    def test_counts_differ(self, tmp_path, parts):
        parts["train-labels-idx1-ubyte"] = parts["train-labels-idx1-ubyte"][:-1]
        write(tmp_path, parts)
        expected = "train-labels-idx1-ubyte`: expected one label for every image, found 11 labels for 12 images in"
        with pytest.raises(DataError, match=re.escape(expected)):
            load_mnist(tmp_path)

    def test_images_of_another_size(self, tmp_path, parts):
        parts["t10k-images-idx3-ubyte"] = parts["t10k-images-idx3-ubyte"][:, :3]
        write(tmp_path, parts)
        paths = [tmp_path / f"{part}-images-idx3-ubyte" for part in ("train", "t10k")]
        with pytest.raises(
            DataError, match=re.escape(f"`{paths[0]}`: expected images like those in `{paths[1]}`, found that")
        ):
            load_mnist(tmp_path)

    def test_label_out_of_range(self, tmp_path, parts):
        parts["t10k-labels-idx1-ubyte"][3] = 10
        write(tmp_path, parts)
        expected = "t10k-labels-idx1-ubyte`: expected labels 0 … 9, found 10 at position 3 (1 out of range)"
        with pytest.raises(DataError, match=re.escape(expected)):
            load_mnist(tmp_path)
        assert load_mnist(tmp_path, num_classes=11).num_classes == 11


@pytest.mark.parametrize(
    ("folder", "name", "mean", "std", "counts"),
    [
        ("mnist", "MNIST", 0.1307, 0.3081, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        ("fashion-mnist", "Fashion-MNIST", 0.2860, 0.3530, [6000] * 10),
    ],
)
def test_published_figures(data_dir, folder, name, mean, std, counts):
    data = load_mnist(data_dir / folder)
    assert repr(data) == f"{name}: train 60000, test 10000, samples (1, 28, 28) uint8, 10 classes"
    values = np.bincount(data.train.x.ravel(), minlength=256) / data.train.x.size  # quicker than float64 images
    level = np.arange(256) / 255
    assert values @ level == pytest.approx(mean, abs=5e-5)
    assert np.sqrt(values @ level**2 - (values @ level) ** 2) == pytest.approx(std, abs=5e-5)
    assert np.bincount(data.train.y).tolist() == counts
    assert len(np.bincount(data.test.y)) == 10


def test_a_header_that_promises_more_than_gzip_can_hold(tmp_path):
    (tmp_path / "a").write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + b"\xff" * 12 + bytes(1000)))
    with pytest.raises(DataError, match=r"a`: expected \d{29} bytes of elements for shape .*, found at most \d{5};"):
        read_idx(tmp_path / "a")


@pytest.mark.parametrize(("there", "found"), [(999, "999"), (1001, "1001")])
def test_what_would_fill_memory_is_counted_first(tmp_path, monkeypatch, there, found):
    monkeypatch.setattr("weft.data.idx.SPARE", 100)
    content = bytes([0, 0, 8, 1, 0, 0, 3, 232])  # 1000 elements
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(content + bytes(1000)))
    assert read_idx(path).tolist() == [0] * 1000
    path.write_bytes(gzip.compress(content + bytes(there)))
    taken, empty = [], np.empty
    monkeypatch.setattr(np, "empty", lambda n, *dtype: taken.append(n) or empty(n, *dtype))
    with pytest.raises(DataError, match=rf"expected 1000 bytes of elements for shape \(1000,\), found {found};"):
        read_idx(path)
    assert taken == [4, 4]
