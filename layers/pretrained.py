"""Language models in Hugging Face's files: safetensors, whole or in shards, with a config.json beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.tape.tensor import DType
from .gpt2 import GPT2
from .language_model import LanguageModel
from .llama import Llama

__all__ = ["PretrainedError", "load_pretrained"]

TURNED = re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")  # (in, out) in GPT-2's files
BUFFERS = re.compile(r"\.attn\.(masked_)?bias$|\.rotary_emb\.inv_freq$")  # constants that older versions have saved


class PretrainedError(ValueError):
    """A file of weights is missing, damaged, or not of the model that it should be of.

    Examples
    --------
    >>> nn.models.load_pretrained("nowhere")
    Traceback (most recent call last):
        ...
    weft.layers.pretrained.PretrainedError: `nowhere`: expected a .safetensors file or a folder, found nothing of that name
    """


def load_pretrained(
    path: str | PathLike[str], *, heads: int | None = None, device: str | None = None, dtype: DType = None
) -> LanguageModel:
    """The model in a file or folder as Hugging Face's `save_pretrained` writes it, in eval mode.

    A folder holds `model.safetensors`, or shards and `model.safetensors.index.json`. Sizes are those of the weights; what these
    do not tell (the number of heads, Llama's base of rotations) is in `config.json`, or for GPT-2 in `heads`. Names may begin
    with `transformer.` or `model.`, or not; `lm_head.weight` may be missing, and buffers of constants are passed over.

    Parameters
    ----------
    path : str or Path
        The file, or the folder. Nothing is fetched.
    heads : int, optional
        Of attention; that of config.json unless given, and without one width/64, as in GPT-2 of all sizes.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        What the parameters are converted to; weft's default dtype unless given.

    Returns
    -------
    LanguageModel
        A `GPT2` or a `Llama`.

    Raises
    ------
    PretrainedError
        If a file is missing or damaged, the model of another kind, or a weight missing, unknown or of the wrong shape: all
        of these are named.
    ImportError
        If safetensors is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from safetensors.numpy import save_file
    >>> model = nn.models.GPT2(vocab_size=11, context=8, width=64, layers=1, heads=1)
    >>> weights = {n: t.detach().numpy() for n, t in model.state_dict().items()}
    >>> turned = {n: w.T.copy() if n.startswith("h.") and w.ndim == 2 else w for n, w in weights.items()}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file(turned, folder + "/model.safetensors")
    ...     again = nn.models.load_pretrained(folder)
    >>> again.context, again.n_layer
    (8, 1)
    """
    try:
        path = Path(path).expanduser()
    except RuntimeError as error:
        raise PretrainedError(f"`{path}`: expected a path, found a home folder that is not known ({error})") from None
    folder = path if path.is_dir() else path.parent
    config = _json(folder / "config.json") if (folder / "config.json").is_file() else {}
    weights = _named(_read(path))
    place: dict[str, Any] = {"device": device, "dtype": dtype}
    make: Callable[..., LanguageModel]
    if "wte.weight" in weights and config.get("model_type", "gpt2") == "gpt2":
        make, options = GPT2, _gpt2(path, weights, config, heads)
    elif "embed_tokens.weight" in weights and config.get("model_type", "llama") == "llama":
        make, options = Llama, _llama(path, weights, config)
    else:
        kind = config.get("model_type") or ", ".join(sorted(weights)[:3])
        raise PretrainedError(f"`{path}`: expected weights of GPT-2 or Llama, found {kind}")
    try:
        model = make(**options, **place)
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, ValueError) as error:
        raise PretrainedError(f"`{path}`: {error}") from None
    return model.eval()


# --- files ------------------------------------------------------------------------------------------------------------
def _read(path: Path) -> dict[str, np.ndarray]:
    if path.is_file():
        return _tensors(path)
    if not path.is_dir():
        raise PretrainedError(f"`{path}`: expected a .safetensors file or a folder, found nothing of that name")
    index = path / "model.safetensors.index.json"
    if not index.is_file():
        return _tensors(path / "model.safetensors")
    places = _json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise PretrainedError(f"`{index}`: expected a `weight_map` from names to files, found {str(places)[:60]}")
    shards = {shard: _tensors(path / Path(shard).name) for shard in sorted(set(places.values()))}
    missing = [name for name, shard in places.items() if name not in shards[shard]]
    if missing:
        raise PretrainedError(
            f"`{path / places[missing[0]]}`: expected the tensor {missing[0]}, found none of that name"
        )
    return {name: shards[shard][name] for name, shard in places.items()}


def _tensors(path: Path) -> dict[str, np.ndarray]:
    try:
        import ml_dtypes  # noqa: F401  (registers bfloat16 with NumPy, for safetensors to find)
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ImportError(f"`load_pretrained` needs safetensors ({error}): pip install safetensors") from None
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no dict)
    except FileNotFoundError:
        raise PretrainedError(f"`{path}`: expected a safetensors file, found nothing of that name") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise PretrainedError(f"`{path}`: expected an intact safetensors file, found another ({error})") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PretrainedError(f"`{path}`: expected JSON, found another file ({error})") from None
    except RecursionError:
        raise PretrainedError(f"`{path}`: expected a JSON object, found JSON that is nested too deeply") from None
    if not isinstance(found, dict):
        raise PretrainedError(f"`{path}`: expected a JSON object, found {str(found)[:60]}")
    return found


# --- names and sizes --------------------------------------------------------------------------------------------------
def _named(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights by our names, as our layers have them."""
    found = {}
    for name, weight in weights.items():
        plain = re.sub(r"^(transformer|model)\.", "", name)
        if not BUFFERS.search(plain):
            found[plain] = weight.T if TURNED.search(plain) and weight.ndim == 2 else weight
    return found


def _sizes(path: Path, weights: dict[str, np.ndarray], tables: tuple[str, ...], layer: str) -> tuple[list, int]:
    """Shapes of the tables, and how many layers there are."""
    for name in tables:
        if name not in weights or weights[name].ndim != 2:
            found = "none of that name" if name not in weights else f"shape {weights[name].shape}"
            raise PretrainedError(f"`{path}`: expected the matrix {name}, found {found}")
    numbers = [int(m[1]) for name in weights if (m := re.match(rf"{layer}\.(\d+)\.", name))]
    return [weights[name].shape for name in tables], 1 + max(numbers, default=-1)


def _untied(weights: dict[str, np.ndarray], table: str) -> bool:
    """Whether there is a head that is not the table; one that is the table is dropped."""
    head = weights.get("lm_head.weight")
    if head is None:
        return False
    if head.shape == weights[table].shape and np.array_equal(head, weights[table]):
        del weights["lm_head.weight"]
        return False
    return True


def _gpt2(path: Path, weights: dict[str, np.ndarray], config: dict[str, Any], heads: int | None) -> dict[str, Any]:
    ((vocab_size, width), (context, _)), layers = _sizes(path, weights, ("wte.weight", "wpe.weight"), "h")
    activation = config.get("activation_function", "gelu_new")
    if activation not in ("gelu_new", "gelu_pytorch_tanh"):
        raise PretrainedError(f"`{path}`: expected activation_function gelu_new, GPT-2's, found {activation}")
    if _untied(weights, "wte.weight"):
        raise PretrainedError(f"`{path}`: expected lm_head.weight to be wte.weight, as in GPT-2, found others")
    found = config.get("n_head") if heads is None else heads
    if found is None and width % 64:
        raise PretrainedError(f"`{path}`: expected a config.json with `n_head`, found none; pass heads=")
    eps, bias = config.get("layer_norm_epsilon", 1e-5), "ln_f.bias" in weights
    options = {"vocab_size": vocab_size, "context": context, "width": width, "layers": layers, "eps": eps, "bias": bias}
    return {**options, "heads": width // 64 if found is None else found}


def _llama(path: Path, weights: dict[str, np.ndarray], config: dict[str, Any]) -> dict[str, Any]:
    ((vocab_size, width),), layers = _sizes(path, weights, ("embed_tokens.weight",), "layers")
    missing = [name for name in ("num_attention_heads", "max_position_embeddings") if name not in config]
    if missing:
        raise PretrainedError(f"`{path}`: expected a config.json with `{missing[0]}`, found none")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise PretrainedError(f"`{path}`: expected rotations that are not scaled, found {rope}")
    if config.get("hidden_act", "silu") != "silu":
        raise PretrainedError(f"`{path}`: expected hidden_act silu, Llama's, found {config['hidden_act']}")
    gate = weights.get("layers.0.mlp.gate_proj.weight")
    return {
        "vocab_size": vocab_size,
        "context": config["max_position_embeddings"],
        "width": width,
        "layers": layers,
        "heads": config["num_attention_heads"],
        "kv_heads": config.get("num_key_value_heads"),
        "hidden": config.get("intermediate_size", None if gate is None else len(gate)),
        "tied": not _untied(weights, "embed_tokens.weight"),
        "rope_base": rope.get("rope_theta", config.get("rope_theta", 10000.0)),
        "eps": config.get("rms_norm_eps", 1e-6),
    }
