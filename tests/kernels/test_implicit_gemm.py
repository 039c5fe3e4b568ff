"""Convolutions of half precision against einsum over columns in float64, and no worse than NumPy in the same precision."""

import math

import kernel_harness
import numpy as np
import pytest
from convolution_harness import Case, reference, run
from kernel_harness import every_schedule, halves, no_worse, rounded

import weft
from weft.backend.nn import convolution as primitives
from weft.kernels import implicit_gemm as kernels
from weft.kernels.channel_last import channel_last
from weft.kernels.toolchain.launch import FLOATS, HALVES, cpp

device = pytest.importorskip("weft.backend.cuda.convolution")

SAME = ((1, 1), (1, 1))
CASES = {  # channels not of 8, of 8, 24 and 40; one tap and many; outputs whose area 8 divides, or 4, or neither
    "borders of the tile": (kernels.TILES[0], Case(24, 130, (7, 9), (3, 3), padding=SAME, batch=3)),
    "one row of terms": (kernels.TILES[0], Case(8, 65, (12, 12), (1, 1), (1, 1), batch=1)),
    "few features": (kernels.TILES[1], Case(8, 20, (12, 12), (5, 5), padding=((2, 2), (2, 2)))),
    "strides": (kernels.TILES[1], Case(8, 66, (9, 24), (3, 3), (2, 2), SAME, batch=5)),
    "all at once": (kernels.TILES[1], Case(3, 5, (17, 23), (3, 2), (2, 3), ((0, 1), (2, 1)), (2, 1), batch=3)),
    "dilation": (kernels.SMALL_TILE, Case(40, 70, (6, 6), (3, 3), (1, 1), ((2, 2), (2, 2)), (2, 2))),
    "dilation and strides": (
        kernels.SMALL_TILE,
        Case(16, 9, (9, 10), (3, 2), (2, 2), ((2, 0), (0, 3)), (3, 2), batch=1),
    ),
    "strides greater than the kernel": (kernels.SMALL_TILE, Case(9, 8, (7, 8), (2, 1), (3, 4))),
    "nothing but padding": (kernels.SMALL_TILE, Case(8, 8, (3, 4), (2, 3), padding=((3, 3), (0, 5)))),
    "blocks of channels": (kernels.SMALL_TILE, Case(64, 64, (5, 6), (3, 3), (2, 2), SAME)),
    "neighbours": (kernels.NEAR_TILES[0], Case(64, 96, (9, 11), (3, 3), padding=SAME, batch=3)),
    "few neighbours": (
        kernels.NEAR_TILES[1],
        Case(32, 64, (6, 13), (2, 3), padding=((1, 0), (2, 2)), dilation=(1, 2), batch=5),
    ),
    "neighbours without padding": (kernels.NEAR_TILES[1], Case(32, 20, (7, 40), (3, 2), batch=3)),
    "3 × 3 without padding": (kernels.SMALL_TILE, Case(40, 72, (7, 9), (3, 3), batch=3)),
    "3 × 3 with dilation": (
        kernels.SMALL_TILE,
        Case(16, 70, (6, 13), (3, 3), padding=((2, 0), (1, 3)), dilation=(1, 2), batch=3),
    ),
    "3 × 3 of tiny images": (kernels.SMALL_TILE, Case(8, 9, (2, 3), (3, 3), padding=SAME, batch=40)),
    "a line": (kernels.SMALL_TILE, Case(2, 3, (1, 1025), (1, 5), (1, 2), ((0, 0), (2, 2)), (1, 3), batch=1)),
}
cases = pytest.mark.parametrize(("tile", "case"), CASES.values(), ids=CASES)


def plain(arrays, static):
    """Output and gradients, each operation rounded to the arrays' precision."""
    y, vjp = primitives.conv.generic(np, *arrays[:3], **static)
    return y, *vjp(arrays[3], [True] * 3, [None] * 3)


