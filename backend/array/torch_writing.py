"""Methods of `Tensor` that only PyTorch has, with PyTorch's meaning: in place, new tensors, what a tensor is.

In place is what `x += y` is: it writes to memory where nothing is recorded, and otherwise gives x, and its views, a new value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..device import dtypes
from ..device.numeric import as_dtype
from ..device.options import integer, number
from ..tape.sharing import root_of, views_of
from ..tape.tensor import DType, Tensor, innermost, wrap
from . import creation
from .info import finfo
from .methods import _varargs, in_place, method, to
from .random import Generator, generator_of, randint
from .torch_methods import torch_method

__all__: list[str] = []

OVERWRITING = (
    "abs add addcdiv addcmul addmm baddbmm ceil clamp clamp_max clamp_min clip cos div exp expm1 floor fmod index_add index_copy "
    "index_fill lerp log log10 log1p log2 masked_fill mul nan_to_num neg pow reciprocal remainder round rsqrt scatter "
    "scatter_add sin sqrt square sub tan tanh tril triu trunc"
)
for name in OVERWRITING.split():
    method(in_place(getattr(Tensor, name), f"{name}_"))


# --- random numbers, in place -----------------------------------------------------------------------------------------
def _drawn(x: Tensor, name: str, draw: Callable[[Any], Any]) -> Tensor:
    """x with random numbers of its shape, dtype and device, which `draw` makes of none given or uniform ones."""
    if not dtypes.is_real_floating(x.dtype):
        raise TypeError(f"`{name}` needs a real floating-point dtype, got {x.dtype}")
    x[...] = draw(x)
    return x


@torch_method
def uniform_(self: Tensor, start: float = 0.0, to: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with uniform random numbers on [start, to)."""
    number("start", start)
    number("to", to, start)
    source = generator_of(generator)
    return _drawn(
        self, "uniform_", lambda x: wrap(source.uniform(x.shape, x.dtype, x.device), x.device) * (to - start) + start
    )


@torch_method
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with normal random numbers."""
    number("mean", mean)
    number("std", std, 0)
    source = generator_of(generator)
    return _drawn(self, "normal_", lambda x: wrap(source.normal(x.shape, x.dtype, x.device), x.device) * std + mean)


@torch_method
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with 1, of probability p, and 0."""
    if not isinstance(p, Tensor):
        number("p", p, 0, 1)
    source = generator_of(generator)
    drawn = wrap(source.uniform(self.shape, np.float32, self.device), self.device)
    self[...] = (drawn < (p.detach() if isinstance(p, Tensor) else p)).astype(self.dtype)
    return self


