"""Hooks: functions that a module calls before or after its forward, and may change inputs and output with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["RemovableHandle"]


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook off; as a context manager it does so at the end.

    Parameters
    ----------
    module : Module
        What the hook was registered with.
    entry : tuple
        The hook and whether it sees keyword arguments, as `Hooks` lists it.
    """

    def __init__(self, module: Any, entry: tuple):
        self._module, self._entry = module, entry

    def remove(self) -> None:
        """Take the hook off; a second call does nothing."""
        hooks = self._module._hooks
        if hooks is None:
            return
        for found in (hooks.before, hooks.after):
            found[:] = [e for e in found if e is not self._entry]
        if not hooks.before and not hooks.after:
            self._module._hooks = None  # calls go straight to forward again

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class ListHandle:
    """What registering a hook around a `state_dict` returns: `remove()` takes it off.

    Parameters
    ----------
    hooks : list
        Where the hook is.
    hook : callable
        Which.
    """

    def __init__(self, hooks: list, hook: Callable):
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        """Take the hook off; a second call does nothing."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)

    def __enter__(self) -> ListHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def add_hook(module: Any, where: str, hook: Callable, prepend: bool, with_kwargs: bool) -> RemovableHandle:
    """Put a hook at the end or the beginning of those "before" or "after" the module's forward."""
    if not callable(hook):
        raise TypeError(f"`hook` must be a function, got {hook!r:.80}")
    module._hooks = module._hooks or Hooks()
    entry, found = (hook, with_kwargs), getattr(module._hooks, where)
    found.insert(0 if prepend else len(found), entry)
    return RemovableHandle(module, entry)


class Hooks:
    """The hooks of one module, in the order they are called: pairs (function, whether it sees keyword arguments)."""

    _read_by_steps = "before", "after"  # captured ones, which are recorded anew with other hooks

    def __init__(self) -> None:
        self.before: list[tuple[Callable, bool]] = []
        self.after: list[tuple[Callable, bool]] = []

    def call(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """`module.forward` between the hooks; a hook that returns None changes nothing."""
        for hook, with_kwargs in tuple(self.before):
            changed = hook(module, args, kwargs) if with_kwargs else hook(module, args)
            if changed is None:
                continue
            if not with_kwargs:
                args = changed if isinstance(changed, tuple) else (changed,)
            elif isinstance(changed, tuple) and len(changed) == 2:
                args, kwargs = changed
            else:
                raise RuntimeError(
                    f"a forward pre-hook with_kwargs must return None or (args, kwargs), got {changed!r:.80}"
                )
        output = module.forward(*args, **kwargs)
        for hook, with_kwargs in tuple(self.after):
            changed = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
            if changed is not None:
                output = changed
        return output
