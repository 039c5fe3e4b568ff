"""PyTorch's spellings (`dim=`, `keepdim=`, `unbiased=`) against PyTorch's definitions, in NumPy's words."""

import numpy as np
import pytest

import weft
from weft.backend.tape.tensor import ValuesAndIndices

X = np.array([[1.0, 5.0, 5.0], [4.0, 2.0, 3.0]])
DEVICES = ("cpu", "emulator")
REDUCTIONS = {
    "sum": np.sum,
    "mean": np.mean,
    "prod": np.prod,
    "std": lambda x, **k: np.std(x, ddof=1, **k),
    "var": lambda x, **k: np.var(x, ddof=1, **k),
    "all": np.all,
    "any": np.any,
    "logsumexp": lambda x, **k: np.log(np.sum(np.exp(x), **k)),
    "argmax": np.argmax,
    "argmin": np.argmin,
    "count_nonzero": np.count_nonzero,
}


@pytest.fixture(params=DEVICES)
def device(request):
    if request.param not in weft.devices():
        pytest.skip(f"no device {request.param!r} here")
    return request.param


@pytest.fixture
def x(device):
    return weft.tensor(X, device=device, dtype=weft.float32)


def both(name, x):
    """The function and the method."""
    return [lambda *a, **k: getattr(weft, name)(x, *a, **k), getattr(x, name)]


def close(got, expected):
    np.testing.assert_allclose(np.array(got.tolist()), expected, rtol=1e-5)
    assert got.shape == np.shape(expected)


class TestReductions:
    @pytest.mark.parametrize("name", REDUCTIONS)
    def test_dim_and_keepdim(self, x, name):
        for f in both(name, x):
            for dim in (0, 1, -1):
                close(f(dim=dim), REDUCTIONS[name](X, axis=dim))
                close(f(dim=dim, keepdim=True), REDUCTIONS[name](X, axis=dim, keepdims=True))
                close(f(axis=dim, keepdim=True), REDUCTIONS[name](X, axis=dim, keepdims=True))
            if not name.startswith("arg"):
                close(f(dim=[0, 1]), REDUCTIONS[name](X, axis=(0, 1)))
            with pytest.raises(TypeError, match=f"`{name}` takes .*got"):
                f(axis=0, dim=0)
        if name != "count_nonzero":
            close(getattr(x, name)(1, keepdim=True), REDUCTIONS[name](X, axis=1, keepdims=True))
            with pytest.raises(TypeError, match=f"`{name}` takes its axis once, got 1"):
                getattr(x, name)(1, dim=0)
            with pytest.raises(TypeError, match=f"`{name}` takes the axis by position and the rest by name"):
                getattr(x, name)(1, 1)
            with pytest.raises(TypeError, match=f"`{name}` takes the axis by position, got a bool"):
                getattr(x, name)(True)

    @pytest.mark.parametrize("name", ["std", "var"])
    def test_unbiased(self, x, name):
        reference = getattr(np, name)
        for f in both(name, x):
            for unbiased in (False, True):
                close(f(dim=1, unbiased=unbiased), reference(X, axis=1, ddof=int(unbiased)))
                close(f(unbiased=unbiased), reference(X, ddof=int(unbiased)))
            close(f(dim=1, correction=0), reference(X, axis=1))
            close(f(axis=1), reference(X, axis=1))
            with pytest.raises(TypeError, match=f"`{name}` takes `correction` or `unbiased`"):
                f(unbiased=True, correction=1)
        close(getattr(x, name)(1), reference(X, axis=1))
        close(getattr(x, name)(1, unbiased=True), reference(X, axis=1, ddof=1))

    @pytest.mark.parametrize("name", ["max", "min"])
    def test_extremes_with_their_indices(self, x, name):
        reference, where = getattr(np, name), getattr(np, f"arg{name}")
        for f in both(name, x):
            for dim in (0, 1, -1):
                found = f(dim=dim)
                assert type(found) is ValuesAndIndices
                close(found.values, reference(X, axis=dim))
                close(found.indices, where(X, axis=dim))
                values, indices = f(dim=dim, keepdim=True)
                close(values, reference(X, axis=dim, keepdims=True))
                close(indices, where(X, axis=dim, keepdims=True))
            assert type(f(axis=0)) is weft.Tensor
            for wrong in ({"keepdim": True}, {"dim": (0, 1)}):
                with pytest.raises(TypeError, match=f"`{name}` with PyTorch's words needs `dim`, an int"):
                    f(**wrong)
        found = getattr(weft.tensor(3.0, device=x.device), name)(dim=0)
        assert (found.values.item(), found.indices.item()) == (3, 0)

    def test_the_gradient_goes_to_the_index(self, x):
        x.requires_grad_()
        x.max(dim=1).values.sum().backward()
        assert x.grad.tolist() == [[0, 1, 0], [1, 0, 0]]

    @pytest.mark.parametrize("name", ["max", "min"])
    def test_values_alone_are_not_unpacked(self, x, name):
        """A batch of two would be unpacked into its rows."""
        with pytest.raises(TypeError, match=r"write values, indices = x\.max\(dim=1\)"):
            _, _ = getattr(x, name)(1)
        close(getattr(x, name)(1), getattr(np, name)(X, axis=1))
        close(getattr(x, name)(1) * 2, 2 * getattr(np, name)(X, axis=1))
        a, _ = getattr(x, name)(axis=1)  # the array API's
        assert a.shape == ()
        with pytest.raises(TypeError, match=r"got a Tensor; name it, or weft\.maximum"):
            getattr(x, name)(x)

    def test_numpys_functions_call_the_methods(self, x):
        close(np.sum(x, axis=0), X.sum(0))
        close(np.mean(x), X.mean())


