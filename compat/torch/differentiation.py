"""`torch.autograd`: gradients that go to nobody's `.grad`."""

from __future__ import annotations

from typing import Any

from ...backend.modes.twice import gradients, keep_operations
from ...backend.tape import hooks
from ...backend.tape.autograd import enable_grad, no_grad
from ...backend.tape.handle import RemovableHandle
from ...backend.tape.tensor import Tensor
from ...layers import hooks as module_hooks
from .complexes import turned
from .own_operations import Function

__all__ = ["Function", "attach_gradients", "backward", "enable_grad", "grad", "keep_operations", "no_grad"]


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
    return tuple(
        turned(found[id(x)][1]) if id(x) in found else x.new_zeros(*x.shape) if materialize_grads else None
        for x in wanted
    )


def _seed(output: Tensor, seed: Any) -> Tensor:
    """The gradient with respect to an output, 1 unless given."""
    if seed is None:
        if output.data.size != 1:
            raise RuntimeError("`grad_outputs` must be given for outputs of several elements, got None")
        return output.new_ones(*output.shape)  # not 0 · output + 1, which is NaN for inf
    if seed.shape != output.shape:
        raise RuntimeError(f"`grad_outputs` must have the output's shape {output.shape}, got {seed.shape}")
    return turned(seed if seed.dtype == output.dtype else seed.to(output.dtype))


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
        _plain_backward(self, turned(gradient), retain_graph=bool(retain_graph))
        return
    if not self.requires_grad:
        raise RuntimeError("`backward` needs a tensor computed from one that requires grad")
    leaves = [inputs] if isinstance(inputs, Tensor) else None if inputs is None else list(inputs)
    keep = bool(create_graph if retain_graph is None else retain_graph)
    seeds = [_seed(self, gradient)]
    for leaf, g in gradients((self,), leaves, seeds, retain_graph=keep, create_graph=create_graph).values():
        leaf._grad = turned(g) if leaf._grad is None else leaf._grad + turned(g)


# --- hooks, which are called with gradients as PyTorch has them ---------------------------------------------------------
def attach_gradients() -> None:
    """Give Tensors and modules PyTorch's `backward` and hooks, for the rest of the process."""
    Tensor.backward = backward  # type: ignore[method-assign, assignment]
    Tensor.register_hook = _register_hook  # type: ignore[method-assign, assignment]
    hooks._Retain.__call__ = _keep  # type: ignore[method-assign]
    module_hooks.gate = _gate  # type: ignore[assignment]


_plain_keep, _plain_gate = hooks._Retain.__call__, module_hooks.gate


def _register_hook(self: Tensor, hook: Any) -> RemovableHandle:
    """Call a function with this tensor's gradient, whose place what it returns takes, unless None."""
    if self.dtype.kind != "c" or not callable(hook):
        return hooks.register_hook(self, hook)
    return hooks.register_hook(self, lambda g: turned(hook(turned(g))))


def _keep(self: Any, g: Tensor) -> None:
    _plain_keep(self, turned(g))


def _gate(name: str, tensors: Any, call: Any) -> Any:
    return _plain_gate(name, tensors, lambda grads: [turned(g) for g in call([turned(g) for g in grads])])
