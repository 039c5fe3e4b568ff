"""The layout of a checkpoint, written out, and the run that goes on from it, by hand in float64. See also test_trainer.py."""

import numpy as np
import pytest
from forged import Run

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.array import random
from weft.data import ArrayDataset, DataLoader
from weft.optimizers.schedulers import StepLR
from weft.training import Callback, CheckpointError, EarlyStopping, Trainer, load_checkpoint, save_checkpoint
from weft.training.run_state import RunState

# y = 3 x − 1, in batches of 2, 2 and 1; broken off after the second batch of the second epoch
X = np.array([[1.0], [2.0], [-1.0], [0.5], [4.0]], np.float32)
Y = 3 * X - 1
BATCHES = [(X[:2], Y[:2]), (X[2:4], Y[2:4]), (X[4:], Y[4:])]

LAYOUT = {
    "model": {"weight": np.array([[0.5]], np.float32), "bias": np.array([0.25], np.float32)},
    "optimizer": {
        "state": {
            0: {"momentum_buffer": np.array([[0.125]], np.float32), "step": 5},
            1: {"momentum_buffer": np.array([-0.5], np.float32), "step": 5},
        },
        "param_groups": [
            {
                "lr": 0.05,
                "momentum": 0.5,
                "dampening": 0,
                "weight_decay": 0,
                "nesterov": False,
                "maximize": False,
                "initial_lr": 0.1,
                "params": [0, 1],
            }
        ],
    },
    "scheduler": {
        "base_lrs": [0.1],
        "last_epoch": 1,
        "_step_count": 2,
        "_is_initial": False,
        "_last_lr": [0.05],
        "step_size": 1,
        "gamma": 0.5,
    },
    "scaler": {},
    "loaders": {"train": None, "validation": None},
    "generator": {"counter": 7, "seed": 3},
    "epoch": 1,
    "step": 5,
    "batch": 2,
    "samples": 4,
    "seconds": 0.5,
    "row": {"temperature": 21.5},
    "history": [{"epoch": 1, "step": 3, "lr": 0.1, "loss": 4.0, "mae": 2.0, "seconds": 1.0, "samples_per_second": 5.0}],
    "sums": {"loss": {"sum": 6.0, "count": 4}, "mae": {"sum": 8.0, "count": 4}},
    "callbacks": {
        "EarlyStopping": {"best": 4.0, "best_epoch": 1, "wait": 0, "weights": None},
        "EarlyStopping.1": {"best": 2.0, "best_epoch": 1, "wait": 0, "weights": None},
    },
}


