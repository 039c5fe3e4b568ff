"""What is being recorded: whoever takes part in a captured step (optimizers, random generators) asks here, see `capture`."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numpy as np

from ..device import devices
from . import autograd
from .autograd import count_special
from .tensor import Parameter, Tensor, wrap

__all__ = ["Recording", "Unmet", "activated", "active", "as_one", "shown"]


F = TypeVar("F", bound=Callable[..., Any])


class Unmet(RuntimeError):
    """A step, being recorded, comes to what it has not met while warming up: it is to be warmed up again."""


class _Active(threading.local):
    recording: Recording | None = None


_active = _Active()


@contextmanager
def activated(recording: Recording) -> Iterator[None]:
    """Within the block, what a step does in this thread is recorded, or warmed up for it."""
    count_special(1)
    _active.recording = recording
    try:
        yield
    finally:
        _active.recording = None
        count_special(-1)


def active() -> Recording | None:
    """What is being recorded, or warmed up for it, in this thread."""
    return _active.recording if autograd.special else None


def shown(x: np.ndarray) -> Any:
    """An array that outlasts steps, so that what is asked of it with another is seen while a step is recorded on a CPU."""
    recording = active()
    return x if recording is None or recording.see is None else recording.see(x)


def as_one(*, writes: bool = False, may_fail: bool = True) -> Callable[[F], F]:
    """Have a function of arrays whose way depends on their numbers recorded on a CPU as one call, which is made again as it is.

    It returns arrays, or nothing where it looks for what is wrong, or `writes` to its first argument. Memory of the
    surroundings that is written to before it is kept in each replay, to be put back, unless it says that it cannot fail.
    """

    def decorate(function: F) -> F:
        function.may_fail = may_fail  # type: ignore[attr-defined]

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            recording = active()
            if recording is None or recording.call is None:
                return function(*args, **options)
            return recording.call(function, args, options, in_place=writes)

        return cast(F, call)

    return decorate


class _Leaf:
    """The gradient of a leaf: what it was when the step began, and what it is when the step ends."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor
        self.begin()

    def begin(self) -> None:
        self.start = self.tensor._grad
        self.data = self.end = None if self.start is None else self.start.data
        self.is_touched = self.is_used = self.is_replaced = False
        self.was_hooked = self.is_hooked()

    def is_hooked(self) -> bool:
        """Whether hooks are called with the gradient."""
        return autograd.collect is not None and autograd.collect.calls_hooks_of(self.tensor)

    def touch(self, *, is_replaced: bool = False) -> None:
        """Note that the gradient is used now, with what the step began with, if that is still there, or is replaced unseen.

        Where it was replaced, memory is an arena's that comes back with other numbers.
        """
        grad = self.tensor._grad
        self.is_touched = True
        self.is_replaced |= is_replaced or grad is None
        if not self.is_replaced and self.data is not None and grad is not None:
            self.is_used |= grad.data is self.data or getattr(grad.data, "stands_for", None) is self.data

    def fits(self) -> bool:
        """Whether the step may begin with the gradient that there is."""
        grad = self.tensor._grad
        if self.is_hooked() != self.was_hooked:
            return False
        if grad is None or self.data is None:
            return (grad is None) == (self.data is None)
        return not self.is_used or grad.data is self.data

    def stop(self) -> None:
        grad = self.tensor._grad
        self.end = None if grad is None else grad.data

    def prepare(self) -> None:
        """Give who still holds the last gradient memory of its own, where the step begins with none: as `backward` does."""
        leaf = self.tensor
        if isinstance(leaf, Parameter) and leaf._is_shown and not self.is_used:
            autograd.leave_to_holder(leaf)

    def finish(self, xp: Any) -> None:
        """The gradient as the step leaves it; what lies in memory of the recording's own is copied from there."""
        self.start = None  # nobody's, from here on: a gradient that is held is not written to
        leaf, end = self.tensor, self.end
        view = leaf._grad_view if isinstance(leaf, Parameter) else None
        if end is None:
            leaf._grad = None
        elif end is not self.data and end is not view:
            leaf._grad = wrap(xp.asarray(end, copy=True), leaf.device)
        elif leaf._grad is None or leaf._grad.data is not end:
            leaf._grad = wrap(end, leaf.device)
            if isinstance(leaf, Parameter) and end is view:
                leaf._grad_tensor = leaf._grad