@cases
@halves
def test_products(tile, case, dtype, monkeypatch):
    """Output and gradients, by tiles that are not the ones for so little work."""
    monkeypatch.setattr(kernels, "_tile", lambda *sizes: tile)
    monkeypatch.setattr(kernels, "SHORTEST", 50)
    low, exact = zip(*(rounded(a, dtype) for a in case.arrays()))
    x, weight, bias, g = low

    def products():
        image, gradient = channel_last(x), channel_last(g)
        grad_weight = kernels.weight_gradient(image, gradient, case.where, np.full_like(weight, np.nan))
        y, grad_x = (
            kernels.correlate(image, weight, bias, case.where),
            kernels.adjoint(gradient, weight, None, case.where),
        )
        return y, grad_x, grad_weight

    for ours, theirs, expected in zip(every_schedule(products), plain(low, case.static), reference(*exact, case.where)):
        no_worse(ours, theirs, expected)


class TestBand:
    """Where neighbouring taps read neighbouring pixels, these are copied once for all taps."""

    @pytest.mark.parametrize("name", [name for name in CASES if "neighbours" in name])
    def test_is_taken(self, name, monkeypatch):
        tile, case = CASES[name]
        monkeypatch.setattr(kernels, "_tile", lambda *sizes: tile)
        launched = kernel_harness.emulator.launched
        launched.clear()
        x, weight, *_ = (a.astype(np.float16) for a in case.arrays())
        kernels.correlate(channel_last(x), weight, None, case.where)
        assert f"correlate<__half, {tile[0]}, {tile[1]}, true>" in launched

    def test_holds_what_a_tile_reads(self):
        """Against the pixels of every tile, of all sizes; an output of the size of the image always has one."""
        rng, held = np.random.default_rng(0), 0
        for _ in range(300):
            size, kernel, dilation = (tuple(rng.integers(*r, 2).tolist()) for r in ((1, 40), (1, 5), (1, 3)))
            padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (2, 2)))
            case = Case(32, 32, size, kernel, padding=padding, dilation=dilation, batch=int(rng.integers(1, 9)))
            where = case.where
            if min(where.output) < 1:
                continue
            for is_adjoint in (False, True):
                source, target = (where.output, where.image) if is_adjoint else (where.image, where.output)
                band = kernels._band(where, target, 32, is_adjoint)
                if not band:
                    assert math.prod(kernel) < 3 or source != target
                    continue
                n, u, v = np.indices((case.batch, *target)).reshape(3, -1)
                reach = [d * (k - 1) for d, k in zip(dilation, kernel)]
                y, x = (
                    a + (b - r if is_adjoint else -b) for a, b, r in zip((u, v), where.before, reach)
                )  # with the first of the neighbours
                pixel = (n * source[0] + y) * source[1] + x
                reads = [pixel[i : i + 256] for i in range(0, pixel.size, 256)]
                spans = [p.max() + reach[0] * source[1] + reach[1] - p[0] + 1 for p in reads]
                assert all(p.min() == p[0] for p in reads)
                assert max(spans) <= band
                held += 1
        assert held > 100

    def test_few_taps(self):
        """The next block's band is copied while STAGES − 1 steps of the block before are multiplied: these must be there."""
        for kernel, is_held in (((1, 1), False), ((1, 2), False), ((1, 3), True), ((2, 2), True)):
            case = Case(32, 32, (9, 9), kernel)
            assert (kernels._band(case.where, case.where.output, 32, False) > 0) == is_held

    def test_too_large(self):
        case = Case(64, 64, (300, 600), (3, 3), padding=SAME)
        assert kernels._band(case.where, case.where.output, 64, False) == 0
        case = Case(64, 64, (224, 224), (3, 3), padding=SAME)
        assert kernels._band(case.where, case.where.output, 64, False) == 712


