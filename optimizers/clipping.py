"""Gradients kept in bounds: by norm, by value, layer by layer, or relative to the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..backend.device import devices, dtypes
from ..backend.device.options import number
from ..backend.tape.recording import as_one
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Tensor, wrap
from .arena import arena_of, gathered, runs_kernels

__all__ = [
    "adaptive_clip_grad_",
    "clip_grad_norm_",
    "clip_grad_norm_per_layer_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
]

_CHUNK = 4096  # elements per partial sum: short enough that BLAS takes one thread, and so one order of summation


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Norm (Σ |x|^p)^(1/p) over all elements of all tensors.

    Parameters
    ----------
    tensors : Tensor or iterable of Tensor
        Any number of them, on any devices.
    norm_type : float, default 2.0
        p; `math.inf` is the maximum, `-math.inf` the minimum, and 0 counts the tensors that are not all 0. Empty
        tensors are passed over (PyTorch raises at them for p < 0).
    error_if_nonfinite : bool, default False
        Whether a norm that is not finite is an error; waits for a GPU.

    Returns
    -------
    Tensor of shape ()
        The norm, on the device of the first tensor; 0 for none.

    Raises
    ------
    ValueError
        If `norm_type` is NaN.
    RuntimeError
        If `error_if_nonfinite` and the norm is not finite.

    Notes
    -----
    As `torch.nn.utils.get_total_norm`. Gradients that are neighbours in an optimizer's arena are reduced together; the
    order of summation is fixed, whatever the number of threads. Departure: the norm of half-precision tensors is float32.

    Examples
    --------
    >>> optim.get_total_norm([weft.tensor([3.0]), weft.tensor([[4.0]])])
    tensor(5.)
    """
    tensors = _listed(tensors)
    if any((arena := arena_of(t.data)) is not None and arena.reduces_own_part for t in tensors):
        raise RuntimeError(
            "gradients of which each process has the sum of one part alone (`reduce_scatter=True`) have no norm here; "
            "call `clip_grad_norm_` of the ZeroRedundancyOptimizer"
        )
    if isinstance(norm_type, str) and norm_type in ("inf", "-inf"):  # as PyTorch's users spell it
        norm_type = float(norm_type)
    number("norm_type", norm_type, infinite=True) if norm_type == norm_type else None
    p = float(norm_type)
    if math.isnan(p):
        raise ValueError(f"`norm_type` must be a number, 0, math.inf and negative ones included, got {norm_type}")
    if not tensors:
        return Tensor(0.0)
    # the arena's padding, zeros between its parts, would be the least element
    arrays = gathered([t.data for t in tensors]) if p > 0 else [t.data for t in tensors if t.size]
    on = {t.device for t in tensors}
    device = tensors[0].device
    if not arrays and p <= 0:
        return Tensor(0.0)
    if p > 0 and len(on) == 1 and runs_kernels(device, *[x.dtype for x in arrays]):
        from ..kernels import reductions

        norm = wrap(reductions.norm(arrays, p), device)
    else:
        norm = wrap(_norm(arrays, p, len(on) > 1), device)
    if error_if_nonfinite and not math.isfinite(norm.item()):
        raise RuntimeError(
            f"`error_if_nonfinite`: the total norm of order {norm_type} is {norm.item()}, gradients cannot be clipped "
            "by it; look for the first layer whose gradient is not finite, or pass error_if_nonfinite=False"
        )
    return norm


def _norm(arrays: list[Any], p: float, are_scattered: bool) -> Any:
    """The norm of arrays, perhaps of several devices, as a 0-d array on the first one's."""
    xp = devices.namespace_of(arrays[0])
    parts = [power_sum(x, p) if p > 0 else _least(x, p) for x in arrays]
    if are_scattered:
        parts = [xp.asarray(devices.to_numpy(part)) for part in parts]
    if p <= 0:
        total = _least(xp.stack(parts), p)
    else:
        total = xp.max(xp.stack(parts)) if p == math.inf else xp.sum(xp.stack(parts)) ** (1.0 / p)
    dtype = xp.float32 if dtypes.of(arrays[0]).itemsize < 4 else arrays[0].dtype
    return xp.astype(xp.asarray(total), dtype)


