"""dtypes are NumPy dtypes; new floating-point tensors are float32 unless told otherwise (`set_default_dtype`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .numeric import as_dtype

__all__ = [
    "bfloat16",  # noqa: F822  (made by __getattr__)
    "bool",
    "complex64",
    "complex128",
    "float16",
    "float32",
    "float64",
    "get_default_dtype",
    "int8",
    "int16",
    "int32",
    "int64",
    "set_default_dtype",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]

bool = np.dtype("bool")
int8, int16, int32, int64 = (np.dtype(f"int{n}") for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{n}") for n in (8, 16, 32, 64))
float16, float32, float64 = (np.dtype(f"float{n}") for n in (16, 32, 64))
complex64, complex128 = np.dtype("complex64"), np.dtype("complex128")

_default = [float32]


def __getattr__(name: str) -> Any:
    if name == "bfloat16":  # ml_dtypes costs milliseconds to import: only those who want it pay
        import ml_dtypes

        globals()[name] = np.dtype(ml_dtypes.bfloat16)
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_default_dtype() -> np.dtype:
    """The dtype of floating-point tensors made from Python numbers.

    Returns
    -------
    numpy.dtype
        Float32 unless `set_default_dtype` was called.

    Examples
    --------
    >>> weft.get_default_dtype()
    dtype('float32')
    """
    return _default[0]


def set_default_dtype(dtype: np.dtype | type | str) -> None:
    """Choose the dtype of floating-point tensors made from Python numbers, in all threads.

    Parameters
    ----------
    dtype : dtype
        A real floating-point one. Complex numbers become complex128 with float64, complex64 otherwise.

    Raises
    ------
    TypeError
        If it is no real floating-point dtype.

    Examples
    --------
    >>> weft.set_default_dtype(weft.float64)
    >>> weft.ones(2).dtype
    dtype('float64')
    >>> weft.set_default_dtype(weft.float32)
    """
    dtype = as_dtype(dtype)
    if not is_real_floating(dtype):
        raise TypeError(f"`dtype` must be a real floating-point dtype such as float32, got {dtype}")
    _default[0] = dtype


def is_real_floating(dtype: Any) -> Any:
    """True for float16, bfloat16, float32, float64, which gradients exist for; takes any namespace's dtype objects."""
    return _kind(dtype) == "f"


def is_integral(dtype: Any) -> Any:
    """True for bool and the integers."""
    return _kind(dtype) == "i"


def _kind(dtype: Any) -> str:
    """ "f", "c" or "i"."""
    found = _KINDS.get(getattr(dtype, "kind", ""))
    if found is None:  # not one of NumPy's own: bfloat16, or another library's
        text = str(dtype)
        found = "c" if "complex" in text else "f" if "float" in text else "i"
    return found


_KINDS = {"f": "f", "c": "c", "b": "i", "i": "i", "u": "i"}


def native(xp: Any, dtype: Any) -> Any:
    """The namespace's own object for a dtype (None stays None): some libraries accept no NumPy dtypes."""
    if dtype is None or not isinstance(dtype, np.dtype | type | str | list | tuple):
        return dtype
    found = as_dtype(dtype)
    return (
        found if xp is np else getattr(xp, found.name, found)
    )  # CuPy takes ml_dtypes' bfloat16, and has no name for it


def of(raw: Any) -> np.dtype:
    """The NumPy dtype of a raw array of any library."""
    dtype = raw.dtype
    return dtype if isinstance(dtype, np.dtype) else np.dtype(str(dtype).rpartition(".")[2])


def default_complex() -> np.dtype:
    return complex128 if _default[0] == float64 else complex64
