"""Benches of whole training steps, eager and as one CUDA graph, in weft and PyTorch; and the time to 99 % on MNIST."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import layers, optimizers
from ..backend import random
from ..backend.autograd import no_grad
from ..backend.capture import capture
from ..backend.creation import asarray
from ..data import DataLoader, PerChannel, load
from ..layers.models import cnn
from ..optimizers import schedulers
from .gpu_case import LATE, Bench, Case, Make, compiled
from .gpu_machine import Machine
from .workloads import _cnn, _data, _mlp, _step

__all__ = ["BENCHES", "mnist"]

CHECKED = 5  # steps whose losses are compared: with weft.capture, two are run as usual, and the third is recorded


def training(machine: Machine, build: Callable[[Any], Any], shape: tuple, about: str) -> Case:
    """Forward, cross-entropy, backward, Adam in float32; the first losses are compared with those of float64 on a CPU."""
    random.manual_seed(0)
    state = {name: value.numpy().copy() for name, value in build(layers).state_dict().items()}
    data = _data(shape, 10)

    def of_weft(device: str, dtype: type = np.float32) -> Callable:
        model = build(layers)
        model.load_state_dict(state)
        model = model.double() if dtype == np.float64 else model.to(device)
        x, y = asarray(data[0].astype(dtype), device=device), asarray(data[1], device=device)
        return _step(model, layers.CrossEntropyLoss(), optimizers.Adam(model.parameters(), lr=1e-3), x, y)

    makers: dict[str, Make] = {
        "weft": lambda: _checked(machine, of_weft(machine.device)),
        "weft.capture": lambda: _checked(machine, _captured(of_weft(machine.device), machine.device)),
    }
    if machine.torch is not None:
        of_torch = functools.partial(_torch_step, machine, build, state, data)
        makers["torch"] = lambda: _checked(machine, of_torch())
        if machine.kind == "cuda":
            makers["torch, CUDA graph"] = lambda: _checked(
                machine, _torch_graph(machine.torch, of_torch(capturable=True))
            )
        makers[LATE] = lambda: _checked(machine, of_torch(wrap=functools.partial(compiled, machine)))

    @functools.cache
    def exact() -> Any:
        step = of_weft("cpu", np.float64)
        return machine.xp.asarray([step().item() for _ in range(CHECKED)])

    return Case(
        f"training step, {about}, float32", makers, lambda losses: [(losses, exact())], 1e-3, wall=True, unit="steps"
    )


def _captured(step: Callable, device: str) -> Callable:
    """weft.capture finds the device by the arguments: one is enough."""
    graph, anything = capture(lambda _: step()), asarray(np.zeros(1, np.float32), device=device)
    return lambda: graph(anything)


def _checked(machine: Machine, step: Callable) -> Callable:
    """`step` to be timed, after some whose losses are what the first call of it returns."""
    losses = [[float(machine.raw(step())) for _ in range(CHECKED)]]

    def run() -> tuple:
        step()
        return (machine.xp.asarray(losses.pop(), dtype=np.float32),) if losses else ()

    return run


def _torch_step(machine: Machine, build: Callable, state: dict, data: tuple, wrap: Callable = lambda f: f,
                **options: Any) -> Callable:  # fmt: skip
    torch = machine.torch
    model = build(torch.nn)
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
    model = model.to(machine.torch_device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **options)
    x, y = (torch.from_numpy(a).to(machine.torch_device) for a in data)
    return _step(wrap(model), torch.nn.CrossEntropyLoss(), optimizer, x, y)


def _torch_graph(torch: Any, step: Callable) -> Callable:
    """Three steps as usual, on a stream aside as PyTorch's documentation has it, then recorded; every call tells the loss."""
    stream, early = torch.cuda.Stream(), []
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        early += [step().detach().clone() for _ in range(3)]
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def run() -> Any:
        if early:
            return early.pop(0)
        graph.replay()
        return loss

    return run


def mnist(machine: Machine, folder: str, *, epochs: int = 6, batch: int = 128, goal: float = 0.99) -> dict[str, Any]:
    """Seconds until the test accuracy reaches `goal`, tests after each epoch included; the first, recorded step too."""
    random.manual_seed(0)
    splits = load(folder)
    normalise = PerChannel().fit(splits.train.x)
    train = DataLoader(splits.train.to(machine.device), batch, True, seed=0, drop_last=True, transform=normalise)
    test = DataLoader(splits.test.to(machine.device), 1000, transform=normalise)
    model, loss = cnn(splits.sample_shape, 10).to(machine.device), layers.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = optimizers.AdamW(model.parameters(), lr=2e-3)
    schedule = schedulers.OneCycleLR(optimizer, 4e-3, total_steps=epochs * len(train) + 1)

    @capture
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    accuracies: list[float] = []
    machine.synchronize()
    start = time.perf_counter()
    while len(accuracies) < epochs and (not accuracies or accuracies[-1] < goal):
        for x, y in train:
            step(x, y)
            schedule.step()
        with no_grad():
            right = sum(int((model(x).argmax(axis=1) == y).sum()) for x, y in test)
        accuracies.append(right / len(splits.test))
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "accuracies": accuracies, "reached": accuracies[-1] >= goal, "goal": goal}


def _model(name: str, build: Callable, shape: tuple, about: str, tiny: Callable, tiny_shape: tuple) -> Bench:
    sizes = {"build": build, "shape": shape, "about": about}
    return Bench(name, training, sizes, {**sizes, "build": tiny, "shape": tiny_shape})


def _tiny_cnn(nn: Any) -> Any:
    return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 10))


BENCHES = [
    _model("mlp", _mlp(784, 512, 256, 10), (128, 784), "MLP 784-512-256-10, batch 128", _mlp(4, 5, 10), (3, 4)),
    _model(
        "mlp-large", _mlp(784, 2048, 2048, 10), (2048, 784), "MLP 784-2048-2048-10, batch 2048", _mlp(4, 5, 10), (3, 4)
    ),
    _model("cnn", _cnn, (64, 3, 32, 32), "the literature's CNN on 3×32×32, batch 64", _tiny_cnn, (3, 1, 4, 4)),
    _model("cnn-large", _cnn, (512, 3, 32, 32), "the literature's CNN on 3×32×32, batch 512", _tiny_cnn, (3, 1, 4, 4)),
]
