"""An LSTM that reads, and one that writes and looks back by attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backend.array.creation import full, zeros
from ..backend.array.indexing import take, where
from ..backend.array.manipulation import concat, expand_dims, matrix_transpose, permute_dims, reshape
from ..backend.array.products import matmul
from ..backend.tape.tensor import DType, Parameter, Tensor
from . import functional as F
from . import init
from .dropout import Dropout
from .embedding import Embedding
from .encoder_decoder import PAD, EncoderDecoder, check_sizes
from .linear import Linear
from .packed_sequence import pack_padded_sequence, pad_packed_sequence
from .recurrent import LSTM

__all__ = ["LSTMTranslator"]

State = tuple[Tensor, Tensor]


class LSTMTranslator(EncoderDecoder):
    """An LSTM encoder in both directions, an LSTM decoder, and Luong's attention from the one to the other.

    With e_s the encoder's outputs and h_t the decoder's: weights a_ts = softmax_s(h_tᵀ W e_s) ("general"), the context
    c_t = Σ_s a_ts e_s, features tanh(V [c_t, h_t]), logits their product with the target's embeddings, tied, plus a bias. The
    decoder starts from the encoder's last states, both directions side by side. Attention does not feed back into the
    recurrence (no input feeding), so that in training the decoder runs over the whole target at once. The host reads where
    the padding of the sources begins: a step cannot be captured, and runs as usual.

    Parameters
    ----------
    source_size, target_size : int
        Of the vocabularies.
    width : int, default 256
        Of embeddings, states and features; even.
    layers : int, default 1
        Of encoder and decoder each.
    dropout : float, default 0.2
        Of embeddings, between layers, and of features, in training.
    context : int, default 256
        The greatest length of source and target.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If a size is out of range, or `width` is odd; in a call, if shapes do not fit, or a source has nothing but padding.

    References
    ----------
    Luong, Pham, Manning, "Effective Approaches to Attention-based Neural Machine Translation" (2015).

    Examples
    --------
    >>> model = nn.models.LSTMTranslator(11, 13, width=8)
    >>> model(weft.tensor([[4, 5, 2]]), weft.tensor([[1, 6]])).shape
    (1, 2, 13)
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        width: int = 256,
        layers: int = 1,
        *,
        dropout: float = 0.2,
        context: int = 256,
        device: str | None = None,
        dtype: DType = None,
    ):
        check_sizes(source_size, target_size, width, context, layers)
        if width % 2:
            raise ValueError(f"`width` must be even, half of it for each direction, got {width}")
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.source_size, self.target_size, self.context = source_size, target_size, context
        self.source_embedding = Embedding(source_size, width, **place)
        self.target_embedding = Embedding(target_size, width, **place)
        for table in (self.source_embedding, self.target_embedding):
            init.normal_(table.weight, std=width**-0.5)
        between = dropout if layers > 1 else 0.0
        self.encoder = LSTM(width, width // 2, layers, batch_first=True, dropout=between, bidirectional=True, **place)
        self.decoder = LSTM(width, width, layers, batch_first=True, dropout=between, **place)
        self.score = Linear(width, width, bias=False, **place)
        self.combine = Linear(2 * width, width, bias=False, **place)
        self.output_bias = Parameter(zeros(target_size, **place))
        self.dropout = Dropout(dropout)
        self.scale = math.sqrt(width)

    def _encoded(self, source: Tensor) -> tuple[Tensor, Tensor, State]:
        """Outputs (N, S, width), their padding as 0 or −∞ (N, 1, S), and the states that the decoder starts from."""
        padding = source == PAD
        lengths = (source != PAD).sum(axis=1)
        packed = pack_padded_sequence(
            self.dropout(self.source_embedding(source) * self.scale), lengths, batch_first=True, enforce_sorted=False
        )
        outputs, (h, c) = self.encoder(packed)
        memory, _ = pad_packed_sequence(outputs, batch_first=True, total_length=source.shape[1])
        mask = _additive(padding, memory)
        return memory, expand_dims(mask, axis=1), (self._joined(h), self._joined(c))

    def _joined(self, state: Tensor) -> Tensor:
        """(2·layers, N, width/2) → (layers, N, width)."""
        n = state.shape[1]
        both = permute_dims(reshape(state, (-1, 2, n, state.shape[2])), (0, 2, 1, 3))
        return reshape(both, (both.shape[0], n, 2 * state.shape[2]))

    def _decoded(self, target: Tensor, state: State) -> tuple[Tensor, State]:
        return self.decoder(self.dropout(self.target_embedding(target) * self.scale), state)

    def _weights(self, h: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """a (N, T, S)."""
        return F.softmax(matmul(self.score(h), matrix_transpose(memory)) + mask, dim=-1)

    def _looked_up(self, h: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        context = matmul(self._weights(h, memory, mask), memory)
        return self.dropout(F.tanh(self.combine(concat([context, h], axis=-1))))

    def features(self, source: Tensor, target: Tensor) -> Tensor:
        """What the decoder and its attention make of each target token.

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
        memory, mask, state = self._encoded(source)
        return self._looked_up(self._decoded(target, state)[0], memory, mask)

    def output(self) -> tuple[Tensor, Tensor | None]:
        """The target's table of embeddings, and a bias.

        Returns
        -------
        tuple
            `target_embedding.weight` and `output_bias`.
        """
        return self.target_embedding.weight, self.output_bias

    def attention(self, source: Tensor, target: Tensor) -> Tensor:
        """The weights a over the source for each target token.

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
        memory, mask, state = self._encoded(source)
        return self._weights(self._decoded(target, state)[0], memory, mask)

    def start(self, source: Tensor, max_length: int) -> Callable[[Tensor, Tensor], Tensor]:
        """Read the source, and give what decodes step by step.

        Parameters
        ----------
        source : Tensor
            (N, S).
        max_length : int
            How many steps there may be; any number.

        Returns
        -------
        callable
            `(tokens, rows)`, both (R,) → features (R, width).
        """
        self._check_tokens(source=source)
        memory, mask, state = self._encoded(source)

        def step(tokens: Tensor, rows: Tensor) -> Tensor:
            nonlocal memory, mask, state
            memory, mask = take(memory, rows, axis=0), take(mask, rows, axis=0)
            before = take(state[0], rows, axis=1), take(state[1], rows, axis=1)
            h, state = self._decoded(expand_dims(tokens, axis=1), before)
            return self._looked_up(h, memory, mask)[:, 0, :]

        return step


def _additive(padding: Tensor, like: Tensor) -> Tensor:
    """−∞ where there is padding, 0 elsewhere."""
    low = full((), -math.inf, dtype=like.dtype, device=like.device)
    return where(padding, low, full((), 0.0, dtype=like.dtype, device=like.device))
