"""A whole training step as one launch: forward, backward and update recorded once, replayed with new data.

What a step asks of the device is recorded as a CUDA graph (in the emulator, as a list of operations) on fixed memory.
Whatever changes from one step to the next must then be read from device memory:

- the arguments: copied into the recorded ones before each replay, and back where the step writes to them;
- the learning rate, the step count and all else that an optimizer computes on the host: `Optimizer._count`;
- random numbers: kernels add to their counter how many blocks were drawn since the recording.

All else that the host decides is checked before each replay (`Recording.is_current`, `Surroundings`): where it is not as it
was, the step is recorded anew. A recording keeps what its graph reads: the tensors that operations were given.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ...kernels.toolchain import settings
from ..device import devices, dtypes, memory
from ..tape import autograd, sharing
from ..tape.recording import Recording, activated, active
from ..tape.tensor import Tensor, wrap
from .surroundings import PLAIN, Surroundings

__all__ = ["capture"]

# Recordings that are kept for calls of one kind: in training and in evaluation, to a gradient or to none. Each holds memory.
VARIANTS = 4
MISSES = 16  # recordings that were given up for others, after which a warning says that this is slow


class capture:
    """`step`, recorded at first and replayed afterwards: the host's share of a training step becomes one launch.

    Calls return what `step` returns, in new memory. On a CPU the step itself is called.

    Parameters
    ----------
    step : Callable
        A function of Tensors (and of tuples, lists, dicts of them) on one device. All that it does must go to the
        device in the same order each time: no `.item()`, no `if` on a computed value, no copy from the host.
    warmup : int, default 2
        How many calls are run as usual first, which is when optimizers allocate their state; at least 1.
    strict : bool, default False
        Whether to raise for a step that cannot be recorded. Otherwise it is run as usual from then on, and a
        RuntimeWarning says why.

    Raises
    ------
    ValueError
        If `warmup` is less than 1.
    RuntimeError
        In a call, if the step cannot be recorded and `strict` is True.

    Notes
    -----
    A captured step is the step itself, faster. What a call depends on is looked at before each replay, and where it has
    changed the step is warmed up and recorded anew; at most four recordings are kept for calls of one kind:

    - arguments of other shapes, dtypes or values (those that are no Tensors), another `autocast`, other settings such as
      `use_deterministic_algorithms` and `set_default_dtype`;
    - numbers and Tensors that the step finds by name: variables that it closes over, globals, attributes of Modules (`train`
      and `eval`, `dropout.p`), of its own objects, lists and dicts, in whatever is not of an installed package other than its own;
    - memory and `requires_grad` of the parameters, seeds, which gradients are None, options of optimizers and of a
      GradScaler that are not read from device memory.

    Gradients are left as the step leaves them, so that `zero_grad()` and `optimizer.step()` may stand outside; arguments
    that it changes in place are changed; `load_state_dict` of model, optimizer and scaler takes effect.

    A step cannot be captured that changes a number on the host (a counter, a schedule), returns one that differs from call
    to call, computes on another device with what it did not make, steps an optimizer twice, or gives other memory to a
    tensor from outside. One whose numbers on the host are others at nearly every call is recorded again and again, until a
    RuntimeWarning says so. What cannot be seen: values from `random`, clocks and files, and writing to `Tensor.data` of an
    argument.

    Results are off the tape. Arguments that require grad or lie on several devices, and calls inside `weft.grad` or another
    captured step, are run as usual.

    Examples
    --------
    >>> double = weft.capture(lambda x: 2 * x)
    >>> double(weft.tensor([1.0, 2.0]))
    tensor([2., 4.])
    """

    def __init__(self, step: Callable, *, warmup: int = 2, strict: bool = False):
        if not callable(step):
            raise TypeError(f"`step` must be a function, got {step!r:.80}")
        if warmup < 1:
            raise ValueError(f"`warmup` must be at least 1, got {warmup}")
        functools.update_wrapper(self, step, updated=())
        self.step, self.warmup, self.strict = step, warmup, strict
        self._steps: dict[Any, _Step] = {}
        self._misses = 0

    def __call__(self, *args: Any) -> Any:
        given = _tensors(args)
        device = given[0].device if given else devices.get_default_device()
        if devices.kind(device) not in ("cuda", "emulator") or not _is_plain_call(given, device):
            return self.step(*args)
        return self._step(device, (device, _modes(), _signature(args)))(args, given)

    def _step(self, device: str, key: tuple) -> _Step:
        """The recording that fits a call, or a new one."""
        known = [k for k in self._steps if k[0] == key]
        for k in known:
            if self._steps[k].is_current():
                return self._steps[k]
        if len(known) == VARIANTS:
            del self._steps[known[0]]
            self._misses += 1
            if self._misses == MISSES:
                name = f"`{getattr(self.step, '__name__', 'step')}`"
                warnings.warn(
                    f"{name} has been recorded {MISSES} times more than {VARIANTS}: something that it reads on the host is "
                    "another nearly each time; pass that as an argument, in a Tensor",
                    RuntimeWarning,
                    stacklevel=3,
                )
        new = self._steps[key, known[-1][1] + 1 if known else 0] = _Step(self.step, device, self.warmup, self.strict)
        return new


class _Step:
    """A step for arguments of one kind: warmed up, recorded, replayed."""

    def __init__(self, step: Callable, device: str, warmup: int, strict: bool):
        self.step, self.device, self.warmup, self.strict = step, device, warmup, strict
        self.recording = Recording(device)
        self.recorder: Any = _Emulated() if devices.kind(device) == "emulator" else _Cuda()
        self.is_possible = True
        self.obstacle: str | None = None  # found while warming up
        self.numbers: list[str] | None = None  # that the step returned
        self.surroundings: Surroundings | None = None
        self.inputs: list[Tensor] = []
        self.written: list[int] = []  # which of the inputs the step writes to
        self.held: list[Any] = []  # memory that the step finds by name
        self.outputs: Any = None
        self.graph: Any = None

    def is_current(self) -> bool:
        if self.graph is None or self.surroundings is None:
            return True
        return self.recording.is_current() and self.surroundings.is_current()

    def __call__(self, args: tuple, given: list[Tensor]) -> Any:
        if not self.is_possible:
            return self.step(*args)
        if self.warmup:
            self.warmup -= 1
            return self._warm_up(args)
        if self.graph is None and not self._record(args, given):
            return self.step(*args)
        for t in given:  # to write to one may be to write to another
            if id(t) in self.recording.read or (self.written and _overlap(given)):
                return self.step(*args)
        for to, t in zip(self.inputs, given):
            to.data[...] = t.data
        self.recording.prepare()
        self.recorder.launch(self.graph)
        self.recording.finish()
        for i in self.written:
            given[i][...] = wrap(self.inputs[i].data, self.device)
        return _map(lambda t: self._result(t, given), self.outputs)

    def _result(self, output: Tensor, given: list[Tensor]) -> Tensor:
        """What a call returns for what the recorded one did: an argument, a tensor from outside, or a copy of what is new."""
        for to, t in zip(self.inputs, given):
            if to is output:
                return t
        if id(output) in self.recording.read:
            return output
        return wrap(self.recording.xp.asarray(output.data, copy=True), self.device)

    def _run(self, args: tuple) -> Any:
        autograd._mode.leaves, autograd.watch = self.recording.note_leaf, self.recording.note
        try:
            with activated(self.recording):
                return self.step(*args)
        finally:
            autograd._mode.leaves = autograd.watch = None

    def _warm_up(self, args: tuple) -> Any:
        """The step as usual, while what it does on the host is looked at: to find that in a recording would do it once more."""
        around = Surroundings(self.step, *_objects(args)) if not self.warmup else None
        self.recording.begin()
        found = self._run(args)
        if around is not None:
            name = self._changed(around) or self.recording.changed_constant()
            self.obstacle = name and f"it changes {name} on the host, which a replay would not"
        self._check_numbers(found)
        return found

    def _changed(self, around: Surroundings) -> str | None:
        """What the step has changed on the host and goes on from: a number, or a Tensor that it reads and replaces."""
        for name, was, now in around.settle():
            if isinstance(was, Tensor) and self.recording.has_read(was):
                return f"`{name}`"
            if isinstance(was, PLAIN) and isinstance(now, PLAIN):
                return f"`{name}`"
        return None

    def _check_numbers(self, returned: Any) -> None:
        numbers = _plain(returned)
        if self.numbers not in (None, numbers):
            self.obstacle = f"it returns what the host has computed, now {numbers} and before {self.numbers}"
        self.numbers = numbers

    def _record(self, args: tuple, given: list[Tensor]) -> bool:
        """Whether the step could be recorded. What a failed recording held is let go of before the step is run as usual."""
        copies: dict[int, Tensor] = {}
        zeros = devices.namespace(self.device).zeros_like
        for t in given:
            copies.setdefault(id(t), wrap(zeros(t.data), self.device))
        self.inputs = [copies[id(t)] for t in given]
        try:
            self.graph, self.outputs = self._recorded(args, _map(lambda t: copies[id(t)], args))
        except Exception as error:
            name = f"`{getattr(self.step, '__name__', 'step')}`"
            self.recording.forget()
            if self.strict:
                raise RuntimeError(f"{name} cannot be captured: {error}") from error
            self.is_possible, self.recorder, self.inputs, self.recording = False, None, [], Recording(self.device)
            warnings.warn(f"{name} cannot be captured and runs as usual: {error}", RuntimeWarning, stacklevel=4)
        return self.is_possible

    def _recorded(self, args: tuple, copies: tuple) -> tuple[Any, Any]:
        if self.obstacle:
            raise RuntimeError(self.obstacle)
        around = Surroundings(self.step, *_objects(args))
        inputs = [(t, t.data, sharing.last_change(t.data)) for t in self.inputs]
        for t in around.tensors():
            self.recording.note_tensor(t)
        self.recording.start()
        collects = gc.isenabled()
        gc.disable()  # what it frees might belong to the graph
        try:
            graph, outputs = self.recorder.record(lambda: self._run(copies))
        finally:
            self.recording.stop()
            if collects:
                gc.enable()
        self.recording.check()
        self._check_numbers(outputs)
        if self.obstacle:
            raise RuntimeError(self.obstacle)
        self.written = [i for i, (_, data, time) in enumerate(inputs) if sharing.last_change(data) != time]
        for t, data, _ in inputs:
            if t.data is not data:
                raise RuntimeError("it gives other memory to an argument; write to it in place, under weft.no_grad()")
        around.settle()
        self.surroundings, self.held = around, [t.data for t in around.tensors()]
        return graph, outputs


class _Emulated:
    """A list of operations on the emulator's memory."""

    def record(self, step: Callable[[], Any]) -> tuple[Any, Any]:
        from ...kernels import emulator

        with emulator.capture() as graph:
            outputs = step()
        return graph, outputs

    def launch(self, graph: Any) -> None:
        graph.launch()


