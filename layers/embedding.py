"""Embedding: a table of vectors, looked up by index."""

from __future__ import annotations

from typing import Self

import numpy as np

from ..backend.array.creation import empty
from ..backend.device.options import integer, number
from ..backend.tape.tensor import DType, Parameter, Tensor
from . import functional as F
from . import init
from .functional import _check as check
from .module import Layer

__all__ = ["Embedding"]


class Embedding(Layer):
    """Row `index` of a learned table, as `torch.nn.Embedding`: indices (…) → (…, embedding_dim).

    `weight` (num_embeddings, embedding_dim) starts as N(0, 1). The gradient of a row is the sum over its uses, in a
    fixed order. Gradients are always dense.

    Parameters
    ----------
    num_embeddings : int
        Rows of the table: indices are 0 … num_embeddings − 1.
    embedding_dim : int
        Length of a row.
    padding_idx : int, optional
        A row that starts as zeros and receives no gradient; negative numbers count from the end.
    max_norm : float, optional
        Rows that are used are first shrunk, in place, to at most this norm.
    norm_type : float, default 2.0
        The p of the p-norm that `max_norm` limits; may be infinite.
    scale_grad_by_freq : bool, default False
        Whether a row's gradient is divided by the number of its uses in the call.
    sparse : bool, default False
        PyTorch's argument; it changes nothing.
    _weight : Tensor, optional
        PyTorch's argument: the table itself, of shape (num_embeddings, embedding_dim).
    _freeze : bool, default False
        PyTorch's argument: whether the table is not learned.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If `padding_idx` is no row of the table, or `_weight` has another shape.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Embedding(10, 3)(weft.tensor([[1, 2], [4, 3]])).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.sizes(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        number("norm_type", norm_type, above=0, infinite=True)
        if max_norm is not None:
            number("max_norm", max_norm, 0)
        for name, value in (("scale_grad_by_freq", scale_grad_by_freq), ("sparse", sparse)):
            if not isinstance(value, int | np.bool_):
                raise TypeError(f"`{name}` must be True or False, got {value!r:.80}")
        if padding_idx is not None:
            integer("padding_idx", padding_idx)
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(f"`padding_idx` must be in [{-num_embeddings}, {num_embeddings}), got {padding_idx}")
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        if _weight is None:
            self.weight = Parameter(empty((num_embeddings, embedding_dim), device=device, dtype=dtype), not _freeze)
            self.reset_parameters()
        else:
            check.shape("_weight", _weight, (num_embeddings, embedding_dim))
            self.weight = Parameter(_weight, not _freeze)

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx, ...] = 0  # `init` has noted the change

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """An embedding over a given table (its memory, not a copy).

        Parameters
        ----------
        embeddings : Tensor
            The table, (num_embeddings, embedding_dim).
        freeze : bool, default True
            Whether the table is not learned.
        padding_idx : int, optional
            A row that receives no gradient.
        max_norm : float, optional
            Rows that are used are first shrunk, in place, to at most this norm.
        norm_type : float, default 2.0
            The p of the p-norm that `max_norm` limits.
        scale_grad_by_freq : bool, default False
            Whether a row's gradient is divided by the number of its uses in the call.
        sparse : bool, default False
            PyTorch's argument; it changes nothing.

        Returns
        -------
        Embedding
            A new layer, of the class that it is called on.

        Raises
        ------
        ValueError
            If `embeddings` does not have two axes.

        Examples
        --------
        >>> from weft import layers as nn
        >>> nn.Embedding.from_pretrained(weft.tensor([[1.0, 2.0], [3.0, 4.0]]))(weft.tensor([1])).tolist()
        [[3.0, 4.0]]
        """
        if check.tensor("embeddings", embeddings).ndim != 2:
            raise ValueError(
                f"`embeddings` must have shape (num_embeddings, embedding_dim), got {tuple(embeddings.shape)}"
            )
        rows, width = embeddings.shape
        return cls(rows, width, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, embeddings, freeze)

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )

    def extra_repr(self) -> str:
        shown = [f"{self.num_embeddings}, {self.embedding_dim}"]
        shown += [f"padding_idx={self.padding_idx}"] * (self.padding_idx is not None)
        shown += [f"max_norm={self.max_norm}"] * (self.max_norm is not None)
        shown += [f"norm_type={self.norm_type}"] * (self.norm_type != 2)
        shown += ["scale_grad_by_freq=True"] * self.scale_grad_by_freq
        shown += ["sparse=True"] * self.sparse
        return ", ".join(shown)