def power_sum(x: Any, p: float) -> Any:
    """Σ |x|^p (or max |x|) as a 0-d float64 array."""
    xp = devices.namespace_of(x)
    x = xp.reshape(x, (-1,))
    if dtypes.of(x).itemsize < 4:
        x = xp.astype(x, xp.float32)
    if p == math.inf:
        powers = xp.max(xp.abs(x)) if x.size else xp.zeros((), dtype=x.dtype)
    elif p == 2:
        whole = x.size // _CHUNK * _CHUNK
        chunks, rest = xp.reshape(x[:whole], (-1, _CHUNK)), x[whole:]
        return xp.sum(xp.vecdot(chunks, chunks), dtype=xp.float64) + xp.sum(xp.vecdot(rest, rest), dtype=xp.float64)
    else:
        powers = xp.sum(xp.abs(x) ** p, dtype=xp.float64)
    return xp.astype(xp.asarray(powers), xp.float64)


def _least(x: Any, p: float) -> Any:
    """The norm of order p ≤ 0 as a 0-d float64 array: min |x|, (Σ |x|^p)^(1/p), or how many are not 0."""
    xp = devices.namespace_of(x)
    size = xp.abs(xp.astype(x, xp.float64))
    if p == 0:
        return xp.sum(xp.astype(size != 0, xp.float64))
    least = xp.min(size)
    if p == -math.inf:
        return least
    unit = xp.where(least > 0, least, xp.ones_like(least))  # 0 has the norm 0: 0^p is not asked for
    ratio = xp.where(size > 0, size, xp.ones_like(size)) / unit
    return least * xp.sum(ratio**p) ** (1.0 / p)


def clip_grads_with_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor) -> None:
    """Scale all gradients by min(1, max_norm / (total_norm + 1e-6)), in place.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose `.grad` to clip; those without one are passed over.
    max_norm : float
        The norm not to exceed, ≥ 0.
    total_norm : Tensor of shape ()
        The norm of the gradients.

    Raises
    ------
    ValueError
        If `max_norm` is negative.

    Notes
    -----
    As `torch.nn.utils.clip_grads_with_norm_`; never waits for a GPU. Departure: a norm that is NaN scales nothing (some
    gradient is NaN already; PyTorch makes all of them NaN).

    Examples
    --------
    >>> p = weft.Parameter([0.0, 0.0])
    >>> p.grad = weft.tensor([3.0, 4.0])
    >>> optim.clip_grads_with_norm_(p, 1.0, weft.tensor(5.0))
    >>> [round(g, 3) for g in p.grad.tolist()]
    [0.6, 0.8]
    """
    max_norm = _non_negative("max_norm", max_norm)
    for x, norm, has_kernel in _arrays_and_number(
        [p.grad for p in _listed(parameters) if p.grad is not None], total_norm
    ):
        xp = devices.namespace_of(x)
        changed(x)
        if has_kernel:
            from ..kernels import reductions

            reductions.clip(x, norm, max_norm)
            continue
        scale = xp.clip(max_norm / (norm + 1e-6), max=1.0)
        scale = xp.where(xp.isnan(norm), xp.ones_like(scale), scale)  # else the arena's padding would stay NaN for good
        _multiply(xp, x, scale)


def scale_(tensors: Iterable[Tensor], factor: Tensor) -> None:
    """x ← factor · x for all tensors, in place; `factor` is 0-d, and may be beyond the range of half precision."""
    for x, scale, has_kernel in _arrays_and_number(list(tensors), factor):
        changed(x)
        if has_kernel:
            from ..kernels import reductions

            reductions.scale(x, scale)
        else:
            _multiply(devices.namespace_of(x), x, scale)


