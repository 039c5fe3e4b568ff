"""Captured steps against the same steps run one by one, bit for bit; half precision; what keeps a step from either."""

import contextlib
import copy
from unittest.mock import Mock

import array_api_strict
import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.data import ArrayDataset, DataLoader
from weft.optimizers.schedulers import OneCycleLR
from weft.training import (
    EMA,
    Callback,
    Checkpoint,
    GradientNorm,
    NonFiniteError,
    StopOnNaN,
    Trainer,
    load_checkpoint,
    save_checkpoint,
)
from weft.training.step import Step

on_accelerators = pytest.mark.usefixtures("_on_accelerator")

N, D, C, EPOCHS = 28, 6, 3, 4  # batches of 8, 8, 8 and 4


def loader(batch_size=8, n=N):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, D)).astype(np.float32)
    return DataLoader(ArrayDataset(x, x[:, :C].argmax(1)), batch_size, shuffle=True, seed=5)


def network():
    """With all that has a state of its own: dropout draws random numbers, normalisation keeps statistics."""
    return nn.Sequential(nn.Linear(D, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, C))


def make(capture=None, *, device=None, scale=2.0**16, callbacks=(), optimizer=optim.AdamW, model=network, **options):
    weft.manual_seed(1)
    model = model().to(device or weft.get_default_device())
    optimizer = optimizer(model.parameters(), lr=0.01)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        scheduler=OneCycleLR(optimizer, 0.01, total_steps=4 * EPOCHS + 1),
        scheduler_interval="step",
        metrics=["accuracy", "f1"],
        callbacks=callbacks,
        capture=capture,
        **options,
    )
    if options.get("precision") == "float16":
        trainer.scaler = weft.GradScaler(init_scale=scale, growth_interval=3)
    return trainer


def end(trainer):
    """Everything a run leads to, but the times."""
    state = trainer.state_dict()
    state["optimizer"]["state"] = list(state["optimizer"]["state"].values())
    times = ("seconds", "samples_per_second")
    history = [{k: v for k, v in row.items() if k not in times} for row in trainer.history]
    return {**{k: state[k] for k in ("model", "optimizer", "scaler", "generator", "scheduler")}, "history": history}


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for k in a:
            assert_same(a[k], b[k])
    elif isinstance(a, list | tuple):
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        a, b = (x.cpu().numpy() if isinstance(x, weft.Tensor) else x.get() if hasattr(x, "get") else x for x in (a, b))
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def _on_accelerator(accelerator):
    with weft.device(accelerator):
        yield


@pytest.fixture
def host_steps(monkeypatch):
    """How often the step's Python code has run, in a list with one entry each."""
    calls, original = [], Step.train_step
    note = Mock(side_effect=calls.append)  # of an installed package, which is not looked into

    def train_step(self, *batch):
        note(batch[-1].shape[0])
        return original(self, *batch)

    monkeypatch.setattr(Step, "train_step", train_step)
    return calls


OPTIONS = {
    "clipped": {"clip_grad_norm": 0.1},
    "bfloat16": {"precision": "bfloat16"},
    "float16": {"precision": "float16", "scale": 2.0**18, "clip_grad_norm": 0.5},
    "float16, some updates left out": {"precision": "float16", "scale": 2.0**30},
}


class Break(Callback):
    """Saves at a given batch, and ends the run there."""

    order = 2

    def __init__(self, at, path):
        self.at, self.path = at, path

    def on_batch_end(self, trainer):
        if (trainer.epoch, trainer.batch) == self.at:
            save_checkpoint(self.path, trainer.state_dict())
            trainer.stop("for a test")


