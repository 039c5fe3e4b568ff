"""PyTorch's spellings of functions that the array API has too: `dim=`, `keepdim=`, `unbiased=` … mean what PyTorch means.

A call that uses one of PyTorch's words is PyTorch's call: `x.std(dim=1)` is the unbiased estimate, `x.max(dim=1)` the values
and where they are. One that uses none is the array API's: `x.std(axis=1)`, `x.max(axis=1)`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from ..tape.autograd import PRIMITIVES

__all__ = ["DIM", "DIMS", "KEEPDIM", "published", "spelled"]

F = TypeVar("F")
DIM, DIMS, KEEPDIM = {"dim": "axis"}, {"dims": "axis"}, {"dim": "axis", "keepdim": "keepdims"}


def spelled(words: dict[str, str], meaning: Callable | None = None) -> Callable[[F], F]:
    """Have a function take PyTorch's words as well.

    Parameters
    ----------
    words : dict of str to str
        PyTorch's name of a parameter → the array API's.
    meaning : Callable, optional
        `meaning(f, *args, **kwargs)`, in the array API's words, for a function that PyTorch defines otherwise.

    Returns
    -------
    Callable
        A decorator.

    Raises
    ------
    TypeError
        From the function, if a parameter is given under both names.
    """

    def decorate(f: Any) -> Any:
        @functools.wraps(f)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not kwargs or words.keys().isdisjoint(kwargs):
                return f(*args, **kwargs)
            renamed = translated(f.__name__, words, kwargs)
            return f(*args, **renamed) if meaning is None else meaning(f, *args, **renamed)

        return published(f, call)

    return decorate


def published(f: Any, call: Any) -> Any:
    """`call`, the public face of the primitive `f`, in its place in the registry."""
    for name, primitive in PRIMITIVES.items():
        if primitive is f:
            PRIMITIVES[name] = call
    return call


def translated(name: str, words: dict[str, str], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments in the array API's words."""
    for theirs, ours in words.items():
        if theirs in kwargs and ours in kwargs and theirs != ours:
            raise TypeError(f"`{name}` takes `{ours}` or `{theirs}`, which are the same, got both")
    return {words.get(word, word): tuple(v) if isinstance(v, list) else v for word, v in kwargs.items()}
