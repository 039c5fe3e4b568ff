"""Positional encodings against their formulas in float64."""

import numpy as np
import pytest

import weft
from weft import layers as nn


def sinusoids(positions, width, base=10000.0):
    table = np.empty((len(positions), width))
    for row, p in enumerate(positions):
        for i in range(width):
            angle = p * base ** (-(i - i % 2) / width)
            table[row, i] = np.cos(angle) if i % 2 else np.sin(angle)
    return table


class TestSinusoidal:
    @pytest.mark.parametrize("width", [1, 4, 7])
    def test_values(self, rng, width):
        x = rng.standard_normal((5, 3, width))
        y = nn.SinusoidalPositionalEncoding(width)(weft.tensor(x), 2)
        np.testing.assert_allclose(y.numpy(), x + sinusoids(range(2, 7), width)[:, None], atol=1e-14)

    def test_which_axis(self, rng):
        x = rng.standard_normal((3, 5, 4))
        table = sinusoids(range(5), 4)
        np.testing.assert_allclose(
            nn.SinusoidalPositionalEncoding(4, batch_first=True)(weft.tensor(x)).numpy(), x + table, atol=1e-14
        )
        for batch_first in (False, True):
            y = nn.SinusoidalPositionalEncoding(4, batch_first=batch_first)(weft.tensor(x[0]))
            np.testing.assert_allclose(y.numpy(), x[0] + table, atol=1e-14)

    def test_far_out_and_in_half_precision(self):
        """Angles are exact where float32 would have none of their digits left."""
        y = nn.SinusoidalPositionalEncoding(4)(weft.zeros((1, 4), dtype=weft.float16), 12345678)
        assert y.dtype == weft.float16
        np.testing.assert_allclose(y.numpy(), sinusoids([12345678], 4), atol=1e-3)


class TestLearned:
    def test_values_and_gradient(self, rng):
        layer = nn.LearnedPositionalEncoding(9, 4).double()
        x = rng.standard_normal((5, 3, 4))
        y = layer(weft.tensor(x), 2)
        np.testing.assert_array_equal(y.detach().numpy(), x + layer.weight.data[2:7, None])
        y.sum().backward()
        np.testing.assert_array_equal(layer.weight.grad.numpy().sum(1), [0, 0, 12, 12, 12, 12, 12, 0, 0])

    def test_initial_values(self):
        weft.manual_seed(0)
        assert nn.LearnedPositionalEncoding(100, 100).weight.std().item() == pytest.approx(0.02, rel=0.05)

    @pytest.mark.parametrize("batch_first", [False, True])
    def test_positions_of_each_row(self, batch_first):
        """Left padding: rows of a batch begin at different positions."""
        layer = nn.LearnedPositionalEncoding(9, 4, batch_first)
        positions = np.array([[0, 0, 1, 2], [0, 1, 2, 3], [5, 6, 7, 8]])
        y = layer(weft.zeros((3, 4, 4) if batch_first else (4, 3, 4)), weft.tensor(positions)).detach().numpy()
        np.testing.assert_array_equal(y if batch_first else y.swapaxes(0, 1), layer.weight.data[positions])

    def test_too_long(self):
        layer = nn.LearnedPositionalEncoding(9, 4)
        match = "`input` must end within max_length = 9 positions, got 10"
        with pytest.raises(ValueError, match=match):
            layer(weft.zeros((10, 4)))
        with pytest.raises(ValueError, match=match):
            layer(weft.zeros((3, 2, 4)), 7)
        with pytest.raises(IndexError):
            layer(weft.zeros((1, 4)), weft.tensor([9]))


