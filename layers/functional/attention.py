"""Attention, with PyTorch's name and signature; the formulas are in `backend/nn/attention.py`."""

from __future__ import annotations

import math

import numpy as np

from ...backend.array.manipulation import broadcast_to, repeat, reshape
from ...backend.array.random import default_generator
from ...backend.device.devices import namespace_of
from ...backend.device.dtypes import float32, is_real_floating
from ...backend.device.options import number
from ...backend.nn import attention as primitives
from ...backend.tape.autograd import _mode
from ...backend.tape.tensor import Tensor
from . import _check as check

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention, softmax(scale · Q Kᵀ + mask) V; leading axes broadcast.

    A query for which no key takes part gets 0. Gradients are those of the formula also for masks of −10⁹ or finfo.min for
    all keys of a query, where PyTorch's kernel for CPUs gives S times the gradient.

    Parameters
    ----------
    query : Tensor
        Q, (…, L, E).
    key : Tensor
        K, (…, S, E).
    value : Tensor
        V, (…, S, Eᵥ).
    attn_mask : Tensor, optional
        Broadcasts to (…, L, S): booleans, True where a key takes part, or numbers to be added: −∞ where a key takes no
        part. A finite number, however low, leaves a row in which it stands for every key a softmax of the sums.
        A float32 mask of half-precision queries is rounded to theirs; what is finite stays finite.
    dropout_p : float, default 0.0
        Probability that an attention weight is dropped, always: there is no `training` here.
    is_causal : bool, default False
        Whether key j takes part for query i only if j ≤ i; also beside a mask, for inputs of four axes.
    scale : float, optional
        1/√E unless given.
    enable_gqa : bool, default False
        Whether K and V (…, G, S, ·) may have fewer heads than Q (…, H, L, E), each for H/G neighbours.

    Returns
    -------
    Tensor
        (…, L, Eᵥ).

    Raises
    ------
    TypeError
        If dtypes differ, or a mask is neither boolean nor of the query's dtype (or float32).
    ValueError
        If shapes do not fit, `dropout_p` is outside [0, 1], or there are both a mask and `is_causal` for inputs that have not
        four axes (for which PyTorch raises, too).

    Notes
    -----
    On a GPU nothing of size L × S is ever in memory, except the gradient of an additive mask that requires one, for
    which the generic form runs.

    References
    ----------
    Vaswani et al., "Attention Is All You Need" (2017).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> q, k, v = weft.randn(2, 4, 5, 8), weft.randn(2, 4, 7, 8), weft.randn(2, 4, 7, 3)
    >>> F.scaled_dot_product_attention(q, k, v).shape
    (2, 4, 5, 3)
    """
    check.probability("dropout_p", dropout_p)
    if scale is not None:
        number("scale", scale)
    if attn_mask is None and not dropout_p and _fit(query, key, value):
        return primitives.scaled_dot_product_attention(query, key, value, None, is_causal=is_causal, scale=scale)
    _check_arguments(query, key, value, attn_mask, is_causal)
    lead, (q, k, v) = _by_heads(query, key, value, enable_gqa)
    full = (*q.shape[:3], key.shape[-2])
    mask = None if attn_mask is None else _mask_by_heads(attn_mask, (*lead, *full[2:]))
    if mask is not None and _mode.cast is not None and mask.dtype == float32:
        mask = primitives.bounded(namespace_of(mask), mask, _mode.cast.dtype)
    blocks = primitives.reserve(default_generator, full) if dropout_p else None
    y = primitives.scaled_dot_product_attention(
        q, k, v, mask, dropout_p=dropout_p, is_causal=is_causal, scale=scale, blocks=blocks
    )
    return y if len(lead) == 2 else reshape(y, (*lead, *y.shape[2:]))


def _fit(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether these are Tensors (B, H, ·, ·) of one dtype that need neither checks nor another shape: all that models pass."""
    try:
        q, k, v = query.data, key.data, value.data
        lead, (_, _, keys, width), dtype = q.shape[:2], k.shape, q.dtype
        return (
            q.shape[2:][1:] == (width,)
            and k.shape[:2] == lead
            and v.shape[:3] == (*lead, keys)
            and len(v.shape) == 4
            and k.dtype == dtype == v.dtype
            and is_real_floating(dtype)
        )
    except (AttributeError, ValueError):
        return False


