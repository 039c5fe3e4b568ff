"""The loss of a projection against NumPy's product and sums of each row, in float64; its chunks, against each other."""

import functools
import math

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.cpu import linear_cross_entropy as cpu
from weft.backend.nn import linear_cross_entropy as L
from weft.layers import functional as F

RNG = np.random.default_rng(8)


def a(*shape, scale=1.0):
    return RNG.standard_normal(shape) * scale


def labels(n, classes, ignored=None):
    y = RNG.integers(0, classes, n)
    if ignored is not None:
        y[::3] = ignored
    return y


def reference(x, W, y, b=None, w=None, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    w, classes, losses, counts = np.ones(len(W)) if w is None else w, len(W), [], []
    for row, t in zip(x, y):
        if t == ignore_index:
            losses.append(0.0)
            counts.append(0.0)
            continue
        z = W @ row + (0 if b is None else b)
        log_p = z - z.max() - math.log(np.exp(z - z.max()).sum())
        q = (1 - label_smoothing) * np.eye(classes)[t] + label_smoothing / classes
        losses.append(-(w * q * log_p).sum())
        counts.append(w[t])
    if reduction == "none":
        return np.array(losses)
    return np.sum(losses) / (np.sum(counts) if reduction == "mean" else 1)


SMOOTHED = [{"reduction": r, "label_smoothing": e} for r in ("mean", "sum", "none") for e in (0.0, 0.2)]
CASES = [
    *[
        Case(L.linear_cross_entropy, (a(7, 4), a(5, 4), labels(7, 5, i), b, w), reference, o, grad=(0, 1), tolerance=2)
        for b, w in ((None, None), (a(5), None), (a(5), RNG.random(5)))
        for i in (None, -100)
        for o in SMOOTHED
    ],
    Case(L.linear_cross_entropy, (a(7, 4), a(5, 4), labels(7, 5), a(5)), reference, grad=(0, 1, 3), tolerance=2),
    Case(L.linear_cross_entropy, (a(7, 4), a(5, 4), labels(7, 5, 2)), reference, {"ignore_index": 2}, tolerance=2),
    Case(L.linear_cross_entropy, (a(1, 1), a(1, 1), labels(1, 1)), reference),
    Case(L.linear_cross_entropy, (a(33, 31, scale=0.3), a(65, 31), labels(33, 65)), reference, tolerance=4),
    Case(L.linear_cross_entropy, (a(0, 4), a(5, 4), labels(0, 5)), reference, {"reduction": "sum"}),
]
test_primitive = harness.over(CASES)


def run(x, W, y, b=None, w=None, dtype="float32", grad=None, **options):
    x, W, b, w = (None if t is None else weft.asarray(np.asarray(t, dtype)) for t in (x, W, b, w))
    tracked = [t.requires_grad_() for t in (x, W, b) if t is not None]
    loss = F.linear_cross_entropy(x, W, weft.asarray(y), linear_bias=b, weight=w, **options)
    loss.backward(None if grad is None else weft.asarray(np.asarray(grad, dtype)))
    return [loss.detach().numpy(), *(t.grad.numpy() for t in tracked)]


def composed(x, W, y, b=None, w=None, grad=None, **options):
    x, W, b, w = (None if t is None else weft.asarray(np.asarray(t, "float64")) for t in (x, W, b, w))
    tracked = [t.requires_grad_() for t in (x, W, b) if t is not None]
    loss = F.cross_entropy(F.linear(x, W, b), weft.asarray(y), w, **options)
    loss.backward(None if grad is None else weft.asarray(np.asarray(grad, "float64")))
    return [loss.detach().numpy(), *(t.grad.numpy() for t in tracked)]


def close(got, expected, tolerance):
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=tolerance, atol=tolerance * np.abs(e).max())


