"""The functions of neural networks, with PyTorch's names and signatures (`torch.nn.functional`), on Tensors.

    from weft.layers import functional as F

Arguments are checked here, once, for shapes, dtypes and options, without waiting for a device; the mathematics is in
the primitives of `weft.backend`. Results are always new memory: `inplace=True` is accepted and changes nothing.
"""

from . import (
    activation,
    attention,
    convolution,
    dense,
    lookup,
    loss,
    noise,
    normalization,
    padding,
    pooling,
    similarity,
)
from .activation import *
from .attention import *
from .convolution import *
from .dense import *
from .lookup import *
from .loss import *
from .noise import *
from .normalization import *
from .padding import *
from .pooling import *
from .similarity import *

__all__ = [
    *activation.__all__,
    *attention.__all__,
    *convolution.__all__,
    *dense.__all__,
    *lookup.__all__,
    *loss.__all__,
    *noise.__all__,
    *normalization.__all__,
    *padding.__all__,
    *pooling.__all__,
    *similarity.__all__,
]
