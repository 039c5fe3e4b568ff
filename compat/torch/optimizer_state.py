"""`state` and `param_groups` of weft's optimizers as PyTorch's: dicts of Tensors that a program may change as it likes.

weft keeps state in flat vectors. From the first look at `optimizer.state` on there is a dict beside them, whose Tensors are
views of these; before each step whatever was changed in it goes into the vectors, and after it new entries appear.
"""

from __future__ import annotations

import copy
import functools
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ... import optimizers
from ...backend.array import creation
from ...backend.tape.sharing import is_alias, move, root_of
from ...backend.tape.tensor import Tensor, wrap
from ...optimizers.arena import MASTER
from ...optimizers.options import check_params
from ...optimizers.state import check_state, read_entry

__all__ = ["attach_state"]

Base = optimizers.Optimizer


def attach_state() -> None:
    """Give weft's optimizers PyTorch's `state`, for the rest of the process."""
    Base.state = property(_state, _put)  # type: ignore[method-assign, assignment]
    Base.__getstate__ = _copied(Base.__getstate__)  # type: ignore[method-assign]
    Base.state_dict, Base.load_state_dict = _saved(Base.state_dict), _loading(Base.load_state_dict)  # type: ignore[method-assign]
    for name in ("advance", "state_dict", "load_state_dict", "add_param_group", "__getstate__"):
        setattr(Base, name, _settled(getattr(Base, name)))


def _settled(ours: Callable) -> Callable:
    """A method, before which the vectors become what the program made of groups and state."""

    @functools.wraps(ours)
    def call(self: Base, *args: Any, **options: Any) -> Any:
        _settle_groups(self)
        if "_live" in vars(self):
            _settle_state(self)
        found = ours(self, *args, **options)
        if "_live" in vars(self):
            _show(self)
        return found

    return call


def _saved(ours: Callable) -> Callable:
    @functools.wraps(ours)
    def state_dict(self: Base) -> dict[str, Any]:
        found = ours(self)
        for i, p in enumerate(_parameters(self)):
            if i in found["state"]:
                entry = {name: _tensor(value, p.device) for name, value in found["state"][i].items()}
                found["state"][i] = entry | _of_a_program(self, p)
        return found

    return state_dict


def _loading(ours: Callable) -> Callable:
    @functools.wraps(ours)
    def load_state_dict(self: Base, state_dict: dict[str, Any]) -> None:
        check_state(state_dict, type(self).__name__)
        parameters, names = (
            _parameters(self),
            {MASTER, *self.clock, *(n for g in self.param_groups for n in self.slots(g))},
        )
        own = {i: {n: v for n, v in e.items() if n not in names} for i, e in state_dict["state"].items()}
        is_ours = {i: {n: v for n, v in e.items() if n in names} for i, e in state_dict["state"].items()}
        for known in _handed(self).values():
            for held, _, vector in known.values():
                if vector is not None:  # what takes the vector over is not what is held
                    move(held, held.data.copy())
        ours(self, {**state_dict, "state": is_ours})
        for name in ("_live", "_handed"):
            vars(self).pop(name, None)
        for i, entry in own.items():
            if entry and int(i) < len(parameters):
                _state(self)[parameters[int(i)]].update(copy.deepcopy(entry))

    return load_state_dict


def _parameters(self: Base) -> list[Tensor]:
    return [p for group in self.param_groups for p in group["params"]]


def _of_a_program(self: Base, p: Tensor) -> dict[str, Any]:
    """What a program has put into an entry under names of its own."""
    known = _handed(self).get(p, {})
    return {name: v for name, v in (vars(self).get("_live", {}).get(p) or {}).items() if name not in known}


def _copied(ours: Callable) -> Callable:
    """A copy knows nothing of what was shown: it takes the dict for changed."""
    return lambda self: {name: value for name, value in ours(self).items() if name != "_handed"}


def _tensor(value: Any, device: str) -> Any:
    if isinstance(value, int | float):
        return creation.tensor(float(value), device="cpu")
    return wrap(value, device) if hasattr(value, "shape") and not isinstance(value, Tensor) else value


# --- groups -----------------------------------------------------------------------------------------------------------
def _fit(arenas: list, params: Any) -> bool:
    """Whether arenas are of these parameters."""
    return sum(len(arena.rows) for arena in arenas) == len(params) and all(
        i < len(params) and params[i] is row[0] for arena in arenas for i, row in zip(arena.indices, arena.rows)
    )


def _settle_groups(self: Base) -> None:
    """Lay out the groups whose parameters are others; those that were there before keep their state."""
    before, groups = self._arenas, self.param_groups
    if len(before) == len(groups) and all(_fit(arenas, g["params"]) for arenas, g in zip(before, groups)):
        return
    for k, group in enumerate(groups):
        if group["params"]:
            check_params(group["params"], [p for g in groups[:k] for p in g["params"]])
    known = {
        id(row[0]): arena.read(i, [name for name in arena.state if name != MASTER], copy=True)
        for arenas in before for arena in arenas for i, row in enumerate(arena.rows)
    }  # fmt: skip
    kept = [next((arenas for arenas in before if _fit(arenas, g["params"])), None) for g in groups]
    self._arenas = [self._lay_out(g["params"]) if old is None else old for old, g in zip(kept, groups)]
    for k, (old, group) in enumerate(zip(kept, groups)):
        if old is None:
            self._write(k, [known.get(id(p), (dict(self.clock), {})) for p in group["params"]])


