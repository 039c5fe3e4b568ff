"""Against the formulas in float64; halves also against the same NumPy operations in the same precision."""

import itertools
import math

import kernel_harness as harness
import numpy as np
import pytest
from kernel_harness import close, dtypes, every_schedule, no_worse, rounded

import weft
from weft.backend.array import elementwise as E
from weft.backend.nn import activation as A
from weft.backend.nn import linear as L
from weft.backend.tape import autograd
from weft.kernels import activation as kernels
from weft.kernels.toolchain.settings import settings

C0, C1 = math.sqrt(2 / math.pi), math.sqrt(2 / math.pi) * 0.044715


def erf(x):
    return np.vectorize(math.erf, otypes=[np.float64])(x).astype(x.dtype)


def sigmoid(x):
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-abs(x)))


def cumulative(x):
    return x.dtype.type(0.5) * (1 + erf(x * x.dtype.type(math.sqrt(0.5))))


def tanh_of(x):
    return np.tanh(x * (x.dtype.type(C0) + x.dtype.type(C1) * x * x))


def gelu_tanh_slope(x):
    t, half = tanh_of(x), x.dtype.type(0.5)
    return half * (1 + t) + half * x * (1 - t * t) * (x.dtype.type(C0) + x.dtype.type(3 * C1) * x * x)


# name: (f(x), f'(x)), each operation in the dtype of x
FUNCTIONS = {
    "Identity": (lambda x: x, np.ones_like),
    "Relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(x.dtype)),
    "Sigmoid": (sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x))),
    "Tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "Silu": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
    "Gelu": (
        lambda x: x * cumulative(x),
        lambda x: cumulative(x) + x * np.exp(x.dtype.type(-0.5) * x * x) * x.dtype.type(1 / math.sqrt(2 * math.pi)),
    ),
    "GeluTanh": (lambda x: x.dtype.type(0.5) * x * (1 + tanh_of(x)), gelu_tanh_slope),
}


def of_primitive(name):
    """The generic form, which the harness compares with a reference: for the functions that have no row above."""
    form = getattr(A, name.lower()).generic
    return (lambda x: form(np, x)[0].astype(x.dtype), lambda x: form(np, x)[1][0](np.ones_like(x)).astype(x.dtype))


FUNCTIONS |= {name: of_primitive(name) for name in kernels.FUNCTIONS if name not in FUNCTIONS}
functions = pytest.mark.parametrize("name", FUNCTIONS)


def compare(ours, exact, plain, tolerance=2.0):
    if ours.dtype == np.float32:
        close(ours, exact, tolerance=tolerance)
    else:
        no_worse(ours, plain, exact)


def drawn(rng, dtype, *shapes):
    """Of each shape an array in the dtype, and the same numbers in float64."""
    return [rounded(2 * rng.standard_normal(shape), dtype) for shape in shapes]


def check(name, low, high, g_low, g_high, b_low=None, b_high=None, *, summed=False):
    """Forward and backward, under every schedule, with and without a bias and the sums of its gradient."""
    f, slope = FUNCTIONS[name]

    def run():
        y = kernels.forward(low, name, b_low)
        return y, *kernels.backward(g_low, y if name in kernels.FROM_OUTPUT else low, name, b_low, summed=summed)

    y, grad_x, grad_b = every_schedule(run)
    z_low, z_high = (low, high) if b_low is None else (low + b_low, high + b_high)
    compare(y, f(z_high), f(z_low))
    exact, plain = g_high * slope(z_high), g_low * slope(z_low)
    compare(grad_x, exact, plain)
    assert (grad_b is not None) == summed
    if summed:
        axes = tuple(range(low.ndim - 1))
        compare(grad_b, exact.sum(axes), plain.sum(axes), tolerance=8)


@functions
@dtypes
@pytest.mark.parametrize("n", harness.SIZES)
def test_without_bias(rng, name, dtype, n):
    x, g = drawn(rng, dtype, n, n)
    check(name, *x, *g)


@functions
@dtypes
@pytest.mark.parametrize("shape", [(5, 33), (2, 3, 64)])
def test_with_bias(rng, name, dtype, shape):
    x, g, b = drawn(rng, dtype, shape, shape, shape[-1])
    check(name, *x, *g, *b, summed=True)