@torch_method
def random_(self: Tensor, low: int = 0, high: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with random integers in [low, high); `random_(n)` takes [0, n), `random_()` all that the dtype holds."""
    if high is None:
        low, high = 0, low or _end_of_integers(self.dtype)
    self[...] = randint(low, high, self.shape, generator=generator, device=self.device).astype(self.dtype)
    return self


def _end_of_integers(dtype: np.dtype) -> int:
    """What follows the integers that a dtype holds exactly, all of them from 0 on."""
    if dtype.kind in "iu":
        return min(int(np.iinfo(dtype).max) + 1, 2**63 - 1)
    return 2 if dtype.kind == "b" else int(2 / finfo(dtype).eps) + 1


# --- other writing ----------------------------------------------------------------------------------------------------
@torch_method
def fill_diagonal_(self: Tensor, fill_value: complex) -> Tensor:
    """Overwrite the main diagonal, of a matrix or of more axes of one length."""
    if self.ndim < 2 or (self.ndim > 2 and len(set(self.shape)) != 1):
        raise ValueError(f"`fill_diagonal_` needs a matrix or several axes of one length, got shape {self.shape}")
    self[(creation.arange(min(self.shape), device=self.device),) * self.ndim] = fill_value
    return self


@torch_method
def detach_(self: Tensor) -> Tensor:
    """Take this tensor itself off the tape: a leaf that requires no grad, with the same memory."""
    if root_of(self) is not self or views_of(self):
        raise RuntimeError("`detach_` needs a tensor that is no view and has none; use .detach()")
    self._saved = self._saved or self._node is not None
    self._node, self.requires_grad = None, False
    return self


# --- new tensors ------------------------------------------------------------------------------------------------------
def _new(x: Tensor, make: Callable, *args: Any, dtype: DType, device: str | None, requires_grad: bool) -> Tensor:
    dtype = x.dtype if dtype is None else as_dtype(dtype)
    return make(*args, dtype=dtype, device=x.device if device is None else device).requires_grad_(requires_grad)


@torch_method
def new_zeros(
    self: Tensor,
    *size: int | Sequence[int],
    dtype: DType = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Zeros of this tensor's dtype, on its device."""
    return _new(self, creation.zeros, _varargs(size), dtype=dtype, device=device, requires_grad=requires_grad)


@torch_method
def new_ones(
    self: Tensor,
    *size: int | Sequence[int],
    dtype: DType = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones of this tensor's dtype, on its device."""
    return _new(self, creation.ones, _varargs(size), dtype=dtype, device=device, requires_grad=requires_grad)


@torch_method
def new_empty(
    self: Tensor,
    *size: int | Sequence[int],
    dtype: DType = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Memory of this tensor's dtype, on its device, with whatever is in it."""
    return _new(self, creation.empty, _varargs(size), dtype=dtype, device=device, requires_grad=requires_grad)


@torch_method
def new_full(
    self: Tensor,
    size: int | Sequence[int],
    fill_value: complex,
    *,
    dtype: DType = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """One number, repeated, of this tensor's dtype, on its device."""
    return _new(self, creation.full, size, fill_value, dtype=dtype, device=device, requires_grad=requires_grad)


@torch_method
def new_tensor(
    self: Tensor, data: Any, *, dtype: DType = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A copy of the values, of this tensor's dtype, on its device."""
    return _new(self, creation.tensor, data, dtype=dtype, device=device, requires_grad=requires_grad)


# --- what a tensor is -------------------------------------------------------------------------------------------------
method(property(lambda self: self.device.startswith("cuda"), doc="Whether the tensor is on an NVIDIA GPU."), "is_cuda")
method(property(lambda self: self.dtype.itemsize, doc="The bytes of one element."), "itemsize")
method(property(lambda self: self.dtype.itemsize * self.size, doc="The bytes of all elements."), "nbytes")
method(Tensor.numel, "nelement")


@torch_method
def element_size(self: Tensor) -> int:
    """The bytes of one element."""
    return self.dtype.itemsize


@torch_method
def is_floating_point(self: Tensor) -> bool:
    """Whether the dtype is a real floating-point one."""
    return dtypes.is_real_floating(self.dtype)


@torch_method
def is_complex(self: Tensor) -> bool:
    """Whether the dtype is a complex one."""
    return self.dtype.kind == "c"


@torch_method
def is_contiguous(self: Tensor) -> bool:
    """Whether the elements lie in memory in row-major order, without gaps."""
    flags = getattr(innermost(self), "flags", None)
    return flags is None or bool(flags.c_contiguous)


@torch_method
def stride(self: Tensor, dim: int | None = None) -> Any:
    """How many elements apart neighbours along each axis lie, or along one."""
    found = getattr(innermost(self), "strides", None)
    if found is None:  # a library that does not tell has row-major memory
        steps = tuple(math.prod(self.shape[i + 1 :]) for i in range(self.ndim))
    else:
        steps = tuple(s // self.dtype.itemsize for s in found)
    if dim is None:
        return steps
    integer("dim", dim, -self.ndim, self.ndim - 1)
    return steps[dim]


@torch_method
def data_ptr(self: Tensor) -> int:
    """The address of the first element."""
    raw = innermost(self)
    return raw.__array_interface__["data"][0] if isinstance(raw, np.ndarray) else raw.data.ptr


def _type(self: Tensor, dtype: DType = None) -> Any:
    """The tensor in another dtype; without one, the name of its own."""
    return str(self.dtype) if dtype is None else to(self, as_dtype(dtype))


_type.__name__ = "type"
torch_method(_type)


@torch_method
def bfloat16(self: Tensor) -> Tensor:
    """The tensor in bfloat16."""
    return to(self, np.dtype(dtypes.bfloat16))


del name
