"""One layer of a Transformer's encoder, one of its decoder, and a gated network for the positions in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..backend.tape.tensor import DType, Tensor
from . import functional as F
from .activation import ReLU
from .attention import MultiheadAttention
from .cache import LayerCache, check_part, kept
from .dropout import Dropout
from .functional import _check as check
from .linear import Linear
from .module import Layer, Module
from .normalization import LayerNorm

__all__ = ["SwiGLUBlock", "TransformerDecoderLayer", "TransformerEncoderLayer"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}
_RELU = ReLU()


class _TransformerLayer(Module):
    """What both have: attention to themselves and a network for each position, each with a residual around it."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
        activation: str | Callable[[Tensor], Tensor],
        layer_norm_eps: float,
        batch_first: bool,
        norm_first: bool,
        bias: bool,
        sublayers: int,
        place: dict[str, Any],
    ):
        if isinstance(activation, str):
            check.one_of("activation", activation, list(ACTIVATIONS))
            activation = ACTIVATIONS[activation]
        attention = ["self_attn", "multihead_attn"][: sublayers - 1]
        for name in attention:
            setattr(self, name, MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **place))
        self.linear1 = Linear(d_model, dim_feedforward, bias, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **place)
        self.norm_first = norm_first
        for i in range(1, sublayers + 1):
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias, **place))
        for i in range(1, sublayers + 1):
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = activation

    def _sublayer(self, x: Tensor, norm: Module, dropout: Module, f: Callable[[Tensor], Tensor]) -> Tensor:
        """norm(x + dropout(f(x))), or with `norm_first` x + dropout(f(norm(x)))."""
        y = f(norm(x)) if self.norm_first else f(x)
        if type(dropout) is Dropout and dropout._hooks is None:
            y = F.dropout_add(y, x, dropout.p, dropout.training)
        else:
            y = x + dropout(y)
        return y if self.norm_first else norm(y)

    def _attend(
        self,
        attention: MultiheadAttention,
        x: Tensor,
        memory: Tensor | None,
        mask: Tensor | None,
        padding: Tensor | None,
        causal: bool,
        cache: LayerCache | None,
    ) -> Tensor:
        memory = x if memory is None else memory
        return attention(x, memory, memory, padding, False, mask, is_causal=causal, cache=cache)[0]

    def _feed_forward(self, x: Tensor) -> Tensor:
        hidden = self.linear1._fused(_RELU, x) if self.activation is F.relu else NotImplemented
        if hidden is NotImplemented:
            hidden = self.activation(self.linear1(x))
        return self.linear2(self.dropout(hidden))

    def extra_repr(self) -> str:
        return f"norm_first={self.norm_first}"


class TransformerEncoderLayer(_TransformerLayer):
    """Attention to itself and a network for each position, as `torch.nn.TransformerEncoderLayer`.

    x ← norm1(x + dropout1(self_attn(x))), x ← norm2(x + dropout2(linear2(dropout(activation(linear1(x)))))), or, with
    `norm_first`, x ← x + dropout1(self_attn(norm1(x))) and so on. With a causal mask it is the layer of a GPT.

    Called with `(src, src_mask=None, src_key_padding_mask=None, is_causal=False, *, cache=None)`: src and the output (L, N, E),
    (N, L, E) with `batch_first`, or (L, E); masks and `is_causal` as for `MultiheadAttention`; `cache`, the layer's part of a
    `KeyValueCache`, has the keys and values of what went before (not in PyTorch).

    Parameters
    ----------
    d_model : int
        E, the width of inputs and outputs.
    nhead : int
        Number of heads, a divisor of E.
    dim_feedforward : int, default 2048
        Width between `linear1` and `linear2`.
    dropout : float, default 0.1
        Probability for both residuals, the hidden layer and the attention weights.
    activation : {"relu", "gelu"} or callable, default "relu"
        The function between the linear layers.
    layer_norm_eps : float, default 1e-5
        eps of the normalisations.
    batch_first : bool, default False
        Whether the batch is the first axis.
    norm_first : bool, default False
        Whether sublayers begin with the normalisation, or the sum with what passes by ends in it.
    bias : bool, default True
        Whether linear layers and normalisations have biases.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If `nhead` does not divide `d_model`, `dropout` is outside [0, 1], or `activation` is another word.

    References
    ----------
    Vaswani et al., "Attention Is All You Need" (2017); Xiong et al., "On Layer Normalization in the Transformer
    Architecture" (2020).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)(weft.randn(3, 5, 8)).shape
    (3, 5, 8)
    """

    self_attn: MultiheadAttention
    norm1: LayerNorm
    norm2: LayerNorm
    dropout1: Dropout
    dropout2: Dropout

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        sizes = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps
        super().__init__(*sizes, batch_first, norm_first, bias, 2, {"device": device, "dtype": dtype})

    if TYPE_CHECKING:

        def __call__(
            self,
            src: Tensor,
            src_mask: Tensor | None = None,
            src_key_padding_mask: Tensor | None = None,
            is_causal: bool = False,
            *,
            cache: LayerCache | None = None,
        ) -> Tensor: ...

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
        *,
        cache: LayerCache | None = None,
    ) -> Tensor:
        def attend(x: Tensor) -> Tensor:
            return self._attend(self.self_attn, x, None, src_mask, src_key_padding_mask, is_causal, cache)

        check_part(cache)
        with kept(cache):
            x = self._sublayer(src, self.norm1, self.dropout1, attend)
            return self._sublayer(x, self.norm2, self.dropout2, self._feed_forward)


