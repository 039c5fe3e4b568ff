"""A GPU for machines that have none: the CUDA sources, compiled for the host, on NumPy memory.

Every launch checks itself, as compute-sanitizer would, and raises a KernelFault that names the kernel, block, thread and
line: accesses out of bounds or misaligned, reads of memory that nobody wrote, races, divergent barriers, asynchronous
copies that were not waited for, waits without end, writes through a pointer to const. `schedule` chooses the order in
which blocks and threads run: a result that depends on it is a race that the checks did not see. GCC and clang give the
same checks, but for two things that GCC does without a call: `__builtin_memcpy` of constant length, and a structure in
memory that is passed by value to a function that is not inlined.

    with emulator.schedule("random", seed=3):
        layer_norm.forward(x, weight, bias, eps=1e-5)
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import math
import operator
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..toolchain.launch import Instance, expressions, register_engine
from ..toolchain.tensor_map import BYTES, TensorMap, emulated
from . import counters
from .array import Array, namespace
from .build import EmulatorError, Library, library, locate
from .cublas_numpy import Numpy
from .graph import CaptureError, FreedMemory, Graph, capture, current, is_capturing, record
from .sample import Sample, samples

__all__ = [
    "Array",
    "CaptureError",
    "EmulatorError",
    "FreedMemory",
    "Graph",
    "KernelFault",
    "capture",
    "is_capturing",
    "launch",
    "launched",
    "namespace",
    "poisoned",
    "schedule",
]

_ORDERS = ("forward", "reverse", "random")
_POISON = 0x7FA5  # a NaN as half, as bfloat16 and, twice, as float
_GUARD = 4096  # bytes between two buffers of a launch
_ALIGNMENT = 256  # that of memory from CUDA's allocator
_CODES = {"bfloat16": "E", "int64": "q", "uint64": "Q"}  # where NumPy's letter is not the runtime's

launched: set[str] = set()  # the expressions of all instantiations that have run


class KernelFault(RuntimeError):
    """A kernel did what it must not. `kind` says what in one or two words; the message says where."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class _Order(threading.local):
    name = "forward"
    seed = 0


_order = _Order()


@contextlib.contextmanager
def schedule(order: str, seed: int = 0) -> Iterator[None]:
    """Choose the order in which blocks run and, between barriers, the threads of each block.

    Parameters
    ----------
    order
        "forward", "reverse" or "random".
    seed
        Of the random order.

    Raises
    ------
    ValueError
        For any other `order`.
    """
    if order not in _ORDERS:
        raise ValueError(f"`order` must be one of {_ORDERS}, got {order!r}")
    before = _order.name, _order.seed
    _order.name, _order.seed = order, seed
    try:
        yield
    finally:
        _order.name, _order.seed = before


def poisoned(shape: Any, dtype: Any) -> np.ndarray:
    """Memory that nobody has written: a kernel that reads it (2 bytes or more at a time) is told so."""
    array = np.empty(shape, dtype)
    raw = array.reshape(-1).view(np.uint8)
    pairs = raw[: raw.size // 2 * 2].view(np.uint16)
    pairs[...] = _POISON
    raw[pairs.nbytes :] = 0
    return array


# --- the runtime's structures (runtime.cpp) ---------------------------------------------------------------------------
class _Buffer(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64), ("element", ctypes.c_int32),
                ("writable", ctypes.c_int32), ("argument", ctypes.c_int32)]  # fmt: skip


class _Launch(ctypes.Structure):
    _fields_ = [("grid", ctypes.c_uint32 * 3), ("block", ctypes.c_uint32 * 3), ("shared_bytes", ctypes.c_uint64),
                ("args", ctypes.c_void_p), ("buffers", ctypes.c_void_p), ("buffer_count", ctypes.c_int32),
                ("order", ctypes.c_int32), ("seed", ctypes.c_uint64), ("workers", ctypes.c_int32),
                ("chosen", ctypes.c_void_p), ("weights", ctypes.c_void_p), ("chosen_count", ctypes.c_uint64)]  # fmt: skip


class _Fault(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int32), ("argument", ctypes.c_int32), ("block", ctypes.c_uint32 * 3),
                ("thread", ctypes.c_uint32 * 3), ("other_block", ctypes.c_uint32 * 3),
                ("other_thread", ctypes.c_uint32 * 3), ("has_other", ctypes.c_int32), ("line", ctypes.c_int32),
                ("other_line", ctypes.c_int32), ("bytes", ctypes.c_int32), ("wrote", ctypes.c_int32),
                ("other_wrote", ctypes.c_int32), ("offset", ctypes.c_int64), ("size", ctypes.c_int64),
                ("pc", ctypes.c_uint64), ("file", ctypes.c_char_p), ("what", ctypes.c_char_p),
                ("other_file", ctypes.c_char_p)]  # fmt: skip


# --- a launch ---------------------------------------------------------------------------------------------------------
def launch(instance: Instance, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared: int) -> None:
    """Run one instantiation on NumPy arrays, which hold the results afterwards.

    Raises TypeError for arguments that the kernel does not take, ValueError for a grid or block beyond CUDA's limits,
    KernelFault for what the checks find, EmulatorError where the emulator cannot be built.
    """
    record(_launch, instance, grid, block, args, shared)


