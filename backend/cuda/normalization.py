"""Normalisations: statistics and sums in float32, whatever the data."""

from __future__ import annotations

import math
from typing import Any

from ...kernels import batch_normalization as channels
from ...kernels import normalization as kernels
from ...kernels.toolchain.launch import FLOATS
from ..nn import normalization as primitives
from ..nn.normalization import BatchNorm
from . import replaces

LONGEST = 1 << 30  # count for which the kernels' 32-bit arithmetic suffices


def _supported(counts: tuple[int, ...], x: Any, *others: Any) -> bool:
    return max(counts) < LONGEST and x.dtype in FLOATS and all(a is None or a.dtype == x.dtype for a in others)


def _supported_channels(x: Any, *of_channels: Any) -> bool:
    """The same where what belongs to channels may be float32 beside half-precision x."""
    found = {a.dtype for a in of_channels if a is not None}
    return _supported(_counts(x), x) and (found <= {x.dtype} or found == {FLOATS[0]})


def _counts(x: Any) -> tuple[int, ...]:
    """Elements that channels, samples and pixels have; none if there is no element at all."""
    n, c = x.shape[:2]
    return (x.size // c, x.size // n, n * c) if x.size else (LONGEST,)


def _fill(values: Any) -> tuple:
    """Three of a kind for x, weight and bias, of which the last two may have been left out of the call."""
    return (*values, None, None)[:3]


def _over_rows(x: Any, weight: Any, bias: Any, ndim: int, eps: float, *, centred: bool) -> Any:
    shape, of_row = x.shape, x.shape[x.ndim - ndim :]
    rows, cols = math.prod(shape[: x.ndim - ndim]), math.prod(of_row)
    if not _supported((rows, 4 * cols), x, weight, bias):  # the tiles of a row are a grid's second axis: at most 65535
        return NotImplemented
    x = x.reshape(rows, cols)
    weight, bias = (None if p is None else p.reshape(cols) for p in (weight, bias))
    y, mean, rstd = kernels.norm_forward(x, weight, bias, eps=eps, centred=centred)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        grad_x, *of_parameters = kernels.norm_backward(
            g.reshape(x.shape), x, weight, mean, rstd, _fill(need), _fill(into)
        )
        return None if grad_x is None else grad_x.reshape(shape), *(
            v if v is None else v.reshape(of_row) if out is None else out
            for v, out in zip(of_parameters, _fill(into)[1:])
        )

    return y.reshape(shape), vjp


@replaces(primitives.layer_norm)
def layer_norm(x: Any, weight: Any = None, bias: Any = None, /, *, normalized_ndim: int = 1, eps: float = 1e-5) -> Any:
    return _over_rows(x, weight, bias, normalized_ndim, eps, centred=True)


@replaces(primitives.rms_norm)
def rms_norm(x: Any, weight: Any = None, /, *, normalized_ndim: int = 1, eps: float | None = None) -> Any:
    eps = primitives.default_eps(x) if eps is None else eps
    return _over_rows(x, weight, None, normalized_ndim, eps, centred=False)


@replaces(primitives.batch_norm)
def batch_norm(x: Any, weight: Any = None, bias: Any = None, /, *, eps: float = 1e-5) -> Any:
    if not _supported_channels(x, weight, bias):
        return NotImplemented
    *of_batch, mean, rstd = channels.batch_forward(x, weight, bias, eps=eps)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        return channels.batch_backward(g, x, weight, mean, rstd, _fill(need), _fill(into))

    return BatchNorm(*of_batch), vjp


@replaces(primitives.batch_norm_inference)
def batch_norm_inference(
    x: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, /, *, eps: float = 1e-5
) -> Any:
    if not _supported_channels(x, mean, var, weight, bias):
        return NotImplemented
    y, centre, rstd = channels.inference_forward(x, mean, var, weight, bias, eps=eps)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        need, into = (_fill((v[0], *v[3:])) for v in (need, into))
        grad_x, *of_parameters = channels.inference_backward(g, x, weight, centre, rstd, need, into)
        return grad_x, None, None, *of_parameters

    return y, vjp


@replaces(primitives.group_norm)
def group_norm(x: Any, weight: Any = None, bias: Any = None, /, *, num_groups: int, eps: float = 1e-5) -> Any:
    if not _supported(_counts(x), x, weight, bias):
        return NotImplemented
    y, mean, rstd = channels.group_forward(x, weight, bias, groups=num_groups, eps=eps)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        return channels.group_backward(g, x, weight, mean, rstd, _fill(need), _fill(into), groups=num_groups)

    return y, vjp
