"""What a step does to memory, call by call: the log that `noted.Noted` arrays keep while a step runs on a CPU.

A *root* is a piece of memory with an owner. One *made* by the step is known by the call that made it, and gets its place in
planned memory later; any other is the surroundings', and is kept as it is. A *region* is an array, as a place in a root: what
views of views lead to is the same region, however they were taken.
"""

from __future__ import annotations

import ctypes
import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..tape.sharing import owner_of

__all__ = [
    "Call",
    "Decision",
    "Fork",
    "Log",
    "NotRecorded",
    "Region",
    "Root",
    "arrays_in",
    "assign",
    "context",
    "current",
    "mapped",
    "opened",
]


class NotRecorded(RuntimeError):
    """Something that a step cannot do while it is recorded."""


class _Open(threading.local):
    log: Log | None = None


_open = _Open()


def current() -> Log | None:
    """The log that this thread keeps."""
    return _open.log


class opened:
    """Within the block, what is done with `Noted` arrays in this thread goes to a log (with None, to none)."""

    def __init__(self, log: Log | None):
        self.log = log

    def __enter__(self) -> None:
        self.before, _open.log = _open.log, self.log

    def __exit__(self, *_: Any) -> None:
        _open.log = self.before


class Root:
    """A piece of memory: what owns it, where it starts, how long it is."""

    __slots__ = ("content", "is_made", "is_written", "nbytes", "number", "owner", "start")

    def __init__(self, owner: np.ndarray, number: int, is_made: bool):
        self.number, self.is_made, self.is_written = number, is_made, False
        self.start, self.nbytes = owner.__array_interface__["data"][0], owner.nbytes
        self.owner: Any = None if is_made else owner
        self.content: np.ndarray | None = None  # bytes, of one that is made with numbers of the host in it

    def copy(self) -> Root:
        """Another one like it."""
        new = Root.__new__(Root)
        for name in self.__slots__:
            setattr(new, name, getattr(self, name))
        return new


class Region(NamedTuple):
    """An array, as a place in a root."""

    root: Root
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        n = self.dtype.itemsize
        for k in self.shape:
            n *= k
        return n

    @property
    def is_whole(self) -> bool:
        """Whether it covers its root, without holes."""
        return self.nbytes == self.root.nbytes


class Call(NamedTuple):
    """function(*args, **options), in which regions stand for arrays; its results go to regions of what it makes."""

    function: Callable
    args: tuple
    options: dict[str, Any]
    results: tuple[Region | None, ...]  # None for a result that is a view
    writes: tuple[Region, ...]  # among its arguments
    reads: tuple[Region, ...]
    context: tuple  # NumPy's `errstate` and buffer size around it


class Decision(NamedTuple):
    """The host went on as it did because a number was true, or was not."""

    region: Region
    outcome: bool


class Fork(NamedTuple):
    """Work that is spread over threads: what each does, in order."""

    branches: list[list[Any]]