def _launch(instance: Instance, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared: int) -> None:
    _check_limits(instance, grid, block, shared)
    counted = counters.current()
    key = counters.key_of(instance, grid, block, args, shared) if counted is not None else None
    if counted is not None and counted.leaves_out(instance, key):
        return
    code = (
        library(instance.source, expressions(instance.source))
        if counted is None
        else counters.counted_library(instance)
    )
    signature = code.signatures[instance.expression]
    if len(args) != len(signature):
        raise TypeError(f"`{instance.expression}` takes {len(signature)} arguments, got {len(args)}")
    for i, (value, wanted) in enumerate(zip(args, signature)):
        _check_argument(instance, i, value, wanted)
    launched.add(instance.expression)
    if counted is None:
        _run(code, instance, grid, block, args, shared).copy_back()
        return
    for sample in itertools.chain(samples(grid) if counted.samples else (), [None]):  # until one can be trusted
        try:
            memory = _run(code, instance, grid, block, args, shared, sample)
        except KernelFault as fault:
            if sample is None or fault.kind != "hang":
                raise
            continue  # blocks that wait for others
        found = counters.end(code, instance, grid, block, shared, sample)
        if found.is_trusted:
            counted.add(found, key)
            memory.copy_back()
            return


def _run(
    code: Library,
    instance: Instance,
    grid: Sequence[int],
    block: Sequence[int],
    args: Sequence[Any],
    shared: int,
    sample: Sample | None = None,
) -> _Memory:
    """Run all blocks, or those of a sample, on copies of the arrays; returns these."""
    signature = code.signatures[instance.expression]
    memory = _Memory()
    for i, (value, wanted) in enumerate(zip(args, signature)):
        if isinstance(value, TensorMap):
            memory.add(i, value.array, writable=False)
        elif isinstance(value, np.ndarray):
            memory.add(i, value, writable=wanted[0] == "*")
    addresses = memory.lay_out()
    values = b"".join(_cell(value, addresses.get(i, 0)) for i, value in enumerate(args))
    cells = (ctypes.c_char * (len(values) + BYTES))()
    first = (
        -(-ctypes.addressof(cells) // BYTES) * BYTES
    )  # tensor maps start at multiples of their length, as all cells do
    ctypes.memmove(first, values, len(values))
    pointers = (ctypes.c_void_p * len(args))(*range(first, first + len(values), BYTES))
    is_counted = counters.current() is not None
    job = _Launch(
        tuple(grid),
        tuple(block),
        shared,
        ctypes.addressof(pointers),
        ctypes.addressof(memory.buffers),
        len(memory.buffers),
        _ORDERS.index(_order.name),
        _order.seed,
        1 if math.prod(grid) == 1 or is_counted else _workers(),
    )
    if sample is not None:
        number = len(sample.blocks)
        lists = [(ctypes.c_uint64 * number)(*them) for them in (sample.blocks, sample.weights)]
        job.chosen, job.weights = map(ctypes.addressof, lists)
        job.chosen_count = number
    if is_counted:
        counters.begin(code, [b.high - b.low for b in memory.buffers])
    fault = _Fault()
    if code.run(ctypes.c_void_p(code.entries[instance.expression]), ctypes.byref(job), ctypes.byref(fault)):
        raise _explain(instance, code, fault, args)
    return memory


def _cell(value: Any, address: int) -> bytes:
    """An argument as the kernel's entry finds it."""
    if isinstance(value, TensorMap):
        return emulated(value, address)
    return (value.tobytes() if isinstance(value, np.generic) else address.to_bytes(8, "little")).ljust(BYTES, b"\0")


class _Emulator:
    """Launches here, on NumPy's arrays."""

    def prepare(
        self, instance: Instance, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared: int
    ) -> Callable[[], None]:
        return lambda: launch(instance, grid, block, args, shared)

    def library(self, array: Any) -> Any:
        return np if type(array) is np.ndarray else namespace

    def empty(self, shape: Any, dtype: Any, like: Any) -> Any:
        counted = counters.current()
        array = np.zeros(shape, dtype) if counted is not None and counted.is_rough else poisoned(shape, dtype)
        if graph := current():
            graph.owns(array)
        return array.view(type(like))

    def address(self, array: Any) -> int:
        return array.ctypes.data

    def blas(self) -> Numpy:
        return _blas


_blas = Numpy()
register_engine("numpy", _Emulator())


def _workers() -> int:
    limit = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(limit) if limit.isdigit() else cores))


