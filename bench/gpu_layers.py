"""Benches of what is more than a kernel: attention, convolution, updates by an optimizer."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import optimizers
from ..backend.cuda import convolution as device_convolution
from ..backend.nn import attention, convolution
from ..backend.tape.tensor import Parameter
from . import attention_hopper
from .case import TOLERANCE, Bench, Case, Make, gradients, once, torch_gradients
from .machine import Machine

__all__ = ["BENCHES"]


# --- attention ----------------------------------------------------------------------------------------------------------
def sdpa(
    machine: Machine, batch: int, heads: int, length: int, width: int, causal: bool, dtype: str, part: str
) -> Case:
    """4 B H S² D operations forward, half of them if causal, and 2.5 times as many backward.

    The last head of the last example is compared as a whole.
    """
    shape = (batch, heads, length, width)
    arrays = [machine.random(*shape, dtype=dtype, seed=s) for s in range(4)]
    raw, g = arrays[:3], arrays[3]
    run = functools.partial(once, machine, attention.scaled_dot_product_attention, raw, is_causal=causal)

    def weft() -> Callable:
        if part == "forward":
            return lambda: (run()[0],)
        pullback = run()[1]
        return lambda: gradients(pullback, g, (True,) * 3)

    def hopper() -> Callable:
        out, lse = attention_hopper.forward(*raw, scale=width**-0.5, is_causal=causal)
        if part == "forward":
            return lambda: attention_hopper.forward(*raw, scale=width**-0.5, is_causal=causal)[:1]
        return lambda: attention_hopper.backward(g, *raw, out, lse, scale=width**-0.5, is_causal=causal)

    makers: dict[str, Make] = {"weft": weft}
    if machine.runs_wgmma and (machine.kind != "cuda" or attention_hopper.works()):
        makers["alternative, wgmma"] = hopper
    if machine.torch is not None:
        makers |= _torch_sdpa(machine, raw, g, causal, part)

    def compare(*found: Any) -> list:
        xp = machine.xp
        q, k, v, above = (machine.wide(a[-1, -1]) for a in arrays)
        scores = q @ k.T / width**0.5
        if causal:
            scores += xp.triu(xp.full((length, length), -np.inf), 1)
        p = xp.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        if part == "forward":
            return [(found[0][-1, -1], p @ v)]
        dp = above @ v.T
        ds = p * (dp - (p * dp).sum(axis=1, keepdims=True)) / width**0.5
        return [(f[-1, -1], e) for f, e in zip(found, (ds @ k, ds.T @ q, p.T @ above))]

    work = 4 * batch * heads * length**2 * width * (0.5 if causal else 1) * (1 if part == "forward" else 2.5)
    about = f"attention {part}, {'causal' if causal else 'full'}, d={width}, {batch}×{heads}×{length}, {dtype}"
    return Case(about, makers, compare, 2 * TOLERANCE[dtype], work, dtype)


def _torch_sdpa(machine: Machine, raw: list, g: Any, causal: bool, part: str) -> dict[str, Make]:
    torch = machine.torch
    tensors, above = [machine.to_torch(a, True) for a in raw], machine.to_torch(g)

    def choosing(backend: str | None) -> Make:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        def f(q: Any, k: Any, v: Any) -> Any:
            with contextlib.nullcontext() if backend is None else sdpa_kernel(getattr(SDPBackend, backend)):
                return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

        return torch_gradients(machine, f, tensors, above, part=part)

    names = {
        "torch": None,
        "torch, flash": "FLASH_ATTENTION",
        "torch, cuDNN": "CUDNN_ATTENTION",
        "torch, mem-efficient": "EFFICIENT_ATTENTION",
    }
    if machine.kind != "cuda":
        names = {"torch": None}
    return {name: functools.partial(lambda backend: choosing(backend)(), backend) for name, backend in names.items()}


# --- convolution --------------------------------------------------------------------------------------------------------
def conv(machine: Machine, shape: tuple, out: int, kernel: int, stride: int, dtype: str) -> Case:
    """Forward and backward of a layer with bias, same padding: three products' worth of operations."""
    n, c, h, w = shape
    pad = kernel // 2
    size = tuple((s + 2 * pad - kernel) // stride + 1 for s in (h, w))
    x, g = machine.random(*shape, dtype=dtype), machine.random(n, out, *size, dtype=dtype, seed=1)
    weight = machine.random(out, c, kernel, kernel, dtype=dtype, seed=2, scale=(c * kernel**2) ** -0.5)
    bias = machine.random(out, dtype=dtype, seed=3)
    raw = (x, weight, bias)

    def run() -> tuple:
        y, pullback = once(machine, convolution.conv, raw, stride=(stride,) * 2, padding=(pad,) * 2)
        return (y, *gradients(pullback, g, (True,) * 3))

    def through_memory() -> tuple:
        device_convolution.IMPLICIT = False
        try:
            return run()
        finally:
            device_convolution.IMPLICIT = True

    makers: dict[str, Make] = {"weft": lambda: run}
    if dtype != "float32":
        makers["alternative, columns in memory"] = lambda: through_memory
    if torch := machine.torch:
        call = lambda x, w, b: torch.nn.functional.conv2d(x, w, b, stride, pad)
        tensors, above = [machine.to_torch(a, True) for a in raw], machine.to_torch(g)
        makers["torch"] = torch_gradients(machine, call, tensors, above, part="both")

        def channels_last() -> Callable:
            last = {"memory_format": torch.channels_last}
            moved = [t.detach().clone(**(last if t.ndim == 4 else {})).requires_grad_() for t in tensors]
            return torch_gradients(machine, call, moved, above.contiguous(**last), part="both")()

        makers["torch, channels last"] = channels_last

    def compare(*found: Any) -> list:
        return _exact_conv(machine, raw, g, found, stride, pad)

    about = f"convolution forward + backward, {'×'.join(map(str, shape))} → {out}, {kernel}×{kernel}, stride {stride}, {dtype}"
    tolerance = {"float32": 1e-4}.get(dtype, TOLERANCE[dtype])  # sums of very many
    return Case(about, makers, compare, tolerance, 6 * g.size * c * kernel**2, dtype)


def _exact_conv(machine: Machine, raw: tuple, g: Any, found: tuple, stride: int, pad: int) -> list:
    """y and grad_x of the first and last images, all of grad_weight and grad_bias, tap by tap."""
    xp, (x, weight, bias) = machine.xp, raw
    (n, c, h, w), (out, _, kernel, _), ends = x.shape, weight.shape, [0, x.shape[0] - 1]
    size, wide_weight = g.shape[2:], machine.wide(weight)
    y = machine.wide(bias)[:, None, None] + xp.zeros((2, out, *size))
    grad_x = xp.zeros((2, c, h + 2 * pad, w + 2 * pad))
    grad_weight, grad_bias = xp.zeros((kernel, kernel, out, c)), xp.zeros(out)

    def tap(image: Any, i: int, j: int) -> Any:
        return image[:, :, i : i + (size[0] - 1) * stride + 1 : stride, j : j + (size[1] - 1) * stride + 1 : stride]

    def columns(a: Any) -> Any:  # (channels, positions)
        return xp.ascontiguousarray(xp.moveaxis(a, 1, 0)).reshape(a.shape[1], -1)

    for start in range(0, n, 16):
        some = slice(start, min(start + 16, n))
        padded = xp.pad(machine.wide(x[some]), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        above = columns(machine.wide(g[some]))
        grad_bias += above.sum(axis=1)
        for i in range(kernel):
            for j in range(kernel):
                grad_weight[i, j] += above @ columns(tap(padded, i, j)).T
    padded = xp.pad(machine.wide(machine.take(x, ends)), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    above = columns(machine.wide(machine.take(g, ends)))
    for i in range(kernel):
        for j in range(kernel):
            taps = xp.ascontiguousarray(wide_weight[:, :, i, j])
            y += xp.moveaxis((taps @ columns(tap(padded, i, j))).reshape(out, 2, *size), 1, 0)
            tap(grad_x, i, j)[...] += xp.moveaxis((taps.T @ above).reshape(c, 2, *size), 1, 0)
    grad_x = grad_x[:, :, pad : pad + h, pad : pad + w]
    exact = (y, grad_x, xp.moveaxis(grad_weight, (0, 1), (2, 3)), grad_bias)
    return list(zip((*(machine.take(a, ends) for a in found[:2]), *found[2:]), exact))


# --- optimizers ---------------------------------------------------------------------------------------------------------
def gpt2_shapes(blocks: int, width: int, rows: int, positions: int) -> list[tuple[int, ...]]:
    """Of the parameters of GPT-2."""
    d = width
    block = [(d,), (d,), (3 * d, d), (3 * d,), (d, d), (d,), (d,), (d,), (4 * d, d), (4 * d,), (d, 4 * d), (d,)]
    return [(rows, d), (positions, d), *block * blocks, (d,), (d,)]


def adamw(machine: Machine, blocks: int, width: int, rows: int, positions: int, dtype: str) -> Case:
    """One step over GPT-2's parameters. Half precision: float32 master weights, in both libraries.

    Bytes: p, m, v read and written, and g read, in float32; or g read and p written a second time in half precision.
    """
    options: dict[str, Any] = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
    shapes = gpt2_shapes(blocks, width, rows, positions)
    arrays = [machine.random(*s, dtype=dtype, seed=i) for i, s in enumerate(shapes)]
    slopes = [machine.random(*s, dtype=dtype, seed=1000 + i) for i, s in enumerate(shapes)]
    before = [machine.wide(arrays[i]) for i in (0, -1)]

    def weft() -> Callable:
        params = [Parameter(machine.tensor(a.copy())) for a in arrays]
        optimizer = optimizers.AdamW(params, **options)
        for p, g in zip(params, slopes):
            p.grad = machine.tensor(g) if p._grad_view is None else machine.tensor(p._grad_view)
            p.grad.data[...] = g
        return _first_step(optimizer.step, lambda: (params[0].data, params[-1].data))

    makers: dict[str, Make] = {"weft": weft}
    if machine.torch is not None:
        makers["torch, fused"] = lambda: _torch_adamw(machine, arrays, slopes, options)
    count = sum(a.size for a in arrays)

    def compare(*found: Any) -> list:
        pairs = []
        for y, p, slope in zip(found, before, (slopes[0], slopes[-1])):
            g = machine.wide(slope)
            step = options["lr"] * (g / (abs(g) + options["eps"]) + options["weight_decay"] * p)
            pairs.append((y, p - step))
        return pairs

    about = f"AdamW, {count:,} parameters, {dtype}{'' if dtype == 'float32' else ' with float32 master weights'}"
    return Case(about, makers, compare, TOLERANCE[dtype], 28 * count, "copy")


def _first_step(step: Callable[[], Any], outputs: Callable[[], tuple]) -> Callable:
    """`step` to be timed; the first call returns copies of what it made of the parameters."""
    calls = 0

    def run() -> tuple:
        nonlocal calls
        calls += 1
        step()
        return tuple(p.copy() for p in outputs()) if calls == 1 else ()

    return run


def _torch_adamw(machine: Machine, arrays: list, slopes: list, options: dict) -> Callable:
    torch = machine.torch
    given, gradients = ([machine.to_torch(a).clone() for a in some] for some in (arrays, slopes))
    masters = [torch.nn.Parameter(t.detach().float().clone()) for t in given]
    for p, g in zip(masters, gradients):
        p.grad = g if g.dtype == p.dtype else g.float()
    optimizer = torch.optim.AdamW(masters, fused=True, **options)
    is_half = given[0].dtype != torch.float32
    theirs = [p.grad for p in masters]

    @torch.no_grad()
    def step() -> None:
        if is_half:
            torch._foreach_copy_(theirs, gradients)
        optimizer.step()
        if is_half:
            torch._foreach_copy_(given, masters)

    results = given if is_half else masters
    return _first_step(step, lambda: (machine.raw(results[0]), machine.raw(results[-1])))


HALF = {"dtype": "bfloat16"}
BENCHES = [
    *(
        Bench(f"attention-{d}-{'causal' if causal else 'full'}-{part}", sdpa,
              {"batch": 4, "heads": 2048 // d, "length": 4096, "width": d, "causal": causal, "part": part, **HALF},
              {"batch": 1, "heads": 1, "length": 17, "width": d, "causal": causal, "part": part, **HALF})
        for d in (64, 128) for causal in (True, False) for part in ("forward", "backward")
    ),
    *(
        Bench(f"conv-{c}-{size}-{kernel}x{kernel}-{dtype}", conv,
              {"shape": (64, c, size, size), "out": out, "kernel": kernel, "stride": stride, "dtype": dtype},
              {"shape": (2, 3, 6, 6), "out": 4, "kernel": kernel, "stride": stride, "dtype": dtype})
        for c, size, out, kernel, stride, dtype in (
            (64, 56, 64, 3, 1, "bfloat16"), (256, 14, 256, 3, 1, "bfloat16"), (3, 224, 64, 7, 2, "bfloat16"),
            (256, 56, 64, 1, 1, "bfloat16"), (64, 56, 64, 3, 1, "float32"),
        )
    ),
    *(
        Bench(f"adamw-{dtype}", adamw, {"blocks": 12, "width": 768, "rows": 50257, "positions": 1024, "dtype": dtype},
              {"blocks": 1, "width": 4, "rows": 9, "positions": 3, "dtype": dtype})
        for dtype in ("float32", "bfloat16")
    ),
]  # fmt: skip
