"""Against the definition in float64, row by row; halves also against the same NumPy operations in the same precision."""

import kernel_harness
import numpy as np
import pytest
from harness import scattered
from kernel_harness import FLOATS, close, dtypes, every_schedule, no_worse, rounded

import weft
from weft.backend.nn import loss as L
from weft.backend.tape import autograd
from weft.kernels import cross_entropy as kernels

REDUCTIONS = ("none", "sum", "mean")
# one thread to a row; a warp; 256 threads; 512, and more than shared memory keeps (float32)
CLASSES = (1, 3, 31, 32, 33, 1000, 1025, 5001, 50257)


def reference(x, target, weight=None, *, ignore_index=-100, label_smoothing=0.0, reduction="mean", grad_loss=None):
    """(loss, grad_logits) of x (rows, C), each operation in the dtype of x."""
    rows, classes = x.shape
    one = x.dtype.type(1)
    w = np.ones(classes, x.dtype) if weight is None else weight
    valid = (target != ignore_index).astype(x.dtype)
    y = np.where(target != ignore_index, target, 0)
    z = x - x.max(axis=1, keepdims=True)
    e = np.exp(z)
    s = e.sum(axis=1, keepdims=True)
    log_p = z - np.log(s)
    hot = (one - one * x.dtype.type(label_smoothing)) * (w[y] * valid)
    even = x.dtype.type(label_smoothing / classes) * valid
    losses = -hot * log_p[np.arange(rows), y]
    q = hot[:, None] * (np.arange(classes) == y[:, None]).astype(x.dtype)
    if label_smoothing:
        losses = losses - even * (w * log_p).sum(axis=1)
        q = q + even[:, None] * w
    count = (w[y] * valid).sum() if reduction == "mean" else one
    g = one if grad_loss is None else grad_loss
    scale = np.broadcast_to(np.asarray(g / (count if count else one), x.dtype), (rows,))[:, None]
    grad = np.where(valid[:, None] != 0, scale * (e / s * q.sum(axis=1, keepdims=True) - q), one * 0)
    if reduction == "none":
        return losses, grad
    return losses.sum() / count if count else np.asarray(np.nan, x.dtype), grad


def logits(rng, shape, dtype, scale=3.0):
    return rounded(scale * rng.standard_normal(shape), dtype)


def labels(rng, shape, classes, ignored=None):
    target = np.asarray(rng.integers(0, classes, shape))
    if ignored is not None:
        target.reshape(-1)[::3] = ignored
    return target


def weights(rng, classes, dtype):
    return rounded(rng.uniform(0.5, 2, classes), dtype)


def compare(got, exact, plain=None):
    """float32 within the tolerance; halves no worse than `plain`."""
    for ours, right, simple in zip(got, exact, plain or exact):
        if ours.dtype == np.float32:
            close(ours, right, tolerance=4)
        else:
            no_worse(ours, simple, right)


@dtypes
@pytest.mark.parametrize("classes", CLASSES)
def test_every_size_of_row(rng, dtype, classes):
    low, high = logits(rng, (5, classes), dtype)
    target = labels(rng, 5, classes, ignored=-100)
    got = every_schedule(lambda: kernels.cross_entropy(low, target))
    compare(got, reference(high, target), reference(low, target))


@dtypes
@pytest.mark.parametrize("classes", [1, 3, 8, 10, 21, 32])
@pytest.mark.parametrize("rows", [256, 259])
def test_rows_of_several_blocks(rng, dtype, classes, rows):
    low, high = logits(rng, (rows, classes), dtype)
    target = labels(rng, rows, classes, ignored=-100)
    got = every_schedule(lambda: kernels.cross_entropy(low, target))
    compare(got, reference(high, target), reference(low, target))


@dtypes
@pytest.mark.parametrize("classes", [10, 40])
@pytest.mark.parametrize("rows", kernel_harness.SIZES)
def test_every_number_of_rows(rng, dtype, classes, rows):
    low, high = logits(rng, (rows, classes), dtype)
    target = labels(rng, rows, classes)
    got = every_schedule(lambda: kernels.cross_entropy(low, target, reduction="sum"))
    compare(got, reference(high, target, reduction="sum"), reference(low, target, reduction="sum"))


@pytest.mark.parametrize("classes", [5, 100, 3001])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore_index", [-100, 2])
def test_options(rng, classes, reduction, label_smoothing, weighted, ignore_index):
    options = {"reduction": reduction, "label_smoothing": label_smoothing, "ignore_index": ignore_index}
    for dtype in FLOATS:
        low, high = logits(rng, (7, classes), dtype)
        target = labels(rng, 7, classes, ignored=ignore_index)
        w_low, w_high = weights(rng, classes, dtype) if weighted else (None, None)
        got = kernels.cross_entropy(low, target, w_low, **options)
        plain = reference(low, target, w_low, **options)
        compare(got, reference(high, target, w_high, **options), plain)


