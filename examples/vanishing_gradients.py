"""Vanishing gradients: a deep network of sigmoids does not learn; ReLU, He's initialisation, normalisation and shortcuts do."""

import argparse
import sys
from collections.abc import Sequence

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.data import load_digits
from weft.training import LayerStatistics, Trainer, picture

WIDTH = 64
KINDS = ["sigmoid", "ReLU, He", "ReLU, He, BatchNorm", "ReLU, He, BatchNorm, residual"]
COLOURS = ["#d95926", "#2a78d6", "#2b8a5b", "#7b4fa3"]


def block(kind: str) -> nn.Module:
    dense = nn.Linear(WIDTH, WIDTH)
    if kind == "sigmoid":
        nn.init.xavier_uniform_(dense.weight)
        return nn.Sequential(dense, nn.Sigmoid())
    nn.init.kaiming_normal_(dense.weight, nonlinearity="relu")
    parts = [dense, *([nn.BatchNorm1d(WIDTH)] if "BatchNorm" in kind else []), nn.ReLU()]
    return nn.Residual(nn.Sequential(*parts)) if "residual" in kind else nn.Sequential(*parts)


def main(arguments: Sequence[str] = ()) -> dict[str, tuple[float, float]]:
    """For each kind of network, the first gradient over the last one at the start, and the accuracy at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, help="hidden layers (20; 12 with --quick)")
    parser.add_argument("--plot", metavar="FILE", help="write a picture of gradients and losses there (PNG)")
    parser.add_argument("--quick", action="store_true", help="fewer layers and epochs")
    options = parser.parse_args(arguments)
    depth, epochs = options.depth or (12 if options.quick else 20), 3 if options.quick else 20

    digits = load_digits()
    x, x_test = (
        weft.asarray(part.x.reshape(len(part), -1).astype("float32") / 16) for part in (digits.train, digits.test)
    )
    found, gradients, losses = {}, {}, {}
    for kind in KINDS:
        weft.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, WIDTH), *(block(kind) for _ in range(depth)), nn.Linear(WIDTH, 10))
        statistics = LayerStatistics(every=10**9)  # at the start alone
        trainer = Trainer(
            model,
            nn.CrossEntropyLoss(),
            optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
            metrics="accuracy",
            callbacks=[statistics],
        )
        history = trainer.fit((x, digits.train.y), (x_test, digits.test.y), epochs=epochs, batch_size=64)
        layers = zip(statistics.names, statistics.records[0])
        gradients[kind] = [record.gradient for name, record in layers if "Linear" in name]
        losses[kind] = [row["loss"] for row in history]
        ratio, accuracy = gradients[kind][0] / gradients[kind][-1], history[-1]["val_accuracy"]
        found[kind] = ratio, accuracy
        print(f"{kind:30} first gradient / last {ratio:7.1e}   test accuracy {100 * accuracy:5.1f} %")
    if options.plot:
        plot(options.plot, gradients, losses)
    return found


def plot(path: str, gradients: dict[str, list[float]], losses: dict[str, list[float]]) -> None:
    with picture(path, 2, title="Gradients on their way back, and what is learned of them") as (left, right):
        for kind, colour in zip(gradients, COLOURS):
            left.plot(gradients[kind], color=colour, label=kind)
            right.plot(range(1, len(losses[kind]) + 1), losses[kind], color=colour)
        left.set(yscale="log", xlabel="dense layer, from input to output", ylabel="√(mean g²) at the start")
        right.set(yscale="log", xlabel="epoch", ylabel="training loss")
        right.locator_params(axis="x", integer=True)
        left.legend(frameon=False, fontsize=7)


if __name__ == "__main__":
    main(sys.argv[1:])
