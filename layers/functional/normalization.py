"""Normalisations, with PyTorch's names and signatures; the formulas are in `backend/nn/normalization.py`."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from ...backend.array.manipulation import reshape, tile
from ...backend.device import devices, ranks
from ...backend.device.options import integer, number
from ...backend.nn import normalization as primitives
from ...backend.tape.autograd import is_computed_again
from ...backend.tape.sharing import changed
from ...backend.tape.tensor import Tensor, innermost
from . import _check as check
from .padding import pad
from .pooling import avg_pool2d

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"]


def _check_channels(input: Tensor, *per_channel: tuple[str, Tensor | None]) -> None:
    """The input is (N, C, …), and what there is for each channel has shape (C,)."""
    check.floating("input", input)
    shape = input.data.shape
    if len(shape) < 2:
        raise ValueError(f"`input` must have shape (N, C, …), got {tuple(shape)}")
    for name, x in per_channel:
        if x is not None and x.data.shape != shape[1:2]:
            wanted = f"shape ({shape[1]},), one for each channel of `input` {tuple(shape)}"
            raise ValueError(f"`{name}` must have {wanted}, got {tuple(x.shape)}")


def _update_running(running: Tensor, batch: Any, momentum: float) -> None:
    """running ← (1 − momentum) · running + momentum · batch, in place: running statistics are not on the tape."""
    if is_computed_again():
        return
    running.data *= 1 - momentum
    running.data += momentum * batch
    if running._saved:  # by an operation in evaluation mode
        changed(running.data)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalisation of each channel: y = weight · (x − μ) / √(σ² + eps) + bias.

    With `training`, μ and σ² are those of the batch, and the running statistics (unless None) move towards them, in
    place: running ← (1 − momentum) · running + momentum · batch, with the batch's unbiased variance. Without, they are
    the running statistics.

    Parameters
    ----------
    input : Tensor
        x, (N, C, …), of a real floating-point dtype.
    running_mean : Tensor or None
        (C,); needed unless `training`.
    running_var : Tensor or None
        (C,); needed unless `training`.
    weight : Tensor, optional
        (C,); 1 unless given.
    bias : Tensor, optional
        (C,); 0 unless given.
    training : bool, default False
        Whether to normalise by the batch.
    momentum : float, default 0.1
        Weight of this batch in the running statistics.
    eps : float, default 1e-5
        Keeps the division from 0.

    Returns
    -------
    Tensor
        y, in the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shapes do not fit, running statistics are missing, or, in training, a channel has a single value or `eps` is 0.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.batch_norm(weft.tensor([[1.0], [3.0]]), None, None, training=True, eps=1e-12)
    tensor([[-1.],
            [ 1.]])
    """
    check.eps(eps)
    running = (("running_mean", running_mean), ("running_var", running_var))
    _check_channels(input, *running, ("weight", weight), ("bias", bias))
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("`running_mean` and `running_var` must be given with training=False, got None")
        return primitives.batch_norm_inference(input, running_mean, running_var, weight, bias, eps=eps)
    shape = input.data.shape
    if math.prod(shape) == shape[1]:
        raise ValueError(
            f"`input` must have more than one value per channel in training, got shape {tuple(shape)}; use eval()"
        )
    if type(momentum) is not float or not 0 <= momentum <= 1:
        number("momentum", momentum, 0, 1)
    if eps == 0:
        raise ValueError("`eps` must be greater than 0 in training, as of a constant channel y would be 0/0, got 0.0")
    return _by_batch(primitives.batch_norm, input, running_mean, running_var, weight, bias, momentum, eps)


