"""What is being recorded: whoever takes part in a captured step (optimizers, random generators) asks here, see `capture`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..device import devices
from .tensor import Tensor

__all__ = ["Recording", "activated", "active"]


class _Active(threading.local):
    recording: Recording | None = None


_active = _Active()


@contextmanager
def activated(recording: Recording) -> Iterator[None]:
    """Within the block, what a step does in this thread is recorded, or warmed up for it."""
    _active.recording = recording
    try:
        yield
    finally:
        _active.recording = None


def active() -> Recording | None:
    """What is being recorded, or warmed up for it, in this thread."""
    return _active.recording


class Recording:
    """What a step needs before each replay: `callbacks` to call, and the random generators that it draws from."""

    def __init__(self, device: str):
        self.xp = devices.namespace(device)
        self.is_recording = False  # False while the step is run as usual, to warm up
        self.callbacks: list[Callable[[], Any]] = []
        self.undo: list[Callable[[], Any]] = []
        self.leaves: list[Tensor] = []  # that got a gradient while recording
        self.generators: list[Any] = []
        self.started: list[dict[str, int]] = []  # their states when recording started
        self.used: list[int] = []  # the blocks that a step draws from each
        self.advances: list[Any] = []

    def before_replay(self, callback: Callable[[], Any]) -> None:
        """Have something done on the host before each replay."""
        if self.is_recording and callback not in self.callbacks:
            self.callbacks.append(callback)

    def if_it_fails(self, callback: Callable[[], Any]) -> None:
        """Have something undone should the recording fail, before the step is run as usual."""
        if self.is_recording:
            self.undo.append(callback)

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

    def start(self) -> None:
        self.advances = [self.xp.zeros((1,), dtype=self.xp.uint64) for _ in self.generators]
        self.started = [g.get_state() for g in self.generators]
        self.is_recording = True

    def stop(self) -> None:
        """Take back what the generators have counted: nothing has been drawn yet."""
        self.is_recording = False
        self.used = [g.counter - s["counter"] for g, s in zip(self.generators, self.started)]
        for g, s in zip(self.generators, self.started):
            g.set_state(s)

    def is_current(self) -> bool:
        """Whether the generators still follow the seeds that were recorded."""
        return all(g.seed == s["seed"] for g, s in zip(self.generators, self.started))

    def prepare(self) -> None:
        """Bring everything in device memory up to the step that is about to be replayed."""
        for g, s, used, advance in zip(self.generators, self.started, self.used, self.advances):
            advance[...] = self.xp.asarray(np.array([(g.counter - s["counter"]) % 2**64], np.uint64))
            g.counter += used
        for callback in self.callbacks:
            callback()
