"""Benches of single kernels: through the primitives that they stand in for, beside PyTorch on the same memory."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend.array.random import Generator
from ..backend.nn import activation, dropout, embedding, pooling
from . import gpu_norms, gpu_products
from .case import TOLERANCE, Bench, Case, Make, both_ways, contenders, some_of, through
from .machine import Machine, dtype_of

__all__ = ["BENCHES", "CEILINGS"]

DRAWS = 8  # 32-bit numbers in a block of the random stream


# --- what everything is held against ------------------------------------------------------------------------------------
def copy(machine: Machine, elements: int) -> Case:
    x, y = machine.random(elements), machine.xp.empty(elements, np.float32)

    def make(assign: Callable, to: Any, source: Any) -> Callable:
        def run() -> tuple:
            assign(to, source)
            return (to,)

        return run

    makers: dict[str, Make] = {"CuPy": lambda: make(machine.xp.copyto, y, x)}
    if machine.torch is not None:
        a, b = machine.to_torch(x), machine.to_torch(y)
        makers["torch"] = lambda: make(lambda to, source: to.copy_(source), b, a)
    some = some_of(elements, 4096)
    compare = lambda found: [(machine.take(found, some), machine.wide(machine.take(x, some)))]
    return Case(f"device-to-device copy, {x.nbytes:,} bytes", makers, compare, 0.0, 2 * x.nbytes, "copy")


# --- elementwise, lookups, windows --------------------------------------------------------------------------------------
def gelu(machine: Machine, elements: int, dtype: str, part: str) -> Case:
    x, g = machine.random(elements, dtype=dtype), machine.random(elements, dtype=dtype, seed=1)
    weft = through(machine, activation.gelu, (x,), g, (True,), part, approximate="tanh")
    makers = contenders(machine, weft, lambda F, x: F.gelu(x, approximate="tanh"), [(x, True)], g, part)

    def compare(found: Any) -> list:
        z, c = machine.wide(x), math.sqrt(2 / math.pi)
        t = machine.xp.tanh(c * (z + 0.044715 * z**3))
        if part == "forward":
            return [(found, z * (1 + t) / 2)]
        slope = (1 + t) / 2 + z * (1 - t * t) * c * (1 + 3 * 0.044715 * z * z) / 2
        return [(found, machine.wide(g) * slope)]

    work = (2 if part == "forward" else 3) * x.nbytes
    return Case(f"GELU {part}, {elements:,}, {dtype}", makers, compare, TOLERANCE[dtype], work, "copy")


def drop(machine: Machine, elements: int, dtype: str) -> Case:
    """Compared at both ends with the mask that NumPy makes of the same stream."""
    x, p, n = machine.random(elements, dtype=dtype), 0.1, min(elements, 1 << 16)
    blocks = Generator(5).reserve(elements, dtype_of("bool"))
    weft = through(machine, dropout.dropout, (x,), None, (True,), "forward", p=p, shape=(elements,), blocks=blocks)
    makers = {"weft": weft}
    if machine.torch is not None:
        t, f = machine.to_torch(x), machine.torch.nn.functional.dropout
        makers["torch"] = lambda: lambda: f(t, p) is None or ()

    def compare(y: Any) -> list:
        pairs = []
        for start in (0, elements - n):
            there = blocks._replace(counter=blocks.counter + start // DRAWS)
            mask = machine.xp.asarray(there.bernoulli((n,), 1 - p))
            pairs.append((y[start : start + n], machine.wide(x[start : start + n]) / (1 - p) * mask))
        return pairs

    return Case(f"dropout, {elements:,}, {dtype}", makers, compare, TOLERANCE[dtype], 2 * x.nbytes, "copy")


def random_numbers(machine: Machine, elements: int, what: str) -> Case:
    """Compared at both ends, bit for bit, with those that NumPy makes of the same stream."""
    generator, float32, n = Generator(3), dtype_of("float32"), min(elements, 1 << 16)

    def run() -> tuple:
        generator.manual_seed(3)
        return (getattr(generator, what)((elements,), float32, machine.device),)

    makers: dict[str, Make] = {"weft": lambda: run}
    if machine.torch is not None:
        f = machine.torch.rand if what == "uniform" else machine.torch.randn
        makers["torch"] = lambda: lambda: f(elements, device=machine.torch_device) is None or ()

    def compare(y: Any) -> list:
        pairs = []
        for start in (0, elements - n):
            generator.set_state({"seed": 3, "counter": start // DRAWS})
            expected = getattr(generator, what)((n,), float32)
            pairs.append((y[start : start + n], machine.xp.asarray(expected).astype(np.float64)))
        return pairs

    return Case(f"random numbers, {what}, {elements:,}, float32", makers, compare, 0.0, 4 * elements, "copy")


def lookup(machine: Machine, rows: int, width: int, tokens: int, dtype: str, part: str) -> Case:
    xp, table = machine.xp, machine.random(rows, width, dtype=dtype)
    indices, g = machine.integers(tokens, below=rows), machine.random(tokens, width, dtype=dtype, seed=1)
    weft = through(machine, embedding.embedding, (indices, table), g, (False, True), part)
    inputs = ((indices, False), (table, True))
    makers = contenders(machine, weft, lambda F, i, w: F.embedding(i, w), inputs, g, part)

    def compare(found: Any) -> list:
        if part == "forward":
            return [(found, xp.take(machine.wide(table), indices, axis=0))]
        some = some_of(rows)
        above = machine.wide(g)
        chosen = (indices == xp.asarray(some)[:, None]).astype(np.float64)
        return [(machine.take(found, some), chosen @ above)]

    found = rows * -math.expm1(tokens * math.log1p(-1 / rows))  # so many rows are expected to be among the tokens
    work = indices.nbytes + g.nbytes + (found * table[0].nbytes if part == "forward" else table.nbytes)
    about = f"embedding {part}, {tokens:,} of {rows}×{width}, {dtype}"
    return Case(about, makers, compare, TOLERANCE[dtype], work, "copy")


def max_pool(machine: Machine, shape: tuple, kernel: int, stride: int, dtype: str, part: str) -> Case:
    x = machine.random(*shape, dtype=dtype)
    out = tuple((n - kernel) // stride + 1 for n in shape[2:])
    g = machine.random(*shape[:2], *out, dtype=dtype, seed=1)
    sizes = {"kernel_size": (kernel, kernel), "stride": (stride, stride)}
    weft = through(machine, pooling.max_pool, (x,), g, (True,), part, **sizes)
    makers = contenders(machine, weft, lambda F, x: F.max_pool2d(x, kernel, stride), [(x, True)], g, part)

    def taps(a: Any) -> list:
        ends = [(n - 1) * stride + 1 for n in out]
        return [
            a[:, :, i : i + ends[0] : stride, j : j + ends[1] : stride] for i in range(kernel) for j in range(kernel)
        ]

    def compare(found: Any) -> list:
        some = some_of(shape[0], 2)
        z, above, found = (machine.take(a, some) for a in (x, g, found))
        z, above = machine.wide(z), machine.wide(above)
        y = functools.reduce(machine.xp.maximum, taps(z))
        if part == "forward":
            return [(found, y)]
        grad, is_free = machine.xp.zeros(z.shape), machine.xp.ones(y.shape, bool)
        for window, at in zip(taps(z), taps(grad)):
            first = is_free & (window == y)
            at += above * first
            is_free &= ~first
        return [(found, grad)]

    work = x.nbytes + g.nbytes
    about = f"max pooling {kernel}×{kernel}, stride {stride}, {part}, {'×'.join(map(str, shape))}, {dtype}"
    return Case(about, makers, compare, TOLERANCE[dtype], work, "copy")


def launches(machine: Machine, count: int) -> Case:
    """The host's share of a launch: `scale` of one element by one."""
    from ..kernels import reductions

    x, factor = machine.random(8), machine.xp.ones((), np.float32)
    kernel, arguments = reductions._scale[x.dtype], (1, reductions.THREADS, x, np.int64(8), factor)

    def repeat(run: Callable[[], Any]) -> Make:
        return lambda: lambda: [run() for _ in range(count)] and ()

    makers = {"weft": repeat(lambda: kernel(*arguments)), "weft, prepared": repeat(kernel.prepare(*arguments))}
    makers["CuPy ufunc"] = repeat(lambda: machine.xp.multiply(x, factor, out=x))
    if machine.torch is not None:
        t, f = machine.to_torch(x), machine.to_torch(factor)
        makers["torch"] = repeat(lambda: t.mul_(f))
    return Case("launching a small kernel", makers, wall=True, units=count, unit="launches")


CEILINGS = [Bench("copy", copy, {"elements": 1 << 30}, {"elements": 64}), *gpu_products.CEILINGS]

HALF, TOKENS = {"dtype": "bfloat16"}, {"rows": 50257, "width": 768}
BENCHES = [
    *gpu_norms.BENCHES,
    *both_ways("gelu", gelu, {"elements": 1 << 27, **HALF}, {"elements": 100, **HALF}),
    Bench("dropout", drop, {"elements": 1 << 28, **HALF}, {"elements": 1000, **HALF}),
    *(Bench(f"random-{w}", random_numbers, {"elements": 1 << 28, "what": w}, {"elements": 104, "what": w})
      for w in ("uniform", "normal")),
    *both_ways("embedding", lookup, {**TOKENS, "tokens": 1 << 17, **HALF}, {"rows": 7, "width": 16, "tokens": 40, **HALF}),
    *both_ways("max-pool", max_pool, {"shape": (64, 64, 112, 112), "kernel": 2, "stride": 2, **HALF},
                {"shape": (2, 2, 6, 6), "kernel": 2, "stride": 2, **HALF}),
    Bench("launches", launches, {"count": 1000}, {"count": 3}),
]  # fmt: skip
