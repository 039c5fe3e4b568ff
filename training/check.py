"""What a `Trainer` and its callbacks are given, checked when they are given it rather than an epoch later."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..backend.array.creation import asarray
from ..backend.device.devices import is_array, namespace_of, to_numpy, waiting_is_meant
from ..backend.device.dtypes import is_real_floating
from ..backend.tape.tensor import Tensor, device_of
from ..data import ArrayDataset, DataLoader, DataSplits
from ..data.labels import no_labels
from ..layers.loss import CrossEntropyLoss, NLLLoss
from ..layers.module import Module
from ..optimizers import Optimizer
from ..optimizers.schedulers import LRScheduler
from .callbacks import Callback

__all__ = [
    "batches",
    "callbacks",
    "data",
    "has_methods",
    "instance",
    "is_plain",
    "loss",
    "optimizer",
    "path",
    "schedule",
    "splits",
    "trainable",
]


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


def optimizer(value: Any, model: Module, loss: Any) -> None:
    """Raise TypeError unless it is an Optimizer, ValueError if it would train neither the model nor the loss."""
    instance("optimizer", value, Optimizer, "Adam(model.parameters())")
    trained = {id(p) for group in value.param_groups for p in group["params"]}
    parts = [part for part in (model, loss) if isinstance(part, Module)]
    own = [p for part in parts for p in part.parameters()]
    if any(True for _ in model.parameters()) and not any(id(p) in trained for p in own):
        raise ValueError(
            f"`optimizer` must hold parameters of `model`, got {len(trained)} others and none of its {len(own)} (those of a "
            f"copy, perhaps, or of a layer that was replaced); make it of model.parameters()"
        )


def trainable(model: Module, optimizer: Optimizer, before: Iterable[Tensor]) -> None:
    """Raise ValueError unless a parameter can be trained, and all that were not there `before` are the optimizer's."""
    trained = {id(p): p for group in optimizer.param_groups for p in group["params"]}
    parameters, known = dict(model.named_parameters()), {id(p) for p in before}
    gone = known - {id(p) for p in parameters.values()}
    for name, p in parameters.items():
        if id(p) not in known and id(p) not in trained and p.requires_grad:
            raise ValueError(
                f"`optimizer` must hold the parameter {name!r} of `model`, which is new since the trainer was made (a layer "
                "was replaced, perhaps); make optimizer and trainer after that, or call optimizer.add_param_group"
            )
    if parameters and not any(p.requires_grad for i, p in trained.items() if i not in gone):
        raise ValueError(
            f"`model` must have a parameter to train, got {len(parameters)}, all frozen; set p.requires_grad = True"
        )


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
    if not os.fspath(value):
        raise ValueError(f"`{name}` must be a path, such as 'runs/one', got an empty one")
    if "\0" in os.fspath(value):
        raise ValueError(
            f"`{name}` must be a path that a file can have, got {os.fspath(value)!r} with a null character"
        )


def batches(name: str, value: Any, dtype: Any, *, batch_size: int = 32, shuffle: bool = False) -> Any:
    """An iterable of batches; of a tuple (x, y) of arrays, a `DataLoader` over their samples, numbers in `dtype`."""
    if isinstance(value, tuple) and len(value) > 1 and all(_is_data(a) for a in value):
        return DataLoader(ArrayDataset(*[_in_dtype(a, dtype) for a in value]), batch_size, shuffle)
    if _is_data(value):
        raise TypeError(f"`{name}` must be batches (x, y) or arrays with their targets, got {_shown(value)} alone")
    if isinstance(value, str | type | Module) or not hasattr(value, "__iter__"):
        raise TypeError(f"`{name}` must be an iterable of batches (x, y), such as a DataLoader, got {_shown(value)}")
    return value


def splits(value: DataSplits, source: str, *, regression: bool = False) -> None:
    """Raise ValueError unless each part has samples, all finite, and labels of at least two classes, or quantities, to learn."""
    for part, dataset in (("train", value.train), ("dev", value.dev), ("test", value.test)):
        if dataset is None:
            continue
        if not len(dataset):
            raise ValueError(f"`{part}` must hold at least one sample, got none; leave some to it")
        _finite(f"x of {part}", dataset.x)
        if regression:
            continue
        targets = dataset.y if dataset.y is None else to_numpy(dataset.y)
        if targets is None or targets.ndim != 1 or targets.dtype.kind not in "iu":
            raise no_labels(np.empty(0, object) if targets is None else targets, f"{source}: y of {part}")
    if regression:
        return
    classes = np.unique(to_numpy(value.train.y))
    if len(classes) < 2:
        raise ValueError(
            f"`y` of train must hold at least two classes, got {len(classes)} ({_class_names(value, classes)})"
        )


