"""Ten training steps in the emulator, with the kernels that a GPU runs, and on a GPU give the CPU's losses: every layer, every
optimizer, and the models of the zoo, to a relative 1e-5 in float32."""

import importlib.util
import inspect
from pathlib import Path

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim

RELATIVE = 1e-5


def _load(path):
    spec = importlib.util.spec_from_file_location(f"_table_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_TABLE = _load(Path(__file__).parent / "layers" / "test_every_layer.py")
LAYERS, first = _TABLE.LAYERS, _TABLE.first

# class: options that choose among its equations
OPTIMIZERS = {
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, {"momentum": 0.5, "dampening": 0.5}],
    "Adagrad": [{}, {"weight_decay": 0.1, "lr_decay": 0.1}],
    "RMSprop": [{}, {"centered": True, "momentum": 0.9}],
    "Adadelta": [{"lr": 1.0}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.1}, {"maximize": True}],
    "AdamW": [{}, {"amsgrad": True}],
    "NAdam": [{}, {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "RAdam": [{"lr": 1e-2}],
    "Adamax": [{}],
    "AdaBound": [{}],
    "ASGD": [{"t0": 3, "lambd": 0.1}],
    "Rprop": [{}],
    "Adafactor": [{}, {"weight_decay": 0.1}],
    "SparseAdam": [{}],
    "LBFGS": [{"max_iter": 4, "lr": 0.1}, {"max_iter": 3, "line_search_fn": "strong_wolfe"}],
    "Lion": [{"lr": 1e-3, "weight_decay": 0.1}],
    "Muon": [{}],
}  # fmt: skip


def losses(model, loss_of, optimizer, device, steps=10):
    """The loss before each of `steps` steps; random numbers start from the same seed on every device."""
    weft.manual_seed(3)
    found = []

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model, device)
        assert loss.device == device
        if loss.requires_grad:
            loss.backward()
        return loss

    for _ in range(steps):
        if isinstance(optimizer, optim.LBFGS):
            loss = optimizer.step(closure)
        else:
            loss = closure()
            optimizer.step()
        found.append(loss.item())
    return np.array(found)


def assert_same(train, accelerator):
    """`train(device)` returns losses."""
    here, there = train("cpu"), train(accelerator)
    assert np.isfinite(here).all()
    np.testing.assert_allclose(there, here, rtol=RELATIVE, atol=RELATIVE)


def floats(a):
    return a.astype(np.float32) if a.dtype.kind == "f" else a


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, accelerator):
    """The layer's parameters and its first input are trained; in training mode, so that masks are drawn, too."""
    make, inputs, _ = LAYERS[name]
    rng = np.random.default_rng(1)
    arrays = [floats(rng.standard_normal(a) if isinstance(a, tuple) else a) for a in inputs]

    def train(device):
        weft.manual_seed(2)
        layer = make().to(device).train()
        tensors = [weft.asarray(a.copy(), device=device) for a in arrays]
        trained = list(layer.parameters())
        if arrays[0].dtype.kind == "f":
            tensors[0].requires_grad_()
            trained.append(tensors[0])

        def loss_of(model, device):
            y = first(model(*tensors))
            if not y.ndim:
                return y
            return (
                y * weft.asarray(floats(np.random.default_rng(3).standard_normal(y.shape)), device=device)
            ).sum() / y.size

        return losses(layer, loss_of, optim.SGD(trained, lr=0.01), device)

    assert_same(train, accelerator)


@pytest.mark.parametrize(("name", "options"), [(n, o) for n, all_of in OPTIMIZERS.items() for o in all_of])
def test_optimizer(name, options, accelerator):
    rng = np.random.default_rng(1)
    x, y = floats(rng.standard_normal((16, 5))), rng.integers(0, 3, 16)

    def train(device):
        weft.manual_seed(2)
        bias = name != "Muon"  # its rule is for matrices
        model = nn.Sequential(nn.Linear(5, 7, bias=bias), nn.Tanh(), nn.Linear(7, 3, bias=bias)).to(device)

        def loss_of(model, device):
            return nn.functional.cross_entropy(model(weft.asarray(x, device=device)), weft.asarray(y, device=device))

        return losses(model, loss_of, getattr(optim, name)(model.parameters(), **options), device)

    assert_same(train, accelerator)


def test_every_optimizer_is_in_the_table():
    classes = {
        n
        for n in optim.__all__
        if inspect.isclass(getattr(optim, n)) and issubclass(getattr(optim, n), optim.Optimizer)
    }
    assert classes - {"Optimizer"} == OPTIMIZERS.keys()


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_model(name, accelerator):
    """A model with clipped gradients and a schedule, on a batch of small images."""
    rng = np.random.default_rng(1)
    x, y = floats(rng.standard_normal((4, 1, 8, 8))), rng.integers(0, 10, 4)

    def train(device):
        weft.manual_seed(2)
        if name == "mlp":
            model = nn.Sequential(
                nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10)
            )
        else:
            model = nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1),
                nn.BatchNorm2d(4),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(4, 8, 3),
                nn.GELU(),
                nn.AvgPool2d(2),
                nn.Flatten(),
                nn.LayerNorm(8),
                nn.Linear(8, 10),
            )
        model = model.to(device)
        optimizer = optim.AdamW(model.parameters(), lr=1e-3)

        def loss_of(model, device):
            return nn.functional.cross_entropy(
                model(weft.asarray(x, device=device)), weft.asarray(y, device=device), label_smoothing=0.1
            )

        step = optimizer.step

        def clipped():
            optim.clip_grad_norm_(model.parameters(), 0.5)
            step()

        optimizer.step = clipped
        return losses(model, loss_of, optimizer, device)

    assert_same(train, accelerator)
