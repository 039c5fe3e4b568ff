"""Alpha dropout, with PyTorch's names and signatures: for networks of SELU, whose means and variances it keeps."""

from __future__ import annotations

import math

from ...backend.array.elementwise import add, multiply
from ...backend.nn.activation import SELU_ALPHA, SELU_SCALE
from ...backend.tape.tensor import Tensor
from . import _check as check
from ._writing import into
from .dropout import drop_shared

__all__ = ["alpha_dropout", "feature_alpha_dropout"]

LIMIT = SELU_ALPHA * SELU_SCALE  # SELU is −LIMIT at −∞


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean 0 and variance 1: a · (x or, with probability p, α′) + b.

    α′ = −1.758… is the limit of SELU at −∞, a = ((1 − p)(1 + p α′²))^(−½) and b = −a p α′.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    p : float, default 0.5
        Probability that an element is dropped; with 1 the result is 0.
    training : bool, default False
        False gives x itself.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If `p` is outside [0, 1].
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    References
    ----------
    Klambauer et al., "Self-Normalizing Neural Networks" (2017).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.alpha_dropout(weft.zeros(4), 0.5, training=True).numpy().round(3)
    array([ 0.779,  0.779, -0.779,  0.779], dtype=float32)
    """
    check.floating("input", input)
    return _dropped(input, input.shape, p, training, inplace)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels.

    Parameters
    ----------
    input : Tensor
        x, (N, C, …), of a real floating-point dtype.
    p : float, default 0.5
        Probability that a channel is dropped; with 1 the result is 0.
    training : bool, default False
        False gives x itself.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If `p` is outside [0, 1], or x has fewer than two axes.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> y = F.feature_alpha_dropout(weft.ones((2, 3, 5)), training=True)
    >>> bool(weft.all(y == y[:, :, :1]))
    True
    """
    check.floating("input", input)
    if training and p and input.ndim < 2:
        raise ValueError(f"`input` must have shape (N, C, …), got {tuple(input.shape)}")
    return _dropped(input, (*input.shape[:2], *(1,) * (input.ndim - 2)), p, training, inplace)


def _dropped(input: Tensor, shape: tuple[int, ...], p: float, training: bool, inplace: bool) -> Tensor:
    """a M (x − α′) + a (1 − p) α′ with the mask M that `dropout` divides by 1 − p."""
    check.probability("p", p)
    if not training or not p:
        return input
    scale = math.sqrt((1 - p) / (1 + p * LIMIT * LIMIT))  # a (1 − p)
    y = add(multiply(drop_shared(add(input, LIMIT), shape, p), scale), -LIMIT * scale)
    return into(input, y) if inplace else y
