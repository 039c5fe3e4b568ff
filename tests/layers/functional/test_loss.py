"""Losses against their formulas in NumPy, through PyTorch's signatures; the primitives have tests of their own."""

import numpy as np
import pytest

import weft
from weft.layers import functional as F

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((5, 4)), rng.standard_normal((5, 4))
P, Q = rng.uniform(0.1, 0.9, (5, 4)), rng.uniform(0.1, 0.9, (5, 4))
SIGNS = np.where(rng.random((5, 4)) < 0.5, -1.0, 1.0)
W = rng.uniform(0.5, 2.0, (5, 4))
LABELS, CLASS_WEIGHTS = np.array([0, 3, 1, 1, 2]), np.array([1.0, 2.0, 0.5, 4.0])


def t(x):
    return weft.tensor(x)


def log_softmax(x):
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def huber(d, delta):
    d = np.abs(d)
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2))


POINTWISE = [  # function, input, target, keywords, the loss of each element
    (F.mse_loss, X, Y, {}, (X - Y) ** 2),
    (F.l1_loss, X, Y, {}, np.abs(X - Y)),
    (F.huber_loss, X, Y, {"delta": 0.7}, huber(X - Y, 0.7)),
    (F.smooth_l1_loss, X, Y, {"beta": 0.7}, huber(X - Y, 0.7) / 0.7),
    (F.smooth_l1_loss, X, Y, {"beta": 0.0}, np.abs(X - Y)),
    (F.binary_cross_entropy, P, Q, {}, -(Q * np.log(P) + (1 - Q) * np.log(1 - P))),
    (F.binary_cross_entropy, P, Q, {"weight": t(W)}, -W * (Q * np.log(P) + (1 - Q) * np.log(1 - P))),
    (F.binary_cross_entropy_with_logits, X, Q, {}, np.logaddexp(0, X) - Q * X),
    (F.binary_cross_entropy_with_logits, X, Q, {"weight": t(W), "pos_weight": t(CLASS_WEIGHTS)},
     W * (CLASS_WEIGHTS * Q * np.logaddexp(0, -X) + (1 - Q) * np.logaddexp(0, X))),
    (F.kl_div, np.log(P), Q, {}, Q * (np.log(Q) - np.log(P))),
    (F.kl_div, np.log(P), np.log(Q), {"log_target": True}, Q * (np.log(Q) - np.log(P))),
    (F.hinge_loss, X, SIGNS, {}, np.maximum(0, 1 - SIGNS * X)),
    (F.soft_margin_loss, X, SIGNS, {}, np.log1p(np.exp(-SIGNS * X))),
    (F.hinge_embedding_loss, X, SIGNS, {"margin": 0.8}, np.where(SIGNS == 1, X, np.maximum(0, 0.8 - X))),
]  # fmt: skip


@pytest.mark.parametrize(("f", "x", "y", "keywords", "expected"), POINTWISE)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_pointwise(f, x, y, keywords, expected, reduction):
    got = f(t(x), t(y), reduction=reduction, **keywords).numpy()
    np.testing.assert_allclose(
        got, {"none": expected, "sum": expected.sum(), "mean": expected.mean()}[reduction], rtol=1e-12
    )


@pytest.mark.parametrize(("f", "divisor"), [(F.mse_loss, W.sum()), (F.l1_loss, W.sum()), (F.huber_loss, W.size)])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_elementwise_weights(f, divisor, reduction):
    loss = f(t(X), t(Y), reduction="none").numpy() * W
    got = f(t(X), t(Y), reduction=reduction, weight=t(W)).numpy()
    np.testing.assert_allclose(
        got, {"none": loss, "sum": loss.sum(), "mean": loss.sum() / divisor}[reduction], rtol=1e-12
    )


def test_kl_div_batchmean():
    got = F.kl_div(t(np.log(P)), t(Q), reduction="batchmean").item()
    assert got == pytest.approx((Q * np.log(Q / P)).sum() / 5)


