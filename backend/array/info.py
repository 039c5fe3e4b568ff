"""What the array API lets a program ask: dtypes, their limits and promotion, devices, capabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..device import devices, dtypes
from ..tape.tensor import Tensor, from_python

__all__ = ["__array_namespace_info__", "can_cast", "finfo", "iinfo", "isdtype", "result_type"]


@dataclass(frozen=True)
class FloatInfo:
    """Limits of a floating-point dtype, as Python numbers; `dtype` is that of the real part where it is complex."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: np.dtype


def finfo(type: Any, /) -> FloatInfo:
    """Limits of a floating-point dtype (or of a tensor's): bits, eps, max, min, smallest_normal.

    >>> weft.finfo(weft.float32).bits
    32
    """
    dtype = _dtype(type)
    if str(dtype) == "bfloat16":
        import ml_dtypes

        f: Any = ml_dtypes.finfo(dtype)
    else:
        f = np.finfo(dtype)
    return FloatInfo(f.bits, float(f.eps), float(f.max), float(f.min), float(f.smallest_normal), f.dtype)


def iinfo(type: Any, /) -> Any:
    """Limits of an integer dtype (or of a tensor's): bits, max, min."""
    return np.iinfo(_dtype(type))


def _dtype(x: Any) -> np.dtype:
    return x.dtype if isinstance(x, Tensor) else np.dtype(x)


def isdtype(dtype: Any, kind: Any) -> Any:
    """Whether a dtype is of a kind: "bool", "integral", "real floating", "numeric", … , a dtype, or a tuple of these.

    >>> weft.isdtype(weft.float32, "real floating")
    True
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if str(np.dtype(dtype)) == "bfloat16":  # a dtype that NumPy does not know
        return any(
            k in ("real floating", "numeric") or (not isinstance(k, str) and np.dtype(k) == dtype) for k in kinds
        )
    return np.isdtype(np.dtype(dtype), kinds if isinstance(kind, tuple) else kind)


def can_cast(from_: Any, to: Any, /) -> Any:
    """Whether a dtype (or a tensor's) converts to another without loss, by the standard's promotion rules."""
    return np.can_cast(_dtype(from_), np.dtype(to))


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """The dtype that an operation on these tensors, dtypes and Python numbers gives.

    >>> weft.result_type(weft.int8, 1)
    dtype('int8')
    """
    given = [a.dtype if isinstance(a, Tensor) else a for a in arrays_and_dtypes]
    if all(isinstance(g, int | float | complex) for g in given):
        return from_python(given).dtype
    return np.result_type(*given)


class __array_namespace_info__:
    """The standard's inspection interface.

    >>> weft.__array_namespace_info__().default_dtypes()["real floating"]
    dtype('float32')
    """

    def capabilities(self) -> dict:
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        return devices.get_default_device()

    def default_dtypes(self, *, device: str | None = None) -> dict:
        return {
            "real floating": dtypes.get_default_dtype(),
            "complex floating": dtypes.default_complex(),
            "integral": dtypes.int64,
            "indexing": dtypes.int64,
        }

    def devices(self) -> list[str]:
        return devices.devices()

    def dtypes(self, *, device: str | None = None, kind: Any = None) -> dict:
        names = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
                 "complex64", "complex128")  # fmt: skip
        found = {name: getattr(dtypes, name) for name in names}
        return {name: d for name, d in found.items() if kind is None or isdtype(d, kind)}
