"""The Transformer: stacks of its layers, and encoder and decoder together."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend.array.creation import full, triu
from ..backend.device.options import integer
from ..backend.tape.tensor import DType, Tensor
from . import functional as F
from . import init
from .cache import KeyValueCache, check_parts, kept
from .containers import ModuleList
from .module import Module
from .normalization import LayerNorm
from .transformer_layer import TransformerDecoderLayer, TransformerEncoderLayer

__all__ = ["Transformer", "TransformerDecoder", "TransformerEncoder"]


def _causal_mask(length: int, device: str | None = None, dtype: DType = None) -> Tensor:
    """−∞ above the diagonal, 0 elsewhere."""
    return triu(full((length, length), -math.inf, device=device, dtype=dtype), k=1)


def _is_causal(mask: Tensor | None, hint: bool | None, x: Tensor, batch_first: bool) -> bool:
    """The hint, or without one whether the mask is the causal one: on a CPU, where it can be read at no cost."""
    if hint is not None or mask is None or not isinstance(mask.data, np.ndarray):
        return bool(hint)
    length = x.shape[0 if x.ndim == 3 and not batch_first else -2]
    if mask.shape != (length, length):
        return False
    later = np.triu(np.ones((length, length), bool), 1)
    if mask.dtype == bool:
        return np.array_equal(mask.data, later)
    return not mask.requires_grad and np.array_equal(mask.data, np.where(later, -np.inf, 0.0).astype(mask.dtype))


class _Stack(Module):
    """Copies of a layer, one after the other, and a normalisation at the end."""

    def __init__(self, layer: Module, num_layers: int, norm: Module | None):
        integer("num_layers", num_layers)
        if num_layers < 1:
            raise ValueError(f"`num_layers` must be at least 1, got {num_layers}")
        self.layers = ModuleList(copy.deepcopy(layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm

    def _through(self, x: Tensor, cache: KeyValueCache | None, run: Callable[..., Tensor]) -> Tensor:
        check_parts(cache, self.num_layers)
        with kept(cache):
            for i, layer in enumerate(self.layers):
                x = run(layer, x, cache=None if cache is None else cache[i])
            return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """A stack of encoder layers, as `torch.nn.TransformerEncoder`.

    The layers are copies of the one that is given, equal at first. Called with `(src, mask=None, src_key_padding_mask=None,
    is_causal=None, *, cache=None)`, as the layer is; `is_causal=None` finds out on a CPU whether the mask is the causal one.

    Parameters
    ----------
    encoder_layer : TransformerEncoderLayer
        What is copied.
    num_layers : int
        How often.
    norm : Module, optional
        Applied at the end; none unless given, also with `norm_first`.
    enable_nested_tensor : bool, default True
        PyTorch's argument; it changes nothing.
    mask_check : bool, default True
        PyTorch's argument; it changes nothing.

    Raises
    ------
    ValueError
        If `num_layers` is less than 1; in a call, if `cache` has not a part for each layer.

    Notes
    -----
    Outputs at padded positions are those of the formula, always. In evaluation without gradients PyTorch leaves these
    positions out where all are at the end, and writes zeros there.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> nn.TransformerEncoder(layer, 2)(weft.randn(3, 5, 8)).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        encoder_layer: TransformerEncoderLayer,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ):
        super().__init__(encoder_layer, num_layers, norm)
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    if TYPE_CHECKING:

        def __call__(
            self,
            src: Tensor,
            mask: Tensor | None = None,
            src_key_padding_mask: Tensor | None = None,
            is_causal: bool | None = None,
            *,
            cache: KeyValueCache | None = None,
        ) -> Tensor: ...

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
        *,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        causal = _is_causal(mask, is_causal, src, self.layers[0].self_attn.batch_first)

        def run(layer: Module, x: Tensor, **cached: Any) -> Tensor:
            return layer(x, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=causal, **cached)

        return self._through(src, cache, run)


