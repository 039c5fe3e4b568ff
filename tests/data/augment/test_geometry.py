"""Geometry against `numpy.rot90`, slices, and a float64 reference that goes pixel by pixel."""

import math

import numpy as np
import pytest

import weft
from weft.data import augment as A
from weft.data.augment import affine


def images(n=4, channels=3, h=6, w=9, dtype=np.uint8):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (n, channels, h, w))
    return x.astype(dtype) if np.dtype(dtype).kind == "u" else (x / 255).astype(dtype)


def bilinear(x, moved, size, fill):
    """One plane (H, W), by the definition."""
    h, w = x.shape

    def pixel(i, j):
        return float(x[i, j]) if 0 <= i < h and 0 <= j < w else fill

    y = np.empty(size)
    for i in range(size[0]):
        for j in range(size[1]):
            u, v = (moved[k, 0] * j + moved[k, 1] * i + moved[k, 2] for k in (0, 1))
            left, top = math.floor(u), math.floor(v)
            a, b = u - left, v - top
            y[i, j] = (1 - b) * ((1 - a) * pixel(top, left) + a * pixel(top, left + 1)) + b * (
                (1 - a) * pixel(top + 1, left) + a * pixel(top + 1, left + 1)
            )
    return y


class TestSampling:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize(("h", "w", "size"), [(6, 9, (6, 9)), (1, 1, (3, 2)), (5, 4, (7, 8)), (33, 31, (33, 31))])
    def test_bilinear(self, dtype, h, w, size):
        rng = np.random.default_rng(1)
        x = images(3, 2, h, w, dtype)
        moved = affine.identity(3)
        moved[:, :2] += 0.4 * rng.normal(size=(3, 2, 3))
        moved[:, :2, 2] += 2 * rng.normal(size=(3, 2))
        y = affine.sample(np, x, moved, size, (0.25, 0.5), bilinear=True)
        expected = [[bilinear(x[i, c], moved[i], size, (0.25, 0.5)[c]) for c in range(2)] for i in range(3)]
        np.testing.assert_allclose(y, expected, atol={"float32": 3e-5, "float64": 1e-12}[dtype])

    def test_nearest_takes_whole_pixels(self):
        x, moved = images(2), affine.identity(2)
        moved[:, :2, 2] = [[0.4, -0.4], [1.6, 0.3]]
        y = affine.sample(np, x, moved, (6, 9), 7, bilinear=False)
        assert (y[0] == x[0]).all()
        assert (y[1, ..., :-2] == x[1, ..., 2:]).all()
        assert (y[1, ..., -2:] == 7).all()

    @pytest.mark.parametrize("sign", [1, -1])
    def test_slices_are_the_gather(self, sign):
        """The short way for flips and whole shifts gives what the long way gives, wherever the window is."""
        rng = np.random.default_rng(2)
        moved = affine.identity(40)
        moved[:, 0, 0], moved[:, 1, 1] = sign, rng.choice([-1, 1], 40)
        moved[:, :2, 2] = rng.integers(-14, 15, (40, 2))
        x = images(40)
        short = affine.sample(np, x, moved, (5, 8), 9, bilinear=False)
        assert (short == affine._sampled(np, x, moved, (5, 8), 9, False)).all()

    def test_inputs_stay(self):
        x = images(dtype=np.float32)
        before = x.copy()
        A.Compose([A.RandomRotation(30, "bilinear"), A.RandomCrop(5), A.RandomHorizontalFlip()])(x)
        assert (x == before).all()

    def test_no_images(self):
        transform = A.Compose([A.RandomRotation(30, "bilinear"), A.RandomCrop(5), A.ColorJitter(0.1, 0.1)])
        assert transform(images(0)).shape == (0, 3, 5, 5)


