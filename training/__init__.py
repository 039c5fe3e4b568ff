"""Training: the loop, callbacks, metrics, checkpoints, saved models, plots."""

from typing import TYPE_CHECKING, Any

from ..backend.device.options import UnknownName
from . import (
    atomic,
    attention_map,
    bleu_score,
    callbacks,
    checkpoint,
    checkpoint_callback,
    landscape,
    layer_plots,
    layer_statistics,
    learning_plots,
    loggers,
    metrics,
    nonfinite,
    parity,
    pictures,
    plots,
    predict,
    reliability,
    reporting,
    saved_model,
    shown,
    trainer,
)
from .atomic import *
from .attention_map import *
from .bleu_score import *
from .callbacks import *
from .checkpoint import *
from .checkpoint_callback import *
from .landscape import *
from .layer_plots import *
from .layer_statistics import *
from .learning_plots import *
from .loggers import *
from .metrics import *
from .nonfinite import *
from .parity import *
from .pictures import *
from .plots import *
from .predict import *
from .reliability import *
from .reporting import *
from .saved_model import *
from .shown import *
from .trainer import *

__all__ = [
    *atomic.__all__,
    *attention_map.__all__,
    *bleu_score.__all__,
    *callbacks.__all__,
    *checkpoint.__all__,
    *checkpoint_callback.__all__,
    *metrics.__all__,
    *nonfinite.__all__,
    *reliability.__all__,
    *landscape.__all__,
    *layer_plots.__all__,
    *layer_statistics.__all__,
    *learning_plots.__all__,
    *loggers.__all__,
    *pictures.__all__,
    *parity.__all__,
    *plots.__all__,
    *predict.__all__,
    *reporting.__all__,
    *saved_model.__all__,
    *shown.__all__,
    *trainer.__all__,
]

if TYPE_CHECKING:
    from .estimators import Classifier, Regressor


def __getattr__(name: str) -> Any:
    """The estimators, which import scikit-learn, when they are first asked for."""
    if name in ("Classifier", "Regressor"):
        from . import estimators

        return getattr(estimators, name)
    raise UnknownName(__name__, name, [*__all__, "Classifier", "Regressor"])
