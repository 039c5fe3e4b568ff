"""Functions that are called with gradients while `backward` computes them: `register_hook`, `retain_grad`.

A result's gradient is complete when its node is due. So a node that has hooks becomes two: one that calls them, in whose place
and under whose number gradients arrive, and behind it the one that it was. A leaf has no node: what `backward` brings to it is
added up first, given to the hooks, and then to its `grad`.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from ..device.devices import namespace_of
from . import autograd
from .autograd import Output, _record, no_grad
from .handle import RemovableHandle
from .recording import active
from .tensor import Tensor, wrap

__all__ = [
    "check_recording",
    "gate",
    "hooked_gradient",
    "is_hooked",
    "register_hook",
    "register_post_accumulate_grad_hook",
    "retain_grad",
]

Hook = Callable[[Tensor], Tensor | None]


class _Hooked:
    """The pullback of a node that only calls hooks: no function, because what hooks hold is no business of the tape's."""

    def __init__(self, device: str):
        self.device = device
        self.hooks: list[tuple[Hook]] = []

    def __call__(self, g: Any, need: Any = None, into: Any = None) -> list[Any]:
        if isinstance(g, Tensor):  # of a gradient that is itself differentiated
            return [_called(self.hooks, g)]
        with no_grad():
            return [_called(self.hooks, wrap(g, self.device)).data]


def _called(hooks: list[tuple[Hook]], g: Tensor) -> Tensor:
    """What hooks make of a gradient; they get memory of their own, which they may keep."""
    check_recording()
    for (hook,) in tuple(hooks):
        given = g if g.requires_grad or isinstance(g.data, Tensor) else wrap(_copy(g.data), g.device)
        found = hook(given)
        if found is None:
            continue
        if not isinstance(found, Tensor):
            raise TypeError(f"a gradient's hook must return a Tensor or None, got {type(found).__name__}")
        if (found.shape, found.dtype, found.device) != (g.shape, g.dtype, g.device):
            raise RuntimeError(
                f"a gradient's hook must return one of shape {g.shape}, {g.dtype}, on {g.device}, got {found.shape}, "
                f"{found.dtype}, on {found.device}"
            )
        g = found
    return g


def check_recording() -> None:
    """RuntimeError in a step that is being recorded: hooks are the host's."""
    recording = active()
    if recording is not None and recording.is_recording:
        raise RuntimeError("it calls hooks, which a replay would not; remove them, or run the step as it is")


def _copy(raw: Any) -> Any:
    return namespace_of(raw).asarray(raw, copy=True)


# --- results ----------------------------------------------------------------------------------------------------------
def _hooked(x: Tensor) -> _Hooked:
    """The hooks of a result's node."""
    node = x._node
    if isinstance(node.pullback, _Hooked):
        return node.pullback
    if node.pullback is None and type(node) is not Output:
        raise RuntimeError(f"the record of `{node.name}` was freed by an earlier backward; register hooks before")
    kind: Any = type(node)
    behind = kind.__new__(kind)
    for slot in {slot for part in kind.__mro__ for slot in getattr(part, "__slots__", ())}:
        if hasattr(node, slot):
            setattr(behind, slot, getattr(node, slot))
    behind.order = node.order + 0.5  # between this node and all that are older
    node.pullback, node.parents = _Hooked(x.device), (behind,)
    if hasattr(node, "source"):
        node.source = node.pullback
    return node.pullback


def gate(name: str, tensors: Sequence[Tensor], arrived: Callable[[list[Tensor]], Sequence[Tensor]]) -> list[Tensor]:
    """The same tensors, of one depth; what comes back through them, all at once, goes on as what `arrived` makes of it."""
    device, depth = tensors[0].device, tensors[0]._depth

    def pullback(g: tuple, need: Any = None, into: Any = None) -> list[Any]:
        check_recording()
        if any(isinstance(x, Tensor) for x in g):
            return list(arrived([x if isinstance(x, Tensor) else wrap(x, device) for x in g]))
        with no_grad():
            return [x.data for x in arrived([wrap(_copy(x), device) for x in g])]

    out = _record(name, tuple(t.data for t in tensors), pullback, [t._node or t for t in tensors], device, depth)
    joint = out[0]._node.parents[0]
    joint.source = functools.partial(joint.pullback, need=None, into=None)
    return list(out)


# --- leaves -----------------------------------------------------------------------------------------------------------
class _Leaf:
    """The hooks of a leaf: `before` its gradient is added to `grad`, and `after`."""

    def __init__(self, tensor: Tensor):
        key = id(tensor)
        self.tensor = weakref.ref(tensor, lambda _: _forget(key))
        self.before: list[tuple[Hook]] = []
        self.after: list[tuple[Hook]] = []


_leaves: dict[int, _Leaf] = {}


def _forget(key: int) -> None:
    _leaves.pop(key, None)
    if not _leaves:
        autograd.collect = None


def _leaf(x: Tensor) -> _Leaf:
    if not x.requires_grad:
        raise RuntimeError("hooks need a tensor that requires grad: call requires_grad_() on it first")
    autograd.collect = _Collected
    return _leaves.setdefault(id(x), _Leaf(x))


def _release(x: Tensor) -> None:
    found = _leaves.get(id(x))
    if found is not None and not found.before and not found.after:
        _forget(id(x))


