"""The time that a GPU takes to train a network on MNIST to 99 % test accuracy, each step as one CUDA graph."""

from __future__ import annotations

import time
from typing import Any

from .. import layers, optimizers
from ..backend.array import random
from ..backend.modes.capture import capture
from ..backend.tape.autograd import no_grad
from ..data import DataLoader, PerChannel, load
from ..layers.models import cnn
from ..optimizers import schedulers
from .machine import Machine

__all__ = ["mnist"]


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
