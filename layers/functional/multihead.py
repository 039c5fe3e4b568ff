"""Attention with several heads and its projections, with PyTorch's name and signature."""

from __future__ import annotations

import math
from typing import Any

from ...backend.array.creation import full, ones, triu, zeros
from ...backend.array.elementwise import logical_not, logical_or
from ...backend.array.indexing import where
from ...backend.array.manipulation import (
    astype,
    broadcast_to,
    concat,
    expand_dims,
    matrix_transpose,
    permute_dims,
    reshape,
)
from ...backend.array.products import matmul
from ...backend.device.dtypes import bool as boolean
from ...backend.device.dtypes import float32, float64, is_real_floating
from ...backend.modes.autocast import is_autocast_enabled
from ...backend.nn.attention import split_heads
from ...backend.tape.tensor import Tensor
from . import _check as check
from .activation import softmax
from .attention import scaled_dot_product_attention
from .dropout import dropout
from .linear import linear

__all__ = ["multi_head_attention_forward"]


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    *,
    batch_first: bool = False,
    cache: Any = None,
) -> tuple[Tensor, Tensor | None]:
    """What `MultiheadAttention` computes: headᵢ = attention(Q Wᵢ, K Wᵢ, V Wᵢ), side by side, times the output's weight.

    Parameters
    ----------
    query : Tensor
        Q, (L, N, E), or (L, E) without a batch.
    key : Tensor
        K, (S, N, E_k), or (S, E_k).
    value : Tensor
        V, (S, N, E_v), or (S, E_v).
    embed_dim_to_check : int
        E.
    num_heads : int
        H, a divisor of E.
    in_proj_weight : Tensor, optional
        The weights of the three projections, one below the other, (3E, E).
    in_proj_bias : Tensor, optional
        Their biases, (3E,).
    bias_k : Tensor, optional
        A key that is put behind all others, (1, 1, E).
    bias_v : Tensor, optional
        Its value, (1, 1, E).
    add_zero_attn : bool
        Whether a key and a value of zeros are put behind all others.
    dropout_p : float
        Probability that an attention weight is dropped in training.
    out_proj_weight : Tensor
        (E, E).
    out_proj_bias : Tensor, optional
        (E,).
    training : bool, default True
        Whether there is dropout.
    key_padding_mask : Tensor, optional
        (N, S), or (S,): True where a key takes no part, or numbers that are added.
    need_weights : bool, default True
        Whether the attention weights are wanted, which takes memory for all of them.
    attn_mask : Tensor, optional
        (L, S), or (N·H, L, S) with index n·H + h: True where a key takes *no* part, or numbers that are added.
    use_separate_proj_weight : bool, default False
        Whether the three following weights are used, not `in_proj_weight`.
    q_proj_weight : Tensor, optional
        (E, E).
    k_proj_weight : Tensor, optional
        (E, E_k).
    v_proj_weight : Tensor, optional
        (E, E_v).
    static_k : Tensor, optional
        Keys (N·H, S, E/H) in the place of the projected ones.
    static_v : Tensor, optional
        Values (N·H, S, E/H) in the place of the projected ones.
    average_attn_weights : bool, default True
        Whether weights are averaged over the heads.
    is_causal : bool, default False
        Says that `attn_mask`, which must be there, is the causal one; its numbers are then not read if they need not be.
        With a `cache`, which knows how many keys went before, no mask is needed.
    batch_first : bool, default False
        Whether the batch is the first axis of query, key, value and output (not in PyTorch).
    cache : LayerCache, optional
        Where keys and values of earlier calls are, and those of this one go; masks are for all of them (not in PyTorch).

    Returns
    -------
    tuple of Tensor and Tensor or None
        The output, shaped like `query`; the weights (N, L, S) or (N, H, L, S), (L, S) or (H, L, S) without a batch,
        None unless `need_weights`.

    Raises
    ------
    TypeError
        If dtypes differ, or a mask is neither boolean nor of a floating-point dtype.
    ValueError
        If shapes do not fit, or `is_causal` comes without a mask.

    Notes
    -----
    Where no key takes part, weights are NaN, as in PyTorch; without `need_weights` such a query gets `out_proj_bias`.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x, w = weft.randn(5, 2, 4), weft.randn(12, 4)
    >>> F.multi_head_attention_forward(x, x, x, 4, 2, w, None, None, None, False, 0.0, weft.eye(4), None)[1].shape
    (2, 5, 5)
    """
    _check_inputs(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight, batch_first)
    batched = query.ndim == 3
    if not batched:
        query, key, value = _with_batch(query, key, value)
        key_padding_mask = None if key_padding_mask is None else expand_dims(key_padding_mask, axis=0)
        batch_first = True
    weights = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else in_proj_weight
    full = _full_shape(query, key, static_k, num_heads, batch_first, cache)
    masks = [_checked_mask(attn_mask, query, full), _checked_padding(key_padding_mask, query, full)]
    extended = bias_k is not None or add_zero_attn
    # masks before projections, which put keys into the cache: a call that is refused must leave it as it was
    causal = bool(is_causal) and _is_causal(masks, need_weights, extended, full, query.device, cache)
    q, k, v = _projected(query, key, value, weights, in_proj_bias, num_heads, batch_first, cache)
    if static_k is not None:
        k = _static("static_k", static_k, q)
    if static_v is not None:
        v = _static("static_v", static_v, q)
    if bias_k is not None and bias_v is not None:
        biases = [
            _bias_of_heads(*row, num_heads, embed_dim_to_check) for row in (("bias_k", bias_k), ("bias_v", bias_v))
        ]
        k, v, masks = _append(k, v, masks, *biases)
    if add_zero_attn:
        nothing = zeros((1, num_heads, 1, q.shape[3]), dtype=k.dtype, device=k.device)
        k, v, masks = _append(k, v, masks, nothing, nothing)
    mask = None if causal else _merged(masks, q, need_weights)
    p = dropout_p if training else 0.0
    if need_weights:
        out, attn = _weighted(q, k, v, mask, p, average_attn_weights)
    else:
        out, attn = scaled_dot_product_attention(q, k, v, mask, p, causal), None
    out = permute_dims(out, (0, 2, 1, 3) if batch_first else (2, 0, 1, 3))
    out = linear(reshape(out, (*out.shape[:2], embed_dim_to_check)), out_proj_weight, out_proj_bias)
    return (out, attn) if batched else (out[0, ...], None if attn is None else attn[0, ...])


