"""Fine-tuning: a network that knows digits learns to read a bad camera's from ten images of each.

That camera's images are half as bright and full of noise. Once a network learns from these few alone; once one that has learned
all good images goes on with them, its first convolution frozen, the layers behind it learning slower the nearer they are
to the images. (New classes are another matter: of the digits 0 to 4 too little is to be learned that 5 to 9 have in common.)
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.data import load_digits
from weft.training import Trainer


def seen(dataset, rng=None, each=None):
    """The images, the first `each` of every class, as the good camera sees them or, with `rng`, the bad one."""
    x, y = np.asarray(dataset.x, np.float32) / 16, np.asarray(dataset.y)
    chosen = np.concatenate([np.flatnonzero(y == c)[:each] for c in range(10)])
    x = x[chosen]
    return x if rng is None else (x / 2 + rng.normal(0, 0.25, x.shape)).astype(np.float32), y[chosen]


def train(model, optimizer, data, epochs):
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics="accuracy", seed=0)
    trainer.fit(data, epochs=epochs)
    return trainer


def main(arguments: Sequence[str] = ()) -> tuple[float, float]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30, help="passes over the few images (%(default)s)")
    parser.add_argument("--each", type=int, default=10, help="images of each digit (%(default)s)")
    options = parser.parse_args(arguments)

    digits, rng = load_digits(), np.random.default_rng(0)
    few, test = seen(digits.train, rng, options.each), seen(digits.test, rng)
    weft.manual_seed(0)
    scratch = nn.models.cnn((1, 8, 8), 10)
    alone = train(scratch, optim.AdamW(scratch.parameters(), lr=3e-3), few, options.epochs).evaluate([test])["accuracy"]
    print(f"from the few alone           {100 * alone:.1f} %")

    weft.manual_seed(0)
    model = nn.models.cnn((1, 8, 8), 10)
    before = train(model, optim.AdamW(model.parameters(), lr=2e-3), seen(digits.train), 10).evaluate([test])["accuracy"]
    print(f"from the good images alone   {100 * before:.1f} %")
    groups = optim.parameter_groups(model, {"0.*": None, "*.bias": {"weight_decay": 0.0}}, lr=3e-3, layer_decay=0.7)
    tuned = train(model, optim.AdamW(groups), few, options.epochs).evaluate([test])["accuracy"]
    print(f"fine-tuned                   {100 * tuned:.1f} %")
    for group in groups:
        print(f"  {group['name']:<9} learned at {group['lr']:.2g}")
    return alone, tuned


if __name__ == "__main__":
    main(sys.argv[1:])
