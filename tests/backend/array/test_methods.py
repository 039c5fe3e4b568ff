"""Operators, indexing and methods of Tensor: against the functions they stand for, NumPy, and (in words) PyTorch."""

import operator

import array_api_strict
import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft

rng = np.random.default_rng(0)
X, Y = rng.uniform(0.5, 2, (3, 4)), rng.uniform(0.5, 2, (3, 4))
ARITHMETIC = {
    operator.add: weft.add,
    operator.sub: weft.subtract,
    operator.mul: weft.multiply,
    operator.truediv: weft.divide,
    operator.floordiv: weft.floor_divide,
    operator.mod: weft.remainder,
    operator.pow: weft.pow,
}
COMPARISONS = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)
INPLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    operator.ipow: operator.pow,
    operator.ifloordiv: operator.floordiv,
    operator.imod: operator.mod,
}


def tracked(x=X):
    return weft.asarray(np.array(x, dtype=float)).requires_grad_()


def same(got, expected):
    assert isinstance(got, weft.Tensor)
    np.testing.assert_array_equal(got.detach().numpy(), expected)


class TestOperators:
    @pytest.mark.parametrize("op", [*ARITHMETIC, *COMPARISONS])
    def test_tensors_numbers_and_arrays_on_either_side(self, op):
        t, u = weft.asarray(X), weft.asarray(Y)
        same(op(t, u), op(X, Y))
        for other in (2, 1.5, True, np.float64(1.5), np.float32(0.5), np.int64(3), np.array(1.5), Y, Y[0]):
            same(op(t, other), op(X, np.asarray(other)))
            same(op(other, t), op(np.asarray(other), X))

    def test_unary(self):
        t = weft.asarray(X - 1)
        same(-t, 1 - X)
        same(+t, X - 1)
        same(abs(t), abs(X - 1))
        same(~weft.tensor([True, False]), [False, True])

    def test_bits(self):
        a, b = np.array([6, 5]), np.array([3, 1])
        for op in (operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift):
            same(op(weft.asarray(a), weft.asarray(b)), op(a, b))
            same(op(7, weft.asarray(b)), op(7, b))
            x = weft.tensor(a)
            x = getattr(operator, "i" + op.__name__.strip("_"))(x, 1)
            same(x, op(a, 1))

    def test_matmul(self):
        same(weft.asarray(X) @ weft.asarray(Y.T.copy()), X @ Y.T)
        same(X @ weft.asarray(Y.T.copy()), X @ Y.T)

    @pytest.mark.parametrize("op", ARITHMETIC)
    def test_gradients_are_the_functions(self, op):
        if op in (operator.floordiv, operator.mod):
            return
        a, b = tracked(X), tracked(Y)
        op(a, b).sum().backward()
        c, d = tracked(X), tracked(Y)
        ARITHMETIC[op](c, d).sum().backward()
        assert a.grad.tolist() == c.grad.tolist()
        assert b.grad.tolist() == d.grad.tolist()
        e = tracked(X)
        op(2.0, e).sum().backward()
        assert np.isfinite(e.grad.numpy()).all()

    def test_numpy_scalars_do_not_promote(self):
        t = weft.ones(3)
        for made in (
            np.float64(2) * t,
            t * np.float64(2),
            np.float64(2) - t,
            t / np.float64(3),
            t ** np.int64(2),
            np.float64(1) + t,
        ):
            assert type(made) is weft.Tensor
            assert made.dtype == weft.float32

    def test_integers_with_floats_are_float32(self):
        t = weft.tensor([1, 2])
        for made in (t * 0.5, 0.5 * t, t / 2, 2 / t, t + 1.5, t**0.5, t - np.float64(0.5)):
            assert made.dtype == weft.float32
        assert (t * 2).dtype == weft.int64
        assert (weft.tensor([True]) * 0.5).dtype == weft.float32
        assert (weft.ones(2, dtype=weft.float16) * 2.5).dtype == weft.float16

    def test_what_is_no_number(self):
        for other in ("a", [1, 2, 3], object()):
            with pytest.raises(TypeError, match="unsupported operand"):
                weft.ones(3) + other
        assert (weft.ones(3) == None) is False  # noqa: E711
        assert (weft.ones(3) != "a") is True

    def test_strict_devices(self):
        """Arrays of NumPy go to where the tensor is; tensors and arrays of other libraries stay where they are."""
        s, raw = weft.ones(3, device="strict"), array_api_strict.ones(3, dtype=array_api_strict.float32)
        assert (s + np.ones(3, np.float32)).device == "strict"
        assert (np.ones(3, np.float32) * s).device == "strict"
        assert (s + raw).tolist() == [2, 2, 2]
        for mixed in (lambda: s + weft.ones(3), lambda: weft.ones(3) * s, lambda: weft.ones(3) + raw):
            with pytest.raises(ValueError, match="needs tensors on one device"):
                mixed()


