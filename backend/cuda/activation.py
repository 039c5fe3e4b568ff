"""Activations by one kernel each way. Those whose derivative follows from y keep y, and x is free to go."""

from __future__ import annotations

from typing import Any

from ...kernels import activation as kernels
from ...kernels import swiglu as gated
from ...kernels.toolchain.launch import FLOATS
from ..array import elementwise
from ..nn import activation as primitives
from . import replaces


def _apply(x: Any, function: str) -> Any:
    if x.dtype not in FLOATS:
        return NotImplemented
    y = kernels.forward(x, function)
    saved = y if function in kernels.FROM_OUTPUT else x
    return y, (lambda g: kernels.backward(g, saved, function)[0],)


@replaces(primitives.relu)
def relu(x: Any, /) -> Any:
    return _apply(x, "Relu")


@replaces(primitives.sigmoid)
def sigmoid(x: Any, /) -> Any:
    return _apply(x, "Sigmoid")


@replaces(elementwise.tanh)
def tanh(x: Any, /) -> Any:
    return _apply(x, "Tanh")


@replaces(primitives.silu)
def silu(x: Any, /) -> Any:
    return _apply(x, "Silu")


@replaces(primitives.gelu)
def gelu(x: Any, /, *, approximate: str = "none") -> Any:
    return _apply(x, "GeluTanh" if approximate == "tanh" else "Gelu")


@replaces(primitives.swiglu)
def swiglu(x: Any, gate: Any, /) -> Any:
    if x.dtype not in FLOATS or gate.dtype != x.dtype or gate.shape != x.shape:
        return NotImplemented

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        return gated.backward(g, x, gate)

    return gated.forward(x, gate), vjp
