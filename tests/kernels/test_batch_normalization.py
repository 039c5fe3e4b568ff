"""Batch and group norm against the definitions in float64; half precision also against the generic form in the same."""

import numpy as np
import pytest
from kernel_harness import close, dtypes, every_schedule, halves, no_worse, rounded

import weft
from weft.backend.nn import normalization as N
from weft.backend.tape import autograd
from weft.kernels import batch_normalization as kernels
from weft.kernels.toolchain.settings import settings
from weft.layers import functional as F

rng = np.random.default_rng(0)
EPS = 1e-3

# Few and many channels, lanes and slices; sizes of which 4 or 8 elements are a unit, and others.
BATCHES = [
    (5, 3),
    (33, 31),
    (1025, 33),
    (300, 16),
    (31, 1025),
    (4, 3, 1),
    (9, 32, 8),
    (2, 1025, 2),
    (3, 33, 7, 7),
    (2, 5, 24, 32),
    (1, 1, 70, 81),
]
GROUPS = [
    ((5, 32), 4),
    ((3, 6), 1),
    ((33, 6, 5), 3),
    ((2, 66, 31), 33),
    ((2, 4, 3, 8), 4),
    ((2, 6, 16, 24), 2),
    ((1, 2, 91, 33), 2),
    ((1, 2, 96, 64), 1),
]


def shaped(v, ndim):
    return v.reshape(1, -1, *[1] * (ndim - 2))


def moments(x, axes, eps):
    """x − mean and rstd."""
    return x - x.mean(axes, keepdims=True), 1 / np.sqrt(x.var(axes, keepdims=True) + eps)


def gradient(g, x_hat, rstd, axes):
    return rstd * (g - g.mean(axes, keepdims=True) - x_hat * (g * x_hat).mean(axes, keepdims=True))


def exact_batch(g, x, w, b, eps=EPS):
    """(y, mean, var, grad_x, grad_w, grad_b) in float64, from the gradients g of the first three."""
    axes, n = (0, *range(2, x.ndim)), x.size // x.shape[1]
    d, rstd = moments(x, axes, eps)
    weight, bias = (
        shaped(np.zeros(x.shape[1]) + (default if p is None else p), x.ndim) for p, default in ((w, 1), (b, 0))
    )
    grad_x = (
        gradient(g[0] * weight, d * rstd, rstd, axes)
        + shaped(g[1], x.ndim) / n
        + 2 / (n - 1) * shaped(g[2], x.ndim) * d
    )
    outputs = weight * d * rstd + bias, x.mean(axes), x.var(axes) * n / (n - 1)
    return *outputs, grad_x, (g[0] * d * rstd).sum(axes), g[0].sum(axes)


def exact_group(g, x, w, b, groups, eps=EPS):
    shape = (x.shape[0], groups, -1)
    d, rstd = moments(x.reshape(shape), 2, eps)
    weight, bias = (
        shaped(np.zeros(x.shape[1]) + (default if p is None else p), x.ndim) for p, default in ((w, 1), (b, 0))
    )
    grad_x = gradient((g * weight).reshape(shape), d * rstd, rstd, 2).reshape(x.shape)
    x_hat, axes = (d * rstd).reshape(x.shape), (0, *range(2, x.ndim))
    return weight * x_hat + bias, grad_x, (g * x_hat).sum(axes), g.sum(axes)


def plain(primitive, g, *args, **static):
    """The generic form in the precision of the arrays (to which `eps` must not bring its own)."""
    y, pull = primitive.generic(np, *args, **static, eps=args[0].dtype.type(EPS))
    gradients = pull(g, tuple(a is not None for a in args), (None,) * len(args))
    return *(y if isinstance(y, tuple) else (y,)), *gradients


def batch(g, x, w, b, eps=EPS):
    def run():
        *outputs, mean, rstd = kernels.batch_forward(x, w, b, eps=eps)
        need = (True, w is not None, b is not None)
        return *outputs, *kernels.batch_backward(g, x, w, mean, rstd, need, (None,) * 3)

    return every_schedule(run)


