"""Normalisations against their formulas in NumPy; running statistics; what is said of wrong arguments."""

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft.layers import functional as F

EPS = 1e-3


def standard(x, axes):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + EPS)


def per_channel(v, ndim):
    return v.reshape(1, -1, *[1] * (ndim - 2))


@pytest.fixture
def data(rng):
    return rng.standard_normal((4, 6, 3, 5)) * 3 + 1, rng.standard_normal(6), rng.standard_normal(6)


def t(*arrays, device="cpu"):
    return [weft.tensor(a, device=device) for a in arrays]


@pytest.mark.parametrize("device", ["cpu", "strict"])
class TestBatchNorm:
    @pytest.mark.parametrize("shape", [(4, 6, 3, 5), (20, 6), (4, 6, 7)])
    def test_training(self, rng, device, shape):
        x, w, b = rng.standard_normal(shape) * 3 + 1, rng.standard_normal(6), rng.standard_normal(6)
        mean, var = t(np.full(6, 5.0), np.full(6, 7.0), device=device)
        memory = mean.data
        got = F.batch_norm(
            *t(x, device=device), mean, var, *t(w, b, device=device), training=True, momentum=0.25, eps=EPS
        )
        axes = (0, *range(2, x.ndim))
        expected = per_channel(w, x.ndim) * standard(x, axes) + per_channel(b, x.ndim)
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)
        np.testing.assert_allclose(mean.numpy(), 0.75 * 5 + 0.25 * x.mean(axes), atol=1e-12)
        np.testing.assert_allclose(var.numpy(), 0.75 * 7 + 0.25 * x.var(axes, ddof=1), atol=1e-12)
        assert mean.data is memory

    def test_evaluation(self, data, device):
        x, w, b = data
        mean, var = t(w, w * w, device=device)
        got = F.batch_norm(*t(x, device=device), mean, var, *t(b, b, device=device), eps=EPS).numpy()
        hat = (x - per_channel(w, 4)) / np.sqrt(per_channel(w * w, 4) + EPS)
        np.testing.assert_allclose(got, per_channel(b, 4) * (hat + 1), atol=1e-12)
        np.testing.assert_array_equal(mean.numpy(), w)

    def test_no_statistics_to_keep(self, data, device):
        got = F.batch_norm(*t(data[0], device=device), None, None, training=True, eps=EPS).numpy()
        np.testing.assert_allclose(got, standard(data[0], (0, 2, 3)), atol=1e-12)


@pytest.mark.parametrize("device", ["cpu", "strict"])
class TestInstanceNorm:
    def test_own_statistics(self, data, device):
        x, w, b = data
        expected = per_channel(w, 4) * standard(x, (2, 3)) + per_channel(b, 4)
        x, w, b = t(x, w, b, device=device)
        np.testing.assert_allclose(F.instance_norm(x, weight=w, bias=b, eps=EPS).numpy(), expected, atol=1e-12)

    def test_running_statistics(self, data, device):
        x, w, b = data
        mean, var = t(np.zeros(6), np.ones(6), device=device)
        got = F.instance_norm(*t(x, device=device), mean, var, *t(w, b, device=device), momentum=0.25, eps=EPS)
        np.testing.assert_allclose(got.numpy(), per_channel(w, 4) * standard(x, (2, 3)) + per_channel(b, 4), atol=1e-12)
        np.testing.assert_allclose(mean.numpy(), 0.25 * x.mean((2, 3)).mean(0), atol=1e-12)
        np.testing.assert_allclose(var.numpy(), 0.75 + 0.25 * x.var((2, 3), ddof=1).mean(0), atol=1e-12)
        fixed = F.instance_norm(*t(x, device=device), mean, var, use_input_stats=False, eps=EPS)
        expected = (x - per_channel(mean.numpy(), 4)) / np.sqrt(per_channel(var.numpy(), 4) + EPS)
        np.testing.assert_allclose(fixed.numpy(), expected, atol=1e-12)


class TestOthers:
    def test_group_norm(self, data):
        x, w, b = data
        expected = per_channel(w, 4) * standard(x.reshape(4, 2, 3, 3, 5), (2, 3, 4)).reshape(x.shape) + per_channel(
            b, 4
        )
        np.testing.assert_allclose(F.group_norm(*t(x), 2, *t(w, b), eps=EPS).numpy(), expected, atol=1e-12)

    def test_layer_norm(self, rng):
        x, w, b = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
        np.testing.assert_allclose(
            F.layer_norm(*t(x), (4, 5), *t(w, b), EPS).numpy(), w * standard(x, (2, 3)) + b, atol=1e-12
        )
        np.testing.assert_allclose(F.layer_norm(*t(x), [5], eps=EPS).numpy(), standard(x, (3,)), atol=1e-12)

    def test_rms_norm(self, rng):
        x, w = rng.standard_normal((2, 3, 4)), rng.standard_normal((3, 4))
        expected = w * x / np.sqrt((x**2).mean((1, 2), keepdims=True) + EPS)
        np.testing.assert_allclose(F.rms_norm(*t(x), (3, 4), *t(w), EPS).numpy(), expected, atol=1e-12)
        tiny = weft.full((4,), 1e-4)
        expected = 1e-4 / np.sqrt(1e-8 + np.finfo(np.float32).eps)
        np.testing.assert_allclose(F.rms_norm(tiny, (4,)).numpy(), expected, rtol=1e-6)


