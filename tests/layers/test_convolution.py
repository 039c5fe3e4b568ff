"""Convolutional layers: initial values, state, padding modes against np.pad; the maps are tested in `functional`."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import functional as F


class TestConv:
    @pytest.mark.parametrize(("layer", "shape", "fan_in"), [
        (lambda: nn.Conv1d(40, 60, 5), (60, 40, 5), 200), (lambda: nn.Conv2d(20, 30, 3, groups=2), (30, 10, 3, 3), 90),
        (lambda: nn.ConvTranspose1d(40, 60, 5), (40, 60, 5), 300),
        (lambda: nn.Conv3d(20, 30, (3, 2, 2)), (30, 20, 3, 2, 2), 240),
        (lambda: nn.ConvTranspose3d(20, 30, (3, 2, 2), groups=2), (20, 15, 3, 2, 2), 180),
        (lambda: nn.ConvTranspose2d(20, 30, (3, 2), groups=2), (20, 15, 3, 2), 90),
    ])  # fmt: skip
    def test_initial_values(self, layer, shape, fan_in):
        layer = layer()
        assert layer.weight.shape == shape
        assert layer.bias.shape == (layer.out_channels,)
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        assert weight.var() == pytest.approx(1 / fan_in / 3, rel=0.1)
        assert max(np.abs(weight).max(), np.abs(bias).max()) <= fan_in**-0.5

    def test_values_are_those_of_the_function(self, rng):
        layer = nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=2, groups=2).double()
        x = weft.tensor(rng.standard_normal((2, 4, 9, 8)))
        expected = F.conv2d(x, layer.weight, layer.bias, (2, 1), (1, 0), 2, 2)
        np.testing.assert_array_equal(layer(x).detach().numpy(), expected.detach().numpy())
        layer, x = (
            nn.Conv3d(4, 6, 2, (2, 1, 1), padding="valid").double(),
            weft.tensor(rng.standard_normal((2, 4, 5, 4, 3))),
        )
        expected = F.conv3d(x, layer.weight, layer.bias, (2, 1, 1))
        np.testing.assert_array_equal(layer(x).detach().numpy(), expected.detach().numpy())

    @pytest.mark.parametrize(("mode", "theirs"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
    @pytest.mark.parametrize("padding", [(2, 1), "same", "valid"])
    def test_padding_modes(self, rng, mode, theirs, padding):
        layer = nn.Conv2d(2, 3, (4, 3), padding=padding, padding_mode=mode).double()
        x = rng.standard_normal((1, 2, 6, 5))
        sides = {"same": [(1, 2), (1, 1)], "valid": [(0, 0), (0, 0)]}.get(padding, [(2, 2), (1, 1)])
        padded = np.pad(x, [(0, 0), (0, 0), *sides], mode=theirs)
        expected = F.conv2d(weft.tensor(padded), layer.weight, layer.bias)
        np.testing.assert_allclose(layer(weft.tensor(x)).detach().numpy(), expected.detach().numpy(), atol=1e-12)

    def test_repr(self):
        assert repr(nn.Conv2d(2, 4, 3)) == "Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1))"
        full = nn.Conv1d(2, 4, 3, 2, 1, 2, 2, False, "circular")
        assert repr(full) == (
            "Conv1d(2, 4, kernel_size=(3,), stride=(2,), padding=(1,), dilation=(2,), groups=2, "
            "bias=False, padding_mode=circular)"
        )
        assert "output_padding=(1, 1)" in repr(nn.ConvTranspose2d(2, 4, 3, 2, 1, 1))

    def test_errors(self):
        with pytest.raises(
            ValueError,
            match="`groups` must be a positive int that divides `in_channels` and `out_channels`, got 2 for 3 and 4",
        ):
            nn.Conv2d(3, 4, 3, groups=2)
        with pytest.raises(
            ValueError, match="`padding_mode` must be one of 'zeros', 'reflect', 'replicate', 'circular', got 'mirror'"
        ):
            nn.Conv2d(3, 4, 3, padding_mode="mirror")
        with pytest.raises(ValueError, match="`padding_mode` must be one of 'zeros', got 'reflect'"):
            nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect")
        with pytest.raises(ValueError, match=r"`padding` may be 'same' with stride 1 alone, got stride \(2,\)"):
            nn.Conv1d(3, 4, 3, 2, "same")
        with pytest.raises(ValueError, match="`padding` must be one of 'valid', 'same', got 'full'"):
            nn.Conv1d(3, 4, 3, padding="full")
        with pytest.raises(ValueError, match="`kernel_size` must be an int or 2 ints, each at least 1, got 0"):
            nn.Conv2d(3, 4, 0)
        with pytest.raises(
            TypeError, match="`padding` must be an int or ints for a transposed convolution, got 'same'"
        ):
            nn.ConvTranspose1d(3, 4, 3, padding="same")


class TestOutputSize:
    @pytest.mark.parametrize("size", [7, 8])
    def test_picks_the_output_padding(self, size):
        """Both 7 and 8 come to 4 under a convolution of stride 2."""
        layer, x = nn.ConvTranspose1d(1, 1, 3, stride=2, padding=1), weft.ones((1, 1, 4))
        y = layer(x, output_size=(size,))
        assert y.shape == (1, 1, size)
        assert nn.ConvTranspose2d(1, 1, 3, 2, 1)(weft.ones((1, 1, 4, 4)), output_size=(1, 1, 7, 8)).shape == (
            1,
            1,
            7,
            8,
        )

    def test_errors(self):
        with pytest.raises(ValueError, match="`output_size` must be 7 … 8 along each axis for this input, got 9"):
            nn.ConvTranspose1d(1, 1, 3, stride=2, padding=1)(weft.ones((1, 1, 4)), output_size=(9,))
