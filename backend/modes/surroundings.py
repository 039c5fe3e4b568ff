"""What a step reads of the host: variables that it closes over, globals, attributes of modules and of its own objects.

A recording has all of that as it was, and may be replayed only while it is the same. Reading it again is cheap: what there
is to read is found once.
"""

from __future__ import annotations

import array
import functools
import itertools
import operator
import random
import sys
import threading
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..tape.tensor import Tensor

__all__ = ["PLAIN", "Surroundings", "are_equal", "content", "is_ours"]

LONGEST = 256  # of the lists and dicts that are looked into: longer ones are data
LARGEST = 4096  # bytes of the arrays of the host that are
DEEPEST = 8
PLAIN = (bool, int, float, complex, str, bytes, type(None))
CONTAINERS = {
    "SimpleNamespace",
    "Namespace",
    "UserDict",
    "UserList",
    "ChainMap",
}  # of Python's library, with attributes
_OURS = __name__.partition(".")[0]
_ANY: Any = object()  # stands for what the step changes itself
_UNSET: Any = object()


class _Place:
    """Some variables that are read together: those in a list or dict, which has a name of its own, or some others."""

    __slots__ = ("form", "name", "names", "read", "values")

    def __init__(
        self, names: list[str], read: Callable[[], tuple], name: str = "", form: tuple[str | None, Any] = (None, None)
    ):
        self.names, self.read, self.values, self.name = names, read, read(), name
        self.form = form  # what they are in, and how: for `guard`, which reads them without this

    def changes(self) -> Iterator[tuple[int, Any, Any]]:
        """Index, what was there, and what is there now, of each that has changed; index −1 where they are others."""
        now = self.read()
        if len(now) != len(self.values) or (self.name and _have_moved(self.values, now)):
            yield -1, len(self.values), len(now)
        elif not all(map(operator.is_, now, self.values)):
            for i, (was, value) in enumerate(zip(self.values, now)):
                if was is not _ANY and was is not value and not are_equal(was, value):
                    yield i, was, value


def _have_moved(were: tuple, are: tuple) -> bool:
    """Whether one is where another was, as in a queue."""
    places = {id(x): i for i, x in enumerate(were) if not isinstance(x, PLAIN)}
    return any(places.get(id(x), i) != i and were[i] is not x for i, x in enumerate(are))


def are_equal(a: Any, b: Any) -> bool:
    """Whether these are one plain value of one type, NaN and −0.0 included."""
    return type(a) is type(b) and isinstance(a, PLAIN) and repr(a) == repr(b)


class _Bytes:
    """Reads an array of the host, and gives the same object while that is as it was."""

    def __init__(self, x: Any):
        self.x, self.last = x, b""

    def __call__(self) -> tuple[bytes]:
        now = bytes(self.x) if isinstance(self.x, bytearray) else self.x.tobytes()
        if now != self.last:
            self.last = now
        return (self.last,)


def _position(x: Any) -> str | None:
    """Where a random generator of the host or an iterator is, as text; None for all else."""
    if (isinstance(x, random.Random) and not isinstance(x, random.SystemRandom)) or x is random:
        return repr(x.getstate())
    if isinstance(x, np.random.RandomState) or x is np.random:
        return repr([part.tolist() if isinstance(part, np.ndarray) else part for part in x.get_state(legacy=True)])
    if isinstance(x, np.random.Generator):
        return repr(x.bit_generator.state)
    if isinstance(x, itertools.count):
        return repr(x)
    if isinstance(x, types.GeneratorType):
        frame = x.gi_frame
        return repr(frame and (frame.f_lasti, [v for v in frame.f_locals.values() if isinstance(v, PLAIN)]))
    is_builtin = isinstance(x, Iterator) and type(x).__module__ == "builtins"
    return str(operator.length_hint(x, -1)) if is_builtin else None


class _Source:
    """What gives another value each time that it is asked, and where it was."""

    def __init__(self, name: str, x: Any):
        self.name, self.x, self.position = name, x, _position(x)

    def has_moved(self) -> bool:
        return _position(self.x) != self.position


