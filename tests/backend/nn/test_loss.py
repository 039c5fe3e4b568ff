"""Against the formulas in float64 NumPy, sample by sample where there are classes; derivatives by differences."""

import functools
import math

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.nn import loss as L
from weft.layers import functional as F

rng = np.random.default_rng(0)


def a(*shape, scale=1.0):
    return np.asarray(scale * rng.standard_normal(shape))


def unit(*shape):
    return np.asarray(rng.uniform(0.05, 0.95, shape))


def signs(*shape):
    return np.asarray(rng.choice([-1.0, 1.0], shape))


def apart(x, target, kinks):
    """x, moved where |x − target| comes near a kink."""
    for kink in kinks:
        x = np.where(np.abs(np.abs(x - target) - kink) < 0.02, x + 0.05, x)
    return x


def reduced(loss, reduction):
    return {"none": loss, "sum": loss.sum(), "mean": loss.sum() / max(loss.size, 1)}[reduction]


def pointwise(formula):
    return lambda *args, reduction="mean", **options: reduced(np.asarray(formula(*args, **options)), reduction)


def huber(x, y, delta=1.0):
    d = np.abs(x - y)
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2))


def smooth_l1(x, y, beta=1.0):
    d = np.abs(x - y)
    return np.where(d < beta, d * d / (2 * beta) if beta else d, d - beta / 2)


def bce(x, y, w=None):
    return -(1 if w is None else w) * (y * np.log(x) + (1 - y) * np.log(1 - x))


def bce_with_logits(x, y, w=None, p=None):
    s = 1 / (1 + np.exp(-x))
    return -(1 if w is None else w) * ((1 if p is None else p) * y * np.log(s) + (1 - y) * np.log(1 - s))


def kl(x, y, log_target=False):
    return np.exp(y) * (y - x) if log_target else y * (np.log(y) - x)


SHAPES = [(33,), (2, 3, 4), ()]
REDUCTIONS = [{"reduction": r} for r in ("none", "sum", "mean")]
x, y = a(4, 5), a(4, 5)


def squares(x, y):
    return (x - y) ** 2


def hinge(x, y):
    return np.maximum(0, 1 - x * y)


def soft_margin(x, y):
    return np.log1p(np.exp(-x * y))


def hinge_embedding(x, y, margin):
    return np.where(y == 1, x, np.maximum(0, margin - x))


CASES = [
    *[Case(L.mse_loss, (a(*s), a(*s)), pointwise(squares), r) for s in SHAPES for r in REDUCTIONS],
    *[Case(L.mse_loss, (a(n), a(n)), pointwise(squares), {"reduction": "sum"}) for n in (0, 1, 31, 32, 1025)],
    Case(L.mse_loss, (a(4, 1), a(3)), pointwise(squares)),
    *[Case(L.l1_loss, (apart(x, y, [0]), y), pointwise(lambda x, y: abs(x - y)), r) for r in REDUCTIONS],
    *[Case(L.huber_loss, (apart(x, y, [δ]), y), pointwise(huber), {"delta": δ, **r})
      for δ in (0.5, 1.0) for r in REDUCTIONS],
    *[Case(L.smooth_l1_loss, (apart(x, y, [β]), y), pointwise(smooth_l1), {"beta": β, **r})
      for β in (0.0, 0.5, 1.0) for r in REDUCTIONS],
    *[Case(L.binary_cross_entropy, (unit(*s), unit(*s), w), pointwise(bce), r, grad=(0, 1), tolerance=4)
      for s in SHAPES for r in REDUCTIONS for w in (None, unit(*s))],
    *[Case(L.binary_cross_entropy_with_logits, (a(4, 5), unit(4, 5), w, p), pointwise(bce_with_logits), r, grad=(0, 1))
      for r in REDUCTIONS for w in (None, unit(4, 5), unit(4, 1)) for p in (None, 3 * unit(5))],
    *[Case(L.kl_div, (a(4, 5), unit(4, 5)), pointwise(kl), r) for r in REDUCTIONS],
    *[Case(L.kl_div, (a(4, 5), a(4, 5)), pointwise(kl), {"log_target": True, **r}) for r in REDUCTIONS],
    Case(L.kl_div, (a(4, 5), unit(4, 5)), lambda x, y, reduction: kl(x, y).sum() / 4, {"reduction": "batchmean"}),
    *[Case(L.hinge_loss, (apart(x, 0, [1]), signs(4, 5)), pointwise(hinge), r, grad=(0,)) for r in REDUCTIONS],
    *[Case(L.soft_margin_loss, (a(4, 5), signs(4, 5)), pointwise(soft_margin), r) for r in REDUCTIONS],
    *[Case(L.hinge_embedding_loss, (apart(x, 0, [0.6]), signs(4, 5)), pointwise(hinge_embedding), o, grad=(0,))
      for o in [{"margin": 0.6, **r} for r in REDUCTIONS]],
]  # fmt: skip


