"""The least time that a launch takes on a GPU: what it keeps busy, from the emulator's counters and the machine code.

    with counters.counting() as launches:
        layer_norm.forward(x, weight, bias, eps=1e-5)
    print(roofline(launches[0], MACHINES["H200"]))

Six limits, each as if it were the only one; the greatest is the prediction:

    DRAM     the sectors of all arguments that are touched, each moved once, over the bandwidth
    L2       the sectors of all requests, local memory's too, as if L1 held none of them
    issue    the instructions of all warps, four per cycle and multiprocessor
    lanes    those of the busiest pipe, by how many lanes do them: 64 of integers, 16 of exponentials (toolchain/lanes.py)
    tensor   the operations of tensor cores
    shared   the cycles of shared memory, bank conflicts included

How often an instruction runs is an estimate (executions.py).

What it cannot see: caches between DRAM and L2, latency and what hides it, launches too small for the device and last waves of
blocks that do not fill it, what a launch costs, and lanes that no guide tells. Accesses are those of the source: what NVIDIA's
compiler makes one of (members of a structure, neighbours that are read one by one), or reads once for all turns of a loop, may
cost less than is said. Requests are joined by line and turn, so two parts of a warp that come to a line in different turns of a
loop count as one.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..toolchain.compiler import Resources, build
from ..toolchain.lanes import pipe_cycles
from ..toolchain.launch import Instance
from ..toolchain.machine_code import Instruction, Machine, disassemble, local_sectors, occupancy, tensor_operations
from ..toolchain.sources import Place
from .counters import SECTOR, Launch, compile_counted
from .executions import executions

__all__ = ["LIMITS", "Cost", "Roofline", "machine_code_of", "prepare", "roofline"]

LIMITS = ("DRAM", "L2", "issue", "lanes", "tensor", "shared")
Executed = defaultdict[Place, float]  # how many instructions of a line, each as often as it runs
_ISSUED = 4  # instructions of a multiprocessor per cycle


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one line asks for: instructions of warps, sectors and the fewest possible, cycles of shared memory and phases.

    `spilled`: those of its instructions that go to local memory.
    """

    file: str
    line: int
    instructions: float = 0
    sectors: int = 0
    ideal: int = 0
    cycles: int = 0
    phases: int = 0
    spilled: float = 0

    def __str__(self) -> str:
        parts = [f"{self.file}:{self.line}", f"{self.instructions:,.0f} instructions"]
        if self.sectors:
            parts.append(f"{self.sectors:,} sectors ({self.sectors / max(1, self.ideal):.3g}× ideal)")
        if self.cycles:
            parts.append(f"{self.cycles:,} cycles of shared memory ({self.cycles / max(1, self.phases):.3g} per phase)")
        if self.spilled:
            parts.append(f"{self.spilled:,.0f} of them go to local memory")
        return ", ".join(parts)


@dataclasses.dataclass(frozen=True)
class Roofline:
    """The limits of a launch on a machine: `seconds` of each, and what its lines ask for, the costliest first.

    `pipes`: the seconds of each, of which the greatest are the "lanes" among the limits.
    """

    kernel: str
    source: str
    machine: str
    seconds: dict[str, float]
    bytes: int
    instructions: float
    tensor_operations: float
    registers: int
    occupancy: float
    spills: int
    lines: list[Cost]
    pipes: dict[str, float]

    @property
    def limit(self) -> str:
        """Which of LIMITS is the greatest."""
        return max(LIMITS, key=lambda name: self.seconds[name])

    @property
    def time(self) -> float:
        """The prediction, in seconds."""
        return self.seconds[self.limit]

    @property
    def parts(self) -> dict[str, float]:
        """The limits with each pipe for itself: what grows with the work, in which the greatest of the pipes has a bend."""
        return {name: seconds for name, seconds in self.seconds.items() if name != "lanes"} | self.pipes

    @property
    def pipe(self) -> str:
        """The busiest of the pipes."""
        return max(self.pipes, key=lambda name: self.pipes[name], default="")

    def __str__(self) -> str:
        shares = "  ".join(f"{name} {self.seconds[name] / self.time:.0%}" for name in LIMITS if self.seconds[name])
        return f"{self.kernel} on {self.machine}: {self.time * 1e6:.3g} µs predicted, {shares} ({self.pipe})"


