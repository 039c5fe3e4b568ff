"""Benches of the model zoo: samples per second of training and of inference, on a CPU and on a GPU, in weft and PyTorch.

One row of ZOO is all that a new model of `layers.models` needs.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import layers, optimizers
from ..backend.array import random
from ..backend.array.creation import asarray
from ..backend.modes.autocast import autocast
from ..backend.modes.capture import capture
from ..backend.tape.autograd import no_grad
from ..layers import models
from .case import LATE, TOLERANCE, Bench, Case, Make, compiled
from .machine import Machine
from .torch_models import Graphed, prepared
from .workloads import _data

__all__ = ["ZOO", "Model", "benches"]

CHECKED = 4  # losses that are compared: with weft.capture, two steps are run as usual, and the third is recorded


@dataclass(frozen=True)
class Model:
    """`models.<name>(shape, classes)` with batches of `cpu` and `gpu` samples; `small` takes its place in a rehearsal."""

    name: str
    title: str
    shape: tuple[int, ...]
    classes: int
    cpu: int
    gpu: int
    small: Callable[[Any], Any] | None = None

    def build(self, zoo: Any) -> Any:
        """The model from a namespace like `layers.models`."""
        return getattr(zoo, self.name)(self.shape, self.classes)

    def tiny(self) -> Model:
        return _Tiny(self.name, self.title, (self.shape[0], 8, 8), 10, 3, 3, self.small)


class _Tiny(Model):
    def build(self, zoo: Any) -> Any:
        return super().build(zoo) if self.small is None else self.small(zoo)


ZOO = [
    Model("mlp", "MLP", (1, 28, 28), 10, cpu=1024, gpu=8192),
    Model("cnn", "CNN", (3, 32, 32), 10, cpu=128, gpu=1024),
    Model("resnet18", "ResNet-18", (3, 224, 224), 1000, cpu=4, gpu=128, small=lambda zoo: zoo.ResNet((1,), 10)),
]


def benches(kind: str) -> list[Bench]:
    """Each model in training and in inference, on a GPU also in bfloat16 (under autocast, as `weft train` has it)."""
    return [
        Bench(
            f"{model.name}-{what.__name__}{f'-{dtype}' * (dtype != 'float32')}",
            what,
            {"model": model, "batch": model.cpu if kind == "cpu" else model.gpu, "dtype": dtype},
            {"model": model.tiny(), "batch": 3, "dtype": dtype},
            part="models",
        )
        for model in ZOO
        for dtype in (("float32",) if kind == "cpu" else ("float32", "bfloat16"))
        for what in (training, inference)
    ]


# --- what is timed ------------------------------------------------------------------------------------------------------
def training(machine: Machine, model: Model, batch: int, dtype: str) -> Case:
    """Forward, cross-entropy, backward, Adam. The first losses, of as many samples as a CPU's batch has, are compared."""
    state, (x, y) = _state(model), _data((batch, *model.shape), model.classes)
    some = slice(0, min(batch, model.cpu))

    def of_weft(device: str, wide: bool = False, record: Callable = lambda step: step) -> Any:
        net = _of_weft(model, state, device, wide)
        optimizer, loss = optimizers.Adam(net.parameters(), lr=1e-3), layers.CrossEntropyLoss()
        step = record(_step(net, optimizer, loss, functools.partial(_precision, "float32" if wide else dtype)))
        put = functools.partial(asarray, device=device)
        few = put(x[some].astype(np.float64 if wide else np.float32)), put(y[some])
        return _losses(machine, step, few) if wide else _checked(machine, step, few, (put(x), put(y)))

    def of_torch(wrap: Callable | None = None, record: Callable = lambda step: step, **options: Any) -> Callable:
        net, put, cast = prepared(machine, model.build, state, dtype)
        nn, optim = machine.torch.nn, machine.torch.optim
        optimizer, loss = optim.Adam(net.parameters(), lr=1e-3, **options), nn.CrossEntropyLoss()
        full = put(x), put(y)
        step = record(_step(net if wrap is None else wrap(net), optimizer, loss, cast))
        if wrap is not None:  # which would have to compile for each batch size
            return lambda: step(*full) is None or ()
        return _checked(machine, step, (put(x[some]), put(y[some])), full)

    @functools.cache
    def exact() -> Any:
        return machine.xp.asarray(of_weft("cpu", wide=True))

    makers = _contenders(machine, of_weft, of_torch, dtype, capturable=True)
    tolerance = 1e-3 if dtype == "float32" else TOLERANCE[dtype]
    return _case(machine, model, "training", batch, dtype, makers, lambda losses: [(losses, exact())], tolerance)