class TestRing:
    """Where the taps of 3 × 3 read neighbouring pixels, the weight's gradient copies these once for all taps."""

    def launched(self, case, monkeypatch):
        monkeypatch.setattr(kernels, "SHORTEST", 50)
        names = kernel_harness.emulator.launched
        names.clear()
        x, weight, _, g = (a.astype(np.float16) for a in case.arrays())
        kernels.weight_gradient(channel_last(x), channel_last(g), case.where, weight)
        return {name.partition("<")[0] for name in names} & {"weight_parts", "near_weight_parts"}

    @pytest.mark.parametrize(
        "name", [name for name in CASES if "3 × 3" in name or name in ("borders of the tile", "neighbours")]
    )
    def test_is_taken(self, name, monkeypatch):
        assert self.launched(CASES[name][1], monkeypatch) == {"near_weight_parts"}

    @pytest.mark.parametrize("name", ["few features", "strides", "dilation and strides", "few neighbours", "a line"])
    def test_is_not(self, name, monkeypatch):
        assert self.launched(CASES[name][1], monkeypatch) == {"weight_parts"}

    def test_larger_than_the_image(self):
        """A position further on may read a pixel before."""
        for padding, is_held in (((1, 1), True), ((0, 2), True), ((2, 1), False)):
            where = Case(8, 8, (9, 9), (3, 3), padding=(padding, (1, 1))).where
            turned = Case(8, 8, (9, 9), (3, 3), padding=((1, 1), padding)).where
            assert (kernels._ring(where) > 0) == (kernels._ring(turned) > 0) == is_held

    def test_holds_what_stages_read(self):
        """Against the pixels of all stages that are in shared memory at a time, of all sizes."""
        rng, held, positions = np.random.default_rng(0), 0, kernels.STAGES * kernels.DEPTH
        for _ in range(300):
            size, dilation = (tuple(rng.integers(*r, 2).tolist()) for r in ((1, 40), (1, 4)))
            padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 4, (2, 2)))
            case = Case(32, 32, size, (3, 3), padding=padding, dilation=dilation, batch=int(rng.integers(1, 9)))
            where = case.where
            if min(where.output) < 1 or not (rows := kernels._ring(where)):
                continue
            n, u, v = np.indices((case.batch, *where.output)).reshape(3, -1)
            first = (n * size[0] + u - where.before[0]) * size[1] + v - where.before[1]
            assert (np.diff(first) > 0).all()
            first = first[: -(first.size % kernels.DEPTH) or None]  # whole stages
            last = first + 2 * dilation[0] * size[1] + 2 * dilation[1]
            spans = [last[i : i + positions].max() + 1 - first[i] for i in range(0, first.size, kernels.DEPTH)]
            assert max(spans, default=0) <= rows == 1 << (rows.bit_length() - 1)
            held += 1
        assert held > 50

    def test_too_large(self):
        for width, rows in ((56, 256), (64, 512), (447, 1024), (448, 0)):
            where = Case(64, 64, (8, width), (3, 3), padding=SAME).where
            assert kernels._ring(where) == rows


@pytest.mark.parametrize("bias", [None, "every other", "backwards"])
def test_bias(bias):
    x, weight, _, _ = (a.astype(np.float16) for a in CASES["dilation"][1].arrays())
    n, where = len(weight), CASES["dilation"][1].where
    b = {None: None, "every other": np.arange(2 * n)[::2], "backwards": np.arange(n)[::-1]}[bias]
    b = b if b is None else b.astype(np.float16)
    zero = kernels.correlate(channel_last(0 * x), weight, b, where).astype(float)
    np.testing.assert_array_equal(zero, np.broadcast_to(0.0 if b is None else b[:, None, None], zero.shape))