def group(g, x, w, b, groups, eps=EPS):
    def run():
        y, mean, rstd = kernels.group_forward(x, w, b, groups=groups, eps=eps)
        need = (True, w is not None, b is not None)
        return y, *kernels.group_backward(g, x, w, mean, rstd, need, (None,) * 3, groups=groups)

    return every_schedule(run)


def inputs(shape, dtype, mean=0.5):
    """(low, high) precision versions of the gradients of y, mean and var, and of x, w, b."""
    c = shape[1:2]
    means = (0, 0, 0, mean, 1, 0)
    arrays = (rng.standard_normal(s) + m for s, m in zip((shape, c, c, shape, c, c), means))
    low, high = zip(*(rounded(a, dtype) for a in arrays))
    return ((low[:3], *low[3:]), (high[:3], *high[3:]))


def channel_last(a):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


def compare(got, plain, exact, tolerance=10.0):
    for a, p, e in zip(got, plain, exact, strict=True):
        if a is not None and a.dtype == np.float32:
            close(a, e, tolerance)
        elif a is not None:
            no_worse(a, p.astype(a.dtype), e)


# --- batch normalisation ----------------------------------------------------------------------------------------------
@dtypes
@pytest.mark.parametrize("shape", BATCHES, ids=str)
def test_batch(shape, dtype):
    low, high = inputs(shape, dtype)
    got = batch(*low)
    assert all(a.dtype == dtype for a in got)
    compare(got, plain(N.batch_norm, *low), exact_batch(*high))


@dtypes
@pytest.mark.parametrize("shape", [(9, 32, 8), (3, 33, 7, 7), (2, 512, 2, 3), (2, 40, 11, 12)], ids=str)
def test_channel_last_memory(shape, dtype):
    """Taken as it lies, and returned alike."""
    (g, x, w, b), high = inputs(shape, dtype)
    got = batch(g, channel_last(x), w, b)
    assert all(np.moveaxis(a, 1, -1).flags.c_contiguous for a in (got[0], got[3]))
    compare(got, plain(N.batch_norm, g, x, w, b), exact_batch(*high))


@dtypes
@pytest.mark.parametrize("layout", [np.ascontiguousarray, channel_last])
@pytest.mark.parametrize("shape", [(9, 33, 7, 7), (3, 8, 24, 48)], ids=str)
def test_few_blocks(shape, layout, dtype, monkeypatch):
    """As with more elements than all blocks have in flight."""
    monkeypatch.setattr(kernels, "BLOCKS", 1)
    monkeypatch.setattr(settings, "multiprocessors", 1)
    (g, x, w, b), high = inputs(shape, dtype)
    compare(batch(g, layout(x), w, b), plain(N.batch_norm, g, x, w, b), exact_batch(*high))


@pytest.mark.parametrize(("w", "b"), [(False, False), (True, False), (False, True)])
def test_batch_without_weight_or_bias(w, b):
    (g, x, *p), (g_, x_, *p_) = inputs((4, 6, 12), np.float32)
    p, p_ = ([q[0] if w else None, q[1] if b else None] for q in (p, p_))
    got = batch(g, x, *p)
    assert (got[4] is None, got[5] is None) == (not w, not b)
    compare(got, got, exact_batch(g_, x_, *p_))


@pytest.mark.parametrize("shape", [(1025, 3), (3, 2, 40, 40), (5, 33, 7, 7)], ids=str)
def test_mean_far_from_zero(shape):
    """Differences from a mean of 1000 σ lose what the inputs' own rounding loses, and not more."""
    low, high = inputs(shape, np.float32, mean=1000.0)
    y, _, var, *_ = batch(*low, 1e-5)
    reference, _, exact_var, *_ = exact_batch(*high, 1e-5)
    unit = 1000 * np.finfo(np.float32).eps / 2  # of the mean, in units of σ
    assert np.abs(y - reference).max() <= 2 * unit * np.abs(low[2]).max()
    np.testing.assert_allclose(var, exact_var, rtol=unit)