def sync_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """`batch_norm` in training, by the batches of all processes together."""
    _check_channels(
        input, ("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)
    )
    over_all = functools.partial(primitives.sync_batch_norm, reduce=ranks.group.reduce_any)
    return _by_batch(over_all, input, running_mean, running_var, weight, bias, momentum, eps, is_empty=False)


def _by_batch(
    primitive: Any,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
    is_empty: bool | None = None,
) -> Tensor:
    y, mean, var = primitive(input, weight, bias, eps=eps)
    is_empty = not input.data.size if is_empty is None else is_empty
    if running_mean is not None and running_var is not None and not is_empty:  # of nothing there are no statistics
        _update_running(running_mean, innermost(mean), momentum)
        _update_running(running_var, innermost(var), momentum)
    return y


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalisation of each channel of each example: y = weight · (x − μ) / √(σ² + eps) + bias.

    Parameters
    ----------
    input : Tensor
        x, (N, C, …), of a real floating-point dtype.
    running_mean : Tensor, optional
        (C,); it moves, in place, towards the average over the examples of their means.
    running_var : Tensor, optional
        (C,); likewise for the unbiased variances.
    weight : Tensor, optional
        (C,); 1 unless given.
    bias : Tensor, optional
        (C,); 0 unless given.
    use_input_stats : bool, default True
        False normalises by the running statistics.
    momentum : float, default 0.1
        Weight of this batch in the running statistics.
    eps : float, default 1e-5
        Keeps the division from 0.

    Returns
    -------
    Tensor
        y, in the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shapes do not fit, running statistics are missing, or a channel has a single value.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.instance_norm(weft.tensor([[[1.0, 3.0], [10.0, 20.0]]]), eps=0.0)
    tensor([[[-1.,  1.],
             [-1.,  1.]]])
    """
    check.eps(eps)
    running = (("running_mean", running_mean), ("running_var", running_var))
    _check_channels(input, *running, ("weight", weight), ("bias", bias))
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    n, c = input.shape[:2]
    if math.prod(input.shape[2:]) == 1:
        raise ValueError(
            f"`input` must have more than one value per channel and example in training, got shape {tuple(input.shape)}"
        )
    if running_mean is None or running_var is None:
        return primitives.group_norm(input, weight, bias, num_groups=c, eps=eps)
    w, b = (None if p is None else tile(p, (n,)) for p in (weight, bias))
    y, mean, var = primitives.batch_norm(reshape(input, (1, n * c, *input.shape[2:])), w, b, eps=eps)
    if not input.size:  # of nothing there are no statistics
        return reshape(y, input.shape)
    xp = devices.namespace_of(innermost(mean))
    for running_, batch in ((running_mean, mean), (running_var, var)):
        _update_running(running_, xp.mean(xp.reshape(innermost(batch), (n, c)), axis=0), momentum)
    return reshape(y, input.shape)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalisation of groups of channels of each example: y = weight · (x − μ) / √(σ² + eps) + bias.

    Parameters
    ----------
    input : Tensor
        x, (N, C, …), of a real floating-point dtype.
    num_groups : int
        How many groups of neighbouring channels; divides C.
    weight : Tensor, optional
        (C,); 1 unless given.
    bias : Tensor, optional
        (C,); 0 unless given.
    eps : float, default 1e-5
        Keeps the division from 0.

    Returns
    -------
    Tensor
        y, in the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shapes do not fit, `num_groups` does not divide C, or x is a single example whose groups have one value each.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.group_norm(weft.tensor([[1.0, 3.0, 10.0, 20.0]]), 2, eps=0.0)
    tensor([[-1.,  1., -1.,  1.]])
    """
    _check_channels(input, ("weight", weight), ("bias", bias))
    if num_groups < 1 or input.shape[1] % num_groups:
        raise ValueError(
            f"`num_groups` must divide the {input.shape[1]} channels of `input` {tuple(input.shape)}, got {num_groups}"
        )
    check.eps(eps)
    if input.size == num_groups:
        raise ValueError(
            f"`input` must have more than one value per group, of which the result would be 0, got shape {tuple(input.shape)} "
            f"for {num_groups} groups; make `num_groups` smaller"
        )
    return primitives.group_norm(input, weight, bias, num_groups=num_groups, eps=eps)


def _check_last(input: Tensor, normalized_shape: Sequence[int], *affine: tuple[str, Tensor | None]) -> int:
    check.floating("input", input)
    if not isinstance(normalized_shape, list | tuple):
        raise TypeError(f"`normalized_shape` must be a sequence of lengths, such as (8,), got {normalized_shape!r}")
    wanted = tuple(normalized_shape)
    n = len(wanted)
    if not n or input.data.shape[-n:] != wanted:
        raise ValueError(
            f"`input` must have a shape that ends with `normalized_shape` {wanted}, got {tuple(input.shape)}"
        )
    for name, x in affine:
        if x is not None and x.data.shape != wanted:
            check.shape(name, x, wanted)
    return n


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalisation of each example over its last axes: y = weight · (x − μ) / √(σ² + eps) + bias.

    Parameters
    ----------
    input : Tensor
        x, of a real floating-point dtype.
    normalized_shape : sequence of int
        Lengths of the last axes, over which μ and σ² are taken.
    weight : Tensor, optional
        Of that shape; 1 unless given.
    bias : Tensor, optional
        Of that shape; 0 unless given.
    eps : float, default 1e-5
        Keeps the division from 0.

    Returns
    -------
    Tensor
        y, in the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If the shape of x does not end with `normalized_shape`, or weight or bias have another one.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.layer_norm(weft.tensor([[1.0, 3.0], [10.0, 20.0]]), (2,), eps=0.0)
    tensor([[-1.,  1.],
            [-1.,  1.]])
    """
    n = _check_last(input, normalized_shape, ("weight", weight), ("bias", bias))
    check.eps(eps)
    return primitives.layer_norm(input, weight, bias, normalized_ndim=n, eps=eps)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Division by the root mean square over the last axes: y = weight · x / √(mean x² + eps).

    Parameters
    ----------
    input : Tensor
        x, of a real floating-point dtype.
    normalized_shape : sequence of int
        Lengths of the last axes, over which the mean is taken.
    weight : Tensor, optional
        Of that shape; 1 unless given.
    eps : float, optional
        Unless given, the machine epsilon of the dtype, or of float32 for half precision.

    Returns
    -------
    Tensor
        y, in the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If the shape of x does not end with `normalized_shape`, or the weight has another one.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.rms_norm(weft.tensor([3.0, -3.0]), (2,), eps=0.0)
    tensor([ 1., -1.])
    """
    n = _check_last(input, normalized_shape, ("weight", weight))
    check.eps(eps)
    return primitives.rms_norm(input, weight, normalized_ndim=n, eps=eps)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Division by what neighbouring channels sum to; the formula stands with `layers.LocalResponseNorm`.

    Parameters
    ----------
    input : Tensor
        x, (N, C, …), of a real floating-point dtype.
    size : int
        How many channels are summed; of an even number, one more before than after.
    alpha : float, default 1e-4
        Weight of the sum.
    beta : float, default 0.75
        Exponent.
    k : float, default 1
        What is added to the sum.

    Returns
    -------
    Tensor
        In the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If x has fewer than three axes, or `size` is less than 1.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.local_response_norm(weft.ones((1, 3, 1)), 3, alpha=3.0, beta=1.0).flatten().tolist()
    [0.3333333432674408, 0.25, 0.3333333432674408]
    """
    check.floating("input", input)
    if input.ndim < 3:
        raise ValueError(f"`input` must have shape (N, C, …) of at least three axes, got {tuple(input.shape)}")
    integer("size", size, 1)
    check.numbers(alpha=alpha, beta=beta, k=k)
    if not input.size:
        return input
    squares = reshape(input * input, (input.shape[0], 1, input.shape[1], math.prod(input.shape[2:])))
    padded = pad(squares, (0, 0, size // 2, (size - 1) // 2))
    means = reshape(avg_pool2d(padded, (size, 1), 1), input.shape)
    return input / (means * alpha + k) ** beta
