"""New tensors: the array API's creation functions, on the default device and dtype unless told otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..device import devices, dtypes
from ..device.dlpack import Bits, is_foreign_bfloat16
from ..device.numeric import as_dtype, check_holds, check_numeric, in_native_order
from ..device.options import integer, number
from ..tape.autograd import primitive
from ..tape.explain import REFUSALS, explained
from ..tape.tensor import DType, Tensor, device_of, from_python, innermost, wrap
from .manipulation import astype, broadcast_arrays, reshape

__all__ = [
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "tensor",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]


def asarray(obj: Any, /, *, dtype: DType = None, device: str | None = None, copy: bool | None = None) -> Tensor:
    """A Tensor of numbers, sequences, Tensors or any library's arrays; memory is shared unless a copy is needed.

    Parameters
    ----------
    obj : Tensor, array, number or nested sequence of numbers
        Python floats become the default dtype, arrays keep theirs.
    dtype : dtype, optional
        That of the result; what `obj` implies if None.
    device : str, optional
        Where to; if None, where a Tensor or a GPU's array is, and the default device for all else.
    copy : bool, optional
        True always copies; False raises where a copy cannot be avoided.

    Returns
    -------
    Tensor
        `obj` itself if it is a Tensor that already fits. Gradients flow back to a Tensor that requires grad.

    Raises
    ------
    ValueError
        If `copy=False` cannot be kept, or rows differ in length.
    TypeError
        If `obj` holds what is not a number (text, dates, records, objects; the columns of a data frame are named) or is a
        masked array; if `dtype` is none of weft's.
    DeviceError
        If there is no such device.

    Examples
    --------
    >>> weft.asarray([1.5, 2.5]).dtype
    dtype('float32')
    """
    source = obj.device if isinstance(obj, Tensor) else device_of(obj)
    dtype = None if dtype is None else as_dtype(dtype)
    if device is None:
        device = source if isinstance(obj, Tensor) or source != "cpu" else None
    device = devices.canonical(device)
    if isinstance(obj, Tensor) and (device == source or obj.requires_grad) and not (copy is False and device != source):
        return _convert(obj, dtype, device, copy)
    raw = innermost(obj)
    if not isinstance(raw, np.ndarray) and source == "cpu":
        if copy is False and not (
            hasattr(raw, "__array__") or hasattr(raw, "__dlpack__") or hasattr(raw, "__buffer__")
        ):
            raise ValueError(f"`copy=False` cannot be kept for {type(raw).__name__}: its numbers must be copied")
        if is_foreign_bfloat16(raw):
            raw = Bits(raw).as_array(np)
        raw = from_python(raw, dtype)
    elif source == "cpu":
        check_numeric(raw, obj, dtype)
        if copy is False and not raw.dtype.isnative:
            raise ValueError(
                f"`copy=False` cannot be kept: the bytes of {raw.dtype} must be brought into another order"
            )
        raw = in_native_order(raw)
    xp = devices.namespace(device)
    if source != device:
        if copy is False:
            raise ValueError(f"`copy=False` cannot be kept: the data are on {source}, the tensor on {device}")
        raw, copy = devices.to_numpy(raw), True
    return wrap(xp.asarray(raw, dtype=dtypes.native(xp, dtype), copy=copy), device)


def tensor(data: Any, dtype: DType = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A new tensor that owns a copy of `data`, as `torch.tensor`.

    Parameters
    ----------
    data : number, nested sequence of numbers, array or Tensor
        Python floats become the default dtype (float32); NumPy arrays keep theirs.
    dtype : dtype, optional
        That of the result; what `data` implies if None.
    device : str, optional
        Where to; if None, where a Tensor or a GPU's array is, and the default device for all else.
    requires_grad : bool, default False
        Whether to record operations on it.

    Returns
    -------
    Tensor
        A leaf: what `data` was computed from gets no gradient.

    Raises
    ------
    TypeError
        If `data` holds what is not a number (see `asarray`), or `requires_grad` is asked of a dtype that is not real
        floating-point.
    ValueError
        If rows differ in length.

    Examples
    --------
    >>> weft.tensor([[1, 2], [3, 4]]).shape
    (2, 2)
    >>> weft.tensor(3.0, requires_grad=True)
    tensor(3., requires_grad=True)
    """
    from ..array.creation import asarray

    return asarray(data, dtype=dtype, device=device, copy=True).detach().requires_grad_(requires_grad)


