"""ONNX operators as functions of tensors: operator ↦ f(attributes, *inputs).

`attributes` are those of the node, besides "opset", the version of the graph, and "outputs", how many are asked for. Inputs
are Tensors, but for those that say *how* (shapes, axes: `HOST` has their places), which are NumPy arrays; an optional input
that was left out is None. A result is one value or a tuple; arrays of NumPy are values that the host knows.
"""

from collections.abc import Callable
from typing import Any

from . import (
    activation,
    attention,
    convolution,
    deformable,
    elementwise,
    indexing,
    normalization,
    random,
    recurrent,
    reductions,
    regions,
    resize,
    sequences,
    shapes,
    signal,
    small,
    updates,
)

__all__ = ["HOST", "OPERATORS"]

_PARTS = (
    elementwise, shapes, reductions, indexing, activation, convolution, deformable, normalization, resize, recurrent, attention,
    regions, signal, small, random, sequences, updates,
)  # fmt: skip
OPERATORS: dict[str, Callable[..., Any]] = {name: f for part in _PARTS for name, f in part.OPERATORS.items()}
HOST: dict[str, tuple[int, ...]] = {name: places for part in _PARTS for name, places in part.HOST.items()}
