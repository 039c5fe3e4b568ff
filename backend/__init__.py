"""Devices, tensors, the tape, and every differentiable primitive: the array API and the operations of neural networks.

Its rooms, none of which knows one that stands after it or beside it:

    device ← tape ← array ← nn, modes ← cpu, cuda
"""

from .array import creation, einops, elementwise, indexing, manipulation, random, reductions
from .device import devices, dtypes, gemm, parallel
from .modes import autocast, transforms
from .nn import activation, attention, embedding, linear, loss, normalization
from .tape import autograd, tensor

from .array import methods, numpy_protocols, torch_methods, torch_selection, torch_writing  # isort: skip  (attach to Tensor)
from .nn import methods as _methods  # isort: skip  (as do these)
from . import cpu, cuda  # isort: skip  (replace primitives; those for cuda are loaded when such a device is asked for)

einops.register()