class TestWeightGradient:
    """Its sums are over very many positions, part by part."""

    @pytest.mark.parametrize("tile", kernels.WEIGHT_TILES)
    @pytest.mark.parametrize("where", ["image", "gradient"])
    def test_what_is_not_finite_stays_where_it_is(self, tile, where, monkeypatch):
        """Of a channel or a feature, at a pixel that some taps read: so it is of a range of positions, and what is read ahead."""
        monkeypatch.setattr(kernels, "SHORTEST", 30)
        case = Case(16, tile[0], (9, 8), (3, 3), (2, 2), SAME, batch=3)
        x, _, _, g = (a.astype(np.float16) for a in case.arrays())
        (x if where == "image" else g)[1, 5, 2, 2] = np.inf
        out = kernels.weight_gradient(
            channel_last(x), channel_last(g), case.where, np.empty((tile[0], 16, 3, 3), np.float32)
        )
        finite = np.isfinite(out)
        if where == "image":  # windows 2 apart read the pixel (2, 2) with the tap in the middle alone
            assert np.delete(finite, 5, 1).all()
            assert not finite[:, 5, 1, 1].any()
            assert finite[:, 5].reshape(tile[0], 9).sum() == 8 * tile[0]
        else:
            assert np.delete(finite, 5, 0).all()
            assert not finite[5].any()

    case = Case(5, 6, (1, 4096), (1, 3), padding=((0, 0), (1, 1)), batch=1)

    def run(self, x, g, dtype):
        image, gradient = channel_last(x), channel_last(g)
        return kernels.weight_gradient(image, gradient, self.case.where, np.full((6, 5, 1, 3), np.nan, dtype))

    @halves
    def test_long_sums(self, dtype):
        low, exact = zip(*(rounded(1 + a, dtype) for a in self.case.arrays()))
        expected = reference(*exact, self.case.where)[2]
        no_worse(self.run(low[0], low[3], dtype), plain(low, self.case.static)[2], expected)
        single = every_schedule(
            lambda: self.run(low[0], low[3], np.float32)
        )  # not rounded to half precision on the way
        assert np.max(np.abs(single - expected)) < 1e-5 * np.max(np.abs(expected))

    @halves
    def test_parts_are_summed_in_float(self, dtype):
        """2048, and then ones, which half precision could not add to it one by one."""
        x, g = np.zeros((1, 5, 1, 4096), dtype), np.ones((1, 6, 1, 4096), dtype)
        x[..., 7::64] = 1
        x[..., 7] = 2048 - 63
        assert (self.run(x, g, dtype).astype(float) == 2048).all()
        x[..., 7] = 2048
        assert (self.run(x, g, np.float32) == 2048 + 63).all()

    @pytest.mark.parametrize("tile", kernels.WEIGHT_TILES)
    @pytest.mark.parametrize("tiles", [1, 3, 5, 40, 144, 264, 265, 1000])
    def test_parts(self, tiles, tile):
        threads = kernels.direct_threads(tile)
        assert kernels._parts(tiles, 0, threads) == 1
        assert kernels._parts(tiles, 2, threads) <= 2
        slots = {(128, 256): 132, (64, 256): 264}[tile]
        blocks = tiles * kernels._parts(tiles, 1 << 20, threads)
        assert blocks / (math.ceil(blocks / slots) * slots) > 0.75

    def test_workspace(self, monkeypatch):
        """However many positions there are, sums of parts of them take no more."""
        held = []

        def empty(shape, dtype, like):
            held.append(math.prod(shape) * 4)
            return np.empty(shape, dtype)

        monkeypatch.setattr(kernels, "empty", empty)
        monkeypatch.setattr(kernels, "WORKSPACE", 4 * 6 * 24 * 4)
        low = [a.astype(np.float16) for a in self.case.arrays()]
        images = [channel_last(low[i]) for i in (0, 3)]
        held.clear()
        kernels.weight_gradient(*images, self.case.where, np.empty((6, 5, 1, 3), np.float16))
        assert held == [kernels.WORKSPACE]