def _arrays_and_number(tensors: Sequence[Tensor], number: Tensor) -> Iterator[tuple[Any, Any, bool]]:
    """For all of the tensors' memory: (array, the number on its device as a 0-d array, whether kernels can work on these)."""
    for device in {t.device: None for t in tensors}:
        moved = number.to(device).data
        for x in gathered([t.data for t in tensors if t.device == device]):
            has_kernel = runs_kernels(device, x.dtype) and x.flags.c_contiguous
            yield (
                x,
                devices.namespace_of(x).astype(moved, np.float32, copy=False) if has_kernel else moved,
                has_kernel,
            )


def _multiply(xp: Any, x: Any, factor: Any) -> None:
    if xp is np:
        _multiply_on_cpu(x, factor)
    elif dtypes.of(x).itemsize < 4:
        x[...] = xp.astype(xp.astype(x, xp.float32) * factor, x.dtype)
    else:
        x *= xp.astype(factor, x.dtype)


@as_one(writes=True, may_fail=False)  # whether gradients are clipped changes from step to step
def _multiply_on_cpu(x: Any, factor: Any) -> None:
    if factor == 1:
        return
    if dtypes.of(x).itemsize < 4:
        x[...] = (x.astype(np.float32) * factor).astype(x.dtype)
    else:
        x *= factor.astype(x.dtype)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients together, in place, so that their common norm is at most `max_norm`.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose `.grad` to clip; those without one are passed over.
    max_norm : float
        The norm not to exceed, ≥ 0.
    norm_type : float, default 2.0
        p; `math.inf` is the maximum, `-math.inf` the minimum, and 0 counts the tensors that are not all 0. Empty
        tensors are passed over (PyTorch raises at them for p < 0).
    error_if_nonfinite : bool, default False
        Whether a norm that is not finite is an error; waits for a GPU.

    Returns
    -------
    Tensor of shape ()
        The norm before.

    Raises
    ------
    ValueError
        If a bound is negative or `norm_type` NaN.
    RuntimeError
        If `error_if_nonfinite` and the norm is not finite.

    Notes
    -----
    As `torch.nn.utils.clip_grad_norm_`.

    Examples
    --------
    >>> p = weft.Parameter([0.0, 0.0])
    >>> p.grad = weft.tensor([3.0, 4.0])
    >>> optim.clip_grad_norm_([p], max_norm=1.0)
    tensor(5.)
    >>> [round(g, 3) for g in p.grad.tolist()]
    [0.6, 0.8]
    """
    parameters = _listed(parameters)
    norm = get_total_norm([p.grad for p in parameters if p.grad is not None], norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip every element of every gradient to [−clip_value, clip_value], in place.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose `.grad` to clip; those without one are passed over.
    clip_value : float
        The bound, ≥ 0.

    Raises
    ------
    ValueError
        If `clip_value` is negative.

    Notes
    -----
    As `torch.nn.utils.clip_grad_value_`.

    Examples
    --------
    >>> p = weft.Parameter([0.0, 0.0])
    >>> p.grad = weft.tensor([3.0, 4.0])
    >>> optim.clip_grad_value_(p, 3.5)
    >>> p.grad
    tensor([3. , 3.5])
    """
    bound = _non_negative("clip_value", clip_value)
    for x in gathered(_gradients(parameters)):
        x[...] = devices.namespace_of(x).clip(x, min=-bound, max=bound)
        changed(x)


