"""Against np.linalg.norm, gradients against its formula; exponents at the ends; PyTorch's choice of a product."""

import math

import numpy as np
import pytest

import weft
from weft.layers import functional as F

POWERS = [0, 0.5, 1, 1.5, 2, 3, math.inf]
MODES = ["use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"]


def norm(d, p):
    if p == 0:
        return (d != 0).sum(-1)
    return np.abs(d).max(-1) if p == math.inf else (np.abs(d) ** p).sum(-1) ** (1 / p)


def slope(d, p):
    """d‖d‖ₚ/dd."""
    size = np.abs(d)
    if p == math.inf:
        return np.sign(d) * (size == size.max(-1, keepdims=True))
    return 0 * d if p == 0 else np.sign(d) * (size / norm(d, p)[..., None]) ** (p - 1)


@pytest.mark.parametrize("p", POWERS)
class TestOfAnyPower:
    @pytest.mark.parametrize("keepdim", [False, True])
    @pytest.mark.parametrize("other", [(2, 4, 5), (5,)])
    def test_pairwise_distance(self, p, other, keepdim, rng):
        x1, x2 = rng.standard_normal((2, 4, 5)), rng.standard_normal(other)
        t = weft.tensor(x1, requires_grad=True)
        y = F.pairwise_distance(t, weft.tensor(x2), p, 0.01, keepdim)
        expected = norm(x1 - x2 + 0.01, p)
        np.testing.assert_allclose(y.detach().numpy(), expected[..., None] if keepdim else expected, rtol=1e-12)
        y.sum().backward()
        np.testing.assert_allclose(t.grad.numpy(), slope(x1 - x2 + 0.01, p), atol=1e-12)

    def test_pdist(self, p, rng):
        x = rng.standard_normal((6, 3))
        t = weft.tensor(x, requires_grad=True)
        y = F.pdist(t, p)
        i, j = np.triu_indices(6, 1)
        np.testing.assert_allclose(y.detach().numpy(), norm(x[i] - x[j], p), rtol=1e-12)
        y.sum().backward()
        expected = np.zeros((6, 3))
        np.add.at(expected, i, slope(x[i] - x[j], p))
        np.add.at(expected, j, -slope(x[i] - x[j], p))
        np.testing.assert_allclose(t.grad.numpy(), expected, atol=1e-12)

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize(("s1", "s2"), [((4, 3), (5, 3)), ((2, 4, 3), (30, 3)), ((2, 1, 4, 1), (3, 5, 1))])
    def test_cdist(self, p, mode, s1, s2, rng):
        x1, x2 = rng.standard_normal(s1), rng.standard_normal(s2)
        d = x1[..., :, None, :] - x2[..., None, :, :]
        t = weft.tensor(x1, requires_grad=True)
        y = F.cdist(t, weft.tensor(x2), p, mode)
        np.testing.assert_allclose(y.detach().numpy(), norm(d, p), rtol=1e-10)
        y.sum().backward()
        expected = slope(d, p).sum(-2)
        while expected.ndim > x1.ndim:
            expected = expected.sum(0)
        for axis in [axis for axis, n in enumerate(s1) if n != expected.shape[axis]]:
            expected = expected.sum(axis, keepdims=True)
        np.testing.assert_allclose(t.grad.numpy(), expected, atol=1e-9)

    def test_of_equal_rows(self, p):
        x = weft.ones((3, 4), requires_grad=True)
        for y in (F.pdist(x, p), F.cdist(x, weft.ones((2, 4)), p)):
            y.sum().backward()
            assert not y.detach().numpy().any()
            assert not x.grad.numpy().any()

    def test_of_nothing(self, p):
        assert F.pdist(weft.ones((1, 3)), p).shape == (0,)
        assert F.cdist(weft.ones((2, 0)), weft.ones((3, 0)), p).tolist() == [[0] * 3] * 2
        assert F.cdist(weft.ones((0, 2)), weft.ones((3, 2)), p).shape == (0, 3)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 40])
def test_the_order_of_pairs(n):
    x = weft.asarray(2.0 ** np.arange(n)[:, None])
    i, j = np.triu_indices(n, 1)
    assert F.pdist(x).tolist() == (2.0**j - 2.0**i).tolist()


def test_only_many_rows_become_a_product():
    """Near each other and far from 0, float32 shows which: as in PyTorch."""
    near = weft.full((1, 2), 1000.0)
    for rows, is_exact in [(25, True), (26, False)]:
        y = F.cdist(near + weft.asarray(np.float32([[0.01, 0]])), weft.broadcast_to(near, (rows, 2)))
        assert (abs(y.numpy() - 0.01) < 1e-4).all() == is_exact


def test_half_precision_is_computed_in_float32():
    x = weft.full((1, 300), 200.0).half()
    assert F.pairwise_distance(x, x * 0).item() == pytest.approx(200 * math.sqrt(300), rel=1e-3)
    assert F.pdist(weft.concat([x, x * 0])).dtype == weft.float16


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda x: F.pdist(x[0]), ValueError, r"`input` must have shape \(N, D\), got \(3,\)"),
    (lambda x: F.pdist(x, -1), ValueError, r"`p` must be .*, got -1"),
    (lambda x: F.cdist(x, x, -1), ValueError, r"`p` must be .*, got -1"),
    (lambda x: F.cdist(x, x[:, :2]), ValueError, r"shapes \(…, P, D\) and \(…, R, D\), got \(2, 3\) and \(2, 2\)"),
    (lambda x: F.cdist(x, x, compute_mode="mm"), ValueError, r"`compute_mode` must be one of .*, got 'mm'"),
    (lambda x: F.cdist(x, x.double()), TypeError, r"`x2` must have the dtype of `x1`, float32, got float64"),
    (lambda x: F.pairwise_distance(x.long(), x), TypeError, r"`x1` must have a real floating-point dtype, got int64"),
    (lambda x: F.pairwise_distance(x, x, math.nan), ValueError, r"`p` must be .*, got nan"),
])  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(weft.ones((2, 3)))