@on_accelerators
class TestCaptured:
    @pytest.mark.parametrize("name", OPTIONS)
    def test_same_bits(self, name, host_steps, tmp_path):
        """As eager steps; and broken off in the middle of an epoch and resumed, as well."""

        def run(capture, *callbacks, saved=None):
            trainer = make(capture, callbacks=[EMA(0.9), StopOnNaN(), *callbacks], **OPTIONS[name])
            if saved is not None:
                trainer.load_state_dict(load_checkpoint(saved))
            trainer.fit(loader(), loader(14), epochs=EPOCHS)
            return end(trainer)

        eager, captured = run(False), run(True)
        assert_same(captured, eager)
        assert host_steps == [8, 8, 8, 4] * EPOCHS + [8, 8, 8, 4, 4, 4]  # two to warm up, one recorded, of each shape
        run(True, Break((2, 2), tmp_path / "c"))
        assert_same(run(True, saved=tmp_path / "c"), eager)

    def test_by_itself(self, host_steps):
        make().fit(loader(), epochs=EPOCHS)
        assert len(host_steps) == 6
        make(device="cpu").fit(loader(), epochs=EPOCHS)
        assert len(host_steps) == 6 + 4 * EPOCHS

    def test_nothing_waits_for_the_device(self, tmp_path):
        """Within an epoch, with all that `weft train` has listening; the loss is looked at at every 50th batch."""

        class Forbid(Callback):
            def on_batch_begin(self, trainer):
                weft.set_sync_debug_mode("default" if trainer.batch % 50 == 0 else "error")

            def on_batch_end(self, trainer):
                if trainer.batch == len(trainer.train_loader):
                    weft.set_sync_debug_mode("default")

        try:
            make(True, callbacks=[StopOnNaN(), Checkpoint(tmp_path), Forbid()]).fit(loader(), loader(), epochs=EPOCHS)
        finally:
            weft.set_sync_debug_mode("default")

    def test_gradient_norm_is_of_the_last_batch(self):
        class Look(Callback):
            def __init__(self):
                self.norms = []

            def on_batch_end(self, trainer):
                self.norms.append(trainer.gradient_norm)

        eager, captured = Look(), Look()
        make(False, clip_grad_norm=0.1, callbacks=[eager]).fit(loader(), epochs=EPOCHS)
        make(True, clip_grad_norm=0.1, callbacks=[captured]).fit(loader(), epochs=EPOCHS)
        assert [t.item() for t in captured.norms] == [t.item() for t in eager.norms]

    @pytest.mark.parametrize("change", ["p", "mode", "frozen", "clip"])
    def test_what_changes_between_epochs(self, change):
        class Change(Callback):
            def on_epoch_begin(self, trainer):
                if trainer.epoch < 2:
                    return
                if change == "p":
                    trainer.model[3].p = 0.6
                elif change == "mode":
                    trainer.model[1].eval()
                elif change == "frozen":
                    trainer.model[0].weight.requires_grad_(False)
                else:
                    trainer.clip_grad_norm = 0.01

        ends = []
        for capture in (False, True):
            trainer = make(capture, callbacks=[Change()], optimizer=optim.SGD)
            trainer.fit(loader(), epochs=EPOCHS)
            ends.append(end(trainer))
        assert_same(ends[1], ends[0])

    def test_shapes_beyond_the_second_are_run_as_they_come(self, host_steps):
        rng = np.random.default_rng(0)
        batches = [(rng.standard_normal((n, D)).astype("f"), rng.integers(0, C, n)) for n in (4, 5, 6, 7)]
        ends = []
        for capture in (False, True):
            trainer = make(capture)
            trainer.fit(batches, epochs=EPOCHS)
            ends.append(end(trainer))
        assert_same(ends[1], ends[0])
        assert host_steps == [4, 5, 6, 7] * (EPOCHS + 3) + [6, 7]

    def test_memory_is_let_go(self):
        trainer = make(True)
        trainer.fit(loader(), epochs=1)
        assert trainer.stepper._captured is None


class Hears(Callback):
    def on_loss(self, trainer): ...


def hooked():
    model = network()
    model[0].register_forward_hook(lambda module, args, output: None)
    return model


