"""Language models in Hugging Face's files: safetensors, whole or in shards, with a config.json beside them."""

from __future__ import annotations

import json
import re
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.device.dtypes import is_real_floating
from ..backend.device.numeric import as_dtype
from ..backend.tape.tensor import DType
from . import pretrained_options
from .gpt2 import GPT2
from .language_model import LanguageModel
from .llama import Llama

__all__ = ["PretrainedError", "load_pretrained"]

TURNED = re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")  # (in, out) in GPT-2's files
MARKS = {"gpt2": re.compile(r"(h\.\d+|wte|wpe)\."), "llama": re.compile(r"(layers\.\d+|embed_tokens)\.")}
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

    A folder holds `model.safetensors`, or shards and `model.safetensors.index.json`. Sizes are those of the weights, which
    `config.json` must agree with; what these do not tell (the number of heads, Llama's base of rotations, how GPT-2 scales
    attention) is there, or for GPT-2's heads in `heads`. Names may begin with `transformer.` or `model.`, or not; buffers of
    constants are passed over. Where `lm_head.weight` is missing it is the table of tokens, unless `config.json` says that it
    is not (`tie_word_embeddings`).

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
        If a file is missing or damaged, the model of another kind, a weight missing, unknown or of the wrong shape, or
        config.json of another mind or with options that there are not: all of these are named.
    TypeError
        If `dtype` is none of real floating-point numbers.
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
    if dtype is not None and not is_real_floating(as_dtype(dtype)):
        raise TypeError(f"`dtype` must be a real floating-point dtype, such as weft.float32, got {as_dtype(dtype)}")
    try:
        path = Path(path).expanduser()
    except RuntimeError as error:
        raise PretrainedError(f"`{path}`: expected a path, found a home folder that is not known ({error})") from None
    folder = path if path.is_dir() else path.parent
    config = _json(folder / "config.json") if (folder / "config.json").is_file() else {}
    place: dict[str, Any] = {"device": device, "dtype": dtype}
    model: GPT2 | Llama
    try:
        weights = _named(_read(path))
        if _kind(weights, config) == "gpt2":
            model = GPT2(**pretrained_options.gpt2(weights, config, heads), **place)
        else:
            model = Llama(**pretrained_options.llama(weights, config), **place)
        if isinstance(model, GPT2) or model.lm_head is None:
            weights.pop("lm_head.weight", None)  # the table itself
        model.load_state_dict(weights)
    except PretrainedError:
        raise
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
    found: dict[str, np.ndarray] = {}
    for name, weight in weights.items():
        plain = re.sub(r"^(transformer|model)\.", "", name)
        if plain in found:
            raise ValueError(f"expected one tensor {plain}, found another of that name, {name}")
        if not BUFFERS.search(plain):
            found[plain] = weight.T if TURNED.search(plain) and weight.ndim == 2 else weight
    return found


def _kind(weights: dict[str, np.ndarray], config: dict[str, Any]) -> str:
    """Of which model the weights are, by their names, which config.json must not deny."""
    kinds = [kind for kind, mark in MARKS.items() if any(map(mark.match, weights))]
    said = config.get("model_type")
    if len(kinds) != 1 or said not in (None, *kinds):
        found = said if said not in (None, *MARKS) else ", ".join(sorted(weights)[:3]) or "no tensor"
        raise ValueError(f"expected weights of GPT-2 or Llama, found {found}")
    return kinds[0]
