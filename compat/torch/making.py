"""What all of PyTorch's creations have in common, and `torch.tensor`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.array import creation
from ...backend.device import dtypes
from ...backend.tape.tensor import Tensor

__all__ = ["promoted", "tensor", "with_options"]


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
    """`torch.tensor`: Tensors of one element in a list are numbers, which keep their dtype, as NumPy's do.

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
        if (
            options.get("dtype") is None
            and kinds - PYTHONS.keys()
            and all(k in PYTHONS or isinstance(k, np.dtype) for k in kinds)
        ):
            options["dtype"] = functools.reduce(promoted, kinds, np.dtype(bool))
    return with_options(functools.partial(creation.tensor, data), **options)


def _plain(data: Any, kinds: set[Any]) -> Any:
    """Numbers for Tensors; notes the dtypes there are, and the types of Python's numbers."""
    if isinstance(data, list | tuple):
        return [_plain(d, kinds) for d in data]
    if isinstance(data, Tensor) and data.numel() == 1:
        kinds.add(data.dtype)
        return data.item()
    kinds.add(data.dtype if isinstance(data, np.generic) else type(data))
    return data


def promoted(a: Any, b: Any) -> np.dtype:
    """The dtype for numbers of both.

    Parameters
    ----------
    a, b : dtype or type
        Of Tensors with axes; a type of Python's numbers means the dtype that they become.

    Returns
    -------
    numpy.dtype
        As PyTorch promotes.
    """
    a, b = (creation.zeros((1,), dtype=PYTHONS[t]() if t in PYTHONS else np.dtype(t)) for t in (a, b))
    return (a + b if {a.dtype.kind, b.dtype.kind} != {"b"} else a).dtype


PYTHONS: dict[Any, Callable] = {
    bool: lambda: np.dtype(bool),
    int: lambda: np.dtype(np.int64),
    float: dtypes.get_default_dtype,
    complex: dtypes.default_complex,
}
