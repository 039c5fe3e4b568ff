"""Rotary embedding, which is not in PyTorch; the formula is in `backend/nn/rotary.py`."""

from __future__ import annotations

import numpy as np

from ...backend.nn import rotary as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check

__all__ = ["rotary_embedding"]


def rotary_embedding(input: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False) -> Tensor:
    """Pairs (a, b) of components, turned by angles: (a cos − b sin, b cos + a sin).

    (Not in PyTorch.)

    Parameters
    ----------
    input : Tensor
        x, (…, L, D).
    cos : Tensor
        Cosines of the angles, which broadcast to (…, L, R/2): the first R ≤ D components are turned.
    sin : Tensor
        Their sines, in the same shape.
    interleaved : bool, default False
        Whether pairs are neighbours (2i, 2i + 1), or (i, i + R/2).

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If an operand is not a Tensor of a real floating-point dtype.
    ValueError
        If shapes do not fit.

    References
    ----------
    Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.rotary_embedding(weft.tensor([[1.0, 2.0]]), weft.tensor([[0.0]]), weft.tensor([[1.0]]))
    tensor([[-2.,  1.]])
    """
    for name, x in (("input", input), ("cos", cos), ("sin", sin)):
        check.floating(name, x)
    check.shape("sin", sin, cos.shape)
    wanted = (*input.shape[:-1], cos.shape[-1] if cos.ndim else 0)
    try:
        fits = np.broadcast_shapes(cos.shape, wanted) == wanted and 2 * wanted[-1] <= input.shape[-1]
    except ValueError:
        fits = False
    if not fits or not cos.ndim:
        raise ValueError(
            f"`cos` must broadcast to (…, L, R/2), where R is at most the width of `input`, got {tuple(cos.shape)} for "
            f"{tuple(input.shape)}"
        )
    return primitives.rotary_embedding(input, cos, sin, interleaved=interleaved)
