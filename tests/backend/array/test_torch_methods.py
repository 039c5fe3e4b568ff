"""Methods of Tensor that only PyTorch has: values against NumPy, gradients against differences, and what is refused.

Over random options, values and gradients were compared with PyTorch's own: they agree.
"""

import math

import numpy as np
import pytest

import weft

rng = np.random.default_rng(0)
X, Y, V = rng.normal(size=(3, 4)), rng.uniform(0.5, 2, (3, 4)), rng.normal(size=4)
A, B, C = rng.normal(size=(4, 2)), rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 4, 5))
SQUARE, MASK = rng.normal(size=(3, 3)), rng.random((3, 4)) < 0.5
INDEX, ROWS = rng.integers(0, 4, (2, 3)), np.array([2, 0, 2])
HOLED = np.where(rng.random((3, 4)) < 0.3, np.nan, X)
ODD = np.array([1.0, np.inf, -np.inf, np.nan])


def placed(x, key, values, add=False):
    out = x.copy()
    if add:
        np.add.at(out, key, values)
    else:
        out[key] = values
    return out


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


GRID = (np.arange(2)[:, None], INDEX)
ORDER = np.argsort(X, axis=1)


# method, tensor, other arguments, keyword arguments, what NumPy makes of it
def reduced(how, include_self):
    """By hand, place by place."""
    out, named = X.copy(), {}
    for (i, j), place in np.ndenumerate(INDEX):
        named.setdefault((i, place), [X[i, place]] if include_self else []).append(Y[i, j])
    for place, values in named.items():
        out[place] = getattr(np, how)(values)
    return out