def trainer(*callbacks, **options):
    model = nn.Linear(1, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    return Trainer(
        model,
        nn.MSELoss(),
        optimizer,
        scheduler=StepLR(optimizer, 1, gamma=0.5),
        metrics=["mae"],
        callbacks=[EarlyStopping("loss", restore_best=False), EarlyStopping("mae", restore_best=False), *callbacks],
        **options,
    )


def keys(tree):
    """The names in a tree, and below each the names there."""
    return {str(k): keys(v) for k, v in tree.items()} if isinstance(tree, dict) else None


class StopAt(Callback):
    def __init__(self, epoch, batch):
        self.at = epoch, batch

    def on_batch_end(self, trainer):
        if (trainer.epoch, trainer.batch) == self.at:
            trainer.log(temperature=21.5)
            trainer.stop("for a test")


def test_layout_is_kept():
    made = trainer(StopAt(1, 2))
    made.fit(BATCHES, epochs=2)
    state = made.state_dict()
    del state["callbacks"]["StopAt"]
    assert list(state) == list(LAYOUT)
    state["optimizer"]["state"] = dict(enumerate(state["optimizer"]["state"].values()))
    assert keys(state) == keys(LAYOUT)


def test_goes_on_from_it(tmp_path):
    save_checkpoint(tmp_path / "c", LAYOUT)
    resumed = trainer()
    resumed.load_state_dict(load_checkpoint(tmp_path / "c"))
    assert (resumed.epoch, resumed.step, resumed.batch, resumed.samples, resumed.seconds) == (1, 5, 2, 4, 0.5)
    assert random.default_generator.get_state() == LAYOUT["generator"]
    history = resumed.fit(BATCHES, epochs=3)

    w, b, mw, mb, lr = 0.5, 0.25, 0.125, -0.5, 0.05
    rows = []
    for epoch, batches in ((2, BATCHES[2:]), (3, BATCHES)):
        loss, mae, count = (6.0, 8.0, 4) if epoch == 2 else (0.0, 0.0, 0)
        for x, y in batches:
            error = w * x + b - y
            loss, mae, count = loss + (error**2).sum(), mae + abs(error).sum(), count + len(x)
            mw, mb = 0.5 * mw + 2 * (error * x).mean(), 0.5 * mb + 2 * error.mean()
            w, b = w - lr * mw, b - lr * mb
        rows.append({"epoch": epoch, "step": 3 * epoch, "lr": lr, "loss": loss / count, "mae": mae / count})
        lr *= 0.5
    rows[0]["temperature"] = 21.5
    assert history[0] == LAYOUT["history"][0]
    for ours, theirs in zip(history[1:], rows, strict=True):
        assert {k: v for k, v in ours.items() if not k.startswith("s") or k == "step"} == pytest.approx(
            theirs, rel=1e-5
        )
    assert [p.item() for p in resumed.model.parameters()] == pytest.approx([w, b], rel=1e-5)
    assert [callback.best for callback in resumed.callbacks] == [min(4.0, rows[0]["loss"], rows[1]["loss"]), 2.0]


def test_a_checkpoint_of_before_the_loss_was_scaled():
    resumed = trainer()
    resumed.load_state_dict({k: v for k, v in LAYOUT.items() if k != "scaler"})
    assert resumed.step == 5


def test_parts_may_be_replaced():
    """What is saved is what the trainer has at that moment."""
    made = trainer()
    made.callbacks = []
    made.scaler = weft.GradScaler(init_scale=8.0)
    state = made.state_dict()
    assert state["callbacks"] == {}
    assert state["scaler"]["scale"] == 8.0


class TestPositions:
    def test_of_a_loader_that_knows_where_it_stands(self):
        made = trainer(StopAt(0, 2))
        made.fit(DataLoader(ArrayDataset(X, Y), 2, shuffle=True, seed=1), epochs=1)
        state = RunState(made)
        state.keep_positions()
        assert state.positions["train"]["batch"] == 2
        assert state.positions["validation"] is None
        assert state.remaining_batches() is made.train_loader

    def test_of_a_list(self):
        made = trainer(StopAt(0, 2))
        made.fit(BATCHES, epochs=1)
        assert list(RunState(made).remaining_batches()) == BATCHES[2:]

    def test_an_epoch_that_an_exception_ended_begins_anew(self):
        made = trainer(StopAt(0, 2))
        made.fit(BATCHES, epochs=1)
        RunState(made).restore_positions()
        assert made.batch == 0


class TestLies:
    @pytest.mark.parametrize(
        ("place", "value", "message"),
        [
            (("epoch",), -1, "`epoch` must be an integer in"),
            (("step",), 1.5, "`step` must be an integer in"),
            (("batch",), 10**300, "`batch` must be an integer in"),
            (("seconds",), "x", "`seconds` must be a number, got 'x'"),
            (("history", 0), [1], r"`history\.0` must be a dictionary, got \[1\]"),
            (("history", 0, "loss"), "x", r"`history\.0\.loss` must be a number, got 'x'"),
            (("generator", "seed"), None, r"`generator\.seed` must be an integer"),
            (
                ("optimizer", "param_groups", 0, "lr"),
                "x",
                r"`optimizer\.param_groups\.0\.lr` must be a number, got 'x'",
            ),
            (
                ("optimizer", "param_groups", 0, "betas"),
                [0.9],
                r"`optimizer\.param_groups\.0\.betas` must have 2 entries, got 1",
            ),
            (("optimizer", "state", "0", "step"), -1, r"`optimizer\.state\.0\.step` must be at least 0, got -1"),
            (("scheduler", "base_lrs"), [], r"`scheduler\.base_lrs` must have 1 entries, got 0"),
            (("scheduler", "step_size"), 0, r"`scheduler\.step_size` must be positive, got 0"),
            (("sums", "mae", "sum"), [[1], 2], r"`sums\.mae\.sum` must be a number or an array"),
            (("callbacks", "EarlyStopping", "best"), [], r"`callbacks\.EarlyStopping\.best` must be a number"),
            (("callbacks", "EarlyStopping", "weights"), 3, "`weights` must be a dictionary of arrays, got 3"),
            (("model", "weight"), 3, r"`model\.weight` must be an array, got 3"),
            (("model", "weight"), np.zeros((2, 2)), r"weight must have \(1, 1\), got \(2, 2\)"),
        ],
    )
    def test_kinds(self, tmp_path, rng, place, value, message):
        save_checkpoint(tmp_path / "t", Run(rng).tree(rng))
        state = load_checkpoint(tmp_path / "t")
        node = state
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = value
        trainer = Run.trainer()
        before = [p.data.copy() for p in trainer.model.parameters()]
        with pytest.raises(CheckpointError, match=rf"^`.*t`: expected the state of this run, found that .*{message}"):
            trainer.load_state_dict(state)
        if place[-1] != "weights":
            assert all(map(np.array_equal, before, [p.data for p in trainer.model.parameters()]))

    @pytest.mark.parametrize(
        "key", ["model", "optimizer", "generator", "loaders", "epoch", "history", "sums", "callbacks"]
    )
    def test_missing(self, rng, key):
        state = Run(rng).tree(rng)
        del state[key]
        with pytest.raises(
            CheckpointError, match=rf"^`state`: expected the state of this run, with an entry '{key}' in"
        ):
            Run.trainer().load_state_dict(state)
