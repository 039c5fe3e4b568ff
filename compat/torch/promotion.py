"""What PyTorch's methods take `axis` for, and which dtype what is computed of two has."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from ...backend.tape.tensor import Tensor

__all__ = ["ALONG", "BINARY", "OPERATORS", "named_axis", "promoting"]

OURS = __name__.partition(".")[0] + "."
RANK = {"b": 0, "i": 1, "u": 1, "f": 2, "V": 2, "c": 3}
OPERATORS = "add radd iadd sub rsub isub mul rmul imul truediv rtruediv itruediv floordiv mod pow rpow"
BINARY = "add sub mul div true_divide floor_divide remainder fmod pow maximum minimum multiply subtract divide atan2"
ALONG = (
    "amax amin cumsum cumprod softmax log_softmax unsqueeze nansum nanmean median quantile norm topk kthvalue unbind"
    " logcumsumexp chunk split select index_select gather flip roll"
)


def named_axis(name: str, ours: Callable) -> Callable:
    """A method with `axis` for `dim`, as PyTorch takes it, where a program calls: weft's layers mean the array API's by it.

    Parameters
    ----------
    name : str
        Of the method.
    ours : callable
        The method, with `dim`.

    Returns
    -------
    callable
        The method, with both.
    """

    @functools.wraps(ours)
    def call(*args: Any, **options: Any) -> Any:
        if "axis" in options and not sys._getframe(1).f_globals.get("__name__", "").startswith(OURS):
            options["dim"] = options.pop("axis")
            if "keepdims" in options:
                options["keepdim"] = options.pop("keepdims")
        return ours(*args, **options)

    return call


def promoting(name: str) -> Callable | None:
    """An operation in which a tensor without axes gives way to the dtype of one that has some, within one kind of numbers.

    Parameters
    ----------
    name : str
        Of the method.

    Returns
    -------
    callable or None
        The method; None if there is none.
    """
    ours = getattr(Tensor, name, None)
    if ours is None:
        return None

    @functools.wraps(ours)
    def call(self: Tensor, other: Any, *args: Any, **options: Any) -> Any:
        if isinstance(other, Tensor) and other.dtype is not self.dtype and (not self.ndim) != (not other.ndim):
            lesser, greater = (self, other) if not self.ndim else (other, self)
            if lesser is self and name.startswith("__i"):
                return ours(self, other)  # in place: what it is stays
            if RANK.get(lesser.dtype.kind, 2) <= RANK.get(greater.dtype.kind, 2) and lesser.dtype != greater.dtype:
                lesser = lesser.to(greater.dtype)
                self, other = (lesser, greater) if not self.ndim else (greater, lesser)
        return ours(self, other, *args, **options)

    return call