class Recording:
    """What a step needs before each replay, and what must still be as it was: else it is recorded anew."""

    def __init__(self, device: str):
        self.xp, self.device = devices.namespace(device), device
        self.is_recording = False  # False while the step is run as usual, to warm up
        self.has_started = False
        self.callbacks: list[Callable[[], Any]] = []
        self.undo: list[Callable[[], Any]] = []
        self.leaves: dict[int, _Leaf] = {}  # whose gradient the step uses, by identity
        self.seen: dict[int, weakref.ref] = {}  # the tensors that operations read while the step was warmed up
        self.read: dict[int, tuple[Tensor, Any, bool]] = {}  # those from outside the step: memory, requires_grad
        self.kept: list[Any] = []  # other memory from outside
        self.owns: Callable[[Any], bool] | None = None  # while recording: whether memory lives as long as the graph
        self.conditions: list[tuple[Callable[[], Any], Any]] = []
        self.optimizers: list[Any] = []
        self.obstacles: list[Callable[[], str | None]] = []
        self.constants: dict[Callable[[], Any], Any] = {}
        self.generators: list[Any] = []
        self.started: list[dict[str, int]] = []  # their states when recording started
        self.used: list[int] = []  # the blocks that a step draws from each
        self.advances: list[Any] = []
        # Of a CPU, which records by having arrays tell what is done with them: what has arrays of its own and can show them
        # so (`shown`), and while recording, what shows a Tensor so, and what does and notes a call of any function.
        self.holders: list[Any] = []
        self.parts: list[Any] = []
        self.show: Callable[[Tensor], Any] | None = None
        self.call: Callable[..., Any] | None = None
        self.see: Callable[[np.ndarray], Any] | None = None

    # --- what takes part ----------------------------------------------------------------------------------------------
    def before_replay(self, callback: Callable[[], Any]) -> None:
        """Have something done on the host before each replay."""
        if self.is_recording and callback not in self.callbacks:
            self.callbacks.append(callback)

    def if_it_fails(self, callback: Callable[[], Any]) -> None:
        """Have something undone should the recording fail, before the step is run as usual."""
        if self.is_recording:
            self.undo.append(callback)

    def depends_on(self, get: Callable[[], Any]) -> None:
        """Replay only while `get()` gives what it gives now."""
        if self.is_recording and all(get != known for known, _ in self.conditions):
            self.conditions.append((get, get()))

    def take_part(self, optimizer: Any, part: Any) -> None:
        """Have `part.count()` done before each replay, and replay only while `part.is_current()`. Once for each optimizer."""
        if any(known is optimizer for known in self.optimizers):
            raise RuntimeError(f"{type(optimizer).__name__} steps twice in it, with one set of numbers for each replay")
        self.optimizers.append(optimizer)
        self.before_replay(part.count)
        self.parts.append(part)
        self.conditions.append((part.is_current, True))

    def holds(self, holder: Any) -> None:
        """Have `holder.shown` asked, when the step is recorded on a CPU, for its arrays to be noted."""
        if not any(known is holder for known in self.holders):
            self.holders.append(holder)

    def _hold_arena(self, x: Tensor) -> None:
        if not isinstance(x, Parameter) or x._place is None:
            return
        arena = x._place[0].arena()
        if arena is None:  # it is gone with its optimizer, and nobody wants the gradient there
            x._place = x._grad_view = x._grad_tensor = None
        elif not self.is_recording:
            self.holds(arena)
        elif self.show is not None and all(known is not arena for known in self.holders):
            raise RuntimeError(
                f"it computes with a parameter of shape {x.shape} whose optimizer it had not met while warming up"
            )

    def wants_constant(self, get: Callable[[], Any]) -> None:
        """Refuse to record a step during which `get()`, which names things, comes to give something else."""
        self.constants.setdefault(get, get())

    def ends_with(self, obstacle: Callable[[], str | None]) -> None:
        """Refuse a step at whose end there is an obstacle: something begun on the host that ends outside."""
        if self.is_recording and obstacle not in self.obstacles:
            self.obstacles.append(obstacle)

    def note(self, call: Any, name: str, args: tuple, static: dict[str, Any]) -> Any:
        """What `autograd.watch` is meanwhile. A tensor that two runs of the step read was not made by it."""
        if active() is self:
            for a in args:
                if isinstance(a, Tensor):
                    self.note_tensor(a)
                    if self.show is not None:
                        self.show(a)
        return NotImplemented

    def note_tensor(self, x: Tensor) -> None:
        """Note that the step reads a tensor."""
        self._hold_arena(x)
        if not self.is_recording:
            self.seen[id(x)] = weakref.ref(x)
        elif id(x) not in self.read and self.has_read(x):
            if x.device != self.device:
                raise RuntimeError(
                    f"it computes on {x.device} with a tensor of shape {x.shape}, which a replay would not"
                )
            self.keep(x)
        elif x.device == self.device and id(x) not in self.read and self.owns and not self.owns(x.data):
            self.kept.append(x.data)  # found where nobody looks, or a view that the step makes

    def has_read(self, x: Tensor) -> bool:
        """Whether the step, warming up, has read a tensor."""
        return id(x) in self.seen and self.seen[id(x)]() is x

    def keep(self, x: Tensor) -> None:
        """Note that the graph may read a tensor's memory, which lives as long as it."""
        self.read.setdefault(id(x), (x, x.data, x.requires_grad))

    def note_leaf(self, leaf: Tensor, *, is_replaced: bool = False) -> None:
        """Note that the step uses the gradient of a leaf: adds to it, updates with it, or puts another or none in its place."""
        self._hold_arena(leaf)
        if id(leaf) not in self.leaves:
            if self.show is not None and leaf._grad is not None:  # of one that has come where nobody looks
                self.show(leaf._grad)
            self.leaves[id(leaf)] = _Leaf(leaf)
        self.leaves[id(leaf)].touch(is_replaced=is_replaced)

    def note_grad(self, leaf: Tensor) -> None:
        """What `tensor.note_grad` is meanwhile: the step gives a leaf another gradient, or none."""
        if active() is self:
            self.note_leaf(leaf, is_replaced=True)

    def advance_of(self, generator: Any) -> Any:
        """The number in device memory that kernels add to a generator's counter (None before the recording)."""
        known = [g is generator for g in self.generators]
        if self.is_recording:
            if True not in known:
                raise RuntimeError("the step draws from a random generator that it did not draw from before")
            return self.advances[known.index(True)]
        if True not in known:
            self.generators.append(generator)
        return generator.advance

    # --- recording ----------------------------------------------------------------------------------------------------
    def begin(self) -> None:
        """The step begins, warming up or being recorded."""
        self.constants = {get: get() for get in self.constants}
        for leaf in self.leaves.values():
            leaf.begin()

    def changed_constant(self) -> str | None:
        """What the step has changed on the host, where a replay would not."""
        for get, value in self.constants.items():
            if (now := get()) != value:
                return str(now[0])
        return None

    def start(self) -> None:
        self.advances = [self.xp.zeros((1,), dtype=self.xp.uint64) for _ in self.generators]
        self.started = [g.get_state() for g in self.generators]
        self.begin()
        self.is_recording = self.has_started = True

    def stop(self) -> None:
        """Take back what the generators have counted: nothing has been drawn yet."""
        self.is_recording = False
        self.used = [g.counter - s["counter"] for g, s in zip(self.generators, self.started)]
        for g, s in zip(self.generators, self.started):
            g.set_state(s)
        for part in self.parts:
            part.settle()
        self.leaves = {i: leaf for i, leaf in self.leaves.items() if leaf.is_touched}
        self.seen = {}
        for leaf in self.leaves.values():
            leaf.stop()

    def check(self) -> None:
        """RuntimeError if the step has done on the host what a replay would not."""
        for obstacle in filter(None, (get() for get in self.obstacles)):
            raise RuntimeError(obstacle)
        if name := self.changed_constant():
            raise RuntimeError(f"it changes {name} on the host, which a replay would not")
        for x, data, _ in self.read.values():
            if x.data is not data:
                raise RuntimeError(
                    f"it gives other memory to a tensor of shape {x.shape} that it did not make; write to it in place, "
                    "under weft.no_grad()"
                )

    # --- replaying ----------------------------------------------------------------------------------------------------
    def is_current(self) -> bool:
        """Whether the step would do again what was recorded: same seeds, memory, gradients to begin with, and options."""
        for g, started in zip(self.generators, self.started):
            if g.seed != started["seed"]:
                return False
        for x, data, requires_grad in self.read.values():
            if x.data is not data or x.requires_grad != requires_grad:
                return False
        for leaf in self.leaves.values():
            if not leaf.fits():
                return False
        return all(get() == value for get, value in self.conditions)

    def prepare(self) -> None:
        """Bring everything in device memory up to the step that is about to be replayed."""
        for g, s, used, advance in zip(self.generators, self.started, self.used, self.advances):
            advance[...] = self.xp.asarray(np.array([(g.counter - s["counter"]) % 2**64], np.uint64))
            g.counter += used
        for leaf in self.leaves.values():
            leaf.prepare()
        for callback in self.callbacks:
            callback()

    def remembered(self) -> Callable[[], None]:
        """What takes back the counting of `prepare`, should the replay not come about."""
        counters, undo = [(g, g.counter) for g in self.generators], [part.remembered() for part in self.parts]

        def forget() -> None:
            for g, counter in counters:
                g.counter = counter
            for part in undo:
                part()

        return forget

    def finish(self) -> None:
        """Leave the gradients as the step would."""
        for leaf in self.leaves.values():
            leaf.finish(self.xp)

    def forget(self) -> None:
        """Undo what a recording that failed has left on the host: nothing of it was computed."""
        for undo in self.undo:
            undo()
        for leaf in self.leaves.values() if self.has_started else ():  # before, gradients are of calls as usual
            leaf.tensor._grad = leaf.start
