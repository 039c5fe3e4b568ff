"""Shrinkage, with PyTorch's names and signatures; the formulas stand with the primitives in `backend/nn/shrinkage.py`."""

from __future__ import annotations

from ...backend.device.options import number
from ...backend.nn import shrinkage as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check

__all__ = ["hardshrink", "softshrink", "tanhshrink"]


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Hard shrinkage: 0 where |x| ≤ λ, x elsewhere.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    lambd : float, default 0.5
        λ.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.hardshrink(weft.tensor([-1.0, 0.2, 2.0]))
    tensor([-1.,  0.,  2.])
    """
    check.floating("input", input)
    number("lambd", lambd)
    return primitives.hardshrink(input, lambd=lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Soft shrinkage: x − λ where x > λ, x + λ where x < −λ, 0 between.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    lambd : float, default 0.5
        λ, at least 0.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If `lambd` is negative.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.softshrink(weft.tensor([-1.0, 0.2, 2.0]))
    tensor([-0.5,  0. ,  1.5])
    """
    check.floating("input", input)
    number("lambd", lambd, 0)
    return primitives.softshrink(input, lambd=lambd)


def tanhshrink(input: Tensor) -> Tensor:
    """Shrinkage by the hyperbolic tangent: x − tanh x.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real dtype; integers are taken in the default dtype.

    Returns
    -------
    Tensor
        In the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real dtype.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.tanhshrink(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.238,  0.   ,  1.036], dtype=float32)
    """
    return primitives.tanhshrink(check.as_floating("input", input))