@pytest.fixture
def in_pieces(monkeypatch):
    """Chunks of 16 rows, blocks of 64 classes, in groups."""
    monkeypatch.setattr(cpu, "CHUNK", 1)
    monkeypatch.setattr(cpu, "BLOCK", 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [0.3, 30.0], ids=["as they are", "shifted"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "b": 1, "w": 1}, {"b": 1, "ignored": -100}], ids=str)
def test_in_pieces(in_pieces, dtype, scale, reduction, options):
    x, W, y = a(50, 9, scale=scale), a(1000, 9), labels(50, 1000, options.get("ignored"))
    b, w = (a(1000) if "b" in options else None), (RNG.random(1000) if "w" in options else None)
    more = {"reduction": reduction, "label_smoothing": options.get("label_smoothing", 0.0)}
    grad = a(50) if reduction == "none" else 0.7
    got, expected = run(x, W, y, b, w, dtype, grad, **more), composed(x, W, y, b, w, grad, **more)
    close(got, expected, 3e-5 if dtype == "float32" and scale > 1 else 3e-6 if dtype == "float32" else 1e-12)


def test_any_number_of_threads_gives_the_same_bits(in_pieces):
    x, W, y, found = a(50, 9), a(1000, 9), labels(50, 1000), []
    before = weft.num_threads()
    try:
        for threads in (1, 2, 3):
            weft.set_num_threads(threads)
            found.append([t.tobytes() for t in run(x, W, y, a(1000) * 0)])
    finally:
        weft.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_small_losses_keep_their_digits():
    """Class 0 is right by a margin of 12: the loss is ln(1 + e⁻¹² + …), and 1 − p no difference of ones."""
    loss, grad, _ = run([[1.0]], [[12.0], [0.0], [-1.0]], [0])
    exact = math.log1p(math.exp(-12) + math.exp(-13))
    assert loss == pytest.approx(exact, rel=2e-2)  # float32's 1 + e⁻¹² has 4 digits of the rest
    assert grad[0, 0] == pytest.approx(-12 * exact, rel=5e-2)


def test_extremes():
    x, W = [[1.0, 0.0], [0.0, 1.0]], [[1e4, 25.0], [-1e4, -1e4], [0.0, 0.0]]
    for dtype in ("float32", "float64"):
        got = run(x, W, [1, 0], dtype=dtype, reduction="sum")
        close(got, composed(x, W, [1, 0], reduction="sum"), 1e-6)


def test_rows_that_do_not_count_may_hold_anything():
    x = a(4, 3)
    x[1], x[3] = np.nan, np.inf
    W, y = a(5, 3), np.array([0, -100, 4, -100])
    got = run(x, W, y)
    close([got[0], got[1][::2], got[2]], run(x[::2], W, y[::2]), 1e-6)
    assert not got[1][1::2].any()
    loss, grad, _ = run(x, W, np.full(4, -100))
    assert np.isnan(loss)
    assert not grad.any()


def test_a_class_that_is_ruled_out():
    loss, grad_x, grad_W, grad_b = run(a(2, 3, scale=0.1), a(3, 3), [0, 2], [0.0, -np.inf, 0.0])
    assert np.isfinite(loss)
    assert np.isfinite(grad_x).all()
    assert not grad_W[1].any()
    assert grad_b[1] == 0


def test_backward_twice_and_frozen_parts():
    x, W, y = (weft.asarray(t) for t in (a(6, 3), a(5, 3), labels(6, 5)))
    x.requires_grad_()
    loss = F.linear_cross_entropy(x, W, y)  # W is frozen: nothing is prepared for it
    (3 * loss).backward(retain_graph=True)
    first = x.grad.numpy().copy()
    x.grad = None
    (3 * loss).backward()
    np.testing.assert_allclose(x.grad.numpy(), first, rtol=1e-12)
    assert W.grad is None


