"""What registering a hook returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["RemovableHandle"]


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook off; as a context manager it does so at the end.

    Parameters
    ----------
    hooks : list
        Where the hook is.
    entry : object
        The very one that is in the list.
    done : callable, optional
        Called once it is off.
    """

    def __init__(self, hooks: list[Any], entry: Any, done: Callable[[], None] | None = None):
        self._hooks, self._entry, self._done = hooks, entry, done

    def remove(self) -> None:
        """Take the hook off; a second call does nothing."""
        self._hooks[:] = [entry for entry in self._hooks if entry is not self._entry]
        if self._done is not None:
            self._done()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