# --- classes ----------------------------------------------------------------------------------------------------------
def rows_of(x):
    """(N, C, …) or (C,) as (samples, C)"""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1]) if x.ndim > 1 else x[None]


def samples(x, target):
    """(row of x, target) of each sample, in the order of the target"""
    return list(zip(rows_of(x), rows_of(target) if target.shape == x.shape else target.reshape(-1)))


def over_samples(losses, counts, shape, reduction):
    if reduction == "none":
        return np.array(losses).reshape(shape)
    return sum(losses) / (sum(counts) if reduction == "mean" else 1)


def nll(x, target, w=None, ignore_index=-100, reduction="mean"):
    w = np.ones(x.shape[min(1, x.ndim - 1)]) if w is None else w
    counted = [(row, t) if t != ignore_index else None for row, t in samples(x, target)]
    losses = [-w[c[1]] * c[0][c[1]] if c else 0.0 for c in counted]
    return over_samples(losses, [w[c[1]] if c else 0.0 for c in counted], target.shape, reduction)


def cross_entropy(x, target, w=None, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    classes = x.shape[min(1, x.ndim - 1)]
    w, losses, counts = np.ones(classes) if w is None else w, [], []
    for row, t in samples(x, target):
        log_p = row - row.max() - np.log(np.exp(row - row.max()).sum())
        soft = target.shape == x.shape
        q = t if soft else np.eye(classes)[max(t, 0)]
        counted = soft or t != ignore_index
        q = (1 - label_smoothing) * q + label_smoothing / classes
        losses.append(-(w * q * log_p).sum() if counted else 0.0)
        counts.append(1.0 if soft else w[t] if counted else 0.0)
    shape = (
        target.shape[:1] + target.shape[2:]
        if target.shape == x.shape and x.ndim > 1
        else ()
        if x.ndim == 1
        else target.shape
    )
    return over_samples(losses, counts, shape, reduction)


def multi_margin(x, target, w=None, p=1, margin=1.0, reduction="mean"):
    losses = []
    for row, t in samples(x, target):
        gaps = np.maximum(0, margin - row[t] + np.delete(row, t)) ** p
        losses.append((1 if w is None else w[t]) * gaps.sum() / x.shape[-1])
    return over_samples(losses, [1] * len(losses), target.shape, reduction)


def labels(*shape, classes, ignored=False):
    t = np.asarray(rng.integers(0, classes, shape))
    if ignored:
        t.reshape(-1)[::3] = ignored
    return t


def probabilities(*shape):
    q = rng.uniform(0.1, 1, shape)
    return q / q.sum(min(1, len(shape) - 1), keepdims=True)


PLAIN = [((7, 5), (7,)), ((5,), ()), ((3, 5, 4), (3, 4))]
OTHER = [((2, 5, 3, 2), (2, 3, 2)), ((1, 1), (1,)), ((33, 31), (33,)), ((2, 1025), (2,))]
WEIGHTS = (None, unit(5))
SMOOTHED = [{"label_smoothing": ε, **r} for ε in (0.0, 0.1) for r in REDUCTIONS]

CASES += [
    *[
        Case(L.softmax_cross_entropy, (a(*s, scale=3), labels(*t, classes=s[1])), cross_entropy, r)
        for s, t in OTHER
        for r in REDUCTIONS
    ],
    *[
        Case(L.softmax_cross_entropy, (a(*s, scale=3), labels(*t, classes=5), w), cross_entropy, o, grad=(0,))
        for s, t in PLAIN
        for w in WEIGHTS
        for o in SMOOTHED
    ],
    *[
        Case(L.softmax_cross_entropy, (a(7, 5), labels(7, classes=5, ignored=i), w), cross_entropy, o, grad=(0,))
        for w in WEIGHTS
        for i in (-100, 2)
        for o in [{"ignore_index": i, **o} for o in SMOOTHED]
    ],
    *[
        Case(L.softmax_cross_entropy, (a(*s, scale=3), probabilities(*s), w), cross_entropy, o, grad=(0, 1))
        for s, _ in PLAIN
        for w in WEIGHTS
        for o in SMOOTHED
    ],
    Case(L.softmax_cross_entropy, (a(0, 5), labels(0, classes=5)), cross_entropy, {"reduction": "sum"}),
    Case(L.softmax_cross_entropy, (a(9, 5), labels(9, classes=5).astype(np.uint8)), cross_entropy),
    *[
        Case(L.nll_loss, (a(*s), labels(*t, classes=5, ignored=i), w), nll, {"ignore_index": i, **r}, grad=(0,))
        for s, t in PLAIN[::2]
        for r in REDUCTIONS
        for w in WEIGHTS
        for i in (-100, 2)
    ],
    Case(L.nll_loss, (a(5), labels(classes=5)), nll),
    *[
        Case(L.multi_margin_loss, (a(*s), labels(*t, classes=5), w), multi_margin, o, grad=(0,))
        for s, t in PLAIN[:2]
        for w in WEIGHTS
        for p in (1, 2)
        for o in [{"p": p, "margin": 0.7, **r} for r in REDUCTIONS]
    ],
]
test_primitive = harness.over(CASES)


@pytest.mark.parametrize("form", ["generic", "cpu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
class TestCrossEntropy:
    def run(self, form, logits, target, *args, **options):
        logits = weft.asarray(logits).requires_grad_()
        call = harness.generic_only(L.softmax_cross_entropy) if form == "generic" else L.softmax_cross_entropy
        loss = call(logits, weft.asarray(target), *args, **options)
        loss.backward()
        return loss.detach().numpy(), logits.grad.numpy()

    def test_extremes(self, form, dtype):
        """Sums that would overflow, and losses that differences of large numbers would lose."""
        x = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4 + 1, -1e4], [25.0, 5.0, 0.0], [0.0, 0.0, 40.0]], dtype)
        loss, grad = self.run(form, x, np.array([0, 1, 0, 2]), reduction="sum")
        expected = cross_entropy(x.astype(np.float64), np.array([0, 1, 0, 2]), reduction="sum")
        np.testing.assert_allclose(loss, expected, rtol=1e-6 if dtype == "float32" else 1e-14)
        assert np.isfinite(grad).all()

    def test_small_losses_keep_their_digits(self, form, dtype):
        """ln Σ eˣ − x_y would be a difference of two numbers near 12."""
        loss, _ = self.run(form, np.array([[12.0, 3.0, 1.0]], dtype), np.array([0]))
        exact = math.log1p(math.exp(-9) + math.exp(-11))
        assert abs(loss - exact) <= (2.5e-7 if dtype == "float32" else 5e-16)

    def test_classes_ruled_out(self, form, dtype):
        x = np.array([[0.5, -np.inf, 1.0], [2.0, 0.0, -np.inf]], dtype)
        loss, grad = self.run(form, x, np.array([2, 0]))
        expected = (math.log1p(math.exp(-0.5)) + math.log1p(math.exp(-2))) / 2
        assert loss == pytest.approx(expected, rel=1e-6)
        assert grad[0, 1] == grad[1, 2] == 0

    @pytest.mark.parametrize("target", [np.full(3, -100), np.zeros(0, int)])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_mean_of_nothing(self, form, dtype, target, weighted):
        """NaN, as in PyTorch, and gradient 0: such a batch must not destroy the parameters."""
        weight = [weft.asarray(np.ones(4, dtype))] if weighted else []
        loss, grad = self.run(form, np.ones((len(target), 4), dtype), target, *weight)
        assert np.isnan(loss)
        assert not grad.any()

    def test_scaled_gradient(self, form, dtype):
        """Backward from a loss that was multiplied: as under gradient scaling or accumulation."""
        x, t = a(6, 5).astype(dtype), labels(6, classes=5)
        _, grad = self.run(form, x, t)
        logits = weft.asarray(x).requires_grad_()
        call = harness.generic_only(L.softmax_cross_entropy) if form == "generic" else L.softmax_cross_entropy
        (call(logits, weft.asarray(t)) * 8.0).backward()
        np.testing.assert_allclose(logits.grad.numpy(), 8 * grad, rtol=1e-6)


