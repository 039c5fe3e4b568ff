"""Weights of language models as Hugging Face lays them out, and what they compute, in NumPy and float64."""

import numpy as np


def gpt2_weights(rng, vocab=23, context=12, width=16, layers=2):
    def a(*shape):
        return 0.3 * rng.standard_normal(shape)

    weights = {"wte.weight": a(vocab, width), "wpe.weight": a(context, width)}
    for i in range(layers):
        for name, shape in (
            ("ln_1.weight", (width,)), ("ln_1.bias", (width,)),
            ("attn.c_attn.weight", (width, 3 * width)), ("attn.c_attn.bias", (3 * width,)),
            ("attn.c_proj.weight", (width, width)), ("attn.c_proj.bias", (width,)),
            ("ln_2.weight", (width,)), ("ln_2.bias", (width,)),
            ("mlp.c_fc.weight", (width, 4 * width)), ("mlp.c_fc.bias", (4 * width,)),
            ("mlp.c_proj.weight", (4 * width, width)), ("mlp.c_proj.bias", (width,)),
        ):  # fmt: skip
            weights[f"h.{i}.{name}"] = a(*shape)
    return {**weights, "ln_f.weight": 1 + a(width), "ln_f.bias": a(width)}


def layer_norm(x, w, b):
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5) * w + b


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attend(q, k, v, scale=None):
    """Causal attention of one head: (L, E)."""
    z = q @ k.T * (1 / np.sqrt(q.shape[1]) if scale is None else scale)
    return softmax(np.where(np.tri(len(q), dtype=bool), z, -np.inf)) @ v


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gpt2(w, tokens, heads, scales=None):
    """Logits (L, vocab) of one sequence; `scales` are those of attention, one for each block."""
    x = w["wte.weight"][tokens] + w["wpe.weight"][: len(tokens)]
    for i in range(sum(name.endswith("c_fc.bias") for name in w)):
        g = {name.removeprefix(f"h.{i}."): a for name, a in w.items() if name.startswith(f"h.{i}.")}
        y = layer_norm(x, g["ln_1.weight"], g["ln_1.bias"]) @ g["attn.c_attn.weight"] + g["attn.c_attn.bias"]
        q, k, v = (np.split(part, heads, axis=1) for part in np.split(y, 3, axis=1))
        y = [attend(*head, None if scales is None else scales[i]) for head in zip(q, k, v)]
        y = np.concatenate(y, axis=1)
        x = x + y @ g["attn.c_proj.weight"] + g["attn.c_proj.bias"]
        y = gelu(layer_norm(x, g["ln_2.weight"], g["ln_2.bias"]) @ g["mlp.c_fc.weight"] + g["mlp.c_fc.bias"])
        x = x + y @ g["mlp.c_proj.weight"] + g["mlp.c_proj.bias"]
    return layer_norm(x, w["ln_f.weight"], w["ln_f.bias"]) @ w["wte.weight"].T


def llama_weights(rng, vocab=23, width=16, layers=2, heads=4, kv_heads=2, hidden=24):
    def a(*shape):
        return 0.3 * rng.standard_normal(shape)

    kv = width // heads * kv_heads
    weights = {"model.embed_tokens.weight": a(vocab, width), "lm_head.weight": a(vocab, width)}
    for i in range(layers):
        for name, shape in (
            ("input_layernorm.weight", (width,)), ("post_attention_layernorm.weight", (width,)),
            ("self_attn.q_proj.weight", (width, width)), ("self_attn.k_proj.weight", (kv, width)),
            ("self_attn.v_proj.weight", (kv, width)), ("self_attn.o_proj.weight", (width, width)),
            ("mlp.gate_proj.weight", (hidden, width)), ("mlp.up_proj.weight", (hidden, width)),
            ("mlp.down_proj.weight", (width, hidden)),
        ):  # fmt: skip
            weights[f"model.layers.{i}.{name}"] = a(*shape)
    return {**weights, "model.norm.weight": 1 + a(width)}


def rms_norm(x, w, eps):
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps) * w


def turned(x, base):
    """Each row p of x (L, E), as E/2 complex numbers (i, i + E/2), times exp(i p base^(−2i/E))."""
    half = x.shape[1] // 2
    z = x[:, :half] + 1j * x[:, half:]
    z = z * np.exp(1j * np.arange(len(x))[:, None] * base ** (-np.arange(half) / half))
    return np.concatenate([z.real, z.imag], axis=1)


def llama(w, tokens, heads, kv_heads, base, eps):
    """Logits (L, vocab) of one sequence."""
    x = w["model.embed_tokens.weight"][tokens]
    for i in range(sum(name.endswith("up_proj.weight") for name in w)):
        at = f"model.layers.{i}."
        g = {name.removeprefix(at): a for name, a in w.items() if name.startswith(at)}
        y = rms_norm(x, g["input_layernorm.weight"], eps)
        q, k, v = (
            np.split(y @ g[f"self_attn.{name}_proj.weight"].T, n, axis=1)
            for name, n in (("q", heads), ("k", kv_heads), ("v", kv_heads))
        )
        shared = heads // kv_heads
        y = [attend(turned(q[h], base), turned(k[h // shared], base), v[h // shared]) for h in range(heads)]
        x = x + np.concatenate(y, axis=1) @ g["self_attn.o_proj.weight"].T
        y = rms_norm(x, g["post_attention_layernorm.weight"], eps)
        gate = y @ g["mlp.gate_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ g["mlp.up_proj.weight"].T)) @ g["mlp.down_proj.weight"].T
    return rms_norm(x, w["model.norm.weight"], eps) @ w["lm_head.weight"].T
