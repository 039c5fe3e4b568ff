"""Language models whose memory of a text is the state of recurrent layers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..backend.array.creation import asarray
from ..backend.array.indexing import take, where
from ..backend.array.manipulation import reshape
from ..backend.tape.tensor import DType, Tensor
from .dropout import Dropout
from .embedding import Embedding
from .functional import _check as check
from .language_model import LanguageModel, check_mask, check_tokens
from .linear import Linear
from .packed_sequence import pack_padded_sequence, pad_packed_sequence
from .recurrent import GRU, LSTM
from .state_cache import StateCache

__all__ = ["RecurrentLM"]

CELLS: dict[str, type[LSTM | GRU]] = {"lstm": LSTM, "gru": GRU}


class RecurrentLM(LanguageModel):
    """A language model of LSTM or GRU layers: a table of tokens, the layers, a table for the logits, no biases at either.

    Called with `(tokens, attention_mask=None, cache=None)`, see `LanguageModel`. There is no greatest length: `context` is
    sys.maxsize. A cache is a `StateCache`. Features of padding are 0. Weights start as those of `Embedding`, `LSTM` or `GRU`,
    and `Linear`.

    Parameters
    ----------
    cell : {"lstm", "gru"}
        Of which kind the layers are.
    vocab_size : int
        How many tokens there are.
    width : int, default 256
        Of embeddings, states and features.
    layers : int, default 2
        How many, each on the output of the one before.
    dropout : float, default 0.0
        Of embeddings, of outputs between layers, and of features, in training.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    TypeError
        If a size is no int.
    ValueError
        If `cell` is another word or a size not positive; in a call, if shapes do not fit, or padding is not to the left.

    References
    ----------
    Graves, "Generating Sequences With Recurrent Neural Networks" (2013); Zaremba et al., "Recurrent Neural Network
    Regularization" (2014), for where dropout is.

    Examples
    --------
    >>> model = nn.models.RecurrentLM("lstm", vocab_size=11, width=16)
    >>> model(weft.tensor([[1, 2, 3]])).shape
    (1, 3, 11)

    Truncated backpropagation through time: a long text in pieces, with gradients that end where a piece begins.

    >>> cache = model.new_cache()
    >>> for piece in weft.tensor([[1, 2, 3, 4, 5, 6]]).reshape(2, 1, 3):
    ...     model(piece, cache=cache).sum().backward()
    >>> cache.length
    6
    """

    def __init__(
        self,
        cell: str,
        vocab_size: int,
        width: int = 256,
        layers: int = 2,
        *,
        dropout: float = 0.0,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.one_of("cell", cell, list(CELLS))
        check.counts(vocab_size=vocab_size, width=width, layers=layers)
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.vocab_size, self.context, self.n_layer = vocab_size, sys.maxsize, layers
        self.embedding = Embedding(vocab_size, width, **place)
        between = dropout if layers > 1 else 0.0
        self.rnn = CELLS[cell](width, width, layers, batch_first=True, dropout=between, **place)
        self.head = Linear(width, vocab_size, False, **place)
        self.drop = Dropout(dropout)

    def features(self, tokens: Tensor, attention_mask: Tensor | None = None, cache: Any = None) -> Tensor:
        """What the last layer makes of each token.

        Parameters
        ----------
        tokens : Tensor
            (N, L).
        attention_mask : Tensor, optional
            (N, S), which of all tokens count; the host looks at it.
        cache : StateCache, optional
            Of what was read before.

        Returns
        -------
        Tensor
            (N, L, width).
        """
        check_tokens(tokens)
        if cache is not None and not isinstance(cache, StateCache):
            raise TypeError(f"`cache` must be a StateCache, got {type(cache).__name__}; make one: model.new_cache()")
        state = None if cache is None else cache.state
        x = self.drop(self.embedding(tokens))
        if attention_mask is None:
            y, state = self.rnn(x, state)
        else:
            check_mask(attention_mask, tokens, 0 if cache is None else cache.length)
            y, state = self._behind_padding(x, attention_mask[:, -tokens.shape[1] :].cpu().numpy() != 0, state)
        if cache is not None:
            cache.advance(tokens.shape[1], state)
        return self.drop(y)

    def output_weight(self) -> Tensor:
        """The table that features are multiplied by.

        Returns
        -------
        Tensor
            `head.weight`.
        """
        return self.head.weight

    def new_cache(self, max_length: int | None = None) -> StateCache:
        """An empty cache for this model.

        Parameters
        ----------
        max_length : int, optional
            Of no matter: a state has room for any number of tokens.

        Returns
        -------
        StateCache
            Of all layers.
        """
        return StateCache()

    def _behind_padding(self, x: Tensor, counts: np.ndarray, state: Any) -> tuple[Tensor, Any]:
        """Outputs (N, L, width) and states where `counts` (N, L): rows are turned until their padding is at the end."""
        if (np.diff(counts.astype(int), axis=1) < 0).any():
            raise ValueError(
                "`attention_mask` must be False to the left of a row's tokens alone, got it behind a token"
            )
        length, lengths = counts.shape[1], counts.sum(axis=1)
        padding, read = (length - lengths)[:, None], np.maximum(lengths, 1)
        packed = pack_padded_sequence(_turned(x, padding), read, batch_first=True, enforce_sorted=False)
        packed, after = self.rnn(packed, state)
        y, _ = pad_packed_sequence(packed, batch_first=True, total_length=length)
        if lengths.all():
            return _turned(y, -padding), after
        begun = asarray(lengths > 0, device=x.device)[:, None]  # of other rows, what was read is padding
        if isinstance(after, Tensor):
            after = where(begun, after, 0.0 if state is None else state)
        else:
            after = tuple(where(begun, s, 0.0 if state is None else state[i]) for i, s in enumerate(after))
        return where(begun[:, None], _turned(y, -padding), 0.0), after


def _turned(x: Tensor, by: np.ndarray) -> Tensor:
    """Each row of x (N, L, width) turned to the left, `by` (N, 1) places."""
    n, length, width = x.shape
    index = (np.arange(length) + by) % length + length * np.arange(n)[:, None]
    return reshape(take(reshape(x, (-1, width)), asarray(index.ravel(), device=x.device), axis=0), x.shape)
