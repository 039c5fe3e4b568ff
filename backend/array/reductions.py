"""Reductions and scans of the array API with their derivatives: one axis, several, or all (`axis=None`)."""

from __future__ import annotations

import math
import operator
from typing import Any

from ..device import dtypes
from ..device.options import integer, number
from ..tape.autograd import Primitive, primitive
from ..tape.tensor import Axes, DType, Tensor, ValuesAndIndices
from .elementwise import _divisor, _floats, conjugate
from .indexing import take_along_axis
from .manipulation import inverse_permutation, reshape
from .spellings import DIM, KEEPDIM, spelled
from .sums import axes_of, running_total, total

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


@spelled(KEEPDIM)
@primitive(precision="full")
def sum(xp: Any, x: Any, /, *, axis: Axes = None, dtype: DType = None, keepdims: bool = False) -> Any:
    """Σ x over `axis`.

    Parameters
    ----------
    x : Tensor
        Of any dtype; booleans count as 0 and 1.
    axis : int, tuple of int or None, default None
        What is summed over; everything if None.
    dtype : dtype, optional
        That of the sum. If None, that of x, but int64 (uint64) for smaller integers and booleans.
    keepdims : bool, default False
        Whether the reduced axes stay, with length 1.

    Returns
    -------
    Tensor
        Of the shape of x without the reduced axes.

    Notes
    -----
    Inside `autocast`, half precision is summed in float32, and the sum is float32.

    Examples
    --------
    >>> weft.sum(weft.ones((2, 3)), axis=0)
    tensor([2., 2., 2.])
    """
    y, like = total(xp, x, axis, dtype=dtypes.native(xp, dtype), keepdims=keepdims), x
    return y, (lambda g: _full(xp, g, like, axis, keepdims),)


@spelled(KEEPDIM)
@primitive(precision="full")
def mean(xp: Any, x: Any, /, *, axis: Axes = None, keepdims: bool = False) -> Any:
    """Σ x / n over `axis`; NaN over nothing.

    Parameters
    ----------
    x : Tensor
        Of any dtype; integers are averaged in the default dtype.
    axis : int, tuple of int or None, default None
        What is averaged over; everything if None.
    keepdims : bool, default False
        Whether the reduced axes stay, with length 1.

    Returns
    -------
    Tensor
        Of the shape of x without the reduced axes.

    Examples
    --------
    >>> weft.mean(weft.tensor([[1, 2], [3, 4]]), axis=1)
    tensor([1.5, 3.5])
    """
    x = _floats(xp, x)
    n, y, like = _count(x, axis), total(xp, x, axis, keepdims=keepdims), x
    if not n:
        return xp.full_like(y, math.nan), (lambda g: _full(xp, g, like, axis, keepdims),)
    return y / n, (lambda g: _full(xp, g / n, like, axis, keepdims),)


@spelled(KEEPDIM)
@primitive(precision="full")
def prod(xp: Any, x: Any, /, *, axis: Axes = None, dtype: DType = None, keepdims: bool = False) -> Any:
    """Π x over `axis`.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    axis : int, tuple of int or None, default None
        What is multiplied together; everything if None.
    dtype : dtype, optional
        That of the product. If None, that of x, but int64 (uint64) for smaller integers and booleans.
    keepdims : bool, default False
        Whether the reduced axes stay, with length 1.

    Returns
    -------
    Tensor
        Of the shape of x without the reduced axes; 1 over nothing.

    Notes
    -----
    The gradient of an element is the product of the *others*, so zeros are no trouble.

    Examples
    --------
    >>> x = weft.tensor([2.0, 0.0, 3.0], requires_grad=True)
    >>> weft.prod(x).backward()
    >>> x.grad
    tensor([0., 6., 0.])
    """
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


EXTREMUM = """The {name}imum over `axis`: values alone, as in the array API.

Parameters
----------
x : Tensor
    Of a real dtype.
axis : int, tuple of int or None, default None
    What is looked through; everything if None.
keepdims : bool, default False
    Whether the reduced axes stay, with length 1.

Returns
-------
Tensor
    Of the shape of x without the reduced axes; NaN where there is one.

Raises
------
ValueError
    If it is that of nothing.

See Also
--------
arg{name} : Where it is. PyTorch's `{name}` with an axis returns both.

Notes
-----
Equal extremes share the gradient. What `x.{name}(1)` returns cannot be unpacked, nor be indexed with 0 or 1, as PyTorch's
pair is: `x.{name}(dim=1)` gives both, `x.{name}(axis=1)` what may be.

Examples
--------
>>> weft.{name}(weft.tensor([[1.0, 3.0], [4.0, 2.0]]), axis=1)
tensor([{example}])
"""


