"""Sound: waveforms stretched, shifted and with noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.device import dtypes
from . import affine, checks
from .batch import Batch
from .spectrogram import floating
from .transform import Augmentation

__all__ = ["AddNoise", "TimeShift", "TimeStretch"]


class TimeStretch(Augmentation):
    r"""Play waveforms faster or slower at the same pitch, each at a rate of its own: a phase vocoder.

    Of the short-time Fourier transform S(t) at steps of a quarter window, magnitudes are interpolated at t = 0, r, 2r, …, and
    phases go on by what they went on there: φ ← φ + ∠S(⌊t⌋ + 1) − ∠S(⌊t⌋).

    Parameters
    ----------
    rate : (float, float), default (0.8, 1.25)
        The range of r, above 0: 2 is twice as fast.
    n_fft : int, default 512
        Samples of a window, a multiple of 4.

    Raises
    ------
    ValueError
        If a parameter is out of range; when called, if the inputs are no floating-point numbers (N, [C,] T).

    Notes
    -----
    The length stays: what is shorter afterwards ends in silence, what is longer is cut off. torchaudio's class of this
    name takes a spectrogram.

    References
    ----------
    .. [1] Flanagan, Golden, "Phase vocoder", Bell System Technical Journal 45 (1966).

    Examples
    --------
    >>> weft.data.augment.TimeStretch()(np.zeros((2, 16000), np.float32)).shape
    (2, 16000)
    """

    def __init__(self, rate: tuple[float, float] = (0.8, 1.25), n_fft: int = 512):
        self.rate, self.n_fft = checks.interval("rate", rate, 1e-3), checks.whole("n_fft", n_fft, 4)
        if n_fft % 4:
            raise ValueError(f"`n_fft` must be a multiple of 4, got {n_fft}")

    def _apply(self, batch: Batch) -> None:
        x, xp = _waves(batch), batch.xp
        rate = batch.uniform(*self.rate)
        shape, dtype = x.shape, x.dtype
        if not x.size:
            return
        channels = int(np.prod(shape[1:-1]))
        waves = xp.reshape(x, (shape[0] * channels, shape[-1]))
        stretched = xp.reshape(self._stretched(batch, waves, np.repeat(rate, channels)), shape)
        same = batch.put((rate == 1).reshape(-1, *[1] * (len(shape) - 1)))
        batch.inputs = xp.where(same, x, xp.astype(stretched, dtype))

    def _stretched(self, batch: Batch, x: Any, rate: np.ndarray) -> Any:
        xp, (n, length), size = batch.xp, x.shape, self.n_fft
        hop, window = size // 4, _hann(size)
        count = -(-length // hop) + 1  # frames: the middle of frame t is at sample t · hop
        ends = [batch.put(np.zeros((n, k), x.dtype)) for k in (2 * hop, (count + 1) * hop - length)]
        blocks = xp.reshape(xp.concat([ends[0], x, ends[1]], axis=1), (n, count + 3, hop))
        frames = xp.concat([blocks[:, i : i + count] for i in range(4)], axis=2)
        spectrum = xp.fft.rfft(frames * batch.put(window.astype(x.dtype)), axis=2)
        magnitude, phase = xp.abs(spectrum), xp.atan2(xp.imag(spectrum), xp.real(spectrum))

        time = np.arange(count) * rate[:, None]
        before = np.clip(np.floor(time), 0, count - 2).astype(int)
        share = batch.put((time - before)[..., None].astype(x.dtype))
        sounds = batch.put((time <= count - 1)[..., None].astype(x.dtype))
        magnitude = (_at(batch, magnitude, before) * (1 - share) + _at(batch, magnitude, before + 1) * share) * sounds
        found = _at(batch, phase, before)
        steps = _at(batch, phase, before + 1) - found
        phase = xp.cumulative_sum(xp.concat([phase[:, :1], steps[:, :-1]], axis=1), axis=1)
        # Half of the first frame is silence, whose edge sets its phases: those of the first whole one are right.
        first = min(2, count - 1)
        phase = phase + (found[:, first : first + 1] - phase[:, first : first + 1])
        played = xp.fft.irfft(magnitude * xp.cos(phase) + 1j * (magnitude * xp.sin(phase)), n=size, axis=2)
        played = xp.astype(played, x.dtype) * batch.put(window.astype(x.dtype))
        weight = np.maximum(_added(np, np.broadcast_to(window**2, (1, count, size))), 1e-3)  # 0 at the very ends
        return (_added(xp, played) / batch.put(weight.astype(x.dtype)))[:, 2 * hop : 2 * hop + length]


class TimeShift(Augmentation):
    """Shift waveforms to earlier or later, each by a number of samples of its own; silence comes in.

    Parameters
    ----------
    shift : float, default 0.1
        The greatest shift to both sides, as a share of the length, in [0, 1].

    Raises
    ------
    ValueError
        If `shift` is not in [0, 1]; when called, if the inputs are no floating-point numbers (N, [C,] T).

    Examples
    --------
    >>> weft.data.augment.TimeShift(0.0)(np.array([[1.0, 2.0, 3.0]]))
    array([[1., 2., 3.]])
    """

    def __init__(self, shift: float = 0.1):
        self.shift = checks.number("shift", shift, 0, 1)

    def _apply(self, batch: Batch) -> None:
        x, xp = _waves(batch), batch.xp
        shape, length = x.shape, x.shape[-1]
        most = np.floor(self.shift * length)
        moved = affine.shift(np.rint(batch.uniform(-most, most)), 0)
        images = xp.reshape(x, (shape[0], int(np.prod(shape[1:-1])), 1, length))
        batch.inputs = xp.reshape(affine.sample(xp, images, moved, (1, length), 0, False), shape)


class AddNoise(Augmentation):
    """Add white noise at a random ratio of signal to noise, each waveform at one of its own.

    y = x + n √(mean x² · 10^(−snr/10)), n standard normal.

    Parameters
    ----------
    snr : (float, float), default (10.0, 40.0)
        The range of the ratio, in decibels.

    Raises
    ------
    ValueError
        If `snr` is no range; when called, if the inputs are no floating-point numbers (N, [C,] T).

    Notes
    -----
    torchaudio's class of this name is given the noise.

    Examples
    --------
    >>> weft.data.augment.AddNoise()(np.zeros((2, 100))).any()
    np.False_
    """

    def __init__(self, snr: tuple[float, float] = (10.0, 40.0)):
        self.snr = checks.interval("snr", snr)

    def _apply(self, batch: Batch) -> None:
        x, xp = _waves(batch), batch.xp
        if not x.size:
            return
        share = batch.put((10 ** (-batch.uniform(*self.snr) / 20)).reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype))
        noise = batch.generator.normal(tuple(x.shape), dtypes.float32, batch.device)
        power = xp.mean(x * x, axis=tuple(range(1, x.ndim)), keepdims=True)
        batch.inputs = x + xp.astype(noise, x.dtype) * (xp.sqrt(power) * share)


def _waves(batch: Batch) -> Any:
    return floating(batch, 2, "(N, [C,] T)")


def _hann(size: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def _at(batch: Batch, frames: Any, index: np.ndarray) -> Any:
    """frames[n, index[n, t]] of frames (N, T, F)."""
    n, count, width = frames.shape
    rows = batch.put((np.arange(n)[:, None] * count + index).ravel())
    return batch.xp.reshape(
        batch.xp.take(batch.xp.reshape(frames, (n * count, width)), rows, axis=0), (n, count, width)
    )


def _added(xp: Any, frames: Any) -> Any:
    """Frames (N, T, 4 hop), each a hop after the one before, added up: (N, (T + 3) hop)."""
    n, count, size = frames.shape
    hop = size // 4
    hops = xp.reshape(frames, (n, count, 4, hop))
    nothing = xp.zeros_like(hops[:, :1, 0])
    quarters = [xp.concat([*[nothing] * i, hops[:, :, i], *[nothing] * (3 - i)], axis=1) for i in range(4)]
    return xp.reshape(quarters[0] + quarters[1] + quarters[2] + quarters[3], (n, (count + 3) * hop))
