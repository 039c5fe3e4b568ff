"""Layer and RMS norm against the definitions in float64; half precision also against the generic form in the same."""

import numpy as np
import pytest
from kernel_harness import close, dtypes, every_schedule, no_worse, rounded

import weft
from weft.backend.nn import normalization as N
from weft.backend.tape import autograd
from weft.kernels import normalization as kernels
from weft.kernels.toolchain.settings import settings

rng = np.random.default_rng(0)
centred = pytest.mark.parametrize("centred", [True, False], ids=["layer", "rms"])
EPS = 1e-3

# Lanes per row: one, some, a warp, several warps, a block; rows for one block of the backward and many.
SHAPES = [
    (1, 1),
    (1025, 2),
    (31, 33),
    (33, 31),
    (32, 32),
    (3, 64),
    (1025, 33),
    (33, 1025),
    (9, 768),
    (20, 1032),
    (1, 4100),
    (3, 4104),
]


def exact(g, x, w, b, centred, eps=EPS):
    """(y, grad_x, grad_w, grad_b) in float64."""
    d = x - x.mean(1, keepdims=True) if centred else x
    rstd = 1 / np.sqrt((d * d).mean(1, keepdims=True) + eps)
    x_hat, w, b = d * rstd, 1 if w is None else w, 0 if b is None else b
    c1 = (w * g).mean(1, keepdims=True) if centred else 0
    grad_x = rstd * (w * g - c1 - x_hat * (w * g * x_hat).mean(1, keepdims=True))
    return w * x_hat + b, grad_x, (g * x_hat).sum(0), g.sum(0)


def plain(g, x, w, b, centred, eps=EPS):
    """The generic form in the precision of the arrays (to which `eps` must not bring its own)."""
    args, eps = (x, w, b) if centred else (x, w), x.dtype.type(eps)
    y, pull = (N.layer_norm if centred else N.rms_norm).generic(np, *args, eps=eps)
    if centred:
        return y, *pull(g, (True, w is not None, b is not None), (None,) * 3)
    return y, pull[0](g), pull[1](g)


def ours(g, x, w, b, centred, eps=EPS):
    def run():
        y, mean, rstd = kernels.norm_forward(x, w, b, eps=eps, centred=centred)
        need = (True, w is not None, b is not None)
        return y, *kernels.norm_backward(g, x, w, mean, rstd, need, (None,) * 3)

    return every_schedule(run)


def inputs(shape, dtype, centred, mean=0.5):
    """(low, high) precision versions of g, x, w, b."""
    cols = shape[1:]
    arrays = (
        rng.standard_normal(shape),
        rng.standard_normal(shape) + mean,
        rng.standard_normal(cols) + 1,
        rng.standard_normal(cols),
    )
    low, high = zip(*(rounded(a, dtype) for a in arrays))
    return (low, high) if centred else ((*low[:3], None), (*high[:3], None))


def compare(got, plain, exact, tolerance=4.0):
    for a, p, e in zip(got, plain, exact):
        if a is not None and a.dtype == np.float32:
            close(a, e, tolerance)
        elif a is not None:
            no_worse(a, p, e)


@dtypes
@centred
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_values_and_gradients(shape, dtype, centred):
    low, high = inputs(shape, dtype, centred)
    got = ours(*low, centred)
    assert all(a is None or a.dtype == dtype for a in got)
    compare(
        got, plain(*low, centred), exact(*high, centred), tolerance=4 if shape[1] > 2 else 100
    )  # x̂ = ±1: grad_x cancels


