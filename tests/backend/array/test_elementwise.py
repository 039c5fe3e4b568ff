"""Against NumPy's functions in float64, derivatives by central differences; the edges of domains one by one."""

import math

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.array import elementwise

rng = np.random.default_rng(0)


def a(*shape, low=-2.0, high=2.0):
    return np.asarray(rng.uniform(low, high, shape))


def apart(*shape):
    """Values at least 0.2 away from each integer, so that finite differences meet no jump."""
    return np.asarray(rng.integers(-4, 4, shape) + rng.uniform(0.2, 0.8, shape))


def ints(*shape, low=-9, high=9):
    return rng.integers(low, high, shape)


SIZES = (0, 1, 31, 32, 33, 1025)
DOMAINS = {
    "exp": (-2, 2),
    "expm1": (-2, 2),
    "log": (0.1, 5),
    "log1p": (-0.8, 4),
    "log2": (0.1, 5),
    "log10": (0.1, 5),
    "sqrt": (0.1, 5),
    "square": (-2, 2),
    "reciprocal": (0.3, 3),
    "negative": (-2, 2),
    "positive": (-2, 2),
    "abs": (0.1, 2),
    "sin": (-4, 4),
    "cos": (-4, 4),
    "tan": (-1.2, 1.2),
    "asin": (-0.9, 0.9),
    "acos": (-0.9, 0.9),
    "atan": (-4, 4),
    "sinh": (-2, 2),
    "cosh": (-2, 2),
    "tanh": (-2, 2),
    "asinh": (-4, 4),
    "acosh": (1.1, 4),
    "atanh": (-0.9, 0.9),
}
NUMPY = {  # the reference, where NumPy's name differs
    "bitwise_invert": np.invert,
    "bitwise_left_shift": np.left_shift,
    "bitwise_right_shift": np.right_shift,
    "atan2": np.arctan2,
    "pow": np.power,
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "acosh": np.arccosh,
    "asinh": np.arcsinh,
    "atanh": np.arctanh,
}


def one(name, x, **kwargs):
    return Case(getattr(elementwise, name), (x,), NUMPY.get(name) or getattr(np, name), **kwargs)


def two(name, x1, x2, **kwargs):
    return Case(getattr(elementwise, name), (x1, x2), NUMPY.get(name) or getattr(np, name), **kwargs)


BROADCAST = [
    ((33,), (33,)),
    ((3, 4), (4,)),
    ((3, 1), (1, 4)),
    ((2, 1, 3), (4, 1)),
    ((), (3,)),
    ((3,), ()),
    ((), ()),
    ((0,), (1,)),
    ((1,), (2, 0)),
]
FEW = [((33,), (33,)), ((3, 1), (4,)), ((), (3,)), ((0,), (1,))]

