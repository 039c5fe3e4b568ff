"""Methods of `Tensor` that only PyTorch has, with PyTorch's meaning: arithmetic, comparisons, products, reductions.

Each is a line or few of functions of the namespace. Its docstring says what it computes; what its parameters are and what comes
back, `torch_method` adds from one table, so that every name means the same everywhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..device import dtypes
from ..device.numeric import as_dtype
from ..tape.tensor import Axes, DType, Operand, Tensor
from . import creation, elementwise, indexing, linalg, manipulation, products, reductions
from .info import finfo
from .methods import method
from .spellings import spelled

__all__ = ["torch_method"]

F = TypeVar("F", bound=Callable)

PARAMETERS = {
    "alpha": ("number", "What the second term is multiplied by."),
    "atol": ("float", "The absolute tolerance."),
    "batch1": ("Tensor", "(B, N, M)."),
    "batch2": ("Tensor", "(B, M, P)."),
    "beta": ("number", "What this tensor is multiplied by; if 0, it is not looked at."),
    "condition": ("Tensor", "Booleans, broadcast."),
    "correction": ("float", "Subtracted from the number of elements."),
    "data": ("array, sequence or number", "The values."),
    "destination": ("int or tuple of int", "Where they go."),
    "device": ("str", "Where to; the device of this tensor if None."),
    "diagonal": ("int", "How far above the main diagonal; below it if negative. `k` is the same."),
    "dim": ("int", "Along which axis."),
    "dim1": ("int", "The first axis of the matrices."),
    "dim2": ("int", "The second axis of the matrices."),
    "dtype": ("dtype", "The dtype of the result; that of this tensor if None."),
    "end": ("Tensor", "Where weight 1 leads, broadcast."),
    "equal_nan": ("bool", "Whether NaN equals NaN."),
    "fill_value": ("number", "What every element shall be."),
    "generator": ("Generator", "What to draw from; the default one if None."),
    "high": ("int", "The upper bound, which does not occur."),
    "index": ("Tensor", "Integers: positions along `dim`."),
    "interpolation": ("str", 'Between two elements: "linear", "lower", "higher", "nearest" or "midpoint".'),
    "k": ("int", "How many, or which: counted from 1."),
    "keepdim": ("bool", "Whether the reduced axes stay, with length 1."),
    "largest": ("bool", "Whether the largest are sought, or the smallest."),
    "length": ("int", "How long."),
    "low": ("int", "The lower bound."),
    "mask": ("Tensor", "Booleans, broadcast."),
    "mat1": ("Tensor", "(N, M)."),
    "mat2": ("Tensor", "(M, P)."),
    "max": ("number or Tensor", "The upper bound; none if None."),
    "mean": ("float", "The mean."),
    "min": ("number or Tensor", "The lower bound; none if None."),
    "nan": ("float", "What replaces NaN."),
    "neginf": ("float", "What replaces −∞; the least finite number if None."),
    "offset": ("int", "How far above the main diagonal; below it if negative."),
    "other": ("Tensor or number", "The other operand, broadcast."),
    "p": ("float or Tensor", "The probability of a 1."),
    "posinf": ("float", "What replaces ∞; the greatest finite number if None."),
    "q": ("float or Tensor", "In [0, 1]; several, 1-d, give as many results, stacked along a new first axis."),
    "requires_grad": ("bool", "Whether to record operations on the result."),
    "return_counts": ("bool", "Whether to return how often each value is there."),
    "return_inverse": ("bool", "Whether to return, for each element, which value it is."),
    "rounding_mode": ("str", '"trunc" rounds the quotient towards 0, "floor" down; None keeps it.'),
    "rtol": ("float", "The tolerance relative to `other`."),
    "size": ("int or sequence of int", "The shape: one number for each axis, or all in one sequence."),
    "sizes": ("int or sequence of int", "The lengths; one may be −1 and is worked out."),
    "sorted": ("bool", "PyTorch's; the result is sorted in any case."),
    "source": ("Tensor", "What is added or written."),
    "src": ("Tensor or number", "What is added or written: of the shape of `index` at least."),
    "reduce": ('{"sum", "mean", "amax", "amin"}', "What becomes of several; PyTorch has `prod`, too."),
    "include_self": ("bool", "Whether what is there takes part."),
    "start": ("int", "Where it begins; negative counts from the end."),
    "std": ("float", "The standard deviation."),
    "tensor1": ("Tensor or number", "The first factor, or the numerator, broadcast."),
    "tensor2": ("Tensor or number", "The second factor, or the denominator, broadcast."),
    "to": ("float", "The upper bound."),
    "value": ("number or Tensor", "The number that is written, or multiplied by."),
    "vec": ("Tensor", "A vector."),
    "vec2": ("Tensor", "A vector."),
    "weight": ("Tensor or number", "How far to go, broadcast."),
}  # fmt: skip
RETURNS = {
    "Tensor": "A new one or a view; gradients flow back where there are any.",
    "Self": "Itself.",
    "bool": "One answer for all elements.",
    "ValuesAndIndices": "The values, and where they were, int64.",
    "tuple": "One for each.",
}


def torch_method(f: F) -> F:
    """Attach a function to Tensor under its name, which may end in `__`, with its docstring completed by the tables."""
    f.__doc__ = completed(f)
    name = f.__name__
    f.__name__ = f.__qualname__ = name.removesuffix("__") if name.endswith("__") else name
    return method(f)


def completed(f: Callable) -> str:
    """The docstring of a method with its parameters and what it returns."""
    signature = inspect.signature(f)
    lines: list[str] = []
    for p in list(signature.parameters.values())[1:]:
        kind, meaning = PARAMETERS[p.name]
        kind = "int or several of them" if p.annotation == "Axes" else kind
        stars = "*" if p.kind is p.VAR_POSITIONAL else ""
        lines += [f"{stars}{p.name} : {kind}{'' if p.default is p.empty else ', optional'}", f"    {meaning}"]
    given = ["Parameters", "----------", *lines, ""] if lines else []
    kind = str(signature.return_annotation)
    meaning = next((m for k, m in RETURNS.items() if kind.startswith(k)), RETURNS["Tensor"])
    kind = "Tensor" if kind == "Self" else kind
    return "\n".join([str(f.__doc__).strip(), "", *given, "Returns", "-------", kind, f"    {meaning}", ""])


# --- functions of the namespace, with their names and arguments; and by PyTorch's other names -------------------------
for module, names in {
    elementwise: "atan2 bitwise_and bitwise_or bitwise_xor copysign divide equal floor_divide greater greater_equal hypot "
    "less less_equal logaddexp logical_xor multiply negative nextafter not_equal positive remainder signbit subtract",
    linalg: "det inv pinv",
}.items():
    for name in names.split():
        method(getattr(module, name), name)
for name, function in {
    "absolute": elementwise.abs, "arccos": elementwise.acos, "arccosh": elementwise.acosh, "arcsin": elementwise.asin,
    "arcsinh": elementwise.asinh, "arctan": elementwise.atan, "arctan2": elementwise.atan2, "arctanh": elementwise.atanh,
    "bitwise_not": elementwise.bitwise_invert, "eq": elementwise.equal, "fix": elementwise.trunc, "ge": elementwise.greater_equal,
    "gt": elementwise.greater, "inverse": linalg.inv, "le": elementwise.less_equal, "lt": elementwise.less,
    "true_divide": elementwise.divide,
    "mul": elementwise.multiply, "ne": elementwise.not_equal, "neg": elementwise.negative, "pinverse": linalg.pinv,
}.items():  # fmt: skip
    method(function, name)


# --- arithmetic -------------------------------------------------------------------------------------------------------
def _times(x: Any, factor: Any) -> Any:
    return x if type(factor) in (int, float) and factor == 1 else x * factor


@torch_method
def add(self: Tensor, other: Operand, *, alpha: complex = 1) -> Tensor:
    """Sum x + α other."""
    return elementwise.add(self, _times(other, alpha))


@torch_method
def sub(self: Tensor, other: Operand, *, alpha: complex = 1) -> Tensor:
    """Difference x − α other."""
    return elementwise.subtract(self, _times(other, alpha))


@torch_method
def div(self: Tensor, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """Quotient x / other, rounded if asked for; then its gradient is 0."""
    if rounding_mode is None:
        return elementwise.divide(self, other)
    if rounding_mode == "floor":
        return elementwise.floor_divide(self, other)
    if rounding_mode != "trunc":
        raise ValueError(f"`rounding_mode` must be None, 'trunc' or 'floor', got {rounding_mode!r}")
    down = elementwise.floor_divide(self, other)
    if dtypes.is_integral(down.dtype):
        return down + ((down < 0) & (down * other != self)).astype(down.dtype)
    return elementwise.trunc(elementwise.divide(self, other))


@torch_method
def fmod(self: Tensor, other: Operand) -> Tensor:
    """Remainder x − other · trunc(x / other), of the sign of x, as C has it (`remainder` has that of `other`)."""
    by: Any = elementwise.abs(other) if isinstance(other, Tensor) else np.abs(other)
    return indexing.where(self < 0, -elementwise.remainder(-self, by), elementwise.remainder(self, by))


@torch_method
def rsqrt(self: Tensor) -> Tensor:
    """Reciprocal square root 1/√x."""
    return elementwise.reciprocal(elementwise.sqrt(self))


@torch_method
def lerp(self: Tensor, end: Tensor, weight: Operand) -> Tensor:
    """Linear interpolation x + weight (end − x)."""
    return self + (end - self) * weight


@torch_method
def addcmul(self: Tensor, tensor1: Operand, tensor2: Operand, *, value: complex = 1) -> Tensor:
    """Sum x + value · tensor1 · tensor2."""
    return self + _times(elementwise.multiply(tensor1, tensor2), value)


@torch_method
def addcdiv(self: Tensor, tensor1: Operand, tensor2: Operand, *, value: complex = 1) -> Tensor:
    """Sum x + value · tensor1 / tensor2."""
    return self + _times(elementwise.divide(tensor1, tensor2), value)


@torch_method
def clamp(self: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """The same as `clip`: x, but at least `min` and at most `max`."""
    if min is None and max is None:
        raise ValueError("`clamp` needs `min` or `max`, got None for both; leave the call out")
    return elementwise.clip(self, min, max)


@torch_method
def clamp_min(self: Tensor, min: Operand) -> Tensor:
    """The greater of x and `min`."""
    return elementwise.clip(self, min)


@torch_method
def clamp_max(self: Tensor, max: Operand) -> Tensor:
    """The lesser of x and `max`."""
    return elementwise.clip(self, None, max)


@torch_method
def nan_to_num(
    self: Tensor, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """NaN and infinities replaced by finite numbers; the gradient passes where nothing was."""
    if not dtypes.is_real_floating(self.dtype):
        return self.clone()
    limits = finfo(self.dtype)
    x = indexing.where(elementwise.isnan(self), 0.0 if nan is None else nan, self)
    x = indexing.where(self == float("inf"), limits.max if posinf is None else posinf, x)
    return indexing.where(self == -float("inf"), limits.min if neginf is None else neginf, x)


# --- comparisons ------------------------------------------------------------------------------------------------------
@torch_method
def isclose(self: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Whether |x − other| ≤ atol + rtol |other|, elementwise; infinities are close to themselves alone."""
    a, b = (t.detach().double() if dtypes.is_integral(t.dtype) else t.detach() for t in (self, other))  # uint8 wraps
    finite = elementwise.isfinite(a) & elementwise.isfinite(b)
    zero = a.new_zeros(())  # so that ∞ − ∞ is not computed
    a_finite, b_finite = indexing.where(finite, a, zero), indexing.where(finite, b, zero)
    close = finite & (abs(a_finite - b_finite) <= atol + rtol * abs(b_finite)) | (self.detach() == other.detach())
    return close | (elementwise.isnan(a) & elementwise.isnan(b)) if equal_nan else close


