"""Recording a step on a CPU: it runs once, on arrays that tell what is done with them, and is then taken back.

Like a GPU's, the recording leaves nothing behind: what the run wrote to memory from outside is as before, and the first replay
is the step. In the meantime Tensors from outside, and what an optimizer keeps, show their memory as `Noted` arrays, and the
functions of NumPy that make arrays of nothing make such ones.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..device import parallel
from ..tape.sharing import owner_of
from ..tape.tensor import Tensor, innermost
from .forks import clash
from .log import Log, NotRecorded, arrays_in, assign, current, mapped, opened
from .noted import Noted, plain, seen
from .program import Program

__all__ = ["Host"]


class Host:
    """What records on a CPU, for a `Recording`."""

    def __init__(self, recording: Any):
        self.recording = recording
        self.log: Log | None = None
        self._shown: dict[int, tuple[Tensor, Any, np.ndarray]] = {}

    def owns(self, data: Any) -> bool:
        return self.log is None or self.log.has_made(innermost(data))  # `grad` nests Tensors

    def show(self, x: Tensor) -> None:
        """Have a tensor from outside show its memory as a noted array."""
        data = x.data
        if type(data) is np.ndarray and x.device == "cpu":
            x.data = seen(data)
            self._shown[id(x)] = x, x.data, data

    def record(self, step: Callable[[], Any], tensors: list[Tensor]) -> Any:
        """What `step` returns, its calls being noted; all memory from outside is as before."""
        self.log = log = Log()
        self._shown = {}
        held: list[np.ndarray] = []

        def show(x: np.ndarray) -> Any:
            held.append(x)
            return seen(x)

        with contextlib.ExitStack() as stack:
            for holder in self.recording.holders:
                stack.callback(holder.shown(show))
            for x in tensors:
                self.show(x)
            stack.callback(self._hide)
            held += [data for _, _, data in self._shown.values()]
            backups = [(data, data.copy("K")) for data in held]
            self.recording.show, self.recording.call, self.recording.see = self.show, log.call, seen
            try:
                with makers_noted(), spread_noted(), opened(log):
                    outputs = step()
            finally:
                self.recording.show = self.recording.call = self.recording.see = None
                log.undo()
                are_seen = [data.tobytes() == was.tobytes() for data, was in backups]
                for data, was in backups:
                    data[...] = was
        if log.obstacle:
            raise NotRecorded(log.obstacle)
        if clash(log.entries):
            raise NotRecorded("threads that it spreads its work over would write to the same memory")
        if not all(are_seen):
            raise NotRecorded("it has a call that the recorder cannot see, which writes to a Tensor")
        return outputs

    def _hide(self) -> None:
        for x, noted, data in self._shown.values():
            if x.data is noted:
                x.data = data

    def build(self, inputs: list[np.ndarray], outputs: list[np.ndarray], kept: list[np.ndarray]) -> Program:
        """The program of what was recorded."""
        assert self.log is not None
        return Program(self.log, inputs, outputs, kept)


def stands_for(data: Any) -> Any:
    """The array from outside that a noted one stands for, or what it shows of memory from outside."""
    if not isinstance(data, Noted):
        return data
    return plain(data) if data.stands_for is None else data.stands_for


# --- functions of NumPy that take no array that could tell -----------------------------------------------------------------
CONVERTING = ("array", "asarray", "ascontiguousarray", "asanyarray", "asfortranarray")
FILLING = (
    "zeros",
    "ones",
    "full",
    "arange",
    "eye",
    "identity",
    "linspace",
    "tri",
    "zeros_like",
    "ones_like",
    "full_like",
)
EMPTY = ("empty", "empty_like")


@contextlib.contextmanager
def makers_noted() -> Iterator[None]:
    """Within the block, arrays that this thread has NumPy make are noted ones."""
    before = {name: getattr(np, name) for name in (*CONVERTING, *FILLING, *EMPTY)}
    for name, function in before.items():
        setattr(np, name, _noting(function, name))
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(np, name, function)


def _noting(function: Callable, name: str) -> Callable:
    def make(*args: Any, **options: Any) -> Any:
        log = current()
        if log is None or options.get("dtype") is object:
            return function(*args, **options)
        given = arrays_in((args, options))
        if name in CONVERTING and given:
            return log.convert(function, args, options)
        if name in ("full", "full_like") and any(a.size and not log.is_constant(a) for a in given[-1:] if a.ndim == 0):
            like = plain(args[0]) if name == "full_like" else args[0]
            made = log.make(function(like, 0, *args[2:], **options), is_filled=False)
            log.call(assign, (made, args[1]), {}, in_place=True)
            return made
        found = function(*mapped(plain, args), **mapped(plain, options))
        if type(found) is not np.ndarray or found.dtype.hasobject:
            return found
        if owner_of(found) is not found:  # `as_strided` asks for a view in this way
            return found.view(Noted)
        return log.make(found, is_filled=name not in EMPTY)

    make.__name__ = name
    make.original = function  # type: ignore[attr-defined]
    return make


@contextlib.contextmanager
def spread_noted() -> Iterator[None]:
    """Within the block, what this thread spreads over others is noted as a fork."""
    before = parallel.noting
    parallel.noting = _forked
    try:
        yield
    finally:
        parallel.noting = before


def _forked(fn: Callable[[int, int], object], bounds: list[int], is_alone: bool = False) -> bool:
    log = current()
    if log is None:
        return False
    if log.is_forked or (len(bounds) == 2 and not is_alone):
        fn(bounds[0], bounds[-1])
    else:
        with parallel.blas_held:  # as it is while threads work: what it splits between its own it adds up otherwise
            log.fork([lambda i=i, j=j: fn(i, j) for i, j in itertools.pairwise(bounds)])  # type: ignore[misc]
    return True
