"""Against the formulas in float64 NumPy; derivatives by differences, but where eps holds a variance up."""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.nn import likelihood_loss as L

rng = np.random.default_rng(0)
REDUCTIONS = {"none": lambda x: x, "sum": np.sum, "mean": np.mean}


def gaussian(x, y, v, full=False, eps=1e-6, reduction="mean"):
    v = np.maximum(v, eps)
    return REDUCTIONS[reduction](np.log(2 * np.pi * v if full else v) / 2 + (y - x) ** 2 / (2 * v))


def poisson(x, y, log_input=True, full=False, eps=1e-8, reduction="mean"):
    stirling = np.where(y > 1, y * np.log(y) - y + np.log(2 * np.pi * y) / 2, 0)
    loss = np.exp(x) - y * x if log_input else x - y * np.log(x + eps)
    return REDUCTIONS[reduction](loss + (stirling if full else 0))


x, y, v = rng.standard_normal((3, 4)), rng.standard_normal((3, 4)), rng.uniform(0.5, 2, (3, 4))
counts = rng.choice([0.5, 0.8, 1.5, 3.0], (3, 4))
CASES = [
    *[
        Case(L.gaussian_nll_loss, (x, y, v[:, :n]), gaussian, {"full": full, "reduction": r}, tolerance=4)
        for r in REDUCTIONS
        for n, full in ((4, False), (1, True))
    ],
    *[
        Case(L.poisson_nll_loss, (x, counts), poisson, {"full": full, "reduction": r}, tolerance=4)
        for r in REDUCTIONS
        for full in (False, True)
    ],
    Case(L.poisson_nll_loss, (v, counts), poisson, {"log_input": False}, tolerance=4),
]
test_primitive = harness.over(CASES)


def test_a_variance_below_eps_still_gets_a_gradient():
    """As in PyTorch, or a variance of 0 would stay 0."""
    var = weft.tensor([0.0], requires_grad=True)
    loss = L.gaussian_nll_loss(weft.tensor([0.0]), weft.tensor([1.0]), var, eps=0.5)
    loss.backward()
    assert loss.item() == pytest.approx((np.log(0.5) + 2) / 2)
    assert var.grad.tolist() == [-1.0]


def test_negative_variances_are_refused():
    with pytest.raises(ValueError, match="`var` must hold variances, none negative, got -1"):
        L.check_variances(np.array([1.0, -1.0]))