CASES = [
    *[
        one(name, a(*s, low=low, high=high), tolerance=4)
        for name, (low, high) in DOMAINS.items()
        for s in [(33,), (2, 3), (), (0,)]
    ],
    *[one("exp", a(n)) for n in SIZES],
    *[one(name, apart(*s)) for name in ("floor", "ceil", "trunc", "round", "sign") for s in [(33,), (), (0,)]],
    *[one(name, apart(4), strict=False) for name in ("conj", "real", "imag")],  # strict: complex numbers alone
    *[
        one(name, np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan]), grad=())
        for name in ("isfinite", "isinf", "isnan", "signbit")
    ],
    one("logical_not", np.array([True, False])),
    one("bitwise_invert", ints(7)),
    *[two(name, a(*s), a(*t)) for name in ("add", "subtract", "multiply") for s, t in BROADCAST],
    *[two("add", a(n), a(n)) for n in SIZES],
    *[
        two(name, a(*s), a(*t, low=0.5))
        for name in ("divide", "atan2", "hypot", "logaddexp", "copysign")
        for s, t in FEW
    ],
    *[two(name, a(*s), a(*t)) for name in ("maximum", "minimum") for s, t in FEW],
    *[two("pow", a(*s, low=0.3), a(*t)) for s, t in BROADCAST],
    *[two(name, apart(*s), np.ones(t)) for name in ("floor_divide", "remainder") for s, t in FEW],
    # Python numbers on either side
    *[
        two(name, x, 1.5)
        for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "pow")
        for x in [a(5, low=0.5)]
    ],
    *[
        two(name, 1.5, x)
        for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "pow")
        for x in [a(5, low=0.5)]
    ],
    *[two("pow", a(5), n) for n in (0, 1, 2, 3, -1)],
    two("remainder", apart(5), 1.0),
    two("floor_divide", apart(5), 1.0),
    # integers
    *[
        two(name, ints(9), ints(9, low=1))
        for name in ("add", "subtract", "multiply", "floor_divide", "remainder", "maximum", "minimum")
    ],
    *[two(name, ints(4), 3) for name in ("add", "multiply", "floor_divide", "remainder")],
    two("pow", ints(5), ints(5, low=0, high=4)),
    *[two(name, ints(9), ints(9)) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")],
    *[two(name, ints(9), ints(9, low=0, high=5)) for name in ("bitwise_left_shift", "bitwise_right_shift")],
    # comparisons and logic
    *[
        two(name, np.array([1.0, 2.0, 3.0, np.nan]), np.array([2.0, 2.0, 2.0, np.nan]), grad=())
        for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
    ],
    *[
        two(name, np.array([True, True, False, False]), np.array([True, False, True, False]))
        for name in ("logical_and", "logical_or", "logical_xor")
    ],
    Case(
        elementwise.nextafter, (np.array([1.0, -1.0, 0.0]), np.array([2.0, 2.0, -1.0])), lambda x, y: x, label=" close"
    ),
    # clip: bounds absent, numbers, arrays that broadcast
    *[
        Case(elementwise.clip, (a(33), low, high), np.clip)
        for low, high in [(-1.0, 1.0), (None, 0.5), (-0.5, None), (None, None), (-1, 1)]
    ],
    Case(elementwise.clip, (a(3, 4), a(4, low=-1, high=-0.5), a(3, 1, low=0.5, high=1)), np.clip),
    Case(elementwise.clip, (a(), -1.0, 1.0), np.clip),
    Case(elementwise.clip, (ints(9), -3, 3), np.clip),
]
test_primitive = harness.over(CASES)


def slopes(f, *values):
    """df/dx of a function of scalars, for each of them."""
    return tuple(g.item() for g in weft.grad(f, range(len(values)))(*[weft.tensor(float(v)) for v in values]))


