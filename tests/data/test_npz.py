"""Data sets in .npz files, written by NumPy."""

import re

import numpy as np
import pytest

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
        np.savez(tmp_path / "toy.npz", **arrays | {"y_train": np.array([0, 7, 14, 0, 7, 14]), "y_test": np.array([14, 7])})
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
