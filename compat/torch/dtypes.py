"""PyTorch's dtypes by their names, `torch.float32`, around NumPy's; and the old types that make tensors of one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import dtypes as half
from ...backend.array import creation
from ...backend.array.info import finfo, iinfo
from ...backend.device import dtypes
from ...backend.tape.tensor import Tensor
from .making import promoted
from .sizes import Size

__all__ = ["DTYPES", "TYPES", "TensorType", "dtype", "named", "promote_types"]


class dtype:
    """A dtype under PyTorch's name; NumPy and weft take it for theirs.

    Parameters
    ----------
    name : str
        As in PyTorch.
    of : numpy.dtype
        What it is.
    """

    def __init__(self, name: str, of: np.dtype):
        self.name, self.dtype = name, of

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __eq__(self, other: object) -> bool:
        try:
            return isinstance(other, dtype | np.dtype | type | str) and self.dtype == np.dtype(other)  # type: ignore[call-overload]
        except TypeError:
            return False

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __reduce__(self) -> tuple:
        return named, (self.dtype,)

    itemsize = property(lambda self: self.dtype.itemsize)
    is_complex = property(lambda self: self.dtype.kind == "c")
    is_signed = property(lambda self: self.dtype.kind not in "ub")
    is_floating_point = property(lambda self: dtypes.is_real_floating(self.dtype))

    def to_real(self) -> dtype:
        """The dtype of the real part.

        Returns
        -------
        dtype
            Itself, if it is real.
        """
        return named(np.empty(0, self.dtype).real.dtype) if self.is_complex else self


NAMES = "float16 float32 float64 bfloat16 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool complex64 complex128"
OTHERS = {
    "half": "float16", "float": "float32", "double": "float64", "short": "int16", "int": "int32", "long": "int64",
    "cfloat": "complex64", "cdouble": "complex128",
}  # fmt: skip
DTYPES: dict[str, dtype] = {name: dtype(name, np.dtype(getattr(half, name, name))) for name in NAMES.split()}
_BY_DTYPE = {d.dtype: d for d in DTYPES.values()}
DTYPES |= {name: DTYPES[of] for name, of in OTHERS.items()}


def named(given: Any) -> dtype:
    """PyTorch's dtype for one of NumPy's.

    Parameters
    ----------
    given : numpy.dtype
        Which.

    Returns
    -------
    dtype
        The one of its name.
    """
    found = np.dtype(given)
    return _BY_DTYPE.get(found) or dtype(str(found), found)


def promote_types(type1: Any, type2: Any) -> dtype:
    """The dtype of what is computed of both.

    Parameters
    ----------
    type1, type2 : dtype
        Of tensors with axes.

    Returns
    -------
    dtype
        As in PyTorch.
    """
    return named(promoted(np.dtype(type1), np.dtype(type2)))


class _Type(type):
    """What a type of tensors says of a value, and what it makes of sizes or values."""

    dtype: Any = None

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, Tensor) and cls.dtype in (None, x.dtype)

    def __subclasscheck__(cls, kind: type) -> bool:
        return cls.dtype is None and issubclass(kind, Tensor)

    def __getattr__(cls, name: str) -> Any:
        return getattr(Tensor, name)

    def __setattr__(cls, name: str, value: Any) -> None:
        """A method that a program gives to all tensors, or takes the place of."""
        if cls.dtype is not None:
            raise TypeError(f"`{name}` must be set on torch.Tensor, got torch.{cls.__name__}")
        setattr(Tensor, name, value)

    def __call__(cls, *data: Any) -> Tensor:
        kind = np.dtype(cls.dtype or dtypes.get_default_dtype())
        if len(data) == 1 and not isinstance(data[0], int | np.integer | Size):
            return creation.tensor(data[0], dtype=kind)
        return creation.zeros(tuple(data[0]) if data and isinstance(data[0], Size) else data or (0,), dtype=kind)


class TensorType(metaclass=_Type):
    """`torch.Tensor`: every Tensor's type to `isinstance`; called, floats of the given sizes (0) or of the given values."""


TYPES = {
    f"{word}Tensor": _Type(f"{word}Tensor", (), {"dtype": DTYPES[name], "__doc__": f"`torch.{word}Tensor`."})
    for word, name in {
        "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
        "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
    }.items()
}  # fmt: skip

INFO = {
    "finfo": lambda kind=None: finfo(dtypes.get_default_dtype() if kind is None else np.dtype(kind)),
    "iinfo": lambda kind: iinfo(np.dtype(kind)),
}
