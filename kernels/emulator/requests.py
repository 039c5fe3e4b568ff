"""What the emulator counted of each source line, and the machine instructions that did it on a GPU.

A line may have many copies in the machine code, not all of which are its own:

    - Code for what is left over has narrower accesses: a line's copies are as wide as what was asked for, or what it was merged or
      split into.
    - The compiler gives some accesses the line of another: what a line asked for that has none is the nearest line's, before all of
      those that asked for nothing themselves.
    - Of copies in loops that several calls inline, each call has its share, by its own lines; where these do not tell, and one
      loop may do what another leaves, they are taken for that.

Arithmetic is asked for, too: once whenever a warp comes to its line. How many instructions one turn of a loop takes tells what
the smallest of a line's blocks has, as the greatest common divisor of all.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from typing import Any, NamedTuple

from ..toolchain.machine_code import Instruction
from ..toolchain.sources import Place
from .control_flow import Blocks, Flow, calls, reached
from .counters import Counts, Launch

__all__ = ["WORK", "Copy", "Part", "accesses", "asked_of", "free_loops", "key_of", "width_of", "worked_of"]

_ASKED = {  # which counters a machine instruction is counted by
    "LDG": ("global", "read"), "LDGSTS": ("global", "read"), "STG": ("global", "write"),
    "RED": ("global", "update"), "REDG": ("global", "update"),
    "ATOMG": ("global", "update"), "ATOM": ("global", "update"), "LDS": ("shared", "read"), "LDSM": ("shared", "read"),
    "STS": ("shared", "write"), "STSM": ("shared", "write"), "ATOMS": ("shared", "update"),
    "HGMMA": ("tensor", "update"),
}  # fmt: skip
_STORED = ("shared", "write")  # by LDGSTS, too
WORK = ("float", "convert", "tensor", "warp", "local")  # kinds of instructions that each turn of a loop needs anew
_WIDTHS = ("U8", "S8", "U16", "S16", "64", "128", "256")  # bits of an access; 32 where it says nothing


class Copy(NamedTuple):
    """One of the instructions that a line's access became: its block, and how much of the access it is."""

    block: int
    instruction: Instruction
    part: float


class Part(NamedTuple):
    """How often warps ask for something, and the copies of what does so."""

    requests: float
    copies: list[Copy]


def asked_of(blocks: Blocks, launch: Launch, around: dict[int, list[int]]) -> list[Part]:
    """What was asked for, and the copies of the instructions that ask for it; `around`: the loops that each block is in."""
    copies: dict[Any, list[tuple[int, Instruction]]] = defaultdict(list)
    for number, block in blocks.items():
        for instruction in block:
            place, kind = key_of(instruction)
            for each in (kind, _STORED) if instruction.opcode.startswith("LDGSTS") else (kind,):
                copies[place, each, width_of(instruction)].append((number, instruction))
    counted = {((c.file, c.line), (c.space, c.how)) for c in launch.counts}
    sure = {n for n, block in blocks.items() if any(key_of(i) in counted and not i.is_conditional for i in block)}
    needed = {  # for what another line asked for: warps come there, and their own line did not
        key: key[:2] not in counted
        and all(not i.is_conditional and (n in sure or not reached(blocks, {n})) for n, i in them)
        for key, them in copies.items()
    }
    lines = {
        i.place
        for block in blocks.values()
        for i in block
        if i.kind in ("global", "shared") or i.opcode.startswith("SYNCS")
    }
    lines |= {
        (c.file, c.line) for c in launch.counts if c.space == "tensor"
    }  # products of warpgroups read shared memory themselves
    asked: dict[Any, list[Counts]] = defaultdict(list)
    for c in launch.counts:
        place, kind, wide = (c.file, c.line), (c.space, c.how), c.requested / max(1, c.threads)
        own = [key for key in copies if key[:2] == (place, kind)]
        fit = [key for key in own if key[2] == 0 or key[2] >= wide or wide != c.bytes]
        near = [key for key in copies if key[1:] == (kind, wide) or (key[1] == kind and place not in lines)]
        if not fit and near:
            far = {
                key: (
                    key[2] != wide,
                    not needed[key],
                    key[:2] not in counted,
                    key[0][0] != c.file,
                    abs(key[0][1] - c.line),
                )
                for key in near
            }
            fit = [min(near, key=lambda key: (far[key], key))]
        asked[tuple(fit or [key for key in own if key[2] == max(w for _, _, w in own)])].append(c)
    parts = []
    for keys, counts in asked.items():
        wide = max(c.requested / max(1, c.threads) for c in counts)
        them = [Copy(n, i, key[2] / wide if key[2] and wide else 1.0) for key in keys for n, i in copies[key]]
        if them:
            parts += _by_calls(Part(sum(c.requests for c in counts), them), launch, around)
    return parts


