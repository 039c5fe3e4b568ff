"""Against explicit loops over windows in float64; the primitives also against those of the CPU."""

from typing import NamedTuple

import numpy as np
import pytest
from kernel_harness import close, dtypes, every_schedule, halves, no_worse, rounded

import weft
from weft.backend.nn.pooling import adaptive_avg_pool, avg_pool, max_pool, window_axes
from weft.backend.tape import autograd
from weft.kernels import pooling as kernels

pytest.importorskip("weft.backend.cuda.pooling")


class Case(NamedTuple):
    shape: tuple
    kernel_size: tuple
    stride: tuple
    padding: tuple = (0, 0)
    dilation: tuple = (1, 1)
    ceil_mode: bool = False

    @property
    def static(self):
        return {k: v for k, v in self._asdict().items() if k != "shape"}

    @property
    def axes(self):
        x = np.broadcast_to(np.float32(0), self.shape)
        return window_axes(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


CASES = [
    Case((2, 3, 8, 8), (2, 2), (2, 2)),
    Case((2, 3, 7, 9), (3, 3), (2, 2), (1, 1)),
    Case((3, 2, 6, 5), (3, 2), (1, 2), (1, 0), ceil_mode=True),
    Case((1, 5, 7, 6), (2, 2), (3, 4), ceil_mode=True),  # strides greater than the kernel
    Case((1, 2, 11, 9), (3, 2), (2, 1), (1, 0), (2, 3)),
    Case((1, 2, 9, 9), (3, 3), (2, 2), (1, 1), (2, 4)),
    Case((33, 31, 1, 1), (1, 1), (1, 1)),
    Case((1, 1, 1, 1025), (1, 5), (1, 3), (0, 2)),
    Case((1, 2, 18, 18), (17, 17), (1, 1), (8, 8)),  # more taps than a byte counts
    Case((0, 2, 4, 4), (2, 2), (2, 2)),
    Case((2, 0, 4, 4), (2, 2), (2, 2)),
]
names = [
    "2x2", "3x3", "uneven", "sparse", "dilated", "both even", "planes", "line", "large", "no images", "no channels",
]  # fmt: skip
cases = pytest.mark.parametrize("case", CASES, ids=names)
undilated = pytest.mark.parametrize(
    "case", [c for c in CASES if c.dilation == (1, 1)], ids=[n for n, c in zip(names, CASES) if c.dilation == (1, 1)]
)


def windows(case):
    """Every output with the rows and columns of its window, padding included."""
    down, across = case.axes
    for h, w in np.ndindex(down.output, across.output):
        yield (
            (h, w),
            *([o * a.stride - a.before + i * a.dilation for i in range(a.kernel)] for o, a in ((h, down), (w, across))),
        )


def largest(x, g, case):
    """Maxima, where they are, and the gradient."""
    shape = (*x.shape[:2], *(a.output for a in case.axes))
    y, where, grad = np.full(shape, -np.inf), np.full(shape, -1), np.zeros(x.shape)
    for at, rows, columns in windows(case):
        for n, c in np.ndindex(*x.shape[:2]):
            for r in rows:
                for s in columns:
                    if 0 <= r < x.shape[2] and 0 <= s < x.shape[3]:
                        v, best = x[n, c, r, s], y[(n, c, *at)]
                        if where[(n, c, *at)] < 0 or v > best or (np.isnan(v) and not np.isnan(best)):
                            y[(n, c, *at)], where[(n, c, *at)] = v, r * x.shape[3] + s
            if where[(n, c, *at)] >= 0:
                grad[n, c].flat[where[(n, c, *at)]] += g[(n, c, *at)]
    return y, where, grad


def average(x, g, case, include, divisor):
    """Means and the gradient."""
    y, grad = np.zeros((*x.shape[:2], *(a.output for a in case.axes))), np.zeros(x.shape)
    for at, rows, columns in windows(case):
        inside = np.ix_(*([i for i in index if 0 <= i < n] for index, n in zip((rows, columns), x.shape[2:])))
        counted = [
            sum(i < n + p for i in index) if include else sum(0 <= i < n for i in index)
            for index, n, p in zip((rows, columns), x.shape[2:], case.padding)
        ]
        count = divisor or counted[0] * counted[1]
        y[(..., *at)] = x[(..., *inside)].sum((2, 3)) / count
        grad[(..., *inside)] += g[(..., *at, None, None)] / count
    return y, grad


def spread(x, g, output_size):
    """Adaptive means and the gradient."""
    y, grad = np.zeros((*x.shape[:2], *output_size)), np.zeros(x.shape)
    for h, w in np.ndindex(*output_size):
        rows, columns = (slice(i * n // o, -(-(i + 1) * n // o)) for i, n, o in zip((h, w), x.shape[2:], output_size))
        y[..., h, w] = x[..., rows, columns].mean((2, 3))
        part = grad[..., rows, columns]
        part += g[..., h, w, None, None] / (part.shape[2] * part.shape[3])
    return y, grad


def normal(shape, seed=3):
    return np.random.default_rng(seed).standard_normal(shape)


def run(primitive, x, g, where="emulator", **static):
    """Outputs and gradient of a primitive on a device."""
    x = weft.asarray(x, device=where).requires_grad_()
    out = primitive(x, **static)
    y = out[0] if isinstance(out, tuple) else out
    y.backward(weft.asarray(g, device=where))
    return tuple(o.detach().numpy() for o in (*(out if isinstance(out, tuple) else (out,)), x.grad))


def generic(primitive, x, g, **static):
    """Output and gradient by array operations that each round to the dtype of x."""
    y, pull = primitive.generic(np, x, **static)
    return y, pull[0](g) if isinstance(pull, tuple) else pull(g, [True], [None])[0]


def agree(got, expected, plain, dtype):
    close(got, expected) if dtype == np.float32 else no_worse(got, plain, expected)


# --- maxima -----------------------------------------------------------------------------------------------------------
@cases
@dtypes
def test_max_pool(case, dtype):
    down, across = case.axes
    x, exact_x = rounded(normal(case.shape, 0), dtype)
    g, exact_g = rounded(normal((*x.shape[:2], down.output, across.output)), dtype)
    y, where, grad = largest(exact_x, exact_g, case)

    def both():
        found = kernels.max_pool(x, down, across, return_indices=True)
        return *found, kernels.max_pool_gradient(g, found[1], down, across)

    got = every_schedule(both)
    assert got[1].dtype == (np.int32 if down.kernel * across.kernel > 256 else np.uint8)
    assert got[2].dtype == np.int64
    np.testing.assert_array_equal(got[0].astype(float), y)
    np.testing.assert_array_equal(got[2], where)
    agree(got[3], grad, grad.astype(dtype), dtype)
    assert kernels.max_pool(x, down, across)[2] is None


@dtypes
def test_first_of_equals_and_last_nan_win(dtype):
    """As torch.nn.functional.max_pool2d(x, 2, return_indices=True), on a CPU and on a GPU."""
    down, across = Case((1, 1, 2, 8), (2, 2), (2, 2)).axes
    nan, inf = np.nan, np.inf
    x = np.array([[1, 1, nan, 3, -inf, -inf, inf, 2], [1, 1, nan, inf, -inf, -inf, nan, inf]])
    y, taps, _ = kernels.max_pool(x[None, None].astype(dtype), down, across)
    np.testing.assert_array_equal(y.astype(float), [[[[1, nan, -inf, nan]]]])
    assert taps.tolist() == [[[[0, 2, 0, 2]]]]


def test_padding_never_wins():
    """A window of −∞ in the image and −∞ of padding: the gradient stays in the image."""
    x = weft.full((1, 1, 2, 2), -np.inf, device="emulator").requires_grad_()
    y, where = max_pool(x, kernel_size=(2, 2), stride=(2, 2), padding=(1, 1), return_indices=True)
    y.backward(weft.ones(y.shape, device="emulator"))
    assert where.tolist() == [[[[0, 1], [2, 3]]]]
    assert x.grad.tolist() == [[[[1, 1], [1, 1]]]]


@cases
@pytest.mark.parametrize("return_indices", [False, True])
def test_max_pool2d(case, return_indices):
    x, g = (
        normal(case.shape, 0).astype(np.float32),
        normal((*case.shape[:2], *(a.output for a in case.axes))).astype(np.float32),
    )
    got = run(max_pool, x, g, return_indices=return_indices, **case.static)
    for ours, cpu in zip(got, run(max_pool, x, g, "cpu", return_indices=return_indices, **case.static)):
        assert ours.dtype == cpu.dtype
        close(ours, cpu.astype(float))


# --- means ------------------------------------------------------------------------------------------------------------
COUNTS = [(True, None), (False, None), (True, 3), (False, -2)]


@undilated
@dtypes
@pytest.mark.parametrize(("include", "divisor"), COUNTS)
def test_avg_pool(case, dtype, include, divisor):
    down, across = case.axes
    x, exact_x = rounded(normal(case.shape, 0), dtype)
    g, exact_g = rounded(normal((*x.shape[:2], down.output, across.output)), dtype)
    count = {"count_include_pad": include, "divisor": divisor}
    got = every_schedule(
        lambda: (kernels.avg_pool(x, down, across, **count), kernels.avg_pool_gradient(g, down, across, **count))
    )
    expected = average(exact_x, exact_g, case, include, divisor)
    static = {k: v for k, v in case.static.items() if k != "dilation"}
    simple = generic(avg_pool, x, g, **static, count_include_pad=include, divisor_override=divisor)
    for ours, exact, plain in zip(got, expected, simple):
        agree(ours, exact, plain, dtype)


@pytest.mark.parametrize("include", [False, True])
def test_avg_pool2d(include):
    case = CASES[2]
    x, g = (
        normal(case.shape, 0).astype(np.float32),
        normal((*case.shape[:2], *(a.output for a in case.axes))).astype(np.float32),
    )
    static = {**{k: v for k, v in case.static.items() if k != "dilation"}, "count_include_pad": include}
    for ours, cpu in zip(run(avg_pool, x, g, **static), run(avg_pool, x, g, "cpu", **static)):
        close(ours, cpu.astype(float))


ADAPTIVE = [
    ((2, 3, 7, 10), (1, 1)),
    ((2, 3, 7, 10), (7, 10)),
    ((2, 3, 7, 10), (3, 4)),
    ((1, 2, 5, 2), (9, 12)),
    ((1, 2, 33, 32), (1, 1)),  # a block for each plane
    ((1, 1, 66, 33), (2, 1)),  # a block for each window
    ((1, 1, 1, 1025), (1, 31)),
    ((31, 33, 1, 1), (1, 1)),
    ((0, 2, 3, 3), (2, 2)),
]


@pytest.mark.parametrize(("shape", "output_size"), ADAPTIVE)
@dtypes
def test_adaptive_avg_pool(shape, output_size, dtype):
    x, exact_x = rounded(normal(shape, 0), dtype)
    g, exact_g = rounded(normal((*shape[:2], *output_size)), dtype)
    got = every_schedule(
        lambda: (kernels.adaptive_avg_pool(x, output_size), kernels.adaptive_avg_pool_gradient(g, shape[2:]))
    )
    simple = generic(adaptive_avg_pool, x, g, output_size=output_size)
    for ours, exact, plain in zip(got, spread(exact_x, exact_g, output_size), simple):
        agree(ours, exact, plain, dtype)


def test_adaptive_avg_pool2d():
    x, g = normal((2, 3, 7, 10)).astype(np.float32), normal((2, 3, 3, 4)).astype(np.float32)
    got = run(adaptive_avg_pool, x, g, output_size=(3, 4))
    for ours, cpu in zip(got, run(adaptive_avg_pool, x, g, "cpu", output_size=(3, 4))):
        close(ours, cpu.astype(float))


# --- all of them ------------------------------------------------------------------------------------------------------
POOLS = [
    (max_pool, {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1)}),
    (avg_pool, {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1)}),
    (adaptive_avg_pool, {"output_size": (4, 4)}),
]
pools = pytest.mark.parametrize(("pool", "static"), POOLS, ids=[p.__name__ for p, _ in POOLS])


@pools
def test_scattered_inputs(pool, static):
    x, g = normal((2, 3, 8, 8)).astype(np.float32), normal((2, 3, 4, 4)).astype(np.float32)
    got = run(pool, x.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2), np.repeat(g, 2, 1)[:, ::2], **static)
    for ours, expected in zip(got, run(pool, x, g, **static)):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("pool", [max_pool, avg_pool])
