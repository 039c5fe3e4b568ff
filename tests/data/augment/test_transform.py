"""Augmentations as they are called: by hand, in a row, by a loader, on every device."""

from collections import namedtuple

import numpy as np
import pytest

import weft
from weft.data import ArrayDataset, DataLoader, Standardize
from weft.data import augment as A

GEOMETRY = [
    A.RandomAffine(10, (0.1, 0.1), (0.8, 1.2), 5, "bilinear", fill=7),
    A.RandomRotation(20),
    A.RandomCrop(9, padding=2, padding_mode="reflect"),
    A.RandomCrop(7, padding=4),
    A.RandomHorizontalFlip(),
    A.RandomVerticalFlip(),
    A.CenterCrop((5, 13)),
    A.Resize((5, 20)),
    A.RandomResizedCrop(7),
    A.RandomResizedCrop(7, interpolation="nearest"),
    A.Compose([A.RandomRotation(20, "bilinear"), A.RandomCrop(7), A.RandomHorizontalFlip()]),
]
PIXELS = [
    A.ColorJitter(0.2, 0.2, 0.2, 0.1),
    A.RandomGrayscale(0.5),
    A.RandomErasing(),
    A.RandomErasing(value="random"),
    A.GaussianNoise(),
]
MIXING = [A.MixUp(num_classes=6), A.CutMix(num_classes=6)]
NAMES = {"ids": lambda t: type(t).__name__}


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return {
        "inputs": rng.integers(0, 256, (6, 3, 9, 11), np.uint8),
        "labels": np.arange(6),
        "masks": rng.integers(0, 5, (6, 9, 11)),
        "boxes": np.tile([[1.0, 2, 5, 6], [0, 0, 11, 9]], (6, 1, 1)),
    }


class TestDevices:
    @pytest.mark.parametrize("transform", GEOMETRY + PIXELS + MIXING, **NAMES)
    def test_the_same_images(self, transform, batch, accelerator):
        if transform in MIXING:
            del batch["masks"], batch["boxes"]
        expected = transform(**batch, generator=weft.Generator(3))
        there = {role: weft.asarray(a, device=accelerator) for role, a in batch.items()}
        for y, wanted in zip(transform(**there, generator=weft.Generator(3)), expected, strict=True):
            assert y.device == accelerator
            assert y.dtype == wanted.dtype
            if accelerator == "emulator":
                assert (y.numpy() == wanted).all()
            else:  # products and sums round otherwise
                np.testing.assert_allclose(y.numpy().astype(float), wanted.astype(float), atol=1)

    @pytest.mark.parametrize("transform", GEOMETRY + PIXELS + MIXING, **NAMES)
    def test_seeds(self, transform, batch):
        first, again, other = (transform(batch["inputs"], generator=weft.Generator(s)) for s in (3, 3, 4))
        assert (first == again).all()
        if not isinstance(transform, A.CenterCrop | A.Resize):
            assert (first != other).any()
        weft.manual_seed(3)
        assert (transform(batch["inputs"]) == first).all()

    def test_labels_stay(self, batch):
        assert A.RandomHorizontalFlip()(**batch)[1] is batch["labels"]


class TestLoader:
    def data(self):
        rng = np.random.default_rng(0)
        return ArrayDataset(rng.integers(0, 256, (40, 3, 8, 8), np.uint8), np.arange(40) % 4)

    def loader(self, transform=None, **options):
        transform = transform or A.Compose(
            [A.RandomCrop(8, padding=2), A.RandomHorizontalFlip(), A.CutMix(num_classes=4)]
        )
        return DataLoader(self.data(), 16, shuffle=True, seed=7, transform=transform, **options)

    def epochs(self, loader, n=2):
        return [(x.numpy(), y.numpy()) for _ in range(n) for x, y in loader]

    def same(self, some, others):
        return all((x == u).all() and (y == v).all() for (x, y), (u, v) in zip(some, others, strict=True))

    @pytest.mark.parametrize("options", [{"prefetch": 0}, {"num_workers": 2}, {"device": "emulator"}], ids=str)
    def test_whoever_makes_them(self, options):
        assert self.same(self.epochs(self.loader()), self.epochs(self.loader(**options)))

    def test_resident(self):
        there = DataLoader(self.data().to("emulator"), 16, shuffle=True, seed=7, transform=self.loader().transform)
        assert self.same(self.epochs(self.loader()), self.epochs(there))

    def test_each_epoch_and_batch_is_another(self):
        data = ArrayDataset(np.tile(self.data().x[:8], (2, 1, 1, 1)), np.arange(16))
        loader = DataLoader(data, 8, seed=1, transform=A.RandomCrop(8, padding=2))
        batches = [x.numpy() for _ in range(2) for x, _ in loader]
        assert all((batches[i] != batches[j]).any() for i in range(4) for j in range(i))

    def test_resumed(self):
        loader, other = self.loader(), self.loader()
        whole = self.epochs(loader, 1)
        broken = iter(loader := self.loader())
        next(broken)
        other.load_state_dict(loader.state_dict())
        assert self.same(whole[1:], self.epochs(other, 1))

    def test_a_seed_is_drawn(self):
        transform = A.RandomCrop(8, padding=2)
        first, second = (next(iter(DataLoader(self.data(), 16, transform=transform)))[0] for _ in range(2))
        assert (first.numpy() != second.numpy()).any()

    def test_normalizer_at_the_end(self):
        normalizer = Standardize().fit(self.data().x)
        flip = A.RandomHorizontalFlip(1)
        x, _ = next(iter(DataLoader(self.data(), 16, transform=A.Compose([flip, normalizer]))))
        assert (x.numpy() == normalizer(flip(self.data().x[:16]))).all()


