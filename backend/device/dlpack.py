"""bfloat16 over DLPack, which NumPy does not take: handed over as 16-bit integers, and called by its name in the capsule.

A capsule holds a `DLTensor` {data, device, ndim, dtype {code, bits, lanes}, shape, strides, byte_offset}, from version 1 on
behind {version, manager_ctx, deleter, flags}. See https://dmlc.github.io/dlpack/latest/c_api.html.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes

__all__ = ["Bits", "exported", "is_foreign_bfloat16"]

UINT, BFLOAT = 1, 4  # DLDataTypeCode
DTYPE = 20  # bytes of a DLTensor before its dtype: a pointer, a device of two ints, and ndim
HEADER = {b"dltensor": 0, b"dltensor_versioned": 32}


def _code(capsule: Any) -> Any:
    """The byte that says what kind of numbers they are."""
    import ctypes  # costs milliseconds

    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    name = api.PyCapsule_GetName(capsule)
    return ctypes.c_uint8.from_address(api.PyCapsule_GetPointer(capsule, name) + HEADER[name] + DTYPE)


class Bits:
    """Hands over what another object exports; its bfloat16 as integers, which `as_array` turns back."""

    def __init__(self, source: Any):
        self.source, self.is_bfloat16 = source, False

    def __dlpack__(self, **options: Any) -> Any:
        capsule = self.source.__dlpack__(**options)
        code = _code(capsule)
        if code.value == BFLOAT:
            code.value, self.is_bfloat16 = UINT, True
        return capsule

    def __dlpack_device__(self) -> Any:
        return self.source.__dlpack_device__()

    def as_array(self, xp: Any) -> Any:
        """The array of a namespace over the same memory; not to be written to where elements share a place in it."""
        array = xp.from_dlpack(self)
        array = array.view(dtypes.bfloat16) if self.is_bfloat16 else array
        if 0 in getattr(array, "strides", ()) and array.size:
            if not isinstance(array, np.ndarray):  # CuPy's know no such thing
                return array.copy()
            array.flags.writeable = False
        return array


def is_foreign_bfloat16(x: Any) -> bool:
    """Whether this is another library's array of a dtype that NumPy cannot read."""
    return hasattr(x, "__dlpack__") and str(getattr(x, "dtype", "")).endswith("bfloat16") and not hasattr(x, "strides")


def exported(array: Any, **options: Any) -> Any:
    """The capsule of an array. What a consumer would take amiss is copied first, or with `copy=False` a BufferError.

    That is: steps backwards, at which PyTorch ends the process; several elements in one place, or read-only memory, which
    it writes to whatever the capsule says.
    """
    strides = getattr(array, "strides", ())
    steps_back = min(strides, default=0) < 0
    if options.get("copy") is None:
        is_read_only = isinstance(array, np.ndarray) and not array.flags.writeable
        if steps_back or is_read_only or (0 in strides and array.size):
            array = array.copy()
    elif steps_back and options["copy"] is False:
        raise BufferError(f"`copy=False` cannot be kept: the tensor has steps backwards in memory, strides {strides}")
    if dtypes.of(array) != dtypes.bfloat16:
        return array.__dlpack__(**options)
    capsule = array.view(np.uint16).__dlpack__(**options)
    _code(capsule).value = BFLOAT
    return capsule
