"""Operators and methods of `Tensor`, attached from the functions of the namespace.

A name that the array API has keeps the array API's meaning (`axis`, `keepdims`, `correction`); a name that only PyTorch
has keeps PyTorch's (`transpose(d0, d1)`, `view`, `permute`, `unsqueeze`, `clone`, …).
"""

from __future__ import annotations

import functools
import inspect
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from ..device import devices
from ..device.numeric import as_dtype
from ..device.options import UnknownName, integer
from ..tape import autograd
from ..tape.autograd import _mode, backward, primitive
from ..tape.explain import REFUSALS, explained
from ..tape.hooks import register_hook, register_post_accumulate_grad_hook, retain_grad
from ..tape.sharing import aliases_of, changed, is_alias, move, root_of, views_of, wrote
from ..tape.tensor import Axes, DType, Operand, Tensor, device_of, from_python, innermost, wrap
from ..tape.watching import tell_written
from . import elementwise, indexing, linalg, manipulation, products, reductions
from .creation import asarray
from .spellings import DIM, DIMS, spelled

__all__: list[str] = []

NUMBERS = (int, float, complex, bool)
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
        if other.dtype.kind in "mM":  # some of these are an int to `item`
            return NotImplemented
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
        _check_apart(self, rebinds)
        return written(self, f(_apart(self) if rebinds == THROUGH else self, other), rebinds)

    operator.__name__ = name
    return operator


def written(self: Tensor, new: Tensor, rebinds: int) -> Tensor:
    """A tensor with the values of `new`, in its memory unless `_rebinds` has told otherwise."""
    if new.dtype != self.dtype:
        raise TypeError(f"the result's dtype {new.dtype} does not fit in place into {self.dtype}; write x = x … y")
    if new.shape != self.shape:
        raise ValueError(f"an in-place result of shape {new.shape} does not fit into {self.shape}; write x = x … y")
    if rebinds:
        return _replace(self, new, rebinds == THROUGH)
    self.data[...] = new.data
    wrote(self, self.data)
    if autograd.watch is not None:
        tell_written(self, new)
    return self


