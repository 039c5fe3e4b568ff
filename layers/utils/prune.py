"""Pruning as `torch.nn.utils.prune`: in a module, one parameter or several at once. See `pruned.py` for what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...backend.array.manipulation import concat
from ...backend.tape.tensor import Tensor, wrap
from ..module import Module
from .pruned import is_pruned, mask_of, remove
from .pruning_methods import (
    BasePruningMethod,
    CustomFromMask,
    Identity,
    L1Unstructured,
    LnStructured,
    RandomStructured,
    RandomUnstructured,
)

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "RandomStructured",
    "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity", "is_pruned", "l1_unstructured", "ln_structured",
    "random_structured", "random_unstructured", "remove",
]  # fmt: skip


def identity(module: Module, name: str) -> Module:
    """Split a parameter as if it were pruned, of which nothing is.

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

    Examples
    --------
    >>> list(nn.utils.prune.identity(nn.Linear(2, 3), "weight").state_dict())
    ['bias', 'weight_orig', 'weight_mask']
    """
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prune elements at random.

    Parameters
    ----------
    module : Module
        What has the parameter.
    name : str
        Its name.
    amount : int or float
        How many of those left, or which fraction.

    Returns
    -------
    Module
        `module` itself.

    Examples
    --------
    >>> layer = nn.utils.prune.random_unstructured(nn.Linear(2, 4), "weight", amount=0.25)
    >>> int(layer.weight_mask.sum())
    6
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: float, importance_scores: Tensor | None = None) -> Module:
    """Prune the elements of least size.

    Parameters
    ----------
    module : Module
        What has the parameter.
    name : str
        Its name.
    amount : int or float
        How many of those left, or which fraction.
    importance_scores : Tensor, optional
        Whose size counts; the parameter's if None.

    Returns
    -------
    Module
        `module` itself.

    Examples
    --------
    >>> layer = nn.Linear(3, 1)
    >>> with weft.no_grad():
    ...     layer.weight[:] = weft.asarray([[-3.0, 0.5, 1.0]])
    >>> nn.utils.prune.l1_unstructured(layer, "weight", amount=1).weight.tolist()
    [[-3.0, 0.0, 1.0]]
    """
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prune slices of an axis at random.

    Parameters
    ----------
    module : Module
        What has the parameter.
    name : str
        Its name.
    amount : int or float
        How many of those left, or which fraction.
    dim : int
        The axis: 0 for outputs, 1 for inputs.

    Returns
    -------
    Module
        `module` itself.

    Examples
    --------
    >>> layer = nn.utils.prune.random_structured(nn.Linear(2, 4), "weight", amount=1, dim=0)
    >>> int(layer.weight_mask.sum())
    6
    """
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: float, n: Any, dim: int, importance_scores: Tensor | None = None
) -> Module:
    """Prune the slices of an axis with the least norm.

    Parameters
    ----------
    module : Module
        What has the parameter.
    name : str
        Its name.
    amount : int or float
        How many of those left, or which fraction.
    n : int, float or "fro"
        Of which norm.
    dim : int
        The axis: 0 for outputs, 1 for inputs.
    importance_scores : Tensor, optional
        Whose norms count; the parameter's if None.

    Returns
    -------
    Module
        `module` itself.

    Examples
    --------
    >>> layer = nn.utils.prune.ln_structured(nn.Linear(2, 4), "weight", amount=0.5, n=2, dim=0)
    >>> int(layer.weight_mask.sum())
    4
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune where a mask has 0.

    Parameters
    ----------
    module : Module
        What has the parameter.
    name : str
        Its name.
    mask : Tensor
        Of its shape.

    Returns
    -------
    Module
        `module` itself.

    Examples
    --------
    >>> layer = nn.utils.prune.custom_from_mask(nn.Linear(2, 1), "bias", weft.asarray([0.0]))
    >>> layer.bias.tolist()
    [0.0]
    """
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]], pruning_method: Any, importance_scores: Any = None, **kwargs: Any
) -> None:
    """Prune several parameters as if they were one.

    Parameters
    ----------
    parameters : iterable of (Module, str)
        What has each, and its name.
    pruning_method : type
        An unstructured one, as `L1Unstructured`.
    importance_scores : dict of (Module, str) to Tensor, optional
        How important the elements are; their values where there is none.
    **kwargs : object
        For the class: `amount`.

    Raises
    ------
    TypeError
        If the method is not unstructured.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1))
    >>> nn.utils.prune.global_unstructured(
    ...     [(layer, "weight") for layer in model], pruning_method=nn.utils.prune.L1Unstructured, amount=0.5
    ... )
    >>> sum(int(layer.weight_mask.sum()) for layer in model)
    6
    """
    pairs, method, given = list(parameters), pruning_method(**kwargs), importance_scores or {}
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(f"`pruning_method` must be an unstructured one, got {pruning_method.__name__}")
    masks = [mask_of(module, name) for module, name in pairs]
    scores = [given.get((m, name), getattr(m, name)).detach().reshape(-1) for m, name in pairs]
    flat, mask = concat(scores), concat([m.reshape(-1) for m in masks])
    left = wrap(np.flatnonzero(mask.cpu().numpy()), "cpu").to(mask.device)
    mask[left] = method.compute_mask(flat[left], default_mask=mask[left]).to(mask.dtype)
    start = 0
    for (module, name), old in zip(pairs, masks):
        custom_from_mask(module, name, mask[start : start + old.size].reshape(tuple(old.shape)))
        start += old.size
