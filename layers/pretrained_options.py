"""What a GPT-2 or a Llama must be built with, for weights of Hugging Face's and the config.json beside them to fit.

What both tell must agree, and what config.json asks of a model that ours does not have is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..backend.device.options import integer, number

__all__ = ["gpt2", "llama"]

Weights = Mapping[str, np.ndarray]
Config = Mapping[str, Any]


def gpt2(weights: Weights, config: Config, heads: int | None) -> dict[str, Any]:
    """Arguments of `GPT2`, or TypeError or ValueError."""
    (vocab_size, width), (context, _) = _table(weights, "wte.weight"), _table(weights, "wpe.weight")
    layers = _blocks(weights, config, "h", "n_layer")
    _agree(config, vocab_size=vocab_size, n_positions=context, n_embd=width, n_layer=layers, n_inner=4 * width)
    _have(config, "GPT-2", activation_function=("gelu_new", "gelu_pytorch_tanh"), add_cross_attention=(False,))
    if not _is_tied(weights, config, "wte.weight"):
        raise ValueError("expected lm_head.weight to be wte.weight, as in GPT-2, found others")
    found = config.get("n_head") if heads is None else heads
    if found is None and width % 64:
        raise ValueError("expected a config.json with `n_head`, found none; pass heads=")
    return {
        "vocab_size": vocab_size,
        "context": context,
        "width": width,
        "layers": layers,
        "heads": width // 64 if found is None else found,
        "bias": any(name.endswith(".bias") for name in weights),
        "eps": _positive(config, "layer_norm_epsilon", 1e-5),
        "scale_attn_weights": _choice(config, "scale_attn_weights", True),
        "scale_attn_by_inverse_layer_idx": _choice(config, "scale_attn_by_inverse_layer_idx", False),
    }


def llama(weights: Weights, config: Config) -> dict[str, Any]:
    """Arguments of `Llama`, or TypeError or ValueError."""
    vocab_size, width = _table(weights, "embed_tokens.weight")
    layers = _blocks(weights, config, "layers", "num_hidden_layers")
    _agree(config, vocab_size=vocab_size, hidden_size=width, num_hidden_layers=layers)
    _have(config, "Llama", hidden_act=("silu", "swish"), attention_bias=(False,), mlp_bias=(False,))
    for name in ("num_attention_heads", "max_position_embeddings"):
        if config.get(name) is None:
            raise ValueError(f"expected a config.json with `{name}`, found none")
        integer(name, config[name], 1)
    heads, gate = config["num_attention_heads"], weights.get("layers.0.mlp.gate_proj.weight")
    _agree(config, head_dim=width // heads)
    return {
        "vocab_size": vocab_size,
        "context": config["max_position_embeddings"],
        "width": width,
        "layers": layers,
        "heads": heads,
        "kv_heads": config.get("num_key_value_heads"),
        "hidden": config.get("intermediate_size", None if gate is None else len(gate)),
        "tied": _is_tied(weights, config, "embed_tokens.weight"),
        "rope_base": _rope_base(config),
        "eps": _positive(config, "rms_norm_eps", 1e-6),
    }


# --- what the weights tell --------------------------------------------------------------------------------------------
def _table(weights: Weights, name: str) -> tuple[int, int]:
    if name not in weights or weights[name].ndim != 2:
        found = "none of that name" if name not in weights else f"shape {weights[name].shape}"
        raise ValueError(f"expected the matrix {name}, found {found}")
    rows, columns = weights[name].shape
    return rows, columns


def _blocks(weights: Weights, config: Config, prefix: str, option: str) -> int:
    """How many blocks there are; each that config.json speaks of must be there."""
    there = {int(m[1]) for name in weights if (m := re.match(rf"{prefix}\.(\d+)\.", name))}
    count = 1 + max(there, default=-1)
    said = config.get(option)
    if said is not None:
        integer(option, said, 1)
        if said > count:
            raise ValueError(
                f"expected {option} = {said} blocks, as in config.json, found no tensor {prefix}.{count}.…"
            )
    return count


def _is_tied(weights: Weights, config: Config, table: str) -> bool:
    """Whether the head is the table: it is missing or the same, unless config.json says otherwise."""
    head, said = weights.get("lm_head.weight"), _choice(config, "tie_word_embeddings", None)
    if head is None:
        if said is False:
            raise ValueError("expected lm_head.weight, since config.json has tie_word_embeddings false, found none")
        return True
    same = np.array_equal(head, weights[table])
    if said and not same:
        raise ValueError(f"expected lm_head.weight to be {table}, as config.json has tie_word_embeddings, found others")
    return same


# --- what config.json tells -------------------------------------------------------------------------------------------
def _agree(config: Config, **found: int) -> None:
    for name, value in found.items():
        said = config.get(name)
        if said is not None and said != value:
            raise ValueError(f"expected {name} = {value}, as the weights have it, found {said!r} in config.json")


def _have(config: Config, kind: str, **allowed: tuple[Any, ...]) -> None:
    for name, values in allowed.items():
        said = config.get(name, values[0])
        if said not in values:
            raise ValueError(f"expected {name} {values[0]}, {kind}'s, found {said}")


def _choice(config: Config, name: str, default: bool | None) -> bool | None:
    value = config.get(name, default)
    if value is not default and not isinstance(value, bool):
        raise TypeError(f"expected {name} true or false, found {value!r} in config.json")
    return value


def _positive(config: Config, name: str, default: float) -> float:
    value = config.get(name, default)
    number(name, value, above=0)
    return value


def _rope_base(config: Config) -> float:
    """Of the rotations, which newer files keep in an object of its own."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise TypeError(f"expected rope_parameters to be an object, found {rope!r}")
    whole = rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0)) == 1
    if rope.get("rope_type", rope.get("type", "default")) != "default" or not whole:
        raise ValueError(f"expected rotations that are not scaled, and of all of a head, found {dict(rope)}")
    return _positive(rope if "rope_theta" in rope else config, "rope_theta", 10000.0)