def _class_names(value: DataSplits, classes: np.ndarray) -> str:
    return ", ".join(value.class_names[i] if i < len(value.class_names) else str(i) for i in classes)


def data(name: str, value: Any, loss: Any) -> None:
    """Look at data that lie in memory before the first batch of them: is there any, is it finite, are the labels labels?

    `value` is what `batches` gave. Of a loader the inputs are left to its transform, where it has one; where it chooses
    samples or collates them in its own way, all is.
    """
    if isinstance(value, list | tuple) and not value:
        raise ValueError(f"`{name}` must give at least one batch, got none")
    if isinstance(value, DataLoader) and type(value.dataset) is ArrayDataset and not len(value):
        raise ValueError(f"`{name}` must hold at least one batch, got none of {len(value.dataset)} samples")
    if isinstance(value, list):
        _finite_batches(name, value)
    if not is_plain(value):
        return
    with waiting_is_meant():
        *inputs, target = value.dataset.arrays
        for i, x in enumerate(inputs if value.transform is None else ()):
            _finite(f"x of {name}" if len(inputs) == 1 else f"x[{i}] of {name}", x)
        if isinstance(loss, CrossEntropyLoss | NLLLoss):
            _labels(f"y of {name}", to_numpy(target), loss.ignore_index)
        elif type(loss).__module__ == CrossEntropyLoss.__module__:
            _finite(f"y of {name}", target)


def is_plain(value: Any) -> bool:
    """Whether it is a loader of an ArrayDataset's own samples, batched as usual."""
    if not isinstance(value, DataLoader) or type(value.dataset) is not ArrayDataset or len(value.dataset.arrays) < 2:
        return False
    return value.sampler is None and value.batch_sampler is None and not value.collate_fn


def _finite_batches(name: str, value: list[Any]) -> None:
    """Of a list, too, the inputs that are arrays. What is trained on is left to the loss scale and to `StopOnNaN`."""
    if name == "train_loader":
        return
    with waiting_is_meant():
        for i, batch in enumerate(value):
            for x in batch[:-1] if isinstance(batch, tuple | list) else ():
                if _is_data(x):
                    _finite(f"x of {name}[{i}]", x)


def _finite(name: str, x: Any) -> None:
    """Raise ValueError that names the first number that is not finite."""
    xp = namespace_of(x)
    if not is_real_floating(x.dtype) or not x.size or (xp is not np and bool(xp.all(xp.isfinite(x)))):
        return
    x = to_numpy(x)
    rows = max(1, (1 << 20) // x[0].size)
    for first in range(0, len(x), rows):
        part = x[first : first + rows]
        good = np.isfinite(part)
        if not good.all():
            place = tuple(np.argwhere(~good)[0].tolist())
            raise ValueError(
                f"`{name}` must be finite, got {part[place]} in sample {first + place[0]}; leave it out, or put a number "
                "in its place: np.nan_to_num(x)"
            )


def _labels(name: str, target: np.ndarray, ignore_index: int) -> None:
    """Raise DataError for what cannot be labels or probabilities; warn of labels with nothing to tell apart."""
    if target.dtype.kind not in "iu" or target.ndim != 1:
        if target.dtype.kind in "biu" and target.ndim == 2:  # (N, 1), one-hot; (N, T) is for outputs (N, C, T)
            one_hot = ((target == 0) | (target == 1)).all() and (target.sum(axis=1) == 1).all()
            if target.shape[1] == 1 or (one_hot and len(target)):
                raise no_labels(target, name)
        elif target.ndim == 1 or target.dtype.kind not in "biuf":
            raise no_labels(target, name)
        elif target.dtype.kind == "f":
            _finite(name, target)
        return
    bad = np.flatnonzero((target < 0) & (target != ignore_index))
    if len(bad):
        raise ValueError(
            f"`{name}` must hold classes ≥ 0, got {target[bad[0]]} in sample {int(bad[0])}; number them from 0, "
            f"or name what to leave out: ignore_index={target[bad[0]]}"
        )
    if len(target) > 1 and (target == target[0]).all() and name.startswith("y of train"):
        message = f"`{name}` holds one class alone, {target[0]}: there is nothing to tell apart"
        warnings.warn(message, stacklevel=4)


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
