"""`torch.autograd`: operations with a backward of one's own, and gradients that go to nobody's `.grad`."""

from __future__ import annotations

import functools
from typing import Any

from ...backend.modes.twice import gradients, keep_operations
from ...backend.tape.autograd import Output, _record, enable_grad, is_grad_enabled, no_grad
from ...backend.tape.tensor import Tensor, wrap

__all__ = ["Function", "backward", "enable_grad", "grad", "keep_operations", "no_grad"]


class Context:
    """What `forward` keeps for `backward`."""

    saved_tensors: tuple[Tensor, ...] = ()
    needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keep tensors.

        Parameters
        ----------
        *tensors : Tensor
            Which.
        """
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """PyTorch's; it changes nothing for outputs that are not floating-point.

        Parameters
        ----------
        *tensors : Tensor
            Which.
        """


class Function:
    """An operation with a forward and a backward of its own: `forward(ctx, …)`, `backward(ctx, *grads)`, both static."""

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
        """
        ctx: Any = Context()
        parents = [(a._node or a) if isinstance(a, Tensor) and a.requires_grad else None for a in args]
        ctx.needs_input_grad = tuple(p is not None for p in parents)
        with no_grad():
            found: Any = cls.forward(ctx, *args)  # type: ignore[attr-defined]
        if not is_grad_enabled() or not any(ctx.needs_input_grad):
            return found
        several = isinstance(found, tuple)
        first = found[0] if several else found

        names = cls.__name__, len(args)

        def pullback(g: Any, need: Any, into: Any) -> list:
            given = [x if x is None else wrap(x, first.device) for x in (g if several else (g,))]
            with no_grad():
                grads = _of_backward(cls.backward(ctx, *given), *names)  # type: ignore[attr-defined]
            return [x.data if n and x is not None else None for x, n in zip(grads, need)]

        raw = tuple(f.data for f in found) if several else found.data
        results = _record(cls.__name__, raw, pullback, parents, first.device, first._depth)
        node = next((r._node for r in (results if several else (results,)) if r._node is not None), None)
        if node is not None:
            source = functools.partial(_recorded, cls, ctx, found if several else (found,), names)
            joint = node.parents[0] if several else node
            joint.source, source.wants_node = source, True  # type: ignore[attr-defined]
        return results


def _recorded(cls: Any, ctx: Any, found: tuple, names: tuple, g: Any, node: Any) -> tuple:
    """What `backward` gives to recorded gradients; outputs that were saved have their history."""
    saved = {id(f): i for i, f in enumerate(found)}

    def linked(x: Any) -> Any:
        if id(x) not in saved:
            return x
        return wrap(x.data, x.device, x._depth, Output(node, saved[id(x)], x.data) if isinstance(g, dict) else node)

    before = ctx.saved_tensors
    ctx.saved_tensors = tuple(map(linked, before))
    given = [g.get(i, f.detach() * 0) for i, f in enumerate(found)] if isinstance(g, dict) else [g]
    try:
        return _of_backward(cls.backward(ctx, *given), *names)
    finally:
        ctx.saved_tensors = before


def _of_backward(grads: Any, name: str, count: int) -> tuple:
    grads = grads if isinstance(grads, tuple) else (grads,)
    if len(grads) != count:
        raise RuntimeError(f"`{name}.backward` must give {count} gradients, one for each argument, got {len(grads)}")
    return grads


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """Gradients of the sum of outputs with respect to tensors, left out of their `grad`.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensor
        Of what, with respect to what: leaves that require grad, and results.
    grad_outputs : Tensor or sequence of Tensor, optional
        The gradients with respect to the outputs; 1 where an output has one element.
    retain_graph : bool, optional
        Keep the record; `create_graph` does, if None.
    create_graph : bool, default False
        Record the gradients, so that they can be differentiated. What is differentiated must have been recorded while operations
        are kept: that is on for programs in which the word `create_graph` stands.
    only_inputs : bool, default True
        PyTorch's; no other gradients are ever computed.
    allow_unused : bool, optional
        Whether None is given for an input that the outputs do not depend on.
    is_grads_batched : bool, default False
        Refused.
    materialize_grads : bool, default False
        Whether zeros are given for such an input.

    Returns
    -------
    tuple of Tensor
        One for each input.

    Raises
    ------
    NotImplementedError
        If `is_grads_batched` is asked for.
    RuntimeError
        If an input was not used, does not require grad, or an operation was not kept.
    """
    outs, wanted, seeds = (
        (x,) if x is None or isinstance(x, Tensor) else tuple(x) for x in (outputs, inputs, grad_outputs)
    )
    if is_grads_batched:
        raise NotImplementedError("`is_grads_batched` must be False, got True; call `grad` for each row")
    if any(not x.requires_grad for x in wanted):
        raise RuntimeError("`inputs` must require grad, got one that does not; call requires_grad_() before it is used")
    if any(not o.requires_grad for o in outs):
        raise RuntimeError("`outputs` must be computed from what requires grad, got one that is not")
    found = gradients(
        outs,
        wanted,
        [_seed(o, s) for o, s in zip(outs, seeds if len(seeds) == len(outs) else (None,) * len(outs))],
        retain_graph=bool(create_graph if retain_graph is None else retain_graph),
        create_graph=create_graph,
    )
    missing = [i for i, x in enumerate(wanted) if id(x) not in found]
    if missing and not allow_unused and not materialize_grads:
        raise RuntimeError(
            f"`inputs` must have been used for the outputs, got {missing} that were not; set allow_unused=True"
        )
    return tuple(found[id(x)][1] if id(x) in found else x.detach() * 0 if materialize_grads else None for x in wanted)


def _seed(output: Tensor, seed: Any) -> Tensor:
    """The gradient with respect to an output, 1 unless given."""
    if seed is None:
        if output.data.size != 1:
            raise RuntimeError("`grad_outputs` must be given for outputs of several elements, got None")
        return output.detach() * 0 + 1
    if seed.shape != output.shape:
        raise RuntimeError(f"`grad_outputs` must have the output's shape {output.shape}, got {seed.shape}")
    return seed if seed.dtype == output.dtype else seed.to(output.dtype)


_plain_backward = Tensor.backward


def backward(
    self: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
) -> None:
    """PyTorch's `Tensor.backward`.

    Parameters
    ----------
    self : Tensor
        This tensor.
    gradient : Tensor, optional
        The gradient with respect to it.
    retain_graph : bool, optional
        Keep the record.
    create_graph : bool, default False
        Record the gradients.
    inputs : Tensor or sequence of Tensor, optional
        Whose `grad` alone is added to.
    """
    if not create_graph and inputs is None:
        _plain_backward(self, gradient, retain_graph=bool(retain_graph))
        return
    if not self.requires_grad:
        raise RuntimeError("`backward` needs a tensor computed from one that requires grad")
    leaves = [inputs] if isinstance(inputs, Tensor) else None if inputs is None else list(inputs)
    keep = bool(create_graph if retain_graph is None else retain_graph)
    seeds = [_seed(self, gradient)]
    for leaf, g in gradients((self,), leaves, seeds, retain_graph=keep, create_graph=create_graph).values():
        leaf._grad = g if leaf._grad is None else leaf._grad + g
