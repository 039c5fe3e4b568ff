"""Recurrent layers, and attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import weft

from ....layers import functional as F
from .elementwise import Attributes

__all__ = ["HOST", "OPERATORS"]

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {"tanh": weft.tanh, "sigmoid": F.sigmoid, "relu": F.relu}


def _functions(attributes: Attributes, default: list[str], directions: int) -> list[list[Callable[[Any], Any]]]:
    names = [name.decode().lower() for name in attributes.get("activations", [])] or default * directions
    if any(name not in _FUNCTIONS for name in names):
        raise NotImplementedError(f"`activations` must be of {', '.join(_FUNCTIONS)}, got {', '.join(names)}")
    count = len(default)
    return [[_FUNCTIONS[name] for name in names[d * count : (d + 1) * count]] for d in range(directions)]


def _rnn(attributes: Attributes, w: Any, b: Any, h: Any, c: Any, p: Any, f: Any) -> tuple[Any, Any]:
    return f[0](w + b), None


def _lstm(attributes: Attributes, w: Any, b: Any, h: Any, c: Any, p: Any, f: Any) -> tuple[Any, Any]:
    """Gates in the order i, o, f, c."""
    i, o, forget, new = (w + b).chunk(4, -1)
    pi, po, pf = (0, 0, 0) if p is None else p.chunk(3, -1)
    i, forget = f[0](i + pi * c), f[0](forget + pf * c)
    c = forget * c + i * f[1](new)
    return f[0](o + po * c) * f[2](c), c


def recurrent(gates: int, default: list[str]) -> Callable[..., Any]:
    """Step by step, in one or both directions; a sequence that has ended keeps its state and gives zeros."""

    def run(attributes: Attributes, x: Any, w: Any, r: Any, *given: Any) -> Any:
        bias, lengths, h0, c0, peep = (*given, None, None, None, None, None)[:5]
        for name in ("clip", "input_forget"):
            if attributes.get(name):
                raise NotImplementedError(f"`{name}` must be left out, got {attributes[name]}")
        x = weft.moveaxis(x, 0, 1) if attributes.get("layout", 0) else x
        if attributes.get("layout", 0):
            h0, c0 = (s if s is None else weft.moveaxis(s, 0, 1) for s in (h0, c0))
        time, batch, _ = x.shape
        directions, size = r.shape[0], r.shape[-1]
        way = attributes.get("direction", b"forward").decode()
        functions = _functions(attributes, default, directions)
        ends = np.full(batch, time) if lengths is None else np.asarray(lengths)
        outputs, last_h, last_c = [], [], []
        for d in range(directions):
            backward = way == "reverse" or d == 1
            wb, rb = (None, None) if bias is None else (bias[d][: gates * size], bias[d][gates * size :])
            zero = weft.zeros((batch, size), dtype=x.dtype, device=x.device)
            h = zero if h0 is None else h0[d]
            c = zero if c0 is None else c0[d]
            p = None if peep is None else peep[d]
            steps = [zero] * time
            for t in reversed(range(time)) if backward else range(time):
                product = weft.matmul(x[t], w[d].T) + (0 if wb is None else wb)
                new_h, new_c = _step(gates, attributes, product, h, c, r[d], rb, p, functions[d])
                if (ends <= t).any():
                    alive = weft.asarray((t < ends)[:, None], device=x.device)
                    steps[t] = weft.where(alive, new_h, zero)
                    new_h = weft.where(alive, new_h, h)
                    new_c = new_c if new_c is None else weft.where(alive, new_c, c)
                else:
                    steps[t] = new_h
                h, c = new_h, new_c
            outputs.append(weft.stack(steps, axis=0))
            last_h.append(h)
            last_c.append(c)
        y = weft.stack(outputs, axis=1)  # (time, directions, batch, size)
        found = [y, weft.stack(last_h, axis=0)] + ([weft.stack(last_c, axis=0)] if gates == 4 else [])
        if attributes.get("layout", 0):
            found = [weft.permute_dims(y, (2, 0, 1, 3)), *(weft.moveaxis(s, 0, 1) for s in found[1:])]
        return tuple(found)

    return run


def _step(
    gates: int, attributes: Attributes, x: Any, h: Any, c: Any, r: Any, bias: Any, p: Any, f: list[Callable[[Any], Any]]
) -> tuple[Any, Any]:
    """One step, x being the part of the input, with its bias."""
    rb = 0 if bias is None else bias
    if gates != 3:
        rule = _lstm if gates == 4 else _rnn
        return rule(attributes, x, weft.matmul(h, r.T) + rb, h, c, p, f)
    xz, xr, xh = x.chunk(3, -1)
    rz, rr, rh = r.chunk(3, 0)
    bz, br, bh = (0, 0, 0) if bias is None else bias.chunk(3, -1)
    update, reset = f[0](xz + weft.matmul(h, rz.T) + bz), f[0](xr + weft.matmul(h, rr.T) + br)
    if attributes.get("linear_before_reset", 0):
        new = f[1](xh + reset * (weft.matmul(h, rh.T) + bh))
    else:
        new = f[1](xh + weft.matmul(reset * h, rh.T) + bh)
    return (1 - update) * new + update * h, None


def attention(attributes: Attributes, q: Any, k: Any, v: Any, *given: Any) -> Any:
    """Scores, mask, softmax, product, by the operator's own order; with a cache of earlier keys and values."""
    mask, past_k, past_v, ends = (*given, None, None, None, None)[:4]
    is_flat = q.ndim == 3
    if is_flat:
        heads, kv = attributes["q_num_heads"], attributes["kv_num_heads"]
        q, k, v = _heads(q, heads), _heads(k, kv), _heads(v, kv)
    if past_k is not None:
        k, v = weft.concat([past_k, k], axis=2), weft.concat([past_v, v], axis=2)
    present, group = (k, v), q.shape[1] // k.shape[1]
    if group > 1:
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scale = attributes.get("scale") or 1 / math.sqrt(q.shape[-1])
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
    if is_flat:
        y = weft.reshape(weft.permute_dims(y, (0, 2, 1, 3)), (y.shape[0], y.shape[2], -1))
    return (y, *present, seen[mode].astype(q.dtype))


def _heads(x: Any, heads: int) -> Any:
    n, length, width = x.shape
    return weft.permute_dims(weft.reshape(x, (n, length, heads, width // heads)), (0, 2, 1, 3))


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


OPERATORS: dict[str, Callable[..., Any]] = {
    "Attention": attention, "GRU": recurrent(3, ["sigmoid", "tanh"]), "LSTM": recurrent(4, ["sigmoid", "tanh", "tanh"]),
    "RNN": recurrent(1, ["tanh"]), "RotaryEmbedding": rotary,
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = {"Attention": (6,), **dict.fromkeys(("RNN", "GRU", "LSTM"), (4,))}