class Surroundings:
    """All that `roots`, a step and what it is called with, can read by name.

    Functions and objects are looked into where they are of the package of the step or of one of its Modules, or of no
    installed one, Modules wherever they are from. Optimizers, schedules and the like of this library take part in a
    recording by themselves; a class of it whose objects hold what a user gave them names that in `_read_by_steps`.
    """

    def __init__(self, *roots: Any):
        step = roots[0]
        while isinstance(step, functools.partial):
            step = step.func
        self.packages = {_top(step)}
        self.places: list[_Place] = []
        self.sources = [_Source("random", random), _Source("numpy.random", np.random)]
        self._seen: set[int] = set()
        self._members: dict[type, list[str]] = {}  # that classes describe
        self._names: set[str] = set()  # that code which the step may reach asks for
        self._objects: list[tuple[Any, str, int]] = []
        self._done: set[tuple[int, str]] = set()  # the attributes of these that are among the places
        for root in roots:
            self._enter(root, "", 0)
        known = -1
        while known < len(self._names) + len(self._objects):  # what is found may ask for more
            known = len(self._names) + len(self._objects)
            for x, name, depth in tuple(self._objects):
                self._enter_object(x, name, depth)

    def is_current(self) -> bool:
        """Whether all is as it was."""
        for place in self.places:
            now = place.read()
            if len(now) != len(place.values) or not all(map(operator.is_, now, place.values)):
                for _ in place.changes():
                    return False
        return True

    def has_other_objects(self) -> bool:
        """Whether anything is another than it was, but for numbers that have other values."""
        numbers = (int, float, complex)
        for place in self.places:
            for i, was, now in place.changes():
                if i < 0 or not (type(was) in numbers and type(now) in numbers):
                    return True
        return False

    def settle(self) -> list[tuple[str, Any, Any]]:
        """Having run the step: names of what it has changed, with what was there and what is; from now on these are its own."""
        found = []
        for place in self.places:
            for i, was, value in list(place.changes()):
                if i < 0:
                    place.read, place.values, place.form = tuple, (), (None, None)
                    if place.name:
                        found.append((place.name, was, value))
                    continue
                found.append((place.names[i], was, value))
                place.values = (*place.values[:i], _ANY, *place.values[i + 1 :])
        return found

    def drawn_from(self) -> str | None:
        """The first of what gives another value each time, random numbers and iterators, from which the step has taken one."""
        is_mine = threading.active_count() == 1 or "random" in self._names  # and no other thread's, of what all share
        mine = (s for s in self.sources if is_mine or not isinstance(s.x, types.ModuleType))
        return next((source.name for source in mine if source.has_moved()), None)

    def tensors(self) -> Iterator[Tensor]:
        """The Tensors among them."""
        for place in self.places:
            for value in place.values:
                if isinstance(value, Tensor):
                    yield value

    # --- the search ---------------------------------------------------------------------------------------------------
    def _enter(self, x: Any, name: str, depth: int) -> None:
        if isinstance(x, (*PLAIN, Tensor)) or id(x) in self._seen or depth > DEEPEST:
            return
        self._seen.add(id(x))  # of what some place holds: no other gets its identity
        if isinstance(x, types.FunctionType):
            if not depth or self._is_own(x):
                self._enter_function(x, depth)
        elif isinstance(x, types.MethodType):
            self._enter(x.__func__, name, depth)
            self._enter(x.__self__, name, depth)
        elif isinstance(x, functools.partial):
            self._look([f"an argument of {name}"] * (1 + len(x.args)), lambda: (x.func, *x.args), depth)
            self._enter(x.keywords, name, depth + 1)
        elif isinstance(x, list | tuple | deque | set | frozenset):
            if len(x) <= LONGEST:
                form: tuple[str | None, Any] = ("sequence", x) if isinstance(x, list | tuple | deque) else (None, None)
                self._look([f"{name}[{i}]" for i in range(len(x))], lambda: tuple(x), depth, name, form)
        elif isinstance(x, dict | types.MappingProxyType):
            if len(x) <= LONGEST:
                form = ("mapping", x)
                self._look([f"{name}[{key!r}]" for key in x] * 2, lambda: (*x.values(), *x), depth, name, form)
        elif isinstance(x, np.ndarray | array.array | bytearray):
            if (x.size if isinstance(x, np.ndarray) else len(x)) * getattr(x, "itemsize", 1) <= LARGEST:
                self.places.append(_Place([name], _Bytes(x)))
        elif _position(x) is not None:
            self.sources.append(_Source(name, x))
        elif self._has_attributes(x):
            if _is_module(type(x)):
                self.packages.add(_top(type(x)))
                depth = 0  # a tree, to its last leaf
            self._objects.append((x, name, depth))

    def _enter_object(self, x: Any, name: str, depth: int) -> None:
        """Attributes and methods that are asked for: a loop around the step may count in others. Of Modules, all."""
        kind, values = type(x), getattr(x, "__dict__", {})
        if isinstance(x, types.ModuleType):
            self._enter_names(x, sorted(self._names))
            return
        told = getattr(kind, "_read_by_steps", ())
        prefix = f"{name}." if name and not told else ""
        is_whole = _is_container(kind) or _is_module(kind)
        if is_whole and (id(x), "") not in self._done:
            self._done.add((id(x), ""))
            form = ("attributes", values)
            self._look([prefix + key for key in values], lambda: tuple(values.values()), depth, form=form)
        known = {
            *values,
            *(k for of in filter(self._is_own, kind.__mro__) for k in vars(of)),
        }  # it may get the latter, too
        asked = self._names if any(map(self._is_own, kind.__mro__)) else set()
        if kind not in self._members:
            self._members[kind] = _described(kind)
        for space, keys in ((None, self._members[kind]), (values, () if is_whole else sorted(known))):
            wanted = [k for k in keys if (k in told or k in asked) and (id(x), k) not in self._done]
            if wanted:
                self._done.update((id(x), k) for k in wanted)
                read = functools.partial(_attributes, x, space, wanted)
                form = ("descriptors", (x, wanted)) if space is None else ("names", (space, wanted))
                self._look([prefix + key for key in wanted], read, depth, form=form)
        for of in filter(self._is_own, kind.__mro__):
            members = {k: m for k, m in vars(of).items() if k in self._names or (k[:2] == "__" and k != "__init__")}
            members |= {"forward": vars(of)["forward"]} if "forward" in vars(of) else {}
            for key, member in members.items():
                method = _function(member)
                if isinstance(method, types.FunctionType):
                    self._enter(method, key, depth + 1)
            self._enter_names(of, list(members))

    def _enter_function(self, f: types.FunctionType, depth: int) -> None:
        cells, names = f.__closure__ or (), sorted(set(_names(f.__code__)))
        self._names.update(names)
        if cells:
            form: tuple[str | None, Any] = ("cells", cells)
            self._look(list(f.__code__.co_freevars), lambda: tuple(map(content, cells)), depth, form=form)
        known = [n for n in names if n in f.__globals__]
        space = f.__globals__
        if known:
            form = ("names", (space, known))
            self._look(known, lambda: tuple([space.get(n, _UNSET) for n in known]), depth, form=form)
        if f.__defaults__:
            self._look(["a default"] * len(f.__defaults__), lambda: tuple(f.__defaults__ or ()), depth)
        for more in (f.__kwdefaults__, vars(f)):
            if more:
                self._enter(more, f.__name__, depth + 1)
        for holder in [*(space[n] for n in known), *map(content, cells)]:
            if isinstance(holder, types.ModuleType | type) and not is_ours(holder):
                self._enter_names(holder, names)

    def _enter_names(self, holder: Any, names: list[str]) -> None:
        """Plain values of another module or of a class that are asked for by these names."""
        space = vars(holder)
        known = [n for n in names if n[:2] != "__" and isinstance(space.get(n, _UNSET), (*PLAIN, Tensor))]
        known = [n for n in known if (id(holder), n) not in self._done]
        self._done.update((id(holder), n) for n in known)
        if known:
            label = [f"{holder.__name__}.{n}" for n in known]
            read = lambda: tuple([space.get(n, _UNSET) for n in known])
            self.places.append(_Place(label, read, form=("names", (space, known))))

    def _look(
        self,
        names: list[str],
        read: Callable[[], tuple],
        depth: int,
        name: str = "",
        form: tuple[str | None, Any] = (None, None),
    ) -> None:
        place = _Place(names, read, name, form)
        self.places.append(place)
        for name, value in zip(place.names, place.values):
            self._enter(value, name, depth + 1)

    def _is_own(self, x: Any) -> bool:
        top = _top(x)
        return top != _OURS and (top in self.packages or not _is_library(top))

    def _has_attributes(self, x: Any) -> bool:
        kind = type(x)
        if isinstance(x, type | types.ModuleType):
            return isinstance(x, types.ModuleType) and self._is_own(x)
        if _is_module(kind) or hasattr(kind, "_read_by_steps"):
            return True
        if any(map(is_ours, kind.__mro__)):
            return False
        return self._is_own(kind) or _is_container(kind)