class TestInPlace:
    @pytest.mark.parametrize("op", INPLACE)
    def test_writes_to_memory_where_nothing_is_recorded(self, op):
        raw = X.copy()
        t = weft.asarray(raw)
        u = t
        t = op(t, weft.asarray(Y))
        assert t is u
        assert t.data is raw
        np.testing.assert_array_equal(raw, INPLACE[op](X, Y))
        t = op(t, 2.0)
        assert t.data is raw

    def test_becomes_a_new_value_where_something_is(self):
        x = tracked([1, 2])
        y = x * 3
        before, z = y.data, y * 2
        y += x
        assert not np.shares_memory(y.data, before)
        y *= y
        (y.sum() + z.sum()).backward()  # (4x)² + 6x
        assert x.grad.tolist() == [32 + 6, 64 + 6]

    def test_recorded_onto_an_unrecorded_one(self):
        x, total = tracked([1, 2]), weft.zeros(2, dtype=weft.float64)
        for k in range(3):
            total += x * k
        total.sum().backward()
        assert x.grad.tolist() == [3, 3]

    def test_leaf(self):
        x = tracked([1, 2])
        for change in (
            lambda: operator.iadd(x, 1),
            lambda: operator.setitem(x, 0, 5.0),
            lambda: x.zero_(),
            lambda: x.copy_(x),
        ):
            with pytest.raises(
                RuntimeError, match=r"a leaf that requires grad cannot be changed in place .* use weft.no_grad\(\)"
            ):
                change()
        with weft.no_grad():
            raw = x.data
            x -= 0.5
            x[0] = 7.0
            x[1] += 1
        assert x.data is raw
        assert x.is_leaf
        assert x.tolist() == [7, 2.5]

    def test_what_the_tape_kept_is_protected(self):
        for change in (
            lambda c: operator.iadd(c, 100),
            lambda c: operator.setitem(c, 0, 100.0),
            lambda c: operator.setitem(c, 0, c[0] + 100),
            lambda c: operator.iadd(c[0], 100),
            lambda c: operator.setitem(c[:1], 0, 100.0),
            lambda c: c.fill_(100),
        ):
            x, c = tracked([1, 2]), weft.asarray(np.array([3.0, 4.0]))
            y = x * c
            change(c)
            y.sum().backward()
            assert x.grad.tolist() == [3, 4]

    def test_element_of_a_result(self):
        x = tracked([1, 2])
        y = x * 2
        y[0] += x[1]
        y[1] *= 5
        y.sum().backward()
        assert x.grad.tolist() == [2, 11]

    def test_views_see_the_change(self):
        x = weft.zeros(4)
        view = x[1:3]
        view += 1
        x[3] = 5.0
        x[0] += 2
        assert x.tolist() == [2, 1, 1, 5]
        x[1:] += x[:-1]
        assert x.tolist() == [2, 3, 2, 6]

    def test_what_does_not_fit(self):
        x, n, y = weft.ones(3), weft.tensor([1, 2]), tracked([1, 2]) * 1
        with pytest.raises(
            ValueError, match=r"an in-place result of shape \(2, 3\) does not fit into \(3,\); write x = x … y"
        ):
            x += weft.ones((2, 3))
        with pytest.raises(
            TypeError, match="the result's dtype float64 does not fit in place into float32; write x = x … y"
        ):
            x += weft.ones(3, dtype=weft.float64)
        with pytest.raises(TypeError, match="dtype float32 does not fit in place into int64"):
            n += 0.5
        with pytest.raises(TypeError, match="dtype float32 does not fit in place into int64"):
            n /= 2
        with pytest.raises(ValueError, match=r"shape \(3, 2\) does not fit into \(2,\)"):
            y += weft.ones((3, 2), dtype=weft.float64)
        assert (x.tolist(), n.tolist(), y.shape) == ([1, 1, 1], [1, 2], (2,))

    def test_methods(self):
        x = weft.ones(3)
        raw = x.data
        assert x.fill_(2) is x
        x.copy_(weft.arange(3.0))
        assert x.tolist() == [0, 1, 2]
        assert x.zero_().tolist() == [0, 0, 0]
        assert x.data is raw


