"""Rotary embedding by one kernel, which also turns back. Gradients of the angles are left to the generic form."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels import rotary as kernels
from ...kernels.toolchain.launch import FLOATS
from ..device import devices
from ..nn import rotary as primitives
from . import replaces


@replaces(primitives.rotary_embedding)
def rotary_embedding(x: Any, cos: Any, sin: Any, /, *, interleaved: bool = False) -> Any:
    if x.dtype not in FLOATS or not x.ndim > 1:
        return NotImplemented
    tables = [a.astype(np.float32, copy=False) for a in (cos, sin)]
    y = kernels.rotary(x, *tables, interleaved=interleaved)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        grad_x = kernels.rotary(g, *tables, interleaved=interleaved, inverse=True) if need[0] else None
        others: tuple = (None, None)
        if any(need[1:]):
            xp = devices.namespace_of(x)
            pulls = primitives.rotary_embedding.generic(xp, x, cos, sin, interleaved=interleaved)[1][1:]
            others = tuple(pull(g) if wanted else None for pull, wanted in zip(pulls, need[1:]))
        return grad_x, *others

    return y, vjp
