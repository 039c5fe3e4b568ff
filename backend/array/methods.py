"""Operators and methods of `Tensor`, attached from the functions of the namespace.

A name that the array API has keeps the array API's meaning (`axis`, `keepdims`, `correction`); a name that only PyTorch
has keeps PyTorch's (`transpose(d0, d1)`, `view`, `permute`, `unsqueeze`, `clone`, …).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..device import devices
from ..tape.autograd import _mode, backward, primitive
from ..tape.tensor import Tensor, innermost, wrap
from . import elementwise, indexing, linalg, manipulation, products, reductions
from .creation import asarray

__all__: list[str] = []

NUMBERS = (int, float, complex)
F = TypeVar("F")


def method(f: F, name: str = "") -> F:
    """Attach a function (or property) to Tensor, under its own name or another; its types stand in `tape/tensor.py`."""
    setattr(Tensor, name or f.__name__, f)  # type: ignore[attr-defined]
    return f


# --- operators --------------------------------------------------------------------------------------------------------
def _operand(x: Tensor, other: Any) -> Any:
    """The other side of an operator: a Tensor (NumPy arrays go to where x is), a Python number, or NotImplemented."""
    if isinstance(other, Tensor):
        return other
    if isinstance(other, np.generic):
        other = other.item()
    if isinstance(other, NUMBERS):
        return other
    if type(other) is np.ndarray:
        return asarray(other, device=x.device)
    return asarray(other) if devices.is_array(other) else NotImplemented


def _binary(f: Callable, name: str, *, reflected: bool = False) -> Callable:
    def operator(self: Tensor, other: Any, /) -> Any:
        if not isinstance(other, Tensor):
            other = _operand(self, other)
            if other is NotImplemented:
                return other
        return f(other, self) if reflected else f(self, other)

    operator.__name__ = name
    return operator


def _inplace(f: Callable, name: str) -> Callable:
    def operator(self: Tensor, other: Any, /) -> Any:
        other = _operand(self, other)
        if other is NotImplemented:
            return other
        rebinds = _rebinds(self, other)
        new = f(self, other)
        if new.dtype != self.dtype:
            raise TypeError(f"the result's dtype {new.dtype} does not fit in place into {self.dtype}; write x = x … y")
        if new.shape != self.shape:
            raise ValueError(f"an in-place result of shape {new.shape} does not fit into {self.shape}; write x = x … y")
        if rebinds:
            return _rebind(self, new)
        self.data[...] = new.data
        return self

    operator.__name__ = name
    return operator


def _unary(f: Callable, name: str) -> Callable:
    def operator(self: Tensor) -> Tensor:
        return f(self)

    operator.__name__ = name
    return operator


def _rebinds(x: Tensor, other: Any = None) -> bool:
    """Whether an in-place operation must leave the memory alone because something recorded may need it."""
    if not _mode.enabled:
        return False
    if x.requires_grad and x._node is None:
        raise RuntimeError(
            "a leaf that requires grad cannot be changed in place while gradients are recorded; use weft.no_grad()"
        )
    return (
        x.requires_grad or x._saved or (isinstance(other, Tensor) and (other.requires_grad or other._depth > x._depth))
    )


def _rebind(x: Tensor, new: Tensor) -> Tensor:
    x.data, x._depth, x._node, x.requires_grad, x._saved = new.data, new._depth, new._node, new.requires_grad, False
    return x


ARITHMETIC: dict[str, Callable] = {
    "add": elementwise.add, "sub": elementwise.subtract, "mul": elementwise.multiply, "truediv": elementwise.divide,
    "floordiv": elementwise.floor_divide, "mod": elementwise.remainder, "pow": elementwise.pow, "matmul": products.matmul,
    "and": elementwise.bitwise_and, "or": elementwise.bitwise_or, "xor": elementwise.bitwise_xor,
    "lshift": elementwise.bitwise_left_shift, "rshift": elementwise.bitwise_right_shift,
}  # fmt: skip
COMPARISONS: dict[str, Callable] = {
    "lt": elementwise.less, "le": elementwise.less_equal, "gt": elementwise.greater, "ge": elementwise.greater_equal,
    "eq": elementwise.equal, "ne": elementwise.not_equal,
}  # fmt: skip
SIGNS: dict[str, Callable] = {
    "neg": elementwise.negative, "pos": elementwise.positive, "abs": elementwise.abs,
    "invert": elementwise.bitwise_invert,
}  # fmt: skip
for name, function in ARITHMETIC.items():
    method(_binary(function, f"__{name}__"))
    method(_binary(function, f"__r{name}__", reflected=True))
    method(_inplace(function, f"__i{name}__"))
for name, function in COMPARISONS.items():
    method(_binary(function, f"__{name}__"))
for name, function in SIGNS.items():
    method(_unary(function, f"__{name}__"))


# --- indexing ---------------------------------------------------------------------------------------------------------
def _getitem(self: Tensor, key: Any, /) -> Tensor:
    out = indexing._getitem(self, key=indexing.raw_key(key, self))
    out._saved = self._saved  # x[i] += 1 must not write to memory that the tape needs
    return out


def _setitem(self: Tensor, key: Any, value: Any, /) -> None:
    key = indexing.raw_key(key, self)
    if _rebinds(self, value):
        _rebind(self, indexing._setitem(self, value, key=key))
    elif isinstance(self.data, Tensor):
        self.data[key] = value.data if isinstance(value, Tensor) and value._depth == self._depth else value
    else:
        self.data[key] = innermost(value)


def _iter(self: Tensor) -> Any:
    if not self.ndim:
        raise TypeError("a 0-d tensor cannot be iterated over")
    return (self[i, ...] for i in range(self.shape[0]))


method(_getitem, "__getitem__")
method(_setitem, "__setitem__")
method(_iter, "__iter__")

# --- methods that are functions of the namespace ----------------------------------------------------------------------
for module, names in {
    elementwise: "abs acos acosh asin asinh atan atanh ceil clip conj cos cosh exp expm1 floor isfinite isinf isnan "
    "log log10 log1p log2 logical_and logical_not logical_or maximum minimum pow reciprocal round sign sin sinh sqrt "
    "square tan tanh trunc",
    reductions: "all any argmax argmin cumulative_prod cumulative_sum logsumexp count_nonzero",
    manipulation: "astype flip roll tile repeat broadcast_to",
    indexing: "argsort sort take take_along_axis nonzero",
    products: "matmul",
}.items():
    for name in names.split():
        method(getattr(module, name), name)


def _reduction(f: Callable) -> Callable:
    def method(self: Tensor, axis: Any = None, **kwargs: Any) -> Tensor:
        return f(self, axis=axis, **kwargs)

    method.__name__, method.__doc__ = f.__name__, f.__doc__
    return method


for name in ("sum", "mean", "std", "var", "prod", "max", "min", "all", "any", "argmax", "argmin", "logsumexp"):
    method(_reduction(getattr(reductions, name)), name)


def _varargs(args: tuple) -> tuple:
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], tuple | list) else args


method(backward)


@method
def reshape(self: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape: `x.reshape(2, -1)` or `x.reshape((2, -1))`."""
    return manipulation.reshape(self, _varargs(shape))