# --- state ------------------------------------------------------------------------------------------------------------
def _state(self: Base) -> Any:
    if "_live" not in vars(self):
        self._live = defaultdict(dict)  # type: ignore[attr-defined]
        _settle_groups(self)
        _show(self)
    return self._live  # type: ignore[attr-defined]


def _put(self: Base, state: Any) -> None:
    """What a program assigns to `state` is all that there is."""
    _state(self)  # what it takes the place of has been shown
    self._live = state  # type: ignore[attr-defined]


def _handed(self: Base) -> dict[Tensor, dict[str, tuple]]:
    """What each entry was when it was shown: its Tensor, then a number, or memory and the vector that it is part of."""
    return vars(self).setdefault("_handed", {})


def _show(self: Base) -> None:
    """Entries for what was updated: the counts of now, and views of the vectors."""
    hidden = ("step",) if isinstance(self, optimizers.SGD) else ()  # PyTorch's counts nothing
    for k, group in enumerate(self.param_groups):
        slots = self.slots(group)
        for arena in self._arenas[k]:
            arena.require(slots)
            for i, (p, _, _) in enumerate(arena.rows):
                clock = {name: v for name, v in arena.clocks[i].items() if name not in hidden}
                if arena.clocks[i]["step"] and (clock or slots):
                    entry, known = self._live.setdefault(p, {}), _handed(self).setdefault(p, {})  # type: ignore[attr-defined]
                    _show_counts(clock, entry, known)
                    if any(name not in known or known[name][2] is not arena.state[name] for name in arena.state):
                        for name, view in arena.read(i, slots, copy=False)[1].items():
                            there, fresh = entry.get(name), wrap(view, arena.device)
                            is_ours = name in known and there is known[name][0]
                            entry[name] = _moved(there, fresh) if is_ours or _is_free(self, there) else fresh
                            known[name] = entry[name], view, arena.state[name]


def _is_free(self: Base, there: Any) -> bool:
    """Whether what a program has put into an entry is nothing but that: it may become a view of a vector."""
    if not isinstance(there, Tensor) or there.requires_grad or root_of(there) is not there or is_alias(there):
        return False
    shown = (known[0] for entry in _handed(self).values() for known in entry.values())
    return not any(there is x for x in (*shown, *(p.grad for p in _parameters(self))))


def _moved(there: Tensor, fresh: Tensor) -> Tensor:
    """The Tensor that is in an entry, so that whoever holds it sees it change, in a vector's memory; or what fits there."""
    if (there.shape, there.dtype, there.device) != (fresh.shape, fresh.dtype, fresh.device):
        return fresh
    move(there, fresh.data)
    return there


def _show_counts(clock: dict, entry: dict, known: dict) -> None:
    for name, value in clock.items():
        there = entry.get(name)
        if name in known and there is known[name][0]:
            there.data[...] = value  # whoever holds it sees it count
        elif isinstance(there, Tensor) and there.ndim == 0:
            there.fill_(float(value))
        else:
            entry[name] = _tensor(value, "cpu")
        known[name] = entry[name], float(value), None


def _is_as_shown(entry: dict[str, Any], known: dict[str, Any]) -> bool:
    for name, (tensor, value, vector) in known.items():
        there: Any = entry.get(name)
        is_same = there is tensor and (there.item() == value if vector is None else there.data is value)
        if not is_same:
            return False
    return bool(known) or not entry


def _settle_state(self: Base) -> None:
    """What the program has changed in the dict goes into the vectors."""
    live, handed, what = self._live, _handed(self), f"a parameter of {type(self).__name__}"  # type: ignore[attr-defined]
    for k, group in enumerate(self.param_groups):
        slots = self.slots(group)
        if all(_is_as_shown(live.get(p) or {}, handed.get(p, {})) for p in group["params"]):
            continue
        entries = []
        for p in group["params"]:
            shapes = {n: of for n in slots if (of := self.slot_shape(n, p.shape)) is not None}
            names = {*shapes, *self.clock, MASTER}
            theirs = {name: value for name, value in (live.get(p) or {}).items() if name in names}
            entry = {name: v.detach().clone() if isinstance(v, Tensor) else v for name, v in theirs.items()}
            if entry:  # a `step` of the program's own need not keep all
                entry = {n: creation.full(of, slots[n], dtype=p.dtype) for n, of in shapes.items()} | entry
            entries.append(read_entry(entry, self.clock, shapes, p.shape, what))
            handed.pop(p, None)
        self._write(k, entries)
