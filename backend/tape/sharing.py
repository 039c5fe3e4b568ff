"""Who shares memory with whom, and when it was last written to.

*Written to.* Whoever changes numbers in place says so: `changed(raw)`. It costs the forward pass nothing: writes and recorded
operations draw their numbers from one clock, and only where a write came after an operation does `backward` look at
what the operation's pullback holds. Memory that it holds cannot have been freed meanwhile, so addresses tell for certain.

*Aliases.* What `detach` gives has the memory, not the history. What is written into it is written to that memory, recorded
or not: the one has the value with its history then, the other without.

*Views.* A view knows the tensor that it was taken from, its *root*, and how; the root knows its living views. So a
recorded value that is written into a view becomes part of the root, and of every other view.
"""

from __future__ import annotations

import functools
import itertools
import sys
import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..device import devices
from .tensor import Alias, Tensor, innermost

__all__ = [
    "Part",
    "View",
    "aliases_of",
    "changed",
    "check",
    "extent",
    "last_change",
    "leave",
    "link",
    "move",
    "owner_of",
    "part_of",
    "root_of",
    "shares",
    "views_of",
    "wrote",
]

clock = itertools.count(0, -1)  # newer nodes and writes have smaller numbers
PARTS = 64  # of one piece of memory that are told apart

CONSTANT = (str, bytes, int, float, complex, np.generic, type, types.ModuleType, np.dtype)
# Variables of joint pullbacks that are read for the gradient of one argument alone, or (None) for their shape.
ONLY_FOR: dict[str, dict[str, int | None]] = {
    "linear": {"weight": 0, "bias": None},
    "matmul": {"x2": 0, "b": 0, "x1": 1, "a": 1},
}


class _Last:
    """When anything was last written to."""

    write = 1


last = _Last()


# --- what was written to ----------------------------------------------------------------------------------------------
class Part:
    """A stretch of memory that is written to, and when it last was."""

    __slots__ = ("end", "start", "time")

    def __init__(self, start: int, end: int):
        self.start, self.end = start, end
        self.time = 1

    def stamp(self) -> None:
        """Note that it is written to now."""
        last.write = self.time = next(clock)


_parts: dict[int, dict[tuple[int, int], Part]] = {}  # by what owns the memory
_owners: dict[int, weakref.ref] = {}  # NumPy's arrays that do; CuPy's pools give out the same addresses again


def _native(raw: Any) -> Any:
    """The array below those of array_api_strict, and below the lanes of a `vmap`."""
    return getattr(raw, "_array", raw)


def owner_of(raw: np.ndarray) -> np.ndarray:
    """Whose memory an array shows. NumPy's `as_strided` puts an object of its own between the two."""
    while True:
        base: Any = raw.base
        if not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)
        if not isinstance(base, np.ndarray):
            return raw
        raw = base


def _memory(raw: Any) -> int:
    """A number for the memory that an array lies in."""
    return id(owner_of(raw)) if isinstance(raw, np.ndarray) else -raw.data.mem.ptr


def extent(raw: Any) -> tuple[int, int]:
    """The first address of an array and that behind its last."""
    start = raw.__array_interface__["data"][0] if isinstance(raw, np.ndarray) else raw.data.ptr
    return reach(start, raw.shape, raw.strides, raw.dtype.itemsize) if raw.size else (start, start)


def reach(start: int, shape: Sequence[int], strides: Sequence[int], itemsize: int) -> tuple[int, int]:
    """The first byte of elements that lie so from `start` on, and the one behind the last."""
    end = start + itemsize
    for n, stride in zip(shape, strides):
        if stride < 0:
            start += (n - 1) * stride
        else:
            end += (n - 1) * stride
    return start, end


def part_of(raw: Any) -> Part:
    """The note of when an array's memory was last written to, to be stamped."""
    raw = _native(innermost(raw))
    key = _memory(raw)
    parts = _parts.get(key)
    if parts is None:
        parts = _parts[key] = {}
        if isinstance(raw, np.ndarray):
            _owners[key] = weakref.ref(owner_of(raw), lambda _: (_parts.pop(key, None), _owners.pop(key, None)))
    bounds = extent(raw)
    if bounds not in parts:
        if len(parts) >= PARTS:
            bounds = 0, sys.maxsize  # from now on, all of it
        parts.setdefault(bounds, Part(*bounds))
    return parts[bounds]


