"""Graphs from before version 7, when operators told by attributes how the second input is spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import reshape

__all__ = ["BEFORE", "as_new"]

BROADCAST = 7  # the version from which operators broadcast as NumPy does
# The version from which an operator is read: before it, it was another.
BEFORE = {"Cast": 6, "GRU": 7, "LSTM": 7, "RNN": 7, "Selu": 6, "Split": 2, "Tile": 6, "Upsample": 7}
PAIRS = {"Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"}


def as_new(operator: str, attributes: Mapping[str, Any], inputs: list[Any]) -> list[Any]:
    """Inputs as an operator of version 7 would have them; `is_test`, which went away then, must be 1.

    The second of two had the first one's axes from `axis` on, the last by default; slopes were those of channels.
    """
    if attributes["opset"] >= BROADCAST:
        return inputs
    if operator in ("BatchNormalization", "Dropout") and not attributes.get("is_test", 0):
        raise NotImplementedError("`is_test` must be 1: that of training is another operator since version 7")
    if operator not in PAIRS and operator != "PRelu":
        return inputs
    x, y = inputs
    axis = attributes.get("axis", x.ndim - y.ndim if operator in PAIRS else 1)
    behind = x.ndim - y.ndim - axis % max(x.ndim, 1)
    return [x, reshape(y, (*y.shape, *[1] * behind)) if y.size > 1 and behind > 0 else y]
