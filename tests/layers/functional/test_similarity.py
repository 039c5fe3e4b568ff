"""normalize and cosine_similarity against np.linalg.norm."""

import math

import numpy as np
import pytest

import weft
from weft.layers import functional as F


class TestNormalize:
    @pytest.mark.parametrize("p", [1, 2, 3.5, math.inf])
    @pytest.mark.parametrize("dim", [0, 1, -1])
    def test_values(self, rng, p, dim):
        x = rng.standard_normal((3, 4, 5))
        got = F.normalize(weft.tensor(x), p, dim).numpy()
        np.testing.assert_allclose(got, x / np.linalg.norm(x, p, axis=dim, keepdims=True), atol=1e-12)

    def test_several_axes(self, rng):
        x = rng.standard_normal((3, 4, 5))
        norm = np.sqrt((x**2).sum((1, 2), keepdims=True))
        np.testing.assert_allclose(F.normalize(weft.tensor(x), dim=(1, 2)).numpy(), x / norm, atol=1e-12)

    @pytest.mark.parametrize("p", [1, 2, 3.5, math.inf])
    def test_zeros_stay_zeros_with_a_finite_gradient(self, p):
        x = weft.zeros((2, 3), requires_grad=True)
        y = F.normalize(x, p)
        assert y.detach().tolist() == [[0.0] * 3] * 2
        y.sum().backward()
        assert np.isfinite(x.grad.numpy()).all()

    def test_errors(self):
        with pytest.raises(TypeError, match="`input` must have a real floating-point dtype, got int64"):
            F.normalize(weft.tensor([[1, 2]]))
        with pytest.raises(IndexError, match=r"`dim` must be in \[-1, 1\) for shape \(3,\), got 1"):
            F.normalize(weft.ones(3))


class TestCosineSimilarity:
    def test_values(self, rng):
        a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((3, 4))
        expected = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
        np.testing.assert_allclose(
            F.cosine_similarity(weft.tensor(a), weft.tensor(b), dim=-1).numpy(), expected, atol=1e-12
        )

    def test_zero_vectors_have_similarity_zero(self):
        x = weft.zeros((1, 3), requires_grad=True)
        y = F.cosine_similarity(x, weft.ones((1, 3)))
        assert y.item() == 0.0
        y.sum().backward()
        assert np.isfinite(x.grad.numpy()).all()

    def test_errors(self):
        with pytest.raises(IndexError, match=r"`dim` must be in \[-1, 1\) for shape \(3,\), got 1"):
            F.cosine_similarity(weft.ones(3), weft.ones(3))


def test_a_vector_that_broadcasts_counts_as_often_as_it_is_used():
    """torch.nn.functional.cosine_similarity broadcasts first: the norm of one number is not that of a row of it."""
    a, b = (np.random.default_rng(0).standard_normal(s) for s in ((2, 3, 4), (2, 1, 4)))
    wide = np.broadcast_to(b, a.shape)
    expected = (a * wide).sum(1) / np.sqrt((a * a).sum(1) * (wide * wide).sum(1))
    for x, y in ((a, b), (b, a)):
        np.testing.assert_allclose(F.cosine_similarity(weft.asarray(x), weft.asarray(y)).numpy(), expected)
    flat = F.cosine_similarity(weft.asarray(a), weft.asarray(a[0, 0]), dim=2).numpy()
    np.testing.assert_allclose(flat, (a @ a[0, 0]) / np.sqrt((a * a).sum(2) * (a[0, 0] ** 2).sum()))


@pytest.mark.parametrize("p", [-1.0, -2.5, 0.0, 0.5, 1.2, np.inf])
def test_norms_of_any_exponent(p):
    """The least of the norm itself is eps, not that of the power before its root, which falls for a negative p."""
    x = np.random.default_rng(0).uniform(0.5, 2.0, (2, 5)) * [1, -1, 1, 1, -1]
    expected = x / np.linalg.norm(x, ord=p, axis=1, keepdims=True)
    np.testing.assert_allclose(F.normalize(weft.asarray(x), p).numpy(), expected, rtol=1e-12)


def test_a_number_is_a_vector_of_one():
    x = weft.tensor(-3.0)
    assert F.normalize(x, dim=0).item() == F.normalize(x, dim=-1).item() == -1.0
    assert F.cosine_similarity(x, weft.tensor(2.0), dim=0).item() == -1.0
    with pytest.raises(IndexError, match=r"`dim` must be in \[-1, 1\) for shape \(\), got 1"):
        F.normalize(x)
