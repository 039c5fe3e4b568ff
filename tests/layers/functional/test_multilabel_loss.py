"""Against the formulas in float64 NumPy; the margins are tested with the primitive."""

import numpy as np
import pytest

import weft
from weft.layers import functional as F

rng = np.random.default_rng(0)
X, Y, W = rng.standard_normal((4, 3)), rng.integers(0, 2, (4, 3)), rng.uniform(0.5, 2, 3)
x, y = weft.tensor(X), weft.tensor(Y)


@pytest.mark.parametrize("weight", [None, W])
def test_multilabel_soft_margin_loss(weight):
    s = 1 / (1 + np.exp(-X))
    each = -(Y * np.log(s) + (1 - Y) * np.log(1 - s)) * (1 if weight is None else weight)
    w = None if weight is None else weft.tensor(weight)
    found = F.multilabel_soft_margin_loss(x, y, w, reduction="none")
    np.testing.assert_allclose(found.numpy(), each.mean(-1), rtol=1e-12)
    assert F.multilabel_soft_margin_loss(x, y, w).item() == pytest.approx(each.mean())


def test_far_from_the_margin():
    """ln σ of large numbers neither overflows nor is lost."""
    far = weft.tensor([[1000.0, -1000.0]])
    assert F.multilabel_soft_margin_loss(far, weft.tensor([[0, 1]])).item() == 1000
    assert F.multilabel_soft_margin_loss(far, weft.tensor([[1, 0]])).item() == 0


def test_what_is_refused():
    with pytest.raises(IndexError, match=r"`target` must hold classes in \[0, 3\)"):
        F.multilabel_margin_loss(x, weft.full((4, 3), 3))
    with pytest.raises(TypeError, match="`target` must have an integer dtype, got float64"):
        F.multilabel_margin_loss(x, y.double())
    with pytest.raises(ValueError, match=r"`target` must have the shape of `input`"):
        F.multilabel_margin_loss(x, y[0])
    with pytest.raises(ValueError, match=r"`input` must have an axis of classes"):
        F.multilabel_soft_margin_loss(weft.tensor(1.0), weft.tensor(1.0))


def test_soft_margin_loss_does_not_overflow():
    """PyTorch gives ∞ at (−100, 1) in float32."""
    x = weft.tensor([-100.0, -1e30], requires_grad=True)
    loss = F.soft_margin_loss(x, weft.ones(2), reduction="none")
    loss.sum().backward()
    assert loss.tolist() == [100.0, pytest.approx(1e30)]
    assert x.grad.tolist() == [-1.0, -1.0]