@dtypes
@pytest.mark.parametrize("shape", [(2, 7, 40), (2, 300, 5, 8), (3, 4, 2), (2, 3, 3), (1, 9, 33), (0, 4, 50), (2, 3, 0)])
def test_classes_in_the_middle(rng, dtype, shape):
    low, high = logits(rng, shape, dtype)
    target = labels(rng, (shape[0], *shape[2:]), shape[1], ignored=-100)
    w_low, w_high = weights(rng, shape[1], dtype)
    options = {"label_smoothing": 0.1, "reduction": "none"}

    def rows(a):
        return np.moveaxis(a, 1, -1).reshape(-1, shape[1])

    loss, grad = every_schedule(lambda: kernels.cross_entropy(low, target, w_low, **options))
    assert loss.shape == target.shape
    assert grad.shape == shape
    exact = reference(rows(high), target.reshape(-1), w_high, **options)
    compare((loss.reshape(-1), rows(grad)), exact, reference(rows(low), target.reshape(-1), w_low, **options))


@pytest.mark.parametrize("layout", ["columns", "channels last", "every other", "shifted"])
def test_layouts(rng, layout):
    shape = (3, 6, 40)
    high = 3 * rng.standard_normal(shape)
    target = labels(rng, (3, 40), 6)
    low = high.astype(np.float32)
    x = {
        "columns": lambda: np.asfortranarray(low),
        "channels last": lambda: np.moveaxis(np.ascontiguousarray(np.moveaxis(low, 1, -1)), -1, 1),
        "every other": lambda: scattered(low),
        "shifted": lambda: np.concatenate([np.zeros(1, np.float32), low.reshape(-1)])[1:].reshape(shape),
    }[layout]()
    before = x.copy()
    loss, grad = kernels.cross_entropy(x, target[:, ::-1], reduction="sum")
    flat = np.moveaxis(low.astype(np.float64), 1, -1).reshape(-1, 6)
    exact = reference(flat, target[:, ::-1].reshape(-1), reduction="sum")
    compare((loss, np.moveaxis(grad, 1, -1).reshape(-1, 6)), exact)
    np.testing.assert_array_equal(x, before)


@dtypes
@pytest.mark.parametrize("shape", [(5, 3), (5, 77), (3, 5001), (2, 60001), (2, 7, 40)])
def test_gradient_in_the_place_of_the_logits(rng, dtype, shape):
    x, _ = logits(rng, shape, dtype)
    target = labels(rng, (shape[0], *shape[2:]), shape[1])
    loss, grad = kernels.cross_entropy(x, target, label_smoothing=0.1)

    def run():
        mine = x.copy()
        out = kernels.cross_entropy(mine, target, label_smoothing=0.1, inplace=True)
        assert out[1] is mine
        return out

    got = every_schedule(run)
    assert got[0].tobytes() == loss.tobytes()
    assert got[1].tobytes() == grad.tobytes()


@pytest.mark.parametrize("classes", [9, 300])
def test_loss_alone(rng, classes):
    x, target = logits(rng, (6, classes), np.float32)[0], labels(rng, 6, classes)
    loss, grad = kernels.cross_entropy(x, target, gradient=False)
    assert grad is None
    assert loss == kernels.cross_entropy(x, target)[0]


@dtypes
@pytest.mark.parametrize("classes", [9, 300])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_incoming_gradient(rng, dtype, classes, reduction):
    low, high = logits(rng, (6, classes), dtype)
    target = labels(rng, 6, classes)
    g_low, g_high = rounded(rng.standard_normal(6) if reduction == "none" else np.asarray(0.37), dtype)
    got = every_schedule(lambda: kernels.cross_entropy(low, target, reduction=reduction, grad_loss=g_low))
    plain = reference(low, target, reduction=reduction, grad_loss=g_low)
    compare(got, reference(high, target, reduction=reduction, grad_loss=g_high), plain)


@pytest.mark.parametrize("index", [np.int32, np.int64, np.uint8])
def test_dtypes_of_indices(rng, index):
    x, target = logits(rng, (40, 11), np.float32)[0], labels(rng, 40, 11)
    loss, grad = kernels.cross_entropy(x, target.astype(index))
    expected = kernels.cross_entropy(x, target)
    assert loss == expected[0]
    np.testing.assert_array_equal(grad, expected[1])


def test_many_rows(rng):
    """More than one block sums: the count, and the losses."""
    rows = 2 * kernels.SHARE + 33
    low, high = logits(rng, (rows, 3), np.float32)
    target = labels(rng, rows, 3, ignored=-100)
    got = kernels.cross_entropy(low, target)
    compare(got, reference(high, target))


