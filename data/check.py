"""What texts and tokens must be, where a user hands them over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..backend.tape.tensor import Tensor

__all__: list[str] = []


def text(name: str, value: Any) -> str:
    """A str, or TypeError."""
    if not isinstance(value, str):
        hint = "; decode it: text.decode()" if isinstance(value, bytes) else ""
        raise TypeError(f"`{name}` must be a str, got {value!r:.60}{hint}")
    return value


def texts(name: str, values: Any) -> Iterator[str]:
    """Several, or TypeError: at once for what holds none, such as a str by itself, else when one comes that is none."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"`{name}` must be a list of str, or another iterable of them, got {values!r:.60}")
    return (text(name, value) for value in values)


def tokens(name: str, values: Any) -> np.ndarray:
    """Integers as a flat array of int64, or TypeError: numbers with a fraction must not lose it without a word."""
    values = values.numpy() if isinstance(values, Tensor) else values
    found = np.asarray(values if isinstance(values, np.ndarray) else list(values))
    if found.size and found.dtype.kind not in "iu":
        raise TypeError(f"`{name}` must hold integers, got dtype {found.dtype}")
    return found.astype(np.int64).ravel()