@dtypes
@pytest.mark.parametrize("shape", [*itertools.product((0, 1, 33, 1025), (1, 31, 32, 257)), (3, 0), (2, 1025), (64,)])
def test_shapes(rng, dtype, shape):
    """Rows that begin anywhere; more rows than a block has, fewer columns than a warp."""
    x, g, b = drawn(rng, dtype, shape, shape, shape[-1])
    check("Silu", *x, *g, *b, summed=True)


def test_many_rows_to_a_thread(rng, monkeypatch):
    monkeypatch.setattr(settings, "multiprocessors", 1)
    x, g, b = drawn(rng, np.float32, (5000, 12), (5000, 12), 12)
    check("Gelu", *x, *g, *b, summed=True)


@dtypes
@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (1000, 10), (33, 1025), (4, 8, 64)])
def test_column_sums(rng, dtype, shape):
    low, high = rounded(rng.standard_normal(shape), dtype)
    memory = np.full(shape[-1] + 1, np.nan, dtype)[1:]
    sums = every_schedule(lambda: kernels.column_sums(low, out=memory).copy())
    assert kernels.column_sums(low).tobytes() == sums.tobytes() == memory.tobytes()
    axes = tuple(range(len(shape) - 1))
    compare(sums, high.sum(axes), low.sum(axes), tolerance=4)


class TestLayouts:
    @pytest.mark.parametrize("bias", [False, True])
    def test_scattered_and_shifted(self, rng, bias):
        wide = rng.standard_normal((7, 67)).astype(np.float32)
        for x in (wide[::2, 1::2], wide.reshape(-1)[1:].reshape(2, 234), wide.T):
            b = rng.standard_normal(x.shape[-1]).astype(np.float32) if bias else None
            g = rng.standard_normal(x.shape).astype(np.float32)[::-1]
            args = [a for low in (x, g) for a in (low, low.astype(np.float64))]
            check("Relu", *args, b, None if b is None else b.astype(np.float64), summed=bias)

    def test_memory_order_is_kept(self, rng):
        """Channels last stay last, and the gradient, in another order, is put into that one."""
        x = np.moveaxis(rng.standard_normal((2, 5, 6, 3)).astype(np.float32), -1, 1)
        g = rng.standard_normal(x.shape).astype(np.float32)
        y = kernels.forward(x, "Silu")
        grad, _ = kernels.backward(g, x, "Silu")
        assert y.strides == grad.strides == x.strides
        f, slope = FUNCTIONS["Silu"]
        close(y, f(x.astype(np.float64)), tolerance=2)
        close(grad, g * slope(x.astype(np.float64)), tolerance=2)

    def test_a_single_number(self, rng):
        x, g = drawn(rng, np.float32, (), ())
        check("Tanh", *x, *g)

    def test_in_place(self, rng):
        y, b = (rng.standard_normal(s).astype(np.float32) for s in ((9, 40), 40))
        before = y.copy()
        assert kernels.forward(y, "Identity", b, out=y) is y
        np.testing.assert_array_equal(y, before + b)


@functions
def test_extremes(name):
    """Tails neither overflow nor lose their digits; NaN stays NaN."""
    x = np.array([-1e4, -100, -30, -10, -1e-30, 0, 1e-30, 10, 30, 100, 1e4], np.float32)
    f, slope = FUNCTIONS[name]
    y = kernels.forward(x, name)
    np.testing.assert_allclose(y, f(x.astype(np.float64)), rtol=2e-5 if name == "Sigmoid" else 3e-7, atol=1e-6)
    grad, _ = kernels.backward(np.ones_like(x), y if name in kernels.FROM_OUTPUT else x, name)
    np.testing.assert_allclose(grad, slope(x.astype(np.float64)), rtol=1e-5, atol=1e-6)
    assert np.isnan(kernels.forward(np.array([np.nan], np.float32), name))


