"""Against the formulas in float64 NumPy, `erf` against the C library's; derivatives by differences; the tails."""

import math

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft import layers as nn
from weft.backend.nn import activation as A
from weft.layers import functional as F

rng = np.random.default_rng(0)
KINKS = np.array([-3.0, -1.0, 0.0, 0.3, 1.0, 3.0, 6.0])


def a(*shape, seed=0, scale=4.0):
    """Values at least 0.01 away from every kink, so that finite differences meet none; whatever rows there are beside."""
    x = np.random.default_rng([seed, *shape]).uniform(-scale, scale, shape)
    nearest = KINKS[np.abs(x[..., None] - KINKS).argmin(-1)] if x.size else x
    return np.asarray(np.where(np.abs(x - nearest) < 0.01, nearest + 0.02, x))


def sigmoid(x):
    return np.where(x < 0, np.exp(np.minimum(x, 0)), 1) / (1 + np.exp(-np.abs(x)))


def softplus(x, beta=1.0, threshold=20.0):
    with np.errstate(over="ignore"):
        return np.where(beta * x > threshold, x, np.log1p(np.exp(beta * x)) / beta)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def celu(x, alpha=1.0):
    return np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(np.minimum(x, 0) / alpha))


def selu(x):
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


def erf(x):
    return np.asarray([math.erf(v) for v in np.asarray(x).flat]).reshape(np.shape(x))


def gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def hardsigmoid(x):
    return np.clip(x / 6 + 0.5, 0, 1)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis, keepdims=True)


def log_softmax(x, axis=-1):
    z = x - x.max(axis, keepdims=True, initial=-np.inf)
    return z - np.log(np.exp(z).sum(axis, keepdims=True)) if x.shape[axis] else x


def glu(x, axis=-1):
    value, gate = np.split(x, 2, axis)
    return value * sigmoid(gate)


# of one array: reference, layer (its function has the name that follows where that is not the primitive's), options to try
TABLE = {
    "relu": (lambda x: np.maximum(x, 0), nn.ReLU, {}),
    "relu6": (lambda x: np.clip(x, 0, 6), nn.ReLU6, {}),
    "leaky_relu": (
        lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x), nn.LeakyReLU, {}, {"negative_slope": 1.5},
    ),
    "hardtanh": (
        lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val), nn.Hardtanh, {}, {"min_val": -3.0, "max_val": 0.3},
    ),
    "threshold": (
        lambda x, threshold, value: np.where(x > threshold, x, value), nn.Threshold, {"threshold": 0.3, "value": -7.0},
    ),
    "heaviside": (lambda x, value=1.0: np.heaviside(x, value), nn.Heaviside, {}, {"value": 0.5}),
    "hardsigmoid": (hardsigmoid, nn.Hardsigmoid, {}),
    "hardswish": (lambda x: x * hardsigmoid(x), nn.Hardswish, {}),
    "elu": (elu, nn.ELU, {}, {"alpha": 0.7}),
    "selu": (selu, nn.SELU, {}),
    "celu": (celu, nn.CELU, {}, {"alpha": 1.3}),
    "sigmoid": (sigmoid, nn.Sigmoid, {}),
    "log_sigmoid": (lambda x: -softplus(-x, threshold=40.0), nn.LogSigmoid, {}),
    "softplus": (softplus, nn.Softplus, {}, {"beta": 2.5, "threshold": 4.0}),
    "softsign": (lambda x: x / (1 + np.abs(x)), nn.Softsign, {}),
    "silu": (lambda x: x * sigmoid(x), nn.SiLU, {}),
    "mish": (lambda x: x * np.tanh(softplus(x, threshold=np.inf)), nn.Mish, {}),
    "gelu": (gelu, nn.GELU, {}, {"approximate": "tanh"}),
    "erf": (erf, None, {}),
    "softmax": (softmax, nn.Softmax, {}),
    "log_softmax": (log_softmax, nn.LogSoftmax, {}),
}  # fmt: skip
REFERENCES = {name: (f, *sets) for name, (f, _, *sets) in TABLE.items()}
WITH_CPU_FORM = [name for name in TABLE if "cpu" in getattr(A, name).impls]


def leaky(x, w):
    return np.where(x > 0, x, (w if w.size == 1 else w.reshape(-1, *[1] * (x.ndim - 2))) * x)


