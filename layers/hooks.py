"""Hooks: functions that a module calls before or after its forward, and may change inputs and output with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend.tape.autograd import is_grad_enabled
from ..backend.tape.handle import RemovableHandle
from ..backend.tape.hooks import gate
from ..backend.tape.tensor import Tensor

__all__ = ["RemovableHandle"]

WHEN = "before", "after", "backward_before", "backward"


def add_hook(module: Any, where: str, hook: Callable, prepend: bool, with_kwargs: bool) -> RemovableHandle:
    """Put a hook at the end or the beginning of those of one of the moments `WHEN`."""
    if not callable(hook):
        raise TypeError(f"`hook` must be a function, got {hook!r:.80}")
    module._hooks = module._hooks or Hooks()
    entry, found = (hook, with_kwargs), getattr(module._hooks, where)
    found.insert(0 if prepend else len(found), entry)
    return RemovableHandle(found, entry, lambda: _forget_none(module))


def _forget_none(module: Any) -> None:
    """Have calls go straight to forward again, if no hook is left."""
    hooks = module._hooks
    if hooks is not None and not any(getattr(hooks, when) for when in WHEN):
        module._hooks = None


class Hooks:
    """The hooks of one module, in the order they are called: pairs (function, whether it sees keyword arguments)."""

    _read_by_steps = WHEN  # captured ones, which are recorded anew with other hooks

    def __init__(self) -> None:
        self.before: list[tuple[Callable, bool]] = []
        self.after: list[tuple[Callable, bool]] = []
        self.backward_before: list[tuple[Callable, bool]] = []
        self.backward: list[tuple[Callable, bool]] = []

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
        if self.backward or self.backward_before:
            backward = _Backward(module, self)
            args = backward.enter(args)
            output = backward.leave(module.forward(*args, **kwargs))
        else:
            output = module.forward(*args, **kwargs)
        for hook, with_kwargs in tuple(self.after):
            changed = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
            if changed is not None:
                output = changed
        return output


class _Backward:
    """The backward pass of one call of a module: its gradients go through gates before and behind it."""

    def __init__(self, module: Any, hooks: Hooks):
        self.module, self.hooks = module, hooks
        self.places: list[int] = []  # of the inputs that want gradients
        self.count = 0
        self.grad_output: tuple[Tensor | None, ...] = ()

    def enter(self, args: tuple) -> tuple:
        """The arguments, those that want gradients through a gate."""
        self.count = len(args)
        wanted = _wanting(args)
        self.places = list(wanted)
        if not wanted:
            return args
        name = f"hooks of {type(self.module).__name__}"
        through = dict(zip(wanted, gate(name, list(wanted.values()), self._at_inputs)))
        return tuple(through.get(i, a) for i, a in enumerate(args))

    def leave(self, output: Any) -> Any:
        """The output, through a gate: a Tensor, or a list, tuple or dict with Tensors."""
        parts = (
            output if isinstance(output, list | tuple) else output.values() if isinstance(output, dict) else [output]
        )
        wanted = _wanting(parts)
        if not wanted:
            return output
        size = len(parts)
        found = gate(
            f"hooks of {type(self.module).__name__}",
            list(wanted.values()),
            lambda grads: self._at_outputs(dict(zip(wanted, grads)), size),
        )
        through = dict(zip(wanted, found))
        new = [through.get(i, part) for i, part in enumerate(parts)]
        if isinstance(output, dict):
            return type(output)(zip(output, new))
        if hasattr(output, "_fields"):
            return type(output)(*new)
        return type(output)(new) if isinstance(output, list | tuple) else new[0]

    def _at_outputs(self, grads: dict[int, Tensor], size: int) -> list[Tensor]:
        self.grad_output = tuple(grads.get(i) for i in range(size))
        for hook, _ in tuple(self.hooks.backward_before):
            self.grad_output = _instead(hook(self.module, self.grad_output), self.grad_output, "grad_output")
        if not self.places:
            self._called((None,) * self.count)
        return [g for i, g in enumerate(self.grad_output) if i in grads and g is not None]

    def _at_inputs(self, grads: list[Tensor]) -> list[Tensor]:
        found = dict(zip(self.places, grads))
        grad_input = self._called(tuple(found.get(i) for i in range(self.count)))
        return [g for i, g in enumerate(grad_input) if i in found and g is not None]

    def _called(self, grad_input: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        for hook, _ in tuple(self.hooks.backward):
            grad_input = _instead(hook(self.module, grad_input, self.grad_output), grad_input, "grad_input")
        return grad_input


def _wanting(values: Any) -> dict[int, Tensor]:
    """The Tensors that want gradients, by place; those of the deepest tape alone, where there are several."""
    if not is_grad_enabled():
        return {}
    found = {i: v for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad}
    depth = max((v._depth for v in found.values()), default=0)
    return {i: v for i, v in found.items() if v._depth == depth}


def _instead(given: Any, before: tuple, what: str) -> tuple:
    """What a hook has returned in the place of gradients, of their number and shapes."""
    if given is None:
        return before
    found = tuple(given) if isinstance(given, tuple | list) else (given,)
    shapes = [[None if g is None else g.shape for g in gradients] for gradients in (found, before)]
    if shapes[0] != shapes[1]:
        raise RuntimeError(
            f"a backward hook must return None or a tuple like `{what}`, of shapes {shapes[1]}, got {shapes[0]}"
        )
    return found