def worked_of(
    blocks: Blocks, launch: Launch, around: dict[int, list[int]], free: Container[int]
) -> dict[tuple[Place, int], list[Part]]:
    """The same of the arithmetic of each line that loops `free` of accesses have: by line and block, a part for each opcode.

    What only one loop has: as many turns as divide all its opcodes' numbers.
    """
    copies: dict[Place, dict[str, list[Copy]]] = defaultdict(lambda: defaultdict(list))
    in_loops: dict[int, Counter[tuple[Place, str]]] = defaultdict(Counter)
    busy = {head for n in blocks for head in around[n][1:]}  # with loops within, whose lines may be moved out of them
    for n, block in blocks.items():
        busy |= {h for h in around[n] if any(i.kind in WORK or key_of(i)[1] is not None for i in block)}
    for n, block in blocks.items():
        is_bare = around[n] and around[n][0] in free and around[n][0] not in busy
        for i in block:
            if (i.kind in WORK or (is_bare and i.kind == "integer")) and i.lines and i.lines[0] in launch.trips:
                copies[i.lines[0]][i.opcode].append(Copy(n, i, 1.0))
                if around[n] and around[n][0] in free:
                    in_loops[around[n][0]][i.lines[0], i.opcode] += 1
    found: dict[tuple[Place, int], list[Part]] = defaultdict(list)
    for place in {place for them in in_loops.values() for place, _ in them}:
        for them in copies[place].values():
            for part in _by_calls(Part(float(launch.trips[place]), them), launch, around):
                numbers = Counter(copy.block for copy in part.copies)
                loop, *others = {around[n][0] if around[n] else n for n in numbers}
                turn = math.gcd(*numbers.values())
                if loop in in_loops and not others:
                    turn = sum(numbers.values()) // math.gcd(*in_loops[loop].values())
                even = Part(part.requests, [copy._replace(part=1 / turn) for copy in part.copies])
                for n in numbers:
                    found[place, n].append(even)
    return found


def _by_calls(part: Part, launch: Launch, around: dict[int, list[int]]) -> list[Part]:
    """Those in loops of several calls that inline them, each with its share.

    As warps come to the first line that tells one call from another.
    """
    groups: list[tuple[set[Any], list[Copy]]] = []  # chains of calls and loops that have copies in common
    for copy in part.copies:
        marks = {copy.instruction.lines, *around[copy.block][:1]}
        same = [group for group in groups if marks & group[0]]
        groups = [group for group in groups if not marks & group[0]]
        groups.append((marks.union(*(m for m, _ in same)), [*(c for _, them in same for c in them), copy]))
    chains = [min(c.instruction.lines for c in them) for _, them in groups]
    shares: list[float] = [sum(copy.part for copy in them) for _, them in groups]
    if len(groups) > 1 and all(around[copy.block] for copy in part.copies):
        depth = next((d for d in range(max(map(len, chains))) if len({chain[d : d + 1] for chain in chains}) > 1), 0)
        trips = [float(launch.trips.get(chain[depth], 0)) if len(chain) > depth else 0.0 for chain in chains]
        if not all(trips) and _is_rest(groups, around):
            return [part]
        shares = trips if all(trips) else shares
    return [Part(part.requests * share / sum(shares), them) for share, (_, them) in zip(shares, groups)]


def _is_rest(groups: Sequence[tuple[Any, list[Copy]]], around: dict[int, list[int]]) -> bool:
    """Whether these are loops next to each other, of which each makes a whole number of the turns of a smaller one."""
    sizes = sorted(sum(copy.part for copy in them) for _, them in groups)
    outer = {tuple(around[copy.block][1:]) for _, them in groups for copy in them}
    return len(outer) == 1 and all(more > less and more % less == 0 for less, more in itertools.pairwise(sizes))


def key_of(instruction: Instruction) -> tuple[Any, Any]:
    return instruction.place, _ASKED.get(instruction.opcode.partition(".")[0])


def width_of(instruction: Instruction) -> int:
    """Bytes of a thread's access; 0 where the opcode does not say: matrices, products, updates."""
    name, *rest = instruction.opcode.split(".")
    if name not in ("LDG", "LDGSTS", "STG", "LDS", "STS"):
        return 0
    return next((int(part.strip("US")) // 8 for part in rest if part in _WIDTHS), 4)


def free_loops(blocks: Blocks, flows: dict[int, Flow]) -> set[int]:
    """The heads of loops in which, and in what they call, nothing is loaded or stored by all threads."""
    asking: set[int] = set()  # first blocks of functions, of those that are called first
    free: set[int] = set()
    for first, flow in reversed(flows.items()):
        own = {n for n in flow.order if accesses(blocks[n]) or calls(blocks[n]) in asking}
        asking |= {first} if own else set()
        free |= {head for head, body in flow.loops.items() if not own & body}
    return free


def accesses(block: Sequence[Instruction]) -> int:
    return sum(key_of(i)[1] is not None and not i.is_conditional for i in block)