CASES = [
    ("add", X, (Y,), {"alpha": 0.5}, X + 0.5 * Y),
    ("sub", X, (V,), {"alpha": 2}, X - 2 * V),
    ("mul", X, (2.5,), {}, X * 2.5),
    ("div", X, (Y,), {}, X / Y),
    ("div", X, (Y,), {"rounding_mode": "trunc"}, np.trunc(X / Y)),
    ("div", X, (Y,), {"rounding_mode": "floor"}, np.floor(X / Y)),
    ("fmod", 5 * X, (Y,), {}, np.fmod(5 * X, Y)),
    ("fmod", 5 * X, (-1.5,), {}, np.fmod(5 * X, -1.5)),
    ("remainder", 5 * X, (Y,), {}, 5 * X % Y),
    ("neg", X, (), {}, -X),
    ("rsqrt", Y, (), {}, 1 / np.sqrt(Y)),
    ("lerp", X, (Y, 0.3), {}, X + 0.3 * (Y - X)),
    ("addcmul", X, (Y, V), {"value": 0.5}, X + 0.5 * Y * V),
    ("addcdiv", X, (V, Y), {"value": 0.5}, X + 0.5 * V / Y),
    ("clamp", X, (-0.5, 0.5), {}, np.clip(X, -0.5, 0.5)),
    ("clamp_min", X, (0.1,), {}, np.maximum(X, 0.1)),
    ("clamp_max", X, (0.1,), {}, np.minimum(X, 0.1)),
    ("nan_to_num", ODD, (), {"posinf": 7.0, "neginf": -7.0}, np.nan_to_num(ODD, posinf=7.0, neginf=-7.0)),
    ("relu", X, (), {}, np.maximum(X, 0)),
    ("sigmoid", X, (), {}, 1 / (1 + np.exp(-X))),
    ("erf", X, (), {}, np.vectorize(math.erf)(X)),
    ("softmax", X, (0,), {}, softmax(X, 0)),
    ("log_softmax", X, (), {"dim": -1}, np.log(softmax(X, -1))),
    ("atan2", X, (Y,), {}, np.arctan2(X, Y)),
    ("logaddexp", X, (Y,), {}, np.logaddexp(X, Y)),
    ("mm", X, (A,), {}, X @ A),
    ("mv", X, (V,), {}, X @ V),
    ("dot", V, (V + 1,), {}, V @ (V + 1)),
    ("bmm", B, (C,), {}, B @ C),
    ("outer", V, (X[0],), {}, np.outer(V, X[0])),
    ("addmm", V[:2], (X, A), {"beta": 0.5, "alpha": 2}, 0.5 * V[:2] + 2 * X @ A),
    ("baddbmm", V[:1], (B, C), {"alpha": 2}, V[:1] + 2 * B @ C),
    ("cross", SQUARE[:2], (SQUARE[1:],), {"dim": 1}, np.cross(SQUARE[:2], SQUARE[1:])),
    ("tril", X, (1,), {}, np.tril(X, 1)),
    ("triu", X, (), {"diagonal": -1}, np.triu(X, -1)),
    ("diag", V, (-1,), {}, np.diag(V, -1)),
    ("diag", X, (1,), {}, np.diag(X, 1)),
    ("diag_embed", X, (1,), {}, np.stack([np.diag(row, 1) for row in X])),
    ("diagonal", B, (1, 2, 0), {}, np.diagonal(B, 1, 2, 0)),
    ("trace", SQUARE, (), {}, np.trace(SQUARE)),
    ("det", SQUARE, (), {}, np.linalg.det(SQUARE)),
    ("inverse", SQUARE, (), {}, np.linalg.inv(SQUARE)),
    ("amax", X, ((0, 1),), {}, X.max()),
    ("amin", X, (1,), {"keepdim": True}, X.min(1, keepdims=True)),
    ("nansum", HOLED, (1,), {}, np.nansum(HOLED, 1)),
    ("nanmean", HOLED, (0,), {}, np.nanmean(HOLED, 0)),
    ("cumsum", X, (0,), {}, np.cumsum(X, 0)),
    ("cumprod", X, (), {"dim": 1}, np.cumprod(X, 1)),
    ("gather", X, (1, INDEX), {}, X[GRID]),
    ("scatter", X, (1, ORDER, Y), {}, np.take_along_axis(Y, np.argsort(ORDER, 1), 1)),
    ("scatter", X, (1, INDEX, 9.0), {}, placed(X, GRID, 9.0)),
    ("scatter_add", X, (1, INDEX, Y), {}, placed(X, GRID, Y[:2, :3], add=True)),
    *[
        ("scatter_reduce", X, (1, INDEX, Y, how), {"include_self": own}, reduced(how, own))
        for how in ("sum", "mean", "amax", "amin")
        for own in (True, False)
    ],
    ("index_select", X, (0, ROWS), {}, X[ROWS]),
    ("index_add", X, (0, ROWS, Y), {"alpha": 2}, placed(X, ROWS, 2 * Y, add=True)),
    ("index_fill", X, (0, ROWS, 4.0), {}, placed(X, ROWS, 4.0)),
    ("index_copy", X, (0, np.array([2, 0, 1]), Y), {}, Y[[1, 2, 0]]),
    ("masked_fill", X, (MASK, -np.inf), {}, np.where(MASK, -np.inf, X)),
    ("masked_select", X, (MASK,), {}, X[MASK]),
    ("where", X, (MASK, Y), {}, np.where(MASK, X, Y)),
    ("median", X, (), {}, np.sort(X.ravel())[5]),
    ("quantile", X, (0.3,), {"dim": 1}, np.quantile(X, 0.3, 1)),
    ("quantile", X, (0.3,), {"interpolation": "nearest"}, np.quantile(X, 0.3, method="nearest")),
    ("quantile", HOLED, (0.5,), {"dim": 0, "keepdim": True}, np.quantile(HOLED, 0.5, 0, keepdims=True)),
    ("t", X, (), {}, X.T),
    ("select", X, (1, -1), {}, X[:, -1]),
    ("narrow", X, (1, -3, 2), {}, X[:, 1:3]),
    ("movedim", B, (0, -1), {}, np.moveaxis(B, 0, -1)),
    ("unflatten", X, (1, (-1, 2)), {}, X.reshape(3, 2, 2)),
    ("expand_as", V, (X,), {}, np.broadcast_to(V, X.shape)),
    ("reshape_as", X, (X.reshape(2, 6),), {}, X.reshape(2, 6)),
    ("ravel", X, (), {}, X.ravel()),
]
DIFFERENTIABLE = [case for case in CASES if "rounding_mode" not in case[3] and case[0] not in ("remainder",)]


def named(case):
    return f"{case[0]}-{len(case[2])}-{'-'.join(case[3])}"


def tensors(args, device="cpu"):
    return [weft.asarray(a.copy()).to(device) if isinstance(a, np.ndarray) else a for a in args]


