"""What a captured step takes and returns: Tensors, and tuples, lists and dicts of them."""

from __future__ import annotations

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


def signature(x: Any, seen: dict[int, int] | None = None) -> Any:
    """What a recording depends on, as a key: shapes and dtypes of Tensors, which of them are one; all else itself."""
    seen = {} if seen is None else seen
    if isinstance(x, Tensor):
        return "tensor", x.shape, x.dtype, x.device, seen.setdefault(id(x), len(seen))
    if isinstance(x, dict):
        return "dict", tuple((k, signature(v, seen)) for k, v in x.items())
    if isinstance(x, tuple | list):
        return type(x), tuple(signature(v, seen) for v in x)
    if isinstance(x, np.ndarray):
        raise TypeError(
            f"a captured step takes Tensors, got a NumPy array of shape {x.shape}; pass weft.asarray(…) of it"
        )
    return (
        (type(x), repr(x)) if isinstance(x, float | complex) else (type(x), x)
    )  # 1, 1.0 and True are equal, and 0.0 and -0.0