class _Cuda:
    """A CUDA graph, recorded on a stream and a memory pool of its own, launched on the stream of whoever calls.

    The default stream, on which CuPy works, cannot be recorded. Nothing runs on the other one, so the two need no order.

    A graph holds addresses. Its intermediate results are free memory to the pool, which gives that back to CUDA as it
    sees fit (when it finds no room for more, for one) while the graph goes on writing there. So all of it is held here.
    """

    def __init__(self) -> None:
        import cupy

        held: list[Any] = []
        self._held = held

        def allocate(size: int) -> Any:
            piece = cupy.cuda.Memory(size)
            held.append(piece)
            return cupy.cuda.MemoryPointer(piece, 0)

        self.pool = cupy.cuda.MemoryPool(allocate)
        self.stream = cupy.cuda.Stream(non_blocking=True)
        memory.recorders.add(self)

    def record(self, step: Callable[[], Any]) -> tuple[Any, Any]:
        import cupy

        cupy.get_default_memory_pool().free_all_blocks()  # what the steps before left: there is room for this one then
        with cupy.cuda.using_allocator(memory.explaining(self.pool.malloc)), self.stream:
            self.stream.begin_capture()
            try:
                outputs = step()
            except BaseException:
                with contextlib.suppress(cupy.cuda.runtime.CUDARuntimeError):  # it complains of what is being raised
                    self.stream.end_capture()
                raise
            return self.stream.end_capture(), outputs

    def launch(self, graph: Any) -> None:
        graph.launch()


