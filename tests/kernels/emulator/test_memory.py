"""Copies of a launch's arrays: where they lie, what is between them, and what comes back."""

import numpy as np
import pytest

from weft.kernels.emulator.memory import Memory, poisoned


def laid_out(*arrays, writable=True):
    memory = Memory()
    for i, array in enumerate(arrays):
        memory.add(i, array, writable)
    addresses = memory.lay_out()
    offsets = [addresses[i] - memory.block.ctypes.data for i in range(len(arrays))]
    return memory, [memory.block.view(np.uint8)[offset:] for offset in offsets]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_poison_is_nan(dtype):
    assert np.isnan(poisoned((3, 5), dtype)).all()


def test_poison_of_an_odd_number_of_bytes():
    assert poisoned(3, np.uint8).tolist() == [0xA5, 0x7F, 0]


def test_what_is_written_comes_back_where_it_may():
    x = np.arange(4, dtype=np.float32)
    for writable, expected in ((True, [0, 1, 2, 9]), (False, [0, 1, 2, 3])):
        memory, (found,) = laid_out(x.copy(), writable=writable)
        found[:16].view(np.float32)[3] = 9
        memory.copy_back()
        assert [array.tolist() for array, _ in memory.moves] == ([expected] if writable else [])


def test_arrays_that_overlap_share_a_copy():
    x = np.arange(8, dtype=np.float32)
    memory, (whole, part) = laid_out(x, x[2:])
    assert len(memory.buffers) == 1
    assert whole.size - part.size == 8
    memory, (one, other) = laid_out(x, x.copy())
    assert len(memory.buffers) == 2
    assert abs(one.size - other.size) > 4096


def test_a_view_is_as_misaligned_as_on_a_gpu():
    x = np.zeros(64, np.float32)
    for first in (0, 1, 3, 4):
        memory, _ = laid_out(x[first:])
        assert memory.buffers[0].low % 16 == 4 * first % 16


def test_what_lies_between_a_views_elements_is_poison():
    x = np.ones((4, 6), np.float32)
    _, (found,) = laid_out(x[:, :2])
    rows = found[: 4 * 24 - 16].view(np.float32)
    assert np.isnan(rows[2:6]).all()
    assert rows[[0, 1, 6, 7]].tolist() == [1] * 4
