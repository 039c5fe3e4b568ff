"""Sums of vectors of the host over all processes, in the order of ranks.

A sum over N processes goes in two rounds of messages, which do not wait. Each process owns a part of the vector:

    1. process r receives part r from everybody, and adds them up: ((x₀ + x₁) + x₂) + …
    2. everybody receives the N sums

Each byte travels as often as in a ring, 2 (N − 1)/N times in and out of a process. Unlike `MPI_Allreduce`, whose order is
the library's choice, this has one order whatever arrives first and whatever the library: a run repeats bit for bit, and all
processes have the same bits, for each sum is made once. float16 and bfloat16, which MPI does not know, are added up in
float32 and rounded once. Vectors of up to `SMALL` bytes are gathered whole, in one round, and added up by everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend.device.dtypes import is_real_floating

__all__ = ["OPERATIONS", "Pending", "SharedSum", "fold", "raw_bytes"]

SMALL = 16 * 1024  # bytes: of two processes on two cores, one round is the faster up to here
BLOCK = 1 << 15  # elements that are added up at a time

OPERATIONS: dict[str, Callable[..., Any]] = {
    "sum": np.add,
    "mean": np.add,
    "max": np.maximum,
    "min": np.minimum,
    "prod": np.multiply,
}


class UnderWay:
    """Rounds of messages that do not wait: what comes after a round (`_arrived`) begins the next, or none."""

    group: Any
    requests: list[Any]

    def poll(self) -> bool:
        """Whether all is done; go on with it if a round has arrived."""
        while self.requests:
            if not self.group.are_done(self.requests):
                return False
            self._arrived()
        return True

    def wait(self) -> None:
        """Go on until all is done."""
        while self.requests:
            self.group.wait_for(self.requests)
            self._arrived()

    def _arrived(self) -> None:
        raise NotImplementedError


class Pending(UnderWay):
    """A sum, or a gathering, that is under way. `Group.start` and `start_gather` make it."""

    def __init__(self, group: Any, x: np.ndarray, op: str | None, cuts: Sequence[int] | None, scatter: bool):
        self.group, self.x, self.op, self.scatter = group, x, op, scatter
        n, k = group.size, x.size
        self.cuts = [k * r // n for r in range(n + 1)] if cuts is None else list(cuts)
        self.own = x[self.cuts[group.rank] : self.cuts[group.rank + 1]]
        self.requests: list[Any] = []
        self.parts: list[np.ndarray] = []  # what the processes have, of what is summed here
        self.memory: np.ndarray | None = None
        self.tag = group.next_tag()
        if n == 1:
            return
        if op is None:
            self._gather()
        elif x.nbytes <= SMALL and not scatter:
            self.own = x
            self._receive_whole()
        else:
            self._exchange()

    def _receive_whole(self) -> None:
        group, n = self.group, self.group.size
        self.memory = group.borrow(n * self.x.size, self.x.dtype)
        self.parts = list(self.memory.reshape(n, self.x.size))
        byte = group.MPI.BYTE
        self.requests = [group.comm.Iallgather([raw_bytes(self.x), byte], [raw_bytes(self.memory), byte])]

    def _exchange(self) -> None:
        """Send each process what it is to sum, and receive what is summed here."""
        group, comm, size = self.group, self.group.comm, self.own.size
        self.memory = group.borrow((group.size - 1) * size, self.x.dtype)
        free = list(self.memory.reshape(group.size - 1, size))
        self.parts = [self.own if r == group.rank else free.pop() for r in range(group.size)]
        for r in group.others:
            self.requests.append(comm.Irecv([raw_bytes(self.parts[r]), group.MPI.BYTE], r, self.tag))
        for r in group.others:
            part = self.x[self.cuts[r] : self.cuts[r + 1]]
            self.requests.append(comm.Isend([raw_bytes(part), group.MPI.BYTE], r, self.tag))

    def _gather(self) -> None:
        """Send everybody the own part, and receive theirs in place."""
        group, comm = self.group, self.group.comm
        for r in group.others:
            part = self.x[self.cuts[r] : self.cuts[r + 1]]
            self.requests.append(comm.Irecv([raw_bytes(part), group.MPI.BYTE], r, self.tag + 1))
        for r in group.others:
            self.requests.append(comm.Isend([raw_bytes(self.own), group.MPI.BYTE], r, self.tag + 1))

    def _arrived(self) -> None:
        self.requests = []
        if self.memory is None:
            return
        assert self.op is not None
        fold(self.parts, self.op, self.own)
        self.group.give_back(self.memory)
        is_whole, self.memory, self.parts = self.own is self.x, None, []
        if not is_whole and not self.scatter:
            self._gather()


class SharedSum(UnderWay):
    """A sum of vectors in memory that all processes of a machine see: each adds its part up, and writes it to all.

    One barrier before, when everybody's numbers are there, and one after. Nothing is sent, nothing copied.
    """

    def __init__(self, group: Any, vectors: Sequence[np.ndarray], op: str):
        self.group, self.op = group, op
        n, k = group.size, vectors[0].size
        own = slice(k * group.rank // n, k * (group.rank + 1) // n)
        self.parts = [vector[own] for vector in vectors]
        self.is_summed = False
        self.tag = group.next_tag()
        self.requests: list[Any] = group.begin_barrier(self.tag)

    def _arrived(self) -> None:
        self.requests = []
        self.group.see()
        if self.is_summed:
            return
        total = self.group.borrow(min(BLOCK, self.parts[0].size), self.parts[0].dtype)
        for at in range(0, self.parts[0].size, BLOCK):
            parts = [part[at : at + BLOCK] for part in self.parts]
            fold(parts, self.op, total[: parts[0].size])
            for part in parts:
                part[...] = total[: part.size]
        self.group.give_back(total)
        self.is_summed = True
        self.requests = self.group.begin_barrier(self.tag + 1)


def fold(parts: Sequence[np.ndarray], op: str, out: np.ndarray) -> None:
    """out ← parts[0] ∘ parts[1] ∘ …, from the left; in float32 where they are of half precision, and rounded once.

    `out` may be one of the parts.
    """
    function, n = OPERATIONS[op], len(parts)
    if out.itemsize == 2 and is_real_floating(out.dtype):
        total = parts[0].astype(np.float32)
        for part in parts[1:]:
            function(total, part.astype(np.float32), out=total)
        out[...] = (total / n if op == "mean" else total).astype(out.dtype)
        return
    for at in range(0, out.size, BLOCK):  # which stays in the cache for the next operation
        block = slice(at, at + BLOCK)
        total = function(parts[0][block], parts[1][block])
        for part in parts[2:]:
            function(total, part[block], out=total)
        if op == "mean":
            np.divide(total, n, out=out[block]) if n & (n - 1) else np.multiply(
                total, total.dtype.type(1 / n), out=out[block]
            )
        else:
            out[block] = total


def raw_bytes(x: np.ndarray) -> np.ndarray:
    """A contiguous array as its bytes, of whatever dtype."""
    return x.reshape(-1).view(np.uint8)
