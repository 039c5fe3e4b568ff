"""Attention as a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..backend.array.creation import empty
from ..backend.tape.tensor import DType, Parameter, Tensor
from . import functional as F
from . import init
from .cache import LayerCache, check_part
from .functional import _check as check
from .linear import Linear
from .module import Module

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Attention with several heads, as `torch.nn.MultiheadAttention`: headᵢ = attention(Q Wᵢ, K Wᵢ, V Wᵢ), joined by W.

    A call `(query, key, value, …)` gives the output and, if `need_weights`, the attention weights. With `need_weights=False`
    nothing of size L × S is ever in memory. In training, weights are those after dropout.

    Shapes: query (L, N, E), key (S, N, kdim), value (S, N, vdim), output (L, N, E); with `batch_first` N comes first; without
    a batch there is no N. Weights (N, L, S), or (N, H, L, S) unless averaged, whatever `batch_first`.

    `in_proj_weight` (3E, E) starts as Xavier-uniform over all of it; `q_proj_weight`, `k_proj_weight`, `v_proj_weight` take its
    place where kdim or vdim differ from E. `in_proj_bias` (3E,) and `out_proj.bias` start at 0.

    Parameters
    ----------
    embed_dim : int
        E, the width of queries and outputs.
    num_heads : int
        H, a divisor of E; each head is E/H wide.
    dropout : float, default 0.0
        Probability that an attention weight is dropped in training.
    bias : bool, default True
        Whether the projections have biases.
    add_bias_kv : bool, default False
        Whether a learned key and value, `bias_k` and `bias_v`, are put behind all others.
    add_zero_attn : bool, default False
        Whether a key and a value of zeros are put behind all others.
    kdim : int, optional
        Width of keys; E unless given.
    vdim : int, optional
        Width of values; E unless given.
    batch_first : bool, default False
        Whether the batch is the first axis.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If `num_heads` does not divide `embed_dim`, or `dropout` is outside [0, 1]; in a call, if shapes do not fit, or
        `is_causal` comes without a mask.
    TypeError
        In a call, if dtypes differ, or a mask is neither boolean nor of a floating-point dtype.

    Notes
    -----
    PyTorch's fused path for evaluation without gradients, which gives NaN where all keys are masked and ignores `is_causal`,
    has no counterpart: results do not depend on whether gradients are recorded.

    References
    ----------
    Vaswani et al., "Attention Is All You Need" (2017).

    Examples
    --------
    >>> from weft import layers as nn
    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True)
    >>> y, weights = attention(*[weft.randn(3, 5, 8)] * 3)
    >>> y.shape, weights.shape
    ((3, 5, 8), (3, 5, 5))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"`num_heads` must divide `embed_dim`, both at least 1, got {num_heads} and {embed_dim}")
        check.probability("dropout", dropout)
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.add_zero_attn = add_zero_attn
        self.batch_first = batch_first

        def parameter(there: bool, *shape: int) -> Parameter | None:
            return Parameter(empty(shape, device=device, dtype=dtype)) if there else None

        packed = self.kdim == self.vdim == embed_dim
        self.in_proj_weight = parameter(packed, 3 * embed_dim, embed_dim)
        self.q_proj_weight = parameter(not packed, embed_dim, embed_dim)
        self.k_proj_weight = parameter(not packed, embed_dim, self.kdim)
        self.v_proj_weight = parameter(not packed, embed_dim, self.vdim)
        self.in_proj_bias = parameter(bias, 3 * embed_dim)
        self.bias_k = parameter(add_bias_kv, 1, 1, embed_dim)
        self.bias_v = parameter(add_bias_kv, 1, 1, embed_dim)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw new initial values; `out_proj.weight` keeps its own."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    if TYPE_CHECKING:

        def __call__(
            self,
            query: Tensor,
            key: Tensor,
            value: Tensor,
            key_padding_mask: Tensor | None = None,
            need_weights: bool = True,
            attn_mask: Tensor | None = None,
            average_attn_weights: bool = True,
            is_causal: bool = False,
            *,
            cache: LayerCache | None = None,
        ) -> tuple[Tensor, Tensor | None]: ...

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
        *,
        cache: LayerCache | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """See `functional.multi_head_attention_forward` for masks, `is_causal` and `cache`."""
        check_part(cache)
        return F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            self.training,
            key_padding_mask,
            need_weights,
            attn_mask,
            self.in_proj_weight is None,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
            batch_first=self.batch_first,
            cache=cache,
        )

    def extra_repr(self) -> str:
        shown = [f"{self.embed_dim}, {self.num_heads}"]
        shown += [f"dropout={self.dropout}"] * bool(self.dropout)
        shown += ["bias=False"] * (self.in_proj_bias is None)
        shown += ["add_bias_kv=True"] * (self.bias_k is not None) + ["add_zero_attn=True"] * self.add_zero_attn
        shown += [f"kdim={self.kdim}, vdim={self.vdim}"] * (self.in_proj_weight is None)
        shown += ["batch_first=True"] * self.batch_first
        return ", ".join(shown)
