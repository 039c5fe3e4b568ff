"""Who is asked for samples and who for batches; what is asked, and what becomes of the answer."""

import numpy as np
import pytest

import weft
from weft.data import ArrayDataset, DataLoader
from weft.data.fetch import Fetch, gives_batches


class Samples:
    """Notes what it is asked; a sample is an image (2, 3) whose columns are flipped, and its number."""

    def __init__(self, n=7):
        self.images, self.asked = np.arange(n * 6.0).reshape(n, 2, 3), []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        self.asked.append(i)
        image = self.images[i][:, ::-1]
        return image - image.mean(), i


class Listed(Samples):
    def __getitems__(self, indices):
        self.asked.append(indices)
        return [super(Listed, self).__getitem__(i) for i in indices]


class AtOnce(Samples):
    def __getitems__(self, indices):
        self.asked.append(indices)
        return {"x": self.images[indices], "y": indices}


class SingleAgain(AtOnce):
    def __getitem__(self, i):
        return super().__getitem__(i)


class Flipped(ArrayDataset):
    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return x[:, ::-1], y


class Wrapped:
    """Passes on whatever it does not know, `__getitems__` too."""

    def __init__(self, inner):
        self.inner = inner

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, i):
        x, y = self.inner[i]
        return x[:, ::-1], y

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("device", ["cpu", "emulator"])
@pytest.mark.parametrize("options", [{}, {"prefetch": 2}, {"pin_memory": False}])
def test_a_sample_at_a_time(options, device, shuffle):
    data = Samples()
    for x, y in DataLoader(data, 3, shuffle, device=device, seed=2, **options):
        assert (x.device, y.device, x.dtype, y.dtype) == (device, device, np.float64, np.int64)
        for image, i in zip(x.numpy(), y.tolist(), strict=True):
            flipped = data.images[i][:, ::-1]
            np.testing.assert_array_equal(image, flipped - flipped.mean())
    assert sorted(data.asked) == list(range(7))
    assert {type(i) for i in data.asked} == {int}


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("device", ["cpu", "emulator"])
def test_a_list_is_samples_and_all_else_a_batch(device, shuffle):
    options = {"batch_size": 3, "shuffle": shuffle, "seed": 2, "device": device}
    listed, expected = DataLoader(Listed(), **options), DataLoader(Samples(), **options)
    for found, wanted in zip(listed, expected, strict=True):
        for f, w in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(f.numpy(), w.numpy())
    data = AtOnce()
    for batch in DataLoader(data, **options):
        assert (batch["x"].device, batch["y"].device) == (device, device)
        np.testing.assert_array_equal(batch["x"].numpy(), data.images[batch["y"].numpy()])
    assert all(type(asked) is list and {type(i) for i in asked} == {int} for asked in data.asked)
    assert [len(asked) for asked in data.asked] == [3, 3, 1]


@pytest.mark.parametrize("make", [Flipped, lambda *a: Wrapped(ArrayDataset(*a))])
@pytest.mark.parametrize("device", ["cpu", "emulator"])
def test_whoever_redefines_getitem_alone_means_samples(make, device):
    x, y = np.arange(24.0).reshape(4, 2, 3), np.arange(4)
    ((found, labels),) = DataLoader(make(x, y), 4, device=device)
    np.testing.assert_array_equal(found.numpy(), x[:, :, ::-1])
    assert labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(Samples, False), (Listed, True), (AtOnce, True), (SingleAgain, False), (ArrayDataset, True), (Flipped, False)]
    + [(Wrapped, False), (list, False), (np.ndarray, False)],
)
def test_gives_batches(kind, expected):
    assert gives_batches(kind) is expected


def test_collate_fn_has_what_pytorch_gives_it():
    seen = []
    for data in (Samples(3), Listed(3), AtOnce(3), ArrayDataset(np.arange(6.0).reshape(3, 2), np.arange(3))):
        assert next(iter(DataLoader(data, 3, collate_fn=lambda batch: seen.append(batch) or "batch"))) == "batch"
    samples, listed, at_once, arrays = seen
    for batch in (samples, listed, arrays):
        assert isinstance(batch, list)
        assert [int(y) for _, y in batch] == [0, 1, 2]
    assert at_once["y"] == [0, 1, 2]
    assert [x.tolist() for x, _ in arrays] == [[0, 1], [2, 3], [4, 5]]


def test_lists_arrays_and_tensors_are_data_sets():
    pairs = [(np.ones(2) * i, i) for i in range(3)]
    ((x, y),) = DataLoader(pairs, 3)
    assert (x.tolist(), y.tolist()) == ([[0, 0], [1, 1], [2, 2]], [0, 1, 2])
    rows = np.arange(6).reshape(3, 2)
    assert [b.tolist() for b in DataLoader(rows, 2)] == [[[0, 1], [2, 3]], [[4, 5]]]
    assert [b.tolist() for b in DataLoader(weft.tensor(rows), 2)] == [[[0, 1], [2, 3]], [[4, 5]]]


def test_single_samples():
    fetch = Fetch(Samples(), None, batched=False)
    assert fetch(2)[1] == 2
    assert Fetch(Samples(), lambda sample: sample[1] * 10, batched=False)(2) == 20
