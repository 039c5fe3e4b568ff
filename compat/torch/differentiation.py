"""`torch.autograd`: operations with a backward of one's own, and gradients that go to nobody's `.grad`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.tape.autograd import _record, enable_grad, is_grad_enabled, no_grad, run
from ...backend.tape.tensor import Tensor, wrap

__all__ = ["Function", "enable_grad", "grad", "no_grad"]


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

        def pullback(g: Any, need: Any, into: Any) -> list:
            given = [x if x is None else wrap(x, first.device) for x in (g if several else (g,))]
            with no_grad():
                grads = cls.backward(ctx, *given)  # type: ignore[attr-defined]
            grads = grads if isinstance(grads, tuple) else (grads,)
            if len(grads) != len(need):
                raise RuntimeError(
                    f"`{cls.__name__}.backward` must give {len(need)} gradients, one for each argument, got {len(grads)}"
                )
            return [x.data if n and x is not None else None for x, n in zip(grads, need)]

        raw = tuple(f.data for f in found) if several else found.data
        return _record(cls.__name__, raw, pullback, parents, first.device, first._depth)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """Gradients of the sum of outputs with respect to leaves, left out of their `grad`.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensor
        Of what, with respect to what; inputs are leaves that require grad.
    grad_outputs : Tensor or sequence of Tensor, optional
        The gradients with respect to the outputs; 1 where an output has one element.
    retain_graph : bool, default False
        Keep the record.
    create_graph : bool, default False
        Refused: `weft.grad` of `weft.grad` gives higher derivatives.
    allow_unused : bool, default False
        Whether None is given for an input that the outputs do not depend on.

    Returns
    -------
    tuple of Tensor
        One for each input.

    Raises
    ------
    NotImplementedError
        If a graph of the gradients, or the gradient of a result, is asked for.
    RuntimeError
        If an input was not used.
    """
    outs, leaves, seeds = (tuple(x) if isinstance(x, list | tuple) else (x,) for x in (outputs, inputs, grad_outputs))
    if create_graph:
        raise NotImplementedError("`create_graph` must be False, got True; weft.grad of weft.grad differentiates twice")
    if any(x._node is not None or not x.requires_grad for x in leaves):
        raise NotImplementedError(
            "`inputs` must be leaves that require grad, got a result; use weft.grad of a function"
        )
    if grad_outputs is None:
        if any(o.data.size != 1 for o in outs):
            raise RuntimeError("`grad_outputs` must be given for outputs of several elements, got None")
        seeds = tuple(o.detach() * 0 + 1 for o in outs)
    found: dict[int, Any] = {}

    def sink(leaf: Tensor, g: Any, _others: Any) -> None:
        found[id(leaf)] = (
            found[id(leaf)] + g if id(leaf) in found else np.asarray(g).copy() if leaf.device == "cpu" else g + 0
        )

    run([(o._node or o, s.data) for o, s in zip(outs, seeds, strict=True)], sink, retain_graph=retain_graph)
    missing = [i for i, x in enumerate(leaves) if id(x) not in found]
    if missing and not allow_unused:
        raise RuntimeError(
            f"`inputs` must have been used for the outputs, got {missing} that were not; set allow_unused=True"
        )
    return tuple(wrap(found[id(x)], x.device) if id(x) in found else None for x in leaves)
