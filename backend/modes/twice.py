"""Gradients with respect to any tensors, as a program asks for them after the fact, themselves differentiable if it likes.

`weft.grad` knows beforehand that it is to be differentiated. A program of PyTorch's style does not: it computes, and then asks for
gradients with a graph of their own. While `keep_operations` is on, every node knows what it was: the operation and its
arguments. Where its gradient is wanted with a graph, the operation runs again on Tensors that hold its arguments, as inside a
nested `weft.grad`, and the pullback of that, called with a recorded gradient, is itself recorded (see `transforms.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..device.devices import namespace_of
from ..tape import autograd, sharing
from ..tape.autograd import Node, Output, _mode, enable_grad, is_half_gradient, no_grad, wide_sum
from ..tape.hooks import hooked_gradient, is_hooked
from ..tape.tensor import Tensor, wrap
from .transforms import _tape

__all__ = ["gradients", "keep_operations"]


def keep_operations(keep: bool = True) -> None:
    """Have operations, and so all their arguments, kept with what they have recorded, from now on, or no longer."""
    autograd.note = _note if keep else None


def _note(found: Any, call: Any, args: tuple, static: dict[str, Any], parents: Sequence[Any]) -> None:
    first = next((t for t in found if t._node is not None), None) if isinstance(found, tuple) else found
    if first is None:
        return
    node = first._node.parents[0] if isinstance(found, tuple) else first._node
    kept = [_as_now(a) if isinstance(a, Tensor) else a for a in args]
    node.source = functools.partial(_again, call, kept, static, tuple(parents), node.order)


def _as_now(x: Tensor) -> Tensor:
    """A tensor as it is now, whatever it will be bound to later; a leaf itself."""
    return x if x.requires_grad and x._node is None else wrap(x.data, x.device, x._depth, x._node)


def _again(call: Any, args: list, static: dict[str, Any], parents: tuple, order: float, g: Any) -> Sequence[Any]:
    """The gradients of an operation's arguments, recorded, from a recorded gradient `g` of its result."""
    if sharing.last.write < order:
        sharing.check(call.__name__, [a for a in args if isinstance(a, Tensor)], parents, order)
    depth = 1 + max(a._depth for a in args if isinstance(a, Tensor))
    leaves = [wrap(a, a.device, depth) if parent is not None else a for a, parent in zip(args, parents)]
    for leaf, parent in zip(leaves, parents):
        if parent is not None:
            leaf.requires_grad = True  # whatever its dtype: what was computed may be complex
    with _tape(depth, base=min(_mode.base, depth), nested=True), enable_grad():
        found = call(*leaves, **static)
        first = next(t for t in found if t._node is not None) if isinstance(found, tuple) else found
        node = first._node.parents[0] if isinstance(found, tuple) else first._node
        need = [parent is not None for parent in parents]
        if isinstance(node.pullback, tuple):
            grads = [f(g) if n else None for f, n in zip(node.pullback, need)]
        else:
            grads = node.pullback(g, need, [None] * len(need))
    return [x if x is None or isinstance(x, Tensor) else wrap(x, leaf.device) for x, leaf in zip(grads, leaves)]