FUNCTIONS = {
    "abs acos acosh asin asinh atan atanh ceil clip conj cos cosh exp expm1 floor isfinite isinf isnan log log10 log1p "
    "log2 reciprocal round sign sin sinh sqrt square tan tanh trunc argsort sort": (),
    "all any argmax argmin count_nonzero max mean min prod std sum var logsumexp nonzero flip": (),
    "logical_and logical_or maximum minimum pow": (weft.asarray(Y),),
    "matmul": (weft.asarray(Y.T.copy()),),
    "cumulative_prod cumulative_sum": {"axis": 1},
    "repeat": (2,),
    "roll": (1,),
    "tile": ((2, 1),),
    "broadcast_to": ((2, 3, 4),),
    "astype": (weft.float32,),
    "logical_not": (),
}


class TestMethods:
    @pytest.mark.parametrize(("name", "extra"), [(n, e) for names, e in FUNCTIONS.items() for n in names.split()])
    def test_is_the_function(self, name, extra):
        data = (
            X / 4
            if name in ("acos", "asin", "atanh")
            else X + 1
            if name == "acosh"
            else X > 1
            if name.startswith("logical")
            else X
        )
        t = weft.asarray(data)
        if name.startswith("logical") and extra:
            extra = (weft.asarray(Y > 1),)
        args, kwargs = ((), extra) if isinstance(extra, dict) else (extra, {})
        got, expected = getattr(t, name)(*args, **kwargs), getattr(weft, name)(t, *args, **kwargs)
        for g, e in zip(
            got if isinstance(got, tuple) else (got,),
            expected if isinstance(expected, tuple) else (expected,),
            strict=True,
        ):
            assert g.dtype == e.dtype
            same(g, e.numpy())

    def test_take(self):
        t = weft.asarray(X)
        same(t.take(weft.tensor([0, 2]), axis=1), X[:, [0, 2]])
        same(t.take_along_axis(weft.argsort(t, axis=1), axis=1), np.sort(X, axis=1))

    def test_axis_may_be_positional(self):
        t = weft.asarray(X)
        for name in ("sum", "mean", "std", "var", "prod", "max", "min", "argmax", "argmin", "logsumexp"):
            same(getattr(t, name)(1), getattr(weft, name)(t, axis=1).numpy())
            same(getattr(t, name)(0, keepdims=True), getattr(weft, name)(t, axis=0, keepdims=True).numpy())
        same(t.sum((0, 1)), X.sum())
        assert t.var(correction=1).item() == pytest.approx(X.var(ddof=1))
        added = [line for line in weft.Tensor.sum.__doc__.splitlines() if line not in weft.sum.__doc__.splitlines()]
        assert [line.strip() for line in added][:1] == ["dim, keepdim : optional"]
        assert set(weft.sum.__doc__.splitlines()) <= set(weft.Tensor.sum.__doc__.splitlines())

    def test_shapes(self):
        t = weft.asarray(X)
        same(t.reshape(4, 3), X.reshape(4, 3))
        same(t.reshape((2, -1)), X.reshape(2, -1))
        same(t.view(-1), X.reshape(-1))
        same(t.view_as(weft.ones((4, 3))), X.reshape(4, 3))
        same(t.T, X.T)
        same(t.mT, X.T)
        same(t.transpose(0, 1), X.T)
        same(t.permute(1, 0), X.T)
        same(t.permute((-1, 0)), X.T)
        same(t.swapaxes(-1, -2), X.T)
        same(t.unsqueeze(1), X[:, None])
        same(t.unsqueeze(-1), X[..., None])
        same(t.unsqueeze(1).squeeze(), X)
        same(t.unsqueeze(1).squeeze(1), X)
        same(t.expand(2, -1, 4), np.broadcast_to(X, (2, 3, 4)))
        same(t[:1].expand((5, -1)), np.broadcast_to(X[:1], (5, 4)))
        with pytest.raises(ValueError, match=r"`T` is for matrices, got shape \(3, 4, 1\); use .mT"):
            _ = t.unsqueeze(-1).T

    def test_flatten(self):
        t = weft.ones((2, 3, 4, 5))
        assert t.flatten().shape == (120,)
        assert t.flatten(1).shape == (2, 60)
        assert t.flatten(1, 2).shape == (2, 12, 5)
        assert t.flatten(-2, -1).shape == (2, 3, 20)
        assert t.flatten(2, 2).shape == t.shape
        assert weft.ones(()).flatten().shape == (1,)
        assert weft.ones((0, 3)).flatten().shape == (0,)
        with pytest.raises(ValueError, match="`start_dim` must not come after `end_dim`, got 2 and 1 for 4 axes"):
            t.flatten(2, 1)

    def test_pieces(self):
        t = tracked(np.arange(10.0))
        assert [p.shape[0] for p in t.split(4)] == [4, 4, 2]
        assert [p.tolist() for p in t.split([1, 0, 9])][:2] == [[0], []]
        assert [p.shape[0] for p in t.chunk(3)] == [4, 4, 2]
        assert [p.shape for p in weft.asarray(X).split(2, dim=-1)] == [(3, 2), (3, 2)]
        assert [p.shape[0] for p in weft.ones(2).chunk(5)] == [1, 1]
        first, second = t.split(5)
        (first * second).sum().backward()
        assert t.grad.tolist() == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]

    def test_split_must_add_up(self):
        with pytest.raises(ValueError, match=r"`split_size` must add up to 10, the length of axis 0, got \[1, 2\]"):
            weft.arange(10).split([1, 2])

    def test_copies(self):
        x = tracked([1, 2])
        y = x.clone()
        assert not np.shares_memory(x.data, y.data)
        (y * y).sum().backward()
        assert x.grad.tolist() == [2, 4]
        t = weft.asarray(X)
        assert t.contiguous() is t
        c = t.T.contiguous()
        assert c.data.flags.c_contiguous
        same(c, X.T)
        v = tracked(X)
        (v.T.contiguous() * weft.asarray(Y.T.copy())).sum().backward()
        np.testing.assert_array_equal(v.grad.numpy(), Y)

    def test_norm(self):
        x = tracked([[3, 4], [6, 8]])
        assert x.norm().item() == pytest.approx(125**0.5)
        assert weft.grad(weft.Tensor.norm)(weft.zeros(2)).tolist() == [0, 0]
        y = x.norm(axis=1, keepdims=True)
        assert y.tolist() == [[5], [10]]
        y.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), [[0.6, 0.8]] * 2)


