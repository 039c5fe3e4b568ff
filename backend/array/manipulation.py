"""Functions of the array API that move elements about, with their derivatives, and dtype conversion."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ..device import dtypes
from ..device.numeric import as_dtype
from ..device.options import integer
from ..tape.autograd import primitive
from ..tape.tensor import Axes, DType, Operand, Tensor
from .elementwise import real_if, unbroadcast
from .indexing import scatter_add
from .info import result_type
from .spellings import DIM, DIMS, spelled
from .sums import total

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
def reshape(xp: Any, x: Any, /, shape: int | Sequence[int], *, copy: bool | None = None) -> Any:
    """The same elements, in row-major order, in another shape.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    shape : int or sequence of int
        With as many elements as x; one length may be −1 and is worked out.
    copy : bool, optional
        True always copies; False raises ValueError where that is needed; None copies where memory order requires it.

    Returns
    -------
    Tensor
        Of this shape and the dtype of x.

    Raises
    ------
    ValueError
        If x has another number of elements.

    Examples
    --------
    >>> weft.reshape(weft.arange(6), (2, -1)).shape
    (2, 3)
    """
    if type(shape) is tuple and shape and min(shape) < -1:
        raise ValueError(f"`shape` must be lengths ≥ 0, one of which may be -1, got {shape}")
    return xp.reshape(x, shape, copy=copy), (lambda g: xp.reshape(g, x.shape), None)


@primitive(moves=True)
def permute_dims(xp: Any, x: Any, /, axes: Sequence[int]) -> Any:
    """Axes reordered: axis i of the result is axis `axes[i]` of x.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    axes : sequence of int
        Each axis of x once.

    Returns
    -------
    Tensor
        A view of x. PyTorch calls this `permute`, NumPy `transpose`.

    Raises
    ------
    ValueError
        If `axes` is no permutation of the axes of x.

    Examples
    --------
    >>> weft.permute_dims(weft.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    back = inverse_permutation([a % x.ndim for a in axes])
    return xp.permute_dims(x, axes), (lambda g: xp.permute_dims(g, back), None)


def inverse_permutation(order: Sequence[int]) -> tuple[int, ...]:
    """What undoes a permutation of axes: where each axis has gone."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


@primitive(moves=True)
def matrix_transpose(xp: Any, x: Any, /) -> Any:
    """The last two axes exchanged.

    Parameters
    ----------
    x : Tensor
        A matrix or a stack of them, (…, M, N).

    Returns
    -------
    Tensor
        A view of x, (…, N, M).

    Raises
    ------
    ValueError
        If x has fewer than two axes.

    Examples
    --------
    >>> weft.matrix_transpose(weft.ones((5, 2, 3))).shape
    (5, 3, 2)
    """
    return xp.matrix_transpose(x), (lambda g: xp.matrix_transpose(g),)


@primitive(moves=True)
def moveaxis(xp: Any, x: Any, source: int | Sequence[int], destination: int | Sequence[int], /) -> Any:
    """Axes at `source` moved to `destination`, the others keeping their order.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    source, destination : int or tuple of int
        Where axes are, and where they shall be in the result.

    Returns
    -------
    Tensor
        A view of x.

    Examples
    --------
    >>> weft.moveaxis(weft.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    return xp.moveaxis(x, source, destination), (lambda g: xp.moveaxis(g, destination, source), None, None)


@primitive(moves=True)
def expand_dims(xp: Any, x: Any, /, axis: int = 0) -> Any:
    """A new axis of length 1.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    axis : int, default 0
        Where it shall be in the result.

    Returns
    -------
    Tensor
        A view of x with one axis more. PyTorch calls this `unsqueeze`.

    Examples
    --------
    >>> weft.expand_dims(weft.ones(3), axis=1).shape
    (3, 1)
    """
    return xp.expand_dims(x, axis=axis), (lambda g: xp.reshape(g, x.shape), None)


def where_1(f: Any, x: Any, /, *, axis: Any) -> Tensor:
    """PyTorch's `squeeze`, which leaves axes that are longer than 1."""
    axes = (axis,) if isinstance(axis, int) else axis
    return f(x, axis=tuple(a for a in axes if x.ndim and x.shape[a] == 1))


@spelled(DIM, where_1)
@primitive(moves=True)
def squeeze(xp: Any, x: Any, /, axis: int | tuple[int, ...]) -> Any:
    """Axes of length 1 removed.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    axis : int or tuple of int
        Which; to be named, as in the array API (the method of `Tensor` removes all if none is).

    Returns
    -------
    Tensor
        A view of x without them.

    Raises
    ------
    ValueError
        If one of them is longer than 1.

    Examples
    --------
    >>> weft.squeeze(weft.ones((1, 3, 1)), axis=0).shape
    (3, 1)
    """
    return xp.squeeze(x, axis=axis), (lambda g: xp.reshape(g, x.shape), None)


@spelled(DIMS, lambda f, x, /, **options: astype(f(x, **options), x.dtype))  # PyTorch's is no view
@primitive(moves=True)
def flip(xp: Any, x: Any, /, *, axis: Axes = None) -> Any:
    """The order of the elements reversed.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    axis : int, tuple of int or None, default None
        Along which axes; all if None.

    Returns
    -------
    Tensor
        Of the shape and dtype of x.

    Examples
    --------
    >>> weft.flip(weft.tensor([[1, 2], [3, 4]]), axis=1)
    tensor([[2, 1],
            [4, 3]])
    """
    return xp.flip(x, axis=axis), (lambda g: xp.flip(g, axis=axis),)


@spelled(DIMS | {"shifts": "shift"})
@primitive(moves=True)
def roll(xp: Any, x: Any, /, shift: int | tuple[int, ...], *, axis: Axes = None) -> Any:
    """Elements moved on, those pushed out at the end coming back at the front.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    shift : int or tuple of int
        How far, for each axis in `axis`; negative moves back.
    axis : int, tuple of int or None, default None
        Along which axes; through all of x, flattened, if None.

    Returns
    -------
    Tensor
        Of the shape and dtype of x.

    Examples
    --------
    >>> weft.roll(weft.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    for n in shift if isinstance(shift, tuple | list) else (shift,):
        integer("shift", n)
    back = tuple(-s for s in shift) if isinstance(shift, tuple) else -shift
    return xp.roll(x, shift, axis=axis), (lambda g: xp.roll(g, back, axis=axis), None)


@primitive(moves=True)
def broadcast_to(xp: Any, x: Any, /, shape: int | Sequence[int]) -> Any:
    """Repetition along axes of length 1 and new leading axes, without copying.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    shape : int or sequence of int
        What x broadcasts to.

    Returns
    -------
    Tensor
        A view of x: elements share memory. Its gradient is summed over what was repeated.

    Raises
    ------
    ValueError
        If x does not broadcast to this shape.

    Examples
    --------
    >>> weft.broadcast_to(weft.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2.],
            [1., 2.]])
    """
    return xp.broadcast_to(x, shape), (lambda g: unbroadcast(xp, g, x), None)


def broadcast_arrays(*arrays: Tensor) -> tuple[Tensor, ...]:
    """All arrays broadcast against each other.

    Parameters
    ----------
    *arrays : Tensor
        Of any dtypes, which they keep.

    Returns
    -------
    tuple of Tensor
        One for each, of a common shape; views, as from `broadcast_to`.

    Raises
    ------
    ValueError
        If there is no common shape.

    Examples
    --------
    >>> [x.shape for x in weft.broadcast_arrays(weft.ones((3, 1)), weft.ones(2))]
    [(3, 2), (3, 2)]
    """
    shape = broadcast_shapes(*[a.shape for a in arrays])
    return tuple(a if a.shape == shape else broadcast_to(a, shape) for a in arrays)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to.

    Parameters
    ----------
    *shapes : tuple of int
        Aligned at their ends; lengths must be equal or 1, axis by axis.

    Returns
    -------
    tuple of int
        The greater length along each axis; () for no shapes.

    Raises
    ------
    ValueError
        If there is no such shape.

    Examples
    --------
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


def _alike(xp: Any, arrays: Sequence[Any]) -> Sequence[Any]:
    """All in the dtype that they promote to."""
    found = [dtypes.of(a) for a in arrays]
    if found.count(found[0]) == len(found):
        return arrays
    to = dtypes.native(xp, result_type(*found))
    return [xp.astype(a, to, copy=False) for a in arrays]


@primitive(moves=True)
def _concat(xp: Any, *arrays: Any, axis: int) -> Any:
    y = xp.concat(_alike(xp, arrays), axis=axis)
    axis %= arrays[0].ndim
    ends = [0]
    for a in arrays:
        ends.append(ends[-1] + a.shape[axis])

    def part(i: int) -> Any:
        where = (slice(None),) * axis + (slice(ends[i], ends[i + 1]), ...)
        return lambda g: xp.astype(real_if(xp, g[where], arrays[i]), arrays[i].dtype, copy=False)

    return y, tuple(part(i) for i in range(len(arrays)))


@spelled(DIM)
def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """Arrays joined along an axis that they have.

    Parameters
    ----------
    arrays : sequence of Tensor
        Of the same lengths along the other axes.
    axis : int or None, default 0
        Along which; None flattens them first.

    Returns
    -------
    Tensor
        Of the dtype that they promote to. PyTorch calls this `cat`.

    Raises
    ------
    ValueError
        If there are no arrays, or their shapes do not fit.

    Examples
    --------
    >>> weft.concat([weft.ones((1, 2)), weft.zeros((2, 2))]).shape
    (3, 2)
    """
    if not hasattr(arrays, "__len__"):
        raise TypeError(f"`arrays` must be a sequence of Tensors, got {arrays!r:.80}")
    if not len(arrays):
        raise ValueError("`concat` needs at least one array, got none")
    if axis is None:
        return _concat(*[reshape(a, (-1,)) for a in arrays], axis=0)
    return _concat(*arrays, axis=axis)


@primitive(moves=True)
def _stack(xp: Any, *arrays: Any, axis: int) -> Any:
    y = xp.stack(_alike(xp, arrays), axis=axis)
    axis %= y.ndim
    where = (slice(None),) * axis

    def part(i: int) -> Any:
        return lambda g: xp.astype(real_if(xp, g[(*where, i, ...)], arrays[i]), arrays[i].dtype, copy=False)

    return y, tuple(part(i) for i in range(len(arrays)))


@spelled(DIM)
def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Arrays of one shape joined along a new axis.

    Parameters
    ----------
    arrays : sequence of Tensor
        All of one shape.
    axis : int, default 0
        Where the new axis shall be in the result.

    Returns
    -------
    Tensor
        Of the dtype that they promote to.

    Raises
    ------
    ValueError
        If there are no arrays, or they differ in shape.
    TypeError
        If one of them is none.

    Examples
    --------
    >>> weft.stack([weft.tensor([1, 2]), weft.tensor([3, 4])], axis=1)
    tensor([[1, 3],
            [2, 4]])
    """
    if not hasattr(arrays, "__len__"):
        raise TypeError(f"`arrays` must be a sequence of Tensors, got {arrays!r:.80}")
    if not len(arrays):
        raise ValueError("`stack` needs at least one array, got none")
    for a in arrays:
        if not hasattr(a, "shape"):
            raise TypeError(f"`stack` needs Tensors, got {type(a).__name__} {a!r}; convert it: weft.asarray(…)")
    if any(a.shape != arrays[0].shape for a in arrays):
        raise ValueError(f"`stack` needs arrays of one shape, got {[a.shape for a in arrays]}")
    return _stack(*arrays, axis=axis)


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis; undoes `stack`.

    Parameters
    ----------
    x : Tensor
        With at least one axis.
    axis : int, default 0
        What is cut, and gone in the results.

    Returns
    -------
    tuple of Tensor
        As many as `axis` is long; views of x.

    Raises
    ------
    IndexError
        If x has no such axis.

    Examples
    --------
    >>> weft.unstack(weft.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    integer("axis", axis)
    if not -x.ndim <= axis < x.ndim:
        raise IndexError(f"`axis` must be in [{-x.ndim}, {x.ndim}), got {axis}")
    where = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*where, i, ...)] for i in range(x.shape[axis]))