@pytest.mark.parametrize("n", kernel_harness.SIZES)
@dtypes
def test_scale(rng, n, dtype):
    x = rounded(rng.standard_normal(n), dtype)[0]
    for factor in (1, 3, 0):
        mine = x.copy()
        got = kernels.scale(mine, np.asarray(factor, dtype))
        assert got is mine
        np.testing.assert_array_equal(got, (x.astype(np.float32) * factor).astype(dtype))


class TestEdges:
    @pytest.mark.parametrize("classes", [3, 40, 5000])
    def test_large_logits(self, classes):
        """Sums that would overflow, and differences of large numbers."""
        x = np.zeros((4, classes), np.float32)
        x[0, :2], x[1, :2], x[2], x[3] = (1e4, -1e4), (-1e4, 1e4), -1e4, 1e4
        x[2, 1] = 1 - 1e4
        target = np.array([0, 0, 1, 2])
        for ε in (0.0, 0.1):
            got = kernels.cross_entropy(x, target, reduction="none", label_smoothing=ε)
            compare(got, reference(x.astype(np.float64), target, reduction="none", label_smoothing=ε))

    @pytest.mark.parametrize("pad", [0, 60, 5000])
    def test_small_losses_keep_their_digits(self, pad):
        x = np.full((1, 3 + pad), -np.inf, np.float32)
        x[0, :3] = 12, 3, 1
        loss, _ = kernels.cross_entropy(x, np.array([0]))
        assert abs(loss - np.log1p(np.exp(-9) + np.exp(-11))) <= 2.5e-7

    @pytest.mark.parametrize("classes", [3, 40, 5000])
    def test_classes_ruled_out(self, rng, classes):
        x = logits(rng, (4, classes), np.float32)[0]
        x[:, 1::2] = -np.inf
        target = np.array([0, 2, 0, 2])
        loss, grad = every_schedule(lambda: kernels.cross_entropy(x, target))
        compare((loss, grad[:, ::2]), reference(x[:, ::2].astype(np.float64), target // 2))
        assert not grad[:, 1::2].any()
        loss, grad = kernels.cross_entropy(x, np.full(4, 1))  # the impossible has come to pass
        assert loss == np.inf
        assert np.isfinite(grad).all()

    @pytest.mark.parametrize("classes", [3, 40, 5000])
    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_rows_without_a_meaning(self, rng, classes, bad):
        """NaN and +∞ anywhere, or nothing but −∞, make a row NaN, and no other."""
        x = logits(rng, (3, classes), np.float32)[0]
        x[0, 1], x[1] = bad, -np.inf
        loss, grad = kernels.cross_entropy(x, np.zeros(3, int), reduction="none")
        assert np.isnan(loss).tolist() == [True, True, False]
        assert np.isnan(grad[:2]).all()
        assert np.isfinite(grad[2]).all()

    @pytest.mark.parametrize("classes", [3, 40, 5000])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_mean_of_nothing(self, classes, weighted):
        """NaN, with gradient 0, also where the ignored rows hold NaN."""
        w = np.ones(classes, np.float32) if weighted else None
        x = np.full((2, classes), np.nan, np.float32)
        loss, grad = kernels.cross_entropy(x, np.full(2, -100), w)
        assert np.isnan(loss)
        assert not grad.any()
        assert kernels.cross_entropy(x, np.full(2, -100), w, reduction="sum")[0] == 0

    @pytest.mark.parametrize("classes", [3, 40, 5000])
    @pytest.mark.parametrize("bad", [-1, 5000, 1 << 40])
    def test_targets_that_are_no_class(self, rng, classes, bad):
        """Where targets cannot be looked at, the row is NaN; the gradient of the others is what it would be without it."""
        x, target = logits(rng, (3, classes), np.float32)[0], np.array([0, bad, 2])
        losses, _ = kernels.cross_entropy(x, target, reduction="none")
        assert np.isnan(losses).tolist() == [False, True, False]
        loss, grad = kernels.cross_entropy(x, target)
        assert np.isnan(loss)
        assert np.isnan(grad[1]).all()
        compare((grad[::2],), (reference(x[::2].astype(np.float64), target[::2])[1],))


class TestPrimitive:
    def run(self, device, x, target, weight=None, *, factor=1.0, **options):
        x = weft.asarray(x, device=device).requires_grad_()
        args = [weft.asarray(a, device=device) for a in (target, weight) if a is not None]
        loss = L.softmax_cross_entropy(x, *args, **options)
        assert loss.device == device
        (loss.sum() * factor).backward()
        return loss.detach().numpy(), x.grad.numpy()

    @pytest.mark.parametrize("shape", [(6, 10), (7,), (3, 5, 40), (3, 5, 4), (2, 3000)])
    @pytest.mark.parametrize("reduction", REDUCTIONS)
    @pytest.mark.parametrize("factor", [1.0, 8.0])
    def test_same_as_on_the_cpu(self, rng, shape, reduction, factor):
        x, classes = logits(rng, shape, np.float32)[0], shape[min(1, len(shape) - 1)]
        target = labels(rng, shape[:1] + shape[2:] if len(shape) > 1 else (), classes)
        w = weights(rng, classes, np.float32)[0]
        options = {"reduction": reduction, "label_smoothing": 0.1, "factor": factor}
        got, expected = (self.run(device, x, target, w, **options) for device in ("emulator", "cpu"))
        for a, b in zip(got, expected):
            close(a, b.astype(np.float64), tolerance=4)

    @pytest.mark.parametrize("reduction", ["mean", "none"])
    def test_backward_twice(self, rng, reduction):
        x = weft.asarray(logits(rng, (4, 50), np.float32)[0], device="emulator").requires_grad_()
        target = weft.asarray(labels(rng, 4, 50), device="emulator")
        loss = L.softmax_cross_entropy(x, target, reduction=reduction).sum()
        loss.backward(retain_graph=True)
        first = x.grad.numpy().copy()
        (3 * loss).backward()
        close(x.grad.numpy(), 4 * first.astype(np.float64))

    @dtypes
    def test_scaled_loss(self, rng, dtype):
        """A gradient scaler multiplies before anything is rounded: 7e-6 has few digits in float16, 0.03 has all."""
        low, high = logits(rng, (300, 500), dtype, scale=0.1)
        target = labels(rng, 300, 500)
        _, grad = self.run("emulator", low, target, factor=4096.0)
        expected = 4096 * reference(high, target)[1]
        eps = {2: 2.0**-7, 4: 2.0**-20}[low.itemsize]
        np.testing.assert_allclose(grad.astype(np.float64), expected, rtol=eps)

    @kernel_harness.halves
    @pytest.mark.parametrize("classes", [10, 40, 500])
    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_mixed_precision(self, rng, dtype, classes, reduction):
        """The loss of half-precision logits in float32, its weights and its gradient too: neither overflows float16."""
        (low, high), target = logits(rng, (30, classes), dtype), labels(rng, 30, classes)
        w, options = rng.uniform(0.5, 2, classes).astype("f"), {"reduction": reduction, "label_smoothing": 0.1}
        with weft.autocast(dtype):
            loss, grad = self.run("emulator", low, target, w, factor=2.0**18 / 1000, **options)
        assert (loss.dtype, grad.dtype) == (np.float32, dtype)
        expected_loss, expected_grad = reference(high, target, w.astype("d"), **options)
        close(loss, expected_loss, tolerance=4)
        expected_grad *= 2.0**18 / 1000
        eps = 2.0**-11 if dtype == np.float16 else 2.0**-8
        fits = np.abs(expected_grad) < 65504
        np.testing.assert_allclose(grad.astype("d")[fits], expected_grad[fits], rtol=3 * eps, atol=eps * 1e-3)
        assert fits.mean() > 0.5

    def test_no_grad(self, rng):
        x = weft.asarray(logits(rng, (4, 50), np.float32)[0], device="emulator").requires_grad_()
        target = weft.asarray(labels(rng, 4, 50), device="emulator")
        expected = L.softmax_cross_entropy(x, target).item()
        with weft.no_grad():
            assert L.softmax_cross_entropy(x, target).item() == expected

    def test_wrong_target(self):
        """Loss and gradient of its row are NaN: the device is not waited for."""
        x = weft.zeros((2, 3), device="emulator", requires_grad=True)
        target = weft.asarray(np.array([0, 7]), device="emulator")
        assert np.isnan(L.softmax_cross_entropy(x, target, reduction="none").tolist()).tolist() == [False, True]
        loss = L.softmax_cross_entropy(x, target)
        loss.backward()
        assert np.isnan(loss.item())
        assert np.isnan(x.grad.tolist()).tolist() == [[False] * 3, [True] * 3]

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_what_falls_back(self, rng, monkeypatch, dtype):
        """float64, and probabilities as targets."""
        x = logits(rng, (4, 5), dtype)[0]
        target = labels(rng, 4, 5) if dtype is np.float64 else np.full((4, 5), 0.2, dtype)
        expected = L.softmax_cross_entropy(weft.asarray(x), weft.asarray(target)).item()
        monkeypatch.setattr(autograd, "report_fallbacks", True)
        with pytest.warns(UserWarning, match="`softmax_cross_entropy` on emulator fell back"):
            loss = L.softmax_cross_entropy(weft.asarray(x, device="emulator"), weft.asarray(target, device="emulator"))
        assert loss.item() == pytest.approx(expected, rel=1e-6)