class _Collected:
    """What stands before a sink while leaves have hooks: it keeps back their gradients until all have arrived."""

    def __init__(self, sink: Callable[[Tensor, Any, Any], None]):
        self.sink = sink
        self.found: dict[int, tuple[Tensor, Any]] = {}

    @staticmethod
    def calls_hooks_of(leaf: Tensor) -> bool:
        """Whether a leaf has hooks."""
        return id(leaf) in _leaves

    def __call__(self, leaf: Tensor, g: Any, others: Any) -> None:
        key = id(leaf)
        if key not in _leaves:
            self.sink(leaf, g, others)
        elif key in self.found:
            self.found[key] = leaf, self.found[key][1] + g
        else:
            self.found[key] = leaf, _copy(g)  # what comes may lie where the next one is written to

    def finish(self) -> None:
        """Call the hooks, and send on what they make of it."""
        for leaf, g in self.found.values():
            hooks = _leaves.get(id(leaf))
            before = hooks.before if hooks else []
            with no_grad():
                g = _called(before, wrap(g, leaf.device, leaf._depth)).data if before else g
            self.sink(leaf, g, None)
            for (hook,) in tuple(hooks.after if hooks else ()):
                check_recording()
                with no_grad():
                    hook(leaf)


def hooked_gradient(to: Any, g: Any) -> Any:
    """What the hooks of a leaf, or of a node that is there for them, make of a gradient; itself where there are none."""
    if isinstance(to, Tensor):
        before = _leaves[id(to)].before if id(to) in _leaves else []
        if not before:
            return g
        if isinstance(g, Tensor):
            return _called(before, g)
        with no_grad():
            return _called(before, wrap(g, to.device, to._depth)).data
    return to.pullback(g)[0] if isinstance(to.pullback, _Hooked) else g


def is_hooked(node: Any) -> bool:
    """Whether a node does nothing but call hooks."""
    return isinstance(node.pullback, _Hooked)


# --- methods ----------------------------------------------------------------------------------------------------------
def register_hook(x: Tensor, hook: Hook) -> RemovableHandle:
    """Call a function with this tensor's gradient whenever `backward` has computed it.

    Parameters
    ----------
    x : Tensor
        This tensor, which requires grad.
    hook : callable
        Called with the gradient; what it returns takes its place, None leaves it as it is.

    Returns
    -------
    RemovableHandle
        `remove()` takes the hook off.

    Raises
    ------
    RuntimeError
        If the tensor does not require grad, or its record was freed; in `backward`, if what the hook returns has another shape.
    TypeError
        If `hook` is no function; in `backward`, if it returns something that is no Tensor.

    Notes
    -----
    A leaf's hooks are called at the end of `backward`, with the sum of all that arrived in it. A step that is captured runs as
    usual instead. `weft.grad` calls hooks of results alone.

    Examples
    --------
    >>> x = weft.tensor([1.0, 2.0], requires_grad=True)
    >>> handle = x.register_hook(lambda g: g * 10)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([20., 40.])
    """
    if not callable(hook):
        raise TypeError(f"`hook` must be a function of the gradient, got {hook!r:.80}")
    entry = (hook,)
    if x._node is None:
        before = _leaf(x).before
        before.append(entry)
        return RemovableHandle(before, entry, lambda: _release(x))
    hooks = _hooked(x).hooks
    hooks.insert(sum(not isinstance(other, _Retain) for (other,) in hooks), entry)  # what is retained is what they make
    return RemovableHandle(hooks, entry)


def register_post_accumulate_grad_hook(x: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Call a function with this leaf whenever `backward` has added to its `grad`.

    Parameters
    ----------
    x : Tensor
        This tensor, a leaf that requires grad.
    hook : callable
        Called with the tensor.

    Returns
    -------
    RemovableHandle
        `remove()` takes the hook off.

    Raises
    ------
    RuntimeError
        If the tensor is no leaf, or does not require grad.
    TypeError
        If `hook` is no function.

    Examples
    --------
    >>> x = weft.tensor([1.0, 2.0], requires_grad=True)
    >>> handle = x.register_post_accumulate_grad_hook(lambda x: print(x.grad))
    >>> x.sum().backward()
    tensor([1., 1.])
    """
    if not callable(hook):
        raise TypeError(f"`hook` must be a function of the tensor, got {hook!r:.80}")
    if x._node is not None:
        raise RuntimeError("`register_post_accumulate_grad_hook` needs a leaf, got a result, which has no `grad`")
    after, entry = _leaf(x).after, (hook,)
    after.append(entry)
    return RemovableHandle(after, entry, lambda: _release(x))


def retain_grad(x: Tensor) -> None:
    """Have `backward` leave a result's gradient in its `grad`, too; nothing changes for a leaf.

    Parameters
    ----------
    x : Tensor
        This tensor, which requires grad.

    Raises
    ------
    RuntimeError
        If it does not require grad.

    Examples
    --------
    >>> x = weft.tensor([1.0, 2.0], requires_grad=True)
    >>> y = x * 3
    >>> y.retain_grad()
    >>> (y * y).sum().backward()
    >>> y.grad
    tensor([ 6., 12.])
    """
    if not x.requires_grad:
        raise RuntimeError("`retain_grad` needs a tensor that requires grad, got one that does not")
    if x._node is None or any(getattr(hook, "retains", None) is x._node for (hook,) in _hooked(x).hooks):
        return
    _hooked(x).hooks.append((_Retain(x),))


class _Retain:
    """A hook that keeps the gradient of a result, while there is one."""

    def __init__(self, x: Tensor):
        self.tensor, self.retains = weakref.ref(x), x._node

    def __call__(self, g: Tensor) -> None:
        x = self.tensor()
        if x is not None:
            x._grad = g if x._grad is None else x._grad + g
