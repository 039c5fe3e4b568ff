"""Models of Llama's kind, with the names of their weights at Hugging Face."""

from __future__ import annotations

from typing import Any

from ..backend.array.manipulation import permute_dims, reshape
from ..backend.device.dtypes import float32, float64
from ..backend.tape.tensor import DType, Tensor
from . import functional as F
from . import init
from .cache import KeyValueCache, LayerCache, kept
from .containers import ModuleList
from .embedding import Embedding
from .functional import _check as check
from .language_model import LanguageModel, recordable
from .linear import Linear
from .module import Module
from .normalization import RMSNorm
from .positional import RotaryEmbedding
from .transformer_layer import SwiGLUBlock

__all__ = ["Llama"]


class _Attention(Module):
    """Causal self-attention with turned queries and keys; several query heads may share a head of keys and values."""

    def __init__(self, width: int, heads: int, kv_heads: int, **place: Any):
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, width // heads
        self.q_proj = Linear(width, width, False, **place)
        self.k_proj = Linear(width, kv_heads * self.head_width, False, **place)
        self.v_proj = Linear(width, kv_heads * self.head_width, False, **place)
        self.o_proj = Linear(width, width, False, **place)

    def _by_heads(self, x: Tensor, heads: int) -> Tensor:
        return permute_dims(reshape(x, (*x.shape[:2], heads, self.head_width)), (0, 2, 1, 3))

    @recordable
    def forward(
        self, x: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor | None, cache: LayerCache | None
    ) -> Tensor:
        q = F.rotary_embedding(self._by_heads(self.q_proj(x), self.heads), *angles)
        k = F.rotary_embedding(self._by_heads(self.k_proj(x), self.kv_heads), *angles)
        v = self._by_heads(self.v_proj(x), self.kv_heads)
        if cache is None:
            is_causal, grouped = mask is None and x.shape[1] > 1, self.heads != self.kv_heads
            y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal, enable_gqa=grouped)
        else:
            y = cache.attend(q, k, v, mask)
        return self.o_proj(reshape(permute_dims(y, (0, 2, 1, 3)), x.shape))


class _Block(Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int, kv_heads: int, hidden: int | None, eps: float, **place: Any):
        self.input_layernorm = RMSNorm(width, eps, **place)
        self.self_attn = _Attention(width, heads, kv_heads, **place)
        self.post_attention_layernorm = RMSNorm(width, eps, **place)
        self.mlp = SwiGLUBlock(width, hidden, **place)

    @recordable
    def forward(
        self, x: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor | None, cache: LayerCache | None
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), angles, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(LanguageModel):
    """A model of Llama's kind: rotary positions, RMSNorm in front, SwiGLU, grouped queries, no biases.

    Called with `(tokens, attention_mask=None, cache=None)`, see `LanguageModel`. Weights start as N(0, 0.02²). Names are those
    of Hugging Face's `LlamaModel`, and `lm_head.weight` beside them unless it is tied.

    Parameters
    ----------
    vocab_size : int, default 32000
        How many tokens there are.
    context : int, default 2048
        The greatest length.
    width : int, default 768
        Of embeddings and features.
    layers : int, default 12
        Blocks.
    heads : int, default 12
        Of queries; a divisor of width.
    kv_heads : int, optional
        Of keys and values, a divisor of heads; as many as these unless given.
    hidden : int, optional
        Between the products of SwiGLU; 8/3 of the width, up to a multiple of 8, unless given.
    tied : bool, default False
        Whether the table of tokens is the output's weight, too.
    rope_base : float, default 10000.0
        Of the rotary embedding.
    eps : float, default 1e-5
        Of the norms.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If a size is less than 1, `heads` does not divide `width`, or `kv_heads` not `heads`; in a call, if shapes do not fit or
        the tokens exceed the context.

    References
    ----------
    Touvron et al., "LLaMA: Open and Efficient Foundation Language Models" (2023).

    Examples
    --------
    >>> model = nn.models.Llama(vocab_size=11, context=8, width=16, layers=1, heads=4, kv_heads=2)
    >>> model(weft.tensor([[1, 2, 3]])).shape
    (1, 3, 11)
    """

    def __init__(
        self,
        vocab_size: int = 32000,
        context: int = 2048,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        kv_heads: int | None = None,
        *,
        hidden: int | None = None,
        tied: bool = False,
        rope_base: float = 10000.0,
        eps: float = 1e-5,
        device: str | None = None,
        dtype: DType = None,
    ):
        kv_heads = heads if kv_heads is None else kv_heads
        check.counts(vocab_size=vocab_size, context=context, width=width, layers=layers, heads=heads, kv_heads=kv_heads)
        if hidden is not None:
            check.counts(hidden=hidden)
        if width % (2 * heads):
            raise ValueError(f"`heads` must divide `width`, {width}, into even parts, got {heads}")
        if heads % kv_heads:
            raise ValueError(f"`kv_heads` must divide `heads`, {heads}, got {kv_heads}")
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.vocab_size, self.context, self.n_layer = vocab_size, context, layers
        self.embed_tokens = Embedding(vocab_size, width, **place)
        self.rotary_emb = RotaryEmbedding(width // heads, rope_base)
        self.layers = ModuleList([_Block(width, heads, kv_heads, hidden, eps, **place) for _ in range(layers)])
        self.norm = RMSNorm(width, eps, **place)
        self.lm_head = None if tied else Linear(width, vocab_size, False, **place)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        for name, p in self.named_parameters():
            if "norm" not in name:
                init.normal_(p, std=0.02)

    @recordable
    def features(
        self, tokens: Tensor, attention_mask: Tensor | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        """What the last block and the last norm make of each token.

        Parameters
        ----------
        tokens : Tensor
            (N, L).
        attention_mask : Tensor, optional
            (N, S), which of all tokens count.
        cache : KeyValueCache, optional
            Of what was read before.

        Returns
        -------
        Tensor
            (N, L, width).
        """
        positions, mask = self._places(tokens, attention_mask, cache)
        x = self.embed_tokens(tokens)
        dtype = float64 if x.dtype == float64 else float32
        angles = self.rotary_emb.angles(tokens.shape[1], positions, dtype=dtype)
        with kept(cache):
            for i, block in enumerate(self.layers):
                x = block(x, angles, mask, None if cache is None else cache[i])
            return self.norm(x)

    def _readers(self) -> list[Module]:
        return [module for block in self.layers for module in (block, getattr(block, "self_attn", block))]

    def output_weight(self) -> Tensor:
        """The table that features are multiplied by.

        Returns
        -------
        Tensor
            `lm_head.weight`, or that of the tokens if it is tied.
        """
        return self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
