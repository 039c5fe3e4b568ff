"""Multi-head attention and the Transformer's layers in float64 NumPy, written out sample by sample and head by head.

Weights come as a state_dict of arrays with PyTorch's names. Sequences are (N, L, E).
"""

import numpy as np
from scipy.special import erf

ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2, "tanh": np.tanh}


def added(mask):
    """A mask as numbers: −∞ where it is True."""
    return 0.0 if mask is None else np.where(mask, -np.inf, 0.0) if mask.dtype == bool else mask


def projections(state, e):
    if "in_proj_weight" in state:
        weights = np.split(state["in_proj_weight"], 3)
    else:
        weights = [state[f"{x}_proj_weight"] for x in "qkv"]
    bias = state.get("in_proj_bias", np.zeros(3 * e))
    return list(zip(weights, np.split(bias, 3)))


def attention(state, heads, query, key, value, mask=None, padding=None, zero=False):
    """(output, weights (N, H, L, S)); `mask` (L, S) or (N·H, L, S), `padding` (N, S)."""
    n, length, e = query.shape
    d = e // heads
    out, every = np.empty((n, length, e)), []
    for i in range(n):
        q, k, v = (x[i] @ w.T + b for x, (w, b) in zip((query, key, value), projections(state, e)))
        extra = 0
        if "bias_k" in state:
            k, v, extra = np.vstack([k, state["bias_k"][0]]), np.vstack([v, state["bias_v"][0]]), 1
        if zero:
            k, v, extra = np.vstack([k, np.zeros(e)]), np.vstack([v, np.zeros(e)]), extra + 1
        for h in range(heads):
            part = slice(h * d, (h + 1) * d)
            scores = q[:, part] @ k[:, part].T / np.sqrt(d)
            plus = added(mask if mask is None or mask.ndim == 2 else mask[i * heads + h])
            plus = plus + added(None if padding is None else padding[i])
            plus = np.broadcast_to(plus, (length, key.shape[1]))
            scores = scores + np.pad(plus, [(0, 0), (0, extra)])
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            out[i, :, part] = weights @ v[:, part]
            every.append(weights)
    y = out @ state["out_proj.weight"].T + state.get("out_proj.bias", 0)
    return y, np.reshape(every, (n, heads, length, -1))


def part(state, prefix):
    return {name.removeprefix(prefix): a for name, a in state.items() if name.startswith(prefix)}


def normalised(state, name, x, eps):
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return y * state[f"{name}.weight"] + state.get(f"{name}.bias", 0)


def layer(state, heads, x, mask, padding, others=(), *, activation="relu", norm_first=False, eps=1e-5):
    """An encoder layer, or, with `others` = (memory, its mask, its padding), a decoder layer."""
    f = ACTIVATIONS[activation]
    own, look, w = part(state, "self_attn."), part(state, "multihead_attn."), state

    def feed(x):
        hidden = f(x @ w["linear1.weight"].T + w.get("linear1.bias", 0))
        return hidden @ w["linear2.weight"].T + w.get("linear2.bias", 0)

    steps = [lambda x: attention(own, heads, x, x, x, mask, padding)[0]]
    if others:
        memory, *masks = others
        steps.append(lambda x: attention(look, heads, x, memory, memory, *masks)[0])
    for i, step in enumerate([*steps, feed], 1):
        norm = lambda x, i=i: normalised(state, f"norm{i}", x, eps)
        x = x + step(norm(x)) if norm_first else norm(x + step(x))
    return x


def stack(state, heads, x, *masks, eps=1e-5, **options):
    """Layers "layers.0.…" and so on, and "norm" if there is one."""
    i = 0
    while inner := part(state, f"layers.{i}."):
        x, i = layer(inner, heads, x, *masks, eps=eps, **options), i + 1
    return normalised(state, "norm", x, eps) if "norm.weight" in state else x
