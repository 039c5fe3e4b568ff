"""What holds numbers, and what only looks as if it did: text, dates, records, objects, masks."""

from __future__ import annotations

import functools
from numbers import Number
from typing import Any

import numpy as np

from .options import number

__all__: list[str] = []


def is_numeric(dtype: np.dtype) -> bool:
    """True for booleans, integers, floats, complex numbers; ml_dtypes' are of kind "V", as records are."""
    if dtype.kind in "biufc":
        return dtype.itemsize <= (16 if dtype.kind == "c" else 8)
    return dtype.kind == "V" and not issubclass(dtype.type, np.void)


def as_dtype(dtype: Any) -> np.dtype:
    """The dtype of a name, a type or one of NumPy's, in this machine's byte order; TypeError if it holds no numbers."""
    try:
        found = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or not is_numeric(found):
        raise TypeError(f"`dtype` must be one of weft's, such as float32 or int64, got {found or repr(dtype)}")
    return found if found.isnative else found.newbyteorder("=")


def check_holds(name: str, value: Any, dtype: np.dtype) -> None:
    """Raise unless an integer dtype holds this number, but for its fraction: NumPy would wrap it without a word."""
    if dtype.kind in "iu":
        least, most = _limits(dtype)
        if type(value) is int and least <= value <= most:
            return
        number(name, value, least, most)
        if not least <= int(value) <= most:  # `number` looks at it as a float
            raise ValueError(f"`{name}` must be in [{least}, {most}], what {dtype} holds, got {value}")


@functools.cache
def _limits(dtype: np.dtype) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def in_native_order(array: np.ndarray) -> np.ndarray:
    """Itself, or a copy if its bytes are in the order of another kind of machine, which kernels would misread."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


# What operations are given beside Tensors, nearly always: numbers, shapes and axes.
PLAIN = frozenset({float, int, bool, complex, tuple, type(None)})


def operand(name: str, x: Any) -> Any:
    """What the operation `name` takes for x, which is no Tensor; TypeError unless it can."""
    if type(x) in PLAIN:
        return x
    if isinstance(x, np.ndarray):
        check_numeric(x, x)
        return in_native_order(x)
    if isinstance(x, np.generic) and is_numeric(x.dtype):
        return x.item()  # as operators take it: no dtype to be promoted to
    dtype = np.asarray(x).dtype if isinstance(x, list) else getattr(x, "dtype", None)
    if dtype is None or (isinstance(dtype, np.dtype) and not is_numeric(dtype)):
        raise TypeError(f"`{name}` needs a weft.Tensor (weft.asarray makes one), got {_described(np.asarray(x), x)}")
    return x


def read_numeric(given: Any, dtype: Any = None) -> np.ndarray:
    """`given` as NumPy reads it, once that is found to be numbers (`check_numeric`)."""
    try:
        array = np.asanyarray(given)  # not `asarray`: that would take the mask off
    except ValueError as error:  # NumPy's words for lists of different lengths
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError(f"`tensor` needs rows of the same length, got {str(given)[:60]} ({error})") from None
    except TypeError:  # a data frame whose columns have no dtype in common
        if not hasattr(given, "columns"):
            raise
        array = np.empty(0, object)
    check_numeric(array, given, dtype)
    return in_native_order(array if type(array) is np.ndarray else np.asarray(array))


def check_numeric(array: np.ndarray, given: Any, dtype: Any = None) -> None:
    """TypeError, naming dtype and columns, unless `array`, which `given` was read as, holds numbers and all of them.

    A dtype that is asked for reads long floats and integers, too: those that NumPy makes objects of.
    """
    found = array.dtype
    if type(array) is np.ndarray and found.kind in "fiub" and found.itemsize <= 8:  # nearly always
        return
    if isinstance(array, np.ndarray) and hasattr(type(array), "mask"):
        raise TypeError(
            f"`tensor` cannot leave elements out, got a masked array of dtype {array.dtype}; "
            f"use .filled(value), or select with ~mask"
        )
    if is_numeric(array.dtype):
        return
    if dtype is not None and (array.dtype.kind in "fc" or _is_of_numbers(array, given)):
        return
    raise TypeError(
        f"`tensor` needs numbers in a rectangular arrangement, got {_described(array, given)}; "
        f"encode, select or convert them first, with .astype(float) for instance"
    )


def _is_of_numbers(array: np.ndarray, given: Any) -> bool:
    return (
        isinstance(given, list | tuple | int)
        and array.dtype == object
        and all(isinstance(a, Number) for a in array.flat)
    )


def _described(array: np.ndarray, given: Any) -> str:
    """The type and the dtype of what came; of a data frame, the columns to blame with theirs."""
    kind, columns = type(given).__name__, getattr(given, "columns", None)
    if columns is not None and hasattr(given, "dtypes"):
        typed = list(zip(columns, given.dtypes))
        blamed = [(name, t) for name, t in typed if not _holds_numbers(given, name)] or typed
        named = ", ".join(f"{name!r} ({t})" for name, t in blamed[:8]) + (", …" if len(blamed) > 8 else "")
        return f"{kind} with {'columns' if len(blamed) > 1 else 'column'} {named}, dtype {array.dtype}"
    name = getattr(given, "name", None)
    if isinstance(name, str):
        return f"{kind} {name!r} of dtype {given.dtype}"
    fields = getattr(given, "dtype", array.dtype)
    text = "" if isinstance(given, np.ndarray) else f": {str(given)[:60]}"
    return f"{kind} of dtype {fields}{text}"


def _holds_numbers(frame: Any, column: Any) -> bool:
    return is_numeric(np.asarray(frame[column]).dtype)
