"""Data sets in memory: against NumPy's own indexing, on NumPy and on array_api_strict."""

import re

import array_api_strict
import numpy as np
import pytest

import weft
from weft.data import ArrayDataset, DataSplits

weft.register_device("strict", array_api_strict)


INDICES = [slice(2, 7), slice(8, 20), slice(0, 0), slice(7, 2), slice(None, None, -3), 3, np.int64(3), [1, 2]]
INDICES += [np.array([9, 0, 0, 4]), np.array([], np.int64)]


@pytest.fixture
def arrays(rng):
    return rng.integers(0, 256, (10, 2, 3), dtype=np.uint8), rng.integers(0, 5, 10), rng.standard_normal((10, 4))


@pytest.mark.parametrize("device", ["cpu", "strict"])
@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_indexing(arrays, device, index):
    got = ArrayDataset(*arrays).to(device)[index]
    assert len(got) == 3
    for a, b in zip(got, arrays):
        np.testing.assert_array_equal(np.asarray(a), b[index])
        assert str(a.dtype).rpartition(".")[2] == str(b.dtype)


@pytest.mark.parametrize("index", [i for i in INDICES if isinstance(i, slice | np.ndarray)], ids=repr)
@pytest.mark.parametrize("order", ["<", ">"])
def test_gathering(arrays, index, order):
    data = ArrayDataset(*(a.astype(a.dtype.newbyteorder(order)) for a in arrays))
    out = [np.empty(a[index].shape, a.dtype) for a in arrays]
    data.gather(index, out)
    for to, a in zip(out, arrays):
        np.testing.assert_array_equal(to, a[index])


def test_nbytes(arrays):
    assert ArrayDataset(*arrays).nbytes == ArrayDataset(*arrays).to("strict").nbytes == 60 + 80 + 320


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_to_keeps_the_data(arrays, device):
    data = ArrayDataset(*arrays).to(device)
    assert data.device == device
    assert data.to(device) is data
    for a, b in zip(data.to("cpu").arrays, arrays):
        np.testing.assert_array_equal(a, b)
    assert len(data) == 10


def test_shares_memory_and_refuses_assignment(arrays):
    data = ArrayDataset(*arrays)
    assert np.shares_memory(data.x, arrays[0])
    with pytest.raises(ValueError, match="read-only"):
        data.x[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        data[2:4][1][0] = 0
    arrays[0][0] = 0  # the owner still may
    data[np.array([1, 2])][0][:] = 0  # and a gathered batch belongs to whoever asked for it


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_tensors_stay_on_their_device(arrays, device):
    x, y = (weft.asarray(a, device=device) for a in arrays[:2])
    data = ArrayDataset(x, y)
    assert data.device == device
    assert isinstance(data.x, type(x.data))
    with weft.device("strict"):
        assert ArrayDataset(*arrays).device == "cpu"


def test_lists_are_accepted():
    data = ArrayDataset([[1.0, 2.0], [3.0, 4.0]], [0, 1])
    assert data.x.dtype == np.float32
    assert data[np.array([1])][1].tolist() == [1]


def test_subset_and_repr(arrays):
    data = ArrayDataset(*arrays)
    np.testing.assert_array_equal(data.subset(np.array([4, 2])).y, arrays[1][[4, 2]])
    assert repr(data.subset(slice(0, 3))) == "ArrayDataset((3, 2, 3) uint8, (3,) int64, (3, 4) float64)"
    assert repr(ArrayDataset(arrays[1]).to("strict")).endswith("device='strict')")
    assert ArrayDataset(arrays[0]).y is None


class TestFaults:
    def test_lengths(self, arrays):
        with pytest.raises(ValueError, match=re.escape("first axis, the samples, got shapes (10, 2, 3), (9,)")):
            ArrayDataset(arrays[0], arrays[1][:9])
        with pytest.raises(ValueError, match=re.escape("got shapes (10,), ()")):
            ArrayDataset(arrays[1], np.float64(3))

    def test_none(self):
        with pytest.raises(ValueError, match="`arrays` must hold at least one array, got none"):
            ArrayDataset()

    def test_devices(self, arrays):
        with pytest.raises(ValueError, match=re.escape("must lie on one device, got ['cpu', 'strict']; use .to(")):
            ArrayDataset(arrays[0], weft.asarray(arrays[1], device="strict"))

    def test_index(self, arrays):
        with pytest.raises(TypeError, match=r"`index` must be an int, a slice or an array .*, got dtype float64"):
            ArrayDataset(*arrays)[np.array([0.5])]
        with pytest.raises(IndexError, match="10"):
            ArrayDataset(*arrays)[np.array([10])]


class TestDataSplits:
    def test_what_is_known(self, arrays):
        train, test = (ArrayDataset(*arrays).subset(s) for s in (slice(0, 6), slice(6, 10)))
        data = DataSplits(train, test, class_names=("a", "b", "c", "d", "e"), name="toy")
        assert (data.sample_shape, data.num_classes, data.dev) == ((2, 3), 5, None)
        assert repr(data) == "toy: train 6, test 4, samples (2, 3) uint8, 5 classes"
        moved = DataSplits(train, test, test).to("strict")
        assert [part.device for part in (moved.train, moved.dev, moved.test)] == ["strict"] * 3
        assert data.to("strict").dev is None

    def test_samples_differ(self, arrays):
        expected = "`test` must have samples of shape (2, 3) as `train` has, got (4,)"
        with pytest.raises(ValueError, match=re.escape(expected)):
            DataSplits(ArrayDataset(arrays[0]), ArrayDataset(arrays[2]))
