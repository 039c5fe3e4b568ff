"""The trainer against a loop written by hand, and every way of breaking a run off against the run that was not."""

import array_api_strict
import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.data import ArrayDataset, DataLoader
from weft.optimizers.schedulers import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau
from weft.training import (
    EMA,
    Callback,
    EarlyStopping,
    GradientNorm,
    StopOnNaN,
    Trainer,
    load_checkpoint,
    predict,
    save_checkpoint,
)

N, D, C = 50, 6, 3


def dataset(seed=0, n=N):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, D)).astype(np.float32)
    return ArrayDataset(x, (x[:, :C] + 0.3 * rng.standard_normal((n, C))).argmax(1))


def loader(batch_size=8, shuffle=True, **kwargs):
    return DataLoader(dataset(**kwargs), batch_size, shuffle, seed=5)


def network():
    """With all that has a state of its own: dropout draws random numbers, normalisation keeps statistics."""
    weft.manual_seed(1)
    return nn.Sequential(nn.Linear(D, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, C))


def weights(model):
    return {name: t.numpy().copy() for name, t in model.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def without_times(history):
    return [{k: v for k, v in row.items() if k not in ("seconds", "samples_per_second")} for row in history]


class TestFit:
    def test_like_a_loop_by_hand(self):
        ours, theirs = network(), network()
        trainer = Trainer(ours, nn.CrossEntropyLoss(), optim.AdamW(ours.parameters()), metrics="accuracy", seed=3)
        history = trainer.fit(loader(), loader(16, shuffle=False), epochs=3)

        weft.manual_seed(3)
        optimizer, loss = optim.AdamW(theirs.parameters()), nn.CrossEntropyLoss()
        batches = loader()
        for row in history:
            theirs.train()
            losses, hits = [], 0
            for x, y in batches:
                output = theirs(x)
                value = loss(output, y)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                losses += [value.item()] * len(y)
                hits += int((output.detach().numpy().argmax(1) == y.numpy()).sum())
            theirs.eval()
            x, y = dataset().arrays
            with weft.no_grad():
                value = loss(theirs(weft.asarray(x)), weft.asarray(y)).item()
            assert row["loss"] == pytest.approx(np.mean(losses))
            assert row["accuracy"] == hits / N
            assert row["val_loss"] == pytest.approx(value, rel=1e-5)
        assert_same(weights(ours), weights(theirs))
        assert [row["epoch"] for row in history] == [1, 2, 3]
        assert [row["step"] for row in history] == [7, 14, 21]
        assert ours.training

    def test_plain_iterables_and_several_inputs(self):
        class Sum(nn.Module):
            def __init__(self):
                self.a, self.b = nn.Linear(2, 1), nn.Linear(2, 1)

            def forward(self, x, z):
                return self.a(x) + self.b(z)

        model = Sum()
        x = np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32)
        batches = [[x, x[::-1].copy(), x.sum(1, keepdims=True)]] * 2
        trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.2), metrics=["mae", "r2"])
        history = trainer.fit(batches, batches, epochs=60)
        assert history[-1]["loss"] < 1e-2 * history[0]["loss"]
        assert history[-1]["val_r2"] > 0.99

    def test_epochs_are_a_total(self):
        model = network()
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
        data = loader()
        assert len(trainer.fit(data, epochs=2)) == 2
        assert len(trainer.fit(data, epochs=2)) == 2
        assert len(trainer.fit(data, epochs=3)) == 3

    @pytest.mark.parametrize("accumulate", [2, 3, 100])
    def test_accumulated_batches_are_one_batch(self, accumulate):
        """50 samples in batches of 4: neither the last batch nor the last update is full."""
        results = []
        for batch_size, n in ((4, accumulate), (4 * accumulate, 1)):
            weft.manual_seed(1)
            model = nn.Sequential(nn.Linear(D, 16), nn.Tanh(), nn.Linear(16, C))
            optimizer = optim.SGD(model.parameters(), lr=0.5)
            trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, accumulate=n, clip_grad_norm=0.3)
            history = trainer.fit(loader(batch_size, shuffle=False), epochs=2)
            results.append((weights(model), history[-1]["step"]))
        assert results[0][1] == results[1][1]
        for name, w in results[0][0].items():
            np.testing.assert_allclose(w, results[1][0][name], rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize(("interval", "steps"), [("epoch", 2), ("step", 14)])
    def test_scheduler(self, interval, steps):
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        scheduler = CosineAnnealingLR(optimizer, T_max=100)
        trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=scheduler, scheduler_interval=interval)
        trainer.fit(loader(), epochs=2)
        assert scheduler.last_epoch == steps

    def test_clipping(self):
        norms = []

        class Look(Callback):
            def on_gradients(self, trainer):
                norms.append(np.sqrt(sum(float((p.grad.numpy() ** 2).sum()) for p in trainer.parameters)))

        model = network()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        Trainer(model, nn.CrossEntropyLoss(), optimizer, clip_grad_norm=0.01, callbacks=[Look()]).fit(loader())
        assert max(norms) == pytest.approx(0.01, rel=1e-3)

    def test_callbacks_that_do_nothing_are_not_called(self):
        class Never(Callback):
            def __getattribute__(self, name):
                assert name not in ("on_batch_begin", "on_loss", "on_gradients", "on_batch_end")
                return super().__getattribute__(name)

        model = network()
        Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), callbacks=[Never()]).fit(loader())

    def test_order_of_calls(self):
        calls = []

        def recorder(name):
            return lambda self, trainer: calls.append(name)

        names = [name for name in vars(Callback) if name.startswith("on_")]
        recording = type("Recording", (Callback,), {name: recorder(name) for name in names})
        model = network()
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), callbacks=[recording()])
        trainer.fit(loader(N), loader(N), epochs=1)
        assert calls == [
            "on_fit_begin",
            "on_epoch_begin",
            "on_batch_begin",
            "on_loss",
            "on_gradients",
            "on_batch_end",
            "on_validation_begin",
            "on_epoch_end",
            "on_fit_end",
        ]


