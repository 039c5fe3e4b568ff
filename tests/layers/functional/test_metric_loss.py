"""Against the formulas in float64 NumPy; gradients by differences are those of `tests/layers/test_every_layer.py`."""

import numpy as np
import pytest

import weft
from weft.layers import functional as F

rng = np.random.default_rng(0)
A, P, N = (rng.standard_normal((5, 3)) for _ in range(3))
a, p, n = map(weft.tensor, (A, P, N))


@pytest.mark.parametrize("order", [1, 2, 3, np.inf])
@pytest.mark.parametrize("swap", [False, True])
def test_triplet_margin_loss(order, swap):
    def distance(x, y):
        return np.linalg.norm(x - y + 1e-6, ord=order, axis=-1)

    far = np.minimum(distance(A, N), distance(P, N)) if swap else distance(A, N)
    expected = np.maximum(0, 0.7 + distance(A, P) - far)
    found = F.triplet_margin_loss(a, p, n, 0.7, order, swap=swap, reduction="none")
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-14)
    if order == 2:
        found = F.triplet_margin_with_distance_loss(a, p, n, margin=0.7, swap=swap)
        assert found.item() == pytest.approx(expected.mean())


def test_a_distance_of_ones_own():
    found = F.triplet_margin_with_distance_loss(
        a, p, n, distance_function=lambda x, y: ((x - y) ** 2).sum(axis=-1), reduction="sum"
    )
    expected = np.maximum(0, 1 + ((A - P) ** 2).sum(-1) - ((A - N) ** 2).sum(-1)).sum()
    assert found.item() == pytest.approx(expected)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_cosine_embedding_loss(reduction):
    y = np.array([1, -1, 1, -1, -1])
    cosine = (A * P).sum(-1) / np.sqrt((A**2).sum(-1) * (P**2).sum(-1))
    expected = np.where(y == 1, 1 - cosine, np.maximum(0, cosine + 0.2))
    expected = {"none": expected, "sum": expected.sum(), "mean": expected.mean()}[reduction]
    found = F.cosine_embedding_loss(a, p, weft.tensor(y), margin=-0.2, reduction=reduction)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)
    one = F.cosine_embedding_loss(a[0], p[0], weft.tensor(1))
    assert one.item() == pytest.approx(1 - cosine[0])


def test_margin_ranking_loss():
    found = F.margin_ranking_loss(a, p, weft.tensor([[1, -1, 1]]), 0.1, reduction="sum")
    assert found.item() == pytest.approx(np.maximum(0, 0.1 - np.array([1, -1, 1]) * (A - P)).sum())


def test_half_precision_does_not_overflow():
    big = weft.tensor([[300.0, 300.0]]).half()
    assert F.cosine_embedding_loss(big, big, weft.tensor([1])).item() == pytest.approx(0, abs=1e-3)
    assert F.triplet_margin_loss(big, big, -big, reduction="sum").item() == 0


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"`margin` must be positive, got 0|`margin` must be .*0.*, got 0"):
        F.triplet_margin_loss(a, p, n, margin=0)
    with pytest.raises(
        ValueError, match=r"`anchor`, `positive`, `negative` must have as many axes each, got \[\(5, 3\), \(3,\)"
    ):
        F.triplet_margin_loss(a, p[0], n)
    with pytest.raises(ValueError, match=r"`target` must have shape \(N,\) for `input1` \(N, D\).*got \(5, 1\)"):
        F.cosine_embedding_loss(a, p, weft.ones((5, 1)))
    with pytest.raises(TypeError, match="`input1` must have a real floating-point dtype, got int64"):
        F.margin_ranking_loss(weft.tensor([1]), weft.tensor([1.0]), weft.tensor([1.0]))
    with pytest.raises(ValueError, match="`reduction` must be one of 'none', 'mean', 'sum', got 'avg'"):
        F.margin_ranking_loss(a, p, n, reduction="avg")
