"""Functions of the array API that move elements about, with their derivatives, and dtype conversion."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ..device import dtypes
from ..tape.autograd import primitive
from ..tape.tensor import Tensor
from .elementwise import unbroadcast
from .indexing import scatter_add

__all__ = [
    "astype",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "concat",
    "expand_dims",
    "flip",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "repeat",
    "reshape",
    "roll",
    "squeeze",
    "stack",
    "tile",
    "unstack",
]


@primitive(moves=True)
def reshape(xp: Any, x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    """The same elements, in row-major order, in another shape (one −1 is worked out).

    >>> weft.reshape(weft.arange(6), (2, -1)).shape
    (2, 3)
    """
    return xp.reshape(x, shape, copy=copy), (lambda g: xp.reshape(g, x.shape), None)


@primitive(moves=True)
def permute_dims(xp: Any, x: Any, /, axes: Any) -> Any:
    """Axes reordered: axis i of the result is axis axes[i] of x."""
    back = inverse_permutation([a % x.ndim for a in axes])
    return xp.permute_dims(x, axes), (lambda g: xp.permute_dims(g, back), None)


def inverse_permutation(order: Sequence[int]) -> tuple[int, ...]:
    """What undoes a permutation of axes: where each axis has gone."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


@primitive(moves=True)
def matrix_transpose(xp: Any, x: Any, /) -> Any:
    """The last two axes exchanged."""
    return xp.matrix_transpose(x), (lambda g: xp.matrix_transpose(g),)


@primitive(moves=True)
def moveaxis(xp: Any, x: Any, source: Any, destination: Any, /) -> Any:
    """Axes at `source` moved to `destination`, the others keeping their order."""
    return xp.moveaxis(x, source, destination), (lambda g: xp.moveaxis(g, destination, source), None, None)


@primitive(moves=True)
def expand_dims(xp: Any, x: Any, /, axis: int = 0) -> Any:
    """A new axis of length 1 at `axis`."""
    return xp.expand_dims(x, axis=axis), (lambda g: xp.reshape(g, x.shape), None)


@primitive(moves=True)
def squeeze(xp: Any, x: Any, /, axis: Any) -> Any:
    """Axes of length 1 removed; ValueError if one is longer."""
    return xp.squeeze(x, axis=axis), (lambda g: xp.reshape(g, x.shape), None)


@primitive(moves=True)
def flip(xp: Any, x: Any, /, *, axis: Any = None) -> Any:
    """The order of the elements reversed along `axis` (all axes if None)."""
    return xp.flip(x, axis=axis), (lambda g: xp.flip(g, axis=axis),)


@primitive(moves=True)
def roll(xp: Any, x: Any, /, shift: Any, *, axis: Any = None) -> Any:
    """Elements moved on by `shift`, those pushed out at the end coming back at the front."""
    back = tuple(-s for s in shift) if isinstance(shift, tuple) else -shift
    return xp.roll(x, shift, axis=axis), (lambda g: xp.roll(g, back, axis=axis), None)


@primitive(moves=True)
def broadcast_to(xp: Any, x: Any, /, shape: Any) -> Any:
    """x repeated along axes of length 1 and new leading axes, without copying."""
    return xp.broadcast_to(x, shape), (lambda g: unbroadcast(xp, g, x), None)


def broadcast_arrays(*arrays: Tensor) -> tuple[Tensor, ...]:
    """All arrays broadcast against each other."""
    shape = broadcast_shapes(*[a.shape for a in arrays])
    return tuple(a if a.shape == shape else broadcast_to(a, shape) for a in arrays)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to.

    >>> weft.broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    try:
        return functools.reduce(broadcast_shape, shapes, ())
    except ValueError:
        got = " and ".join(map(str, shapes))
        raise ValueError(f"broadcasting needs equal lengths (or 1) axis by axis, got shapes {got}") from None