def _convert(x: Tensor, dtype: DType, device: str, copy: bool | None) -> Tensor:
    """A tensor in another dtype, copied or moved: gradients flow back to it."""
    if device != x.device:
        x, copy = x.to(device), None  # type: ignore[attr-defined]
    if dtype is None or x.dtype == dtype:
        return astype(x, x.dtype) if copy else x
    if copy is False:
        raise ValueError(f"`copy=False` cannot be kept: the tensor is {x.dtype}, and {dtype} was asked for")
    return astype(x, dtype)


def from_dlpack(x: Any, /, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """A Tensor over the memory of any object with `__dlpack__` (PyTorch, JAX, CuPy, …).

    Parameters
    ----------
    x : object
        With `__dlpack__` and `__dlpack_device__`, on a CPU or an NVIDIA GPU.
    device : str, optional
        Where to; where x is if None.
    copy : bool, optional
        As in `asarray`: None copies only to another device.

    Returns
    -------
    Tensor
        Of the shape and dtype of x, whose memory it shares. What is read-only there, or has several elements in one place,
        as PyTorch's `expand` gives, cannot be written to.

    Examples
    --------
    >>> a = np.zeros(2, np.float32)
    >>> x = weft.from_dlpack(a)
    >>> a[0] = 1
    >>> x
    tensor([1., 0.])
    """
    if not isinstance(x, Tensor):
        if not hasattr(x, "__dlpack_device__"):
            raise TypeError(f"`x` must have `__dlpack__` and `__dlpack_device__`, got {type(x).__name__}")
        kind = x.__dlpack_device__()[0]
        x = Tensor(Bits(x).as_array(devices.namespace("cpu" if kind == 1 else "cuda")))  # DLPack: 1 is the CPU, 2 CUDA
    return asarray(x, device=device, copy=copy)


def _floating(dtype: DType) -> Any:
    return dtypes.get_default_dtype() if dtype is None else dtype


def _create(name: str, device: str | None, requires_grad: bool, *args: Any, dtype: DType, **kwargs: Any) -> Tensor:
    dtype = as_dtype(dtype)
    device = devices.canonical(device)
    xp = devices.namespace(device)
    try:
        out = wrap(getattr(xp, name)(*args, dtype=dtypes.native(xp, dtype), **kwargs), device)
    except REFUSALS as error:
        raise explained(name, args, kwargs, error) from error
    return out.requires_grad_() if requires_grad else out


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: DType = None, device: str | None = None
) -> Tensor:
    """Evenly spaced numbers: start, start + step, … below stop.

    Parameters
    ----------
    start : number
        The first; the stop, with numbers from 0, if it is alone.
    stop : number, optional
        What all are below (above, for a negative step).
    step : number, default 1
        What lies between two of them; not 0.
    dtype : dtype, optional
        If None, int64, or the default dtype where an argument is a float.
    device : str, optional
        Where to; the default device if None.

    Returns
    -------
    Tensor
        ⌈(stop − start) / step⌉ numbers.

    Examples
    --------
    >>> weft.arange(3)
    tensor([0, 1, 2])
    >>> weft.arange(0, 1, 0.25)
    tensor([0.  , 0.25, 0.5 , 0.75])
    """
    for label, value in (("start", start), ("step", step), *([("stop", stop)] if stop is not None else [])):
        number(label, value)
    if not step:
        raise ValueError(f"`step` must not be 0, got {step} from {start} to {stop}")
    if dtype is not None:
        dtype = as_dtype(dtype)
    elif any(isinstance(v, float) for v in (start, stop, step)):
        dtype = dtypes.get_default_dtype()
    start, stop = (0, start) if stop is None else (start, stop)
    if dtype is None or not dtypes.is_real_floating(dtype):
        return _integers(start, stop, step, dtypes.int64 if dtype is None else dtype, device)
    # in float64, by multiples of the step: a step rounded to float32 would be 2 % off after a thousand
    i = _create("arange", device, False, max(0, math.ceil((stop - start) / step)), dtype=dtypes.float64)
    xp = devices.namespace(i.device)
    return wrap(xp.astype(i.data * step + start, dtypes.native(xp, dtype)), i.device)


def _integers(start: float, stop: float, step: float, dtype: np.dtype, device: str | None) -> Tensor:
    """`arange` in a dtype that is not real floating-point."""
    if dtype.kind in "iu":
        for label, value in (("start", start), ("step", step)):
            if int(value) != value:
                raise ValueError(
                    f"`{label}` must be an integer for {dtype}, got {value}; leave the dtype out, or convert"
                )
        numbers = range(int(start), math.ceil(stop) if step > 0 else math.floor(stop), int(step))
        if numbers:
            check_holds("start", numbers[0], dtype)
            check_holds("stop", numbers[-1], dtype)
    return _create("arange", device, False, start, stop, step, dtype=dtype)


