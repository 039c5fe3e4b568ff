"""Data sets in .npz files, written by NumPy."""

import re
import zipfile

import numpy as np
import pytest
from forged import npy, npz

from weft.data import DataError, load_npz


@pytest.fixture
def arrays(rng):
    return {
        "x_train": rng.standard_normal((6, 3)),
        "y_train": np.array([0, 1, 2, 0, 1, 2], np.uint8),
        "x_test": rng.standard_normal((2, 3)),
        "y_test": np.array([2, 0], np.uint8),
    }


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_round_trip(tmp_path, arrays, save):
    save(tmp_path / "toy.npz", **arrays)
    data = load_npz(tmp_path / "toy.npz")
    assert repr(data) == "toy: train 6, test 2, samples (3,) float64, 3 classes"
    np.testing.assert_array_equal(data.train.x, arrays["x_train"])
    np.testing.assert_array_equal(data.test.y, [2, 0])
    assert data.test.y.dtype == np.int64


def test_development_part_and_real_targets(tmp_path, arrays, rng):
    arrays |= {"y_train": rng.random((6, 2)), "y_test": rng.random((2, 2))}
    np.savez(tmp_path / "toy.npz", **arrays, x_dev=np.zeros((1, 3)), y_dev=np.zeros((1, 2)))
    data = load_npz(tmp_path / "toy.npz")
    assert repr(data) == "toy: train 6, dev 1, test 2, samples (3,) float64"
    assert data.num_classes is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": None}, "expected an array `y_test`, found x_test, x_train, y_train; save"),
        ({"y_test": np.array([1])}, "expected `x_test` and `y_test` of the same length, found shapes (2, 3) and (1,)"),
        ({"x_dev": np.zeros((4, 3))}, "expected `x_dev` and `y_dev` of the same length, found shapes (4, 3) and ()"),
        ({"x_train": np.array(["a", None])}, "expected numbers in `x_train`, found an array NumPy refuses to read (O"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, change, message):
    path = tmp_path / "toy.npz"
    np.savez(path, **{k: v for k, v in (arrays | change).items() if v is not None})
    with pytest.raises(DataError, match=re.escape(f"`{path}`: {message}")):
        load_npz(path)


def test_label_unknown_to_the_training_part(tmp_path, arrays):
    path = tmp_path / "toy.npz"
    np.savez(path, **arrays | {"y_test": np.array([2, 3])})
    with pytest.raises(DataError, match=re.escape(f"`{path}: y_test`: expected labels 0 … 2, found 3 at position 1")):
        load_npz(path)


def test_damaged(tmp_path, arrays):
    path = tmp_path / "toy.npz"
    with pytest.raises(DataError, match=re.escape(f"`{path}`: expected an .npz file, found nothing of that name")):
        load_npz(path)
    path.write_bytes(b"no zip at all")
    with pytest.raises(DataError, match=re.escape(f"`{path}`: expected an .npz file, found a damaged one (File is")):
        load_npz(path)
    np.savez(path, **arrays)
    content = bytearray(path.read_bytes())
    content[200] ^= 1  # within the first array
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape("expected an intact array `x_train`, found a damaged one (Bad")):
        load_npz(path)
    path.write_bytes(content[:300])
    with pytest.raises(DataError, match=re.escape(f"`{path}`: expected an .npz file, found a damaged one")):
        load_npz(path)


class TestClasses:
    def test_labels_with_gaps(self, tmp_path, arrays):
        np.savez(
            tmp_path / "toy.npz", **arrays | {"y_train": np.array([0, 7, 14, 0, 7, 14]), "y_test": np.array([14, 7])}
        )
        data = load_npz(tmp_path / "toy.npz")
        assert data.class_names == ("0", "7", "14")
        assert data.train.y.tolist() == [0, 1, 2, 0, 1, 2]
        assert data.test.y.tolist() == [2, 1]

    def test_identifiers_are_no_classes(self, tmp_path, arrays):
        path, y = tmp_path / "toy.npz", np.array([0, 1, 2, 3, 4, 100_000_000])
        np.savez(path, **arrays | {"y_train": y})
        with pytest.raises(DataError, match=re.escape("found 6 distinct labels of 6 samples, up to 100000000")):
            load_npz(path)
        assert load_npz(path, num_classes=6).class_names[-1] == "100000000"


