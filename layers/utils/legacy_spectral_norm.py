"""Spectral normalisation as the older `torch.nn.utils.spectral_norm`: state `weight_orig`, `weight_u`, `weight_v`."""

from __future__ import annotations

from typing import Any

from ...backend.array import random
from ...backend.array.elementwise import divide, multiply
from ...backend.array.reductions import sum
from ...backend.device.options import integer
from ...backend.tape.autograd import is_computed_again, no_grad
from ...backend.tape.tensor import Tensor, wrap
from .. import functional as F
from ..convolution import _ConvTranspose
from ..module import Module
from .computed import compute, is_computed, settle
from .legacy_weight_norm import parameter_of
from .parametrize import store

__all__ = ["remove_spectral_norm", "spectral_norm"]


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """(weight.shape[dim], the rest)."""
    axes = (dim, *(i for i in range(weight.ndim) if i != dim))
    return (weight.permute(*axes) if dim else weight).reshape(weight.shape[dim], -1)


def iterate(matrix: Tensor, u: Tensor, v: Tensor, times: int, eps: float, is_u_first: bool) -> None:
    """Power iterations u ← W v / ‖W v‖, v ← Wᵀ u / ‖Wᵀ u‖, in the memory of u and v; none where backward computes again."""
    if is_computed_again():
        return
    with no_grad():
        for step in range(2 * times):
            if (step % 2 == 0) is is_u_first:
                store(u, F.normalize(sum(multiply(matrix, v), axis=1), dim=0, eps=eps))
            else:
                store(v, F.normalize(sum(multiply(matrix, u.unsqueeze(1)), axis=0), dim=0, eps=eps))


def divided(weight: Tensor, matrix: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """W / σ with σ = uᵀ W v; of copies of u and v, which the next iteration writes to."""
    u, v = u.detach().clone(), v.detach().clone()
    return divide(weight, sum(multiply(multiply(matrix, v), u.unsqueeze(1))))


def direction(length: int, like: Tensor, eps: float) -> Tensor:
    """A random vector of length 1."""
    dtype = like.dtype if like.dtype.itemsize > 4 else "float32"
    drawn = wrap(random.default_generator.normal((length,), dtype, like.device), like.device)
    return F.normalize(drawn, dim=0, eps=eps).to(like.dtype)


def axis_of_outputs(module: Module, dim: int | None) -> int:
    """0, but 1 of transposed convolutions."""
    return dim if dim is not None else int(isinstance(module, _ConvTranspose))


class _Iteration:
    """The hook that iterates before each call in training."""

    def __init__(self, name: str, times: int, eps: float, dim: int):
        self.name, self.times, self.eps, self.dim = name, times, eps, dim

    def __call__(self, module: Any, args: Any) -> None:
        if module.training:
            weight, u, v = _state(module, self.name)
            iterate(as_matrix(weight.detach(), self.dim), u, v, self.times, self.eps, False)


def _state(module: Module, name: str) -> tuple[Tensor, Tensor, Tensor]:
    return getattr(module, f"{name}_orig"), getattr(module, f"{name}_u"), getattr(module, f"{name}_v")


def _get(module: Module, name: str) -> Tensor:
    weight, u, v = _state(module, name)
    return divided(weight, as_matrix(weight, module._spectral_norm[name]), u, v)  # type: ignore[attr-defined]


def _set(module: Module, name: str, value: Tensor) -> None:
    store(getattr(module, f"{name}_orig"), value)


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Spectral normalisation: w / σ(w), σ the largest singular value, by power iterations before each call in training.

    `parametrizations.spectral_norm` is the newer form.

    Parameters
    ----------
    module : Module
        What has the weight; it becomes the parameter `weight_orig` and the buffers `weight_u`, `weight_v`.
    name : str, default "weight"
        Its name.
    n_power_iterations : int, default 1
        How many at each call.
    eps : float, default 1e-12
        Keeps the divisions from 0.
    dim : int, optional
        The axis of outputs: 0 unless given, 1 for transposed convolutions.

    Returns
    -------
    Module
        `module` itself.

    Raises
    ------
    ValueError
        If there is no such parameter, or `n_power_iterations` is not positive.
    RuntimeError
        If it is normalised already.

    References
    ----------
    Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (2018).

    Examples
    --------
    >>> from weft import layers as nn
    >>> list(nn.utils.spectral_norm(nn.Linear(2, 3)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    integer("n_power_iterations", n_power_iterations, 1)
    if is_computed(module, name):
        raise RuntimeError(
            f"`name`: {name!r} of {type(module).__name__} must not be normalised twice; remove_spectral_norm first"
        )
    weight, dim = parameter_of(module, name), axis_of_outputs(module, dim)
    rows, columns = as_matrix(weight.detach(), dim).shape
    delattr(module, name)
    setattr(module, f"{name}_orig", weight)
    module.register_buffer(f"{name}_u", direction(rows, weight, eps))
    module.register_buffer(f"{name}_v", direction(columns, weight, eps))
    module._spectral_norm = {**vars(module).get("_spectral_norm", {}), name: dim}  # type: ignore[attr-defined]
    module.register_forward_pre_hook(_Iteration(name, n_power_iterations, eps, dim))
    compute(module, name, _get, _set)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight of `spectral_norm` a plain parameter again, of the value that it had.

    Parameters
    ----------
    module : Module
        What has it.
    name : str, default "weight"
        Its name.

    Returns
    -------
    Module
        `module` itself.

    Raises
    ------
    ValueError
        If it has no spectral normalisation.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.utils.spectral_norm(nn.Linear(2, 3))
    >>> list(nn.utils.remove_spectral_norm(layer).state_dict())
    ['bias', 'weight']
    """
    if name not in vars(module).get("_spectral_norm", {}):
        raise ValueError(f"`name` must be that of a weight with spectral_norm in {type(module).__name__}, got {name!r}")
    weight = getattr(module, f"{name}_orig")
    with no_grad():
        store(weight, getattr(module, name))
    settle(module, name)
    del module._spectral_norm[name]  # type: ignore[attr-defined]
    for part in ("orig", "u", "v"):
        delattr(module, f"{name}_{part}")
    module._buffers = {key: kept for key, kept in module._buffers.items() if key not in (f"{name}_u", f"{name}_v")}
    hooks: Any = module._hooks
    hooks.before[:] = [
        (hook, kw) for hook, kw in hooks.before if not (isinstance(hook, _Iteration) and hook.name == name)
    ]
    if not hooks.before and not hooks.after:
        module._hooks = None
    setattr(module, name, weight)
    return module