class TestClasses:
    @pytest.mark.parametrize("weight", [None, CLASS_WEIGHTS])
    @pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
    def test_cross_entropy_and_nll(self, weight, reduction):
        own = np.ones(5) if weight is None else weight[LABELS]
        loss = -own * log_softmax(X)[np.arange(5), LABELS]
        expected = {"none": loss, "sum": loss.sum(), "mean": loss.sum() / own.sum()}[reduction]
        w = None if weight is None else t(weight)
        np.testing.assert_allclose(
            F.cross_entropy(t(X), t(LABELS), w, reduction=reduction).numpy(), expected, rtol=1e-12
        )
        np.testing.assert_allclose(
            F.nll_loss(t(log_softmax(X)), t(LABELS), w, reduction=reduction).numpy(), expected, rtol=1e-12
        )

    def test_probabilities_and_smoothing(self):
        q = Q / Q.sum(1, keepdims=True)
        assert F.cross_entropy(t(X), t(q)).item() == pytest.approx(-(q * log_softmax(X)).sum(1).mean())
        smooth = 0.9 * np.eye(4)[LABELS] + 0.1 / 4
        expected = -(smooth * log_softmax(X)).sum(1).mean()
        assert F.cross_entropy(t(X), t(LABELS), label_smoothing=0.1).item() == pytest.approx(expected)

    def test_ignore_index(self):
        labels = np.where(LABELS == 1, -100, LABELS)
        kept = labels >= 0
        expected = -log_softmax(X)[kept, labels[kept]].mean()
        assert F.cross_entropy(t(X), t(labels)).item() == pytest.approx(expected)
        assert F.nll_loss(t(log_softmax(X)), t(np.where(kept, labels, 7)), ignore_index=7).item() == pytest.approx(
            expected
        )

    def test_one_example_and_many_positions(self):
        assert F.cross_entropy(t(X[0]), t(2)).item() == pytest.approx(-log_softmax(X)[0, 2])
        images = rng.standard_normal((2, 4, 3))
        labels = rng.integers(0, 4, (2, 3))
        expected = np.mean([-log_softmax(images[:, :, i])[n, labels[n, i]] for n in range(2) for i in range(3)])
        assert F.cross_entropy(t(images), t(labels)).item() == pytest.approx(expected)

    @pytest.mark.parametrize("p", [1, 2])
    def test_multi_margin(self, p):
        gap = np.maximum(0, 0.5 - X[np.arange(5), LABELS][:, None] + X) ** p
        gap[np.arange(5), LABELS] = 0
        expected = (CLASS_WEIGHTS[LABELS] * gap.sum(1) / 4).mean()
        assert F.multi_margin_loss(t(X), t(LABELS), p, 0.5, t(CLASS_WEIGHTS)).item() == pytest.approx(expected)


BROADCASTING = [
    *(F.mse_loss, F.l1_loss, F.huber_loss, F.smooth_l1_loss, F.kl_div),
    *(F.soft_margin_loss, F.hinge_embedding_loss),
]


class TestTargets:
    def test_the_gradient_of_kl_div_at_nan_is_nan(self):
        y = t(np.array([0.5, np.nan, -1.0])).requires_grad_()
        F.kl_div(t(np.array([0.1, 0.2, 0.3])), y, reduction="sum").backward()
        assert np.isnan(y.grad.numpy()).tolist() == [False, True, True]

    def test_integers_and_booleans_are_converted(self):
        x = weft.tensor([0.5, -1.0])
        assert F.mse_loss(x, weft.tensor([1, 0])).dtype == weft.float32
        logits = F.binary_cross_entropy_with_logits(x, weft.tensor([True, False]))
        assert logits.item() == F.binary_cross_entropy_with_logits(x, weft.tensor([1.0, 0.0])).item()

    @pytest.mark.parametrize("f", BROADCASTING)
    def test_other_shapes_broadcast_with_a_warning(self, f):
        with pytest.warns(
            UserWarning,
            match=r"`target` of shape \(2,\) and `input` of shape \(2, 1\) broadcast to \(2, 2\), which is rarely",
        ):
            f(weft.ones((2, 1)), weft.ones(2))
        with pytest.raises(ValueError, match=r"a shape that broadcasts with that of `input`, \(2, 3\), got \(2,\)"):
            f(weft.ones((2, 3)), weft.ones(2))

    @pytest.mark.filterwarnings("ignore:.*broadcast to")
    @pytest.mark.parametrize("f", BROADCASTING)
    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    @pytest.mark.parametrize(("left", "right"), [((3, 2), (2,)), ((2,), ()), ((1, 2), (3, 1))])
    def test_gradients_of_what_broadcasts(self, f, reduction, left, right):
        """They are those of the same numbers, repeated before."""
        x, y = (t(rng.uniform(0.1, 0.9, s)).requires_grad_() for s in (left, right))
        shape = np.broadcast_shapes(left, right)
        f(x, y, reduction=reduction).sum().backward()
        found, x.grad, y.grad = (x.grad, y.grad), None, None
        f(weft.broadcast_to(x, shape), weft.broadcast_to(y, shape), reduction=reduction).sum().backward()
        for a, b in zip(found, (x.grad, y.grad)):
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)

    @pytest.mark.parametrize("f", [F.binary_cross_entropy, F.binary_cross_entropy_with_logits, F.hinge_loss])
    def test_other_shapes_are_errors_elsewhere(self, f):
        with pytest.raises(ValueError, match=r"`target` must have the shape of `input`, \(2, 1\), got \(2,\)"):
            f(weft.ones((2, 1)), weft.ones(2))

    @pytest.mark.parametrize("f", [F.cross_entropy, F.nll_loss, F.multi_margin_loss])
    def test_class_indices(self, f):
        with pytest.raises(
            ValueError, match=r"class indices of shape \(5,\) for `input` of shape \(5, 4\), got \(4,\)"
        ):
            f(t(X), t(LABELS[:4]))
        with pytest.raises(
            TypeError,
            match=r"`target` must have an integer dtype to hold class indices, got float64; convert it: target.long",
        ):
            f(t(X), t(LABELS.astype(float)))
        with pytest.raises(IndexError, match=r"`target` must hold classes in \[0, 4\).*got 4"):
            f(t(X), t(LABELS + 1))
        with pytest.raises(ValueError, match=r"`weight` must have shape \(4,\), got \(3,\)"):
            f(t(X), t(LABELS), weight=weft.ones(3))
        with pytest.raises(TypeError, match=r"`target` must be a weft.Tensor, got list"):
            f(t(X), [0, 1, 2, 3, 0])
        with pytest.raises(ValueError, match=r"`input` must have shape \(C,\), \(N, C\) or \(N, C, …\), got \(\)"):
            f(weft.tensor(1.0), weft.tensor(0))


