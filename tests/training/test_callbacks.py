"""Each callback: in a scripted trainer where values matter, in a real one where weights do."""

from types import SimpleNamespace

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.optimizers.schedulers import ReduceLROnPlateau
from weft.training import EMA, Callback, EarlyStopping, GradientNorm, Monitor, Plateau, Trainer


def batches(n=4, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 8, 3)).astype(np.float32)
    return [(a, a.sum(1, keepdims=True)) for a in x]


def trainer(*callbacks, lr=0.05, **options):
    weft.manual_seed(2)
    model = nn.Linear(3, 1)
    return Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=lr), callbacks=callbacks, **options)


def scripted(callback, values, column="val_loss"):
    """Give a callback one row after the other; returns the epoch at which it stopped, or None."""
    model = nn.Linear(1, 1)
    optimizer = getattr(getattr(callback, "scheduler", None), "optimizer", None)
    fake = SimpleNamespace(model=model, optimizer=optimizer, callbacks=[callback], batch=0, epoch=0, stopping=None)
    fake.stop = lambda reason: setattr(fake, "stopping", reason)
    callback.on_fit_begin(fake)
    for i, value in enumerate(values, 1):
        model.weight.data[...] = i
        fake.epoch, fake.row = i, {column: value}
        callback.on_epoch_end(fake)
        if fake.stopping:
            break
    callback.on_fit_end(fake)
    return fake


class TestMonitor:
    @pytest.mark.parametrize(
        ("name", "mode"),
        [
            ("val_loss", "min"),
            ("val_accuracy", "max"),
            ("val_top_k_accuracy", "max"),
            ("val_f1", "max"),
            ("val_mse", "min"),
        ],
    )
    def test_mode_by_name(self, name, mode):
        assert Monitor(name).mode == mode

    def test_nan_is_never_better(self):
        monitor = Monitor("loss")
        assert [monitor.improves({"loss": v}) for v in (float("nan"), 2.0, float("nan"), 1.0)] == [
            False,
            True,
            False,
            True,
        ]

    def test_min_delta(self):
        monitor = Monitor("loss", min_delta=0.5)
        assert [monitor.improves({"loss": v}) for v in (2.0, 1.6, 1.4)] == [True, False, True]

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`mode` must be 'min', 'max' or None, got 'low'"):
            Monitor("loss", "low")
        with pytest.raises(ValueError, match=r"`min_delta` must be ≥ 0, got -1"):
            Monitor("loss", min_delta=-1)
        with pytest.raises(ValueError, match=r"`monitor` must be one of \['loss'\], got 'val_loss'"):
            Monitor("val_loss").improves({"loss": 1.0})


class TestEarlyStopping:
    def test_stops_and_restores_the_best(self):
        callback = EarlyStopping(patience=2)
        ended = scripted(callback, [3.0, 1.0, 2.0, 1.0, 0.5])
        assert ended.epoch == 4
        assert ended.stopping == "val_loss has not improved for 2 epochs; its best was 1 at epoch 2"
        assert (callback.best, callback.best_epoch, callback.wait) == (1.0, 2, 2)
        assert ended.model.weight.item() == 2

    def test_restores_also_when_it_did_not_stop(self):
        ended = scripted(EarlyStopping(patience=9), [3.0, 1.0, 2.0])
        assert not ended.stopping
        assert ended.model.weight.item() == 2

    def test_restore_can_be_left_out(self):
        assert scripted(EarlyStopping(patience=9, restore_best=False), [3.0, 1.0, 2.0]).model.weight.item() == 3

    def test_maximum(self):
        assert scripted(EarlyStopping("val_accuracy", 1), [0.1, 0.5, 0.4, 0.9], "val_accuracy").epoch == 3

    def test_a_resumed_run_that_had_stopped_stops_at_once(self):
        stopped = EarlyStopping(patience=1)
        scripted(stopped, [1.0, 2.0])
        again = EarlyStopping(patience=1)
        again.load_state_dict(stopped.state_dict())
        assert scripted(again, []).stopping

    def test_in_a_trainer(self):
        """A learning rate of 0: nothing ever improves after the first epoch."""
        stop = EarlyStopping("loss", patience=3)
        assert len(trainer(stop, lr=0.0).fit(batches(), epochs=50)) == 4

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`patience` must be at least 1, got 0"):
            EarlyStopping(patience=0)
        with pytest.raises(ValueError, match=r"`monitor` must be one of .* got 'val_loss'"):
            trainer(EarlyStopping()).fit(batches(), epochs=1)


