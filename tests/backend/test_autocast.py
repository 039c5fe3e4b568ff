"""Mixed precision: which operations run in which dtype, and that training in it follows training in float32."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend import autocast as module
from weft.backend.attention import scaled_dot_product_attention
from weft.backend.autograd import PRIMITIVES

HALVES = ("bfloat16", "float16")
halves = pytest.mark.parametrize("dtype", HALVES)


def test_the_lists_name_primitives():
    assert set(module.LOW) | set(module.FULL) <= PRIMITIVES.keys()
    assert not set(module.LOW) & set(module.FULL)
    assert PRIMITIVES["attention.scaled_dot_product_attention"] is scaled_dot_product_attention


class TestDtypes:
    @halves
    def test_products_run_low(self, dtype):
        x, w = weft.ones((2, 3)), weft.ones((3, 4))
        with weft.autocast(dtype):
            assert str((x @ w).dtype) == dtype
            assert str(nn.Linear(3, 4)(x).dtype) == dtype
            assert str(nn.Conv2d(1, 2, 3)(weft.ones((1, 1, 5, 5))).dtype) == dtype
        assert (x @ w).dtype == weft.float32

    @halves
    def test_sums_and_losses_run_in_float32(self, dtype):
        x = weft.ones((2, 3)).to(dtype)
        with weft.autocast(dtype):
            for f in (weft.exp, weft.sum, weft.mean, nn.Softmax(-1), nn.LayerNorm(3), nn.BatchNorm1d(3)):
                assert f(x).dtype == weft.float32
            assert nn.functional.cross_entropy(x, weft.asarray([0, 1])).dtype == weft.float32

    @halves
    def test_others_follow_their_arguments(self, dtype):
        low, full = weft.ones((2, 3)).to(dtype), weft.ones((2, 3))
        with weft.autocast(dtype):
            assert str(nn.functional.relu(low).dtype) == dtype
            assert nn.functional.relu(full).dtype == weft.float32
            assert (low + full).dtype == weft.float32

    def test_float64_and_integers_are_left_alone(self):
        with weft.autocast("bfloat16"):
            assert (weft.ones((2, 2), dtype=weft.float64) @ weft.ones((2, 2), dtype=weft.float64)).dtype == weft.float64
            assert weft.sum(weft.ones(3, dtype=weft.int64)).dtype == weft.int64

    def test_nesting_and_switching_off(self):
        x = weft.ones((2, 2))
        with weft.autocast("bfloat16"):
            with weft.autocast(enabled=False):
                assert (x @ x).dtype == weft.float32
            with weft.autocast(weft.float16):
                assert (x @ x).dtype == weft.float16
            assert str((x @ x).dtype) == "bfloat16"
            assert weft.is_autocast_enabled()
        assert (x @ x).dtype == weft.float32
        assert not weft.is_autocast_enabled()

    def test_layers_take_what_their_weights_do_not_have(self):
        layers = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 4), nn.Tanh(), nn.Linear(4, 2), nn.PReLU()
        )
        x = weft.ones((2, 1, 5, 5))
        with weft.autocast("float16"):
            assert layers(x).dtype == weft.float16
        with pytest.raises(TypeError, match="`input` must have the dtype of `weight`, float32, got float16"):
            layers(x.to(weft.float16))

    def test_decorator(self):
        @weft.autocast("float16")
        def product(x):
            """Its documentation."""
            return x @ x

        assert product(weft.ones((2, 2))).dtype == weft.float16
        assert product.__doc__ == "Its documentation."

    def test_left_by_an_error(self):
        with pytest.raises(KeyError), weft.autocast("bfloat16"):
            raise KeyError
        assert (weft.ones((2, 2)) @ weft.ones((2, 2))).dtype == weft.float32

    def test_other_dtypes(self):
        with pytest.raises(ValueError, match="`dtype` must be bfloat16 or float16, got float64"):
            weft.autocast(weft.float64)


class TestParameters:
    def test_one_copy_for_a_block(self):
        w = weft.Parameter(weft.ones((2, 2)))
        with weft.autocast("float16"):
            first, second = (w @ w)._node.parents, (w @ w)._node.parents
            assert first[0] is second[1]
        assert w.dtype == weft.float32

    @halves
    def test_gradients_are_float32_and_rounded_once(self, dtype, rng):
        x, a = rng.standard_normal((4, 3)).astype("f"), rng.standard_normal((3, 5)).astype("f")
        w = weft.Parameter(weft.asarray(a))
        with weft.autocast(dtype):
            y = weft.asarray(x) @ w
            loss = y.sum() + (weft.asarray(x) @ w).sum()
        loss.backward()
        assert w.grad.dtype == weft.float32
        expected = 2 * np.repeat(x.sum(0)[:, None], 5, 1)
        np.testing.assert_allclose(w.grad.numpy(), expected, rtol=0.02, atol=0.05)

    def test_a_changed_parameter_is_seen_by_the_next_block(self):
        w = weft.Parameter(weft.ones((2, 2)))
        for value in (1.0, 2.0):
            nn.init.constant_(w, value)
            with weft.autocast("float16"):
                assert (w @ weft.eye(2)).detach().numpy()[0, 0] == value

    @halves
    def test_checkpoint_computes_again_in_the_same_dtype(self, dtype, rng):
        x, a = (weft.asarray(rng.standard_normal(shape).astype("f")) for shape in ((4, 3), (3, 3)))

        def gradient(through):
            w = weft.Parameter(a)
            with weft.autocast(dtype):
                y = through(lambda t: weft.tanh(t @ w), x)
                loss = (y @ w).sum()  # the parameter's copy is used inside and outside
            loss.backward()
            return w.grad.numpy()

        # not the same bits: here the gradients of two copies are added in float32, there those of one in half precision
        np.testing.assert_allclose(gradient(weft.checkpoint), gradient(lambda f, t: f(t)), rtol=0.02, atol=0.05)


def _train(device, dtype):
    """Losses of 50 steps of a small convolutional network on images of two kinds."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 1, 8, 8)).astype("f"), rng.integers(0, 4, 16)
    x[np.arange(16), 0, y] += 1
    weft.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 16), nn.LayerNorm(16),
        nn.GELU(), nn.Linear(16, 4),
    ).to(device)  # fmt: skip
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    images, labels, losses = weft.asarray(x, device=device), weft.asarray(y, device=device), []
    for _ in range(50):
        optimizer.zero_grad()
        with weft.autocast(dtype or "float16", enabled=dtype is not None):
            loss = nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


@halves
def test_training_follows_float32(dtype):
    """Within 2 % of the loss, at each of 50 steps."""
    expected = _train("cpu", None)
    assert expected[-1] < 0.6 * expected[0]
    np.testing.assert_allclose(_train("cpu", dtype), expected, rtol=0.02)


@halves
def test_training_with_kernels_follows_float32(dtype, accelerator):
    np.testing.assert_allclose(_train(accelerator, dtype), _train("cpu", None), rtol=0.02)