def in_place(f: Callable, name: str) -> Callable:
    """The method that overwrites a tensor with `f` of it and other arguments, and returns it."""

    @functools.wraps(f)
    def write(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        given = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
        recorded = (a for a in given if a.requires_grad or a._depth > self._depth)
        rebinds = _rebinds(self, next(recorded, None))
        _check_apart(self, rebinds)
        return written(self, f(_apart(self) if rebinds == THROUGH else self, *args, **kwargs), rebinds)

    write.__name__ = write.__qualname__ = name
    write.__doc__ = f"In place: {(f.__doc__ or '').strip()}\n"
    return write


def _unary(f: Callable, name: str) -> Callable:
    def operator(self: Tensor) -> Tensor:
        return f(self)

    operator.__name__ = name
    return operator


def _check_apart(x: Tensor, rebinds: int) -> None:
    """RuntimeError where elements lie in one place, and are to be changed, each by what it was: one of these changes would stay."""
    if not rebinds and _overlaps(x.data):
        raise RuntimeError(
            f"elements of this view of shape {x.shape} overlap in memory, and cannot be changed in place, each by what it was; "
            "use .clone()"
        )


def _overlaps(raw: Any) -> bool:
    """Whether two elements of an array lie in one place, as in windows that do."""
    if getattr(raw, "flags", None) is None or raw.flags.c_contiguous or raw.size < 2:
        return False
    room = raw.itemsize
    for step, n in sorted((abs(step), n) for step, n in zip(raw.strides, raw.shape) if n > 1):
        if step < room:  # they may, and are looked for one by one
            places = sum(np.ix_(*(np.arange(n) * step for n, step in zip(raw.shape, raw.strides))), np.int64(0))
            return len(np.unique(places)) < raw.size
        room = step * (n - 1) + room
    return False


REBINDS, THROUGH = 1, 2


def _rebinds(x: Tensor, other: Any = None) -> int:
    """Whether an in-place operation must leave the memory alone because something recorded may need it (0, or REBINDS).

    THROUGH, where what is recorded is to be in that memory nevertheless: another tensor without a history has it.
    """
    if autograd.rebinds:
        return REBINDS
    if autograd.mapped is not None and any(hasattr(getattr(t, "data", None), "is_lanes") for t in (x, other)):
        return REBINDS  # inside `vmap`: one tensor has not the memory for all lanes
    strides = getattr(x.data, "strides", ())
    if 0 in strides and x.data.size and any(n > 1 and not step for n, step in zip(x.shape, strides)):
        raise RuntimeError(
            f"several elements of this view of shape {x.shape} share one place in memory (it was broadcast), and "
            "cannot be changed in place; use .clone()"
        )
    if not _mode.enabled:
        return 0
    root = root_of(x)
    if root.requires_grad and root._node is None:
        what = "a leaf" if root is x else "a view of a leaf"
        raise RuntimeError(
            f"{what} that requires grad cannot be changed in place while gradients are recorded; use weft.no_grad()"
        )
    if root.requires_grad and root._depth < _mode.base:  # nothing is recorded of it here
        raise RuntimeError(
            "a recorded tensor from outside a function that is given to `checkpoint` or `grad` cannot be changed in place "
            "inside it: gradients would be lost; change a .clone() of it"
        )
    if root.requires_grad and not x.requires_grad:
        raise RuntimeError(
            "a view that was taken under no_grad cannot be changed in place while gradients are recorded: its base "
            "requires grad; take the view outside no_grad, or change it inside"
        )
    if root._kin is not None and is_alias(root) and not (isinstance(other, Tensor) and other._depth > x._depth):
        return THROUGH if root.requires_grad or (isinstance(other, Tensor) and other.requires_grad) else 0
    if isinstance(other, Tensor) and (other.requires_grad or other._depth > x._depth):
        return REBINDS
    return REBINDS if root.requires_grad or root._saved or x._saved else 0


def _apart(x: Tensor) -> Tensor:
    """The same value on the tape, in memory of its own."""
    found = wrap(devices.namespace_of(x.data).asarray(x.data, copy=True), x.device, x._depth)
    found._node, found.requires_grad = x._node, x.requires_grad
    return found


def _replace(x: Tensor, new: Tensor, through: bool = False) -> Tensor:
    """Give x, and all that shares its memory, the values of `new`, in new memory: what the tape has kept stays.

    With `through` they keep their memory, which gets the values.
    """
    root = root_of(x)
    views, aliases = views_of(root), aliases_of(root)
    if root is x:
        if getattr(new.data, "strides", None) != getattr(x.data, "strides", None):  # what is a view must stay one
            new = indexing._setitem(x, new, key=...)
    elif root.dtype != x.dtype:
        raise RuntimeError(
            f"a recorded value cannot be written into a part of {root.dtype} numbers in place; write to the whole"
        )
    else:
        path = x._kin.path
        if len(path) == 1 and path[0][0] is indexing._getitem:
            key = path[0][2]["key"]
        else:
            key = tuple(asarray(i, device=root.device).data for i in x._kin.positions())
        new = indexing._setitem(root, new, key=key)
    if through:
        root.data[...] = new.data
        changed(root.data)
        new.data = root.data
    _rebind(root, new)
    for view in views:
        _rebind(view, view._kin.of(root))
    for alias in aliases:
        move(alias, alias._kin.root.data)
    return x


def overwrite(x: Tensor, new: Tensor) -> Tensor:
    """x with the values of `new`, memory that nobody else has: what is recorded of x is bound to it without a copy."""
    if new.dtype == x.dtype and new.shape == x.shape and _rebinds(x, new) == REBINDS:
        return _replace(x, new)
    return x.copy_(new)


def _rebind(x: Tensor, new: Tensor) -> None:
    x.data, x._depth, x._node, x.requires_grad, x._saved = new.data, new._depth, new._node, new.requires_grad, False
    if autograd.watch is not None:
        tell_written(x, new)


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
    return indexing._getitem(self, key=indexing.raw_key(key, self))


def _setitem(self: Tensor, key: Any, value: Any, /) -> None:
    key = indexing.raw_key(key, self)
    if not isinstance(value, Tensor) and type(value) not in NUMBERS:
        value = _values(value, self.device)
    if rebinds := _rebinds(self, value):
        _replace(self, indexing._setitem(self, value, key=key), rebinds == THROUGH)
    elif isinstance(self.data, Tensor):
        self.data[key] = value.data if isinstance(value, Tensor) and value._depth == self._depth else value
    else:
        try:
            self.data[key] = innermost(value)
        except REFUSALS as error:
            if not isinstance(error, ValueError) or "read-only" not in str(error):
                raise explained("setitem", (self, value), {"key": key}, error) from error
            raise RuntimeError(
                f"memory of this tensor of shape {self.shape} is read-only (it was broadcast, or belongs to somebody who forbids "
                "it); use .clone()"
            ) from error
        wrote(self, indexing.part(self.data, key))
        if autograd.watch is not None:
            tell_written(self, value, key)


def _values(x: Any, device: str) -> Any:
    """What to write, or a TypeError unless these are numbers, which a Tensor can hold; other libraries' arrays as Tensors."""
    if isinstance(x, np.ndarray | np.generic) or not devices.is_array(x):
        from_python(x)
        return x
    return asarray(x) if device_of(x) != "cpu" else asarray(x, device=device)


def _iter(self: Tensor) -> Any:
    if not self.ndim:
        raise TypeError("a 0-d tensor cannot be iterated over")
    return (self[i, ...] for i in range(self.shape[0]))


method(_getitem, "__getitem__")
method(_setitem, "__setitem__")


def _contains(self: Tensor, value: Any, /) -> bool:
    return bool(reductions.any(elementwise.equal(self, value)))


method(_iter, "__iter__")
method(_contains, "__contains__")

# --- methods that are functions of the namespace ----------------------------------------------------------------------
for module, names in {
    elementwise: "abs acos acosh asin asinh atan atanh ceil clip conj cos cosh exp expm1 floor isfinite isinf isnan "
    "log log10 log1p log2 logical_and logical_not logical_or maximum minimum pow reciprocal sign sin sinh sqrt "
    "square tan tanh trunc",
    reductions: "all any argmax argmin cumulative_prod cumulative_sum",
    manipulation: "astype broadcast_to",
    indexing: "take take_along_axis nonzero",
    products: "matmul",
}.items():
    for name in names.split():
        method(getattr(module, name), name)


def _missing(self: Tensor, name: str) -> Any:
    raise UnknownName(Tensor.__name__, name, type(self))


method(_missing, "__getattr__")


class _Values(Tensor):
    """What `x.max(1)` and `x.sort()` give: values alone, from which PyTorch's values and indices must not be taken."""

    __slots__ = ()

    def __iter__(self) -> Any:
        raise TypeError(ALONE)

    def __getitem__(self, key: Any, /) -> Tensor:
        if type(key) is int and -2 <= key < 2:
            raise TypeError(ALONE)
        return super().__getitem__(key)

    def __getattr__(self, name: str) -> Any:
        if name in ("values", "indices"):
            raise AttributeError(ALONE)
        return _missing(self, name)


ALONE = (
    "`max`, `min` and `sort` give the values alone, as in the array API, so there is nothing to unpack: write "
    "values, indices = x.max(dim=1) for both, x.max(axis=1) for rows to iterate over or to index"
)


# What PyTorch takes by position behind the axis: neither the array API nor NumPy has a bool there.
BEHIND = {"sort": ("descending",), "argsort": ("descending",), "std": ("unbiased", "keepdim")}
BEHIND |= {"var": BEHIND["std"], "count_nonzero": ()}


def _by_position(name: str, given: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments with what was given by position: the axis, or all that PyTorch's call has, `x.sum(1, True)`."""
    if len(given) > 1 and all(type(v) is bool for v in given[1:]):
        words = BEHIND.get(name, ("keepdim",))
        if len(given) - 1 <= len(words) and kwargs.keys().isdisjoint(("axis", "dim", *words)):
            return {"dim": given[0], **dict(zip(words, given[1:])), **kwargs}
    if len(given) > 1:
        raise TypeError(f"`{name}` takes the axis by position and the rest by name, as in keepdims=True, got {given}")
    if "axis" in kwargs or "dim" in kwargs:
        raise TypeError(f"`{name}` takes its axis once, got {given[0]} and, by name, {kwargs}")
    if isinstance(given[0], bool | Tensor):
        other = ", or weft.maximum and weft.minimum of two tensors" if name in ("max", "min") else ""
        raise TypeError(f"`{name}` takes the axis by position, got a {type(given[0]).__name__}; name it{other}")
    return {"axis": tuple(given[0]) if isinstance(given[0], list) else given[0], **kwargs}


def _reduction(f: Callable) -> Callable:
    name, values_alone, averages = f.__name__, f in (reductions.max, reductions.min), f is reductions.mean

    def method(self: Tensor, /, *axis: Axes, **kwargs: Any) -> Any:
        if kwargs.get("out", self) is None:  # `np.sum(x)` asks for x.sum(axis=None, dtype=None, out=None)
            kwargs = {k: v for k, v in kwargs.items() if k not in ("out", "dtype") or v is not None}
            kwargs |= {"correction": kwargs.pop("ddof")} if "ddof" in kwargs else {}  # `np.std(x)`
        if averages and (dtype := kwargs.pop("dtype", None)) is not None:
            self = self.to(as_dtype(dtype))
        out = f(self, **(_by_position(name, axis, kwargs) if axis else kwargs))
        if axis and values_alone and type(out) is Tensor:
            out.__class__ = _Values
        return out

    made: Any = method
    made.__name__ = f.__name__
    x, axis, *options = inspect.signature(f).parameters.values()  # those of f, but that the axis need not be named
    words = {
        "dim": None,
        "keepdim": False,
        **({"unbiased": None} if name in ("std", "var") else {"dtype": None} if averages else {}),
    }
    asked = f"{', '.join(words)} : optional\n\\1    PyTorch's words, which make it PyTorch's call, with its meaning and result."
    made.__doc__ = re.sub(r"\n\n( *)Returns\n", rf"\n\1{asked}\n\n\1Returns\n", f.__doc__ or "", count=1)
    theirs = [inspect.Parameter(word, inspect.Parameter.KEYWORD_ONLY, default=d) for word, d in words.items()]
    made.__signature__ = inspect.Signature([x, axis.replace(kind=axis.POSITIONAL_OR_KEYWORD), *options, *theirs])
    return made


def _along(f: Callable) -> Callable:
    """A function whose axis may be given by position, as PyTorch and NumPy have it."""
    name, values_alone = f.__name__, f is indexing.sort

    def method(self: Tensor, /, *axis: int, **kwargs: Any) -> Any:
        out = f(self, **(_by_position(name, axis, kwargs) if axis else kwargs))
        if values_alone and "axis" not in kwargs and type(out) is Tensor:
            out.__class__ = _Values
        return out

    made: Any = method
    made.__name__, made.__doc__ = name, f.__doc__
    x, axis, *options = inspect.signature(f).parameters.values()
    made.__signature__ = inspect.Signature([x, axis.replace(kind=axis.POSITIONAL_OR_KEYWORD), *options])
    return made


for function in (indexing.sort, indexing.argsort):
    method(_along(function))
for name in (
    "sum",
    "mean",
    "std",
    "var",
    "prod",
    "max",
    "min",
    "all",
    "any",
    "argmax",
    "argmin",
    "logsumexp",
    "count_nonzero",
):
    method(_reduction(getattr(reductions, name)), name)


def _varargs(args: tuple) -> tuple[int, ...]:
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], tuple | list) else args