@dtypes
@pytest.mark.parametrize("shape", [(33, 31), (3, 33, 7, 7), (2, 5, 24, 32)], ids=str)
@pytest.mark.parametrize("layout", [np.ascontiguousarray, channel_last])
def test_inference(shape, dtype, layout):
    (g, x, w, b), (g_, x_, w_, b_) = inputs(shape, dtype)
    (mean, mean_), (var, var_) = (rounded(rng.uniform(0.5, 2, shape[1]), dtype) for _ in range(2))

    def run():
        y, centre, rstd = kernels.inference_forward(layout(x), mean, var, w, b, eps=EPS)
        grad_x, *rest = kernels.inference_backward(g[0], layout(x), w, centre, rstd, (True,) * 3, (None,) * 3)
        return y, grad_x, *rest

    rstd, axes = 1 / np.sqrt(var_ + EPS), (0, *range(2, x.ndim))
    x_hat = (x_ - shaped(mean_, x.ndim)) * shaped(rstd, x.ndim)
    y_ = x_hat * shaped(w_, x.ndim) + shaped(b_, x.ndim)
    exact = y_, g_[0] * shaped(rstd * w_, x.ndim), (g_[0] * x_hat).sum(axes), g_[0].sum(axes)
    y, grad_x, _, _, *rest = plain(N.batch_norm_inference, g[0], x, mean, var, w, b)
    compare(every_schedule(run), (y, grad_x, *rest), exact)


@halves
@pytest.mark.parametrize("shape", [(33, 31), (3, 33, 7, 7), (2, 5, 24, 32), (2, 40, 11, 12)], ids=str)
@pytest.mark.parametrize("layout", [np.ascontiguousarray, channel_last])
def test_half_precision_beside_float32(shape, dtype, layout):
    """What belongs to channels is float32, and so are its gradients and the statistics of the batch."""
    (g, x, _, _), (g_, x_, _, _) = inputs(shape, dtype)
    (g_mean, g_var, w, b), (g_mean_, g_var_, w_, b_) = zip(
        *(rounded(rng.standard_normal(shape[1]), np.float32) for _ in range(4))
    )
    g, g_ = (g[0], g_mean, g_var), (g_[0], g_mean_, g_var_)
    got = batch(g, layout(x), w, b)
    assert [a.dtype == dtype for a in got] == [True, False, False, True, False, False]
    assert all(a.dtype in (dtype, np.float32) for a in got)
    found = plain(N.batch_norm, g, x, w, b)
    assert [a.dtype for a in found] == [a.dtype for a in got]
    compare(got, found, exact_batch(g_, x_, w_, b_))

    mean, var = (rng.uniform(0.5, 2, shape[1]).astype("f") for _ in range(2))

    def run():
        y, centre, rstd = kernels.inference_forward(layout(x), mean, var, w, b, eps=EPS)
        grad_x, *rest = kernels.inference_backward(g[0], layout(x), w, centre, rstd, (True,) * 3, (None,) * 3)
        return y, grad_x, *rest

    rstd, axes = 1 / np.sqrt(var.astype("d") + EPS), (0, *range(2, x.ndim))
    x_hat = (x_ - shaped(mean.astype("d"), x.ndim)) * shaped(rstd, x.ndim)
    y_ = x_hat * shaped(w_, x.ndim) + shaped(b_, x.ndim)
    exact = y_, g_[0] * shaped(rstd * w_, x.ndim), (g_[0] * x_hat).sum(axes), g_[0].sum(axes)
    got = every_schedule(run)
    assert [a.dtype for a in got] == [dtype, dtype, np.float32, np.float32]
    y, grad_x, _, _, *rest = plain(N.batch_norm_inference, g[0], x, mean, var, w, b)
    compare(got, (y, grad_x, *rest), exact)


# --- group normalisation ----------------------------------------------------------------------------------------------
@dtypes
@pytest.mark.parametrize(("shape", "groups"), GROUPS, ids=str)
def test_group(shape, groups, dtype):
    (g, *low), (g_, *high) = inputs(shape, dtype)
    got = group(g[0], *low, groups)
    assert all(a.dtype == dtype for a in got)
    compare(got, plain(N.group_norm, g[0], *low, num_groups=groups), exact_group(g_[0], *high, groups))


