"""Penalties on weights, to be added to a loss; and the same choice of weights for decay within an optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.array import elementwise, reductions
from ..backend.device.options import number
from ..backend.tape.tensor import Tensor
from .rule import Group

__all__ = ["decay_groups", "l1_penalty", "l2_penalty"]


def l1_penalty(parameters: Iterable[Tensor], strength: float = 1.0, *, biases: bool = False) -> Tensor:
    """Penalty strength · Σ |w|, differentiable: drives weights to zero exactly.

    Parameters
    ----------
    parameters : iterable of Parameter
        Those of two axes and more count.
    strength : float, default 1.0
        What the penalty is multiplied by.
    biases : bool, default False
        Whether biases and the gains of normalisation layers count too.

    Returns
    -------
    Tensor of shape ()
        To be added to a loss.

    Raises
    ------
    ValueError
        If no parameter counts.

    Examples
    --------
    >>> w, b = weft.Parameter([[1.0, -2.0]]), weft.Parameter([5.0])
    >>> optim.l1_penalty([w, b], 0.5).item()
    1.5
    """
    return strength * _sum(elementwise.abs(w) for w in _chosen(parameters, biases))


def l2_penalty(parameters: Iterable[Tensor], strength: float = 1.0, *, biases: bool = False) -> Tensor:
    """Penalty strength · ½ Σ w², differentiable.

    Its gradient strength · w is that of an optimizer's coupled `weight_decay`.

    Parameters
    ----------
    parameters : iterable of Parameter
        Those of two axes and more count.
    strength : float, default 1.0
        What the penalty is multiplied by.
    biases : bool, default False
        Whether biases and the gains of normalisation layers count too.

    Returns
    -------
    Tensor of shape ()
        To be added to a loss.

    Raises
    ------
    ValueError
        If no parameter counts.

    Examples
    --------
    >>> w, b = weft.Parameter([[1.0, -2.0]]), weft.Parameter([5.0])
    >>> optim.l2_penalty([w, b]).item()
    2.5
    """
    return 0.5 * strength * _sum(elementwise.multiply(w, w) for w in _chosen(parameters, biases))


def decay_groups(parameters: Iterable[Tensor], weight_decay: float) -> list[Group]:
    """Parameter groups with decay for weights alone.

    Parameters of two axes and more decay; biases and the gains of normalisation layers do not.

    Parameters
    ----------
    parameters : iterable of Parameter
        All that are to be optimized.
    weight_decay : float
        λ of the weights.

    Returns
    -------
    list of dict
        Groups for an optimizer: `AdamW(decay_groups(model.parameters(), 0.1))`.

    Examples
    --------
    >>> groups = optim.decay_groups(nn.Linear(3, 2).parameters(), 0.1)
    >>> [(group["weight_decay"], len(group["params"])) for group in groups]
    [(0.1, 1), (0.0, 1)]
    """
    number("weight_decay", weight_decay, 0)
    parameters = list(parameters)
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _chosen(parameters: Iterable[Tensor], biases: bool) -> list[Tensor]:
    chosen = [p for p in parameters if biases or p.ndim >= 2]
    if not chosen:
        raise ValueError("`parameters` must hold a weight of two axes or more (or pass biases=True), got none")
    return chosen


def _sum(terms: Iterable[Any]) -> Any:
    return sum(reductions.sum(term) for term in terms)