class TestErrors:
    def test_batch_norm(self):
        x, v = weft.ones((2, 3)), weft.ones(3)
        with pytest.raises(ValueError, match=r"`input` must have shape \(N, C, …\), got \(3,\)"):
            F.batch_norm(v, v, v)
        with pytest.raises(
            ValueError, match=r"`weight` must have shape \(3,\), one for each channel of `input` \(2, 3\), got \(2,\)"
        ):
            F.batch_norm(x, v, v, weft.ones(2))
        with pytest.raises(
            ValueError, match="`running_mean` and `running_var` must be given with training=False, got None"
        ):
            F.batch_norm(x, None, None)
        with pytest.raises(
            ValueError, match=r"more than one value per channel in training, got shape \(1, 3\); use eval"
        ):
            F.batch_norm(x[:1], v, v, training=True)
        with pytest.raises(TypeError, match="`input` must have a real floating-point dtype, got int64"):
            F.batch_norm(weft.tensor([[1, 2]]), v, v)

    def test_instance_norm(self):
        with pytest.raises(
            ValueError, match=r"more than one value per channel and example in training, got shape \(2, 3, 1\)"
        ):
            F.instance_norm(weft.ones((2, 3, 1)))

    def test_group_norm(self):
        with pytest.raises(ValueError, match=r"`num_groups` must divide the 3 channels of `input` \(2, 3\), got 2"):
            F.group_norm(weft.ones((2, 3)), 2)

    @pytest.mark.parametrize("f", [F.layer_norm, F.rms_norm])
    def test_last_axes(self, f):
        with pytest.raises(ValueError, match=r"a shape that ends with `normalized_shape` \(2,\), got \(2, 3\)"):
            f(weft.ones((2, 3)), (2,))
        with pytest.raises(ValueError, match=r"`weight` must have shape \(3,\), got \(2,\)"):
            f(weft.ones((2, 3)), (3,), weft.ones(2))


class TestLocalResponse:
    @pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
    @pytest.mark.parametrize("shape", [(2, 5, 3), (2, 5, 3, 2), (1, 5, 2, 1, 3)])
    def test_values(self, rng, shape, size):
        x = rng.standard_normal(shape)
        sums = np.zeros(shape)
        for c in range(5):
            sums[:, c] = (x[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1] ** 2).sum(1)
        expected = x / (1.5 + 0.7 / size * sums) ** 0.6
        got = F.local_response_norm(weft.tensor(x), size, 0.7, 0.6, 1.5).numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-12)

    def test_errors(self):
        assert F.local_response_norm(weft.ones((0, 3, 2)), 2).shape == (0, 3, 2)
        with pytest.raises(ValueError, match=r"shape \(N, C, …\) of at least three axes, got \(2, 3\)"):
            F.local_response_norm(weft.ones((2, 3)), 2)
        with pytest.raises(ValueError, match=r"`size` must be an integer .*got 0"):
            F.local_response_norm(weft.ones((2, 3, 4)), 0)


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (2, 3, 0)])
@pytest.mark.parametrize("normalise", [F.batch_norm, F.instance_norm])
def test_an_empty_batch_has_no_statistics(normalise, shape):
    """As torch.nn.functional.batch_norm, which leaves the running ones as they are."""
    mean, var = weft.tensor([1.0, 2.0, 3.0]), weft.tensor([4.0, 5.0, 6.0])
    if normalise is F.instance_norm and len(shape) == 2:
        shape = (*shape, 2)
    assert normalise(weft.ones(shape), mean, var, None, None, True).shape == shape
    assert (mean.tolist(), var.tolist()) == ([1, 2, 3], [4, 5, 6])


def test_eps_must_be_positive_in_training():
    with pytest.raises(ValueError, match=r"`eps` must be greater than 0 in training, .* got 0\.0"):
        F.batch_norm(weft.ones((2, 3)), None, None, training=True, eps=0.0)
    y = F.batch_norm(weft.ones((2, 1)), weft.zeros(1), weft.ones(1), eps=0.0)
    assert y.tolist() == [[1], [1]]


def test_groups_of_one_value():
    for shape in ((1, 4), (1, 4, 1), (1, 4, 1, 1)):
        with pytest.raises(
            ValueError, match=rf"more than one value per group, .* got shape \({', '.join(map(str, shape))}"
        ):
            F.group_norm(weft.ones(shape), 4)
    assert F.group_norm(weft.ones((2, 4, 1)), 4).shape == (2, 4, 1)  # PyTorch counts those of the other examples
    assert F.group_norm(weft.ones((0, 4)), 4).shape == (0, 4)