@torch_method
def allclose(self: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close, see `isclose`."""
    return bool(isclose(self, other, rtol, atol, equal_nan).all())


# --- products ---------------------------------------------------------------------------------------------------------
def _of_axes(name: str, **tensors: tuple[Tensor, int]) -> None:
    for what, (x, n) in tensors.items():
        if x.ndim != n:
            raise ValueError(f"`{name}` needs {what} with {n} axes, got shape {x.shape}; `matmul` takes any")


@torch_method
def mm(self: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices (no stacks: see `matmul`)."""
    _of_axes("mm", self=(self, 2), mat2=(mat2, 2))
    return products.matmul(self, mat2)


@torch_method
def bmm(self: Tensor, mat2: Tensor) -> Tensor:
    """The products of two stacks of matrices, (B, N, M) and (B, M, P)."""
    _of_axes("bmm", self=(self, 3), mat2=(mat2, 3))
    if len(self) != len(mat2):
        raise ValueError(f"`bmm` needs stacks of one length, got shapes {self.shape} and {mat2.shape}")
    return products.matmul(self, mat2)


@torch_method
def mv(self: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    _of_axes("mv", self=(self, 2), vec=(vec, 1))
    return products.matmul(self, vec)


@torch_method
def dot(self: Tensor, other: Tensor) -> Tensor:
    """The inner product Σ x other of two vectors."""
    _of_axes("dot", self=(self, 1), other=(other, 1))
    return products.matmul(self, other)


@torch_method
def outer(self: Tensor, vec2: Tensor) -> Tensor:
    """All products of two vectors, y[i, j] = x[i] vec2[j]."""
    return linalg.outer(self, vec2)


def _plus(x: Tensor, product: Tensor, beta: complex, alpha: complex) -> Tensor:
    product = _times(product, alpha)
    return manipulation.broadcast_to(product, product.shape) if beta == 0 else _times(x, beta) + product


@torch_method
def addmm(self: Tensor, mat1: Tensor, mat2: Tensor, *, beta: complex = 1, alpha: complex = 1) -> Tensor:
    """Sum β x + α mat1 · mat2."""
    return _plus(self, mm(mat1, mat2), beta, alpha)


@torch_method
def baddbmm(self: Tensor, batch1: Tensor, batch2: Tensor, *, beta: complex = 1, alpha: complex = 1) -> Tensor:
    """Sum β x + α batch1 · batch2, for each matrix of the stacks."""
    return _plus(self, bmm(batch1, batch2), beta, alpha)


@torch_method
def cross(self: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross product of vectors of length 3, which lie along `dim`: the only axis of that length if None."""
    if dim is None:
        found = [i for i, n in enumerate(manipulation.broadcast_shapes(self.shape, other.shape)) if n == 3]
        if len(found) != 1:
            raise ValueError(
                f"`cross` without `dim` needs exactly one axis of length 3, got shapes {self.shape} and {other.shape}; "
                "name `dim`"
            )
        dim = found[0] - max(self.ndim, other.ndim)
    return linalg.cross(self, other, axis=dim)


# --- matrices ---------------------------------------------------------------------------------------------------------
@torch_method
@spelled({"k": "diagonal"})
def tril(self: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of each matrix; zeros above."""
    return creation.tril(self, k=diagonal)


@torch_method
@spelled({"k": "diagonal"})
def triu(self: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of each matrix; zeros below."""
    return creation.triu(self, k=diagonal)


@torch_method
def diagonal(self: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonals of the matrices that two axes make up, along a new last axis."""
    return linalg.diagonal(manipulation.moveaxis(self, (dim1, dim2), (-2, -1)), offset=offset)


@torch_method
def diag_embed(self: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices whose diagonals are the vectors of the last axis; zeros elsewhere."""
    if not self.ndim:
        raise ValueError("`diag_embed` needs at least one axis, got a 0-d tensor")
    n = self.shape[-1] + abs(offset)
    blank = creation.zeros((*self.shape[:-1], abs(offset)), dtype=self.dtype, device=self.device)
    x = manipulation.concat([self, blank], axis=-1)
    x = manipulation.expand_dims(x, axis=-1 if offset >= 0 else -2)
    on = creation.eye(n, k=offset, dtype=bool, device=self.device)
    return manipulation.moveaxis(indexing.where(on, x, x.new_zeros(())), (-2, -1), (dim1, dim2))


@torch_method
def diag(self: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix that has a vector for its diagonal."""
    if self.ndim == 1:
        return diag_embed(self, diagonal)
    _of_axes("diag", self=(self, 2))
    return linalg.diagonal(self, offset=diagonal)


@torch_method
def trace(self: Tensor) -> Tensor:
    """The sum of a matrix's diagonal."""
    _of_axes("trace", self=(self, 2))
    return linalg.trace(self)


# --- along an axis ----------------------------------------------------------------------------------------------------
def _axes(dim: Any) -> Axes:
    """PyTorch's `dim`: several in a list, all in an empty one."""
    return (tuple(dim) or None) if isinstance(dim, list | tuple) else dim


@torch_method
def amax(self: Tensor, dim: Axes = (), keepdim: bool = False) -> Tensor:
    """The maximum over one axis or several, all if none is named; equal maxima share the gradient."""
    return reductions.max(self, axis=_axes(dim), keepdims=keepdim)


@torch_method
def amin(self: Tensor, dim: Axes = (), keepdim: bool = False) -> Tensor:
    """The minimum over one axis or several, all if none is named; equal minima share the gradient."""
    return reductions.min(self, axis=_axes(dim), keepdims=keepdim)


@torch_method
def nansum(self: Tensor, dim: Axes = None, keepdim: bool = False, *, dtype: DType = None) -> Tensor:
    """The sum of what is not NaN."""
    x = indexing.where(elementwise.isnan(self), self.new_zeros(()), self)
    return reductions.sum(x, axis=_axes(dim), keepdims=keepdim, dtype=None if dtype is None else as_dtype(dtype))


@torch_method
def nanmean(self: Tensor, dim: Axes = None, keepdim: bool = False, *, dtype: DType = None) -> Tensor:
    """The mean of what is not NaN."""
    numbers = reductions.sum(~elementwise.isnan(self), axis=_axes(dim), keepdims=keepdim)
    total = nansum(self, dim, keepdim, dtype=dtype)
    return total / numbers.astype(total.dtype)


def _cumulative(f: Callable, x: Tensor, dim: int, dtype: DType) -> Tensor:
    flat = x.reshape(1) if not x.ndim else x
    return f(flat, axis=dim, dtype=None if dtype is None else as_dtype(dtype)).reshape(x.shape)


@torch_method
def cumsum(self: Tensor, dim: int, dtype: DType = None) -> Tensor:
    """Running sums yᵢ = Σ_{j ≤ i} xⱼ."""
    return _cumulative(reductions.cumulative_sum, self, dim, dtype)


@torch_method
def cumprod(self: Tensor, dim: int, dtype: DType = None) -> Tensor:
    """Running products yᵢ = Π_{j ≤ i} xⱼ."""
    return _cumulative(reductions.cumulative_prod, self, dim, dtype)


del name, names, module, function
