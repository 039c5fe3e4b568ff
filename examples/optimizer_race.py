"""Optimizers race: down a ravine, whose walls are a hundred times as steep as its floor, and on handwritten digits."""

import argparse
import sys
from collections.abc import Callable, Sequence

import numpy as np

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.data import load
from weft.layers import models
from weft.training import Trainer, picture

START, STEEP = (-9.0, 1.0), 100.0
# Each with the learning rates that suit it: in the ravine, on digits.
RACERS: dict[str, tuple[Callable[..., optim.Optimizer], float, float]] = {
    "SGD": (optim.SGD, 0.018, 0.1),
    "momentum 0.9": (lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9), 0.018, 0.05),
    "RMSprop": (optim.RMSprop, 0.1, 2e-3),
    "Adam": (optim.Adam, 0.5, 3e-3),
}
COLOURS = ["#d95926", "#2a78d6", "#2b8a5b", "#7b4fa3"]


def ravine(p: weft.Tensor) -> weft.Tensor:
    """½ (x² + 100 y²), lowest at 0."""
    return (p[0] ** 2 + STEEP * p[1] ** 2) / 2


def descend(make: Callable[..., optim.Optimizer], lr: float, steps: int) -> np.ndarray:
    p = weft.Parameter(list(START))
    optimizer, path = make([p], lr=lr), [p.tolist()]
    for _ in range(steps):
        optimizer.zero_grad()
        ravine(p).backward()
        optimizer.step()
        path.append(p.tolist())
    return np.array(path)


def main(arguments: Sequence[str] = ()) -> dict[str, tuple[float, float]]:
    """For each optimizer, the height at the end of the ravine, and the training loss on digits at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits", help="such as datasets/mnist (digits, which need no download)")
    parser.add_argument("--epochs", type=int, help="on the images (20 of digits; 3 of others, or with --quick)")
    parser.add_argument("--plot", metavar="FILE", help="write a picture of the paths and of the losses there (PNG)")
    parser.add_argument("--quick", action="store_true", help="fewer epochs")
    options = parser.parse_args(arguments)
    epochs = options.epochs or (20 if options.data == "digits" and not options.quick else 3)

    data = load(options.data).train
    x, y = data.x.astype("float32") / data.x.max(), data.y
    paths, losses, found = {}, {}, {}
    for name, (make, lr, lr_digits) in RACERS.items():
        paths[name] = descend(make, lr, 100)
        weft.manual_seed(0)
        model = models.mlp(x.shape[1:], 10)
        trainer = Trainer(model, nn.CrossEntropyLoss(), make(model.parameters(), lr=lr_digits))
        losses[name] = [row["loss"] for row in trainer.fit((x, y), epochs=epochs, batch_size=64)]
        height = float(ravine(weft.asarray(paths[name][-1])))
        found[name] = height, losses[name][-1]
        print(f"{name:13} ravine after 100 steps {height:7.1e}   loss on {options.data} {losses[name][-1]:.4f}")
    if options.plot:
        plot(options.plot, paths, losses, options.data)
    return found


def plot(path: str, paths: dict[str, np.ndarray], losses: dict[str, list[float]], data: str) -> None:
    with picture(path, 2, size=(9.4, 3.8), title="Four optimizers") as (left, right):
        x, y = np.meshgrid(np.linspace(-10, 4, 141), np.linspace(-1.6, 1.6, 81))
        left.contour(x, y, (x**2 + STEEP * y**2) / 2, np.geomspace(0.1, 150, 14), colors="#cccccc", linewidths=0.7)
        for (name, points), colour in zip(paths.items(), COLOURS):
            left.plot(*points.T, ".-", color=colour, markersize=3, linewidth=1, label=name)
            right.plot(range(1, len(losses[name]) + 1), losses[name], color=colour)
        left.plot(0, 0, "*", color="black", markersize=9, label="lowest point")
        left.set(xlabel="x", ylabel="y", xlim=(-10, 4), ylim=(-1.6, 1.6))
        left.set_title("½ (x² + 100 y²), 100 steps", loc="left", fontsize=9)
        left.legend(fontsize=7, loc="lower right")
        right.set(yscale="log", xlabel="epoch", ylabel="training loss")
        right.locator_params(axis="x", integer=True)
        right.set_title(data.rstrip("/").rpartition("/")[2], loc="left", fontsize=9)


if __name__ == "__main__":
    main(sys.argv[1:])
