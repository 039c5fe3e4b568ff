"""Against the general kernels of `pooling.cu`, whose tests are against float64: sums of small whole numbers are exact."""

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
from kernel_harness import dtypes, every_schedule

from weft.backend.nn.pooling import window_axes
from weft.kernels import pooling as kernels
from weft.kernels import pooling_means
from weft.kernels.toolchain.settings import multiprocessors
from weft.kernels.windows import Even


class Case(NamedTuple):
    shape: tuple
    kernel: Any  # or Even
    stride: tuple = ()
    before: tuple = (0, 0)
    ceil_mode: bool = False

    @property
    def axes(self):
        if self.kernel is Even:
            return tuple(Even(n, o) for n, o in zip(self.shape[2:], self.stride))
        x = np.broadcast_to(np.float32(0), self.shape)
        return window_axes(x, self.kernel, self.stride, self.before, (1, 1), self.ceil_mode)


# whole accesses and rows of odd length; windows side by side, apart, one upon the other, beyond the image; planes of one pixel; of
# more rows and columns than a block has; sequences, also of whole accesses, of several tiles, with windows apart and several to
# a pixel
CASES = [
    Case((3, 5, 8, 12), (4, 4), (4, 4)),
    Case((2, 3, 13, 17), (5, 5), (3, 3)),
    Case((1, 2, 9, 16), (3, 5), (1, 2), (1, 2)),
    Case((2, 2, 11, 7), (3, 3), (2, 2), (1, 1), True),
    Case((1, 3, 6, 8), (2, 2), (3, 4), (0, 0), True),
    Case((1, 2, 5, 6), (5, 6), (1, 1), (2, 3)),
    Case((7, 5, 1, 1), (3, 3), (1, 1), (1, 1)),
    Case((1, 1, 300, 5), (3, 2), (2, 2)),
    Case((1, 1, 7, 516), (2, 3), (2, 3)),
    Case((1, 1, 40, 40), (17, 17), (1, 1), (8, 8)),
    Case((2, 3, 1, 1032), (1, 5), (1, 2)),
    Case((9, 2, 1, 37), (1, 4), (1, 3), (0, 2), True),
    Case((2, 2, 3, 1024), (1, 3), (1, 1), (0, 1)),
    Case((3, 7, 1, 64), (1, 2), (1, 5)),
    Case((9, 2, 1, 80), (1, 7), (1, 3), (0, 3)),
    Case((1, 2, 1, 8), Even, (1, 60)),
    Case((2, 3, 7, 12), Even, (3, 5)),
    Case((1, 2, 5, 7), Even, (9, 12)),
    Case((3, 2, 1, 64), Even, (1, 7)),
    Case((3, 2, 6, 8), Even, (6, 3)),
    Case((1, 2, 1, 9), Even, (1, 60)),
]
cases = pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c[:1] + c[2:4])))


def both(x, g, axes, *count):
    if isinstance(axes[0], Even):
        outputs = tuple(a.output for a in axes)
        return kernels.adaptive_avg_pool(x, outputs), kernels.adaptive_avg_pool_gradient(g, x.shape[2:])
    return kernels.avg_pool(x, *axes, *count), kernels.avg_pool_gradient(g, *axes, *count)


def whole_numbers(case, dtype, offset=0):
    """x and g, which begin anywhere for an odd offset."""
    down, across = case.axes
    rng = np.random.default_rng(7)
    found = []
    for shape in (case.shape, (*case.shape[:2], down.output, across.output)):
        memory = np.zeros(np.prod(shape) + offset, dtype)
        memory[offset:] = rng.integers(-4, 5, np.prod(shape))
        found.append(memory[offset:].reshape(shape))
    return found


def near(got, expected):
    """Both are rounded from float32: to the same number, or to one beside it."""
    for ours, general in zip(got, expected, strict=True):
        assert ours.dtype == general.dtype
        assert ours.shape == general.shape
        eps = {2: 2.0**-7 if ours.dtype.name == "bfloat16" else 2.0**-10, 4: 2.0**-21}[ours.itemsize]
        np.testing.assert_allclose(ours.astype(float), general.astype(float), rtol=eps, atol=eps)


@pytest.fixture
def special(monkeypatch):
    """Only these kernels and the general ones."""
    for module in kernels.SPECIAL:
        monkeypatch.setattr(module, "width_of_access", lambda *_: 0)
    for module in kernels.ANY_SIZE:
        monkeypatch.setattr(module, "fits", lambda *_: False)


@cases
@dtypes
@pytest.mark.parametrize("offset", [0, 1])
def test_sums(case, dtype, offset, special, only_general):
    """Divided by 4, they are exact in every dtype; whole accesses, and images that begin anywhere."""
    x, g = whole_numbers(case, dtype, offset)
    assert pooling_means.plan(x, *case.axes)
    assert pooling_means.plan_backward(x, *case.axes)
    got = every_schedule(lambda: both(x, g, case.axes, True, 4))
    only_general()
    expected = both(x, g, case.axes, True, 4)
    near(got, expected)
    if case.kernel is not Even:
        assert [a.tobytes() for a in got] == [a.tobytes() for a in expected]


