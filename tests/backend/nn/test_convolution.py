"""Against explicit loops over output positions in float64; derivatives by central differences."""

import platform
import subprocess
import sys
import tracemalloc

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.cpu import convolution as cpu
from weft.backend.cpu import few_pixels, lowering, window_products
from weft.backend.device import parallel
from weft.backend.nn.convolution import conv, conv_transpose, geometry

rng = np.random.default_rng(0)


def a(*shape):
    return rng.standard_normal(shape)


def each(value, n):
    return (value,) * n if isinstance(value, int) else value


def pairs(padding, n):
    return [(p, p) if isinstance(p, int) else p for p in each(padding, n)]


def window(at, stride, dilation, kernel):
    return tuple(slice(o * s, o * s + d * (k - 1) + 1, d) for o, s, d, k in zip(at, stride, dilation, kernel))


def correlation(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    (o, c, *kernel), n = weight.shape, x.ndim - 2
    stride, dilation = each(stride, n), each(dilation, n)
    x = np.pad(x, [(0, 0), (0, 0), *pairs(padding, n)])
    size = [(n - d * (k - 1) - 1) // s + 1 for n, d, k, s in zip(x.shape[2:], dilation, kernel, stride)]
    y = np.zeros((len(x), o, *size))
    for n, i, *at in np.ndindex(y.shape):
        first = i // (o // groups) * c  # channel of the group
        seen = x[(n, slice(first, first + c), *window(at, stride, dilation, kernel))]
        y[(n, i, *at)] = (seen * weight[i]).sum() + (0 if bias is None else bias[i])
    return y


def transposed(x, weight, bias=None, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    (c, o, *kernel), n = weight.shape, x.ndim - 2
    stride, dilation, sides = each(stride, n), each(dilation, n), pairs(padding, n)
    spans = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(x.shape[2:], stride, dilation, kernel)]
    size = [n + extra for n, extra in zip(spans, each(output_padding, n))]
    y = np.zeros((len(x), o * groups, *size))
    for n, i, *at in np.ndindex(x.shape):
        first = i // (c // groups) * o
        y[(n, slice(first, first + o), *window(at, stride, dilation, kernel))] += x[(n, i, *at)] * weight[i]
    y = y[(slice(None), slice(None), *(slice(a, n - b) for n, (a, b) in zip(size, sides)))]
    return y if bias is None else y + bias.reshape(-1, *[1] * (y.ndim - 2))


def options(stride=1, padding=0, dilation=1, groups=1, **more):
    both = lambda n: (n, n) if isinstance(n, int) else n
    return {"stride": both(stride), "padding": both(padding), "dilation": both(dilation), "groups": groups, **more}


# x, weight, options
CONVOLUTIONS = [
    ((2, 3, 5, 6), (4, 3, 3, 3), options(padding=1)),
    ((1, 2, 7, 6), (3, 2, 3, 2), options(stride=2)),
    ((2, 2, 6, 7), (2, 2, 2, 4), options(padding=((0, 1), (1, 2)))),  # "same" with even kernels
    ((1, 2, 8, 7), (2, 2, 3, 2), options(stride=(1, 3), padding=(2, 1), dilation=(2, 3))),
    ((2, 4, 5, 4), (6, 2, 3, 3), options(stride=(2, 1), padding=(1, 0), groups=2)),
    ((2, 3, 4, 5), (6, 1, 3, 1), options(padding=(1, 0), groups=3)),  # depthwise, two each
    ((2, 3, 4, 5), (2, 3, 1, 1), options()),
    ((1, 2, 5, 5), (2, 2, 1, 1), options(stride=3)),  # pixels that no window sees
    ((1, 1, 1, 1), (1, 1, 3, 3), options(padding=2)),
    ((0, 2, 4, 4), (3, 2, 3, 3), options(padding=1)),
    ((2, 0, 4, 4), (3, 0, 3, 3), options(padding=1)),
    ((2, 3, 7), (4, 3, 3), {"stride": (2,), "padding": ((0, 1),)}),
    ((2, 2, 4, 3, 4), (4, 1, 3, 2, 3), {"stride": (2, 1, 1), "padding": (1, 0, 1), "groups": 2}),
    ((1, 2, 5, 3, 4), (2, 2, 2, 1, 3), {"dilation": (3, 1, 1), "padding": ((0, 2), (0, 0), (1, 1))}),
]
TRANSPOSED = [
    ((2, 3, 4, 5), (3, 2, 3, 3), options(padding=1)),
    ((1, 2, 4, 3), (2, 3, 3, 2), options(stride=2, padding=(1, 0), output_padding=(1, 1))),
    ((1, 2, 3, 3), (2, 2, 2, 2), options(stride=3, dilation=2, output_padding=(2, 1))),
    ((2, 4, 3, 4), (4, 3, 3, 3), options(stride=(2, 1), groups=2)),
    ((1, 2, 2, 3), (2, 1, 2, 2), options(stride=1, dilation=3, output_padding=(2, 1))),  # beyond what x reaches
    ((0, 2, 4, 4), (2, 3, 3, 3), options(stride=2)),
    ((2, 3, 4), (3, 2, 3), {"stride": (2,), "output_padding": (1,)}),
    ((1, 2, 3, 2, 2), (2, 2, 3, 2, 2), {"stride": (2, 1, 2), "padding": (1, 0, 0), "output_padding": (1, 0, 1)}),
    ((2, 4, 2, 2, 3), (4, 2, 2, 1, 3), {"dilation": (2, 1, 1), "padding": (0, 0, 1), "groups": 2}),
]
# Over four axes, which have no form but the generic one
FOUR = ((1, 2, 3, 2, 3, 2), (2, 2, 2, 1, 2, 2), {"padding": (1, 0, 0, 1)})
# For the forms on NumPy, which take other ways where there are many channels. There is no other generic form to test.
WIDE = [
    ((3, 32, 5, 6), (32, 32, 3, 3), options(padding=1)),
    ((2, 17, 6, 5), (64, 17, 3, 2), options(padding=(0, 1))),
    ((2, 64, 4, 5), (16, 64, 3, 1), options(padding=((2, 0), (0, 0)))),
    ((2, 16, 6, 4), (3, 16, 2, 3), options(stride=(1, 2), padding=1)),
    ((2, 16, 6, 7), (4, 16, 5, 5), options(padding=2)),
    ((2, 32, 6, 7), (32, 16, 3, 3), options(padding=1, groups=2)),
    ((2, 16, 7, 7), (16, 16, 3, 3), options(padding=2, dilation=2)),
    ((5, 16, 3, 4), (20, 16, 1, 1), options()),
    ((2, 16, 5, 4, 3), (32, 16, 3, 3, 3), {"padding": (1, 1, 1)}),
    ((2, 32, 3, 4, 3), (16, 16, 3, 3, 2), {"padding": (2, 0, 1), "stride": (2, 1, 1), "groups": 2}),
    ((3, 16, 2, 3, 4), (20, 16, 1, 1, 1), {}),
    ((2, 16, 4, 5, 3), (16, 16, 3, 3, 2), {"padding": (1, 1, 0)}),
]


THREE = {"stride": (1, 1, 1), "dilation": (1, 1, 1)}


def cases(primitive, reference, table, **more):
    def case(x, weight, static, biased):
        o = weight[1] * static.get("groups", 1) if primitive is conv_transpose else weight[0]
        args = (a(*x), a(*weight), a(o)) if biased else (a(*x), a(*weight))
        return Case(primitive, args, reference, static, tolerance=3, **more)

    return [case(*row, biased) for row in table for biased in (True, False)]


test_primitive = harness.over(
    [
        *cases(conv, correlation, CONVOLUTIONS),
        *cases(conv_transpose, transposed, TRANSPOSED),
        *cases(conv, correlation, WIDE, strict=False, nested=False),
        *cases(conv, correlation, [FOUR]),
    ]
)


def channel_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def random_case(seed, n=2):
    """A convolution over n axes that may take any way: many or few channels, any geometry, any memory order."""
    r = np.random.default_rng(seed)
    groups = int(r.choice([1, 1, 1, 2]))
    c, o = groups * int(r.choice([1, 3, 16, 33])), groups * int(r.choice([1, 2, 16, 32, 64]))
    draw = lambda low, high: tuple(map(int, r.integers(low, high, n)))
    kernel = [(3,) * n, (1,) * n, draw(1, 5)][r.integers(3)]
    static = {
        "stride": (1,) * n if r.random() < 0.6 else draw(1, 4),
        "padding": draw(0, 3),
        "dilation": (1,) * n if r.random() < 0.7 else draw(1, 3),
        "groups": groups,
    }
    image = [d * (k - 1) + int(r.integers(1, 9)) for d, k in zip(static["dilation"], kernel)]
    x, weight = r.standard_normal((int(r.integers(1, 5)), c, *image)), r.standard_normal((o, c // groups, *kernel))
    order = [channel_last, np.ascontiguousarray, harness.scattered][r.integers(3)]
    return order(x), weight, r.standard_normal(o), static


def deep_case(seed):
    """A convolution of volumes with many channels and a kernel 3 deep and 3 high, which has a way of its own."""
    r = np.random.default_rng(seed)
    c, o, kernel = int(r.choice([16, 20, 33])), int(r.choice([16, 40, 64])), (3, 3, int(r.integers(1, 4)))
    padding = tuple(int(r.integers(0, 3)) for _ in kernel)
    image = [max(1, k - 2 * p) + int(r.integers(0, 6)) for k, p in zip(kernel, padding)]
    x, weight = r.standard_normal((int(r.integers(1, 4)), c, *image)), r.standard_normal((o, c, *kernel))
    order = [channel_last, np.ascontiguousarray, harness.scattered][r.integers(3)]
    return order(x), weight, r.standard_normal(o), {**options(), **THREE, "padding": padding}


def forward_and_gradients(form, x, weight, bias, static, seed=0):
    y, vjp = form(x, weight, bias, **static)
    g = np.random.default_rng(seed).standard_normal(y.shape).astype(x.dtype)
    return y, *vjp(g, [True] * 3, [None] * 3)


def assert_same_as_generic(primitive, x, weight, bias, static, tolerance=1e-12):
    generic = forward_and_gradients(lambda *args, **kw: primitive.generic(np, *args, **kw), x, weight, bias, static)
    before = x.copy(), weight.copy(), bias.copy()
    for got, expected in zip(forward_and_gradients(primitive.impls["cpu"], x, weight, bias, static), generic):
        assert got.dtype == x.dtype
        harness.close(got, expected, tolerance)
    for array, copy in zip((x, weight, bias), before):
        np.testing.assert_array_equal(array, copy)


class TestFormsOnNumPy:
    @pytest.mark.parametrize(("n", "seeds"), [(2, 40), (1, 10), (3, 30)])
    def test_same_as_generic(self, n, seeds):
        for seed in range(seeds):
            assert_same_as_generic(conv, *random_case(seed, n))

    @pytest.mark.parametrize("n", [1, 2, 3])
    @pytest.mark.parametrize("seed", range(100, 120))
    def test_transposed_same_as_generic(self, n, seed):
        x, weight, bias, static = random_case(seed, n)
        c = x.shape[1]
        weight = np.ascontiguousarray(weight.swapaxes(0, 1))
        if static["groups"] > 1:
            weight = a(c, 2, *weight.shape[2:])
            bias = a(2 * static["groups"])
        static["padding"] = tuple(
            min(p, d * (k - 1)) for p, d, k in zip(static["padding"], static["dilation"], weight.shape[2:])
        )
        static["output_padding"] = tuple(s - 1 for s in static["stride"])
        assert_same_as_generic(conv_transpose, x, weight, bias, static)

    def test_deep_kernels_same_as_generic(self):
        for seed in range(30):
            assert_same_as_generic(conv, *deep_case(seed))

    def test_in_single_precision(self):
        x, weight, bias, static = random_case(7)
        single = [np.float32(v) for v in (x, weight, bias)]
        assert_same_as_generic(conv, *single, static, tolerance=3e-6)

    def test_many_small_tiles(self, monkeypatch):
        """Tiles of two rows, and blocks of a few: whatever the sizes, results are the same."""
        monkeypatch.setattr(lowering, "TILE_BYTES", 1)
        monkeypatch.setattr(lowering, "TILE_PIXELS", 1)
        for seed in range(20):
            assert_same_as_generic(conv, *random_case(seed))
            assert_same_as_generic(conv, *random_case(seed, 3))
            assert_same_as_generic(conv, *deep_case(seed))

    @pytest.mark.parametrize("packing", [True, False])
    def test_blocks(self, monkeypatch, packing):
        """Products are cut into blocks or not, by what BLAS does best with."""
        monkeypatch.setattr(window_products, "SMALL", 60_000)
        monkeypatch.setattr(window_products, "LEAST_ROWS", 1)
        monkeypatch.setattr(window_products, "LEAST_ROWS_ADJOINT", 1)
        monkeypatch.setattr(window_products, "has_small_products", lambda: not packing)
        for seed in range(20):
            assert_same_as_generic(conv, *random_case(seed))

    def test_each_has_its_case(self):
        """Which way a convolution goes, and that the random cases above go all of them."""

        def way(x, weight, static):
            where = geometry(x, weight, static["stride"], static["padding"], static["dilation"], static["groups"])
            return type(cpu.lowering(where, x.shape[1], len(weight), x.dtype)).__name__

        random = [random_case(seed) for seed in range(40)]
        assert {way(x, w, s) for x, w, _, s in random} == {"Columns", "Planar", "Pointwise", "Winograd"}
        assert way(a(1, 3, 8, 8), a(16, 3, 3, 3), options(padding=1)) == "Planar"
        assert way(a(1, 64, 8, 8), a(64, 64, 3, 3), options(padding=1)) == "Winograd"
        assert way(a(1, 64, 8, 8), a(64, 64, 3, 3), options(padding=1, stride=2)) == "Columns"
        assert way(a(1, 64, 8, 8), a(64, 64, 1, 1), options()) == "Pointwise"
        volumes = [random_case(seed, 3) for seed in range(30)] + [deep_case(seed) for seed in range(30)]
        found = {way(x, w, s) for x, w, _, s in volumes}
        assert found == {"Columns", "Planar", "Winograd", "WinogradVolumes"}
        assert way(a(1, 16, 4, 8, 8), a(16, 16, 1, 1, 1), {**options(), **THREE, "padding": 0}) == "Pointwise"
        assert way(a(1, 16, 4, 8, 8), a(16, 16, 3, 3, 3), {**options(padding=1), **THREE}) == "WinogradVolumes"
        assert way(a(1, 16, 5, 8, 8), a(16, 16, 3, 3, 3), {**options(padding=1), **THREE}) == "Winograd"

    def test_winograd_is_exact_on_small_integers_and_keeps_nan_where_it_belongs(self):
        r = np.random.default_rng(0)
        x, weight = (r.integers(-8, 9, shape).astype(np.float32) for shape in [(2, 32, 9, 8), (32, 32, 3, 3)])
        np.testing.assert_array_equal(conv.impls["cpu"](x, weight)[0], correlation(x, weight))
        x[1, 3, 4, 5] = np.nan
        np.testing.assert_array_equal(conv.impls["cpu"](x, weight)[0], correlation(x, weight))

    def test_so_is_that_of_volumes(self):
        r = np.random.default_rng(0)
        x, weight = (r.integers(-8, 9, s).astype(np.float32) for s in [(2, 16, 6, 5, 4), (16, 16, 3, 3, 3)])
        x[1, 3, 2, 1, 3] = np.nan
        y = conv.impls["cpu"](x, weight, padding=(1, 1, 1))[0]
        np.testing.assert_array_equal(y, correlation(x, weight, padding=1))
        x[1, 3, 2, 1, 3], g = 0, r.integers(-8, 9, y.shape).astype(np.float32)
        grads = conv.impls["cpu"](x, weight, padding=(1, 1, 1))[1](g, [True, True, False], [None] * 3)
        expected = conv.generic(np, x, weight, padding=(1, 1, 1))[1](g, [True, True, False], [None] * 3)
        for got, wanted in zip(grads[:2], expected):
            np.testing.assert_array_equal(got, wanted)

    def test_results_do_not_depend_on_the_number_of_threads(self):
        arrays = [np.float32(a(*shape)) for shape in [(9, 32, 16, 16), (32, 32, 3, 3), (32,)]]
        threads, blas = weft.num_threads(), [(b, b.get_num_threads()) for b in parallel._blas_libraries()]
        results = []
        try:
            for n in (1, 3):
                weft.set_num_threads(n)
                results.append(forward_and_gradients(conv.impls["cpu"], *arrays, options(padding=1)))
        finally:
            weft.set_num_threads(threads)
            for library, n in blas:
                library.set_num_threads(n)
        for one, three in zip(*results):
            np.testing.assert_array_equal(one, three)

    @pytest.mark.parametrize("shape", [(3, 3, 3), (16, 5, 5), (64, 3, 3)])
    def test_memory_does_not_grow_with_the_batch(self, shape, monkeypatch):
        """Beyond the results themselves: the buffers are those of a few tiles, in each thread that is at work."""
        monkeypatch.setattr(parallel, "_threads", 1)

        def beyond(n):
            c, kh, kw = shape
            x, weight = (
                np.zeros((n, 32, 32, c), np.float32).transpose(0, 3, 1, 2),
                np.zeros((32, c, kh, kw), np.float32),
            )
            tracemalloc.start()
            y, vjp = conv.impls["cpu"](x, weight, padding=(1, 1))
            grads = vjp(channel_last(np.ones_like(y)), [True, True, False], [None] * 3)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return peak - 2 * y.nbytes - grads[0].nbytes

        assert beyond(144) < 1.1 * beyond(48) + 2**16


class TestFewPixels:
    @pytest.fixture
    def always(self, monkeypatch):
        """Also where there are many pixels, in pieces of few channels."""
        suits = lambda n, c, o, where: n * c * o > 0 and where.groups == 1 and min(where.before) >= 0
        monkeypatch.setattr(few_pixels.FewPixels, "suits", suits)
        monkeypatch.setattr(few_pixels, "PIECE", 5000)

    @pytest.mark.parametrize(("n", "seeds"), [(2, 40), (1, 10), (3, 20)])
    def test_same_as_generic(self, n, seeds, always):
        for seed in range(seeds):
            assert_same_as_generic(conv, *random_case(seed, n))

    @pytest.mark.parametrize("row", [row for row in TRANSPOSED if row[0][0]])
    def test_transposed_same_as_generic(self, row, always):
        x, weight, static = row
        bias = a(weight[1] * static.get("groups", 1))
        assert_same_as_generic(conv_transpose, a(*x), a(*weight), bias, static)

    def test_writes_the_weight_gradient_where_it_is_told(self, always):
        for shape in [(16, 16, 3, 3), (16, 16, 3), (16, 16, 2, 3, 1)]:
            y, vjp = conv.impls["cpu"](a(2, 16, *[5] * len(shape[2:])), a(*shape))
            g, into = a(*y.shape), np.full(shape, np.nan)
            assert vjp(g, [False, True, False], [None, into, None])[1] is into
            np.testing.assert_array_equal(into, vjp(g, [False, True, False], [None] * 3)[1])

    def test_which_they_are(self):
        def suits(images, channels, features, size, **more):
            weight = np.empty((features, channels // more.get("groups", 1), 3, 3), np.float32)
            where = geometry(
                np.empty((images, channels, size, size), np.float32), weight, 1, 1, 1, more.get("groups", 1)
            )
            return few_pixels.FewPixels.suits(images, channels, features, where)

        assert suits(4, 512, 512, 7)
        assert suits(2, 256, 256, 8)
        assert not suits(4, 256, 256, 8)
        assert not suits(0, 512, 512, 7)
        assert not suits(4, 512, 512, 7, groups=2)
        assert not suits(1, 64, 64, 2)

    def test_results_do_not_depend_on_the_number_of_threads(self):
        arrays = [np.float32(a(*shape)) for shape in [(2, 256, 8, 8), (256, 256, 3, 3), (256,)]]
        threads, results = weft.num_threads(), []
        try:
            for n in (1, 2, 3):
                weft.set_num_threads(n)
                results.append(forward_and_gradients(conv.impls["cpu"], *arrays, options(padding=1)))
        finally:
            weft.set_num_threads(threads)
        for found in zip(*results):
            np.testing.assert_array_equal(found[1], found[0])
            np.testing.assert_array_equal(found[2], found[0])


@pytest.mark.parametrize("primitive", [conv, conv_transpose], ids=lambda p: p.__name__)
class TestPullback:
    @pytest.mark.parametrize("form", ["generic", "cpu"])
    def test_gives_what_is_needed(self, primitive, form):
        call = primitive.impls["cpu"] if form == "cpu" else lambda *args: primitive.generic(np, *args)
        y, vjp = call(a(2, 4, 5, 5), a(4, 4, 3, 3), a(4))
        for needed in range(3):
            need = [i == needed for i in range(3)]
            assert [grad is not None for grad in vjp(np.ones_like(y), need, [None] * 3)] == need

    def test_writes_the_weight_gradient_where_it_is_told(self, primitive):
        for shape in [(4, 4, 3, 3), (32, 32, 3, 3), (16, 16, 1, 1), (16, 16, 2, 2), (4, 4, 3), (16, 16, 2, 3, 1)]:
            y, vjp = primitive.impls["cpu"](a(2, shape[1], *[5] * len(shape[2:])), a(*shape))
            g, into = a(*y.shape), np.full(shape, np.nan)
            assert vjp(g, [False, True, False], [None, into, None])[1] is into
            np.testing.assert_array_equal(into, vjp(g, [False, True, False], [None] * 3)[1])


def test_result_is_channel_last_in_memory():
    for x in (a(2, 16, 6, 6), channel_last(a(2, 16, 6, 6))):
        y, vjp = conv.impls["cpu"](x, a(8, 16, 3, 3))
        assert y.transpose(0, 2, 3, 1).flags.c_contiguous
        assert vjp(y, [True, False, False], [None] * 3)[0].transpose(0, 2, 3, 1).flags.c_contiguous


def test_other_dtypes_take_the_generic_form():
    x, weight = weft.ones((1, 2, 4, 4), dtype=weft.float16), weft.ones((3, 2, 3, 3), dtype=weft.float16)
    assert conv.impls["cpu"](x.data, weight.data) is NotImplemented
    assert conv(x, weight).numpy().tolist() == np.full((1, 3, 2, 2), 18.0).tolist()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about the allocator of glibc")
def test_memory_of_a_step_is_kept_for_the_next():
    """In a process of its own, where nothing has been freed before."""
    code = """
import resource, sys
import numpy as np
import weft

def step():
    return [np.ones(1 << 20, np.float32) for _ in range(8)]  # 32 MiB, all freed at the end

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
sys.exit(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before > 100)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
