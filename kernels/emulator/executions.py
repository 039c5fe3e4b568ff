"""How often warps run each part of a kernel's machine code: what the emulator counted of the source, carried over.

A line of the source may have many copies in the machine code, as loops are unrolled. So each basic block is taken for itself:

    1. where it has loads or stores: their requests, which the counters know, over the copies of those instructions
    2. where the compiler put a slow path that it hopes never to take (a call, threads that diverge at a shuffle), and where
       there is code of lines that no warp came to (but for a few instructions that were moved elsewhere): never
    3. the head of a loop: as often as what is in the loop
    4. else: as often as warps come to its lines, but no more often than to any block that control comes from

These are estimates: exact for straight code and for loops that are unrolled as a whole.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from ..toolchain.machine_code import Instruction, by_block
from .counters import Launch

__all__ = ["executions"]

MOVED = 0.1  # of a block's instructions: so many belong elsewhere, as compilers move what can do no harm
_ASKED = {  # which counters a machine instruction is counted by
    "LDG": ("global", "read"), "LDGSTS": ("global", "read"), "STG": ("global", "write"), "RED": ("global", "update"),
    "ATOMG": ("global", "update"), "ATOM": ("global", "update"), "LDS": ("shared", "read"), "LDSM": ("shared", "read"),
    "STS": ("shared", "write"), "STSM": ("shared", "write"), "ATOMS": ("shared", "update"),
    "HGMMA": ("tensor", "update"),
}  # fmt: skip


def executions(code: Sequence[Instruction], launch: Launch) -> dict[int, float]:
    """How many times warps run each basic block, by its number."""
    blocks = {block[0].block: block for block in by_block(code)}
    slow = {number for number, block in blocks.items() if _is_slow(block)}
    slow |= _unreached(blocks, launch)
    before, loops = _flow(blocks, slow)
    known = _requested([i for i in code if i.block not in slow], launch)
    times: dict[int, float] = dict.fromkeys(slow, 0.0)
    warps = float(math.prod(launch.grid) * -(-math.prod(launch.block) // 32))
    for number, block in blocks.items():
        if number in times:
            continue
        if number in known:
            times[number] = known[number]
            continue
        come = max((times[b] for b in before[number]), default=warps)
        lines = [float(launch.trips[i.lines[0]]) for i in block if i.lines and i.lines[0] in launch.trips]
        within = [known[b] for b in known if number <= b <= loops.get(number, -1)]
        if within:
            times[number] = max(within)
        elif number in loops:
            times[number] = _middle(lines) if lines else come
        else:
            times[number] = min(come, _middle(lines)) if lines else come
    return times


def _middle(values: list[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]


def _is_slow(block: Sequence[Instruction]) -> bool:
    return any(i.is_outlined or i.opcode.startswith("CALL") or "COLLECTIVE" in i.opcode for i in block)


def _unreached(blocks: dict[int, list[Instruction]], launch: Launch) -> set[int]:
    """Blocks of which more than MOVED is code of lines that no warp came to; what was asked for must be left somewhere."""
    shares = {n: sum(i.place in launch.never for i in block) / len(block) for n, block in blocks.items()}
    asked = {((c.file, c.line), (c.space, c.how)) for c in launch.counts}
    asking = {n: {key for i in block if (key := _key(i)) in asked} for n, block in blocks.items()}
    found: set[int] = set()
    for number in sorted((n for n in shares if shares[n] > MOVED), key=lambda n: -shares[n]):
        before, _ = _flow(blocks, found | {number})
        first, *rest = blocks
        reached = {first} - {number}
        for n in rest:  # in order: loops go back to what was reached
            if n not in found | {number} and not before[n].isdisjoint(reached):
                reached.add(n)
        ends = any(_leaves(blocks[n][-1]) for n in reached) or next(reversed(blocks)) in reached
        if ends and set().union(*asking.values()) == set().union(*(asking[n] for n in reached)):
            found.add(number)
    return found


def _key(instruction: Instruction) -> tuple[Any, Any]:
    return instruction.place, _ASKED.get(instruction.opcode.partition(".")[0])


def _leaves(instruction: Instruction) -> bool:
    return instruction.opcode.startswith("EXIT") and not instruction.is_conditional


def _requested(code: Sequence[Instruction], launch: Launch) -> dict[int, float]:
    """The blocks with loads and stores: never run where the counters have seen none that is done by all threads."""
    asked: dict[Any, int] = {((c.file, c.line), (c.space, c.how)): c.requests for c in launch.counts}
    keys = [_key(i) for i in code]
    found = defaultdict(list)
    for instruction, key in zip(code, keys):
        if key in asked or (key[1] and not instruction.is_conditional):
            found[instruction.block].append((instruction, key))
    never = {block for block, them in found.items() if 2 * sum(key in asked for _, key in them) < len(them)}
    copies = Counter(key for block, them in found.items() if block not in never for _, key in them)
    times = {block: _middle(_evened([(i, asked[key] / copies[key]) for i, key in them if key in asked]) or [0.0])
             for block, them in found.items() if block not in never}  # fmt: skip
    return times | dict.fromkeys(never, 0.0)


def _evened(times: list[tuple[Instruction, float]]) -> list[float]:
    """Loads of matrices in a block all run as often: the compiler gives some the line of another, but each line's requests."""
    of_matrices = [each for instruction, each in times if instruction.opcode.startswith("LDSM")]
    others = [each for instruction, each in times if not instruction.opcode.startswith("LDSM")]
    return others + [sum(of_matrices) / len(of_matrices)] * len(of_matrices) if of_matrices else others


def _flow(blocks: dict[int, list[Instruction]], slow: set[int]) -> tuple[dict[int, set[int]], dict[int, int]]:
    """The blocks that control comes from, of those before each; and where the loop ends that each head of one begins."""
    before: dict[int, set[int]] = {number: set() for number in blocks}
    loops: dict[int, int] = {}
    numbers = list(blocks)
    for number, following in zip(numbers, [*numbers[1:], None]):
        last = blocks[number][-1]
        if number in slow:
            continue
        goes_on = last.is_conditional or not last.opcode.startswith(("BRA", "EXIT", "RET", "BRX"))
        jumps = last.target if last.opcode != "BRA.DIV" else None
        for to in {following if goes_on else None, jumps} - {None}:
            if to not in before:
                continue
            if to > number:
                before[to].add(number)
            else:
                loops[to] = max(loops.get(to, 0), number)
    return before, loops