# --- queries, keys and values -----------------------------------------------------------------------------------------
def _check_inputs(
    query: Tensor, key: Tensor, value: Tensor, embed_dim: int, heads: int, separate: bool, batch_first: bool
) -> None:
    for name, x in (("query", query), ("key", key), ("value", value)):
        check.floating(name, x)
        check.same_dtype(name, x, "query", query)
        if x.ndim not in (2, 3) or x.ndim != query.ndim:
            shapes = f"{tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}"
            raise ValueError(
                f"`query`, `key` and `value` must have shape (length, batch, width) or, without a batch, (length, width), "
                f"got {shapes}"
            )
    if query.shape[-1] != embed_dim or embed_dim % heads:
        raise ValueError(
            f"`query` must have the width embed_dim = {embed_dim}, a multiple of num_heads = {heads}, "
            f"got shape {tuple(query.shape)}"
        )
    if key.shape[:-1] != value.shape[:-1] or not (separate or key.shape[-1] == value.shape[-1] == embed_dim):
        wanted = "the length and batch of `key`" if separate else f"the shape of `key`, with the width {embed_dim}"
        raise ValueError(f"`value` must have {wanted}, got {tuple(value.shape)} and {tuple(key.shape)}")
    axis = 0 if batch_first else 1
    if query.ndim == 3 and key.shape[axis] != query.shape[axis]:
        raise ValueError(
            f"`key` must have the batch of `query`, {query.shape[axis]}, as axis {axis}, got shape {tuple(key.shape)}"
        )


