"""Dropout layers: training against evaluation, what is dropped together; rates are tested in `functional`."""

import numpy as np
import pytest

import weft
from weft import layers as nn


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout(0.4), (30, 40)),
        (nn.Dropout1d(0.4), (30, 40, 3)),
        (nn.Dropout2d(0.4), (30, 40, 2, 2)),
        (nn.Dropout3d(0.4), (30, 40, 2, 1, 2)),
    ],
)
class TestDropout:
    def test_training_and_evaluation(self, layer, shape):
        x = weft.ones(shape)
        y = layer.train()(x).numpy()
        np.testing.assert_array_equal(np.unique(y), np.float32([0, 1 / 0.6]))
        assert (y == 0).mean() == pytest.approx(0.4, abs=0.06)
        assert (y != layer(x).numpy()).any()
        assert layer.eval()(x) is x

    def test_repr(self, layer, shape):
        assert repr(layer) == f"{type(layer).__name__}(p=0.4, inplace=False)"


class TestDropConnect:
    def test_drops_weights(self):
        layer = nn.DropConnect(3, 500, p=0.3)
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
        y = layer(weft.eye(3)).detach().numpy().T
        np.testing.assert_array_equal(np.unique(y), np.float32([0, 1 / 0.7]))
        assert (y == 0).mean() == pytest.approx(0.3, abs=0.05)
        np.testing.assert_array_equal(layer.eval()(weft.eye(3)).detach().numpy().T, 1)

    def test_gradients_reach_the_weights_that_were_kept(self):
        layer = nn.DropConnect(3, 5, p=0.5)
        layer(weft.ones((1, 3))).sum().backward()
        assert set(np.unique(layer.weight.grad.numpy())) == {0.0, 2.0}

    def test_repr(self):
        assert repr(nn.DropConnect(3, 5)) == "DropConnect(in_features=3, out_features=5, bias=True, p=0.5)"


class TestStochasticDepth:
    def test_drops_examples(self):
        y = nn.StochasticDepth(0.3)(weft.ones((500, 2, 3))).numpy().reshape(500, -1)
        assert (y == y[:, :1]).all()
        np.testing.assert_array_equal(np.unique(y), np.float32([0, 1 / 0.7]))
        assert (y[:, 0] == 0).mean() == pytest.approx(0.3, abs=0.07)

    def test_or_the_whole_batch(self):
        layer = nn.StochasticDepth(0.5, "batch")
        totals = {layer(weft.ones((4, 2))).sum().item() for _ in range(30)}
        assert totals == {0.0, 16.0}

    def test_evaluation(self):
        x = weft.ones((4, 2))
        assert nn.StochasticDepth(0.5).eval()(x) is x
        assert nn.StochasticDepth(0.0)(x) is x

    def test_repr_and_errors(self):
        assert repr(nn.StochasticDepth(0.1)) == "StochasticDepth(p=0.1, mode=row)"
        with pytest.raises(ValueError, match="`mode` must be one of 'row', 'batch', got 'column'"):
            nn.StochasticDepth(0.1, "column")


@pytest.mark.parametrize(
    "make", [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.StochasticDepth, lambda p: nn.DropConnect(2, 3, p=p)]
)
def test_probabilities(make):
    with pytest.raises(ValueError, match=r"`p` must be a probability in \[0, 1\], got -0.1"):
        make(-0.1)
