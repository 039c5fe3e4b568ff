"""Statistics of layers against NumPy's of the same outputs and gradients; readings of models with a known illness."""

import math

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.training import LayerRecord, LayerStatistics, Trainer


def fit(model, x, y, *, every=1, epochs=1, lr=0.1, **options):
    statistics = LayerStatistics(every)
    optimizer = optim.SGD(model.parameters(), lr=lr)
    trainer = Trainer(model, nn.MSELoss(), optimizer, callbacks=[statistics], **options)
    trainer.fit([(x, y)] * 3, epochs=epochs)
    return statistics


def rms(a):
    return math.sqrt(np.mean(np.square(a, dtype=np.float64)))


class TestRecords:
    def test_against_numpy(self):
        weft.manual_seed(0)
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))
        model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)).double()
        (w, b, v, c) = (p.detach().numpy().copy() for p in model.parameters())
        statistics = fit(model, x, y)
        assert statistics.names == ["0 Linear", "1 ReLU", "2 Linear"]
        assert statistics.steps == [0, 1, 2]
        z = x @ w.T + b
        h = np.maximum(z, 0)
        out = h @ v.T + c
        g = 2 * (out - y) / out.size
        g_h = g @ v * (z > 0)
        gradients = [np.append(g_h.T @ x, g_h.sum(0)), None, np.append(g.T @ h, g.sum(0))]
        weights = [np.append(w, b), None, np.append(v, c)]
        for record, a, grad, weight in zip(statistics.records[0], (z, h, out), gradients, weights):
            assert record.mean == pytest.approx(a.mean())
            assert record.std == pytest.approx(a.std())
            assert record.dead == pytest.approx((a == 0).all(axis=0).mean())
            if grad is None:
                assert math.isnan(record.gradient)
                assert math.isnan(record.weight)
            else:
                assert record.gradient == pytest.approx(rms(grad))
                assert record.weight == pytest.approx(rms(weight))

    def test_every(self):
        statistics = fit(nn.Linear(1, 1), weft.ones((2, 1)), weft.ones((2, 1)), every=2, epochs=2)
        assert statistics.steps == [0, 2, 4]
        assert statistics.names == ["Linear"]

    def test_accumulated_batches_are_recorded_once(self):
        statistics = fit(nn.Linear(1, 1), weft.ones((2, 1)), weft.ones((2, 1)), accumulate=3, epochs=2)
        assert statistics.steps == [0, 1]

    @pytest.mark.parametrize("precision", ["float16", "bfloat16"])
    def test_half_precision(self, precision):
        """Gradients are those that the update uses, without the scale of the loss."""
        found = []
        for options in ({}, {"precision": precision}):
            weft.manual_seed(0)
            model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
            x = np.random.default_rng(0).standard_normal((8, 3)).astype("float32")
            found.append(fit(model, x, x[:, :1], lr=0.0, **options).records[0])
        np.testing.assert_allclose(found[1], found[0], rtol=3e-2, atol=3e-3)

    def test_large_gradients_are_finite(self):
        x = weft.full((2, 1), 1e18)
        model = nn.Linear(1, 1, bias=False)
        model.weight.data[...] = 0.5
        (record,) = fit(model, x, weft.zeros((2, 1)), lr=0.0).records[0]
        assert record.gradient == pytest.approx(1e36)

    def test_no_hook_stays(self):
        model = nn.Sequential(nn.Linear(1, 1), nn.Tanh())
        fit(model, weft.ones((2, 1)), weft.ones((2, 1)))
        assert all(module._hooks is None for module in model.modules())

    @pytest.mark.parametrize(
        ("first", "shape", "units"),
        [(nn.Conv2d(1, 4, 1), (3, 1, 5, 6), 4), (nn.Conv1d(1, 4, 1), (3, 1, 5), 4), (nn.Linear(1, 4), (3, 5, 1), 4)],
        ids=lambda v: type(v).__name__,
    )
    def test_units(self, first, shape, units):
        """One of four channels or features is silenced by its weight and bias."""
        first.weight.data[...], first.bias.data[...] = 1, 1
        first.weight.data[2], first.bias.data[2] = 0, -1
        model = nn.Sequential(first, nn.ReLU())
        x = weft.ones(shape)
        statistics = fit(model, x, weft.zeros_like(model(x)), lr=1e-9)
        assert [record.dead for record in statistics.records[0]] == [0, 1 / units]

    def test_on_the_device_of_kernels(self):
        model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        weights = [p.detach().numpy().copy() for p in model.parameters()]
        x, y = np.ones((4, 2), dtype="float32"), np.zeros((4, 3), dtype="float32")
        here = fit(model, x, y).records
        for p, w in zip(model.parameters(), weights):
            p.data[...] = w
        there = fit(model, x, y, device="emulator").records
        np.testing.assert_allclose(there, here, rtol=1e-5)

    def test_goes_on_from_a_checkpoint(self):
        first, second = fit(nn.Linear(1, 1), weft.ones((2, 1)), weft.ones((2, 1))), LayerStatistics()
        second.load_state_dict(first.state_dict())
        assert (second.names, second.steps) == (first.names, first.steps)
        np.testing.assert_array_equal(second.records, first.records)
        second.load_state_dict(LayerStatistics().state_dict())
        assert second.records == []

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`every` must be an integer ≥ 1, got 0"):
            LayerStatistics(0)


def read(*records):
    statistics = LayerStatistics()
    statistics.names = [f"{i} Linear" for i in range(len(records))]
    statistics.records = [[LayerRecord(0.0, 1.0, *record) for record in records]]
    return statistics.reading()


class TestReading:
    @pytest.mark.parametrize(
        ("records", "reading"),
        [
            ([(0.0, 1e-3, 1.0), (0.0, 1e-2, 1.0)], "gradients reach all layers, and units are alive"),
            ([(0.0, 1e-8, 1.0), (0.0, 1e-2, 1.0)], r"vanishing gradients: 1\.0e-08 in 0 Linear, 1\.0e-02 in 1 Linear"),
            ([(0.0, 1e3, 1.0), (0.0, 1e-2, 1.0)], r"exploding gradients: 1\.0e\+03 in 0 Linear"),
            ([(0.0, math.nan, 1.0), (0.0, 1e-2, 1.0)], "exploding gradients: that of 0 Linear is not finite"),
            ([(0.0, 0.0, 1.0), (0.0, 0.0, 1.0)], "no gradients: they are 0 in the first and the last layer"),
            ([(1.0, 0.0, 1.0), (0.0, 1.0, 1.0)], "dead units: 100 % of 0 Linear"),
            ([(0.1, 1.0, 1.0), (0.75, math.nan, math.nan)], "dead units: 75 % of 1 Linear"),
        ],
    )
    def test_reading(self, records, reading):
        import re

        assert re.match(reading, read(*records))

    def test_nothing(self):
        assert LayerStatistics().reading() == "nothing was recorded"
