"""Bit for bit what `pooling.cu` computes, whose tests are against float64."""

from typing import NamedTuple

import numpy as np
import pytest
from kernel_harness import dtypes, every_schedule, halves

from weft.backend.nn.pooling import Axis
from weft.kernels import pooling as kernels
from weft.kernels import pooling_running

SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.float32(np.nan), 1.0, 1.0, -1.0, 65504.0], np.float32)


class Case(NamedTuple):
    shape: tuple
    kernel: int
    before: int | None = None  # rows of padding: half a window's, or these
    output: int | None = None  # rows of windows: as many as there are of pixels, or these

    @property
    def axes(self):
        h, w = self.shape[2:]
        top = self.kernel // 2 if self.before is None else self.before
        return (Axis(h, self.output or h, self.kernel, 1, top, 1), Axis(w, w, self.kernel, 1, self.kernel // 2, 1))


# Rows of one access, of several to a warp with lanes to spare or none, and longer than a warp's; planes of one row, of fewer than a
# window's, no whole turns, one strip and several; padding of none, half a window's and all but one row; a window's more or fewer
CASES = [
    Case((2, 5, 16, 16), 3),
    Case((1, 1, 43, 4), 3),
    Case((1, 1, 12, 300), 3),
    Case((1, 3, 2, 20), 3),
    Case((1, 2, 13, 36), 3, 0, 11),
    Case((1, 2, 11, 12), 3, 2, 13),
    Case((2, 5, 16, 16), 5),
    Case((2, 3, 20, 20), 5),
    Case((1, 1, 43, 4), 5),
    Case((3, 1, 1, 8), 5),
    Case((1, 1, 12, 300), 5),
    Case((1, 2, 13, 36), 5, 0, 9),
    Case((1, 2, 11, 12), 5, 4, 15),
    Case((1, 2, 32, 32), 7),
    Case((1, 1, 9, 160), 7, 1, 6),
    Case((1, 3, 2, 20), 7),
    Case((1, 1, 150, 8), 7, 6, 150),
    Case((2, 2, 20, 40), 9),
    Case((1, 1, 39, 132), 9, 0, 31),
    Case((1, 2, 20, 20), 13),
    Case((1, 1, 60, 8), 13, 12, 72),
    Case((1, 1, 15, 140), 13, 3, 9),
    Case((1, 2, 3, 4), 13),
]
cases = pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, (*c.shape, c.kernel))))


@cases
@dtypes
@pytest.mark.parametrize("some", [SPECIAL, SPECIAL[:4], -np.inf], ids=["NaN", "no NaN", "−inf"])
def test_same_bits(case, dtype, some, only_general):
    rng = np.random.default_rng(5)
    x = rng.standard_normal(case.shape).astype(np.float32)
    x.flat[::3] = rng.choice(np.atleast_1d(np.float32(some)), x.flat[::3].size)
    if np.ndim(some) == 0:
        x[..., : x.shape[3] // 2] = -np.inf  # windows of nothing else, which have a maximum all the same
    x = x.astype(dtype)
    assert pooling_running.fits(x, *case.axes)
    got = every_schedule(lambda: kernels.max_pool(x, *case.axes)[:2])
    only_general()
    for ours, general in zip(got, kernels.max_pool(x, *case.axes)):
        assert ours.dtype == general.dtype
        assert ours.tobytes() == general.tobytes()


@halves
@pytest.mark.parametrize("kernel", pooling_running.SIDES)
@pytest.mark.parametrize("sign", [1, -1])
def test_one_nan_anywhere(kernel, sign, dtype, only_general):
    """Each plane has one, so all threads and both halves of a word meet it."""
    planes = [np.zeros((12, 72), dtype) for _ in range(72)]
    for at, plane in enumerate(planes):
        plane[at % 12, at] = sign * np.float32(np.nan)
    x, axes = np.stack(planes)[None], Case((1, 72, 12, 72), kernel).axes
    got = kernels.max_pool(x, *axes)[:2]
    assert np.isnan(got[0].astype(float)).any((0, 2, 3)).all()
    only_general()
    for ours, general in zip(got, kernels.max_pool(x, *axes)):
        assert ours.tobytes() == general.tobytes()


def axis(size, kernel=5, stride=1, before=None, dilation=1, output=None):
    return Axis(size, output or size, kernel, stride, kernel // 2 if before is None else before, dilation)


REFUSED = {
    "width": (axis(32), axis(30)), "stride": (axis(32), axis(32, stride=2)), "dilation": (axis(32, dilation=2), axis(32)),
    "not square": (axis(32), axis(32, 7)), "side": (axis(32, 11), axis(32, 11)), "padding across": (axis(32), axis(32, before=1)),
    "fewer windows across": (axis(32), axis(32, output=28)), "a window above the image": (axis(32, before=5), axis(32)),
    "a window below it": (axis(32, output=35), axis(32)),
}  # fmt: skip


@pytest.mark.parametrize("axes", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit(axes):
    x = np.zeros((1, 1, *(a.size for a in axes)), np.float32)
    assert not pooling_running.fits(x, *axes)


def test_memory_that_does_not_fit():
    square = axis(8), axis(8)
    assert not pooling_running.fits(np.zeros(65, np.float32)[1:].reshape(1, 1, 8, 8), *square)
    for planes, fits in ((0, False), (1, True), (1 << 26, True), ((1 << 26) + 1, False)):
        assert pooling_running.fits(np.broadcast_to(np.float32(0), (planes, 1, 8, 8)), *square) == fits


@pytest.mark.parametrize("kernel", pooling_running.SIDES)
@pytest.mark.parametrize("rows", [1, 6, 7, 20, 63, 65, 640])
@pytest.mark.parametrize("columns", [1, 1000, 100_000])
def test_strips(kernel, rows, columns):
    """Whole turns; no more rows than marks have room for; as many before the first as a window has, or as are not padding."""
    down = axis(rows, kernel)
    of_strip = pooling_running._rows(columns, down)
    groups = -(-rows // of_strip)
    start = pooling_running._start(down, groups)
    assert of_strip % pooling_running.TURN == start % pooling_running.TURN == 0
    assert of_strip <= pooling_running.MOST
    most = (of_strip - start) * kernel + 32 * pooling_running.V  # places
    assert 2 * most < 1 << 16
    assert start + kernel - 1 <= (down.before if groups == 1 else 0)
