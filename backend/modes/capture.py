"""A whole training step as one launch: forward, backward and update recorded once, replayed with new data.

What a step asks of the device is recorded as a CUDA graph (in the emulator, as a list of operations; on a CPU, as a program
of NumPy calls) on fixed memory, for each kind of call anew (`RecordedStep`, `HostStep`).
"""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from ...kernels.toolchain import settings
from ..device import devices, dtypes
from ..device.options import integer
from ..tape import autograd
from ..tape.recording import active
from ..tape.tensor import Tensor
from .arguments import signature, tensors_in
from .recorded_step import RecordedStep, preparing

__all__ = ["capture"]

# Recordings that are kept for calls of one kind: in training and in evaluation, to a gradient or to none. Each holds memory.
VARIANTS = 4
KINDS = 64  # recordings that are kept in all, for arguments of other shapes for one
MISSES = 16  # recordings that were given up for others, after which a warning says that this is slow


class capture:
    """`step`, recorded at first and replayed afterwards: the host's share of a training step becomes one launch.

    Calls return what `step` returns, in new memory. On a CPU the step becomes a flat list of NumPy calls into memory planned
    beforehand, which is worth it for small networks, whose time goes into calls.

    Parameters
    ----------
    step : Callable
        A function of Tensors (and of tuples, lists, dicts of them, by position or name) on one device. All that it does
        must go to the device in the same order each time: no `.item()`, no `if` on a computed value, no copy from the host.
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
    changed the step is warmed up and recorded anew; at most four recordings are kept for calls of one kind, 64 in all:

    - arguments of other shapes, dtypes or values (those that are no Tensors), another `autocast`, other settings such as
      `use_deterministic_algorithms` and `set_default_dtype`;
    - numbers and Tensors that the step finds by name: variables that it closes over, globals, attributes of Modules (`train`
      and `eval`, `dropout.p`), of its own objects, lists, dicts and small NumPy arrays, in whatever is not of an installed
      package other than its own and that of its Modules;
    - memory and `requires_grad` of the parameters, seeds, which gradients are None, options of optimizers and of a
      GradScaler that are not read from device memory.

    Gradients are left as the step leaves them, so that `zero_grad()` and `optimizer.step()` may stand outside; arguments
    that it changes in place are changed; `load_state_dict` of model, optimizer and scaler takes effect.

    Calls return what the step returns, with Tensors in new memory: tuples, lists, dicts, deques, data classes and namespaces
    of its kind. A step that returns Tensors in other objects, or an iterator, cannot be captured.

    Nor can one that changes a number on the host (a counter, a schedule), puts something into a list, set or dict or into
    what an argument holds, sets `requires_grad` of an argument, draws random numbers of the host or takes the next of an
    iterator, returns a number that differs from call to call, computes on another device with what it did not make, makes
    what is as long as it computes (a mask as an index, `nonzero`), steps an optimizer twice, or gives other memory to a
    tensor from outside. One whose numbers on the host are others at nearly every call is recorded again and again, until a
    RuntimeWarning says so. What cannot be seen: values from clocks and files, random numbers that an installed package draws
    while other threads run, what is in lists and dicts of more than 256 entries and in arrays of the host of more than 4096
    bytes, and writing to `Tensor.data` of an argument.

    On a CPU, forms of operations look at numbers to choose their way: each replay looks whether it goes on like that, and where
    it does not the step is run as usual. The first two replays are checked against the step itself. `peaks` has the memory.

    Results are off the tape. Arguments that require grad or lie on several devices, and calls inside `weft.grad` or another
    captured step, are run as usual.

    Examples
    --------
    >>> double = weft.capture(lambda x: 2 * x)
    >>> double(weft.tensor([1.0, 2.0]))
    tensor([2., 4.])
    """

    # What a call does is in a slot: Python finds it there and calls it, where a method would be a call more. Of a CPU, that is
    # the last replay again, for as long as everything is as it was.
    __slots__ = ("__call__", "__dict__", "__weakref__")

    __call__: Callable[..., Any]

    def __init__(self, step: Callable, *, warmup: int = 2, strict: bool = False):
        if not callable(step):
            raise TypeError(f"`step` must be a function, got {step!r:.80}")
        integer("warmup", warmup)
        if warmup < 1:
            raise ValueError(f"`warmup` must be at least 1, got {warmup}")
        functools.update_wrapper(self, step, updated=())
        self.step, self.warmup, self.strict = step, warmup, strict
        self._steps: dict[Any, RecordedStep] = {}
        self._misses, self.variants = 0, VARIANTS
        self.is_silent = False  # whether nothing is said of a step that runs as usual
        self.__call__ = self._otherwise = functools.partial(capture._called, weakref.proxy(self))  # type: ignore[arg-type]

    def _called(self, *positional: Any, **named: Any) -> Any:
        args = positional, named
        given = tensors_in(args)
        device = given[0].device if given else devices.get_default_device()
        if devices.kind(device) not in ("cpu", "cuda", "emulator") or not _is_plain_call(given, device):
            return self.step(*positional, **named)
        layout = tuple(t.data.strides for t in given) if device == "cpu" else None
        step = self._step(device, (device, _modes(), signature(args), layout))
        found = step(args, given)
        self.__call__ = (not named and step.replay(list(positional), self._otherwise)) or self._otherwise
        return found

    @property
    def peaks(self) -> list[tuple[int, int]]:
        """On a CPU, of each recording the bytes that a replay has for what it makes, and those that the step has as usual."""
        graphs = [s.graph for s in self._steps.values() if hasattr(s.graph, "peak")]
        return [(graph.peak, graph.peak_as_usual) for graph in graphs]

    def _step(self, device: str, key: tuple) -> RecordedStep:
        """The recording that fits a call, or a new one."""
        for k in [k for k, s in self._steps.items() if k[0] == key and s.is_lost()]:
            del self._steps[k]
        known = [k for k in self._steps if k[0] == key]
        for k in known:
            if self._steps[k].is_current():
                return self._steps[k]
        if len(known) == self.variants:
            del self._steps[known[0]]
            self._misses += 1
            if self._misses == MISSES and not self.is_silent:
                name = f"`{getattr(self.step, '__name__', 'step')}`"
                warnings.warn(
                    f"{name} has been recorded {MISSES} times more than {self.variants}: something that it reads on the host is "
                    "another nearly each time; pass that as an argument, in a Tensor",
                    RuntimeWarning,
                    stacklevel=3,
                )
        elif len(self._steps) >= KINDS:
            del self._steps[next(iter(self._steps))]
            self._misses += 1
            if self._misses == MISSES and not self.is_silent:
                warnings.warn(
                    f"`{getattr(self.step, '__name__', 'step')}` has been called with {KINDS + MISSES} kinds of arguments, of "
                    f"which {KINDS} are kept recorded; pad them to a few shapes",
                    RuntimeWarning,
                    stacklevel=3,
                )
        number = known[-1][1] + 1 if known else 0
        made = RecordedStep
        if devices.kind(device) == "cpu":  # not before it is asked for: `import weft` is to cost little
            from .host_step import HostStep as made  # type: ignore[assignment]
        new = self._steps[key, number] = made(self.step, device, self.warmup, self.strict)
        new.is_silent = self.is_silent
        return new


def _is_plain_call(given: list[Tensor], device: str) -> bool:
    """Whether nobody but the caller has to do with what the step computes: no tape, no other recording or thread's, no watcher."""
    mode = autograd._mode
    if autograd.watch is not None or preparing.locked() or active() is not None or mode.level:
        return False
    return all(t.device == device and not t._depth and not (t.requires_grad and mode.enabled) for t in given)


def _modes() -> tuple[Any, ...]:
    """What is set around a call and decides what the step does: process-wide settings, defaults, `no_grad`, `autocast`."""
    mode, defaults = autograd._mode, (devices.get_default_device(), dtypes.get_default_dtype())
    return settings.current(), defaults, mode.enabled, mode.is_again, mode.cast and mode.cast.dtype
