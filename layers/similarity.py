"""Similarity and distance of vectors, as in `torch.nn`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..backend.device.options import integer, number
from ..backend.tape.tensor import Tensor
from . import functional as F
from .functional import _check as check
from .module import Module

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class _OfTwo(Module):
    if TYPE_CHECKING:

        def __call__(self, x1: Tensor, x2: Tensor) -> Tensor: ...


class CosineSimilarity(_OfTwo):
    """The cosine of the angle between vectors: x₁ · x₂ / (max(‖x₁‖, eps) max(‖x₂‖, eps)).

    Parameters
    ----------
    dim : int, default 1
        Axis that a vector runs along.
    eps : float, default 1e-8
        Keeps the division from 0.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.CosineSimilarity()(weft.tensor([[1.0, 0.0]]), weft.tensor([[3.0, 4.0]]))
    tensor([0.6])
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8):
        integer("dim", dim)
        check.eps(eps)
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(_OfTwo):
    """The distance of each vector to its partner: ‖x₁ − x₂ + ε‖ₚ along the last axis.

    Parameters
    ----------
    p : float, default 2.0
        Exponent of the norm; may be infinite.
    eps : float, default 1e-6
        ε, which keeps the gradient finite where x₁ = x₂.
    keepdim : bool, default False
        Whether the last axis stays, with length 1.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.PairwiseDistance(eps=0.0)(weft.tensor([[3.0, 0.0]]), weft.tensor([[0.0, 4.0]]))
    tensor([5.])
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
        number("p", p, infinite=True)
        number("eps", eps)
        self.norm = p  # PyTorch's name
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