class Log:
    """A step's calls, in order, and what memory they use."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.roots: list[Root] = []
        self.obstacle: str | None = None
        self.is_forked = False
        self.peak = self._alive = 0  # bytes of what the step had made and not let go of, at most
        self.saved: list[
            tuple[np.ndarray, np.ndarray]
        ] = []  # the surroundings' memory as it was before the first write
        self._by_owner: dict[int, Root] = {}
        self._watched: dict[int, weakref.ref] = {}
        self._defined: set[int] = set()  # numbers of roots that the step has made and written to

    # --- memory -------------------------------------------------------------------------------------------------------
    def root(self, array: np.ndarray, *, is_made: bool = False) -> Root:
        """The root that an array lies in."""
        owner = owner_of(array)
        found = self._by_owner.get(id(owner))
        if found is None:
            found = Root(owner, len(self.roots), is_made)
            self._check_owner(found)
            self._by_owner[id(owner)] = found
            self.roots.append(found)
            if is_made:  # which may be freed before the step ends: its address is another's then
                key = id(owner)
                self._watched[key] = weakref.ref(owner, lambda _: self._forget(key))
                self._alive += found.nbytes
                self.peak = max(self.peak, self._alive)
        return found

    def _forget(self, key: int) -> None:
        root = self._by_owner.pop(key, None)
        self._watched.pop(key, None)
        self._alive -= 0 if root is None else root.nbytes

    def _check_owner(self, root: Root) -> None:
        """Refuse memory that has two owners: what is written to one would not be seen to be written to the other."""
        end = root.start + root.nbytes
        if any(r.start < end and root.start < r.start + r.nbytes for r in self._by_owner.values()):
            self.refuse("it uses memory under two arrays that do not know of each other")

    def region(self, array: np.ndarray) -> Region:
        """Where an array lies."""
        if array.dtype.hasobject:
            self.refuse(f"it computes with an array of Python's objects, of shape {array.shape}")
        root = self.root(array)
        return Region(root, array.__array_interface__["data"][0] - root.start, array.shape, array.strides, array.dtype)

    def make(self, array: np.ndarray, *, is_filled: bool) -> Any:
        """An array that the step makes, with numbers of the host in it or with none, to be noted."""
        root = self.root(array, is_made=True)
        if is_filled:
            with opened(None):
                root.content = memory_at(root.start, root.nbytes).copy()
            self._defined.add(root.number)
        return _noted(array)

    def has_made(self, array: np.ndarray) -> bool:
        """Whether the step has made the memory that an array lies in."""
        found = self._by_owner.get(id(owner_of(array)))
        return found is not None and found.is_made

    def is_constant(self, array: np.ndarray) -> bool:
        """Whether an array's numbers are the host's own: no replay makes others."""
        if not isinstance(array, np.ndarray):
            return True
        found = self._by_owner.get(id(owner_of(array)))
        return found is not None and found.content is not None and not found.is_written

    # --- what is done -------------------------------------------------------------------------------------------------
    def refuse(self, reason: str) -> None:
        """Give the recording up."""
        self.obstacle = self.obstacle or reason
        raise NotRecorded(reason)

    def decide(self, array: np.ndarray, outcome: bool) -> None:
        """Note that the host goes on as it does because this is true, or is not."""
        self.entries.append(Decision(self._read(array), outcome))

    def fork(self, work: list[Callable[[], Any]]) -> None:
        """Note what several threads do at once, by doing it one after the other."""
        outer, branches = self.entries, []
        self.is_forked = True
        try:
            for branch in work:
                self.entries = []
                branch()
                branches.append(self.entries)
        finally:
            self.entries, self.is_forked = outer, False
        self.entries.append(Fork(branches))

    def call(self, function: Callable, args: tuple, options: dict[str, Any], *, in_place: bool = False) -> Any:
        """Do function(*args, **options) and note it."""
        if any(isinstance(a, np.ndarray) and a.dtype == object for a in arrays_in((args, options))):
            return function(*mapped(_plain, args), **mapped(_plain, options))
        raw_args, raw_options = mapped(_plain, args), mapped(_plain, options)
        given = arrays_in((args, options))
        written = given[:1] if in_place else arrays_in(options.get("out"))
        if not in_place and not written and isinstance(function, np.ufunc) and len(args) > function.nin:
            written = arrays_in(args[function.nin :])
        where = OUT_PLACES.get(function)
        if where is not None and len(args) > where and isinstance(args[where], np.ndarray):
            written = [args[where]]
        if given and not written and all(map(self.is_constant, given)):
            return self._constant(function, raw_args, raw_options)
        if in_place:
            inputs, is_pure = args[1:], function in (assign, np.ndarray.fill) or (function is np.copyto and not options)
        else:
            inputs = (
                args[: function.nin]
                if isinstance(function, np.ufunc)
                else args[:where] + args[where + 1 :]
                if where
                else args
            )
            is_pure = "where" not in options
        reads = arrays_in((inputs, {name: option for name, option in options.items() if name != "out"}))
        places = [
            tuple(self.region(a) for a in (reads if is_pure else [*reads, *written])),
            mapped(self.region, (raw_args, raw_options)),
        ]
        for array in written:
            self._save(array)
        with opened(None):
            result = function(*raw_args, **raw_options)
        note: Any = functools.partial(Call, function, *places[1], reads=places[0], context=context())  # type: ignore[misc]
        if not written:
            return self._noted_result(note, result, given)
        for a in reads:
            self._read(a)
        regions = tuple(self.region(a) for a in written)
        for region in regions:
            region.root.is_written = True
            self._defined.add(region.root.number)
        self.entries.append(note(results=(), writes=regions))
        return None if in_place else written[0] if len(written) == 1 else tuple(written)

    def convert(self, function: Callable, args: tuple, options: dict[str, Any]) -> Any:
        """The same for what makes an array of another, and may give that one back."""
        raw = mapped(_plain, args)
        if isinstance(args[0], np.ndarray):
            with opened(None):
                found = function(*raw, **mapped(_plain, options))
            if owner_of(found) is owner_of(args[0]):
                return args[0] if found is raw[0] and isinstance(args[0], kinds[0]) else _noted(found)
        return self.call(function, args, options)

    def _constant(self, function: Callable, args: tuple, options: dict[str, Any]) -> Any:
        """What comes of the host's own numbers alone: more of these."""
        with opened(None):
            result = function(*args, **options)
        if isinstance(result, np.generic):
            result = _asarray(result)
        if not isinstance(result, np.ndarray) or self.root(result, is_made=True).content is not None:
            return _noted(result) if isinstance(result, np.ndarray) else result
        return self.make(result, is_filled=True)

    def _noted_result(self, note: Any, result: Any, given: list) -> Any:
        if result is None:  # looked at, for what is wrong
            self.entries.append(note(results=(), writes=()))
            return None
        parts = list(result) if isinstance(result, tuple | list) else [result]
        if not all(isinstance(p, np.ndarray | np.generic) for p in parts):
            self.refuse(f"it reads a value on the host (`{note.args[0].__name__}`)")
        owners = {id(owner_of(a)) for a in given}
        arrays: list[Any] = []
        results: list[Any] = []
        for given_part in parts:
            part = _asarray(given_part)
            if id(owner_of(part)) in owners:
                results.append(None)
            else:
                self.root(part, is_made=True)
                results.append(self.region(part))
                self._defined.add(results[-1].root.number)
                results[-1].root.is_written = True
            arrays.append(_noted(part))
            arrays[-1].is_number = isinstance(given_part, np.generic)
        if any(r is not None for r in results):
            if note.args[0] is np.ndarray.reshape and self._is_empty(given[0]):  # a copy of nothing, for its shape
                results[0].root.is_written = False
                self._defined.discard(results[0].root.number)
                return arrays[0]
            for a in given:
                self._read(a)
            self.entries.append(note(results=tuple(results), writes=()))
        if not isinstance(result, tuple | list):
            return arrays[0]
        return type(result)(*arrays) if hasattr(result, "_fields") else type(result)(arrays)

    def _read(self, array: np.ndarray) -> Region:
        found = self.region(array)
        root = found.root
        if isinstance(owner_of(array), kinds[0]) and found.nbytes:  # NumPy made it, unasked
            self.refuse(f"it has a call that the recorder cannot see, which made an array of shape {array.shape}")
        if root.is_made and root.number not in self._defined and found.nbytes:
            self.refuse(f"it has a call that the recorder cannot see, which made an array of shape {array.shape}")
        return found

    def _is_empty(self, array: np.ndarray) -> bool:
        root = self.root(array)
        return root.is_made and root.number not in self._defined

    def _save(self, array: np.ndarray) -> None:
        """Keep the surroundings' memory as it is before the step writes to it."""
        root = self.root(array)
        if not root.is_made and not root.is_written:
            root.is_written = True
            self.saved.append((root.owner, root.owner.view(np.ndarray).copy("K")))

    def undo(self) -> None:
        """Leave the surroundings' memory as the step found it."""
        for owner, was in self.saved:
            owner.view(np.ndarray)[...] = was


