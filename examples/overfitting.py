"""Overfitting: a large network learns few samples by heart; what dropout, L2, augmentation and stopping do against it."""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.data import ArrayDataset, DataLoader, load_digits
from weft.training import EarlyStopping, Trainer, picture

CURES = ["nothing", "dropout", "L2", "augmentation", "early stopping"]
COLOURS = ["#d95926", "#2a78d6", "#2b8a5b", "#7b4fa3", "#b8860b"]


class Shifted:
    """Samples, each moved by up to one pixel up, down or aside, anew each time."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self.x, self.y, self.rng = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), y, np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        row, column = self.rng.integers(0, 3, 2)
        return self.x[i, :, row : row + 8, column : column + 8], self.y[i]


def network(p: float) -> nn.Module:
    parts = [nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Dropout(p), nn.Linear(256, 256), nn.ReLU(), nn.Dropout(p)]
    return nn.Sequential(*parts, nn.Linear(256, 10))


def train(cure: str, x: np.ndarray, y: np.ndarray, test: tuple, epochs: int) -> list[dict[str, float]]:
    weft.manual_seed(0)
    model = network(0.5 if cure == "dropout" else 0.0)
    optimizer = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1.0 if cure == "L2" else 0.0)
    data = Shifted(x, y) if cure == "augmentation" else ArrayDataset(x, y)
    callbacks = [EarlyStopping(patience=10)] if cure == "early stopping" else []
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics="accuracy", callbacks=callbacks)
    return trainer.fit(DataLoader(data, batch_size=32, shuffle=True, seed=0), [test], epochs=epochs)


def main(arguments: Sequence[str] = ()) -> dict[str, list[dict[str, float]]]:
    """The history of each training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", metavar="FILE", help="write the learning curves there (PNG)")
    parser.add_argument("--quick", action="store_true", help="fewer epochs")
    options = parser.parse_args(arguments)

    digits, rng = load_digits(), np.random.default_rng(0)
    x, y = digits.train.x[:200].astype("float32") / 16, digits.train.y[:200].copy()
    wrong = rng.choice(200, 40, replace=False)
    y[wrong] = rng.integers(0, 10, 40)
    test = digits.test.x.astype("float32") / 16, digits.test.y
    histories = {cure: train(cure, x, y, test, 45 if options.quick else 120) for cure in CURES}
    for cure, history in histories.items():
        last = history[-1]
        errors = f"training {100 * (1 - last['accuracy']):4.1f} %, test {100 * (1 - last['val_accuracy']):4.1f} %"
        print(f"{cure:15} errors: {errors}   test loss {last['val_loss']:.2f} after {len(history)} epochs")
    if options.plot:
        plot(options.plot, histories)
    return histories


def plot(path: str, histories: dict[str, list[dict[str, float]]]) -> None:
    with picture(
        path, 2, size=(9.4, 3.8), title="200 digits to learn from, a fifth of them with a label by chance"
    ) as axes:
        for (cure, history), colour in zip(histories.items(), COLOURS):
            epochs = [row["epoch"] for row in history]
            for axis, column in zip(axes, ("loss", "val_loss")):
                axis.plot(epochs, [row[column] for row in history], color=colour, label=cure)
            axes[1].plot(
                epochs[-1], history[-1]["val_loss"], "o", color=colour, markersize=6, markeredgecolor="white", zorder=3
            )
        for axis, label in zip(axes, ("training loss", "test loss")):
            axis.set(xlabel="epoch", ylabel=label)
            axis.set_ylim(bottom=0)
        axes[0].legend(title="against overfitting", frameon=False, fontsize=7, title_fontsize=7)


if __name__ == "__main__":
    main(sys.argv[1:])