method(backward)
for hooking in (register_hook, register_post_accumulate_grad_hook, retain_grad):
    method(hooking)


@method
def reshape(self: Tensor, *shape: int | Sequence[int]) -> Tensor:
    """The same elements, in row-major order, in another shape.

    Parameters
    ----------
    *shape : int or sequence of int
        One number for each axis or all in one sequence; one may be −1 and is worked out.

    Returns
    -------
    Tensor
        A view where memory order allows it.

    Raises
    ------
    ValueError
        If the number of elements differs.

    Examples
    --------
    >>> weft.arange(6).reshape(2, -1).shape
    (2, 3)
    """
    return manipulation.reshape(self, _varargs(shape))


@method
def view(self: Tensor, *shape: int | Sequence[int]) -> Tensor:
    """`reshape` by PyTorch's name; it copies where memory order requires it, where PyTorch raises.

    Parameters
    ----------
    *shape : int or sequence of int
        One number for each axis or all in one sequence; one may be −1 and is worked out.

    Returns
    -------
    Tensor
        Of this shape.

    Raises
    ------
    ValueError
        If the number of elements differs.
    TypeError
        If a dtype is given: bits are not read as another here.
    """
    if len(shape) == 1 and isinstance(shape[0], np.dtype | type | str):
        raise TypeError(
            f"`view` takes sizes, got {shape[0]}; x.astype converts, x.numpy().view reads bits as another dtype"
        )
    return manipulation.reshape(self, _varargs(shape))