@dtypes
@centred
@pytest.mark.parametrize("shape", [(301, 3), (77, 64), (23, 264), (7, 1100)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_many_rows_per_block(shape, dtype, centred, monkeypatch):
    """As with more rows than a GPU has room for: blocks take one after another, the next on its way meanwhile."""
    monkeypatch.setattr(settings, "multiprocessors", 1)
    low, high = inputs(shape, dtype, centred)
    compare(ours(*low, centred), plain(*low, centred), exact(*high, centred))


@centred
@pytest.mark.parametrize("cols", [16401, 20000])
def test_rows_longer_than_registers(cols, centred):
    low, high = inputs((1, cols), np.float32, centred)
    compare(ours(*low, centred), plain(*low, centred), exact(*high, centred))


@dtypes
@centred
@pytest.mark.parametrize("shape", [(0, 5), (0, 64), (5, 0), (0, 0)])
def test_empty(shape, dtype, centred):
    low, _ = inputs(shape, dtype, centred)
    y, grad_x, grad_w, _ = ours(*low, centred)
    assert y.shape == grad_x.shape == shape
    np.testing.assert_array_equal(grad_w, np.zeros(shape[1:]))


@dtypes
@pytest.mark.parametrize(("w", "b"), [(False, False), (True, False), (False, True)])
def test_without_weight_or_bias(w, b, dtype):
    low, high = (
        (g, x, weight if w else None, bias if b else None) for g, x, weight, bias in inputs((33, 40), dtype, True)
    )
    got = ours(*low, True)
    assert (got[2] is None, got[3] is None) == (not w, not b)
    compare(got, plain(*low, True), exact(*high, True))


@pytest.mark.parametrize("shape", [(17, 33), (17, 1024), (1, 12500)])
def test_mean_far_from_zero(shape):
    """Differences from a mean of 1000 σ lose what the inputs' own rounding loses, and not more."""
    low, high = inputs(shape, np.float32, True, mean=1000.0)
    y, *_ = ours(*low, True, 1e-5)
    reference, *_ = exact(*high, True, 1e-5)
    unit = 1000 * np.finfo(np.float32).eps / 2  # of the mean, in units of σ
    assert np.abs(y - reference).max() <= 2 * unit * np.abs(low[2]).max()


@centred
def test_constant_rows(centred):
    """No variance: x̂ is 0, not the rounding error of the mean blown up."""
    x = np.full((3, 100), np.float32(3.3))
    y, _, _ = kernels.norm_forward(x, None, None, eps=1e-12, centred=centred)
    np.testing.assert_allclose(y, np.zeros_like(x) if centred else np.ones_like(x), atol=1 if centred else 1e-6)


@centred
def test_scattered_and_misaligned(centred):
    (g, x, w, b), _ = inputs((9, 64), np.float32, centred)
    expected = ours(g, x, w, b, centred)
    shifted = np.empty(9 * 64 + 1, np.float32)[1:].reshape(9, 64)
    shifted[...] = x
    wide = np.zeros((18, 128), np.float32)
    wide[::2, ::2] = g
    before = wide.copy()
    for a, e in zip(ours(wide[::2, ::2], shifted, w[::-1].copy()[::-1], b, centred), expected):
        if e is not None:
            np.testing.assert_array_equal(a, e)
    np.testing.assert_array_equal(wide, before)
    np.testing.assert_array_equal(shifted, x)


@dtypes
def test_only_what_is_needed(dtype):
    (g, x, w, b), _ = inputs((33, 40), dtype, True)
    everything = ours(g, x, w, b, True)[1:]
    _, mean, rstd = kernels.norm_forward(x, w, b, eps=EPS, centred=True)
    for need in [(True, False, False), (False, True, False), (False, False, True), (False, False, False)]:
        into = tuple(np.empty(40, dtype) for _ in need)
        got = kernels.norm_backward(g, x, w, mean, rstd, need, into)
        for i, (a, e) in enumerate(zip(got, everything)):
            assert (a is None) == (not need[i])
            if a is not None:
                np.testing.assert_array_equal(a, e)
                assert i == 0 or a is into[i]


# --- through the primitives -------------------------------------------------------------------------------------------
def on(device, primitive, args, dtype, **static):
    tensors = [weft.Parameter(weft.asarray(a.astype(dtype), device=device)) for a in args]
    y = primitive(*tensors, **static)
    (y * weft.asarray(np.cos(np.arange(y.size)).reshape(y.shape).astype(dtype), device=device)).sum().backward()
    return y.device, [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]


@pytest.mark.parametrize("ndim", [1, 2])
@pytest.mark.parametrize("primitive", [N.layer_norm, N.rms_norm], ids=lambda p: p.__name__)
def test_primitive(primitive, ndim):
    shape = (2, 5, 3, 8)
    args = [rng.standard_normal(s) for s in (shape, shape[-ndim:], shape[-ndim:])][
        : 3 if primitive is N.layer_norm else 2
    ]
    device, got = on("emulator", primitive, args, np.float32, normalized_ndim=ndim)
    assert device == "emulator"
    for a, e in zip(got, on("cpu", primitive, args, np.float32, normalized_ndim=ndim)[1]):
        close(a, e, 10)


def test_gradients_into_the_arena():
    """What an optimizer gives as memory for a parameter's gradient is written to, in the parameter's shape."""
    x, g, w, b = (
        weft.asarray(rng.standard_normal(s).astype("f4"), device="emulator") for s in [(6, 3, 8)] * 2 + [(3, 8)] * 2
    )
    expected = [weft.Parameter(p) for p in (w, b)]
    N.layer_norm(x, *expected, normalized_ndim=2).backward(g)
    got = [weft.Parameter(p) for p in (w, b)]
    for p in got:
        p._grad_view = weft.asarray(np.full((3, 8), np.nan, "f4"), device="emulator").data
    N.layer_norm(x, *got, normalized_ndim=2).backward(g)
    for p, e in zip(got, expected):
        assert p.grad.data is p._grad_view
        np.testing.assert_array_equal(p.grad.numpy(), e.grad.numpy())


def test_fallback(monkeypatch):
    monkeypatch.setattr(autograd, "report_fallbacks", True)
    x = weft.asarray(rng.standard_normal((3, 4)), device="emulator")
    for primitive in (N.layer_norm, N.rms_norm):
        with pytest.warns(UserWarning, match="on emulator fell back to the generic form"):
            y = primitive(x, eps=EPS)
        np.testing.assert_array_equal(y.numpy(), primitive.generic(np, x.numpy(), eps=EPS)[0])
