"""What a captured step takes and returns: Tensors, and tuples, lists and dicts of them; it may return data classes, too."""

from __future__ import annotations

import copy
import dataclasses
import functools
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Set, ValuesView
from typing import Any

import numpy as np

from ..device import devices
from ..tape import sharing
from ..tape.tensor import Tensor
from .surroundings import PLAIN, are_equal, content, is_ours

__all__ = [
    "changed",
    "contents",
    "mapped",
    "numbers_in",
    "objects_in",
    "obstacle_in",
    "overlap",
    "signature",
    "tensors_in",
]


def mapped(f: Callable[[Tensor], Any], x: Any, *, is_returned: bool = False) -> Any:
    """x with f applied to every Tensor in it; of what is returned, also to those in deques, data classes and namespaces."""
    if isinstance(x, Tensor):
        return f(x)
    again = functools.partial(mapped, f, is_returned=is_returned)
    if type(x) is dict:
        return {k: again(v) for k, v in x.items()}
    if isinstance(x, tuple):
        parts = [again(v) for v in x]
        return x._make(parts) if hasattr(x, "_fields") else type(x)(parts)  # type: ignore[attr-defined]
    if type(x) is list:
        return [again(v) for v in x]
    return _anew(again, x, is_returned) if _is_rebuilt(x, is_returned) else x


def _is_rebuilt(x: Any, is_returned: bool) -> bool:
    if isinstance(x, list | dict):
        return True
    is_object = isinstance(x, deque | types.SimpleNamespace) or dataclasses.is_dataclass(x)
    return is_returned and is_object and not isinstance(x, type) and not _lasts(x)


def _anew(again: Callable[[Any], Any], x: Any, is_returned: bool) -> Any:
    """A container or an object of the same class, with what `again` makes of all that it holds."""
    new = copy.copy(x)
    for name, value in _attributes(x).items() if is_returned else ():
        object.__setattr__(new, name, again(value))
    for key, value in x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, list | deque) else ():
        new[key] = again(value)
    return new


def _attributes(x: Any) -> dict[str, Any]:
    slots = [n for k in type(x).__mro__ for n, m in vars(k).items() if type(m) is types.MemberDescriptorType]
    return {n: getattr(x, n) for n in slots if n[:2] != "__" and hasattr(x, n)} | getattr(x, "__dict__", {})


def _lasts(x: Any) -> bool:
    """Whether something is there before a step and after it: Modules, optimizers, classes."""
    return (
        isinstance(x, type | types.ModuleType)
        or hasattr(type(x), "named_modules")
        or "param_groups" in getattr(x, "__dict__", ())
    )


def _parts(x: Any) -> list[Any]:
    """What can be reached from x in one step."""
    if isinstance(x, (*PLAIN, Tensor)) or devices.is_array(x) or _lasts(x):
        return []
    found: list[Any] = []
    if isinstance(x, Mapping):
        found += [part for item in x.items() for part in item]
    elif isinstance(x, tuple | list | deque | Set | ValuesView):
        found += x
    elif isinstance(x, functools.partial):
        found += [x.func, *x.args, x.keywords]
    elif isinstance(x, types.MethodType):
        found.append(x.__self__)
    elif isinstance(x, types.FunctionType):
        found += [*(content(cell) for cell in x.__closure__ or ()), x.__defaults__, x.__kwdefaults__]
    return [*found, *_attributes(x).values()]


def _reached_from(x: Any, *, is_ours_too: bool = True) -> list[Any]:
    """x and all that can be reached from it, each once."""
    seen, left = {}, [x]
    while left:
        x = left.pop()
        if id(x) not in seen and (is_ours_too or isinstance(x, Tensor) or not is_ours(type(x))):
            seen[id(x)] = x
            left += _parts(x)
    return list(seen.values())


def tensors_in(x: Any) -> list[Tensor]:
    """Every Tensor in it, in order."""
    if isinstance(x, Tensor):
        return [x]
    if isinstance(x, dict):
        x = list(x.values())
    return [t for v in x for t in tensors_in(v)] if isinstance(x, tuple | list) else []