def clip_grad_norm_per_layer_(
    layers: Iterable[Tensor | Iterable[Tensor]],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> list[Tensor]:
    """Clip the norm of each layer on its own, in place.

    One exploding layer then does not take the step from all others; the direction of the whole gradient is not kept.

    Parameters
    ----------
    layers : iterable of Tensor or of iterable of Tensor
        Each one layer: `[layer.parameters() for layer in model]`.
    max_norm : float
        The norm that no layer is to exceed, ≥ 0.
    norm_type : float, default 2.0
        p; `math.inf` is the maximum, `-math.inf` the minimum, and 0 counts the tensors that are not all 0. Empty
        tensors are passed over (PyTorch raises at them for p < 0).
    error_if_nonfinite : bool, default False
        Whether a norm that is not finite is an error; waits for a GPU.

    Returns
    -------
    list of Tensor
        The norms of the layers before.

    Raises
    ------
    ValueError
        If a bound is negative or `norm_type` NaN.
    RuntimeError
        If `error_if_nonfinite` and the norm is not finite.

    Examples
    --------
    >>> p = weft.Parameter([0.0, 0.0])
    >>> p.grad = weft.tensor([3.0, 4.0])
    >>> q = weft.Parameter([0.0])
    >>> q.grad = weft.tensor([0.5])
    >>> optim.clip_grad_norm_per_layer_([p, q], max_norm=1.0)
    [tensor(5.), tensor(0.5)]
    >>> [round(g, 3) for g in p.grad.tolist()], q.grad.tolist()
    ([0.6, 0.8], [0.5])
    """
    return [clip_grad_norm_(layer, max_norm, norm_type, error_if_nonfinite) for layer in layers]


def adaptive_clip_grad_(parameters: Tensor | Iterable[Tensor], clip_factor: float = 0.01, eps: float = 1e-3) -> None:
    """Adaptive gradient clipping (AGC), in place: no unit's gradient exceeds `clip_factor` of the unit's weights.

        Gᵢ ← Gᵢ · min(1, clip_factor · max(‖Wᵢ‖, eps) / ‖Gᵢ‖)

    with a unit i for each index of the first axis (an output neuron or channel); vectors and scalars are one unit.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose `.grad` to clip. The paper leaves the last linear layer out: do not pass its parameters.
    clip_factor : float, default 0.01
        Share of the weights' norm, ≥ 0.
    eps : float, default 1e-3
        Least norm that weights count as, ≥ 0.

    Raises
    ------
    ValueError
        If either is negative.

    References
    ----------
    Brock, De, Smith and Simonyan, "High-performance large-scale image recognition without normalization", 2021.

    Examples
    --------
    >>> p = weft.Parameter([[3.0, 4.0]])
    >>> p.grad = weft.tensor([[0.0, 2.0]])
    >>> optim.adaptive_clip_grad_(p, clip_factor=0.1)
    >>> p.grad
    tensor([[0. , 0.5]])
    """
    factor, eps = _non_negative("clip_factor", clip_factor), _non_negative("eps", eps)
    for p in _listed(parameters):
        if p.grad is None:
            continue
        g = p.grad.data
        xp = devices.namespace_of(g)
        limit = factor * xp.clip(_unit_norms(xp, p.data), min=eps)
        norms = xp.clip(_unit_norms(xp, g), min=1e-6)
        g *= xp.astype(xp.clip(limit / norms, max=1.0), g.dtype)
        changed(g)


def _unit_norms(xp: Any, x: Any) -> Any:
    """‖xᵢ‖ over all axes but the first, kept as 1; of a vector or scalar, one norm. In float32 at least."""
    if dtypes.of(x).itemsize < 4:
        x = xp.astype(x, xp.float32)
    return xp.sqrt(xp.sum(x * x, axis=tuple(range(1, x.ndim)) if x.ndim > 1 else None, keepdims=True))


def _listed(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        return [tensors]
    listed = list(tensors) if isinstance(tensors, Iterable) else [tensors]
    for i, tensor in enumerate(listed):
        if not isinstance(tensor, Tensor):
            where = f"tensors[{i}]" if isinstance(tensors, Iterable) else "tensors"
            raise TypeError(f"`{where}` must be a Tensor, or an iterable of them, got {type(tensor).__name__}")
    return listed


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Any]:
    return [p.grad.data for p in _listed(parameters) if p.grad is not None]


def _non_negative(name: str, value: float) -> float:
    if not (type(value) is float and value >= 0):
        number(name, value, 0, infinite=True)
    return float(value)
