"""Against NumPy in float64; derivatives by central differences; ties, zeros, empty axes and infinities one by one."""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.array import reductions

rng = np.random.default_rng(0)
SIZES = (1, 31, 32, 33, 1025)
FORMS = [
    (None, False),
    (None, True),
    (0, False),
    (-1, True),
    ((0, 2), False),
    ((-1, 0), True),
    (1, False),
    ((), False),
    ((1,), True),
]


def a(*shape):
    return np.asarray(rng.standard_normal(shape))


def case(name, x, reference=None, label="", **static):
    shown = " ".join(f"{k}={v}" for k, v in static.items()).replace(" ", "")
    kwargs = {k: static.pop(k) for k in ("strict", "nested", "tolerance", "grad") if k in static}
    return Case(
        getattr(reductions, name), (x,), reference or getattr(np, name), static, label=f" {shown}{label}", **kwargs
    )


def logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def variance(x, axis=None, correction=0.0, keepdims=False):
    return np.var(x, axis=axis, ddof=correction, keepdims=keepdims)


def deviation(x, axis=None, correction=0.0, keepdims=False):
    return np.std(x, axis=axis, ddof=correction, keepdims=keepdims)


def cumulative(f, first):
    def reference(x, axis=0, include_initial=False):
        y = f(x, axis=axis)
        start = np.full([1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)], first)
        return np.concatenate([start, y], axis=axis) if include_initial else y

    return reference


cumsum, cumprod = cumulative(np.cumsum, 0.0), cumulative(np.cumprod, 1.0)
REFERENCES = {"logsumexp": logsumexp, "var": variance, "std": deviation}
zeros_in = np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 5.0], [1.0, 2.0, 3.0]])

CASES = [
    *[
        case(name, a(3, 4, 5), REFERENCES.get(name), axis=axis, keepdims=keepdims)
        for name in ("sum", "mean", "prod", "max", "min", "logsumexp", "var")
        for axis, keepdims in FORMS
    ],
    *[
        case("std", a(3, 4, 5), deviation, axis=axis, keepdims=keepdims)
        for axis, keepdims in FORMS
        if axis not in ((), (1,))
    ],
    *[case(name, a(n), REFERENCES.get(name)) for name in ("sum", "mean", "max", "logsumexp", "var") for n in SIZES],
    *[case(name, a(), REFERENCES.get(name)) for name in ("sum", "mean", "prod", "max", "min", "logsumexp")],
    *[
        case(name, a(4, 5), REFERENCES[name], axis=axis, correction=1.0)
        for name in ("var", "std")
        for axis in (None, 0)
    ],
    *[
        case(name, a(*s), axis=axis)
        for name in ("sum", "prod")
        for s, axis in [((0,), None), ((0, 3), 0), ((3, 0), 1), ((0, 3), 1), ((0, 3), None)]
    ],
    *[case(name, a(0, 3), REFERENCES.get(name), axis=1) for name in ("mean", "max", "min", "logsumexp", "var")],
    case("sum", a(2, 3).T, axis=0, keepdims=True),
    # zeros: one in a product leaves one other element with a gradient, two leave none
    *[case("prod", zeros_in, axis=axis) for axis in (None, 0, 1)],
    *[case("cumulative_prod", zeros_in, cumprod, axis=axis) for axis in (0, 1)],
    *[
        case(name, a(3, 4), f, axis=axis, include_initial=first)
        for name, f in (("cumulative_sum", cumsum), ("cumulative_prod", cumprod))
        for axis in (0, 1, -1)
        for first in (False, True)
    ],
    *[case("cumulative_sum", a(n), cumsum) for n in (0, *SIZES)],
    *[case("cumulative_prod", a(n), cumprod) for n in (0, 1, 33)],
    # integers
    *[
        case(name, rng.integers(-5, 5, (3, 4)), axis=axis)
        for name in ("sum", "prod", "max", "min")
        for axis in (None, 1)
    ],
    case("cumulative_sum", rng.integers(-5, 5, (3, 4)), cumsum, axis=1),
    case("max", np.array([True, False]), strict=False),  # the standard has no order for booleans
    # positions and truth
    *[
        case(name, a(3, 4), axis=axis, keepdims=keepdims, grad=())
        for name in ("argmax", "argmin")
        for axis in (None, 0, -1)
        for keepdims in (False, True)
    ],
    case("argmax", np.array([1.0, 3.0, 3.0]), grad=()),
    case("argmin", np.array([1, 0, 0])),
    *[
        case(name, rng.integers(0, 2, (2, 3, 2)) > 0, axis=axis, keepdims=keepdims)
        for name in ("all", "any")
        for axis, keepdims in FORMS
    ],
    *[case(name, np.zeros((0, 2)), axis=0, grad=()) for name in ("all", "any")],
    *[case("count_nonzero", zeros_in, axis=axis, grad=()) for axis in (None, 0, (0, 1))],
]
test_primitive = harness.over(CASES)


