"""Sums of many terms against float64: one table of whatever adds up, by dtype, axis and device, forward and backward.

float32 keeps a relative error below 10⁻⁶; half precision is summed in float32 and rounded once.
"""

import functools
import math

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.backend.array import sums
from weft.layers import functional as F

DEVICES = [
    "cpu",
    pytest.param("emulator", marks=pytest.mark.skipif("emulator" not in weft.devices(), reason="no compiler")),
]
PRECISION = {
    "float32": 1e-6,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}  # relative: half a unit in the last place and more
every_device = pytest.mark.parametrize("device", DEVICES)
halves = pytest.mark.parametrize("dtype", ["float16", "bfloat16"])


def filled(shape, value, dtype="float32", device="cpu"):
    return weft.asarray(np.full(shape, value, np.float32)).astype(getattr(weft, dtype)).to(device)


def wide(x):
    return x.detach().cpu().numpy().astype(np.float64)


def close(got, expected, dtype, times=1):
    expected = np.asarray(expected)
    assert got.dtype == getattr(weft, dtype)
    np.testing.assert_allclose(
        wide(got), np.broadcast_to(expected, got.shape), rtol=times * PRECISION[dtype], atol=1e-30
    )


# --- float32 along every axis -----------------------------------------------------------------------------------------
REDUCTIONS = {
    "sum": (weft.sum, np.sum),
    "mean": (weft.mean, np.mean),
    "var": (weft.var, np.var),
    "std": (weft.std, np.std),
    "logsumexp": (weft.logsumexp, lambda x, axis: np.log(np.sum(np.exp(x), axis=axis))),
    "vector_norm": (weft.linalg.vector_norm, lambda x, axis: np.sqrt(np.sum(x * x, axis=axis))),
    "norm of order 1": (
        lambda x, axis: weft.linalg.vector_norm(x, axis=axis, ord=1),
        lambda x, axis: np.sum(np.abs(x), axis=axis),
    ),
    "norm of order 3": (
        lambda x, axis: weft.linalg.vector_norm(x, axis=axis, ord=3),
        lambda x, axis: np.sum(np.abs(x) ** 3, axis=axis) ** (1 / 3),
    ),
    "cumulative_sum": (
        lambda x, axis: weft.cumulative_sum(weft.moveaxis(x, axis, 0), axis=0)[-1],
        lambda x, axis: np.sum(x, axis=axis),
    ),
}
LAYOUTS = {
    "rows": (lambda n: (n, 2), 0),
    "columns": (lambda n: (2, n), 1),
    "one column": (lambda n: (n, 1), 0),
    "between": (lambda n: (2, n, 3), 1),
    "odd": (lambda n: (n + 37, 3), 0),
}


@every_device
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_float32(name, layout, device):
    function, reference = REDUCTIONS[name]
    shape, axis = LAYOUTS[layout]
    x = np.full(shape(300_000), 0.7, np.float32)
    x[(slice(None),) * axis + (slice(None, None, 2),)] = 0.1
    close(function(weft.asarray(x, device=device), axis=axis), reference(x.astype(np.float64), axis=axis), "float32")


@every_device
@pytest.mark.parametrize("axis", [None, (0, 2), (0, 1), (1, 2), 0, 1, 2, -3])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)])
@pytest.mark.parametrize("kind", ["whole", "gaps", "backwards", "repeated"])
def test_every_layout(kind, order, axis, device):
    x = np.random.default_rng(0).uniform(0.5, 1, (300, 70, 90)).astype(np.float32).transpose(order)
    x = {"whole": x, "gaps": x[:, 1::2, ::3], "backwards": x[::-1, :, ::-1], "repeated": x[:, :1]}[kind]
    x = np.broadcast_to(x, (x.shape[0], 65, x.shape[2])) if kind == "repeated" else x
    raw = weft.asarray(x, device=device)
    for keepdims in (False, True):
        close(raw.sum(axis=axis, keepdims=keepdims), x.astype(np.float64).sum(axis=axis, keepdims=keepdims), "float32")


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7])
@pytest.mark.parametrize("shape", [(10_000_000, 1), (5_000_000, 2), (10_000_000,)])
def test_ten_million_terms(shape, value):
    x, n = filled(shape, value).requires_grad_(), shape[0]
    total = x.sum(axis=0)
    close(total, n * float(np.float32(value)), "float32")
    close(weft.mean(x, axis=0), float(np.float32(value)), "float32")
    w = filled((1, *shape[1:]), 1.0).requires_grad_()
    weft.broadcast_to(w, shape).backward(x.detach())
    close(w.grad, n * float(np.float32(value)), "float32")