def linspace(
    start: float, stop: float, /, num: int, *, dtype: DType = None, device: str | None = None, endpoint: bool = True
) -> Tensor:
    """Evenly spaced numbers from start to stop: start + i (stop − start)/(num − 1).

    Parameters
    ----------
    start, stop : number
        The first and the last.
    num : int
        How many.
    dtype : dtype, optional
        If None, the default floating-point one, complex if a bound is.
    device : str, optional
        Where to; the default device if None.
    endpoint : bool, default True
        False leaves `stop` out and divides by num.

    Returns
    -------
    Tensor
        Of shape (num,).

    Examples
    --------
    >>> weft.linspace(0, 1, 5)
    tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    integer("num", num, 0)
    for label, value in (("start", start), ("stop", stop)):
        if not isinstance(value, complex):
            number(label, value, infinite=True)
            if dtype is not None:
                check_holds(label, value, as_dtype(dtype))
    if dtype is None and any(isinstance(v, complex) for v in (start, stop)):
        dtype = dtypes.default_complex()
    return _create("linspace", device, False, start, stop, num, dtype=_floating(dtype), endpoint=endpoint)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: DType = None, device: str | None = None
) -> Tensor:
    """Ones on a diagonal, zeros elsewhere.

    Parameters
    ----------
    n_rows : int
        M.
    n_cols : int, optional
        N; M if None.
    k : int, default 0
        Which diagonal: above the main one if positive, below if negative.
    dtype : dtype, optional
        The default one if None.
    device : str, optional
        Where to; the default device if None.

    Returns
    -------
    Tensor
        (M, N).

    Examples
    --------
    >>> weft.eye(2, 3, k=1)
    tensor([[0., 1., 0.],
            [0., 0., 1.]])
    """
    integer("n_rows", n_rows, 0)
    integer("n_cols", n_rows if n_cols is None else n_cols, 0)
    return _create("eye", device, False, n_rows, n_cols, k=k, dtype=_floating(dtype))


def zeros(
    shape: int | Sequence[int], *, dtype: DType = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of zeros.

    Parameters
    ----------
    shape : int or sequence of int
        Its lengths.
    dtype : dtype, optional
        The default one if None.
    device : str, optional
        Where to; the default device if None.
    requires_grad : bool, default False
        Whether to record operations on it (real floating-point dtypes only), as in PyTorch.

    Returns
    -------
    Tensor
        A new one.

    Examples
    --------
    >>> weft.zeros(2)
    tensor([0., 0.])
    """
    return _create("zeros", device, requires_grad, shape, dtype=_floating(dtype))


