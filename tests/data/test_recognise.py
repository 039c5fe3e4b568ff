"""`load`: what it recognises, and what it says when it recognises nothing. The formats have tests of their own."""

import re
import tarfile

import numpy as np
import pytest

from weft.data import DataError, load


def test_embedded():
    assert load().name == "digits"
    assert load("digits").name == "digits"


def test_idx_folder(tmp_path):
    images, labels = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 5, 6], [0, 0, 8, 1, 0, 0, 0, 2, 3, 4]
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(bytes(images))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(bytes(labels))
    assert repr(load(tmp_path)) == "MNIST: train 2, test 2, samples (1, 1, 1) uint8, 10 classes"


def test_cifar_folder(tmp_path):
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        (tmp_path / f"{name}.bin").write_bytes(bytes(2 * 3073))
    assert load(str(tmp_path)).name == "CIFAR-10"


def test_npz_by_name_or_folder(tmp_path):
    x, y = np.zeros((4, 2)), np.arange(4) % 2
    np.savez(tmp_path / "toy.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert load(tmp_path / "toy.npz").name == load(tmp_path).name == "toy"


def test_one_file_of_a_format_is_enough_to_name_the_others(tmp_path):
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(b"x")
    with pytest.raises(DataError, match=re.escape(f"`{tmp_path}`: expected train-images-idx3-ubyte or")):
        load(tmp_path)


def test_nothing_recognised(tmp_path):
    expected = re.escape(f"`{tmp_path}`: expected idx files of MNIST") + ".*found an empty folder"
    with pytest.raises(DataError, match=expected):
        load(tmp_path)
    for i in range(7):
        (tmp_path / f"{i}.txt").write_text("x")
    with pytest.raises(DataError, match=re.escape("found 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 2 more; name the")):
        load(tmp_path)


def test_nothing_of_that_name(tmp_path):
    kinds = "'digits', a folder, an .npz file or a table (.csv, .parquet)"
    expected = f"`imagenet`: expected {kinds}, found nothing of that name; check the path"
    with pytest.raises(DataError, match=re.escape(expected)):
        load("imagenet")


def test_archive(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz"):
        pass
    with pytest.raises(
        DataError,
        match=re.escape(f"`{path}`: expected a folder, an .npz file or a table (.csv, .parquet), found another kind"),
    ):
        load(path)


def test_images_outside_of_folders_of_classes(tmp_path):
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"found 1\.png; move the images of each class into a folder of its name"):
        load(tmp_path)
