"""Layers that take `device` and `dtype` by position, too, as PyTorch's do."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from ... import layers

__all__ = ["accept_positions"]

_LAST = ("device", "dtype")


def accept_positions() -> None:
    """Change the layers of this process; whoever names both notices nothing."""
    for name in layers.__all__:
        layer = getattr(layers, name)
        if not isinstance(layer, type) or "__init__" not in vars(layer):
            continue
        parameters = inspect.signature(vars(layer)["__init__"]).parameters.values()
        named = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        positions = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
        if tuple(named) == _LAST:
            setattr(layer, "__init__", _wrapped(vars(layer)["__init__"], positions))  # noqa: B010  (mypy's "unsound")


def _wrapped(init: Any, positions: int) -> Any:
    @functools.wraps(init)
    def made(self: Any, *args: Any, **options: Any) -> None:
        beyond = args[positions - 1 :]  # after `self`
        init(self, *args[: positions - 1], **options, **dict(zip(_LAST, beyond)))

    return made