class TransformerDecoderLayer(_TransformerLayer):
    """Attention to itself, attention to the encoder's output, and a network for each position.

    As `torch.nn.TransformerDecoderLayer`: the three sublayers `self_attn`, `multihead_attn` and `linear1` … `linear2` with
    residuals and normalisations as in `TransformerEncoderLayer`. Without `tgt_mask` it is not causal.

    Called with `(tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None, memory_key_padding_mask=None,
    tgt_is_causal=False, memory_is_causal=False, *, cache=None)`: tgt and the output (T, N, E), memory (S, N, E). With
    `cache`, the layer's part of a `KeyValueCache`, the memory is projected once, in the first call (not in PyTorch).

    Parameters
    ----------
    d_model : int
        E, the width of inputs and outputs.
    nhead : int
        Number of heads, a divisor of E.
    dim_feedforward : int, default 2048
        Width between `linear1` and `linear2`.
    dropout : float, default 0.1
        Probability for the residuals, the hidden layer and the attention weights.
    activation : {"relu", "gelu"} or callable, default "relu"
        The function between the linear layers.
    layer_norm_eps : float, default 1e-5
        eps of the normalisations.
    batch_first : bool, default False
        Whether the batch is the first axis.
    norm_first : bool, default False
        Whether sublayers begin with the normalisation, or the sum with what passes by ends in it.
    bias : bool, default True
        Whether linear layers and normalisations have biases.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If `nhead` does not divide `d_model`, `dropout` is outside [0, 1], or `activation` is another word.

    References
    ----------
    Vaswani et al., "Attention Is All You Need" (2017).

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    >>> layer(weft.randn(3, 5, 8), weft.randn(3, 7, 8)).shape
    (3, 5, 8)
    """

    self_attn: MultiheadAttention
    multihead_attn: MultiheadAttention
    norm1: LayerNorm
    norm2: LayerNorm
    norm3: LayerNorm
    dropout1: Dropout
    dropout2: Dropout
    dropout3: Dropout

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        sizes = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps
        super().__init__(*sizes, batch_first, norm_first, bias, 3, {"device": device, "dtype": dtype})

    if TYPE_CHECKING:

        def __call__(
            self,
            tgt: Tensor,
            memory: Tensor,
            tgt_mask: Tensor | None = None,
            memory_mask: Tensor | None = None,
            tgt_key_padding_mask: Tensor | None = None,
            memory_key_padding_mask: Tensor | None = None,
            tgt_is_causal: bool = False,
            memory_is_causal: bool = False,
            *,
            cache: LayerCache | None = None,
        ) -> Tensor: ...

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
        *,
        cache: LayerCache | None = None,
    ) -> Tensor:
        def attend(x: Tensor) -> Tensor:
            return self._attend(self.self_attn, x, None, tgt_mask, tgt_key_padding_mask, tgt_is_causal, cache)

        def look_up(x: Tensor) -> Tensor:
            batch_first = self.multihead_attn.batch_first or memory.ndim == 2
            past = None if cache is None else cache.memory(memory.shape[-2 if batch_first else 0])
            mask, padding = memory_mask, memory_key_padding_mask
            return self._attend(self.multihead_attn, x, memory, mask, padding, memory_is_causal, past)

        check_part(cache)
        with kept(cache):
            x = self._sublayer(tgt, self.norm1, self.dropout1, attend)
            x = self._sublayer(x, self.norm2, self.dropout2, look_up)
            return self._sublayer(x, self.norm3, self.dropout3, self._feed_forward)


class SwiGLUBlock(Layer):
    """The gated network for each position that takes the place of two linear layers: y = W_down (W_up x · silu(W_gate x)).

    Shapes: x (…, in_features), `gate_proj.weight` and `up_proj.weight` (hidden_features, in_features), `down_proj.weight`
    (out_features, hidden_features): Llama's names. (Not in PyTorch.)

    Parameters
    ----------
    in_features : int
        Length of the last axis of x.
    hidden_features : int, optional
        Width between the products; unless given, 8/3 of in_features up to a multiple of 8: as many weights as two linear layers
        with 4 · in_features between them.
    out_features : int, optional
        Length of the last axis of y; in_features unless given.
    bias : bool, default False
        Whether the linear layers have biases.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    References
    ----------
    Shazeer, "GLU Variants Improve Transformer" (2020).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.SwiGLUBlock(8, 24)(weft.ones((2, 5, 8))).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        bias: bool = False,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        hidden = -(-in_features // 3) * 8 if hidden_features is None else hidden_features
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.gate_proj = Linear(in_features, hidden, bias, **place)
        self.up_proj = Linear(in_features, hidden, bias, **place)
        self.down_proj = Linear(hidden, in_features if out_features is None else out_features, bias, **place)

    def forward(self, input: Tensor) -> Tensor:
        return self.down_proj(F.swiglu(self.up_proj(input), self.gate_proj(input)))
