"""Dropout: which elements are dropped together, how often, and that expectations stay; the same masks on every device."""

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft.layers import functional as F


class TestDropout:
    def test_rate_and_scale(self):
        y = F.dropout(weft.ones((200, 500)), 0.3).numpy()
        np.testing.assert_array_equal(np.unique(y), np.float32([0, 1 / 0.7]))
        assert (y == 0).mean() == pytest.approx(0.3, abs=0.006)
        assert y.mean() == pytest.approx(1.0, abs=0.01)

    def test_the_gradient_has_the_same_mask(self):
        x = weft.ones((50, 20), requires_grad=True)
        y = F.dropout(x, 0.5)
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())

    def test_in_evaluation_and_for_nothing_it_is_the_identity(self):
        x = weft.ones(3)
        assert F.dropout(x, 0.5, training=False) is x
        assert F.dropout(x, 0.0) is x
        before = weft.default_generator.get_state()
        F.dropout(x, 0.5, False)
        assert weft.default_generator.get_state() == before

    def test_everything_may_be_dropped(self):
        assert F.dropout(weft.ones(3), 1.0).tolist() == [0.0] * 3

    def test_the_same_seed_drops_the_same_on_every_device(self):
        weft.manual_seed(1)
        here = F.dropout(weft.ones((5, 7))).numpy()
        weft.manual_seed(1)
        there = F.dropout(weft.ones((5, 7), device="strict"))
        assert there.device == "strict"
        np.testing.assert_array_equal(there.numpy(), here)

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`p` must be a probability in \[0, 1\], got 1.5"):
            F.dropout(weft.ones(3), 1.5)
        with pytest.raises(TypeError, match="`input` must have a real floating-point dtype, got int64"):
            F.dropout(weft.tensor([1]))


class TestDropoutAdd:
    def test_is_dropout_plus_residual(self):
        x, residual = weft.rand(5, 7), weft.rand(5, 7)
        weft.manual_seed(2)
        expected = residual + F.dropout(x, 0.3)
        weft.manual_seed(2)
        np.testing.assert_array_equal(F.dropout_add(x, residual, 0.3).numpy(), expected.numpy())
        np.testing.assert_array_equal(F.dropout_add(x, residual, 0.3, training=False).numpy(), (residual + x).numpy())

    def test_gradients(self):
        x, residual = weft.ones((50, 20), requires_grad=True), weft.zeros((50, 20), requires_grad=True)
        y = F.dropout_add(x, residual)
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
        np.testing.assert_array_equal(residual.grad.numpy(), 1)

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`p` must be a probability in \[0, 1\], got -1"):
            F.dropout_add(weft.ones(3), weft.ones(3), -1)
        with pytest.raises(TypeError, match="`input` must have a real floating-point dtype, got int64"):
            F.dropout_add(weft.tensor([1]), weft.tensor([1]))


class TestChannels:
    @pytest.mark.parametrize(("f", "shape", "axes"), [
        (F.dropout1d, (40, 30, 5), 1), (F.dropout2d, (40, 30, 5, 4), 2), (F.dropout1d, (900, 5), 1),
        (F.dropout2d, (900, 5, 4), 2), (F.dropout3d, (40, 30, 5, 4, 2), 3), (F.dropout3d, (900, 3, 2, 2), 3),
    ])  # fmt: skip
    def test_channels_share_their_fate(self, f, shape, axes):
        y = f(weft.ones(shape), 0.25).numpy().reshape(-1, np.prod(shape[-axes:]))
        assert (y == y[:, :1]).all()
        assert (y[:, 0] == 0).mean() == pytest.approx(0.25, abs=0.06)

    def test_evaluation(self):
        x = weft.ones((2, 3, 4))
        assert F.dropout1d(x, 0.5, training=False) is x
        assert F.dropout2d(x, 0.5, training=False) is x

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`input` must have shape \(N, C, H, W\) or \(C, H, W\), got \(2, 3\)"):
            F.dropout2d(weft.ones((2, 3)))
        with pytest.raises(ValueError, match=r"`input` must have shape \(N, C, L\) or \(C, L\), got \(2,\)"):
            F.dropout1d(weft.ones(2))


def test_drop_shared():
    y = F.drop_shared(weft.ones((40, 3, 2)), (40, 1, 2), 0.5).numpy()
    assert (y == y[:, :1]).all()
    assert (y[:, 0, 0] != y[:, 0, 1]).any()
