"""A Transformer that translates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backend.array.indexing import take
from ..backend.array.manipulation import expand_dims, stack
from ..backend.tape.tensor import DType, Tensor
from . import init
from .cache import KeyValueCache
from .dropout import Dropout
from .embedding import Embedding
from .encoder_decoder import PAD, EncoderDecoder, check_sizes
from .functional import _check as check
from .positional import SinusoidalPositionalEncoding
from .transformer import Transformer, _causal_mask

__all__ = ["TransformerTranslator"]


class TransformerTranslator(EncoderDecoder):
    """Encoder and decoder with the norms in front, sinusoidal positions; the target's embeddings are the output weights, too.

    x = √width · E[token] + position, through `Transformer`; logits are its output times E of the target. Embeddings start as
    N(0, 1/width), other matrices as Xavier-uniform. Called with `(source, target)`, see `EncoderDecoder`.

    Parameters
    ----------
    source_size, target_size : int
        Of the vocabularies.
    width : int, default 256
        Of embeddings and features.
    layers : int, default 3
        Of encoder and decoder each.
    heads : int, default 4
        Of attention; a divisor of width.
    hidden : int, optional
        Width of the network for each position; 4 · width unless given.
    dropout : float, default 0.1
        Of embeddings, attention weights and branches, in training.
    context : int, default 256
        The greatest length of source and target.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If a size is out of range, or `heads` does not divide `width`; in a call, if shapes do not fit.

    References
    ----------
    Vaswani et al., "Attention Is All You Need" (2017); Press, Wolf, "Using the Output Embedding to Improve Language Models"
    (2017), for tied weights.

    Examples
    --------
    >>> model = nn.models.TransformerTranslator(11, 13, width=8, layers=1, heads=2)
    >>> model(weft.tensor([[4, 5, 2]]), weft.tensor([[1, 6]])).shape
    (1, 2, 13)
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        width: int = 256,
        layers: int = 3,
        heads: int = 4,
        hidden: int | None = None,
        *,
        dropout: float = 0.1,
        context: int = 256,
        device: str | None = None,
        dtype: DType = None,
    ):
        check_sizes(source_size, target_size, width, context, layers)
        hidden = 4 * width if hidden is None else hidden
        check.counts(heads=heads, hidden=hidden)
        if width % heads:
            raise ValueError(f"`heads` must divide `width`, {width}, got {heads}")
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.source_size, self.target_size, self.context = source_size, target_size, context
        self.width, self.layers = width, layers
        self.source_embedding = Embedding(source_size, width, **place)
        self.target_embedding = Embedding(target_size, width, **place)
        for table in (self.source_embedding, self.target_embedding):
            init.normal_(table.weight, std=width**-0.5)
        self.position = SinusoidalPositionalEncoding(width, batch_first=True)
        self.dropout = Dropout(dropout)
        sizes = width, heads, layers, layers, hidden
        self.transformer = Transformer(*sizes, dropout, batch_first=True, norm_first=True, **place)

    def _embedded(self, table: Embedding, tokens: Tensor, first: int = 0) -> Tensor:
        return self.dropout(self.position(table(tokens) * math.sqrt(self.width), first))

    def _encoded(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoder makes of the source, and where this is padding."""
        padding = source == PAD
        x = self._embedded(self.source_embedding, source)
        return self.transformer.encoder(x, src_key_padding_mask=padding), padding

    def features(self, source: Tensor, target: Tensor) -> Tensor:
        """What the decoder makes of each target token.

        Parameters
        ----------
        source : Tensor
            (N, S).
        target : Tensor
            (N, T).

        Returns
        -------
        Tensor
            (N, T, width).
        """
        self._check_tokens(source=source, target=target)
        memory, padding = self._encoded(source)
        x = self._embedded(self.target_embedding, target)
        mask = _causal_mask(target.shape[1], x.device, x.dtype)
        options: dict[str, Any] = {"memory_key_padding_mask": padding, "tgt_is_causal": True}
        return self.transformer.decoder(x, memory, mask, **options)

    def output(self) -> tuple[Tensor, Tensor | None]:
        """The target's table of embeddings, and no bias.

        Returns
        -------
        tuple
            `target_embedding.weight` and None.
        """
        return self.target_embedding.weight, None

    def attention(self, source: Tensor, target: Tensor) -> Tensor:
        """Weights over the source for each target token: the mean over layers and heads of the decoder.

        Parameters
        ----------
        source : Tensor
            (N, S).
        target : Tensor
            (N, T).

        Returns
        -------
        Tensor
            (N, T, S).
        """
        self._check_tokens(source=source, target=target)
        memory, padding = self._encoded(source)
        x = self._embedded(self.target_embedding, target)
        mask = _causal_mask(target.shape[1], x.device, x.dtype)
        weights = []
        decoder: Any = self.transformer.decoder
        for layer in decoder.layers:
            normed = layer.norm1(x)
            y = x + layer.dropout1(layer.self_attn(normed, normed, normed, None, False, mask)[0])
            weights.append(layer.multihead_attn(layer.norm2(y), memory, memory, padding)[1])
            x = layer(x, memory, mask, memory_key_padding_mask=padding, tgt_is_causal=True)
        return stack(weights).mean(axis=0)

    def start(self, source: Tensor, max_length: int) -> Callable[[Tensor, Tensor], Tensor]:
        """Read the source, and give what decodes step by step, with a `KeyValueCache`.

        Parameters
        ----------
        source : Tensor
            (N, S).
        max_length : int
            How many steps there may be.

        Returns
        -------
        callable
            `(tokens, rows)`, both (R,) → features (R, width).
        """
        self._check_tokens(source=source)
        memory, padding = self._encoded(source)
        cache = KeyValueCache(self.layers, max_length)

        def step(tokens: Tensor, rows: Tensor) -> Tensor:
            nonlocal memory, padding
            memory, padding = take(memory, rows, axis=0), take(padding, rows, axis=0)
            cache.reorder(rows)
            x = self._embedded(self.target_embedding, expand_dims(tokens, axis=1), cache.length)
            return self.transformer.decoder(x, memory, memory_key_padding_mask=padding, cache=cache)[:, 0, :]

        return step
