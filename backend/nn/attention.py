"""Scaled dot-product attention: every query's weighted mean of the values, by how well their keys match it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..array.elementwise import unbroadcast
from ..array.info import finfo
from ..array.random import BlockRange, Generator
from ..device import dtypes
from ..device.gemm import gemm
from ..tape.autograd import primitive
from .dropout import rescale

__all__ = [
    "attention_up_to",
    "block_count",
    "bounded",
    "default_scale",
    "drop_threshold",
    "kept",
    "reserve",
    "scaled_dot_product_attention",
    "split_heads",
]

DRAWS = 16  # neighbouring keys of one query share a block of the random stream, with 16 bits for each


def block_count(shape: tuple[int, ...]) -> int:
    """How many blocks of the random stream dropout of probabilities (B, H, L, S) uses: whole ones for each query."""
    return math.prod(shape[:-1]) * -(-shape[-1] // DRAWS)


def reserve(generator: Generator, shape: tuple[int, ...]) -> BlockRange:
    """The blocks of a generator's stream that decide which probabilities (B, H, L, S) are dropped."""
    return generator.reserve_rows(shape[0], 4 * block_count((1, *shape[1:])), dtypes.uint64)


def drop_threshold(p: float) -> int:
    """What a draw of 16 bits must be less than for its element to stay, with probability 1 − p."""
    return round((1 - p) * 2**16)


