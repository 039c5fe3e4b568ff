"""A bucket of gradients: parameters that are neighbours in an arena, or have none, and are reduced together."""

from __future__ import annotations

from typing import Any

from ..backend.device import devices, dtypes
from ..backend.tape.autograd import leave_to_holder
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Parameter, wrap
from ..optimizers.arena import ALIGNMENT

__all__ = ["Bucket"]


class Bucket:
    """Parameters whose gradients are reduced together.

    Parameters
    ----------
    params : list of Parameter
        In the order of memory.
    arena : Arena or None
        Where the gradients lie, if they are neighbours there.
    vectors : list of array, optional
        The gradients of the arena in each process, where all see them.
    """

    def __init__(self, params: list[Parameter], arena: Any, vectors: list[Any] | None = None):
        self.params, self.arena = params, arena
        self.in_common: list[Any] | None = None  # the bucket's memory in all processes
        self.waiting = 0
        self.pending: Any = None
        self.flat: Any = None
        self.cuts: list[int] | None = None
        self.scatter = False
        if arena is not None:
            places = [arena.places[id(p._grad_view)][1] for p in params]
            first, last = arena.offsets[places[0]], arena.ends[places[-1]]
            self.memory = arena.grads[first:last]
            self.size = last - first
            self.in_common = None if vectors is None else [vector[first:last] for vector in vectors]
            if arena.reduces_own_part:
                self.cuts = [min(max(c - first, 0), self.size) for c in arena.cuts]
                self.scatter = True
        else:
            like = params[0].data
            multiple = ALIGNMENT // dtypes.of(like).itemsize
            self.offsets, end = [], 0
            for p in params:
                self.offsets.append(-(-end // multiple) * multiple)
                end = self.offsets[-1] + p.size
            self.size = end
            self.memory = None

    def describe(self) -> str:
        """What must be the same in all processes."""
        return f"{self.size} {self.params[0].dtype} {[tuple(p.shape) for p in self.params]} {self.cuts}"

    def settle(self) -> Any:
        """The bucket's gradients as one vector, in place where they have an arena; those that are missing are zero."""
        for p in self.params:
            view = p._grad_view if self.arena is not None else None
            if p._grad is None:
                if view is None:
                    continue
                if p._is_shown:
                    leave_to_holder(p)
                view[...] = 0.0
                changed(view)
            elif view is not None and p._grad.data is not view:
                if p._is_shown:
                    leave_to_holder(p)
                view[...] = p._grad.data
                changed(view)
                p._grad = wrap(view, p.device)
        if self.arena is not None:
            return self.memory
        like = self.params[0].data
        xp = devices.namespace_of(like)
        self.flat = xp.zeros((self.size,), dtype=like.dtype, device=like.device)
        for p, at in zip(self.params, self.offsets):
            if p._grad is not None:
                self.flat[at : at + p.size] = xp.reshape(p._grad.data, (-1,))
        return self.flat

    def finish(self, used: set[int]) -> None:
        """Wait for the sum, and give the parameters what is theirs."""
        self.pending.wait()
        self.pending = None
        if self.arena is not None:
            changed(self.memory)
            for p in self.params:
                if p._grad is None and id(p) in used:
                    p._grad = wrap(p._grad_view, p.device)
            return
        xp = devices.namespace_of(self.flat)
        for p, at in zip(self.params, self.offsets):
            if id(p) not in used:
                continue
            g = xp.reshape(self.flat[at : at + p.size], p.shape)
            if p._grad is None:
                p._grad = wrap(xp.asarray(g, copy=True), p.device)
            else:
                p._grad.data[...] = g
                changed(p._grad.data)
        self.flat = None