@pytest.mark.parametrize("case", CASES, ids=named)
@pytest.mark.parametrize("device", ["cpu", "emulator"])
def test_values(case, device):
    name, x, args, kwargs, expected = case
    got = getattr(tensors([x], device)[0], name)(*tensors(args, device), **kwargs)
    assert got.device == device
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=named)
def test_gradients(case):
    """Of Σ w y in each floating-point argument, along a random direction."""
    name, x, args, kwargs, expected = case
    operands = [x, *args]
    places = [i for i, a in enumerate(operands) if isinstance(a, np.ndarray) and a.dtype == float]
    w, r = np.random.default_rng(1).normal(size=np.shape(expected)), np.random.default_rng(2)
    w = np.where(np.isfinite(expected), w, 0)
    directions = {i: r.normal(size=operands[i].shape) for i in places}

    def loss(step, leaves=()):
        made = tensors([a + step * directions[i] if i in places else a for i, a in enumerate(operands)])
        for i in leaves:
            made[i].requires_grad_()
        y = getattr(made[0], name)(*made[1:], **kwargs)
        return made, weft.sum(weft.where(weft.asarray(np.isfinite(expected)), y, 0.0) * weft.asarray(w))

    made, total = loss(0.0, places)
    total.backward()
    got = sum(np.nansum(made[i].grad.numpy() * directions[i]) for i in places if made[i].grad is not None)
    h = 1e-6
    assert got == pytest.approx((loss(h)[1].item() - loss(-h)[1].item()) / (2 * h), rel=1e-5, abs=1e-6)


class TestComparisons:
    def test_isclose(self):
        inf, nan = math.inf, math.nan
        a = weft.tensor([1.0, inf, inf, nan, 1.0, inf])
        b = weft.tensor([1.0 + 1e-7, inf, -inf, nan, inf, 1.0])
        assert a.isclose(b).tolist() == [True, True, False, False, False, False]
        assert a.isclose(b, equal_nan=True).tolist()[3]
        assert a[:2].allclose(b[:2]) is True
        assert a.allclose(b) is False

    def test_contains(self):
        assert 3.0 in weft.tensor([1.0, 3.0])
        assert 2.0 not in weft.tensor([1.0, 3.0])


def test_pytorch_spellings_of_axes():
    x = weft.asarray(B)
    assert x.sum([0, 1]).tolist() == x.sum((0, 1)).tolist()
    assert x.norm(dim=[0, 2]).tolist() == x.norm(dim=(0, 2)).tolist()
    assert weft.tensor([[0, 1], [2, 3]]).count_nonzero(1).tolist() == [1, 2]


def test_dtype_of_a_mean():
    x = weft.tensor([1, 2])
    assert x.mean(dtype=weft.float64).dtype == weft.float64
    assert x.mean(0, dtype=weft.float16).dtype == weft.float16
    with pytest.raises(TypeError, match="`dtype` must be one of weft's"):
        x.mean(dtype="text")


def test_missing_name():
    x = weft.ones((2, 2))
    with pytest.raises(
        AttributeError, match="'Tensor' object has no attribute 'scater_add'; did you mean `scatter_add`"
    ):
        x.scater_add  # noqa: B018
    with pytest.raises(AttributeError, match="did you mean"):
        x.max(1).argsrt  # noqa: B018
    assert not hasattr(x, "no_such_name")


def test_backward_by_pytorchs_word():
    x = weft.ones(2).requires_grad_()
    y = x * 2
    assert (y.grad_fn.name, repr(y.grad_fn), x.grad_fn) == ("multiply", "<multiply>", None)
    with pytest.raises(TypeError, match="`backward` takes `grad` or `gradient`"):
        y.backward(weft.ones(2), gradient=weft.ones(2))
    y.backward(gradient=weft.tensor([1.0, 3.0]))
    assert x.grad.tolist() == [2, 6]


def test_of_nothing():
    x = weft.zeros((0, 3)).requires_grad_()
    (x.var() + x.std()).backward()
    assert x.grad.shape == (0, 3)
    one = weft.ones(1).requires_grad_()
    (one.var(correction=1) + one.std(correction=1)).backward()
    assert math.isnan(one.grad.item())
    y = weft.zeros((0, 3)).requires_grad_()
    z = y.logsumexp(dim=0)
    assert z.tolist() == [-math.inf] * 3
    z.sum().backward()
    assert y.grad.shape == (0, 3)


