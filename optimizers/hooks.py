"""Functions that are called before and after an optimizer's steps."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..backend.tape.handle import RemovableHandle
from ..backend.tape.hooks import check_recording

__all__ = ["register"]


def register(optimizer: Any, when: str, hook: Callable[..., Any]) -> RemovableHandle:
    """Have a function called "before" or "after" each step, for which the optimizer gets a `step` of its own.

    A copy of the optimizer has none of them, as it would call those of the original.
    """
    if not callable(hook):
        raise TypeError(f"`hook` must be a function, got {hook!r:.80}")
    if "_step_hooks" not in vars(optimizer):
        optimizer._step_hooks = {"before": [], "after": []}
        optimizer.step = functools.partial(_stepped, optimizer, optimizer.step)
    entry, hooks = (hook,), optimizer._step_hooks[when]
    hooks.append(entry)
    return RemovableHandle(hooks, entry)


def _stepped(optimizer: Any, step: Callable[..., Any], *args: Any, **options: Any) -> Any:
    hooks = optimizer._step_hooks
    if any(hooks.values()):
        check_recording()
    for (hook,) in tuple(hooks["before"]):
        changed = hook(optimizer, args, options)
        if changed is None:
            continue
        if not isinstance(changed, tuple) or len(changed) != 2:
            raise RuntimeError(f"a step's pre-hook must return None or (args, kwargs), got {changed!r:.80}")
        args, options = changed
    found = step(*args, **options)
    for (hook,) in tuple(hooks["after"]):
        hook(optimizer, args, options)
    return found
