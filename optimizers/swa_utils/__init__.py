"""Averages of weights over the course of training, with the names of `torch.optim.swa_utils`."""

from typing import TYPE_CHECKING

from ...backend.device.options import UnknownName
from .averaged_model import (
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    get_swa_avg_fn,
    get_swa_multi_avg_fn,
    update_bn,
)
from .swalr import SWALR

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


if not TYPE_CHECKING:

    def __getattr__(name):
        raise UnknownName(__name__, name, __all__)
