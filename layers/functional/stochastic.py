"""Activations that draw random numbers, with PyTorch's names and signatures. Draws are the same on all devices."""

from __future__ import annotations

from typing import Any

from ...backend.array.creation import arange
from ...backend.array.elementwise import add, equal, less_equal, log, log1p, maximum, multiply, negative, subtract
from ...backend.array.indexing import where
from ...backend.array.manipulation import astype, reshape
from ...backend.array.random import rand
from ...backend.array.reductions import argmax
from ...backend.array.sums import is_half
from ...backend.device.dtypes import float32, int64
from ...backend.device.options import number
from ...backend.nn import activation as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check
from ._writing import into

__all__ = ["gumbel_softmax", "rrelu"]

LEAST = 2.0**-25  # half of float32's smallest draw that is not 0, whose logarithm is infinite


def bounds(lower: float, upper: float) -> None:
    """Finite numbers, the first at most the second, or ValueError."""
    check.numbers(lower=lower, upper=upper)
    if lower > upper:
        raise ValueError(f"`lower` must be at most `upper`, got {lower} and {upper}")


def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Randomised leaky rectified linear unit: x where x > 0, a · x elsewhere.

    In training a is drawn from U(lower, upper) for each element; otherwise it is their mean.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    lower : float, default 1/8
        Least slope.
    upper : float, default 1/3
        Largest slope.
    training : bool, default False
        Whether slopes are drawn.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If `lower` exceeds `upper`.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    References
    ----------
    Xu et al., "Empirical Evaluation of Rectified Activations in Convolutional Network" (2015).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.rrelu(weft.tensor([-1.0, 2.0]), 0.25, 0.75)
    tensor([-0.5,  2. ])
    """
    check.floating("input", input)
    bounds(lower, upper)
    if training:
        drawn = add(multiply(rand(input.shape, dtype=input.dtype, device=input.device), upper - lower), lower)
        y = multiply(input, where(less_equal(input, 0), drawn, 1.0))
    else:
        y = primitives.leaky_relu(input, negative_slope=(lower + upper) / 2)
    return into(input, y) if inplace else y


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample of a relaxed categorical distribution: softmax((x + G) / τ) with G from Gumbel(0, 1), one for each element.

    Parameters
    ----------
    logits : Tensor
        x, unnormalised log-probabilities, of a real floating-point dtype.
    tau : float, default 1
        τ, the temperature.
    hard : bool, default False
        Whether the result is a vector with one 1 and 0 elsewhere; its gradient is the soft sample's ("straight through").
    eps : float, default 1e-10
        PyTorch's argument, without effect there as well.
    dim : int, default -1
        The axis of the classes.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `logits` is not a Tensor of a real floating-point dtype.
    IndexError
        If x has no axis `dim`.

    References
    ----------
    Jang et al., "Categorical Reparameterization with Gumbel-Softmax" (2017); Maddison et al., "The Concrete Distribution"
    (2017).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.gumbel_softmax(weft.tensor([0.0, 100.0]), hard=True)
    tensor([0., 1.])
    """
    check.floating("logits", logits)
    number("tau", tau, above=0)
    axis = check.axis("dim", dim, logits) % logits.ndim
    dtype: Any = float32 if is_half(logits.dtype) else logits.dtype
    uniform = maximum(rand(logits.shape, dtype=dtype, device=logits.device), LEAST)
    gumbel = negative(log(negative(log1p(negative(uniform)))))
    soft = primitives.softmax(multiply(add(astype(logits, dtype, copy=False), gumbel), 1 / tau), axis=axis)
    if hard:
        one = argmax(soft.detach(), axis=axis, keepdims=True)
        classes = arange(logits.shape[axis], dtype=int64, device=logits.device)
        chosen = astype(equal(reshape(classes, (-1, *(1,) * (logits.ndim - 1 - axis))), one), dtype)
        soft = add(subtract(chosen, soft.detach()), soft)
    return astype(soft, logits.dtype, copy=False)
