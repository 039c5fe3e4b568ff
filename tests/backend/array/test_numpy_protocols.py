"""NumPy's functions on Tensors: its own results are the reference; a gradient is kept, or there is an error."""

import math
import operator

import numpy as np
import pytest

import weft
from weft.backend.array.numpy_protocols import SAME

A, B = np.array([0.5, 0.25], np.float32), np.array([0.75, 0.125], np.float32)
INTEGERS = {"bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift", "bitwise_invert"}
LOSES = r"would lose the gradient of a tensor that requires grad: "


@pytest.fixture(params=["cpu", "emulator"])
def device(request):
    if request.param not in weft.devices():
        pytest.skip("the emulator needs a C++ compiler")
    return request.param


def on(device, x, **options):
    return weft.tensor(x, device=device, **options)


class TestUfuncs:
    @pytest.mark.parametrize("ufunc", SAME, ids=lambda u: u.__name__)
    def test_is_weft_s(self, ufunc, device):
        given = [A + (ufunc is np.acosh), B][: ufunc.nin]
        if SAME[ufunc].__name__ in INTEGERS:
            given = [np.array([6, 3]), np.array([1, 2])][: ufunc.nin]
        expected = ufunc(*given)
        for operands in ([on(device, x) for x in given], [on(device, given[0]), *given[1:]]):
            found = ufunc(*operands)
            assert isinstance(found, weft.Tensor)
            assert found.device == device
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
        if ufunc.nin == 2:
            np.testing.assert_allclose(ufunc(given[0], on(device, given[1])).numpy(), expected, rtol=1e-6)

    def test_gradients(self, device):
        x = on(device, A, requires_grad=True)
        (np.sin(x) + np.multiply(B, x) + B * x + np.float64(3) * x + B @ x).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), np.cos(A) + 2 * B + 3 + 2 * B, rtol=1e-6)

    def test_no_other_is_missing(self):
        for name in ("add", "sin", "acos", "arctan2", "matmul", "power", "absolute", "invert", "hypot", "isnan"):
            assert getattr(np, name) in SAME

    @pytest.mark.parametrize("f", [np.cbrt, np.add.reduce, np.modf, lambda x: np.add(x, B, dtype=np.float64)])
    def test_what_numpy_alone_has(self, f, device):
        expected, found = f(A), f(on(device, A))
        for e, t in zip(expected, found) if isinstance(expected, tuple) else [(expected, found)]:
            assert isinstance(t, weft.Tensor)
            assert t.device == device
            np.testing.assert_allclose(t.numpy(), e)
        with pytest.raises(RuntimeError, match=LOSES + r"use .* on Tensors alone, or .detach\(\)"):
            f(on(device, A, requires_grad=True))


class TestInPlace:
    @pytest.mark.parametrize("name", ["iadd", "isub", "imul", "itruediv", "ipow"])
    def test_arrays_of_numpy(self, name, device):
        a, b = A.copy(), A.copy()
        alias = a
        a = getattr(operator, name)(a, on(device, B))
        assert a is alias
        np.testing.assert_array_equal(a, getattr(operator, name)(b, B))
        with pytest.raises(RuntimeError, match=r"`np\.\w+`, called so, " + LOSES + r"use weft\.\w+ or an operator"):
            getattr(operator, name)(a, on(device, B, requires_grad=True))
        np.testing.assert_array_equal(a, b)

    def test_out_and_at(self, device):
        out, i = np.zeros(2, np.float32), on(device, [0, 0])
        assert np.sin(on(device, A), out=out) is out
        np.testing.assert_array_equal(out, np.sin(A))
        np.add.at(out, i, 1.0)
        np.testing.assert_allclose(out, np.sin(A) + [2, 0], rtol=1e-6)
        t = on(device, A)
        for write in (lambda: np.sin(A, out=t), lambda: np.add.at(t, [0], 1.0)):
            with pytest.raises(
                TypeError,
                match=r"`np\.(sin|add)` writes to arrays of NumPy, got a Tensor to write to; write x\[...\] = weft",
            ):
                write()  # fmt: skip

    def test_elements(self, device):
        a = np.zeros((2, 2), np.float32)
        a[0], a[1, 0] = on(device, A), on(device, A)[0]
        assert a.tolist() == [[0.5, 0.25], [0.5, 0]]
        with pytest.raises(RuntimeError, match=LOSES):
            a[0] = on(device, A, requires_grad=True)


def raw(device):
    return weft.zeros(2, device=device).data