def _top(x: Any) -> str:
    """The package that something is from, or is in."""
    return str(x.__name__ if isinstance(x, types.ModuleType) else getattr(x, "__module__", "")).partition(".")[0]


def is_ours(x: Any) -> bool:
    """Whether a class or function is of this library."""
    return _top(x) == _OURS


def _names(code: types.CodeType) -> Iterator[str]:
    """The globals and attributes that a function asks for, and those of the functions in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


@functools.cache
def _is_library(top: str) -> bool:
    """Whether a package is Python's or was installed: nothing that a program changes while it runs."""
    if top == "__main__":
        return False
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return not top or top in sys.stdlib_module_names or "site-packages" in file or "dist-packages" in file


def _function(x: Any) -> Any:
    """What a property, a static or a class method calls."""
    return getattr(x, "fget", None) or getattr(x, "__func__", x)


def _is_module(kind: type) -> bool:
    return hasattr(kind, "named_modules")


def _is_container(kind: type) -> bool:
    return any(k.__name__ in CONTAINERS and k.__module__ in ("argparse", "collections", "types") for k in kind.__mro__)


def _described(kind: type) -> list[str]:
    """Attributes that a class describes and its objects hold: slots, and those that are another object's."""
    found = [(name, type(member)) for k in kind.__mro__ for name, member in vars(k).items() if name[:2] != "__"]
    return [name for name, of in found if of is types.MemberDescriptorType or (hasattr(of, "__set__") and is_ours(of))]


def _attributes(x: Any, space: dict[str, Any] | None, names: list[str]) -> tuple:
    if space is None:  # described by the class
        return tuple([getattr(x, n, _UNSET) for n in names])
    return tuple([space.get(n, _UNSET) for n in names])


def content(cell: types.CellType) -> Any:
    """What a closure's cell holds, if there is anything yet."""
    try:
        return cell.cell_contents
    except ValueError:  # not set yet
        return _UNSET