class TestPlateau:
    def test_drives_the_schedule(self):
        model = nn.Linear(1, 1)
        optimizer = optim.SGD(model.parameters(), lr=1.0)
        callback = Plateau(ReduceLROnPlateau(optimizer, patience=1, factor=0.1))
        scripted(callback, [1.0, 1.0, 1.0])
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)
        state = callback.state_dict()
        again = Plateau(ReduceLROnPlateau(optimizer, patience=1, factor=0.1))
        again.load_state_dict(state)
        assert again.scheduler.best == 1.0


class TestGradientNorm:
    @pytest.mark.parametrize("clip", [None, 0.1])
    def test_against_the_gradients(self, clip):
        """With clipping it is the norm before."""
        norms = []

        class Look(Callback):
            def on_loss(self, t):
                x, y = (a.numpy() for a in t.current_batch)
                w, b = (p.detach().numpy() for p in t.model.parameters())
                error = 2 * (x @ w.T + b - y) / len(x)
                norms.append(np.sqrt(((error.T @ x) ** 2).sum() + error.sum() ** 2))

        row = trainer(Look(), GradientNorm(), clip_grad_norm=clip).fit(batches(), epochs=1)[-1]
        assert row["grad_norm"] == pytest.approx(np.mean(norms), rel=1e-5)
        assert row["grad_norm_max"] == pytest.approx(np.max(norms), rel=1e-5)

    def test_begins_anew_each_epoch(self):
        rows = trainer(GradientNorm(every=2)).fit(batches(), epochs=20)
        assert rows[-1]["grad_norm_max"] < rows[0]["grad_norm_max"]

    def test_error(self):
        with pytest.raises(ValueError, match=r"`every` must be at least 1, got 0"):
            GradientNorm(0)


class TestEMA:
    def test_validates_with_the_average_and_trains_with_its_own(self):
        plain = trainer()
        plain.fit(batches(), batches(2, seed=1), epochs=3)

        t = trainer()
        ema = EMA(decay=0.9)
        seen = []

        class Look(Callback):
            def on_epoch_end(self, t):
                seen.append(
                    t.model.weight.numpy().copy() if not t.model.weight.requires_grad else t.model.weight.tolist()
                )

        t.callbacks = [Look(), ema]
        t.fit(batches(), batches(2, seed=1), epochs=3)
        assert t.model.weight.tolist() == plain.model.weight.tolist()
        assert seen[-1] == ema.average.averages()[0].tolist()
        assert t.history[-1]["val_loss"] != plain.history[-1]["val_loss"]
        ema.average.copy_to()
        assert t.evaluate(batches(2, seed=1))["loss"] == t.history[-1]["val_loss"]

    def test_counts_updates_not_batches(self):
        ema = EMA()
        t = trainer(ema, accumulate=3)
        t.fit(batches(4), batches(1), epochs=2)
        assert ema.average.step == t.step == 4

    def test_weights_are_given_back_when_validation_fails(self):
        t = trainer(EMA())
        own = []

        class Look(Callback):
            def on_validation_begin(self, t):
                own.append(t.model.weight.tolist())

        t.callbacks.insert(0, Look())
        with pytest.raises(ValueError, match=r"at least one batch, got none"):
            t.fit(batches(), iter(()), epochs=1)
        assert t.model.weight.tolist() == own[0]

    def test_state(self):
        ema, other = EMA(), EMA()
        trainer(ema).fit(batches(), epochs=1)
        other.load_state_dict(ema.state_dict())
        trainer(other).fit(batches(), epochs=0)
        assert other.average.step == ema.average.step == 4
        np.testing.assert_array_equal(other.average.averages()[0], ema.average.averages()[0])


class TestOrder:
    def test_checkpoints_come_last(self):
        class Late(Callback):
            order = 2

        class Report(Callback):
            order = 1

        kinds = [type(c) for c in trainer(Late(), Report(), GradientNorm()).callbacks]
        assert kinds == [GradientNorm, Report, Late]

    def test_base_class_does_nothing(self):
        base = Callback()
        for name in vars(Callback):
            if name.startswith("on_"):
                assert getattr(base, name)(None) is None
        assert base.state_dict() == {}
        assert base.load_state_dict({}) is None