class TestPointwise:
    @pytest.mark.parametrize(
        ("channels", "features", "size", "batch", "tile"),
        [
            (3, 5, (1, 8), 7, (64, 64)),
            (65, 20, (3, 8), 3, (64, 128)),
            (300, 70, (8, 8), 2, (128, 256)),
            (24, 130, (5, 8), 4, (64, 256)),
            (8, 8, (4, 4), 1, (64, 64)),
            (64, 61, (9, 16), 5, (64, 64)),
            (128, 100, (4, 8), 11, (128, 128)),
            (66, 127, (8, 9), 3, (128, 128)),
            (260, 64, (1, 16), 9, (64, 256)),
        ],
    )
    @halves
    def test_weight_gradient(self, channels, features, size, batch, tile, dtype, monkeypatch):
        """Images smaller than a step of the sum, and larger; ranges that end within one; fewer features than channels, and more."""
        monkeypatch.setattr(kernels, "SHORTEST", 30)
        kernel_harness.emulator.launched.clear()
        case = Case(channels, features, size, (1, 1), batch=batch)
        low, exact = zip(*(rounded(a, dtype) for a in case.arrays()))
        expected = reference(*exact, case.where)[2]
        out = lambda of: np.full(expected.shape, np.nan, of)
        ours = every_schedule(lambda: kernels.pointwise_weight_gradient(low[0], low[3], out(dtype)))
        no_worse(ours, plain(low, case.static)[2], expected)
        single = kernels.pointwise_weight_gradient(low[0], low[3], out(np.float32))
        assert np.max(np.abs(single - expected)) < 1e-5 * np.max(np.abs(expected))
        assert f"pointwise_parts<{cpp(np.dtype(dtype))}, {tile[0]}, {tile[1]}>" in kernel_harness.emulator.launched

    @pytest.mark.parametrize(
        ("few", "many", "tile"),
        [
            (1, 64, (64, 64)), (64, 65, (64, 128)), (65, 128, (128, 128)), (64, 129, (64, 256)), (65, 129, (128, 256)),
            (192, 192, (64, 256)), (512, 2048, (128, 256)),
        ],
    )  # fmt: skip
    def test_tile(self, few, many, tile):
        assert kernels._pointwise_tile(few, many) == tile

    @pytest.mark.parametrize("where", ["image", "gradient"])
    def test_what_is_not_finite_stays_where_it_is(self, where):
        """Of a channel or a feature: neither what is read ahead nor what is filled up with zeros brings it to others."""
        case = Case(72, 70, (3, 8), (1, 1), batch=3)
        low = [a.astype(np.float16) for a in case.arrays()]
        low[0 if where == "image" else 3][1, 7, 2, 3] = np.inf
        out = kernels.pointwise_weight_gradient(low[0], low[3], np.empty((70, 72, 1, 1), np.float16))[..., 0, 0]
        finite = np.isfinite(out)
        assert not (finite[:, 7] if where == "image" else finite[7]).any()
        assert np.delete(finite, 7, 1 if where == "image" else 0).all()

    @pytest.mark.parametrize("shift", [0, 1])
    def test_primitive(self, shift, monkeypatch):
        """Wherever the images begin; those that do not begin at 16 bytes go through columns."""
        calls = []
        really = kernels.pointwise_weight_gradient
        monkeypatch.setattr(kernels, "pointwise_weight_gradient", lambda *a: (calls.append(1), really(*a))[1])
        case = Case(5, 6, (4, 4), (1, 1))
        low, exact = zip(*(rounded(a, np.float16) for a in case.arrays()))
        x = np.empty(low[0].size + shift, np.float16)[shift:].reshape(low[0].shape)
        x[...] = low[0]
        _, vjp = primitives.conv.impls["emulator"](x, *low[1:3], **case.static)
        no_worse(vjp(low[3], [True] * 3, [None] * 3)[1], plain(low, case.static)[2], reference(*exact, case.where)[2])
        assert len(calls) == 1 - shift


class TestTile:
    @pytest.mark.parametrize(
        ("features", "tile"), [(1, (64, 256)), (64, (64, 256)), (65, (128, 128)), (192, (64, 256)), (512, (128, 128))]
    )
    def test_features(self, features, tile):
        assert kernels._tile(features, 1 << 20, 1) == tile

    def test_few_tiles(self):
        assert kernels._tile(512, 49 * 256, 1) == (128, 128)
        assert kernels._tile(512, 49 * 32, 1) == (64, 64)
        assert kernels._tile(512, 49 * 32, 4) == (128, 128)


