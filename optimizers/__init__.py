"""Optimizers over flat arenas, clipping, penalties; learning-rate schedules are in `weft.optimizers.schedulers`."""

from typing import TYPE_CHECKING

from ..backend.device.options import UnknownName
from . import schedulers, swa_utils
from .adabound import AdaBound
from .adadelta import Adadelta
from .adafactor import Adafactor
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .adamax import Adamax
from .asgd import ASGD
from .clipping import (
    adaptive_clip_grad_,
    clip_grad_norm_,
    clip_grad_norm_per_layer_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from .ema import EMA
from .grad_scaler import GradScaler
from .lbfgs import LBFGS
from .lion import Lion
from .lr_finder import LRFinderResult, lr_find
from .muon import Muon
from .nadam import NAdam
from .optimizer import Optimizer
from .parameter_groups import freeze, parameter_groups
from .radam import RAdam
from .regularization import decay_groups, l1_penalty, l2_penalty
from .rmsprop import RMSprop
from .rprop import Rprop
from .sgd import SGD
from .sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "EMA",
    "AdaBound",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "GradScaler",
    "LBFGS",
    "LRFinderResult",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    "SparseAdam",
    "adaptive_clip_grad_",
    "clip_grad_norm_",
    "clip_grad_norm_per_layer_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "decay_groups",
    "freeze",
    "get_total_norm",
    "l1_penalty",
    "l2_penalty",
    "lr_find",
    "lr_scheduler",
    "parameter_groups",
    "schedulers",
    "swa_utils",
]

lr_scheduler = schedulers  # its name in PyTorch


if not TYPE_CHECKING:

    def __getattr__(name):
        raise UnknownName(__name__, name, __all__)
