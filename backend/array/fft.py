"""The array API's Fourier transforms, passed through to the array library (not differentiable)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from ..device import dtypes
from ..device.devices import canonical, namespace
from ..tape.autograd import Primitive
from ..tape.tensor import Axes, DType, Tensor, wrap
from .documentation import DOC, EXAMPLES, publish, run_of
from .elementwise import _floats
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
NOTES = "\nNotes\n-----\nNot differentiable.\n"


def _transform(name: str, meaning: str, returns: str, length: str = CUT) -> Primitive[..., Tensor]:
    def function(xp: Any, x: Any, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Any:
        return getattr(xp.fft, name)(_floats(xp, x), n=n, axis=axis, norm=norm), None

    return _publish(function, name, meaning, X + ONE_AXIS.format(length) + NORM, f"{returns} along `axis`.")


def _transform_n(name: str, meaning: str, returns: str, length: str = CUT_N) -> Primitive[..., Tensor]:
    def function(xp: Any, x: Any, /, *, s: Lengths = None, axes: Lengths = None, norm: Norm = "backward") -> Any:
        if s is not None and axes is None:  # NumPy deprecates leaving this to be guessed
            axes = tuple(range(x.ndim - len(s), x.ndim))
        return getattr(xp.fft, name)(_floats(xp, x), s=s, axes=axes, norm=norm), None

    return _publish(function, name, meaning, X + SEVERAL.format(length) + NORM, f"{returns} along the last of `axes`.")


def _shift(name: str, meaning: str) -> Primitive[..., Tensor]:
    def function(xp: Any, x: Any, /, *, axes: Axes = None) -> Any:
        return getattr(xp.fft, name)(x, axes=axes), None

    return _publish(function, name, meaning, SHIFTED, "Of the shape and dtype of x.")


def _publish(function: Callable, name: str, meaning: str, parameters: str, returns: str) -> Any:
    example = run_of(f"fft.{name}", EXAMPLES[f"fft.{name}"])
    doc = DOC.format(meaning=meaning, parameters=parameters, returns=returns, notes=NOTES, example=example)
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