class TestBatches:
    def test_dicts(self, batch):
        transform = A.Compose([A.RandomHorizontalFlip(1)], entries={"image": "inputs", "seg": "masks"})
        given = {"image": batch["inputs"], "seg": batch["masks"], "name": ["a"] * 6}
        changed = transform.of_batch(given, weft.Generator(0))
        assert list(changed) == list(given)
        assert (changed["image"] == batch["inputs"][..., ::-1]).all()
        assert (changed["seg"] == batch["masks"][..., ::-1]).all()
        assert changed["name"] is given["name"]
        assert (
            A.RandomHorizontalFlip(1).of_batch(batch, weft.Generator(0))["masks"] == batch["masks"][..., ::-1]
        ).all()

    def test_tuples(self, batch):
        transform = A.Compose([A.RandomHorizontalFlip(1)], entries=(None, "masks", "inputs"))
        Sample = namedtuple("Sample", "index mask image")
        changed = transform.of_batch(Sample(np.arange(6), batch["masks"], batch["inputs"]), weft.Generator(0))
        assert isinstance(changed, Sample)
        assert (changed.image == batch["inputs"][..., ::-1]).all()
        assert (changed.mask == batch["masks"][..., ::-1]).all()
        changed = A.RandomHorizontalFlip(1).of_batch([batch["inputs"], ["a"] * 6], weft.Generator(0))
        assert changed[1] == ["a"] * 6
        alone = A.RandomHorizontalFlip(1).of_batch(batch["inputs"], weft.Generator(0))
        assert (alone == batch["inputs"][..., ::-1]).all()

    def test_masks_are_not_taken_for_labels(self, batch):
        with pytest.raises(
            ValueError, match=r"`labels` must be \(N,\) or \(N, classes\), got shape \(6, 9, 11\): for masks"
        ):
            A.RandomHorizontalFlip().of_batch((batch["inputs"], batch["masks"]), weft.Generator(0))

    @pytest.mark.parametrize(
        ("role", "value", "message"),
        [
            ("labels", np.arange(5), r"`labels` must have an entry for each of the 6 inputs, got \(5,\)"),
            (
                "masks",
                np.zeros((6, 3, 3)),
                r"`masks` must be \(N, \[C,\] H, W\) of the images' \(9, 11\), got shape \(6, 3, 3\)",
            ),
            ("boxes", np.zeros((6, 4)), r"`boxes` must be \(N, M, 4\), .*, got shape \(6, 4\)"),
        ],
    )
    def test_what_does_not_belong_together(self, batch, role, value, message):
        with pytest.raises(ValueError, match=message):
            A.RandomHorizontalFlip()(**{**batch, role: value})

    def test_two_devices(self, batch):
        with pytest.raises(
            ValueError, match=r"`inputs` and what belongs to them must lie on one device, got \['cpu', 'emulator'\]"
        ):
            A.RandomHorizontalFlip()(batch["inputs"], weft.asarray(batch["labels"], device="emulator"))

    def test_wrong(self, batch):
        with pytest.raises(
            TypeError, match=r"`transforms` must be a sequence of augmentations and functions, got \[3\]"
        ):
            A.Compose([3])
        with pytest.raises(ValueError, match=r"`entries` must name `inputs` and some of .*, got \('x', 'y'\)"):
            A.Compose([], entries=("x", "y"))
        with pytest.raises(
            ValueError, match=r"`entries` must tell which entry of a batch are the inputs, got None for \['x'\]"
        ):
            A.RandomHorizontalFlip().of_batch({"x": batch["inputs"]}, weft.Generator(0))
        with pytest.raises(
            ValueError, match=r"a transform must keep the 6 inputs of a batch, got shape \(3, 3, 9, 11\)"
        ):
            A.Compose([lambda x: x[:3]])(batch["inputs"])
        with pytest.raises(NotImplementedError, match=r"`Augmentation` must define _apply"):
            A.Augmentation()(batch["inputs"])
        with pytest.raises(
            ValueError, match=r"`entries` must be a sequence for batches that are tuples, got {'x': 'inputs'}"
        ):
            A.Compose([], entries={"x": "inputs"}).of_batch((batch["inputs"],), weft.Generator(0))


class TestValues:
    """What does not fit is told: by an error on the host, by NaN where to look would be to wait."""

    @pytest.mark.parametrize("value", [300, -1, 0.5, (0, 300, 0)])
    def test_fill(self, batch, value):
        x = batch["inputs"]
        with pytest.raises(ValueError, match=r"`fill` must be whole and in \[0, 255\] for uint8, got"):
            A.RandomRotation(20, fill=value)(x)
        with pytest.raises(ValueError, match=r"`value` must be whole and in \[0, 255\] for uint8, got"):
            A.RandomErasing(value=value)(x)
        A.RandomRotation(20, fill=value)(x / 255)

    def test_wide_integers_have_no_white(self, batch):
        x = batch["inputs"].astype(np.int64)
        with pytest.raises(
            ValueError, match=r"`inputs` must be uint8, uint16 or floating-point images, got int64: convert"
        ):
            A.GaussianNoise()(x)
        assert A.Compose([A.GaussianNoise()], white=255)(x).max() <= 255
        assert (A.RandomHorizontalFlip(1)(x) == x[..., ::-1]).all()

    def test_on_a_device(self, batch, accelerator):
        x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(1, 1, 3, 4)
        y = A.ColorJitter(0.1)(weft.asarray(x, device=accelerator)).numpy()
        assert np.isnan(y[x < 0]).all()
        labels = weft.asarray([0, 3], device=accelerator)
        _, mixed = A.MixUp(num_classes=3)(weft.zeros((2, 4), device=accelerator), labels)
        assert np.isnan(mixed.numpy()).any()