class Reads(nn.Module):
    def forward(self, x):
        return x * float(x.sum().item() > 0)


def test_a_device_that_records_nothing():
    weft.register_device("strict", array_api_strict)
    with pytest.raises(
        ValueError, match=r"`capture=True` needs steps .* but the device 'strict' has no captured steps"
    ):
        make(True, device="strict").fit(loader())


@on_accelerators
class TestObstacles:
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"accumulate": 2}, "`accumulate` is 2"),
            ({"callbacks": [Hears()]}, "the callback Hears looks into them"),
            ({"callbacks": [GradientNorm()]}, "the callback GradientNorm looks into them"),
            ({"model": hooked}, r"the module '0' \(Linear\) has hooks"),
            ({"precision": "float16", "optimizer": optim.Muon, "model": lambda: nn.Linear(D, C, bias=False)},
             "whether Muon leaves out an update for float16"),
        ],
    )  # fmt: skip
    def test_known(self, options, reason, host_steps):
        with pytest.raises(ValueError, match=f"`capture=True` needs steps without the host, but {reason}"):
            make(True, **options).fit(loader())
        make(**options).fit(loader(), epochs=2)
        assert len(host_steps) == 8

    def test_found_while_recording(self):
        model = lambda: nn.Sequential(Reads(), nn.Linear(D, C))
        reason = "`train_step` cannot be captured: (it reads a value on the host|the current stream is capturing)"
        with pytest.raises(RuntimeError, match=reason):
            make(True, model=model).fit(loader())
        ends = []
        for capture, context in (
            (False, contextlib.nullcontext()),
            (None, pytest.warns(RuntimeWarning, match="`train_step` cannot be captured and runs as usual")),
        ):
            trainer = make(capture, model=model)
            with context:
                trainer.fit(loader(), epochs=2)
            ends.append(end(trainer))
        assert_same(ends[1], ends[0])


class GoesBack(Callback):
    """Saves what `parts` of a trainer hold after one batch, and loads it after another."""

    def __init__(self, parts, event):
        self.parts, self.event, self.count, self.saved = parts, event, 0, {}

    def hear(self, trainer, event):
        if event != self.event:
            return
        self.count += 1
        first, second = (6, 11) if event == "batch" else (1, 3)
        if self.count == first:
            self.saved = copy.deepcopy({name: getattr(trainer, name).state_dict() for name in self.parts})
        if self.count == second:
            for name, state in self.saved.items():
                getattr(trainer, name).load_state_dict(state)

    def on_batch_end(self, trainer):
        self.hear(trainer, "batch")

    def on_epoch_end(self, trainer):
        self.hear(trainer, "epoch")


@on_accelerators
@pytest.mark.parametrize(
    ("parts", "event"),
    [
        (("optimizer",), "batch"),
        (("scaler",), "batch"),
        (("model", "optimizer", "scaler", "scheduler"), "batch"),
        (("model", "optimizer"), "epoch"),
    ],
)
def test_what_a_callback_loads_in_the_middle_of_a_fit(parts, event, host_steps):
    ends, steps = [], []
    for capture in (False, True):
        host_steps.clear()
        trainer = make(capture, callbacks=[GoesBack(parts, event)], precision="float16", scale=2.0**10)
        trainer.fit(loader(), epochs=EPOCHS)
        ends.append(end(trainer))
        steps.append(len(host_steps))
    assert_same(ends[1], ends[0])
    assert steps[1] < steps[0] == 4 * EPOCHS
    plain = make(False, precision="float16", scale=2.0**10)
    plain.fit(loader(), epochs=EPOCHS)
    with pytest.raises(AssertionError):  # what was loaded has an effect
        assert_same(end(plain), ends[0])


