"""How the command `weft` ends at a signal where nothing needs to be finished first: one line, and a shell's exit status.

This is imported before NumPy, which takes most of the first second. To raise an exception would not do: Python drops those
that are raised inside callbacks, such as the import system's, and prints a traceback. A process that is not the command
keeps its handlers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator

__all__: list[str] = []

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
speaks = True  # of several processes that compute together, one does
explain: Callable[[], str] = str  # gives what there is to say of the run


def line(prog: str, number: int) -> str:
    """What is said of a signal."""
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    return "; ".join(filter(None, (f"{prog}: interrupted{by}", explain())))


def is_command() -> bool:
    """Whether this process is `weft`, or `python -m weft`."""
    if sys.argv[:1] == ["-m"]:  # while the package is being found
        module = sys.orig_argv[-len(sys.argv)]
        return module == "weft" or (module.startswith("-") and module.endswith("mweft"))
    return os.path.basename(sys.argv[0] if sys.argv else "") in ("weft", "weft.exe")


def end(number: int, frame: object) -> None:
    """End the process. A handler."""
    if not speaks:
        os._exit(128 + number)
    show_cursor = "\x1b[?25h" if os.isatty(2) else ""  # a progress bar may have hidden it
    try:
        os.write(2, f"{show_cursor}{line(' '.join(['weft', *sys.argv[1:2]]), number)}\n".encode())
    finally:
        os._exit(128 + number)


def take() -> None:
    """Let signals end the process; but not those that are ignored, as SIGHUP is under `nohup`."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


@contextlib.contextmanager
def given_back() -> Iterator[None]:
    """Within the block signals mean what they mean in Python: for what has something to finish first."""
    taken = [number for number in ENDING if signal.getsignal(number) is end]
    try:
        for number in taken:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        yield
    finally:
        for number in taken:
            signal.signal(number, end)


if is_command():
    take()