def test_group_without_weight_and_bias():
    (g, x, _, _), (g_, x_, _, _) = inputs((2, 6, 40), np.float32)
    got = group(g[0], x, None, None, 3)
    compare(got, got, exact_group(g_[0], x_, None, None, 3))


# --- memory -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("run", [batch, lambda g, *rest: group(g[0], *rest, 2)], ids=["batch", "group"])
def test_scattered_and_misaligned(run):
    (g, x, w, b), _ = inputs((3, 4, 8), np.float32)
    wide = np.zeros((6, 8, 16), np.float32)
    wide[::2, ::2, ::2] = x
    shifted = np.empty(97, np.float32)[1:].reshape(3, 4, 8)
    shifted[...] = g[0]
    before = wide.copy()
    got = run((shifted, *g[1:]), wide[::2, ::2, ::2], w[::-1].copy()[::-1], b)
    for a, e in zip(got, run(g, x, w, b)):
        np.testing.assert_array_equal(a, e)
    np.testing.assert_array_equal(wide, before)
    np.testing.assert_array_equal(shifted, g[0])


@dtypes
def test_only_what_is_needed(dtype):
    (g, x, w, b), _ = inputs((4, 6, 12), dtype)
    *_, mean, rstd = kernels.batch_forward(x, w, b, eps=EPS)
    group_mean, group_rstd = kernels.group_forward(x, w, b, groups=2, eps=EPS)[1:]
    for run in (
        lambda *where: kernels.batch_backward(g, x, w, mean, rstd, *where),
        lambda *where: kernels.inference_backward(g[0], x, w, mean, rstd, *where),
        lambda *where: kernels.group_backward(g[0], x, w, group_mean, group_rstd, *where, groups=2),
    ):
        everything = run((True,) * 3, (None,) * 3)
        for need in [(True, False, False), (False, True, False), (False, False, True), (False, False, False)]:
            into = tuple(np.empty(6, dtype) for _ in need)
            for i, (a, e) in enumerate(zip(run(need, into), everything)):
                assert (a is None) == (not need[i])
                if a is not None:
                    np.testing.assert_array_equal(a, e)
                    assert i == 0 or a is into[i]


# --- through the primitives -------------------------------------------------------------------------------------------
def trained(device, function, shape):
    """Output, gradients and running statistics."""
    arrays = np.random.default_rng(1)
    x, w, b = (
        weft.Parameter(weft.asarray(arrays.standard_normal(s).astype("f4"), device=device)) for s in (shape, 6, 6)
    )
    running = [weft.asarray(np.full(6, v, "f4"), device=device) for v in (0.5, 2.0)]
    y = function(x, running, w, b)
    assert y.device == device
    (y * weft.asarray(np.cos(np.arange(y.size)).reshape(shape).astype("f4"), device=device)).sum().backward()
    return [t.numpy() for t in (y.detach(), x.grad, w.grad, b.grad, *running)]


@pytest.mark.parametrize("shape", [(50, 6), (3, 6, 4, 5)])
@pytest.mark.parametrize(
    "function",
    [
        lambda x, running, w, b: F.batch_norm(x, *running, w, b, training=True),
        lambda x, running, w, b: F.batch_norm(x, *running, w, b),
        lambda x, running, w, b: F.group_norm(x, 2, w, b),
    ],
    ids=["training", "inference", "group"],
)
def test_primitive(function, shape):
    for a, e in zip(trained("emulator", function, shape), trained("cpu", function, shape)):
        close(a, e, 50)


def test_fallback(monkeypatch):
    monkeypatch.setattr(autograd, "report_fallbacks", True)
    wide, empty = (weft.asarray(np.ones(s, d), device="emulator") for s, d in (((3, 4, 2), "f8"), ((0, 4, 2), "f4")))
    for x in (wide, empty):
        one = weft.asarray(np.ones(4, x.dtype), device="emulator")
        for primitive, args, static in (
            (N.batch_norm, (x,), {}),
            (N.batch_norm_inference, (x, one, one), {}),
            (N.group_norm, (x,), {"num_groups": 2}),
        ):
            with pytest.warns(UserWarning, match="on emulator fell back to the generic form"):
                y = primitive(*args, **static)
            assert (y[0] if isinstance(y, tuple) else y).shape == x.shape
