"""The names of a model's outputs: whether there is one for each class, as far as the model tells how many it has."""

from __future__ import annotations

from typing import Any

from ..layers.activation import LogSoftmax, Sigmoid, Softmax
from ..layers.containers import Identity, Sequential
from ..layers.dropout import Dropout
from ..layers.linear import Linear
from ..layers.module import Module

__all__ = ["checked"]

_AS_MANY = Dropout, Identity, LogSoftmax, Sigmoid, Softmax


def checked(names: Any, model: Module | None = None, architecture: Any = None) -> tuple[str, ...]:
    """The names as a tuple; TypeError or ValueError if they are none, or not one for each class. No names are fine.

    Parameters
    ----------
    names : sequence of str
        Of the outputs.
    model, architecture : optional
        Whose they are.

    Returns
    -------
    tuple of str
        As they came.

    Examples
    --------
    >>> checked(["a", "b"], nn.Linear(2, 3))
    Traceback (most recent call last):
        ...
    ValueError: `class_names` must name the 3 classes of the model, got 2 names: ('a', 'b')
    """
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"`class_names` must be a list of words, such as ['cat', 'dog'], got {names!r:.60}")
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"`class_names` must be different, got {twice!r:.60} twice")
    outputs = _outputs(model, architecture)
    wanted = 2 if outputs == 1 else outputs  # one score tells two classes apart
    if names and wanted is not None and len(names) != wanted:
        of_one = ", which its one score tells apart" if outputs == 1 else ""
        raise ValueError(
            f"`class_names` must name the {wanted} classes of the model{of_one}, got {len(names)} names: {tuple(names)!r:.60}"
        )
    return tuple(names)


def _outputs(model: Module | None, architecture: Any) -> int | None:
    """How many scores it gives, if that can be told without an input."""
    if isinstance(architecture, dict) and isinstance(architecture.get("num_classes"), int):
        return architecture["num_classes"]
    while isinstance(model, Sequential):
        model = next((part for part in reversed(list(model)) if not isinstance(part, _AS_MANY)), None)
    return model.out_features if isinstance(model, Linear) else None
