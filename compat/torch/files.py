"""`torch.save` and `torch.load`, by the restricted reader and writer of `.pt` files."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import count
from typing import Any

from ...layers import Module
from .. import checkpoint

__all__ = ["load", "save"]

_MARK = "weft: a whole module"
_saved: dict[int, Module] = {}  # by the number that stands in the file
_numbers = count(1)


def save(obj: Any, f: Any, **_options: Any) -> None:
    """Write tensors, containers, numbers and strings as PyTorch does; a whole module for this process alone.

    Parameters
    ----------
    obj : object
        What is to be written. Of a module the state is written: what it is made of is code, which no file brings back; the
        program that saved it reads it as a module again.
    f : str, Path or file
        Where to.
    **_options : object
        PyTorch's, which change nothing.
    """
    checkpoint.save(_mapped(obj, Module, _set_aside), f)


def load(f: Any, map_location: Any = None, **_options: Any) -> Any:
    """Read what PyTorch or `save` has written.

    Parameters
    ----------
    f : str, Path or file
        The file.
    map_location : str or callable, optional
        Where the tensors go; they are on the CPU otherwise.
    **_options : object
        PyTorch's, which change nothing: nothing but data is ever read.

    Returns
    -------
    object
        As it was written.

    Raises
    ------
    CheckpointError
        If it is no checkpoint, or holds more than data.
    ValueError
        If it is a whole module of another process.
    """
    found = _restored(checkpoint.load(f))
    if map_location is None or callable(map_location):
        return found
    place = map_location.get("cuda:0", "cpu") if isinstance(map_location, dict) else map_location
    return _mapped(found, None, lambda x: x.to(place) if hasattr(x, "detach") or isinstance(x, Module) else x)


def _set_aside(module: Module) -> dict[str, Any]:
    number = next(_numbers)
    _saved[number] = copy.deepcopy(module)
    return {_MARK: number, "name": type(module).__qualname__, "state": module.state_dict()}


def _restored(x: Any) -> Any:
    if not isinstance(x, dict) or _MARK not in x:
        return _mapped(x, dict, _restored) if isinstance(x, dict) and any(map(_holds, x.values())) else x
    if x[_MARK] not in _saved or type(_saved[x[_MARK]]).__qualname__ != x["name"]:
        raise ValueError(
            f"the file holds a whole module, {x['name']}, which the process that saved it can read alone; "
            "save and load its state_dict()"
        )
    module = copy.deepcopy(_saved[x[_MARK]])
    module.load_state_dict(x["state"])
    return module


def _holds(x: Any) -> bool:
    return isinstance(x, dict) and _MARK in x


def _mapped(x: Any, kind: type | None, function: Callable[[Any], Any]) -> Any:
    """The same containers, with what is of `kind` (or is no container, if None) replaced."""
    if kind is not None and kind is not dict and isinstance(x, kind):
        return function(x)
    if isinstance(x, dict):
        pairs = (
            (k, function(v) if kind is dict and isinstance(v, dict) else _mapped(v, kind, function))
            for k, v in x.items()
        )
        return type(x)(pairs) if type(x).__name__ in ("dict", "OrderedDict", "_Dict") else x
    if type(x) in (list, tuple):
        return type(x)(_mapped(v, kind, function) for v in x)
    return function(x) if kind is None else x
