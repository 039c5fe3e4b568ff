"""What a `Trainer` and its callbacks are given, checked when they are given it rather than an epoch later."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ..backend.array.creation import asarray
from ..backend.device.devices import is_array
from ..backend.device.dtypes import is_real_floating
from ..backend.tape.tensor import Tensor, device_of
from ..data import ArrayDataset, DataLoader
from ..layers.module import Module
from ..optimizers import Optimizer
from ..optimizers.schedulers import LRScheduler
from .callbacks import Callback

__all__ = ["batches", "callbacks", "has_methods", "instance", "loss", "path", "schedule"]


def instance(name: str, value: Any, kind: type, example: str) -> None:
    """Raise TypeError unless it is an object of the class: not the class itself, not a name."""
    if isinstance(value, kind):
        return
    if isinstance(value, type):
        raise TypeError(f"`{name}` must be an object, such as {example}, got the class {value.__name__}: call it")
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    raise TypeError(f"`{name}` must be {article} {kind.__name__}, such as {example}, got {_shown(value)}")


def loss(value: Any) -> None:
    """Raise TypeError unless it can be called with an output and a target."""
    example = "nn.CrossEntropyLoss()"
    if isinstance(value, type):
        raise TypeError(f"`loss` must be an object, such as {example}, got the class {value.__name__}: call it")
    if not callable(value):
        raise TypeError(f"`loss` must be a module or a function, such as {example}, got {_shown(value)}")


def schedule(value: Any, optimizer: Optimizer) -> None:
    """Raise TypeError or ValueError unless it is None or a schedule of this optimizer."""
    if value is None:
        return
    instance("scheduler", value, LRScheduler, "CosineAnnealingLR(optimizer, 10)")
    if value.optimizer is not optimizer:
        raise ValueError("`scheduler` must be a schedule of the trainer's optimizer, got that of another one")


def callbacks(value: Any) -> list[Callback]:
    """Them as a list, or TypeError."""
    if isinstance(value, Callback) or not isinstance(value, Iterable) or isinstance(value, str):
        raise TypeError(f"`callbacks` must be a list, such as [StopOnNaN()], got {_shown(value)}")
    found = list(value)
    for i, callback in enumerate(found):
        instance(f"callbacks[{i}]", callback, Callback, "StopOnNaN()")
    return found


def has_methods(name: str, value: Any, methods: tuple[str, ...], example: str) -> None:
    """Raise TypeError unless it is an object with these methods."""
    if isinstance(value, type) or not all(callable(getattr(value, method, None)) for method in methods):
        needed = " and ".join(f"`{method}`" for method in methods)
        raise TypeError(f"`{name}` must have the methods {needed}, as {example} has, got {_shown(value)}")


def path(name: str, value: Any) -> None:
    """Raise TypeError unless it names a file or a folder."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"`{name}` must be a path, such as 'runs/one', got {_shown(value)}")


def batches(name: str, value: Any, dtype: Any, *, batch_size: int = 32, shuffle: bool = False) -> Any:
    """An iterable of batches; of a tuple (x, y) of arrays, a `DataLoader` over their samples, numbers in `dtype`."""
    if isinstance(value, tuple) and len(value) > 1 and all(_is_data(a) for a in value):
        return DataLoader(ArrayDataset(*[_in_dtype(a, dtype) for a in value]), batch_size, shuffle)
    if _is_data(value):
        raise TypeError(f"`{name}` must be batches (x, y) or arrays with their targets, got {_shown(value)} alone")
    if isinstance(value, str | type | Module) or not hasattr(value, "__iter__"):
        raise TypeError(f"`{name}` must be an iterable of batches (x, y), such as a DataLoader, got {_shown(value)}")
    return value


def _in_dtype(value: Any, dtype: Any) -> Any:
    """NumPy makes float64 of everything, which no layer takes."""
    x = value if isinstance(value, Tensor) else asarray(value, device=device_of(value))
    return x.detach().to(dtype) if is_real_floating(x.dtype) and dtype is not None else x


def _is_data(value: Any) -> bool:
    return isinstance(value, Tensor) or is_array(value)


def _shown(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}: call it"
    return repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