@method
def view_as(self: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of another tensor.

    Parameters
    ----------
    other : Tensor
        Of as many elements; only its shape is used.

    Returns
    -------
    Tensor
        Of the shape of `other`.
    """
    return manipulation.reshape(self, other.shape)


@method
def flatten(self: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Neighbouring axes merged into one.

    Parameters
    ----------
    start_dim, end_dim : int, default 0 and -1
        The first and the last of them.

    Returns
    -------
    Tensor
        With one axis for those; (1,) for a 0-d tensor.

    Raises
    ------
    ValueError
        If `start_dim` comes after `end_dim`.

    Examples
    --------
    >>> weft.ones((2, 3, 4)).flatten(1).shape
    (2, 12)
    """
    if not self.ndim:  # one axis, as in PyTorch, and no other
        integer("start_dim", start_dim, -1, 0)
        integer("end_dim", end_dim, -1, 0)
        return manipulation.reshape(self, (1,))
    n = self.ndim
    if not (type(start_dim) is type(end_dim) is int and -n <= start_dim < n and -n <= end_dim < n):
        integer("start_dim", start_dim, -n, n - 1)
        integer("end_dim", end_dim, -n, n - 1)
    start, end = start_dim % n, end_dim % n
    if start > end:
        raise ValueError(f"`start_dim` must not come after `end_dim`, got {start_dim} and {end_dim} for {n} axes")
    length = 1
    for s in self.shape[start : end + 1]:
        length *= s
    return manipulation.reshape(self, (*self.shape[:start], length, *self.shape[end + 1 :]))


@method
def transpose(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged: PyTorch's meaning (NumPy's is `permute`).

    Parameters
    ----------
    dim0, dim1 : int
        Which.

    Returns
    -------
    Tensor
        A view.
    """
    n = self.ndim or 1  # a number may be taken for a vector of one
    for name, dim in (("dim0", dim0), ("dim1", dim1)):
        integer(name, dim, -n, n - 1)
    axes = list(range(self.ndim)) or [0]
    axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return manipulation.permute_dims(self, tuple(axes) if self.ndim else ())


@method
@spelled({"dims": "dims"}, lambda f, x, /, dims: f(x, *dims))
def permute(self: Tensor, *dims: int | Sequence[int]) -> Tensor:
    """Axes reordered: axis i of the result is axis `dims[i]`.

    Parameters
    ----------
    *dims : int or sequence of int
        Each axis once, `x.permute(1, 0)`, `x.permute((1, 0))` or `x.permute(dims=(1, 0))`.

    Returns
    -------
    Tensor
        A view.

    Raises
    ------
    ValueError
        If `dims` is no permutation of the axes.
    """
    return manipulation.permute_dims(self, _varargs(dims))


method(transpose, "swapaxes")


@method
@spelled(DIM, manipulation.where_1)
def squeeze(self: Tensor, axis: Axes = None) -> Tensor:
    """Axes of length 1 removed.

    Parameters
    ----------
    axis : int, tuple of int or None, default None
        Which; all if None.

    Returns
    -------
    Tensor
        A view.

    Raises
    ------
    ValueError
        If a named axis is longer than 1, where PyTorch leaves it.
    """
    return manipulation.squeeze(self, tuple(i for i, n in enumerate(self.shape) if n == 1) if axis is None else axis)


@method
def unsqueeze(self: Tensor, dim: int) -> Tensor:
    """A new axis of length 1.

    Parameters
    ----------
    dim : int
        Where it shall be in the result.

    Returns
    -------
    Tensor
        A view.
    """
    return manipulation.expand_dims(self, axis=dim)


@method
def expand(self: Tensor, *sizes: int | Sequence[int]) -> Tensor:
    """Repetition along axes of length 1 and new leading axes, without copying.

    Parameters
    ----------
    *sizes : int or sequence of int
        The lengths of the result; −1 for one that stays.

    Returns
    -------
    Tensor
        A view, as from `broadcast_to`.

    Raises
    ------
    ValueError
        If an axis is neither of length 1 nor of that asked for.

    Examples
    --------
    >>> weft.ones((2, 1)).expand(-1, 3).shape
    (2, 3)
    """
    sizes = _varargs(sizes)
    lead = len(sizes) - self.ndim
    return manipulation.broadcast_to(self, tuple(self.shape[i - lead] if s == -1 else s for i, s in enumerate(sizes)))


@method
def chunk(self: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces along an axis, equally long but for the last.

    Parameters
    ----------
    chunks : int
        How many; fewer where the length does not give as many of ⌈length / chunks⌉.
    dim : int, default 0
        What is cut.

    Returns
    -------
    tuple of Tensor
        Views.

    Raises
    ------
    ValueError
        If `chunks` is not positive.
    IndexError
        If there is no such axis.
    """
    integer("chunks", chunks, 1)
    return self.split(max(1, -(-self.shape[_axis_to_cut(self, dim)] // chunks)), dim)


@method
def split(self: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along an axis.

    Parameters
    ----------
    split_size : int or sequence of int
        How long each is (the last may be shorter), or how long one after the other.
    dim : int, default 0
        What is cut.

    Returns
    -------
    tuple of Tensor
        Views.

    Raises
    ------
    ValueError
        If a length is negative (or 0, for all), or a sequence does not add up to the length of the axis.
    IndexError
        If there is no such axis.

    Examples
    --------
    >>> [piece.shape for piece in weft.ones(5).split(2)]
    [(2,), (2,), (1,)]
    """
    axis = _axis_to_cut(self, dim)
    n, before = self.shape[axis], (slice(None),) * axis
    if isinstance(split_size, Sequence) and not isinstance(split_size, str):
        sizes = list(split_size)
        for i, size in enumerate(sizes):
            integer(f"split_size[{i}]", size, 0)
        if sum(sizes) != n:
            raise ValueError(f"`split_size` must add up to {n}, the length of axis {dim}, got {sizes}")
    else:
        integer("split_size", split_size, 1 if n else 0)
        length = operator.index(split_size)
        sizes = [length] * (-(-n // length) if n else 0)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return tuple(self[(*before, slice(s, s + size), ...)] for s, size in zip(starts, sizes))


def _axis_to_cut(x: Tensor, dim: int) -> int:
    integer("dim", dim)
    if not -x.ndim <= dim < x.ndim:
        raise IndexError(f"`dim` must be in [{-x.ndim}, {x.ndim}) for shape {x.shape}, got {dim}")
    return dim % x.ndim


@method
def clone(self: Tensor) -> Tensor:
    """A copy, on the tape.

    Returns
    -------
    Tensor
        In memory of its own; its gradient flows back (see `detach` for one off the tape).
    """
    return manipulation.astype(self, self.dtype)


@method
def contiguous(self: Tensor) -> Tensor:
    """The same values in row-major memory.

    Returns
    -------
    Tensor
        Itself if they are already.
    """
    flags = getattr(self.data, "flags", None)
    if flags is None or flags.c_contiguous:
        return self
    return manipulation.reshape(manipulation.reshape(self.clone(), (self.size,)), self.shape)


@method
@spelled({"axis": "dim", "keepdims": "keepdim"})
def norm(self: Tensor, p: float | str = "fro", dim: Axes = None, keepdim: bool = False, dtype: DType = None) -> Tensor:
    """The p-norm (Σ |x|ᵖ)^(1/p) over `dim`: PyTorch's arguments, since the array API has no function of this name.

    Parameters
    ----------
    p : float, "fro" or "nuc", default "fro"
        The order, see `linalg.vector_norm`; "fro" is 2, "nuc" the sum of a matrix's singular values.
    dim : int, tuple of int or None, default None
        What makes up one vector (for "nuc": two axes, one matrix); everything if None. `axis` is the same.
    keepdim : bool, default False
        Whether the reduced axes stay, with length 1. `keepdims` is the same.
    dtype : dtype, optional
        What to convert to before.

    Returns
    -------
    Tensor
        Its gradient is 0 where it is.

    Raises
    ------
    ValueError
        If there is no norm of this name, or "nuc" has not two axes.

    Examples
    --------
    >>> weft.tensor([[3.0, 4.0], [6.0, 8.0]]).norm(1), weft.tensor([[3.0, 4.0], [6.0, 8.0]]).norm(dim=1)
    (tensor(21.), tensor([ 5., 10.]))
    """
    x = self if dtype is None else self.to(as_dtype(dtype))
    dim = tuple(dim) if isinstance(dim, list) else dim
    if p == "nuc":
        axes = tuple(range(x.ndim)) if dim is None else dim
        if not isinstance(axes, tuple) or len(axes) != 2:
            raise ValueError(f"`dim` must name two axes for the norm 'nuc', got {dim} for shape {x.shape}")
        return linalg.of_axes(linalg.matrix_norm, x, axis=axes, keepdims=keepdim, ord="nuc")
    if isinstance(p, str) and p != "fro":
        raise ValueError(f"`p` must be a number, 'fro' or 'nuc', got {p!r}")
    return linalg.vector_norm(x, axis=dim, keepdims=keepdim, ord=2 if p is None or isinstance(p, str) else p)


@method
@spelled(DIMS, lambda f, x, /, axis: f(x, axis if isinstance(axis, tuple) else (axis,)))
def flip(self: Tensor, *dims: int | Sequence[int], axis: Axes = None) -> Tensor:
    """The order of the elements reversed.

    Parameters
    ----------
    *dims : int or sequence of int
        Along which axes, PyTorch's way.
    axis : int, tuple of int or None, default None
        The same, the array API's way; all if neither is given.

    Returns
    -------
    Tensor
        Of the same shape and dtype: with `dims` a copy, as in PyTorch, with `axis` a view.

    Examples
    --------
    >>> weft.tensor([[1, 2], [3, 4]]).flip(1)
    tensor([[2, 1],
            [4, 3]])
    """
    if dims:
        return manipulation.flip(self, axis=_varargs(dims)).clone()
    return manipulation.flip(self, axis=axis)


@method
@spelled({"shifts": "shift"})
def roll(self: Tensor, shift: int | tuple[int, ...], dims: Axes = None, *, axis: Axes = None) -> Tensor:
    """Elements moved on, those pushed out at the end coming back at the front.

    Parameters
    ----------
    shift : int or tuple of int
        How far, for each axis; negative moves back. `shifts` is the same.
    dims, axis : int, tuple of int or None, default None
        Along which axes, PyTorch's way and the array API's; through all, flattened, if neither is given.

    Returns
    -------
    Tensor
        Of the same shape and dtype.

    Examples
    --------
    >>> weft.tensor([[1, 2], [3, 4]]).roll(1, 0)
    tensor([[3, 4],
            [1, 2]])
    """
    return manipulation.roll(self, shift, axis=axis if dims is None else dims)


@method
def tile(self: Tensor, *repetitions: int | Sequence[int]) -> Tensor:
    """The whole, repeated along its axes: what PyTorch calls `repeat`.

    Parameters
    ----------
    *repetitions : int or sequence of int
        How often along each axis, one number for each or all in one sequence.

    Returns
    -------
    Tensor
        Of the same dtype.

    Examples
    --------
    >>> weft.tensor([5, 6]).tile(2)
    tensor([5, 6, 5, 6])
    """
    return manipulation.tile(self, _varargs(repetitions))


@method
@spelled(DIM)
def repeat(self: Tensor, *repeats: int | Sequence[int] | Tensor, axis: int | None = None) -> Tensor:
    """Each element, or slice along an axis, repeated, as in the array API: `x.repeat(2)` is `x.repeat_interleave(2)`.

    Parameters
    ----------
    *repeats : int or Tensor
        How often: the same for all, or a Tensor of integers, one for each along `axis`. Several numbers, or a tuple or list
        of them, are PyTorch's call, which is `tile`.
    axis : int, optional
        What is repeated along; all, flattened, if None.

    Returns
    -------
    Tensor
        Of the same dtype.

    Examples
    --------
    >>> weft.tensor([5, 6]).repeat(2), weft.tensor([5, 6]).repeat(1, 2)
    (tensor([5, 5, 6, 6]), tensor([[5, 6, 5, 6]]))
    """
    if axis is None and (len(repeats) > 1 or isinstance(repeats[0] if repeats else None, tuple | list)):
        return manipulation.tile(self, cast("tuple[int, ...]", _varargs(repeats)))
    return manipulation.repeat(self, *cast("tuple[int | Tensor, ...]", repeats), axis=axis)


@method
def repeat_interleave(self: Tensor, repeats: int | Tensor, dim: int | None = None) -> Tensor:
    """Each element, or slice along an axis, repeated.

    Parameters
    ----------
    repeats : int or Tensor
        How often: the same for all, or integers, one for each along `dim`.
    dim : int, optional
        What is repeated along; all, flattened, if None.

    Returns
    -------
    Tensor
        Of the same dtype.
    """
    return manipulation.repeat(self, repeats, axis=dim)


@method
def copy_(self: Tensor, source: Operand) -> Tensor:
    """Overwrite the values, in place.

    Parameters
    ----------
    source : Tensor, array or number
        What broadcasts to the shape; converted to the dtype.

    Returns
    -------
    Tensor
        Itself.

    Raises
    ------
    RuntimeError
        If this is a leaf that requires grad, while gradients are recorded.
    """
    self[...] = source
    return self


@method
def fill_(self: Tensor, value: Operand) -> Tensor:
    """Set every element to `value`, in place.

    Parameters
    ----------
    value : number or Tensor
        One number.

    Returns
    -------
    Tensor
        Itself.

    Raises
    ------
    RuntimeError
        If this is a leaf that requires grad, while gradients are recorded.
    """
    self[...] = value
    return self


@method
def zero_(self: Tensor) -> Tensor:
    """Set every element to 0, in place.

    Returns
    -------
    Tensor
        Itself.

    Raises
    ------
    RuntimeError
        If this is a leaf that requires grad, while gradients are recorded.
    """
    self[...] = 0
    return self


@method
def round(self: Tensor, decimals: int = 0) -> Tensor:
    """The nearest number with so many decimals; of two, the even one. `round(x, 2)` is the same.

    Parameters
    ----------
    decimals : int, default 0
        How many; a negative one rounds before the point.

    Returns
    -------
    Tensor
        Of the same dtype. Its gradient is 0.

    Examples
    --------
    >>> round(weft.tensor([3.14159, 2.71828]), 2)
    tensor([3.14, 2.72])
    """
    rounded: Any = elementwise.round  # which takes more than its primitive
    return rounded(self, decimals=decimals)


method(lambda self, ndigits=None: self.round(decimals=ndigits or 0), "__round__")


def _transposed(self: Tensor) -> Tensor:
    """The transpose of a matrix; ValueError for what is none."""
    if self.ndim != 2:
        raise ValueError(
            f"`T` is for matrices, got shape {self.shape}; use .mT for stacks of matrices, .permute(…) otherwise"
        )
    return manipulation.matrix_transpose(self)


method(property(_transposed), "T")
method(property(manipulation.matrix_transpose, doc="The transpose of each matrix: the last two axes exchanged."), "mT")


# --- devices and dtypes -----------------------------------------------------------------------------------------------
@method
def to(
    self: Tensor,
    target: Tensor | DType = None,
    dtype: DType = None,
    non_blocking: bool = False,
    copy: bool = False,
    *,
    device: str | None = None,
) -> Tensor:
    """The tensor on another device, in another dtype, or both.

    Parameters
    ----------
    target : str, dtype or Tensor, optional
        A device or a dtype, by name or itself, or a Tensor that has both.
    dtype : dtype, optional
        The dtype, where `target` is a device.
    non_blocking : bool, default False
        PyTorch's; it changes nothing.
    copy : bool, default False
        Whether to copy even if nothing changes.
    device : str, optional
        The device, where `target` is a dtype.

    Returns
    -------
    Tensor
        Itself if nothing changes and no copy is asked for; otherwise a new one, on the tape: gradients flow back.

    Raises
    ------
    DeviceError
        If there is no such device.

    Examples
    --------
    >>> weft.ones(2).to("cpu", weft.float64)
    tensor([1., 1.], dtype=float64)
    """
    if isinstance(target, str) and not _names_dtype(target):
        device = target
    elif isinstance(target, Tensor):
        device, dtype = target.device, target.dtype
    elif target is not None:
        dtype = as_dtype(target)
    out = self if dtype is None or as_dtype(dtype) == self.dtype else manipulation.astype(self, as_dtype(dtype))
    out = out if device is None else _to_device(out, devices.canonical(device))
    return clone(out) if copy and out is self else out


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
def to_device(self: Tensor, device: str, /, *, stream: object = None) -> Tensor:
    """The array API's name for `to(device)`.

    Parameters
    ----------
    device : str
        Where to.
    stream : object, optional
        The standard's; it changes nothing.

    Returns
    -------
    Tensor
        Itself if it is there already.
    """
    return self.to(device)


CONVERSION = """The tensor {where}.

Returns
-------
Tensor
    Itself if nothing changes, otherwise a new one; gradients flow back if both dtypes are floating-point.
"""


def _conversion(name: str, target: Any) -> Callable:
    def convert(self: Tensor) -> Tensor:
        return to(self, target)

    convert.__name__ = name
    convert.__doc__ = CONVERSION.format(where="on the CPU" if name == "cpu" else f"in {np.dtype(target)}")
    return convert


for name, target in {
    "cpu": "cpu",
    "double": np.float64,
    "float": np.float32,
    "half": np.float16,
    "long": np.int64,
    "int": np.int32,
    "short": np.int16,
    "char": np.int8,
    "byte": np.uint8,
    "bool": np.bool_,
}.items():
    method(_conversion(name, target))


@method
def cuda(self: Tensor, index: int | None = None) -> Tensor:
    """The tensor on an NVIDIA GPU.

    Parameters
    ----------
    index : int, optional
        Which; the one in use if None.

    Returns
    -------
    Tensor
        Itself if it is there already; gradients flow back.

    Raises
    ------
    DeviceError
        If there is no such GPU, or it is not the one in use.
    """
    return to(self, "cuda" if index is None else f"cuda:{index}")


@method
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype of another.

    Parameters
    ----------
    other : Tensor
        Whose dtype to take; its device is not.

    Returns
    -------
    Tensor
        Itself if it has that dtype; gradients flow back.
    """
    return to(self, other.dtype)


del name, function, module, names, target
