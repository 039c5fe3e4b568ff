"""Arrays that tell what is done with them: while a step runs on a CPU to be recorded, its arrays are of this class.

NumPy asks a subclass of its arrays before it computes with one (`__array_ufunc__`, `__array_function__`), and methods can be
overridden. So each call is noted in a `Log`, with its arguments and its result, and then done. Which memory a call reads and
writes is known by address: views need no note. Once no log is open, these arrays are like any others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...kernels.toolchain.array_calls import COUNTING, IN_PLACE, IN_PLACE_METHODS, item
from .log import assign, current, kinds, mapped

__all__ = ["Noted", "plain", "seen"]


class Noted(np.ndarray):
    """An array whose use is noted."""

    __array_priority__ = 1.0  # what NumPy makes of two arrays without asking is one of these, and so is found out
    stands_for: np.ndarray | None = None  # the array of the step's surroundings in whose place it is
    is_number = False  # whether NumPy would have made a number of it, and no array

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(hasattr(x, "__array_ufunc__") and not isinstance(x, np.ndarray | np.generic) for x in inputs):
            return NotImplemented
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return _call(function, inputs, options, in_place=method == "at")

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function in TELLING:
            return function(*mapped(plain, args), **mapped(plain, options))
        if function is np.bincount and (len(args) > 2 or options.get("minlength")):
            pass  # as long as it is told, unless an index is beyond that
        elif function in COUNTED or (function is np.where and len(args) == 1):
            _refuse(self, function.__name__)
        if function is np.repeat and len(args) > 1 and isinstance(args[1], Noted):
            _refuse(args[1], "repeat")
        return _call(function, args, options, in_place=function in IN_PLACE)

    def __getitem__(self, key: Any) -> Any:
        if current() is None:
            return plain(self)[mapped(plain, key)]
        _refuse_masks(key)
        return _call(item, (self, key))

    def __setitem__(self, key: Any, value: Any) -> None:
        if np.ndim(value):
            _refuse_masks(key)
        if any(isinstance(k, np.ndarray | list | bool | np.bool) for k in (key if isinstance(key, tuple) else (key,))):
            _call(np.ndarray.__setitem__, (self, key, value), in_place=True)
        else:
            _call(assign, (item(self.view(np.ndarray), key), value), in_place=True)

    def __bool__(self) -> bool:
        log = current()
        found = bool(plain(self))
        if log is not None and not log.is_constant(self):
            log.decide(self, found)
        return found

    def __pow__(self, other: Any, *modulo: Any) -> Any:
        if self.is_number and not isinstance(other, np.ndarray) and not modulo:
            return _call(_power, (self, other))
        return super().__pow__(other, *modulo)

    def __contains__(self, x: Any) -> bool:
        return bool((self == x).any())


kinds.append(Noted)


def plain(x: Any) -> Any:
    """The same memory as an array of NumPy's own class."""
    return x.view(np.ndarray) if isinstance(x, Noted) else x


def seen(x: np.ndarray) -> Noted:
    """The same memory as an array whose use is noted, in the place of this one."""
    found = x.view(Noted)
    found.stands_for = x
    return found


def _power(x: np.ndarray, y: Any) -> Any:
    """xʸ as NumPy's numbers have it, the one operator that they round otherwise than its arrays."""
    return x[()] ** y


def _refuse(x: Any, name: str) -> None:
    log = current()
    if log is not None and not log.is_constant(x):
        log.refuse(f"it reads a value on the host (`{name}`)")


def _refuse_masks(key: Any) -> None:
    for k in key if isinstance(key, tuple) else (key,):
        if isinstance(k, Noted) and k.dtype == bool and k.ndim:
            _refuse(k, "a mask as an index")


def _call(function: Callable, args: tuple, options: dict[str, Any] | None = None, *, in_place: bool = False) -> Any:
    log = current()
    if log is None:
        return function(*mapped(plain, args), **mapped(plain, options or {}))
    return log.call(function, args, options or {}, in_place=in_place)


def _method(name: str, *, in_place: bool = False) -> Callable:
    function = getattr(np.ndarray, name)

    def method(self: Noted, *args: Any, **options: Any) -> Any:
        return _call(function, (self, *args), options, in_place=in_place)

    return method


def _reader(name: str) -> Callable:
    function = getattr(np.ndarray, name)

    def method(self: Noted, *args: Any, **options: Any) -> Any:
        _refuse(self, name.strip("_"))
        return function(plain(self), *args, **options)

    return method


def _counter(name: str) -> Callable:
    def method(self: Noted, *args: Any, **options: Any) -> Any:
        _refuse(self, name)
        return _call(getattr(np.ndarray, name), (self, *args), options)

    return method


def _repeat(self: Noted, repeats: Any, axis: Any = None) -> Any:
    _refuse(repeats, "repeat") if isinstance(repeats, Noted) else None
    return _call(np.ndarray.repeat, (self, repeats), {"axis": axis})


for _name in [
    "all",
    "any",
    "argmax",
    "argmin",
    "argpartition",
    "argsort",
    "astype",
    "byteswap",
    "choose",
    "clip",
    "conj",
    "conjugate",
    "copy",
    "cumprod",
    "cumsum",
    "diagonal",
    "dot",
    "flatten",
    "max",
    "mean",
    "min",
    "prod",
    "ravel",
    "reshape",
    "round",
    "searchsorted",
    "squeeze",
    "std",
    "sum",
    "swapaxes",
    "take",
    "trace",
    "transpose",
    "var",
]:
    setattr(Noted, _name, _method(_name))
for _name in IN_PLACE_METHODS:
    setattr(Noted, _name, _method(_name, in_place=True))
for _name in [
    "item",
    "tolist",
    "tobytes",
    "tofile",
    "dump",
    "dumps",
    "__int__",
    "__float__",
    "__complex__",
    "__index__",
    "__repr__",
    "__str__",
    "__format__",
    "__reduce__",
    "__reduce_ex__",
]:
    setattr(Noted, _name, _reader(_name))
for _name in ("nonzero", "compress"):
    setattr(Noted, _name, _counter(_name))
Noted.repeat = _repeat  # type: ignore[method-assign,assignment]

# What NumPy says of shapes, dtypes and memory alone.
TELLING = {np.shape, np.ndim, np.size, np.may_share_memory, np.shares_memory, np.result_type, np.can_cast, np.iscomplexobj,
           np.isrealobj, np.common_type, np.min_scalar_type}  # fmt: skip
# These look at numbers on the host, too.
COUNTED = COUNTING | {np.bincount, np.array_equal, np.allclose, np.trim_zeros, np.union1d, np.intersect1d, np.setdiff1d,
                      np.array2string, np.array_repr, np.array_str}  # fmt: skip