@cases
@dtypes
@pytest.mark.parametrize("padded", [False, True])
def test_counts(case, dtype, padded, special, only_general):
    x, g = whole_numbers(case, dtype)
    got = every_schedule(lambda: both(x, g, case.axes, padded))
    only_general()
    near(got, both(x, g, case.axes, padded))


@pytest.fixture
def plans(monkeypatch):
    """Other numbers for what a block does; what was planned is forgotten."""

    def plans(**numbers):
        for name, number in numbers.items():
            monkeypatch.setattr(pooling_means, name, number)
        for plan in (pooling_means._plan, pooling_means._plan_backward):
            plan.cache_clear()

    yield plans
    monkeypatch.undo()
    plans()


@cases
@pytest.mark.parametrize("numbers", [{"ROOM": 1024}, {"BUSY": 1, "TURNS": 1}, {"BUSY": 1000, "TURNS": 1}], ids=str)
def test_whatever_a_block_does(case, numbers, special, plans, only_general):
    """Tiles and bands, as much at once as there is room for, little at a time in several turns."""
    x, g = whole_numbers(case, np.float32)
    plans(**numbers)
    with multiprocessors(1):
        got = every_schedule(lambda: both(x, g, case.axes, True, 4))
    only_general()
    near(got, both(x, g, case.axes, True, 4))


def test_what_blocks_did(plans):
    """Of the above, some had each to do."""
    found = []
    for numbers in ({"ROOM": 1024}, {"BUSY": 1, "TURNS": 1}, {"BUSY": 1000, "TURNS": 1}):
        plans(**numbers)
        with multiprocessors(1):
            for case in CASES:
                x = np.broadcast_to(np.float32(0), case.shape)
                found.append((pooling_means.plan(x, *case.axes), pooling_means.plan_backward(x, *case.axes)))
    forward, backward = zip(*found)
    for name in ("turns", "tiles"):
        assert max(getattr(plan, name) for plan in forward if plan) > 1
    for name in ("turns", "tiles", "bands", "together", "parts"):
        assert max(getattr(plan, name) for plan in backward if plan) > 1


def test_nothing_leaks_from_beside_a_window(special):
    """What is not finite stays in its windows."""
    for case in (CASES[0], CASES[2], CASES[10]):
        for a in both(*(np.zeros_like(a) for a in whole_numbers(case, np.float32)), case.axes):
            assert not np.isnan(a).any()
        x, g = (np.zeros_like(a) for a in whole_numbers(case, np.float32))
        x[0, 0, 0, 5] = g[0, 0, 0, 1] = np.inf
        y, grad_x = both(x, g, case.axes)
        assert not np.isnan(y).any()
        assert not np.isnan(grad_x).any()
        down, across = case.axes
        reached = [
            sum(a.stride * o - a.before <= place < a.stride * o - a.before + a.kernel for o in range(a.output))
            for a, place in ((down, 0), (across, 5))
        ]
        assert np.isinf(y).sum() == reached[0] * reached[1]
        rows, columns = (
            sum(o * a.stride - a.before <= place < o * a.stride - a.before + a.kernel for place in range(a.size))
            for a, o in ((down, 0), (across, 1))
        )
        assert np.isinf(grad_x).sum() == rows * columns