class TestLies:
    ARRAYS = {
        "x_train": np.zeros((4, 2)),
        "y_train": np.arange(4) % 2,
        "x_test": np.zeros((2, 2)),
        "y_test": np.arange(2),
    }

    def read(self, path, method=zipfile.ZIP_STORED, **members):
        path.write_bytes(npz({name: npy(array) for name, array in self.ARRAYS.items()} | members, method))
        return load_npz(path)

    def header(self, text, data=b""):
        return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode() + data

    @pytest.mark.parametrize(
        "text",
        [
            "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 2), }",
            '{"shape":(4,2),"fortran_order":False,"descr":"<f8"}\n',
            "{'descr': '<f8', 'fortran_order': False, 'shape': (4L, 2L), }",  # as Python 2 wrote it
        ],
    )
    def test_headers(self, tmp_path, text):
        assert self.read(tmp_path / "a.npz", x_train=self.header(text, bytes(64))).train.x.shape == (4, 2)

    def test_fortran_order(self, tmp_path):
        array = np.asfortranarray(np.arange(8.0).reshape(4, 2))
        np.testing.assert_array_equal(self.read(tmp_path / "a.npz", x_train=npy(array)).train.x, array)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", r"numbers in `x_train`, found an array NumPy refuses to read \(it begins with b''\)"),
            (b"\x93NUMPY\2\0" + b"\xff" * 4, r"numbers in `x_train`, found .* \(a header of 4294967295 bytes\)"),
            ("((((((((", r"numbers in `x_train`, found .* \(the header '\(\(\(\(\(\(\(\('\)"),
            ("{" + " " * 9000, r"numbers in `x_train`, found .* \(the header '{'\)"),
            ("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (4, 2), }", "numbers in `x_train`, found .*the header"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000000, 2), }", r"an intact array `x_train`, found .*"
             r"64000000000000 bytes for shape \(4000000000000, 2\) of float64, 64 are there"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }", "an intact array .*16 bytes .*, 64 are there"),
        ],
    )  # fmt: skip
    def test_lies(self, tmp_path, content, message):
        content = self.header(content, bytes(64)) if isinstance(content, str) else content
        with pytest.raises(DataError, match=rf"a.npz`: expected {message}"):
            self.read(tmp_path / "a.npz", x_train=content)

    def test_what_nobody_asks_for_is_not_read(self, tmp_path):
        assert len(self.read(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, x_other=b"no array").train) == 4
        content = bytearray((tmp_path / "a.npz").read_bytes())
        at = content.index(b"x_other.npy") + 11
        content[at : at + 4] = b"\xff" * 4  # not even damaged
        (tmp_path / "a.npz").write_bytes(content)
        assert len(load_npz(tmp_path / "a.npz").train) == 4

    def test_parts_of_other_shapes(self, tmp_path):
        with pytest.raises(
            DataError, match=r"a.npz`: expected parts that fit each other, found that `test` must have samples"
        ):
            self.read(tmp_path / "a.npz", x_test=npy(np.zeros((2, 3))))

    def test_an_array_twice(self, tmp_path):
        np.savez(tmp_path / "a.npz", **self.ARRAYS)
        with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("y_test.npy", npy(np.zeros(2, int)))
        with pytest.raises(DataError, match=r"a.npz`: expected one array `y_test`, found 2; save each once"):
            load_npz(tmp_path / "a.npz")

    def test_what_would_fill_memory_is_inflated_first(self, tmp_path, monkeypatch):
        monkeypatch.setattr("weft.data.npz.SPARE", 100)
        big = {f"x_{part}": npy(np.zeros((n, 5000))) for part, n in (("train", 4), ("test", 2))}
        assert self.read(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, **big).train.x.shape == (4, 5000)
        content = bytearray((tmp_path / "a.npz").read_bytes())
        at = content.rindex(b"x_train.npy") - 46 + 16  # its checksum in the directory
        content[at] ^= 1
        (tmp_path / "a.npz").write_bytes(content)
        monkeypatch.setattr(np, "empty", None)  # before memory is taken
        with pytest.raises(DataError, match=r"expected an intact array `x_train`, found a damaged one \(Bad CRC-32"):
            load_npz(tmp_path / "a.npz")

    def test_a_directory_of_any_size(self, tmp_path, monkeypatch):
        np.savez(tmp_path / "a.npz", **self.ARRAYS)
        monkeypatch.setattr("weft.data.npz._MOST", 100)
        with pytest.raises(
            DataError, match=r"a.npz`: expected an .npz file, found a damaged one \(a directory of 2\d\d bytes"
        ):
            load_npz(tmp_path / "a.npz")


