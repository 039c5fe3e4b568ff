"""Sums of many terms against float64: one table of whatever adds up, by dtype, axis and device, forward and backward.

float32 keeps a relative error below 10⁻⁶; half precision is summed in float32 and rounded once.
"""

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