def ones(
    shape: int | Sequence[int], *, dtype: DType = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of ones.

    Parameters
    ----------
    shape : int or sequence of int
        Its lengths.
    dtype : dtype, optional
        The default one if None.
    device : str, optional
        Where to; the default device if None.
    requires_grad : bool, default False
        Whether to record operations on it (real floating-point dtypes only), as in PyTorch.

    Returns
    -------
    Tensor
        A new one.

    Examples
    --------
    >>> weft.ones((1, 2), dtype=weft.int64)
    tensor([[1, 1]])
    """
    return _create("ones", device, requires_grad, shape, dtype=_floating(dtype))


def empty(shape: int | Sequence[int], *, dtype: DType = None, device: str | None = None) -> Tensor:
    """A tensor of whatever was in memory.

    Parameters
    ----------
    shape : int or sequence of int
        Its lengths.
    dtype : dtype, optional
        The default one if None.
    device : str, optional
        Where to; the default device if None.

    Returns
    -------
    Tensor
        To be written to before it is read, which the emulator checks of kernels.

    Examples
    --------
    >>> weft.empty((2, 3)).shape
    (2, 3)
    """
    return _create("empty", device, False, shape, dtype=_floating(dtype))


def full(shape: int | Sequence[int], fill_value: complex, *, dtype: DType = None, device: str | None = None) -> Tensor:
    """A tensor of one value.

    Parameters
    ----------
    shape : int or sequence of int
        Its lengths.
    fill_value : number
        What every element is.
    dtype : dtype, optional
        If None, what the value is as a Tensor: the default dtype for a float, int64 for an int, bool for a bool.
    device : str, optional
        Where to; the default device if None.

    Returns
    -------
    Tensor
        A new one.

    Examples
    --------
    >>> weft.full(2, 7.0)
    tensor([7., 7.])
    """
    found = fill_value if isinstance(fill_value, Tensor) else from_python(fill_value)
    dtype = found.dtype if dtype is None else as_dtype(dtype)
    raw = innermost(found)
    if isinstance(raw, np.ndarray) and not raw.ndim and raw.dtype.kind in "iuf":
        check_holds("fill_value", raw.item(), dtype)
    return _create("full", device, False, shape, fill_value, dtype=dtype)


LIKE = """`{name}` of the shape, dtype and device of another tensor.

Parameters
----------
x : Tensor
    What it shall be like.
dtype : dtype, optional
    Another than that of x.
device : str, optional
    Another than that of x.

Returns
-------
Tensor
    A new one, which does not require grad.

Examples
--------
>>> {run}
"""


def _like(name: str, run: str) -> Callable[..., Tensor]:
    def create(x: Tensor, /, *, dtype: DType = None, device: str | None = None) -> Tensor:
        return globals()[name](x.shape, dtype=x.dtype if dtype is None else dtype, device=device or x.device)

    create.__name__ = create.__qualname__ = f"{name}_like"
    create.__doc__ = LIKE.format(name=name, run=run)
    return create


zeros_like = _like("zeros", "weft.zeros_like(weft.tensor([1.0, 2.0]))\ntensor([0., 0.])")
ones_like = _like("ones", "weft.ones_like(weft.tensor([3, 4]))\ntensor([1, 1])")
empty_like = _like("empty", "weft.empty_like(weft.tensor([3, 4])).dtype\ndtype('int64')")


def full_like(x: Tensor, /, fill_value: complex, *, dtype: DType = None, device: str | None = None) -> Tensor:
    """A tensor of one value with the shape, dtype and device of another.

    Parameters
    ----------
    x : Tensor
        What it shall be like.
    fill_value : number
        What every element is.
    dtype : dtype, optional
        Another than that of x.
    device : str, optional
        Another than that of x.

    Returns
    -------
    Tensor
        A new one, which does not require grad.

    Examples
    --------
    >>> weft.full_like(weft.ones(2), 3)
    tensor([3., 3.])
    """
    return full(x.shape, fill_value, dtype=x.dtype if dtype is None else dtype, device=device or x.device)


@primitive(moves=True)
def tril(xp: Any, x: Any, /, *, k: int = 0) -> Any:
    """The lower triangle of each matrix; zeros above.

    Parameters
    ----------
    x : Tensor
        (…, M, N).
    k : int, default 0
        The last diagonal that is kept: above the main one if positive, below if negative.

    Returns
    -------
    Tensor
        Of the shape and dtype of x.

    Examples
    --------
    >>> weft.tril(weft.ones((2, 2)))
    tensor([[1., 0.],
            [1., 1.]])
    """
    integer("k", k)
    return xp.tril(x, k=k), (lambda g: xp.tril(g, k=k),)


@primitive(moves=True)
def triu(xp: Any, x: Any, /, *, k: int = 0) -> Any:
    """The upper triangle of each matrix; zeros below.

    Parameters
    ----------
    x : Tensor
        (…, M, N).
    k : int, default 0
        The first diagonal that is kept: above the main one if positive, below if negative.

    Returns
    -------
    Tensor
        Of the shape and dtype of x.

    Examples
    --------
    >>> weft.triu(weft.ones((2, 2)), k=1)
    tensor([[0., 1.],
            [0., 0.]])
    """
    integer("k", k)
    return xp.triu(x, k=k), (lambda g: xp.triu(g, k=k),)


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Coordinates of a grid from the coordinates along its axes.

    Parameters
    ----------
    *arrays : Tensor
        Of one axis each, n₁, n₂, … long; or all in one list.
    indexing : {"xy", "ij"}, default "xy"
        With "ij" output i varies along axis i; "xy" swaps the first two. PyTorch's default is "ij".

    Returns
    -------
    tuple of Tensor
        One for each: views of shape (n₁, n₂, …), or (n₂, n₁, …) with "xy".

    Raises
    ------
    ValueError
        If `indexing` is neither.

    Examples
    --------
    >>> x, y = weft.meshgrid(weft.tensor([1, 2]), weft.tensor([3, 4, 5]))
    >>> x.shape
    (3, 2)
    >>> y
    tensor([[3, 3],
            [4, 4],
            [5, 5]])
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"`indexing` must be 'xy' or 'ij', got {indexing!r}")
    if len(arrays) == 1 and isinstance(arrays[0], list | tuple):  # as PyTorch takes them, too
        arrays = tuple(arrays[0])
    n = len(arrays)
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[:2] = [1, 0]
    shaped = [reshape(a, tuple(-1 if j == order[i] else 1 for j in range(n))) for i, a in enumerate(arrays)]
    return broadcast_arrays(*shaped) if n > 1 else tuple(shaped)
