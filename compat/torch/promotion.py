"""What PyTorch's methods take `axis` for, and which dtype what is computed of two has."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from ...backend.array import elementwise
from ...backend.tape.tensor import Tensor

__all__ = ["ALONG", "BINARY", "OPERATORS", "check_fits", "demoted", "named_axis", "narrowing", "promoting"]

OURS = __name__.partition(".")[0] + "."
RANK = {"b": 0, "i": 1, "u": 1, "f": 2, "V": 2, "c": 3}
OPERATORS = "add radd iadd sub rsub isub mul rmul imul truediv rtruediv itruediv floordiv mod pow rpow"
OPERATORS += " and rand iand or ror ior xor rxor ixor lshift rlshift ilshift rshift rrshift irshift"
BINARY = (
    "add sub mul div true_divide floor_divide remainder fmod pow maximum minimum multiply subtract divide atan2 arctan2"
    " hypot logaddexp logaddexp2 copysign nextafter fmax fmin xlogy gcd lcm bitwise_and bitwise_or bitwise_xor"
    " bitwise_left_shift bitwise_right_shift"
)
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


def demoted(*values: Any) -> tuple:
    """Operands, of which a tensor without axes gives way to the dtype of one that has some, within one kind of numbers.

    Parameters
    ----------
    *values : Tensor or number
        Which.

    Returns
    -------
    tuple
        The same, some in another dtype.
    """
    kinds = {v.dtype for v in values if isinstance(v, Tensor) and v.ndim}
    if not kinds:
        return values
    greatest = max(kinds, key=lambda dtype: RANK.get(dtype.kind, 2))
    return tuple(
        v.to(greatest)
        if isinstance(v, Tensor) and not v.ndim and RANK.get(v.dtype.kind, 2) <= RANK.get(greatest.kind, 2)
        else v
        for v in values
    )


def check_fits(found: Any, into: Any) -> None:
    """Raise unless a result of one dtype may be written to memory of another: its kind must be the same, or a lesser one.

    Parameters
    ----------
    found, into : dtype
        Of the result, of the memory.

    Raises
    ------
    RuntimeError
        As in PyTorch, for fractions in whole numbers, say.
    """
    if RANK.get(found.kind, 2) > RANK.get(into.kind, 2):
        raise RuntimeError(
            f"the result's dtype {found} can't be cast to the desired output type {into}: it does not fit in place; "
            "write x = x … y"
        )


def narrowing(ours: Callable) -> Callable:
    """weft's last act of what works in place, which rounds a result to the tensor's dtype where PyTorch does.

    Parameters
    ----------
    ours : callable
        Takes the tensor, the result, and how it is to be written.

    Returns
    -------
    callable
        The same.
    """

    def written(self: Tensor, new: Tensor, rebinds: int) -> Tensor:
        if new.dtype != self.dtype:
            check_fits(new.dtype, self.dtype)
            new = new.to(self.dtype)
        return ours(self, new, rebinds)

    return written


def promoting(name: str, ours: Callable | None = None) -> Callable | None:
    """An operation of two, of which a tensor without axes gives way (`demoted`).

    Parameters
    ----------
    name : str
        Of the method.
    ours : callable, optional
        The operation, if it is not weft's method.

    Returns
    -------
    callable or None
        The method; None if there is none.
    """
    ours = ours or getattr(Tensor, name, None) or getattr(elementwise, name, None)
    if ours is None:
        return None

    @functools.wraps(ours)
    def call(self: Tensor, other: Any, *args: Any, **options: Any) -> Any:
        is_mixed = isinstance(other, Tensor) and other.dtype is not self.dtype and (not self.ndim) != (not other.ndim)
        if is_mixed and (self.ndim or not name.startswith("__i")):  # in place, what it is stays
            self, other = demoted(self, other)
        return ours(self, other, *args, **options)

    return call
