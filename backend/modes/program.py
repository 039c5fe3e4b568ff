"""A log as a program: memory planned for what the step makes, and one Python function of NumPy calls into it.

Where what the step makes lies is `plan`'s to say. The function is text, compiled: calls with arrays bound to names cost less
than any list that is walked, and it can be read (`Program.source`).
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..device import memory
from ..device.parallel import alone, parallel_for
from .log import OUT_PLACES, Call, Decision, Fork, Log, Region, Root, assign, context
from .plan import flat, needed_before, plan, uses_of
from .schedule import early

__all__ = ["Diverged", "Program", "closed"]

LINE = 64  # bytes: where a piece starts in a cache line is kept
WORTH = 1 << 16  # bytes of a plan, from which on another order of calls is tried
ZEROS = np.zeros(0, np.uint8)  # stand for the content of what begins as zeros, however many
LARGE = 1 << 16  # bytes of a result in memory of its own, from which on that is freed after its last use


class Diverged(Exception):
    """A number on which the host's way depends has come out the other way."""


class Program:
    """What replays a log: `run(*inputs)` returns the outputs, in new memory.

    Parameters
    ----------
    log : Log
        Of a step.
    inputs : list of array
        What the step was recorded with, for which others are given at each run.
    outputs : list of array
        Whose numbers are wanted, in new memory.
    kept : list of array
        Whose numbers are to stay where they are after a run.

    Attributes
    ----------
    source : str
        The program.
    body, results : list of str
        Its lines, and what it returns after them, as text that names what is in `space`.
    peak, peak_as_usual : int
        Bytes that a run has for what it makes, at most, and those that the step had when it was recorded.
    """

    def __init__(self, log: Log, inputs: list[np.ndarray], outputs: list[np.ndarray], kept: list[np.ndarray]):
        kept_roots = {id(log.region(a).root) for a in (*inputs, *outputs, *kept)}
        self.entries = log.entries
        self._lay_out(log, inputs, outputs, kept)
        usual = self.entries, self.nbytes
        if self.nbytes > WORTH:
            self.entries = early(log.entries, kept_roots)
            self._lay_out(log, inputs, outputs, kept)
            if self.nbytes > 0.95 * usual[1]:
                self.entries = usual[0]
                self._lay_out(log, inputs, outputs, kept)
        self._write(log)

    def _lay_out(self, log: Log, inputs: list[np.ndarray], outputs: list[np.ndarray], kept: list[np.ndarray]) -> None:
        """Find out what lives when, and where it is to lie."""
        self.log = log
        self.inputs, self.outputs = [log.region(a) for a in inputs], [log.region(a) for a in outputs]
        self.uses = uses_of(self.entries)
        self._first_at: dict[int, set[int]] = {}
        for key, (_, first, _, _) in self.uses.items():
            self._first_at.setdefault(first, set()).add(key)
        lasting = {id(log.region(a).root) for a in kept}
        self.fresh: set[int] = set()
        written = [c for c in flat(self.entries) if isinstance(c, Call)]
        self.last_decision = max([i for i, e in enumerate(self.entries) if _may_fail(e)], default=-1)
        entry_roots = {id(r.root) for c in written for r in c.writes}
        self.fresh = self._fresh(lasting, entry_roots)
        lasting |= {id(r.root) for r in self.outputs if id(r.root) not in self.fresh}
        self.given = self._given(entry_roots | lasting)
        self.lasting = lasting
        self.roots = {key: next(iter(regions)).root for key, (regions, _, _, _) in self.uses.items()}
        planned = [r for r in self.roots.values() if r.is_made and id(r) not in self.fresh]
        planned = [r for r in planned if r.content is None or id(r) in entry_roots]
        self.offsets, self.nbytes = plan(planned, self.entries, self.uses, lasting)
        self.entry_roots = entry_roots

    def _write(self, log: Log) -> None:
        """Make room, write the program down and compile it."""
        self.pool = np.empty(self.nbytes + LINE, np.uint8)
        start = -self.pool.ctypes.data % LINE
        self.at = {key: self.pool.ctypes.data + start + offset for key, offset in self.offsets.items()}
        for root in log.roots:
            if root.content is not None and id(root) in self.entry_roots and not root.content.any():
                root.content = ZEROS
        self.holds = [r.owner if r.owner is not None else r.content for r in log.roots]
        self.space: dict[str, Any] = {"Diverged": Diverged, "errstate": np.errstate, "setbufsize": np.setbufsize}
        self.names: dict[Any, str] = {}
        self.numbers: dict[str, itertools.count] = {}  # of names that begin alike, the next
        self.rooms: dict[Any, Region] = {}
        self.source = self._written_out(self.entry_roots)
        self.run: Callable[..., tuple] = closed(self.source, self.space)
        self.peak, self.peak_as_usual = self.nbytes + self._fresh_bytes(), log.peak
        memory.programs.add(self)
        # the surroundings' memory that a run writes to
        given = {id(r.root.owner) for r in self.inputs}
        self.written = [owner.view(np.ndarray) for owner, _ in log.saved if id(owner) not in given]
        self._inputs = {id(r.root) for r in self.inputs}
        self.owners = {id(owner) for owner, _ in log.saved}

    def meets(self, x: np.ndarray, *, is_written: bool = False) -> bool:
        """Whether an input shares memory with what a run writes to of the surroundings; one that it `is_written`, with any."""
        outside = (
            [r.owner for r in self.log.roots if not r.is_made and id(r) not in self._inputs]
            if is_written
            else self.written
        )
        return any(np.may_share_memory(x, m) for m in outside)

    def restore(self) -> None:
        """Take back what a run that diverged has written to the surroundings' memory."""
        for to, was in self.saved:
            to[...] = was

    # --- what needs no place in the plan --------------------------------------------------------------------------------
    def _fresh(self, lasting: set[int], written: set[int]) -> set[int]:
        """Roots that are one array, made by a call that can as well make it anew each time.

        Results that are returned, so that they need no copy, and those of functions that do not take `out`.
        """
        outputs = {id(r.root) for r in self.outputs}
        found = set()
        for key, (regions, first, _, is_forked) in self.uses.items():
            root = next(iter(regions)).root
            if not root.is_made or is_forked or len(regions) > 1 or key in lasting or root.content is not None:
                continue
            maker, (region,) = self.entries[first], regions
            if not isinstance(maker, Call) or maker.results != (region,) or not region.is_whole:
                continue
            # one without axes NumPy may make as no array, which no call could write to
            if (key in outputs or not takes_out(maker)) if region.shape else key not in written:
                found.add(key)
        return {k for k in found if all(r == next(iter(self.uses[k][0])) for r in self.outputs if id(r.root) == k)}

    def _fresh_bytes(self) -> int:
        """Bytes of results in memory of their own, at most at once."""
        ends: dict[int, int] = {}
        alive = most = 0
        for i in range(len(self.entries)):
            for key in self.fresh & self._first_at.get(i, set()):
                regions, _, last, _ = self.uses[key]
                nbytes = next(iter(regions)).nbytes
                alive += nbytes
                if nbytes > LARGE and not any(id(r.root) == key for r in self.outputs):
                    ends[last] = ends.get(last, 0) + nbytes
            most = max(most, alive)
            alive -= ends.pop(i, 0)
        return most

    def _given(self, others: set[int]) -> dict[int, int]:
        """Inputs that are read where the caller has them: root → which one it is."""
        found: dict[int, int] = {}
        for i, region in enumerate(self.inputs):
            regions, _, _, is_forked = self.uses.get(id(region.root), ({region}, 0, 0, False))
            if id(region.root) not in others and not is_forked and regions == {region}:
                found[id(region.root)] = i
        return found

    # --- text ---------------------------------------------------------------------------------------------------------
    def _written_out(self, entry_roots: set[int]) -> str:
        self.base = context()
        self.functions: list[str] = []
        body: list[str] = []
        for i, region in enumerate(self.inputs):
            if id(region.root) not in self.given and id(region.root) in self.uses.keys() | self.lasting:
                body.append(f"{self._name(region)}[...] = x{i}")
        self.saved: list[tuple[np.ndarray, np.ndarray]] = []
        for region in self._to_save():
            array = self.array(region)
            self.saved.append((array, np.empty_like(array)))
            body.append(f"{self._bound(self.saved[-1][1], 's')}[...] = {self._name(region)}")
        body += self._block(self.entries, entry_roots, is_outer=True)
        self.body, self.results = body, [self._result(r) for r in self.outputs]
        end = f"return ({''.join(f'{result}, ' for result in self.results)})"
        head = f"def replay({', '.join(f'x{i}' for i in range(len(self.inputs)))}):"
        return "\n".join([*self.functions, head, *("    " + line for line in (*body, end)), ""])

    def _result(self, region: Region) -> str:
        name = self._name(region)
        if not self._is_free(region):
            return f"{name}.copy('K')"
        return name if region.shape else f"{self._bound(np.asarray, 'asarray')}({name})"  # NumPy makes a number of it

    def _is_free(self, region: Region) -> bool:
        return id(region.root) in self.fresh

    def _to_save(self) -> list[Region]:
        """What of the surroundings is written to while the host's way may still come out another, and is read before that."""
        found: dict[Region, None] = {}
        pure: list[Region] = []
        for entry in flat(self.entries[: self.last_decision + 1]):
            if isinstance(entry, Call):
                for r in (r for r in entry.writes if not r.root.is_made):
                    is_input = id(r.root) in {id(i.root) for i in self.inputs}
                    if not is_input and r not in pure:
                        found[r] = None
        return list(found)

    def _block(self, entries: list[Any], entry_roots: set[int], *, is_outer: bool) -> list[str]:
        lines: list[str] = []
        ends: dict[int, list[str]] = {}
        for key in self.fresh if is_outer else ():
            regions, _, last, _ = self.uses[key]
            (region,) = regions
            if region.nbytes > LARGE and not any(r.root is region.root for r in self.outputs):
                ends.setdefault(last, []).append(f"{self._name(region)} = None")
        begun: set[int] = set()
        around = self.base
        for i, entry in enumerate(entries):
            for region in needed_before(entry):
                root = region.root
                if root.content is not None and id(root) in entry_roots and id(root) not in self._begun | begun:
                    begun.add(id(root))
                    whole = Region(root, 0, (root.nbytes,), (1,), ZEROS.dtype)
                    fills = ".fill(0)" if root.content is ZEROS else f"[...] = {self._bound(root.content, 'c')}"
                    lines.append(self._name(whole) + fills)
            self._begun |= begun
            if isinstance(entry, Call) and entry.context != around:
                around = entry.context
            prefix = "" if not isinstance(entry, Call) or entry.context == self.base else "    "
            if prefix and (not lines or not lines[-1].startswith("    ") or entry.context != self._last_context):
                lines.append(f"with errstate({', '.join(f'{k}={v!r}' for k, v in entry.context[:-1])}):")
                lines.append(f"    setbufsize({entry.context[-1][1]})")
            if isinstance(entry, Call):
                self._last_context = entry.context
                lines += [prefix + line for line in self._spread_out(entry, is_outer)]
            elif isinstance(entry, Decision):
                word = "if not" if entry.outcome else "if"
                lines.append(f"{word} {self._name(entry.region)}: raise Diverged")
            else:
                lines.append(self._fork(entry, entry_roots))
            lines += ends.get(i, ())
        return lines

    _begun: set[int] = frozenset()  # type: ignore[assignment]
    _last_context: tuple = ()

    def _fork(self, fork: Fork, entry_roots: set[int]) -> str:
        names = []
        for branch in fork.branches:
            name = f"branch{len(self.functions)}"
            lines = self._block(branch, entry_roots, is_outer=False) or ["pass"]
            self.functions.append("\n".join([f"def {name}():", *("    " + line for line in lines)]))
            names.append(name)
        self.space["spread"] = _spread
        return f"spread({', '.join(names)})"

    def _spread_out(self, call: Call, is_outer: bool) -> list[str]:
        """The lines of a call; what is broadcast against few numbers is copied first, as often as it is repeated.

        NumPy's way to broadcast costs more than the copy and a loop over all: 0.7 µs against 0.4 for 16 × 10 numbers.
        """
        f, out = call.function, next((r for r in (*call.writes, *call.results) if r is not None), None)
        if not is_outer or not isinstance(f, np.ufunc) or f.nout != 1 or out is None or call.options.keys() - {"out"}:
            return [self._call(call)]
        if not _is_compact(out) or out.nbytes > FEW_NUMBERS[1] or f.signature is not None:
            return [self._call(call)]
        lines, args = [], list(call.args)
        for i, a in enumerate(args[: f.nin]):
            if isinstance(a, Region) and a.shape and a.shape != out.shape and a.nbytes:
                is_named = self._is_free(a) or id(a.root) in self.given  # and so has the one shape that it is made in
                if not is_named and a.nbytes // a.dtype.itemsize * out.dtype.itemsize == out.nbytes and _is_compact(a):
                    args[i] = Region(a.root, a.offset, out.shape, _compact_strides(out.shape, a.dtype), a.dtype)
                    continue
                if out.nbytes < FEW_NUMBERS[0]:
                    continue
                wide = self._scratch(out.shape, a.dtype, i)
                lines.append(f"{self._name(wide)}[...] = {self._name(a)}")
                args[i] = wide
        return [*lines, self._call(call._replace(args=tuple(args)))]

    def _scratch(self, shape: tuple[int, ...], dtype: np.dtype, i: int) -> Region:
        """Room for an argument of one call."""
        key = "scratch", shape, dtype, i
        if key not in self.rooms:
            room = np.empty(shape, dtype)
            self.rooms[key] = Region(Root(room, -1, False), 0, shape, room.strides, dtype)
        return self.rooms[key]

    def _call(self, call: Call) -> str:
        f, results = call.function, call.results
        args, options = [self._text(a) for a in call.args], {k: self._text(v) for k, v in call.options.items()}
        if f is assign:
            return f"{args[0]}[...] = {args[1]}"
        if len(args) - 1 == OUT_PLACES.get(f) and call.args[-1] is None:
            args.pop()
        target = None
        if len(results) == 1 and results[0] is not None:
            target = self._name(results[0])
            if self._is_free(results[0]) and (text := self._as_operator(call)):
                return f"{target} = {text}"
            if self._is_free(results[0]):
                return f"{target} = {self._invoked(f, args, options)}"
            if _is_copy_in_order(call):  # of the same numbers in the same order, whatever their shape
                source, made = call.args[0], results[0]
                made = made._replace(shape=source.shape, strides=_compact_strides(source.shape, made.dtype))
                return f"{self._name(made)}[...] = {args[0]}"
            if f in COPIES and isinstance(call.args[0], Region):
                return f"{target}[...] = {args[0]}"
            if not takes_out(call):
                return f"{target}[...] = {self._invoked(f, args, options)}"
            if (isinstance(f, np.ufunc) and not options and f not in BY_NAME) or f in METHODS_WITH_OUT:
                args.append(target)
            elif not _place_out(f, args, options, target):
                options["out"] = target
        elif results:
            names = [None if r is None else self._name(r) for r in results]
            if isinstance(f, np.ufunc) and not options:
                args += [name or "None" for name in names]
            else:
                self.space["into"] = _into
                targets = ", ".join(n or "None" for n in names)
                return f"into(({targets},), {self._invoked(f, args, options)})"
        elif isinstance(f, np.ufunc) and list(options) == ["out"] and f.nout == 1 and f not in BY_NAME:
            args.append(self._text(call.options["out"][0]))
            options = {}
        return self._invoked(f, args, options)

    def _as_operator(self, call: Call) -> str | None:
        """A comparison of numbers that are no arrays, as Python has it: a tenth of the cost."""
        sign = COMPARISONS.get(call.function)
        if sign is None or call.options or call.results[0].shape or not isinstance(call.args[0], Region):  # type: ignore[union-attr]
            return None
        if not all(type(a) in (int, float) or (isinstance(a, Region) and self._is_free(a)) for a in call.args):
            return None
        return f"{self._text(call.args[0])} {sign} {self._text(call.args[1])}"

    def _invoked(self, f: Callable, args: list[str], options: dict[str, str]) -> str:
        name, kind = getattr(f, "__name__", "f"), getattr(f, "__objclass__", None)
        if kind is np.ndarray and not name.startswith("__"):
            first, *args = args
            called = f"{first}.{name}"
        else:
            called = self._bound(f, name)
        return f"{called}({', '.join([*args, *(f'{k}={v}' for k, v in options.items())])})"

    def _text(self, x: Any) -> str:
        """An argument, as text."""
        if isinstance(x, Region):
            return self._name(x)
        if type(x) is tuple and len(x) == 1 and isinstance(x[0], Region):
            return f"({self._name(x[0])},)"
        if x is None or x is Ellipsis or type(x) in (bool, int, str):
            return repr(x)
        if type(x) is slice:
            return f"slice({self._text(x.start)}, {self._text(x.stop)}, {self._text(x.step)})"
        if type(x) is tuple:
            return f"({''.join(self._text(v) + ', ' for v in x)})"
        if type(x) is list:
            return f"[{', '.join(map(self._text, x))}]"
        return self._bound(x, "k")

    def _name(self, region: Region) -> str:
        if region not in self.names:
            if id(region.root) in self.given:
                self.names[region] = f"x{self.given[id(region.root)]}"
            elif id(region.root) in self.fresh:
                self.names[region] = f"r{len(self.names)}"
            else:
                self.names[region] = self._bound(self.array(region), "b")
        return self.names[region]

    def _bound(self, x: Any, prefix: str) -> str:
        key = "object", id(x)
        if key not in self.names:
            prefix = prefix if prefix in SHORT or (prefix.isidentifier() and len(prefix) > 2) else "f"
            numbers = self.numbers.setdefault(prefix, itertools.count(prefix in SHORT))
            numbered = (f"{prefix}{i or ''}" for i in numbers)
            name = next(n for n in numbered if n not in self.space)
            self.names[key], self.space[name] = name, x
        return self.names[key]

    def array(self, region: Region) -> np.ndarray:
        """The array at a place: planned memory, or that of the surroundings."""
        root = region.root
        if not region.nbytes:
            return np.empty(region.shape, region.dtype)
        start = self.at.get(id(root), root.start)
        if root.is_made and id(root) not in self.at:
            assert root.content is not None  # a constant
            start = root.content.__array_interface__["data"][0]
        place: Any = (ctypes.c_char * root.nbytes).from_address(start)
        return np.ndarray(region.shape, region.dtype, place, region.offset, region.strides)


