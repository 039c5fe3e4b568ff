"""`torch.save` and `torch.load`, by the restricted reader and writer of `.pt` files.

A whole module is written as data: the name of its class, and its attributes. What brings it back is the class of that name, which
is a Module of this library, or of the program that reads the file: nothing else in the file is ever looked up or called. One that
has hooks, or attributes that are computed (`weight_norm`), is more than that: a copy is kept for the process that saved it.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from ...backend.tape.tensor import Tensor
from ...layers import Module
from .. import checkpoint

__all__ = ["load", "save"]

_MODULE, _FUNCTION, _KEPT = "weft: a module", "weft: a function", "weft: a kept module"
_kept: dict[str, Module] = {}
OURS = __name__.partition(".")[0]


def save(obj: Any, f: Any, **_options: Any) -> None:
    """Write tensors, containers, numbers and strings as PyTorch does; a whole module with its attributes, for this library.

    Parameters
    ----------
    obj : object
        What is to be written.
    f : str, Path or file
        Where to.
    **_options : object
        PyTorch's, which change nothing.
    """
    seen: dict[int, dict[str, Any]] = {}  # a module that is used twice is one
    checkpoint.save(_mapped(obj, lambda x: _described(x, seen)), f)


def load(
    f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None, **_o: Any
) -> Any:
    """Read what PyTorch or `save` has written.

    Parameters
    ----------
    f : str, Path or file
        The file.
    map_location : str or callable, optional
        Where the tensors go; they are on the CPU otherwise.
    pickle_module : module, optional
        PyTorch's; it is never used.
    weights_only : bool, optional
        False lets the class of a whole module be imported from the program's own folder; True refuses whole modules.
    **_o : object
        PyTorch's, which change nothing.

    Returns
    -------
    object
        As it was written.

    Raises
    ------
    CheckpointError
        If it is no checkpoint, or holds more than data.
    ValueError
        If it is a whole module whose class is not at hand.
    """
    seen: dict[int, Any] = {}
    found = _mapped(checkpoint.load(f), lambda x: _whole(x, weights_only, seen) if isinstance(x, dict) else None)
    if map_location is None or callable(map_location):
        return found
    place = map_location.get("cuda:0", "cpu") if isinstance(map_location, dict) else map_location
    return _mapped(found, lambda x: x.to(place) if isinstance(x, Tensor | Module) else None)


def _described(x: Any, seen: dict[int, dict[str, Any]]) -> Any:
    if isinstance(x, Module):
        if id(x) not in seen and any(m._hooks is not None or hasattr(type(m), "_computed") for m in x.modules()):
            seen[id(x)] = {_KEPT: uuid4().hex, "name": type(x).__qualname__}
            _kept[seen[id(x)][_KEPT]] = copy.deepcopy(x)
        if id(x) not in seen:
            seen[id(x)] = {_MODULE: f"{type(x).__module__}:{type(x).__qualname__}", "attributes": {}}
            attributes = {k: v for k, v in vars(x).items() if k not in ("_hooks", "_state_hooks")}
            seen[id(x)]["attributes"] = {
                k: _mapped(dict(v) if k == "_buffers" else v, lambda y: _described(y, seen))
                for k, v in attributes.items()
            }
        return seen[id(x)]
    dtype = getattr(x, "dtype", None)
    if isinstance(dtype, np.dtype) and not isinstance(x, Tensor | np.ndarray | np.generic):
        return dtype
    if callable(x) and not isinstance(x, Tensor) and "<" not in getattr(x, "__qualname__", "<"):
        return {_FUNCTION: f"{x.__module__}:{x.__qualname__}"}
    return None


def _whole(found: dict[str, Any], weights_only: bool | None, seen: dict[int, Any]) -> Any:
    if isinstance(name := found.get(_FUNCTION), str):
        return _named(name, weights_only)
    if isinstance(name := found.get(_KEPT), str):
        if name not in _kept:
            raise ValueError(
                f"the file holds a whole module, {found.get('name')}, with hooks or computed attributes, which the process that "
                "saved it can read alone; save and load its state_dict()"
            )
        return copy.deepcopy(_kept[name])
    name = found.get(_MODULE)
    if not isinstance(name, str) or not isinstance(found.get("attributes"), dict):
        return None
    if weights_only:
        raise ValueError(
            f"the file holds a whole module, {name}, got weights_only=True; save and load its state_dict()"
        )
    if id(found) not in seen:
        kind = _named(name, weights_only)
        if not isinstance(kind, type) or not issubclass(kind, Module):
            raise ValueError(f"the file holds a whole module, whose class must be a Module, got {name}")
        seen[id(found)] = module = object.__new__(kind)
        attributes = {
            k: _mapped(v, lambda y: _whole(y, weights_only, seen) if isinstance(y, dict) else None)
            for k, v in found["attributes"].items()
        }
        vars(module).update(attributes)
    return seen[id(found)]


def _named(name: str, weights_only: bool | None) -> Any:
    """A class or function of this library, or of the program's own modules, by "module:name"."""
    where, _, path = name.partition(":")
    if where.partition(".")[0] != OURS:
        own = _is_programs(where)
        if where not in sys.modules and own and weights_only is False:
            importlib.import_module(where)
        if where not in sys.modules or not own:
            raise ValueError(
                f"the file holds a whole module with {path!r} of {where!r}, which this program has not imported: import it "
                "first, pass weights_only=False, or save and load its state_dict()"
            )
    found: Any = sys.modules.get(where)
    for part in path.split("."):
        found = getattr(found, part, None)
        if found is None or part.startswith("__"):
            raise ValueError(f"the file holds a whole module with {path!r}, which {where!r} does not have")
    return found


def _is_programs(name: str) -> bool:
    """Whether a module is the program, was compiled with it, or has its file in the program's folder."""
    module = sys.modules.get(name)
    if name == "__main__" or (module is not None and hasattr(getattr(module, "__loader__", None), "is_of_a_program")):
        return True
    try:
        origin = getattr(module, "__file__", None) if module else importlib.util.find_spec(name).origin  # type: ignore[union-attr]
    except (ImportError, AttributeError, ValueError):
        return False
    folder = Path(sys.path[0] or ".").resolve()
    return origin is not None and Path(origin).resolve().is_relative_to(folder)


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
