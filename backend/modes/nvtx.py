"""Names for what runs, in the timelines of NVIDIA's profilers: `nsys profile python train.py`.

    with weft.nvtx.emit():
        trainer.fit(loader)

As `torch.cuda.nvtx`, and its `emit_nvtx`. Once a GPU is in use, ranges go to NVTX, through CuPy, which costs next to
nothing unless a profiler listens; before, and on a CPU, they do nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ..device import devices
from ..tape import autograd
from ..tape.watching import Operation, watching

__all__ = ["each", "emit", "mark", "range", "range_pop", "range_push"]

T = TypeVar("T")


def _library() -> Any:
    """CuPy's bindings of NVTX; None while there is no GPU in use."""
    return sys.modules["cupy"].cuda.nvtx if "cuda" in devices._opened else None


def mark(msg: str) -> None:
    """Note that something happened now.

    Parameters
    ----------
    msg : str
        What, on the timeline.

    Examples
    --------
    >>> weft.nvtx.mark("epoch 1 ends")
    """
    if library := _library():
        library.Mark(msg)


def range_push(msg: str) -> None:
    """Begin a range, inside those of this thread that have not ended.

    PyTorch's returns how many those are; this, None.

    Parameters
    ----------
    msg : str
        Its name on the timeline.

    Examples
    --------
    >>> weft.nvtx.range_push("load")
    >>> batch = weft.ones(2)
    >>> weft.nvtx.range_pop()
    """
    if library := _library():
        library.RangePush(msg)


def range_pop() -> None:
    """End the range that this thread began last.

    Examples
    --------
    >>> weft.nvtx.range_push("load")
    >>> batch = weft.ones(2)
    >>> weft.nvtx.range_pop()
    """
    if library := _library():
        library.RangePop()


@contextmanager
def range(msg: str, *args: object, **kwargs: object) -> Iterator[None]:
    """A range for a block, or for each call of a function.

    Parameters
    ----------
    msg : str
        Its name on the timeline, as a format string if anything follows.
    *args, **kwargs : object
        What `msg.format` is called with.

    Yields
    ------
    None
        The block runs.

    Examples
    --------
    >>> with weft.nvtx.range("load batch {}", 3):
    ...     batch = weft.ones(2)
    >>> @weft.nvtx.range("evaluate")
    ... def evaluate(): ...
    """
    range_push(msg.format(*args, **kwargs) if args or kwargs else msg)
    try:
        yield
    finally:
        range_pop()


@contextmanager
def emit() -> Iterator[None]:
    """Within the block, every operation has a range of its name, and its share of backward one of "name.backward".

    So have the optimizer's steps and, in `Trainer`, epochs and steps. Captured steps are run operation by operation: a
    graph has no ranges.

    Yields
    ------
    None
        The block runs.

    Examples
    --------
    >>> with weft.nvtx.emit():
    ...     y = weft.exp(weft.ones(2))
    """

    def begin(operation: Operation) -> Callable[[Any], Any]:
        range_push(f"{operation.name}.backward" if operation.is_backward else operation.name)
        return lambda result: range_pop()

    with watching(begin, all_threads=True):
        yield


def each(msg: str, items: Iterable[T]) -> Iterable[T]:
    """The items of a loop, with a range "msg 0", "msg 1", … for what is done with each while operations are marked.

    Parameters
    ----------
    msg : str
        What the ranges' names begin with.
    items : iterable
        What is looped over.

    Returns
    -------
    iterable
        The same items; `items` itself while nothing is marked.

    Examples
    --------
    >>> [x for x in weft.nvtx.each("step", [5, 6])]
    [5, 6]
    """
    return items if autograd.watch is None else _each(msg, items)


def _each(msg: str, items: Iterable[T]) -> Iterator[T]:
    for i, item in enumerate(items):
        with range(f"{msg} {i}"):
            yield item