def last_change(raw: Any) -> int:
    """When the memory that an array lies in was last noted to be written to."""
    return min((part.time for part in _parts.get(_memory(_native(raw)), {}).values()), default=1)


def changed(raw: Any) -> None:
    """Note that an array's numbers have been changed in place."""
    part_of(raw).stamp()


def check(name: str, pullback: Any, parents: Any, order: float, *, indices_only: bool = False) -> None:
    """RuntimeError if memory that a pullback reads was written to since `order`."""
    unread = {"xp", *(v for v, i in ONLY_FOR.get(name, {}).items() if i is None or parents[i] is None)}
    if isinstance(pullback, tuple):
        pullback = [f for f, parent in zip(pullback, parents) if parent is not None]
    for raw in _arrays(pullback, set(), unread):
        raw = _native(raw)
        if indices_only and raw.dtype.kind not in "iub":
            continue
        parts = _parts.get(_memory(raw))
        if parts is None or all(part.time >= order for part in parts.values()):
            continue
        start, end = extent(raw)
        if any(part.time < order and part.start < end and start < part.end for part in parts.values()):
            raise RuntimeError(
                f"`{name}` needs for its gradient what has been changed in place since: an array of shape "
                f"{tuple(raw.shape)}, {raw.dtype}; change a .clone() of it, or call backward before the change"
            )


def _arrays(held: Any, seen: set[int], unread: set[str]) -> Iterator[Any]:
    """The arrays whose numbers a function, or what it holds, can read: not those that it calls `like…`, for their shape."""
    if held is None or isinstance(held, CONSTANT):
        return
    if id(held) in seen:
        return
    seen.add(id(held))
    if isinstance(held, Tensor):
        yield from _arrays(held.data, seen, unread)
    elif hasattr(held, "strides") or hasattr(held, "_array"):
        yield held
    elif isinstance(held, types.FunctionType):
        for variable, cell in zip(held.__code__.co_freevars, held.__closure__ or ()):
            if variable in unread or variable.startswith("like"):
                continue
            try:
                yield from _arrays(cell.cell_contents, seen, unread)
            except ValueError:  # a variable that was never set
                continue
        yield from _arrays((held.__defaults__, held.__kwdefaults__), seen, unread)
    elif isinstance(held, functools.partial):
        yield from _arrays((held.func, held.args, held.keywords), seen, unread)
    elif isinstance(held, types.MethodType):
        yield from _arrays((held.__func__, held.__self__), seen, unread)
    elif isinstance(held, dict):
        yield from _arrays(tuple(held.values()), seen, unread)
    elif isinstance(held, list | tuple | set):
        for item in held:
            yield from _arrays(item, seen, unread)
    elif not callable(held):  # a Module that `checkpoint` calls again may have more than it uses
        yield from _arrays(getattr(held, "__dict__", None), seen, unread)
        for kind in type(held).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                if not slot.startswith("__"):
                    yield from _arrays(getattr(held, slot, None), seen, unread)


# --- views ------------------------------------------------------------------------------------------------------------
Step = tuple[Callable, tuple, dict[str, Any], int | None]  # primitive, other arguments, options, which output


class View:
    """What a view is of: `root`, and the operations that lead from it to the view."""

    __slots__ = ("path", "root")

    def __init__(self, root: Tensor, path: tuple[Step, ...]):
        self.root, self.path = root, path

    def of(self, root: Tensor) -> Tensor:
        """The same view of another tensor."""
        for call, rest, static, i in self.path:
            root = call(root, *rest, **static) if i is None else call(root, *rest, **static)[i]
        return root

    def positions(self) -> tuple[np.ndarray, ...]:
        """Where in the root each element of the view lies: an index of the root."""
        shape = self.root.shape
        flat = np.arange(self.root.size).reshape(shape)
        for call, rest, static, i in self.path:
            found = call.generic(np, flat, *rest, **static)[0]  # type: ignore[attr-defined]
            flat = found if i is None else found[i]
        if flat.size and np.bincount(flat.reshape(-1)).max() > 1:
            raise RuntimeError(
                f"several elements of this view of shape {tuple(flat.shape)} share one place in memory, and cannot be "
                "changed in place where that is recorded; use .clone()"
            )
        return np.unravel_index(flat, shape)


