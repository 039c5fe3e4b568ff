"""Each change against Pillow's arithmetic, written out, on bytes."""

import numpy as np
import pytest

import weft
from weft.data.augment import operations
from weft.data.augment.batch import Batch


@pytest.fixture
def x():
    steps = np.random.default_rng(0).normal(size=(4, 3, 12, 10))
    return (120 + 25 * steps.cumsum(3)).clip(0, 255).astype(np.uint8)


def applied(x, name, strength):
    batch = Batch(weft.Generator(0), x)
    operations.apply(batch, np.array([name] * len(x)), np.full(len(x), float(strength)), 0, False)
    batch.restore()
    return batch.inputs


def equalized(plane):
    """Pillow's `ImageOps.equalize` of one channel."""
    counts = np.bincount(plane.ravel(), minlength=256)
    filled = counts[counts > 0]
    step = (filled.sum() - filled[-1]) // 255
    if not step:
        return plane
    table, n = [], step // 2
    for count in counts:
        table.append(min(n // step, 255))
        n += count
    return np.array(table)[plane]


def test_equalize():
    x = (120 + 25 * np.random.default_rng(0).normal(size=(3, 2, 40, 40)).cumsum(3)).clip(0, 255).astype(np.uint8)
    x[0, 0] = 9  # of one value
    x[0, 1] = np.arange(1600).reshape(40, 40) % 256
    assert (applied(x, "Equalize", 0) == [[equalized(plane) for plane in image] for image in x]).all()


def test_auto_contrast(x):
    x[0, 0] = 7
    low, high = (f(x, axis=(2, 3), keepdims=True).astype(float) for f in (np.min, np.max))
    expected = np.where(high > low, (x - low) * 255 / np.maximum(high - low, 1), x)
    assert np.abs(applied(x, "AutoContrast", 0) - expected).max() < 0.501


@pytest.mark.parametrize("bits", [8, 5, 1, 0])
def test_posterize(x, bits):
    assert (applied(x, "Posterize", bits) == (x & (256 - 2 ** (8 - bits)))).all()


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_solarize(x, strength):
    x[0, 0, 0, :2] = 255, 0
    assert (applied(x, "Solarize", strength) == np.where(x > (1 - strength) * 255, 255 - x, x)).all()


@pytest.mark.parametrize("strength", [-0.9, 0.0, 0.7])
def test_sharpness(x, strength):
    pixels = x.astype(float)
    expected = pixels.copy()
    for i in range(1, 11):
        for j in range(1, 9):
            blurred = (pixels[..., i - 1 : i + 2, j - 1 : j + 2].sum((2, 3)) + 4 * pixels[..., i, j]) / 13
            expected[..., i, j] = (1 + strength) * pixels[..., i, j] - strength * blurred
    assert np.abs(applied(x, "Sharpness", strength) - expected.clip(0, 255)).max() < 0.501
    assert (applied(x[..., :2], "Sharpness", strength) == x[..., :2]).all()


@pytest.mark.parametrize(("name", "strength"), [("TranslateX", 3.7), ("TranslateY", -2.2)])
def test_translate(x, name, strength):
    y, s = applied(x, name, strength), int(strength)
    axis = 3 if name == "TranslateX" else 2
    expected = np.roll(x, s, axis)
    hidden = [slice(None)] * 4
    hidden[axis] = slice(0, s) if s > 0 else slice(s, None)
    expected[tuple(hidden)] = 0
    assert (y == expected).all()


def test_shear(x):
    """Column j of row i comes from the pixel under j + ½ + slope (i + ½)."""
    y = applied(x, "ShearX", 0.3)
    for i in range(12):
        for j in range(10):
            source = int(np.floor(j + 0.5 + 0.3 * (i + 0.5)))
            assert (y[:, :, i, j] == (x[:, :, i, source] if source < 10 else 0)).all()


def test_each_image_has_its_own(x):
    names, strength = np.array(["Identity", "Solarize", "TranslateX", "Solarize"]), np.array([0, 1.0, 3, 0.5])
    batch = Batch(weft.Generator(0), x)
    operations.apply(batch, names, strength, 0, False)
    expected = [applied(x[i : i + 1], names[i], strength[i])[0] for i in range(4)]
    assert (batch.inputs == expected).all()
