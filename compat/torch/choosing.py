"""`x[key]` by PyTorch's rule: integers, slices and None come first, and what is left is chosen by arrays.

NumPy takes an integer beside an array for an array, so that `x[0, :, i]` has the axis of i first where PyTorch has it last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.tape.tensor import Tensor

__all__ = ["attach_choosing"]


def _is_number(k: Any) -> bool:
    if isinstance(k, Tensor | np.ndarray):
        return k.ndim == 0 and k.dtype.kind in "iu"
    return isinstance(k, int | np.integer) and not isinstance(k, bool)


def _is_array(k: Any) -> bool:
    return isinstance(k, list) or (isinstance(k, Tensor | np.ndarray) and k.ndim > 0)


def _axes(k: Any) -> int:
    """How many axes an array chooses from: each of a mask's."""
    k = np.asarray(k) if isinstance(k, list) else k
    return k.ndim if k.dtype.kind == "b" else 1


def _in_turn(key: Any) -> tuple[tuple, tuple] | None:
    """The parts of a key: what is basic, and the arrays, for what that leaves; None where it makes no difference."""
    if not isinstance(key, tuple) or not any(map(_is_number, key)) or not any(map(_is_array, key)):
        return None
    basic: list[Any] = []
    rest: list[Any] = []
    for k in key:
        if _is_array(k):
            basic += [slice(None)] * _axes(k)
            rest.append(k)
        elif _is_number(k):
            basic.append(int(k))
        elif k is None or isinstance(k, slice):
            basic.append(k)
            rest.append(slice(None))
        elif k is Ellipsis:
            basic.append(k)
            rest.append(k)
        else:
            return None
    return tuple(basic), tuple(rest)


def attach_choosing() -> None:
    """Give `Tensor` this rule, for the rest of the process."""
    get: Callable[..., Tensor] = Tensor.__getitem__
    put: Callable[..., None] = Tensor.__setitem__

    def getitem(self: Tensor, key: Any, /) -> Tensor:
        parts = _in_turn(key)
        return get(self, key) if parts is None else get(get(self, parts[0]), parts[1])

    def setitem(self: Tensor, key: Any, value: Any, /) -> None:
        parts = _in_turn(key)
        if parts is None:
            put(self, key, value)
        else:
            put(get(self, parts[0]), parts[1], value)

    Tensor.__getitem__ = getitem  # type: ignore[method-assign, assignment]
    Tensor.__setitem__ = setitem  # type: ignore[method-assign, assignment]
