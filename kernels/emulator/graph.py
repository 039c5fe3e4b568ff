"""What a captured step is, in the emulator: a list of operations and the addresses that they work at.

As on a GPU, a graph does not keep alive what it reads: memory from before the capture belongs to whoever made it, and a
launch after that was freed is an error. What is made during the capture is the graph's own.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["CaptureError", "FreedMemory", "Graph", "capture", "current", "is_capturing", "mapped", "record"]


class CaptureError(RuntimeError):
    """Something that a captured step cannot do: to wait for the device, or to copy from the host."""


class FreedMemory(RuntimeError):
    """A graph was launched that works on memory which has been freed since it was captured."""


class _Device(threading.local):
    graph: Graph | None = None  # what is being captured


_device = _Device()


class Graph:
    """A list of operations, in the order in which they were captured."""

    def __init__(self) -> None:
        self.operations: list[Callable[[], Any]] = []
        self._own: dict[int, np.ndarray] = {}  # what was made during the capture, by identity
        self._others: dict[int, tuple[weakref.ref, np.ndarray]] = {}  # what was not: its owner, and its bytes
        self._freed: list[np.ndarray] = []  # those of others, before the capture was over

    def owns(self, array: np.ndarray) -> None:
        """Note that an array was made during the capture."""
        owner = _owner(array)
        self._own[id(owner)] = owner

    def has_made(self, array: np.ndarray) -> bool:
        """Whether an array was made during the capture."""
        owner = _owner(array)
        return self._own.get(id(owner)) is owner

    def add(self, function: Callable, *args: Any) -> None:
        """Have function(*args) done in each launch."""
        args = mapped(self._at_its_address, args)
        self.operations.append(lambda: function(*args))

    def launch(self) -> None:
        """Do them all again.

        Raises FreedMemory, and does nothing, where memory that an operation needs has been freed.
        """
        alive = [(owner(), memory) for owner, memory in self._others.values()]
        for memory in [*self._freed, *(memory for owner, memory in alive if owner is None)]:
            raise FreedMemory(
                f"a recorded step works on {memory.nbytes} bytes that were freed after the recording, where a GPU would find "
                "somebody else's numbers; keep what it reads alive as long as it"
            )
        with np.errstate(all="ignore"):
            for operation in self.operations:
                operation()

    def _at_its_address(self, array: np.ndarray) -> np.ndarray:
        """The same view, which does not keep its memory alive unless that is the graph's own."""
        owner = _owner(array)
        if not owner.nbytes or self.has_made(array):
            return array
        known = self._others.get(id(owner))
        if known is None or known[0]() is not owner:
            if known:
                self._freed.append(known[1])
            place: Any = (ctypes.c_char * owner.nbytes).from_address(owner.ctypes.data)
            known = self._others[id(owner)] = weakref.ref(owner), np.frombuffer(place, np.uint8)
        offset = array.ctypes.data - owner.ctypes.data
        view: np.ndarray = np.ndarray(array.shape, array.dtype, known[1], offset, array.strides)
        view.flags.writeable = array.flags.writeable
        return view.view(type(array))


def _owner(array: np.ndarray) -> np.ndarray:
    """Whose memory a view shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def mapped(f: Callable[[np.ndarray], Any], x: Any) -> Any:
    """x with f applied to every array in it."""
    if isinstance(x, np.ndarray):
        return f(x)
    if isinstance(x, dict):
        return {name: mapped(f, value) for name, value in x.items()}
    if isinstance(x, tuple | list):
        parts = [mapped(f, value) for value in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return x


@contextlib.contextmanager
def capture() -> Iterator[Graph]:
    """Note down what is asked of the device within the block, and do none of it."""
    if _device.graph is not None:
        raise CaptureError("a capture is under way already")
    _device.graph = graph = Graph()
    try:
        yield graph
    finally:
        _device.graph = None


def current() -> Graph | None:
    """What is being captured in this thread."""
    return _device.graph


def is_capturing() -> bool:
    return _device.graph is not None


def record(function: Callable, *args: Any) -> None:
    """Do something that writes to memory of the device; or note it down."""
    if _device.graph is None:
        function(*args)
    else:
        _device.graph.add(function, *args)