class TestCrossEntropyBlocks:
    """Logits of several cache blocks."""

    def setup_method(self):
        self.x = (3 * np.random.default_rng(1).standard_normal((300, 1000))).astype(np.float32)
        self.x[7] += 1e4  # one block that needs its rows' maxima
        self.t = np.random.default_rng(2).integers(0, 1000, 300)
        self.t[::7] = -100
        self.w = np.random.default_rng(3).uniform(0.5, 2, 1000).astype(np.float32)

    @pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"reduction": "none"}])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_same_as_generic(self, options, weighted):
        args = (self.x, self.t, self.w if weighted else None)
        before = self.x.copy()
        loss, (pull, *_) = L.softmax_cross_entropy.impls["cpu"](*args, **options)
        expected, (generic_pull, *_) = L.softmax_cross_entropy.generic(
            np, self.x.astype(np.float64), self.t, args[2], **options
        )
        np.testing.assert_allclose(loss, expected, rtol=2e-6, atol=2e-6)
        g = np.random.default_rng(4).standard_normal(loss.shape).astype(np.float32)
        np.testing.assert_allclose(pull(g), generic_pull(g), rtol=2e-5, atol=1e-7)
        np.testing.assert_array_equal(self.x, before)

    def test_backward_twice(self):
        """The gradient that was made in forward is still there, and was handed out unscaled."""
        _, (pull,) = L.softmax_cross_entropy.impls["cpu"](self.x, self.t)
        one = np.ones((), np.float32)
        first = pull(one).copy()
        np.testing.assert_allclose(pull(2 * one), 2 * first)
        np.testing.assert_array_equal(pull(one), first)

    def test_threads(self):
        results, before = [], weft.num_threads()
        try:
            for n in (1, 2):
                weft.set_num_threads(n)
                loss, (pull,) = L.softmax_cross_entropy.impls["cpu"](self.x, self.t, self.w, label_smoothing=0.1)
                results.append((loss, pull(np.full((), 3, np.float32))))
        finally:
            weft.set_num_threads(before)
        for one, two in zip(*results):
            np.testing.assert_array_equal(one, two)

    def test_no_grad(self):
        logits, target = weft.asarray(self.x), weft.asarray(self.t)
        expected = L.softmax_cross_entropy(logits, target).item()
        with weft.no_grad():
            assert L.softmax_cross_entropy(logits, target).item() == expected


