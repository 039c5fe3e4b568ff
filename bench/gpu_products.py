"""Benches of products of matrices, alone and with what a dense layer does after them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backend.device.gemm import set_float32_matmul_precision
from ..backend.nn import linear
from ..kernels import gemm
from ..kernels import linear as kernels
from .case import TOLERANCE, Bench, Case, Make, both_ways, contenders, some_of, through
from .machine import Machine

__all__ = ["BENCHES", "CEILINGS"]


def product(machine: Machine, m: int, n: int, k: int, dtype: str, batch: int = 0) -> Case:
    """a (M, K) times the transpose of b (N, K), as a dense layer has it. "tf32" is float32 with factors rounded to TF32."""
    stack = (batch,) if batch else ()
    stored = "float32" if dtype == "tf32" else dtype
    a, b = machine.random(*stack, m, k, dtype=stored), machine.random(*stack, n, k, dtype=stored, seed=1)

    def weft() -> tuple:
        set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
        try:
            return (gemm.gemm(a, b.swapaxes(-1, -2)),)
        finally:
            set_float32_matmul_precision("highest")

    makers: dict[str, Make] = {"weft": lambda: weft}
    if machine.torch is not None:
        x, y = machine.to_torch(a), machine.to_torch(b).transpose(-1, -2)

        def with_torch() -> Callable:
            flags = machine.torch.backends.cuda.matmul

            def run() -> tuple:
                flags.allow_tf32 = dtype == "tf32"
                try:
                    return (machine.torch.matmul(x, y),)
                finally:
                    flags.allow_tf32 = False

            return run

        makers["torch"] = with_torch

    def compare(c: Any) -> list:
        rows = some_of(m)
        left, right = machine.wide(machine.take(a, rows, -2)), machine.wide(b)
        return [(machine.take(c, rows, -2), left @ right.swapaxes(-1, -2))]

    shape = f"{batch} × " * bool(batch) + f"({m}×{k})·({k}×{n})"
    return Case(
        f"matrix product {shape}, {dtype}",
        makers,
        compare,
        2e-3 if dtype == "tf32" else TOLERANCE[stored],
        2 * m * n * k * max(1, batch),
        dtype,
    )


def dense_layer(machine: Machine, rows: int, fan_in: int, fan_out: int, dtype: str, f: str | None, part: str) -> Case:
    """y = f(x Wᵀ + b), f None, "relu" or "gelu" (with tanh): cublasLt's epilogues against a product and kernels after it."""
    xp = machine.xp
    x, w, b = (
        machine.random(*s, dtype=dtype, seed=i) for i, s in enumerate(((rows, fan_in), (fan_out, fan_in), (fan_out,)))
    )
    g = machine.random(rows, fan_out, dtype=dtype, seed=3)
    weft = through(machine, linear.linear, (x, w, b), g, (True,) * 3, part, activation=f)

    def apart() -> Callable:
        """The same with cublasLt left out."""
        run = weft()

        def declined() -> tuple:
            fused, kernels.fused = kernels.fused, lambda *args, **options: False
            try:
                return run()
            finally:
                kernels.fused = fused

        return declined

    def call(F: Any, x: Any, w: Any, b: Any) -> Any:
        z = F.linear(x, w, b)
        return z if f is None else F.relu(z) if f == "relu" else F.gelu(z, approximate="tanh")

    makers = contenders(machine, weft, call, [(a, True) for a in (x, w, b)], g, part)
    makers = {"weft": makers.pop("weft"), "alternative, kernels after the product": apart, **makers}

    def compare(*found: Any) -> list:
        some, c = some_of(rows), math.sqrt(2 / math.pi)
        z = machine.wide(x) @ machine.wide(w).T + machine.wide(b)
        t = xp.tanh(c * (z + 0.044715 * z**3))
        if part == "forward":
            y = z if f is None else xp.maximum(z, 0) if f == "relu" else z * (1 + t) / 2
            return [(machine.take(found[0], some), machine.take(y, some))]
        above = machine.wide(g)
        if f == "relu":
            above = above * (z > 0)
        elif f == "gelu":
            above = above * ((1 + t) / 2 + z * (1 - t * t) * c * (1 + 3 * 0.044715 * z * z) / 2)
        exact = above @ machine.wide(w), above.T @ machine.wide(x), above.sum(axis=0)
        return list(zip(found, exact))

    work = (2 if part == "forward" else 4) * rows * fan_in * fan_out
    about = f"dense layer{f' with {f}' if f else ''} {part}, {rows}×{fan_in} → {fan_out}, {dtype}"
    return Case(about, makers, compare, TOLERANCE[dtype], work, dtype)


SQUARE, SMALL, HALF = {"m": 8192, "n": 8192, "k": 8192}, {"m": 5, "n": 3, "k": 8}, {"dtype": "bfloat16"}
CEILINGS = [
    Bench(f"product-{d}", product, {**SQUARE, "dtype": d}, {**SMALL, "dtype": d})
    for d in ("bfloat16", "float32", "tf32")
]
BENCHES = [
    Bench("product-dense", product, {"m": 16384, "n": 3072, "k": 768, **HALF}, {**SMALL, **HALF}),
    Bench("product-batched", product, {"m": 1024, "n": 1024, "k": 64, "batch": 192, **HALF}, {**SMALL, "batch": 2, **HALF}),
    *(bench for f in (None, "relu", "gelu")
      for bench in both_ways(f"dense-{f or 'bias'}", dense_layer,
                             {"rows": 16384, "fan_in": 768, "fan_out": 3072, "f": f, **HALF},
                             {"rows": 5, "fan_in": 7, "fan_out": 8, "f": f, **HALF})),
]  # fmt: skip