def kept(blocks: BlockRange, shape: tuple[int, ...], p: float) -> np.ndarray:
    """Which probabilities (B, H, L, S) are not dropped: draw j % 16 of block ⌈S/16⌉ · ((b H + h) L + i) + ⌊j/16⌋ says so.

    Draw k of a block is bits 16 (k % 4) and up of its word ⌊k/4⌋.
    """
    draws = blocks.words(4 * block_count(shape)).astype("<u8", copy=False).view("<u2")
    return (draws < drop_threshold(p)).reshape(*shape[:-1], -(-shape[-1] // DRAWS) * DRAWS)[..., : shape[-1]]


@primitive(precision="low")
def scaled_dot_product_attention(
    xp: Any,
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    /,
    *,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    blocks: BlockRange | None = None,
) -> Any:
    """O = D(P) V, P = softmax(scale · Q Kᵀ + mask). Vaswani et al. (2017).

    query (B, H, L, E), key (B, G, S, E), value (B, G, S, Eᵥ) → (B, H, L, Eᵥ). H is a multiple of G: query head h attends
    to key head ⌊h G/H⌋ (Ainslie et al., 2023). `attn_mask` broadcasts to (B, H, L, S): booleans, True where a key takes
    part, or numbers to be added. `is_causal`: key j takes part for query i if j ≤ i. A query that no key takes part for
    gets 0, and gives no gradient. `scale=None` is 1/√E. D sets to 0 what is not `kept` by the draws of `blocks`, and
    multiplies the rest by 1/(1 − dropout_p).

    With dS = P ∘ (dP − Σⱼ P ∘ dP): grad_Q = scale · dS K, grad_K = scale · dSᵀ Q, grad_V = D(P)ᵀ g, dP = D(g Vᵀ).

    >>> q = weft.zeros((1, 1, 2, 4))
    >>> v = weft.tensor([[[[1.0], [2.0]]]])
    >>> weft.backend.nn.attention.scaled_dot_product_attention(q, q, v, is_causal=True).flatten()
    tensor([1. , 1.5])
    """
    b, h, length, width = query.shape
    g, keys = key.shape[1:3]
    scale = default_scale(width) if scale is None else scale
    full = (b, h, length, keys)
    rows = (b, g, h // max(1, g) * length)  # those of the heads that share keys make one matrix
    q = _times(xp, xp.reshape(query, (*rows, width)), scale)
    scores = xp.reshape(gemm(xp, q, xp.matrix_transpose(key)), full)
    p = xp.reshape(_probabilities(xp, scores, attn_mask, is_causal), (*rows, keys))
    drop: Callable = lambda x: x
    if dropout_p and blocks is not None:
        keep = xp.asarray(kept(blocks, full, dropout_p), device=query.device)
        factor = _times(xp, xp.reshape(xp.astype(keep, p.dtype), p.shape), rescale(dropout_p))
        drop = lambda x: x * factor

    def vjp(grad: Any, need: Any, into: Any) -> tuple:
        grad = xp.reshape(grad, (*rows, value.shape[-1]))
        grad_query = grad_key = grad_value = grad_mask = None
        if need[2]:
            grad_value = gemm(xp, xp.matrix_transpose(drop(p)), grad)
        if any((*need[:2], *need[3:])):
            grad_p = p * drop(gemm(xp, grad, xp.matrix_transpose(value)))
            grad_scores = grad_p - p * xp.sum(grad_p, axis=-1, keepdims=True)
            if need[0]:
                grad_query = xp.reshape(_times(xp, gemm(xp, grad_scores, key), scale), query.shape)
            if need[1]:
                grad_key = gemm(xp, xp.matrix_transpose(grad_scores), q)
            if any(need[3:]):
                grad_mask = unbroadcast(xp, xp.reshape(grad_scores, full), attn_mask)
        return grad_query, grad_key, grad_value, grad_mask

    return xp.reshape(gemm(xp, drop(p), value), (b, h, length, value.shape[-1])), vjp


@primitive(precision="low")
def attention_up_to(
    xp: Any, query: Any, key: Any, value: Any, attn_mask: Any, place: Any, /, *, scale: float | None = None
) -> Any:
    """`scaled_dot_product_attention` of one query to the keys in the places 0 … `place`: memory behind is not filled yet.

    query (B, H, 1, E), key (B, G, S, E), value (B, G, S, Eᵥ), `attn_mask` None or booleans that broadcast to (B, H, 1, S),
    `place` (1,) of int64 → (B, H, 1, Eᵥ). What it is about is in memory alone: a recorded step can go on with it.

    >>> q, k = weft.zeros((1, 1, 1, 4)), weft.zeros((1, 1, 3, 4))
    >>> v = weft.tensor([[[[1.0], [2.0], [9.0]]]])
    >>> weft.backend.nn.attention.attention_up_to(q, k, v, None, weft.tensor([1])).item()
    1.5
    """
    there = xp.arange(key.shape[2], device=key.device) <= place
    mask = there if attn_mask is None else there & attn_mask
    y, vjp = scaled_dot_product_attention.generic(xp, query, key, value, mask, scale=scale)
    return y, lambda g, need, into: (*vjp(g, (*need[:3], False), into)[:3], None, None)


@primitive(returns=tuple, rounds_once=True)
def split_heads(xp: Any, x: Any, /, *, parts: int, heads: int, batch_first: bool = True) -> Any:
    """The `parts` of x (N, L, parts·H·D), or (L, N, parts·H·D), as arrays (N, H, L, D): those of a joint projection.

    They are views of x, and their gradients go into one array.

    >>> q, k, v = weft.backend.nn.attention.split_heads(weft.zeros((2, 5, 24)), parts=3, heads=4)
    >>> q.shape
    (2, 4, 5, 2)
    """
    there, back = ((2, 0, 3, 1, 4), (0, 2, 1, 3)) if batch_first else ((2, 1, 3, 0, 4), (2, 0, 1, 3))
    apart = xp.reshape(x, (*x.shape[:2], parts, heads, x.shape[2] // (parts * heads)))
    taken = xp.permute_dims(apart, there)
    return tuple(taken[i, ...] for i in range(parts)), (
        lambda g: xp.reshape(xp.stack([xp.permute_dims(part, back) for part in g], axis=2), x.shape),
    )


def default_scale(width: int) -> float:
    """1/√E: scores then have the variance of one product of components, whatever the size of the heads."""
    return 1 / math.sqrt(width) if width else 1.0


def _times(xp: Any, x: Any, number: float) -> Any:
    """x · number in the dtype of x, which NumPy's bfloat16 would lose."""
    y = x * number
    return y if y.dtype == x.dtype else xp.astype(y, x.dtype)


def _probabilities(xp: Any, scores: Any, mask: Any, causal: bool) -> Any:
    """softmax(scores + mask) over the last axis; 0 in rows where no key takes part. Half precision is computed in float32.

    Sums in it would turn a mask's least number into −∞ for some keys and not for others.
    """
    length, keys = scores.shape[-2:]
    if not keys:
        return scores
    if dtypes.of(scores).itemsize < 4:
        if mask is not None and not dtypes.is_integral(mask.dtype):
            mask = xp.astype(bounded(xp, mask, scores.dtype), xp.float32)
        return xp.astype(_probabilities(xp, xp.astype(scores, xp.float32), mask, causal), scores.dtype)
    if causal:
        place = xp.arange(max(length, keys), device=scores.device)
        scores = _where(xp, place[:keys] <= place[:length, None], scores)
    if mask is not None:
        if dtypes.is_integral(mask.dtype):  # added, too: NaN stays NaN, as in PyTorch
            mask = _where(xp, mask, xp.zeros(mask.shape, dtype=scores.dtype, device=scores.device))
        scores = scores + bounded(xp, mask, scores.dtype)
    top = xp.max(scores, axis=-1, keepdims=True)
    e = xp.exp(scores - xp.where(top == -math.inf, xp.zeros_like(top), top))
    total = xp.sum(e, axis=-1, keepdims=True)
    return e / xp.where(total == 0, xp.ones_like(total), total)


def bounded(xp: Any, mask: Any, dtype: Any) -> Any:
    """A mask of numbers in another dtype: what is finite stays finite, as −∞ alone says that a key takes no part."""
    if mask.dtype == dtype:
        return mask
    if finfo(dtype).max < finfo(dtypes.of(mask)).max:
        top = finfo(dtype).max
        mask = xp.where(xp.isinf(mask), mask, xp.clip(mask, -top, top))
    return xp.astype(mask, dtype)


def _where(xp: Any, condition: Any, scores: Any) -> Any:
    return xp.where(condition, scores, xp.full_like(scores, -math.inf))