class TestKinks:
    """Where the derivative does not exist: PyTorch's choice."""

    def test_equal_arguments_share_the_gradient(self):
        assert slopes(weft.maximum, 1, 1) == (0.5, 0.5)
        assert slopes(weft.minimum, 1, 1) == (0.5, 0.5)
        assert slopes(weft.maximum, 2, 1) == (1.0, 0.0)
        assert slopes(weft.minimum, 2, 1) == (0.0, 1.0)

    def test_abs_and_sign(self):
        assert slopes(weft.abs, 0) == (0.0,)
        assert slopes(weft.abs, -3) == (-1.0,)
        assert slopes(weft.sign, 0) == (0.0,)

    def test_nextafter(self):
        assert slopes(weft.nextafter, 1, 2) == (1.0, 0.0)
        assert slopes(weft.nextafter, 1, 1) == (0.0, 0.0)

    @pytest.mark.filterwarnings("ignore:divide by zero")
    def test_division_by_a_python_zero(self):
        assert slopes(lambda x: x / 0, 2) == (np.inf,)
        assert slopes(lambda x: x / -0.0, 2) == (-np.inf,)

    def test_angle_at_the_origin(self):
        assert slopes(weft.atan2, 0, 0) == (0.0, 0.0)

    def test_clip_passes_the_gradient_at_its_edges(self):
        x = weft.tensor([-2.0, -1.0, 0.0, 1.0, 2.0], requires_grad=True)
        weft.clip(x, -1, 1).sum().backward()
        assert x.grad.tolist() == [0, 1, 1, 1, 0]

    def test_clip_bounds_get_the_gradient_of_what_they_limit(self):
        x, low, high = (weft.tensor(v, requires_grad=True) for v in ([-2.0, 0.0, 5.0, 7.0], -1.0, 1.0))
        weft.clip(x, low, high).sum().backward()
        assert (low.grad.item(), high.grad.item()) == (1.0, 2.0)

    def test_clip_between_bounds_that_cross_is_the_upper_one(self):
        x, low, high = (weft.tensor(v, requires_grad=True) for v in ([-2.0, 0.0, 1.5, 7.0], 2.0, 1.0))
        y = weft.clip(x, low, high)
        y.sum().backward()
        assert y.tolist() == [1.0] * 4
        assert (x.grad.tolist(), low.grad.item(), high.grad.item()) == ([0.0] * 4, 0.0, 4.0)

    @pytest.mark.parametrize(
        ("base", "exponent", "expected"),
        [(0, 0, (0, 0)), (0, 2, (0, 0)), (0, 1, (1, 0)), (-2, 2, (-4, 0)), (-2, 3, (12, 0))],
    )
    def test_pow_at_zero_and_of_negative_numbers(self, base, exponent, expected):
        assert slopes(weft.pow, base, exponent) == expected
        assert slopes(lambda x: x**exponent, base) == expected[:1]

    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    def test_exponents_of_zero(self, device):
        """y ↦ 0ʸ is +∞ below 0, 1 at 0 and 0 above: it falls without bound, then not at all. PyTorch's values."""
        for base in (0.0, weft.zeros(4, device=device), weft.zeros((), device=device)):
            y = weft.asarray(np.float32([-2, -0.5, 0, 3]), device=device).requires_grad_()
            with np.errstate(divide="ignore"):
                (base**y).backward(weft.ones(4, device=device))
            assert y.grad.tolist() == [-np.inf, -np.inf, 0, 0]


class TestOrigin:
    """Where a distance or an angle has no derivative it counts as 0, as a norm's does, and there is none beyond the floats."""

    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    def test_hypot(self, device):
        a, b = np.array([0, -0.0, 0, 3, 1e-30, 1e30]), np.array([0, 0, 2, -4, 1e-30, 1e30])
        x, y = (weft.asarray(v.astype(np.float32), device=device).requires_grad_() for v in (a, b))
        h = weft.hypot(x, y)
        np.testing.assert_allclose(h.detach().numpy(), np.hypot(a, b), rtol=1e-6)
        h.sum().backward()
        half = 2**-0.5
        np.testing.assert_allclose(x.grad.numpy(), [0, 0, 0, 0.6, half, half], rtol=1e-6)
        np.testing.assert_allclose(y.grad.numpy(), [0, 0, 1, -0.8, half, half], rtol=1e-6)

    def test_hypot_twice(self):
        def slope(x):
            return weft.grad(lambda x: weft.hypot(x, x * 0 + 4.0))(x)

        np.testing.assert_allclose(weft.grad(slope)(weft.tensor(3.0, dtype=weft.float64)).item(), 16 / 125)

    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    def test_atan2(self, device):
        a, b = np.array([0, 3, 1e-30, 1e30, 1e-30]), np.array([0, 4, 1e-30, 1e30, 0])
        x, y = (weft.asarray(v.astype(np.float32), device=device).requires_grad_() for v in (a, b))
        weft.atan2(x, y).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), [0, 4 / 25, 5e29, 5e-31, 0], rtol=1e-6)
        np.testing.assert_allclose(y.grad.numpy(), [0, -3 / 25, -5e29, -5e-31, -1e30], rtol=1e-6)


