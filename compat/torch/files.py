"""`torch.save` and `torch.load`, by the restricted reader and writer of `.pt` files."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import count
from typing import Any

from ...backend.tape.tensor import Tensor
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
    checkpoint.save(_mapped(obj, lambda x: _set_aside(x) if isinstance(x, Module) else None), f)


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
    found = _mapped(checkpoint.load(f), lambda x: _whole(x) if isinstance(x, dict) and _MARK in x else None)
    if map_location is None or callable(map_location):
        return found
    place = map_location.get("cuda:0", "cpu") if isinstance(map_location, dict) else map_location
    return _mapped(found, lambda x: x.to(place) if isinstance(x, Tensor | Module) else None)


def _set_aside(module: Module) -> dict[str, Any]:
    number = next(_numbers)
    _saved[number] = copy.deepcopy(module)
    return {_MARK: number, "name": type(module).__qualname__, "state": module.state_dict()}


def _whole(found: dict[str, Any]) -> Module:
    kept = _saved.get(found[_MARK])
    if kept is None or type(kept).__qualname__ != found["name"]:
        raise ValueError(
            f"the file holds a whole module, {found['name']}, which the process that saved it can read alone; "
            "save and load its state_dict()"
        )
    module = copy.deepcopy(kept)
    module.load_state_dict(found["state"])
    return module


def _mapped(x: Any, replace: Callable[[Any], Any]) -> Any:
    """The same containers, with everything replaced that `replace` has something for."""
    found = replace(x)
    if found is not None:
        return found
    if isinstance(x, dict):
        made = type(x)()
        made.update({key: _mapped(value, replace) for key, value in x.items()})
        return made
    return type(x)(_mapped(value, replace) for value in x) if type(x) in (list, tuple) else x