def test_complex_numbers_and_float64_too():
    x = np.full((1_000_000, 2), 0.1 + 0.7j, np.complex64)
    got = weft.asarray(x).sum(axis=0).numpy()
    np.testing.assert_allclose(got, x.astype(np.complex128).sum(axis=0), rtol=1e-6)
    y = np.full((1_000_000, 2), 0.1)
    np.testing.assert_allclose(weft.asarray(y).sum(axis=0).numpy(), 1e5, rtol=1e-14)


def test_what_is_not_finite_stays():
    x = np.ones((1000, 3), np.float32)
    x[500, 0], x[501, 1], x[3, 2], x[4, 2] = np.nan, np.inf, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(weft.asarray(x).sum(axis=0).numpy(), [np.nan, np.inf, np.nan])


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1000, 0), (0,), ()])
def test_nothing_and_one(shape):
    x = np.ones(shape, np.float32)
    for axis in (None, *range(x.ndim)):
        np.testing.assert_array_equal(weft.asarray(x).sum(axis=axis).numpy(), x.sum(axis=axis))


def test_another_library_is_cut_into_runs_too(monkeypatch):
    import array_api_strict as xp

    monkeypatch.setattr(sums, "FEW_PER_BLOCK", 32)
    x = np.random.default_rng(0).uniform(0.5, 1, (7, 1000, 3)).astype(np.float32)
    for axis in (None, 0, 1, (0, 1), (1, 2)):
        for keepdims in (False, True):
            got = sums.total(xp, xp.asarray(x), axis, keepdims=keepdims)
            np.testing.assert_allclose(
                np.asarray(got), x.astype(np.float64).sum(axis=axis, keepdims=keepdims), rtol=1e-6
            )


# --- gradients that add up --------------------------------------------------------------------------------------------
def embedded(w, n):
    return F.embedding(weft.zeros((n,), dtype=weft.int64, device=w.device), w)


GATHERED = {  # functions of w (1, C) whose gradient is the sum of n rows
    "broadcast_to": lambda w, n: weft.broadcast_to(w, (n, w.shape[1])),
    "add": lambda w, n: weft.zeros((n, w.shape[1]), dtype=w.dtype, device=w.device) + w,
    "subtract": lambda w, n: w - weft.zeros((n, w.shape[1]), dtype=w.dtype, device=w.device),
    "multiply": lambda w, n: weft.ones((n, w.shape[1]), dtype=w.dtype, device=w.device) * w,
    "maximum": lambda w, n: weft.maximum(w, weft.zeros((n, w.shape[1]), dtype=w.dtype, device=w.device) - 100),
    "where": lambda w, n: weft.where(weft.ones((n, 1), dtype=weft.bool, device=w.device), w, w * 0),
    "repeat": lambda w, n: weft.repeat(w, n, axis=0),
    "tile": lambda w, n: weft.tile(w, (n, 1)),
    "take": lambda w, n: weft.take(w, weft.zeros((n,), dtype=weft.int64, device=w.device), axis=0),
    "indexing": lambda w, n: w[weft.zeros((n,), dtype=weft.int64, device=w.device)],
    "take_along_axis": lambda w, n: weft.take_along_axis(
        w, weft.zeros((n, w.shape[1]), dtype=weft.int64, device=w.device), axis=0
    ),
    "embedding": embedded,
    "linear's bias": lambda w, n: F.linear(
        weft.zeros((n, 1), dtype=w.dtype, device=w.device),
        weft.zeros((w.shape[1], 1), dtype=w.dtype, device=w.device),
        w.reshape(-1),
    ),
}