@primitive(moves=True)
def tile(xp: Any, x: Any, repetitions: Sequence[int], /) -> Any:
    """The whole of x repeated along each axis.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    repetitions : sequence of int
        How often, for each axis from the last; the shorter of this and the shape of x gets ones in front.

    Returns
    -------
    Tensor
        Of the dtype of x; lengths are those of x times `repetitions`.

    Examples
    --------
    >>> weft.tile(weft.tensor([1, 2]), (2, 2))
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    y = xp.tile(x, repetitions)
    lead = len(repetitions) - x.ndim
    shape = (1,) * lead + x.shape
    reps = (1,) * -lead + tuple(repetitions)

    def grad_x(g: Any) -> Any:
        split = [n for pair in zip(reps, shape) for n in pair]
        return xp.reshape(total(xp, xp.reshape(g, tuple(split)), tuple(range(0, len(split), 2))), x.shape)

    return y, (grad_x, None)


@spelled(DIM)
@primitive(moves=True)
def repeat(xp: Any, x: Any, repeats: Operand, /, *, axis: int | None = None) -> Any:
    """Each element, or slice along an axis, repeated.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    repeats : int or Tensor
        How often: the same for all, or integers, one for each along `axis`.
    axis : int, optional
        What is repeated along; all of x, flattened, if None.

    Returns
    -------
    Tensor
        Of the dtype of x. PyTorch calls this `repeat_interleave`, and `tile` `repeat`.

    Examples
    --------
    >>> weft.repeat(weft.tensor([5, 6]), weft.tensor([1, 2]))
    tensor([5, 6, 6])
    """
    if hasattr(repeats, "dtype"):  # NumPy takes no uint64
        repeats = xp.astype(repeats, xp.int64)
    if isinstance(repeats, float):
        integer("repeats", repeats, 0)
    y = xp.repeat(x, repeats, axis=axis)

    def grad_x(g: Any) -> Any:
        rows = xp.reshape(x, (-1,)) if axis is None else x
        along = 0 if axis is None else axis % x.ndim
        came_from = xp.repeat(xp.arange(rows.shape[along], device=x.device), repeats)
        return xp.reshape(scatter_add(xp, g, came_from, rows.shape[along], along), x.shape)

    return y, (grad_x, None)


@primitive(moves=True)
def _astype(xp: Any, x: Any, /, *, dtype: DType, copy: bool) -> Any:
    differentiable = not dtypes.is_integral(x.dtype) and not dtypes.is_integral(dtype)
    y = xp.astype(x, dtypes.native(xp, dtype), copy=copy)
    return y, (lambda g: xp.astype(real_if(xp, g, x), x.dtype),) if differentiable else None


def astype(x: Tensor, dtype: DType, /, *, copy: bool = True, device: str | None = None) -> Tensor:
    """Conversion to another dtype.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    dtype : dtype
        What to convert to; floats lose their fraction in integers.
    copy : bool, default True
        False returns x itself if it has that dtype.
    device : str, optional
        Where to move the result; where x is if None.

    Returns
    -------
    Tensor
        Differentiable where neither dtype is an integer's: the gradient is converted back.

    Raises
    ------
    TypeError
        If `dtype` is none of weft's.

    Examples
    --------
    >>> weft.astype(weft.tensor([1.7, -1.7]), weft.int32)
    tensor([ 1, -1], dtype=int32)
    """
    dtype = as_dtype(dtype)
    y = x if not copy and x.dtype == dtype else _astype(x, dtype=dtype, copy=copy)
    return y if device is None else y.to(device)
