"""What each kernel asks of memory in the cases of `weft info --kernels --profile`: counts of the emulator, nothing else.

`python -m weft.bench.kernels` writes them to `results/kernel_requests.json`, beside what is predicted of them. They take no
machine code and no library that the tests do not compile anyway, so that every kernel is guarded by a test of seconds.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..kernels.emulator.counters import Launch
from ..training.cli.kernel_profile import asked

__all__ = ["RECORD", "ROOM", "complaints", "read", "record", "requests", "text"]

RECORD = Path(__file__).with_name("results") / "kernel_requests.json"
ROOM = 1.02  # compilers of the host may read once more what they could have kept
UNITS = {"global": "sectors", "shared": "cycles"}

Lines = dict[str, dict[int, int]]  # by file, memory and way: what each line asks for
Record = dict[str, dict[str, list[int]]]  # the same of each kernel, without the lines' numbers: the least first


def requests(launches: Iterable[Launch]) -> dict[str, Lines]:
    """Sectors of global and cycles of shared memory that the lines of each kernel ask for, in all of its launches."""
    found: dict[str, Lines] = {}
    for launch in launches:
        lines = found.setdefault(launch.instance.expression, defaultdict(Counter))
        for c in launch.counts:
            if c.space in UNITS:
                lines[f"{c.file} {c.space} {c.how}"][c.line] += getattr(c, UNITS[c.space])
    return found


def record(names: Iterable[str]) -> Record:
    """What is recorded of these cases, by "case: kernel"."""
    return {
        f"{name}: {kernel}": {where: sorted(lines.values()) for where, lines in sorted(found.items())}
        for name in names
        for kernel, found in requests(asked(name)).items()
    }


def complaints(kernel: str, found: Lines, recorded: dict[str, list[int]]) -> list[str]:
    """What a kernel asks for beyond the record, each with the lines that ask for what none is recorded to, the most first."""
    problems = []
    for space, unit in UNITS.items():
        now = {where: lines for where, lines in found.items() if where.split()[1] == space}
        then = {where: amounts for where, amounts in recorded.items() if where.split()[1] == space}
        total, allowed = sum(sum(lines.values()) for lines in now.values()), sum(map(sum, then.values()))
        if total > ROOM * allowed:
            named = "; ".join(_new(now, then, unit))
            problems.append(f"{kernel}: {total:,} {unit} of {space} memory, recorded {allowed:,}: {named}")
    return problems


def _new(now: Lines, then: dict[str, Sequence[int]], unit: str) -> list[str]:
    changed = []
    for where, lines in now.items():
        file, space, how = where.split()
        left = Counter(then.get(where, ()))
        for line, amount in lines.items():
            if left[amount]:
                left[amount] -= 1
            else:
                changed.append((amount, f"{file}:{line}, {amount:,} {unit} by {space} {how}"))
    return [said for _, said in sorted(changed, reverse=True)]


def read() -> Record:
    """The record; empty where there is none."""
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def text(found: Record) -> str:
    """As it is written: a line for each kernel."""
    return "{\n" + ",\n".join(f" {json.dumps(name)}: {json.dumps(lines)}" for name, lines in found.items()) + "\n}\n"