@every_device
@pytest.mark.parametrize("dtype", list(PRECISION))
@pytest.mark.parametrize("name", GATHERED)
def test_gradients_of_many_terms(name, dtype, device):
    for n, value in ((5000, 1.0), (20_000, 0.1)):
        w = filled((1, 2), 1.0, dtype, device).requires_grad_()
        y = GATHERED[name](w, n)
        y.backward(filled(y.shape, value, dtype, device))
        kernel = (
            3 if (name, dtype, device) == ("linear's bias", "float32", "emulator") else 1
        )  # a few hundred rows a thread
        close(w.grad, n * wide(filled((1,), value, dtype)), dtype, kernel)


# --- gradients that meet, are averaged, or are sums of many rows ------------------------------------------------------
FAN_OUT = {  # functions of w () whose gradient is the sum of n
    "a leaf, joined": lambda w, n: weft.concat([w.reshape(1)] * n),
    "a leaf, stacked": lambda w, n: weft.stack([w] * n),
    "a result, stacked": lambda w, n: weft.stack([w * 1] * n),
    "a leaf, in turn": lambda w, n: weft.stack([w * 1 for _ in range(n)]),
}


@every_device
@pytest.mark.parametrize("dtype", list(PRECISION))
@pytest.mark.parametrize("name", FAN_OUT)
def test_gradients_that_meet(name, dtype, device):
    n = 700 if name == "a leaf, in turn" else 3000
    w = filled((), 1.0, dtype, device)
    g = filled(FAN_OUT[name](w, n).shape, 1.0, dtype, device)
    leaf = w.clone().requires_grad_()
    FAN_OUT[name](leaf, n).backward(g)
    close(leaf.grad, n, dtype)
    close(weft.grad(lambda w: (FAN_OUT[name](w, n) * g).astype(weft.float32).sum())(w), n, dtype)


@every_device
def test_each_backward_rounds_what_it_adds(device):
    """As PyTorch does: what a later one finds is the gradient in its dtype, whatever was written there in between."""
    leaf = filled((), 1.0, "bfloat16", device).requires_grad_()
    weft.stack([leaf] * 300).sum().backward()
    leaf.grad.fill_(8.0)
    weft.stack([leaf] * 4).sum().backward()
    assert leaf.grad.item() == 12


@every_device
@pytest.mark.parametrize("dtype", list(PRECISION))
def test_means_of_an_embedding(dtype, device):
    """`scale_grad_by_freq` divides the sum, which float16 could not hold."""
    for n, value in ((1, 1.0), (200, 1.0), (300, 1.0), (5000, 20.0)):
        w = filled((3, 2), 1.0, dtype, device).requires_grad_()
        indices = weft.asarray([1] * n + [0], device=device)
        y = F.embedding(indices, w, scale_grad_by_freq=True)
        y.backward(filled(y.shape, value, dtype, device))
        close(w.grad[:2], value, dtype)
        assert w.grad[2].tolist() == [0, 0]
    w = filled((3, 2), 1.0, dtype, device).requires_grad_()
    F.embedding(weft.asarray([2, 0, 2], device=device), w, padding_idx=0, scale_grad_by_freq=True).sum().backward()
    assert w.grad.tolist() == [[0, 0], [0, 0], [1, 1]]


@pytest.mark.parametrize("dtype", list(PRECISION))
def test_pixels_of_many_windows(dtype):
    x = np.zeros((1, 1, 5999), np.float32)
    x[0, 0, 2999] = 1
    x = weft.asarray(x).astype(getattr(weft, dtype)).requires_grad_()
    F.max_pool1d(x, 3000, 1).sum().backward()
    close(x.grad[0, 0, 2999], 3000, dtype)
    x = np.zeros((1, 1, 139, 139), np.float32)
    x[0, 0, 69, 69] = 1
    x = weft.asarray(x).astype(getattr(weft, dtype)).requires_grad_()
    F.max_pool2d(x, 70, 1).sum().backward()
    close(x.grad[0, 0, 69, 69], 4900, dtype)