class TestEdges:
    def test_bce_floor(self):
        """Logarithms are at least −100, without a warning, and the gradient is finite."""
        x = weft.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
        loss = L.binary_cross_entropy(x, weft.tensor([1.0, 0.0, 0.0, 1.0]), reduction="none")
        assert loss.tolist() == [100, 100, 0, 0]
        loss.sum().backward()
        assert np.isfinite(x.grad.numpy()).all()

    def test_bce_with_logits_extremes(self):
        x = weft.tensor([1e4, -1e4, 1e4, -1e4], requires_grad=True)
        loss = L.binary_cross_entropy_with_logits(x, weft.tensor([0.0, 1.0, 1.0, 0.0]), reduction="none")
        assert loss.tolist() == [1e4, 1e4, 0, 0]
        loss.sum().backward()
        assert x.grad.tolist() == [1, -1, 0, 0]

    def test_soft_margin_extremes(self):
        loss = L.soft_margin_loss(weft.tensor([1e4, -1e4]), weft.tensor([1.0, 1.0]), reduction="none")
        assert loss.tolist() == [0, 1e4]

    def test_kl_of_absent_outcomes(self):
        x, y = weft.tensor([-1.0, -2.0]), weft.tensor([0.0, 1.0])
        assert L.kl_div(x, y, reduction="none").tolist() == [0, 2]

    @pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "hinge_loss"])
    def test_mean_of_nothing(self, name):
        x = weft.zeros(0, requires_grad=True)
        loss = getattr(L, name)(x, weft.zeros(0))
        assert math.isnan(loss.item())


