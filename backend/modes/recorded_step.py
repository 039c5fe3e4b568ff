"""A step for arguments of one kind: warmed up, recorded, replayed.

Whatever changes from one step to the next must be read from device memory:

- the arguments: copied into the recorded ones before each replay, and back where the step writes to them;
- the learning rate, the step count and all else that an optimizer computes on the host: `Optimizer._count`;
- random numbers: kernels add to their counter how many blocks were drawn since the recording.

All else that the host decides is checked before each replay (`Recording.is_current`, `Surroundings`). A graph has addresses
and keeps no memory alive: what it reads is held here, by name (`held`, `inputs`) and in `Recording.read`.
"""

from __future__ import annotations

import functools
import gc
import threading
import warnings
from collections.abc import Callable
from typing import Any

from ..device import devices
from ..tape import autograd, sharing, tensor
from ..tape.recording import Recording, Unmet, activated
from ..tape.tensor import Tensor, wrap
from .arguments import changed, contents, mapped, numbers_in, objects_in, obstacle_in, overlap
from .interrupts import held_back
from .surroundings import PLAIN, Surroundings

__all__ = ["RecordedStep", "preparing"]

MORE = 4  # calls at most that warm up once more, where what the step finds by name is another than when it last did

# Held while a step is warmed up or recorded, which is done by way of what all threads share: functions of NumPy, Tensors that show
# other arrays, the garbage collector. Other threads' captured steps run as usual meanwhile.
preparing = threading.Lock()


def _memory_of(ref: Callable[[], Tensor | None]) -> tuple[int, bool] | None:
    """Where a tensor lies, and whether it is trained; None if it is gone."""
    t = ref()
    return None if t is None else (id(t.data), t.requires_grad)


