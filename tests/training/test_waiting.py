"""`Trainer` under `set_sync_debug_mode("error")`: the loop over batches never waits for the device."""

import io

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.device import devices
from weft.backend.modes import nvtx
from weft.data import ArrayDataset, DataLoader
from weft.optimizers.schedulers import OneCycleLR, ReduceLROnPlateau
from weft.training import (
    EMA,
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    GradientNorm,
    Plateau,
    ProgressBar,
    StopOnNaN,
    Trainer,
)

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 1, 6, 6)).astype(np.float32), RNG.integers(0, 3, 40)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _mode():
    yield
    weft.set_sync_debug_mode("default")


def trainer(device, loss=None, **options):
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(32, 3)
    )
    model = model.to(device)
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    options = {name: make(optimizer) if name == "scheduler" else make for name, make in options.items()}
    return Trainer(model, loss or nn.CrossEntropyLoss(), optimizer, **options)


def fit(trained):
    loader = DataLoader(ArrayDataset(X, Y), batch_size=8, shuffle=True)
    weft.set_sync_debug_mode("error")
    return trained.fit(loader, loader, epochs=2)


OPTIONS = {
    "plain": {"metrics": "accuracy"},
    "one by one": {"capture": False},
    "float16": {"precision": "float16", "clip_grad_norm": 1.0},
    "accumulated": {"accumulate": 2, "clip_grad_norm": 1.0},
    "scheduled": {
        "scheduler": lambda optimizer: OneCycleLR(optimizer, 0.01, total_steps=10),
        "scheduler_interval": "step",
    },
    "every metric": {"metrics": ["accuracy", "f1", "precision", "recall", "confusion_matrix", "perplexity"]},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_no_batch_waits(accelerator, options):
    history = fit(trainer(accelerator, **options))
    assert len(history) == 2
    assert all(np.isfinite(row["loss"]) for row in history)


def test_callbacks_wait_once_an_epoch_or_when_due(accelerator, tmp_path):
    bar = ProgressBar(Terminal())
    bar.interval = 0.0  # at every batch
    trained = trainer(
        accelerator,
        clip_grad_norm=1.0,
        metrics="accuracy",
        callbacks=[
            bar,
            StopOnNaN(every=2),
            GradientNorm(),
            EMA(),
            EarlyStopping(),
            CSVLogger(tmp_path / "log.csv"),
            Checkpoint(tmp_path, every=3),
        ],
    )
    trained.callbacks.append(Plateau(ReduceLROnPlateau(trained.optimizer)))
    assert len(fit(trained)) == 2
    assert (tmp_path / "last.safetensors").exists()
    assert trained.predict(X).shape == (40, 3)


def test_the_search_for_a_learning_rate_reads_every_loss_by_design(accelerator):
    trained = trainer(accelerator)
    x, y = (weft.asarray(a[:8], device=accelerator) for a in (X, Y))
    weft.set_sync_debug_mode("error")
    found = optim.lr_find(
        trained.optimizer, lambda scale: trained.loss(trained.model(x), y) * scale, [1.0], num_steps=5
    )
    assert len(found.losses) > 2


def test_a_loss_that_waits_is_found(accelerator):
    def loss(output, target):
        return nn.functional.cross_entropy(output, target) * (2.0 if output.sum().item() > 0 else 1.0)

    with pytest.raises(RuntimeError, match="the host waits here for a value from the device"):
        fit(trainer(accelerator, loss, capture=False))


def test_a_callback_that_waits_at_every_batch_is_found(accelerator):
    class Print(Callback):
        def on_batch_end(self, trainer):
            trainer.current_loss.item()

    with pytest.raises(RuntimeError, match="the host waits here for a value from the device"):
        fit(trainer(accelerator, callbacks=[Print()]))


def test_epochs_and_steps_are_marked(monkeypatch):
    """Where NVTX listens; operations lie within their step."""
    calls = []
    monkeypatch.setattr(nvtx, "range_push", calls.append)
    monkeypatch.setattr(nvtx, "range_pop", lambda: calls.append("pop"))
    trained = trainer("cpu")
    with weft.nvtx.emit():
        trained.fit([(X[:8], Y[:8]), (X[8:], Y[8:])], epochs=1)
    assert devices.get_sync_debug_mode() == "default"
    depth, inside = 0, {}
    for call in calls:
        depth += -1 if call == "pop" else 1
        inside.setdefault(call, depth)
    assert depth == 0
    assert (inside["epoch 1"], inside["step 0"], inside["step 1"]) == (1, 2, 2)
    assert inside["conv"] == inside["conv.backward"] == inside["AdamW.step"] == 3