class TestCheckTargets:
    @pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.uint8])
    def test_accepts(self, dtype):
        L.check_targets(np.array([0, 4, 2], dtype), 5)
        L.check_targets(np.zeros(0, dtype), 5)
        L.check_targets(np.array(3, dtype), 5)

    def test_accepts_ignored(self):
        L.check_targets(np.array([[0, -100], [4, 1]]), 5)
        L.check_targets(np.array([0, 7]), 5, ignore_index=7)

    @pytest.mark.parametrize(("bad", "classes"), [(5, 5), (-1, 5), (-101, 5), (1000, 10)])
    def test_rejects(self, bad, classes):
        message = rf"`target` must hold classes in \[0, {classes}\), or ignore_index=-100 .*, got {bad}$"
        for target in (np.array([0, 1, bad]), np.array([[0, 1], [bad, -100]])[:, ::1].T, np.array(bad, np.int32)):
            with pytest.raises(IndexError, match=message):
                L.check_targets(target, classes)


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_lean_path_for_small_means_agrees_with_the_general_one(scale, dtype):
    """The mean of a few rows has a path of its own on NumPy; the sum of the same rows takes the general one."""
    x, y = (scale * rng.standard_normal((16, 10))).astype(dtype), rng.integers(0, 10, 16)
    results = []
    for reduction, divisor in (("mean", 1), ("sum", 16)):
        logits = weft.tensor(x, requires_grad=True)
        loss = L.softmax_cross_entropy(logits, weft.asarray(y), reduction=reduction) / divisor
        loss.backward()
        results.append((loss.item(), logits.grad.numpy()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-7)


# --- rows that do not count, and labels that are no class ---------------------------------------------------------------
def _losses(name):
    """x ↦ loss, of the functions that take class indices."""
    return {
        "nll_loss": F.nll_loss,
        "cross_entropy": F.cross_entropy,
        "smoothed": functools.partial(F.cross_entropy, label_smoothing=0.1),
        "multi_margin_loss": F.multi_margin_loss,
    }[name]


@pytest.fixture(params=["cpu", "emulator", "cuda"])
def device(request):
    if request.param == "cuda":
        request.getfixturevalue("cupy")
    return request.param


FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])


@FLOATS
@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy", "smoothed"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weighted", [False, True])
class TestIgnoredRows:
    """Whatever they hold, their loss and gradient are 0, and the others' what they would be without them."""

    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    @pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2)])
    def test_they_may_hold_anything(self, device, dtype, name, bad, weighted, reduction, shape):
        g = np.random.default_rng(0)
        x, y = g.standard_normal(shape), g.integers(0, 3, (shape[0], *shape[2:]))
        good, w = x.copy(), np.linspace(0.5, 2, shape[1])
        y[0] = -100
        x[0], good[0] = bad, 0
        results = []
        for values in (x, good):
            t = weft.asarray(values.astype(getattr(weft, dtype)), device=device).requires_grad_()
            weight = weft.asarray(w.astype(getattr(weft, dtype)), device=device) if weighted else None
            loss = _losses(name)(t, weft.asarray(y, device=device), weight, reduction=reduction)
            loss.sum().backward()
            results.append([a.numpy().astype("d") for a in (loss.detach(), t.grad)])
        for got, expected in zip(*results):
            assert np.isfinite(expected).all()
            np.testing.assert_array_equal(got, expected)
        assert not results[0][1][0].any()

    def test_all_of_them(self, device, dtype, name, bad, weighted):
        t = weft.asarray(np.full((2, 3), bad, getattr(weft, dtype)), device=device).requires_grad_()
        weight = weft.ones(3, device=device).to(getattr(weft, dtype)) if weighted else None
        loss = _losses(name)(t, weft.asarray(np.array([1, 1]), device=device), weight, ignore_index=1)
        loss.backward()
        assert math.isnan(loss.item())
        assert not t.grad.numpy().astype("d").any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_ignored_rows_of_several_blocks(bad):
    x, y = np.random.default_rng(0).standard_normal((300, 1000)).astype("f"), np.arange(300)
    good = x.copy()
    x[::7], good[::7], y[::7] = bad, 0, -100
    results = []
    for values in (x, good):
        t = weft.tensor(values, requires_grad=True)
        loss = F.cross_entropy(t, weft.asarray(y))
        loss.backward()
        results.append((loss.item(), t.grad.tolist()))
    assert results[0] == results[1]
    assert not np.any(results[0][1][::7])


