"""Layers and models: `torch.nn`'s names, arguments, state and semantics, on weft's Tensors.

    from weft import layers as nn
    from weft.layers import functional as F

    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))

Every layer takes `device=` and `dtype=` as keywords. `functional` has the functions, `init` the initial values,
`models` a few small networks, `utils.rnn` what packs sequences.
"""

from typing import TYPE_CHECKING

from ..backend.device.options import UnknownName
from . import (
    activation,
    adaptive_softmax,
    alpha_dropout,
    attention,
    cache,
    containers,
    convolution,
    dropout,
    embedding,
    embedding_bag,
    folding,
    functional,
    init,
    lazy,
    linear,
    linear_cross_entropy,
    loss,
    models,
    module,
    normalization,
    padding,
    parameter,
    parameter_containers,
    perceptron,
    pooling,
    pooling_maxima,
    positional,
    recurrent,
    recurrent_cells,
    resampling,
    shrinkage,
    shuffle,
    similarity,
    state_cache,
    stochastic,
    structured_loss,
    transformer,
    transformer_layer,
    utils,
)
from .activation import *
from .adaptive_softmax import *
from .alpha_dropout import *
from .attention import *
from .cache import *
from .containers import *
from .convolution import *
from .dropout import *
from .embedding import *
from .embedding_bag import *
from .folding import *
from .lazy import *
from .linear import *
from .linear_cross_entropy import *
from .loss import *
from .module import *
from .normalization import *
from .padding import *
from .parameter import *
from .parameter_containers import *
from .perceptron import *
from .pooling import *
from .pooling_maxima import *
from .positional import *
from .recurrent import *
from .recurrent_cells import *
from .resampling import *
from .shrinkage import *
from .shuffle import *
from .similarity import *
from .state_cache import *
from .stochastic import *
from .structured_loss import *
from .summary import LayerSummary, Summary, summary
from .transformer import *
from .transformer_layer import *

__all__ = ["LayerSummary", "Summary", "functional", "init", "models", "summary", "utils"]
__all__ += activation.__all__
__all__ += adaptive_softmax.__all__
__all__ += alpha_dropout.__all__
__all__ += attention.__all__
__all__ += cache.__all__
__all__ += containers.__all__
__all__ += convolution.__all__
__all__ += dropout.__all__
__all__ += embedding.__all__
__all__ += embedding_bag.__all__
__all__ += folding.__all__
__all__ += lazy.__all__
__all__ += linear.__all__
__all__ += linear_cross_entropy.__all__
__all__ += loss.__all__
__all__ += module.__all__
__all__ += normalization.__all__
__all__ += padding.__all__
__all__ += parameter.__all__
__all__ += parameter_containers.__all__
__all__ += structured_loss.__all__
__all__ += perceptron.__all__
__all__ += pooling.__all__
__all__ += pooling_maxima.__all__
__all__ += positional.__all__
__all__ += recurrent.__all__
__all__ += recurrent_cells.__all__
__all__ += resampling.__all__
__all__ += shrinkage.__all__
__all__ += shuffle.__all__
__all__ += similarity.__all__
__all__ += state_cache.__all__
__all__ += stochastic.__all__
__all__ += transformer.__all__
__all__ += transformer_layer.__all__


if not TYPE_CHECKING:

    def __getattr__(name):
        raise UnknownName(__name__, name, __all__)
