"""Choices of the whole process that decide which arithmetic runs.

They stand here, below everything else, because launchers and primitives alike ask them. What `weft.capture` has recorded
is replayed only under the settings that it was recorded with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["current", "multiprocessors", "settings"]


class _Settings:
    """Each attribute is one."""

    def __init__(self) -> None:
        self.deterministic = True  # weft.use_deterministic_algorithms
        self.float32_matmul_precision = "highest"  # weft.set_float32_matmul_precision
        self.multiprocessors = (
            132  # of an H100 or H200: grids are made for them, on every GPU, so that sums are the same
        )


settings = _Settings()


def current() -> tuple[Any, ...]:
    """All of them, as a key for what depends on them.

    >>> True in current()
    True
    """
    return tuple(vars(settings).values())


@contextlib.contextmanager
def multiprocessors(count: int) -> Iterator[None]:
    """Make grids for so many within the block: with one, a block does as much for few samples as it does for many on a GPU."""
    before, settings.multiprocessors = settings.multiprocessors, count
    try:
        yield
    finally:
        settings.multiprocessors = before
