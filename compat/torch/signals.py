"""Complex numbers made of real ones, windows, and short-time Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.array import elementwise, fft, reductions
from ...backend.tape.tensor import Tensor, wrap
from ...layers import functional
from .complexes import complex_of, view_as_complex, view_as_real
from .making import tensor
from .strided import unfold

__all__ = ["FUNCTIONS", "METHODS"]


def _complex(real: Tensor, imag: Tensor) -> Tensor:
    if real.dtype != imag.dtype or real.dtype not in (np.float32, np.float64):
        raise RuntimeError(f"`real` and `imag` must both be float32 or float64, got {real.dtype} and {imag.dtype}")
    shape = np.broadcast_shapes(real.shape, imag.shape)
    return complex_of(*(t if t.shape == shape else t.expand(*shape) for t in (real, imag)))


def _polar(size: Tensor, angle: Tensor) -> Tensor:
    return _complex(size * angle.cos(), size * angle.sin())


def _window(of: Callable[[np.ndarray], np.ndarray]) -> Callable:
    def make(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
        n = window_length if periodic else window_length - 1
        found = of(2 * np.pi * np.arange(window_length) / max(n, 1)) if window_length > 1 else np.ones(window_length)
        return tensor(found.tolist(), **options)

    return make


# --- short-time Fourier transforms ------------------------------------------------------------------------------------
def _frame(like: Tensor, n_fft: int, win_length: int | None, window: Tensor | None) -> Tensor:
    """The window, in the middle of n_fft points."""
    width = n_fft if win_length is None else win_length
    if not 0 < width <= n_fft:
        raise RuntimeError(f"`win_length` must be in (0, n_fft = {n_fft}], got {width}")
    given = like.new_ones(width) if window is None else window
    if given.shape != (width,):
        raise RuntimeError(f"`window` must have win_length = {width} elements, got the shape {tuple(given.shape)}")
    left = (n_fft - width) // 2
    return functional.pad(given, (left, n_fft - width - left))


def _stft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Tensor | None = None,
    center: bool = True, pad_mode: str = "reflect", normalized: bool = False, onesided: bool | None = None,
    return_complex: bool | None = None,
) -> Tensor:  # fmt: skip
    """X[k, m] = Σ_t window[t] x[t + m hop] exp(−2πi k t / n), (..., frequencies, frames)."""
    is_complex = input.dtype.kind == "c" or (window is not None and window.dtype.kind == "c")
    if return_complex is None and not is_complex:
        raise RuntimeError(
            "`return_complex` must be given for real inputs, got None; return_complex=True is PyTorch's advice"
        )
    x = input.reshape(-1, input.shape[-1])
    if center:
        x = functional.pad(x[:, None], (n_fft // 2, n_fft // 2), mode=pad_mode)[:, 0]
    if not 0 < n_fft <= x.shape[-1]:
        raise RuntimeError(f"`n_fft` must be in (0, {x.shape[-1]}], the length of the padded input, got {n_fft}")
    frames = unfold(x, -1, n_fft, hop_length or n_fft // 4) * _frame(input, n_fft, win_length, window)
    whole = is_complex if onesided is None else not onesided
    found = (fft.fft if whole else fft.rfft)(frames).transpose(-2, -1)
    found = (found * n_fft**-0.5 if normalized else found).reshape(*input.shape[:-1], *found.shape[-2:])
    return found if return_complex or return_complex is None else view_as_real(found)


def _overlapped(frames: Tensor, hop: int) -> Tensor:
    """Frames (N, frames, n) added up, each `hop` later than the one before."""
    count, n = frames.shape[-2:]
    places = (np.arange(count)[:, None] * hop + np.arange(n)).ravel()
    total = frames.new_zeros(len(frames), n + hop * (count - 1))
    return total.index_add(1, wrap(places, "cpu").to(frames.device), frames.reshape(len(frames), -1))


def _istft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Tensor | None = None,
    center: bool = True, normalized: bool = False, onesided: bool | None = None, length: int | None = None,
    return_complex: bool = False,
) -> Tensor:  # fmt: skip
    """The signal of least squared distance: Σ window · frame / Σ window², each at its place."""
    if input.dtype.kind != "c":
        raise RuntimeError(f"`input` of istft must be complex, got {input.dtype}; use torch.view_as_complex")
    hop, half = hop_length or n_fft // 4, n_fft // 2
    whole = input.shape[-2] != half + 1 if onesided is None else not onesided
    if input.shape[-2] != (n_fft if whole else half + 1):
        raise RuntimeError(f"`input` must have {n_fft if whole else half + 1} frequencies, got {input.shape[-2]}")
    spectra = input.reshape(-1, *input.shape[-2:]).transpose(-2, -1)
    frames = fft.ifft(spectra) if whole else fft.irfft(spectra, n=n_fft)
    frames = frames if return_complex or not whole else elementwise.real(frames)
    shape = _frame(frames if frames.dtype.kind == "f" else elementwise.real(frames), n_fft, win_length, window)
    signal = _overlapped(frames * (shape * (n_fft**0.5 if normalized else 1.0)), hop)
    weight = _overlapped((shape * shape).expand(1, frames.shape[1], n_fft), hop)
    start = half if center else 0
    end = signal.shape[-1] - start if length is None else min(start + length, signal.shape[-1])
    signal, weight = signal[:, start:end], weight[:, start:end]
    if not weight.shape[-1] or float(reductions.min(weight.detach().abs())) < 1e-11:
        raise RuntimeError(
            "`window` must overlap everywhere, got a place where Σ window² is 0; take a shorter hop_length"
        )
    signal = signal / weight
    if length is not None and length > signal.shape[-1]:
        signal = functional.pad(signal, (0, length - signal.shape[-1]))
    return signal.reshape(*input.shape[:-2], signal.shape[-1])


METHODS: dict[str, Callable] = {"stft": _stft, "istft": _istft}
FUNCTIONS: dict[str, Callable] = {
    "complex": _complex,
    "polar": _polar,
    "view_as_complex": view_as_complex,
    "view_as_real": view_as_real,
    "hann_window": _window(lambda t: 0.5 - 0.5 * np.cos(t)),
    "hamming_window": _window(lambda t: 0.54 - 0.46 * np.cos(t)),
    "blackman_window": _window(lambda t: 0.42 - 0.5 * np.cos(t) + 0.08 * np.cos(2 * t)),
}