def closed(source: str, space: dict[str, Any]) -> Callable:
    """The function `replay` of a text, with what it names bound as if it stood around it: that is found sooner than globals."""
    lines = "\n".join("    " + line for line in source.splitlines())
    around: dict[str, Any] = {}
    exec(compile(f"def around({', '.join(space)}):\n{lines}\n    return replay", "<captured step>", "exec"), around)
    return around["around"](**space)


def _may_fail(entry: Any) -> bool:
    """Whether a replay may end here: where the way comes out another, or an index is none."""
    if isinstance(entry, Fork):
        return any(_may_fail(e) for branch in entry.branches for e in branch)
    if isinstance(entry, Decision):
        return True
    if isinstance(entry.function, np.ufunc) or not getattr(entry.function, "may_fail", True):
        return False
    return any(r.dtype.kind in "iu" for r in entry.reads)


def _spread(*branches: Callable[[], Any]) -> None:
    def work(start: int, stop: int) -> None:
        for branch in branches[start:stop]:
            branch()

    if len(branches) == 1:
        alone(work)
    else:
        parallel_for(work, len(branches))


def _into(targets: tuple, values: Iterable) -> None:
    for to, value in zip(targets, values):
        if to is not None:
            to[...] = value


COMPARISONS: dict[Any, str] = {
    np.less: "<",
    np.less_equal: "<=",
    np.greater: ">",
    np.greater_equal: ">=",
    np.equal: "==",
    np.not_equal: "!=",
}
FEW_NUMBERS = 64, 1 << 15  # bytes of a result against which an argument is copied rather than broadcast
SHORT = ("b", "c", "k", "s")  # what arrays and constants are called, with a number behind
BY_NAME = {np.maximum, np.minimum}  # which take `out` by position no more
COPIES = {np.ndarray.copy, np.copy, np.ndarray.astype, np.ascontiguousarray, np.array, np.asarray}
METHODS_WITH_OUT = {np.ndarray.dot, np.dot}
FUNCTIONS_WITH_OUT = {np.concatenate, np.stack, np.cumsum, np.ndarray.cumsum}
REDUCTIONS = {f.reduce for f in vars(np).values() if isinstance(f, np.ufunc) and f.nin == 2 and f.nout == 1}


