"""What the array API lets a program ask: dtypes, their limits and promotion, devices, capabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..device import devices, dtypes
from ..tape.tensor import DType, Tensor, from_python

__all__ = ["__array_namespace_info__", "can_cast", "finfo", "iinfo", "isdtype", "result_type"]


@dataclass(frozen=True)
class FloatInfo:
    """Limits of a floating-point dtype, as Python numbers.

    Attributes
    ----------
    bits : int
        How many the dtype takes.
    eps : float
        From 1 to the next number.
    max, min : float
        The largest finite number, and its negative.
    smallest_normal : float
        The smallest positive number of full precision.
    dtype : numpy.dtype
        That of the real part where the dtype is complex.
    """

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: np.dtype


def finfo(type: DType | Tensor, /) -> FloatInfo:
    """Limits of a floating-point dtype.

    Parameters
    ----------
    type : dtype or Tensor
        A real or complex floating-point dtype, or what has one.

    Returns
    -------
    FloatInfo
        bits, eps, max, min, smallest_normal and dtype, as Python numbers.

    Raises
    ------
    ValueError
        If the dtype is an integer or bool.

    Examples
    --------
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


def iinfo(type: DType | Tensor, /) -> np.iinfo:
    """Limits of an integer dtype.

    Parameters
    ----------
    type : dtype or Tensor
        An integer dtype, or what has one.

    Returns
    -------
    numpy.iinfo
        bits, max, min and dtype.

    Raises
    ------
    ValueError
        If the dtype is no integer.

    Examples
    --------
    >>> weft.iinfo(weft.int8).max
    127
    """
    return np.iinfo(_dtype(type))


def _dtype(x: Any) -> np.dtype:
    return x.dtype if isinstance(x, Tensor) else np.dtype(x)


def isdtype(dtype: DType, kind: str | np.dtype | type | tuple[str | np.dtype | type, ...]) -> bool:
    """Whether a dtype is of a kind.

    Parameters
    ----------
    dtype : dtype
        Which.
    kind : str, dtype or tuple of them
        "bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric", or a
        dtype; of several one must hold.

    Returns
    -------
    bool
        Float16 and bfloat16 are "real floating", though the standard does not have them.

    Raises
    ------
    ValueError
        If there is no such kind.

    Examples
    --------
    >>> weft.isdtype(weft.float32, "real floating")
    True
    >>> weft.isdtype(weft.float32, (weft.float64, "integral"))
    False
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if str(np.dtype(dtype)) == "bfloat16":  # a dtype that NumPy does not know
        return any(
            k in ("real floating", "numeric") or (not isinstance(k, str) and np.dtype(k) == dtype) for k in kinds
        )
    return np.isdtype(np.dtype(dtype), kinds if isinstance(kind, tuple) else kind)


def can_cast(from_: DType | Tensor, to: DType, /) -> bool:
    """Whether a dtype converts to another without loss, by the standard's promotion rules.

    Parameters
    ----------
    from_ : dtype or Tensor
        What is converted.
    to : dtype
        Into what.

    Returns
    -------
    bool
        Int64 to float64 counts as lossless, as in NumPy.

    Examples
    --------
    >>> weft.can_cast(weft.float32, weft.float64), weft.can_cast(weft.float32, weft.int32)
    (True, False)
    """
    return np.can_cast(_dtype(from_), np.dtype(to))


def result_type(*arrays_and_dtypes: Tensor | DType | complex) -> np.dtype:
    """The dtype that an operation on these gives.

    Parameters
    ----------
    *arrays_and_dtypes : Tensor, dtype or number
        A Python number changes the dtype only where its kind is higher, as a float among integers.

    Returns
    -------
    numpy.dtype
        What they promote to; of numbers alone, what they are as Tensors.

    Examples
    --------
    >>> weft.result_type(weft.int8, 1)
    dtype('int8')
    """
    given = [a.dtype if isinstance(a, Tensor) else a for a in arrays_and_dtypes]
    if all(isinstance(g, int | float | complex) for g in given):
        return from_python(given).dtype
    return np.result_type(*given)


class __array_namespace_info__:
    """The standard's inspection interface.

    Examples
    --------
    >>> weft.__array_namespace_info__().default_dtypes()["real floating"]
    dtype('float32')
    """

    def capabilities(self) -> dict[str, bool | int]:
        """What the standard leaves open.

        Returns
        -------
        dict
            "boolean indexing", "data-dependent shapes" and "max dimensions".
        """
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """The device of new tensors.

        Returns
        -------
        str
            As `get_default_device`.
        """
        return devices.get_default_device()

    def default_dtypes(self, *, device: str | None = None) -> dict[str, np.dtype]:
        """The dtypes of new tensors.

        Parameters
        ----------
        device : str, optional
            They are the same everywhere.

        Returns
        -------
        dict
            For "real floating", "complex floating", "integral" and "indexing".
        """
        return {
            "real floating": dtypes.get_default_dtype(),
            "complex floating": dtypes.default_complex(),
            "integral": dtypes.int64,
            "indexing": dtypes.int64,
        }

    def devices(self) -> list[str]:
        """Names of the devices that work here.

        Returns
        -------
        list of str
            As `weft.devices`.
        """
        return devices.devices()

    def dtypes(self, *, device: str | None = None, kind: str | tuple[str, ...] | None = None) -> dict[str, np.dtype]:
        """The standard's dtypes by name.

        Parameters
        ----------
        device : str, optional
            They are the same everywhere.
        kind : str or tuple of str, optional
            Only those of a kind, as for `isdtype`.

        Returns
        -------
        dict of str to numpy.dtype
            Without float16 and bfloat16, which are not the standard's.
        """
        names = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
                 "complex64", "complex128")  # fmt: skip
        found = {name: getattr(dtypes, name) for name in names}
        return {name: d for name, d in found.items() if kind is None or isdtype(d, kind)}
