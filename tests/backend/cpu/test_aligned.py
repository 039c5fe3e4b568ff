"""Where memory starts, and what is in it."""

import numpy as np
import pytest

from weft.backend.cpu import aligned


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (33,), (3, 0, 2), (5, 7)])
def test_memory(shape, dtype):
    for make in (aligned.empty, aligned.zeros):
        x = make(shape, dtype)
        assert x.shape == shape
        assert x.dtype == dtype
        assert x.flags.c_contiguous
        assert x.flags.writeable
        assert not x.size or x.ctypes.data % 64 == 0
    assert not x.any()


def test_a_copy_is_contiguous():
    x = np.arange(12.0).reshape(3, 4).T
    y = aligned.copy(x)
    assert np.array_equal(x, y)
    assert y.flags.c_contiguous
    assert y.ctypes.data % 64 == 0
    assert not np.shares_memory(x, y)
