"""ONNX operators as functions of tensors: operator ↦ f(attributes, *inputs).

`attributes` are those of the node, besides "opset", the version of the graph. Inputs are Tensors where gradients or a
device have a part, and NumPy arrays where values are known on the host (shapes, axes, and what is computed from them); an
optional input that was left out is None. A result is one value or a tuple.
"""

from collections.abc import Callable
from typing import Any

from . import elementwise

__all__ = ["OPERATORS"]

OPERATORS: dict[str, Callable[..., Any]] = {**elementwise.OPERATORS}
