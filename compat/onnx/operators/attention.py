"""Attention, with the rotations of positions, and its linear kin, which keep a state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import weft

from ....layers import functional as F
from .elementwise import DTYPES, Attributes

__all__ = ["HOST", "OPERATORS", "flex_attention"]


def attention(attributes: Attributes, q: Any, k: Any, v: Any, *given: Any) -> Any:
    """Scores, mask, softmax, product, by the operator's own order; with a cache of earlier keys and values."""
    mask, past_k, past_v, ends = (*given, None, None, None, None)[:4]
    is_flat = q.ndim == 3
    if is_flat:
        heads, kv = attributes["q_num_heads"], attributes["kv_num_heads"]
        q, k, v = _heads(q, heads), _heads(k, kv), _heads(v, kv)
    if past_k is not None:
        k, v = weft.concat([past_k, k], axis=2), weft.concat([past_v, v], axis=2)
    scale = attributes.get("scale") or 1 / math.sqrt(q.shape[-1])
    is_changed = (
        attributes.get("softcap") or max(attributes.get(f"{side}_window_size", -1) for side in ("left", "right")) >= 0
    )
    has_mask_of_its_own = mask is not None and (mask.dtype not in (np.bool_, q.dtype) or mask.shape[-1] != k.shape[2])
    if past_k is None and ends is None and attributes["outputs"] < 4 and not is_changed and not has_mask_of_its_own:
        y = F.scaled_dot_product_attention(
            q, k, v, mask, 0.0, bool(attributes.get("is_causal", 0)), scale, enable_gqa=True
        )
        return (_side_by_side(y) if is_flat else y), k, v
    present, k, v = (k, v), grouped(k, q.shape[1]), grouped(v, q.shape[1])
    work = weft.float32 if q.dtype.itemsize < 4 else q.dtype
    root = math.sqrt(scale)
    scores = weft.matmul(q.astype(work) * root, weft.matrix_transpose(k.astype(work)) * root)
    seen, mode, cap = [scores], attributes.get("qk_matmul_output_mode", 0), attributes.get("softcap", 0.0)
    scores = cap * weft.tanh(scores / cap) if cap else scores  # before the mask, whose −∞ stays
    bias = _bias(attributes, mask, scores, 0 if past_k is None else past_k.shape[2], ends)
    masked = scores if bias is None else scores + bias
    if bias is None:
        p = F.softmax(masked, -1)
    else:  # who attends to nobody gets zeros, whatever his scores are
        is_alone = weft.max(bias, axis=-1, keepdims=True) == -math.inf
        p = F.softmax(weft.where(is_alone, weft.zeros_like(masked), masked), -1)
        p = weft.where(is_alone, weft.zeros_like(p), p)
    seen += [scores, masked, p]
    y = weft.matmul(p, v.astype(work)).astype(v.dtype)
    return (_side_by_side(y) if is_flat else y, *present, seen[mode].astype(q.dtype))