class TestNorm:
    @pytest.mark.parametrize("p", [0, 1, 2, 3, np.inf, -np.inf])
    def test_order_first(self, x, p):
        size = np.abs(X)
        for axis in (None, 0, 1):
            want = np.linalg.norm(X.ravel(), p) if axis is None else np.linalg.norm(X, p, axis=axis)
            for got in (x.norm(p, axis), x.norm(p=p, dim=axis), x.norm(p, axis=axis)):
                close(got, want)
        close(x.norm(1, (0, 1)), size.sum())
        close(x.norm(1, 1, True), size.sum(1, keepdims=True))

    def test_names(self, x):
        close(x.norm(), np.linalg.norm(X))
        close(x.norm("fro", dim=1), np.linalg.norm(X, axis=1))
        if x.device == "cpu":
            close(x.norm("nuc"), np.linalg.norm(X, "nuc"))
        close(x.norm(keepdims=True), np.linalg.norm(X, keepdims=True))
        assert x.norm(dtype=weft.float64).dtype == weft.float64
        with pytest.raises(ValueError, match="`p` must be a number, 'fro' or 'nuc', got 'one'"):
            x.norm("one")
        with pytest.raises(ValueError, match="`dim` must name two axes for the norm 'nuc', got 1"):
            x.norm("nuc", 1)


