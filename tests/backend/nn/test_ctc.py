"""Against the sum over all paths, one by one, in float64 NumPy; derivatives by differences, through log-softmax."""

import itertools

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.nn import ctc as C
from weft.backend.nn.activation import log_softmax

rng = np.random.default_rng(0)


def collapsed(path, blank):
    return [k for k, _ in itertools.groupby(path) if k != blank]


def losses(x, targets, steps, lengths, blank):
    """−ln Σ of the probabilities of the paths that read as the target."""
    found = []
    for n in range(x.shape[1]):
        wanted = list(targets[n, : lengths[n]])
        paths = itertools.product(range(x.shape[2]), repeat=int(steps[n]))
        logs = [sum(x[t, n, k] for t, k in enumerate(p)) for p in paths if collapsed(p, blank) == wanted]
        found.append(-np.log(np.exp(logs).sum()) if logs else np.inf)
    return np.array(found)


def reference(x, targets, steps, lengths, blank=0, reduction="mean", zero_infinity=False):
    x = x - np.log(np.exp(x).sum(2, keepdims=True))
    loss = losses(x, targets, steps, lengths, blank)
    loss = np.where(np.isinf(loss) & zero_infinity, 0.0, loss)
    if reduction == "mean":
        return np.mean(loss / np.maximum(1, lengths))
    return loss.sum() if reduction == "sum" else loss


def of_logits(x, targets, steps, lengths, **options):
    return C.ctc_loss(log_softmax(x, axis=2), targets, steps, lengths, **options)


logits, targets = rng.standard_normal((5, 4, 3)), np.array([[1, 2], [1, 1], [2, 9], [0, 0]])
of = (logits, targets, np.array([5, 4, 2, 3]), np.array([2, 2, 1, 0]))
too_long = (logits, targets, np.array([5, 2, 2, 0]), np.array([2, 2, 1, 1]))
CASES = [
    *[Case(of_logits, of, reference, {"reduction": r}, tolerance=8) for r in ("none", "sum", "mean")],
    Case(of_logits, (logits[:, :2], targets[:2] - 1, *(a[:2] for a in of[2:])), reference, {"blank": 2}, tolerance=8),
    Case(of_logits, too_long, reference, {"zero_infinity": True}, tolerance=8),
    Case(of_logits, (logits[:1, :1], targets[:1, :0], np.array([1]), np.array([0])), reference, tolerance=8),
]
test_primitive = harness.over(CASES)


def run(x, *args, **options):
    x = weft.tensor(x, requires_grad=True)
    loss = C.ctc_loss(x, *map(weft.asarray, args), **options)
    loss.sum().backward()
    return loss.detach().numpy(), x.grad.numpy()


def test_the_gradient_by_log_probs_is_pytorchs():
    """exp x − posterior, of which the posterior is minus the derivative; 0 beyond the end of an input."""
    x, h = logits - 1.0, 1e-6
    _, grad = run(x, *of[1:], reduction="sum")
    for t, n, k in [(0, 0, 0), (2, 1, 1), (4, 0, 2), (1, 3, 0)]:
        moved = [x + s * h * (np.indices(x.shape) == np.array([t, n, k])[:, None, None, None]).all(0) for s in (1, -1)]
        slope = np.subtract(*(losses(m, *of[1:], 0).sum() for m in moved)) / (2 * h)
        assert grad[t, n, k] == pytest.approx(np.exp(x[t, n, k]) + slope, rel=1e-6)
    assert not grad[4, 1].any()
    assert not grad[2:, 2].any()


def test_a_target_that_is_too_long():
    loss, grad = run(logits, *too_long[1:], reduction="none")
    assert np.isinf(loss).tolist() == [False, True, False, True]
    assert np.isnan(grad[:2, 1]).all()
    assert np.isfinite(grad[:, [0, 2, 3]]).all()  # the last has no step that could have one
    loss, grad = run(logits, *too_long[1:], reduction="none", zero_infinity=True)
    assert loss[1] == 0 == np.abs(grad[:, 1]).sum()


def test_an_empty_target_is_blanks():
    x = np.log(np.full((3, 1, 2), 0.5))
    loss, _ = run(x, np.zeros((1, 0), int), np.array([3]), np.array([0]), reduction="none")
    assert loss.tolist() == pytest.approx([3 * np.log(2)])


def test_classes_ruled_out():
    """Logarithms of 0 make no NaN."""
    x = np.log(np.full((3, 1, 3), 0.5)) + np.array([0.0, 0.0, -np.inf])
    loss, grad = run(x, np.array([[1]]), np.array([3]), np.array([1]), reduction="none")
    assert np.exp(-loss) == pytest.approx(6 / 8)
    assert np.isfinite(grad).all()


def test_what_is_refused():
    def check(targets, lengths=(2,), steps=(4,)):
        C.check_alignment(np.array([targets]), np.array(lengths), np.array(steps), 4, 3, 0)

    check([1, 2, 9])
    with pytest.raises(IndexError, match=r"`targets` must hold classes in \[0, 3\), got 3"):
        check([1, 3])
    with pytest.raises(ValueError, match="`targets` must not hold the blank, 0"):
        check([1, 0])
    with pytest.raises(ValueError, match=r"`input_lengths` must be in \[0, 4\], got \[5\]"):
        check([1, 2], steps=(5,))
    with pytest.raises(ValueError, match=r"`target_lengths` must be in \[0, 2\], got \[3\]"):
        check([1, 2], lengths=(3,))