class TestDtypes:
    @pytest.mark.parametrize(
        "name", ["add", "subtract", "multiply", "divide", "maximum", "pow", "atan2", "hypot", "logaddexp"]
    )
    def test_each_gradient_has_the_dtype_of_its_argument(self, name):
        x = weft.asarray(np.full(3, 0.5, np.float32)).requires_grad_()
        y = weft.asarray(np.full((2, 1), 0.7)).requires_grad_()
        z = getattr(weft, name)(x, y)
        assert z.dtype == weft.float64
        z.sum().backward()
        assert (x.grad.dtype, x.grad.shape) == (weft.float32, (3,))
        assert (y.grad.dtype, y.grad.shape) == (weft.float64, (2, 1))

    def test_float_and_integer_tensors(self):
        x = weft.tensor([1.0, 2.0], dtype=weft.float64, requires_grad=True)
        weft.multiply(x, weft.tensor([2, 3])).sum().backward()
        assert x.grad.tolist() == [2, 3]
        assert x.grad.dtype == weft.float64

    @pytest.mark.parametrize("name", ["exp", "log", "sqrt", "sin", "reciprocal", "atan2", "divide", "hypot"])
    def test_integers_become_float32_where_the_function_leaves_them(self, name):
        x = weft.tensor([1, 2, 3])
        args = (x, x) if name in ("atan2", "divide", "hypot") else (x,)
        assert getattr(weft, name)(*args).dtype == weft.float32

    @pytest.mark.parametrize("name", ["abs", "negative", "floor", "ceil", "round", "trunc", "sign", "square"])
    def test_integers_stay_where_the_function_does_not(self, name):
        assert getattr(weft, name)(weft.tensor([1, 2, 3])).dtype == weft.int64

    def test_half_precision_stays_half(self):
        x = weft.ones(3, dtype=weft.float16, requires_grad=True)
        y = weft.exp(x * 2.5 + 1) / 3
        assert y.dtype == weft.float16
        y.sum().backward()
        assert x.grad.dtype == weft.float16


def test_special_values():
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0])
    with np.errstate(all="ignore"):
        for name in ("exp", "expm1", "sqrt", "sin", "tanh", "atan", "abs", "sign", "floor"):
            np.testing.assert_array_equal(
                getattr(weft, name)(weft.asarray(x)).numpy(), (NUMPY.get(name) or getattr(np, name))(x)
            )
        np.testing.assert_array_equal(
            weft.logaddexp(weft.asarray(x), weft.asarray(x[::-1].copy())).numpy(), np.logaddexp(x, x[::-1])
        )


def test_derivatives_of_complex_steps():
    """f'(x) = Im f(x + ih)/h cancels nothing: the derivatives' formulas to full precision."""
    for name, (low, high) in DOMAINS.items():
        if name == "abs":
            continue
        x, f = a(5, low=low, high=high), getattr(weft, name)
        expected = (NUMPY.get(name) or getattr(np, name))(x + 1e-30j).imag / 1e-30
        got = weft.grad(lambda x, f=f: f(x).sum())(weft.asarray(x)).numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-13, err_msg=name)


def test_nothing_is_kept_for_a_sum():
    """Residual connections are sums: their operands must not stay in memory until the backward pass."""
    for name in ("add", "subtract"):
        out = getattr(elementwise, name).generic(np, np.ones(3), np.ones(3))
        assert all(f.__closure__ is None for f in out[1] if hasattr(f, "__closure__")), name


def test_nextafter():
    x = weft.asarray(np.float32([1.0, 0.0, -math.inf]))
    got = weft.nextafter(x, weft.asarray(np.float32([2.0, -1.0, 0.0]))).numpy()
    np.testing.assert_array_equal(got, np.nextafter(np.float32([1, 0, -np.inf]), np.float32([2, -1, 0])))


def test_devices_must_agree():
    with pytest.raises(
        ValueError, match=r"`add` needs tensors on one device, got cpu and strict; move one with \.to\(\)"
    ):
        weft.add(weft.ones(2), weft.ones(2, device="strict"))


def test_conj_of_booleans_is_boolean():
    x = weft.asarray([True, False])
    y = weft.conj(x)
    assert (y.dtype, y.tolist()) == (weft.bool, [True, False])
    assert not np.shares_memory(x.data, y.data)
