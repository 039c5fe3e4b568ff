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
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..toolchain.launch import Instance, expressions, register_engine
from ..toolchain.tensor_map import BYTES, TensorMap, emulated
from . import counters
from .array import Array, namespace
from .build import EmulatorError, Library, library
from .cublas_numpy import Numpy
from .faults import Fault, KernelFault, explain
from .graph import CaptureError, FreedMemory, Graph, capture, current, is_capturing, record
from .memory import Memory, poisoned
from .sample import samples

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
_TOGETHER, _APART = 1, 2  # how blocks are counted
_CODES = {"bfloat16": "E", "int64": "q", "uint64": "Q"}  # where NumPy's letter is not the runtime's

launched: set[str] = set()  # the expressions of all instantiations that have run


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


# --- a launch ---------------------------------------------------------------------------------------------------------
class _Launch(ctypes.Structure):  # runtime.cpp has it, too
    _fields_ = [("grid", ctypes.c_uint32 * 3), ("block", ctypes.c_uint32 * 3), ("shared_bytes", ctypes.c_uint64),
                ("args", ctypes.c_void_p), ("buffers", ctypes.c_void_p), ("buffer_count", ctypes.c_int32),
                ("order", ctypes.c_int32), ("seed", ctypes.c_uint64), ("workers", ctypes.c_int32), ("counted", ctypes.c_int32),
                ("unordered", ctypes.c_int32), ("chosen", ctypes.c_void_p), ("chosen_count", ctypes.c_uint64)]  # fmt: skip


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
        counters.counted_library(instance)
        if counters.counts_code(counted)
        else library(instance.source, expressions(instance.source))
    )
    signature = code.signatures[instance.expression]
    if len(args) != len(signature):
        raise TypeError(f"`{instance.expression}` takes {len(signature)} arguments, got {len(args)}")
    for i, (value, wanted) in enumerate(zip(args, signature)):
        _check_argument(instance, i, value, wanted)
    launched.add(instance.expression)
    if counted is None:
        run = _Run(code, instance, grid, block, args, shared)
        run.blocks()
    else:
        found, run = _counted(code, instance, grid, block, args, shared, counted.samples)
        counted.add(found, key)
    run.memory.copy_back()


def _counted(
    code: Library,
    instance: Instance,
    grid: Sequence[int],
    block: Sequence[int],
    args: Sequence[Any],
    shared: int,
    is_part: bool,
) -> tuple[counters.Launch, _Run]:
    """What was counted of all blocks, or of a part of them that can be trusted, and what ran them."""
    run = _Run(code, instance, grid, block, args, shared)
    try:
        for sample in samples(grid, run.costs) if is_part else ():
            run.blocks(sample.order)
            found = counters.end(code, instance, grid, block, shared, sample)
            if found.is_trusted:
                return found, run
    except KernelFault as fault:
        if fault.kind != "hang":
            raise
        run = _Run(code, instance, grid, block, args, shared)  # blocks that wait for others
    run.blocks()
    return counters.end(code, instance, grid, block, shared), run


class _Run:
    """A launch on copies of its arrays, of which all blocks may be run, or some, and then others."""

    def __init__(
        self,
        code: Library,
        instance: Instance,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        shared: int,
    ):
        self.code, self.instance, self.args = code, instance, args
        self.memory, self.done = Memory(), dict[int, None]()
        for i, (value, wanted) in enumerate(zip(args, code.signatures[instance.expression])):
            if isinstance(value, TensorMap):
                self.memory.add(i, value.array, writable=False)
            elif isinstance(value, np.ndarray):
                self.memory.add(i, value, writable=wanted[0] == "*")
        addresses = self.memory.lay_out()
        values = b"".join(_cell(value, addresses.get(i, 0)) for i, value in enumerate(args))
        self.cells = (ctypes.c_char * (len(values) + BYTES))()
        first = -(-ctypes.addressof(self.cells) // BYTES) * BYTES  # cells are aligned as tensor maps must be
        ctypes.memmove(first, values, len(values))
        self.pointers = (ctypes.c_void_p * len(args))(*range(first, first + len(values), BYTES))
        counted = counters.current()
        self.is_counted = counted is not None
        buffers = self.memory.buffers
        self.job = _Launch(
            tuple(grid),
            tuple(block),
            shared,
            ctypes.addressof(self.pointers),
            ctypes.addressof(buffers),
            len(buffers),
            _ORDERS.index(_order.name),
            _order.seed,
            1 if math.prod(grid) == 1 or self.is_counted else _workers(),
            self.is_counted,
            counted is not None and counted.samples,
        )
        if self.is_counted:
            counters.begin(code, [b.high - b.low for b in buffers])

    def blocks(self, wanted: Iterable[int] = ()) -> None:
        """Run those that have not run, of all, or of those wanted, which are counted each by itself.

        Raises KernelFault.
        """
        if wanted or self.done:
            new = [n for n in wanted or range(math.prod(self.job.grid)) if n not in self.done]
            if not new:
                return
            chosen = (ctypes.c_uint64 * len(new))(*new)
            self.job.chosen, self.job.chosen_count = ctypes.addressof(chosen), len(new)
            self.job.counted = _APART if wanted else _TOGETHER
            self.done |= dict.fromkeys(new)
        fault = Fault()
        entry = ctypes.c_void_p(self.code.entries[self.instance.expression])
        if self.code.run(entry, ctypes.byref(self.job), ctypes.byref(fault)):
            raise explain(self.instance, self.code, fault, self.args)

    def costs(self, wanted: Sequence[int]) -> dict[int, float]:
        """Run these, but for those that have run; what each that has run costs."""
        if wanted:
            self.blocks(wanted)
        return dict(zip(self.done, counters.costs(self.code, len(self.done))))


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
