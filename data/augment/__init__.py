"""Augmentation: random changes of batches, on the device, the same for the same seed."""

from typing import TYPE_CHECKING

from ...backend.device.options import UnknownName
from .audio import AddNoise, TimeShift, TimeStretch
from .colour import ColorJitter, RandomGrayscale
from .crop import CenterCrop, RandomCrop
from .geometry import RandomAffine, RandomHorizontalFlip, RandomRotation, RandomVerticalFlip
from .mixing import CutMix, MixUp
from .named import AUGMENTATIONS, named
from .noise import GaussianNoise, RandomErasing
from .policies import AugMix, RandAugment
from .resize import RandomResizedCrop, Resize
from .spectrogram import FrequencyMasking, TimeMasking
from .tabular import FeatureNoise, Interpolation, smote
from .text import RandomDeletion, RandomInsertion, RandomSwap, SynonymReplacement
from .transform import Augmentation, Compose

__all__ = [
    "AUGMENTATIONS",
    "AddNoise",
    "AugMix",
    "Augmentation",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "FeatureNoise",
    "FrequencyMasking",
    "GaussianNoise",
    "Interpolation",
    "MixUp",
    "RandAugment",
    "RandomAffine",
    "RandomCrop",
    "RandomDeletion",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInsertion",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSwap",
    "RandomVerticalFlip",
    "Resize",
    "SynonymReplacement",
    "TimeMasking",
    "TimeShift",
    "TimeStretch",
    "named",
    "smote",
]


if not TYPE_CHECKING:

    def __getattr__(name):
        raise UnknownName(__name__, name, __all__)
