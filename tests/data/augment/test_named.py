"""Augmentations by their names."""

import numpy as np
import pytest

from weft.data import augment as A


@pytest.mark.parametrize("name", A.AUGMENTATIONS)
def test_each(name):
    x = np.random.default_rng(0).integers(0, 17, (6, 1, 8, 8), np.uint8)
    transform = A.named([name], (8, 8), 4, white=16)
    y, labels = transform(x, np.arange(6) % 4)
    assert y.shape == x.shape
    assert y.max() <= 16
    assert labels.shape == ((6, 4) if name in ("mixup", "cutmix") else (6,))


def test_wrong():
    with pytest.raises(ValueError, match=r"`names` must be some of rotate, .*, got 'flop'"):
        A.named(["flip", "flop"], (8, 8))
    with pytest.raises(ValueError, match=r"`white` must be a number in .*, got 0"):
        A.Compose([], white=0)
