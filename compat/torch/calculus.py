"""`torch.func`, `torch.autograd.functional`, and checkpoints, in PyTorch's order of arguments and results."""

from __future__ import annotations

import functools
from typing import Any

from ... import layers
from ...backend.modes import derivatives, transforms
from ...backend.tape.tensor import Tensor, wrap
from .complexes import turned
from .insides import TREES

__all__ = ["CHECKPOINT", "FUNC", "FUNCTIONAL", "backward_of"]


def _jacobian(func: Any, inputs: Any, create_graph: bool = False, **_options: Any) -> Any:
    if isinstance(inputs, Tensor):
        return derivatives.jacrev(func)(inputs)
    return tuple(derivatives.jacrev(func, i)(*inputs) for i in range(len(inputs)))


def _hessian(func: Any, inputs: Any, create_graph: bool = False, **_options: Any) -> Any:
    if isinstance(inputs, Tensor):
        return derivatives.hessian(func)(inputs)

    def block(i: int, j: int) -> Any:
        return derivatives.jacrev(lambda *x: transforms.grad(func, i)(*x), j)(*inputs)

    return tuple(tuple(block(i, j) for j in range(len(inputs))) for i in range(len(inputs)))


def _vjp_of(func: Any, inputs: Any, v: Any = None, **_options: Any) -> Any:
    value, pull = derivatives.vjp(func, *(inputs if isinstance(inputs, tuple) else (inputs,)))
    found = _turning(pull)(value.new_ones(*value.shape) if v is None else v)
    return value, found if isinstance(inputs, tuple) else found[0]


def _jvp_of(func: Any, inputs: Any, v: Any = None, **_options: Any) -> Any:
    primals, tangents = (x if isinstance(x, tuple) else (x,) for x in (inputs, v))
    return derivatives.jvp(func, primals, tangents)


def _func_jvp(func: Any, primals: tuple, tangents: tuple, **_options: Any) -> Any:
    return derivatives.jvp(func, primals, tangents)


def backward_of(
    tensors: Any, grad_tensors: Any = None, retain_graph: Any = None, create_graph: bool = False, **o: Any
) -> None:
    """`torch.autograd.backward`: of several tensors at once.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
        Of what.
    grad_tensors : Tensor or sequence of Tensor, optional
        The gradients with respect to them; 1 where one has one element.
    retain_graph : bool, optional
        Keep the record.
    create_graph : bool, default False
        Record the gradients.
    **o : object
        PyTorch's, which change nothing.
    """
    roots: list[Any] = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    seeds = [grad_tensors] if isinstance(grad_tensors, Tensor) else grad_tensors or [None] * len(roots)
    for k, (root, seed) in enumerate(zip(roots, seeds, strict=True)):
        root.backward(seed, retain_graph or k + 1 < len(roots), create_graph)  # they may share what is freed


def _checkpoint(function: Any, *args: Any, **options: Any) -> Any:
    """`torch.utils.checkpoint.checkpoint`; keyword arguments go to the function."""
    ours = {"use_reentrant", "preserve_rng_state", "context_fn", "determinism_check", "debug"}
    given = {k: v for k, v in options.items() if k not in ours}
    return transforms.checkpoint(functools.partial(function, **given) if given else function, *args)


def _checkpoint_sequential(functions: Any, segments: int, input: Any, **_options: Any) -> Any:
    parts = list(functions.children()) if isinstance(functions, layers.Module) else list(functions)
    size = len(parts) // segments
    for k in range(segments):
        run = layers.Sequential(*parts[k * size : len(parts) if k + 1 == segments else (k + 1) * size])
        input = transforms.checkpoint(run, input) if k + 1 < segments else run(input)
    return input


def _grad_and_value(function: Any, argnums: Any = 0, has_aux: bool = False) -> Any:
    """PyTorch's order of the two; what the function returns beside the value stays beside it."""
    both = _with_aux(lambda f: transforms.value_and_grad(f, argnums))(function, has_aux)

    def run(*args: Any, **options: Any) -> tuple[Any, Any]:
        (value, slope), *aux = both(*args, **options) if has_aux else (both(*args, **options),)
        return slope, (value, *aux) if has_aux else value

    return run


def _with_aux(transform: Any) -> Any:
    """A transform of functions, with PyTorch's `has_aux`: of (value, anything) the value alone is differentiated."""

    def transformed(function: Any, has_aux: bool = False) -> Any:
        if not has_aux:
            return transform(function)
        kept: list[Any] = []

        def alone(*args: Any, **options: Any) -> Any:
            value, aux = function(*args, **options)
            kept.append(aux)
            return value

        def run(*args: Any, **options: Any) -> tuple[Any, Any]:
            found = transform(alone)(*args, **options)
            aux = kept.pop()
            kept.clear()
            return found, TREES["tree_map"](_lowered, aux)

        return run

    return transformed


def _lowered(x: Any) -> Any:
    """A Tensor of within a transform, as it is outside."""
    if not isinstance(x, Tensor):
        return x
    return x.data if isinstance(x.data, Tensor) else wrap(x.data, x.device)


def _grad(func: Any, argnums: Any = 0, has_aux: bool = False) -> Any:
    return _with_aux(lambda f: transforms.grad(f, argnums))(func, has_aux)


def _jacrev(func: Any, argnums: Any = 0, *, has_aux: bool = False, **_options: Any) -> Any:
    return _with_aux(lambda f: derivatives.jacrev(f, argnums))(func, has_aux)


def _vjp(func: Any, *primals: Any, has_aux: bool = False) -> Any:
    found = _with_aux(lambda f: functools.partial(derivatives.vjp, f))(func, has_aux)(*primals)
    (value, pull), *aux = found if has_aux else (found,)
    return value, _turning(pull), *aux


def _turning(pull: Any) -> Any:
    """A pullback that takes and gives gradients as PyTorch has them."""
    return lambda v: tuple(map(turned, pull(turned(v))))


FUNC: dict[str, Any] = {
    "grad": _grad,
    "grad_and_value": _grad_and_value,
    "jacrev": _jacrev,
    "jacfwd": _jacrev,
    "hessian": derivatives.hessian,
    "vjp": _vjp,
    "jvp": _func_jvp,
}
FUNCTIONAL: dict[str, Any] = {"jacobian": _jacobian, "hessian": _hessian, "vjp": _vjp_of, "jvp": _jvp_of}
CHECKPOINT: dict[str, Any] = {"checkpoint": _checkpoint, "checkpoint_sequential": _checkpoint_sequential}