# --- arguments and results --------------------------------------------------------------------------------------------
def _map(f: Callable[[Tensor], Any], x: Any) -> Any:
    """x with f applied to every Tensor in it."""
    if isinstance(x, Tensor):
        return f(x)
    if isinstance(x, dict):
        return {k: _map(f, v) for k, v in x.items()}
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(_map(f, v) for v in x))
    return type(x)(_map(f, v) for v in x) if isinstance(x, tuple | list) else x


def _tensors(x: Any) -> list[Tensor]:
    found: list[Tensor] = []
    _map(found.append, x)
    return found


def _objects(x: Any) -> list[Any]:
    """What is passed to a step that is neither a Tensor nor plain: objects, which may change."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, tuple | list):
        return [found for v in x for found in _objects(v)]
    return [] if isinstance(x, (*PLAIN, Tensor)) else [x]


def _is_plain_call(given: list[Tensor], device: str) -> bool:
    """Whether nobody but the caller has to do with what the step computes: no tape, no other recording, no watcher."""
    mode = autograd._mode
    if autograd.watch is not None or active() is not None or mode.level:
        return False
    return all(t.device == device and not t._depth and not (t.requires_grad and mode.enabled) for t in given)


def _overlap(tensors: list[Tensor]) -> bool:
    """Whether two different ones have memory in common."""
    pairs = [(a, b) for i, a in enumerate(tensors) for b in tensors[:i] if a is not b]
    return any(sharing.shares(a.data, b.data) for a, b in pairs)


def _plain(x: Any) -> list[str]:
    """The numbers in what a step returns, as text: those of a computation are in Tensors."""
    if isinstance(x, dict):
        return [text for k, v in x.items() for text in (repr(k), *_plain(v))]
    if isinstance(x, tuple | list):
        return [text for v in x for text in _plain(v)]
    return [repr(x)] if isinstance(x, (*PLAIN, np.generic, np.ndarray)) and x is not None else []


def _modes() -> tuple[Any, ...]:
    """What is set around a call and decides what the step does: process-wide settings, defaults, `no_grad`, `autocast`."""
    mode, defaults = autograd._mode, (devices.get_default_device(), dtypes.get_default_dtype())
    return settings.current(), defaults, mode.enabled, mode.is_again, mode.cast and mode.cast.dtype


def _signature(x: Any, seen: dict[int, int] | None = None) -> Any:
    """What a recording depends on, as a key: shapes and dtypes of Tensors, which of them are one; all else itself."""
    seen = {} if seen is None else seen
    if isinstance(x, Tensor):
        return "tensor", x.shape, x.dtype, x.device, seen.setdefault(id(x), len(seen))
    if isinstance(x, dict):
        return "dict", tuple((k, _signature(v, seen)) for k, v in x.items())
    if isinstance(x, tuple | list):
        return type(x), tuple(_signature(v, seen) for v in x)
    if isinstance(x, np.ndarray):
        raise TypeError(
            f"a captured step takes Tensors, got a NumPy array of shape {x.shape}; pass weft.asarray(…) of it"
        )
    return (
        (type(x), repr(x)) if isinstance(x, float | complex) else (type(x), x)
    )  # 1, 1.0 and True are equal, and 0.0 and -0.0
