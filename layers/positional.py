"""Where in a sequence something is, as numbers that attention can use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..backend.array.creation import arange, empty
from ..backend.array.elementwise import cos, sin
from ..backend.array.manipulation import astype, expand_dims, permute_dims, reshape, stack
from ..backend.device.dtypes import bool as boolean
from ..backend.device.dtypes import float32, float64, int64, is_integral
from ..backend.device.options import integer, number
from ..backend.tape.tensor import DType, Parameter, Tensor
from . import functional as F
from . import init
from .functional import _check as check
from .module import Layer

__all__ = ["LearnedPositionalEncoding", "RotaryEmbedding", "SinusoidalPositionalEncoding"]


def _positions(position: int | Tensor, length: int, device: str) -> Tensor:
    """(L,) from the first one on, or those that are given, (L,) or (N, L)."""
    if not isinstance(position, Tensor):
        integer("position", position)
        if position < 0:
            raise ValueError(f"`position` must be at least 0, got {position}")
        return arange(position, position + length, dtype=int64, device=device)
    if not is_integral(position.dtype) or position.dtype == boolean:
        raise TypeError(f"`position` must be an int or have an integer dtype, got {position.dtype}")
    if position.ndim not in (1, 2) or position.shape[-1] != length:
        raise ValueError(f"`position` must have shape (L,) or (N, L) with L = {length}, got {tuple(position.shape)}")
    return position


def _angles(positions: Tensor, width: int, base: float) -> Tensor:
    """p · base^(−2i/width), i = 0 … ⌈width/2⌉ − 1, in double precision: single has no digits left at large positions."""
    exponents = (
        arange(0, width, 2, dtype=float64, device=positions.device) / -width
    )  # not from the host: it is captured
    return expand_dims(astype(positions, float64), axis=-1) * float(base) ** exponents


class _Additive(Layer):
    """What adds to x a vector for each position."""

    _row: int
    batch_first: bool

    def _vectors(self, positions: Tensor, x: Tensor) -> Tensor:
        raise NotImplementedError

    if TYPE_CHECKING:

        def __call__(self, input: Tensor, position: int | Tensor = 0) -> Tensor: ...

    def forward(self, input: Tensor, position: int | Tensor = 0) -> Tensor:
        check.floating("input", input)
        if input.ndim not in (2, 3) or input.shape[-1] != self._row:
            wanted = "(N, L, E)" if self.batch_first else "(L, N, E)"
            raise ValueError(
                f"`input` must have shape {wanted} or (L, E) with E = {self._row}, got {tuple(input.shape)}"
            )
        sequence_first = input.ndim == 3 and not self.batch_first
        vectors = self._vectors(_positions(position, input.shape[0 if sequence_first else -2], input.device), input)
        if sequence_first:
            vectors = expand_dims(vectors, axis=1) if vectors.ndim == 2 else permute_dims(vectors, (1, 0, 2))
        return input + vectors


class SinusoidalPositionalEncoding(_Additive):
    """Sinusoids added: x + P, with P[p, 2i] = sin(p · base^(−2i/E)) and P[p, 2i + 1] = cos(p · base^(−2i/E)).

    Called with `(input, position=0)`: input (L, N, E), (N, L, E) with `batch_first`, or (L, E); `position` is that of the first
    vector, or integers (L,) or (N, L), one for each. There is no limit to the length. (Not in PyTorch.)

    Parameters
    ----------
    embed_dim : int
        E.
    base : float, default 10000.0
        The wavelengths go from 2π to 2π · base.
    batch_first : bool, default False
        Whether the batch is the first axis.

    Raises
    ------
    TypeError
        If an option is no number.
    ValueError
        If `embed_dim` is less than 1, or `base` not positive; in a call, if shapes do not fit.

    References
    ----------
    Vaswani et al., "Attention Is All You Need" (2017), section 3.5.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.SinusoidalPositionalEncoding(4)(weft.zeros((2, 4))).numpy().round(3)
    array([[0.   , 1.   , 0.   , 1.   ],
           [0.841, 0.54 , 0.01 , 1.   ]], dtype=float32)
    """

    def __init__(self, embed_dim: int, base: float = 10000.0, batch_first: bool = False):
        integer("embed_dim", embed_dim, 1)
        number("base", base, above=0)
        self.embed_dim = self._row = embed_dim
        self.base = base
        self.batch_first = batch_first

    def _vectors(self, positions: Tensor, x: Tensor) -> Tensor:
        angles = _angles(positions, self.embed_dim, self.base)
        pairs = stack([sin(angles), cos(angles)], axis=-1)
        whole = reshape(pairs, (*positions.shape, 2 * pairs.shape[-2]))
        return astype(whole[..., : self.embed_dim], x.dtype)

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, base={self.base}, batch_first={self.batch_first}"


class LearnedPositionalEncoding(_Additive):
    """A learned vector for each position added: x + W[p].

    Called as `SinusoidalPositionalEncoding` is. `weight` W (max_length, embed_dim) starts as N(0, 0.02²). (Not in PyTorch.)

    Parameters
    ----------
    max_length : int
        Positions that there are vectors for.
    embed_dim : int
        E.
    batch_first : bool, default False
        Whether the batch is the first axis.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If a size is less than 1; in a call, if shapes do not fit, or the sequence goes beyond `max_length`.

    References
    ----------
    Gehring et al., "Convolutional Sequence to Sequence Learning" (2017); Radford et al., "Improving Language
    Understanding by Generative Pre-Training" (2018).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LearnedPositionalEncoding(16, 4)(weft.zeros((5, 2, 4))).shape
    (5, 2, 4)
    """

    def __init__(
        self,
        max_length: int,
        embed_dim: int,
        batch_first: bool = False,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.counts(max_length=max_length, embed_dim=embed_dim)
        self.max_length = max_length
        self.embed_dim = self._row = embed_dim
        self.batch_first = batch_first
        self.weight = Parameter(empty((max_length, embed_dim), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.normal_(self.weight, std=0.02)

    def forward(self, input: Tensor, position: int | Tensor = 0) -> Tensor:
        if not isinstance(position, Tensor) and input.ndim > 1:
            end = position + input.shape[0 if input.ndim == 3 and not self.batch_first else -2]
            if end > self.max_length:
                raise ValueError(f"`input` must end within max_length = {self.max_length} positions, got {end}")
        return super().forward(input, position)

    def _vectors(self, positions: Tensor, x: Tensor) -> Tensor:
        return F.embedding(positions, self.weight)

    def extra_repr(self) -> str:
        return f"{self.max_length}, {self.embed_dim}, batch_first={self.batch_first}"


class RotaryEmbedding(Layer):
    """Queries or keys turned by their positions: pair i of position p by the angle p · base^(−2i/dim).

    The product of a query and a key, both turned, depends on how far apart they are. Called with `(input, position=0)`: input
    (…, L, D) with D ≥ dim, such as (N, H, L, D); `position` is that of the first vector, or integers (L,) or (N, L), one for
    each. A model may take `angles` once and apply `functional.rotary_embedding` in each layer. (Not in PyTorch.)

    Parameters
    ----------
    dim : int
        How many components are turned, an even number; the others stay.
    base : float, default 10000.0
        The wavelengths go from 2π to 2π · base.
    interleaved : bool, default False
        Whether pairs are neighbours (2i, 2i + 1), as in the paper, or (i, i + dim/2), as in Llama's weights at Hugging Face.

    Raises
    ------
    TypeError
        If an option is no number.
    ValueError
        If `dim` is not even, or `base` not positive; in a call, if shapes do not fit.

    References
    ----------
    Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.RotaryEmbedding(8)(weft.randn(2, 4, 5, 8), position=3).shape
    (2, 4, 5, 8)
    """

    def __init__(self, dim: int, base: float = 10000.0, interleaved: bool = False):
        integer("dim", dim)
        number("base", base, above=0)
        if dim < 2 or dim % 2:
            raise ValueError(f"`dim` must be a positive even number, got {dim}")
        self.dim = dim
        self.base = base
        self.interleaved = interleaved

    def angles(
        self, length: int, position: int | Tensor = 0, *, device: str = "cpu", dtype: DType = float32
    ) -> tuple[Tensor, Tensor]:
        """Cosines and sines for a sequence.

        Parameters
        ----------
        length : int
            L.
        position : int or Tensor, default 0
            That of the first vector, or integers (L,) or (N, L).
        device : str, default "cpu"
            Where they are made; that of `position`, if that is a Tensor.
        dtype : data-type, default float32
            They are computed in float64 and rounded to this.

        Returns
        -------
        tuple of Tensor
            cos and sin, (L, dim/2), or (N, 1, L, dim/2).
        """
        positions = _positions(position, length, device)
        angles = _angles(positions, self.dim, self.base)
        if positions.ndim == 2:
            angles = expand_dims(angles, axis=1)
        return astype(cos(angles), dtype), astype(sin(angles), dtype)

    if TYPE_CHECKING:

        def __call__(self, input: Tensor, position: int | Tensor = 0) -> Tensor: ...

    def forward(self, input: Tensor, position: int | Tensor = 0) -> Tensor:
        check.floating("input", input)
        if input.ndim < 2 or input.shape[-1] < self.dim:
            raise ValueError(f"`input` must have shape (…, L, D) with D at least {self.dim}, got {tuple(input.shape)}")
        dtype = float64 if input.dtype == float64 else float32
        tables = self.angles(input.shape[-2], position, device=input.device, dtype=dtype)
        return F.rotary_embedding(input, *tables, self.interleaved)

    def extra_repr(self) -> str:
        return f"{self.dim}, base={self.base}, interleaved={self.interleaved}"
