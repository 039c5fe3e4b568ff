"""A step on a CPU: recorded as a program of NumPy calls, checked once against the step itself, replayed.

The first replay is a test: the step is run as usual, too, from the same memory, and must leave the same bits. So a call that the
recorder could not see, and whose numbers it took for the host's own, is found before anybody is given them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..tape.tensor import Tensor, wrap
from .arguments import mapped
from .guard import FAILURES, compiled
from .host import Host, stands_for
from .program import Program
from .recorded_step import RecordedStep

__all__ = ["HostStep"]

CHECKS = 2  # replays that are checked: the first, which is given the numbers that were recorded, and the next
PATIENCE = 2  # replays in a row whose way came out another, after which the step is recorded anew


class HostStep(RecordedStep):
    """A `RecordedStep` on a CPU."""

    graph: Program | None
    recorder: Host

    def __init__(self, step: Callable, device: str, warmup: int, strict: bool):
        super().__init__(step, device, warmup, strict)
        self.checks = CHECKS
        self.diverged = 0
        self.detours = 0  # replays that were none of `straight`, which `compiled` has made
        self.straight: Callable[..., Any] | None = None
        self.made: dict[int, int] = {}  # by identity of what stands for it among `outputs`: which of the program's
        self.lock = threading.Lock()  # held while the program runs: threads that come meanwhile run the step as usual

    def is_lost(self) -> bool:
        return self.diverged >= PATIENCE

    def replay(self, given: list[Any], otherwise: Callable[..., Any]) -> Callable[..., Any] | None:
        if self.graph is None or self.checks or self.diverged:
            return None
        self.detours += 1
        if not self.detours & (self.detours - 1):  # seldom, where it is of no use: it takes as long as many replays
            self.straight = compiled(self, given, otherwise)
        return self.straight

    # --- recording ----------------------------------------------------------------------------------------------------
    def _copy(self, t: Tensor) -> Tensor:
        return wrap(_in_same_layout(t.data), self.device)

    def _take_down(self, args: tuple, inputs: list[Tensor], around: Any) -> tuple[Any, Any]:
        tensors = [*inputs, *around.tensors()]
        tensors += [t for ref in self.recording.seen.values() if (t := ref()) is not None]
        tensors += [g for leaf in self.recording.leaves.values() if (g := leaf.tensor._grad) is not None]
        return None, self.recorder.record(lambda: self._run(args), tensors)

    def _settle(self) -> None:
        """Have arrays from outside stand where noted ones stood for them."""
        recording = self.recording
        recording.read = {i: (x, stands_for(data), needs) for i, (x, data, needs) in recording.read.items()}
        for leaf in recording.leaves.values():
            leaf.data = stands_for(leaf.data)
            leaf.tensor._grad = leaf.start  # what the run has made is taken back
            if self.recorder.owns(leaf.end) if leaf.end is not None else False:
                continue
            leaf.end = stands_for(leaf.end)

    def _finished(self, graph: Any, outputs: Any) -> tuple[Any, Any]:
        leaves = [leaf for leaf in self.recording.leaves.values() if leaf.end is not None]
        kept: list[Any] = [leaf.end for leaf in leaves if self.recorder.owns(leaf.end) or self._is_given(leaf.end)]
        found: list[np.ndarray] = []

        def mark(t: Tensor) -> Tensor:
            if any(to is t for to in self.inputs) or id(t) in self.recording.read:
                return t
            stand_in = wrap(np.empty(0), self.device)
            self.made[id(stand_in)] = len(found)
            found.append(t.data)
            return stand_in

        outputs = mapped(mark, outputs, is_returned=True)
        graph = self.recorder.build([t.data for t in self.inputs], found, kept)
        for leaf in leaves:
            if self.recorder.owns(leaf.end):
                leaf.end = graph.array(self.recorder.log.region(leaf.end))  # type: ignore[union-attr,arg-type]
        self.recorder.log = None
        return graph, outputs

    def _is_given(self, data: Any) -> bool:
        """Whether it is an argument's memory: a gradient that is, or is a view of, what the step is called with."""
        return any(np.may_share_memory(data, t.data) for t in self.inputs)

    # --- replaying ----------------------------------------------------------------------------------------------------
    def _replay(self, args: tuple, given: list[Tensor]) -> Any:
        assert self.graph is not None
        if not self._is_apart(given):
            return self._call(args)
        if not self.lock.acquire(blocking=False):
            return self._call(args)
        if self.checks:
            try:
                return self._checked(args, given)
            finally:
                self.lock.release()
        undo = None
        try:
            undo = self.recording.remembered()
            self.recording.prepare()
            values = self.graph.run(*[t.data for t in given])
        except FAILURES:
            self.graph.restore()
            if undo is not None:
                undo()
            values = None
        finally:
            self.lock.release()
        if values is None:
            return self.diverges(*args)
        self.diverged = 0
        self.recording.finish()
        for i in self.written:
            given[i][...] = wrap(self.inputs[i].data, self.device)
        return mapped(lambda t: self._of(t, values, given), self.outputs, is_returned=True)

    def _note_memory(self, begun: int) -> None:
        """The program knows."""

    def _meets(self, x: Any, *, is_written: bool) -> bool:
        assert self.graph is not None
        return self.graph.meets(x, is_written=is_written)

    def diverges(self, positional: tuple, named: dict[str, Any] | None = None) -> Any:
        """The step as usual, after a run whose way came out another."""
        self.diverged += 1
        return self._call((positional, named or {}))

    def _of(self, output: Tensor, values: tuple, given: list[Tensor]) -> Tensor:
        for to, t in zip(self.inputs, given):
            if to is output:
                return t
        at = self.made.get(id(output))
        return output if at is None else wrap(values[at], self.device)

    def _checked(self, args: tuple, given: list[Tensor]) -> Any:
        """The step as usual, having compared what a replay does with what it does."""
        assert self.graph is not None
        self.checks -= 1
        memory = self.graph.written
        before, grads = (
            [m.copy("K") for m in memory],
            [(x.tensor, x.tensor._grad) for x in self.recording.leaves.values()],
        )
        undo = self.recording.remembered()
        self.recording.prepare()
        fault: Exception | None = None
        try:
            values = self.graph.run(*[t.data for t in given])
            found = [np.asarray(v).tobytes() for v in values], [m.tobytes() for m in memory]
            gradients = [(x.tensor, x.end.tobytes()) for x in self.recording.leaves.values() if x.end is not None]
        except Exception as error:
            found, fault = None, error
        inputs = [t.data.copy() for t in self.inputs]
        for m, was in zip(memory, before):
            m[...] = was
        undo()
        for tensor, grad in grads:
            tensor._grad = grad
        returned = self._call(args)  # which may raise the same
        if fault is not None and not isinstance(fault, FAILURES):
            self._give_up(f"its replay raised {type(fault).__name__}: {fault}")
        if found is None:
            return returned
        expected: dict[int, bytes] = {}

        def compare(pair: Any) -> None:
            stand_in, t = pair
            if id(stand_in) in self.made:
                expected[self.made[id(stand_in)]] = t.data.tobytes()

        for pair in zip(_tensors(self.outputs), _tensors(returned)):
            compare(pair)
        same = [expected.get(i, v) == v for i, v in enumerate(found[0])]
        same += [m.tobytes() == v for m, v in zip(memory, found[1])]
        # a leaf that the step makes anew each time has none here
        same += [t._grad is None or t._grad.data.tobytes() == v for t, v in gradients]
        same += [given[i].data.tobytes() == inputs[i].tobytes() for i in self.written]
        if not all(same):
            self._give_up("its replay gives other numbers: it has a call that the recorder cannot see")
        return returned


def _tensors(x: Any) -> list[Tensor]:
    found: list[Tensor] = []
    mapped(lambda t: found.append(t) or t, x, is_returned=True)  # type: ignore[func-returns-value]
    return found


def _in_same_layout(a: np.ndarray) -> np.ndarray:
    """A copy with the same strides: NumPy's and BLAS's ways, and so the bits, may depend on them."""
    first, last = np.lib.array_utils.byte_bounds(a) if a.size else (0, 0)
    if not a.size or any(n == 0 for n in a.shape):
        return np.empty_like(a)
    memory = np.empty(last - first, np.uint8)
    copy: np.ndarray = np.ndarray(a.shape, a.dtype, memory, a.__array_interface__["data"][0] - first, a.strides)
    copy[...] = a
    return copy