CONVOLUTIONS = {
    "conv1d": (F.conv1d, (1, 1, 3_000_000)),
    "conv_transpose1d": (F.conv_transpose1d, (1, 1, 3_000_000)),
    "conv2d": (F.conv2d, (4, 1, 500, 500)),
    "wide": (F.conv2d, (1, 1, 2, 500_000)),
    "high": (F.conv2d, (1, 1, 500_000, 2)),
    "many": (F.conv2d, (30_000, 1, 2, 4)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_biases_of_convolutions(name, channels):
    f, shape = CONVOLUTIONS[name]
    weight_shape = (1, channels) if "transpose" in name else (channels, 1)
    w, b = filled((*weight_shape, *[1] * (len(shape) - 2)), 1.0), filled((channels,), 0.0).requires_grad_()
    y = f(filled(shape, 0.1), w, b)
    (y * 0.7).sum().backward()
    close(b.grad, y.numel() / channels * np.float64(np.float32(0.7)), "float32")


@pytest.mark.parametrize(("o", "i"), [(1, 1), (1, 8), (8, 1), (4, 4)])
def test_weights_of_dense_layers_over_many_rows(o, i, rng):
    n = 3_000_000 // max(o, i)
    x, w = rng.random((n, i)).astype(np.float32), filled((o, i), 0.0).requires_grad_()
    F.linear(weft.asarray(x), w).backward(filled((n, o), 0.7))
    close(w.grad, np.float64(np.float32(0.7)) * x.astype(np.float64).sum(0), "float32")


@pytest.mark.parametrize("output", [1, 7])
@pytest.mark.parametrize("shape", [(1, 1, 3_000_000), (1, 1, 2000, 1500), (1, 2, 3, 70_001)])
def test_means_of_long_windows(shape, output):
    pool = F.adaptive_avg_pool1d if len(shape) == 3 else F.adaptive_avg_pool2d
    x = filled(shape, 0.1).requires_grad_()
    y = pool(x, output if len(shape) == 3 else (min(output, shape[2]), output))
    close(y, np.float64(np.float32(0.1)), "float32")
    y.sum().backward()
    np.testing.assert_allclose(wide(x.grad).sum(), y.numel(), rtol=1e-6)


# --- half precision is widened ----------------------------------------------------------------------------------------
def ramp(n, dtype, device="cpu"):
    return weft.asarray(np.arange(n, dtype=np.float32)).astype(getattr(weft, dtype)).to(device)


@every_device
@halves
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_of_halves(name, dtype, device):
    function, reference = REDUCTIONS[name]
    for x in (
        filled((5000, 2), 0.1, dtype, device),
        ramp(200, dtype, device)[:, None] * filled((1, 2), 1, dtype, device),
    ):
        expected = reference(wide(x), axis=0)
        if np.max(expected) < 60000:
            atol = 2e-4 if name in ("var", "std") else 0  # of equal numbers it is 0
            got = function(x, axis=0)
            assert got.dtype == x.dtype
            np.testing.assert_allclose(wide(got), expected, rtol=PRECISION[dtype], atol=atol)


NORMS = {
    "LayerNorm": (lambda: nn.LayerNorm(200), (3, 200), -1),
    "RMSNorm": (lambda: nn.RMSNorm(200), (3, 200), None),
    "GroupNorm": (lambda: nn.GroupNorm(1, 2), (3, 2, 100), (1, 2)),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(2), (3, 2, 200), -1),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(2), (4, 2, 20, 20), (0, 2, 3)),
}


@every_device
@halves
@pytest.mark.parametrize("name", NORMS)
def test_normalisation_of_halves(name, dtype, device):
    make, shape, axis = NORMS[name]
    x = np.resize(np.arange(200, dtype=np.float32) + 100, shape)
    x = weft.asarray(x).astype(getattr(weft, dtype)).to(device)
    layer = make().to(device).to(getattr(weft, dtype))
    a = wide(x)
    if axis is None:
        expected = a / np.sqrt(np.mean(a * a, axis=-1, keepdims=True))
    else:
        expected = (a - a.mean(axis=axis, keepdims=True)) / np.sqrt(a.var(axis=axis, keepdims=True) + 1e-5)
    np.testing.assert_allclose(wide(layer(x)), expected, rtol=2 * PRECISION[dtype], atol=2e-3)


