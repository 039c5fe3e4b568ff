"""A text stream whose reader may go away: training is worth more than what is said of it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from ..backend.device import ranks

__all__ = ["Output", "say"]


class Output:
    """Writes to `file`; what cannot be written (a pipe that nobody reads any more, a full disk, a closed file) is dropped.

    The first time, a line on standard error says so. A pipe without a reader has none from then on, either: what is
    printed past this class raises nothing, nor does Python when it ends.

    Parameters
    ----------
    file : text stream, optional
        Where it goes. By default standard output, which a process may be without.

    Examples
    --------
    >>> import io
    >>> file = io.StringIO()
    >>> print("a line", file=Output(file))
    >>> file.close()
    >>> print("another", file=Output(file))
    """

    has_complained = False

    def __init__(self, file: TextIO | None = None):
        self._file: Any = file or sys.stdout

    def write(self, text: str) -> int:
        """Write what can be written.

        Parameters
        ----------
        text : str
            Any.

        Returns
        -------
        int
            Its length.
        """
        self._try("write", text)
        return len(text)

    def flush(self) -> None:
        """Let what was written leave the process."""
        self._try("flush")

    def isatty(self) -> bool:
        """Whether somebody sees it at once.

        Returns
        -------
        bool
            False for a closed stream.
        """
        try:
            return self._file is not None and self._file.isatty()
        except ValueError:
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def _try(self, method: str, *arguments: Any) -> None:
        if self._file is None:
            return
        try:
            getattr(self._file, method)(*arguments)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            if isinstance(error, BrokenPipeError):
                with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
                    os.dup2(nowhere.fileno(), self._file.fileno())
            if not Output.has_complained:
                Output.has_complained = True
                what = getattr(error, "strerror", None) or error
                with suppress(OSError, ValueError):
                    print(
                        f"weft: output is lost from here on ({what}); training goes on, files are written",
                        file=sys.stderr,
                    )


def say(*parts: Any) -> None:
    """Print one line to standard output, if there is one and it is read; of several processes, the first does.

    Parameters
    ----------
    *parts : object
        As for `print`.

    Examples
    --------
    >>> say("epoch", 1)
    epoch 1
    """
    if ranks.group is None or ranks.group.rank == 0:
        print(*parts, file=Output(), flush=True)