def grouped(x: Any, heads: int) -> Any:
    """Keys or values (N, H, …) as those of so many heads, of which neighbours share one."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], 1)


def _heads(x: Any, heads: int) -> Any:
    n, length, width = x.shape
    return weft.permute_dims(weft.reshape(x, (n, length, heads, width // heads)), (0, 2, 1, 3))


def _side_by_side(y: Any) -> Any:
    n, heads, length, width = y.shape
    return weft.reshape(weft.permute_dims(y, (0, 2, 1, 3)), (n, length, heads * width))


def _bias(attributes: Attributes, mask: Any, scores: Any, past: int, ends: Any) -> Any:
    """What is added to the scores: −∞ where a key takes no part, because of the mask, the order, a window or padding."""
    rows, columns = scores.shape[-2:]
    bias = None
    if mask is not None:
        if mask.dtype == np.bool_:
            none = weft.full(mask.shape, -math.inf, dtype=scores.dtype, device=mask.device)
            bias = weft.where(mask, weft.zeros_like(none), none)
        else:
            bias = mask.astype(scores.dtype)
        if bias.shape[-1] < columns:
            bias = F.pad(bias, (0, columns - bias.shape[-1]), value=-math.inf)
    # how far a key is ahead of the query, whose place is counted in all keys: per sample, where their numbers differ
    offset = past if ends is None or past else (np.asarray(ends) - rows)[:, None, None, None]
    ahead = np.arange(columns)[None, :] - np.arange(rows)[:, None] - offset
    left, right = attributes.get("left_window_size", -1), attributes.get("right_window_size", -1)
    hidden = (ahead > 0) & bool(attributes.get("is_causal", 0))
    hidden = hidden | ((ahead > right) & (right >= 0)) | ((-ahead > left) & (left >= 0))
    if ends is not None:
        hidden = hidden | (np.arange(columns) >= np.asarray(ends)[:, None, None, None])
    if hidden.any():
        away = weft.asarray(np.where(hidden, -math.inf, 0.0).astype(scores.dtype), device=scores.device)
        bias = away if bias is None else bias + away
    return bias


def flex_attention(
    attributes: Attributes, q: Any, k: Any, v: Any, scored: Callable[..., Any], weighed: Callable[..., Any]
) -> Any:
    """softmax(scale Q Kᵀ) V, scores and probabilities changed by a function each."""
    work: Any = weft.float32 if q.dtype.itemsize < 4 else q.dtype
    work = DTYPES[attributes["softmax_precision"]] if "softmax_precision" in attributes else work
    k, v = (grouped(x, q.shape[1]).astype(work) for x in (k, v))
    scores = weft.matmul(q.astype(work), weft.matrix_transpose(k)) * attributes.get("scale", q.shape[-1] ** -0.5)
    return weft.matmul(weighed(F.softmax(scored(scores), -1)), v).astype(q.dtype)


def rotary(attributes: Attributes, x: Any, cosine: Any, sine: Any, positions: Any = None) -> Any:
    """Pairs of elements turned by angles of their positions; pairs are halves, or neighbours if interleaved."""
    is_flat = x.ndim == 3
    heads = attributes.get("num_heads", 0)
    four = _heads(x, heads) if is_flat else x
    size = attributes.get("rotary_embedding_dim", 0) or four.shape[-1]
    if positions is not None:
        cosine, sine = (weft.reshape(weft.take(t, weft.reshape(positions, (-1,)), axis=0), (*positions.shape, -1))
                        for t in (cosine, sine))  # fmt: skip
    cosine, sine = (weft.expand_dims(t, axis=1) for t in (cosine, sine))
    turned, rest = four[..., :size], four[..., size:]
    if attributes.get("interleaved", 0):
        a, b = turned[..., 0::2], turned[..., 1::2]
    else:
        a, b = turned[..., : size // 2], turned[..., size // 2 :]
    real, imaginary = cosine * a - sine * b, sine * a + cosine * b
    if attributes.get("interleaved", 0):
        turned = weft.reshape(weft.stack([real, imaginary], axis=-1), turned.shape)
    else:
        turned = weft.concat([real, imaginary], axis=-1)
    y = weft.concat([turned, rest], axis=-1)
    return weft.reshape(weft.permute_dims(y, (0, 2, 1, 3)), x.shape) if is_flat else y


def linear_attention(
    attributes: Attributes, q: Any, k: Any, v: Any, state: Any = None, decay: Any = None, beta: Any = None
) -> Any:
    """S = e^g S + k ⊗ v, y = scale · qᵀ S; a delta rule writes β (v − Sᵀ k) for v. Step by step, at least in float32."""
    heads, kv = attributes["q_num_heads"], attributes["kv_num_heads"]
    n, time, dtype = q.shape[0], q.shape[1], q.dtype
    kept, work = dtype if state is None else state.dtype, weft.float32 if dtype.itemsize < 4 else dtype
    q, k, v = (_heads(x, h).astype(work) for x, h in ((q, heads), (k, kv), (v, kv)))
    scale = attributes.get("scale") or 1 / math.sqrt(q.shape[-1])
    if state is None:
        state = weft.zeros((n, kv, k.shape[-1], v.shape[-1]), dtype=work, device=q.device)
    else:
        state = state.astype(work)
    if decay is not None:  # of each head, or of each of its keys
        decay = weft.exp(_heads(decay, kv).astype(work))[..., None]
    if beta is not None:  # of each head, or of all
        beta = _heads(beta, beta.shape[-1]).astype(work)
    steps = []
    for t in range(time):
        if decay is not None:
            state = state * decay[:, :, t]
        write = v[:, :, t]
        if beta is not None:
            write = beta[:, :, t] * (write - weft.sum(state * k[:, :, t, :, None], axis=-2))
        state = state + k[:, :, t, :, None] * write[..., None, :]
        steps.append(scale * weft.sum(grouped(state, heads) * q[:, :, t, :, None], axis=-2))
    y = weft.reshape(weft.stack(steps, axis=1), (n, time, -1))
    return y.astype(dtype), state.astype(kept)


def causal_conv(attributes: Attributes, x: Any, weight: Any, bias: Any = None, past: Any = None) -> Any:
    """Each channel of x (N, C, L) by a window of its own that ends where it stands; the state is what the next one needs."""
    before = weight.shape[-1] - 1
    if past is None:
        past = weft.zeros((*x.shape[:2], before), dtype=x.dtype, device=x.device)
    whole = weft.concat([past, x], axis=-1)
    y = F.conv1d(whole, weight, bias, groups=x.shape[1])
    y = y if attributes.get("activation", b"none") == b"none" else F.silu(y)
    return y, whole[..., whole.shape[-1] - before :]


OPERATORS: dict[str, Callable[..., Any]] = {
    "Attention": attention, "CausalConvWithState": causal_conv, "LinearAttention": linear_attention, "RotaryEmbedding": rotary,
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = {"Attention": (6,)}
