"""Images in folders, written by Pillow."""

import re

import numpy as np
import pytest

from weft.data import DataError, load, load_images

Image = pytest.importorskip("PIL.Image", reason="Pillow, which comes with matplotlib")


def save(path, colour, size=(6, 4), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)


@pytest.fixture
def pets(tmp_path):
    for i in range(5):
        save(tmp_path / "pets" / "cat" / f"{i}.png", (10 + i, 0, 0))
        save(tmp_path / "pets" / "dog" / f"{i}.png", (200 + i, 0, 1))
    return tmp_path / "pets"


def test_a_folder_for_each_class(pets):
    (pets / "cat" / "notes.txt").write_text("no image")
    (pets / "cat" / "._0.png").write_text("what a Mac leaves")
    (pets / ".git").mkdir()
    data = load(pets)
    assert repr(data) == "pets: train 8, test 2, samples (3, 4, 6) uint8, 2 classes"
    assert data.class_names == ("cat", "dog")
    assert sorted(data.test.y.tolist()) == [0, 1]
    for part in (data.train, data.test):
        assert ((part.x[:, 0, 0, 0] >= 200) == part.y).all()
        np.testing.assert_array_equal(part.x[:, 2, 3, 5], part.y)
    again = load(pets)
    np.testing.assert_array_equal(again.test.x, data.test.x)
    assert len(load(pets, test=0.4).test) == 4


def test_parts(pets):
    for part, n in (("train", 3), ("val", 2), ("test", 1)):
        for i in range(n):
            for name in ("cat", "dog"):
                save(pets.parent / "parted" / part / name / f"{i}.jpg", 7 * n, mode="L")
    data = load(pets.parent / "parted")
    assert repr(data) == "parted: train 6, dev 4, test 2, samples (1, 4, 6) uint8, 2 classes"
    assert set(data.dev.x.ravel().tolist()) == {14}


def test_grey_among_colours(pets):
    save(pets / "cat" / "0.png", 77, mode="L")
    save(pets / "cat" / "1.png", (1, 2, 3, 255), mode="RGBA")
    save(pets / "cat" / "2.png", (200, 0, 0, 0), mode="RGBA")
    data = load_images(pets, test=2)
    x = np.concatenate([data.train.x, data.test.x])
    assert x.shape == (10, 3, 4, 6)
    assert sum((image == 255).all() for image in x) == 1  # what is transparent shows white
    assert sum((image == 77).all() for image in x) == 1
    assert sum((image[:, 0, 0] == [1, 2, 3]).all() for image in x) == 1


def test_photographs_stand_upright(pets):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    for path in pets.rglob("*.png"):
        path.unlink()
        save(path.with_suffix(".jpg"), (9, 9, 9), size=(4, 6), exif=exif)
    assert load(pets).sample_shape == (3, 4, 6)


def test_sizes(pets):
    save(pets / "dog" / "9.png", (0, 0, 0), size=(5, 4))
    message = (
        f"`{pets / 'dog' / '9.png'}`: expected 6×4 pixels, as the first image has, found 5×4; bring all to one size"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        load(pets)
    assert load(pets, image_size=3).sample_shape == (3, 3, 3)


def test_unreadable(pets):
    bad = [pets / "cat" / "1.png", pets / "dog" / "0.png"]
    bad[0].write_bytes(b"no image")
    bad[1].write_bytes(bad[1].read_bytes()[:50])
    with pytest.raises(DataError) as caught:
        load(pets)
    assert f"`{bad[0]}`: expected an image, found a damaged one (cannot identify" in str(caught.value)
    assert f"; remove it or save it again (and 1 more: `{bad[1]}`)" in str(caught.value)


def test_sixteen_bits(pets):
    save(pets / "cat" / "0.png", 1000, mode="I;16")
    with pytest.raises(
        DataError, match="expected an image of 8 bits per channel, found mode I;16; save it with 8 bits"
    ):
        load(pets)


def test_a_class_that_training_has_not(pets):
    for part, name in (("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "cow")):
        save(pets.parent / "parted" / part / name / "0.png", 0)
    with pytest.raises(DataError, match=r"cow`: expected one of the 2 classes of train, found 'cow'; have images"):
        load(pets.parent / "parted")


def test_a_class_without_images(pets):
    (pets / "cow").mkdir()
    with pytest.raises(
        DataError, match=r"cow`: expected images \(\.bmp, .*\), found none; add some, or remove the folder"
    ):
        load(pets)


def test_without_pillow(pets, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r'`load_images` needs Pillow .*: pip install "weft\[train\]"'):
        load(pets)