class TestConversions:
    def test_dtypes(self):
        t = weft.tensor([1.7, 2.2])
        for name, dtype in [
            ("double", "float64"),
            ("float", "float32"),
            ("half", "float16"),
            ("long", "int64"),
            ("int", "int32"),
            ("bool", "bool"),
        ]:
            assert getattr(t, name)().dtype == np.dtype(dtype)
        assert t.float() is t
        assert t.long().tolist() == [1, 2]
        assert t.type_as(weft.ones(1, dtype=weft.float64)).dtype == weft.float64

    def test_to(self):
        t = weft.ones(2)
        assert t.to() is t.to("cpu") is t.to(weft.float32) is t.to("float32") is t.to(device="cpu") is t.cpu() is t
        for target in (weft.float64, "float64", np.float64):
            assert t.to(target).dtype == weft.float64
        u = t.to("strict", weft.float64)
        assert (u.device, u.dtype) == ("strict", weft.float64)
        like = t.to(u)
        assert (like.device, like.dtype) == ("strict", weft.float64)
        assert t.to_device("strict").device == "strict"
        assert u.cpu().device == "cpu"

    def test_gradient(self):
        x = weft.ones(2, requires_grad=True)
        (x.to("strict", weft.float64) * 3).to("cpu").double().sum().backward()
        assert (x.grad.dtype, x.grad.device, x.grad.tolist()) == (weft.float32, "cpu", [3, 3])
        assert not x.long().requires_grad

    def test_cuda_without_a_gpu(self, monkeypatch):
        import sys

        monkeypatch.setitem(sys.modules, "cupy", None)
        for move in (lambda: weft.ones(1).cuda(), lambda: weft.ones(1).cuda(1), lambda: weft.ones(1).to("cuda")):
            with pytest.raises(weft.DeviceError, match="`cuda` needs CuPy"):
                move()

    def test_unknown(self):
        with pytest.raises(weft.DeviceError, match="got 'flaot32'"):
            weft.ones(1).to("flaot32")
