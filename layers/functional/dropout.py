"""Dropout, with PyTorch's names and signatures. Masks come from the default generator, the same on all devices.

With `inplace=True` x has the result from then on, for all who use it, as in PyTorch.
"""

from __future__ import annotations

import math

from ...backend.array.elementwise import add
from ...backend.array.random import default_generator
from ...backend.device import dtypes
from ...backend.nn import dropout as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check
from ._images import check_axes
from ._writing import into

__all__ = ["dropout", "dropout1d", "dropout2d", "dropout3d", "dropout_add", "drop_shared"]


def drop_shared(input: Tensor, shape: tuple[int, ...], p: float, residual: Tensor | None = None) -> Tensor:
    """Dropout with a mask that broadcasts: what shares an entry is dropped together.

    (Not in PyTorch.)

    Parameters
    ----------
    input : Tensor
        x, of a floating-point dtype.
    shape : tuple of int
        The mask's, with 1 along the axes that share: (N, C, 1, 1) drops channels, (N, 1, 1, 1) examples.
    p : float
        Probability that an entry is 0; the others are 1/(1 − p).
    residual : Tensor, optional
        What is added to the result, in the same pass.

    Returns
    -------
    Tensor
        In the shape of x.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.drop_shared(weft.ones((4, 2)), (4, 1), 0.5).tolist()
    [[2.0, 2.0], [2.0, 2.0], [0.0, 0.0], [2.0, 2.0]]
    """
    rows = shape[0] if shape else 1
    blocks = default_generator.reserve_rows(rows, math.prod(shape[1:]), dtypes.bool)
    return primitives.dropout(input, residual, p=p, shape=shape, blocks=blocks)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element 0 with probability p, else x/(1 − p), in training.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a floating-point dtype.
    p : float, default 0.5
        Probability that an element is dropped.
    training : bool, default True
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
        If `input` is not a Tensor of a floating-point dtype.
    ValueError
        If `p` is outside [0, 1].
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> sorted(set(F.dropout(weft.ones(100), 0.2).tolist()))
    [0.0, 1.25]
    """
    check.probability("p", p)
    check.floating("input", input)
    if not training or not p:
        return input
    y = drop_shared(input, input.shape, p)
    return into(input, y) if inplace else y


def dropout_add(input: Tensor, residual: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The end of a transformer's sublayers, residual + dropout(x), in one pass over memory on a GPU.

    (Not in PyTorch.)

    Parameters
    ----------
    input : Tensor
        x, of a floating-point dtype.
    residual : Tensor
        What is added, in the shape of x.
    p : float, default 0.5
        Probability that an element of x is dropped.
    training : bool, default True
        False gives residual + x.

    Returns
    -------
    Tensor
        In the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a floating-point dtype.
    ValueError
        If `p` is outside [0, 1].

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.dropout_add(weft.ones(4), weft.zeros(4), training=False).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    check.probability("p", p)
    check.floating("input", input)
    return drop_shared(input, input.shape, p, residual) if training and p else add(residual, input)


def _dropout_channels(input: Tensor, p: float, training: bool, inplace: bool, axes: int) -> Tensor:
    check.probability("p", p)
    check.floating("input", input)
    check_axes(axes, input)
    if not training or not p:
        return input
    y = drop_shared(input, (*input.shape[:-axes], *(1,) * axes), p)
    return into(input, y) if inplace else y


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of sequences, in training.

    Parameters
    ----------
    input : Tensor
        x, (N, C, L) or (C, L).
    p : float, default 0.5
        Probability that a channel is dropped; the others are divided by 1 − p.
    training : bool, default True
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
        If `input` is not a Tensor of a floating-point dtype.
    ValueError
        If `p` is outside [0, 1], or x has another number of axes.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.dropout1d(weft.ones((1, 4, 2)), 0.5)
    tensor([[[2., 2.],
             [2., 2.],
             [0., 0.],
             [2., 2.]]])
    """
    return _dropout_channels(input, p, training, inplace, 1)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of images, in training.

    Parameters
    ----------
    input : Tensor
        x, (N, C, H, W) or (C, H, W).
    p : float, default 0.5
        Probability that a channel is dropped; the others are divided by 1 − p.
    training : bool, default True
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
        If `input` is not a Tensor of a floating-point dtype.
    ValueError
        If `p` is outside [0, 1], or x has another number of axes.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.dropout2d(weft.ones((3, 1, 2)), 0.5).tolist()
    [[[2.0, 2.0]], [[2.0, 2.0]], [[0.0, 0.0]]]
    """
    return _dropout_channels(input, p, training, inplace, 2)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of volumes, in training.

    Parameters
    ----------
    input : Tensor
        x, (N, C, D, H, W) or (C, D, H, W).
    p : float, default 0.5
        Probability that a channel is dropped; the others are divided by 1 − p.
    training : bool, default True
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
        If `input` is not a Tensor of a floating-point dtype.
    ValueError
        If `p` is outside [0, 1], or x has another number of axes.
    RuntimeError
        If `inplace`, and x is a leaf that requires grad while gradients are recorded.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.dropout3d(weft.ones((3, 1, 1, 2)), 0.5).tolist()
    [[[[2.0, 2.0]]], [[[2.0, 2.0]]], [[[0.0, 0.0]]]]
    """
    return _dropout_channels(input, p, training, inplace, 3)