OTHERS = {  # functions of 20s (16, 5000) that overflow or stand still in half precision, and what they are
    "mse_loss": (lambda x: F.mse_loss(x, x * 0), 400),
    "l1_loss": (lambda x: F.l1_loss(x, x * 0), 20),
    "smooth_l1_loss": (lambda x: F.smooth_l1_loss(x, x * 0), 19.5),
    "huber_loss": (lambda x: F.huber_loss(x, x * 0), 19.5),
    "softmax": (lambda x: F.softmax(x, dim=1), 1 / 5000),
    "log_softmax": (lambda x: F.log_softmax(x, dim=1), -math.log(5000)),
    "cross_entropy": (
        lambda x: F.cross_entropy(x, weft.zeros((16,), dtype=weft.int64, device=x.device)),
        math.log(5000),
    ),
    "normalize": (lambda x: F.normalize(x, dim=1), 1 / math.sqrt(5000)),
    "cosine_similarity": (lambda x: F.cosine_similarity(x, x, dim=1), 1),
    "vector_norm": (lambda x: weft.linalg.vector_norm(x), 20 * math.sqrt(80_000)),
    "matrix_norm": (lambda x: weft.linalg.matrix_norm(x), 20 * math.sqrt(80_000)),
    "vecdot": (lambda x: weft.vecdot(x, x * 0 + 0.125), 12_500),
    "matmul": (lambda x: x @ (x * 0 + 0.125).T, 12_500),
    "tensordot": (lambda x: weft.tensordot(x, x * 0 + 0.125, axes=([1], [1])), 12_500),
    "avg_pool2d": (lambda x: F.avg_pool2d(x[:, :4096].reshape(1, 16, 64, 64), 64), 20),
    "avg_pool1d": (lambda x: F.avg_pool1d(x[None], 5000), 20),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x[:, :4096].reshape(1, 16, 64, 64), 1), 20),
    "mean": (weft.mean, 20),
    "logsumexp": (lambda x: weft.logsumexp(x, axis=1), 20 + math.log(5000)),
    "sum as float32": (lambda x: weft.sum(x, dtype=weft.float32).astype(x.dtype) / 80, 20_000),
    "trace": (lambda x: weft.linalg.trace(x @ (x.T * 0 + 1 / 1024)) / 16, 20 * 5000 / 1024),
}


@every_device
@halves
@pytest.mark.parametrize("name", OTHERS)
def test_others_of_halves(name, dtype, device):
    function, expected = OTHERS[name]
    if name == "sum as float32":
        assert weft.sum(filled((80_000,), 20, dtype, device), dtype=weft.float32).item() == 1_600_000
        return
    got = function(filled((16, 5000), 20, dtype, device))
    assert got.dtype == getattr(weft, dtype)
    np.testing.assert_allclose(wide(got), np.full(got.shape, expected), rtol=2 * PRECISION[dtype])


# --- losses -----------------------------------------------------------------------------------------------------------
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def huber(x, y):
    d = x - y
    return np.where(np.abs(d) < 1, d * d / 2, np.abs(d) - 0.5), np.clip(d, -1, 1)


