"""Policies: for each image a few changes out of a fixed list, at one strength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import checks, operations
from .batch import Batch
from .colour import require_colours
from .mixing import host
from .transform import Augmentation

__all__ = ["AugMix", "RandAugment"]

# name → (strength at the least and at the greatest magnitude, whether either sign is drawn); widths and heights are 1
SPACE: dict[str, tuple[float, float, bool]] = {
    "Identity": (0.0, 0.0, False),
    "ShearX": (0.0, 0.3, True),
    "ShearY": (0.0, 0.3, True),
    "TranslateX": (0.0, 150 / 331, True),
    "TranslateY": (0.0, 150 / 331, True),
    "Rotate": (0.0, 30.0, True),
    "Brightness": (0.0, 0.9, True),
    "Color": (0.0, 0.9, True),
    "Contrast": (0.0, 0.9, True),
    "Sharpness": (0.0, 0.9, True),
    "Posterize": (8.0, 4.0, False),
    "Solarize": (0.0, 1.0, False),
    "AutoContrast": (0.0, 0.0, False),
    "Equalize": (0.0, 0.0, False),
}
OF_AUGMIX = {name: row for name, row in SPACE.items() if name != "Identity"}
OF_AUGMIX |= {"TranslateX": (0.0, 1 / 3, True), "TranslateY": (0.0, 1 / 3, True), "Posterize": (4.0, 0.0, False)}
NOT_IN_AUGMIX = (
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
)  # unless all are wanted: tests of robustness have these


class RandAugment(Augmentation):
    """A few random changes of each image, all at one strength, as torchvision's.

    Shear, translation, rotation, brightness, colour, contrast, sharpness, posterising, solarising, stretched contrast,
    equalised histogram, and none; each image has its own.

    Parameters
    ----------
    num_ops : int, default 2
        How many, one after the other.
    magnitude : int, default 9
        The strength, in [0, num_magnitude_bins).
    num_magnitude_bins : int, default 31
        How many strengths there are.
    interpolation : {"nearest", "bilinear"}, default "nearest"
        How values between pixels are found.
    fill : float or sequence of float, default 0
        What comes from outside: a number, or one for each channel.

    Raises
    ------
    ValueError
        If a parameter is out of range; when called, as `ColorJitter`.

    Notes
    -----
    Masks and boxes move along, where torchvision refuses them. Solarising at strength 0 leaves white as it is.

    References
    ----------
    .. [1] Cubuk et al., "RandAugment: practical automated data augmentation with a reduced search space" (2019).

    Examples
    --------
    >>> weft.data.augment.RandAugment()(np.zeros((8, 3, 32, 32), np.uint8)).shape
    (8, 3, 32, 32)
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: str = "nearest",
        fill: float | Sequence[float] = 0,
    ):
        self.num_ops = checks.whole("num_ops", num_ops, 0)
        self.num_magnitude_bins = checks.whole("num_magnitude_bins", num_magnitude_bins, 2)
        self.magnitude = checks.whole("magnitude", magnitude, 0, num_magnitude_bins - 1)
        self._bilinear = checks.is_bilinear(interpolation)
        self.interpolation, self.fill = interpolation, checks.fill(fill)

    def _apply(self, batch: Batch) -> None:
        require_colours(batch)
        share = np.full(len(batch), self.magnitude / (self.num_magnitude_bins - 1))
        for _ in range(self.num_ops):
            names, strength = _drawn(batch, SPACE, share)
            operations.apply(batch, names, strength, self.fill, self._bilinear)


class AugMix(Augmentation):
    """A mixture of each image with chains of random changes of it, as torchvision's.

    y = m x + (1 − m) Σᵢ wᵢ chainᵢ(x), with (w₁ … w_k) ~ Dirichlet(α, …, α) and m ~ Beta(α, α).

    Parameters
    ----------
    severity : int, default 3
        The greatest strength of a change, in [1, 10]; each has its own.
    mixture_width : int, default 3
        How many chains, k.
    chain_depth : int, default -1
        How many changes each is of; −1 draws 1, 2 or 3.
    alpha : float, default 1.0
        Of both distributions, above 0.
    all_ops : bool, default True
        Whether brightness, colour, contrast and sharpness are among the changes.
    interpolation : {"nearest", "bilinear"}, default "bilinear"
        How values between pixels are found.
    fill : float or sequence of float, default 0
        What comes from outside: a number, or one for each channel.

    Raises
    ------
    ValueError
        If a parameter is out of range; when called, as `ColorJitter`, and if there are masks or boxes.

    References
    ----------
    .. [1] Hendrycks et al., "AugMix: a simple data processing method to improve robustness and uncertainty", ICLR (2020).

    Examples
    --------
    >>> weft.data.augment.AugMix()(np.zeros((8, 3, 32, 32), np.uint8)).shape
    (8, 3, 32, 32)
    """

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: str = "bilinear",
        fill: float | Sequence[float] = 0,
    ):
        self.severity, self.mixture_width = (
            checks.whole("severity", severity, 1, 10),
            checks.whole("mixture_width", mixture_width, 1),
        )
        self.chain_depth = checks.whole("chain_depth", chain_depth, -1)
        self.alpha, self.all_ops = checks.number("alpha", alpha, 1e-6), bool(all_ops)
        self._bilinear = checks.is_bilinear(interpolation)
        self.interpolation, self.fill = interpolation, checks.fill(fill)
        self._space = {name: row for name, row in OF_AUGMIX.items() if all_ops or name not in NOT_IN_AUGMIX}

    def _apply(self, batch: Batch) -> None:
        for role in ("masks", "boxes"):
            if getattr(batch, role) is not None:
                raise ValueError(f"`{role}` must be None for AugMix, which mixes images that moved, got an array")
        x, n = require_colours(batch), len(batch)
        numbers = host(batch)
        weights = numbers.dirichlet([self.alpha] * self.mixture_width, n)
        kept = numbers.beta(self.alpha, self.alpha, n)
        weights *= (1 - kept)[:, None]
        y = x * operations.each(batch, kept, x)
        for i in range(self.mixture_width):
            y = y + self._chain(batch) * operations.each(batch, weights[:, i], x)
        batch.inputs = y

    def _chain(self, batch: Batch) -> Any:
        chain, n = batch.of_inputs(), len(batch)
        depth = np.floor(batch.uniform(1, 4)) if self.chain_depth < 0 else np.full(n, self.chain_depth)
        for i in range(int(depth.max(initial=0))):
            names, strength = _drawn(chain, self._space, np.floor(chain.uniform(1, self.severity + 1)) / 10)
            operations.apply(chain, np.where(i < depth, names, "Identity"), strength, self.fill, self._bilinear)
        return chain.numbers


def _drawn(
    batch: Batch, space: dict[str, tuple[float, float, bool]], share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A change for each image, and its strength: so much of the way from the least to the greatest magnitude."""
    names = np.array(list(space))[np.floor(batch.uniform(0, len(space))).astype(int)]
    low, high, signed = np.array([space[name] for name in names], float).reshape(-1, 3).T
    strength = low + share * (high - low)
    strength *= np.where((signed == 1) & batch.chosen(0.5), -1, 1)
    strength = np.where(names == "Posterize", np.rint(strength), strength)
    sides = np.select([names == "TranslateX", names == "TranslateY"], batch.size[::-1], 1)
    return names, strength * sides
