"""A replay without detours: one function that looks at all that a recording depends on, runs its program and returns.

Whatever decides what a step does is compared by identity with what it was, each in one line of text; the text is compiled once.
Where a line does not hold, nothing has been done yet, and the slow way finds out why (`capture.__call__`). It also covers
what this one has no words for: arguments that are no Tensors, by name, or written to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...kernels.toolchain.settings import settings
from ..device import devices, dtypes
from ..tape import autograd, recording, sharing
from ..tape.tensor import Tensor, wrap
from .program import Diverged, closed
from .surroundings import _ANY, _UNSET, Surroundings

__all__ = ["compiled"]

# What a program may raise because of the numbers it is given; the step then runs as usual, and says it in its own words.
FAILURES = (Diverged, IndexError, ValueError, TypeError)


class _Text:
    """Lines of a function, and the objects that they name."""

    def __init__(self, space: dict[str, Any]) -> None:
        self.lines: list[str] = []
        self.conditions: dict[str, None] = {}
        self.space = space
        self._names: dict[int, str] = {}

    def bound(self, x: Any) -> str:
        """A name for an object."""
        if id(x) not in self._names:
            self._names[id(x)] = name = f"o{len(self._names)}"
            self.space[name] = x
        return self._names[id(x)]

    def is_(self, expression: str, x: Any) -> str:
        """That an expression is an object."""
        return f"{expression} is {x!r}" if x is None or x is True or x is False else f"{expression} is {self.bound(x)}"

    def looking(self) -> list[str]:
        """Lines after which SAME is whether all conditions hold; what is looked up and not found means that they do not."""
        conditions = "\n        and ".join(f"({c})" if " or " in c else c for c in self.conditions)
        looking = [*self.lines, *f"SAME = (\n        {conditions}\n)".splitlines()]
        return [*_within("try:", looking), "except (LookupError, AttributeError, ValueError): SAME = False"]

    def unless(self, *conditions: str) -> None:
        """Leave unless all of these hold."""
        self.conditions |= dict.fromkeys(conditions)


def compiled(step: Any, given: list[Any], otherwise: Callable[..., Any]) -> Callable[..., Any] | None:
    """The function of a `HostStep` that can be replayed, called as the step is, with positional arguments such as `given`.

    None where it has no words for something. Where something is not as it was, it does what `otherwise` does.
    """
    if step.written or not all(type(t) is Tensor for t in given) or len({id(t) for t in given}) < len(given):
        return None
    graph = step.graph
    text = _Text(dict(graph.space))
    text.space |= {"OTHERWISE": otherwise, "TENSOR": Tensor, "ARRAY": np.ndarray, "A": autograd, "FAILURES": FAILURES}
    text.space |= {"WRAP": wrap, "STEP": step, "LOCK": step.lock, "READ": step.recording.read, "DTYPE": dtypes._default}
    text.space |= {"DEFAULT": devices._default, "DEVICE": devices._process_default, "SETTINGS": settings}
    text.space |= {"MODE": autograd._mode, "ACTIVE": recording._active, "OWNERS": graph.owners, "MEETS": graph.meets}
    text.space |= {"LAST": sharing.last, "CLOCK": sharing.clock}
    _arguments(text, given)
    _modes(text)
    _surroundings(text, step.surroundings)
    _recording(text, step.recording)
    result = _result(text, step, step.outputs)
    if result is None:
        return None
    before, after, back = _counting(text, step)
    lines = [
        f"if NAMED or len(ARGS) != {len(given)} or STEP.diverged: {NO}",
        *text.looking(),
        f"if not SAME or not LOCK.acquire(False): {NO}",
        *_within(
            "try:",
            [
                *before,
                *_within("try:", [*graph.body, *(f"v{i} = {value}" for i, value in enumerate(graph.results))]),
                *_within("except FAILURES:", [*back, "ENDS = False"]),
                "else: ENDS = True",
            ],
        ),
        "finally: LOCK.release()",
        "if not ENDS: return STEP.diverges(ARGS)",
        *after,
        f"return {result}",
    ]
    source = "\n".join([*graph.functions, *_within("def replay(*ARGS, **NAMED):", lines), ""])
    function = closed(source, text.space)
    function.source = source  # type: ignore[attr-defined]
    return function


NO = "return OTHERWISE(*ARGS, **NAMED)"


def _within(head: str, lines: list[str]) -> list[str]:
    return [head, *("    " + line for line in lines or ["pass"])]


def _arguments(text: _Text, given: list[Any]) -> None:
    names = [f"t{i}" for i in range(len(given))]
    if names:
        text.lines.append(f"{', '.join(names)}, = ARGS")
        text.lines += [f"x{i} = {name}.data" for i, name in enumerate(names)]
    for i, t in enumerate(given):
        x = t.data
        text.unless(f"type(t{i}) is TENSOR and not t{i}.requires_grad and not t{i}._depth and t{i}.device == 'cpu'")
        shape, strides, dtype = text.bound(x.shape), text.bound(x.strides), text.bound(x.dtype)
        text.unless(f"type(x{i}) is ARRAY and x{i}.shape == {shape} and x{i}.strides == {strides}")
        text.unless(f"(x{i}.base is None and id(x{i}) not in OWNERS) or not MEETS(x{i})")
        text.unless(f"x{i}.dtype is {dtype} and id(t{i}) not in READ", *(f"t{i} is not t{j}" for j in range(i)))


def _modes(text: _Text) -> None:
    mode = autograd._mode
    text.unless(text.is_("DTYPE[0]", dtypes.get_default_dtype()), "A.watch is None")
    text.unless(f"(DEFAULT.name or DEVICE[0]) == {devices.get_default_device()!r}")
    text.unless(*(text.is_(f"SETTINGS.{name}", value) for name, value in vars(settings).items()))
    if not autograd.special:
        text.unless("not A.special")
    else:
        text.unless(text.is_("MODE.enabled", mode.enabled), text.is_("MODE.cast", mode.cast), "not MODE.level")
        text.unless(text.is_("MODE.is_again", mode.is_again), "ACTIVE.recording is None")


def _surroundings(text: _Text, around: Surroundings) -> None:
    for place in around.places:
        values = [(i, v) for i, v in enumerate(place.values) if v is not _ANY]
        if not values and not place.name:
            continue
        form, holder = place.form
        if form is None or any(v is _UNSET for _, v in values):
            text.space["UNCHANGED"] = _same
            text.unless(f"UNCHANGED({text.bound(place)})")
            continue
        held = text.bound(holder)
        if form == "mapping":  # values, then keys
            keys = place.values[len(place.values) // 2 :]
            text.unless(f"[*{held}] == {text.bound([*keys])}")
            text.unless(*(text.is_(f"{held}[{text.bound(k)}]", v) for k, v in zip(keys, place.values) if v is not _ANY))
        elif form == "attributes":  # all there are
            present = list(holder)
            text.unless(f"[*{held}] == {text.bound(present)}")
            text.unless(*(text.is_(f"{held}[{present[i]!r}]", v) for i, v in values))
        elif form == "sequence":
            text.unless(f"len({held}) == {len(place.values)}", *(text.is_(f"{held}[{i}]", v) for i, v in values))
        elif form == "cells":
            text.unless(*(text.is_(f"{text.bound(holder[i])}.cell_contents", v) for i, v in values))
        elif form == "names":
            space, names = holder
            held = text.bound(space)
            text.unless(*(text.is_(f"{held}[{names[i]!r}]", v) for i, v in values))
        else:  # descriptors
            x, names = holder
            text.unless(*(text.is_(f"{text.bound(x)}.{names[i]}", v) for i, v in values))


def _same(place: Any) -> bool:
    return next(place.changes(), None) is None


def _recording(text: _Text, found: Any) -> None:
    for generator, started in zip(found.generators, found.started):
        text.unless(f"{text.bound(generator)}.seed == {text.bound(started['seed'])}")
    for x, data, requires_grad in found.read.values():
        name = text.bound(x)
        text.unless(text.is_(f"{name}.data", data), f"{'' if requires_grad else 'not '}{name}.requires_grad")
    if autograd.collect is None:
        text.unless("A.collect is None")
    for leaf in found.leaves.values():
        if autograd.collect is not None:
            text.unless(f"{text.bound(leaf)}.is_hooked() is {leaf.was_hooked}")
        grad = f"{text.bound(leaf.tensor)}._grad"
        if leaf.data is None:
            text.unless(f"{grad} is None")
        else:
            stays = leaf.is_used or leaf.end is leaf.data
            text.unless(text.is_(f"{grad}.data", leaf.data) if stays else f"{grad} is not None")
    for get, value in found.conditions:
        part: Any = getattr(get, "__self__", None)
        terms = part.terms(text) if hasattr(part, "terms") and get.__name__ == "is_current" else None
        text.unless(*(terms if terms is not None else [f"{text.bound(get)}() == {text.bound(value)}"]))


def _counting(text: _Text, step: Any) -> tuple[list[str], list[str], list[str]]:
    """What is done before a replay and after it, and what takes the first back."""
    found, before, after, back = step.recording, [], [], []
    for g, s, used, advance in zip(found.generators, found.started, found.used, found.advances):
        name = text.bound(g)
        before += [f"AT = {name}.counter", f"{text.bound(advance)}[0] = (AT - {s['counter']}) & {2**64 - 1}"]
        before.append(f"{name}.counter = AT + {used}")
        back.append(f"{name}.counter -= {used}")
    parts = []
    for callback in found.callbacks:
        part: Any = getattr(callback, "__self__", None)
        if hasattr(part, "counting"):
            lines, undo = part.counting(text)
            before += lines
            back += undo
            parts.append(part)
        else:
            before.append(f"{text.bound(callback)}()")
    back.insert(0, f"{text.bound(step.graph)}.restore()")
    shown, leaving, again = [], [], []  # whose gradients somebody may hold: they leave memory to them, and come back
    for leaf in found.leaves.values():
        name, end = text.bound(leaf.tensor), leaf.end
        held = text.bound(leaf)
        if hasattr(leaf.tensor, "_is_shown") and not leaf.is_used:
            shown.append(f"{name}._is_shown")
            leaving.append(f"{held}.prepare()")
        if end is None:
            after.append(f"{name}._grad = None")
        elif leaf.is_used and end is leaf.data:
            pass  # as it was
        elif end is leaf.data:
            again.append(f"{held}.finish({text.bound(np)})")
        elif end is getattr(leaf.tensor, "_grad_view", None):
            after += [
                f"GRAD = {name}._grad",
                f"if GRAD is None or GRAD.data is not {text.bound(end)}: {held}.finish({text.bound(np)})",
            ]
        else:
            after.append(f"{held}.finish({text.bound(np)})")
    if shown:
        before[:0] = [f"SHOWN = {' or '.join(shown)}", *_within("if SHOWN:", leaving)]
        after += _within("if SHOWN:", again) if again else []
    return before, after, back


def _result(text: _Text, step: Any, x: Any) -> str | None:
    """What a call returns, as text; None where only `mapped` can make it."""
    if isinstance(x, Tensor):
        for i, to in enumerate(step.inputs):
            if to is x:
                return f"t{i}"
        at = step.made.get(id(x))
        return text.bound(x) if at is None else f"WRAP(v{at}, 'cpu')"
    if type(x) in (tuple, list, dict):
        parts = [_result(text, step, v) for v in (x.values() if type(x) is dict else x)]
        if any(part is None for part in parts):
            return None
        if type(x) is dict:
            return "{" + ", ".join(f"{text.bound(k)}: {part}" for k, part in zip(x, parts)) + "}"
        inside = "".join(f"{part}, " for part in parts)
        return f"({inside})" if type(x) is tuple else f"[{inside}]"
    return text.bound(x) if isinstance(x, bool | int | float | complex | str | bytes | None) else None