@FLOATS
@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy", "smoothed", "multi_margin_loss"])
@pytest.mark.parametrize("label", [-1, 3, 1 << 40])
@pytest.mark.parametrize("weighted", [False, True])
def test_labels_that_are_no_class(device, dtype, name, label, weighted):
    """An IndexError where it costs nothing to look; on a GPU when somebody waits, NaN for that row, and the others are right."""
    x = np.random.default_rng(0).standard_normal((3, 3)).astype(getattr(weft, dtype))
    weight = weft.ones(3, device=device).to(getattr(weft, dtype)) if weighted else None

    def run(x, labels, reduction):
        t = weft.asarray(x, device=device).requires_grad_()
        y = weft.asarray(np.array(labels), device=device)
        loss = _losses(name)(t, y, weight=weight, reduction=reduction)
        loss.sum().backward()
        if device == "cuda" and label in labels:
            told = label if abs(label) < 1 << 31 else f"{(1 << 31) - 1} or beyond"
            with pytest.raises(IndexError, match=rf"`target` must hold classes .*position 1, got {told}$"):
                loss.detach().numpy()
        return loss.detach().numpy().astype("d"), t.grad.numpy().astype("d")

    if device != "cuda":
        with pytest.raises(IndexError, match=rf"`target` must hold classes in \[0, 3\)[,;] .*got {label}$"):
            run(x, [0, label, 2], "mean")
        return
    loss, grad = run(x, [0, label, 2], "none")
    expected, expected_grad = run(x[::2], [0, 2], "none")
    assert np.isnan(loss[1])
    assert np.isnan(grad[1]).all()
    np.testing.assert_array_equal(loss[::2], expected)
    np.testing.assert_array_equal(grad[::2], expected_grad)
    assert np.isnan(run(x, [0, label, 2], "mean")[0])


def test_recorded_labels_are_not_looked_at():
    """A recording cannot wait: labels that are no class give NaN in it, and are told by the first who waits."""
    x = weft.zeros((2, 3), device="emulator")
    step = weft.capture(lambda y: F.nll_loss(x, y))
    for _ in range(5):
        good = step(weft.asarray(np.array([0, 1]), device="emulator"))
    assert good.item() == 0
    bad = step(weft.asarray(np.array([0, 3]), device="emulator"))
    with pytest.raises(IndexError, match="position 1, got 3"):
        bad.item()
    assert math.isnan(bad.item())


class TestProbabilities:
    @pytest.mark.parametrize("bad", [-0.01, 1.01, np.nan, np.inf])
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_outside_of_0_and_1(self, device, bad, dtype):
        x = weft.asarray(np.array([0.5, bad]).astype(getattr(weft, dtype)), device=device)
        y = weft.asarray(np.array([0, 1]), device=device)
        if device == "cuda":  # would have to wait
            with np.errstate(invalid="ignore"):
                assert math.isnan(F.binary_cross_entropy(x, y).item())
            return
        with pytest.raises(ValueError, match=r"`input` must hold probabilities in \[0, 1\], got "):
            F.binary_cross_entropy(x, y)

    def test_an_index_to_ignore_has_no_meaning(self, device):
        q = weft.asarray(np.full((2, 4), 0.25, "f"), device=device)
        with pytest.raises(
            ValueError, match="`ignore_index` must be negative where `target` holds probabilities, got 0"
        ):
            F.cross_entropy(q, q, ignore_index=0)


@pytest.mark.parametrize("device", ["cpu", "emulator"])
def test_hinge_embedding_of_infinity(device):
    """torch.nn.functional.hinge_embedding_loss(x, y, reduction="none")."""
    x = weft.tensor([np.inf, -np.inf, np.inf, -np.inf, np.nan], device=device, requires_grad=True)
    y = weft.tensor([-1.0, -1.0, 1.0, 1.0, -1.0], device=device)
    loss = L.hinge_embedding_loss(x, y, reduction="none")
    np.testing.assert_array_equal(loss.detach().cpu().numpy(), [0, np.inf, np.inf, -np.inf, np.nan])
    loss.backward(weft.ones(5, device=device))
    assert x.grad.tolist() == [0, -1, 1, 1, 0]