class TestOptions:
    @pytest.mark.parametrize("f", [F.mse_loss, F.cross_entropy, F.nll_loss, F.kl_div, F.hinge_loss])
    def test_reduction(self, f):
        target = t(LABELS) if f in (F.cross_entropy, F.nll_loss) else t(X)
        with pytest.raises(ValueError, match=r"`reduction` must be one of 'none', 'mean', 'sum'.*, got 'avg'"):
            f(t(X), target, reduction="avg")

    @pytest.mark.parametrize(
        ("size_average", "reduce", "meant"),
        [(None, False, "none"), (False, None, "sum"), (True, True, "mean"), (None, True, "mean")],
    )
    def test_the_deprecated_pair(self, size_average, reduce, meant):
        with pytest.warns(UserWarning, match=f"`size_average` and `reduce` are deprecated: say reduction='{meant}'"):
            got = F.mse_loss(t(X), t(Y), size_average, reduce)
        np.testing.assert_array_equal(got.numpy(), F.mse_loss(t(X), t(Y), reduction=meant).numpy())

    def test_numbers(self):
        with pytest.raises(ValueError, match="`delta` must be positive, got 0"):
            F.huber_loss(t(X), t(Y), delta=0)
        with pytest.raises(ValueError, match="`beta` must not be negative, got -1"):
            F.smooth_l1_loss(t(X), t(Y), beta=-1)
        with pytest.raises(ValueError, match=r"`label_smoothing` must be a probability in \[0, 1\], got 2"):
            F.cross_entropy(t(X), t(LABELS), label_smoothing=2)
        with pytest.raises(ValueError, match="`p` must be one of 1, 2, got 3"):
            F.multi_margin_loss(t(X), t(LABELS), 3)
        with pytest.raises(ValueError, match=r"`input` must have shape \(N, C\) or \(C,\), got \(2, 3, 4\)"):
            F.multi_margin_loss(weft.ones((2, 3, 4)), weft.zeros((2, 4), dtype=weft.int64))
        with pytest.raises(ValueError, match=r"`weight` must have shape \(5, 4\), got \(4,\)"):
            F.mse_loss(t(X), t(Y), weight=weft.ones(4))


@pytest.mark.parametrize("device", ["cpu", "emulator"])
class TestLabelsThatAreNone:
    @pytest.fixture(autouse=True)
    def _on(self, device):
        if device not in weft.devices():
            pytest.skip("no compiler")
        with weft.device(device):
            yield

    @pytest.mark.parametrize("label", [-100, -1, 3])
    def test_of_a_loss_that_ignores_none(self, label):
        with pytest.raises(IndexError, match=rf"`target` must hold classes in \[0, 3\); at position 0, got {label}"):
            F.multi_margin_loss(weft.zeros((2, 3)), weft.asarray([label, 1]))

    @pytest.mark.parametrize(
        "loss",
        [
            F.cross_entropy,
            F.nll_loss,
            F.multi_margin_loss,
            lambda x, y: F.linear_cross_entropy(x, weft.zeros((4, 3)), y),
        ],
    )
    def test_booleans_are_no_classes(self, loss):
        with pytest.raises(TypeError, match="`target` must have an integer dtype to hold class indices, got bool"):
            loss(weft.zeros((2, 3)), weft.asarray([True, False]))

    def test_negative_probabilities(self):
        """torch.nn.functional.kl_div(x, y, reduction="none") of the same."""
        x = weft.asarray([-0.5, -0.5, -0.5]).requires_grad_()
        loss = F.kl_div(x, weft.asarray([-1.0, 0.0, 0.5]), reduction="none")
        np.testing.assert_allclose(loss.detach().cpu().numpy(), [np.nan, 0, -0.09657359], rtol=1e-6)
        loss.sum().backward()
        assert x.grad.tolist() == [1, 0, -0.5]


@pytest.mark.parametrize("f", [F.binary_cross_entropy, F.binary_cross_entropy_with_logits])
def test_a_weight_does_not_widen_the_input(f):
    """Nor in PyTorch, which raises RuntimeError."""
    for shape, weight in (((), (7,)), ((1, 1), (7,)), ((3, 1), (3, 2)), ((2,), (1, 2))):
        x = weft.full(shape, 0.5)
        with pytest.raises(ValueError, match=r"`weight` must broadcast to the shape of `input`, .*, got \("):
            f(x, x, weft.ones(weight))
    x = weft.full((3, 2), 0.5)
    assert f(x, x, weft.ones(2)).item() == f(x, x, weft.ones((3, 1))).item() == f(x, x).item()
