"""Reductions and scans of the array API with their derivatives: one axis, several, or all (`axis=None`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..device import dtypes
from ..tape.autograd import primitive
from .elementwise import _divisor, _floats
from .manipulation import inverse_permutation

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "logsumexp",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
]


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """The reduced axes as non-negative integers."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in ((axis,) if isinstance(axis, int) else axis)) if ndim else ()


def spread(xp: Any, g: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """A reduction's gradient (or result) in a shape that broadcasts against its input."""
    if keepdims:
        return g
    axes = axes_of(axis, x.ndim)
    return xp.reshape(g, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _full(xp: Any, g: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    g = xp.broadcast_to(spread(xp, g, x, axis, keepdims), x.shape)
    return g if g.dtype == x.dtype else xp.astype(g, x.dtype)


def _count(x: Any, axis: Any) -> int:
    return math.prod(x.shape[a] for a in axes_of(axis, x.ndim))


@primitive(precision="full")
def sum(xp: Any, x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """Σ x over `axis`.

    >>> weft.sum(weft.ones((2, 3)), axis=0)
    tensor([2., 2., 2.])
    """
    y = xp.sum(x, axis=axis, dtype=dtypes.native(xp, dtype), keepdims=keepdims)
    return y, (lambda g: _full(xp, g, x, axis, keepdims),)


@primitive(precision="full")
def mean(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Σ x / n over `axis`; NaN over nothing. Integers are averaged in the default dtype."""
    x = _floats(xp, x)
    n = _count(x, axis)
    if not n:
        total = xp.sum(x, axis=axis, keepdims=keepdims)
        return xp.full_like(total, math.nan), (lambda g: _full(xp, g, x, axis, keepdims),)
    return xp.mean(x, axis=axis, keepdims=keepdims), (lambda g: _full(xp, g / n, x, axis, keepdims),)


@primitive(precision="full")
def prod(xp: Any, x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """Π x over `axis`. The gradient is the product of the *other* elements, so zeros are no trouble."""
    y = xp.prod(x, axis=axis, dtype=dtypes.native(xp, dtype), keepdims=keepdims)

    def grad_x(g: Any) -> Any:
        axes = axes_of(axis, x.ndim)
        kept = tuple(i for i in range(x.ndim) if i not in axes)
        rows = xp.reshape(xp.permute_dims(x, kept + axes), tuple(x.shape[i] for i in kept) + (_count(x, axis),))
        before = _exclusive_prod(xp, rows)
        after = xp.flip(_exclusive_prod(xp, xp.flip(rows, axis=-1)), axis=-1)
        others = xp.reshape(before * after, tuple(x.shape[i] for i in kept + axes))
        back = inverse_permutation(kept + axes)
        return _full(xp, g, x, axis, keepdims) * xp.permute_dims(others, back)

    return y, (grad_x,)


def _exclusive_prod(xp: Any, rows: Any) -> Any:
    """Product of everything before each element of the last axis."""
    if not rows.shape[-1]:
        return rows
    return xp.concat([xp.ones_like(rows[..., :1]), xp.cumulative_prod(rows, axis=-1)[..., :-1]], axis=-1)


def _extremum(name: str) -> Callable:
    def reduce(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        y = getattr(xp, name)(x, axis=axis, keepdims=keepdims)

        def grad_x(g: Any) -> Any:
            where = xp.astype(x == spread(xp, y, x, axis, keepdims), x.dtype)
            share = where / xp.sum(where, axis=axis, keepdims=True)
            return spread(xp, g, x, axis, keepdims) * share

        return y, (grad_x,)

    reduce.__name__ = reduce.__qualname__ = name
    reduce.__doc__ = f"The {name}imum over `axis` (values alone; see arg{name}). Equal extremes share the gradient."
    return primitive(reduce)


max = _extremum("max")
min = _extremum("min")


@primitive(precision="full")
def var(xp: Any, x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """Σ (x − mean)² / (n − correction) over `axis` (array API: `correction` is 0 unless given; PyTorch takes 1)."""
    x = _floats(xp, x)
    y = xp.var(x, axis=axis, correction=correction, keepdims=keepdims)

    def grad_x(g: Any) -> Any:
        centred = x - xp.mean(x, axis=axis, keepdims=True)
        return spread(xp, g, x, axis, keepdims) * centred * (2 / (_count(x, axis) - correction))

    return y, (grad_x,)


@primitive(precision="full")
def std(xp: Any, x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """√var over `axis` (array API: `correction` is 0 unless given; PyTorch takes 1); its gradient is 0 at 0."""
    x = _floats(xp, x)
    y = xp.std(x, axis=axis, correction=correction, keepdims=keepdims)

    def grad_x(g: Any) -> Any:
        centred = x - xp.mean(x, axis=axis, keepdims=True)
        return spread(xp, g / _divisor(xp, y), x, axis, keepdims) * centred / (_count(x, axis) - correction)

    return y, (grad_x,)


@primitive(precision="full")
def logsumexp(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """ln Σ exp x over `axis`, without overflow: m + ln Σ exp(x − m) with m = max x."""
    x = _floats(xp, x)
    m = xp.max(x, axis=axis, keepdims=True)
    m = xp.where(xp.isfinite(m), m, xp.zeros_like(m))
    wide = m + xp.log(xp.sum(xp.exp(x - m), axis=axis, keepdims=True))
    y = wide if keepdims else xp.reshape(wide, xp.sum(x, axis=axis).shape)
    return y, (lambda g: spread(xp, g, x, axis, keepdims) * xp.exp(x - wide),)


@primitive(precision="full")
def cumulative_sum(
    xp: Any, x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """Running sums along `axis` (may be left out for 1-d); `include_initial` puts a 0 in front."""
    axis = _only_axis("cumulative_sum", x, axis)
    y = xp.cumulative_sum(x, axis=axis, dtype=dtypes.native(xp, dtype), include_initial=include_initial)

    def grad_x(g: Any) -> Any:
        g = _drop_first(g, axis) if include_initial else g
        return xp.astype(xp.flip(xp.cumulative_sum(xp.flip(g, axis=axis), axis=axis), axis=axis), x.dtype)

    return y, (grad_x,)


@primitive(precision="full")
def cumulative_prod(
    xp: Any, x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """Running products along `axis` (may be left out for 1-d); `include_initial` puts a 1 in front.

    The gradient is exact with zeros too; it takes memory n² per row of n.
    """
    axis = _only_axis("cumulative_prod", x, axis)
    y = xp.cumulative_prod(x, axis=axis, dtype=dtypes.native(xp, dtype), include_initial=include_initial)

    def grad_x(g: Any) -> Any:
        g = xp.moveaxis(_drop_first(g, axis) if include_initial else g, axis, -1)
        rows = xp.moveaxis(x, axis, -1)
        n = rows.shape[-1]
        # between[i, j] = x_{i+1} … x_j for j ≥ i: the factors that x_i is multiplied with after its own turn
        above = xp.triu(xp.ones((n, n), dtype=x.dtype, device=x.device), k=1)
        factors = rows[..., None, :] * above + (1 - above)
        between = xp.triu(xp.cumulative_prod(factors, axis=-1))
        later = xp.sum(g[..., None, :] * between, axis=-1)
        return xp.moveaxis(_exclusive_prod(xp, rows) * later, -1, axis)

    return y, (grad_x,)


def _only_axis(name: str, x: Any, axis: int | None) -> int:
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"`{name}` needs `axis` for an array with {x.ndim} axes")
        return 0
    if not -x.ndim <= axis < x.ndim:
        raise IndexError(f"`axis` must be in [{-x.ndim}, {x.ndim}), got {axis}")
    return axis % x.ndim


def _drop_first(g: Any, axis: int) -> Any:
    return g[(slice(None),) * axis + (slice(1, None), ...)]


def diff(x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Any:
    """The n-th difference x[i+1] − x[i] along `axis`, of x extended by `prepend` and `append`."""
    from .manipulation import concat

    parts = [p for p in (prepend, x, append) if p is not None]
    x = concat(parts, axis=axis) if len(parts) > 1 else x
    axis = _only_axis("diff", x, axis)
    before = (slice(None),) * axis
    for _ in range(n):
        later, earlier = x[(*before, slice(1, None), ...)], x[(*before, slice(None, -1), ...)]
        x = later != earlier if dtypes.of(x) == dtypes.bool else later - earlier
    return x


def _index_of(name: str) -> Callable:
    def search(xp: Any, x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
        return getattr(xp, name)(x, axis=axis, keepdims=keepdims), None

    search.__name__ = search.__qualname__ = name
    search.__doc__ = f"The position of the first {name[3:]}imum along `axis`, or in the flattened array (`axis=None`)."
    return primitive(search)


argmax = _index_of("argmax")
argmin = _index_of("argmin")


@primitive
def all(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether every element over `axis` is true."""
    return xp.all(x, axis=axis, keepdims=keepdims), None


@primitive
def any(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether some element over `axis` is true."""
    return xp.any(x, axis=axis, keepdims=keepdims), None


@primitive
def count_nonzero(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """How many elements over `axis` are not zero."""
    return xp.count_nonzero(x, axis=axis, keepdims=keepdims), None