def _check_arguments(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool) -> None:
    for name, x in (("query", query), ("key", key), ("value", value)):
        check.floating(name, x)
        if x.ndim < 2:
            raise ValueError(f"`{name}` must have shape (…, length, width), got {tuple(x.shape)}")
        check.same_dtype(name, x, "query", query)
    if key.shape[-1] != query.shape[-1]:
        raise ValueError(f"`key` must have the last axis of `query`, {query.shape[-1]}, got shape {tuple(key.shape)}")
    if value.shape[-2] != key.shape[-2]:
        raise ValueError(f"`value` must have the length of `key`, {key.shape[-2]}, got shape {tuple(value.shape)}")
    if mask is None:
        return
    dtype = check.tensor("attn_mask", mask).data.dtype
    if is_causal and not query.ndim == key.ndim == value.ndim == 4:
        raise ValueError(
            f"`attn_mask` must be None with is_causal=True, got shape {tuple(mask.shape)}; combine the two"
        )
    if str(dtype).rpartition(".")[2] not in ("bool", "float32") and dtype != query.data.dtype:
        raise TypeError(
            f"`attn_mask` must be boolean, float32 or of the dtype of `query`, {query.dtype}, got {dtype}; convert it"
        )


def _by_heads(query: Tensor, key: Tensor, value: Tensor, grouped: bool) -> tuple[tuple[int, ...], list[Tensor]]:
    """The axes before L of the result, and the three as (B, heads, length, width), those of key and value equal."""
    q, k, v = query.data.shape, key.data.shape, value.data.shape
    if len(q) == len(k) == len(v) == 4 and q[:2] == k[:2] == v[:2]:
        return q[:2], [query, key, value]
    batches, heads = zip(*((x.shape[:-3], x.shape[-3] if x.ndim > 2 else 1) for x in (query, key, value)))
    ndim = max(x.ndim for x in (query, key, value))
    try:
        batch = np.broadcast_shapes(*batches)
        most = heads[0] if grouped else np.broadcast_shapes(*((n,) for n in heads))[0]
    except ValueError:
        shapes = f"{tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}"
        hint = "" if grouped else " (or heads that divide those of `query`, with enable_gqa=True)"
        raise ValueError(
            f"`query`, `key` and `value` must have leading axes that broadcast{hint}, got {shapes}"
        ) from None
    if grouped:
        _check_groups(query, key, value)
    shared = heads[1] if heads[1] == heads[2] and (grouped or heads[1] == 1) else most
    tensors = [_expand(x, batch, n) for x, n in zip((query, key, value), (most, shared, shared))]
    full = (*batch, most)
    return full[len(full) + 2 - ndim :], tensors


def _check_groups(query: Tensor, key: Tensor, value: Tensor) -> None:
    for name, x in (("key", key), ("value", value)):
        if x.ndim < 3 or query.ndim < 3 or (query.shape[-3] % x.shape[-3] if x.shape[-3] else query.shape[-3]):
            raise ValueError(
                f"`{name}` must have heads (…, heads, length, width) that divide those of `query` with enable_gqa=True, "
                f"got {tuple(x.shape)} and {tuple(query.shape)}"
            )


def _expand(x: Tensor, batch: tuple[int, ...], heads: int) -> Tensor:
    """(B, heads, length, width), heads repeated in place and the rest broadcast."""
    length, width = x.shape[-2:]
    have = x.shape[-3] if x.ndim > 2 else 1
    if have not in (1, heads):
        x = repeat(x, heads // have, axis=-3)
    if x.shape[:-2] != (*batch, heads):
        x = broadcast_to(x, (*batch, heads, length, width))
    return x if len(batch) == 1 else reshape(x, (math.prod(batch), heads, length, width))


def _mask_by_heads(mask: Tensor, full: tuple[int, ...]) -> Tensor:
    """The mask with four axes, each of 1 or the length that the scores `full` have there."""
    padded = (1,) * (len(full) - mask.ndim) + tuple(mask.shape)
    if len(padded) != len(full) or any(n not in (1, m) for n, m in zip(padded, full)):
        raise ValueError(f"`attn_mask` must broadcast to (…, L, S) = {full}, got {tuple(mask.shape)}")
    padded = (1,) * (4 - len(padded)) + padded
    batch = padded[:-3]
    if any(n != 1 for n in batch) and len(batch) > 1:
        mask, batch = broadcast_to(mask, (*full[:-3], *padded[-3:])), full[:-3]
    shape = (math.prod(batch), *padded[-3:])
    return mask if mask.shape == shape else reshape(mask, shape)
