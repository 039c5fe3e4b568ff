"""New tensors: the array API's creation functions, on the default device and dtype unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..device import devices, dtypes
from ..tape.autograd import primitive
from ..tape.tensor import Tensor, device_of, from_python, innermost, wrap
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


def asarray(obj: Any, /, *, dtype: Any = None, device: str | None = None, copy: bool | None = None) -> Tensor:
    """A Tensor of numbers, sequences, Tensors or any library's arrays; memory is shared unless a copy is needed.

    Python floats become the default dtype, arrays keep theirs. `copy=False` raises ValueError where a copy cannot be
    avoided.

    >>> weft.asarray([1.5, 2.5]).dtype
    dtype('float32')
    """
    source = obj.device if isinstance(obj, Tensor) else device_of(obj)
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
        raw = from_python(raw, dtype)
    xp = devices.namespace(device)
    if source != device:
        if copy is False:
            raise ValueError(f"`copy=False` cannot be kept: the data are on {source}, the tensor on {device}")
        raw, copy = devices.to_numpy(raw), True
    return wrap(xp.asarray(raw, dtype=dtypes.native(xp, dtype), copy=copy), device)


def tensor(data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A new tensor that owns a copy of `data` (numbers, nested sequences, arrays or tensors), as `torch.tensor`.

    Python floats become the default dtype (float32); NumPy arrays keep theirs. `device=None` is the default device.

    >>> weft.tensor([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    from ..array.creation import asarray

    return asarray(data, dtype=dtype, device=device, copy=True).detach().requires_grad_(requires_grad)


def _convert(x: Tensor, dtype: Any, device: str, copy: bool | None) -> Tensor:
    """A tensor in another dtype, copied or moved: gradients flow back to it."""
    if device != x.device:
        x, copy = x.to(device), None  # type: ignore[attr-defined]
    if dtype is None or x.dtype == dtype:
        return astype(x, x.dtype) if copy else x
    if copy is False:
        raise ValueError(f"`copy=False` cannot be kept: the tensor is {x.dtype}, and {dtype} was asked for")
    return astype(x, dtype)


def from_dlpack(x: Any, /, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """A Tensor over the memory of any object with `__dlpack__` (PyTorch, JAX, CuPy, …), as `asarray` of it."""
    if not isinstance(x, Tensor):
        kind = x.__dlpack_device__()[0]
        x = Tensor(devices.namespace("cpu" if kind == 1 else "cuda").from_dlpack(x))  # DLPack: 1 is the CPU, 2 CUDA
    return asarray(x, device=device, copy=copy)


def _floating(dtype: Any) -> Any:
    return dtypes.get_default_dtype() if dtype is None else dtype


def _create(name: str, device: str | None, requires_grad: bool, *args: Any, dtype: Any, **kwargs: Any) -> Tensor:
    device = devices.canonical(device)
    xp = devices.namespace(device)
    out = wrap(getattr(xp, name)(*args, dtype=dtypes.native(xp, dtype), **kwargs), device)
    return out.requires_grad_() if requires_grad else out


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: Any = None, device: str | None = None
) -> Tensor:
    """start, start + step, … below stop; integers unless an argument is a float."""
    if dtype is None and any(isinstance(v, float) for v in (start, stop, step)):
        dtype = dtypes.get_default_dtype()
    bounds = (0, start) if stop is None else (start, stop)
    return _create("arange", device, False, *bounds, step, dtype=dtypes.int64 if dtype is None else dtype)


def linspace(
    start: float, stop: float, /, num: int, *, dtype: Any = None, device: str | None = None, endpoint: bool = True
) -> Tensor:
    """`num` evenly spaced numbers from start to stop."""
    if dtype is None and any(isinstance(v, complex) for v in (start, stop)):
        dtype = dtypes.default_complex()
    return _create("linspace", device, False, start, stop, num, dtype=_floating(dtype), endpoint=endpoint)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: str | None = None
) -> Tensor:
    """Ones on the k-th diagonal, zeros elsewhere."""
    return _create("eye", device, False, n_rows, n_cols, k=k, dtype=_floating(dtype))


def zeros(shape: Any, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros.

    >>> weft.zeros(2)
    tensor([0., 0.])
    """
    return _create("zeros", device, requires_grad, shape, dtype=_floating(dtype))


def ones(shape: Any, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones."""
    return _create("ones", device, requires_grad, shape, dtype=_floating(dtype))


def empty(shape: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """A tensor of whatever was in memory."""
    return _create("empty", device, False, shape, dtype=_floating(dtype))


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """A tensor of one value; its dtype is that of the value as a Tensor (float32 for a Python float)."""
    if dtype is None:
        dtype = from_python(fill_value).dtype
    return _create("full", device, False, shape, fill_value, dtype=dtype)


def _like(name: str) -> Callable:
    def create(x: Tensor, /, *, dtype: Any = None, device: str | None = None) -> Tensor:
        return globals()[name](x.shape, dtype=x.dtype if dtype is None else dtype, device=device or x.device)

    create.__name__ = create.__qualname__ = f"{name}_like"
    create.__doc__ = f"`{name}` of the shape, dtype and device of `x`."
    return create


zeros_like, ones_like, empty_like = _like("zeros"), _like("ones"), _like("empty")


def full_like(x: Tensor, /, fill_value: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """`full` of the shape, dtype and device of `x`."""
    return full(x.shape, fill_value, dtype=x.dtype if dtype is None else dtype, device=device or x.device)


@primitive(moves=True)
def tril(xp: Any, x: Any, /, *, k: int = 0) -> Any:
    """The lower triangle of the last two axes (elements at or below the k-th diagonal); zeros above."""
    return xp.tril(x, k=k), (lambda g: xp.tril(g, k=k),)


@primitive(moves=True)
def triu(xp: Any, x: Any, /, *, k: int = 0) -> Any:
    """The upper triangle of the last two axes (elements at or above the k-th diagonal); zeros below."""
    return xp.triu(x, k=k), (lambda g: xp.triu(g, k=k),)


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Coordinate tensors from 1-d coordinates: output i varies along the axis of input i ("xy" swaps the first two)."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"`indexing` must be 'xy' or 'ij', got {indexing!r}")
    n = len(arrays)
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[:2] = [1, 0]
    shaped = [reshape(a, tuple(-1 if j == order[i] else 1 for j in range(n))) for i, a in enumerate(arrays)]
    return broadcast_arrays(*shaped) if n > 1 else tuple(shaped)
