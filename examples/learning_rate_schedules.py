"""Schedules of the learning rate: one that falls in the end learns what a constant one, which never comes to rest, cannot."""

import argparse
import sys
from collections.abc import Callable, Sequence

import numpy as np

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.data import load_digits
from weft.layers import models
from weft.optimizers import schedulers
from weft.training import Callback, Trainer, picture

HIGH, LOW = 0.5, 0.02
SCHEDULES: dict[str, Callable] = {
    "constant, high": lambda o, n: schedulers.ConstantLR(o, factor=1.0, total_iters=1),
    "constant, low": lambda o, n: schedulers.LambdaLR(o, lambda step: LOW / HIGH),
    "steps": lambda o, n: schedulers.MultiStepLR(o, [n // 2, 3 * n // 4], gamma=0.1),
    "cosine": lambda o, n: schedulers.CosineAnnealingLR(o, n),
    "one cycle": lambda o, n: schedulers.OneCycleLR(o, max_lr=HIGH, total_steps=n + 1, cycle_momentum=False),
}
COLOURS = ["#d95926", "#b8860b", "#2b8a5b", "#2a78d6", "#7b4fa3"]


class Rates(Callback):
    """The learning rate of each update."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_batch_begin(self, trainer: Trainer) -> None:
        self.rates.append(trainer.optimizer.param_groups[0]["lr"])


def main(arguments: Sequence[str] = ()) -> dict[str, float]:
    """For each schedule, the loss on all of the training samples at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", metavar="FILE", help="write a picture of rates and losses there (PNG)")
    parser.add_argument("--quick", action="store_true", help="fewer epochs")
    options = parser.parse_args(arguments)
    epochs, batch = 2 if options.quick else 20, 8

    train, rng = load_digits().train, np.random.default_rng(0)
    x, y = train.x.astype("float32") / 16, train.y.copy()
    wrong = rng.choice(len(y), len(y) // 5, replace=False)
    y[wrong] = rng.integers(0, 10, len(wrong))  # so that gradients of batches differ to the end
    steps = epochs * -(-len(x) // batch)
    rates, losses, found = {}, {}, {}
    for name, make in SCHEDULES.items():
        weft.manual_seed(0)
        model = models.mlp(x.shape[1:], 10, hidden=(16,))
        optimizer, recorder = optim.SGD(model.parameters(), lr=HIGH), Rates()
        trainer = Trainer(
            model,
            nn.CrossEntropyLoss(),
            optimizer,
            scheduler=make(optimizer, steps),
            scheduler_interval="step",
            callbacks=[recorder],
        )
        history = trainer.fit((x, y), (x, y), epochs=epochs, batch_size=batch)
        rates[name], losses[name] = recorder.rates, [row["val_loss"] for row in history]
        found[name] = losses[name][-1]
        print(f"{name:15} training loss at the end {found[name]:.4f}")
    if options.plot:
        plot(options.plot, rates, losses)
    return found


def plot(path: str, rates: dict[str, list[float]], losses: dict[str, list[float]]) -> None:
    with picture(path, 2, title="Small batches of digits, a fifth of them with a label by chance") as (left, right):
        for name, colour in zip(rates, COLOURS):
            left.plot(rates[name], color=colour, label=name)
            right.plot(range(1, len(losses[name]) + 1), losses[name], color=colour)
        left.set(xlabel="update", ylabel="learning rate")
        left.legend(frameon=False, fontsize=7)
        right.set(xlabel="epoch", ylabel="loss on all training samples after it")
        right.locator_params(axis="x", integer=True)


if __name__ == "__main__":
    main(sys.argv[1:])
