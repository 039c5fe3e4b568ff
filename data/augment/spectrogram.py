"""Spectrograms with a band of frequencies, or a stretch of time, masked."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.device import dtypes
from . import checks
from .batch import Batch
from .transform import Augmentation

__all__ = ["FrequencyMasking", "TimeMasking"]


class FrequencyMasking(Augmentation):
    """Mask a band of frequencies in each spectrogram (N, [C,] F, T): SpecAugment, as torchaudio's with `iid_masks`.

    Parameters
    ----------
    freq_mask_param : int
        The width of the band is uniform on [0, this).
    mask_value : float, default 0.0
        What is put there.

    Raises
    ------
    ValueError
        If a parameter is out of range; when called, if the inputs are no floating-point numbers (N, [C,] F, T).

    References
    ----------
    .. [1] Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition", Interspeech (2019).

    Examples
    --------
    >>> x = weft.data.augment.FrequencyMasking(0)(np.ones((2, 80, 100)))
    >>> float(x.mean())
    1.0
    """

    def __init__(self, freq_mask_param: int, mask_value: float = 0.0):
        self.freq_mask_param = checks.whole("freq_mask_param", freq_mask_param, 0)
        self.mask_value = checks.number("mask_value", mask_value)

    def _apply(self, batch: Batch) -> None:
        _mask(batch, -2, self.freq_mask_param, self.mask_value)


class TimeMasking(Augmentation):
    """Mask a stretch of time in each spectrogram (N, [C,] F, T): SpecAugment, as torchaudio's with `iid_masks`.

    Parameters
    ----------
    time_mask_param : int
        The length of the stretch is uniform on [0, this).
    p : float, default 1.0
        The greatest share of the whole time that may be masked, in [0, 1].
    mask_value : float, default 0.0
        What is put there.

    Raises
    ------
    ValueError
        As `FrequencyMasking`.

    References
    ----------
    .. [1] Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition", Interspeech (2019).

    Examples
    --------
    >>> x = weft.data.augment.TimeMasking(20)(np.ones((2, 80, 100)))
    >>> bool((x.mean((1, 2)) > 0.79).all())
    True
    """

    def __init__(self, time_mask_param: int, p: float = 1.0, mask_value: float = 0.0):
        self.time_mask_param = checks.whole("time_mask_param", time_mask_param, 0)
        self.p, self.mask_value = checks.number("p", p, 0, 1), checks.number("mask_value", mask_value)

    def _apply(self, batch: Batch) -> None:
        most = min(self.time_mask_param, int(self.p * batch.inputs.shape[-1]))
        _mask(batch, -1, most, self.mask_value)


def _mask(batch: Batch, axis: int, most: int, value: float) -> None:
    x, xp = floating(batch, 3, "(N, [C,] F, T)"), batch.xp
    length = x.shape[axis]
    width = batch.uniform(0, min(most, length))
    start = np.floor(batch.uniform() * (length - width))
    end = start + np.floor(width)
    place = np.arange(length)
    is_masked = (place >= start[:, None]) & (place < end[:, None])
    shape = [len(batch), *[1] * (x.ndim - 1)]
    shape[axis] = length
    batch.inputs = xp.where(batch.put(is_masked.reshape(shape)), xp.full_like(x, value), x)


def floating(batch: Batch, least: int, shape: str) -> Any:
    """The inputs, floating-point of this many axes or one more."""
    x = batch.inputs
    if x.ndim not in (least, least + 1) or not dtypes.is_real_floating(dtypes.of(x)):
        raise ValueError(f"`inputs` must be floating-point numbers {shape}, got {x.dtype} {tuple(x.shape)}")
    return batch.numbers
