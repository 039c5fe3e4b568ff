"""The functions of neural networks, with PyTorch's names and signatures (`torch.nn.functional`), on Tensors.

    from weft.layers import functional as F

Arguments are checked here, once, for shapes, dtypes and options, without waiting for a device; the mathematics is in
the primitives of `weft.backend`. Results are new memory, but with `inplace=True` and where the name says so, `relu_`: these
write to their input.
"""

from typing import TYPE_CHECKING

from ...backend.device.options import UnknownName
from . import (
    activation,
    attention,
    convolution,
    ctc,
    distance,
    folding,
    inplace,
    likelihood_loss,
    loss,
    metric_loss,
    multihead,
    multilabel_loss,
    normalization,
    padding,
    pooling,
    pooling_maxima,
    resampling,
    rotary,
    sampling,
    shrinkage,
    shuffle,
    similarity,
    stochastic,
)
from . import alpha_dropout as _alpha_dropout  # these modules have the name of a function, which takes it over
from . import dropout as _dropout
from . import embedding as _embedding
from . import embedding_bag as _embedding_bag
from . import linear as _linear
from . import linear_cross_entropy as _linear_cross_entropy
from .activation import *
from .alpha_dropout import *
from .attention import *
from .convolution import *
from .ctc import *
from .distance import *
from .dropout import *
from .embedding import *
from .embedding_bag import *
from .folding import *
from .inplace import *
from .likelihood_loss import *
from .linear import *
from .linear_cross_entropy import *
from .loss import *
from .metric_loss import *
from .multihead import *
from .multilabel_loss import *
from .normalization import *
from .padding import *
from .pooling import *
from .pooling_maxima import *
from .resampling import *
from .rotary import *
from .sampling import *
from .shrinkage import *
from .shuffle import *
from .similarity import *
from .stochastic import *

__all__: list[str] = []
__all__ += activation.__all__
__all__ += _alpha_dropout.__all__
__all__ += attention.__all__
__all__ += convolution.__all__
__all__ += distance.__all__
__all__ += _dropout.__all__
__all__ += _embedding.__all__
__all__ += _embedding_bag.__all__
__all__ += folding.__all__
__all__ += inplace.__all__
__all__ += _linear.__all__
__all__ += _linear_cross_entropy.__all__
__all__ += loss.__all__
__all__ += ctc.__all__
__all__ += likelihood_loss.__all__
__all__ += metric_loss.__all__
__all__ += multilabel_loss.__all__
__all__ += multihead.__all__
__all__ += normalization.__all__
__all__ += padding.__all__
__all__ += pooling.__all__
__all__ += pooling_maxima.__all__
__all__ += resampling.__all__
__all__ += rotary.__all__
__all__ += sampling.__all__
__all__ += shrinkage.__all__
__all__ += shuffle.__all__
__all__ += similarity.__all__
__all__ += stochastic.__all__


if not TYPE_CHECKING:

    def __getattr__(name):
        raise UnknownName(__name__, name, __all__)
