"""Options, errors and affine maps; the modes against their definitions are rows of the primitive."""

import numpy as np
import pytest

import weft
from weft.layers import functional as F


class TestGridSample:
    @pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
    @pytest.mark.parametrize("align_corners", [False, True])
    def test_the_identity(self, mode, align_corners, rng):
        x = weft.tensor(rng.standard_normal((2, 3, 4, 5)))
        theta = weft.tensor(np.tile(np.eye(2, 3), (2, 1, 1)))
        y = F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners), mode, align_corners=align_corners)
        np.testing.assert_allclose(y.numpy(), x.numpy(), atol=1e-12)

    def test_a_turn(self, rng):
        """By a quarter, of a cube about its first axis."""
        x = rng.standard_normal((1, 2, 3, 3, 3))
        theta = weft.tensor([[[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]], dtype=weft.float64)
        y = F.grid_sample(weft.tensor(x), F.affine_grid(theta, x.shape, True), align_corners=True)
        np.testing.assert_allclose(y.numpy(), np.rot90(x, 1, (3, 4)), atol=1e-12)

    def test_without_align_corners_it_warns_and_does_as_pytorch(self):
        x, grid = weft.tensor([[[[1.0, 3.0]]]]), weft.tensor([[[[0.5, 0.0]]]])
        with pytest.warns(UserWarning, match="`grid_sample` without `align_corners` takes False"):
            y = F.grid_sample(x, grid)
        assert y.tolist() == F.grid_sample(x, grid, align_corners=False).tolist() == [[[[3]]]]

    @pytest.mark.parametrize(("shape", "grid", "options", "message"), [
        ((1, 2, 3), (1, 4, 2), {}, r"`input` must have shape \(N, C, H, W\) or .*, got \(1, 2, 3\)"),
        ((1, 2, 0, 3), (1, 4, 4, 2), {}, r"`input` must have shape .*, with pixels, got \(1, 2, 0, 3\)"),
        ((1, 2, 3, 4), (2, 5, 6, 2), {}, r"`grid` must have shape \(1, Ho, Wo, 2\) for `input` \(1, 2, 3, 4\), got \(2, 5, 6, 2\)"),
        ((1, 2, 3, 4, 5), (1, 4, 5, 6, 2), {}, r"`grid` must have shape \(1, Do, Ho, Wo, 3\) .*, got \(1, 4, 5, 6, 2\)"),
        ((1, 2, 3, 4, 5), (1, 4, 5, 6, 3), {"mode": "bicubic"}, r"mode='bicubic' is for images .*, got `input` \(1, 2, 3, 4, 5\)"),
        ((1, 2, 3, 4), (1, 5, 6, 2), {"mode": "linear"}, r"`mode` must be one of .*, got 'linear'"),
        ((1, 2, 3, 4), (1, 5, 6, 2), {"padding_mode": "zero"}, r"`padding_mode` must be one of .*, got 'zero'"),
    ])  # fmt: skip
    def test_errors(self, shape, grid, options, message):
        with pytest.raises(ValueError, match=message):
            F.grid_sample(weft.ones(shape), weft.zeros(grid), align_corners=False, **options)

    def test_one_dtype(self):
        with pytest.raises(TypeError, match="`grid` must have the dtype of `input`, float32, got float64"):
            F.grid_sample(weft.ones((1, 1, 2, 2)), weft.zeros((1, 2, 2, 2), dtype=weft.float64), align_corners=False)


class TestAffineGrid:
    @pytest.mark.parametrize("align_corners", [False, True])
    @pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 1, 3, 1, 4)])
    def test_values_and_gradient(self, size, align_corners, rng):
        axes = len(size) - 2
        values = rng.standard_normal((size[0], axes, axes + 1))
        theta = weft.tensor(values, requires_grad=True)
        grid = F.affine_grid(theta, size, align_corners)
        lines = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in size[2:]]
        lines = lines if align_corners else [(2 * np.arange(n) + 1) / n - 1 for n in size[2:]]
        points = np.stack([*np.meshgrid(*lines, indexing="ij")[::-1], np.ones(size[2:])], -1)
        np.testing.assert_allclose(grid.detach().numpy(), np.einsum("nij,...j->n...i", values, points), atol=1e-12)
        g = rng.standard_normal(grid.shape)
        grid.backward(weft.tensor(g))
        np.testing.assert_allclose(
            theta.grad.numpy(),
            np.einsum("nai,aj->nij", g.reshape(size[0], -1, axes), points.reshape(-1, axes + 1)),
            atol=1e-12,
        )

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`theta` must have shape .*, got \(1, 2, 3\) and \(1, 1, 2, 2, 2\)"):
            F.affine_grid(weft.ones((1, 2, 3)), (1, 1, 2, 2, 2), False)
        with pytest.raises(ValueError, match=r"`size` must be .*, got 0"):
            F.affine_grid(weft.ones((1, 2, 3)), (1, 1, 0, 2), False)
        with pytest.raises(TypeError, match=r"`size` must be \(N, C, H, W\) or .*, got 4"):
            F.affine_grid(weft.ones((1, 2, 3)), 4, False)
        with pytest.warns(UserWarning, match="`affine_grid` without `align_corners` takes False"):
            F.affine_grid(weft.ones((1, 2, 3)), (1, 1, 2, 2))
