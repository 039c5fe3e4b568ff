"""Launcher of `swiglu.cu`: a gated unit and both of its gradients, one pass each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .toolchain.launch import FLOATS, Kernel, contiguous, empty, on_16_bytes, vector_width

__all__ = ["backward", "forward"]

THREADS = 256

# no numbers below 2⁻¹²⁶, and quotients to two units in the last place: each would double an exponential's or quotient's cost
_swiglu = Kernel("swiglu.cu", "swiglu", FLOATS, (False, True), options=("-ftz=true", "-prec-div=false"))


def forward(x: Any, gate: Any) -> Any:
    """x · silu(gate), of one shape (…, width)."""
    y = empty(x.shape, x.dtype, like=x)
    _launch(None, x, gate, y, None)
    return y


def backward(g: Any, x: Any, gate: Any) -> tuple[Any, Any]:
    """(grad_x, grad_gate) from the gradient of the result."""
    grads = empty(x.shape, x.dtype, like=x), empty(x.shape, x.dtype, like=x)
    _launch(contiguous(g), x, gate, *grads)
    return grads


def _launch(g: Any, x: Any, gate: Any, y: Any, grad_gate: Any) -> None:
    width = x.shape[-1] if x.ndim else 1
    rows = x.size // max(1, width)
    x, gate = (_rows(a, rows, width) for a in (x, gate))
    strides = [a.strides[0] // a.itemsize for a in (x, gate)]
    size = vector_width(x.dtype)
    whole = on_16_bytes(g, x, gate, y, grad_gate) and not any(n % size for n in (width, *strides))
    grid = math.ceil(rows * math.ceil(width / size) / THREADS)
    numbers = np.int64(rows), np.int32(width), *map(np.int64, strides), np.bool_(whole)
    _swiglu[x.dtype, g is not None](grid, THREADS, g, x, gate, y, grad_gate, *numbers)


def _rows(x: Any, rows: int, width: int) -> Any:
    """x as a matrix whose rows are neighbours in memory: a view where that can be."""
    x = x.reshape(rows, width)
    return x if x.strides[1] == x.itemsize and x.strides[0] >= 0 else contiguous(x)
