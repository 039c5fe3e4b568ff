"""What `torch.NAME` is: PyTorch's own functions first, then methods called as functions, then weft's."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from ...backend.array import creation, elementwise, indexing, manipulation, products, reductions
from ...backend.tape.tensor import Tensor
from ...layers import functional
from .functions import TABLE
from .methods import METHODS
from .submodules import SUBMODULES

__all__ = ["lookup"]


def lookup(name: str) -> Any:
    """`torch.NAME`.

    Parameters
    ----------
    name : str
        What a program asks for.

    Returns
    -------
    object
        It.

    Raises
    ------
    AttributeError
        If there is none, with what there is.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    if name in TABLE:
        return TABLE[name]
    if name in METHODS:
        return _with_out(METHODS[name])
    if callable(method := getattr(Tensor, name, None)):
        return _with_out(method)
    for module in (elementwise, reductions, indexing, manipulation, products, functional):
        if name in module.__all__:
            return getattr(module, name)
    if name in SUBMODULES:
        return importlib.import_module(f"{__package__}.{name}")
    there = sorted(n for n in {*TABLE, *METHODS} if n[:2].lower() == name[:2].lower())
    raise AttributeError(f"`torch.{name}` is not in weft.compat.torch; nearest there is: {', '.join(there) or 'none'}")


def _written(found: Any, out: Any) -> Any:
    """What was found, in the memory of `out`, which takes its shape."""
    if isinstance(out, tuple):
        return type(found)(*(_written(f, o) for f, o in zip(found, out))) if hasattr(found, "_fields") else out
    if out.shape != found.shape:
        METHODS["resize_"](out, *found.shape)
    return out.copy_(found)


def _with_out(method: Callable) -> Callable:
    @functools.wraps(method)
    def function(*args: Any, **options: Any) -> Any:
        if "axis" in options:
            options["dim"] = options.pop("axis")
        if "input" in options:
            args = (options.pop("input"), *args)
        if (out := options.pop("out", None)) is not None:
            return _written(method(*args, **options), out)
        return method(*args if isinstance(args[0], Tensor) else (creation.asarray(args[0]), *args[1:]), **options)

    return function