class TestEvaluateAndPredict:
    @pytest.fixture
    def trainer(self):
        model = network()
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01), metrics=["accuracy"])
        trainer.fit(loader(), epochs=5)
        return trainer

    def test_evaluate_does_not_depend_on_the_batches(self, trainer):
        before = weights(trainer.model)
        whole, parts = trainer.evaluate(loader(N, shuffle=False)), trainer.evaluate(loader(7, shuffle=False))
        assert parts == pytest.approx(whole, rel=1e-5)
        assert_same(weights(trainer.model), before)

    def test_predict(self, trainer):
        x, y = dataset().arrays
        trainer.model.eval()
        with weft.no_grad():
            expected = trainer.model(weft.asarray(x)).numpy()
        for data in (x, weft.asarray(x), loader(9, shuffle=False), DataLoader(ArrayDataset(x), 9), [x[:20], x[20:]]):
            np.testing.assert_allclose(trainer.predict(data, batch_size=16), expected, rtol=1e-5, atol=1e-6)
        assert not trainer.model.training
        classes, probabilities = trainer.predict_classes(x), trainer.predict_probabilities(x)
        np.testing.assert_array_equal(classes, expected.argmax(1))
        np.testing.assert_array_equal(classes, probabilities.argmax(1))
        np.testing.assert_allclose(probabilities.sum(1), 1)
        assert trainer.evaluate([(x, y)])["accuracy"] == (classes == y).mean()

    def test_one_score(self):
        model = nn.Identity()
        trainer = Trainer(model, nn.BCEWithLogitsLoss(), optim.SGD([weft.Parameter([0.0])], lr=0.1))
        logits = np.array([[-1000.0], [-1.0], [0.5], [1000.0]])
        with np.errstate(over="raise"):
            np.testing.assert_allclose(
                trainer.predict_probabilities(logits)[:, 0], [0, 0.26894142, 0.62245933, 1], rtol=1e-7
            )
        assert trainer.predict_classes(logits, threshold=0.7).ravel().tolist() == [0, 0, 0, 1]


def make(*, accumulate=1, schedule=True):
    model = network()
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    scheduler = OneCycleLR(optimizer, 0.01, total_steps=4 * 7) if schedule else None
    callbacks = [EarlyStopping(patience=10), GradientNorm()]
    return Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        scheduler=scheduler,
        scheduler_interval="step",
        accumulate=accumulate,
        metrics=["accuracy", "f1"],
        callbacks=callbacks,
        clip_grad_norm=1.0,
        seed=11,
    )