def test_derivatives_of_derivatives():
    """Twice under `weft.grad`, against central differences."""
    x, W, y = a(6, 3), a(5, 3), weft.asarray(labels(6, 5))

    def slope(W):
        return (weft.grad(lambda W: F.linear_cross_entropy(weft.asarray(x), W, y))(W) ** 2).sum()

    d = a(5, 3)
    found = (weft.grad(slope)(weft.asarray(W)).numpy() * d).sum()
    up, down = (slope(weft.asarray(W + e * d)).item() for e in (1e-5, -1e-5))
    assert found == pytest.approx((up - down) / 2e-5, rel=1e-6)


def test_tied_weights():
    table, y = a(11, 4), labels(8, 11)
    first, second = ([], [])
    for tied, keep in ((F.linear_cross_entropy, first), (lambda x, W, y: F.cross_entropy(F.linear(x, W), y), second)):
        W = weft.Parameter(weft.asarray(table))
        x = F.embedding(weft.asarray(np.arange(8)), W)
        tied(x.tanh(), W, weft.asarray(y)).backward()
        keep.append(W.grad.numpy())
    np.testing.assert_allclose(first, second, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("device", ["cpu", "emulator"])
def test_under_autocast(half, device):
    """The loss is float32, the parameter's gradient too; both as near to float64's as rounding x and W once allows."""
    x, W, y = a(40, 8), a(33, 8, scale=0.5), labels(40, 33)
    if device not in weft.devices():
        pytest.skip("no C++ compiler")
    exact = composed(x, W, y)
    X = weft.asarray(x.astype("float32"), device=device).requires_grad_()
    P = weft.Parameter(weft.asarray(W.astype("float32"), device=device))
    with weft.autocast(half):
        loss = F.linear_cross_entropy(X, P, weft.asarray(y, device=device))
    loss.backward()
    assert loss.dtype == X.grad.dtype == P.grad.dtype == weft.float32
    close([loss.detach().numpy(), X.grad.numpy(), P.grad.numpy()], exact, 2e-2 if half == "bfloat16" else 4e-3)


def test_chunks_on_an_accelerator(accelerator, monkeypatch):
    """Several chunks add up, eager and captured alike."""
    from weft.backend.cuda import linear_cross_entropy as cuda

    monkeypatch.setattr(cuda, "CHUNK", 1)
    monkeypatch.setattr(cuda, "LEAST", 16)
    x, W, y, b = a(40, 8), a(33, 8), labels(40, 33, -100), a(33)
    put = functools.partial(weft.asarray, device=accelerator)
    for reduction in ("mean", "none"):
        grad = a(40) if reduction == "none" else np.asarray(0.5)
        grad = put(grad.astype("float32"))
        X, P, B = (weft.Parameter(put(t.astype("float32"))) for t in (x, W, b))

        def step(target, X=X, P=P, B=B, reduction=reduction, grad=grad):
            X.grad = P.grad = B.grad = None
            loss = F.linear_cross_entropy(X, P, target, linear_bias=B, reduction=reduction)
            loss.backward(grad)
            return loss.detach(), X.grad, P.grad, B.grad

        eager = [t.numpy().copy() for t in step(put(y))]
        close(eager, composed(x, W, y, b, grad=grad.numpy(), reduction=reduction), 1e-5)
        captured = weft.capture(step, warmup=1)
        for _ in range(3):
            assert [t.numpy().tobytes() for t in captured(put(y))] == [e.tobytes() for e in eager]


def test_memory_is_a_chunk(monkeypatch):
    """Beyond x, W and their gradients there is a chunk of logits, and little else."""
    import tracemalloc

    monkeypatch.setattr(cpu, "CHUNK", 1 << 20)
    x, W = (weft.asarray(a(*s).astype("float32")).requires_grad_() for s in ((2048, 16), (4096, 16)))
    y = weft.asarray(labels(2048, 4096))
    tracemalloc.start()
    F.linear_cross_entropy(x, W, y).backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (1 << 20) + x.data.nbytes + W.data.nbytes + (1 << 20)
    assert peak < 2048 * 4096 * 4 / 10
