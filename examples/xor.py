"""The exclusive or: what one neuron cannot learn, and two layers can."""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.layers import functional as F
from weft.training import picture

X, Y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0.0, 1.0, 1.0, 0.0]


def main(arguments: Sequence[str] = ()) -> tuple[float, int]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", metavar="FILE", help="write a picture of both decisions there (PNG)")
    parser.add_argument("--quick", action="store_true", help="changes nothing here: it takes less than a second")
    options = parser.parse_args(arguments)

    weft.manual_seed(0)
    perceptron = nn.Perceptron(2).fit(X, Y)
    print(f"perceptron: {perceptron.mistakes[-1]} mistakes in the last of {len(perceptron.mistakes)} epochs")

    x, y = weft.tensor(X), weft.tensor(Y)[:, None]
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    loss, optimizer = nn.BCEWithLogitsLoss(), optim.Adam(model.parameters(), lr=0.05)
    for step in range(200):
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        if step % 50 == 49:
            print(f"step {step + 1:3d}  loss {value.item():.4f}")
    print("x       ", x.tolist())
    print("x₁ ≠ x₂ ", (model(x) > 0).tolist())
    if options.plot:
        plot(options.plot, perceptron, model)
    return value.item(), perceptron.mistakes[-1]


def plot(path: str, perceptron: nn.Module, model: nn.Module) -> None:
    side = np.linspace(-0.5, 1.5, 201, dtype=np.float32)
    grid = weft.asarray(np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2))
    with weft.no_grad():
        decisions = [("perceptron: a line", perceptron(grid)), ("two layers", F.sigmoid(model(grid)))]
    with picture(path, 2, size=(7.6, 3.6), title="XOR") as axes:
        for axis, (name, output) in zip(axes, decisions):
            shown = axis.contourf(
                side, side, output.numpy().reshape(201, 201), np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.6
            )
            for value, marker in ((0, "o"), (1, "s")):
                points = np.array([p for p, t in zip(X, Y) if t == value])
                colour = "#b2182b" if value else "#2166ac"
                label = f"x₁ xor x₂ = {value}"
                axis.scatter(*points.T, s=60, c=colour, marker=marker, edgecolors="white", label=label, zorder=3)
            axis.set_title(name, loc="left", fontsize=9)
            axis.set(xlabel="x₁", ylabel="x₂", aspect="equal")
        axes[0].legend(fontsize=7, loc="center")
        axes[1].figure.colorbar(shown, ax=axes, label="output", ticks=[0, 0.5, 1])


if __name__ == "__main__":
    main(sys.argv[1:])
