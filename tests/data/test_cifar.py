"""CIFAR: all four archives in miniature, written by the descriptions on the data sets' page."""

import pickle
import re
import struct

import numpy as np
import pytest

from weft.data import DataError, load_cifar

FIVE = [f"data_batch_{i}" for i in range(1, 6)]


def python2(batch):
    """Pickle a batch as Python 2 and its NumPy did: byte strings, `numpy.core`, no `_codecs`."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def ints(values):
        return b"](" + b"".join(b"K" + bytes([v]) for v in values) + b"e"

    def array(a):
        made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + text(b"b") + b"tR"
        dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNN"
        dtype += b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
        shape = b"".join(b"M" + struct.pack("<H", n) for n in a.shape) + b"\x86"
        return made + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<I", a.size) + a.tobytes() + b"tb"

    body = b"".join(text(k) + (array(v) if isinstance(v, np.ndarray) else ints(v)) for k, v in batch.items())
    return b"\x80\x02}(" + body + b"u."


@pytest.fixture
def batches(rng):
    """(images (3, 3072), labels) of five training batches and a test batch."""
    return [(rng.integers(0, 256, (3, 3072), dtype=np.uint8), rng.integers(0, 10, 3)) for _ in range(6)]


def binary10(folder, batches):
    for name, (images, labels) in zip([*FIVE, "test_batch"], batches):
        records = np.concatenate([labels[:, None].astype(np.uint8), images], axis=1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())


def python10(folder, batches, dump=python2):
    for name, (images, labels) in zip([*FIVE, "test_batch"], batches):
        (folder / name).write_bytes(dump({b"data": images, b"labels": labels.tolist()}))


def binary100(folder, batches):
    for name, (images, labels) in zip(["train.bin", "test.bin"], batches):
        records = np.concatenate([np.full((3, 1), 7, np.uint8), 9 * labels[:, None].astype(np.uint8), images], axis=1)
        (folder / name).write_bytes(records.tobytes())
    (folder / "fine_label_names.txt").write_text("\n".join(f"class{i}" for i in range(100)) + "\n")


def python100(folder, batches, dump=lambda batch: pickle.dumps(batch, protocol=2)):
    for name, (images, labels) in zip(["train", "test"], batches):
        batch = {b"data": images, b"coarse_labels": [7] * 3, b"fine_labels": (9 * labels).tolist()}
        (folder / name).write_bytes(dump(batch))
    (folder / "meta").write_bytes(dump({b"fine_label_names": [f"class{i}".encode() for i in range(100)]}))


@pytest.mark.parametrize("write", [binary10, python10])
def test_cifar10(tmp_path, batches, write):
    write(tmp_path, batches)
    data = load_cifar(tmp_path)
    assert repr(data) == "CIFAR-10: train 15, test 3, samples (3, 32, 32) uint8, 10 classes"
    assert data.class_names[:2] == ("airplane", "automobile")
    np.testing.assert_array_equal(data.train.x.reshape(15, -1), np.concatenate([images for images, _ in batches[:5]]))
    np.testing.assert_array_equal(data.train.y, np.concatenate([labels for _, labels in batches[:5]]))
    np.testing.assert_array_equal(data.test.x.reshape(3, -1), batches[5][0])
    np.testing.assert_array_equal(data.test.y, batches[5][1])


@pytest.mark.parametrize("write", [binary100, python100])
def test_cifar100_has_its_fine_labels(tmp_path, batches, write):
    write(tmp_path, batches)
    data = load_cifar(tmp_path)
    assert repr(data) == "CIFAR-100: train 3, test 3, samples (3, 32, 32) uint8, 100 classes"
    assert data.class_names[99] == "class99"
    np.testing.assert_array_equal(data.train.x.reshape(3, -1), batches[0][0])
    np.testing.assert_array_equal(data.train.y, 9 * batches[0][1])


def test_folder_of_the_archive(tmp_path, batches):
    (tmp_path / "cifar-10-batches-py").mkdir()
    python10(tmp_path / "cifar-10-batches-py", batches)
    assert load_cifar(tmp_path).name == "CIFAR-10"


class TestFaults:
    def test_nothing_there(self, tmp_path):
        expected = f"`{tmp_path}`: expected one of data_batch_1.bin (cifar-10-batches-bin), data_batch_1 (cifar-10"
        with pytest.raises(DataError, match=re.escape(expected)):
            load_cifar(tmp_path)

    def test_missing_batch(self, tmp_path, batches):
        binary10(tmp_path, batches)
        (tmp_path / "data_batch_3.bin").unlink()
        with pytest.raises(DataError, match=re.escape(f"`{tmp_path}`: expected data_batch_3.bin, found no such file")):
            load_cifar(tmp_path)

    def test_truncated(self, tmp_path, batches):
        binary10(tmp_path, batches)
        path = tmp_path / "test_batch.bin"
        path.write_bytes(path.read_bytes()[:-73])
        expected = f"`{path}`: expected records of 3073 bytes, found 9146 bytes, 3000 more than 2 records; download"
        with pytest.raises(DataError, match=re.escape(expected)):
            load_cifar(tmp_path)

    def test_label_out_of_range(self, tmp_path, batches):
        batches[1][1][2] = 12
        binary10(tmp_path, batches)
        expected = f"`{tmp_path / 'data_batch_2.bin'}`: expected labels 0 … 9, found 12 at position 2"
        with pytest.raises(DataError, match=re.escape(expected)):
            load_cifar(tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda b: [b], "expected a dictionary with an array b'data', found a list; download"),
            (lambda b: {b"labels": [1, 2, 3]}, "expected a dictionary with an array b'data', found NoneType in"),
            (lambda b: {**b, b"labels": b"x"}, "expected a dictionary with a list b'labels', found bytes in its place"),
            (lambda b: {**b, b"data": np.zeros((3, 5), np.uint8)}, "expected images as an (N, 3072) array of bytes"),
            (lambda b: {**b, b"labels": [1, 2]}, "expected one integer label for every image, found 2 labels for 3"),
            (lambda b: {**b, b"labels": [1, 2, b"x"]}, "expected one integer label for every image, found 3 labels"),
            (lambda b: {**b, b"labels": [1, 2, -1]}, "expected labels 0 … 9, found -1 at position 2"),
        ],
    )
    def test_bad_pickle(self, tmp_path, batches, change, message):
        python10(tmp_path, batches, lambda batch: pickle.dumps(change(batch), protocol=2))
        with pytest.raises(DataError, match=re.escape(f"`{tmp_path / 'data_batch_1'}`: {message}")):
            load_cifar(tmp_path)

    def test_class_names(self, tmp_path, batches):
        binary100(tmp_path, batches)
        path = tmp_path / "fine_label_names.txt"
        path.write_text("apple\nbear\n")
        with pytest.raises(DataError, match=re.escape(f"`{path}`: expected 100 class names, found 2; download")):
            load_cifar(tmp_path)
