"""Attributes of one module that are computed whenever they are looked at: it gets a class of its own, with properties."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..module import Module

__all__: list[str] = []

Accessors = dict[str, tuple[Callable, Callable]]


def compute(module: Module, name: str, get: Callable, set: Callable, prefix: str = "") -> None:
    """Make `module.name` be `get(module, name)`, and what is assigned to it go to `set(module, name, value)`."""
    if "_computed" not in vars(type(module)):
        _give_class(module, prefix)
    cls: Any = type(module)
    cls._computed[name] = get, set

    def assign(self: Module, value: Any) -> None:
        set(self, name, value)

    setattr(cls, name, property(partial(get, name=name), assign))


def settle(module: Module, name: str) -> None:
    """Take the property away, and with the last one the class."""
    cls: Any = type(module)
    delattr(cls, name)
    del cls._computed[name]
    if not cls._computed:
        module.__class__ = cls.__bases__[0]


def is_computed(module: Module, name: str) -> bool:
    """Whether it is such an attribute."""
    return name in getattr(type(module), "_computed", ())


def original_class(module: Module) -> type:
    """The class that a module had before."""
    cls = type(module)
    return cls.__bases__[0] if "_computed" in vars(cls) else cls


def _give_class(module: Module, prefix: str) -> None:
    cls = type(module)
    body: dict[str, Any] = {"_computed": {}, "_prefix": prefix, "__reduce_ex__": _reduce, "__module__": cls.__module__}
    made: Any = type(prefix + cls.__name__, (cls,), {**body, "__doc__": cls.__doc__})
    module.__class__ = made


def _reduce(self: Any, protocol: Any) -> tuple:
    """How it is copied and pickled: a class made at run time has no name to be found by."""
    cls = type(self)
    return _rebuilt, (cls.__bases__[0], cls._prefix, cls._computed), vars(self)


def _rebuilt(cls: type, prefix: str, computed: Accessors) -> Module:
    module: Any = object.__new__(cls)
    for name, (get, set) in computed.items():
        compute(module, name, get, set, prefix)
    return module