class TestNames:
    """As Keras, MedMNIST and others save them."""

    def test_medmnist(self, tmp_path, rng):
        arrays = {
            f"{part}_images": rng.integers(0, 256, (n, 5, 6, 3), np.uint8)
            for part, n in (("train", 8), ("val", 4), ("test", 2))
        }
        labels = {
            f"{part}_labels": (np.arange(n) % 2)[:, None].astype(np.uint8)
            for part, n in (("train", 8), ("val", 4), ("test", 2))
        }
        np.savez(tmp_path / "pathmnist.npz", **arrays, **labels)
        data = load_npz(tmp_path / "pathmnist.npz")
        assert repr(data) == "pathmnist: train 8, dev 4, test 2, samples (3, 5, 6) uint8, 2 classes"
        np.testing.assert_array_equal(data.dev.x, arrays["val_images"].transpose(0, 3, 1, 2))
        assert data.test.y.tolist() == [0, 1]

    def test_keras(self, tmp_path, arrays):
        labels = {name: arrays[name][:, None] for name in ("y_train", "y_test")}
        np.savez(tmp_path / "a.npz", **arrays | labels)
        data = load_npz(tmp_path / "a.npz")
        assert data.train.y.tolist() == [0, 1, 2, 0, 1, 2]
        assert data.num_classes == 3

    def test_two_data_sets(self, tmp_path, arrays):
        np.savez(tmp_path / "a.npz", **arrays, train_images=arrays["x_train"], train_labels=arrays["y_train"])
        with pytest.raises(DataError, match=re.escape("a.npz`: expected one data set, found x_train and train_images")):
            load_npz(tmp_path / "a.npz")

    def test_two_parts_between(self, tmp_path, arrays):
        between = {
            name: arrays[name.replace("val", "test").replace("dev", "test")]
            for name in ("x_val", "y_val", "x_dev", "y_dev")
        }
        np.savez(tmp_path / "a.npz", **arrays, **between)
        with pytest.raises(DataError, match="expected one part between training and test, found x_dev and x_val"):
            load_npz(tmp_path / "a.npz")

    @pytest.mark.parametrize(
        ("labels", "names"),
        [
            (np.array(["dog", "cat", "cat", "dog", "dog", "cat"]), ("cat", "dog")),
            (np.array(["dög", "cat", "cat", "dög", "dög", "cat"]).astype("U").view(np.ndarray), ("cat", "dög")),
            (np.array([b"dog", b"cat", b"cat", b"dog", b"dog", b"cat"]), ("cat", "dog")),
            (np.array([True, False, False, True, True, False]), ("False", "True")),
        ],
    )
    def test_labels_that_are_names(self, tmp_path, arrays, labels, names):
        np.savez(tmp_path / "a.npz", **arrays | {"y_train": labels, "y_test": labels[:2]})
        data = load_npz(tmp_path / "a.npz")
        assert data.class_names == names
        assert data.train.y.tolist() == [1, 0, 0, 1, 1, 0]
        assert data.test.y.tolist() == [1, 0]

    def test_a_name_that_training_has_not(self, tmp_path, arrays):
        y = np.array(["a", "b", "a", "b", "a", "b"])
        np.savez(tmp_path / "a.npz", **arrays | {"y_train": y, "y_test": np.array(["b", "c"])})
        with pytest.raises(DataError, match=re.escape("one of the 2 labels of y_train, a … b, found c at position 1")):
            load_npz(tmp_path / "a.npz")

    def test_names_of_samples(self, tmp_path, arrays):
        y = np.array(["a", "b", "c", "d", "e", "f"])
        np.savez(tmp_path / "a.npz", **arrays | {"y_train": y, "y_test": y[:2]})
        with pytest.raises(DataError, match="found 6 distinct ones of 6 samples, such as 'a'"):
            load_npz(tmp_path / "a.npz")

    def test_quantities(self, tmp_path, arrays):
        np.savez(tmp_path / "a.npz", **arrays | {"y_train": np.arange(6.0) / 4, "y_test": np.array([7, 8])})
        data = load_npz(tmp_path / "a.npz", regression=True)
        np.testing.assert_array_equal(data.train.y, np.arange(6, dtype=np.float32)[:, None] / 4)
        assert (data.test.y.tolist(), data.test.y.dtype, data.num_classes) == ([[7.0], [8.0]], np.float32, None)
        np.savez(tmp_path / "a.npz", **arrays | {"y_train": np.array([1, 2, 3, np.nan, 5, 6]), "y_test": np.zeros(2)})
        with pytest.raises(
            DataError,
            match=re.escape("y_train`: expected finite numbers that float32 can hold, found nan at position 3"),
        ):
            load_npz(tmp_path / "a.npz", regression=True)
        np.savez(tmp_path / "a.npz", **arrays | {"y_train": np.array(list("ababab")), "y_test": np.zeros(2)})
        with pytest.raises(DataError, match=re.escape("expected real numbers (N,) or (N, K), found dtype <U1")):
            load_npz(tmp_path / "a.npz", regression=True)
