"""A progress bar of a command that prints: on standard error, where that is a terminal and rich is installed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from ..reporting import make_bar

__all__ = ["Progress"]


class Progress:
    """A bar while the block runs, or nothing where nobody would see it.

    Parameters
    ----------
    what : str
        What is done.
    total : int
        How many steps there are.

    Examples
    --------
    >>> with Progress("compiling", 2) as progress:
    ...     progress.advance("first.cu")
    ...     with progress.aside():
    ...         print("a line")
    a line
    """

    def __init__(self, what: str, total: int):
        is_seen = sys.stderr is not None and sys.stderr.isatty()
        self._bar: Any = make_bar(sys.stderr) if is_seen else None
        self._task = self._bar and self._bar.add_task(what, total=total, text="")

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, text: str = "", *, steps: int = 1) -> None:
        """So many steps are done.

        Parameters
        ----------
        text : str, default ""
            Shown behind the bar.
        steps : int, default 1
            How many.
        """
        if self._bar:
            self._bar.update(self._task, advance=steps, text=text)

    def expect(self, total: int) -> None:
        """There are so many steps, as is known now.

        Parameters
        ----------
        total : int
            How many, those that are done among them.
        """
        if self._bar:
            self._bar.update(self._task, total=total)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """The bar is out of the way while the block prints: rich would send what goes to standard output to the bar's terminal.

        Yields
        ------
        None
        """
        if self._bar:
            self._bar.stop()
        yield
        if self._bar:
            self._bar.start()
