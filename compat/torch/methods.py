"""Methods whose names weft and PyTorch read differently, and those that weft has not: PyTorch's meaning, in one table.

A call in the array API's words (`axis=`, `keepdims=`, `correction=` without `dim`) keeps its own meaning: weft's layers use it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.array import elementwise, indexing, manipulation
from ...backend.array.random import default_generator
from ...backend.tape.tensor import Parameter, Tensor, wrap
from . import arithmetic, memory, shaping
from .differentiation import backward
from .printing import shown
from .sizes import Size
from .windows import bincount, unfold

__all__ = ["METHODS", "PROPERTIES", "Size", "attach"]

STANDARD = {"axis", "keepdims"}  # words that only the array API has


class _Size(int):
    """The number of elements; called, PyTorch's `size()`."""

    shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        return Size(self.shape) if dim is None else self.shape[dim]


def _size(x: Tensor) -> _Size:
    size = _Size(x.data.size)
    size.shape = x.shape
    return size


def _reduction(name: str) -> Callable:
    """A reduction with `dim` and `keepdim` by position, as PyTorch has them."""
    ours = getattr(Tensor, name)

    @functools.wraps(ours)
    def reduce(self: Tensor, *given: Any, **options: Any) -> Any:
        if STANDARD.isdisjoint(options):
            options |= dict(zip(("dim", "keepdim"), given, strict=False))
            given = given[2:]
            options.pop("keepdim", None) if (dim := options.get("dim")) is None else None
            if isinstance(dim, list):
                options["dim"] = tuple(dim)
            if (dtype := options.pop("dtype", None)) is not None:
                self = self.to(dtype)
            if not options.keys() - {"dim"} and dim is None:
                options = {}
        return _out(ours(self, *given, **options), None)

    return reduce


def _extremum(name: str, pairwise: Callable) -> Callable:
    reduce = _reduction(name)

    @functools.wraps(reduce)
    def extremum(self: Tensor, *given: Any, **options: Any) -> Any:
        other = given[0] if given else options.get("other")
        return pairwise(self, other) if isinstance(other, Tensor) else reduce(self, *given, **options)

    return extremum


def _spread(name: str) -> Callable:
    ours = getattr(Tensor, name)

    @functools.wraps(ours)
    def spread(self: Tensor, *given: Any, **options: Any) -> Any:
        if not STANDARD.isdisjoint(options):
            return ours(self, *given, **options)
        if given and isinstance(given[0], bool):  # x.std(False)
            options["unbiased"], given = given[0], given[1:]
        options |= dict(zip(("dim", "unbiased", "keepdim"), given, strict=False))
        correction = options.pop("correction", None)
        unbiased = options.pop("unbiased", True)
        correction = (1 if unbiased else 0) if correction is None else correction
        dim = options.get("dim")
        dim = tuple(dim) if isinstance(dim, list) else dim
        return ours(self, axis=dim, keepdims=bool(options.get("keepdim")), correction=correction)

    return spread


def _out(value: Any, out: Any) -> Any:
    return value if out is None else out.copy_(value)


def _ordered(name: str) -> Callable:
    ours = getattr(Tensor, name)

    @functools.wraps(ours)
    def order(self: Tensor, *given: Any, **options: Any) -> Any:
        if "axis" in options:
            return ours(self, *given, **options)
        options = {"dim": -1} | dict(zip(("dim", "descending"), given, strict=False)) | options
        return ours(self, **options)

    return order


def _nonzero(self: Tensor, *, as_tuple: bool = False) -> Any:
    found = indexing.nonzero(self)
    return found if as_tuple else manipulation.stack(found, axis=1)


def _repeat(self: Tensor, *sizes: Any, **options: Any) -> Tensor:
    if options:
        return manipulation.repeat(self, *sizes, **options)
    return self.tile(*sizes)


def _multinomial(self: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Tensor:
    weights = np.atleast_2d(np.asarray(self.detach().cpu().numpy(), np.float64))
    if not np.isfinite(weights).all() or (weights < 0).any() or (weights.sum(-1) <= 0).any():
        raise RuntimeError("`multinomial` needs finite weights ≥ 0 with a sum > 0 in each row")
    uniform = (generator or default_generator).uniform((len(weights), max(num_samples, weights.shape[1])), np.float64)
    if replacement or num_samples == 1:
        steps = np.cumsum(weights, -1)
        u = uniform[:, :num_samples, None] * steps[:, None, -1:]
        found = np.minimum((steps[:, None, :] <= u).sum(-1), (weights > 0).cumsum(-1).argmax(-1)[:, None])
    else:
        if num_samples > (few := int((weights > 0).sum(-1).min())):
            raise RuntimeError(
                f"`num_samples` without replacement must be at most {few}, the weights > 0, got {num_samples}"
            )
        with np.errstate(divide="ignore"):  # exponential races: the first to arrive
            arrival = -np.log1p(-uniform[:, : weights.shape[1]]) / weights
        found = np.argsort(arrival, -1, kind="stable")[:, :num_samples]
    found = found.astype(np.int64)
    return wrap(found if self.ndim > 1 else found[0], "cpu").to(self.device)


def _exponential(self: Tensor, lambd: float = 1.0, *, generator: Any = None) -> Tensor:
    u = (generator or default_generator).uniform(self.shape, np.float64)
    return self.copy_(wrap(np.asarray(-np.log1p(-u) / lambd), "cpu").to(self.device))


def _type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
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
        return self.copy_(getattr(self, name)(*args, **options))

    return write


def _of_another_shape(name: str) -> Callable:
    return lambda self, *args, **options: memory.become(self, getattr(self, name)(*args, **options))


METHODS: dict[str, Callable] = {
    **memory.METHODS,
    **shaping.METHODS,
    **arithmetic.METHODS,
    **{f"{name}_": _in_place(name) for name in arithmetic.INPLACE},
    **{f"{name}_": _of_another_shape(name) for name in shaping.INPLACE},
    **{
        name: _reduction(name)
        for name in ["sum", "mean", "prod", "all", "any", "argmax", "argmin", "logsumexp", "count_nonzero"]
    },
    **{name: _spread(name) for name in ("std", "var")},
    "max": _extremum("max", elementwise.maximum),
    "min": _extremum("min", elementwise.minimum),
    "sort": _ordered("sort"),
    "argsort": _ordered("argsort"),
    "nonzero": _nonzero,
    "repeat": _repeat,
    "multinomial": _multinomial,
    "exponential_": _exponential,
    "type": _type,
    "bincount": bincount,
    "unfold": unfold,
    "take": lambda self, index, **o: indexing.take(self if o else self.reshape(-1), index, **o),
    "dist": lambda self, other, p=2: (self - other).norm(p),
    "is_same_size": _is_same_size,
    "equal": lambda self, other: self.shape == other.shape and bool((self == other).all()),
    "ndimension": lambda self: self.ndim,
}
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


def _format(self: Tensor, spec: str) -> str:
    """Of one number, the number's."""
    return format(self.item() if self.ndim == 0 else str(self), spec)


def attach() -> None:
    """Give `Tensor` PyTorch's meaning, for the rest of the process."""
    for name, function in {**METHODS, **PROPERTIES}.items():
        setattr(Tensor, name, function)
    Tensor.__format__ = _format  # type: ignore[method-assign]
    Tensor.__repr__ = Parameter.__repr__ = shown  # type: ignore[method-assign]
    Tensor.backward = backward  # type: ignore[method-assign]


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
