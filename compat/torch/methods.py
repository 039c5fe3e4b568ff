"""Methods whose names weft and PyTorch read differently, and those that weft has not: PyTorch's meaning, in one table.

A call in the array API's words (`axis=`, `keepdims=`, `correction=` without `dim`) keeps its own meaning: weft's layers use it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.array import elementwise, indexing, manipulation, methods
from ...backend.tape.tensor import Parameter, Tensor, wrap
from . import algebra, arithmetic, calling, drawing, memory, scattering, shaping, signals, sparse, special
from .differentiation import attach_gradients
from .eigen import refusing
from .printing import shown
from .promotion import ALONG, BINARY, OPERATORS, check_fits, named_axis, narrowing, promoting
from .reducing import counting, extremum, nonzero, ordered, reduction, spread
from .sizes import Size
from .strided import as_strided, unfold
from .windows import bincount

__all__ = ["METHODS", "PROPERTIES", "Size", "attach"]


class _Size(int):
    """The number of elements; called, PyTorch's `size()`."""

    shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        return Size(self.shape) if dim is None else self.shape[dim]


def _size(x: Tensor) -> _Size:
    size = _Size(x.data.size)
    size.shape = x.shape
    return size


def _repeat(self: Tensor, *sizes: Any, **options: Any) -> Tensor:
    if options:
        return manipulation.repeat(self, *sizes, **options)
    return self.tile(*sizes)


def _type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    if isinstance(dtype, str) and dtype.endswith("Tensor"):
        dtype = next(kind for kind, name in NAMES.items() if f"{name}Tensor" == dtype.rpartition(".")[2])
    if dtype is None:
        return f"torch.{NAMES.get(str(self.dtype), str(self.dtype).capitalize())}Tensor"
    return self.to(getattr(dtype, "dtype", dtype))


NAMES = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long",
    "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool",
}  # fmt: skip


def _is_same_size(self: Tensor, other: Tensor) -> bool:
    return self.shape == other.shape


def _in_place(name: str) -> Callable:
    """The operation, written to the tensor itself."""

    def write(self: Tensor, *args: Any, **options: Any) -> Tensor:
        found = getattr(self, name)(*args, **options)
        check_fits(found.dtype, self.dtype)
        return self.copy_(found)

    return write


def _of_another_shape(name: str) -> Callable:
    return lambda self, *args, **options: memory.become(self, getattr(self, name)(*args, **options))


def _isclose(name: str) -> Callable:
    ours = getattr(Tensor, name)

    def compare(self: Tensor, other: Tensor, *args: Any, **options: Any) -> Any:
        self, other = (x.to("int64") if x.dtype == np.bool_ else x for x in (self, other))
        return ours(self, other, *args, **options)

    return compare


