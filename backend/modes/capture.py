"""A whole training step as one launch: forward, backward and update recorded once, replayed with new data.

What a step asks of the device is recorded as a CUDA graph (in the emulator, as a list of operations) on fixed memory.
Whatever changes from one step to the next must then be read from device memory:

- the arguments: copied into the recorded ones before each replay;
- the learning rate, the step count and all else that an optimizer computes on the host: `Optimizer.advance`;
- random numbers: kernels add to their counter how many blocks were drawn since the recording.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import warnings
from collections.abc import Callable
from typing import Any

from ...kernels.toolchain import settings
from ..device import devices, memory
from ..tape import autograd
from ..tape.recording import Recording, activated
from ..tape.tensor import Tensor, wrap

__all__ = ["capture"]


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
    Arguments of other shapes, dtypes or values (those that are no Tensors) are recorded on their own, and so is a call inside
    another `autocast` or under other settings, such as `use_deterministic_algorithms`.

    Examples
    --------
    >>> double = weft.capture(lambda x: 2 * x)
    >>> double(weft.tensor([1.0, 2.0]))
    tensor([2., 4.])
    """

    def __init__(self, step: Callable, *, warmup: int = 2, strict: bool = False):
        if warmup < 1:
            raise ValueError(f"`warmup` must be at least 1, got {warmup}")
        functools.update_wrapper(self, step, updated=())
        self.step, self.warmup, self.strict = step, warmup, strict
        self._steps: dict[Any, _Step] = {}

    def __call__(self, *args: Any) -> Any:
        device = _device_of(args) or devices.get_default_device()
        if devices.kind(device) not in ("cuda", "emulator") or autograd.watch is not None:
            return self.step(*args)
        key = device, _modes(), _signature(args)
        if key not in self._steps or not self._steps[key].is_current():
            self._steps[key] = _Step(self.step, device, self.warmup, self.strict)
        return self._steps[key](args)


class _Step:
    """A step for arguments of one kind: warmed up, recorded, replayed."""

    def __init__(self, step: Callable, device: str, warmup: int, strict: bool):
        self.step, self.device, self.warmup, self.strict = step, device, warmup, strict
        self.recording = Recording(device)
        self.recorder: Any = _Emulated() if devices.kind(device) == "emulator" else _Cuda()
        self.is_possible = True
        self.inputs: Any = None
        self.outputs: Any = None
        self.graph: Any = None

    def is_current(self) -> bool:
        return self.graph is None or self.recording.is_current()

    def __call__(self, args: tuple) -> Any:
        if not self.is_possible:
            return self.step(*args)
        if self.warmup:
            self.warmup -= 1
            return self._run(args)
        if self.graph is None and not self._record(args):
            return self.step(*args)
        for to, given in zip(_tensors(self.inputs), _tensors(args)):
            to.data[...] = given.data
        self.recording.prepare()
        self.recorder.launch(self.graph)
        return _map(lambda t: wrap(self.recording.xp.asarray(t.data, copy=True), self.device), self.outputs)

    def _run(self, args: tuple) -> Any:
        with activated(self.recording):
            return self.step(*args)

    def _record(self, args: tuple) -> bool:
        """Whether the step could be recorded. What a failed recording held is let go of before the step is run as usual."""
        self.inputs = _map(lambda t: wrap(devices.namespace(self.device).zeros_like(t.data), self.device), args)
        try:
            self.graph, self.outputs = self._recorded()
        except Exception as error:
            name = f"`{getattr(self.step, '__name__', 'step')}`"
            for undo in self.recording.undo:
                undo()
            for leaf in self.recording.leaves:  # gradients that were not computed: the step would add to them
                leaf.grad = None
            if self.strict:
                raise RuntimeError(f"{name} cannot be captured: {error}") from error
            self.is_possible, self.recorder, self.inputs = False, None, None
            warnings.warn(f"{name} cannot be captured and runs as usual: {error}", RuntimeWarning, stacklevel=4)
        return self.is_possible

    def _recorded(self) -> tuple[Any, Any]:
        self.recording.start()
        autograd._mode.leaves = self.recording.leaves
        collects = gc.isenabled()
        gc.disable()  # what it frees might belong to the graph
        try:
            with activated(self.recording):
                return self.recorder.record(lambda: self.step(*self.inputs))
        finally:
            autograd._mode.leaves = None
            self.recording.stop()
            if collects:
                gc.enable()


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


def _device_of(args: tuple) -> str | None:
    return next((t.device for t in _tensors(args)), None)


def _modes() -> tuple[Any, ...]:
    """What is set around a call and decides what the step does: process-wide settings, `no_grad`, `autocast`."""
    mode = autograd._mode
    return settings.current(), mode.enabled, mode.cast and mode.cast.dtype


def _signature(x: Any) -> Any:
    """What a recording depends on, as a key: shapes and dtypes of Tensors, all else itself."""
    if isinstance(x, Tensor):
        return "tensor", x.shape, x.dtype, x.device
    if isinstance(x, dict):
        return "dict", tuple((k, _signature(v)) for k, v in x.items())
    if isinstance(x, tuple | list):
        return type(x).__name__, tuple(_signature(v) for v in x)
    return x
