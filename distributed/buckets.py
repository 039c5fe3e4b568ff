"""Gradients added up over all processes in buckets, each as soon as backward has finished with what is in it.

    arena    [ ∂W₁ ……… | ∂b₁ … | ∂W₂ …… | ∂b₂ … ]      where gradients are written by backward
    buckets  [   1             |   0            ]      pieces of it, the last ones first

A piece of an optimizer's arena is reduced where it lies. Gradients that have no arena are copied to a vector and back.

Which parameters a backward pass will reach is known before it starts, from the graph: each arrives as often as operations
have used it, and is complete with the last of these. All processes begin buckets in one order, each when it and those
before it are complete; what is left is begun at the end of the pass. What one process has no gradient for counts as zero
there; what none has a gradient for stays without.
"""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend.device import ranks
from ..backend.tape import autograd
from ..backend.tape.recording import active
from ..backend.tape.tensor import Parameter, Tensor
from ..optimizers.arena import arena_of
from .bucket import Bucket
from .sums import SharedSum

WORTH_SHARING = 1 << 18  # bytes

__all__ = ["Reducer", "Reducers", "uses"]


def uses(root: Tensor, wanted: dict[int, Any]) -> dict[int, int]:
    """How often backward from `root` will bring a gradient to each of some parameters, by identity."""
    found: dict[int, int] = {}
    nodes, seen = [root._node or root], set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, Tensor):
            if id(node) in wanted:
                found[id(node)] = found.get(id(node), 0) + 1
        elif node is not None and id(node) not in seen:
            seen.add(id(node))
            nodes.extend(node.parents)
    return found


class Reducer:
    """What `backward` tells of gradients, for some parameters: `weft.backend.tape.autograd.reducing` calls it.

    Parameters
    ----------
    named : list of (str, Parameter)
        The parameters that are learned.
    cap : int
        Bytes in a bucket, unless one parameter has more.
    """

    def __init__(self, named: Sequence[tuple[str, Parameter]], cap: int):
        self.names = {id(p): name for name, p in named}
        self.params = [p for _, p in named]
        self.cap = cap
        self.is_on, self.number = True, 0
        self.buckets: list[Bucket] = []
        self._key: Any = None
        self._sum, self._is_new = 0, True
        self._next = 0
        self._used: set[int] = set()
        self._left: dict[int, int] = {}
        self._bucket_of: dict[int, Bucket] = {}
        self._agreement: Any = None
        self._vectors: dict[int, list[Any]] = {}  # gradients of arenas in each process, where all see them
        self._is_shared = False

    # --- the buckets --------------------------------------------------------------------------------------------------
    def _plan(self) -> None:
        """Lay the buckets out, if gradients have moved since: to the arena of a new optimizer, say."""
        views = [p._grad_view for p in self.params]
        key = [id(view) for view in views], [p.requires_grad for p in self.params]
        if key == self._key:
            return
        self._key, self._is_new = key, True
        living = {id(arena): arena for arena in map(arena_of, views) if arena is not None}
        self._vectors = {  # an arena's, if it still has that memory
            i: vectors
            for i, vectors in self._vectors.items()
            if i in living and vectors[ranks.group.rank] is living[i].grads
        }
        self._is_shared = bool(self._vectors)
        learned = [p for p in self.params if p.requires_grad]
        arenas: dict[int, tuple[Any, list[Parameter]]] = {}
        for p in learned:
            arena = arena_of(p._grad_view)
            kind = id(arena) if arena is not None else hash((p.device, str(p.dtype)))
            arenas.setdefault(kind, (arena, []))[1].append(p)
        self.buckets = []
        for arena, params in arenas.values():
            if arena is not None:
                params.sort(key=lambda p: arena.places[id(p._grad_view)][1])
            for run in _cut(params, arena, self.cap):
                self.buckets.append(Bucket(run, arena, self._vectors.get(id(arena))))
        place = {id(p): i for i, p in enumerate(learned)}
        self.buckets.sort(key=lambda bucket: -max(place[id(p)] for p in bucket.params))  # backward begins with the last
        self._bucket_of = {id(p): bucket for bucket in self.buckets for p in bucket.params}
        self._sum = zlib.crc32("\n".join(bucket.describe() for bucket in self.buckets).encode())

    # --- what backward tells ------------------------------------------------------------------------------------------
    def begin(self, root: Tensor) -> bool:
        """Before a pass; whether it will reach any of the parameters, and they are to be reduced."""
        if not self.is_on:
            return False
        found = uses(root, self.names)
        if found:
            self._begin(found)
        return bool(found)

    def reduce(self) -> None:
        """Reduce what passes have added up that were not to be reduced."""
        self._begin({})
        self.end()

    def _begin(self, found: dict[int, int]) -> None:
        self._plan()
        self._left, self._next = found, 0
        for bucket in self.buckets:
            bucket.waiting = sum(id(p) in found for p in bucket.params)
        self._agreement = None
        if active() is not None:  # replayed without the host: all are taken to have gradients
            self._used = {id(p) for bucket in self.buckets for p in bucket.params}
            return
        present = np.array([id(p) in found or p._grad is not None for p in self.params], np.uint8)
        mine = np.concatenate([np.array([self._sum ^ self._is_shared], np.uint32).view(np.uint8), present])
        self._agreement = ranks.group.begin_gather(mine)

    def arrived(self, leaf: Tensor) -> None:
        """After a gradient has been added to a parameter's."""
        left = self._left.get(id(leaf))
        if left is None:
            return
        self._left[id(leaf)] = left - 1
        if left == 1:
            self._bucket_of[id(leaf)].waiting -= 1
            self._start_what_is_complete()

    def _start_what_is_complete(self, is_end: bool = False) -> None:
        while self._next < len(self.buckets) and (is_end or not self.buckets[self._next].waiting):
            if self._is_new:  # later ones may wait for what the others say until the end
                self._agree()
            bucket = self.buckets[self._next]
            self._next += 1
            bucket.pending = self._begun(bucket)
        for bucket in self.buckets[: self._next]:
            if bucket.pending is not None:
                bucket.pending.poll()

    def _begun(self, bucket: Bucket) -> Any:
        """The sum of a bucket, under way."""
        gradients = bucket.settle()
        if bucket.in_common is not None:
            return SharedSum(ranks.group, bucket.in_common, "mean")
        return ranks.group.start_any(gradients, "mean", cuts=bucket.cuts, scatter=bucket.scatter)

    def _share_memory(self) -> None:
        """Move arenas of a CPU to memory that all processes of this machine see, once all are known to have the same."""
        self._is_shared = True
        arenas = {id(bucket.arena): bucket.arena for bucket in self.buckets if bucket.arena is not None}
        for arena in arenas.values():
            if type(arena.grads) is np.ndarray and not arena.reduces_own_part and arena.grads.nbytes >= WORTH_SHARING:
                vectors = ranks.group.shared(arena.grads.size, arena.grads.dtype)
                if vectors is not None:
                    arena.move_grads(vectors[ranks.group.rank])
                    self._vectors[id(arena)] = vectors

    def _agree(self) -> None:
        """What the others reduce, and have gradients for."""
        finish, self._agreement, self._is_new = self._agreement, None, False
        if finish is None:
            return
        everybody = finish()
        sums = np.ascontiguousarray(everybody[:, :4]).view(np.uint32)[:, 0]
        for rank, other in enumerate(sums):
            if other != sums[0]:
                raise RuntimeError(
                    f"gradients must lie alike in all processes, but those of process {rank} lie otherwise than those of "
                    "process 0; build the same model and the same optimizers, in the same order, in each"
                )
        used = everybody[:, 4:].any(axis=0)
        self._used = {id(p) for p, is_used in zip(self.params, used) if is_used}

    def end(self) -> None:
        """After a pass: begin what is left, and wait for all."""
        self._start_what_is_complete(is_end=True)
        self._agree()
        for bucket in self.buckets:
            bucket.finish(self._used)
        if not self._is_shared and active() is None:
            self._share_memory()


