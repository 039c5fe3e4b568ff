"""Against columns written tap by tap in float64, and products by einsum; the primitives also against those of the CPU."""

import functools
import itertools

import numpy as np
import pytest
from convolution_harness import Case, columns_of, image_of, reference, run
from kernel_harness import close, dtypes, every_schedule, halves, no_worse, rounded

import weft
from weft.backend.nn import convolution as primitives
from weft.backend.tape import autograd
from weft.kernels import convolution as kernels

device = pytest.importorskip("weft.backend.cuda.convolution")


CASES = [
    Case(3, 4, (9, 8), (3, 3), padding=((1, 1), (1, 1))),
    Case(4, 6, (7, 10), (3, 2), (2, 3), ((0, 1), (2, 1)), (2, 1), groups=2, batch=3),
    Case(1, 1, (1, 1), (1, 1), batch=1),
    Case(2, 3, (6, 7), (2, 2), (3, 4)),  # strides greater than the kernel: pixels that nothing reads
    Case(8, 8, (5, 5), (3, 3), padding=((1, 1), (1, 1)), groups=8),
    Case(2, 3, (1, 1025), (1, 5), (1, 2), ((0, 0), (2, 2)), (1, 3)),
    Case(5, 33, (4, 8), (1, 1)),
    Case(3, 2, (3, 5), (1, 1)),
    Case(31, 2, (8, 9), (3, 2), (2, 2), ((2, 0), (0, 3)), (3, 2), batch=1),
    Case(32, 1, (5, 6), (2, 3), (1, 1), ((3, 3), (0, 5))),  # windows of nothing but padding
]
names = [
    "3x3", "groups", "one", "sparse", "depthwise", "line", "pointwise", "odd pointwise", "dilated", "mostly padding",
]  # fmt: skip
cases = pytest.mark.parametrize("case", CASES, ids=names)


# --- the kernels ------------------------------------------------------------------------------------------------------
def by_position(columns):
    """(N, C, KH, KW, Ho, Wo) → (C·KH·KW, N·Ho·Wo)"""
    n, c, kh, kw, h, w = columns.shape
    return columns.transpose(1, 2, 3, 0, 4, 5).reshape(c * kh * kw, n * h * w)