def public(name, axis=None):
    """What stands on a primitive, as fields of a case; PyTorch says `dim` for `axis` and has no default for it."""
    layer = TABLE[name][1]
    if layer is None:
        return {}
    function = getattr(F, {"log_sigmoid": "logsigmoid"}.get(name, name))
    return {
        "functional": function,
        "layer": layer,
        "options": {"dim": -1 if axis is None else axis} if "softmax" in name else None,
    }


CASES = [
    *[Case(getattr(A, name), (a(*shape),), f, options, tolerance=4, **public(name), label=" tanh" * ("approximate" in options))
      for name, (f, *sets) in REFERENCES.items() for options in sets for shape in [(33,), (2, 3, 5)]],
    *[Case(getattr(A, name), (a(n),), REFERENCES[name][0], tolerance=4)
      for name in ("relu", "gelu", "softmax") for n in (0, 1, 31, 32, 1025)],
    *[Case(getattr(A, name), (a(),), REFERENCES[name][0], tolerance=4) for name in ("relu", "silu", "gelu")],
    *[Case(getattr(A, name), (a(3, 4, 5),), REFERENCES[name][0], {"axis": axis}, **public(name, axis))
      for name in ("softmax", "log_softmax") for axis in (0, 1, 2)],
    *[Case(getattr(A, name), (a(*s),), REFERENCES[name][0])
      for name in ("softmax", "log_softmax") for s in [(0, 4), (4, 0), (3, 1), (2, 9000)]],
    *[Case(A.glu, (a(4, 6, 2),), glu, {"axis": axis}, functional=F.glu, layer=nn.GLU, options={"dim": axis})
      for axis in (-1, 0, 1)],
    *[Case(A.swiglu, (a(*s), a(*s, seed=1)), lambda x, gate: x * gate * sigmoid(gate), functional=F.swiglu)
      for s in [(33,), (2, 3), (0,)]],
    *[Case(A.prelu, (a(*s), a(w, seed=1)), leaky, functional=F.prelu)
      for s, w in [((4, 6, 2, 3), 6), ((4, 6), 6), ((5,), 1), ((2, 3), 1), ((0, 3), 3)]],
]  # fmt: skip
test_primitive = harness.over(CASES)

EXTREMES = [-1e4, -1e3, -100.0, -88.0, -30.0, -1e-4, -0.0, 0.0, 1e-4, 30.0, 89.0, 100.0, 1e3, 1e4]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["generic", "cpu"])
class TestExtremes:
    """Warnings are errors in tests: an overflow anywhere would fail these."""

    def run(self, name, form, dtype, x):
        primitive = getattr(A, name)
        x = weft.asarray(x.astype(dtype)).requires_grad_()
        call = harness.generic_only(primitive) if form == "generic" else primitive
        y = call(x, **REFERENCES[name][1])
        y.backward(weft.ones(y.shape, dtype=dtype))
        return y.detach().numpy(), x.grad.numpy()

    @pytest.mark.parametrize("name", sorted(REFERENCES))
    def test_values(self, name, form, dtype):
        x = np.array(EXTREMES)
        y, slope = self.run(name, form, dtype, x)
        expected = REFERENCES[name][0](x, **REFERENCES[name][1])
        np.testing.assert_allclose(
            y, expected, **({"rtol": 4e-6, "atol": 1e-8} if dtype == "float32" else {"rtol": 1e-13, "atol": 1e-16})
        )
        assert np.isfinite(slope).all()

    @pytest.mark.parametrize("name", ["softmax", "log_softmax"])
    def test_rows_do_not_disturb_each_other(self, name, form, dtype):
        x = np.array([[1e4, 0.0, -1e4], [-1e4, -1e4 - 1, -1e4 - 2], [0.0, 1.0, 2.0]])
        y, _ = self.run(name, form, dtype, x)
        np.testing.assert_allclose(y, REFERENCES[name][0](x), rtol=1e-6, atol=1e-30)


class TestTails:
    """Where cancellation would lose everything."""

    @pytest.mark.parametrize("name", ["sigmoid", "silu", "mish", "elu", "softplus"])
    @pytest.mark.parametrize("form", ["generic", "cpu"])
    def test_left(self, name, form):
        x = np.array([-15.0, -40.0, -80.0])
        exact = {
            "sigmoid": np.exp(x),
            "silu": x * np.exp(x),
            "mish": x * np.exp(x),
            "elu": np.expm1(x),
            "softplus": np.exp(x),
        }
        primitive = getattr(A, name)
        y = (harness.generic_only(primitive) if form == "generic" else primitive)(
            weft.asarray(x.astype(np.float32))
        ).numpy()
        np.testing.assert_allclose(y, exact[name], rtol=1e-5)