def _unique(
    self: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    if dim is None:
        found = _plain_unique(self, sorted, return_inverse, return_counts)
    else:
        find: Any = np.unique
        raw = find(self.detach().cpu().numpy(), return_inverse=return_inverse, return_counts=return_counts, axis=dim)
        parts = raw if isinstance(raw, tuple) else (raw,)
        found = tuple(wrap(r.reshape(-1) if k else r, "cpu").to(self.device) for k, r in enumerate(parts))
        found = found if isinstance(raw, tuple) else found[0]
    return refusing("unique", found, self)


def _scatter(
    self: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Any:
    src = value if src is None else src
    if reduce is None:
        return _plain_scatter(self, dim, index, src)
    values = src if isinstance(src, Tensor) else (index * 0).to(self.dtype) + src
    return scattering.METHODS["scatter_reduce"](self, dim, index, values, {"add": "sum", "multiply": "prod"}[reduce])


def _signs(self: Tensor) -> Tensor:
    """NaN has none."""
    if self.dtype == np.bool_:
        return self
    found = elementwise.sign(self)
    return (
        found
        if self.dtype.kind != "f"
        else indexing.where(self == self, found, found.detach() * 0 if not found.size else 0.0)
    )


def _sum_of_numbers(self: Tensor, *given: Any, **options: Any) -> Tensor:
    return (METHODS["sum"] if self.dtype.kind in "biu" else _plain_nansum)(self, *given, **options)


_plain_unique, _plain_scatter = Tensor.unique, Tensor.scatter  # type: ignore[attr-defined]

METHODS: dict[str, Callable] = {
    **memory.METHODS,
    **calling.METHODS,
    **shaping.METHODS,
    **special.METHODS,
    **arithmetic.METHODS,
    **algebra.METHODS,
    **drawing.METHODS,
    **signals.METHODS,
    **sparse.METHODS,
    **scattering.METHODS,
    **{f"{name}_": _in_place(name) for name in arithmetic.INPLACE},
    **{f"{name}_": _of_another_shape(name) for name in shaping.INPLACE},
    **{
        name: reduction(name)
        for name in ["sum", "mean", "prod", "all", "any", "argmax", "argmin", "logsumexp", "count_nonzero"]
    },
    **{name: spread(name) for name in ("std", "var")},
    "max": extremum("max", elementwise.maximum),
    "min": extremum("min", elementwise.minimum),
    "sort": ordered("sort"),
    "argsort": ordered("argsort"),
    "nonzero": nonzero,
    "trace": lambda self: reduction("sum")(self.diagonal()),
    "unique": _unique,
    "scatter": _scatter,
    "scatter_": lambda self, *args, **options: self.copy_(_scatter(self, *args, **options)),
    "isclose": _isclose("isclose"),
    "allclose": _isclose("allclose"),
    "sign": _signs,
    "conj": lambda self: elementwise.conj(self) if self.dtype.kind == "c" else self,
    "repeat": _repeat,
    "type": _type,
    "bincount": bincount,
    "unfold": unfold,
    "as_strided": as_strided,
    "dist": lambda self, other, p=2: (self - other).norm(p),
    "is_same_size": _is_same_size,
    "equal": lambda self, other: self.shape == other.shape and bool((self == other).all()),
    "ndimension": lambda self: self.ndim,
}
METHODS |= {name: named_axis(name, METHODS.get(name) or getattr(Tensor, name)) for name in ALONG.split()}
METHODS |= {name: promoting(name, METHODS.get(name)) for name in BINARY.split()}  # type: ignore[misc]
METHODS["divide"] = METHODS["div"]
OF_HERE = "sum mean prod all any argmax argmin logsumexp count_nonzero std var max min sort argsort squeeze mode"
for _name in OF_HERE.split():
    METHODS[_name] = named_axis(_name, METHODS[_name])
for _name in ("cumsum", "cumprod"):
    METHODS[_name] = counting(METHODS[_name])
_plain_nansum = METHODS["nansum"]
METHODS["nansum"] = _sum_of_numbers
PROPERTIES = {
    "real": property(METHODS["real"]),
    "imag": property(METHODS["imag"]),
    "H": property(lambda self: self.transpose(0, 1).conj() if self.ndim == 2 else self.conj()),
    "mH": property(METHODS["adjoint"]),
    "T": property(lambda self: self.permute(*range(self.ndim)[::-1])),
    "is_cpu": property(lambda self: self.device == "cpu"),
    "is_meta": property(lambda self: False),
    "layout": property(lambda self: "torch.strided"),
    "names": property(lambda self: (None,) * self.ndim),
    "retains_grad": property(lambda self: self._node is not None and self._grad is not None),
    "output_nr": property(lambda self: getattr(self._node, "index", 0)),
    "size": property(_size),
    **{f"is_{kind}": property(lambda self: False) for kind in ("xpu", "mps", "sparse", "quantized")},
}


def _copied(self: Parameter, memo: dict) -> Tensor:
    """A Parameter's copy has no gradient yet."""
    other = Tensor.__deepcopy__(self, memo)
    other._grad = None
    return other


def _format(self: Tensor, spec: str) -> str:
    """Of one number, the number's."""
    return format(self.item() if self.ndim == 0 else str(self), spec)


def attach() -> None:
    """Give `Tensor` PyTorch's meaning, for the rest of the process."""
    for name, function in {**METHODS, **PROPERTIES}.items():
        setattr(Tensor, name, function)
    for name in OPERATORS.split():
        if (operator := promoting(f"__{name}__")) is not None:
            setattr(Tensor, f"__{name}__", operator)
    methods.written = narrowing(methods.written)
    Parameter.__deepcopy__ = _copied  # type: ignore[method-assign, assignment]
    Tensor.__format__ = _format  # type: ignore[method-assign]
    Tensor.__repr__ = Parameter.__repr__ = shown  # type: ignore[method-assign]
    attach_gradients()


def is_tensor(x: Any) -> bool:
    """Whether x is a Tensor.

    Parameters
    ----------
    x : object
        Anything.

    Returns
    -------
    bool
        Which.
    """
    return isinstance(x, Tensor)