@dtypes
def test_long_windows(dtype, monkeypatch):
    """A warp, or the block, adds each; a few planes to a launch."""
    rng = np.random.default_rng(8)
    monkeypatch.setattr(kernels, "MOST", 50)
    for shape, outputs in (
        ((3, 2, 1, 2051), (1, 3)),
        ((2, 3, 4, 300), (2, 2)),
        ((5, 1, 9, 70), (3, 1)),
        ((2, 2, 33, 32), (1, 1)),
    ):
        memory = np.zeros(np.prod(shape) + 1, dtype)
        memory[1:] = rng.integers(-4, 5, np.prod(shape))
        x = memory[1:].reshape(shape)
        (got,) = every_schedule(lambda x=x, outputs=outputs: (kernels.adaptive_avg_pool(x, outputs),))
        spans = [[slice(i * n // o, -(-(i + 1) * n // o)) for i in range(o)] for n, o in zip(shape[2:], outputs)]
        expected = np.array([[x[..., h, w].astype(float).mean((2, 3)) for w in spans[1]] for h in spans[0]])
        near((got,), (expected.transpose(2, 3, 0, 1).astype(dtype),))


@dtypes
def test_pixels_that_hundreds_of_windows_have(dtype, monkeypatch):
    monkeypatch.setattr(kernels, "MOST", 5000)
    g = np.random.default_rng(9).integers(-4, 5, (3, 2, 3, 1000)).astype(dtype)
    assert pooling_means.plan_backward(np.empty((3, 2, 2, 3), dtype), Even(2, 3), Even(3, 1000)) is None
    (got,) = every_schedule(lambda: (kernels.adaptive_avg_pool_gradient(g, (2, 3)),))
    expected = np.zeros((3, 2, 2, 3))
    for h, w in np.ndindex(3, 1000):
        part = expected[..., h * 2 // 3 : -(-(h + 1) * 2 // 3), w * 3 // 1000 : -(-(w + 1) * 3 // 1000)]
        part += g[..., h : h + 1, w : w + 1].astype(float) / (part.shape[2] * part.shape[3])
    eps = {2: 2.0**-7 if got.dtype.name == "bfloat16" else 2.0**-10, 4: 2.0**-20}[got.itemsize]
    np.testing.assert_allclose(got.astype(float), expected, rtol=eps, atol=100 * 2.0**-20)


def test_nothing_of_nothing():
    axes = CASES[0].axes
    assert kernels.avg_pool(np.empty((0, 2, 8, 12), np.float32), *axes).shape == (0, 2, 2, 3)
    assert kernels.adaptive_avg_pool(np.ones((1, 2, 4, 4), np.float32), (0, 3)).shape == (1, 2, 0, 3)
    grad = kernels.adaptive_avg_pool_gradient(np.empty((1, 2, 0, 3), np.float32), (4, 4))
    np.testing.assert_array_equal(grad, np.zeros((1, 2, 4, 4)))


@pytest.mark.parametrize("multiprocessors", [1, 132])
def test_plans_keep_to_the_limits(multiprocessors):
    """Of what the kernels count, and of the shared memory that they have."""
    rng = np.random.default_rng(10)
    forward = backward = 0
    for planes, v in itertools.product((1, 30, 10**6), (1, 4)):
        for _ in range(300):
            sizes = rng.choice([1, 3, 7, 16, 28, 61, 224, 1000, 4096, 160000], 2)
            sizes[1] = max(4, sizes[1] // 4 * 4) if v == 4 else sizes[1]
            if rng.random() < 0.5:
                down, across = (Even(int(n), int(rng.choice([1, 2, 7, n, n // 2 + 1]))) for n in sizes)
            else:
                kernel, stride = rng.integers(1, 1 + np.minimum(sizes, 70)), rng.integers(1, 9, 2)
                x = np.broadcast_to(np.float32(0), (1, 1, *sizes))
                down, across = window_axes(
                    x, tuple(kernel), tuple(stride), tuple(kernel // 2), 1, bool(rng.random() < 0.5)
                )
            if plan := pooling_means._plan(planes, down, across, v, multiprocessors):
                forward += 1
                wide = plan.chunks * pooling_means._wide(v, plan.flat)
                assert plan.group * wide <= pooling_means.ROOM
                assert plan.group <= pooling_means.LINES
                assert max(plan.chunks, plan.tile) <= pooling_means.THREADS
                assert plan.tile * plan.tiles >= across.output
                begins, ends = _range(across, np.arange(across.output))
                first = np.arange(plan.tiles) * plan.tile
                first = first[first < across.output]
                last = np.minimum(first + plan.tile, across.output) - 1
                assert (ends[last] - begins[first] // v * v <= wide).all()
            if plan := pooling_means._plan_backward(planes, down, across, v, multiprocessors):
                backward += 1
                room = pooling_means._room(plan.tile, pooling_means.windows_of(across), plan.flat)
                assert plan.together * plan.lines * room <= pooling_means.ROOM
                assert max(plan.rows, plan.together * plan.lines, plan.together * plan.parts) <= pooling_means.LINES
                assert max(min(plan.tile, pooling_means.THREADS), plan.chunks, plan.reach) <= pooling_means.THREADS
                assert plan.tile % max(v, pooling_means._columns(plan.flat)) == 0
                assert plan.chunks * pooling_means._wide(v, plan.flat) >= plan.tile
                assert plan.tile * plan.tiles >= across.size
                assert plan.rows * plan.bands >= down.size
                assert plan.parts * plan.part_rows >= plan.rows
                assert plan.together == 1 or plan.bands == 1
    assert forward > 500
    assert backward > 500


def _range(axis, o):
    if isinstance(axis, Even):
        return o * axis.size // axis.output, -(-(o + 1) * axis.size // axis.output)
    start = o * axis.stride - axis.before
    return np.maximum(start, 0), np.minimum(start + axis.kernel, axis.size)


@pytest.mark.parametrize(
    ("down", "across"),
    [(Even(4, 2), Even(4096, 7)), (Even(4, 2), Even(1 << 28, 1 << 28))],
    ids=["long windows", "rows beyond 32 bits"],
)
def test_what_is_not_planned(down, across):
    assert pooling_means._plan(8, down, across, 4, 1) is None
