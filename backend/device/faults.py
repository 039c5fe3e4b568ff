"""Indices that are none, which a kernel has seen and the host has not: said when the host waits for the device anyway."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["forget", "register", "tell"]

# By kind of device: (what, value, position) of each fault since the last time, on all of that kind.
_sources: dict[str, Callable[[], list[tuple[str, int, int]]]] = {}

_MEANT = {
    "target": "classes of the loss's input, or its `ignore_index`",
    "indices": "rows of the table, or classes of the vectors",
}


def register(kind: str, source: Callable[[], list[tuple[str, int, int]]]) -> None:
    """Ask `source` of this kind of device whenever somebody waits."""
    _sources[kind] = source


def forget() -> None:
    """What was met until now is not to be told: it came of other work. Waits for the device."""
    for source in _sources.values():
        source()


def tell() -> None:
    """Raise IndexError if a kernel has met an index that is none since the last time. Waits for the device."""
    for source in _sources.values():
        for what, value, position in source():
            edge = " or beyond" if abs(value) == 2**31 - 1 else ""
            raise IndexError(
                f"`{what}` must hold {_MEANT[what]}; on the device one batch had another at position {position}, "
                f"got {value}{edge}"
            )
