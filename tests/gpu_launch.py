"""Runs on a real GPU what a test would run in the emulator: NumPy's memory goes there and comes back with each launch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from weft.kernels import emulator
from weft.kernels.toolchain import compiler
from weft.kernels.toolchain.launch import Instance


def launch(instance: Instance, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared: int) -> None:
    """In the place of `emulator._launch`: the arrays lie apart, at the offsets that they have, with guards between them."""
    import cupy

    memory = emulator._Memory()
    for i, value in enumerate(args):
        if isinstance(value, np.ndarray):
            memory.add(i, value, writable=value.flags.writeable)
    addresses = memory.lay_out()
    host, base = memory.block, memory.block.ctypes.data
    room = cupy.empty(host.nbytes + 256, np.uint8)
    start = (base - room.data.ptr) % 256
    there = room[start : start + host.nbytes]
    there.set(host.view(np.uint8))
    values = tuple(
        np.uint64(there.data.ptr + addresses[i] - base) if i in addresses else np.uint64(0) if value is None else value
        for i, value in enumerate(args)
    )
    compiler.gpu.function(instance, shared)(tuple(grid), tuple(block), values, shared_mem=shared)
    before = host.copy()
    host.view(np.uint8)[...] = there.get()
    _check_guards(memory, before)
    memory.copy_back()
    emulator.launched.add(instance.expression)


def _check_guards(memory: Any, before: np.ndarray) -> None:
    """What lies outside all arrays must be as it was."""
    base = memory.block.ctypes.data
    outside = np.ones(memory.block.nbytes, bool)
    for buffer in memory.buffers:
        outside[buffer.low - base : buffer.high - base] = False
    wrong = np.flatnonzero((memory.block.view(np.uint8) != before.view(np.uint8)) & outside)
    assert not wrong.size, f"the kernel wrote outside its arrays, {wrong.size} bytes from {wrong[0]} on"
