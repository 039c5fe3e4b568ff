"""What a kernel is in machine code: NVIDIA's disassembler reads the cubin, and each instruction's source line with it.

    code = disassemble(build("normalization.cu", [expression], arch="sm_90a"))[expression]
    print(mix(code), tensor_cores(code))

No GPU is needed; the disassembler is a wheel of its own, nvidia-cuda-nvdisasm.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from .compiler import Program, Resources, ToolkitError
from .sources import Place, own_line

__all__ = [
    "MACHINES",
    "Instruction",
    "Machine",
    "blocks_per_multiprocessor",
    "disassemble",
    "local_sectors",
    "local_traffic",
    "mix",
    "occupancy",
    "tensor_cores",
    "tensor_operations",
    "tool",
]


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One machine instruction: `LDG.E.128`, say.

    `lines`: of the sources, the innermost first, then the calls that it was inlined by. `block`: counts basic blocks.
    `target`: the block that it may jump to, or the first of the function that it calls. `is_conditional`: some threads may
    not do it. `function`: the label of the function that it is in, where that was not inlined.
    """

    opcode: str
    lines: tuple[Place, ...]
    block: int
    target: int | None = None
    is_conditional: bool = False
    function: str = ""

    @property
    def is_internal(self) -> bool:
        """Whether it is in a function that no source has: the compiler's slow paths, of divisions and square roots above all."""
        return self.function.startswith("$__internal_")

    @property
    def kind(self) -> str:
        """What it is for: "tensor", "global", "float" …, one of the keys of `_KINDS`, or "other"."""
        name = self.opcode.partition(".")[0]
        return next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(name)), "other")

    @property
    def place(self) -> Place:
        """The innermost line that is the kernel's own."""
        return own_line(self.lines)


_KINDS = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "tensor": r"[HIDQO]G?MMA|UTC\w*MMA",
        "global": r"LDG|STG|ATOMG?|REDG?|LDGSTS|UBLKCP|UTMA\w+|LD|ST",
        "shared": r"LDS|STS|LDSM|STSM|ATOMS",
        "local": r"LDL|STL",
        "float": r"[FHD](ADD|MUL|FMA|MNMX|SETP?|SEL|CHK|SWZADD)\w*|MUFU",
        "convert": r"[FI]2\w+|PRMT",
        "integer": r"U?[IV]I?(ADD|MAD|MNMX|SETP|ABS|DP)\w*|U?(LEA|SHF|LOP3?|SEL|FLO|POPC|BREV|BMSK|SGXT|PLOP3)",
        "move": r"U?MOV|C?S2U?R|U?LDCU?|P2R|R2P|R2UR",
        "warp": r"SHFL|U?VOTEU?|REDUX|CREDUX|MATCH",
        "control": r"BRA|BRX|EXIT|BAR|BSSY|BSYNC|CALL|RET|WARPSYNC|NOP|BREAK|YIELD|NANOSLEEP|\w*DEPBAR|ERRBAR|MEMBAR|\w+COLLECTIVE",
    }.items()
}


# --- reading a cubin --------------------------------------------------------------------------------------------------
def tool() -> str:
    """The path of nvdisasm: that of NVIDIA's wheel or of a toolkit.

    Raises ToolkitError where there is none.
    """
    try:
        from cuda.pathfinder import find_nvidia_binary_utility
    except ImportError:
        found = shutil.which("nvdisasm")
    else:
        found = find_nvidia_binary_utility("nvdisasm") or shutil.which("nvdisasm")
    if found is None:
        raise ToolkitError(
            "reading machine code needs `nvdisasm`, which was not found: "
            'pip install "weft[profile]", or nvidia-cuda-nvdisasm'
        )
    return found


_SECTION = re.compile(r"\s*\.section\s+\.text\.([^,\s]+)")
_LINES = re.compile(r'\s*//## File "([^"]*)", line (\d+)')
_LABEL = re.compile(r"\s*(\.L_\w+|\$\S+):")
_CODE = re.compile(r"\s*/\*[0-9a-f]{4,}\*/\s+\{?\s*(@!?U?P[T\d]+\s+)?([A-Z][\w.]*)(.*)")
_JUMP = re.compile(r"(!?U?P\d\b)?.*`\((\.L_\w+|\$[^)]+)\)")
_NAMED = re.compile(r"`\((\.L_\w+)\)")
_TABLE = re.compile(r"\bBRX\b")
_ENDS = re.compile(r"BRA|BRX|EXIT|RET|CALL|BREAK|JMP")


