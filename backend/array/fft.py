"""The array API's Fourier transforms, passed through to the array library.

They are linear: the gradient goes through the transposed matrix. Of `fft` that is `fft` itself, as exp(−2πi jk/n) is
symmetric. Half a spectrum stands for a whole one: what `rfft` leaves out has no gradient, and each number that `irfft` reads
stands for two, but the first and, for an even n, the last. (Gradients of complex numbers: see `unbroadcast`.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from ..device import dtypes
from ..device.devices import canonical, namespace
from ..tape.autograd import Primitive
from ..tape.tensor import Axes, DType, Tensor, wrap
from .documentation import DOC, EXAMPLES, publish, run_of
from .elementwise import _floats, real_if
from .spellings import DIM, spelled

__all__ = [
    "fft",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfftn",
    "rfft",
    "rfftfreq",
    "rfftn",
]

Norm = Literal["backward", "ortho", "forward"]
Lengths = Sequence[int] | None

# What the parameters are. Half a spectrum leaves open how many real numbers it has come from.
X = "x : Tensor\n    Of a numeric dtype; integers become the default one.\n"
ONE_AXIS = "n : int, optional\n    {}\naxis : int, default -1\n    What is transformed.\n"
CUT = "x is cut, or padded with zeros, to this length; that of x if None."
RESULT = "Length of the result; 2 (m − 1) for m numbers if None."
SEVERAL = (
    "s : sequence of int, optional\n    {}\n"
    "axes : sequence of int, optional\n    What is transformed: if None, as many of the last axes as `s` has, or all.\n"
)
CUT_N = "x is cut, or padded with zeros, to these lengths; those of x if None."
RESULT_N = "Lengths of the result; those of x if None, but 2 (m − 1) for m numbers along the last axis."
NORM = """norm : {"backward", "ortho", "forward"}, default "backward"
    What is divided by n: the inverse, both by √n, or the forward transform."""
SHIFTED = (
    "x : Tensor\n    Of any dtype.\naxes : int, tuple of int or None, default None\n    What is shifted; all if None."
)


def _fit(xp: Any, g: Any, axis: int, n: int) -> Any:
    """Cut, or padded with zeros, to the length n."""
    have = g.shape[axis]
    if n < have:
        return g[(slice(None),) * (axis % g.ndim) + (slice(0, n), ...)]
    shape = tuple(n - have if i == axis % g.ndim else m for i, m in enumerate(g.shape))
    return xp.concat([g, xp.zeros(shape, dtype=g.dtype, device=g.device)], axis=axis) if n > have else g


def _doubled(xp: Any, g: Any, axis: int, n: int) -> Any:
    """The numbers of half a spectrum of n, times 2 where they stand for two."""
    m, axis = g.shape[axis], axis % g.ndim
    twice = [1.0 if k == 0 or 2 * k == n else 2.0 for k in range(m)]
    return g * xp.asarray(twice, dtype=xp.real(g).dtype, device=g.device).reshape((m,) + (1,) * (g.ndim - 1 - axis))


def _pullback(xp: Any, name: str, x: Any, n: Sequence[int], axes: Sequence[int], norm: str) -> Any:
    """Of the transform `name` over `axes`, n[i] points along each, the last of which may be half a spectrum."""
    kind, last = name.rstrip("2n"), axes[-1]
    forward = kind in ("fft", "rfft", "hfft")

    def of_whole(g: Any, over: Sequence[int]) -> Any:
        for axis in over:
            g = (xp.fft.fft if forward else xp.fft.ifft)(g, axis=axis, norm=norm)
        return g

    def grad_x(g: Any) -> Any:
        if kind in ("irfft", "hfft"):
            half = xp.fft.rfft if forward else xp.fft.ihfft
            g = of_whole(_doubled(xp, half(g, axis=last, norm=norm), last, n[-1]), axes[:-1])
        else:
            g = of_whole(_fit(xp, g, last, n[-1]), axes)
        for axis in axes:
            g = _fit(xp, g, axis, x.shape[axis])
        return xp.astype(real_if(xp, g, x), x.dtype)

    return (grad_x,)


def _transform(name: str, meaning: str, returns: str, length: str = CUT) -> Primitive[..., Tensor]:
    def function(xp: Any, x: Any, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Any:
        x = _floats(xp, x)
        y = getattr(xp.fft, name)(x, n=n, axis=axis, norm=norm)
        length = n if n is not None else y.shape[axis] if name in ("irfft", "hfft") else x.shape[axis]
        return y, _pullback(xp, name, x, (length,), (axis,), norm)

    return _publish(function, name, meaning, X + ONE_AXIS.format(length) + NORM, f"{returns} along `axis`.")


def _transform_n(name: str, meaning: str, returns: str, length: str = CUT_N) -> Primitive[..., Tensor]:
    def function(xp: Any, x: Any, /, *, s: Lengths = None, axes: Lengths = None, norm: Norm = "backward") -> Any:
        if s is not None and axes is None:  # NumPy deprecates leaving this to be guessed
            axes = tuple(range(x.ndim - len(s), x.ndim))
        axes = tuple(range(x.ndim)) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
        x = _floats(xp, x)
        y = getattr(xp.fft, name)(x, s=s, axes=axes, norm=norm)
        lengths = tuple(s) if s is not None else [(y if name == "irfftn" else x).shape[axis] for axis in axes]
        return y, _pullback(xp, name, x, lengths, axes, norm)

    return _publish(function, name, meaning, X + SEVERAL.format(length) + NORM, f"{returns} along the last of `axes`.")


def _shift(name: str, meaning: str) -> Primitive[..., Tensor]:
    def function(xp: Any, x: Any, /, *, axes: Axes = None) -> Any:
        back = xp.fft.ifftshift if name == "fftshift" else xp.fft.fftshift
        return getattr(xp.fft, name)(x, axes=axes), (lambda g: back(g, axes=axes),)

    return _publish(function, name, meaning, SHIFTED, "Of the shape and dtype of x.")


def _publish(function: Callable, name: str, meaning: str, parameters: str, returns: str) -> Any:
    example = run_of(f"fft.{name}", EXAMPLES[f"fft.{name}"])
    doc = DOC.format(meaning=meaning, parameters=parameters, returns=returns, notes="", example=example)
    return spelled({"dim": "axes"} if "n" in name[-1:] or "shift" in name else DIM)(publish(function, name, doc))


fft = _transform("fft", "Discrete Fourier transform along one axis, y[k] = Σⱼ x[j] exp(−2πi jk/n)", "n complex numbers")
ifft = _transform("ifft", "Inverse of `fft`", "n complex numbers")
rfft = _transform("rfft", "The half of `fft` of real numbers: frequencies 0 … n/2", "n//2 + 1 complex numbers")
irfft = _transform("irfft", "Inverse of `rfft`", "n real numbers", RESULT)
hfft = _transform("hfft", "`fft` of a signal with Hermitian symmetry: a real spectrum", "n real numbers", RESULT)
ihfft = _transform("ihfft", "Inverse of `hfft`", "n//2 + 1 complex numbers")
fftn = _transform_n("fftn", "Discrete Fourier transform along several axes", "n complex numbers")
ifftn = _transform_n("ifftn", "Inverse of `fftn`", "n complex numbers")
rfftn = _transform_n(
    "rfftn", "The half of `fftn` of real numbers: frequencies 0 … n/2 of the last axis", "n//2 + 1 complex numbers"
)
irfftn = _transform_n("irfftn", "Inverse of `rfftn`", "n real numbers", RESULT_N)
fftshift = _shift("fftshift", "The zero frequency moved to the middle")
ifftshift = _shift("ifftshift", "Inverse of `fftshift`")


def _frequencies(name: str, n: int, d: float, dtype: DType, device: str | None) -> Tensor:
    device = canonical(device)
    xp = namespace(device)
    dtype = dtypes.get_default_dtype() if dtype is None else dtype
    return wrap(xp.astype(getattr(xp.fft, name)(n, d=d), dtypes.native(xp, dtype)), device)


def fftfreq(n: int, /, *, d: float = 1.0, dtype: DType = None, device: str | None = None) -> Tensor:
    """Frequencies of the entries of an n-point `fft`, in cycles per unit of the sample spacing.

    Parameters
    ----------
    n : int
        Length of the transform.
    d : float, default 1.0
        Spacing of the samples.
    dtype : dtype, optional
        A floating-point dtype; the default one if None.
    device : str, optional
        Where to; the default device if None.

    Returns
    -------
    Tensor
        0, 1, …, then the negative ones, over n d: shape (n,).

    Examples
    --------
    >>> weft.fft.fftfreq(4)
    tensor([ 0.  ,  0.25, -0.5 , -0.25])
    """
    return _frequencies("fftfreq", n, d, dtype, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: DType = None, device: str | None = None) -> Tensor:
    """Frequencies of the entries of an n-point `rfft`, in cycles per unit of the sample spacing.

    Parameters
    ----------
    n : int
        Length of the transform's input.
    d : float, default 1.0
        Spacing of the samples.
    dtype : dtype, optional
        A floating-point dtype; the default one if None.
    device : str, optional
        Where to; the default device if None.

    Returns
    -------
    Tensor
        0, 1, …, n//2, over n d: shape (n//2 + 1,).

    Examples
    --------
    >>> weft.fft.rfftfreq(4)
    tensor([0.  , 0.25, 0.5 ])
    """
    return _frequencies("rfftfreq", n, d, dtype, device)
