"""Signals that ask the process to end, put off until what must not be broken off is done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

from .._signals import ENDING

__all__ = ["PutOff", "Terminated"]


class Terminated(SystemExit):
    """SIGTERM or SIGHUP has ended the process, with the status that a shell gives it, 128 + the signal's number.

    Examples
    --------
    >>> Terminated(signal.SIGTERM).code
    143
    """

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.number = number


class PutOff:
    """From `begin` to `end`, SIGINT, SIGTERM and SIGHUP are noted and nothing else; a SIGINT after that does not wait.

    What is ignored (as SIGHUP under `nohup`) stays so. Several may be at work at a time, each notes the signal; handlers
    are those from before once the last has ended. Only the main thread may change them: in another one nothing is noted.

    Attributes
    ----------
    number : int or None
        Of the first signal.

    Examples
    --------
    >>> signals = PutOff()
    >>> signals.begin()
    >>> signal.raise_signal(signal.SIGINT)
    >>> signals.end()
    >>> signals.number == signal.SIGINT
    True
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._raises = False

    def begin(self) -> None:
        """Note signals from here on."""
        self.number = None
        if threading.current_thread() is not threading.main_thread():
            return
        if not _at_work:
            for number in ENDING:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: not Python's
                    _previous[number] = signal.signal(number, _note)
        _at_work.append(self)

    def end(self) -> None:
        """Put the handlers back."""
        if self in _at_work:
            _at_work.remove(self)
            if not _at_work:
                for number, handler in _previous.items():
                    signal.signal(number, handler)

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """Within the block a signal, also one that was noted before, is raised at once: for what can be broken off.

        Yields
        ------
        None

        Raises
        ------
        KeyboardInterrupt
            For SIGINT.
        Terminated
            For SIGTERM or SIGHUP, whatever their handlers are.
        """
        try:
            self._raises = True
            if self.number is not None:
                _raise(self.number)
            yield
        finally:
            self._raises = False

    def deliver(self) -> None:
        """Do what the signal would have done, if there was one; raises what its handler raises.

        Raises
        ------
        KeyboardInterrupt
            For SIGINT.
        Terminated
            Where SIGTERM or SIGHUP had no handler.
        """
        number, self.number = self.number, None
        if number is not None:
            _deliver(number)


_at_work: list[PutOff] = []
_previous: dict[int, Any] = {}


def _note(number: int, frame: Any) -> None:
    if number == signal.SIGINT and any(signals.number is not None for signals in _at_work):
        _deliver(number)
    for signals in _at_work:
        signals.number = signals.number or number
    if any(signals._raises for signals in _at_work):
        _raise(number)


def _deliver(number: int) -> None:
    handler = _previous[number]
    if not callable(handler):
        _raise(number)
    handler(number, None)


def _raise(number: int) -> NoReturn:
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)