def _extremum(name: str) -> Primitive[..., Tensor]:
    def reduce(xp: Any, x: Any, /, *, axis: Axes = None, keepdims: bool = False) -> Any:
        y = getattr(xp, name)(x, axis=axis, keepdims=keepdims)

        def grad_x(g: Any) -> Any:
            where = xp.astype(x == spread(xp, y, x, axis, keepdims), x.dtype)
            share = where / total(xp, where, axis, keepdims=True)
            return spread(xp, g, x, axis, keepdims) * share

        return y, (grad_x,)

    reduce.__name__ = reduce.__qualname__ = name
    reduce.__doc__ = EXTREMUM.format(name=name, example={"max": "3., 4.", "min": "1., 2."}[name])
    return spelled(KEEPDIM, _with_indices)(primitive(reduce))


def _with_indices(f: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> ValuesAndIndices:
    """PyTorch's `max` and `min` along one axis: of equal extremes the first counts, and gets the gradient."""
    if not isinstance(axis, int):
        raise TypeError(
            f"`{f.__name__}` with PyTorch's words needs `dim`, an int, got {axis!r}; use `axis` for several"
        )
    search = argmax if f.__name__ == "max" else argmin
    indices = search(x, axis=axis, keepdims=True)
    values = take_along_axis(x, indices, axis=axis) if x.ndim else x
    if not keepdims:
        shape = indices.shape[: axis % x.ndim] + indices.shape[axis % x.ndim + 1 :] if x.ndim else ()
        values, indices = reshape(values, shape), reshape(indices, shape)
    return ValuesAndIndices(values, indices)


max = _extremum("max")
min = _extremum("min")


def _centred(xp: Any, x: Any, axis: Any) -> Any:
    """x − mean; the mean of nothing is NaN, without a warning."""
    n = _count(x, axis)
    return x - total(xp, x, axis, keepdims=True) / n if n else x


def _variance(xp: Any, x: Any, axis: Any, correction: float, keepdims: bool) -> Any:
    centred = _centred(xp, x, axis)
    size = centred if dtypes.is_real_floating(x.dtype) else xp.abs(centred)
    size = size * size if isinstance(x, Tensor) else operator.imul(size, size)
    number("correction", correction)
    squares, n = total(xp, size, axis, keepdims=keepdims), _count(x, axis) - correction
    return squares / n if n > 0 else xp.full_like(squares, math.nan)


def _of_a_sample(f: Any, x: Any, /, *, unbiased: bool | None = None, **options: Any) -> Any:
    """PyTorch's `std` and `var`, which divide by n − 1 unless told otherwise."""
    if unbiased is not None and "correction" in options:
        raise TypeError(f"`{f.__name__}` takes `correction` or `unbiased`, which says the same, got both")
    return f(x, **{"correction": 0 if unbiased is False else 1} | options)


@spelled(KEEPDIM | {"unbiased": "unbiased"}, _of_a_sample)
@primitive(precision="full")
def var(xp: Any, x: Any, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """Variance over `axis`: Σ (x − mean)² / (n − correction).

    Parameters
    ----------
    x : Tensor
        Of a real dtype; integers are taken in the default dtype.
    axis : int, tuple of int or None, default None
        What is averaged over; everything if None.
    correction : float, default 0.0
        Subtracted from n. 0, the array API's default, gives the variance of these numbers; 1, which PyTorch takes, an
        unbiased estimate from a sample.
    keepdims : bool, default False
        Whether the reduced axes stay, with length 1.

    Returns
    -------
    Tensor
        Of the shape of x without the reduced axes.

    Examples
    --------
    >>> x = weft.tensor([1.0, 3.0])
    >>> weft.var(x), weft.var(x, correction=1)
    (tensor(1.), tensor(2.))
    """
    x = _floats(xp, x)
    y = _variance(xp, x, axis, correction, keepdims)

    def grad_x(g: Any) -> Any:
        n = _count(x, axis) - correction
        centred = conjugate(xp, _centred(xp, x, axis))
        return spread(xp, g, x, axis, keepdims) * centred * (2 / n if n > 0 else math.nan)

    return y, (grad_x,)


@spelled(KEEPDIM | {"unbiased": "unbiased"}, _of_a_sample)
@primitive(precision="full")
def std(xp: Any, x: Any, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """Standard deviation over `axis`: √(Σ (x − mean)² / (n − correction)).

    Parameters
    ----------
    x : Tensor
        Of a real dtype; integers are taken in the default dtype.
    axis : int, tuple of int or None, default None
        What is averaged over; everything if None.
    correction : float, default 0.0
        Subtracted from n: 0 is the array API's default, 1 PyTorch's (see `var`).
    keepdims : bool, default False
        Whether the reduced axes stay, with length 1.

    Returns
    -------
    Tensor
        Of the shape of x without the reduced axes.

    Notes
    -----
    The gradient is 0 where the deviation is, where there is no derivative.

    Examples
    --------
    >>> weft.std(weft.tensor([[1.0, 3.0], [2.0, 2.0]]), axis=1)
    tensor([1., 0.])
    """
    x = _floats(xp, x)
    y = xp.sqrt(_variance(xp, x, axis, correction, keepdims))

    def grad_x(g: Any) -> Any:
        centred = conjugate(xp, _centred(xp, x, axis))
        return spread(xp, g / _divisor(xp, y), x, axis, keepdims) * centred / (_count(x, axis) - correction)

    return y, (grad_x,)


@spelled(KEEPDIM)
@primitive(precision="full")
def logsumexp(xp: Any, x: Any, /, *, axis: Axes = None, keepdims: bool = False) -> Any:
    """The logarithm of a sum of exponentials over `axis`: ln Σ exp x.

    Computed as m + ln Σ exp(x − m) with m = max x, which does not overflow.

    Parameters
    ----------
    x : Tensor
        Of a real dtype; integers are taken in the default dtype.
    axis : int, tuple of int or None, default None
        What is summed over; everything if None.
    keepdims : bool, default False
        Whether the reduced axes stay, with length 1.

    Returns
    -------
    Tensor
        Of the shape of x without the reduced axes. The gradient is the softmax of x.

    Examples
    --------
    >>> weft.logsumexp(weft.tensor([1000.0, -1000.0]))
    tensor(1000.)
    """
    x = _floats(xp, x)
    if not _count(x, axis):  # ln 0
        return xp.full_like(total(xp, x, axis, keepdims=keepdims), -math.inf), (lambda g: xp.zeros_like(x),)
    m = xp.max(x, axis=axis, keepdims=True)
    m = xp.where(xp.isfinite(m), m, xp.zeros_like(m))
    wide = m + xp.log(total(xp, xp.exp(x - m), axis, keepdims=True))
    y = wide if keepdims else xp.squeeze(wide, axis=axes_of(axis, x.ndim))
    return y, (lambda g: spread(xp, g, x, axis, keepdims) * xp.exp(x - wide),)


@spelled(DIM)
@primitive(precision="full")
def cumulative_sum(
    xp: Any, x: Any, /, *, axis: int | None = None, dtype: DType = None, include_initial: bool = False
) -> Any:
    """Running sums along `axis`: y[i] = x[0] + … + x[i].

    Parameters
    ----------
    x : Tensor
        Of any dtype, with at least one axis.
    axis : int, optional
        May be left out where x is 1-d.
    dtype : dtype, optional
        That of the sums. If None, that of x, but int64 (uint64) for smaller integers and booleans.
    include_initial : bool, default False
        Whether to put a 0 in front, so that `axis` is one longer.

    Returns
    -------
    Tensor
        Of the shape of x, but for a 0 in front.

    Raises
    ------
    ValueError
        If `axis` is left out and x is not 1-d.
    IndexError
        If x has no such axis.

    Examples
    --------
    >>> weft.cumulative_sum(weft.tensor([1.0, 2.0, 3.0]), include_initial=True)
    tensor([0., 1., 3., 6.])
    """
    axis = _only_axis("cumulative_sum", x, axis)
    y = running_total(xp, x, axis, dtype=dtypes.native(xp, dtype), include_initial=include_initial)

    def grad_x(g: Any) -> Any:
        g = _drop_first(g, axis) if include_initial else g
        return xp.astype(xp.flip(running_total(xp, xp.flip(g, axis=axis), axis), axis=axis), x.dtype)

    return y, (grad_x,)


@spelled(DIM)
@primitive(precision="full")
def cumulative_prod(
    xp: Any, x: Any, /, *, axis: int | None = None, dtype: DType = None, include_initial: bool = False
) -> Any:
    """Running products along `axis`: y[i] = x[0] ⋯ x[i].

    Parameters
    ----------
    x : Tensor
        Of any dtype, with at least one axis.
    axis : int, optional
        May be left out where x is 1-d.
    dtype : dtype, optional
        That of the products. If None, that of x, but int64 (uint64) for smaller integers and booleans.
    include_initial : bool, default False
        Whether to put a 1 in front, so that `axis` is one longer.

    Returns
    -------
    Tensor
        Of the shape of x, but for a 1 in front.

    Raises
    ------
    ValueError
        If `axis` is left out and x is not 1-d.
    IndexError
        If x has no such axis.

    Notes
    -----
    The gradient is exact with zeros too; it takes memory n² per row of n.

    Examples
    --------
    >>> weft.cumulative_prod(weft.tensor([1.0, 2.0, 3.0]))
    tensor([1., 2., 6.])
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
        later = total(xp, g[..., None, :] * between, -1)
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


@spelled(DIM)
def diff(
    x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The n-th difference along `axis`, where the first is x[i+1] − x[i].

    Parameters
    ----------
    x : Tensor
        Of any dtype, with at least one axis; of booleans the difference is whether they differ.
    axis : int, default -1
        What is stepped along.
    n : int, default 1
        How many times to take differences.
    prepend, append : Tensor, optional
        Put before and after x first, with as many axes as x and its lengths along all but `axis`.

    Returns
    -------
    Tensor
        Of the shape of the extended x, but n shorter along `axis`.

    Raises
    ------
    IndexError
        If x has no such axis.
    ValueError
        If n is no integer ≥ 0.

    Examples
    --------
    >>> weft.diff(weft.tensor([1.0, 4.0, 9.0]))
    tensor([3., 5.])
    >>> weft.diff(weft.tensor([1.0, 4.0, 9.0]), n=2)
    tensor([2.])
    """
    from .manipulation import concat

    integer("n", n, 0)
    integer("axis", axis)
    parts = [p for p in (prepend, x, append) if p is not None]
    x = concat(parts, axis=axis) if len(parts) > 1 else x
    axis = _only_axis("diff", x, axis)
    before = (slice(None),) * axis
    for _ in range(n):
        later, earlier = x[(*before, slice(1, None), ...)], x[(*before, slice(None, -1), ...)]
        x = later != earlier if dtypes.of(x) == dtypes.bool else later - earlier
    return x


INDEX_OF = """The position of the first {extremum} along `axis`.

Parameters
----------
x : Tensor
    Of a real dtype.
axis : int, optional
    What is looked through; all of x, flattened, if None.
keepdims : bool, default False
    Whether the reduced axes stay, with length 1.

Returns
-------
Tensor
    Integers (int64) of the shape of x without `axis`; where there is a NaN, the position of the first.

Raises
------
ValueError
    If it is that of nothing.

Examples
--------
>>> weft.{name}(weft.tensor([[1.0, 3.0], [4.0, 2.0]]), axis=1)
tensor([{example}])
"""


def _index_of(name: str) -> Primitive[..., Tensor]:
    def search(xp: Any, x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
        return getattr(xp, name)(x, axis=axis, keepdims=keepdims), None

    search.__name__ = search.__qualname__ = name
    search.__doc__ = INDEX_OF.format(
        name=name, extremum=f"{name[3:]}imum", example={"argmax": "1, 0", "argmin": "0, 1"}[name]
    )
    return spelled(KEEPDIM)(primitive(search))


argmax = _index_of("argmax")
argmin = _index_of("argmin")


@spelled(KEEPDIM)
@primitive
def all(xp: Any, x: Any, /, *, axis: Axes = None, keepdims: bool = False) -> Any:
    """Whether every element over `axis` is true.

    Parameters
    ----------
    x : Tensor
        Of any dtype; what is not 0 is true.
    axis : int, tuple of int or None, default None
        What is looked through; everything if None.
    keepdims : bool, default False
        Whether the reduced axes stay, with length 1.

    Returns
    -------
    Tensor
        Booleans of the shape of x without the reduced axes; True over nothing.

    Examples
    --------
    >>> weft.all(weft.tensor([[True, False], [True, True]]), axis=0)
    tensor([ True, False])
    """
    return xp.all(x, axis=axis, keepdims=keepdims), None


@spelled(KEEPDIM)
@primitive
def any(xp: Any, x: Any, /, *, axis: Axes = None, keepdims: bool = False) -> Any:
    """Whether some element over `axis` is true.

    Parameters
    ----------
    x : Tensor
        Of any dtype; what is not 0 is true.
    axis : int, tuple of int or None, default None
        What is looked through; everything if None.
    keepdims : bool, default False
        Whether the reduced axes stay, with length 1.

    Returns
    -------
    Tensor
        Booleans of the shape of x without the reduced axes; False over nothing.

    Examples
    --------
    >>> weft.any(weft.tensor([[True, False], [False, False]]), axis=1)
    tensor([ True, False])
    """
    return xp.any(x, axis=axis, keepdims=keepdims), None


@spelled(KEEPDIM)
@primitive
def count_nonzero(xp: Any, x: Any, /, *, axis: Axes = None, keepdims: bool = False) -> Any:
    """How many elements over `axis` are not zero.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    axis : int, tuple of int or None, default None
        What is counted over; everything if None.
    keepdims : bool, default False
        Whether the reduced axes stay, with length 1.

    Returns
    -------
    Tensor
        Integers of the shape of x without the reduced axes.

    Examples
    --------
    >>> weft.count_nonzero(weft.tensor([[0, 1], [2, 3]]), axis=1)
    tensor([1, 2])
    """
    return xp.count_nonzero(x, axis=axis, keepdims=keepdims), None
