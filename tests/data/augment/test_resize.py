"""Sizes against PyTorch's numbers and a direct sum of weights."""

import numpy as np
import pytest

import weft
from weft.data import augment as A
from weft.data.augment.batch import Batch
from weft.data.augment.resize import windows

# torch 2.13: F.interpolate(torch.tensor([[[[0, 1, 4, 9, 16, 25.]]]]), (1, n), mode="bilinear", antialias=a), by (n, a)
TORCH = {
    (2, True): [2.5, 15.0],
    (2, False): [1.0, 16.0],
    (4, True): [0.375, 3.5556, 10.7778, 21.625],
    (4, False): [0.25, 3.25, 10.75, 22.75],
    (9, True): [0.0, 0.5, 1.5, 3.5, 6.5, 10.1667, 14.8333, 20.5, 25.0],
    (9, False): [0.0, 0.5, 1.5, 3.5, 6.5, 10.1667, 14.8333, 20.5, 25.0],
}


def resized(x, out, antialias):
    """One row, by the definition: the mean, weighted by a triangle, of what lies about each place."""
    n, y = len(x), []
    for i in range(out):
        centre, reach = (i + 0.5) * n / out, max(1.0, n / out) if antialias else 1.0
        weights = [max(0.0, 1 - abs(k + 0.5 - centre) / reach) for k in range(n)]
        y.append(sum(w * v for w, v in zip(weights, x)) / sum(weights))
    return y


class TestResize:
    @pytest.mark.parametrize("antialias", [True, False])
    @pytest.mark.parametrize("out", [1, 2, 4, 6, 7, 13])
    def test_rows_and_columns(self, out, antialias):
        x = np.array([0.0, 1, 4, 9, 16, 25])
        row = A.Resize((1, out), antialias=antialias)(x.reshape(1, 1, 1, 6))
        column = A.Resize((out, 1), antialias=antialias)(x.reshape(1, 1, 6, 1))
        np.testing.assert_allclose(row.ravel(), resized(x, out, antialias), rtol=1e-12)
        np.testing.assert_allclose(column.ravel(), resized(x, out, antialias), rtol=1e-12)

    @pytest.mark.parametrize(("case", "expected"), TORCH.items())
    def test_torch(self, case, expected):
        row = A.Resize((1, case[0]), antialias=case[1])(np.array([0.0, 1, 4, 9, 16, 25]).reshape(1, 1, 1, 6))
        np.testing.assert_allclose(row.ravel(), expected, atol=1e-4)

    def test_one_number_is_the_shorter_side(self):
        x = np.zeros((1, 3, 10, 15), np.uint8)
        assert A.Resize(4)(x).shape == (1, 3, 4, 6)
        assert A.Resize(4)(x.swapaxes(2, 3)).shape == (1, 3, 6, 4)

    def test_masks_and_boxes(self):
        x = np.arange(8, dtype=np.uint8).reshape(1, 1, 2, 4)
        y, masks, boxes = A.Resize((4, 2))(x, masks=x[:, 0], boxes=np.array([[[1.0, 0, 4, 1]]]))
        assert y.shape == (1, 1, 4, 2)
        assert masks.tolist() == [[[0, 2], [0, 2], [4, 6], [4, 6]]]
        assert boxes.tolist() == [[[0.5, 0, 2, 2]]]

    def test_wrong(self):
        with pytest.raises(
            ValueError, match=r"`size` must be a positive integer or \(height, width\) of them, got \(1, 2, 3\)"
        ):
            A.Resize((1, 2, 3))
        with pytest.raises(ValueError, match=r"`interpolation` must be 'nearest' or 'bilinear', got 'area'"):
            A.Resize(4, "area")


class TestRandomResizedCrop:
    def test_is_a_crop_that_is_resized(self):
        """Each image is the resized window that the same random numbers choose."""
        x = np.random.default_rng(0).random((20, 2, 12, 10))
        boxes = np.array([[[0.0, 0, 10, 12]]] * 20)
        y, moved = A.RandomResizedCrop((5, 6))(x, boxes=boxes, generator=weft.Generator(3))
        (top, height), (left, width) = windows(Batch(weft.Generator(3), x), (0.08, 1), (3 / 4, 4 / 3))
        for i in range(20):
            rows, columns = (slice(int(a[i]), int(a[i] + b[i])) for a, b in ((top, height), (left, width)))
            np.testing.assert_allclose(y[i], A.Resize((5, 6))(x[i : i + 1, :, rows, columns])[0], rtol=1e-12)
        assert (moved == [0, 0, 6, 5]).all()

    def test_area_and_proportions(self):
        batch = Batch(weft.Generator(3), np.zeros((500, 1, 100, 100)))
        (top, height), (left, width) = windows(batch, (0.2, 0.6), (0.5, 2.0))
        share, ratio = height * width / 10000, width / height
        assert 0.19 < share.min() < 0.22
        assert 0.55 < share.max() < 0.61
        assert 0.48 < ratio.min() < 0.55
        assert 1.8 < ratio.max() < 2.1
        assert min(top.min(), left.min()) == 0
        assert max((top + height).max(), (left + width).max()) == 100

    def test_what_cannot_fit_is_the_middle(self):
        (top, height), (left, width) = windows(Batch(weft.Generator(3), np.zeros((2, 1, 4, 100))), (1, 1), (0.5, 2.0))
        assert height.tolist() == [4, 4]
        assert width.tolist() == [8, 8]
        assert left.tolist() == [46, 46]
        assert top.tolist() == [0, 0]

    def test_nearest_takes_pixels(self):
        x = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), np.uint8)
        y, masks = A.RandomResizedCrop(8, interpolation="nearest")(x, masks=x)
        assert (y == masks).all()

    def test_wrong(self):
        with pytest.raises(ValueError, match=r"`scale` must be \(least, greatest\) in \[0, 1\], got \(0.5, 2\)"):
            A.RandomResizedCrop(8, scale=(0.5, 2))