def obstacle_in(returned: Any) -> str | None:
    """Why a replay could not return the like: only `mapped` makes anew what a step returns."""
    for x in _reached_from(returned):
        kind = f"`{type(x).__name__}`"
        if isinstance(x, Iterator):
            return f"it returns an iterator ({kind}), which a replay would not begin again; return a list"
        is_array = not isinstance(x, (*PLAIN, Tensor, np.generic)) and devices.is_array(x)
        if is_array and (type(x) is not np.ndarray or x.dtype == object):
            return f"it returns an array ({kind}) of memory that a replay would write over; return a Tensor"
        parts = [] if isinstance(x, tuple) or _is_rebuilt(x, True) else _parts(x)
        if any(isinstance(part, Tensor) for part in parts):
            return (
                f"it returns Tensors in a {kind}, which a replay could not make anew; return them in a tuple, list, dict "
                "or data class"
            )
    return None


def contents(args: Any) -> list[tuple[Any, list[Any]]]:
    """Whatever a step might put something into, with what that holds; a Tensor with whether it requires grad."""
    reached = [x for x in _reached_from(args, is_ours_too=False) if not isinstance(x, (*PLAIN, types.FunctionType))]
    return [(x, [x.requires_grad] if isinstance(x, Tensor) else _parts(x)) for x in reached]


def changed(before: list[tuple[Any, list[Any]]]) -> str | None:
    """What of `contents` holds something else now: its kind."""
    for x, parts in before:
        now = [x.requires_grad] if isinstance(x, Tensor) else _parts(x)
        if len(now) != len(parts) or not all(a is b or are_equal(a, b) for a, b in zip(now, parts)):
            return type(x).__name__
    return None


def objects_in(x: Any) -> list[Any]:
    """What is passed to a step that is neither a Tensor nor plain: objects, which may change."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, tuple | list):
        return [found for v in x for found in objects_in(v)]
    return [] if isinstance(x, (*PLAIN, Tensor)) else [x]


def overlap(tensors: list[Tensor]) -> bool:
    """Whether two different ones have memory in common."""
    pairs = [(a, b) for i, a in enumerate(tensors) for b in tensors[:i] if a is not b]
    return any(sharing.shares(a.data, b.data) for a, b in pairs)


def numbers_in(x: Any) -> list[str]:
    """The numbers in what a step returns, as text: those of a computation are in Tensors."""
    kinds = (*PLAIN, np.generic)
    leaves = [v for v in _leaves(x, set()) if isinstance(v, kinds) or type(v) is np.ndarray]
    return [repr(v) for v in leaves if v is not None]


def _leaves(x: Any, within: set[int]) -> Iterator[Any]:
    parts = _parts(x)
    if id(x) not in within:
        for part in parts:
            yield from _leaves(part, within | {id(x)})
    if not parts:
        yield x


class _Same:
    """Stands for an object that has no hash: equal to itself alone."""

    def __init__(self, x: Any):
        self.x = x

    def __hash__(self) -> int:
        return id(self.x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.x is self.x


def signature(x: Any, seen: dict[int, int] | None = None, is_argument: bool = True) -> Any:
    """What a recording depends on, as a key: shapes and dtypes of Tensors, which of them are one; all else itself.

    Tensors in objects are no arguments: a recording has these themselves.
    """
    seen = {} if seen is None else seen
    if isinstance(x, Tensor):
        if not is_argument:
            return _Same(x)
        return "tensor", x.shape, x.dtype, x.device, seen.setdefault(id(x), len(seen))
    if isinstance(x, dict):
        return "dict", tuple((k, signature(v, seen, is_argument)) for k, v in x.items())
    if isinstance(x, tuple | list):
        return type(x), tuple(signature(v, seen, is_argument) for v in x)
    if isinstance(x, np.ndarray) and is_argument:
        raise TypeError(
            f"a captured step takes Tensors, got a NumPy array of shape {x.shape}; pass weft.asarray(…) of it"
        )
    if isinstance(x, float | complex):
        return type(x), repr(x)  # 1, 1.0 and True are equal, and 0.0 and -0.0
    if type(x).__hash__ is not None:
        return type(x), x
    if dataclasses.is_dataclass(x):
        return type(x), tuple(signature(getattr(x, f.name), seen, False) for f in dataclasses.fields(x))
    return type(x), _Same(x)