def _full_shape(
    query: Tensor, key: Tensor, static_k: Tensor | None, heads: int, batch_first: bool, cache: Any
) -> tuple[int, int, int, int]:
    """(N, H, L, S), S being all keys: those of the cache, too."""
    n, length = query.shape[:2] if batch_first else query.shape[1::-1]
    keys = key.shape[1 if batch_first else 0] if static_k is None or static_k.ndim != 3 else static_k.shape[1]
    if cache is not None and static_k is None:
        keys = cache.length if cache.is_complete else cache.length + keys
    return n, heads, length, keys


def _with_batch(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """With a batch axis of 1 in front; what was one tensor stays one."""
    wide = {id(x): expand_dims(x, axis=0) for x in (query, key, value)}
    return wide[id(query)], wide[id(key)], wide[id(value)]


def _projected(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weights: Any,
    bias: Tensor | None,
    heads: int,
    batch_first: bool,
    cache: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """The projections (N, H, length, E/H), by as few products as there are inputs; with what the cache has in front."""
    e = query.shape[-1]

    def project(x: Tensor, first: int, last: int) -> tuple[Tensor, ...]:
        parts = last - first
        if isinstance(weights, tuple):
            weight = weights[first]
        else:
            weight = weights if parts == 3 else weights[first * e : last * e, :]
        b = bias if bias is None or parts == 3 else bias[first * e : last * e]
        return split_heads(linear(x, weight, b), parts=parts, heads=heads, batch_first=batch_first)

    packed = not isinstance(weights, tuple)
    if cache is not None and cache.is_complete:
        return (*project(query, 0, 1), *cache.contents())
    if packed and query is key is value:
        q, k, v = project(query, 0, 3)
    elif packed and key is value:
        q, k, v = *project(query, 0, 1), *project(key, 1, 3)
    else:
        q, k, v = *project(query, 0, 1), *project(key, 1, 2), *project(value, 2, 3)
    return (q, k, v) if cache is None else (q, *cache.append(k, v))


def _static(name: str, x: Tensor, q: Tensor) -> Tensor:
    n, heads, _, width = q.shape
    if x.ndim != 3 or x.shape[0] != n * heads or x.shape[2] != width:
        raise ValueError(f"`{name}` must have shape (N·H, S, E/H) = ({n * heads}, S, {width}), got {tuple(x.shape)}")
    return reshape(x, (n, heads, x.shape[1], width))


def _bias_of_heads(name: str, bias: Tensor, heads: int, width: int) -> Tensor:
    """(1, H, 1, E/H)."""
    if check.tensor(name, bias).shape not in ((width,), (1, 1, width)):
        raise ValueError(f"`{name}` must have shape (1, 1, E) or (E,) with E = {width}, got {tuple(bias.shape)}")
    return reshape(bias, (1, heads, 1, width // heads))


def _append(
    k: Tensor, v: Tensor, masks: list[Tensor | None], key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    """One more key, with its value (1, H, 1, E/H), behind all others: it takes part for every query."""
    shape = (*k.shape[:2], 1, k.shape[3])
    k, v = (concat([x, broadcast_to(one, shape)], axis=2) for x, one in ((k, key), (v, value)))
    more = [
        None if m is None else concat([m, zeros((*m.shape[:-1], 1), dtype=m.dtype, device=m.device)], axis=-1)
        for m in masks
    ]
    return k, v, more


# --- masks ------------------------------------------------------------------------------------------------------------
def _check_kind(name: str, mask: Tensor, query: Tensor) -> None:
    dtype = check.tensor(name, mask).dtype
    if dtype != boolean and not is_real_floating(dtype):
        raise TypeError(
            f"`{name}` must be boolean or of a floating-point dtype, got {dtype}; convert it: {name}.bool()"
        )
    if dtype not in (boolean, float32, query.dtype) and (dtype == float64 or not is_autocast_enabled()):
        raise TypeError(
            f"`{name}` must be boolean, float32 or of the dtype of `query`, {query.dtype}, got {dtype}; convert it: "
            f"{name}.to(weft.{query.dtype})"
        )


def _checked_mask(mask: Tensor | None, query: Tensor, full: tuple[int, int, int, int]) -> Tensor | None:
    """(1, 1, L, S) or (N, H, L, S)."""
    if mask is None:
        return None
    _check_kind("attn_mask", mask, query)
    n, heads, *shape = full
    if mask.shape == tuple(shape):
        return reshape(mask, (1, 1, *shape))
    if mask.shape != (n * heads, *shape):
        raise ValueError(
            f"`attn_mask` must have shape (L, S) = {tuple(shape)} or (N·H, L, S) = {(n * heads, *shape)}, got "
            f"{tuple(mask.shape)}"
        )
    return reshape(mask, full)


def _checked_padding(mask: Tensor | None, query: Tensor, full: tuple[int, int, int, int]) -> Tensor | None:
    """(N, 1, 1, S)."""
    if mask is None:
        return None
    _check_kind("key_padding_mask", mask, query)
    shape = (full[0], full[3])
    if mask.shape != shape:
        raise ValueError(f"`key_padding_mask` must have shape (N, S) = {shape}, got {tuple(mask.shape)}")
    return reshape(mask, (shape[0], 1, 1, shape[1]))


def _is_causal(
    masks: list[Tensor | None],
    need_weights: bool,
    extended: bool,
    full: tuple[int, int, int, int],
    device: str,
    cache: Any,
) -> bool:
    """Whether "key j ≤ i" replaces the mask; puts the causal mask of a query behind cached keys where there is none."""
    length, keys = full[2:]
    if masks[0] is None:
        if cache is None or cache.is_fixed:
            raise ValueError(
                "`attn_mask` must be given with is_causal=True, which is a hint about it, got None; make it by "
                "Transformer.generate_square_subsequent_mask(length)"
            )
        if length > 1:
            later = triu(ones((length, keys), dtype=boolean, device=device), k=keys - length + 1)
            masks[0] = reshape(later, (1, 1, length, keys))
    if cache is not None and (extended or length != keys):
        return False
    return masks[1] is None and not need_weights


def _merged(masks: list[Tensor | None], q: Tensor, additive: bool) -> Tensor | None:
    """One mask: True where a key takes part, if none is made of numbers and they need not be; else what is added."""
    there = [m for m in masks if m is not None]
    if not there:
        return None
    if not additive and all(m.dtype == boolean for m in there):
        return logical_not(there[0] if len(there) == 1 else logical_or(*there))
    numbers = [_as_numbers(m, q) for m in there]
    return numbers[0] if len(numbers) == 1 else numbers[0] + numbers[1]


def _as_numbers(mask: Tensor, q: Tensor) -> Tensor:
    if mask.dtype != boolean:
        return mask
    low = full((), -math.inf, dtype=q.dtype, device=q.device)
    return where(mask, low, zeros((), dtype=q.dtype, device=q.device))


# --- with the weights -------------------------------------------------------------------------------------------------
def _weighted(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, p: float, averaged: bool) -> tuple[Tensor, Tensor]:
    """The output (N, H, L, E/H) and the weights (N, H, L, S), or their mean over the heads, after dropout."""
    scores = matmul(q * math.sqrt(1 / q.shape[-1]), matrix_transpose(k))
    weights = softmax(scores if mask is None else scores + mask, dim=-1)
    if weights.dtype != v.dtype and not is_autocast_enabled():  # half precision with a mask in float32
        weights = astype(weights, v.dtype)
    weights = dropout(weights, p, training=p > 0)
    return matmul(weights, v), weights.mean(axis=1) if averaged else weights