class TestFlips:
    @pytest.mark.parametrize(("flip", "axis"), [(A.RandomHorizontalFlip, 3), (A.RandomVerticalFlip, 2)])
    def test_everything_is_mirrored(self, flip, axis):
        x, masks = images(), images()[:, 0]
        boxes = np.array([[[1.0, 0.5, 4, 3], [0, 0, 9, 6]]] * 4)
        y, new_masks, new_boxes = flip(p=1)(x, masks=masks, boxes=boxes)
        assert (y == np.flip(x, axis)).all()
        assert (new_masks == np.flip(masks, axis - 1)).all()
        k, length = 3 - axis, x.shape[axis]
        assert (new_boxes[..., k] == length - boxes[..., k + 2]).all()
        assert (new_boxes[..., k + 2] == length - boxes[..., k]).all()
        assert (new_boxes[..., 1 - k] == boxes[..., 1 - k]).all()

    def test_each_image_has_its_own_lot(self):
        x = images(400, 1, 1, 2)
        y = A.RandomHorizontalFlip(0.25)(x)
        flipped = (y == np.flip(x, 3)).all((1, 2, 3)) & (x[:, 0, 0, 0] != x[:, 0, 0, 1])
        assert 60 < flipped.sum() < 140

    @pytest.mark.parametrize("p", [-0.1, 1.5, "half", True, math.nan])
    def test_p(self, p):
        with pytest.raises(ValueError, match=rf"`p` must be a number in \[0, 1\], got {p!r}"):
            A.RandomHorizontalFlip(p)


