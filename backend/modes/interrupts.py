"""SIGINT while a step is recorded: what is set up for that, and taken back, is finished first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["held_back"]


class held_back:
    """Within the block, SIGINT is put off to its end; but what is called by `through` it interrupts as ever."""

    def __enter__(self) -> held_back:
        self._handler: Any = None
        self._came: tuple | None = None
        self._is_through = False
        is_main = threading.current_thread() is threading.main_thread()  # no other may set handlers, nor is interrupted
        if is_main and callable(handler := signal.getsignal(signal.SIGINT)):
            self._handler = handler
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: Any) -> None:
        if self._handler is None:
            return
        if signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, self._handler)
        if self._came is not None:
            self._handler(*self._came)

    def through(self, f: Callable[..., Any], *args: Any) -> Any:
        """f(*args), which may be interrupted."""
        self._is_through = True
        try:
            return f(*args)
        finally:
            self._is_through = False

    def _note(self, number: int, frame: Any) -> None:
        if self._is_through:
            self._is_through = False  # whatever it raises is to meet no other on its way
            self._handler(number, frame)
            self._is_through = True
        else:
            self._came = number, frame