class TestPrimitives:
    CASES = [
        (A.relu, {}), (A.sigmoid, {}), (E.tanh, {}), (A.silu, {}), (A.gelu, {}), (A.gelu, {"approximate": "tanh"})
    ]  # fmt: skip

    @pytest.mark.parametrize(("primitive", "static"), CASES)
    def test_same_as_on_the_cpu(self, rng, primitive, static):
        x, g = (rng.standard_normal((4, 33)).astype(np.float32) for _ in range(2))
        results = []
        for device in ("emulator", "cpu"):
            a = weft.asarray(x, device=device).requires_grad_()
            y = primitive(a, **static)
            y.backward(weft.asarray(g, device=device))
            assert y.device == device
            results.append((y.detach().numpy(), a.grad.numpy()))
        for got, expected in zip(*results):
            close(got, expected.astype(np.float64), tolerance=2)

    @pytest.mark.parametrize(("primitive", "static"), CASES)
    def test_float64_falls_back(self, monkeypatch, primitive, static):
        monkeypatch.setattr(autograd, "report_fallbacks", True)
        with pytest.warns(UserWarning, match="on emulator fell back to the generic form"):
            primitive(weft.ones(3, dtype=weft.float64, device="emulator"), **static)


class TestLinear:
    @pytest.mark.parametrize("shape", [(5, 7), (7,), (2, 3, 7), (0, 7)])
    @pytest.mark.parametrize("biased", [False, True])
    @dtypes
    def test_same_as_generic(self, rng, shape, biased, dtype):
        args = [rounded(rng.standard_normal(s), dtype) for s in (shape, (33, 7), 33)[: 3 if biased else 2]]
        g = rounded(rng.standard_normal((*shape[:-1], 33)), dtype)
        need, into = [True] * 3, [None, None, np.full(33, np.nan, dtype) if biased else None]
        y, vjp = L.linear.impls["emulator"](*(low for low, _ in args))
        got = y, *vjp(g[0], need, into)
        y, vjp = L.linear.generic(np, *(high for _, high in args))
        exact = y, *vjp(g[1], need, into)
        assert got[3] is into[2]
        for a, b in zip(got, exact):
            if a is not None and dtype == np.float32:
                close(a, b, tolerance=4)
            elif a is not None:
                no_worse(a, b.astype(dtype), b)

    def test_into_the_arena(self, rng):
        x, w, g = (rng.standard_normal(s).astype(np.float32) for s in ((4, 3), (5, 3), (4, 5)))
        _, vjp = L.linear.impls["emulator"](x, w, np.ones(5, np.float32))
        into = [None, np.full((5, 3), np.nan, np.float32), np.full(5, np.nan, np.float32)]
        none, grad_w, grad_b = vjp(g, [False, True, True], into)
        assert none is None
        assert grad_w is into[1]
        assert grad_b is into[2]
        close(grad_w, g.T.astype(np.float64) @ x)
        close(grad_b, g.astype(np.float64).sum(0))

    def test_trains_as_on_the_cpu(self, rng):
        """Layers and a loss together, device against device."""
        x, t = rng.standard_normal((6, 10)).astype(np.float32), rng.integers(0, 4, 6)
        grads = []
        for device in ("cpu", "emulator"):
            weft.manual_seed(0)
            net = weft.layers.Sequential(
                weft.layers.Linear(10, 33),
                weft.layers.GELU(),
                weft.layers.Linear(33, 20),
                weft.layers.ReLU(),
                weft.layers.Linear(20, 4),
            ).to(device)
            y = net(weft.asarray(x, device=device))
            loss = weft.layers.functional.cross_entropy(y, weft.asarray(t, device=device))
            loss.backward()
            grads.append([loss.detach().numpy(), *(p.grad.numpy() for p in net.parameters())])
        for a, b in zip(*grads):
            close(b, a.astype(np.float64), tolerance=4)


@dtypes
def test_rows_that_share_their_beginning(dtype, monkeypatch):
    """The same bits, however many rows a thread goes down."""
    x = np.random.default_rng(2).standard_normal(50_001).astype(dtype)
    few = kernels.forward(x, "Gelu"), kernels.backward(x, x, "Gelu")[0]
    monkeypatch.setattr(kernels, "BLOCKS", 1)
    monkeypatch.setattr(settings, "multiprocessors", 1)
    assert kernels._rows_of_thread(x) == kernels.MOST
    for ours, expected in zip((kernels.forward(x, "Gelu"), kernels.backward(x, x, "Gelu")[0]), few):
        assert ours.tobytes() == expected.tobytes()
