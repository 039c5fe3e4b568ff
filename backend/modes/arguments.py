"""What a captured step takes and returns: Tensors, and tuples, lists and dicts of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ..tape import sharing
from ..tape.tensor import Tensor
from .surroundings import PLAIN

__all__ = ["mapped", "numbers_in", "objects_in", "overlap", "signature", "tensors_in"]


def mapped(f: Callable[[Tensor], Any], x: Any) -> Any:
    """x with f applied to every Tensor in it."""
    if isinstance(x, Tensor):
        return f(x)
    if isinstance(x, dict):
        return {k: mapped(f, v) for k, v in x.items()}
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(mapped(f, v) for v in x))
    return type(x)(mapped(f, v) for v in x) if isinstance(x, tuple | list) else x


def tensors_in(x: Any) -> list[Tensor]:
    """Every Tensor in it, in order."""
    found: list[Tensor] = []
    mapped(found.append, x)
    return found


def objects_in(x: Any) -> list[Any]:
    """What is passed to a step that is neither a Tensor nor plain: objects, which may change."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, tuple | list):
        return [found for v in x for found in objects_in(v)]
    return [] if isinstance(x, (*PLAIN, Tensor)) else [x]


def overlap(tensors: list[Tensor]) -> bool:
    """Whether two different ones have memory in common."""
    pairs = [(a, b) for i, a in enumerate(tensors) for b in tensors[:i] if a is not b]
    return any(sharing.shares(a.data, b.data) for a, b in pairs)


def numbers_in(x: Any) -> list[str]:
    """The numbers in what a step returns, as text: those of a computation are in Tensors."""
    if isinstance(x, dict):
        return [text for k, v in x.items() for text in (repr(k), *numbers_in(v))]
    if isinstance(x, tuple | list):
        return [text for v in x for text in numbers_in(v)]
    return [repr(x)] if isinstance(x, (*PLAIN, np.generic, np.ndarray)) and x is not None else []


class _Same:
    """Stands for an object that has no hash: equal to itself alone."""

    def __init__(self, x: Any):
        self.x = x

    def __hash__(self) -> int:
        return id(self.x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.x is self.x


def signature(x: Any, seen: dict[int, int] | None = None, is_argument: bool = True) -> Any:
    """What a recording depends on, as a key: shapes and dtypes of Tensors, which of them are one; all else itself.

    Tensors in objects are no arguments: a recording has these themselves.
    """
    seen = {} if seen is None else seen
    if isinstance(x, Tensor):
        if not is_argument:
            return _Same(x)
        return "tensor", x.shape, x.dtype, x.device, seen.setdefault(id(x), len(seen))
    if isinstance(x, dict):
        return "dict", tuple((k, signature(v, seen, is_argument)) for k, v in x.items())
    if isinstance(x, tuple | list):
        return type(x), tuple(signature(v, seen, is_argument) for v in x)
    if isinstance(x, np.ndarray) and is_argument:
        raise TypeError(
            f"a captured step takes Tensors, got a NumPy array of shape {x.shape}; pass weft.asarray(…) of it"
        )
    if isinstance(x, float | complex):
        return type(x), repr(x)  # 1, 1.0 and True are equal, and 0.0 and -0.0
    if type(x).__hash__ is not None:
        return type(x), x
    if dataclasses.is_dataclass(x):
        return type(x), tuple(signature(getattr(x, f.name), seen, False) for f in dataclasses.fields(x))
    return type(x), _Same(x)
