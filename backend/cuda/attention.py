"""Attention in tiles: what is kept for the backward pass grows with the sequences' lengths, not with their product."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels import attention as kernels
from ...kernels import attention_step
from ...kernels.toolchain.launch import FLOATS
from ..array.random import BlockRange
from ..device import devices
from ..device.determinism import are_deterministic_algorithms_enabled
from ..nn import attention as primitives
from ..nn.dropout import rescale
from . import replaces


@replaces(primitives.scaled_dot_product_attention)
def scaled_dot_product_attention(
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
    """The gradient of an additive mask is as large as all scores: the generic form makes it."""
    if query.dtype not in FLOATS or not query.dtype == key.dtype == value.dtype or not query.shape[1]:
        return NotImplemented
    if max(query.shape[-1], value.shape[-1]) > kernels.WIDEST:
        return NotImplemented
    options = _options(query, key, dropout_p, is_causal, scale, blocks)
    if options is None:
        return NotImplemented
    mask = attn_mask
    if mask is not None and mask.dtype != np.bool_:
        mask = primitives.bounded(devices.namespace_of(mask), mask, query.dtype)
    statistics = None
    if query.shape[2] == 1 and key.size and not is_causal and options.threshold == 1 << 16:  # a step of generation
        out = attention_step.forward(query, key, value, mask, options.scale)
    else:
        out, statistics = kernels.forward(query, key, value, mask, options)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        if any(need[3:]):
            xp = devices.namespace_of(query)
            _, pull = primitives.scaled_dot_product_attention.generic(
                xp, query, key, value, attn_mask, dropout_p=dropout_p, is_causal=is_causal, scale=scale, blocks=blocks
            )
            return pull(g, need, into)
        fixed = are_deterministic_algorithms_enabled()
        kept = kernels.forward(query, key, value, mask, options) if statistics is None else (out, statistics)
        grads = kernels.backward(g, query, key, value, mask, *kept, options, need=need[:3], deterministic=fixed)
        return *grads, None

    return out, vjp


def _options(
    query: Any, key: Any, dropout_p: float, is_causal: bool, scale: float | None, blocks: BlockRange | None
) -> kernels.Options | None:
    """What the kernels are to do, None if they cannot count as far as the random stream goes."""
    scale = primitives.default_scale(query.shape[-1]) if scale is None else scale
    if not dropout_p or blocks is None:
        return kernels.Options(scale, is_causal)
    shape = (*query.shape[:3], key.shape[2])
    if blocks.counter + primitives.block_count(shape) >= 1 << 64:
        return None
    return kernels.Options(scale, is_causal, primitives.drop_threshold(dropout_p), rescale(dropout_p), blocks.stream)
