"""Models around which a Trainer captures its step, and what a callback may change of what they read on the host."""

import argparse
import functools
import types
import warnings

import numpy as np

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.training import Callback, Trainer

FACTOR = [1.0]
SHIFT = 1.0

rng = np.random.default_rng(0)
X = rng.standard_normal((40, 2)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


class Custom(nn.Module):
    """All that a forward may find by name."""

    def __init__(self):
        super().__init__()
        self.scale, self.table, self.numbers, self.pair = 1.0, {"s": 1.0}, [1.0], (1.0,)
        self.f, self.t, self.space, self.count = weft.tanh, weft.ones(2), types.SimpleNamespace(a=1.0), 0
        self.args = argparse.Namespace(s=1.0)
        self.body = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
        for _ in range(10):
            self.body = nn.Sequential(self.body)

    @property
    def core(self):
        found = self.body
        while len(found) == 1:
            found = found[0]
        return found

    def forward(self, x):
        y = self.body(x) * self.scale * self.table["s"] * self.numbers[0] * self.pair[0]
        return self.f(y * self.t * self.space.a * self.args.s * FACTOR[0] + SHIFT)


class Counts(Custom):
    def forward(self, x):
        self.count += 1
        return super().forward(x) * (1 + 0.1 * self.count)


class Curriculum(Trainer):
    """A step of its own, which reads how far the run is."""

    power = 1.0

    def train_step(self, *batch):
        scaled = batch[0] * self.power / (1 + self.epoch)
        return super().train_step(scaled, *batch[1:])


class Loss:
    weight = 1.0

    def __call__(self, output, target):
        return nn.functional.cross_entropy(output, target) * self.weight


def replace(m):
    m.core[4].weight = weft.Parameter(weft.zeros((2, 8), device=m.core[4].weight.device))


def double(module, args, output):
    return output * 2


CHANGES = {
    "nothing": lambda t: None,
    "dropout": lambda t: setattr(t.model.core[3], "p", 0.9),
    "mode": lambda t: t.model.core[1].eval(),
    "option": lambda t: setattr(t.model.core[1], "eps", 1.0),
    "layer": lambda t: t.model.core.__setitem__(2, nn.Tanh()),
    "hook": lambda t: t.model.core[2].register_forward_hook(double),
    "frozen": lambda t: t.model.core[0].requires_grad_(False),
    "parameter": lambda t: replace(t.model),
    "number": lambda t: setattr(t.model, "scale", 3.0),
    "dict": lambda t: t.model.table.update(s=3.0),
    "list": lambda t: t.model.numbers.__setitem__(0, 3.0),
    "tuple": lambda t: setattr(t.model, "pair", (3.0,)),
    "function": lambda t: setattr(t.model, "f", weft.sin),
    "tensor": lambda t: setattr(t.model, "t", weft.full((2,), 3.0, device=t.device)),
    "tensor in place": lambda t: t.model.t.fill_(3.0),
    "namespace": lambda t: setattr(t.model.space, "a", 3.0),
    "settings": lambda t: setattr(t.model.args, "s", 3.0),
    "global list": lambda t: FACTOR.__setitem__(0, 3.0),
    "global": lambda t: globals().update(SHIFT=3.0),
    "loss": lambda t: setattr(t.loss, "weight", 3.0),
    "other loss": lambda t: setattr(t, "loss", lambda y, t: nn.functional.cross_entropy(2 * y, t)),
    "clipping": lambda t: setattr(t, "clip_grad_norm", 0.01),
    "precision": lambda t: setattr(t, "precision", "bfloat16"),
    "optimizer": lambda t: setattr(t, "optimizer", optim.SGD(t.model.parameters(), lr=0.3)),
    "trainer": lambda t: setattr(t, "power", 3.0),
}


AT_END = ("number", "dict", "tensor", "global", "loss", "layer")


class Change(Callback):
    def __init__(self, change, at):
        self.change, self.at = change, at

    def on_batch_end(self, trainer):
        if (trainer.epoch, trainer.batch) == self.at:
            self.change(trainer)


@functools.cache
def unchanged(device, trainer):
    return losses(device, False, CHANGES["nothing"], trainer=trainer)[0]


def losses(device, capture, change, at=(0, 4), *, model=Custom, trainer=Trainer):
    FACTOR[0] = 1.0
    globals().update(SHIFT=1.0)
    weft.manual_seed(0)
    net = model().to(device)
    net.t = net.t.to(device)
    run = trainer(net, Loss(), optim.SGD(net.parameters(), lr=0.1), callbacks=[Change(change, at)], capture=capture)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = run.fit(X, Y, epochs=3, batch_size=8, shuffle=False)
    return [row["loss"] for row in history], [str(w.message) for w in caught]