class TestOthers:
    def test_sort(self, x):
        for f in both("sort", x):
            values, indices = f(dim=1, descending=True)
            close(values, -np.sort(-X, axis=1))
            close(indices, np.argsort(-X, axis=1, stable=True))
            assert type(f(axis=1)) is weft.Tensor
        for f in both("argsort", x):
            close(f(dim=0), np.argsort(X, axis=0))

    def test_moving(self, x):
        close(x.flip(dims=[0]), X[::-1])
        close(weft.flip(x, dims=(0, 1)), X[::-1, ::-1])
        close(x.roll(shifts=1, dims=1), np.roll(X, 1, axis=1))
        close(weft.roll(x, 1, dims=0), np.roll(X, 1, axis=0))
        close(weft.concat([x, x], dim=1), np.concatenate([X, X], axis=1))
        close(weft.stack([x, x], dim=1), np.stack([X, X], axis=1))
        close(weft.diff(x, dim=0), np.diff(X, axis=0))
        close(weft.tensordot(x, x, dims=2), np.sum(X * X))
        one = x[:1]
        for f in both("squeeze", one):
            close(f(dim=0), X[0])
            close(f(dim=1), X[:1])  # which the array API refuses
            close(f(dim=(0, 1)), X[0])

    def test_by_position(self, x):
        """Where the array API has keywords alone, a position is PyTorch's."""
        close(x.flip(0), X[::-1])
        close(x.flip(0, 1), X[::-1, ::-1])
        close(x.flip((0, 1)), X[::-1, ::-1])
        close(x.flip(), X[::-1, ::-1])
        close(x.roll(1, 1), np.roll(X, 1, axis=1))
        close(x.roll((1, 2), (0, 1)), np.roll(X, (1, 2), axis=(0, 1)))
        close(x.roll(1), np.roll(X, 1))
        for name in ("tile", "repeat"):
            close(getattr(x, name)(2, 3), np.tile(X, (2, 3)))
        close(x.tile((2,)), np.tile(X, 2))
        close(x.repeat(2), np.repeat(X, 2))
        close(x.repeat(2, dim=1), np.repeat(X, 2, axis=1))
        close(x.repeat_interleave(2), np.repeat(X, 2))
        close(x.repeat_interleave(2, dim=0), np.repeat(X, 2, axis=0))

    def test_linalg(self):
        x = weft.tensor(X)
        close(weft.linalg.vector_norm(x, ord=1, dim=1, keepdim=True), np.abs(X).sum(1, keepdims=True))
        a = np.arange(8.0).reshape(2, 2, 2)
        for dim in ((-2, -1), (0, 1), (2, 0)):
            for order in ("fro", "nuc", 1):
                for keep in (False, True):
                    close(
                        weft.linalg.matrix_norm(weft.tensor(a), ord=order, dim=dim, keepdim=keep),
                        np.linalg.norm(a, order, axis=dim, keepdims=keep),
                    )
        close(weft.linalg.cross(x, x + 1, dim=1), np.cross(X, X + 1))
        close(weft.linalg.vecdot(x, x, dim=0), (X * X).sum(0))
        np.testing.assert_allclose(weft.fft.fft(x, dim=0).numpy(), np.fft.fft(X, axis=0))
        np.testing.assert_allclose(weft.fft.fftn(x, dim=(1,)).numpy(), np.fft.fftn(X, axes=(1,)))
        np.testing.assert_allclose(weft.fft.fftshift(x, dim=(1,)).numpy(), np.fft.fftshift(X, axes=(1,)))

    def test_bounds_by_name(self, x):
        """Tensors given by name, with gradients."""
        bound = weft.full_like(x, 3.0).requires_grad_()
        for f in both("clip", x):
            close(f(max=bound), np.minimum(X, 3))
            close(f(min=bound), np.maximum(X, 3))
            close(f(min=2, max=bound), np.clip(X, 2, 3))
        x.clip(max=bound).sum().backward()
        assert bound.grad.tolist() == [[0, 1, 1], [1, 0, 0]]


def test_rounding(x):
    close(round(x / 3, 2), np.round(X / 3, 2))
    close((x / 3).round(decimals=1), np.round(X / 3, 1))
    close(round(x), X)
    close((x * 7).round(decimals=-1), np.round(X * 7, -1))
    assert round(weft.tensor([3, 14]), 2).tolist() == [3, 14]


# --- what PyTorch's readers would take amiss ---------------------------------------------------------------------------
ALONE = {
    "max(1)": lambda x: x.max(1), "min(0)": lambda x: x.min(0), "sort()": lambda x: x.sort(),
    "sort(1)": lambda x: x.sort(1), "sort(descending)": lambda x: x.sort(descending=True),
}  # fmt: skip
TAKE_APART = {
    "unpack": lambda v: tuple(v), "[0]": lambda v: v[0], "[1]": lambda v: v[1], "[-1]": lambda v: v[-1],
}  # fmt: skip
SQUARE = ((3.0, 1.0), (2.0, 5.0))


