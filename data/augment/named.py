"""Augmentations of images by one word each, at usual strengths."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ...backend.device.options import did_you_mean
from .colour import ColorJitter
from .crop import RandomCrop
from .geometry import RandomAffine, RandomHorizontalFlip, RandomRotation
from .mixing import CutMix, MixUp
from .noise import GaussianNoise, RandomErasing
from .policies import AugMix, RandAugment
from .resize import RandomResizedCrop
from .transform import Augmentation, Compose

__all__ = ["AUGMENTATIONS", "named"]

# Made for images of a size and a number of classes; in the order that they are applied in: geometry first, mixtures last.
AUGMENTATIONS: dict[str, Callable[[tuple[int, int], int | None], Augmentation]] = {
    "rotate": lambda size, classes: RandomRotation(15, "bilinear"),
    "affine": lambda size, classes: RandomAffine(10, (0.1, 0.1), (0.9, 1.1), 5, "bilinear"),
    "crop": lambda size, classes: RandomCrop(size, padding=max(1, min(size) // 8)),
    "resizedcrop": lambda size, classes: RandomResizedCrop(size, scale=(0.5, 1.0)),
    "flip": lambda size, classes: RandomHorizontalFlip(),
    "jitter": lambda size, classes: ColorJitter(0.2, 0.2, 0.2, 0.05),
    "randaugment": lambda size, classes: RandAugment(),
    "augmix": lambda size, classes: AugMix(),
    "noise": lambda size, classes: GaussianNoise(sigma=0.05),
    "cutout": lambda size, classes: RandomErasing(),
    "mixup": lambda size, classes: MixUp(alpha=0.2, num_classes=classes),
    "cutmix": lambda size, classes: CutMix(num_classes=classes),
}


def named(
    names: Collection[str], size: tuple[int, int], num_classes: int | None = None, white: float | None = None
) -> Compose:
    """Augmentations of images, by their names in `AUGMENTATIONS`, in the order of that.

    Parameters
    ----------
    names : collection of str
        Which.
    size : (int, int)
        Height and width of the images.
    num_classes : int, optional
        How many classes the labels have: for mixtures.
    white : float, optional
        The greatest value of a pixel, as `Compose` has it.

    Returns
    -------
    Compose
        The augmentations.

    Raises
    ------
    ValueError
        If there is none of a name.

    Examples
    --------
    >>> [type(t).__name__ for t in weft.data.augment.named(["flip", "crop"], (32, 32)).transforms]
    ['RandomCrop', 'RandomHorizontalFlip']
    """
    if wrong := [name for name in names if name not in AUGMENTATIONS]:
        hint = did_you_mean(str(wrong[0]), AUGMENTATIONS)
        raise ValueError(f"`names` must be some of {', '.join(AUGMENTATIONS)}, got {', '.join(map(repr, wrong))}{hint}")
    return Compose([make(size, num_classes) for name, make in AUGMENTATIONS.items() if name in names], white=white)
