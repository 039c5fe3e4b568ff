"""Bags of embeddings, as in `torch.nn`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ..backend.tape.tensor import DType, Tensor
from . import functional as F
from .embedding import Embedding
from .functional import _check as check
from .module import Module

__all__ = ["EmbeddingBag"]


class EmbeddingBag(Module):
    """Sum, mean or maximum of the rows of a learned table at the indices of each bag, as `torch.nn.EmbeddingBag`.

    `weight` (num_embeddings, embedding_dim) starts as N(0, 1). Called with indices (B, K), or (L,) and the `offsets` (B,) at
    which bags begin, and perhaps `per_sample_weights`; gives (B, embedding_dim).

    Parameters
    ----------
    num_embeddings : int
        Rows of the table: indices are 0 … num_embeddings − 1.
    embedding_dim : int
        Length of a row.
    max_norm : float, optional
        Rows that are used are first shrunk, in place, to at most this norm.
    norm_type : float, default 2.0
        The p of the p-norm that `max_norm` limits; may be infinite.
    scale_grad_by_freq : bool, default False
        Whether a row's gradient is divided by the number of its uses in the call. Not with "max".
    mode : {"sum", "mean", "max"}, default "mean"
        How rows are reduced.
    sparse : bool, default False
        PyTorch's argument; it changes nothing: gradients are dense.
    _weight : Tensor, optional
        PyTorch's argument: the table itself, of shape (num_embeddings, embedding_dim).
    include_last_offset : bool, default False
        Whether `offsets` has one more entry, the end of the last bag.
    padding_idx : int, optional
        A row that starts as zeros, does not count and receives no gradient; negative numbers count from the end.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If `padding_idx` is no row of the table, `_weight` has another shape, or `mode` is another word.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.EmbeddingBag(10, 3)(weft.tensor([1, 2, 4, 3]), weft.tensor([0, 3])).shape
    (2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.one_of("mode", mode, ("sum", "mean", "max"))
        table = Embedding(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight,
            device=device, dtype=dtype,
        )  # fmt: skip
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.weight = table.weight
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset
        self.padding_idx = table.padding_idx

    reset_parameters = Embedding.reset_parameters

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """Bags over a given table (its memory, not a copy).

        Parameters
        ----------
        embeddings : Tensor
            The table, (num_embeddings, embedding_dim).
        freeze : bool, default True
            Whether the table is not learned.
        max_norm : float, optional
            Rows that are used are first shrunk, in place, to at most this norm.
        norm_type : float, default 2.0
            The p of the p-norm that `max_norm` limits.
        scale_grad_by_freq : bool, default False
            Whether a row's gradient is divided by the number of its uses in the call.
        mode : {"sum", "mean", "max"}, default "mean"
            How rows are reduced.
        sparse : bool, default False
            PyTorch's argument; it changes nothing.
        include_last_offset : bool, default False
            Whether `offsets` has one more entry, the end of the last bag.
        padding_idx : int, optional
            A row that does not count and receives no gradient.

        Returns
        -------
        EmbeddingBag
            A new layer, of the class that it is called on.

        Raises
        ------
        ValueError
            If `embeddings` does not have two axes.
        """
        if check.tensor("embeddings", embeddings).ndim != 2:
            raise ValueError(
                f"`embeddings` must have shape (num_embeddings, embedding_dim), got {tuple(embeddings.shape)}"
            )
        rows, width = embeddings.shape
        made = cls(
            rows,
            width,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            mode,
            sparse,
            embeddings,
            include_last_offset,
            padding_idx,
        )
        made.weight.requires_grad = not freeze
        return made

    if TYPE_CHECKING:

        def __call__(
            self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None
        ) -> Tensor: ...

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        return F.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse,
            per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        shown = [f"{self.num_embeddings}, {self.embedding_dim}"]
        shown += [f"max_norm={self.max_norm}"] * (self.max_norm is not None)
        shown += [f"norm_type={self.norm_type}"] * (self.norm_type != 2)
        shown += [f"scale_grad_by_freq={self.scale_grad_by_freq}"] * bool(self.scale_grad_by_freq)
        shown += [f"mode={self.mode!r}"]
        shown += [f"padding_idx={self.padding_idx}"] * (self.padding_idx is not None)
        return ", ".join(shown)
