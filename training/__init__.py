"""Training: the loop, callbacks, metrics, checkpoints, saved models, plots."""

from . import atomic, callbacks, checkpoint, metrics, nonfinite, plots, predict, reporting, saved_model, saving, trainer
from .atomic import *
from .callbacks import *
from .checkpoint import *
from .metrics import *
from .nonfinite import *
from .plots import *
from .predict import *
from .reporting import *
from .saved_model import *
from .saving import *
from .trainer import *

__all__ = [
    *atomic.__all__,
    *callbacks.__all__,
    *checkpoint.__all__,
    *metrics.__all__,
    *nonfinite.__all__,
    *plots.__all__,
    *predict.__all__,
    *reporting.__all__,
    *saved_model.__all__,
    *saving.__all__,
    *trainer.__all__,
]
