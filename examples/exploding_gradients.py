"""Exploding gradients: through many steps of a recurrent network they grow beyond measure, unless they are clipped."""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.layers import functional as F
from weft.optimizers import clip_grad_norm_
from weft.training import picture

WAYS = {  # learning rate, greatest norm
    "not clipped": (0.01, None),
    "not clipped, a tenth the rate": (0.001, None),
    "clipped to norm 1": (0.01, 1.0),
}
BEYOND = 1e4


class Recaller(nn.Module):
    """An RNN whose state at the end tells what it has read."""

    def __init__(self, hidden: int):
        self.rnn, self.head = nn.RNN(2, hidden, nonlinearity="relu", batch_first=True), nn.Linear(hidden, 1)
        nn.init.eye_(self.rnn.weight_hh_l0)  # Le, Jaitly and Hinton, 2015: what was read is kept

    def forward(self, x: weft.Tensor) -> weft.Tensor:
        return self.head(self.rnn(x)[0][:, -1])[:, 0]


def sums(rng: np.random.Generator, count: int, length: int) -> tuple[weft.Tensor, weft.Tensor]:
    """The adding problem (Hochreiter and Schmidhuber, 1997): random numbers, two of them marked; the target is their sum."""
    x = np.zeros((count, length, 2), dtype=np.float32)
    x[:, :, 0] = rng.random((count, length))
    for row in x:
        row[rng.choice(length, 2, replace=False), 1] = 1
    return weft.asarray(x), weft.asarray((x[:, :, 0] * x[:, :, 1]).sum(axis=1))


def train(lr: float, clip: float | None, updates: int, length: int) -> tuple[list[float], list[float]]:
    """Norms of the gradient before clipping, and losses, until one of them is beyond measure."""
    weft.manual_seed(0)
    rng, model = np.random.default_rng(0), Recaller(64)
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    norms: list[float] = []
    losses: list[float] = []
    while len(losses) < updates and (not losses or losses[-1] < BEYOND):
        x, y = sums(rng, 32, length)
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        norms.append(clip_grad_norm_(model.parameters(), clip or float("inf")).item())
        losses.append(loss.item())
        optimizer.step()
    return norms, losses


def main(arguments: Sequence[str] = ()) -> dict[str, tuple[list[float], list[float]]]:
    """For each way of training, norms of the gradient and losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=20, help="of a sequence (20)")
    parser.add_argument("--plot", metavar="FILE", help="write a picture of norms and losses there (PNG)")
    parser.add_argument("--quick", action="store_true", help="fewer updates")
    options = parser.parse_args(arguments)

    found = {}
    for name, (lr, clip) in WAYS.items():
        norms, losses = found[name] = train(lr, clip, 200 if options.quick else 3000, options.length)
        end = (
            f"{np.mean(losses[-50:]):.3f} at the end"
            if losses[-1] < BEYOND
            else f"{losses[-1]:.0f} at update {len(losses)}"
        )
        print(f"{name:29} largest gradient {max(norms):7.1e}   loss {losses[0]:.2f} at the start, {end}")
    if options.plot:
        plot(options.plot, found)
    return found


def plot(path: str, found: dict[str, tuple[list[float], list[float]]]) -> None:
    with picture(
        path, 2, size=(9.4, 3.8), title="The adding problem: a recurrent network with and without clipping"
    ) as axes:
        for (name, curves), colour in zip(found.items(), ("#d95926", "#b8860b", "#2a78d6")):
            for axis, curve in zip(axes, curves):
                width = min(25, len(curve))
                smooth = np.convolve(curve, np.ones(width) / width, "valid") if width == 25 else curve
                axis.plot(
                    np.arange(len(smooth)) + (len(curve) - len(smooth)) // 2,
                    smooth,
                    color=colour,
                    linewidth=1.1,
                    label=name,
                )
                if width < 25:
                    axis.plot(len(curve) - 1, curve[-1], "X", color=colour, markersize=8)
        axes[1].axhline(1 / 6, color="#888888", linestyle="--", linewidth=1, label="of the mean as an answer")
        for axis, label in zip(axes, ("norm of the gradient, before clipping", "mean squared error")):
            axis.set(yscale="log", xlabel="update (means of 25; ✕ the end)", ylabel=label)
        axes[1].legend(frameon=False, fontsize=7)


if __name__ == "__main__":
    main(sys.argv[1:])
