"""What the array API lets a program ask: dtypes, their limits and promotion, devices, capabilities."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..device import devices, dtypes
from ..device.numeric import as_dtype
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
    elif dtype.kind not in "fc":
        raise ValueError(f"`type` must be a floating-point dtype, got {dtype}; use weft.iinfo")
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
    dtype = _dtype(type)
    if dtype.kind not in "iu":
        raise ValueError(f"`type` must be an integer dtype, got {dtype}; use weft.finfo")
    return np.iinfo(dtype)


def _dtype(x: Any) -> np.dtype:
    return as_dtype(x.dtype if hasattr(x, "dtype") else x)


KINDS = ("bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric")


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
    for k in kinds:
        if isinstance(k, str) and k not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(map(repr, KINDS))}, or a dtype, got {k!r}")
    dtype = as_dtype(dtype)
    if str(dtype) == "bfloat16":  # a dtype that NumPy does not know
        return any(
            k in ("real floating", "numeric") or (not isinstance(k, str) and np.dtype(k) == dtype) for k in kinds
        )
    return np.isdtype(dtype, kinds if isinstance(kind, tuple) else kind)


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
    return np.can_cast(_dtype(from_), as_dtype(to))


def result_type(*arrays_and_dtypes: Tensor | DType | complex) -> np.dtype:
    """The dtype that an operation on these gives.

    Parameters
    ----------
    *arrays_and_dtypes : Tensor, dtype or number
        A Python number changes the dtype only where its kind is higher: a float among integers gives the default dtype.

    Returns
    -------
    numpy.dtype
        What they promote to; of numbers alone, what they are as Tensors.

    Notes
    -----
    A floating-point dtype beside an integer one wins, whatever their sizes: float32 and int64 give float32, as in PyTorch.
    The standard leaves this open, and NumPy's float64 would double the cost of all that follows. Float16 and bfloat16
    give float32.

    Examples
    --------
    >>> weft.result_type(weft.int8, 1)
    dtype('int8')
    >>> weft.result_type(weft.float32, weft.int64)
    dtype('float32')
    """
    numbers = {type(a) for a in arrays_and_dtypes if type(a) in (bool, int, float, complex)}
    typed = [a for a in arrays_and_dtypes if type(a) not in numbers]
    if not typed:
        return from_python(list(arrays_and_dtypes)).dtype
    found = functools.reduce(_promoted, [_dtype(a) for a in typed])
    if complex in numbers and found.kind != "c":
        integral = dtypes.is_integral(found)
        return dtypes.default_complex() if integral else np.promote_types(found, dtypes.complex64)
    if float in numbers and dtypes.is_integral(found):
        return dtypes.get_default_dtype()
    return dtypes.int64 if int in numbers and found == dtypes.bool else found


def _promoted(a: np.dtype, b: np.dtype) -> np.dtype:
    if a == b or dtypes.is_integral(a) != dtypes.is_integral(b):
        return b if dtypes.is_integral(a) else a
    return dtypes.float32 if a.itemsize == b.itemsize == 2 and dtypes.is_real_floating(a) else np.promote_types(a, b)


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
