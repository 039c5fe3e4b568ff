"""What goes to local memory, which is device memory, for want of registers: how much, and in which lines."""

from __future__ import annotations

from collections.abc import Iterator

from .compiler import Program, Resources, ToolkitError
from .machine_code import Instruction, disassemble, local_traffic

__all__ = ["spills"]

_SHOWN = 3  # lines of a kernel, those with the most instructions


def spills(program: Program) -> list[str]:
    """Each kernel of a program that spills registers, or indexes an array of its own by a variable; none should.

    A kernel's text has the bytes, and the lines whose instructions store and load them, those with the most first:
    `gather<float>` spills 64 bytes, loads 80, stack 32: own.cu:9 (12 instructions), own.cu:14 (4)
    """
    found = [taken for taken in program.resources if taken.stack or taken.spill_stores or taken.spill_loads]
    if not found:
        return []
    try:
        code = disassemble(program)
    except ToolkitError as error:
        return [f"{_bytes(taken)} ({error})" for taken in found]
    return [f"{_bytes(taken)}: {', '.join(_lines(code[taken.kernel]))}" for taken in found]


def _bytes(taken: Resources) -> str:
    return f"`{taken.kernel}` spills {taken.spill_stores} bytes, loads {taken.spill_loads}, stack {taken.stack}"


def _lines(code: list[Instruction]) -> Iterator[str]:
    traffic = local_traffic(code).most_common()
    for (file, line), count in traffic[:_SHOWN]:
        yield f"{file}:{line} ({count} instructions)"
    if len(traffic) > _SHOWN:
        yield f"and {len(traffic) - _SHOWN} lines more"