_asarray = np.asarray  # itself, while others find one in its place that notes what is made


def _plain(x: np.ndarray) -> np.ndarray:
    return x.view(np.ndarray) if type(x) is not np.ndarray else x


def _noted(x: np.ndarray) -> Any:
    return x.view(kinds[0])


kinds: list[type] = []  # `Noted`, which is made of this


def memory_at(start: int, nbytes: int) -> np.ndarray:
    """The bytes from an address on."""
    place: Any = (ctypes.c_char * nbytes).from_address(start)
    return np.frombuffer(place, np.uint8)


def assign(x: np.ndarray, value: Any) -> None:
    """x ← value, all of it."""
    x[...] = value


def context() -> tuple:
    """What decides how NumPy goes about an operation, besides its arguments."""
    return *np.geterr().items(), ("bufsize", np.getbufsize())


def mapped(f: Callable[[np.ndarray], Any], x: Any) -> Any:
    """x with f applied to every array in it."""
    if isinstance(x, np.ndarray):
        return f(x)
    if type(x) is dict:
        return {name: mapped(f, value) for name, value in x.items()} if x else x
    if type(x) is slice:
        return slice(mapped(f, x.start), mapped(f, x.stop), mapped(f, x.step))
    if isinstance(x, tuple | list):
        parts = [mapped(f, value) for value in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return x


def arrays_in(x: Any) -> list[np.ndarray]:
    """Every array in it."""
    if isinstance(x, np.ndarray):
        return [x]
    if isinstance(x, dict):
        x = list(x.values())
    return [a for y in x for a in arrays_in(y)] if isinstance(x, tuple | list) else []


# Where, among positional arguments, methods and functions take the array that they write to.
OUT_PLACES: dict[Any, int] = {}
for _place, _names in ((2, "dot max min round argmax argmin"), (3, "take sum mean cumsum prod clip")):
    for _name in _names.split():
        OUT_PLACES |= {getattr(np.ndarray, _name): _place, getattr(np, _name): _place}
for _ufunc in {f for f in vars(np).values() if isinstance(f, np.ufunc) and f.nout == 1 and f.nin == 2}:
    OUT_PLACES[_ufunc.reduce], OUT_PLACES[_ufunc.accumulate] = 3, 3