def shares(a: Any, b: Any) -> bool:
    """Whether two arrays may have memory in common."""
    a, b = _native(innermost(a)), _native(innermost(b))
    if a is b:
        return True
    if type(a) is np.ndarray and type(b) is np.ndarray:
        return np.may_share_memory(a, b)
    are_of_numpy = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
    if not are_of_numpy and (type(a) is not type(b) or not hasattr(a, "strides")):
        return False
    (start, end), (other_start, other_end) = extent(a), extent(b)
    return start < other_end and other_start < end


def link(base: Tensor, out: Any, call: Callable, rest: tuple, static: dict[str, Any]) -> None:
    """Note what in the result of an operation that only moves numbers is a view of its first argument."""
    for i, view in enumerate(out) if isinstance(out, tuple) else ((None, out),):
        raw = _native(innermost(view))
        is_new = raw.base is None if type(raw) is np.ndarray else view.device != base.device
        if raw is not _native(innermost(base)) and (is_new or not shares(raw, base)):
            continue
        of, step = base._kin, (call, rest, static, i)
        root = of.root if isinstance(of, View) else base
        view._kin = View(root, (*of.path, step) if isinstance(of, View) else (step,))
        if root._kin is None:
            root._kin = {}
        root._kin[id(view)] = weakref.ref(view)


def note_saved(x: Tensor) -> None:
    """Note of all that x is a view or an alias of that the tape may need it."""
    while x._kin is not None and type(x._kin) is not dict and x._kin.root is not None:
        x = x._kin.root
        x._saved = True


def is_alias(x: Tensor) -> bool:
    """Whether another tensor, which is off the tape, has the same memory."""
    if type(x._kin) is not Alias:
        return False
    if x._kin.root is not None and shares(x, x._kin.root):
        return True
    x._kin = dict(x._kin)  # that one is gone, or has been given other memory
    return False


def wrote(x: Tensor, raw: Any) -> None:
    """Note that `raw`, the memory of x or a part of it, was written to through x: not where x is one that does not tell."""
    kin = root_of(x)._kin
    if type(kin) is not Alias or kin.tells:
        changed(raw)


def root_of(x: Tensor) -> Tensor:
    """The tensor that a view is of, or the tensor itself."""
    if isinstance(x._kin, View):
        if shares(x, x._kin.root):
            return x._kin.root
        x._kin = None  # its root has been given other memory
    return x


def _family(x: Tensor) -> list[Tensor]:
    """The living views and aliases of a tensor."""
    found = [ref() for ref in x._kin.values()] if isinstance(x._kin, dict) else []
    return [t for t in found if t is not None]


def views_of(root: Tensor) -> list[Tensor]:
    """The living views of a root."""
    return [v for v in _family(root) if isinstance(v._kin, View) and v._kin.root is root and shares(v, root)]


def leave(x: Tensor, raw: Any) -> None:
    """Before an array takes x's numbers, whose memory is elsewhere: what was x's alias or view there keeps what it has."""
    for t in _family(x):
        if shares(t, raw) and not shares(t, x):
            kept = devices.namespace_of(t.data).asarray(t.data, copy=True)
            if isinstance(t._kin, View):
                t.data, t._kin = kept, None
            else:
                move(t, kept)


def aliases_of(root: Tensor) -> list[Tensor]:
    """The living tensors off the tape that have the memory of a root, or of a view of it."""
    return [t for t in _family(root) if type(t._kin) is Alias and t._kin.root is not None and shares(t, root)]


def move(x: Tensor, raw: Any) -> None:
    """Give a tensor off the tape, and its views, other memory, which has the same numbers."""
    family = [t for t in _family(x) if shares(t, x)]
    x.data, x._saved = raw, False
    for t in family:
        if isinstance(t._kin, View):
            t.data, t._saved = t._kin.of(x).data, False
    for t in family:
        if isinstance(t._kin, Alias) and (root := t._kin.root) is not None:
            move(t, root.data)