POINTWISE = {  # ℓ and dℓ/dx, for x in (0, 1); and what the target is
    "mse_loss": (lambda x, y: ((x - y) ** 2, 2 * (x - y)), "part"),
    "l1_loss": (lambda x, y: (np.abs(x - y), np.sign(x - y)), "part"),
    "huber_loss": (huber, "part"),
    "smooth_l1_loss": (huber, "part"),
    "binary_cross_entropy": (lambda x, y: (-y * np.log(x) - (1 - y) * np.log(1 - x), (x - y) / (x * (1 - x))), "part"),
    "binary_cross_entropy_with_logits": (lambda x, y: (np.log1p(np.exp(x)) - y * x, sigmoid(x) - y), "part"),
    "kl_div": (lambda x, y: (y * (np.log(y) - x), -y), "part"),
    "hinge_loss": (lambda x, y: (np.maximum(0, 1 - y * x), -y), "sign"),
    "soft_margin_loss": (lambda x, y: (np.log1p(np.exp(-y * x)), -y * sigmoid(-y * x)), "sign"),
    "hinge_embedding_loss": (lambda x, y: (np.where(y == 1, x, 1 - x), y), "sign"),
}
SHAPES = {
    "rows": lambda n: np.arange(2 * n).reshape(n, 2),
    "columns": lambda n: np.arange(2 * n).reshape(2, n).T,
    "channels last": lambda n: np.arange(n // 16 * 48).reshape(4, n // 16, 4, 3).transpose(0, 3, 1, 2),
}


def alternating(order, values, dtype, device):
    """Two values by turns, in the layout of `order`."""
    raw = np.take(np.array(values, np.float32), order % 2)
    return weft.asarray(np.copy(raw, order="K"), device=device).to(getattr(weft, dtype))


def check_loss(loss, x, value, slope, count, dtype):
    for reduction, share in (("mean", 1 / count), ("sum", 1)):
        x.grad = None
        out = loss(x, reduction=reduction)
        out.backward()
        close(out, value.sum() * share, dtype)
        assert x.grad.dtype == x.dtype
        np.testing.assert_allclose(
            wide(x.grad), slope * share, rtol=3 * PRECISION[dtype], atol=2.0**-24 if dtype == "float16" else 1e-12
        )


@every_device
@pytest.mark.parametrize("dtype", list(PRECISION))
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise_losses(name, shape, dtype, device):
    reference, kind = POINTWISE[name]
    order = SHAPES[shape](150_000 if dtype == "float32" else 2_400)
    x = alternating(order, (0.7, 0.1), dtype, device).requires_grad_()
    y = alternating(order, (0.3, 0.6) if kind == "part" else (1, -1), dtype, device)
    assert device != "cpu" or x.data.strides == np.copy(x.data, order="K").strides
    value, slope = reference(wide(x), wide(y))
    check_loss(functools.partial(getattr(F, name), target=y), x, value, slope, value.size, dtype)


def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def cross_entropy(x, hot, w, smoothing=0.0):
    q = w * ((1 - smoothing) * hot + smoothing / x.shape[1])
    log_p = log_softmax(x)
    return -(q * log_p).sum(axis=1), np.exp(log_p) * q.sum(axis=1, keepdims=True) - q


def multi_margin(x, hot, w):
    own = (w * hot).sum(axis=1, keepdims=True) / x.shape[1]
    gap = own * (1 - (x * hot).sum(axis=1, keepdims=True) + x) * (1 - hot)
    slope = own * (1 - hot) * (gap > 0)
    return np.maximum(gap, 0).sum(axis=1), slope - hot * slope.sum(axis=1, keepdims=True)


OF_CLASSES = {  # ℓ and dℓ/dx; options; whether the mean divides by the weights
    "cross_entropy": (cross_entropy, {}, True),
    "cross_entropy, smoothed": (lambda x, hot, w: cross_entropy(x, hot, w, 0.1), {"label_smoothing": 0.1}, True),
    "nll_loss": (lambda x, hot, w: (-(w * hot * x).sum(axis=1), -w * hot), {}, True),
    "multi_margin_loss": (multi_margin, {}, False),
}


@every_device
@pytest.mark.parametrize("dtype", list(PRECISION))
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("name", OF_CLASSES)
def test_losses_of_classes(name, weighted, dtype, device):
    reference, options, by_weight = OF_CLASSES[name]
    n = 2_400 if dtype != "float32" else 150_000 if device == "cpu" else 20_000
    shapes = ["rows", "columns"] if name == "multi_margin_loss" else SHAPES
    for order in (SHAPES[shape](n) for shape in shapes):
        x = alternating(order, (0.7, 0.1), dtype, device).requires_grad_()
        axes = (slice(None), None, *[None] * (x.ndim - 2))
        w = np.array([0.5, 1.5, 1.0], np.float32)[: x.shape[1]] if weighted else np.ones(x.shape[1], np.float32)
        target = np.arange(x.size // x.shape[1]).reshape(x.shape[0], *x.shape[2:]) % x.shape[1]
        hot = np.moveaxis(np.eye(x.shape[1])[target], -1, 1)
        each = w.astype(np.float64)[axes[0], *axes[2:]][None]
        value, slope = reference(wide(x), hot, each)
        if weighted:
            options = {**options, "weight": weft.asarray(w, device=device).to(x.dtype)}
        labels = weft.asarray(target, device=device)
        function = getattr(F, name.partition(",")[0])
        count = (each * hot).sum() if by_weight else value.size
        loss = functools.partial(function, target=labels, **options)
        check_loss(loss, x, value, slope, count, dtype)


@every_device
@pytest.mark.parametrize("dtype", list(PRECISION))
def test_cross_entropy_of_probabilities(dtype, device):
    for order in (SHAPES[shape](150_000 if dtype == "float32" else 2_400) for shape in SHAPES):
        x = alternating(order, (0.7, 0.1), dtype, device).requires_grad_()
        q = alternating(order, (0.25, 0.75), dtype, device)
        value, slope = cross_entropy(wide(x), wide(q), 1.0)
        loss = functools.partial(F.cross_entropy, target=q)
        check_loss(loss, x, value, slope, value.size, dtype)


def test_losses_of_ten_million_terms():
    x, y = filled((5_000_000, 2), 0.7), filled((5_000_000, 2), 0.1)
    difference = float(np.float32(0.7)) - float(np.float32(0.1))
    for reduction, share in (("mean", 1), ("sum", 10_000_000)):
        close(F.mse_loss(x, y, reduction=reduction), difference**2 * share, "float32")
        close(F.l1_loss(x, y, reduction=reduction), difference * share, "float32")
    labels = weft.zeros((5_000_000,), dtype=weft.int64)
    weight = weft.tensor([0.1, 0.3])
    for options in ({}, {"weight": weight}):
        close(F.cross_entropy(x, labels, **options), math.log(2), "float32")


@every_device
def test_sums_to_half_precision_of_other_dtypes(device):
    for x in (weft.ones((5000,), dtype=weft.int64, device=device), weft.ones((5000, 2), device=device)):
        assert np.all(wide(weft.sum(x, axis=0, dtype=weft.float16)) == 5000)
        assert np.all(wide(weft.cumulative_sum(x, axis=0, dtype=weft.float16)[-1]) == 5000)


@every_device
def test_softmax_of_many_zeros(device):
    got = F.softmax(weft.zeros((70_000,), dtype=weft.float16, device=device), dim=0)
    np.testing.assert_allclose(wide(got), 1 / 70_000, rtol=0, atol=2.0**-25)


@halves
def test_where_numpy_is_not_the_library(cupy, dtype):
    for name in ("broadcast_to", "tile", "add", "take", "indexing", "embedding"):
        w = filled((1, 2), 1.0, dtype, "cuda").requires_grad_()
        y = GATHERED[name](w, 5000)
        y.backward(filled(y.shape, 1.0, dtype, "cuda"))
        close(w.grad, 5000, dtype)
    x = filled((5000, 2), 20, dtype, "cuda")
    close(weft.mean(x, axis=0), 20, dtype)
    close(weft.linalg.vector_norm(x, axis=0), 20 * math.sqrt(5000), dtype)


# --- arange -----------------------------------------------------------------------------------------------------------
@every_device
def test_arange_does_not_add_up_its_step(device):
    got = weft.arange(1000, 1001, 0.001, device=device)
    assert got.shape == (1000,)
    assert got.dtype == weft.float32
    np.testing.assert_array_equal(got.numpy(), (1000 + np.arange(1000) * 0.001).astype(np.float32))
    np.testing.assert_array_equal(weft.arange(5.0, 0.0, -2.0, device=device).numpy(), [5, 3, 1])
    assert weft.arange(3.0, 1.0, device=device).shape == (0,)
    half = weft.arange(0, 3000, 1, dtype=weft.float16, device=device)
    np.testing.assert_array_equal(half.numpy(), np.arange(3000).astype(np.float16))