class RecordedStep:
    """A step with a graph of it, once it has been warmed up. Called with arguments of the kind that it was made for.

    `args` is a pair, of the positional ones and a dict of those by name; `given` are the Tensors in it.
    """

    def __init__(self, step: Callable, device: str, warmup: int, strict: bool):
        from .recorders import recorder_for  # not before something is captured

        self.step, self.device, self.warmup, self.strict = step, device, warmup, strict
        self.recording = Recording(device)
        self.recorder: Any = recorder_for(device, self.recording)
        self.is_possible, self.is_silent = True, False
        self.obstacle: str | None = None  # found while warming up
        self.warmed_up: list[tuple[Callable[[], Any], Any]] | None = None  # what the last call to warm up left
        self.more = MORE
        self.numbers: list[str] | None = None  # that the step returned
        self.surroundings: Surroundings | None = None
        self.inputs: list[Tensor] = []
        self.written: list[int] = []  # which of the inputs the step writes to
        self.outside: list[tuple[int, int]] = []  # addresses of the surroundings' memory that it reads or writes to
        self.changing: list[tuple[int, int]] = []  # and of what it writes to
        self.held: list[Any] = []  # memory that the step finds by name
        self.interrupts: held_back | None = None  # while it is recorded
        self.outputs: Any = None
        self.graph: Any = None

    def replay(self, given: list[Any], otherwise: Callable[..., Any]) -> Callable[..., Any] | None:
        """What does the last call again without detours, on a CPU: for arguments by position, such as these.

        For others, and where something is not as it was, it does what `otherwise` does.
        """
        return None

    def is_lost(self) -> bool:
        """Whether replaying it has turned out to be in vain."""
        return False

    def is_current(self) -> bool:
        if self.graph is None or self.surroundings is None:
            return True
        return self.recording.is_current() and self.surroundings.is_current()

    def _call(self, args: tuple) -> Any:
        positional, named = args
        return self.step(*positional, **named)

    def __call__(self, args: tuple, given: list[Tensor]) -> Any:
        if not self.is_possible:
            return self._call(args)
        if self.graph is not None:
            return self._replay(args, given)
        if not preparing.acquire(blocking=False):
            return self._call(args)
        try:
            return self._prepared(args, given)
        finally:
            preparing.release()

    def _prepared(self, args: tuple, given: list[Tensor]) -> Any:
        """A call that warms the step up, or records it and is the first replay."""
        if not self.warmup and self.more and not self._is_warmed_up():
            self.warmup, self.more = 1, self.more - 1
        if self.warmup:
            self.warmup -= 1
            return self._warm_up(args)
        try:
            with held_back() as self.interrupts:
                error = self._record(args, given)
        finally:
            self.interrupts = None
        if error is not None and self.is_possible:
            returned = self._call(args)  # which raises the same, if it is no fault of the recording's
            self._give_up(error)
            return returned
        return self._replay(args, given) if self.graph is not None else self._call(args)

    def _is_apart(self, given: list[Tensor]) -> bool:
        """Whether to write to an argument, or to the surroundings, is not to write to another argument."""
        if self.written and overlap(given):
            return False
        return not any(
            id(t) in self.recording.read or self._meets(t.data, is_written=i in self.written)
            for i, t in enumerate(given)
        )

    def _meets(self, x: Any, *, is_written: bool) -> bool:
        """Whether an argument shares memory with what is written to of the surroundings; one that `is_written`, with any."""
        start, end = sharing.extent(x)
        return any(a < end and start < b for a, b in (self.outside if is_written else self.changing))

    def _note_memory(self, begun: int) -> None:
        """Note where the memory of the surroundings lies that the step, recorded since `begun`, reads or writes to."""
        found = self.recording
        grads = [x for leaf in found.leaves.values() for x in (leaf.data, leaf.end) if x is not None]
        known = [x for x in (*(data for _, data, _ in found.read.values()), *found.kept) if x is not None]
        changing = [*grads, *(x for x in known if sharing.last_change(x) < begun)]
        self.outside, self.changing = ([sharing.extent(x) for x in of] for of in (grads + known, changing))

    def _replay(self, args: tuple, given: list[Tensor]) -> Any:
        if not self._is_apart(given):
            return self._call(args)
        for to, t in zip(self.inputs, given):
            to.data[...] = t.data
        self.recording.prepare()
        self.recorder.launch(self.graph)
        self.recording.finish()
        for i in self.written:
            given[i][...] = wrap(self.inputs[i].data, self.device)
        return mapped(lambda t: self._result(t, given), self.outputs, is_returned=True)

    def _result(self, output: Tensor, given: list[Tensor]) -> Tensor:
        """What a call returns for what the recorded one did: an argument, a tensor from outside, or a copy of what is new."""
        for to, t in zip(self.inputs, given):
            if to is output:
                return t
        if id(output) in self.recording.read:
            return output
        return wrap(self.recording.xp.asarray(output.data, copy=True), self.device)

    def _run(self, args: tuple) -> Any:
        """The step, what it reads being noted."""
        call = self._call if self.interrupts is None else functools.partial(self.interrupts.through, self._call)
        before = contents(args)
        with activated(self.recording):
            autograd._mode.leaves, autograd.watch = self.recording.note_leaf, self.recording.note
            autograd._mode.is_recorded, tensor.note_grad = self.recording.is_recording, self.recording.note_grad
            try:
                returned = call(args)
            finally:
                autograd._mode.leaves = autograd.watch = tensor.note_grad = None
                autograd._mode.is_recorded = False
        if kind := changed(before):
            self.obstacle = f"it changes what an argument (`{kind}`) holds, which a replay would not"
        self._check_returned(returned)
        return returned

    def _warm_up(self, args: tuple) -> Any:
        """The step as usual, while what it does on the host is looked at: to find that in a recording would do it once more."""
        around = Surroundings(self.step, *objects_in(args)) if not self.warmup else None
        self.warmed_up = None
        self.recording.begin()
        found = self._run(args)
        if around is not None:
            self._note_drawn(around)
            if name := self._changed(around) or self.recording.changed_constant():
                self.obstacle = f"it changes {name} on the host, which a replay would not"
            self._remember(around)
        return found

    def _remember(self, around: Surroundings) -> None:
        """Keep what decides which state the step allocates, as it has left it."""
        self.warmed_up = [(around.has_other_objects, False)]
        for ref in self.recording.seen.values():
            if (t := ref()) is not None:
                self.warmed_up.append((functools.partial(_memory_of, ref), (id(t.data), t.requires_grad)))

    def _is_warmed_up(self) -> bool:
        """Whether the step is as it was when it last warmed up: else it may allocate in the recording what outlasts that."""
        return self.warmed_up is not None and all(get() in (value, None) for get, value in self.warmed_up)

    def _changed(self, around: Surroundings) -> str | None:
        """What the step has changed on the host and goes on from: a number, or a Tensor that it reads and replaces."""
        for name, was, now in around.settle():
            if isinstance(was, Tensor) and self.recording.has_read(was):
                return f"`{name}`"
            if isinstance(was, PLAIN) and isinstance(now, PLAIN):
                return f"`{name}`"
        return None

    def _note_drawn(self, around: Surroundings) -> None:
        if (name := around.drawn_from()) and not self.obstacle:
            self.obstacle = f"it takes a value from `{name}` on the host, which a replay would not"

    def _check_returned(self, returned: Any) -> None:
        numbers = numbers_in(returned)
        if self.numbers not in (None, numbers):
            self.obstacle = (
                f"it returns what the host has computed, now {numbers!s:.200} and before {self.numbers!s:.200}"
            )
        self.obstacle = obstacle_in(returned) or self.obstacle
        self.numbers = numbers

    def _record(self, args: tuple, given: list[Tensor]) -> Exception | None:
        """Record the step; the exception that ended it, if that may be the step's own, as where a batch is bad.

        What a failed recording held is let go of before the step is run as usual.
        """
        if self.obstacle:
            self._give_up(self.obstacle)
            return None
        copies: dict[int, Tensor] = {}
        for t in given:
            if id(t) not in copies:
                copies[id(t)] = self._copy(t)
        self.inputs = [copies[id(t)] for t in given]
        try:
            self.graph, self.outputs = self._recorded(args, mapped(lambda t: copies[id(t)], args))
        except BaseException as error:
            self.recording.forget()
            if not isinstance(error, Exception):  # an interrupt, of nothing that was computed
                self._begin_anew()
                raise
            if isinstance(error, Unmet) and self.more:
                self.more -= 1
                self._begin_anew()
                return None
            if isinstance(error, RuntimeError):  # a recorder's reason
                self._give_up(error)
                return None
            self._begin_anew()
            return error if self.strict else error.with_traceback(None)  # which would hold what was recorded
        return None

    def _begin_anew(self) -> None:
        """Forget what was recorded: the next call warms up, and the one after it is recorded."""
        from .recorders import recorder_for

        self.recording, self.inputs, self.warmup = Recording(self.device), [], 1
        self.recorder = recorder_for(self.device, self.recording)

    def _give_up(self, reason: Any) -> None:
        """Have the step run as usual from now on."""
        name = f"`{getattr(self.step, '__name__', 'step')}`"
        if self.strict:
            cause = reason if isinstance(reason, Exception) else None
            raise RuntimeError(f"{name} cannot be captured: {reason}") from cause
        self.is_possible, self.recorder, self.inputs, self.recording = False, None, [], Recording(self.device)
        self.graph = None
        if not self.is_silent:
            warnings.warn(f"{name} cannot be captured and runs as usual: {reason}", RuntimeWarning, stacklevel=5)

    def _copy(self, t: Tensor) -> Tensor:
        """What the step is recorded with for an argument: a graph is not run while it is recorded."""
        return wrap(devices.namespace(self.device).zeros_like(t.data), self.device)

    def _take_down(self, args: tuple, inputs: list[Tensor], around: Surroundings) -> tuple[Any, Any]:
        """A graph of the step and what it returned."""
        return self.recorder.record(lambda: self._run(args))

    def _settle(self) -> None:
        """Whatever is to be done between the recording and looking at what it found."""

    def _finished(self, graph: Any, outputs: Any) -> tuple[Any, Any]:
        """The same, once nothing keeps the step from being replayed."""
        return graph, outputs

    def _recorded(self, args: tuple, copies: tuple) -> tuple[Any, Any]:
        around = Surroundings(self.step, *objects_in(args))
        inputs, begun = [(t, t.data, sharing.last_change(t.data)) for t in self.inputs], next(sharing.clock)
        for t in around.tensors():
            self.recording.note_tensor(t)
        self.recording.start()
        self.recording.owns = lambda data: (
            self.recorder.owns(data) or any(sharing.shares(data, was) for _, was, _ in inputs)
        )
        collects = gc.isenabled()
        gc.disable()  # what it frees might belong to the graph
        try:
            graph, outputs = self._take_down(copies, self.inputs, around)
        finally:
            self.recording.stop()
            self.recording.owns = None
            if collects:
                gc.enable()
        self._settle()
        self._note_drawn(around)
        self.recording.check()
        mapped(lambda t: t, outputs, is_returned=True)  # whether it can be
        if self.obstacle:
            raise RuntimeError(self.obstacle)
        self.written = [i for i, (_, data, time) in enumerate(inputs) if sharing.last_change(data) != time]
        for t, data, _ in inputs:
            if t.data is not data:
                raise RuntimeError("it gives other memory to an argument; write to it in place, under weft.no_grad()")
        around.settle()
        self._note_memory(begun)
        self.surroundings, self.held = around, [t.data for t in around.tensors()]
        return self._finished(graph, outputs)
