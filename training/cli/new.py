"""`weft new`: a small training project to start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...data.files import named
from ...data.writing import make_folder, reason
from ..output import say
from .parser import Parser, UsageError, report

__all__ = ["FILES", "main"]

DESCRIPTION = """Write a small training project into a new folder: a model with a layer of your own, a script that trains it and
can go on where it was stopped, its options, and tests.
"""

CONFIG = """\
# What `python train.py` does. Any file or folder that `weft train --data` takes goes into `data`.
data = "digits"
epochs = 20
batch_size = 32
lr = 0.002
validation = 0.1   # share of the training samples
seed = 0
out = "run"        # the folder that the run is written to
"""

MODEL = '''\
"""The model, and a layer of our own."""

import weft
from weft import layers as nn


class Gate(nn.Module):
    """y = x · σ(w): a weight between 0 and 1, learnt, for each channel of x (N, C, H, W)."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(weft.zeros((channels, 1, 1)))

    def forward(self, x):
        return x * nn.functional.sigmoid(self.weight)


def build(input_shape, num_classes):
    """Images (N, C, H, W) to logits (N, num_classes)."""
    channels, height, width = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        Gate(16),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * (height // 4) * (width // 4), num_classes),
    )
'''

TRAIN = '''\
"""Train as config.toml says: `python train.py`. Stopped at any moment, it goes on with `python train.py --resume`."""

import sys
import tomllib
from pathlib import Path

import weft
from weft import data
from weft import layers as nn
from weft import optimizers as optim
from weft.training import Checkpoint, ProgressBar, Trainer, load_checkpoint, plot_history, save_model

from model import build


def main(config, resume=False):
    """Train, test, save; returns the accuracy on the test set."""
    weft.manual_seed(config["seed"])
    splits = data.load(config["data"])
    parts = data.train_dev_test_split(
        splits.train, test=config["validation"], stratify=splits.train.y, seed=config["seed"]
    )
    normalizer = data.PerChannel().fit(parts.train.x)
    train, validation, test = (
        data.DataLoader(part, config["batch_size"], shuffle=part is parts.train, transform=normalizer)
        for part in (parts.train, parts.test, splits.test)
    )
    model = build(splits.sample_shape, splits.num_classes)
    out = Path(config["out"])
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.AdamW(model.parameters(), lr=config["lr"]),
        metrics="accuracy",
        callbacks=[Checkpoint(out), ProgressBar()],
    )
    if resume:
        trainer.load_state_dict(load_checkpoint(out / "last.safetensors"))
    history = trainer.fit(train, validation, config["epochs"])
    accuracy = trainer.evaluate(test)["accuracy"]
    save_model(out / "model.safetensors", model, normalizer=normalizer, class_names=splits.class_names)
    plot_history(history, out / "curves.png")
    print(f"test accuracy {100 * accuracy:.1f} %, {out / 'model.safetensors'}")
    return accuracy


if __name__ == "__main__":
    options = tomllib.loads(Path(__file__).with_name("config.toml").read_text())
    main(options, resume="--resume" in sys.argv[1:])
'''

TEST = '''\
"""What must hold of the model before it is worth training: `pytest`."""

import numpy as np
import weft
from weft import layers as nn
from weft import optimizers as optim

from model import Gate, build


def test_shapes():
    assert build((3, 16, 12), 5)(weft.zeros((2, 3, 16, 12))).shape == (2, 5)


def test_gate_against_numpy():
    gate, x = Gate(2), weft.ones((1, 2, 3, 3))
    gate.load_state_dict({"weight": weft.tensor([[[0.0]], [[2.0]]])})
    expected = np.ones((2, 3, 3)) / (1 + np.exp([[[0.0]], [[-2.0]]]))
    np.testing.assert_allclose(gate(x).detach().numpy()[0], expected, rtol=1e-6)


def test_gradient_of_the_gate():
    """dy/dw = x σ(w) (1 − σ(w)), by central differences."""
    x, w, h = weft.asarray(np.linspace(-1, 1, 8).reshape(1, 2, 2, 2)), weft.asarray([0.3, -0.7]).double(), 1e-6

    def y(w):
        return weft.sum(x * nn.functional.sigmoid(weft.reshape(w, (2, 1, 1))))

    steps = np.eye(2) * h
    expected = [(y(w + s).item() - y(w - s).item()) / (2 * h) for s in map(weft.asarray, steps)]
    np.testing.assert_allclose(weft.grad(y)(w).numpy(), expected, rtol=1e-6)


def test_it_can_learn_one_batch_by_heart():
    weft.manual_seed(0)
    x, y = weft.randn(8, 1, 8, 8), weft.asarray(np.arange(8) % 4)
    model = build((1, 8, 8), 4)
    loss, optimizer = nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
    assert value.item() < 0.05
'''
FILES = {"config.toml": CONFIG, "model.py": MODEL, "train.py": TRAIN, "test_model.py": TEST}


def main(argv: Sequence[str]) -> int:
    """Write the project that the arguments name.

    Parameters
    ----------
    argv : sequence of str
        Arguments of `weft new`.

    Returns
    -------
    int
        The exit status, see `report`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     status = main([folder + "/pets"])  # doctest: +ELLIPSIS
    /...pets: config.toml, model.py, train.py, test_model.py
    next: ...
    """
    parser = Parser(prog="weft new", description=DESCRIPTION)
    parser.add_argument("folder", metavar="DIR", help="a folder that is empty or not there yet")
    folder = named(parser.parse_args(argv).folder)
    return report("weft new", lambda: _write(folder))


def _write(folder: Path) -> int:
    try:
        make_folder(folder)
        if any(folder.iterdir()):
            raise UsageError(
                f"DIR must be an empty folder or a new one, got {folder}, which holds files; choose another name"
            )
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} could not be written: {reason(error)}; choose another DIR") from error
    say(f"{folder}: {', '.join(FILES)}")
    say(f"next: cd {folder} && python train.py, and pytest for the tests")
    return 0
