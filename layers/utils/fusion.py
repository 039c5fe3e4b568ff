"""A batch normalisation in evaluation is an affine map: it goes into the layer before it, as `torch.nn.utils.fusion`."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from ...backend.array.creation import ones_like, zeros_like
from ...backend.array.elementwise import sqrt
from ...backend.array.manipulation import astype, reshape
from ...backend.tape.autograd import no_grad
from ...backend.tape.tensor import Parameter, Tensor
from ..module import Module

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]

M = TypeVar("M", bound=Module)


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a convolution and the batch normalisation after it: W γ/√(σ² + eps), (b − μ) γ/√(σ² + eps) + β.

    Parameters
    ----------
    conv_w : Tensor
        W of the convolution.
    conv_b : Tensor or None
        Its b.
    bn_rm : Tensor
        Running mean μ.
    bn_rv : Tensor
        Running variance σ².
    bn_eps : float
        What is added to it.
    bn_w : Tensor or None
        γ; 1 if None.
    bn_b : Tensor or None
        β; 0 if None.
    transpose : bool, default False
        Whether the convolution is a transposed one.

    Returns
    -------
    tuple of Parameter
        Weight and bias, in the dtype of W and b.

    Examples
    --------
    >>> from weft.layers.utils import fuse_conv_bn_weights
    >>> one = weft.ones(1)
    >>> w, b = fuse_conv_bn_weights(weft.ones((1, 1, 1)), None, one, 4 * one, 0.0, None, None)
    >>> w.tolist(), b.tolist()
    ([[[0.5]]], [-0.5])
    """
    with no_grad():
        scale = (ones_like(bn_rm) if bn_w is None else bn_w) / sqrt(bn_rv + bn_eps)
        bias = zeros_like(bn_rm) if conv_b is None else conv_b
        shape = (1, -1) if transpose else (-1, 1)
        weight = conv_w * reshape(scale, shape + (1,) * (conv_w.ndim - 2))
        fused = (bias - bn_rm) * scale + (zeros_like(bn_rm) if bn_b is None else bn_b)
        of_bias = conv_w if conv_b is None else conv_b
        made = astype(weight, conv_w.dtype), astype(fused, of_bias.dtype)
    return Parameter(made[0], conv_w.requires_grad), Parameter(made[1], conv_b is not None and conv_b.requires_grad)


def fuse_conv_bn_eval(conv: M, bn: Any, transpose: bool = False) -> M:
    """A convolution that does what `conv` and the batch normalisation `bn` after it do in evaluation.

    Parameters
    ----------
    conv : Module
        A convolution; it stays as it is.
    bn : Module
        A batch normalisation with running statistics.
    transpose : bool, default False
        Whether the convolution is a transposed one.

    Returns
    -------
    Module
        A copy of `conv` with other weights.

    Raises
    ------
    ValueError
        If one is in training, or there are no running statistics.

    Examples
    --------
    >>> from weft import layers as nn
    >>> conv, bn = nn.Conv2d(1, 2, 3).eval(), nn.BatchNorm2d(2).eval()
    >>> x = weft.ones((1, 1, 4, 4))
    >>> bool(abs(nn.utils.fuse_conv_bn_eval(conv, bn)(x) - bn(conv(x))).max() < 1e-6)
    True
    """
    return _fused(conv, bn, transpose)


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a linear layer and the batch normalisation after it; see `fuse_conv_bn_weights`.

    Parameters
    ----------
    linear_w : Tensor
        W of the layer.
    linear_b : Tensor or None
        Its b.
    bn_rm : Tensor
        Running mean μ.
    bn_rv : Tensor
        Running variance σ².
    bn_eps : float
        What is added to it.
    bn_w : Tensor or None
        γ; 1 if None.
    bn_b : Tensor or None
        β; 0 if None.

    Returns
    -------
    tuple of Parameter
        Weight and bias, in the dtype of W and b.

    Examples
    --------
    >>> from weft.layers.utils import fuse_linear_bn_weights
    >>> one = weft.ones(1)
    >>> w, b = fuse_linear_bn_weights(weft.ones((1, 1)), None, one, 4 * one, 0.0, one, one)
    >>> w.tolist(), b.tolist()
    ([[0.5]], [0.5])
    """
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def fuse_linear_bn_eval(linear: M, bn: Any) -> M:
    """A linear layer that does what `linear` and the batch normalisation `bn` after it do in evaluation.

    Parameters
    ----------
    linear : Module
        A Linear; it stays as it is.
    bn : Module
        A batch normalisation with running statistics, of as many features, or of one.

    Returns
    -------
    Module
        A copy of `linear` with other weights.

    Raises
    ------
    ValueError
        If one is in training, there are no running statistics, or the features do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> linear, bn = nn.Linear(2, 3).eval(), nn.BatchNorm1d(3).eval()
    >>> x = weft.ones((1, 2))
    >>> bool(abs(nn.utils.fuse_linear_bn_eval(linear, bn)(x) - bn(linear(x))).max() < 1e-6)
    True
    """
    if bn.num_features not in (1, out := linear.weight.shape[0]):  # type: ignore[attr-defined]
        raise ValueError(f"`bn` must have the features of `linear`, {out}, or 1, got {bn.num_features}")
    return _fused(linear, bn, False)


def _fused(layer: Any, bn: Any, transpose: bool) -> Any:
    if layer.training or bn.training:
        raise ValueError("both modules must be in evaluation to be fused, got one in training; call eval() first")
    if bn.running_mean is None or bn.running_var is None:
        raise ValueError("`bn` must have running statistics, got None; make it with track_running_stats=True")
    made = copy.deepcopy(layer)
    made.weight, made.bias = fuse_conv_bn_weights(
        layer.weight, layer.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return made
