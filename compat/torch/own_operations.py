"""`torch.autograd.Function`: operations with a backward of one's own."""

from __future__ import annotations

import functools
from typing import Any

from ...backend.tape.autograd import Output, _record, is_grad_enabled, no_grad
from ...backend.tape.tensor import Tensor, wrap
from .complexes import turned

__all__ = ["Function"]


class Context:
    """What `forward` keeps for `backward`."""

    saved_tensors: tuple[Tensor, ...] = ()
    needs_input_grad: tuple[bool, ...] = ()
    constants: tuple[Tensor, ...] = ()
    dirty: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keep tensors.

        Parameters
        ----------
        *tensors : Tensor
            Which.
        """
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Have outputs require no gradient.

        Parameters
        ----------
        *tensors : Tensor
            Which of the outputs.
        """
        self.constants = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Tell of arguments that `forward` has written to: they are results from then on.

        Parameters
        ----------
        *tensors : Tensor
            Which; `forward` must return them.

        Raises
        ------
        RuntimeError
            If one is a leaf that requires grad.
        """
        if any(x.requires_grad and x._node is None for x in tensors):
            raise RuntimeError("`mark_dirty` must not get a leaf that requires grad, got one; give a copy: x.clone()")
        self.dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """PyTorch's; `backward` is given zeros, never None, for outputs that nothing depends on.

        Parameters
        ----------
        value : bool
            Not heeded.
        """


class Function:
    """An operation of one's own, of static methods: `forward(ctx, …)` and `backward(ctx, *grads)`.

    Or `forward(…)`, with `setup_context(ctx, inputs, output)`.
    """

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward`, and record `backward` for it.

        Parameters
        ----------
        *args : object
            What `forward` takes after `ctx`; gradients go to the Tensors among them.

        Returns
        -------
        Tensor or tuple of Tensor
            What `forward` gives.

        Raises
        ------
        RuntimeError
            If `forward` does not return an argument that it has marked as dirty.
        """
        ctx: Any = Context()
        parents = [(a._node or a) if isinstance(a, Tensor) and a.requires_grad else None for a in args]
        ctx.needs_input_grad = tuple(p is not None for p in parents)
        with no_grad():
            found = _forward(cls, ctx, args)
        several = isinstance(found, tuple)
        outputs = found if several else (found,)
        tensors = tuple(f for f in outputs if isinstance(f, Tensor))
        if not is_grad_enabled() or not any(ctx.needs_input_grad) or not tensors:
            return found
        first = tensors[0]
        names = cls.__name__, len(args)

        def pullback(g: Any, need: Any, into: Any) -> list:
            with no_grad():
                given = [x if x is None else turned(wrap(x, first.device)) for x in (g if several else (g,))]
                grads = _of_backward(cls.backward(ctx, *_among(outputs, given)), *names)  # type: ignore[attr-defined]
            return [turned(x).data if n and x is not None else None for x, n in zip(grads, need)]

        raw = tuple(f.data for f in tensors) if several else first.data
        results = _record(cls.__name__, raw, pullback, parents, first.device, first._depth)
        node = next((r._node for r in (results if several else (results,)) if r._node is not None), None)
        if node is not None:
            source = functools.partial(_recorded, cls, ctx, outputs, names)
            joint = node.parents[0] if several else node
            joint.source, source.wants_node = source, True  # type: ignore[attr-defined]
        marked = [_marked(ctx, f, r) for f, r in zip(tensors, results if several else (results,))]
        return tuple(_among(outputs, marked, keep=True)) if several else marked[0]


def _among(outputs: tuple, values: Any, keep: bool = False) -> list:
    """One value for each Tensor among the outputs; what else is there itself, or None, which has no gradient."""
    rest = iter(values)
    return [next(rest) if isinstance(f, Tensor) else f if keep else None for f in outputs]


def _forward(cls: Any, ctx: Any, args: tuple) -> Any:
    is_apart = hasattr(cls, "setup_context")
    found = cls.forward(*args) if is_apart else cls.forward(ctx, *args)
    if is_apart:
        cls.setup_context(ctx, args, found)
    results = found if isinstance(found, tuple) else (found,)
    for x in ctx.dirty:
        if not any(x is r for r in results):
            raise RuntimeError(f"`{cls.__name__}.forward` must return what is marked as dirty, got others")
    return found


def _marked(ctx: Any, found: Any, result: Any) -> Any:
    """A result, without a history where it is a constant; an argument that was written to is its own result."""
    if any(found is x for x in ctx.constants):
        result._node, result.requires_grad = None, False
    if any(found is x for x in ctx.dirty):
        found._node, found.requires_grad = result._node, result.requires_grad
        return found
    return result


def _recorded(cls: Any, ctx: Any, found: tuple, names: tuple, g: Any, node: Any) -> tuple:
    """What `backward` gives to recorded gradients; outputs that were saved have their history."""
    tensors = [f for f in found if isinstance(f, Tensor)]
    saved = {id(f): i for i, f in enumerate(tensors)}

    def linked(x: Any) -> Any:
        if id(x) not in saved:
            return x
        return wrap(x.data, x.device, x._depth, Output(node, saved[id(x)], x.data) if isinstance(g, dict) else node)

    before = ctx.saved_tensors
    ctx.saved_tensors = tuple(map(linked, before))
    given = [g.get(i, f.new_zeros(*f.shape)) for i, f in enumerate(tensors)] if isinstance(g, dict) else [g]
    try:
        return tuple(map(turned, _of_backward(cls.backward(ctx, *_among(found, map(turned, given))), *names)))
    finally:
        ctx.saved_tensors = before


def _of_backward(grads: Any, name: str, count: int) -> tuple:
    """The gradients of all arguments; PyTorch lets Nones follow, as for defaults that were not given."""
    grads = tuple(grads) if isinstance(grads, tuple | list) else (grads,)
    if all(g is None for g in grads[count:]):
        grads = grads[:count]
    if len(grads) != count:
        raise RuntimeError(f"`{name}.backward` must give {count} gradients, one for each argument, got {len(grads)}")
    return grads