def gradient(f, x):
    return weft.grad(lambda x: f(x).sum())(weft.asarray(np.asarray(x, dtype=float))).tolist()


class TestTies:
    """Equal extremes share the gradient, so that its sum is the same as without ties."""

    def test_all_equal(self):
        assert gradient(weft.max, [2, 2, 2, 2]) == [0.25] * 4

    def test_some_equal(self):
        assert gradient(weft.max, [1, 3, 3]) == [0, 0.5, 0.5]
        assert gradient(weft.min, [1, 3, 1]) == [0.5, 0, 0.5]

    def test_along_an_axis(self):
        assert gradient(lambda x: weft.max(x, axis=1), [[1, 1], [0, 2]]) == [[0.5, 0.5], [0, 1]]


class TestProducts:
    def test_zeros(self):
        assert gradient(weft.prod, [2, 0, 3]) == [0, 6, 0]
        assert gradient(weft.prod, [0, 0, 3]) == [0, 0, 0]
        assert gradient(weft.cumulative_prod, [2, 0, 3]) == [1, 2 + 6, 0]

    def test_second_derivative_at_zero(self):
        hessian_row = weft.grad(lambda x: weft.grad(weft.prod)(x)[0])(weft.asarray(np.array([0.0, 0.0, 3.0])))
        assert hessian_row.tolist() == [0, 3, 0]


class TestExtremes:
    def test_logsumexp_does_not_overflow(self):
        x = weft.tensor([1000.0, 1000.0])
        assert weft.logsumexp(x).item() == pytest.approx(1000 + np.log(2))
        assert weft.logsumexp(-x).item() == pytest.approx(-1000 + np.log(2))

    def test_logsumexp_of_infinities(self):
        with np.errstate(divide="ignore"):
            assert weft.logsumexp(weft.tensor([-np.inf, -np.inf])).item() == -np.inf
        assert weft.logsumexp(weft.tensor([-np.inf, 1.0])).item() == 1.0
        assert weft.logsumexp(weft.tensor([np.inf, 1.0])).item() == np.inf
        assert gradient(weft.logsumexp, [-np.inf, 1.0]) == [0, 1]

    def test_deviation_of_equal_numbers(self):
        assert gradient(weft.std, [2, 2, 2]) == [0, 0, 0]

    def test_nan_goes_through(self):
        x = weft.tensor([1.0, np.nan])
        assert all(np.isnan(f(x).item()) for f in (weft.max, weft.min, weft.sum, weft.mean, weft.logsumexp))

    def test_empty_axes(self):
        assert np.isnan(weft.mean(weft.zeros(0)).item())
        assert np.isnan(weft.mean(weft.zeros((2, 0)), axis=1).numpy()).all()
        with pytest.raises(ValueError, match="zero-size"):
            weft.max(weft.zeros(0))

    def test_long_float32_sums_do_not_drift(self):
        n = 1 << 20
        assert weft.full(n, 0.1).sum().item() == pytest.approx(n * np.float64(np.float32(0.1)), rel=1e-6)
        assert weft.mean(weft.full(n, 0.1)).item() == pytest.approx(np.float64(np.float32(0.1)), rel=1e-6)


