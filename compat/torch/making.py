"""What all of PyTorch's creations have in common, and `torch.tensor`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ...backend.array import creation
from ...backend.tape.tensor import Tensor

__all__ = ["tensor", "with_options"]


def with_options(f: Callable, **options: Any) -> Any:
    """What `f` makes, with PyTorch's options of every creation.

    Parameters
    ----------
    f : callable
        Takes a dtype and a device.
    **options : object
        `dtype` and `device`; `out`, `requires_grad`, and those that change nothing.

    Returns
    -------
    Tensor
        What was made, or `out`.
    """
    out, grad = options.pop("out", None), options.pop("requires_grad", False)
    for word in ("layout", "pin_memory", "memory_format"):
        options.pop(word, None)
    made = f(**{k: v for k, v in options.items() if v is not None})
    return out.copy_(made) if out is not None else made.requires_grad_() if grad else made


def tensor(data: Any, **options: Any) -> Tensor:
    """`torch.tensor`: Tensors of one element in a list are numbers.

    Parameters
    ----------
    data : object
        Numbers, nested sequences of them, an array.
    **options : object
        PyTorch's of every creation.

    Returns
    -------
    Tensor
        New memory.
    """
    if isinstance(data, list | tuple):
        kinds: set[Any] = set()
        data = _plain(data, kinds)
        if len(kinds) == 1 and options.get("dtype") is None:
            options["dtype"] = kinds.pop()
    return with_options(functools.partial(creation.tensor, data), **options)


def _plain(data: Any, kinds: set[Any]) -> Any:
    if isinstance(data, list | tuple):
        return [_plain(d, kinds) for d in data]
    if isinstance(data, Tensor) and data.numel() == 1:
        kinds.add(data.dtype)
        return data.item()
    return data
