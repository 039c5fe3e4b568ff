"""embedding and one_hot against NumPy's indexing."""

import math

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft.layers import functional as F

INDICES = np.array([[4, 1, 1], [0, 4, 1]])


def table(rng, device="cpu"):
    return weft.tensor(rng.standard_normal((6, 3)), device=device)


@pytest.mark.parametrize("device", ["cpu", "strict"])
class TestEmbedding:
    def indices(self, device):
        return weft.asarray(INDICES, device=device)

    def gradient(self, weight, device, **options):
        """Of Σ g y with g = 1, 2, 3, …, and the plain sum over the uses of each row."""
        weight.requires_grad_()
        g = np.arange(1.0, 19).reshape(2, 3, 3)
        (F.embedding(self.indices(device), weight, **options) * weft.asarray(g, device=device)).sum().backward()
        expected = np.zeros((6, 3))
        np.add.at(expected, INDICES, g)
        return weight.grad.numpy(), expected

    def test_values_and_gradient(self, rng, device):
        weight = table(rng, device)
        np.testing.assert_array_equal(F.embedding(self.indices(device), weight).numpy(), weight.numpy()[INDICES])
        got, expected = self.gradient(weight, device)
        np.testing.assert_array_equal(got, expected)

    def test_the_padding_row_gets_no_gradient(self, rng, device):
        for padding_idx in (1, -5):
            got, expected = self.gradient(table(rng, device), device, padding_idx=padding_idx)
            expected[1] = 0
            np.testing.assert_array_equal(got, expected)

    def test_scaled_by_frequency(self, rng, device):
        weight = table(rng, device)
        scaled = F.embedding(self.indices(device), weight, scale_grad_by_freq=True).numpy()
        np.testing.assert_array_equal(scaled, weight.numpy()[INDICES])
        got, expected = self.gradient(weight, device, scale_grad_by_freq=True)
        np.testing.assert_allclose(got, expected / np.array([[1], [3], [1], [1], [2], [1]]), rtol=1e-12)

    @pytest.mark.parametrize("norm", [1.0, 2.0, math.inf])
    def test_rows_in_use_are_shrunk(self, rng, device, norm):
        weight = table(rng, device)
        before, memory = weight.numpy().copy(), weight.data
        lengths = np.linalg.norm(before, norm, axis=1)
        limit = np.median(lengths)
        y = F.embedding(self.indices(device), weight, max_norm=limit, norm_type=norm)
        long = (lengths > limit) & np.isin(np.arange(6), INDICES)
        expected = before * np.where(long, limit / (lengths + 1e-7), 1)[:, None]
        assert weight.data is memory
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-12)
        np.testing.assert_allclose(y.numpy(), expected[INDICES], rtol=1e-12)


class TestEmbeddingErrors:
    def test_all(self):
        weight = weft.ones((3, 2))
        with pytest.raises(TypeError, match=r"`input` must have an integer dtype, got float32; convert it: input.long"):
            F.embedding(weft.ones(2), weight)
        with pytest.raises(TypeError, match="`input` must have an integer dtype, got bool"):
            F.embedding(weft.tensor([True]), weight)
        with pytest.raises(ValueError, match=r"`weight` must have shape \(V, D\), got \(3,\)"):
            F.embedding(weft.tensor([1]), weft.ones(3))
        with pytest.raises(ValueError, match=r"`padding_idx` must be in \[-3, 3\) for `weight` \(3, 2\), got 3"):
            F.embedding(weft.tensor([1]), weight, 3)
        with pytest.raises(IndexError, match=r"must be in \[0, 3\).*got 3"):
            F.embedding(weft.tensor([1, 3]), weight)
        with pytest.raises(IndexError, match=r"must be in \[0, 3\).*got -1"):
            F.embedding(weft.tensor([-1, 2]), weight)


class TestOneHot:
    @pytest.mark.parametrize("device", ["cpu", "strict"])
    def test_values(self, device):
        x = weft.asarray(INDICES, device=device)
        np.testing.assert_array_equal(F.one_hot(x, 6).numpy(), np.eye(6, dtype=int)[INDICES])
        np.testing.assert_array_equal(F.one_hot(x).numpy(), np.eye(5, dtype=int)[INDICES])
        assert F.one_hot(x).dtype == weft.int64
        assert F.one_hot(weft.tensor(1)).tolist() == [0, 1]

    def test_errors(self):
        with pytest.raises(IndexError, match=r"`tensor` must hold indices in \[0, 4\), got 0 … 4"):
            F.one_hot(weft.asarray(INDICES), 4)
        with pytest.raises(ValueError, match="`num_classes` must be positive, or -1 to be found, got 0"):
            F.one_hot(weft.asarray(INDICES), 0)
        with pytest.raises(ValueError, match="`num_classes` must be given for an empty tensor, got -1"):
            F.one_hot(weft.zeros((0,), dtype=weft.int64))
        with pytest.raises(TypeError, match="`tensor` must have an integer dtype, got float32"):
            F.one_hot(weft.ones(2))
