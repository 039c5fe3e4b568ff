"""Tensor maps: what a kernel is given of an array to copy boxes of it by one instruction, `cp.async.bulk.tensor` (Hopper).

    forward[dtype](grid, block, TensorMap(query, rows=128), …)     # const __grid_constant__ TensorMap query

A GPU takes 128 bytes whose meaning is the driver's secret: `encode` asks it for them. The emulator has a layout of its own.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import sys
from typing import Any

import numpy as np

from .launch import HALVES

__all__ = ["BYTES", "PANEL", "TensorMap", "emulated", "encode"]

BYTES = 128
PANEL = 64  # columns of a box: 128 bytes, whose 16-byte chunks are permuted in shared memory

# cuda.h: CUtensorMapDataType of HALVES, CUtensorMapSwizzle, CUtensorMapL2promotion
_TYPES = dict(zip(HALVES, (6, 9)))
_SWIZZLE_128, _PROMOTE_256 = 3, 3


@dataclasses.dataclass(frozen=True, eq=False)
class TensorMap:
    """An array of half precision as an argument of a launch: kernels copy boxes of `rows` × 64 of its last two axes.

    Copies bring zeros where the array has nothing.

    Parameters
    ----------
    array
        (B, H, L, D), float16 or bfloat16, not empty. The last axis is contiguous; other strides, and the address, are
        multiples of 16 bytes.
    rows
        Of a box, 1 to 256.

    Raises
    ------
    ValueError
        For what the hardware does not take.
    """

    array: Any
    rows: int

    def __post_init__(self) -> None:
        array = self.array
        if array.ndim != 4 or array.dtype not in HALVES or not array.size or not 1 <= self.rows <= 256:
            raise ValueError(
                "a tensor map must be of four axes of float16 or bfloat16 that are not empty, in boxes of 1 to 256 rows, got "
                f"{array.dtype} {tuple(array.shape)} and {self.rows}: reshape or convert the array; of an empty one, pass another"
            )
        if array.strides[-1] != array.itemsize or any(s % 16 or not 0 < s < 1 << 40 for s in self.strides):
            raise ValueError(
                "a tensor map must be of rows without gaps that start at multiples of 16 bytes, got strides of "
                f"{tuple(array.strides)} bytes: copy the array"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Elements along each axis, the last axis first."""
        return tuple(int(n) for n in reversed(self.array.shape))

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one to the next along the other three, 16 along an axis of one."""
        b, h, rows, _ = zip(self.array.shape, self.array.strides)
        return tuple(int(stride) if n > 1 else 16 for n, stride in (rows, h, b))


def emulated(tensor_map: TensorMap, address: int) -> bytes:
    """The map of an array that lies at `address`, as the emulator reads it (emulator/asynchronous.h)."""
    words = (address, *tensor_map.sizes, *tensor_map.strides, tensor_map.array.itemsize, PANEL, tensor_map.rows)
    return np.array(words, np.uint64).tobytes().ljust(BYTES, b"\0")


def encode(tensor_map: TensorMap, address: int) -> np.ndarray:
    """The map of an array that lies at `address`, by CUDA's driver: one element of 128 bytes, which CuPy passes by value.

    Raises RuntimeError where the driver refuses, OSError where there is none.
    """
    found = np.zeros((), f"V{BYTES}")
    sizes, strides = (ctypes.c_uint64 * 4)(*tensor_map.sizes), (ctypes.c_uint64 * 3)(*tensor_map.strides)
    box, steps = (ctypes.c_uint32 * 4)(PANEL, tensor_map.rows, 1, 1), (ctypes.c_uint32 * 4)(1, 1, 1, 1)
    room = (ctypes.c_char * (2 * BYTES))()  # the driver writes to a multiple of 64
    place = -(-ctypes.addressof(room) // BYTES) * BYTES
    status = _driver().cuTensorMapEncodeTiled(
        ctypes.c_void_p(place), _TYPES[tensor_map.array.dtype], 4, ctypes.c_void_p(address), sizes, strides, box, steps,
        0, _SWIZZLE_128, _PROMOTE_256, 0,
    )  # fmt: skip
    if status:
        raise RuntimeError(
            f"CUDA's driver refuses the tensor map of {tensor_map.sizes} elements and strides of {tensor_map.strides} bytes "
            f"with error {status}: maps need a GPU of compute capability 9.0 or higher"
        )
    ctypes.memmove(found.ctypes.data, place, BYTES)
    return found


@functools.cache
def _driver() -> Any:
    return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