def check_conv_transpose(dtype, shapes, static):
    """Of x, weight, bias and gradient of these shapes: results and gradients, beside the generic form's."""
    rng = np.random.default_rng(0)
    low, exact = zip(*(rounded(rng.standard_normal(shape), dtype) for shape in shapes))
    results = []
    for a in (low, exact):
        y, vjp = primitives.conv_transpose.generic(np, *a[:3], **static)
        results.append((y, *vjp(a[3], [True] * 3, [None] * 3)))
    for ours, theirs, expected in zip(run(primitives.conv_transpose, low, static), *results):
        no_worse(ours, theirs, expected)


class TestPairs:
    """Few channels and windows an even number of pixels apart: half as many taps, each of two pixels."""

    CASES = {
        "the first layer of a ResNet": Case(3, 70, (13, 18), (7, 7), (2, 2), ((3, 3), (3, 3)), batch=3),
        "an odd width": Case(4, 8, (6, 9), (3, 3), (2, 2), SAME),
        "patches": Case(3, 24, (8, 12), (4, 4), (4, 4)),
        "tall patches with dilation": Case(2, 5, (9, 13), (2, 6), (1, 6), ((1, 0), (2, 5)), (3, 1)),
        "3 × 3 pairs": Case(1, 64, (10, 24), (3, 5), (1, 2), ((1, 1), (2, 2)), batch=3),
    }

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    @halves
    def test_conv2d(self, case, dtype, monkeypatch):
        monkeypatch.setattr(kernels, "SHORTEST", 50)
        x, weight, *_ = arrays = [a.astype(dtype) for a in case.arrays()]
        assert isinstance(device._maps(case.where, x, weight, case.features), device.Pairs)
        low, exact = zip(*(rounded(a, dtype) for a in arrays))
        ours = run(primitives.conv, low, case.static)
        for one, other, expected in zip(ours, plain(low, case.static), reference(*exact, case.where)):
            no_worse(one, other, expected)

    @pytest.mark.parametrize("dtype", FLOATS[:2], ids=str)
    def test_gradient_into_the_arena(self, dtype):
        """Of the image's precision, or of master weights'."""
        case = self.CASES["an odd width"]
        x, weight, _, g = (a.astype(np.float16) for a in case.arrays())
        _, vjp = primitives.conv.impls["emulator"](x, weight, None, **case.static)
        into = np.full(weight.shape, np.nan, dtype)
        assert vjp(g, [False, True, False], [None, into, None])[1] is into
        np.testing.assert_array_equal(into.astype(np.float16), vjp(g, [False, True, False], [None] * 3)[1])

    def test_conv_transpose2d(self):
        """To three channels, as a generator of images does."""
        shapes = (2, 9, 5, 4), (9, 3, 4, 4), (3,), (2, 3, 10, 8)
        check_conv_transpose(np.float16, shapes, {"stride": (2, 2), "padding": (1, 1)})

    @pytest.mark.parametrize(
        "changed",
        [
            {"channels": 5}, {"features": 4}, {"stride": (2, 1)}, {"stride": (2, 3)}, {"dilation": (1, 2)}, {"kernel": (7, 1)},
        ],
        ids=str,
    )  # fmt: skip
    def test_what_goes_by_pixels(self, changed):
        case = self.CASES["the first layer of a ResNet"]
        assert device.Pairs.suits((case.features, case.channels, *case.kernel), case.where)
        case = case._replace(**changed)
        assert not device.Pairs.suits((case.features, case.channels, *case.kernel), case.where)


# --- the primitives ---------------------------------------------------------------------------------------------------
@halves
def test_conv_transpose2d(dtype):
    """Strides, an odd size and channels that are filled up on both sides."""
    shapes = (2, 11, 5, 4), (11, 9, 3, 3), (9,), (2, 9, 10, 8)
    check_conv_transpose(dtype, shapes, {"stride": (2, 2), "padding": (1, 1), "output_padding": (1, 1)})


def test_both_ways_agree(monkeypatch):
    case = CASES["strides"][1]
    low, exact = zip(*(rounded(a, np.float16) for a in case.arrays()))
    implicit = run(primitives.conv, low, case.static)
    monkeypatch.setattr(device, "IMPLICIT", False)
    columns = run(primitives.conv, low, case.static)
    for one, other, expected in zip(implicit, columns, reference(*exact, case.where)):
        no_worse(one, other, expected)