class TestRotation:
    @pytest.mark.parametrize("quarters", [-3, -1, 0, 1, 2, 3, 4])
    @pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
    @pytest.mark.parametrize("side", [5, 6])
    def test_quarter_turns_are_rot90(self, quarters, interpolation, side):
        x = images(3, 3, side, side)
        y = A.RandomRotation((90 * quarters, 90 * quarters), interpolation)(x)
        assert (y == np.rot90(x, quarters, (2, 3))).all()

    def test_boxes_move_with_pixels(self):
        """The box around the only bright pixels stays around them."""
        x = np.zeros((1, 1, 8, 8), np.uint8)
        x[..., 1:3, 4:7] = 255
        y, boxes = A.RandomRotation((90, 90))(x, boxes=np.array([[[4, 1, 7, 3]]]))
        rows, columns = np.nonzero(y[0, 0])
        assert boxes.tolist() == [[[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]]

    def test_boxes_are_cut(self):
        boxes = A.RandomAffine(0, scale=(2, 2))(
            np.zeros((1, 1, 8, 8)), boxes=np.array([[[0.0, 0, 4, 4], [0, 0, 1, 1]]])
        )[1]
        assert boxes.tolist() == [[[0, 0, 4, 4], [0, 0, 0, 0]]]

    def test_angles_fill_the_range(self):
        corner = np.zeros((200, 1, 65, 65))
        corner[:, 0, 32, 64] = 1
        angles = []
        for y in A.RandomRotation(40, "bilinear")(corner)[:, 0]:
            row, column = np.unravel_index(y.argmax(), y.shape)
            angles.append(math.degrees(math.atan2(32 - row, column - 32)))
        assert -41 < min(angles) < -35
        assert 35 < max(angles) < 41

    def test_wrong(self):
        with pytest.raises(ValueError, match=r"`degrees` must be at least 0 where it is one number, got -5"):
            A.RandomRotation(-5)
        with pytest.raises(ValueError, match=r"`interpolation` must be 'nearest' or 'bilinear', got 'cubic'"):
            A.RandomRotation(5, "cubic")
        with pytest.raises(ValueError, match=r"`fill` must be one number, or one for each of 3 channels, got \(1, 2\)"):
            A.RandomRotation((5, 5), fill=(1, 2))(images())
        with pytest.raises(ValueError, match=r"`inputs` must be images \(N, C, H, W\), got shape \(6, 9\)"):
            A.RandomRotation(5)(images()[0, 0])


class TestAffine:
    def test_matrix(self):
        """The forward matrix of torchvision's `_get_inverse_affine_matrix(…, inverted=False)`, by its formula."""
        angle, sx, sy, scale = 0.3, 0.2, -0.1, 1.3
        a, b = (
            math.cos(angle - sy) / math.cos(sy),
            -math.cos(angle - sy) * math.tan(sx) / math.cos(sy) - math.sin(angle),
        )
        c, d = (
            math.sin(angle - sy) / math.cos(sy),
            -math.sin(angle - sy) * math.tan(sx) / math.cos(sy) + math.cos(angle),
        )
        degrees = (np.rad2deg([v]) for v in (angle, sx, sy))
        linear = affine.rotation_shear_scale(*degrees, np.array([scale]))[0]
        np.testing.assert_allclose(linear, scale * np.array([[a, b], [c, d]]), rtol=1e-12)

    def test_translation_is_whole(self):
        x = images(30, 1, 10, 10) // 2 + 1
        y = A.RandomAffine(0, translate=(0.3, 0.0), interpolation="bilinear")(x)
        shifts = set()
        for before, after in zip(x[:, 0], y[:, 0]):
            found = [s for s in range(-3, 4) if (after == shifted(before, s)).all()]
            assert len(found) == 1
            shifts.update(found)
        assert shifts == set(range(-3, 4))

    def test_zoom(self):
        x = np.zeros((1, 1, 9, 9))
        x[..., 3:6, 3:6] = 1
        y = A.RandomAffine(0, scale=(3, 3))(x)
        assert (y == 1).all()

    def test_maps_in_a_row_are_one(self):
        """Rotated there and back, nothing is lost, as nothing is sampled in between."""
        x = images(dtype=np.float64)
        y = A.Compose([A.RandomRotation((30, 30), "bilinear"), A.RandomRotation((-30, -30), "bilinear")])(x)
        np.testing.assert_allclose(y, x, atol=1e-12)

    def test_different_fills_are_kept(self):
        shift = A.RandomAffine(0, translate=None, fill=200)
        x = np.full((1, 1, 4, 4), 50, np.uint8)
        y = A.Compose([A.RandomCrop(6, padding=1, fill=9), shift, A.RandomCrop(8, padding=1, fill=17)])(x)[0, 0]
        assert [int(y[i, i]) for i in range(4)] == [17, 9, 50, 50]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"translate": 0.1}, r"`translate` must be shares .*, got 0.1"),
            ({"translate": (0.1, 2)}, r"`translate` must be a number in \[0, 1\], got 2"),
            ({"scale": (0, 1)}, r"`scale` must be \(least, greatest\) in .*, got \(0, 1\)"),
            ({"scale": (2, 1)}, r"`scale` must be \(least, greatest\) in .*, got \(2, 1\)"),
            ({"shear": (1, 2, 3)}, r"`shear` must be one number, two or four, got \(1, 2, 3\)"),
            ({"center": 3}, r"`center` must be \(x, y\) in pixels or None, got 3"),
            ({"fill": "red"}, r"`fill` must be a number, or one for each channel, got 'red'"),
        ],
    )
    def test_wrong(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            A.RandomAffine(5, **arguments)


def shifted(x, s):
    y = np.zeros_like(x)
    y[:, max(s, 0) : x.shape[1] + min(s, 0)] = x[:, max(-s, 0) : x.shape[1] - max(s, 0)]
    return y


class TestCrop:
    def test_windows_of_the_padded_image(self):
        x = images(60, 2, 5, 7)
        y, masks = A.RandomCrop((5, 7), padding=2, fill=3)(x, masks=x[:, 0])
        padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=3)
        places = set()
        for image, mask, all_of_it in zip(y, masks, padded):
            found = [(i, j) for i in range(5) for j in range(5) if (all_of_it[:, i : i + 5, j : j + 7] == image).all()]
            assert len(found) == 1
            i, j = found[0]
            inside = np.zeros((9, 11), bool)
            inside[2:-2, 2:-2] = True
            inside = inside[i : i + 5, j : j + 7]
            assert (mask[inside] == image[0][inside]).all()
            assert (mask[~inside] == 0).all()
            places.update(found)
        assert len(places) > 15

    @pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric"])
    def test_paddings(self, mode):
        x, boxes = images(1), np.array([[[1, 2, 3, 4]]])
        y, masks, moved = A.RandomCrop((10, 15), (3, 2), padding_mode=mode)(x, masks=x[:, 1], boxes=boxes)
        expected = np.pad(x, ((0, 0), (0, 0), (2, 2), (3, 3)), mode=mode)
        assert (y == expected).all()
        assert (masks == expected[:, 1]).all()
        assert moved.tolist() == [[[4, 4, 6, 6]]]

    def test_pad_if_needed(self):
        assert A.RandomCrop(20, pad_if_needed=True)(images()).shape == (4, 3, 20, 20)
        with pytest.raises(
            ValueError, match=r"`size` must fit into the padded images, 6 × 9, got 20 × 20; give `padding`"
        ):
            A.RandomCrop(20)(images())

    def test_wrong(self):
        with pytest.raises(ValueError, match=r"`size` must be a positive integer or \(height, width\) of them, got 0"):
            A.RandomCrop(0)
        with pytest.raises(
            ValueError, match=r"`padding` must be one, two or four integers of at least 0, got \(1, 2, 3\)"
        ):
            A.RandomCrop(4, (1, 2, 3))
        with pytest.raises(ValueError, match=r"`padding_mode` must be one of .*, got 'wrap'"):
            A.RandomCrop(4, 1, padding_mode="wrap")
        with pytest.raises(
            ValueError, match=r"`padding` must be below the images' size 6 × 9 to reflect, got \(6, 6\)"
        ):
            A.RandomCrop(4, 6, padding_mode="reflect")(images())

    def test_centre(self):
        x = images()
        assert (A.CenterCrop((2, 5))(x) == x[..., 2:4, 2:7]).all()
        padded = A.CenterCrop((8, 9))(x)
        assert (padded == np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))).all()


