"""Policies: what is drawn, how it is mixed, that everything belongs together."""

import numpy as np
import pytest

import weft
from weft.data import augment as A
from weft.data.augment import policies
from weft.data.augment.batch import Batch


@pytest.fixture
def x():
    return np.random.default_rng(0).integers(0, 256, (16, 3, 12, 12), np.uint8)


class TestRandAugment:
    def test_draws(self):
        batch = Batch(weft.Generator(0), np.zeros((4000, 1, 10, 20)))
        names, strength = policies._drawn(batch, policies.SPACE, np.full(4000, 0.5))
        counts = {name: int((names == name).sum()) for name in policies.SPACE}
        assert min(counts.values()) > 200
        found = {name: sorted(set(np.round(strength[names == name], 6))) for name in policies.SPACE}
        assert found["Rotate"] == [-15, 15]
        assert found["TranslateX"] == [-round(75 / 331 * 20, 6), round(75 / 331 * 20, 6)]
        assert found["TranslateY"] == [-round(75 / 331 * 10, 6), round(75 / 331 * 10, 6)]
        assert found["Posterize"] == [6]
        assert found["Solarize"] == [0.5]
        assert found["Color"] == [-0.45, 0.45]

    def test_nothing_to_do(self, x):
        assert (A.RandAugment(0)(x) == x).all()

    def test_masks_move_along(self):
        """Where masks are the image itself, they stay so, but for changed colours: pixels that went out are 0 in both."""
        x = np.full((64, 1, 12, 12), 255, np.uint8)
        y, masks = A.RandAugment(1, 20)(x, masks=x)
        moved = (masks == 0).any((1, 2, 3))
        assert 10 < moved.sum() < 40
        assert (y[moved] == masks[moved]).all()

    def test_devices(self, x, accelerator):
        y = A.RandAugment()(weft.asarray(x, device=accelerator), generator=weft.Generator(3)).numpy()
        difference = np.abs(y.astype(int) - A.RandAugment()(x, generator=weft.Generator(3)))
        assert difference.max() == 0 or accelerator != "emulator"
        assert (difference > 1).mean() < 1e-3

    def test_wrong(self, x):
        with pytest.raises(ValueError, match=r"`magnitude` must be an integer in \[0, 30\], got 31"):
            A.RandAugment(2, 31)
        with pytest.raises(ValueError, match=r"`num_ops` must be an integer in \[0, inf\], got 1.5"):
            A.RandAugment(1.5)
        with pytest.raises(ValueError, match=r"`inputs` must have 1 or 3 channels"):
            A.RandAugment()(x[:, :2])


class TestAugMix:
    def test_weights_sum_to_one(self, x):
        """Of chains that change nothing the mixture is the image."""
        augmix = A.AugMix(chain_depth=0)
        assert (augmix(x) == x).all()
        y = augmix(x / 255)
        np.testing.assert_allclose(y, x / 255, rtol=1e-12)

    def test_lies_between(self, x):
        y = A.AugMix(severity=10)(x)
        changed = np.abs(y.astype(int) - x).mean((1, 2, 3))
        assert (changed > 0).sum() > 8
        assert changed.mean() < 80

    def test_without_colours(self):
        names = A.AugMix(all_ops=False)._space
        assert len(names) == 9
        assert "Brightness" not in names

    def test_devices(self, x, accelerator):
        y = A.AugMix()(weft.asarray(x, device=accelerator), generator=weft.Generator(3)).numpy()
        difference = np.abs(y.astype(int) - A.AugMix()(x, generator=weft.Generator(3)))
        assert difference.max() == 0 or accelerator != "emulator"
        assert (difference > 1).mean() < 1e-3

    def test_wrong(self, x):
        with pytest.raises(ValueError, match=r"`severity` must be an integer in \[1, 10\], got 11"):
            A.AugMix(11)
        with pytest.raises(
            ValueError, match=r"`boxes` must be None for AugMix, which mixes images that moved, got an array"
        ):
            A.AugMix()(x, boxes=np.zeros((16, 1, 4)))
