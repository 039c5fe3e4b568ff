"""GPT-2, with the names of its weights at Hugging Face."""

from __future__ import annotations

import math
from typing import Any

from ..backend.array.manipulation import permute_dims, reshape
from ..backend.nn.attention import split_heads
from ..backend.tape.tensor import DType, Tensor
from . import functional as F
from . import init
from .cache import KeyValueCache, LayerCache, kept
from .containers import ModuleList
from .dropout import Dropout
from .embedding import Embedding
from .functional import _check as check
from .language_model import LanguageModel, recordable
from .linear import Linear
from .module import Module
from .normalization import LayerNorm

__all__ = ["GPT2"]


class _Attention(Module):
    """Causal self-attention; queries, keys and values by one product."""

    def __init__(self, width: int, heads: int, bias: bool, dropout: float, scale: float | None, **place: Any):
        self.heads, self.dropout, self.scale = heads, dropout, scale
        self.c_attn = Linear(width, 3 * width, bias, **place)
        self.c_proj = Linear(width, width, bias, **place)

    @recordable
    def forward(self, x: Tensor, mask: Tensor | None, cache: LayerCache | None) -> Tensor:
        n, length, width = x.shape
        q, k, v = split_heads(self.c_attn(x), parts=3, heads=self.heads)
        p = self.dropout if self.training else 0.0
        if cache is None:
            y = F.scaled_dot_product_attention(q, k, v, mask, p, mask is None and length > 1, scale=self.scale)
        else:
            y = cache.attend(q, k, v, mask, dropout_p=p, scale=self.scale)
        y = y if length == 1 else permute_dims(y, (0, 2, 1, 3))
        return self.c_proj(reshape(y, (n, length, width)))


class _MLP(Module):
    """Two linear layers with GELU, in its form with tanh, between them."""

    def __init__(self, width: int, bias: bool, **place: Any):
        self.c_fc = Linear(width, 4 * width, bias, **place)
        self.c_proj = Linear(4 * width, width, bias, **place)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.linear(x, self.c_fc.weight, self.c_fc.bias, activation="gelu"))


class _Block(Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(
        self, width: int, heads: int, bias: bool, dropout: float, eps: float, scale: float | None, **place: Any
    ):
        self.ln_1 = LayerNorm(width, eps=eps, bias=bias, **place)
        self.attn = _Attention(width, heads, bias, dropout, scale, **place)
        self.ln_2 = LayerNorm(width, eps=eps, bias=bias, **place)
        self.mlp = _MLP(width, bias, **place)
        self.resid_dropout = Dropout(dropout)

    @recordable
    def forward(self, x: Tensor, mask: Tensor | None, cache: LayerCache | None) -> Tensor:
        x = x + self.resid_dropout(self.attn(self.ln_1(x), mask, cache))
        return x + self.resid_dropout(self.mlp(self.ln_2(x)))


class GPT2(LanguageModel):
    """GPT-2: learned positions, blocks with the norm in front, the table of tokens as output weights, too.

    Called with `(tokens, attention_mask=None, cache=None)`, see `LanguageModel`. Weights start as N(0, 0.02²), those that end
    a branch as N(0, 0.02²/(2·layers)), biases as 0. Names are those of Hugging Face's `GPT2Model`; linear weights lie as in
    `Linear`, (out, in): `models.load_pretrained` turns those of a file.

    Parameters
    ----------
    vocab_size : int, default 50257
        How many tokens there are.
    context : int, default 1024
        The greatest length.
    width : int, default 768
        Of embeddings and features.
    layers : int, default 12
        Blocks.
    heads : int, default 12
        Of attention; a divisor of width.
    bias : bool, default True
        Whether linear layers and norms have biases.
    dropout : float, default 0.0
        Of embeddings, attention weights and branches, in training.
    eps : float, default 1e-5
        Of the norms.
    scale_attn_weights : bool, default True
        Whether products of queries and keys are divided by the square root of a head's width.
    scale_attn_by_inverse_layer_idx : bool, default False
        Whether those of block i = 0, 1, … are divided by i + 1, too.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If a size is less than 1, or `heads` does not divide `width`; in a call, if shapes do not fit or the tokens exceed the
        context.

    References
    ----------
    Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).

    Examples
    --------
    >>> model = nn.models.GPT2(vocab_size=11, context=8, width=16, layers=1, heads=2)
    >>> model(weft.tensor([[1, 2, 3]])).shape
    (1, 3, 11)
    """

    def __init__(
        self,
        vocab_size: int = 50257,
        context: int = 1024,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        eps: float = 1e-5,
        scale_attn_weights: bool = True,
        scale_attn_by_inverse_layer_idx: bool = False,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.counts(vocab_size=vocab_size, context=context, width=width, layers=layers, heads=heads)
        if width % heads:
            raise ValueError(f"`heads` must divide `width`, {width}, got {heads}")
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.vocab_size, self.context, self.n_layer = vocab_size, context, layers
        self.wte = Embedding(vocab_size, width, **place)
        self.wpe = Embedding(context, width, **place)
        self.drop = Dropout(dropout)
        usual = math.sqrt(heads / width) if scale_attn_weights else 1.0
        scales: list[float | None] = [None if scale_attn_weights else usual] * layers
        if scale_attn_by_inverse_layer_idx:
            scales = [usual / (i + 1) for i in range(layers)]
        self.h = ModuleList([_Block(width, heads, bias, dropout, eps, scale, **place) for scale in scales])
        self.ln_f = LayerNorm(width, eps=eps, bias=bias, **place)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                init.zeros_(p)
            elif "ln_" not in name:
                init.normal_(p, std=0.02 / math.sqrt(2 * self.n_layer) if name.endswith("c_proj.weight") else 0.02)

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
        x = self.drop(self.wte(tokens) + self.wpe(positions))
        with kept(cache):
            for i, block in enumerate(self.h):
                x = block(x, mask, None if cache is None else cache[i])
            return self.ln_f(x)

    def _readers(self) -> list[Module]:
        return [module for block in self.h for module in (block, getattr(block, "attn", block))]

    def output_weight(self) -> Tensor:
        """The table of tokens.

        Returns
        -------
        Tensor
            `wte.weight`.
        """
        return self.wte.weight