@pytest.mark.parametrize("stride", [2**29, 2**31 - 1, 2**40])
def test_windows_far_beyond_the_image(pool, stride):
    """No count of 32 bits overflows: there is one window, and what is behind it has no gradient."""
    x, g = normal((1, 2, 6, 5)).astype(np.float32), normal((1, 2, 1, 1)).astype(np.float32)
    static = {"kernel_size": (2, 3), "stride": (stride, stride), "padding": (1, 1)}
    for ours, cpu in zip(run(pool, x, g, **static), run(pool, x, g, "cpu", **static)):
        close(ours, cpu.astype(float))


def test_blocks_write_whole_planes():
    """As many that threads, eight numbers a time, do not go beyond 31 bits."""
    for area in (1, 7, 1024, 8191, 2**27, 2**27 + 1, 2**28, 2**29 + 1, 2**30):
        assert kernels._planes_together(area) * area + 8 * kernels.THREADS < 2**31


@pools
@halves
def test_dtypes_are_kept(pool, static, dtype):
    y, grad_x = run(pool, np.ones((1, 1, 8, 8), dtype), np.ones((1, 1, 4, 4), dtype), **static)
    assert y.dtype == grad_x.dtype == dtype


@pools
def test_float64_falls_back(pool, static, monkeypatch):
    monkeypatch.setattr(autograd, "report_fallbacks", True)
    with pytest.warns(UserWarning, match=f"`{pool.__name__}` on emulator fell back"):
        assert pool(weft.ones((1, 1, 8, 8), dtype=weft.float64, device="emulator"), **static).shape == (1, 1, 4, 4)


def test_more_planes_than_rows_of_blocks():
    """Each thread goes on to further planes: 4 at a time, and to the next that no other block has."""
    x = normal((40, 10, 17, 17)).astype(np.float32)
    case = Case(x.shape, (2, 2), (2, 2))
    chunks, rows = kernels._grid(17 * 17, 400)
    assert chunks == 2
    assert rows == 100
    y = kernels.max_pool(x, *case.axes)[0]
    np.testing.assert_array_equal(y, x[..., :16, :16].reshape(40, 10, 8, 2, 8, 2).max((3, 5)))