def roofline(launch: Launch, machine: Machine) -> Roofline:
    """What limits a launch on a machine.

    Raises what `build` and `disassemble` raise.
    """
    code, taken = machine_code_of(launch.instance, machine.arch)
    times = executions(code, launch)
    instructions: Executed = defaultdict(float)
    spilled: Executed = defaultdict(float)
    executed: defaultdict[str, float] = defaultdict(float)  # by opcode
    counted = sum(c.requested for c in launch.counts if c.space == "tensor")
    operations = {False: 0.0, True: float(counted)}  # by whether they are a warpgroup's
    local = 0.0  # sectors of local memory
    for instruction in code:
        instructions[instruction.place] += times[instruction.block]
        executed[instruction.opcode] += times[instruction.block]
        if instruction.kind == "local":
            spilled[instruction.place] += times[instruction.block]
            local += times[instruction.block] * local_sectors(instruction.opcode)
        if instruction.kind == "tensor" and not instruction.opcode.startswith("HGMMA"):
            operations[False] += times[instruction.block] * tensor_operations(instruction.opcode)
    lines = _costs(launch, instructions, spilled)
    cycles = machine.multiprocessors * machine.clock
    moved = SECTOR * (launch.sectors_read + launch.sectors_written)
    total = sum(instructions.values())
    pipes = {pipe: busy / cycles for pipe, busy in pipe_cycles(executed, machine.arch).items()}
    rates = {False: machine.tensor, True: machine.warpgroup or machine.tensor}
    seconds = {
        "DRAM": moved / machine.bandwidth,
        "L2": SECTOR * (local + sum(cost.sectors for cost in lines)) / (machine.l2 * cycles),
        "issue": total / (_ISSUED * cycles),
        "lanes": max(pipes.values(), default=0.0),
        "tensor": sum(done / rates[group] for group, done in operations.items()) / cycles,
        "shared": sum(cost.cycles for cost in lines) / cycles,
    }
    share = occupancy(taken, math.prod(launch.block), launch.shared, machine)
    return Roofline(
        launch.instance.expression, launch.instance.source, machine.name, seconds, moved, total,
        sum(operations.values()), taken.registers, share, taken.spill_stores + taken.spill_loads, lines, pipes,
    )  # fmt: skip


def prepare(instances: Iterable[Instance], arch: str) -> Generator[Instance, None, None]:
    """Compile what counting these and reading their machine code takes, as many at a time as there are cores; each when it is done.

    Raises what `compile_counted` and `machine_code_of` raise.
    """

    def one(instance: Instance) -> Instance:
        compile_counted(instance)
        machine_code_of(instance, arch)
        return instance

    pool = ThreadPoolExecutor(os.cpu_count())  # compilers are processes, NVRTC lets go of the interpreter
    try:
        yield from pool.map(one, dict.fromkeys(instances))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # who is interrupted does not wait for what is being compiled


@functools.cache
def machine_code_of(instance: Instance, arch: str) -> tuple[Sequence[Instruction], Resources]:
    """The instructions of an instantiation, and what it takes."""
    program = build(instance.source, (instance.expression,), instance.options, arch=arch)
    return disassemble(program)[instance.expression], program.resources[0]


def _costs(launch: Launch, instructions: Executed, spilled: Executed) -> list[Cost]:
    asked: dict[Place, Any] = {place: Counter() for place in instructions}
    for c in launch.counts:
        sums = asked.setdefault((c.file, c.line), Counter())
        for name in ("sectors", "ideal", "cycles", "phases"):
            sums[name] += getattr(c, name)
    costs = [
        Cost(*place, instructions=instructions.get(place, 0.0), spilled=spilled.get(place, 0.0), **sums)
        for place, sums in asked.items()
    ]
    return sorted(costs, key=lambda c: -max(c.instructions / _ISSUED, c.sectors / 2, c.cycles))
