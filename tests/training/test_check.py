"""What a trainer and its callbacks are not to be given: an error at the door, which says what to write."""

import copy
import pickle
import re

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.data import DataLoader
from weft.optimizers.schedulers import LambdaLR, ReduceLROnPlateau, StepLR
from weft.training import (
    EMA,
    Accuracy,
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    GradientNorm,
    Plateau,
    ProgressBar,
    StopOnNaN,
    TensorBoard,
    Trainer,
)

DEVICES = [d for d in weft.devices() if d in ("cpu", "emulator")]
rng = np.random.default_rng(0)
X = rng.standard_normal((40, 3))
Y = (X[:, 0] > 0).astype(np.int64)


def network(device="cpu"):
    weft.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)).to(device)


def trainer(device="cpu", **options):
    model = network(device)
    parts = {"model": model, "loss": nn.CrossEntropyLoss(), "optimizer": optim.Adam(model.parameters(), lr=0.01)}
    return Trainer(**parts | options)


REFUSED = [
    ({"loss": "cross_entropy"}, "`loss` must be a module or a function, such as nn.CrossEntropyLoss(), got 'cross_entropy'"),
    ({"loss": nn.CrossEntropyLoss}, "`loss` must be an object, such as nn.CrossEntropyLoss(), got the class CrossEntropyLoss"),
    ({"loss": None}, "`loss` must be a module or a function"),
    ({"optimizer": "adam"}, "`optimizer` must be an Optimizer, such as Adam(model.parameters()), got 'adam'"),
    ({"optimizer": optim.Adam}, "`optimizer` must be an object, such as Adam(model.parameters()), got the class Adam"),
    ({"model": nn.Identity}, "`model` must be an object, such as nn.Linear(2, 1), got the class Identity"),
    ({"model": len}, "`model` must be a Module, such as nn.Linear(2, 1), got a builtin_function_or_method"),
    ({"scheduler": StepLR}, "`scheduler` must be an object, such as CosineAnnealingLR(optimizer, 10), got the class StepLR"),
    ({"scheduler": "cosine"}, "`scheduler` must be a LRScheduler, such as CosineAnnealingLR(optimizer, 10), got 'cosine'"),
    ({"scheduler": StepLR(optim.SGD([weft.Parameter([1.0])]), 1)}, "`scheduler` must be a schedule of the trainer's optimizer"),
    ({"callbacks": StopOnNaN()}, "`callbacks` must be a list, such as [StopOnNaN()], got a StopOnNaN"),
    ({"callbacks": StopOnNaN}, "`callbacks` must be a list, such as [StopOnNaN()], got the class StopOnNaN"),
    ({"callbacks": [StopOnNaN]}, "`callbacks[0]` must be an object, such as StopOnNaN(), got the class StopOnNaN"),
    ({"callbacks": ["early stopping"]}, "`callbacks[0]` must be a Callback, such as StopOnNaN(), got 'early stopping'"),
    ({"metrics": Accuracy}, "`metrics` must be"),
    ({"metrics": [Accuracy]}, "`metrics` must be"),
    ({"clip_grad_norm": "1"}, "`clip_grad_norm` must be None or a positive number, got '1'"),
    ({"clip_grad_norm": 0}, "`clip_grad_norm` must be None or a positive number, got 0"),
    ({"capture": "always"}, "`capture` must be None, True or False, got 'always'"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_trainer(options, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        trainer(**options)


CALLBACKS = [
    (lambda: TensorBoard("logs"), "`writer` must have the methods `add_scalar` and `flush`, as SummaryWriter('logs') has, got"),
    (lambda: Plateau(ReduceLROnPlateau), "`scheduler` must be a ReduceLROnPlateau(optimizer), got the class ReduceLROnPlateau"),
    (lambda: CSVLogger(3), "`path` must be a path, such as 'runs/one', got 3"),
    (lambda: Checkpoint(None), "`folder` must be a path, such as 'runs/one', got None"),
    (lambda: CSVLogger("a\0b"), "`path` must be a path that a file can have, got 'a\\x00b' with a null character"),
    (lambda: Checkpoint("a\0"), "`folder` must be a path that a file can have, got 'a\\x00' with a null character"),
    (lambda: Checkpoint("runs", every="epoch"), "`every` must be at least 1, got 'epoch'"),
    (lambda: ProgressBar("log.txt"), "`file` must have the methods `write` and `isatty`, as sys.stdout has, got 'log.txt'"),
    (lambda: EarlyStopping(3), "`monitor` must be the name of a column, such as 'val_loss', got 3"),
    (lambda: StopOnNaN("x"), "`every` must be at least 1, got 'x'"),
    (lambda: GradientNorm("x"), "`every` must be at least 1, got 'x'"),
    (lambda: EMA("x"), "`decay` must be in [0, 1), got 'x'"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), CALLBACKS, ids=[m for _, m in CALLBACKS])
def test_callbacks(make, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make()


class TestArrays:
    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("kind", ["NumPy", "Tensor", "tuple"])
    def test_fit(self, device, kind):
        x, y = (X, Y) if kind != "Tensor" else (weft.asarray(X, device=device), weft.asarray(Y, device=device))
        ours = trainer(device, metrics="accuracy")
        if kind == "tuple":
            ours.fit((x, y), (x, y), epochs=20, batch_size=8)
        else:
            ours.fit(x, y, epochs=20, batch_size=8, validation=(x, y))
        assert ours.step == 100
        assert ours.history[-1]["val_accuracy"] > 0.9
        assert ours.evaluate((x, y))["accuracy"] == pytest.approx(ours.history[-1]["val_accuracy"])

    def test_as_with_a_loader(self):
        ours, theirs = trainer(), trainer()
        ours.fit(X, Y, shuffle=False)
        theirs.fit([(weft.asarray(X[i : i + 32], dtype=weft.float32), Y[i : i + 32]) for i in (0, 32)])
        assert ours.history[0]["loss"] == theirs.history[0]["loss"]

    def test_what_is_neither(self):
        ours = trainer()
        for data, message in (
            ((X,), r"`fit` needs targets beside an array of inputs: fit\(x, y\), got x alone"),
            (("digits",), "`train_loader` must be an iterable of batches .*, got 'digits'"),
            ((DataLoader,), "`train_loader` must be an iterable of batches .*, got the class DataLoader"),
            (([(X, Y)], X), r"`validation_loader` must be batches \(x, y\) or arrays with their targets"),
            ((X, Y[:-1]), r"must agree in their first axis"),
        ):
            with pytest.raises((TypeError, ValueError), match=message):
                ours.fit(*data)
        with pytest.raises(TypeError, match="`validation` says what `validation_loader` does, got both"):
            ours.fit((X, Y), (X, Y), validation=(X, Y))


class Changes(Callback):
    """Counts the batches after which the weights are others."""

    count = 0

    def on_fit_begin(self, trainer):
        self.weights = trainer.model.weight.tolist()

    def on_batch_end(self, trainer):
        before, self.weights = self.weights, trainer.model.weight.tolist()
        self.count += self.weights != before


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("capture", [None, False])
def test_an_update_that_is_left_out_moves_no_schedule(device, accumulate, capture):
    """Batches 1, 4 and 9 are not finite; the first scale may be too large, too."""
    x = np.tile(X[:8].astype(np.float32), (12, 1, 1))
    x[1] = x[4] = x[9] = np.inf
    batches = [(weft.asarray(b, device=device), weft.asarray(Y[:8], device=device)) for b in x]
    model, changes = nn.Linear(3, 2).to(device), Changes()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    schedule = LambdaLR(optimizer, lambda t: 0.9**t)
    ours = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        scheduler=schedule,
        scheduler_interval="step",
        callbacks=[changes],
        precision="float16",
        accumulate=accumulate,
        capture=capture,
    )
    ours.fit(batches)
    assert ours.step == 12 // accumulate
    assert 0 < changes.count <= (9 if accumulate == 1 else 3)
    assert (schedule.last_epoch, optimizer.param_groups[0]["lr"]) == (changes.count, 0.9**changes.count)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("how", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_copies_go_on_alone(device, how):
    x, y = (weft.asarray(a, device=device) for a in (X.astype(np.float32), Y))
    data = [(x[i : i + 8], y[i : i + 8]) for i in range(0, 40, 8)]
    model = network(device)
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    schedule = optim.schedulers.OneCycleLR(optimizer, 0.1, total_steps=30)
    ours = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        scheduler=schedule,
        scheduler_interval="step",
        metrics="accuracy",
        callbacks=[EMA(0.9), EarlyStopping("loss")],
    )
    ours.fit(data, epochs=2)
    before = {name: t.tolist() for name, t in model.state_dict().items()}
    other = how(ours)
    assert other.optimizer.param_groups[0]["params"][0] is next(iter(other.model.parameters()))
    assert other.scheduler.optimizer is other.optimizer
    other.fit(data, epochs=4)
    assert {name: t.tolist() for name, t in model.state_dict().items()} == before
    ours.fit(data, epochs=4)
    for name, t in model.state_dict().items():
        assert t.tolist() == other.model.state_dict()[name].tolist()


def test_reprs():
    ours = trainer(metrics="accuracy", callbacks=[StopOnNaN()])
    ours.scheduler = optim.schedulers.CosineAnnealingLR(ours.optimizer, 10)
    text = repr(ours)
    for part in (
        "model: Sequential, 66 parameters on cpu",
        "loss: CrossEntropyLoss()",
        "scheduler: CosineAnnealingLR(T_max=10, eta_min=0.0, last_epoch=0, lr=[0.01])",
        "callbacks: ['StopOnNaN']",
        "done: 0 epochs, 0 updates",
    ):
        assert part in text
    parts = [optim.schedulers.ConstantLR(ours.optimizer, 0.5, 2), ours.scheduler]
    nested = repr(optim.schedulers.SequentialLR(ours.optimizer, parts, [3]))
    assert nested.splitlines()[1].startswith("  ConstantLR(factor=0.5, total_iters=2, last_epoch=0")


def arrays_with(name, value, at=7):
    x, y = X.copy(), Y.copy()
    if name == "x":
        x[at, 1] = value
    else:
        y = value
    return x, y


class TestSaidAtTheStart:
    """What data in memory are found to lack before anything is trained."""

    REFUSED = [
        (arrays_with("x", np.nan), "must be finite, got nan in sample 7; leave it out"),
        (arrays_with("x", -np.inf), "must be finite, got -inf in sample 7"),
        (arrays_with("y", Y[:, None]), "found shape (40, 1); one label per sample is wanted: y[:, 0]"),
        (arrays_with("y", np.eye(2, dtype=int)[Y]), "found one-hot rows of shape (40, 2); give the index of the 1"),
        (arrays_with("y", np.eye(2)[Y] * np.nan), "must be finite, got nan in sample 0"),
        (arrays_with("y", Y.astype(float)), "found dtype float32; convert them with .astype(int)"),
        (arrays_with("y", Y == 1), "expected integer class labels, found dtype bool"),
        (arrays_with("y", Y - 1), "must hold classes ≥ 0, got -1 in sample"),
        ((X[:0], Y[:0]), "must hold at least one batch, got none"),
    ]  # fmt: skip

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize(("data", "message"), REFUSED, ids=[m for _, m in REFUSED])
    def test_refused(self, data, message, device):
        ours = trainer(device)
        on_device = tuple(weft.asarray(a, device=device) for a in data)
        for train, validation in ((data, None), ((X, Y), data), (on_device, None), ((X, Y), on_device)):
            with pytest.raises(ValueError, match=re.escape(message)):
                ours.fit(train, validation)
        assert ours.step == 0

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    def test_accepted(self):
        ours = trainer()
        dataset = weft.data.ArrayDataset(*arrays_with("x", np.nan))
        ours.fit(DataLoader(dataset, 8, transform=lambda x: np.nan_to_num(x).astype(np.float32)))
        some = weft.data.ArrayDataset(X.astype(np.float32), np.where(np.arange(40) < 8, -1, Y))
        ours.fit(DataLoader(some, 8, sampler=range(8, 40)))  # the others have no label
        ours.fit((X, np.where(np.arange(40) == 3, -100, Y)), epochs=2)  # one that does not count
        with pytest.warns(UserWarning, match="`y of train_loader` holds one class alone, 0: there is nothing to tell"):
            ours.fit(X, Y * 0, epochs=3)
        model = nn.Linear(3, 1)
        own = Trainer(
            model, lambda x, y: weft.where(weft.isnan(y), 0, x - y).abs().mean(), optim.SGD(model.parameters())
        )
        own.fit(X, np.where(X[:, :1] > 0, np.nan, X[:, :1]))
        assert ours.epoch == 3

    def test_real_targets(self):
        ours = Trainer(model := nn.Linear(3, 1), nn.MSELoss(), optim.SGD(model.parameters()))
        with pytest.raises(ValueError, match="`y of train_loader` must be finite, got inf in sample 3"):
            ours.fit(X, np.where(np.arange(40) == 3, np.inf, X[:, 0])[:, None])

    def test_optimizer_of_another_model(self):
        model, other = network(), network()
        with pytest.raises(
            ValueError, match="`optimizer` must hold parameters of `model`, got 6 others and none of its 6"
        ):
            Trainer(model, nn.CrossEntropyLoss(), optim.SGD(other.parameters()))
        Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model[3].parameters()))
        Trainer(nn.Identity(), nn.CrossEntropyLoss(), optim.SGD(other.parameters()))

    def test_a_layer_that_was_replaced(self):
        ours = trainer()
        ours.model[3] = nn.Linear(8, 2)
        message = "`optimizer` must hold the parameter '3.weight' of `model`, which is new since the trainer was made"
        with pytest.raises(ValueError, match=re.escape(message)):
            ours.fit(X, Y)
        ours.optimizer.add_param_group({"params": ours.model[3].parameters()})
        ours.fit(X, Y)
        ours.model.requires_grad_(False)
        with pytest.raises(ValueError, match="`model` must have a parameter to train, got 6, all frozen"):
            ours.fit(X, Y, epochs=2)

    def test_a_part_that_is_left_as_it_is(self):
        model = network()
        model[0].requires_grad_(False)
        ours = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model[3].parameters()))
        ours.model[2] = nn.Tanh()
        ours.fit(X, Y)
        assert ours.epoch == 1

    MONITORS = [
        (lambda o: EarlyStopping(), {}, "got 'val_loss'; give `fit` a validation, which has these"),
        (lambda o: EarlyStopping("val_acuracy"), {"validation": (X, Y)}, "got 'val_acuracy'"),
        (lambda o: Plateau(ReduceLROnPlateau(o), "val_mae"), {"validation": (X, Y)}, "got 'val_mae'"),
        (lambda o: Checkpoint("runs", monitor="accuracy"), {"validation": (X, Y)}, "got 'accuracy'"),
        (lambda o: EarlyStopping("grad_norm"), {}, "got 'grad_norm'"),
    ]  # fmt: skip

    @pytest.mark.parametrize(("make", "options", "message"), MONITORS)
    def test_monitors(self, tmp_path, monkeypatch, make, options, message):
        monkeypatch.chdir(tmp_path)
        ours = trainer(metrics="f1")
        ours.callbacks = [make(ours.optimizer)]
        with pytest.raises(ValueError, match=re.escape("`monitor` must be one of ['epoch', 'f1',") + f".*{message}"):
            ours.fit(X, Y, **options)
        assert ours.step == 0

    def test_monitors_of_what_callbacks_log(self, tmp_path):
        class Logs(Callback):
            def on_epoch_end(self, trainer):
                trainer.log(own=1.0)
                trainer.row["own"] = 1.0

        for other, name in ((GradientNorm(), "grad_norm"), (Logs(), "own")):
            trainer(callbacks=[other, EarlyStopping(name)]).fit(X, Y)
        trainer(callbacks=[Checkpoint(tmp_path)]).fit(X, Y)  # without a validation it keeps no best

    def test_schedule_of_another_optimizer(self):
        message = "`scheduler` of Plateau must be a schedule of the trainer's optimizer, got that of another one"
        other = ReduceLROnPlateau(optim.SGD([weft.Parameter([1.0])]))
        with pytest.raises(ValueError, match=message):
            trainer(callbacks=[Plateau(other, "loss")]).fit(X, Y)

    VALIDATIONS = [
        ([], "`validation_loader` must give at least one batch, got none"),
        ((X, np.where(np.arange(40) == 39, 100_000_000, Y)), "must hold classes in [0, 2), those that the model has scores for,"),
        ((X[:, :2], Y), "got"),
        ([(X.astype("f"), Y), (np.full((2, 3), np.inf), Y[:2])], "`x of validation_loader[1]` must be finite, got inf in sample 0"),
    ]  # fmt: skip

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize(("data", "message"), VALIDATIONS, ids=[m for _, m in VALIDATIONS])
    def test_validations(self, data, message, device):
        ours = trainer(device, metrics="accuracy")
        with pytest.raises((ValueError, TypeError), match=re.escape(message)) as caught:
            ours.fit(X, Y, validation=data)
        assert ours.step == 0
        if isinstance(data, tuple):
            assert "`validation_loader`, which was tried on one batch before" in caught.value.__notes__[0]

    def test_metrics_that_do_not_fit(self):
        y = np.arange(40) % 3
        for metric, message in (
            (weft.training.F1(2), "`num_classes` must be at least the 3"),
            ("r2", "must have the output's"),
        ):
            model = nn.Linear(3, 3)
            ours = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()), metrics=[metric])
            with pytest.raises(ValueError, match=message):
                ours.fit(X, y, validation=(X, y))
            assert ours.step == 0

    def test_the_rehearsal_leaves_no_trace(self):
        ends = []
        for rehearsed in (True, False):
            weft.manual_seed(3)
            model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
            ours = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
            x = X.astype(np.float32)
            data = (x, Y) if rehearsed else [(x[:32], Y[:32]), (x[32:], Y[32:])]
            ours.fit((x, Y), data, epochs=2)
            ends.append([t.tolist() for t in model.state_dict().values()])
        assert ends[0] == ends[1]

    @pytest.mark.parametrize("device", DEVICES)
    def test_evaluate(self, device):
        ours = trainer(device)
        bad, batch = arrays_with("x", np.nan), [(X.astype("f"), Y)]
        dataset = weft.data.ArrayDataset(bad[0].astype("f"), Y)
        for data, name in ((bad, "loader"), (DataLoader(dataset, 8), "loader"), ([*batch, bad], "loader[1]")):
            with pytest.raises(ValueError, match=re.escape(f"`x of {name}` must be finite, got nan in sample 7")):
                ours.evaluate(data)