@on_accelerators
class TestStopOnNaN:
    def fit(self, bad, *, model=lambda: nn.Linear(2, 1), loss=None):
        """Five batches, of which one is multiplied by `bad` = (index, number)."""
        x = np.ones((4, 2), np.float32)
        batches = [(x * np.float32(bad[1]) if i == bad[0] else x, x[:, :1]) for i in range(5)]
        weft.manual_seed(0)
        model = model().to(weft.get_default_device())
        trainer = Trainer(
            model,
            loss or nn.MSELoss(),
            optim.SGD(model.parameters(), lr=0.01),
            callbacks=[StopOnNaN(every=1)],
            capture=True,
        )
        trainer.fit(batches, epochs=2)

    def test_replayed(self):
        with pytest.raises(NonFiniteError, match=r"at epoch 1, batch 5: the input of this batch is not finite"):
            self.fit((4, np.nan))
        with pytest.raises(NonFiniteError, match=r"batch 5: so is `weight` after its update; Trainer\(capture=False\)"):
            self.fit((4, 1e30))

    def test_while_it_warms_up(self):
        with pytest.raises(NonFiniteError, match=r"batch 1: all layers gave finite outputs, so it began in the loss"):
            self.fit((0, 1e30))


class TestPrecision:
    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_follows_float32(self, precision):
        last = {}
        for p in (None, precision):
            trainer = make(precision=p, scale=2.0**10, callbacks=[GradientNorm()])
            trainer.fit(loader(), loader(), epochs=EPOCHS)
            last[p] = trainer.history[-1]
        assert {p.dtype for p in trainer.model.parameters()} == {weft.float32}
        for name in ("loss", "val_loss", "grad_norm"):  # the norm is not that of scaled gradients
            assert last[precision][name] == pytest.approx(last[None][name], rel=0.05)
            assert last[precision][name] != last[None][name]

    def test_products_and_metrics(self):
        seen = []

        class Look(nn.Module):
            def forward(self, x):
                seen.append(str(x.dtype))
                return x

        trainer = make(precision="bfloat16", model=lambda: nn.Sequential(nn.Linear(D, C), Look()))
        outputs = []
        trainer.metrics["accuracy"].update = lambda output, target: outputs.append(str(output.dtype))
        trainer.fit(loader(), epochs=1)
        assert set(seen) == {"bfloat16"}
        assert set(outputs) == {"float32"}

    def test_accumulated_batches(self):
        ends = []
        for precision in (None, "float16"):
            trainer = make(precision=precision, accumulate=3, clip_grad_norm=0.5, scale=2.0**8)
            trainer.fit(loader(), epochs=2)
            ends.append((trainer.step, trainer.history[-1]["loss"]))
        assert ends[0][0] == ends[1][0] == 4
        assert ends[1][1] == pytest.approx(ends[0][1], rel=0.05)

    def test_scale_is_saved(self):
        trainer = make(precision="float16", scale=2.0**40)
        before = trainer.model[0].weight.tolist()
        with np.errstate(over="ignore", invalid="ignore"):
            trainer.fit(loader(), epochs=1)
        assert trainer.model[0].weight.tolist() == before  # updates whose gradients overflow are left out
        assert trainer.scaler.get_scale() == 2.0**36
        again = make(precision="float16")
        again.load_state_dict(trainer.state_dict())
        assert again.scaler.get_scale() == 2.0**36
        again.load_state_dict(make().state_dict())  # of a run in float32
        assert again.scaler.get_scale() == 2.0**36

    def test_argument(self):
        with pytest.raises(ValueError, match=r"`precision` must be None, 'bfloat16' or 'float16', got 'float32'"):
            make(precision="float32")


def test_a_trainer_may_state_a_step_of_its_own():
    class Mine(Trainer):
        def train_step(self, *batch):
            seen.append(len(batch[0]))
            return super().train_step(*batch)

    seen, model = [], nn.Linear(2, 1)
    trainer = Mine(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    before = model.weight.tolist()
    trainer.fit([(weft.ones((3, 2)), weft.ones((3, 1)))], epochs=2)
    assert seen == [3, 3]
    assert model.weight.tolist() != before
