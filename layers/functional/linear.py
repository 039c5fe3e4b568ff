"""Linear and bilinear maps, with PyTorch's names and signatures."""

from __future__ import annotations

from ...backend.array.manipulation import broadcast_to
from ...backend.nn import linear as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check

__all__ = ["bilinear", "linear"]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, *, activation: str | None = None) -> Tensor:
    """Affine map of the last axis: y = f(x Wᵀ + b), where f is the identity unless `activation` names another.

    Parameters
    ----------
    input : Tensor
        x, (…, in).
    weight : Tensor
        W, (out, in); or (in,), then y has no last axis.
    bias : Tensor, optional
        b, (out,), or one number for all.
    activation : {"relu", "gelu"}, optional
        f, which a GPU computes in one go (not in PyTorch); "gelu" is its form with tanh. `Sequential` asks for it
        by itself. Half precision is then rounded once, after f.

    Returns
    -------
    Tensor
        y, (…, out).

    Raises
    ------
    TypeError
        If an operand is not a Tensor, or dtypes differ.
    ValueError
        If shapes do not fit, or `activation` is another word.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.linear(weft.ones((2, 3)), weft.ones((4, 3))).shape
    (2, 4)
    """
    try:
        x, w = input.data, weight.data
        rows, columns = w.shape
        fits = (
            x.shape[-1] == columns
            and (x.dtype is w.dtype or x.dtype == w.dtype)
            and (bias is None or bias.data.shape == (rows,))
            and (activation is None or activation in primitives.ACTIVATIONS)
        )
    except (AttributeError, IndexError, ValueError):
        fits = False
    if not fits:
        return _linear(input, weight, bias, activation)
    if activation is None:  # passing the keyword would make a small layer's call slower
        return primitives.linear(input, weight, bias)
    return primitives.linear(input, weight, bias, activation=activation)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None, activation: str | None) -> Tensor:
    """The rarer forms of `linear`, and what is wrong with the wrong ones."""
    if activation is not None:
        check.one_of("activation", activation, list(primitives.ACTIVATIONS))
    check.tensor("input", input)
    if check.tensor("weight", weight).ndim == 1:
        return linear(input, weight.reshape(1, -1), bias, activation=activation).squeeze(-1)
    if not input.ndim or weight.ndim != 2 or input.shape[-1] != weight.shape[1]:
        got = f"got {tuple(input.shape)} and {tuple(weight.shape)}"
        raise ValueError(f"`input` must have shape (…, in) for a `weight` of shape (out, in), {got}")
    check.same_dtype("input", input, "weight", weight)
    if bias is not None and check.tensor("bias", bias).shape in ((), (1,)) and weight.ndim == 2:  # one for all
        bias = broadcast_to(bias, weight.shape[:1])
    elif bias is not None:
        check.shape("bias", bias, weight.shape[:1])
    return primitives.linear(input, weight, bias, activation=activation)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Bilinear map of the last axes: y_o = x₁ᵀ W_o x₂ + b_o.

    Parameters
    ----------
    input1 : Tensor
        x₁, (…, in1).
    input2 : Tensor
        x₂, (…, in2), with the same leading axes.
    weight : Tensor
        W, (out, in1, in2).
    bias : Tensor, optional
        b, (out,).

    Returns
    -------
    Tensor
        y, (…, out).

    Raises
    ------
    TypeError
        If an operand is not a Tensor, or dtypes differ.
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.bilinear(weft.tensor([1.0, 2.0]), weft.tensor([3.0, 4.0]), weft.ones((1, 2, 2)))
    tensor([21.])
    """
    for name, x in (("input1", input1), ("input2", input2), ("weight", weight)):
        check.tensor(name, x)
    if weight.ndim != 3:
        raise ValueError(f"`weight` must have shape (out, in1, in2), got {tuple(weight.shape)}")
    out, in1, in2 = weight.shape
    check.shape("input1", input1, (*input1.shape[:-1], in1))
    check.shape("input2", input2, (*input1.shape[:-1], in2))
    check.same_dtype("input1", input1, "weight", weight)
    check.same_dtype("input2", input2, "weight", weight)
    if bias is not None:
        check.shape("bias", bias, (out,))
    left = primitives.linear(input1, weight.permute(0, 2, 1).reshape(out * in2, in1), None)
    left = left.reshape(*input1.shape[:-1], out, in2)
    y = (left * input2.unsqueeze(-2)).sum(axis=-1)
    return y if bias is None else y + bias
