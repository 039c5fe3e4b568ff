"""EMA against the explicit weighted mean of all past weights."""

import numpy as np
import pytest

import weft
from weft import optimizers as optim


@pytest.mark.parametrize("where", ["in an arena", "alone", "strict"])
class TestEMA:
    def test_is_the_weighted_mean_of_the_past(self, where, tools, rng):
        params = tools.parameters(rng, "strict" if where == "strict" else "cpu", "float32")
        if where != "alone":
            optim.SGD(params)
        ema, history = optim.EMA(params, decay=0.8), []
        for _ in range(6):
            for p in params:
                p.data[...] = weft.asarray(rng.standard_normal(p.shape), dtype=p.dtype, device=p.device).data
            history.append([tools.numbers(p) for p in params])
            ema.update()
        weights = 0.8 ** np.arange(5, -1, -1)
        with ema.averaged():
            for i, p in enumerate(params):
                mean = sum(w * h[i] for w, h in zip(weights, history)) / weights.sum()
                np.testing.assert_allclose(tools.numbers(p), mean, rtol=1e-5, atol=1e-6)
        for p, last in zip(params, history[-1]):
            np.testing.assert_array_equal(tools.numbers(p), last)
        ema.copy_to()
        np.testing.assert_array_equal(tools.numbers(params[0]), np.asarray(ema.averages()[0]))


class TestEMAState:
    def test_continues(self):
        p = weft.Parameter([1.0, 2.0])
        first, second = optim.EMA([p], 0.5), optim.EMA([p], 0.5)
        first.update()
        second.load_state_dict(first.state_dict())
        p.data[...] = 7.0
        first.update()
        second.update()
        np.testing.assert_array_equal(first.averages()[0], second.averages()[0])

    def test_half_precision_is_averaged_in_float32(self):
        p = weft.Parameter(weft.ones((3,), dtype=weft.float16))
        ema = optim.EMA([p], 0.9)
        ema.update()
        assert ema.averages()[0].dtype == np.float32
        with ema.averaged():
            assert p.dtype == weft.float16

    def test_the_weights_come_back_after_an_error(self):
        p = weft.Parameter([1.0])
        ema = optim.EMA([p], 0.5)
        ema.update()
        p.data[...] = 3.0
        with pytest.raises(KeyError), ema.averaged():
            raise KeyError
        assert p.item() == 3.0

    @pytest.mark.parametrize("decay", [-0.1, 1.0])
    def test_decay_out_of_range(self, decay):
        with pytest.raises(ValueError, match=rf"`decay` must be in \[0, 1\), got {decay}"):
            optim.EMA([weft.Parameter([1.0])], decay)

    def test_no_parameters(self):
        with pytest.raises(ValueError, match="`parameters` must hold at least one"):
            optim.EMA([])

    def test_nothing_to_copy_yet(self):
        with pytest.raises(RuntimeError, match="`update` must have been called"):
            optim.EMA([weft.Parameter([1.0])]).copy_to()

    def test_other_shapes(self):
        ema = optim.EMA([weft.Parameter([1.0])])
        with pytest.raises(ValueError, match=r"averages of shapes \[\(1,\)\], got \[\(2,\)\]"):
            ema.load_state_dict({"step": 1, "averages": [np.zeros(2)]})
