"""Blocks: NumPy's settings are as before, whatever happens inside; every element is visited, with room to work in."""

import numpy as np
import pytest

import weft
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


@pytest.mark.parametrize(("threads", "block"), [(1, blocks.CALM), (2, blocks.BUSY)])
@pytest.mark.parametrize("shape", [(), (7,), (3, blocks.BUSY // 4), (blocks.BUSY // 4 + 1,)], ids=str)
def test_scratch_is_of_a_block_s_size_and_its_own(shape, threads, block, monkeypatch):
    """Twice x + 1, by way of an array to work in, in one block or in several, the last of which is short."""
    monkeypatch.setattr(blocks, "num_threads", lambda: threads)
    x, seen = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape), []

    def kernel(x, y, work):
        seen.append(x.shape == y.shape == work.shape and not np.shares_memory(y, work))
        np.add(x, 1, out=work)
        np.multiply(work, 2, out=y)

    (y,) = blocks.blockwise(kernel, 1, x, scratch=1)
    np.testing.assert_array_equal(y, 2 * (x + 1))
    assert y.shape == shape
    assert all(seen)
    assert len(seen) == max(1, -(-x.nbytes // block))


@pytest.mark.parametrize("threads", [1, 3])
def test_a_ufunc_covers_all_blocks(rng, threads):
    x, before = rng.standard_normal((5, blocks.BLOCK // 8 + 3)), weft.num_threads()
    weft.set_num_threads(threads)
    try:
        (y,) = blocks.blockwise(np.multiply, 1, x.T, x.T)
    finally:
        weft.set_num_threads(before)
    np.testing.assert_array_equal(y, x.T * x.T)
    assert y.flags.f_contiguous


class TestTranspose:
    @pytest.mark.parametrize("columns", [3, 64, 256])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_is_exact(self, columns, dtype):
        """Also of rows a multiple of 1024 bytes apart, and of a part of them."""
        x = np.random.default_rng(0).standard_normal((2, 70, columns)).astype(dtype)
        for part in (x, x[:, ::4], x[:, :, 1:]):
            out = np.empty((2, part.shape[2], part.shape[1]), dtype)
            blocks.transpose(part, out)
            np.testing.assert_array_equal(out, np.swapaxes(part, 1, 2))

    def test_of_no_rows(self):
        blocks.transpose(np.empty((0, 256)), out := np.empty((256, 0)))
        assert out.size == 0