def inference(machine: Machine, model: Model, batch: int, dtype: str) -> Case:
    """Logits in evaluation mode, without a tape. Those of as many samples as a CPU's batch has are compared."""
    state, (x, _) = _state(model), _data((batch, *model.shape), model.classes)
    some = list(range(min(batch, model.cpu)))

    def of_weft(device: str, wide: bool = False, record: Callable = lambda step: step) -> Callable[[], tuple]:
        net = _of_weft(model, state, device, wide).eval()

        def predict(x: Any) -> Any:
            with no_grad(), _precision("float32" if wide else dtype):
                return net(x)

        given, run = asarray(x[some].astype(np.float64) if wide else x, device=device), record(predict)
        return lambda: (run(given),)

    def of_torch(wrap: Callable | None = None, record: Callable = lambda step: step) -> Callable[[], tuple]:
        torch = machine.torch
        net, put, cast = prepared(machine, model.build, state, dtype)
        wrapped, given = net.eval() if wrap is None else wrap(net.eval()), put(x)

        def predict(x: Any) -> Any:
            with torch.no_grad(), cast():
                return wrapped(x)

        run = record(predict)
        return lambda: (run(given),)

    @functools.cache
    def exact() -> Any:
        return machine.xp.asarray(of_weft("cpu", wide=True)()[0].data)

    makers = _contenders(machine, of_weft, of_torch, dtype)
    compare = lambda logits: [(machine.take(logits, some), exact())]
    tolerance = 1e-4 if dtype == "float32" else 5 * TOLERANCE[dtype]  # layer upon layer rounds
    return _case(machine, model, "inference", batch, dtype, makers, compare, tolerance)


def _case(
    machine: Machine, model: Model, what: str, batch: int, dtype: str, makers: dict, compare: Callable, tolerance: float
) -> Case:
    """Operations: two for each multiplication with an addition; in training again for each gradient, but the input's."""
    each = [layer.mult_adds for layer in layers.summary(model.build(models), model.shape).layers if layer.mult_adds]
    operations = 2 * batch * (3 * sum(each) - each[0] if what == "training" else sum(each))
    about = f"{model.title} {what}, {'×'.join(map(str, model.shape))}, batch {batch}, {dtype}"
    return Case(
        about,
        makers,
        compare,
        tolerance,
        operations,
        None if machine.kind == "cpu" else dtype,
        wall=True,
        units=batch,
        unit="samples",
    )


def _contenders(
    machine: Machine, of_weft: Callable, of_torch: Callable, dtype: str, **recordable: Any
) -> dict[str, Make]:
    """Run as usual, and recorded; `recordable`: what PyTorch's optimizer needs to be recorded."""
    is_strict = machine.kind != "cpu"  # there some models run as usual, whose way depends on numbers
    makers = {"weft": lambda: of_weft(machine.device)}
    makers["weft.capture"] = lambda: of_weft(machine.device, record=functools.partial(capture, strict=is_strict))
    if machine.torch is not None:
        makers["torch"] = of_torch
    if machine.torch is not None and machine.kind == "cuda":
        graphed = functools.partial(Graphed, machine.torch)
        makers["torch, CUDA graph"] = lambda: of_torch(record=graphed, **recordable)
        makers[LATE] = lambda: of_torch(wrap=functools.partial(compiled, machine))
    return makers


def _step(net: Any, optimizer: Any, loss: Any, cast: Callable) -> Callable:
    """A training step, in either library."""

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        with cast():
            value = loss(net(x), y)
        value.backward()
        optimizer.step()
        return value

    return step


def _losses(machine: Machine, step: Callable, few: tuple) -> list[float]:
    return [float(machine.raw(step(*few))) for _ in range(CHECKED)]


def _checked(machine: Machine, step: Callable, few: tuple, full: tuple) -> Callable[[], tuple]:
    """Steps on `full`, to be timed, after some on `few`, whose losses the first call returns."""
    losses = [_losses(machine, step, few)]

    def run() -> tuple:
        step(*full)
        return (machine.xp.asarray(losses.pop(), dtype=np.float32),) if losses else ()

    return run


# --- in weft -------------------------------------------------------------------------------------------------------------
def _state(model: Model) -> dict[str, np.ndarray]:
    """Parameters for all contenders."""
    random.manual_seed(0)
    return {name: value.numpy().copy() for name, value in model.build(models).state_dict().items()}


def _of_weft(model: Model, state: dict, device: str, wide: bool) -> Any:
    net = model.build(models)
    net.load_state_dict(state)
    return net.double() if wide else net.to(device)


def _precision(dtype: str) -> Any:
    return contextlib.nullcontext() if dtype == "float32" else autocast(dtype)
