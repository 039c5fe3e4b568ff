"""What the emulator found wrong, in words: kind, kernel, line, block, thread, and the memory that it is about."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from ..toolchain.launch import Instance
from .build import Library, locate

__all__ = ["Fault", "KernelFault", "explain"]

_KINDS = ("", "out-of-bounds read", "out-of-bounds write", "write through a pointer to const", "misaligned access",
          "uninitialised read", "race", "missing wait", "divergent barrier", "misuse", "stack overflow", "hang")  # fmt: skip


class KernelFault(RuntimeError):
    """A kernel did what it must not. `kind` says what in one or two words; the message says where."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class Fault(ctypes.Structure):
    """What the runtime tells (runtime.cpp)."""

    _fields_ = [("kind", ctypes.c_int32), ("argument", ctypes.c_int32), ("block", ctypes.c_uint32 * 3),
                ("thread", ctypes.c_uint32 * 3), ("other_block", ctypes.c_uint32 * 3),
                ("other_thread", ctypes.c_uint32 * 3), ("has_other", ctypes.c_int32), ("line", ctypes.c_int32),
                ("other_line", ctypes.c_int32), ("bytes", ctypes.c_int32), ("wrote", ctypes.c_int32),
                ("other_wrote", ctypes.c_int32), ("offset", ctypes.c_int64), ("size", ctypes.c_int64),
                ("pc", ctypes.c_uint64), ("file", ctypes.c_char_p), ("what", ctypes.c_char_p),
                ("other_file", ctypes.c_char_p)]  # fmt: skip


def explain(instance: Instance, code: Library, fault: Fault, args: Sequence[Any]) -> KernelFault:
    """The error for a launch of `instance`, from `code`, with these arguments."""
    kind = _KINDS[fault.kind]
    place = (fault.file.decode().rpartition("/")[2], fault.line) if fault.file else locate(code.path, fault.pc)
    line = f"{place[0]}:{place[1]}" if place else f"{instance.source} (line unknown: install binutils for addr2line)"
    block, thread = tuple(fault.block), tuple(fault.thread)
    text = f"{kind} in `{instance.expression}` at {line}, block {block}, thread {thread}: {_detail(kind, fault, args)}"
    return KernelFault(kind, text)


def _detail(kind: str, fault: Fault, args: Sequence[Any]) -> str:
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


def _memory_name(fault: Fault, args: Sequence[Any]) -> str:
    """The array and position of an access, in elements for arguments and in bytes for shared memory."""
    if fault.what:
        return f"shared memory `{fault.what.decode()}` ({fault.size} bytes) at byte {fault.offset}"
    if fault.argument < 0:
        return "memory that no argument points to"
    array = args[fault.argument]
    shape = "×".join(map(str, array.shape)) or "scalar"
    return f"argument {fault.argument} ({array.dtype} {shape}) at element {fault.offset / array.itemsize:g}"
