"""The memory of a launch in the emulator: copies of its arrays, poisoned where nobody has written."""

from __future__ import annotations

import ctypes
import operator
from typing import Any

import numpy as np

__all__ = ["Memory", "poisoned"]

_POISON = 0x7FA5  # a NaN as half, as bfloat16 and, twice, as float
_GUARD = 4096  # bytes between two buffers of a launch
_ALIGNMENT = 256  # that of memory from CUDA's allocator
_BOUNDS = operator.itemgetter(0, 1)


def poisoned(shape: Any, dtype: Any) -> np.ndarray:
    """Memory that nobody has written: a kernel that reads it (2 bytes or more at a time) is told so."""
    array = np.empty(shape, dtype)
    raw = array.reshape(-1).view(np.uint8)
    pairs = raw[: raw.size // 2 * 2].view(np.uint16)
    pairs[...] = _POISON
    raw[pairs.nbytes :] = 0
    return array


class _Buffer(ctypes.Structure):  # runtime.cpp has it, too
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64), ("element", ctypes.c_int32),
                ("writable", ctypes.c_int32), ("argument", ctypes.c_int32)]  # fmt: skip


class Memory:
    """Copies of a launch's arrays, far enough apart that what leaves one does not fall into the next.

    Arrays that overlap share a copy. A copy starts at the offset from a 256-byte boundary that it would have if the
    array's own memory had come from CUDA's allocator, so that a misaligned view is one here, too. What lies between
    the elements of a view is poisoned: a kernel that takes a view for contiguous finds out.
    """

    def __init__(self) -> None:
        # addresses from, to; array, address of its first element; argument, writable
        self.spans: list[tuple[int, int, np.ndarray, int, int, bool]] = []
        self.buffers: Any = (_Buffer * 0)()
        self.moves: list[tuple[np.ndarray, np.ndarray]] = []  # to be copied back: to, from

    def add(self, i: int, array: np.ndarray, writable: bool) -> None:
        """One more: argument i."""
        array = array.view(np.ndarray)
        address = array.ctypes.data
        if array.flags.c_contiguous:
            low, high = address, address + array.nbytes
        else:
            low, high = np.lib.array_utils.byte_bounds(array)
        self.spans.append((low, high, array, address, i, writable))

    def lay_out(self) -> dict[int, int]:
        """Copy everything; the address that each argument has now."""
        regions: list[list[Any]] = []  # low, high, element size, writable, spans
        for span in sorted(self.spans, key=_BOUNDS):
            low, high, array, _, _, writable = span
            if regions and low < regions[-1][1]:
                region = regions[-1]
                region[1:4] = max(region[1], high), min(region[2], array.itemsize), region[3] or writable
                region[4].append(span)
            else:
                regions.append([low, high, array.itemsize, writable, [span]])
        room = _GUARD + sum([high - low + _GUARD + 2 * _ALIGNMENT for low, high, *_ in regions])
        self.block = np.empty(-(-room // 2), np.uint16)
        self.block.fill(_POISON)
        first = self.block.ctypes.data
        end = first + _GUARD
        addresses: dict[int, int] = {}
        self.buffers = (_Buffer * len(regions))()
        for k, (low, high, element, is_written, spans) in enumerate(regions):
            start = -(-end // _ALIGNMENT) * _ALIGNMENT + (low - _origin(*spans[0][:3])) % _ALIGNMENT
            end = start + high - low + _GUARD
            self.buffers[k] = _Buffer(start, start + high - low, element, is_written, spans[0][4])
            for _, _, array, address, i, writable in spans:
                addresses[i] = start + address - low
                copy: np.ndarray = np.ndarray(array.shape, array.dtype, self.block, addresses[i] - first, array.strides)
                copy[...] = array
                if writable:
                    self.moves.append((array, copy))
        return addresses

    def copy_back(self) -> None:
        """To the arrays, what the launch has written."""
        for array, copy in self.moves:
            array[...] = copy


def _origin(low: int, high: int, array: np.ndarray) -> int:
    """Where the memory that an array is a view of begins; `on_16_bytes`, which asks for 16 bytes, stays right."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return (low if array.nbytes == high - low else array.ctypes.data) // 16 * 16
