"""Distances of vectors, with PyTorch's names and signatures (`cdist` is `torch.cdist`)."""

from __future__ import annotations

import math

from ...backend.array.creation import arange
from ...backend.array.elementwise import add, floor_divide, multiply, subtract
from ...backend.array.indexing import searchsorted, take
from ...backend.array.info import result_type
from ...backend.array.linalg import vector_norm
from ...backend.array.manipulation import astype, expand_dims
from ...backend.device.dtypes import int64
from ...backend.device.options import number
from ...backend.nn import distance as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check
from .similarity import widened

__all__ = ["cdist", "pairwise_distance", "pdist"]

MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
FEW = 25  # rows, up to which PyTorch's default does without a product


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The distance of each vector to its partner: ‖x₁ − x₂ + ε‖ₚ along the last axis.

    Parameters
    ----------
    x1 : Tensor
        x₁, (…, D), of a real floating-point dtype.
    x2 : Tensor
        x₂; the two broadcast against each other.
    p : float, default 2.0
        Exponent of the norm; may be infinite.
    eps : float, default 1e-6
        ε, which keeps the gradient finite where x₁ = x₂.
    keepdim : bool, default False
        Whether the last axis stays, with length 1.

    Returns
    -------
    Tensor
        The broadcast shape without its last axis.

    Raises
    ------
    TypeError
        If one is not a Tensor of a real floating-point dtype.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.pairwise_distance(weft.tensor([[3.0, 0.0]]), weft.tensor([[0.0, 4.0]]), eps=0.0)
    tensor([5.])
    """
    check.floating("x1", x1)
    check.floating("x2", x2)
    number("p", p, infinite=True)
    number("eps", eps)
    difference = add(subtract(widened(x1), widened(x2)), eps)
    return astype(vector_norm(difference, axis=-1, keepdims=keepdim, ord=p), result_type(x1, x2), copy=False)


def pdist(input: Tensor, p: float = 2) -> Tensor:
    """The distances of all pairs of rows: ‖xᵢ − xⱼ‖ₚ for i < j, in the order (0, 1), (0, 2), …, (1, 2), ….

    Parameters
    ----------
    input : Tensor
        x, (N, D), of a real floating-point dtype.
    p : float, default 2
        Exponent of the norm, at least 0; 0 counts the numbers that differ, infinity takes the largest difference.

    Returns
    -------
    Tensor
        (N (N − 1)/2,).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If x does not have two axes, or `p` is negative.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.pdist(weft.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])).numpy().round(3)
    array([5.   , 1.   , 4.243], dtype=float32)
    """
    check.floating("input", input)
    if input.ndim != 2:
        raise ValueError(f"`input` must have shape (N, D), got {tuple(input.shape)}")
    number("p", p, 0, infinite=True)
    x = widened(input)
    rows, others = (take(x, i, axis=0) for i in _pairs(x.shape[0], x.device))
    return astype(_norm(subtract(rows, others), p), input.dtype, copy=False)


def _pairs(n: int, device: str) -> tuple[Tensor, Tensor]:
    """i and j of all i < j < n, made where they are needed: a step that is recorded cannot copy them there."""
    rows = arange(n, dtype=int64, device=device)
    starts = floor_divide(multiply(rows, subtract(2 * n - 1, rows)), 2)  # of the pairs (i, ·), among all
    pairs = arange(n * (n - 1) // 2, dtype=int64, device=device)
    first = subtract(astype(searchsorted(starts, pairs, side="right"), int64), 1)
    return first, add(subtract(pairs, take(starts, first, axis=0)), add(first, 1))


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The distance of every row of one matrix to every row of another: y[…, i, j] = ‖x₁[…, i] − x₂[…, j]‖ₚ.

    Parameters
    ----------
    x1 : Tensor
        x₁, (…, P, D), of a real floating-point dtype.
    x2 : Tensor
        x₂, (…, R, D), of the same dtype; the axes in front broadcast.
    p : float, default 2.0
        Exponent of the norm, at least 0; 0 counts the numbers that differ, infinity takes the largest difference.
    compute_mode : str, default "use_mm_for_euclid_dist_if_necessary"
        Whether p = 2 may be √(‖x₁‖² + ‖x₂‖² − 2 x₁·x₂), a product of matrices, which loses digits of what is much closer than
        long: of more than 25 rows, always ("use_mm_for_euclid_dist"), or never ("donot_use_mm_for_euclid_dist").

    Returns
    -------
    Tensor
        y, (…, P, R).

    Raises
    ------
    TypeError
        If one is not a Tensor of a real floating-point dtype, or dtypes differ.
    ValueError
        If shapes do not fit, `p` is negative, or `compute_mode` is another word.

    Notes
    -----
    But for the product, P·R·D differences are held. Where several are largest, with p = ∞, they share the gradient (in PyTorch
    each gets all of it).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.cdist(weft.tensor([[0.0, 0.0], [3.0, 0.0]]), weft.tensor([[0.0, 4.0]]))
    tensor([[4.],
            [5.]])
    """
    check.floating("x1", x1)
    check.floating("x2", x2)
    check.same_dtype("x2", x2, "x1", x1)
    number("p", p, 0, infinite=True)
    check.one_of("compute_mode", compute_mode, MODES)
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ValueError(
            f"`x1` and `x2` must have shapes (…, P, D) and (…, R, D), got {tuple(x1.shape)} and {tuple(x2.shape)}"
        )
    many = max(x1.shape[-2], x2.shape[-2]) > FEW
    if p == 2 and (compute_mode == MODES[1] or (compute_mode == MODES[0] and many)):
        return primitives.euclidean(x1, x2)
    dtype, x1, x2 = result_type(x1, x2), widened(x1), widened(x2)
    return astype(_norm(subtract(expand_dims(x1, axis=-2), expand_dims(x2, axis=-3)), p), dtype, copy=False)


def _norm(difference: Tensor, p: float) -> Tensor:
    """‖d‖ₚ along the last axis; of no numbers 0, for which infinity has no largest."""
    return vector_norm(difference, axis=-1, ord=p if difference.shape[-1] or p != math.inf else 1)
