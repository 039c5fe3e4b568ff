"""Activations by one kernel each way. Those whose derivative follows from y keep y, and x is free to go."""

from __future__ import annotations

from typing import Any

from ...kernels import activation as kernels
from ...kernels.toolchain.launch import FLOATS
from ..array import elementwise
from ..nn import activation
from . import replaces


def _apply(x: Any, function: str) -> Any:
    if x.dtype not in FLOATS:
        return NotImplemented
    y = kernels.forward(x, function)
    saved = y if function in kernels.FROM_OUTPUT else x
    return y, (lambda g: kernels.backward(g, saved, function)[0],)


@replaces(activation.relu)
def _(x: Any, /) -> Any:
    return _apply(x, "Relu")


@replaces(activation.sigmoid)
def _(x: Any, /) -> Any:
    return _apply(x, "Sigmoid")


@replaces(elementwise.tanh)
def _(x: Any, /) -> Any:
    return _apply(x, "Tanh")


@replaces(activation.silu)
def _(x: Any, /) -> Any:
    return _apply(x, "Silu")


@replaces(activation.gelu)
def _(x: Any, /, *, approximate: str = "none") -> Any:
    return _apply(x, "GeluTanh" if approximate == "tanh" else "Gelu")
