"""Who wants to know of every operation that runs: `weft.nvtx.emit` and `weft.profile`.

While nobody does, an operation pays for one look at `autograd.watch`, which is None. Otherwise it comes here, and
watchers are called before and after its forward pass and, later, the backward pass of what it has recorded. Captured
steps are run operation by operation meanwhile.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from . import autograd
from .tensor import Tensor

__all__ = ["watched", "watching"]

Watcher = Callable[[str, bool], Callable[[Any], Any]]  # (name, whether it is backward) → what is called with the result

_watchers: list[Watcher] = []


class _Inside(threading.local):
    """Whether this thread is in an operation already: what that is made of is part of it."""

    an_operation = False


_inside = _Inside()


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Have `watcher` called for each operation within the block, in any thread."""
    _watchers.append(watcher)
    autograd.watch = _operation
    try:
        yield
    finally:
        _watchers[:] = [w for w in _watchers if w is not watcher]
        autograd.watch = _operation if _watchers else None


def watched(name: str, function: Callable, *args: Any, is_backward: bool = False) -> Any:
    """function(*args), an operation for those who watch."""
    if not _watchers or _inside.an_operation:
        return function(*args)
    ends, result = [watcher(name, is_backward) for watcher in _watchers], None
    _inside.an_operation = True
    try:
        result = function(*args)
        return result
    finally:
        _inside.an_operation = False
        for end in reversed(ends):
            end(result)


def _operation(call: Callable, name: str, args: tuple, static: dict[str, Any]) -> Any:
    """What `autograd.watch` is: NotImplemented for an operation that is part of another."""
    if _inside.an_operation:
        return NotImplemented
    name = name.lstrip("_")
    result = watched(name, functools.partial(call, **static), *args)
    first = next((r for r in result if r._node), None) if isinstance(result, tuple) else result
    node = first._node if isinstance(first, Tensor) else None
    if isinstance(node, autograd.Output):
        node = node.parents[0]
    if node is not None:
        node.pullback = _watched_pullback(name, node.pullback)
    return result


def _watched_pullback(name: str, pullback: Any) -> Any:
    if isinstance(pullback, tuple):
        return tuple(f and functools.partial(watched, name, f, is_backward=True) for f in pullback)
    return functools.partial(watched, name, pullback, is_backward=True)