def _cut(params: list[Parameter], arena: Any, cap: int) -> list[list[Parameter]]:
    """Runs of neighbours of up to `cap` bytes, from the end."""
    runs: list[list[Parameter]] = []
    size = 0
    before = None
    for p in reversed(params):
        place = None if arena is None else arena.places[id(p._grad_view)][1]
        is_next = arena is None or before is None or place == before - 1
        if not runs or size + p.nbytes > cap or not is_next:
            runs.append([])
            size = 0
        runs[-1].insert(0, p)
        size += p.nbytes
        before = place
    return runs


class Reducers:
    """All of them that are alive: what `autograd.reducing` is while there is any."""

    def __init__(self) -> None:
        self.all: weakref.WeakSet[Reducer] = weakref.WeakSet()
        self.due: set[Reducer] = set()  # between forward and backward, though nobody holds the wrapper any more
        self._made = 0

    def add(self, reducer: Reducer) -> None:
        """Tell this one, too."""
        reducer.number = self._made = self._made + 1
        self.all.add(reducer)

    def begin(self, root: Tensor, sink: Callable) -> _Pass | None:
        """Before a backward pass: what is to be told of it, if it concerns any."""
        concerned = [reducer for reducer in sorted(self.all, key=lambda r: r.number) if reducer.begin(root)]
        return _Pass(concerned, sink) if concerned else None


class _Pass:
    """One backward pass."""

    def __init__(self, concerned: list[Reducer], sink: Callable):
        self.concerned, self._sink = concerned, sink

    def sink(self, leaf: Tensor, g: Any, others: Any) -> None:
        """Takes a gradient, as `autograd.run` wants it."""
        self._sink(leaf, g, others)
        for reducer in self.concerned:
            reducer.arrived(leaf)

    def end(self) -> None:
        """After it: nothing is left to reduce."""
        for reducer in self.concerned:
            reducer.end()
            autograd.reducing.due.discard(reducer)