class TransformerDecoder(_Stack):
    """A stack of decoder layers, as `torch.nn.TransformerDecoder`.

    The layers are copies of the one that is given, equal at first. Called with `(tgt, memory, tgt_mask=None, memory_mask=None,
    tgt_key_padding_mask=None, memory_key_padding_mask=None, tgt_is_causal=None, memory_is_causal=False, *, cache=None)`, as
    the layer is; `tgt_is_causal=None` finds out on a CPU whether the mask is the causal one.

    Parameters
    ----------
    decoder_layer : TransformerDecoderLayer
        What is copied.
    num_layers : int
        How often.
    norm : Module, optional
        Applied at the end; none unless given, also with `norm_first`.

    Raises
    ------
    ValueError
        If `num_layers` is less than 1; in a call, if `cache` has not a part for each layer.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    >>> nn.TransformerDecoder(layer, 2)(weft.randn(3, 5, 8), weft.randn(3, 7, 8)).shape
    (3, 5, 8)
    """

    def __init__(self, decoder_layer: TransformerDecoderLayer, num_layers: int, norm: Module | None = None):
        super().__init__(decoder_layer, num_layers, norm)

    if TYPE_CHECKING:

        def __call__(
            self,
            tgt: Tensor,
            memory: Tensor,
            tgt_mask: Tensor | None = None,
            memory_mask: Tensor | None = None,
            tgt_key_padding_mask: Tensor | None = None,
            memory_key_padding_mask: Tensor | None = None,
            tgt_is_causal: bool | None = None,
            memory_is_causal: bool = False,
            *,
            cache: KeyValueCache | None = None,
        ) -> Tensor: ...

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
        *,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        causal = _is_causal(tgt_mask, tgt_is_causal, tgt, self.layers[0].self_attn.batch_first)
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, causal, memory_is_causal

        def run(layer: Module, x: Tensor, **cached: Any) -> Tensor:
            return layer(x, memory, *masks, **cached)

        return self._through(tgt, cache, run)


class Transformer(Module):
    """Encoder and decoder, as `torch.nn.Transformer`: (src, tgt) → output, shaped like tgt.

    Both end with a LayerNorm. All matrices start as Xavier-uniform. Neither is causal unless it gets a mask. Called with `(src,
    tgt, src_mask=None, tgt_mask=None, memory_mask=None, src_key_padding_mask=None, tgt_key_padding_mask=None,
    memory_key_padding_mask=None, src_is_causal=None, tgt_is_causal=None, memory_is_causal=False)`.

    Parameters
    ----------
    d_model : int, default 512
        E, the width of inputs and outputs.
    nhead : int, default 8
        Number of heads, a divisor of E.
    num_encoder_layers : int, default 6
        Layers of the encoder.
    num_decoder_layers : int, default 6
        Layers of the decoder.
    dim_feedforward : int, default 2048
        Width of the hidden layer for each position.
    dropout : float, default 0.1
        Probability for the residuals, the hidden layer and the attention weights.
    activation : {"relu", "gelu"} or callable, default "relu"
        The function in the hidden layer.
    custom_encoder : Module, optional
        What takes the encoder's place.
    custom_decoder : Module, optional
        What takes the decoder's place.
    layer_norm_eps : float, default 1e-5
        eps of the normalisations.
    batch_first : bool, default False
        Whether the batch is the first axis.
    norm_first : bool, default False
        Whether sublayers begin with the normalisation.
    bias : bool, default True
        Whether linear layers and normalisations have biases.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If a size does not fit; in a call, if batches or widths differ.

    References
    ----------
    Vaswani et al., "Attention Is All You Need" (2017).

    Examples
    --------
    >>> from weft import layers as nn
    >>> model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    >>> mask = nn.Transformer.generate_square_subsequent_mask(5)
    >>> model(weft.randn(3, 7, 8), weft.randn(3, 5, 8), tgt_mask=mask).shape
    (3, 5, 8)
    """

    encoder: Module
    decoder: Module

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        sizes = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, **place)

        if custom_encoder is None:
            custom_encoder = TransformerEncoder(TransformerEncoderLayer(*sizes, **place), num_encoder_layers, norm())
        if custom_decoder is None:
            custom_decoder = TransformerDecoder(TransformerDecoderLayer(*sizes, **place), num_decoder_layers, norm())
        self.encoder = custom_encoder
        self.decoder = custom_decoder
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw new matrices; biases and what normalises stay."""
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)

    if TYPE_CHECKING:

        def __call__(self, src: Tensor, tgt: Tensor, *masks: Tensor | None, **named: Any) -> Tensor: ...

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        batch = 0 if self.batch_first else 1
        if src.ndim != tgt.ndim or src.ndim not in (2, 3) or (src.ndim == 3 and src.shape[batch] != tgt.shape[batch]):
            raise ValueError(f"`src` and `tgt` must have the same batch, got {tuple(src.shape)} and {tuple(tgt.shape)}")
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ValueError(
                f"`src` and `tgt` must have the width d_model = {self.d_model}, got {tuple(src.shape)} and {tuple(tgt.shape)}"
            )
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: str | None = None, dtype: DType = None) -> Tensor:
        """The causal mask: −∞ above the diagonal, 0 elsewhere.

        Parameters
        ----------
        sz : int
            Length of the sequence.
        device : str, optional
            Where it is made; weft's default device unless given.
        dtype : data-type, optional
            Its floating-point dtype; weft's default dtype unless given.

        Returns
        -------
        Tensor
            (sz, sz).

        Raises
        ------
        TypeError
            If `sz` is no integer.
        ValueError
            If it is less than 0.
        """
        integer("sz", sz, 0)
        return _causal_mask(sz, device, dtype)