@pytest.mark.parametrize("device", ["cpu", "emulator"])
class TestValuesAlone:
    @pytest.fixture
    def x(self, device):
        if device not in weft.devices():
            pytest.skip("no compiler")
        return weft.asarray(SQUARE, device=device)

    @pytest.mark.parametrize("call", ALONE.values(), ids=ALONE)
    @pytest.mark.parametrize("take", TAKE_APART.values(), ids=TAKE_APART)
    def test_are_not_taken_apart(self, x, call, take):
        with pytest.raises(TypeError, match=r"give the values alone, .* values, indices = x.max\(dim=1\)"):
            take(call(x))

    @pytest.mark.parametrize("call", ALONE.values(), ids=ALONE)
    def test_are_computed_with(self, x, call):
        values = call(x)
        assert (values + 1).tolist() == (values * 1 + 1).tolist()
        assert (values[:1].shape, (values * 1)[0].shape) == ((1, *values.shape[1:]), values.shape[1:])
        with pytest.raises(AttributeError, match="give the values alone"):
            _ = values.indices

    def test_a_named_axis_is_the_array_apis(self, x):
        assert [v.item() for v in x.max(axis=1)] == [3, 5]
        assert x.max(axis=1)[1].item() == 5
        assert x.sort(axis=1)[1].tolist() == [2, 5]
        assert x.max(dim=1)[1].tolist() == [0, 1]
        assert x.sort(dim=1)[1].tolist() == [[1, 0], [0, 1]]

    def test_sorting_by_position(self, x):
        assert x.sort(1).tolist() == [[1, 3], [2, 5]]
        assert x.argsort(1).tolist() == [[1, 0], [0, 1]]
        assert x.argsort(0, descending=True)[1].tolist() == [1, 0]

    @pytest.mark.parametrize("flip", [lambda x: x.flip(0), lambda x: x.flip([0]), lambda x: x.flip(dims=(0,)),
                                      lambda x: weft.flip(x, dims=(0,))])  # fmt: skip
    def test_pytorchs_flip_copies(self, x, flip):
        y = flip(x)
        assert y.tolist() == [[2, 5], [3, 1]]
        y += 1
        assert x.tolist() == [[3, 1], [2, 5]]
        w = weft.asarray(SQUARE, device=x.device).requires_grad_()
        (flip(w) * x).sum().backward()
        assert w.grad.tolist() == [[2, 5], [3, 1]]

    @pytest.mark.parametrize("sizes", [((2, 1),), ([2, 1],), (2, 1)])
    def test_pytorchs_repeat_is_tile(self, x, sizes):
        assert x.repeat(*sizes).tolist() == x.tile(2, 1).tolist()
        assert x[0].repeat((2,)).tolist() == [3, 1, 3, 1]
        assert x[0].repeat(2).tolist() == [3, 3, 1, 1]

    def test_other_words(self, x):
        assert x.permute(dims=(1, 0)).tolist() == [[3, 2], [1, 5]]
        assert weft.round(x / 3, decimals=2).tolist() == (x / 3).round(2).tolist()
        assert weft.round(weft.asarray([123, 157], device=x.device), decimals=-1).tolist() == [120, 160]
        assert x.to(non_blocking=True) is x
        copied = x.to(x.device, copy=True)
        copied += 1
        assert (copied.tolist(), x.tolist()) == ([[4, 2], [3, 6]], [[3, 1], [2, 5]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: weft.max(x, 1), "`max` needs its options by name, as in axis=1 .*, got .2, 2. float32, 1"),
        (lambda x: weft.sum(x, 1), "`sum` needs its options by name"),
        (lambda x: weft.linalg.vector_norm(x, 1), "needs its options by name"),
        (lambda x: x.view(weft.int32), "`view` takes sizes, got int32; x.astype converts"),
        (lambda x: x.sort(0, 1), r"`sort` takes the axis by position .* got \(0, 1\)"),
    ],
)
def test_messages(call, message):
    with pytest.raises(TypeError, match=message):
        call(weft.asarray(SQUARE))


class TestBooleansBehindTheAxis:
    """What NumPy and the array API have there is no bool: `x.sum(1, True)` is PyTorch's call, and means what it means there."""

    @pytest.mark.parametrize("name", [n for n in REDUCTIONS if n != "count_nonzero"])
    def test_keepdim(self, x, name):
        if name in ("std", "var"):
            close(getattr(x, name)(1, True, True), REDUCTIONS[name](X, axis=1, keepdims=True))
            close(getattr(x, name)(1, False), getattr(np, name)(X, axis=1))
        else:
            close(getattr(x, name)(1, True), REDUCTIONS[name](X, axis=1, keepdims=True))

    @pytest.mark.parametrize("name", ["max", "min"])
    def test_extremes_come_with_their_places(self, x, name):
        values, indices = getattr(x, name)(1, True)
        close(values, getattr(X, name)(axis=1, keepdims=True))
        close(indices, getattr(X, f"arg{name}")(axis=1, keepdims=True))

    def test_descending(self, x):
        values, indices = x.sort(1, True)
        close(values, -np.sort(-X, axis=1))
        close(indices, x.argsort(1, True).numpy())

    def test_too_many(self, x):
        for call in (
            lambda: x.std(1, True, True, True),
            lambda: x.count_nonzero(1, True),
            lambda: x.sum(1, True, dim=1),
        ):
            with pytest.raises(TypeError, match="takes the axis by position and the rest by name"):
                call()


def test_flip_of_no_axes_leaves_everything(x):
    close(x.flip(dims=()), X)
    close(x.flip(()), X)