class TestErf:
    def test_accuracy(self):
        x = np.linspace(-7, 7, 20001)
        exact = erf(x)
        y = A.erf(weft.asarray(x)).numpy()
        assert np.abs(y - exact).max() <= 2.3e-16
        assert (np.abs(y - exact) <= 1e-15 * np.abs(exact)).all()

    def test_float32(self):
        x = np.linspace(-7, 7, 20001).astype(np.float32)
        assert np.abs(A.erf(weft.asarray(x)).numpy() - erf(x)).max() <= 2e-7


class TestBlocks:
    """Arrays of several blocks, in any memory order, on any number of threads."""

    LAYOUTS = {
        "contiguous": lambda x: x,
        "channel-last": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1),
        "sliced": lambda x: np.repeat(x, 2, axis=2)[:, :, ::2],
        "backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
        "broadcast": lambda x: np.broadcast_to(x[:, :1], x.shape),
    }

    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("name", WITH_CPU_FORM)
    def test_layouts(self, name, layout):
        x = self.LAYOUTS[layout](rng.standard_normal((3, 40, 25, 50)).astype(np.float32))
        g = rng.standard_normal(x.shape).astype(np.float32)
        primitive, before = getattr(A, name), x.copy()
        y, (pull,) = primitive.impls["cpu"](x)
        expected, (generic_pull,) = primitive.generic(np, x)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(pull(g), generic_pull(g), rtol=1e-5, atol=2e-6)
        np.testing.assert_array_equal(x, before)
        if layout == "channel-last" and "softmax" not in name:
            assert y.strides == x.strides

    def test_swiglu(self):
        x, gate, g = rng.standard_normal((3, 300, 200)).astype(np.float32)
        y, pulls = A.swiglu.impls["cpu"](x, gate)
        expected, generic_pulls = A.swiglu.generic(np, x, gate)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
        for pull, generic_pull in zip(pulls, generic_pulls):
            np.testing.assert_allclose(pull(g), generic_pull(g), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("name", WITH_CPU_FORM)
    def test_threads(self, name):
        x = rng.standard_normal((300, 700)).astype(np.float32)
        g = rng.standard_normal(x.shape).astype(np.float32)
        results = []
        before = weft.num_threads()
        try:
            for n in (1, 2):
                weft.set_num_threads(n)
                y, (pull,) = getattr(A, name).impls["cpu"](x)
                results.append((y, pull(g)))
        finally:
            weft.set_num_threads(before)
        for one, two in zip(*results):
            np.testing.assert_array_equal(one, two)

    @pytest.mark.parametrize("name", WITH_CPU_FORM)
    def test_no_grad_gives_the_same_values(self, name):
        x = weft.asarray(rng.standard_normal((300, 700)).astype(np.float32))
        expected = getattr(A, name)(x).numpy()
        with weft.no_grad():
            np.testing.assert_array_equal(getattr(A, name)(x).numpy(), expected)


def test_heaviside_at_zero():
    x = weft.tensor([-1.0, 0.0, 2.0])
    assert A.heaviside(x).tolist() == [0, 1, 1]
    assert A.heaviside(x, value=0.5).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(("name", "at", "expected"), [
    ("relu", 0.0, 0), ("relu6", 6.0, 0), ("hardtanh", 1.0, 0), ("hardsigmoid", 3.0, 0), ("leaky_relu", 0.0, 0.01),
    ("elu", 0.0, 1), ("hardswish", -3.0, 0), ("hardswish", 3.0, 1), ("sigmoid", 0.0, 0.25), ("silu", 0.0, 0.5),
])  # fmt: skip
def test_kinks_as_in_pytorch(name, at, expected):
    """The derivative at the kink itself, which finite differences cannot see."""
    x = weft.tensor([at], requires_grad=True)
    getattr(A, name)(x).sum().backward()
    assert x.grad.item() == pytest.approx(expected)


@pytest.mark.parametrize(("name", "expected"), [
    ("sigmoid", 0.0), ("silu", 0.5), ("softplus", 0.25), ("gelu", math.sqrt(2 / math.pi)), ("log_sigmoid", -0.25),
])  # fmt: skip
def test_smooth_at_zero(name, expected):
    """Second derivatives at 0, where |x| inside a formula would break them."""
    f = getattr(A, name)
    second = weft.grad(weft.grad(lambda x: f(x).sum()))(weft.tensor(0.0, dtype=weft.float64))
    assert second.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("device", ["cpu", "emulator"])
@pytest.mark.parametrize(
    "name", ["relu", "relu6", "hardtanh", "hardsigmoid", "hardswish", "softplus", "leaky_relu", "elu"]
)
def test_slopes_at_infinity(device, name):
    """Those that the tails have: no 0 · ∞."""
    x = weft.asarray(np.float32([-np.inf, np.inf]), device=device).requires_grad_()
    with np.errstate(invalid="ignore"):  # hardswish of −∞ is itself 0 · ∞, as in PyTorch
        getattr(A, name)(x).backward(weft.ones(2, device=device))
    low, high = {"leaky_relu": (0.01, 1), "relu6": (0, 0), "hardtanh": (0, 0), "hardsigmoid": (0, 0)}.get(name, (0, 1))
    np.testing.assert_allclose(x.grad.numpy(), [low, high])


NAN, INF = np.nan, np.inf
SELU = 1.0507009873554805
GRADIENTS = {  # at NaN, ∞, −∞, 0, of torch.nn.functional.NAME(x) for the output's gradient 1, PyTorch 2.13
    "relu": [1, 1, 0, 0],
    "relu6": [1, 0, 0, 0],
    "hardtanh": [1, 0, 0, 1],
    "hardsigmoid": [0, 0, 0, 1 / 6],
    "hardswish": [1, 1, 0, 0.5],
    "elu": [1, 1, 0, 1],
    "celu": [1, 1, 0, 1],
    "selu": [SELU, SELU, 0, SELU * 1.6732632423543772],
    "leaky_relu": [0.01, 1, 0.01, 0.01],
    "softplus": [NAN, 1, 0, 0.5],
    "logsigmoid": [NAN, 0, 1, 0.5],
    "hardshrink": [1, 1, 1, 0],
    "softshrink": [1, 1, 1, 0],
    "tanhshrink": [NAN, 1, 1, 0],
}


@pytest.mark.parametrize("device", ["cpu", "emulator"])
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_at_nan_and_infinity(name, device):
    for n in (1, 4096):  # small and large arrays have different code
        x = weft.tensor([NAN, INF, -INF, 0.0] * n, dtype=weft.float32, device=device, requires_grad=True)
        with np.errstate(invalid="ignore"):
            y = getattr(F, name)(x)
        y.backward(weft.ones(4 * n, device=device))
        assert np.isnan(y.detach().cpu().numpy()[0])
        np.testing.assert_allclose(x.grad.cpu().numpy()[-4:], GRADIENTS[name], rtol=1e-6)


def test_nan_exceeds_every_threshold():
    """torch.nn.functional.threshold(x, 0.0, 5.0)."""
    x = weft.tensor([NAN, 0.0, 1.0], requires_grad=True)
    y = F.threshold(x, 0.0, 5.0)
    y.backward(weft.ones(3))
    np.testing.assert_array_equal(y.detach().numpy(), np.float32([NAN, 5, 1]))
    assert x.grad.tolist() == [1, 0, 1]


def test_a_number_is_a_vector_of_one():
    for f, y in ((F.softmax, 1.0), (F.log_softmax, 0.0), (F.softmin, 1.0)):
        x = weft.tensor(3.0, requires_grad=True)
        assert f(x, dim=0).item() == y
        assert np.isnan(f(weft.tensor(NAN), dim=0).item())
        f(x, dim=-1).backward()
        assert x.grad.item() == 0


@pytest.mark.parametrize("device", ["cpu", "emulator"])
@pytest.mark.parametrize("size", [3, 5000])
@pytest.mark.parametrize(
    "name", ["relu", "relu6", "hardtanh", "hardsigmoid", "hardswish", "clip", "maximum", "minimum"]
)
def test_an_infinite_gradient_stops_where_the_slope_is_0(name, size, device):
    """√relu(x) has the slope ∞ · 0 at x < 0: nothing comes back, as in PyTorch."""
    if device == "emulator" and size > 3:
        pytest.skip("the same code")
    functions = {
        "clip": lambda x: weft.clip(x, 0.0, None),
        "maximum": lambda x: weft.maximum(x, weft.zeros_like(x)),
        "minimum": lambda x: weft.minimum(x, weft.full_like(x, -9.0)),
    }
    x = weft.full((size,), -5.0, dtype=weft.float32, device=device).requires_grad_()
    y = functions.get(name, getattr(F, name, None))(x)
    y.backward(weft.full(y.shape, weft.inf, dtype=weft.float32, device=device))
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros(size, np.float32))