@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "columns"])
@pytest.mark.parametrize("case", [CASES["dilation"][1], Case(5, 6, (4, 4), (1, 1))], ids=["3x3", "pointwise"])
@pytest.mark.parametrize("dtype", FLOATS[:2], ids=str)
def test_gradient_into_the_arena(case, dtype, implicit, monkeypatch):
    """Of the image's precision, or of master weights'."""
    monkeypatch.setattr(device, "IMPLICIT", implicit)
    x, weight, _, g = (a.astype(np.float16) for a in case.arrays())
    _, vjp = primitives.conv.impls["emulator"](x, weight, None, **case.static)
    arena = np.full(weight.size + 3, np.nan, dtype)
    into = arena[:-3].reshape(weight.shape)
    assert vjp(g, [False, True, False], [None, into, None])[1] is into
    np.testing.assert_array_equal(into.astype(np.float16), vjp(g, [False, True, False], [None] * 3)[1])
    assert np.isnan(arena[-3:]).all()


def test_scattered_inputs_stay_as_they_are():
    case = CASES["dilation"][1]
    low = [a.astype(np.float16) for a in case.arrays()]
    wide = [np.repeat(a, 2, axis=-1) for a in low]
    for scattered, contiguous in zip(
        run(primitives.conv, [a[..., ::2] for a in wide], case.static), run(primitives.conv, low, case.static)
    ):
        np.testing.assert_array_equal(scattered, contiguous)
    for a, b in zip(wide, low):
        np.testing.assert_array_equal(a, np.repeat(b, 2, axis=-1))


def test_layers_in_one_dimension():
    rng = np.random.default_rng(0)
    x, weight = (rng.standard_normal(s).astype(np.float16) for s in ((2, 3, 33), (4, 3, 5)))
    exact = weft.layers.functional.conv1d(
        *(weft.asarray(a.astype(float)) for a in (x, weight)), padding="same", dilation=2
    )
    half, ours = (
        weft.layers.functional.conv1d(*(weft.asarray(a, device=name) for a in (x, weight)), padding="same", dilation=2)
        for name in ("cpu", "emulator")
    )
    no_worse(ours.numpy(), half.numpy(), exact.numpy())


class TestRule:
    """What goes which way."""

    def maps(self, case, dtype=HALVES[1], batch=2):
        x, weight = np.empty((batch, case.channels, 0), dtype), np.empty((case.features, case.channels, 0), dtype)
        return device._maps(case.where, x, weight, case.features)

    @pytest.mark.parametrize("name", CASES)
    @halves
    def test_implicit(self, name, dtype):
        case = CASES[name][1]
        by_image = case.kernel == (1, 1) and case.stride == (1, 1)
        assert (self.maps(case, dtype) is device.Device) == by_image

    def test_float32_and_groups(self):
        assert self.maps(CASES["strides"][1], FLOATS[0]) is device.Device
        assert self.maps(CASES["strides"][1]._replace(groups=2)) is device.Device

    def test_nothing(self):
        for changed in ({"channels": 0}, {"features": 0}):
            assert self.maps(CASES["strides"][1]._replace(**changed)) is device.Device
        assert self.maps(CASES["strides"][1], batch=0) is device.Device

    def test_switched_off(self, monkeypatch):
        monkeypatch.setattr(device, "IMPLICIT", False)
        assert self.maps(CASES["strides"][1]) is device.Device

    @pytest.mark.parametrize("name", ["LIMIT", "OFFSETS", "WORKSPACE"])
    def test_too_much(self, name, monkeypatch):
        case = CASES["strides"][1]
        largest = {
            "LIMIT": 2 * 9 * 24,  # pixels
            "OFFSETS": 2 * 5 * 12 * 72,  # values of the output, its channels filled up
            "WORKSPACE": 4 * 66 * 9 * 8,
        }[name]
        monkeypatch.setattr(kernels, name, largest)
        assert self.maps(case) is not device.Device
        monkeypatch.setattr(kernels, name, largest - 1)
        assert self.maps(case) is device.Device
