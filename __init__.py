"""weft: deep learning on NumPy and CuPy, woven through the array API standard.

The module is itself an array-API namespace, on `weft.Tensor` and differentiable: `weft.exp`, `weft.sum`, `weft.linalg`, ….
Layers, optimizers, data and training are in `weft.layers`, `weft.optimizers`, `weft.data` and `weft.training`.
"""

from __future__ import annotations

from . import _signals  # first: a signal may come at any time

# isort: split
from . import _openblas  # before NumPy

# isort: split
import importlib as _importlib
import math as _math
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import backend
from .backend.array import fft, linalg
from .backend.array.creation import *
from .backend.array.einsum import einsum
from .backend.array.elementwise import *
from .backend.array.indexing import *
from .backend.array.info import __array_namespace_info__, can_cast, finfo, iinfo, isdtype, result_type
from .backend.array.manipulation import *
from .backend.array.products import matmul, tensordot, vecdot
from .backend.array.random import Generator, default_generator, manual_seed, rand, randint, randn, randperm
from .backend.array.reductions import *
from .backend.device.determinism import are_deterministic_algorithms_enabled, use_deterministic_algorithms
from .backend.device.devices import (
    DeviceError,
    device,
    devices,
    get_default_device,
    get_sync_debug_mode,
    register_device,
    set_default_device,
    set_sync_debug_mode,
    synchronize,
)
from .backend.device.dtypes import (
    bool,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
    uint16,
    uint32,
    uint64,
)
from .backend.device.gemm import get_float32_matmul_precision, set_float32_matmul_precision
from .backend.device.memory import OutOfMemoryError, empty_cache, memory_allocated, memory_reserved, memory_summary
from .backend.device.options import UnknownName as _UnknownName
from .backend.device.parallel import num_threads, set_num_threads
from .backend.modes.autocast import autocast, is_autocast_enabled
from .backend.modes.transforms import checkpoint, grad, value_and_grad
from .backend.tape.autograd import enable_grad, is_grad_enabled, no_grad, primitive
from .backend.tape.tensor import Parameter, Tensor

if _TYPE_CHECKING:
    from .backend.modes import nvtx as nvtx
    from .backend.modes.batching import vmap as vmap
    from .backend.modes.capture import capture as capture
    from .backend.modes.derivatives import hessian as hessian
    from .backend.modes.derivatives import hvp as hvp
    from .backend.modes.derivatives import jacfwd as jacfwd
    from .backend.modes.derivatives import jacrev as jacrev
    from .backend.modes.derivatives import jvp as jvp
    from .backend.modes.derivatives import vjp as vjp
    from .backend.modes.profiler import ProfileRow as ProfileRow
    from .backend.modes.profiler import profile as profile
    from .backend.modes.trace import Trace as Trace
    from .backend.modes.trace import TracedOperation as TracedOperation
    from .backend.modes.trace import traced as traced

__version__ = "0.1.0"
__array_api_version__ = "2024.12"

e, pi, inf, nan, newaxis = _math.e, _math.pi, _math.inf, _math.nan, None

_LAZY = ("bench", "data", "distributed", "layers", "optimizers", "training")
_MODES = {
    **dict.fromkeys(("hessian", "hvp", "jacfwd", "jacrev", "jvp", "vjp"), "derivatives"),
    **dict.fromkeys(("ProfileRow", "profile"), "profiler"),
    **dict.fromkeys(("Trace", "TracedOperation", "traced"), "trace"),
    "capture": "capture",
    "vmap": "batching",
}


def __getattr__(name: str) -> _Any:
    if name in _LAZY:
        return _importlib.import_module(f".{name}", __name__)
    if name == "bfloat16":
        return backend.dtypes.bfloat16
    if name == "nvtx":
        return _importlib.import_module(".backend.modes.nvtx", __name__)
    if name in _MODES:
        return getattr(_importlib.import_module(f".backend.modes.{_MODES[name]}", __name__), name)
    if name == "GradScaler":
        return __getattr__("optimizers").GradScaler
    raise _UnknownName("weft", name, __dir__())


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_MODES, "bfloat16", "nvtx", "GradScaler"})
