"""Initialisation: whether numbers survive fifty layers, forward and backward, depends on the variance of the weights."""

import argparse
import sys
from collections.abc import Callable, Sequence

import weft
from weft import layers as nn
from weft.layers import functional as F
from weft.layers import init
from weft.training import picture

SCHEMES: dict[str, Callable] = {
    "standard deviation 0.01": lambda w: init.normal_(w, std=0.01),
    "Xavier: variance 1/n": init.xavier_normal_,
    "He: variance 2/n": lambda w: init.kaiming_normal_(w, nonlinearity="relu"),
    "variance 4/n": lambda w: init.normal_(w, std=(4 / w.shape[1]) ** 0.5),
}
COLOURS = ["#d95926", "#7b4fa3", "#2a78d6", "#b8860b"]


def size(x: weft.Tensor) -> float:
    return x.square().mean().sqrt().item()


def main(arguments: Sequence[str] = ()) -> dict[str, tuple[float, float]]:
    """For each scheme, how much larger outputs are after all layers, and gradients when they are back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", metavar="FILE", help="write a picture of outputs and gradients there (PNG)")
    parser.add_argument("--quick", action="store_true", help="narrower layers")
    options = parser.parse_args(arguments)
    depth, width = 50, 128 if options.quick else 512

    found, forward, backward = {}, {}, {}
    for scheme, initialize in SCHEMES.items():
        weft.manual_seed(0)
        inputs, outputs = [], [weft.randn(256, width)]
        for _ in range(depth):  # each layer by itself, so that its gradient can be looked at
            dense = nn.Linear(width, width, bias=False)
            initialize(dense.weight)
            inputs.append(outputs[-1].detach().requires_grad_())
            outputs.append(F.relu(dense(inputs[-1])))
        gradients = [weft.randn(256, width)]
        for x, y in zip(reversed(inputs), reversed(outputs)):
            y.backward(gradients[0])
            gradients.insert(0, x.grad)
        forward[scheme], backward[scheme] = ([size(a) for a in arrays] for arrays in (outputs, gradients))
        found[scheme] = forward[scheme][-1] / forward[scheme][0], backward[scheme][0] / backward[scheme][-1]
        print(f"{scheme:24} outputs × {found[scheme][0]:8.1e}   gradients × {found[scheme][1]:8.1e}")
    if options.plot:
        plot(options.plot, forward, backward)
    return found


def plot(path: str, forward: dict[str, list[float]], backward: dict[str, list[float]]) -> None:
    with picture(path, 2, title="Fifty layers of ReLU") as axes:
        for axis, values, label in zip(axes, (forward, backward), ("output: √(mean y²)", "gradient of it: √(mean g²)")):
            for (scheme, curve), colour in zip(values.items(), COLOURS):
                axis.plot(range(len(curve)), [v or float("nan") for v in curve], color=colour, label=scheme)
            axis.set(yscale="log", xlabel="layer", ylabel=label, ylim=(1e-12, 1e12))
        axes[0].legend(frameon=False, fontsize=7)


if __name__ == "__main__":
    main(sys.argv[1:])
