"""Penalties on weights, to be added to a loss; and the same choice of weights for decay within an optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.array import elementwise, reductions
from ..backend.tape.tensor import Tensor

__all__ = ["decay_groups", "l1_penalty", "l2_penalty"]


def l1_penalty(parameters: Iterable[Tensor], strength: float = 1.0, *, biases: bool = False) -> Tensor:
    """strength · Σ |w|, differentiable: drives weights to zero exactly.

    Over parameters of two axes and more; `biases=True` includes biases and the gains of normalisation layers.

    >>> w, b = weft.Parameter([[1.0, -2.0]]), weft.Parameter([5.0])
    >>> weft.optimizers.l1_penalty([w, b], 0.1).item()
    0.30000001192092896
    """
    return strength * _sum(elementwise.abs(w) for w in _chosen(parameters, biases))


def l2_penalty(parameters: Iterable[Tensor], strength: float = 1.0, *, biases: bool = False) -> Tensor:
    """strength · ½ Σ w², differentiable; its gradient strength · w is that of an optimizer's coupled `weight_decay`.

    Over parameters of two axes and more; `biases=True` includes biases and the gains of normalisation layers.
    """
    return 0.5 * strength * _sum(elementwise.multiply(w, w) for w in _chosen(parameters, biases))


def decay_groups(parameters: Iterable[Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups with decay for weights alone: `AdamW(decay_groups(model.parameters(), 0.1))`.

    Parameters of two axes and more decay; biases and the gains of normalisation layers do not.
    """
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
