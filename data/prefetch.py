"""Working ahead: in a background thread, and by one item in one's own."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

__all__: list[str] = []

T = TypeVar("T")
R = TypeVar("R")

_END = object()


def prefetch(function: Callable[[T], R], items: Iterable[T], depth: int) -> Generator[R, None, None]:
    """`map(function, items)`, at most `depth` results ahead of the consumer, all computed by one background thread.

    An exception of `function` is raised where its result is due. When the iterator is closed or dropped, the call in
    progress is waited for, the ones behind it are cancelled, and the thread ends. `depth=0` works without a thread.

    >>> list(prefetch(abs, [-1, 2, -3], depth=2))
    [1, 2, 3]
    """
    items = iter(items)
    if depth == 0:
        yield from map(function, items)
        return
    # Two bare queues: an executor's futures cost 40 µs per item instead of 10, as much as gathering a small batch.
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
    thread = threading.Thread(target=_work, args=(function, requests, results), name="weft-prefetch", daemon=True)
    thread.start()
    try:
        due = 0
        for item in islice(items, depth):
            requests.put(item)
            due += 1
        while due:
            result, error = results.get()
            if error is not None:
                raise error
            due -= 1
            for item in islice(items, 1):
                requests.put(item)
                due += 1
            yield result
    finally:
        with suppress(queue.Empty):
            while True:
                requests.get_nowait()
        requests.put(_END)
        if not sys.is_finalizing():  # then it was stopped where it stood, and a join waits for ever (Python 3.13)
            thread.join()


def _work(function: Callable, requests: queue.SimpleQueue[Any], results: queue.SimpleQueue[Any]) -> None:
    while (item := requests.get()) is not _END:
        try:
            results.put((function(item), None))
        except BaseException as error:  # handed to the consumer
            results.put((None, error))


def one_ahead(items: Iterable[T]) -> Generator[T, None, None]:
    """The same items, each taken from `items` before the one in front of it is given out.

    An exception of `items` is raised where its item is due.

    >>> list(one_ahead([1, 2, 3]))
    [1, 2, 3]
    """
    items = iter(items)
    item: Any = next(items, _END)
    while item is not _END:
        following, error = _END, None
        try:
            following = next(items, _END)
        except Exception as caught:
            error = caught
        yield item
        if error is not None:
            raise error
        item = following
