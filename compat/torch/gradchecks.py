"""`torch.autograd.gradcheck`: gradients against differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.device import dtypes
from ...backend.modes.twice import keep_operations
from ...backend.tape.tensor import Tensor, wrap
from .differentiation import grad

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """A gradient that differs from the differences."""


def gradcheck(
    func: Callable,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    **_options: Any,
) -> bool:
    """Compare the Jacobian J of a function with (f(x + ε) − f(x − ε)) / 2ε, element by element.

    Parameters
    ----------
    func : callable
        Of the inputs: returns a Tensor or a tuple of them.
    inputs : Tensor or tuple
        Those that require grad are moved; give them as float64.
    eps : float, default 1e-6
        The step.
    atol, rtol : float, default 1e-5, 1e-3
        What they may differ by.
    raise_exception : bool, default True
        Whether a difference is an error, or False is returned.
    **_options : object
        PyTorch's, which change nothing.

    Returns
    -------
    bool
        Whether they agree.

    Raises
    ------
    GradcheckError
        If they do not.
    ValueError
        If no input requires grad.
    """
    inputs = inputs if isinstance(inputs, tuple | list) else (inputs,)
    moved = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    if not moved:
        raise ValueError("`inputs` must have one that requires grad, got none; make it with requires_grad=True")
    for i in range(len(_outputs(func(*inputs)))):
        for j, x in enumerate(moved):
            ours, theirs = _analytic(func, inputs, x, i), _numeric(func, inputs, x, i, eps)
            if not np.allclose(ours, theirs, rtol, atol):
                if not raise_exception:
                    return False
                k = np.unravel_index(np.nanargmax(np.abs(ours - theirs)), ours.shape)
                raise GradcheckError(
                    f"Jacobian mismatch for output {i} with respect to input {j}: `backward` gives {ours[k]:.6g}, "
                    f"differences {theirs[k]:.6g} at element {int(k[1])} of the output, {int(k[0])} of the input"
                )
    return True


def gradgradcheck(func: Callable, inputs: Any, grad_outputs: Any = None, **options: Any) -> bool:
    """`gradcheck` of a function's gradient.

    Parameters
    ----------
    func : callable
        Of the inputs.
    inputs : Tensor or tuple
        As in `gradcheck`.
    grad_outputs : Tensor or tuple, optional
        The gradients with respect to the outputs; drawn from one seed if None.
    **options : object
        As in `gradcheck`.

    Returns
    -------
    bool
        Whether they agree.
    """
    keep_operations()
    inputs = inputs if isinstance(inputs, tuple | list) else (inputs,)
    draws = np.random.default_rng(0)
    if grad_outputs is None:
        grad_outputs = [
            wrap(np.asarray(draws.normal(size=o.shape), o.dtype), o.device) for o in _outputs(func(*inputs))
        ]

    def gradient(*args: Any) -> Any:
        wanted = [x for x in args if isinstance(x, Tensor) and x.requires_grad]
        return grad(_outputs(func(*args)), wanted, grad_outputs, create_graph=True, materialize_grads=True)

    return gradcheck(gradient, inputs, **options)


def _outputs(found: Any) -> list[Tensor]:
    found = found if isinstance(found, tuple | list) else (found,)
    return [o for o in found if isinstance(o, Tensor) and dtypes.is_real_floating(o.dtype)]


def _analytic(func: Callable, inputs: Any, x: Tensor, i: int) -> np.ndarray:
    out = _outputs(func(*inputs))[i]
    jacobian = np.zeros((x.size, out.size))
    for k in range(out.size if out.requires_grad else 0):
        one = np.zeros(out.size, out.dtype)
        one[k] = 1
        seed = wrap(one.reshape(out.shape), "cpu").to(out.device)
        (g,) = grad(out, x, seed, retain_graph=True, materialize_grads=True)
        jacobian[:, k] = np.ravel(g.detach().cpu().numpy())  # type: ignore[union-attr]
    return jacobian


def _numeric(func: Callable, inputs: Any, x: Tensor, i: int, eps: float) -> np.ndarray:
    def value(at: np.ndarray) -> np.ndarray:
        moved = wrap(at.reshape(x.shape), "cpu").to(x.device).requires_grad_(True)
        return np.ravel(_outputs(func(*(moved if y is x else y for y in inputs)))[i].detach().cpu().numpy())

    flat = np.ravel(x.detach().cpu().numpy())
    rows = []
    for k in range(x.size):
        low, high = flat.copy(), flat.copy()
        low[k] -= eps
        high[k] += eps
        rows.append((value(high).astype(np.float64) - value(low)) / (2 * eps))
    return np.array(rows).reshape(x.size, -1)