def disassemble(program: Program) -> dict[str, list[Instruction]]:
    """The instructions of each kernel of a program, by expression and in order.

    Raises ToolkitError where there is no disassembler, or one that is too old for the program.
    """
    command = [tool(), "--print-line-info-inline", "--print-code", str(program.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolkitError(
            f"`nvdisasm` cannot read {program.path.name} ({done.stderr.strip()}): pip install --upgrade nvidia-cuda-nvdisasm"
        )
    by_symbol = _parse(done.stdout)
    return {expression: by_symbol[symbol] for expression, symbol in program.names.items()}


def _parse(text: str) -> dict[str, list[Instruction]]:
    named = set(_NAMED.findall(text))
    has_tables = _TABLE.search(text) is not None  # of labels, which no instruction names
    found: dict[str, list[Instruction]] = {}
    blocks: dict[str, int] = {}  # by label
    targets: dict[tuple[str, int], str] = {}  # the label that an instruction jumps to
    chain: list[Place] = []
    symbol, block, is_told, function = "", 0, True, ""  # is_told: the next line comment starts a new chain
    for line in text.splitlines():
        if section := _SECTION.match(line):
            symbol, chain, block, is_told, function = section[1], [], 0, True, ""
        elif place := _LINES.match(line):
            chain = [*([] if is_told else chain), (Path(place[1]).name, int(place[2]))]
            is_told = False
        elif label := _LABEL.match(line):
            block += (
                has_tables or label[1] in named or label[1].startswith("$")
            )  # each reload of a spill has a label, too
            blocks[label[1]] = block
            if label[1].startswith("$"):
                function = label[1]
                chain, is_told = [(function.rpartition("$")[2], 0)], True
        elif operation := _CODE.match(line):
            is_told = True
            predicate, opcode, operands = operation.groups()
            code = found.setdefault(symbol, [])
            jump = _JUMP.match(operands.strip()) if opcode.startswith(("BRA", "CALL")) else None
            if jump:
                targets[symbol, len(code)] = jump[2]
            is_conditional = bool(predicate or (jump and jump[1]) or opcode.startswith("BRA.DIV"))
            code.append(Instruction(opcode, tuple(chain), block, None, is_conditional, function))
            block += _ENDS.match(opcode) is not None
    for (symbol, at), name in targets.items():
        found[symbol][at] = dataclasses.replace(found[symbol][at], target=blocks[name])
    return {symbol: _without_padding(code) for symbol, code in found.items()}


def _without_padding(code: list[Instruction]) -> list[Instruction]:
    """Without the branch to itself and the NOPs that follow the last instruction of a kernel."""
    end = len(code)
    while end and code[end - 1].opcode == "NOP":
        end -= 1
    return code[: end - 1] if end and code[end - 1].opcode == "BRA" else code[:end]


# --- what is in it ----------------------------------------------------------------------------------------------------
def mix(code: Iterable[Instruction]) -> Counter[str]:
    """How many instructions there are of each kind."""
    return Counter(instruction.kind for instruction in code)


def tensor_cores(code: Iterable[Instruction]) -> Counter[str]:
    """How many instructions of tensor cores there are of each opcode."""
    return Counter(instruction.opcode for instruction in code if instruction.kind == "tensor")


_SHAPE = re.compile(r"(?:HMMA|IMMA)\.(16|8)(8|16)(\d+)\b|HGMMA\.64x(\d+)x(\d+)")


def tensor_operations(opcode: str) -> int:
    """Multiplications and additions of one instruction of tensor cores (of a warpgroup, for HGMMA).

    >>> from weft.kernels.toolchain.machine_code import tensor_operations
    >>> tensor_operations("HMMA.16816.F32.BF16"), tensor_operations("HGMMA.64x128x16.F32")
    (4096, 262144)
    """
    shape = _SHAPE.match(opcode)
    if shape is None:
        return 0
    m, n, k = (64, shape[4], shape[5]) if shape[4] else shape.groups()[:3]
    return 2 * int(m) * int(n) * int(k)


def local_traffic(code: Iterable[Instruction]) -> Counter[Place]:
    """How many instructions of each line go to local memory, which is device memory: spills, and arrays with indices."""
    return Counter(instruction.place for instruction in code if instruction.kind == "local")


def local_sectors(opcode: str) -> int:
    """Sectors of 32 bytes that a warp's access to local memory touches, where lanes lie side by side.

    >>> from weft.kernels.toolchain.machine_code import local_sectors
    >>> local_sectors("STL"), local_sectors("LDL.LU.128"), local_sectors("LDL.U8")
    (4, 16, 4)
    """
    width = re.search(r"\.(64|128)\b", opcode)
    return int(width[1]) // 8 if width else 4  # 32 lanes of 4, 8 or 16 bytes; of fewer, a word each


# --- machines ---------------------------------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Machine:
    """What a GPU can do, by its datasheet.

    Of the whole: `bandwidth` of DRAM in bytes per second, `multiprocessors`, `clock` in Hz. Of a multiprocessor, per cycle:
    four warp instructions, operations in half precision by `mma.sync` (`tensor`), by `wgmma` (`warpgroup`) and by whatever is
    fastest there, which libraries use (`peak`), operations in float32 (`single`: two to a lane), 128 bytes of shared memory, `l2`
    bytes from the L2 cache. `shared`: bytes of shared memory; `shared_block`: most of a block.
    """

    name: str
    arch: str
    multiprocessors: int
    clock: float
    bandwidth: float
    tensor: int
    warpgroup: int
    peak: int
    shared: int
    shared_block: int
    single: int = 256
    l2: int = 64
    registers: int = 65536
    threads: int = 2048
    blocks: int = 32


MACHINES = {
    machine.name: machine
    for machine in (
        Machine("A100", "sm_80", 108, 1.41e9, 2.039e12, 2048, 0, 2048, 164 << 10, 163 << 10, single=128),
        Machine("H100", "sm_90a", 132, 1.83e9, 3.35e12, 2560, 4096, 4096, 228 << 10, 227 << 10),
        Machine("H200", "sm_90a", 132, 1.83e9, 4.8e12, 2560, 4096, 4096, 228 << 10, 227 << 10),
        Machine("B200", "sm_100", 148, 1.85e9, 8.0e12, 2560, 0, 8192, 228 << 10, 227 << 10),
    )
}


def blocks_per_multiprocessor(taken: Resources, threads: int, dynamic: int, machine: Machine) -> int:
    """How many blocks of `threads` threads run on a multiprocessor at the same time.

    Registers are given to warps, 256 at a time; shared memory to blocks, 128 bytes at a time and 1 KiB for the system.
    0: not even one fits.
    """
    warps = -(-threads // 32)
    of_warp = -(-taken.registers * 32 // 256) * 256
    # each of the four parts of a multiprocessor has a quarter of the registers for warps of its own
    by_registers = machine.registers // 4 // of_warp * 4 // warps if of_warp else machine.blocks
    shared = -(-(taken.shared + dynamic) // 128) * 128
    if shared > machine.shared_block:
        return 0
    return min(machine.blocks, machine.threads // (32 * warps), by_registers, machine.shared // (shared + 1024))


def occupancy(taken: Resources, threads: int, dynamic: int, machine: Machine) -> float:
    """The warps that run at the same time, as a share of those that a multiprocessor has room for."""
    blocks = blocks_per_multiprocessor(taken, threads, dynamic, machine)
    return blocks * -(-threads // 32) * 32 / machine.threads


def by_block(code: Iterable[Instruction]) -> Iterator[list[Instruction]]:
    """The instructions of each basic block."""
    blocks: dict[int, list[Instruction]] = {}
    for instruction in code:
        blocks.setdefault(instruction.block, []).append(instruction)
    yield from blocks.values()
