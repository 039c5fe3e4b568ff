"""Who wants to know of every operation that runs: `weft.traced`, `weft.profile`, `weft.nvtx.emit`, `layers.summary`.

While nobody does, an operation pays for one look at `autograd.watch`, which is None. Otherwise it comes here: watchers
are told its story before its forward pass and, later, before the backward pass of what it has recorded, and are handed
the results afterwards. Captured steps are run operation by operation meanwhile.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from . import autograd
from .tensor import Tensor

__all__ = ["Operation", "Watcher", "tell_written", "unwatched", "watched", "watching"]


class Operation(NamedTuple):
    """What a watcher is told: one operation that is about to run.

    `inputs` are Tensors, numbers and None, or the gradients that come in where `is_backward`; `static` the keyword
    arguments, as they were given. `primitive` is None for what is none, such as an optimizer's step.
    """

    name: str
    primitive: autograd.Primitive | None
    inputs: tuple[Any, ...]
    static: dict[str, Any]
    is_backward: bool


Watcher = Callable[[Operation], Callable[[Any], Any]]  # → what is called with the result

Reader = Callable[[Tensor, Any, Any], None]  # of what is written in place

_watchers: list[tuple[Watcher, int | None]] = []  # with the thread that they watch, None: all
_readers: list[tuple[Reader, int | None]] = []


class _Inside(threading.local):
    """Whether this thread is in an operation already: what that is made of is part of it."""

    an_operation = False


_inside = _Inside()


@contextmanager
def watching(watcher: Watcher, written: Reader | None = None, *, all_threads: bool = False) -> Iterator[None]:
    """Have `watcher` called for each operation of this thread, or of all threads, within the block.

    `written(tensor, value, key)` is called after a Tensor has become `value` in place, or its part `key` has (else None).
    """
    thread = None if all_threads else threading.get_ident()
    _watchers.append((watcher, thread))
    if written is not None:
        _readers.append((written, thread))
    autograd.watch = _operation
    try:
        yield
    finally:
        _watchers[:] = [(w, t) for w, t in _watchers if w is not watcher]
        _readers[:] = [(r, t) for r, t in _readers if r is not written]
        autograd.watch = _operation if _watchers else None


@contextmanager
def unwatched() -> Iterator[None]:
    """Have nobody told of the operations of this thread within the block: they do the host's work."""
    before, _inside.an_operation = _inside.an_operation, True
    try:
        yield
    finally:
        _inside.an_operation = before


def tell_written(tensor: Tensor, value: Any, key: Any = None) -> None:
    """Tell those who watch that a Tensor has another value now."""
    for reader in _of_this_thread(_readers):
        reader(tensor, value, key)


def _of_this_thread(entries: list[tuple[Any, int | None]]) -> list[Any]:
    here = threading.get_ident()
    return [entry for entry, thread in entries if thread is None or thread == here]


def watched(name: str, function: Callable, *args: Any) -> Any:
    """function(*args), an operation for those who watch."""
    if not _watchers or _inside.an_operation:
        return function(*args)
    return _told(Operation(name, None, args, {}, False), function, *args)


def _told(operation: Operation, function: Callable, *args: Any, **static: Any) -> Any:
    ends, result = [watcher(operation) for watcher in _of_this_thread(_watchers)], None
    _inside.an_operation = True
    try:
        result = function(*args, **static)
        return result
    finally:
        _inside.an_operation = False
        for end in reversed(ends):
            end(result)


def _operation(call: Any, name: str, args: tuple, static: dict[str, Any]) -> Any:
    """What `autograd.watch` is: NotImplemented for an operation that is part of another."""
    if _inside.an_operation:
        return NotImplemented
    operation = Operation(name.lstrip("_"), call, args, static, False)
    result = _told(operation, call, *args, **static)
    first = next((r for r in result if r._node), None) if isinstance(result, tuple) else result
    node = first._node if isinstance(first, Tensor) else None
    if isinstance(node, autograd.Output):
        node = node.parents[0]
    if node is not None:
        node.pullback = _watched_pullback(operation, node.pullback)
    return result


def _watched_pullback(operation: Operation, pullback: Any) -> Any:
    def watched(f: Callable, g: Any, *rest: Any) -> Any:
        if not _watchers or _inside.an_operation:
            return f(g, *rest)
        return _told(operation._replace(inputs=g if isinstance(g, tuple) else (g,), is_backward=True), f, g, *rest)

    if isinstance(pullback, tuple):
        return tuple(f and functools.partial(watched, f) for f in pullback)
    return functools.partial(watched, pullback)