def takes_out(call: Call) -> bool:
    """Whether a call can write its one result to where it is told."""
    f = call.function
    if isinstance(f, np.ufunc):
        return f.nout == 1
    if _is_copy_in_order(call):
        return True
    return f in METHODS_WITH_OUT or f in FUNCTIONS_WITH_OUT or f in REDUCTIONS or f in COPIES


def _is_copy_in_order(call: Call) -> bool:
    """Whether it is `reshape` where that has to copy."""
    made = call.results[0]
    return (
        call.function in (np.ndarray.reshape, np.reshape)
        and not any(call.options.values())
        and made is not None
        and _is_compact(made)
    )


def _compact_strides(shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
    return np.empty(shape, dtype).strides


def _is_compact(region: Region) -> bool:
    """Whether an array lies in C's order, without holes."""
    step = region.dtype.itemsize
    for n, stride in zip(reversed(region.shape), reversed(region.strides)):
        if n != 1 and stride != step:
            return False
        step *= n
    return len(region.shape) > 0


def _place_out(f: Callable, args: list[str], options: dict[str, str], target: str) -> bool:
    """`out` among the positional arguments of a reduction: (array, axis, dtype, out, keepdims)."""
    if f not in REDUCTIONS or not options.keys() <= {"axis", "dtype", "keepdims", "out"} or len(args) > 5:
        return False
    rest = ["0", "None", "None", "False"]
    for i, text in enumerate(args[1:]):
        rest[i] = text
    for i, name in enumerate(("axis", "dtype", "out", "keepdims")):
        rest[i] = options.pop(name, rest[i])
    rest[2] = target
    args[1:] = rest
    return True