class Break(Callback):
    """Saves at a given batch, and ends the run there."""

    order = 2

    def __init__(self, at, path, *, at_epoch_end=False):
        self.at, self.path, self.at_epoch_end = at, path, at_epoch_end

    def _save(self, trainer):
        save_checkpoint(self.path, trainer.state_dict())
        trainer.stop("for a test")

    def on_batch_end(self, trainer):
        if (trainer.epoch, trainer.batch) == self.at and not self.at_epoch_end:
            self._save(trainer)

    def on_epoch_end(self, trainer):
        if self.at_epoch_end and trainer.epoch == self.at[0]:
            self._save(trainer)


class TestResume:
    @pytest.mark.parametrize("at", [(0, 1), (1, 3), (2, 7), (2, 0), (4, 0)])
    @pytest.mark.parametrize("how", ["new", "same"])
    def test_bit_for_bit(self, tmp_path, at, how):
        whole = make()
        expected = without_times(whole.fit(loader(), loader(20, seed=1), epochs=4))

        broken = make()
        data = loader(), loader(20, seed=1)
        broken.callbacks.append(Break(at, tmp_path / "c", at_epoch_end=at[1] == 0))
        broken.fit(*data, epochs=4)
        broken.callbacks.pop()
        assert (broken.epoch, broken.batch) == at
        if how == "new":
            weft.rand(3)  # a process of its own would have other random numbers
            broken, data = make(), (loader(), loader(20, seed=1))
            broken.load_state_dict(load_checkpoint(tmp_path / "c"))
        history = broken.fit(*data, epochs=4)

        assert without_times(history) == expected
        assert_same(weights(broken.model), weights(whole.model))
        ours, theirs = broken.optimizer.state_dict(), whole.optimizer.state_dict()
        assert ours["param_groups"] == theirs["param_groups"]
        for key, state in ours["state"].items():
            for name, value in state.items():
                np.testing.assert_array_equal(np.asarray(value), np.asarray(theirs["state"][key][name]))

    def test_loader_without_a_state(self, tmp_path):
        batches = [tuple(map(np.array, batch)) for batch in loader(8, shuffle=False)]
        whole = make()
        whole.callbacks = []
        whole.fit(batches, epochs=2)
        broken = make()
        broken.callbacks = [Break((1, 3), tmp_path / "c")]
        broken.fit(batches, epochs=2)
        again = make()
        again.load_state_dict(load_checkpoint(tmp_path / "c"))
        again.callbacks = []
        again.fit(batches, epochs=2)
        assert_same(weights(again.model), weights(whole.model))

    def test_accumulation_is_saved_between_updates_only(self):
        trainer = make(accumulate=3, schedule=False)

        class Try(Callback):
            def on_batch_end(self, trainer):
                if not trainer.is_between_updates:
                    with pytest.raises(RuntimeError, match=r"between updates, got [12] batches waiting"):
                        trainer.state_dict()
                else:
                    trainer.state_dict()

        trainer.callbacks.append(Try())
        trainer.fit(loader(), loader(20), epochs=1)

    def test_other_data(self, tmp_path):
        trainer = make()
        trainer.callbacks = [Break((0, 2), tmp_path / "c")]
        trainer.fit(loader(), epochs=1)
        again = make()
        again.load_state_dict(load_checkpoint(tmp_path / "c"))
        with pytest.raises(ValueError, match=r"saved with samples=50, this loader has samples=40"):
            again.fit(loader(n=40), epochs=1)

    def test_other_model(self):
        trainer = make()
        state = trainer.state_dict()
        other = nn.Linear(2, 2)
        with pytest.raises(RuntimeError, match=r"must fit Linear, and nothing of it was loaded"):
            Trainer(other, nn.MSELoss(), optim.SGD(other.parameters(), lr=0.1)).load_state_dict(state)