def gradients(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor] | None,
    seeds: Sequence[Tensor],
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> dict[int, tuple[Tensor, Tensor]]:
    """Each input that the outputs depend on, by its `id`, with Σ seeds · d outputs / d input; nobody's `grad` is touched.

    Parameters
    ----------
    outputs, seeds : sequence of Tensor
        Of what, and the gradients with respect to them.
    inputs : sequence of Tensor or None
        With respect to what, leaves or results; all leaves if None.
    retain_graph : bool, default False
        Keep the record; else what leads to the inputs is freed.
    create_graph : bool, default False
        Record the gradients, so that they can be differentiated.

    Raises
    ------
    RuntimeError
        If a record was freed, memory was changed that it needs, or an operation was not kept (see `keep_operations`).
    """
    wanted = None if inputs is None else {id(x._node or x): x for x in inputs}
    order = _leading_to(wanted, [o._node or o for o in outputs])
    pending: dict[int, Any] = {}
    halves: dict[int, Any] = {}
    found: dict[int, tuple[Tensor, Tensor]] = {}

    def arrive(to: Any, g: Any) -> None:
        if to is None or g is None or id(to) not in order:
            return
        if id(to) in pending and is_half_gradient(g) and not create_graph:  # rounded once, however many they are
            pending[id(to)], halves[id(to)] = wide_sum(pending[id(to)], g), g.dtype
        else:
            pending[id(to)] = pending[id(to)] + g if id(to) in pending else g

    with enable_grad() if create_graph else no_grad():
        for o, seed in zip(outputs, seeds, strict=True):
            arrive(o._node or o, seed if create_graph else seed.data)
        for node in order.values():
            g = pending.pop(id(node), None)
            if g is None:
                continue
            if id(node) in halves:
                g = namespace_of(g).astype(g, halves.pop(id(node)))
            if isinstance(node, Tensor):
                g = hooked_gradient(node, g)
            x = node if wanted is None and isinstance(node, Tensor) else (wanted or {}).get(id(node))
            if x is not None:
                found[id(x)] = x, (g if isinstance(g, Tensor) else wrap(_own(g), x.device, x._depth))
            if isinstance(node, Tensor) or not any(id(parent) in order for parent in node.parents):
                continue  # a leaf, or what is wanted: its record is not read, hence not freed
            if is_hooked(node):  # a result is given its gradient as it was before, which is PyTorch's way
                arrive(node.parents[0], hooked_gradient(node, g))
                continue
            if type(node) is Output and node.pullback is None:
                joint = node.parents[0]
                pending.setdefault(id(joint), {})[node.index] = g
                continue
            for parent, gradient in zip(node.parents, _step(node, g, order, create_graph)):
                arrive(parent, gradient)
            if not (retain_graph or create_graph):
                node.pullback = None
    return found


def _own(raw: Any) -> Any:
    """Memory of its own: a pullback may give the gradient that it got."""
    return namespace_of(raw).asarray(raw, copy=True)


def _leading_to(wanted: dict[int, Any] | None, roots: list[Any]) -> dict[int, Any]:
    """What gradients go through from the roots to what is wanted, by `id`: newest first, leaves last."""
    seen: dict[int, Any] = {}
    waiting = [r for r in roots if r is not None]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen[id(node)] = node
        if isinstance(node, Node):
            waiting.extend(parent for parent in node.parents if parent is not None)
    nodes = sorted((n for n in seen.values() if isinstance(n, Node)), key=lambda n: n.order)
    if wanted is None:
        useful = set(seen)
    else:
        useful = {key for key in seen if key in wanted}
        for node in reversed(nodes):
            if any(id(parent) in useful for parent in node.parents if parent is not None):
                useful.add(id(node))
    leaves = [x for x in seen.values() if isinstance(x, Tensor)]
    return {id(n): n for n in (*nodes, *leaves) if id(n) in useful}


def _step(node: Node, g: Any, order: dict[int, Any], create_graph: bool) -> Sequence[Any]:
    """The gradients of a node's arguments."""
    if create_graph:
        source: Callable[..., Sequence[Any]] | None = getattr(node, "source", None)
        if source is None:
            raise RuntimeError(
                f"`create_graph` needs to know how `{node.name}` was computed, which was not kept: call "
                "torch.autograd.keep_operations() before it"
            )
        return source(g, node) if getattr(source, "wants_node", False) else source(g)
    pullback, parents = node.pullback, node.parents
    if pullback is None:
        raise RuntimeError(
            f"the record of `{node.name}` was freed by an earlier backward; call backward(retain_graph=True) there"
        )
    if sharing.last.write < node.order:
        sharing.check(node.name, pullback, parents, node.order, indices_only=type(node) is autograd.Move)
    need = [parent is not None and id(parent) in order for parent in parents]
    if isinstance(pullback, tuple):
        return [f(g) if n else None for f, n in zip(pullback, need)]
    return pullback(g, need, [None] * len(need))
