"""BERT, with the names of its weights at Hugging Face."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..backend.array.creation import arange, zeros
from ..backend.array.elementwise import tanh
from ..backend.array.manipulation import permute_dims, reshape
from ..backend.device.options import integer, number
from ..backend.tape.tensor import DType, Tensor
from . import functional as F
from . import init
from .containers import ModuleList
from .dropout import Dropout
from .embedding import Embedding
from .functional import _check as check
from .linear import Linear
from .module import Module
from .normalization import LayerNorm
from .pretrained import PretrainedError, _json, _read

__all__ = ["BERT", "BERTOutput", "load_bert"]


class BERTOutput(NamedTuple):
    """What a `BERT` gives.

    Parameters
    ----------
    last_hidden_state : Tensor
        (N, L, E) for each token.
    pooler_output : Tensor or None
        (N, E) tanh of a linear map of the first token; None without a pooler.

    Examples
    --------
    >>> model = nn.models.BERT(vocab_size=11, context=8, width=8, layers=1, heads=2)
    >>> model(weft.tensor([[1, 2, 3]])).last_hidden_state.shape
    (1, 3, 8)
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None


class _SelfAttention(Module):
    """Queries, keys and values by three products."""

    def __init__(self, width: int, heads: int, dropout: float, **place: Any):
        self.heads, self.p = heads, dropout
        self.query, self.key, self.value = (Linear(width, width, **place) for _ in range(3))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        n, length, width = x.shape
        q, k, v = (
            permute_dims(reshape(f(x), (n, length, self.heads, width // self.heads)), (0, 2, 1, 3))
            for f in (self.query, self.key, self.value)
        )
        y = F.scaled_dot_product_attention(q, k, v, mask, self.p if self.training else 0.0)
        return reshape(permute_dims(y, (0, 2, 1, 3)), (n, length, width))


class _Output(Module):
    """norm(x + dropout(W y + b))."""

    def __init__(self, of: int, width: int, dropout: float, eps: float, **place: Any):
        self.dense = Linear(of, width, **place)
        self.LayerNorm = LayerNorm(width, eps=eps, **place)
        self.dropout = Dropout(dropout)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(x + self.dropout(self.dense(y)))


class _Layer(Module):
    """Attention and a feed-forward network, each followed by its sum with what came in, normalised."""

    attention: Any
    intermediate: Any

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, eps: float, **place: Any):
        self.attention = Module()
        self.attention.self = _SelfAttention(width, heads, dropout, **place)
        self.attention.output = _Output(width, width, dropout, eps, **place)
        self.intermediate = Module()
        self.intermediate.dense = Linear(width, hidden, **place)
        self.output = _Output(hidden, width, dropout, eps, **place)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention.output(self.attention.self(x, mask), x)
        return self.output(F.gelu(self.intermediate.dense(x)), x)


class _Embeddings(Module):
    """norm(token + position + segment)."""

    def __init__(
        self, vocab_size: int, context: int, segments: int, width: int, dropout: float, eps: float, **place: Any
    ):
        self.word_embeddings = Embedding(vocab_size, width, **place)
        self.position_embeddings = Embedding(context, width, **place)
        self.token_type_embeddings = Embedding(segments, width, **place)
        self.LayerNorm = LayerNorm(width, eps=eps, **place)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, segments: Tensor | None) -> Tensor:
        places = arange(tokens.shape[1], dtype=np.dtype(np.int64), device=tokens.device)
        segments = zeros(tokens.shape, dtype=np.dtype(np.int64), device=tokens.device) if segments is None else segments
        x = self.word_embeddings(tokens) + self.position_embeddings(places) + self.token_type_embeddings(segments)
        return self.dropout(self.LayerNorm(x))


class BERT(Module):
    """BERT: an encoder of tokens that look at each other in both directions, the norms behind the sums.

    Parameters
    ----------
    vocab_size : int, default 30522
        How many tokens there are.
    context : int, default 512
        The greatest length.
    width, layers, heads : int, default 768, 12, 12
        E, the number of layers, and of attention's heads.
    hidden : int, optional
        Width of the feed-forward networks; 4 E unless given.
    segments : int, default 2
        How many kinds of sentence.
    pooler : bool, default True
        Whether the first token goes through a linear map and tanh.
    dropout : float, default 0.1
        Of embeddings, attention weights and sums.
    eps : float, default 1e-12
        Of the norms.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    TypeError
        In a call, if the mask is neither boolean nor of integers.
    ValueError
        If a size is less than 1, or `width` no multiple of `heads`; in a call, if tokens are more than `context`, or the shapes
        of tokens, segments and mask differ.

    Notes
    -----
    Names of parameters, GELU (with erf) and initialisation (σ = 0.02) are those of Hugging Face's `BertModel`: `load_bert`
    reads its files, `load_state_dict` its state dicts.

    References
    ----------
    Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding" (2019).

    Examples
    --------
    >>> model = nn.models.BERT(vocab_size=11, context=8, width=8, layers=1, heads=2)
    >>> tokens = weft.tensor([[1, 2, 3], [4, 5, 0]])
    >>> model(tokens, attention_mask=weft.tensor([[1, 1, 1], [1, 1, 0]])).pooler_output.shape
    (2, 8)
    """

    encoder: Any
    pooler: Any

    def __init__(
        self,
        vocab_size: int = 30522,
        context: int = 512,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        hidden: int | None = None,
        *,
        segments: int = 2,
        pooler: bool = True,
        dropout: float = 0.1,
        eps: float = 1e-12,
        device: str | None = None,
        dtype: DType = None,
    ):
        sizes = {
            "vocab_size": vocab_size,
            "context": context,
            "width": width,
            "layers": layers,
            "heads": heads,
            "segments": segments,
        }
        for name, size in sizes.items():
            integer(name, size, 1)
        if width % heads:
            raise ValueError(f"`width` must be a multiple of `heads`, got {width} and {heads}")
        number("dropout", dropout, 0, 1)
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.context = context
        self.embeddings = _Embeddings(vocab_size, context, segments, width, dropout, eps, **place)
        self.encoder = Module()
        blocks = (_Layer(width, heads, hidden or 4 * width, dropout, eps, **place) for _ in range(layers))
        self.encoder.layer = ModuleList(list(blocks))
        self.pooler = Module() if pooler else None
        if self.pooler is not None:
            self.pooler.dense = Linear(width, width, **place)
        for module in self.modules():
            if isinstance(module, Linear | Embedding):
                init.normal_(module.weight, std=0.02)
            if isinstance(module, Linear) and module.bias is not None:
                init.zeros_(module.bias)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> BERTOutput:
        shape = check.tensor("input_ids", input_ids).shape
        if len(shape) != 2 or shape[1] > self.context:
            raise ValueError(f"`input_ids` must have shape (N, L) with L ≤ {self.context}, got {shape}")
        for name, x in (("attention_mask", attention_mask), ("token_type_ids", token_type_ids)):
            if x is not None and check.tensor(name, x).shape != shape:
                raise ValueError(f"`{name}` must have the shape of `input_ids`, {shape}, got {x.shape}")
        mask = None
        if attention_mask is not None:
            mask = reshape(check.choice("attention_mask", attention_mask) != 0, (shape[0], 1, 1, shape[1]))
        x = self.embeddings(input_ids, token_type_ids)
        for layer in self.encoder.layer:
            x = layer(x, mask)
        return BERTOutput(x, None if self.pooler is None else tanh(self.pooler.dense(x[:, 0])))


def load_bert(path: str | PathLike[str], *, device: str | None = None, dtype: DType = None) -> BERT:
    """The BERT in a file or folder as Hugging Face's `save_pretrained` writes it, in eval mode.

    A `bert.` before the names is taken off; what a model for some task has besides (`cls.…`, `classifier.…`) is passed over, as
    are buffers. The names of old files, `LayerNorm.gamma` and `beta`, are understood.

    Parameters
    ----------
    path : str or Path
        The safetensors file, or the folder with `model.safetensors` or shards, and config.json. Nothing is fetched.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        What the parameters are converted to; weft's default dtype unless given.

    Returns
    -------
    BERT
        With the sizes of the weights, and of config.json the number of heads (width/64 without it) and ε.

    Raises
    ------
    PretrainedError
        If a file is missing or damaged, the weights are of another model, or config.json asks for what there is not.

    Examples
    --------
    >>> nn.models.load_bert("nowhere")
    Traceback (most recent call last):
        ...
    weft.layers.pretrained.PretrainedError: `nowhere`: expected a .safetensors file or a folder, found nothing of that name
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    weights = {_plain(name): w for name, w in _read(path).items()}
    weights = {name: w for name, w in weights.items() if re.match(r"(embeddings|encoder|pooler)\.", name)}
    weights.pop("embeddings.position_ids", None)
    config = _json(folder / "config.json") if (folder / "config.json").is_file() else {}
    try:
        model = BERT(**_options(weights, config), device=device, dtype=dtype)
        model.load_state_dict(weights)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise PretrainedError(f"`{path}`: {error}") from None
    return model.eval()


def _plain(name: str) -> str:
    return re.sub(
        r"LayerNorm\.(gamma|beta)$",
        lambda m: f"LayerNorm.{'weight' if m[1] == 'gamma' else 'bias'}",
        name.removeprefix("bert."),
    )


def _options(weights: dict[str, np.ndarray], config: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `BERT` for these weights, or ValueError."""
    wanted = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for name, value in wanted.items():
        if config.get(name, value) != value:
            raise ValueError(f"expected a config.json with `{name}` {value!r}, found {config[name]!r}")
    tables = [weights.get(f"embeddings.{kind}_embeddings.weight") for kind in ("word", "position", "token_type")]
    first = weights.get("encoder.layer.0.intermediate.dense.weight")
    if first is None or any(t is None or t.ndim != 2 for t in tables):
        raise ValueError(f"expected weights of BERT, found {', '.join(sorted(weights)[:3]) or 'none with its names'}")
    (vocab_size, width), (context, _), (segments, _) = (t.shape for t in tables if t is not None)
    heads = config.get("num_attention_heads")
    return {
        "vocab_size": vocab_size,
        "context": context,
        "width": width,
        "layers": len({name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}),
        "heads": max(width // 64, 1) if heads is None else heads,
        "hidden": first.shape[0],
        "segments": segments,
        "pooler": "pooler.dense.weight" in weights,
        "eps": config.get("layer_norm_eps", 1e-12),
    }
