"""Activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import weft

from ....layers import functional as F
from .elementwise import Attributes

__all__ = ["HOST", "OPERATORS"]


def over_axis(function: Callable[..., Any]) -> Callable[..., Any]:
    """Along one axis; before version 13 along all from `axis` on, which was the second by default."""

    def run(attributes: Attributes, x: Any) -> Any:
        if attributes["opset"] >= 13:
            return function(x, attributes.get("axis", -1))
        axis = attributes.get("axis", 1) % max(x.ndim, 1)
        rows = 1
        for n in x.shape[:axis]:
            rows *= n
        return weft.reshape(function(weft.reshape(x, (rows, -1)), -1), x.shape)

    return run


def _hardmax(x: Any, axis: int) -> Any:
    """One at the first of the greatest."""
    axis %= x.ndim
    first = weft.argmax(x, axis=axis, keepdims=True)
    lengths = [1] * x.ndim
    lengths[axis] = x.shape[axis]
    places = weft.reshape(weft.arange(x.shape[axis], device=x.device), tuple(lengths))
    return (places == first).astype(x.dtype)


def prelu(_: Attributes, x: Any, slope: Any) -> Any:
    """Slopes broadcast as in any operator."""
    return weft.where(x < 0, x * slope, x)


def selu(attributes: Attributes, x: Any) -> Any:
    """γ (x where positive, else α (eˣ − 1))."""
    alpha, gamma = attributes.get("alpha", 1.6732632423543772), attributes.get("gamma", 1.0507009873554805)
    return gamma * F.elu(x, alpha)


def shrink(attributes: Attributes, x: Any) -> Any:
    """Towards zero by `bias`, and to it within `lambd`."""
    bias, bound = attributes.get("bias", 0.0), attributes.get("lambd", 0.5)
    moved = weft.where(x < -bound, x + bias, weft.where(x > bound, x - bias, weft.zeros_like(x)))
    return moved.astype(x.dtype)


def gelu(attributes: Attributes, x: Any) -> Any:
    """Exact, or by tanh."""
    return F.gelu(x, attributes.get("approximate", b"none").decode())


def threshold(attributes: Attributes, x: Any) -> Any:
    """x above alpha, else 0."""
    return weft.where(x > attributes.get("alpha", 1.0), x, weft.zeros_like(x))


def swish(attributes: Attributes, x: Any) -> Any:
    """x σ(αx)."""
    return x * F.sigmoid(attributes.get("alpha", 1.0) * x)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Celu": lambda a, x: F.celu(x, a.get("alpha", 1.0)), "Elu": lambda a, x: F.elu(x, a.get("alpha", 1.0)),
    "Gelu": gelu,
    "HardSigmoid": lambda a, x: (a.get("alpha", 0.2) * x + a.get("beta", 0.5)).clamp(min=0, max=1),
    "HardSwish": lambda _, x: F.hardswish(x), "Hardmax": over_axis(_hardmax),
    "LeakyRelu": lambda a, x: F.leaky_relu(x, a.get("alpha", 0.01)), "LogSoftmax": over_axis(F.log_softmax),
    "Mish": lambda _, x: F.mish(x), "PRelu": prelu, "Relu": lambda _, x: F.relu(x), "Selu": selu, "Shrink": shrink,
    "Sigmoid": lambda _, x: F.sigmoid(x), "Softmax": over_axis(F.softmax), "Softplus": lambda _, x: F.softplus(x, threshold=1e9),
    "Softsign": lambda _, x: F.softsign(x), "Swish": swish, "ThresholdedRelu": threshold,
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = {}