class TestErrors:
    @pytest.fixture
    def parts(self):
        model = network()
        return model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)

    def test_arguments(self, parts):
        with pytest.raises(ValueError, match=r"`scheduler_interval` must be 'epoch' or 'step', got 'batch'"):
            Trainer(*parts, scheduler_interval="batch")
        with pytest.raises(ValueError, match=r"`accumulate` must be a positive integer, got 0"):
            Trainer(*parts, accumulate=0)
        with pytest.raises(TypeError, match=r"must not be a ReduceLROnPlateau; pass callbacks=\[Plateau"):
            Trainer(*parts, scheduler=ReduceLROnPlateau(parts[2]))
        with pytest.raises(ValueError, match=r"`epochs` must be an integer ≥ 0, got -1"):
            Trainer(*parts).fit(loader(), epochs=-1)

    def test_no_batches(self, parts):
        generator = (batch for batch in loader())
        with pytest.raises(ValueError, match=r"must give batches in each epoch, got none; was it a generator"):
            Trainer(*parts).fit(generator, epochs=2)
        with pytest.raises(ValueError, match=r"`loader` must give at least one batch, got none"):
            Trainer(*parts).evaluate([])
        with pytest.raises(ValueError, match=r"`data` must hold at least one sample, got none"):
            Trainer(*parts).predict(np.zeros((0, D), np.float32))

    def test_no_pairs(self, parts):
        with pytest.raises(TypeError, match=r"must give batches \(x, y\), got ndarray"):
            Trainer(*parts).fit([np.zeros((2, D))])
        with pytest.raises(ValueError, match=r"`data` must be inputs \(N, …\), got a single number"):
            Trainer(*parts).predict(np.zeros(()))


class TestDevices:
    def test_any_array_api_library(self, tmp_path):
        """The same run on NumPy and on array_api_strict, broken off and resumed there; nothing may mix the two."""
        weft.register_device("strict", array_api_strict)
        ends = []
        for device in ("cpu", "strict"):
            weft.manual_seed(1)
            model = nn.Sequential(nn.Linear(D, 16), nn.Tanh(), nn.Linear(16, C))
            optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            metrics = ["accuracy", "f1", "top_k_accuracy", "perplexity"]
            trainer = Trainer(
                model,
                nn.CrossEntropyLoss(),
                optimizer,
                metrics=metrics,
                device=device,
                clip_grad_norm=0.5,
                accumulate=2,
                callbacks=[EMA(), EarlyStopping(patience=9), StopOnNaN(), GradientNorm()],
            )
            trainer.callbacks.append(Break((1, 4), tmp_path / device))
            trainer.fit(loader(), loader(20), epochs=3)
            trainer.callbacks.pop()
            trainer.load_state_dict(load_checkpoint(tmp_path / device))
            history = without_times(trainer.fit(loader(), loader(20), epochs=3))
            assert {p.device for p in model.parameters()} == {device}
            ends.append((history, trainer.predict(dataset().x)))
        for ours, theirs in zip(*[history for history, _ in ends], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4)
        np.testing.assert_allclose(ends[0][1], ends[1][1], rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("capture", [None, False])
    def test_the_same_bits_whichever_way_the_data_come(self, accelerator, capture):
        """Streamed by way of page-locked memory and without, resident, as NumPy arrays, as lists; and nothing waits."""
        data, ends, order = dataset(), [], {"shuffle": True, "seed": 5}
        host = [(x.numpy(), y.numpy()) for x, y in DataLoader(data, 8, **order)]
        for batches in (
            DataLoader(data, 8, device=accelerator, **order),
            DataLoader(data, 8, device=accelerator, pin_memory=False, **order),
            DataLoader(data.to(accelerator), 8, **order),
            DataLoader(data, 8, device="cpu", **order),
            host,
            [(x.tolist(), y.tolist()) for x, y in host],
        ):
            model = network()
            trainer = Trainer(
                model,
                nn.CrossEntropyLoss(),
                optim.AdamW(model.parameters()),
                metrics="accuracy",
                device=accelerator,
                capture=capture,
            )
            weft.set_sync_debug_mode("error")
            try:
                trainer.fit(batches, DataLoader(data.to(accelerator), 20))
            finally:
                weft.set_sync_debug_mode("default")
            ends.append((without_times(trainer.history), weights(model)))
        for history, end in ends[1:]:
            assert history == ends[0][0]
            assert_same(end, ends[0][1])

    def test_outputs_are_read_when_all_are_computed(self, accelerator, monkeypatch):
        done, read = [], predict.to_numpy

        class Noted(nn.Identity):
            def forward(self, x):
                done.append("computed")
                return x

        monkeypatch.setattr(predict, "to_numpy", lambda output: done.append("read") or read(output))
        x = np.arange(12.0, dtype=np.float32)
        for limit, order in ((1 << 20, ["computed"] * 3 + ["read"] * 3), (30, ["computed"] * 2 + ["read"] * 2)):
            monkeypatch.setattr(predict, "UNREAD", limit)
            done.clear()
            np.testing.assert_array_equal(predict.Predictor(Noted(), device=accelerator).predict(x, batch_size=4), x)
            assert done[: len(order)] == order
