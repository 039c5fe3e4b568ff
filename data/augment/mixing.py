"""Mixtures of images, and of their labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.device import dtypes
from . import checks
from .batch import Batch
from .noise import rectangles
from .transform import Augmentation

__all__ = ["CutMix", "MixUp"]


class MixUp(Augmentation):
    """Mix each input, and its label, with that before it: λ x + (1 − λ) x', λ ~ Beta(α, α), as torchvision's.

    Parameters
    ----------
    alpha : float, default 1.0
        Above 0: the smaller, the nearer is λ to 0 or 1.
    num_classes : int, optional
        Of labels (N,) that are classes. Labels (N, classes) are mixed as they are.

    Raises
    ------
    ValueError
        If a parameter is out of range; when called, if there are masks or boxes, or labels that are classes without
        `num_classes`, or outside of it (on a GPU, where to look would be to wait, their rows become NaN).

    Notes
    -----
    Labels become float32 (N, classes), as `CrossEntropyLoss` takes them. Each input has a λ of its own, where torchvision draws
    one for the batch. Inputs may have any shape.

    References
    ----------
    .. [1] Zhang et al., "mixup: beyond empirical risk minimization", ICLR (2018).

    Examples
    --------
    >>> x, y = weft.data.augment.MixUp(num_classes=3)(np.eye(4, dtype=np.float32), np.array([0, 1, 2, 0]))
    >>> y.shape, np.allclose(y.sum(1), 1)
    ((4, 3), True)
    """

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None):
        self.alpha = checks.number("alpha", alpha, 1e-6)
        if num_classes is not None and (not isinstance(num_classes, int | np.integer) or num_classes < 1):
            raise ValueError(f"`num_classes` must be a positive integer or None, got {num_classes!r}")
        self.num_classes = num_classes

    def _apply(self, batch: Batch) -> None:
        self._require(batch)
        share = host(batch).beta(self.alpha, self.alpha, len(batch))
        x, xp = batch.numbers, batch.xp
        weight = batch.put(share.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype))
        batch.inputs = x * weight + xp.roll(x, 1, axis=0) * (1 - weight)
        self._mix_labels(batch, share)

    def _require(self, batch: Batch) -> None:
        for role in ("masks", "boxes"):
            if getattr(batch, role) is not None:
                raise ValueError(f"`{role}` must be None for {type(self).__name__}, which mixes labels, got an array")
        if batch.labels is None:
            return
        batch.labels = one_hot(batch, batch.labels, self.num_classes)

    def _mix_labels(self, batch: Batch, share: np.ndarray) -> None:
        if batch.labels is not None:
            weight = batch.put(share[:, None].astype(batch.labels.dtype))
            batch.labels = batch.labels * weight + batch.xp.roll(batch.labels, 1, axis=0) * (1 - weight)


class CutMix(MixUp):
    """Paste a window of the image before it into each, and mix labels by its area, as torchvision's.

    The window has the share 1 − λ of the area, λ ~ Beta(α, α), around a place in the image that is drawn evenly; what
    of it falls outside is cut off, and λ is made true.

    Parameters
    ----------
    alpha : float, default 1.0
        Above 0: the smaller, the nearer is λ to 0 or 1.
    num_classes : int, optional
        Of labels (N,) that are classes. Labels (N, classes) are mixed as they are.

    Raises
    ------
    ValueError
        As `MixUp`.

    References
    ----------
    .. [1] Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features", ICCV (2019).

    Examples
    --------
    >>> x, y = np.zeros((4, 1, 8, 8), np.uint8), np.array([0, 1, 2, 0])
    >>> x, y = weft.data.augment.CutMix(num_classes=3)(x, y)
    >>> x.dtype, np.allclose(y.sum(1), 1)
    (dtype('uint8'), True)
    """

    def _apply(self, batch: Batch) -> None:
        self._require(batch)
        n, (h, w) = len(batch), batch.size
        side = np.sqrt(1 - host(batch).beta(self.alpha, self.alpha, n)) / 2
        x, y = (np.floor(batch.uniform(0, length)) for length in (w, h))
        left, right = (np.clip(x + sign * np.floor(side * w), 0, w) for sign in (-1, 1))
        top, bottom = (np.clip(y + sign * np.floor(side * h), 0, h) for sign in (-1, 1))
        inside = batch.put(rectangles(batch, (top, bottom - top), (left, right - left)))
        images = batch.inputs
        batch.inputs = batch.xp.where(inside, batch.xp.roll(images, 1, axis=0), images)
        self._mix_labels(batch, 1 - (right - left) * (bottom - top) / (h * w))


def host(batch: Batch) -> np.random.Generator:
    """NumPy's generator on a stream that the batch's own gives: for distributions that this lacks."""
    low, high = (int(word) for word in batch.generator.words(2))
    return np.random.Generator(np.random.Philox(key=low | high << 64))


def one_hot(batch: Batch, labels: Any, num_classes: int | None) -> Any:
    """Labels as shares of classes, (N, classes) of a floating-point dtype."""
    xp = batch.xp
    if labels.ndim == 2 and dtypes.is_real_floating(dtypes.of(labels)):
        return labels
    if labels.ndim != 1 or dtypes.of(labels).kind not in "iu":
        raise ValueError(
            f"`labels` must be classes (N,) or shares (N, classes), got {labels.dtype} {tuple(labels.shape)}"
        )
    if num_classes is None:
        raise ValueError("`num_classes` must be given where labels are classes (N,), got None")
    if batch.device == "cpu" and len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"`labels` must be in [0, {num_classes}), got [{labels.min()}, {labels.max()}]")
    classes = batch.put(np.arange(num_classes))
    shares = xp.astype(xp.expand_dims(labels, axis=1) == classes, dtypes.native(xp, dtypes.float32))
    if batch.device != "cpu":  # to look would be to wait: NaN tells
        is_class = xp.expand_dims((labels >= 0) & (labels < num_classes), axis=1)
        shares = xp.where(is_class, shares, xp.full_like(shares, np.nan))
    return shares
