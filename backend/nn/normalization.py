"""Normalisations: x̂ = (x − mean)/√(var + ε) over some of the axes, then y = w x̂ + b. Variances are biased.

With ĝ = w g, the gradient of each is

    grad_x = (ĝ − mean(ĝ) − x̂ · mean(ĝ x̂)) / √(var + ε),    grad_w = Σ g x̂,    grad_b = Σ g,

the means being over the normalised axes and the sums over those along which w and b are broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..array.elementwise import unbroadcast
from ..array.sums import total
from ..device import dtypes
from ..tape.autograd import primitive
from ..tape.tensor import Tensor

__all__ = ["batch_norm", "batch_norm_inference", "group_norm", "layer_norm", "rms_norm", "sync_batch_norm"]


class BatchNorm(NamedTuple):
    """What `batch_norm` returns; `var` is the unbiased estimate, Σ (x − mean)²/(n − 1)."""

    y: Any
    mean: Any
    var: Any


def _normalised(xp: Any, x: Any, weight: Any, bias: Any, shape: tuple, axes: tuple, eps: float) -> tuple:
    """(y, vjp, x − mean, mean, var) of x over `axes`; `shape` is that in which weight and bias broadcast against x."""
    n = max(1, math.prod(x.shape[a] for a in axes))
    mean = total(xp, x, axes, keepdims=True) / n
    d = x - mean
    var = total(xp, d * d, axes, keepdims=True) / n
    rstd = 1 / xp.sqrt(var + eps)
    x_hat = d * rstd

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        grad_x = grad_weight = grad_bias = None
        if need[0]:
            ĝ = g if weight is None else g * xp.reshape(weight, shape)
            c1 = total(xp, ĝ, axes, keepdims=True) / n
            c2 = total(xp, ĝ * x_hat, axes, keepdims=True) / n
            grad_x = rstd * (ĝ - c1 - x_hat * c2)
        if need[1]:
            grad_weight = xp.reshape(unbroadcast(xp, g * x_hat, xp.reshape(weight, shape)), weight.shape)
        if need[2]:
            grad_bias = xp.reshape(unbroadcast(xp, g, xp.reshape(bias, shape)), bias.shape)
        return grad_x, grad_weight, grad_bias

    return _affine(xp, x_hat, weight, bias, shape), vjp, d, mean, var


def _affine(xp: Any, x: Any, weight: Any, bias: Any, shape: tuple) -> Any:
    if weight is not None:
        x = x * xp.reshape(weight, shape)
    return x if bias is None else x + xp.reshape(bias, shape)


def is_mixed(x: Any, *of_channels: Any) -> bool:
    """Whether x is half precision, and what belongs to its channels is float32."""
    return dtypes.of(x).itemsize == 2 and any(a is not None and dtypes.of(a).itemsize == 4 for a in of_channels)


def mixed(primitive: Any, xp: Any, x: Any, *of_channels: Any, eps: float) -> Any:
    """A batch normalisation of such arguments: computed in float32, y and grad_x rounded, all else float32."""
    dtype, wide = x.dtype, xp.astype(x, xp.float32)
    found = primitive.impls["cpu"](wide, *of_channels, eps=eps) if xp is np else NotImplemented
    out, pull = primitive.generic(xp, wide, *of_channels, eps=eps) if found is NotImplemented else found

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g = (xp.astype(g[0], xp.float32), *g[1:]) if isinstance(g, tuple) else xp.astype(g, xp.float32)
        grad_x, *others = pull(g, need, into)
        return grad_x if grad_x is None else xp.astype(grad_x, dtype), *others

    return out._replace(y=xp.astype(out.y, dtype)) if isinstance(out, BatchNorm) else xp.astype(out, dtype), vjp


def _wanted(need: Any) -> tuple:
    """`need` for x, weight and bias, of which the last two may have been left out of the call."""
    return (*need, False, False)[:3]


def default_eps(x: Any) -> float:
    """The distance from 1 to the next number of the dtype that statistics are computed in: float32 for half precision."""
    return 2.0**-52 if dtypes.of(x).itemsize == 8 else 2.0**-23


def beside_float32(x: Tensor, *of_channels: Any) -> bool:
    """Batch normalisations read half precision beside parameters or statistics in float32; so is their output, then."""
    return any(isinstance(a, Tensor) and a.dtype == np.float32 for a in of_channels)


@primitive(precision="full", reads_halves=beside_float32)
def batch_norm(xp: Any, x: Any, weight: Any = None, bias: Any = None, /, *, eps: float = 1e-5) -> Any:
    """Normalise each channel, axis 1 of (N, C, …), over all else. Ioffe & Szegedy (2015).

    Returns (y, mean, var); mean and unbiased var (C,) are for the running statistics of the layer:
    running ← (1 − momentum) · running + momentum · batch. With half-precision x, weight and bias may be float32: so are
    mean, var and their own gradients then, while y is of x's dtype.
    """
    if is_mixed(x, weight, bias):
        return mixed(batch_norm, xp, x, weight, bias, eps=eps)
    channels = x.shape[1]
    n = math.prod(x.shape) // max(1, channels)
    axes, shape = (0, *range(2, x.ndim)), (1, channels) + (1,) * (x.ndim - 2)
    y, pull, d, mean, var = _normalised(xp, x, weight, bias, shape, axes, eps)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g_y, g_mean, g_var = g[0], xp.reshape(g[1], shape), xp.reshape(g[2], shape)
        grad_x, grad_weight, grad_bias = pull(g_y, _wanted(need), into)
        if need[0]:
            grad_x = grad_x + (g_mean / max(1, n) + d * (g_var * (2 / max(1, n - 1))))
        return grad_x, grad_weight, grad_bias

    return BatchNorm(y, xp.reshape(mean, (channels,)), xp.reshape(var, (channels,)) * (n / max(1, n - 1))), vjp


@primitive(precision="full", reads_halves=beside_float32)
def sync_batch_norm(
    xp: Any, x: Any, weight: Any = None, bias: Any = None, /, *, eps: float = 1e-5, reduce: Callable[[Any], Any]
) -> Any:
    """`batch_norm` of the batches of all processes together, of which x (N, C, …) is this one's; it may be empty.

    `reduce(v)` gives the sum of a vector over all processes, which call it alike: for the mean, for the variance, and in
    backward for mean(g), mean(g x̂) and the gradients of mean and var. Those of weight and bias are of this process's batch alone.
    """
    dtype = x.dtype
    if dtypes.of(x).itemsize == 2:
        x = xp.astype(x, xp.float32)
    c = x.shape[1]
    axes, shape = (0, *range(2, x.ndim)), (1, c) + (1,) * (x.ndim - 2)
    mine = xp.full((1,), math.prod(x.shape) / max(1, c), dtype=x.dtype, device=x.device)
    sums = reduce(xp.concat([xp.reshape(total(xp, x, axes, keepdims=True), (c,)), mine]))
    n, mean = sums[c:], xp.reshape(sums[:c] / sums[c:], shape)
    d = x - mean
    var = xp.reshape(reduce(xp.reshape(total(xp, d * d, axes, keepdims=True), (c,))) / n, shape)
    rstd = 1 / xp.sqrt(var + eps)
    x_hat = d * rstd
    like_weight, like_bias = weight, bias

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g, *of_statistics = (xp.astype(a, x_hat.dtype, copy=False) for a in g)
        need, grad_x, grad_weight, grad_bias = _wanted(need), None, None, None
        sums = [xp.reshape(total(xp, a, axes, keepdims=True), (c,)) for a in (g, g * x_hat)]
        if need[0]:
            w = 1 if weight is None else xp.reshape(weight, shape)
            means = xp.reshape(reduce(xp.concat([*sums, *of_statistics])) / n, (4, c))
            c1, c2, c3, c4 = (xp.reshape(means[i, :], shape) for i in range(4))
            c4 = c4 * xp.reshape(2 * n / xp.clip(n - 1, min=1), (1,) * x.ndim)
            grad_x = xp.astype(w * rstd * (g - c1 - x_hat * c2) + c3 + d * c4, dtype, copy=False)
        if need[1]:
            grad_weight = xp.astype(sums[1], like_weight.dtype, copy=False)
        if need[2]:
            grad_bias = xp.astype(sums[0], like_bias.dtype, copy=False)
        return grad_x, grad_weight, grad_bias

    y = xp.astype(_affine(xp, x_hat, weight, bias, shape), dtype, copy=False)
    unbiased = xp.reshape(var, (c,)) * (n / xp.clip(n - 1, min=1))
    return BatchNorm(y, xp.reshape(mean, (c,)), unbiased), vjp


@primitive(precision="full", reads_halves=beside_float32)
def batch_norm_inference(
    xp: Any, x: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, /, *, eps: float = 1e-5
) -> Any:
    """w (x − mean)/√(var + ε) + b with given mean and var (C,) of each channel, axis 1 of (N, C, …): constants.

    Where x is half precision and all else float32, y is of x's dtype.
    """
    if is_mixed(x, mean, var, weight, bias):
        return mixed(batch_norm_inference, xp, x, mean, var, weight, bias, eps=eps)
    shape = (1, x.shape[1]) + (1,) * (x.ndim - 2)
    rstd = xp.reshape(1 / xp.sqrt(var + eps), shape)
    x_hat = (x - xp.reshape(mean, shape)) * rstd

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        grad_x = grad_weight = grad_bias = None
        if need[0]:
            grad_x = g * (rstd if weight is None else rstd * xp.reshape(weight, shape))
        if len(need) > 3 and need[3]:
            grad_weight = xp.reshape(unbroadcast(xp, g * x_hat, rstd), weight.shape)
        if len(need) > 4 and need[4]:
            grad_bias = xp.reshape(unbroadcast(xp, g, rstd), bias.shape)
        return grad_x, None, None, grad_weight, grad_bias

    return _affine(xp, x_hat, weight, bias, shape), vjp


@primitive(precision="full")
def layer_norm(
    xp: Any, x: Any, weight: Any = None, bias: Any = None, /, *, normalized_ndim: int = 1, eps: float = 1e-5
) -> Any:
    """Normalise over the last `normalized_ndim` axes, whose shape weight and bias have. Ba et al. (2016).

    >>> weft.backend.nn.normalization.layer_norm(weft.tensor([[1.0, 3.0], [6.0, 2.0]]), eps=0.0)
    tensor([[-1.,  1.],
            [ 1., -1.]])
    """
    axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
    y, pull, *_ = _normalised(xp, x, weight, bias, x.shape[x.ndim - normalized_ndim :], axes, eps)
    return y, lambda g, need, into: pull(g, _wanted(need), into)


@primitive(precision="full")
def group_norm(xp: Any, x: Any, weight: Any = None, bias: Any = None, /, *, num_groups: int, eps: float = 1e-5) -> Any:
    """Normalise each of `num_groups` equal runs of the channels, axis 1 of (N, C, …), in each sample. Wu & He (2018).

    weight and bias have shape (C,). As many groups as channels is instance normalisation (Ulyanov et al., 2016).
    """
    shape = (1, num_groups, x.shape[1] // num_groups, 1)
    groups = xp.reshape(x, (x.shape[0], *shape[1:3], math.prod(x.shape[2:])))
    y, pull, *_ = _normalised(xp, groups, weight, bias, shape, (2, 3), eps)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        grad_x, grad_weight, grad_bias = pull(xp.reshape(g, groups.shape), _wanted(need), into)
        return grad_x if grad_x is None else xp.reshape(grad_x, x.shape), grad_weight, grad_bias

    return xp.reshape(y, x.shape), vjp


@primitive(precision="full")
def rms_norm(xp: Any, x: Any, weight: Any = None, /, *, normalized_ndim: int = 1, eps: float | None = None) -> Any:
    """y = w x/√(mean(x²) + ε) over the last `normalized_ndim` axes, whose shape w has. Zhang & Sennrich (2019).

    `eps=None` is the distance from 1 to the next number of the dtype. grad_x = (ĝ − x̂ mean(ĝ x̂))/√(mean(x²) + ε).
    """
    axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
    n = max(1, math.prod(x.shape[a] for a in axes))
    eps = default_eps(x) if eps is None else eps
    rstd = 1 / xp.sqrt(total(xp, x * x, axes, keepdims=True) / n + eps)
    x_hat = x * rstd

    def grad_x(g: Any) -> Any:
        ĝ = g if weight is None else g * weight
        return rstd * (ĝ - x_hat * (total(xp, ĝ * x_hat, axes, keepdims=True) / n))

    return x_hat if weight is None else x_hat * weight, (grad_x, lambda g: unbroadcast(xp, g * x_hat, weight))
