"""Where control goes between the basic blocks of machine code: what is reached, what dominates what, loops."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set

from ..toolchain.machine_code import Instruction, by_block

__all__ = ["Blocks", "Flow", "callers_first", "calls", "closure", "leaves", "reached"]

Blocks = dict[int, list[Instruction]]
Edges = Mapping[int, set[int]]


def callers_first(code: Sequence[Instruction]) -> Blocks:
    """The blocks by number: the kernel's, then those of functions, none before those that call it."""
    functions: dict[str, Blocks] = {}
    for block in by_block(code):
        functions.setdefault(block[0].function, {})[block[0].block] = block
    at = {number: name for name, blocks in functions.items() for number in blocks}
    seen: set[str] = set()
    order: list[str] = []  # those that are called, first

    def visit(name: str) -> None:
        if name not in seen:
            seen.add(name)
            for block in functions[name].values():
                if calls(block) in at:
                    visit(at[calls(block)])
            order.append(name)

    for name in reversed(functions):  # the kernel at last
        visit(name)
    return {number: block for name in reversed(order) for number, block in functions[name].items()}


def calls(block: Sequence[Instruction]) -> int:
    """The first block of the function that a block calls at its end; -1 where it calls none that is known."""
    last = block[-1]
    return last.target if last.opcode.startswith("CALL") and last.target is not None else -1


def reached(blocks: Blocks, without: Iterable[int] = ()) -> set[int]:
    """The blocks on a way from the kernel's first to its end, through functions that have such a way; none if there is none."""
    ways: dict[int, set[int]] = {}  # by the first block of each function
    functions = _by_function(blocks)
    for numbers in reversed(functions):  # those that are called, first
        endless = {n for n, block in blocks.items() if ways.get(calls(block)) == set()}
        order, _, before = _graph(blocks, numbers[0], {*without, *endless})
        ends = {n for n in order if leaves(blocks[n][-1]) or (n == numbers[-1] and blocks[n][-1].opcode != "BRA")}
        ways[numbers[0]] = closure(ends, before)
    found: set[int] = set()
    for first, *_ in functions:
        if first == functions[0][0] or any(calls(blocks[n]) == first for n in found):
            found |= ways[first]
    return found


def closure(numbers: Set[int], edges: Edges) -> set[int]:
    """What edges lead to from these, which are among it."""
    found, new = set(numbers), set(numbers)
    while new:
        new = set().union(*(edges[n] for n in new)) - found
        found |= new
    return found


def _by_function(blocks: Blocks) -> list[list[int]]:
    found = defaultdict(list)
    for number, block in blocks.items():
        found[block[0].function].append(number)
    return list(found.values())


def leaves(instruction: Instruction) -> bool:
    """Whether a function may end with it."""
    return instruction.opcode.startswith(("EXIT", "RET"))


def _after(blocks: Blocks, numbers: Sequence[int]) -> dict[int, set[int]]:
    """The blocks of a function that control may go to from each; after an indirect branch, those that nothing else leads to."""
    found: dict[int, set[int]] = {}
    for number, following in zip(numbers, [*numbers[1:], None]):
        last = blocks[number][-1]
        goes_on = last.is_conditional or not last.opcode.startswith(("BRA", "EXIT", "RET", "BRX"))
        is_jump = last.opcode.startswith("BRA") and last.opcode != "BRA.DIV"
        is_inside = last.opcode.startswith("CALL") and last.target in numbers  # by which sm_80 leaves some loops
        jumps = last.target if is_jump or is_inside else None
        found[number] = {n for n in (following if goes_on else None, jumps) if n is not None and n in blocks}
    led_to = set().union(*found.values())
    for number in numbers:
        if blocks[number][-1].opcode.startswith("BRX"):
            found[number] |= {n for n in numbers[1:] if n not in led_to}
    return found


@dataclasses.dataclass(frozen=True)
class Flow:
    """The flow within one function, of the blocks that its first leads to.

    `order`: each after what leads to it but for the ends of loops. `before`: the blocks that control comes from. `dominator`: the
    last of those that are passed on every way from the first, of each block but this. `loops`: by their heads, what is in them.
    `ends`: the blocks at which the function may end.
    """

    order: list[int]
    before: dict[int, set[int]]
    dominator: dict[int, int]
    loops: dict[int, set[int]]
    ends: frozenset[int]

    @staticmethod
    def of(blocks: Blocks, first: int, without: Iterable[int] = ()) -> Flow:
        """The flow of the function that begins with block `first`, of whose blocks some are left out."""
        order, after, before = _graph(blocks, first, set(without))
        dominator = _dominators(order, before)
        flow = Flow(order, before, dominator, {}, frozenset(n for n in order if leaves(blocks[n][-1])))
        for number in order:
            for head in after[number]:
                if flow.dominates(head, number):
                    flow.loops.setdefault(head, {head}).update(closure({number}, before | {head: set()}))
        return flow

    def dominates(self, one: int, other: int) -> bool:
        """Whether each way to the other passes the one."""
        while other != one and other in self.dominator:
            other = self.dominator[other]
        return other == one

    def common_dominator(self, one: int, other: int) -> int:
        """The last block that each way to either passes."""
        while not self.dominates(one, other):
            one = self.dominator[one]
        return one

    def passes(self, number: int, before: int) -> bool:
        """Whether control from block `before` to the end, of the innermost loop that both are in, passes another."""
        shared = self.around(number)
        common = next((h for h in self.around(before) if h in shared), None)
        ends = self.ends | (self.before[common] & self.loops[common] if common is not None else set())
        around = {n: ways - {number} for n, ways in self.before.items()}
        return before == number or before not in closure(ends - {number}, around)

    def around(self, number: int) -> list[int]:
        """The heads of the loops that a block is in, the innermost first."""
        return sorted(
            (head for head, body in self.loops.items() if number in body), key=lambda head: len(self.loops[head])
        )


def _graph(blocks: Blocks, first: int, without: set[int]) -> tuple[list[int], dict[int, set[int]], dict[int, set[int]]]:
    """The blocks of a function that its first leads to, in reverse postorder; where control goes from each, and where from."""
    function = [n for n, block in blocks.items() if block[0].function == blocks[first][0].function]
    after = {n: set() if n in without else to - without for n, to in _after(blocks, function).items()}
    order = _order(first, after) if first not in without else []
    before: dict[int, set[int]] = {n: set() for n in order}
    for number in order:
        for n in after[number]:
            before[n].add(number)
    return order, after, before


def _order(first: int, after: Edges) -> list[int]:
    """Reverse postorder."""
    seen, done, todo = {first}, [], [(first, iter(sorted(after[first], reverse=True)))]
    while todo:
        number, rest = todo[-1]
        new = next((n for n in rest if n not in seen), None)
        if new is None:
            done.append(number)
            todo.pop()
        else:
            seen.add(new)
            todo.append((new, iter(sorted(after[new], reverse=True))))
    return done[::-1]


def _dominators(order: Sequence[int], before: Edges) -> dict[int, int]:
    """Cooper, Harvey and Kennedy, "A simple, fast dominance algorithm" (2001)."""
    at = {number: i for i, number in enumerate(order)}
    found: dict[int, int] = {}
    changed = True
    while changed:
        changed = False
        for number in order[1:]:
            ways = [n for n in before[number] if n in found or n == order[0]]
            new = ways[0]
            for other in ways[1:]:
                while new != other:
                    if at[new] > at[other]:
                        new = found[new]
                    else:
                        other = found[other]
            if found.get(number) != new:
                found[number], changed = new, True
    return found