class TestOperators:
    @pytest.mark.parametrize(
        "name", ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "lt", "le", "gt", "ge", "eq", "ne"]
    )
    @pytest.mark.parametrize(
        "left", [A, A[0], np.float64(2), np.int64(2)], ids=["array", "float32", "float64", "int64"]
    )
    def test_with_numpy_on_the_left(self, name, left, device):
        if name == "matmul" and np.ndim(left) == 0:
            pytest.skip("no product of matrices")
        f, t = getattr(operator, name), on(device, B)
        found = f(left, t)
        assert isinstance(found, weft.Tensor)
        assert found.device == device
        assert found.dtype == (bool if name in ("lt", "le", "gt", "ge", "eq", "ne") else np.float32)
        np.testing.assert_allclose(found.numpy(), f(left, B), rtol=1e-6)

    def test_with_raw_arrays_of_the_device(self, device):
        found = raw(device) + on(device, A)
        assert isinstance(found, weft.Tensor)
        assert (found.device, found.tolist()) == (device, A.tolist())


class TestFunctions:
    """NumPy's other functions ask for an array, or for a method."""

    @pytest.mark.parametrize(
        "f",
        [np.asarray, np.copy, lambda x: np.stack([x, x]), lambda x: np.concatenate([x, A]), lambda x: np.where(A > 0.3, x, 0),
         lambda x: np.array([x[0], x[1]]), np.cumsum, np.argsort, lambda x: np.dot(x, B), np.linalg.norm,
         lambda x: np.clip(x, 0, 0.3), lambda x: np.histogram(x, 2)[0]],
    )  # fmt: skip
    def test_values(self, f, device):
        np.testing.assert_array_equal(f(on(device, A)), f(A))
        with pytest.raises(
            RuntimeError, match=r"`__array__` " + LOSES + r"call .detach\(\).numpy\(\), or a function of weft"
        ):
            f(on(device, A, requires_grad=True))

    @pytest.mark.parametrize(
        "f", [np.sum, np.mean, np.std, np.var, np.max, np.prod, lambda x: np.std(x, axis=0, ddof=1), np.squeeze]
    )
    def test_methods(self, f, device):
        x = on(device, A, requires_grad=True)
        found = f(x)
        np.testing.assert_allclose(found.detach().numpy(), f(A), rtol=1e-6)
        assert found.requires_grad

    def test_comparisons(self, device):
        x = on(device, A, requires_grad=True)
        for f in (np.array_equal, np.array_equiv):
            assert f(x, A)
            assert f(x, x)
            assert not f(B, x)
        assert np.allclose(x.detach(), A)

    def test_properties(self, device):
        x = on(device, A, requires_grad=True)
        assert (np.shape(x), np.ndim(x), np.size(x)) == ((2,), 1, 2)


class TestPython:
    """What Python and its library make of a Tensor: numbers where there is one element, and values to iterate over."""

    def test_numbers(self, device):
        x = on(device, 2.5, requires_grad=True)
        assert math.exp(x) == math.exp(2.5)
        assert (math.floor(x), math.isnan(x), int(x), complex(x), f"{x:.2f}") == (2, False, 2, 2.5, "2.50")
        with pytest.raises(TypeError, match=r"`float` needs exactly one element, got shape \(2,\)"):
            math.exp(on(device, A))

    def test_sequences(self, device):
        x = on(device, A, requires_grad=True)
        assert len(x) == 2
        assert [t.item() for t in x] == [t.item() for t in reversed(list(reversed(x)))] == A.tolist()
        (sum(x) + max(x) * 2).backward()
        assert x.grad.tolist() == [3, 1]
        assert round(x, 1).tolist() == pytest.approx([0.5, 0.2])
        assert 0.25 in x


class TestPlots:
    @pytest.fixture
    def plt(self):
        matplotlib = pytest.importorskip("matplotlib")
        matplotlib.use("Agg")
        from matplotlib import pyplot

        yield pyplot
        pyplot.close("all")

    def test_values(self, plt, device):
        x = on(device, A)
        (line,) = plt.plot(x, x)
        np.testing.assert_array_equal(line.get_xydata(), np.stack([A, A], axis=1))
        assert plt.hist(x, bins=2)[0].tolist() == [1, 1]
        np.testing.assert_array_equal(plt.scatter(x, x).get_offsets(), np.stack([A, A], axis=1))
        assert [bar.get_height() for bar in plt.bar(range(2), x)] == A.tolist()

    def test_that_require_grad(self, plt, device):
        x = on(device, A, requires_grad=True) * 1
        for draw in (plt.plot, plt.hist, lambda x: plt.scatter(x, x), lambda x: plt.bar(range(2), x)):
            with pytest.raises(RuntimeError, match=r"call .detach\(\)"):
                draw(x)
