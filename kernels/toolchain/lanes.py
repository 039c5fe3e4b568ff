"""How many lanes of a multiprocessor do each kind of instruction in a cycle: by far not all have the 128 that are issued.

    cycles = pipe_cycles({"MUFU.EX2": 400.0, "FFMA": 1000.0}, "sm_90a")  # executed by warps → {"XU": 800.0, "FMA": 1000.0}

A warp of 32 keeps its pipe for 32 / lanes cycles; kinds that share a pipe wait for each other, pipes run side by side.

From NVIDIA's guides are the lanes, "Throughput of Native Arithmetic Instructions" (CUDA C++ Programming Guide 12.6, table 4,
and Best Practices Guide, 12.1.1): of 8.0, 9.0 and 10.0 in this order. There are float and double arithmetic, minima of floats
(128 on 10.0), packed arithmetic in half precision (256 results, 128 in bfloat16 on 8.0, of which a lane has two), 32-bit
integers (added, compared, shifted, logic, products: 64; Hopper's minima of 16 bits 128 results, of which a lane has two), special
functions, counts of bits and conversions (16; half to float 64), shuffles (32), reductions (16) and votes (64) of warps, and
barriers (16, of 8.x).

From NVIDIA's Nsight Compute (Profiling Guide, "Pipelines") are pipes: ALU, "most bit manipulation and logic", integers "excluding
IMAD and IMUL", and on 8.x the fast conversion to half precision; FMA, arithmetic of floats and IMAD, from 8.6 on of two halves of
which FMA heavy alone has IMAD; XU, special functions and conversions of integers; LSU, loads, stores, atomics and shuffles.

Inferred, and rather too slow than too fast:
- which opcodes are meant: moves, selections and permutations are the ALU's; so are I2FP and F2IP, which compilers take where they
  can for the XU's I2F and F2I.
- F2FP rounds two numbers in the ALU (the fast conversion, told of 8.x), in two of its turns; the guide's 16 are the XU's F2F.
- 10.0 is as 9.0 where nothing is known of it; integers have more lanes on 12.0, and perhaps there. FFMA2 and its like, of two
  numbers, take two turns.
- LSU: 32 lanes, of the architectures' white papers. Of wide accesses and bank conflicts shared memory's own limit knows.
- what is told of neither, the uniform datapath and control above all, is only issued (`ISSUED`).
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["ISSUED", "KINDS", "Kind", "kind_of", "pipe_cycles"]


class Kind(NamedTuple):
    """Instructions alike: the pipe of each architecture and its `lanes`, on sm_80, sm_90a and sm_100."""

    name: str
    opcodes: str
    pipes: tuple[str, str, str]
    lanes: tuple[int, int, int]


def _one(name: str, opcodes: str, pipe: str, *lanes: int) -> Kind:
    return Kind(name, opcodes, (pipe,) * 3, (lanes * 3)[:3])  # type: ignore[arg-type]


ARCHITECTURES = ("sm_80", "sm_90a", "sm_100")
KINDS = (  # the first that fits the whole opcode
    _one("float", r"F(ADD|MUL|FMA)", "FMA", 64, 128, 128),
    _one("two floats", r"F(ADD|MUL|FMA)2", "FMA", 64),
    Kind("integer product", r"IMAD|IMUL|IDP", ("FMA", "FMA heavy", "FMA heavy"), (64, 64, 64)),
    Kind("half to float", r"HADD2\.F32", ("FP16", "FMA heavy", "FMA heavy"), (64, 64, 64)),
    Kind("two bfloat16", r"H(ADD|MUL|FMA)2(_32I)?(\.MMA)?\.BF16(_V2)?", ("FP16", "FMA", "FMA"), (64, 128, 128)),
    Kind("two halves", r"H(ADD|MUL|FMA)2(_32I)?", ("FP16", "FMA", "FMA"), (128, 128, 128)),
    _one("double", r"D(ADD|MUL|FMA|SETP|MNMX)", "FP64", 32, 64, 64),
    _one("minimum of floats", r"FMNMX", "ALU", 64, 64, 128),
    _one("rounding of two", r"F2FP", "ALU", 32),
    _one("integer", r"IADD3?|VIADD|IABS|LEA|LOP3?|SHF|SHL|SHR|BMSK|SGXT|PRMT|VABSDIFF4?|PLOP3", "ALU", 64),
    _one("comparison", r"ISETP|[IV]I?MNMX3?|VIADDMNMX|VHMNMX|FMNMX3|FSETP?|H(MNMX|SETP?)2|F?SEL", "ALU", 64),
    _one("move", r"MOV|P2R|R2P|I2FP|F2IP|I2IP", "ALU", 64),
    _one("special function", r"MUFU|POPC|FLO|BREV", "XU", 16),
    _one("conversion", r"[FI]2[FI]|FRND", "XU", 16),
    _one("load or store", r"LD[GSL]?|LDSM|ST[GSL]?|STSM|LDGSTS|ATOM[GS]?|REDG?|S2R|SYNCS", "LSU", 32),
    _one("shuffle", r"SHFL", "LSU", 32),
    _one("reduction of a warp", r"C?REDUX", "REDUX", 16),
    _one("vote", r"VOTEU?", "VOTE", 64),
    _one("barrier", r"BAR", "ADU", 16),
)
ISSUED = re.compile(  # what no guide tells the lanes of
    r"U\w+|R2UR|[HIDQO]G?MMA|BRA|BRX|EXIT|BSSY|BSYNC|CALL|RET|WARPSYNC|WARPGROUP|WARPGROUPSET|NOP|BREAK|BMOV|B2R|YIELD|NANOSLEEP"
    r"|\w*DEPBAR|(CGA)?ERRBAR|MEMBAR|CCTL|FENCE|\w+COLLECTIVE|MATCH|ELECT|ENDCOLLECTIVE|CS2R|S2UR|LDCU?|FCHK|FSWZADD|ACQBULK|PREEXIT|LEPC"
)


@functools.cache
def kind_of(opcode: str) -> Kind | None:
    """The kind of an opcode with its modifiers, as "MUFU.EX2"; None for what is only issued."""
    names = opcode.split(".")
    starts = [".".join(names[:n]) for n in range(len(names), 0, -1)]
    return next((kind for kind in KINDS if any(re.fullmatch(kind.opcodes, start) for start in starts)), None)


def pipe_cycles(executed: Mapping[str, float], arch: str) -> dict[str, float]:
    """The cycles of one multiprocessor for which each pipe is kept, by opcodes and how often warps execute them."""
    at, cycles = ARCHITECTURES.index(arch), defaultdict[str, float](float)
    for opcode, times in executed.items():
        if kind := kind_of(opcode):
            cycles[kind.pipes[at]] += times * 32 / kind.lanes[at]
    return dict(cycles)