@method
def view(self: Tensor, *shape: Any) -> Tensor:
    """`reshape` (PyTorch's name; it copies where memory order requires it)."""
    return manipulation.reshape(self, _varargs(shape))


@method
def view_as(self: Tensor, other: Tensor) -> Tensor:
    return manipulation.reshape(self, other.shape)


@method
def flatten(self: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes start_dim … end_dim merged into one."""
    n = self.ndim
    if not n:
        return manipulation.reshape(self, (1,))
    start, end = start_dim % n, end_dim % n
    if start > end:
        raise ValueError(f"`start_dim` must not come after `end_dim`, got {start_dim} and {end_dim} for {n} axes")
    length = 1
    for s in self.shape[start : end + 1]:
        length *= s
    return manipulation.reshape(self, (*self.shape[:start], length, *self.shape[end + 1 :]))


@method
def transpose(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged (PyTorch's meaning; NumPy's is `permute`)."""
    axes = list(range(self.ndim))
    axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return manipulation.permute_dims(self, tuple(axes))


@method
def permute(self: Tensor, *dims: Any) -> Tensor:
    """Axes reordered: `x.permute(1, 0)` or `x.permute((1, 0))`."""
    return manipulation.permute_dims(self, _varargs(dims))


method(transpose, "swapaxes")


@method
def squeeze(self: Tensor, axis: Any = None) -> Tensor:
    """Axes of length 1 removed: all of them, or those named."""
    return manipulation.squeeze(self, tuple(i for i, n in enumerate(self.shape) if n == 1) if axis is None else axis)


@method
def unsqueeze(self: Tensor, dim: int) -> Tensor:
    """A new axis of length 1 at `dim`."""
    return manipulation.expand_dims(self, axis=dim)


@method
def expand(self: Tensor, *sizes: Any) -> Tensor:
    """`broadcast_to` with −1 for lengths that stay."""
    sizes = _varargs(sizes)
    lead = len(sizes) - self.ndim
    return manipulation.broadcast_to(self, tuple(self.shape[i - lead] if s == -1 else s for i, s in enumerate(sizes)))


@method
def chunk(self: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces along `dim`, equally long but for the last."""
    return self.split(max(1, -(-self.shape[dim] // chunks)), dim)


@method
def split(self: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along `dim`, each `split_size` long (or as long as the list says)."""
    n, before = self.shape[dim], (slice(None),) * (dim % self.ndim)
    sizes = [split_size] * -(-n // split_size) if isinstance(split_size, int) else list(split_size)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    if not isinstance(split_size, int) and sum(sizes) != n:
        raise ValueError(f"`split_size` must add up to {n}, the length of axis {dim}, got {sizes}")
    return tuple(self[(*before, slice(s, s + size), ...)] for s, size in zip(starts, sizes))


@method
def clone(self: Tensor) -> Tensor:
    """A copy, on the tape."""
    return manipulation.astype(self, self.dtype)


@method
def contiguous(self: Tensor) -> Tensor:
    """The same values in row-major memory (itself if they are already)."""
    flags = getattr(self.data, "flags", None)
    if flags is None or flags.c_contiguous:
        return self
    return manipulation.reshape(manipulation.reshape(self.clone(), (self.size,)), self.shape)


@method
def norm(self: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """√Σ x² over `axis`; the gradient is 0 where the norm is."""
    return linalg.vector_norm(self, axis=axis, keepdims=keepdims)


@method
def copy_(self: Tensor, source: Any) -> Tensor:
    """Overwrite the values in place (leaves that require grad: under `no_grad`)."""
    self[...] = source
    return self


@method
def fill_(self: Tensor, value: Any) -> Tensor:
    """Set every element to `value`, in place."""
    self[...] = value
    return self


@method
def zero_(self: Tensor) -> Tensor:
    """Set every element to 0, in place."""
    self[...] = 0
    return self


def _transposed(self: Tensor) -> Tensor:
    """The transpose of a matrix."""
    if self.ndim != 2:
        raise ValueError(
            f"`T` is for matrices, got shape {self.shape}; use .mT for stacks of matrices, .permute(…) otherwise"
        )
    return manipulation.matrix_transpose(self)


method(property(_transposed), "T")
method(property(manipulation.matrix_transpose), "mT")


# --- devices and dtypes -----------------------------------------------------------------------------------------------
@method
def to(self: Tensor, target: Any = None, dtype: Any = None, *, device: str | None = None) -> Tensor:
    """The tensor on another device and/or in another dtype (itself if nothing changes); gradients flow back."""
    if isinstance(target, str) and not _names_dtype(target):
        device = target
    elif isinstance(target, Tensor):
        device, dtype = target.device, target.dtype
    elif target is not None:
        dtype = np.dtype(target)
    out = self if dtype is None or np.dtype(dtype) == self.dtype else manipulation.astype(self, np.dtype(dtype))
    return out if device is None else _to_device(out, devices.canonical(device))


def _names_dtype(text: str) -> bool:
    try:
        return np.dtype(text) is not None
    except TypeError:
        return False


def _to_device(x: Tensor, device: str) -> Tensor:
    if device == x.device:
        return x
    out = _move(x, source=x.device, target=device)
    out.device = device
    return out


@primitive(moves=True)
def _move(xp: Any, x: Any, /, *, source: str, target: str) -> Any:
    def moved(a: Any, source: str, target: str) -> Any:
        return a.to(target) if isinstance(a, Tensor) else asarray(wrap(a, source), device=target).data

    return moved(x, source, target), (lambda g: moved(g, target, source),)


@method
def to_device(self: Tensor, device: str, /, *, stream: Any = None) -> Tensor:
    """The array API's name for `to(device)`."""
    return self.to(device)


def _conversion(target: Any) -> Callable:
    def convert(self: Tensor) -> Tensor:
        return to(self, target)

    return convert


for name, target in {
    "cpu": "cpu",
    "double": np.float64,
    "float": np.float32,
    "half": np.float16,
    "long": np.int64,
    "int": np.int32,
    "bool": np.bool_,
}.items():
    method(_conversion(target), name)


@method
def cuda(self: Tensor, index: int | None = None) -> Tensor:
    """The tensor on an NVIDIA GPU."""
    return to(self, "cuda" if index is None else f"cuda:{index}")


@method
def type_as(self: Tensor, other: Tensor) -> Tensor:
    return to(self, other.dtype)


del name, function, module, names, target
