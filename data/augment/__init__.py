"""Augmentation: random changes of batches, on the device, the same for the same seed."""

from .colour import ColorJitter, RandomGrayscale
from .crop import CenterCrop, RandomCrop
from .geometry import RandomAffine, RandomHorizontalFlip, RandomRotation, RandomVerticalFlip
from .mixing import CutMix, MixUp
from .noise import GaussianNoise, RandomErasing
from .policies import AugMix, RandAugment
from .resize import RandomResizedCrop, Resize
from .transform import Augmentation, Compose

__all__ = [
    "AugMix",
    "Augmentation",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "GaussianNoise",
    "MixUp",
    "RandAugment",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
]
