"""Sequences of tensors, which are lists, and values that may be missing, which are None then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import weft

from .elementwise import Attributes
from .shapes import ints, split

__all__ = ["HOST", "OPERATORS"]


def _place(values: list[Any], position: Any, end: int) -> int:
    """A position, counted from the end if negative; `end` is the last that there may be."""
    at = ints(position)[0]
    at += len(values) if at < 0 else 0
    if not 0 <= at <= end:
        raise IndexError(f"`position` must be in a sequence of {len(values)} tensors, got {ints(position)[0]}")
    return at


def at(_: Attributes, values: list[Any], position: Any) -> Any:
    """One tensor."""
    return values[_place(values, position, len(values) - 1)]


def insert(_: Attributes, values: list[Any], x: Any, position: Any = None) -> list[Any]:
    """With one more, at the end by default."""
    i = len(values) if position is None else _place(values, position, len(values))
    return [*values[:i], x, *values[i:]]


def erase(_: Attributes, values: list[Any], position: Any = None) -> list[Any]:
    """Without one, the last by default."""
    i = _place(values, -1 if position is None else position, len(values) - 1)
    return [*values[:i], *values[i + 1 :]]


def joined(attributes: Attributes, values: list[Any]) -> Any:
    """One tensor of all, along an axis that they have or a new one."""
    join = weft.stack if attributes.get("new_axis", 0) else weft.concat
    return join([weft.asarray(x) for x in values], axis=attributes["axis"])


def apart(attributes: Attributes, x: Any, lengths: Any = None) -> list[Any]:
    """Parts of given lengths, of one length but the last, or slices, which have no such axis unless `keepdims`."""
    axis = attributes.get("axis", 0) % x.ndim
    n = x.shape[axis]
    if lengths is None and not attributes.get("keepdims", 1):
        return list(weft.unstack(x, axis=axis))
    each = 1 if lengths is None else ints(lengths)[0] if not np.ndim(lengths) else 0
    given = [min(each, n - i) for i in range(0, n, each)] if each else ints(lengths)
    return list(split({"axis": axis, "split": given}, x))


def there(_: Attributes, x: Any = None) -> Any:
    """Whether it is."""
    return np.asarray(x is not None)


def element(_: Attributes, x: Any) -> Any:
    """What is there."""
    if x is None:
        raise ValueError("an optional value must be there to be read, got none")
    return x


OPERATORS: dict[str, Callable[..., Any]] = {
    "ConcatFromSequence": joined, "Optional": lambda _, x=None: x, "OptionalGetElement": element, "OptionalHasElement": there,
    "SequenceAt": at, "SequenceConstruct": lambda _, *x: list(x), "SequenceEmpty": lambda _: [], "SequenceErase": erase,
    "SequenceInsert": insert, "SequenceLength": lambda _, x: np.asarray(len(x)), "SplitToSequence": apart,
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = {
    "SequenceAt": (1,),
    "SequenceErase": (1,),
    "SequenceInsert": (2,),
    "SplitToSequence": (1,),
}