def broadcast_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a ⊕ b; ValueError if there is none."""
    out = list(a if len(a) >= len(b) else b)
    for i in range(1, min(len(a), len(b)) + 1):
        if a[-i] != b[-i] and 1 not in (a[-i], b[-i]):
            raise ValueError(f"shapes {a} and {b} do not broadcast")
        out[-i] = b[-i] if a[-i] == 1 else a[-i]
    return tuple(out)


@primitive(moves=True)
def _concat(xp: Any, *arrays: Any, axis: int) -> Any:
    y = xp.concat(arrays, axis=axis)
    axis %= arrays[0].ndim
    ends = [0]
    for a in arrays:
        ends.append(ends[-1] + a.shape[axis])

    def part(i: int) -> Any:
        where = (slice(None),) * axis + (slice(ends[i], ends[i + 1]), ...)
        return lambda g: xp.astype(g[where], arrays[i].dtype, copy=False)

    return y, tuple(part(i) for i in range(len(arrays)))


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """Arrays joined along an existing axis (None: flattened first).

    >>> weft.concat([weft.ones((1, 2)), weft.zeros((2, 2))]).shape
    (3, 2)
    """
    if not len(arrays):
        raise ValueError("`concat` needs at least one array, got none")
    if axis is None:
        return _concat(*[reshape(a, (-1,)) for a in arrays], axis=0)
    return _concat(*arrays, axis=axis)


@primitive(moves=True)
def _stack(xp: Any, *arrays: Any, axis: int) -> Any:
    y = xp.stack(arrays, axis=axis)
    axis %= y.ndim
    where = (slice(None),) * axis
    parts = tuple(
        (lambda g, i=i: xp.astype(g[(*where, i, ...)], arrays[i].dtype, copy=False)) for i in range(len(arrays))
    )
    return y, parts


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Arrays of one shape joined along a new axis."""
    if not len(arrays):
        raise ValueError("`stack` needs at least one array, got none")
    if any(a.shape != arrays[0].shape for a in arrays):
        raise ValueError(f"`stack` needs arrays of one shape, got {[a.shape for a in arrays]}")
    return _stack(*arrays, axis=axis)


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along `axis`, as a tuple."""
    if not -x.ndim <= axis < x.ndim:
        raise IndexError(f"`axis` must be in [{-x.ndim}, {x.ndim}), got {axis}")
    where = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*where, i, ...)] for i in range(x.shape[axis]))


@primitive(moves=True)
def tile(xp: Any, x: Any, repetitions: Any, /) -> Any:
    """The whole of x repeated along each axis."""
    y = xp.tile(x, repetitions)
    lead = len(repetitions) - x.ndim
    shape = (1,) * lead + x.shape
    reps = (1,) * -lead + tuple(repetitions)

    def grad_x(g: Any) -> Any:
        split = [n for pair in zip(reps, shape) for n in pair]
        return xp.reshape(xp.sum(xp.reshape(g, tuple(split)), axis=tuple(range(0, len(split), 2))), x.shape)

    return y, (grad_x, None)


@primitive(moves=True)
def repeat(xp: Any, x: Any, repeats: Any, /, *, axis: int | None = None) -> Any:
    """Each element (along `axis`) repeated: as often as `repeats` says for all, or for each one."""
    if hasattr(repeats, "dtype"):  # NumPy takes no uint64
        repeats = xp.astype(repeats, xp.int64)
    y = xp.repeat(x, repeats, axis=axis)

    def grad_x(g: Any) -> Any:
        rows = xp.reshape(x, (-1,)) if axis is None else x
        along = 0 if axis is None else axis % x.ndim
        came_from = xp.repeat(xp.arange(rows.shape[along], device=x.device), repeats)
        return xp.reshape(scatter_add(xp, g, came_from, rows.shape[along], along), x.shape)

    return y, (grad_x, None)


@primitive(moves=True)
def _astype(xp: Any, x: Any, /, *, dtype: Any, copy: bool) -> Any:
    differentiable = dtypes.is_real_floating(x.dtype) and dtypes.is_real_floating(dtype)
    y = xp.astype(x, dtypes.native(xp, dtype), copy=copy)
    return y, (lambda g: xp.astype(g, x.dtype),) if differentiable else None


def astype(x: Tensor, dtype: Any, /, *, copy: bool = True, device: str | None = None) -> Tensor:
    """x converted to another dtype; with `copy=False`, x itself if it has that dtype."""
    y = x if not copy and x.dtype == dtype else _astype(x, dtype=dtype, copy=copy)
    return y if device is None else y.to(device)