class TestDtypes:
    def test_integers_are_averaged_as_float32(self):
        for f in (weft.mean, weft.std, weft.var, weft.logsumexp):
            assert f(weft.tensor([1, 2, 4])).dtype == weft.float32
        assert weft.mean(weft.tensor([1, 2])).item() == 1.5

    def test_dtype_argument(self):
        x = weft.ones(3, requires_grad=True)
        y = weft.sum(x, dtype=weft.float64)
        assert y.dtype == weft.float64
        y.backward()
        assert x.grad.dtype == weft.float32
        assert weft.sum(weft.tensor([True, True])).item() == 2
        assert weft.prod(weft.ones(2, dtype=weft.int32), dtype=weft.float32).dtype == weft.float32
        assert weft.cumulative_sum(x, dtype=weft.float64).dtype == weft.float64

    def test_half_precision(self):
        x = weft.full(4096, 1.0, dtype=weft.float16).requires_grad_()
        y = weft.mean(x)
        assert (y.dtype, y.item()) == (weft.float16, 1.0)
        y.backward()
        assert x.grad.dtype == weft.float16


class TestGradientMemory:
    def test_of_sum_is_not_materialised(self):
        """The gradient of a sum repeats one number: no memory in the input's size."""
        (pull,) = reductions.sum.impls["cpu"](np.ones((4, 5), np.float32), axis=1)[1]
        assert pull(np.ones(4, np.float32)).strides == (4, 0)


class TestDiff:
    @pytest.mark.parametrize("n", [0, 1, 2])
    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_against_numpy(self, n, axis):
        x = a(3, 4)
        np.testing.assert_allclose(weft.diff(weft.asarray(x), axis=axis, n=n).numpy(), np.diff(x, n=n, axis=axis))

    def test_prepend_append_and_booleans(self):
        x = np.array([1.0, 4.0, 9.0])
        got = weft.diff(weft.asarray(x), prepend=weft.asarray(np.zeros(1)), append=weft.asarray(np.ones(2)))
        np.testing.assert_array_equal(got.numpy(), np.diff(x, prepend=0, append=[1, 1]))
        assert weft.diff(weft.tensor([True, True, False])).tolist() == [False, True]

    def test_gradient(self):
        assert gradient(lambda x: weft.diff(x) ** 2, [1, 3, 4]) == [-4, 2, 2]


class TestErrors:
    def test_axis(self):
        for f in (weft.sum, weft.max, weft.mean, weft.argmax):
            with pytest.raises((ValueError, IndexError), match="axis"):
                f(weft.ones((2, 3)), axis=2)

    def test_cumulative_needs_an_axis(self):
        with pytest.raises(ValueError, match="`cumulative_sum` needs `axis` for an array with 2 axes"):
            weft.cumulative_sum(weft.ones((2, 2)))
        with pytest.raises(IndexError, match=r"`axis` must be in \[-2, 2\), got 2"):
            weft.cumulative_prod(weft.ones((2, 2)), axis=2)

    def test_not_a_tensor(self):
        with pytest.raises(TypeError, match=r"`sum` needs a weft.Tensor \(weft.asarray makes one\), got str"):
            weft.sum("12")


def test_of_nothing_and_of_one():
    """torch.logsumexp of no elements is −∞; the gradient of a variance with no degrees of freedom is NaN."""
    x = weft.zeros((0, 3), requires_grad=True)
    y = x.logsumexp(dim=0)
    assert y.tolist() == [-np.inf] * 3
    y.backward(weft.ones(3))
    assert x.grad.shape == (0, 3)
    assert weft.logsumexp(x, axis=1).shape == (0,)
    one = weft.tensor([2.0], requires_grad=True)
    weft.var(one, correction=1).backward()
    assert np.isnan(one.grad.item())
    weft.var(x, correction=1).backward()
