"""Methods of PyTorch's that compute, made of weft's operations; those of whole numbers and order go through NumPy."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...backend.array import elementwise, indexing, linalg, manipulation, products, reductions
from ...backend.device import dtypes
from ...backend.tape.autograd import primitive
from ...backend.tape.tensor import Tensor, wrap
from ...layers import functional
from .making import tensor
from .shaping import _like, _numpy

__all__ = ["FUNCTIONS", "INPLACE", "LINALG", "METHODS"]


def _floating(x: Tensor) -> Tensor:
    return x if x.dtype.kind in "fcV" else x.to(dtypes.get_default_dtype())


# --- special functions ------------------------------------------------------------------------------------------------
def _elementwise(f: Callable[[float], float], raw: Any) -> Any:
    """A function of floats for each element, in double precision."""
    found = np.fromiter(map(f, np.asarray(raw, np.float64).ravel().tolist()), np.float64, raw.size)
    return found.reshape(raw.shape).astype(raw.dtype)


def _log_gamma(x: float) -> float:
    return math.inf if x == -math.inf or (x <= 0 and x == math.floor(x)) else math.lgamma(x)


def _polygamma(n: int, x: float) -> float:
    """ψ⁽ⁿ⁾(x): recurrence up to x ≥ 12, then the asymptotic series (DLMF 5.11, 5.15); n = 0 or 1."""
    if not math.isfinite(x):
        return (math.inf if n == 0 else 0.0) if x > 0 else math.nan
    if x <= 0:
        if x == math.floor(x):
            return math.nan if n == 0 and x else (-math.inf if n == 0 else math.inf)
        s = math.pi / math.tan(math.pi * x)
        return _polygamma(0, 1 - x) - s if n == 0 else (math.pi / math.sin(math.pi * x)) ** 2 - _polygamma(1, 1 - x)
    found = 0.0
    while x < 12:
        found += -1 / x if n == 0 else 1 / x**2
        x += 1
    numbers = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)  # of Bernoulli
    if n == 0:
        return found + math.log(x) - 0.5 / x - sum(b / (2 * k * x ** (2 * k)) for k, b in enumerate(numbers, 1))
    return found + 1 / x + 0.5 / x**2 + sum(b / x ** (2 * k + 1) for k, b in enumerate(numbers, 1))


def _special(name: str, f: Callable[[float], float], slope: Callable[[Tensor], Tensor] | None) -> Callable:
    """A function of one real number, on a CPU; `slope` is its derivative, of Tensors."""

    def form(xp: Any, x: Any, /) -> Any:
        if isinstance(x, Tensor):
            return call(x), (lambda g: g * slope(x),) if slope else None
        if not isinstance(x, np.ndarray):
            raise NotImplementedError(
                f"`{name}` is computed on a CPU, got an array of {type(x).__module__}; use .cpu()"
            )
        with np.errstate(all="ignore"):
            return _elementwise(f, x), (lambda g: g * slope(wrap(x, "cpu")).data,) if slope else None

    form.__name__ = name
    call: Any = primitive(form)
    return lambda x: call(_floating(x))


def _erf_inverse(y: float) -> float:
    """Newton's steps from Winitzki's approximation."""
    if abs(y) >= 1:
        return math.copysign(math.inf, y) if abs(y) == 1 else math.nan
    a, u = 0.147, math.log1p(-y * y)
    t = 2 / (math.pi * a) + u / 2
    x = math.copysign(math.sqrt(max(math.sqrt(t * t - u / a) - t, 0.0)), y)
    for _ in range(4):
        error = math.erf(x) - y
        if abs(y) >= 0.5:  # of what is left to 1, which has more digits
            error = math.copysign(1, y) * ((1 - abs(y)) - math.erfc(abs(x)))
        x -= error / (2 / math.sqrt(math.pi) * math.exp(-x * x))
    return x


def _no_more(x: Tensor) -> Tensor:
    raise NotImplementedError("the third derivative of `lgamma` is not available")


trigamma = _special("trigamma", functools.partial(_polygamma, 1), _no_more)
digamma = _special("digamma", functools.partial(_polygamma, 0), trigamma)
lgamma = _special("lgamma", _log_gamma, digamma)
erfinv: Callable = _special("erfinv", _erf_inverse, lambda y: math.sqrt(math.pi) / 2 * (erfinv(y) ** 2).exp())
erfc = _special("erfc", math.erfc, lambda x: -2 / math.sqrt(math.pi) * (-x * x).exp())


def _polygamma_of(n: int, x: Tensor) -> Tensor:
    if n not in (0, 1):
        raise NotImplementedError(f"`polygamma` is available for n = 0 and 1, got {n}")
    return (digamma, trigamma)[n](x)


def _mvlgamma(x: Tensor, p: int) -> Tensor:
    return sum((lgamma(x - j / 2) for j in range(p)), p * (p - 1) / 4 * math.log(math.pi))  # type: ignore[return-value]


# --- elementwise ------------------------------------------------------------------------------------------------------
def _logit(x: Tensor, eps: float | None = None) -> Tensor:
    x = _floating(x)
    x = x if eps is None else x.clamp(eps, 1 - eps)
    return (x / (1 - x)).log()


def _xlogy(x: Any, y: Any) -> Tensor:
    x, y = (v if isinstance(v, Tensor) else other.detach() * 0 + v for v, other in ((x, y), (y, x)))
    zero = (x == 0) & ~y.isnan()
    return indexing.where(zero, x * 0, x * indexing.where(zero, y * 0 + 1, y).log())


def _sinc(x: Tensor) -> Tensor:
    x = _floating(x)
    z = indexing.where(x == 0, x * 0 + 1, x) * math.pi
    return indexing.where(x == 0, x * 0 + 1, z.sin() / z)


def _nan_ignoring(pick: Callable) -> Callable:
    def call(x: Tensor, other: Tensor) -> Tensor:
        return indexing.where(x.isnan(), other, indexing.where(other.isnan(), x, pick(x, other)))

    return call


def _sign(x: Tensor) -> Tensor:
    if x.dtype.kind != "c":
        return x.sign()  # PyTorch's, by now
    size = x.abs()
    return indexing.where(size == 0, x * 0, x / indexing.where(size == 0, size * 0 + 1, size))


def _integers(ufunc: Any) -> Callable:
    return lambda x, other: _like(x, ufunc(_numpy(x), _numpy(other) if isinstance(other, Tensor) else other))


def _float_power(x: Any, exponent: Any) -> Tensor:
    x, exponent = (v.double() if isinstance(v, Tensor) and v.dtype.kind != "c" else v for v in (x, exponent))
    return elementwise.pow(x, exponent)


def _frexp(x: Tensor) -> tuple[Tensor, Tensor]:
    mantissa, exponent = np.frexp(_numpy(x))
    return _like(x, mantissa), _like(x, exponent.astype(np.int32))


def _heaviside(x: Tensor, values: Tensor) -> Tensor:
    return indexing.where(x == 0, values, (x > 0).to(x.dtype))


def _angle(x: Tensor) -> Tensor:
    if x.dtype.kind == "c":
        return elementwise.atan2(elementwise.imag(x), elementwise.real(x))
    x = _floating(x)
    return indexing.where(x.isnan(), x, (x < 0).to(x.dtype) * math.pi)


def _log_add_exp2(x: Tensor, y: Tensor) -> Tensor:
    x, y = (v.to((x + y).dtype) * math.log(2) for v in (x, y))
    return elementwise.logaddexp(x, y) / math.log(2)


def _deg2rad(factor: float) -> Callable:
    return lambda x: _floating(x) * factor


def _hardshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    return functional.hardshrink(x, lambd)


def _rounded_shift(left: bool) -> Callable:
    shift = elementwise.bitwise_left_shift if left else elementwise.bitwise_right_shift
    return lambda x, other: shift(x, other)


# --- reductions and products ------------------------------------------------------------------------------------------
def _cov(x: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
    if fweights is not None or aweights is not None:
        raise NotImplementedError("`cov` has no weights here; compute them by hand")
    rows = x.reshape(1, -1) if x.ndim < 2 else x
    centred = rows - reductions.mean(rows, axis=1, keepdims=True)
    found = centred @ centred.T / max(rows.shape[1] - correction, 0)
    return found.squeeze() if x.ndim < 2 else found


def _corrcoef(x: Tensor) -> Tensor:
    if x.ndim < 2:
        return x.sum() * 0 + (1 if x.numel() > 1 else math.nan)
    c = _cov(x)
    scale = c.diag().sqrt()
    return (c / scale[:, None] / scale[None]).clip(-1, 1)


def _histc(x: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    raw = _numpy(x).ravel()
    low, high = (min, max) if min != max else ((float(raw.min()), float(raw.max())) if raw.size else (0.0, 0.0))
    low, high = (low, high) if low != high else (low - 1, high + 1)
    return _like(x, np.histogram(raw, bins, (low, high))[0].astype(raw.dtype))


def _logcumsumexp(x: Tensor, dim: int) -> Tensor:
    top = reductions.max(x.detach(), axis=dim, keepdims=True)
    return (x - top).exp().cumsum(dim).log() + top


def _diff(x: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    x = manipulation.concat([t for t in (prepend, x, append) if t is not None], axis=dim)
    for _ in range(n):
        length = x.shape[dim]
        later, earlier = x.narrow(dim, 1, length - 1), x.narrow(dim, 0, length - 1)
        x = later ^ earlier if x.dtype == np.bool_ else later - earlier
    return x


def _trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1.0, dim: int = -1) -> Tensor:
    n = y.shape[dim]
    widths: Any = dx if x is None else _diff(x, dim=-1 if x.ndim == 1 else dim)
    if isinstance(widths, Tensor) and widths.ndim == 1:
        shape = [1] * y.ndim
        shape[dim] = -1
        widths = widths.reshape(shape)
    return reductions.sum((y.narrow(dim, 1, n - 1) + y.narrow(dim, 0, n - 1)) * widths / 2, axis=dim)


def _renorm(x: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    axes = tuple(i for i in range(x.ndim) if i != dim % x.ndim)
    norms = (x.abs() ** p).sum(axis=axes, keepdims=True) ** (1 / p)
    return x * indexing.where(norms > maxnorm, maxnorm / (norms + 1e-7), norms * 0 + 1)


def _mixed(product: Callable) -> Callable:
    """beta · self + alpha · product(a, b), as `addmv`."""

    def call(x: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        found = product(a, b) if alpha == 1 else alpha * product(a, b)
        return found if beta == 0 else (x if beta == 1 else beta * x) + found

    return call


def _kron(a: Tensor, b: Tensor) -> Tensor:
    n = max(a.ndim, b.ndim)
    a, b = (t.reshape((1,) * (n - t.ndim) + t.shape) for t in (a, b))
    shape = tuple(p * q for p, q in zip(a.shape, b.shape))
    a, b = a.reshape([k for p in a.shape for k in (p, 1)]), b.reshape([k for q in b.shape for k in (1, q)])
    return (a * b).reshape(shape)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return a * b if not (a.ndim and b.ndim) else products.tensordot(a, b, axes=((-1,), (-1,)))


def _matrix_exp(x: Tensor) -> Tensor:
    """Taylor's series of x / 2ˢ, squared s times."""
    size = float(np.abs(_numpy(x)).sum(-2).max(initial=0))
    s = max(0, math.ceil(math.log2(size)) + 1) if size > 0 else 0
    a = x / 2**s
    eye = x.detach() * 0 + _like(x, np.eye(x.shape[-1], dtype=x.dtype))
    found = term = eye
    for k in range(1, 19):
        term = term @ a / k
        found = found + term
    for _ in range(s):
        found = found @ found
    return found


