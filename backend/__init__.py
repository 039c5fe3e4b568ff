"""Devices, tensors, the tape, and every differentiable primitive: the array API and the operations of neural networks."""

from . import (
    autograd,
    creation,
    devices,
    dtypes,
    elementwise,
    gemm,
    indexing,
    linear,
    manipulation,
    parallel,
    random,
    reductions,
    tensor,
    transforms,
)

from . import methods  # isort: skip  (attaches operators and methods to Tensor)
from . import cpu  # isort: skip  (replaces primitives)