def _check_limits(instance: Instance, grid: Sequence[int], block: Sequence[int], shared: int) -> None:
    name = instance.expression
    if not (0 < grid[0] < 2**31 and 0 < grid[1] < 2**16 and 0 < grid[2] < 2**16):
        raise ValueError(f"the grid of `{name}` must be at most (2³¹ − 1, 65535, 65535), got {tuple(grid)}")
    if not (min(block) > 0 and math.prod(block) <= 1024 and block[2] <= 64):
        raise ValueError(f"the block of `{name}` must have 1 to 1024 threads, got {tuple(block)}")
    if not 0 <= shared <= 227 * 1024:
        raise ValueError(f"`{name}` can have at most 227 KiB of dynamic shared memory, got {shared} bytes")


@functools.cache
def _code(dtype: np.dtype) -> str:
    return _CODES.get(dtype.name, dtype.char)


def _check_argument(instance: Instance, i: int, value: Any, wanted: str) -> None:
    if len(wanted) == 2:  # a pointer
        if value is None:
            return
        if not isinstance(value, np.ndarray):
            raise TypeError(f"{_argument(instance, i)} must be an array or None, got {value!r}")
        code = _code(value.dtype)
        if wanted[1] not in ("v", code) and {wanted[1], code} != {"?", "B"}:
            raise TypeError(
                f"{_argument(instance, i)} must be an array of type {wanted[1]!r} (NumPy's letter), got {value.dtype}"
            )
        if wanted[0] == "*" and not value.flags.writeable:
            raise ValueError(f"{_argument(instance, i)} is written to, but the array is read-only")
    elif wanted == "T":
        if not isinstance(value, TensorMap):
            raise TypeError(f"{_argument(instance, i)} must be a TensorMap, got {value!r}")
    elif not isinstance(value, np.generic) or _code(value.dtype) != wanted:
        got = f"a {value.dtype} array" if isinstance(value, np.ndarray) else f"{type(value).__name__} {value!r}"
        raise TypeError(f"{_argument(instance, i)} must be a NumPy scalar of type {wanted!r}, got {got}")


def _argument(instance: Instance, i: int) -> str:
    return f"argument {i} of `{instance.expression}`"


_BOUNDS = operator.itemgetter(0, 1)


class _Memory:
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
        for array, copy in self.moves:
            array[...] = copy


def _origin(low: int, high: int, array: np.ndarray) -> int:
    """Where the memory that an array is a view of begins; `on_16_bytes`, which asks for 16 bytes, stays right."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return (low if array.nbytes == high - low else array.ctypes.data) // 16 * 16


# --- reports ----------------------------------------------------------------------------------------------------------
_KINDS = ("", "out-of-bounds read", "out-of-bounds write", "write through a pointer to const", "misaligned access",
          "uninitialised read", "race", "missing wait", "divergent barrier", "misuse", "stack overflow", "hang")  # fmt: skip


def _explain(instance: Instance, code: Library, fault: _Fault, args: Sequence[Any]) -> KernelFault:
    kind = _KINDS[fault.kind]
    place = (fault.file.decode().rpartition("/")[2], fault.line) if fault.file else locate(code.path, fault.pc)
    line = f"{place[0]}:{place[1]}" if place else f"{instance.source} (line unknown: install binutils for addr2line)"
    block, thread = tuple(fault.block), tuple(fault.thread)
    text = f"{kind} in `{instance.expression}` at {line}, block {block}, thread {thread}: {_detail(kind, fault, args)}"
    return KernelFault(kind, text)


def _detail(kind: str, fault: _Fault, args: Sequence[Any]) -> str:
    other = f"thread {tuple(fault.other_thread)} of block {tuple(fault.other_block)}" if fault.has_other else ""
    where = _memory_name(fault, args)
    if kind == "divergent barrier":
        if not other:
            return "not all threads come here"
        if not fault.other_file:
            return f"{other} has returned and never comes here"
        return f"{other} waits at {fault.other_file.decode().rpartition('/')[2]}:{fault.other_line} instead"
    if kind == "hang":
        return (
            f"nobody can go on, and what it waits for never comes: {fault.what.decode()}, {fault.other_file.decode()}"
        )
    if kind == "misuse":
        return f"{fault.what.decode()}: {fault.other_file.decode()}"
    if kind == "stack overflow":
        return "its local variables take more than 128 KiB"
    verb = "writes" if fault.wrote else "reads"
    if kind == "race":
        past = "wrote" if fault.other_wrote else "read"
        return f"it {verb} {where}, which {other} {past}, with no barrier in between"
    if kind == "missing wait":
        return f"it {verb} {where}, to which an asynchronous copy of {other} is still under way"
    if kind == "misaligned access":
        return f"{fault.bytes} bytes at once from an address that they do not divide, {where}"
    return f"it {verb} {fault.bytes} bytes of {where}"


def _memory_name(fault: _Fault, args: Sequence[Any]) -> str:
    """The array and position of an access, in elements for arguments and in bytes for shared memory."""
    if fault.what:
        return f"shared memory `{fault.what.decode()}` ({fault.size} bytes) at byte {fault.offset}"
    if fault.argument < 0:
        return "memory that no argument points to"
    array = args[fault.argument]
    shape = "×".join(map(str, array.shape)) or "scalar"
    return f"argument {fault.argument} ({array.dtype} {shape}) at element {fault.offset / array.itemsize:g}"