REFUSED = [
    (lambda x: x.clamp(), ValueError, "`clamp` needs `min` or `max`"),
    (lambda x: x.div(x, rounding_mode="up"), ValueError, "got 'up'"),
    (lambda x: x.mm(x[0]), ValueError, r"`mm` needs mat2 with 2 axes, got shape \(4,\)"),
    (lambda x: weft.ones((2, 1, 1)).bmm(weft.ones((1, 1, 1))), ValueError, "stacks of one length"),
    (lambda x: weft.ones((3, 3)).cross(weft.ones((3, 3))), ValueError, "exactly one axis of length 3"),
    (lambda x: weft.zeros(()).diag_embed(), ValueError, "got a 0-d tensor"),
    (lambda x: x.masked_fill(x, 1.0), TypeError, "dtype bool, got float64"),
    (lambda x: x.masked_fill(x > 0, x), ValueError, r"got shape \(3, 4\)"),
    (lambda x: x.long().masked_fill(x > 0, 1.5), TypeError, "that int64 holds, got 1.5"),
    (lambda x: x.gather(1, weft.tensor([[4]])), IndexError, r"in \[0, 3\], got 4"),
    (lambda x: x.gather(1, x), TypeError, "got float64"),
    (lambda x: x.gather(1, weft.tensor([0])), ValueError, r"got shape \(1,\) for \(3, 4\)"),
    (lambda x: x.scatter(1, weft.tensor([[0]])), TypeError, "got neither"),
    (lambda x: x.scatter(1, weft.tensor([[0]]), weft.ones((1, 1))), TypeError, "got float32"),
    (lambda x: x.scatter_add(1, weft.tensor([[0]]), weft.ones((1, 1))), TypeError, "got float32"),
    (lambda x: x.scatter_add(1, weft.tensor([[0, 1]]), x[:1, :1]), ValueError, r"\(1, 2\), got \(1, 1\)"),
    (lambda x: x.scatter_reduce(1, weft.tensor([[0]]), x, "prod"), ValueError, "'amax' or 'amin', got 'prod'"),
    (lambda x: x.scatter_reduce(1, weft.tensor([[0]]), weft.ones((1, 1)), "sum"), TypeError, "got float32"),
    (lambda x: x.scatter_add_(1, weft.tensor([[-1]]), x), IndexError, r"got -1 … -1"),
    (lambda x: x.index_add(0, weft.tensor([0]), x), ValueError, r"of shape \(1, 4\), got \(3, 4\)"),
    (lambda x: x.topk(5), ValueError, "got 5"),
    (lambda x: x.quantile(1.5), ValueError, "got 1.5"),
    (lambda x: x.quantile(0.5, interpolation="cubic"), ValueError, "got 'cubic'"),
    (lambda x: x.narrow(1, 2, 3), ValueError, "got 3"),
    (lambda x: weft.ones((1, 1, 1)).t(), ValueError, r"got shape \(1, 1, 1\)"),
    (lambda x: x.unflatten(1, (3, 2)), ValueError, r"multiply to 4, .*got \(3, 2\)"),
    (lambda x: x.long().normal_(), TypeError, "`normal_` needs a real floating-point dtype, got int64"),
    (lambda x: x[0].fill_diagonal_(1), ValueError, r"got shape \(4,\)"),
    (lambda x: x.long().div_(2), TypeError, "does not fit in place into int64"),
]


@pytest.mark.parametrize(("call", "error", "match"), REFUSED)
def test_refused(call, error, match):
    with pytest.raises(error, match=match):
        call(weft.asarray(X.copy()))


class TestNumbersAreVectorsOfOne:
    """PyTorch lets a tensor without axes be asked about axis 0 or −1."""

    def test_selection(self):
        x, first = weft.tensor(3.0), weft.tensor([0])
        assert [t.item() for t in x.kthvalue(1)] == [3.0, 0]
        assert x.quantile(0.3, dim=-1).shape == x.transpose(0, -1).shape == ()
        assert x.index_fill(0, first, 7.0).item() == x.index_copy(0, first, weft.tensor(7.0)).item() == 7.0
        assert x.index_add(-1, first, weft.tensor([1.0]), alpha=2).item() == 5.0

    def test_no_other_axis(self):
        with pytest.raises(IndexError, match=r"`dim` must be in \[-1, 1\) for shape \(1,\), got 1"):
            weft.tensor(3.0).kthvalue(1, 1)
        with pytest.raises(ValueError, match=r"`dim0` must be an integer in \[-1, 0\], got 1"):
            weft.tensor(3.0).transpose(1, 0)


def test_integers_that_wrap_are_compared_by_their_distance():
    a, b = weft.asarray([5, 200], dtype=weft.uint8), weft.asarray([6, 100], dtype=weft.uint8)
    assert a.isclose(b, rtol=0.0, atol=2.0).tolist() == [True, False]
    assert weft.asarray([True, False]).isclose(weft.asarray([True, True])).tolist() == [True, False]


def test_quantile_has_a_gradient_by_its_fraction():
    q = weft.tensor([0.25, 0.6], requires_grad=True)
    weft.tensor([1.0, 2.0, 4.0]).quantile(q).sum().backward()
    assert q.grad.tolist() == [2.0, 4.0]
