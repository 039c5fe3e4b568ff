"""A pruned parameter: `NAME_orig`, beside a buffer `NAME_mask`; their product is `NAME`.

PyTorch computes the product before each call, weft whenever it is looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.array.elementwise import multiply
from ...backend.tape.autograd import no_grad
from ...backend.tape.tensor import Tensor, wrap
from ..module import Module
from .computed import compute, is_computed, settle
from .legacy_weight_norm import parameter_of
from .parametrize import store

__all__ = ["is_pruned", "mask_of", "prune_parameter", "remove"]


def _get(module: Module, name: str) -> Tensor:
    return multiply(getattr(module, f"{name}_orig"), getattr(module, f"{name}_mask"))


def _set(module: Module, name: str, value: Tensor) -> None:
    with no_grad():
        store(getattr(module, f"{name}_orig"), value)


def _is_pruned(module: Module, name: str) -> bool:
    return is_computed(module, name) and name in vars(module).get("_pruned", ())


def mask_of(module: Module, name: str) -> Tensor:
    """What was pruned before."""
    if _is_pruned(module, name):
        return getattr(module, f"{name}_mask").clone()
    return parameter_of(module, name).detach() * 0 + 1


def prune_parameter(module: Module, name: str, method: Any, scores: Tensor | None = None) -> None:
    """Prune more of `module.name`: of what is left, unless the method is a global one."""
    mask = mask_of(module, name)
    scores = getattr(module, name).detach() if scores is None else scores
    if scores.shape != mask.shape:
        raise ValueError(f"`importance_scores` must have the parameter's shape {mask.shape}, got {scores.shape}")
    left = _left(mask.cpu().numpy(), method)
    key = left if left is ... else tuple(wrap(k, "cpu").to(mask.device) for k in left)
    found = method.compute_mask(scores[key], default_mask=mask[key])
    with no_grad():
        mask[key] = found.to(mask.dtype)
    if not _is_pruned(module, name):
        weight = parameter_of(module, name)
        delattr(module, name)
        setattr(module, f"{name}_orig", weight)
        module.register_buffer(f"{name}_mask", mask)
        module._pruned = (*vars(module).get("_pruned", ()), name)  # type: ignore[attr-defined]
        compute(module, name, _get, _set)
    else:
        store(getattr(module, f"{name}_mask"), mask)


def _left(mask: np.ndarray, method: Any) -> Any:
    """Where the method chooses: indices."""
    if method.PRUNING_TYPE == "unstructured":
        return np.nonzero(mask)
    if method.PRUNING_TYPE != "structured":
        return ...
    axis = method.dim % mask.ndim
    there = np.flatnonzero(mask.any(tuple(i for i in range(mask.ndim) if i != axis)))
    return np.ix_(*(there if i == axis else np.arange(n) for i, n in enumerate(mask.shape)))


def remove(module: Module, name: str) -> Module:
    """Make what was pruned one parameter again, with zeros where it was.

    Parameters
    ----------
    module : Module
        What has it.
    name : str
        Its name.

    Returns
    -------
    Module
        `module` itself.

    Raises
    ------
    ValueError
        If it was not pruned.

    Examples
    --------
    >>> layer = nn.utils.prune.random_unstructured(nn.Linear(2, 4), "weight", amount=3)
    >>> layer = nn.utils.prune.remove(layer, "weight")
    >>> list(layer.state_dict()), int((layer.weight == 0).sum())
    (['bias', 'weight'], 3)
    """
    if not _is_pruned(module, name):
        raise ValueError(f"`name` must be that of a pruned parameter of {type(module).__name__}, got {name!r}")
    weight = getattr(module, f"{name}_orig")
    with no_grad():
        store(weight, getattr(module, name))
    settle(module, name)
    module._pruned = tuple(n for n in module._pruned if n != name)  # type: ignore[attr-defined]
    delattr(module, f"{name}_orig")
    delattr(module, f"{name}_mask")
    setattr(module, name, weight)
    return module


def is_pruned(module: Module) -> bool:
    """Whether a parameter of a module, or of one within it, is pruned.

    Parameters
    ----------
    module : Module
        Which.

    Returns
    -------
    bool
        Whether there is one.

    Examples
    --------
    >>> layer = nn.Linear(2, 4)
    >>> before = nn.utils.prune.is_pruned(layer)
    >>> before, nn.utils.prune.is_pruned(nn.Sequential(nn.utils.prune.identity(layer, "bias")))
    (False, True)
    """
    return any(vars(m).get("_pruned") for m in module.modules())
