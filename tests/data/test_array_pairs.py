"""Inputs and labels in files of their own, as KMNIST has them."""

import re

import numpy as np
import pytest

from weft.data import DataError, load


@pytest.fixture
def folder(tmp_path, rng):
    for part, n in (("train", 8), ("test", 4)):
        np.savez_compressed(tmp_path / f"kmnist-{part}-imgs.npz", rng.integers(0, 256, (n, 6, 6), np.uint8))
        np.savez_compressed(tmp_path / f"kmnist-{part}-labels.npz", np.arange(n, dtype=np.uint8) % 2)
    return tmp_path


def test_kmnist(folder):
    data = load(folder)
    assert repr(data) == f"{folder.name}: train 8, test 4, samples (1, 6, 6) uint8, 2 classes"
    assert data.test.y.tolist() == [0, 1, 0, 1]
    (folder / "kmnist_classmap.csv").write_text("index,codepoint,char\n0,U+304A,o\n")
    (folder / "other.npz").write_bytes(b"no matter")
    assert len(load(folder).train) == 8


def test_what_is_missing(folder):
    (folder / "kmnist-test-labels.npz").unlink()
    with pytest.raises(
        DataError, match=re.escape(f"`{folder}`: expected a file …test-labels.npz, found kmnist-test-imgs")
    ):
        load(folder)


def test_lengths(folder):
    np.savez(folder / "kmnist-test-labels.npz", np.arange(3))
    message = "expected `kmnist-test-imgs.npz` and `kmnist-test-labels.npz` of the same length, found shapes (4, 6, 6) and (3,)"
    with pytest.raises(DataError, match=re.escape(message)):
        load(folder)


def test_more_than_one_array(folder):
    np.savez(folder / "kmnist-test-labels.npz", np.arange(4), np.arange(4))
    with pytest.raises(
        DataError, match=re.escape("test-labels.npz`: expected one array `arr_0`, found arr_0, arr_1; save")
    ):
        load(folder)