class TestRotary:
    @pytest.mark.parametrize("interleaved", [False, True])
    def test_pairs(self, rng, interleaved):
        x = rng.standard_normal((2, 3, 5, 8))
        y = nn.RotaryEmbedding(6, base=100.0, interleaved=interleaved)(weft.tensor(x), 4).numpy()
        for p in range(5):
            for i in range(3):
                a, b = (2 * i, 2 * i + 1) if interleaved else (i, i + 3)
                angle = (p + 4) * 100.0 ** (-2 * i / 6)
                z = (x[..., p, a] + 1j * x[..., p, b]) * np.exp(1j * angle)
                np.testing.assert_allclose(y[..., p, a], z.real, atol=1e-14)
                np.testing.assert_allclose(y[..., p, b], z.imag, atol=1e-14)
        np.testing.assert_array_equal(y[..., 6:], x[..., 6:])

    def test_products_depend_on_distances(self, rng):
        q, k = (weft.tensor(rng.standard_normal((1, 8))) for _ in range(2))
        rope = nn.RotaryEmbedding(8)
        near, far = ((rope(q, p + 3) * rope(k, p)).sum().item() for p in (0, 1000))
        assert near == pytest.approx(far, rel=1e-12)

    def test_positions_of_each_row(self, rng):
        x, rope = weft.tensor(rng.standard_normal((2, 3, 4, 8))), nn.RotaryEmbedding(8)
        positions = weft.tensor([[0, 0, 1, 2], [5, 6, 7, 8]])
        y = rope(x, positions)
        np.testing.assert_array_equal(y[1].numpy(), rope(x[1], 5).numpy())
        np.testing.assert_array_equal(y[0, :, 1:].numpy(), rope(x[0, :, 1:]).numpy())

    def test_angles_are_taken_once(self, rng):
        x, rope = weft.tensor(rng.standard_normal((2, 3, 4, 8)).astype("f")), nn.RotaryEmbedding(8)
        cos, sin = rope.angles(4, 2)
        np.testing.assert_array_equal(nn.functional.rotary_embedding(x, cos, sin).numpy(), rope(x, 2).numpy())


def test_errors():
    with pytest.raises(ValueError, match="`dim` must be a positive even number, got 5"):
        nn.RotaryEmbedding(5)
    with pytest.raises(ValueError, match=r"`input` must have shape \(…, L, D\) with D at least 8, got \(5, 6\)"):
        nn.RotaryEmbedding(8)(weft.ones((5, 6)))
    layer = nn.SinusoidalPositionalEncoding(4)
    with pytest.raises(ValueError, match=r"`input` must have shape \(L, N, E\) or \(L, E\) with E = 4, got \(2, 5\)"):
        layer(weft.ones((2, 5)))
    with pytest.raises(ValueError, match="`position` must be at least 0, got -1"):
        layer(weft.ones((2, 4)), -1)
    with pytest.raises(TypeError, match="`position` must be an int or have an integer dtype, got float32"):
        layer(weft.ones((2, 4)), weft.ones(2))
    with pytest.raises(ValueError, match=r"`position` must have shape \(L,\) or \(N, L\) with L = 2, got \(3,\)"):
        layer(weft.ones((2, 4)), weft.tensor([0, 1, 2]))


@pytest.mark.parametrize(
    ("base", "error"), [(0, ValueError), (-3.0, ValueError), (np.nan, ValueError), ("9", TypeError)]
)
def test_bases_without_powers(base, error):
    """Their angles would be NaN or infinite."""
    for make in (nn.RotaryEmbedding, nn.SinusoidalPositionalEncoding):
        with pytest.raises(error, match=f"`base` must be positive, got {base!r}"):
            make(8, base)


def test_sizes_and_positions_of_another_kind():
    for call, error, message in (
        (lambda: nn.RotaryEmbedding("8"), TypeError, "`dim` must be an integer, got '8'"),
        (lambda: nn.SinusoidalPositionalEncoding(0), ValueError, "`embed_dim` must be an integer ≥ 1, got 0"),
        (lambda: nn.LearnedPositionalEncoding(0, 4), ValueError, "`max_length` must be an integer ≥ 1, got 0"),
        (lambda: nn.RotaryEmbedding(4)(weft.ones((2, 4)), 0.5), ValueError, "`position` must be an integer, got 0.5"),
        (lambda: nn.Transformer.generate_square_subsequent_mask(-1), ValueError, "`sz` must be an integer ≥ 0, got -1"),
        (
            lambda: nn.Transformer.generate_square_subsequent_mask("5"),
            TypeError,
            "`sz` must be an integer ≥ 0, got '5'",
        ),
    ):
        with pytest.raises(error, match=message):
            call()