def ranges(total):
    """All, and all in uneven pieces."""
    cuts = sorted({0, total // 3, total // 3 + 1, total})
    return [(0, total), *itertools.pairwise(cuts)]


def agree(got, expected, dtype):
    """Sums in float, rounded once: in half precision no worse than that rounding."""
    close(got, expected) if dtype == np.float32 else no_worse(got, expected.astype(dtype), expected)


@cases
@dtypes
def test_im2col(case, dtype):
    low, exact = rounded(case.arrays()[0], dtype)
    expected = by_position(columns_of(exact, case.where))
    for start, stop in ranges(expected.shape[1]):
        columns = every_schedule(functools.partial(kernels.im2col, low, case.where, start, stop))
        assert columns.shape == (len(expected), -(-(stop - start) // 8) * 8)
        np.testing.assert_array_equal(columns[:, : stop - start].astype(float), expected[:, start:stop])
        assert not columns[:, stop - start :].astype(float).any()


@cases
@dtypes
def test_col2im(case, dtype):
    rng, where = np.random.default_rng(1), case.where
    low, exact = rounded(rng.standard_normal((case.batch, case.channels, *case.kernel, *where.output)), np.float32)
    bias, exact_bias = rounded(rng.standard_normal(case.channels), dtype)
    flat, expected = by_position(low), image_of(exact, where) + exact_bias[:, None, None]
    whole, *parts = ranges(case.batch * np.prod(case.image))
    for pieces in ([whole], parts):
        image = np.full(expected.shape, np.nan, dtype)

        def fold(image=image, pieces=pieces):
            for start, stop in pieces:
                first, last = kernels.positions_of(where, start, stop)
                columns = np.full((len(flat), last - first + 3), np.nan, np.float32)  # what lies beyond is not read
                columns[:, : last - first] = flat[:, first:last]
                kernels.col2im(columns, where, image, start, stop, first, bias)
            return image.copy()

        agree(every_schedule(fold), expected, dtype)


@pytest.mark.parametrize(
    "shape", [(0, 3, 2, 2), (3, 0, 2, 2), (1, 1, 1, 1), (2, 31, 3, 3), (5, 3, 1, 1025), (300, 2, 1, 33)]
)
@dtypes
def test_sum_channels(shape, dtype):
    low, exact = rounded(np.random.default_rng(0).standard_normal(shape), dtype)
    got, expected = every_schedule(lambda: kernels.sum_channels(low)), exact.sum((0, 2, 3))
    assert got.dtype == dtype
    agree(got, expected, dtype)


# --- the primitives ---------------------------------------------------------------------------------------------------
@cases
def test_conv2d(case):
    low, exact = zip(*(rounded(a, np.float32) for a in case.arrays()))
    got = every_schedule(lambda: run(primitives.conv, low, case.static))
    for ours, expected, cpu in zip(got, reference(*exact, case.where), run(primitives.conv, low, case.static, "cpu")):
        close(ours, expected, 4)
        close(ours, cpu, 4)


@pytest.mark.parametrize("stride", [2**29, 2**31 - 1, 2**40])
def test_windows_far_beyond_the_image(stride):
    """No count of 32 bits overflows."""
    case = Case(2, 3, (6, 5), (2, 3), (stride, stride), ((1, 1), (1, 1)))
    low, exact = zip(*(rounded(a, np.float32) for a in case.arrays()))
    for ours, expected in zip(run(primitives.conv, low, case.static), reference(*exact, case.where)):
        close(ours, expected, 4)


@pytest.mark.parametrize("stride", [2**16, 2**29])
@halves
def test_windows_far_beyond_the_image_in_half_precision(dtype, stride):
    """No grid has a block for each of so many phases."""
    case = Case(8, 8, (6, 5), (2, 3), (stride, stride), ((1, 1), (1, 1)))
    low, exact = zip(*(rounded(a, dtype) for a in case.arrays()))
    y, vjp = primitives.conv.generic(np, *low[:3], **case.static)
    plain = (y, *vjp(low[3], [True] * 3, [None] * 3))
    for ours, theirs, expected in zip(run(primitives.conv, low, case.static), plain, reference(*exact, case.where)):
        no_worse(ours, theirs, expected)


@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "columns"])
@pytest.mark.parametrize("case", CASES[:6], ids=names[:6])
@halves
def test_conv2d_in_half_precision(case, dtype, implicit, monkeypatch):
    monkeypatch.setattr(device, "IMPLICIT", implicit)
    low, exact = zip(*(rounded(a, dtype) for a in case.arrays()))
    got = run(primitives.conv, low, case.static)
    y, vjp = primitives.conv.generic(np, *low[:3], **case.static)
    plain = (y, *vjp(low[3], [True] * 3, [None] * 3))
    for ours, theirs, expected in zip(got, plain, reference(*exact, case.where)):
        no_worse(ours, theirs, expected)


@cases
def test_conv_transpose2d(case):
    """The convolution's adjoint: x is its output, the result its image."""
    _, weight, _, x = case.arrays()
    bias = np.arange(case.channels) - 1.0
    g, where = np.random.default_rng(5).standard_normal((case.batch, case.channels, *case.image)), case.where
    low, exact = zip(*(rounded(a, np.float32) for a in (x, weight, bias, g)))
    sizes = zip(case.image, where.output, case.stride, case.padding, case.dilation, case.kernel)
    extra = tuple(n - ((o - 1) * s - sum(p) + d * (k - 1) + 1) for n, o, s, p, d, k in sizes)
    got = every_schedule(lambda: run(primitives.conv_transpose, low, {**case.static, "output_padding": extra}))
    zeros = np.zeros(case.features)
    image = reference(g, exact[1], zeros, exact[0], where)[1] + bias[:, None, None]
    grad_x, _, grad_weight, _ = reference(exact[3], exact[1], zeros, exact[0], where)
    for ours, expected in zip(got, (image, grad_x, grad_weight, exact[3].sum((0, 2, 3)))):
        close(ours, expected, 4)


@halves
def test_conv_transpose2d_in_half_precision(dtype):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in [(2, 6, 5, 4), (6, 4, 3, 3), (8,), (2, 8, 9, 7)]]
    static = {"stride": (2, 2), "padding": (1, 1), "groups": 2}
    low, exact = zip(*(rounded(a, dtype) for a in arrays))
    y, vjp = primitives.conv_transpose.generic(np, *low[:3], **static)
    plain = (y, *vjp(low[3], [True] * 3, [None] * 3))
    y, vjp = primitives.conv_transpose.generic(np, *exact[:3], **static)
    expected = (y, *vjp(exact[3], [True] * 3, [None] * 3))
    for ours, theirs, best in zip(run(primitives.conv_transpose, low, static), plain, expected):
        no_worse(ours, theirs, best)


@pytest.mark.parametrize("primitive", [primitives.conv, primitives.conv_transpose], ids=["conv", "conv_transpose"])
@pytest.mark.parametrize(
    ("image", "kernel", "static"),
    [
        ((9, 8), (3, 3), {"groups": 2}),
        ((9, 8), (3, 2), {"groups": 8, "stride": (2, 1), "padding": (1, 0)}),
        ((9, 8), (1, 1), {"groups": 2}),
        ((33,), (5,), {"groups": 4, "dilation": 2}),
        ((5, 4, 6), (3, 3, 3), {}),
        ((7, 4, 5), (3, 2, 3), {"stride": (2, 1, 2), "padding": (2, 1, 0), "groups": 2}),
        ((8, 3, 5), (4, 1, 2), {"stride": (3, 1, 1), "dilation": (2, 1, 1), "padding": (3, 0, 0)}),
        ((9, 3, 3), (3, 1, 1), {"stride": (4, 1, 1), "dilation": (2, 1, 1)}),  # images that nothing reads
    ],
    ids=["groups", "depthwise", "pointwise", "line", "volume", "strided", "dilated", "sparse"],
)
@halves
def test_half_precision_is_rounded_once(primitive, image, kernel, static, dtype):
    """From sums in float32: nearly all values are those that are nearest to the exact ones."""
    rng, groups = np.random.default_rng(0), static.get("groups", 1)
    weight = (8, 8 // groups, *kernel)
    low, exact = zip(*(rounded(rng.standard_normal(s), dtype) for s in ((2, 8, *image), weight, (8,))))
    y, vjp = primitive.generic(np, *exact, **static)
    g, exact_g = rounded(rng.standard_normal(y.shape), dtype)
    expected = (y, *vjp(exact_g, [True] * 3, [None] * 3))
    for ours, best in zip(run(primitive, (*low, g), static), expected):
        assert np.mean(ours.astype(float) != best.astype(dtype).astype(float)) < 0.02


@pytest.mark.parametrize("shape", [(0, 3, 5, 5), (2, 0, 5, 5)])
def test_no_images_or_no_channels(shape):
    """What remains is the bias."""
    n, c = shape[:2]
    for primitive, kernel, size in ((primitives.conv, (4, c), 3), (primitives.conv_transpose, (c, 4), 7)):
        x, weight, bias, g = (np.ones(s, np.float32) for s in (shape, (*kernel, 3, 3), 4, (n, 4, size, size)))
        y, grad_x, grad_weight, grad_bias = run(primitive, (x, weight, bias, g), {})
        np.testing.assert_array_equal(y, g)
        assert grad_x.shape == x.shape
        assert not grad_weight.any()
        assert (grad_bias == n * size * size).all()


def test_scattered_inputs_stay_as_they_are():
    case = CASES[1]
    low = [a.astype(np.float32) for a in case.arrays()]
    views = []
    for a in low:
        wide = np.zeros([2 * n for n in a.shape], np.float32)
        wide[tuple(slice(None, None, 2) for _ in a.shape)] = a
        views.append(wide[tuple(slice(None, None, 2) for _ in a.shape)])
    for scattered, contiguous in zip(run(primitives.conv, views, case.static), run(primitives.conv, low, case.static)):
        np.testing.assert_array_equal(scattered, contiguous)
    for view, a in zip(views, low):
        np.testing.assert_array_equal(view, a)


@pytest.mark.parametrize("layout", ["every other", "backwards", "all the same"])
def test_bias_may_be_a_view(layout):
    x, weight, bias, _ = (a.astype(np.float32) for a in CASES[0].arrays())
    n = len(bias)
    bias = {
        "every other": np.arange(2 * n, dtype=np.float32)[::2],
        "backwards": np.arange(n, dtype=np.float32)[::-1],
        "all the same": np.broadcast_to(np.float32(3), n),
    }[layout]
    convolve = primitives.conv.impls["emulator"]
    outputs = (convolve(x, weight, b, **CASES[0].static)[0] for b in (bias, bias.copy()))
    np.testing.assert_array_equal(*outputs)


def test_gradient_into_the_arena():
    case = CASES[0]
    x, weight, _, g = (a.astype(np.float32) for a in case.arrays())
    _, vjp = primitives.conv.impls["emulator"](x, weight, None, **case.static)
    arena = np.full(weight.size + 3, np.nan, np.float32)
    into = arena[:-3].reshape(weight.shape)
    assert vjp(g, [False, True, False], [None, into, None])[1] is into
    np.testing.assert_array_equal(into, vjp(g, [False, True, False], [None] * 3)[1])
    assert np.isnan(arena[-3:]).all()


def test_layers_in_one_dimension():
    x, weight = (np.random.default_rng(0).standard_normal(s).astype(np.float32) for s in ((2, 3, 33), (4, 3, 5)))
    results = []
    for name in ("cpu", "emulator"):
        y = weft.layers.functional.conv1d(
            weft.asarray(x, device=name), weft.asarray(weight, device=name), padding="same", dilation=2
        )
        results.append(y.numpy())
    close(results[1], results[0].astype(float))


# --- pieces -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("room", [1, 2000, 20000], ids=["least", "rows", "images"])
@cases
def test_pieces_change_nothing(case, room, monkeypatch):
    """A workspace for a few positions, for rows of an image, for a few images."""
    low, exact = zip(*(rounded(a, np.float32) for a in case.arrays()))
    monkeypatch.setattr(device, "WORKSPACE", room)
    for ours, expected in zip(run(primitives.conv, low, case.static), reference(*exact, case.where)):
        close(ours, expected, 4)


@halves
def test_pieces_are_summed_in_float32(dtype, monkeypatch):
    """2048, and then 63 pieces with a sum of 1 each, which half precision could not add to it one by one."""
    x, g = np.full((1, 2, 16, 32), 0.125, dtype), np.ones((1, 4, 16, 32), dtype)
    x[..., 0, 0] = 2048
    monkeypatch.setattr(device, "WORKSPACE", 1)
    where = Case(2, 4, (16, 32), (1, 1), batch=1).where
    assert (device.Device.weight_gradient(x, g, where, None).astype(float) == 2112).all()


@pytest.mark.parametrize("batch", [1, 7, 64, 4096])
def test_workspace_does_not_grow_with_the_batch(batch, monkeypatch):
    held = []

    def empty(shape, dtype, like):
        array = np.zeros(shape, dtype)
        held.append(array)
        return array

    room = 1 << 14
    monkeypatch.setattr(device, "WORKSPACE", room)
    monkeypatch.setattr(device, "empty", empty)
    monkeypatch.setattr(kernels, "_im2col", _Nothing())
    monkeypatch.setattr(kernels, "_col2im", _Nothing())
    x, weight, g = (np.zeros(s, np.float32) for s in ((batch, 2, 6, 6), (3, 2, 3, 3), (batch, 3, 6, 6)))
    where = Case(2, 3, (6, 6), (3, 3), padding=((1, 1), (1, 1))).where
    for product, results in (
        (lambda: device.Device.correlate(x, weight, None, where), 1),
        (lambda: device.Device.input_gradient(g, weight, None, where), 1),
        (lambda: device.Device.weight_gradient(x, g, where, None), 1),
    ):
        held.clear()
        product()
        assert sum(a.nbytes for a in held[results:]) <= room
        assert len(held) == results + 2


class _Nothing:
    """In place of a kernel."""

    def __getitem__(self, key):
        return lambda *args: None


@cases
def test_pixel_ranges(case):
    """They cover the batch, and what they read is no more than there is room for, or than one row of pixels hangs on."""
    where = case.where
    least = where.output[1] * (1 + (where.kernel[0] - 1) * where.dilation[0] // where.stride[0])
    for room in (8, 64, 512):
        found = list(device._pixel_ranges(where, case.batch, room))
        assert [a for a, _ in found] == [0, *(b for _, b in found[:-1])]
        assert found[-1][1] == case.batch * np.prod(case.image)
        for first, last in (kernels.positions_of(where, *piece) for piece in found):
            assert last - first <= max(room, least)


# --- what the kernels leave to others ---------------------------------------------------------------------------------
def test_float64_falls_back(monkeypatch):
    monkeypatch.setattr(autograd, "report_fallbacks", True)
    x, weight = (weft.ones((1, 1, n, n), dtype=weft.float64, device="emulator") for n in (3, 2))
    with pytest.warns(UserWarning, match=r"`conv` on emulator fell back .* \(float64\[1, 1, 3, 3\]"):
        assert primitives.conv(x, weight).tolist() == [[[[4, 4], [4, 4]]]]
    with pytest.warns(UserWarning, match="`conv_transpose` on emulator fell back"):
        assert primitives.conv_transpose(x, weight).sum().item() == 36
