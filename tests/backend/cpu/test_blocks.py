"""Blocks: NumPy's settings are as before, whatever happens inside."""

import numpy as np
import pytest

from weft.backend.cpu import blocks


def test_the_buffer_is_small_inside_and_as_before_outside():
    before, seen = np.getbufsize(), []
    with np.errstate(over="raise"):
        blocks.unbuffered(blocks.ROW, lambda: seen.append((np.getbufsize(), np.geterr()["over"])))
        blocks.unbuffered(blocks.ROW - 1, lambda: seen.append((np.getbufsize(), np.geterr()["over"])))
    with pytest.raises(ZeroDivisionError):
        blocks.unbuffered(blocks.ROW, lambda: 1 // 0)
    assert seen == [(blocks.FEW, "raise"), (before, "raise")]
    assert np.getbufsize() == before