def _median_of_numbers(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    raw = _numpy(x)
    flat = raw.reshape(-1) if dim is None else np.moveaxis(raw, dim, -1)
    order = np.argsort(flat, -1, kind="stable")  # NaN last
    count = np.maximum((~np.isnan(flat)).sum(-1, keepdims=True), 1)
    places = np.take_along_axis(order, (count - 1) // 2, -1)
    if dim is None:
        return x.reshape(-1)[int(places[0])]
    indices = _like(x, np.moveaxis(places, -1, dim).copy())
    values = indexing.take_along_axis(x, indices, axis=dim)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


def _is_real(x: Tensor) -> Tensor:
    return elementwise.imag(x) == 0 if x.dtype.kind == "c" else (x == x) | True


# --- functions --------------------------------------------------------------------------------------------------------
def _bucketize(x: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    raw = np.searchsorted(_numpy(boundaries), _numpy(x) if isinstance(x, Tensor) else x, "right" if right else "left")
    return _like(boundaries, raw.astype(np.int32 if out_int32 else np.int64))


def _searchsorted(
    sorted_sequence: Tensor, x: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None
) -> Tensor:
    side = side or ("right" if right else "left")
    keys, raw = _numpy(sorted_sequence), _numpy(x) if isinstance(x, Tensor) else np.asarray(x)
    if keys.ndim == 1:
        found = np.searchsorted(keys, raw, side)  # type: ignore[call-overload]
    else:
        pairs = zip(keys.reshape(-1, keys.shape[-1]), raw.reshape(-1, raw.shape[-1]))
        found = np.stack([np.searchsorted(k, v, side) for k, v in pairs]).reshape(raw.shape)  # type: ignore[call-overload]
    return _like(sorted_sequence, found.astype(np.int32 if out_int32 else np.int64))


def _complex(real: Tensor, imag: Tensor) -> Tensor:
    a, b = _numpy(real), _numpy(imag)
    found = np.empty(np.broadcast_shapes(a.shape, b.shape), np.complex64 if a.dtype == np.float32 else np.complex128)
    found.real, found.imag = a, b
    return _like(real, found)


def _polar(size: Tensor, angle: Tensor) -> Tensor:
    return _complex(size * angle.cos(), size * angle.sin())


def _view_as_complex(x: Tensor) -> Tensor:
    raw = np.ascontiguousarray(_numpy(x))
    return _like(x, raw.view(np.complex64 if raw.dtype == np.float32 else np.complex128)[..., 0])


def _view_as_real(x: Tensor) -> Tensor:
    return manipulation.stack([elementwise.real(x), elementwise.imag(x)], axis=-1)


def _vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    powers = range(len(x) if N is None else N)
    columns = [x**p if p else x.new_ones(*x.shape) for p in powers]
    return manipulation.stack(columns if increasing else columns[::-1], axis=-1)


def _logspace(start: float, end: float, steps: int, base: float = 10.0, **options: Any) -> Tensor:
    found = np.asarray(base, np.float64) ** np.linspace(start, end, steps)
    return tensor(found.tolist(), **options)


def _window(of: Callable[[np.ndarray], np.ndarray]) -> Callable:
    def make(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
        n = window_length if periodic else window_length - 1
        found = of(2 * np.pi * np.arange(window_length) / max(n, 1)) if window_length > 1 else np.ones(window_length)
        return tensor(found.tolist(), **options)

    return make


class LeastSquares(NamedTuple):
    """What `lstsq` finds.

    Parameters
    ----------
    solution : Tensor
        X of least ‖A X − B‖.
    residuals, rank, singular_values : Tensor
        PyTorch's; empty here, but for the rank.
    """

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def _lstsq(a: Tensor, b: Tensor, rcond: Any = None, *, driver: Any = None) -> LeastSquares:
    nothing = a.new_zeros(0)
    return LeastSquares(linalg.pinv(a) @ b, nothing, linalg.matrix_rank(a), nothing)


def _norm(x: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Of a matrix where there are two axes and an order, else of a vector."""
    x = _floating(x if dtype is None else x.to(dtype))
    axes = dim if dim is None or isinstance(dim, int) else tuple(dim)
    if ord is not None and ((axes is None and x.ndim == 2) or (isinstance(axes, tuple) and len(axes) == 2)):
        return _matrix_norm(x, ord, axes or (-2, -1), keepdim)
    return linalg.vector_norm(x, axis=axes, keepdims=keepdim, ord=2 if ord is None else ord)


def _matrix_norm(
    x: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    x = _floating(x if dtype is None else x.to(dtype))
    axes = tuple(d % x.ndim for d in dim)
    found = linalg.matrix_norm(manipulation.moveaxis(x, axes, (-2, -1)), ord=ord)
    for axis in sorted(axes) if keepdim else ():
        found = found.unsqueeze(axis)
    return found


def _vector_norm(x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    x = _floating(x if dtype is None else x.to(dtype))
    return linalg.vector_norm(x, axis=tuple(dim) if isinstance(dim, list) else dim, keepdims=keepdim, ord=ord)


def _solve_triangular(a: Tensor, b: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    a = a.triu() if upper else a.tril()
    if unitriangular:
        a = a - a.diagonal(0, -2, -1).diag_embed() + _like(a, np.eye(a.shape[-1], dtype=a.dtype))
    if left:
        return linalg.solve(a, b)
    return linalg.solve(a.transpose(-2, -1), b.transpose(-2, -1)).transpose(-2, -1)


def _cond(x: Tensor, p: Any = None) -> Tensor:
    if p is None or p == 2:
        s = linalg.svdvals(x)
        return s[..., 0] / s[..., -1]
    return _matrix_norm(x, p) * _matrix_norm(linalg.inv(x), p)


def _eig(x: Tensor) -> tuple[Tensor, Tensor]:
    """Not differentiable here."""
    found = np.linalg.eig(_numpy(x))
    kind = np.complex64 if x.dtype == np.float32 else np.complex128
    return _like(x, found[0].astype(kind)), _like(x, found[1].astype(kind))


METHODS: dict[str, Callable] = {
    "lgamma": lgamma,
    "digamma": digamma,
    "polygamma": lambda x, n: _polygamma_of(n, x),
    "mvlgamma": _mvlgamma,
    "erfinv": erfinv,
    "erfc": erfc,
    "logit": _logit,
    "xlogy": _xlogy,
    "sinc": _sinc,
    "exp2": lambda x: (_floating(x) * math.log(2)).exp(),
    "frac": lambda x: x - x.trunc(),
    "fmax": _nan_ignoring(elementwise.maximum),
    "fmin": _nan_ignoring(elementwise.minimum),
    "sgn": _sign,
    "gcd": _integers(np.gcd),
    "lcm": _integers(np.lcm),
    "float_power": _float_power,
    "frexp": _frexp,
    "ldexp": lambda x, other: x * 2.0 ** _floating(other),
    "heaviside": _heaviside,
    "angle": _angle,
    "conj_physical": lambda x: x.conj(),
    "resolve_conj": lambda x: x,
    "resolve_neg": lambda x: x,
    "real": lambda x: elementwise.real(x) if x.dtype.kind == "c" else x,
    "imag": elementwise.imag,
    "isreal": _is_real,
    "isposinf": lambda x: x.isinf() & (x > 0),
    "isneginf": lambda x: x.isinf() & (x < 0),
    "is_nonzero": lambda x: bool(x.item()),
    "deg2rad": _deg2rad(math.pi / 180),
    "rad2deg": _deg2rad(180 / math.pi),
    "logaddexp2": _log_add_exp2,
    "bitwise_left_shift": _rounded_shift(True),
    "bitwise_right_shift": _rounded_shift(False),
    "hardshrink": _hardshrink,
    "prelu": functional.prelu,
    "cov": _cov,
    "corrcoef": _corrcoef,
    "histc": _histc,
    "logcumsumexp": _logcumsumexp,
    "diff": _diff,
    "renorm": _renorm,
    "addmv": _mixed(products.matmul),
    "addbmm": _mixed(lambda a, b: reductions.sum(products.matmul(a, b), axis=0)),
    "addr": _mixed(lambda a, b: a[:, None] * b[None]),
    "ger": lambda a, b: a[:, None] * b[None],
    "kron": _kron,
    "inner": _inner,
    "vdot": lambda a, b: reductions.sum(a.conj() * b if a.dtype.kind == "c" else a * b),
    "matrix_power": linalg.matrix_power,
    "matrix_exp": _matrix_exp,
    "logdet": lambda x: linalg.det(x).log(),
    "slogdet": linalg.slogdet,
    "nanmedian": _median_of_numbers,
    "cholesky": lambda x, upper=False: linalg.cholesky(x, upper=upper),
}
WRITTEN = (
    "absolute acos acosh addbmm addmv addr arccos arccosh arcsin arcsinh arctan2 arctan arctanh asin asinh atan2"
    " atan atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor copysign"
    " cosh cumprod cumsum deg2rad digamma divide eq erf erfc erfinv exp2 fix float_power floor_divide frac gcd ge"
    " greater greater_equal gt heaviside hypot index_reduce lcm ldexp le less less_equal lgamma logical_and"
    " logical_not logical_or logical_xor logit lt masked_scatter multiply ne negative nextafter not_equal rad2deg"
    " renorm scatter_reduce sgn sign sinc sinh subtract true_divide xlogy"
)
INPLACE = WRITTEN.split()
FUNCTIONS: dict[str, Callable] = {
    "polygamma": _polygamma_of,
    "bucketize": _bucketize,
    "searchsorted": _searchsorted,
    "complex": _complex,
    "polar": _polar,
    "view_as_complex": _view_as_complex,
    "view_as_real": _view_as_real,
    "vander": _vander,
    "logspace": _logspace,
    "trapezoid": _trapezoid,
    "trapz": _trapezoid,
    "chain_matmul": lambda *m: functools.reduce(products.matmul, m),
    "rsub": lambda x, other, *, alpha=1: other - alpha * x,
    "hann_window": _window(lambda t: 0.5 - 0.5 * np.cos(t)),
    "hamming_window": _window(lambda t: 0.54 - 0.46 * np.cos(t)),
    "blackman_window": _window(lambda t: 0.42 - 0.5 * np.cos(t) + 0.08 * np.cos(2 * t)),
}


def multi_dot(matrices: Sequence[Tensor]) -> Tensor:
    """The product of several matrices, from the left.

    Parameters
    ----------
    matrices : sequence of Tensor
        Which.

    Returns
    -------
    Tensor
        Their product.
    """
    return functools.reduce(products.matmul, matrices)


LINALG: dict[str, Any] = {
    "norm": _norm,
    "matrix_norm": _matrix_norm,
    "vector_norm": _vector_norm,
    "multi_dot": multi_dot,
    "lstsq": _lstsq,
    "solve_triangular": _solve_triangular,
    "cond": _cond,
    "matrix_exp": _matrix_exp,
    "vander": _vander,
    "eig": _eig,
    "eigvals": lambda x: _eig(x)[0],
    "inv_ex": lambda x, **_options: (linalg.inv(x), x.new_zeros(*x.shape[:-2]).to("int32")),
    "cholesky_ex": lambda x, **_options: (linalg.cholesky(x), x.new_zeros(*x.shape[:-2]).to("int32")),
    "LinAlgError": np.linalg.LinAlgError,
}
