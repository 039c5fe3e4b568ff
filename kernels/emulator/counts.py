"""What was counted of a launch: of each line what it asks of memory, and how often warps come there."""

from __future__ import annotations

import dataclasses

from ..toolchain.launch import Instance
from ..toolchain.sources import Place
from .sample import TRUSTED

__all__ = ["SECTOR", "Counts", "Launch"]

SECTOR = 32  # bytes: what DRAM and the L2 cache move at least


@dataclasses.dataclass(frozen=True)
class Counts:
    """What one line asks of one memory; as "tensor", its warps' parts of products of warpgroups, `requested` their operations.

    `requests` are those of warps, `threads` the accesses joined in them, `requested` their bytes. Global memory: `sectors`
    of 32 bytes and `lines` of 128 that are touched, `ideal` the fewest sectors that the bytes could fill. Shared memory:
    `phases`, the `cycles` that they take (as many without bank conflicts), and `worst`, the most of one phase.
    """

    file: str
    line: int
    space: str
    how: str
    bytes: int
    requests: int
    threads: int
    requested: int
    sectors: int = 0
    ideal: int = 0
    lines: int = 0
    phases: int = 0
    cycles: int = 0
    worst: int = 0

    @property
    def excess(self) -> float:
        """How often what is needed: sectors over the ideal, or cycles over phases."""
        needed = self.ideal if self.space == "global" else self.phases
        return (self.sectors if self.space == "global" else self.cycles) / needed if needed else 1.0

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}"
        if self.space == "global":
            per = f"{self.sectors / self.requests:.4g} sectors per request, {self.ideal / self.requests:.4g} ideal"
        else:
            per = f"{self.cycles / self.phases:.4g} cycles per phase, {self.worst} at most"
        return f"{where:<28}{self.space} {self.how:<7}{self.bytes:>3} B {self.requests:>10,} requests  {per}"


@dataclasses.dataclass(frozen=True)
class Launch:
    """The counters of one launch.

    `trips`: how often a warp comes to each line, at least once per block of code there; `never`: the lines with code that no
    warp comes to. `read` and `written`: bytes of the arguments that are touched at all, each counted once; `sectors_read` and
    `sectors_written`: their 32-byte sectors, what DRAM must move at least. `sampled`: how many blocks stand for all; 0 where all
    were run. `error`: the standard error of what a sample tells, as a share, by how much its blocks differ.
    """

    instance: Instance
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared: int
    counts: tuple[Counts, ...]
    trips: dict[Place, int]
    never: frozenset[Place]
    read: int
    written: int
    sectors_read: int
    sectors_written: int
    sampled: int = 0
    error: float = 0.0

    @property
    def is_trusted(self) -> bool:
        """Whether all blocks were run, or those that were do about what the others do.

        Not where blocks update what others do, too, and some code is none of theirs: the last of all to come may do more.
        """
        talk = any((c.space, c.how) == ("global", "update") for c in self.counts)
        return not self.sampled or (self.error <= TRUSTED and not (talk and self.never))

    def of(self, space: str) -> list[Counts]:
        """The lines that go to "global" or "shared" memory, those that ask most first."""
        chosen = [c for c in self.counts if c.space == space]
        return sorted(chosen, key=lambda c: -(c.sectors + c.cycles))

    def wasteful(self, most: float = 1.1) -> list[Counts]:
        """The lines whose `excess` is above `most`: reads and writes that are not together, bank conflicts."""
        return [c for c in self.counts if c.excess > most]

    def __str__(self) -> str:
        head = f"{self.instance.expression}: {self.read:,} bytes read, {self.written:,} written"
        if self.sampled:
            head += f" (by {self.sampled:,} blocks for all, ± {self.error:.1%})"
        return "\n".join([head, *(f"  {c}" for space in ("global", "shared") for c in self.of(space))])