class TestIdentity:
    """Strength 0 changes nothing, not a bit."""

    TRANSFORMS = [
        A.RandomHorizontalFlip(0),
        A.RandomVerticalFlip(0),
        A.RandomRotation(0, "bilinear"),
        A.RandomAffine(0, (0, 0), (1, 1), 0, "bilinear"),
        A.RandomCrop((6, 9)),
        A.CenterCrop((6, 9)),
        A.Resize((6, 9)),
        A.RandomResizedCrop((6, 9), (1, 1), (1.5, 1.5)),
        A.ColorJitter(),
        A.RandomGrayscale(0),
        A.GaussianNoise(0, 0),
        A.RandomErasing(0),
    ]

    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
    @pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: type(t).__name__)
    def test_identity(self, transform, dtype):
        x = images(dtype=dtype)
        masks, boxes = x[:, 0], np.array([[[1.0, 2, 3, 4]]] * 4)
        y, new_masks, new_boxes = transform(x, masks=masks, boxes=boxes)
        assert y.dtype == x.dtype
        assert (y == x).all()
        assert (new_masks == masks).all()
        assert (new_boxes == boxes).all()


@pytest.mark.parametrize("transform", TestIdentity.TRANSFORMS, ids=lambda t: type(t).__name__)
def test_repr_says_its_arguments(transform):
    assert repr(transform).startswith(f"{type(transform).__name__}(")
    assert "_" not in repr(transform).replace("padding_mode", "").replace("pad_if_needed", "")


def test_tensors_and_lists():
    flip = A.RandomHorizontalFlip(1)
    y = flip(weft.tensor([[[[1.0, 2.0]]]]))
    assert isinstance(y, weft.Tensor)
    assert y.tolist() == [[[[2.0, 1.0]]]]
    assert flip([[[[1, 2]]]]).tolist() == [[[[2, 1]]]]
