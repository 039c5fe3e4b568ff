"""Against the formulas in float64 NumPy, label by label; derivatives by differences."""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.nn import margin_loss as L

rng = np.random.default_rng(0)
REDUCTIONS = {"none": lambda x: x, "sum": np.sum, "mean": np.mean}


def ranking(x1, x2, y, margin=0.0, reduction="mean"):
    return REDUCTIONS[reduction](np.maximum(0, margin - y * (x1 - x2)))


def multilabel(x, y, reduction="mean"):
    losses = []
    for row, target in zip(x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1])):
        ends = np.flatnonzero(target == -1)
        labels = target[: ends[0]] if len(ends) else target
        rest = np.delete(row, labels)
        losses.append(sum(np.maximum(0, 1 - row[k] + rest).sum() for k in labels) / len(row))
    return REDUCTIONS[reduction](np.array(losses).reshape(x.shape[:-1]))


a, b = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
labels = np.array([[0, 2, -1, 3, 1], [4, 4, 1, 0, -1], [-1, 0, 1, 2, 3], [0, 1, 2, 3, 4]])
CASES = [
    *[
        Case(L.margin_ranking_loss, (a, b, rng.choice([-1.0, 1.0], (3, 4))), ranking, {"margin": 0.3, "reduction": r}, (0, 1))
        for r in REDUCTIONS
    ],
    *[Case(L.multilabel_margin_loss, (rng.standard_normal((4, 5)), labels), multilabel, {"reduction": r}) for r in REDUCTIONS],
    Case(L.multilabel_margin_loss, (rng.standard_normal(5), labels[0]), multilabel),
]  # fmt: skip
test_primitive = harness.over(CASES)


def test_the_kink_has_the_slope_of_the_loss():
    """As in PyTorch: two that are ranked alike are pushed apart."""
    x = weft.tensor([1.0], requires_grad=True)
    L.margin_ranking_loss(x, weft.tensor([1.0]), weft.tensor([1.0])).backward()
    assert x.grad.tolist() == [-1.0]


def test_labels_that_are_no_classes():
    with pytest.raises(IndexError, match=r"`target` must hold classes in \[0, 3\), then −1 as the end of a row, got 3"):
        L.check_labels(np.array([[0, 3, -1]]), 3)
    L.check_labels(np.array([[0, -1, 9]]), 3)
