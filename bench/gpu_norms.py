"""Benches of the kernels of losses and normalisations, as `gpu_kernels.py` has those of others."""

from __future__ import annotations

from typing import Any

from ..backend.nn import loss, normalization
from .case import TOLERANCE, Bench, Case, both_ways, contenders, some_of, through
from .machine import Machine, dtype_of

__all__ = ["BENCHES"]


def cross_entropy(machine: Machine, rows: int, classes: int, dtype: str) -> Case:
    xp, x = machine.xp, machine.random(rows, classes, dtype=dtype, scale=2.0)
    target = machine.integers(rows, below=classes)
    one = xp.ones((), dtype_of(dtype))
    weft = through(machine, loss.softmax_cross_entropy, (x, target), one, (True, False), "both")
    inputs = ((x, True), (target, False))
    makers = contenders(machine, weft, lambda F, x, t: F.cross_entropy(x, t), inputs, None, "both")

    def compare(mean: Any, grad: Any) -> list:
        some = some_of(rows)
        z = machine.wide(machine.take(x, some))
        z -= z.max(axis=1, keepdims=True)
        p = xp.exp(z)
        p /= p.sum(axis=1, keepdims=True)
        p -= machine.take(target, some)[:, None] == xp.arange(classes)
        total = 0.0
        for start in range(0, rows, 1024):
            z, t = machine.wide(x[start : start + 1024]), target[start : start + 1024]
            top = z.max(axis=1)
            lse = xp.log(xp.exp(z - top[:, None]).sum(axis=1)) + top
            total = total + (lse - xp.take_along_axis(z, t[:, None], axis=1)[:, 0]).sum()
        return [(mean, total / rows), (machine.take(grad, some), p / rows)]

    about = f"cross-entropy forward + backward, {rows}×{classes}, {dtype}"
    return Case(about, makers, compare, TOLERANCE[dtype], 2 * x.nbytes, "copy")


def row_norm(machine: Machine, rows: int, cols: int, dtype: str, centred: bool, part: str) -> Case:
    """Layer norm (`centred`) or RMS norm over the last axis."""
    xp, count = machine.xp, 3 if centred else 2
    x, g = machine.random(rows, cols, dtype=dtype), machine.random(rows, cols, dtype=dtype, seed=1)
    parameters = [machine.random(cols, dtype=dtype, seed=2 + i) for i in range(count - 1)]
    primitive = normalization.layer_norm if centred else normalization.rms_norm
    weft = through(machine, primitive, (x, *parameters), g, (True,) * count, part, eps=1e-5)

    def call(F: Any, x: Any, *parameters: Any) -> Any:
        return (F.layer_norm if centred else F.rms_norm)(x, (cols,), *parameters, eps=1e-5)

    makers = contenders(machine, weft, call, [(a, True) for a in (x, *parameters)], g, part)

    def compare(*found: Any) -> list:
        z, above = machine.wide(x), machine.wide(g)
        if centred:
            z -= z.mean(axis=1, keepdims=True)
        rstd = 1 / xp.sqrt((z * z).mean(axis=1, keepdims=True) + 1e-5)
        z *= rstd
        wide = [machine.wide(p) for p in parameters]
        if part == "forward":
            return [(found[0], z * wide[0] + (wide[1] if centred else 0))]
        sums = [(above * z).sum(axis=0), above.sum(axis=0)][: count - 1]
        above *= wide[0]
        grad = above - z * (above * z).mean(axis=1, keepdims=True)
        if centred:
            grad -= above.mean(axis=1, keepdims=True)
        return [(found[0], grad * rstd), *zip(found[1:], sums)]

    name = "layer norm" if centred else "RMS norm"
    work = (2 if part == "forward" else 3) * x.nbytes
    return Case(f"{name} {part}, {rows}×{cols}, {dtype}", makers, compare, TOLERANCE[dtype], work, "copy")


def batch_norm(machine: Machine, shape: tuple, dtype: str, part: str) -> Case:
    """In training. Statistics come before what uses them, so x is read twice, and in backward g as well."""
    xp, channels = machine.xp, shape[1]
    x, g = machine.random(*shape, dtype=dtype), machine.random(*shape, dtype=dtype, seed=1)
    weight, bias = (machine.random(channels, dtype=dtype, seed=s) for s in (2, 3))
    nothing = xp.zeros(channels, dtype_of(dtype))
    above = (g, nothing, nothing)
    weft = through(machine, normalization.batch_norm, (x, weight, bias), above, (True,) * 3, part, eps=1e-5)

    def call(F: Any, x: Any, w: Any, b: Any) -> Any:
        return F.batch_norm(x, None, None, w, b, training=True, eps=1e-5)

    makers = contenders(machine, weft, call, [(a, True) for a in (x, weight, bias)], g, part)

    def compare(*found: Any) -> list:
        axes, z, of_y = (0, 2, 3), machine.wide(x), machine.wide(g)
        z -= z.mean(axis=axes, keepdims=True)
        rstd = 1 / xp.sqrt((z * z).mean(axis=axes, keepdims=True) + 1e-5)
        z *= rstd
        w, b = (machine.wide(p)[:, None, None] for p in (weight, bias))
        if part == "forward":
            return [(found[0], z * w + b)]
        sums = (of_y * z).sum(axis=axes, keepdims=True), of_y.sum(axis=axes, keepdims=True)
        n = z.size // channels
        grad = w * rstd * (of_y - z * sums[0] / n - sums[1] / n)
        return [(found[0], grad), (found[1], sums[0].ravel()), (found[2], sums[1].ravel())]

    about = f"batch norm {part}, {'×'.join(map(str, shape))}, {dtype}"
    return Case(about, makers, compare, TOLERANCE[dtype], (3 if part == "forward" else 5) * x.nbytes, "copy")


HALF, ROWS = {"dtype": "bfloat16"}, {"rows": 16384, "cols": 4096}
BENCHES = [
    Bench("cross-entropy-bfloat16", cross_entropy, {"rows": 8192, "classes": 50257, **HALF}, {"rows": 5, "classes": 70, **HALF}),
    Bench("cross-entropy-float32", cross_entropy, {"rows": 16384, "classes": 131072, "dtype": "float32"},
          {"rows": 3, "classes": 33, "dtype": "float32"}),
    *both_ways("layer-norm", row_norm, {**ROWS, **HALF, "centred": True}, {"rows": 5, "cols": 24, **HALF, "centred": True}),
    *both_ways("rms-norm", row_norm, {**ROWS, **HALF, "centred": False}, {"rows": 5, "cols": 24, **HALF, "centred": False}),
    *both_ways("batch-norm", batch_norm, {"shape": (64, 256, 56, 56), **HALF}, {"shape": (2, 3, 4, 4), **HALF}),
]  # fmt: skip
