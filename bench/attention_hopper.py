"""Launchers of `attention_hopper.cu` and `attention_hopper_backward.cu`: as `kernels.attention`, for the cases they cover."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..kernels import attention
from ..kernels.attention import OPTIONS, PAD, _loadable, _rows_of_heads, _sizes
from ..kernels.toolchain.launch import HALVES, Kernel, empty, library_of
from ..kernels.toolchain.tensor_map import TensorMap

__all__ = ["KERNELS", "agrees", "backward", "forward", "suits", "works"]

ROWS = 128  # of a block
QUERIES = 64  # that pass by in backward
WIDTHS = (64, 128)
FOLDER = Path(__file__).resolve().parent
_forward = Kernel(FOLDER / "attention_hopper.cu", "attention_forward_hopper", HALVES, WIDTHS, options=OPTIONS)
_backward = Kernel(
    FOLDER / "attention_hopper_backward.cu", "attention_backward_hopper", HALVES, WIDTHS, options=OPTIONS
)
KERNELS = (_forward, _backward)


def suits(query: Any, value: Any) -> bool:
    """Whether these take arrays like them, on a Hopper GPU, if there is no mask other than the causal one."""
    return query.dtype in HALVES and max(query.shape[-1], value.shape[-1]) <= WIDTHS[-1]


def forward(query: Any, key: Any, value: Any, *, scale: float, is_causal: bool) -> tuple[Any, Any]:
    """(out, lse) of query (B, H, L, E), key (B, G, S, E) and value (B, G, S, Eᵥ), lse = ln Σⱼ exp(scoreⱼ)."""
    inputs = [_loadable(x) for x in (query, key, value)]
    b, h, length, _ = query.shape
    out = _rows_of_heads(b, h, length, inputs[2].shape[-1], like=query)
    lse = empty((b, h, -(-length // PAD) * PAD), np.float32, like=query)
    width, (heads, group, *lengths, _, value_width) = _tile_width(inputs), _sizes(inputs)
    some = [x if x.size else inputs[0] for x in inputs]  # a map must be of something, even if no box is copied
    _forward[query.dtype, width](
        b * h * -(-length // ROWS),
        384,
        *(TensorMap(x, ROWS) for x in some),
        out,
        lse,
        heads,
        group,
        *lengths,
        value_width,
        np.float32(scale),
        np.bool_(is_causal),
        shared=5 * ROWS * width * 2 + 1024,
    )
    return out[..., : value.shape[-1]], lse


def backward(
    grad_out: Any, query: Any, key: Any, value: Any, out: Any, lse: Any, *, scale: float, is_causal: bool
) -> tuple[Any, Any, Any]:
    """The gradients of query, key and value, shaped like them, for `out` and `lse` of `forward`; the same bits every time."""
    inputs = q, k, v = [_loadable(x) for x in (query, key, value)]
    out, g = _loadable(out), _loadable(grad_out)
    (b, h, length, width), (_, kv, keys, _), value_width = q.shape, k.shape, v.shape[-1]
    delta = attention.row_products(out, g, lse.shape[-1])
    xp = library_of(query)
    sums, grad_query = xp.zeros((b, length, h, width), np.float32), _rows_of_heads(b, h, length, width, like=query)
    turns, ticket = xp.zeros(b * h * -(-length // QUERIES) * 2, np.int32), xp.zeros(1, np.int32)
    grad_key = _rows_of_heads(b, kv, keys, width, like=query)
    grad_value = _rows_of_heads(b, kv, keys, value_width, like=query)
    tile = _tile_width(inputs)
    if keys:
        _backward[query.dtype, tile](
            b * kv * -(-keys // ROWS),
            384,
            *(TensorMap(x, rows) for x, rows in ((q, QUERIES), (k, ROWS), (v, ROWS), (g, QUERIES))),
            lse,
            delta,
            sums,
            grad_key,
            grad_value,
            turns,
            ticket,
            *_sizes(inputs),
            np.float32(scale),
            np.bool_(is_causal),
            shared=(2 * ROWS + 4 * QUERIES) * tile * 2 + 4 * ROWS * QUERIES + 1024,
        )
    attention.round_sums(sums, grad_query)
    widths = (query.shape[-1], key.shape[-1], value.shape[-1])
    return tuple(x[..., :n] for x, n in zip((grad_query, grad_key, grad_value), widths))  # type: ignore[return-value]


# --- on a GPU that they have not met ----------------------------------------------------------------------------------
@functools.cache
def works(seconds: float = 60) -> bool:
    """Whether these end on this GPU, and agree with the kernels that ship.

    They are tried in a process of its own, since one whose kernel never ends is lost.
    """
    try:
        tried = subprocess.run([sys.executable, "-m", __name__], timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return False
    return tried.returncode == 0


def agrees(xp: Any) -> bool:
    """Whether these and `kernels.attention` compute the same, but for rounding, on NumPy's arrays (in the emulator) or CuPy's."""
    rng = np.random.default_rng(0)
    for causal in (False, True):
        q, k, v, g = (xp.asarray(rng.standard_normal((1, 2, 300, 128)).astype(np.float16)) for _ in range(4))
        out, lse = forward(q, k, v, scale=0.1, is_causal=causal)
        found = out, *backward(g, q, k, v, out, lse, scale=0.1, is_causal=causal)
        options = attention.Options(0.1, causal)
        out, statistics = attention.forward(q, k, v, None, options)
        shipped = out, *attention.backward(g, q, k, v, None, out, statistics, options, need=(True,) * 3)
        for one, other in zip(found, shipped):
            apart = abs(one.astype(np.float32) - other.astype(np.float32)).max()
            if not apart <= 0.01 * abs(other.astype(np.float32)).max():  # NaN is no agreement
                return False
    return True


def _tile_width(inputs: list) -> int:
    return next(w for w in WIDTHS if w >= max(x.shape[-1] for x in inputs))


if __name__ == "__main__":
    import cupy

    sys.exit(not agrees(cupy))
