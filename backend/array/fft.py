"""The array API's Fourier transforms, passed through to the array library (not differentiable)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..device import dtypes
from ..device.devices import canonical, namespace
from ..tape.autograd import primitive
from ..tape.tensor import Tensor, wrap
from .elementwise import _floats

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


def _transform(name: str, meaning: str) -> Callable:
    def function(xp: Any, x: Any, /, *, n: Any = None, axis: int = -1, norm: str = "backward") -> Any:
        return getattr(xp.fft, name)(_floats(xp, x), n=n, axis=axis, norm=norm), None

    return _publish(function, name, meaning)


def _transform_n(name: str, meaning: str) -> Callable:
    def function(xp: Any, x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Any:
        if s is not None and axes is None:  # NumPy deprecates leaving this to be guessed
            axes = tuple(range(x.ndim - len(s), x.ndim))
        return getattr(xp.fft, name)(_floats(xp, x), s=s, axes=axes, norm=norm), None

    return _publish(function, name, meaning)


def _shift(name: str, meaning: str) -> Callable:
    def function(xp: Any, x: Any, /, *, axes: Any = None) -> Any:
        return getattr(xp.fft, name)(x, axes=axes), None

    return _publish(function, name, meaning)


def _publish(function: Callable, name: str, meaning: str) -> Callable:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{meaning} (array API standard; not differentiable)."
    return primitive(function)


fft = _transform("fft", "Discrete Fourier transform along one axis")
ifft = _transform("ifft", "Inverse of `fft`")
rfft = _transform("rfft", "`fft` of real numbers: the non-negative frequencies")
irfft = _transform("irfft", "Inverse of `rfft`")
hfft = _transform("hfft", "`fft` of a signal with Hermitian symmetry: a real spectrum")
ihfft = _transform("ihfft", "Inverse of `hfft`")
fftn = _transform_n("fftn", "Discrete Fourier transform along several axes")
ifftn = _transform_n("ifftn", "Inverse of `fftn`")
rfftn = _transform_n("rfftn", "`fftn` of real numbers")
irfftn = _transform_n("irfftn", "Inverse of `rfftn`")
fftshift = _shift("fftshift", "Zero frequency moved to the middle")
ifftshift = _shift("ifftshift", "Inverse of `fftshift`")


def _frequencies(name: str, n: int, d: float, dtype: Any, device: str | None) -> Tensor:
    device = canonical(device)
    xp = namespace(device)
    dtype = dtypes.get_default_dtype() if dtype is None else dtype
    return wrap(xp.astype(getattr(xp.fft, name)(n, d=d), dtypes.native(xp, dtype)), device)


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: str | None = None) -> Tensor:
    """Frequencies, in cycles per unit of the sample spacing `d`, of the entries of an n-point `fft`."""
    return _frequencies("fftfreq", n, d, dtype, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: str | None = None) -> Tensor:
    """Frequencies of the entries of an n-point `rfft`."""
    return _frequencies("rfftfreq", n, d, dtype, device)
