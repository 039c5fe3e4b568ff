"""What is in `torch.nn`, `torch.optim` and the other modules that programs import: of weft, but for a few names."""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
import types
import warnings
from typing import Any

from ... import layers, optimizers
from ...backend.array import fft, linalg
from ...backend.device import devices
from ...backend.device.memory import memory_summary
from ...backend.tape.tensor import Parameter, Tensor
from ...layers import functional, init, utils
from ...layers.hooks import RemovableHandle
from ...layers.utils import rnn
from ...optimizers import swa_utils
from . import (
    algebra,
    arithmetic,
    calculus,
    differentiation,
    distributions,
    distributions_constraints,
    distributions_transforms,
    gradchecks,
    insides,
    loading,
    processes,
    profiling,
    sparse,
    special,
)
from .alone import DISTRIBUTED, DataParallel, data_parallel
from .dtypes import TYPES
from .functions import TABLE, _autocast, _scaler
from .mapping import vmap
from .optimizing import Optimizer
from .runtime import OutOfMemory, fork_rng, get_rng_state, hub_folder, nothing, set_rng_state
from .testing import assert_close

__all__ = ["SUBMODULES"]


def _two_axes(of: Any, input: Any, s: Any = None, dim: Any = (-2, -1), norm: Any = None) -> Any:
    """A Fourier transform of two axes."""
    return of(input, s=s, axes=tuple(dim), norm=norm or "backward")


class _Variables(type):
    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, Tensor)


class Variable(metaclass=_Variables):
    """The tensor itself, off the tape; with `requires_grad=True` one of the same memory that requires grad."""

    def __new__(cls, data: Any, requires_grad: bool = False, volatile: bool = False) -> Any:
        data = TABLE["tensor"](data) if not isinstance(data, Tensor) else data
        if requires_grad:
            return data.detach().requires_grad_()
        return data.detach() if data.requires_grad else data


class _Checked:
    """`detect_anomaly` and its kin: a context, or a setting, that changes nothing."""

    def __init__(self, *_args: Any, **_options: Any):
        pass

    def __enter__(self) -> _Checked:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _gpus() -> int:
    return sum(d.startswith("cuda") for d in devices.devices())


def _has_gpu() -> bool:
    return _gpus() > 0


def _properties(device: Any = None) -> Any:
    """What a GPU is, in PyTorch's words; without one, the error that says what is missing."""
    index = str(device if device is not None else 0).rpartition(":")[2]
    devices.existing(f"cuda:{0 if index == 'cuda' else index}")
    import cupy

    found = cupy.cuda.runtime.getDeviceProperties(0 if index == "cuda" else int(index))
    return types.SimpleNamespace(
        name=found["name"].decode(), major=found["major"], minor=found["minor"], total_memory=found["totalGlobalMem"],
        multi_processor_count=found["multiProcessorCount"], warp_size=found["warpSize"],
    )  # fmt: skip


def _onnx_export(model: Any, args: Any, f: Any, *, opset_version: int | None = None, **options: Any) -> None:
    """weft's exporter, which writes the opset of the installed `onnx`, whatever older one is asked for."""
    from ..onnx import export

    words = ("input_names", "output_names", "dynamic_axes", "dynamic_shapes")
    if opset_version is not None and opset_version < NEWEST_OPSET:
        warnings.warn(
            f"`opset_version={opset_version}` is not written: the file has the opset of the installed onnx, "
            f"{NEWEST_OPSET} or later",
            stacklevel=2,
        )
        opset_version = None
    export(model, args, f, opset=opset_version, **{name: options[name] for name in words if options.get(name)})


def _no_script(f: Any = None, *_args: Any, **_options: Any) -> Any:
    """The function or module itself: it runs as it is."""
    return f if f is not None else lambda f: f


class _Required:
    """What stands for a default that there is none of, in optimizers of one's own."""

    def __repr__(self) -> str:
        return "<required parameter>"


class _Event:
    """A moment, by the clock of the host once the device is done."""

    def __init__(self, *_args: Any, **_options: Any):
        self.at: float | None = None

    def record(self, stream: Any = None) -> None:
        """Now."""
        devices.synchronize()
        self.at = time.perf_counter()

    def elapsed_time(self, end_event: _Event) -> float:
        """Milliseconds from here to there."""
        if self.at is None or end_event.at is None:
            raise RuntimeError("both events must be recorded before their times are asked for")
        return (end_event.at - self.at) * 1e3

    def query(self) -> bool:
        """It has come."""
        return True

    def wait(self, stream: Any = None) -> None:
        """It has come."""

    synchronize = wait


class _Stream(_Checked):
    """A stream of a device's work, of which there is one."""

    def synchronize(self) -> None:
        """Wait for the device."""
        devices.synchronize()

    def wait_stream(self, stream: Any) -> None:
        """It is the same one."""

    wait_event = record_event = wait_stream


def _not_downloaded(*args: Any, **_options: Any) -> Any:
    raise RuntimeError(f"nothing is downloaded, got {args!r:.200}; put the file there, and use torch.load")


class Dropout2d(layers.Dropout2d):
    """weft's, which drops single values of an input (N, C) as PyTorch does."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[..., None, None])[..., 0, 0] if x.ndim == 2 else super().forward(x)


class SummaryWriter:
    """tensorboardX's, which writes what TensorBoard reads."""

    def __new__(cls, *args: Any, **options: Any) -> Any:
        try:
            from tensorboardX import SummaryWriter as Writer
        except ImportError as error:
            raise ImportError(f"`SummaryWriter` needs tensorboardX ({error}): pip install tensorboardX") from None
        return Writer(*args, **options)


NEWEST_OPSET = 24  # the least that is written

# The files of `torch.nn.modules`, in which programs look up layers.
FILES = (
    "activation adaptive batchnorm channelshuffle container conv distance dropout flatten fold instancenorm lazy linear loss"
    " module normalization padding pixelshuffle pooling rnn sparse transformer upsampling utils"
)

OPTIMIZERS = "optimizer sgd adam adamw adamax adagrad adadelta rmsprop rprop lbfgs nadam radam asgd"
OLD_NAMES = (
    "constant dirac eye kaiming_normal kaiming_uniform normal orthogonal sparse uniform xavier_normal xavier_uniform"
)
_Backends = types.SimpleNamespace(
    MATH="math", FLASH_ATTENTION="flash", EFFICIENT_ATTENTION="efficient", CUDNN_ATTENTION="cudnn"
)
_SPECIAL = types.SimpleNamespace(
    **{**special.METHODS, **special.FUNCTIONS}, gammaln=special.lgamma, psi=special.digamma, exp2=arithmetic.METHODS["exp2"],
    erf=Tensor.erf, expit=Tensor.sigmoid, expm1=Tensor.expm1,
    log1p=Tensor.log1p, logsumexp=Tensor.logsumexp, softmax=Tensor.softmax, log_softmax=Tensor.log_softmax,
    round=Tensor.round, entr=lambda x: -special.METHODS["xlogy"](x, x),
)  # fmt: skip

# The files of `torch.distributions`, in which programs look up its classes.
DISTRIBUTIONS = (
    "bernoulli beta binomial categorical cauchy chi2 dirichlet distribution exponential gamma geometric gumbel half_cauchy"
    " half_normal independent kl laplace log_normal mixture_same_family multinomial multivariate_normal negative_binomial"
    " normal one_hot_categorical pareto poisson relaxed_bernoulli relaxed_categorical studentT transformed_distribution"
    " transforms uniform weibull"
)

SUBMODULES: dict[str, Any] = {
    "nn": {"Parameter": Parameter, "DataParallel": DataParallel, "Dropout2d": Dropout2d, "__from__": layers},
    "nn.parallel": {"data_parallel": data_parallel, "DataParallel": DataParallel, "DistributedDataParallel": DataParallel},
    "nn.parallel.distributed": {"DistributedDataParallel": DataParallel},
    "nn.attention": {"SDPBackend": _Backends, "sdpa_kernel": _Checked},
    "distributions": {"__from__": distributions, **distributions_transforms.TRANSFORMS},
    **{f"distributions.{name}": {"__from__": distributions} for name in DISTRIBUTIONS.split()},
    "distributions.transforms": distributions_transforms.TRANSFORMS,
    "distributions.constraints": vars(distributions_constraints.CONSTRAINTS),
    "utils.data.sampler": {"__from__": loading},
    "amp": {"autocast": _autocast, "GradScaler": _scaler},
    "cuda.amp": {"autocast": _autocast, "GradScaler": _scaler},
    "nn.functional": {"__from__": functional, "sigmoid": functional.sigmoid, "tanh": functional.tanh},
    "nn.init": {"__from__": init, **insides.FANS, **{name: getattr(init, f"{name}_") for name in OLD_NAMES.split()}},
    "nn.parameter": {"Parameter": Parameter},
    "nn.modules": {"__from__": layers},
    **{f"nn.modules.{name}": {**insides.FILES.get(name, {}), "__from__": layers} for name in FILES.split()},
    "nn.utils": {
        "clip_grad_norm": optimizers.clip_grad_norm_, "clip_grad_norm_": optimizers.clip_grad_norm_,
        "clip_grad_value_": optimizers.clip_grad_value_, "__from__": utils,
    },
    "nn.utils.rnn": {"__from__": rnn},
    "optim": {"Optimizer": Optimizer, "__from__": optimizers},
    **{f"optim.{name}": {"Optimizer": Optimizer, "__from__": optimizers} for name in OPTIMIZERS.split()},
    "optim.optimizer": {"Optimizer": Optimizer, "required": _Required(), "__from__": optimizers},
    "profiler": profiling.FUNCTIONS,
    "autograd.profiler": profiling.FUNCTIONS,
    "optim.swa_utils": {"__from__": swa_utils},
    "nn.utils.parametrizations": {"__from__": utils.parametrizations},
    "nn.utils.parametrize": {"__from__": utils.parametrize},
    "nn.utils.prune": {"__from__": utils.prune},
    "nn.utils.clip_grad": {"__from__": utils, "clip_grad_norm_": optimizers.clip_grad_norm_},
    **{f"nn.utils.{name}": {"__from__": utils} for name in ("convert_parameters", "stateless")},
    "optim.lr_scheduler": {"__from__": optimizers.schedulers},
    "nn.modules.linear": {"NonDynamicallyQuantizableLinear": layers.Linear, "__from__": layers},
    "linalg": {"__from__": linalg, **algebra.LINALG},
    "fft": {
        "__from__": fft,
        **{name: functools.partial(_two_axes, getattr(fft, f"{name[:-1]}n")) for name in ("fft2", "ifft2", "rfft2", "irfft2")},
    },
    "func": {**calculus.FUNC, "vmap": vmap, "functional_call": utils.stateless.functional_call},
    "_vmap_internals": {"vmap": vmap},
    "distributed": DISTRIBUTED,
    "multiprocessing": processes.FUNCTIONS,
    "serialization": {"add_safe_globals": nothing, "safe_globals": contextlib.nullcontext},
    "onnx": {"export": _onnx_export},
    "utils": {},
    "utils._pytree": insides.TREES,
    "utils.hooks": {"RemovableHandle": RemovableHandle},
    "utils.dlpack": {"to_dlpack": lambda tensor: tensor.__dlpack__(), "from_dlpack": TABLE["from_dlpack"]},
    "utils.checkpoint": calculus.CHECKPOINT,
    "utils.tensorboard": {"SummaryWriter": SummaryWriter},
    "utils.data": {"__from__": loading},
    "utils.data.distributed": {"__from__": loading},
    "utils.data.dataset": {"__from__": loading},
    "utils.data.dataloader": {"__from__": loading},
    "autograd": {
        "Variable": Variable, "backward": calculus.backward_of, "set_grad_enabled": TABLE["set_grad_enabled"],
        "detect_anomaly": _Checked, "set_detect_anomaly": _Checked, "inference_mode": TABLE["inference_mode"],
        "gradcheck": gradchecks.gradcheck, "gradgradcheck": gradchecks.gradgradcheck,
        "__from__": differentiation,
    },
    "autograd.variable": {"Variable": Variable},
    "autograd.function": {"__from__": differentiation, "once_differentiable": _no_script},
    "autograd.functional": calculus.FUNCTIONAL,
    "autograd.grad_mode": {"no_grad": TABLE["no_grad"], "enable_grad": TABLE["enable_grad"]},
    "sparse": {"mm": TABLE["spmm"], **sparse.SPARSE},
    "cuda.sparse": {name: sparse.SPARSE[name] for name in ("FloatTensor", "DoubleTensor")},
    "jit": {
        "script": _no_script, "trace": lambda f, *_args, **_options: f, "ignore": _no_script, "export": _no_script,
        "unused": _no_script, "is_scripting": lambda: False, "is_tracing": lambda: False, "ScriptModule": layers.Module,
        "script_method": _no_script, "annotate": lambda the_type, the_value: the_value,
        "interface": _no_script, "fork": lambda f, *args, **options: f(*args, **options), "wait": lambda found: found,
        "save": TABLE["save"], "load": TABLE["load"], "Final": Any,
    },
    "hub": {"load_state_dict_from_url": _not_downloaded, "load": _not_downloaded, "download_url_to_file": _not_downloaded,
            "set_dir": nothing, "get_dir": hub_folder},
    "utils.model_zoo": {"load_url": _not_downloaded},
    "random": {"manual_seed": TABLE["manual_seed"], "fork_rng": fork_rng, "get_rng_state": get_rng_state,
               "set_rng_state": set_rng_state, "initial_seed": TABLE["initial_seed"], "seed": TABLE["seed"]},
    "version": {"cuda": None, "hip": None, "__version__": "2.13.0+weft"},
    "_utils": {"_accumulate": itertools.accumulate},
    "_dynamo": {"config": types.SimpleNamespace(suppress_errors=True), "reset": nothing},
    "compiler": {"disable": _no_script, "is_compiling": lambda: False, "reset": nothing},
    "special": {"__from__": _SPECIAL},
    "testing": {"assert_close": assert_close, "assert_allclose": assert_close},
    "types": {"Device": str, "Number": float},
    "cuda": {
        "is_available": _has_gpu, "device_count": _gpus,
        "synchronize": devices.synchronize, "manual_seed": nothing, "manual_seed_all": nothing, "empty_cache": nothing,
        "current_device": lambda: 0, "set_device": nothing, "init": nothing, "get_device_properties": _properties,
        "get_device_name": lambda device=None: _properties(device).name,
        "get_device_capability": lambda device=None: (_properties(device).major, _properties(device).minor),
        "is_bf16_supported": lambda *_: True, "device": _Checked, "Stream": _Stream, "stream": _Checked,
        "current_stream": _Stream, "default_stream": _Stream, "Event": _Event, "OutOfMemoryError": OutOfMemory,
        "ipc_collect": nothing, "memory_summary": lambda *_args, **_options: memory_summary(), "memory_cached": lambda *_: 0,
        "max_memory_cached": lambda *_: 0, "mem_get_info": lambda *_: (0, 0), "get_arch_list": list, "memory_stats": lambda *_: {},
        "reset_max_memory_allocated": nothing, "is_current_stream_capturing": lambda: False,
        "memory_allocated": lambda *_: 0, "max_memory_allocated": lambda *_: 0, "reset_peak_memory_stats": nothing,
        "memory_reserved": lambda *_: 0, "max_memory_reserved": lambda *_: 0, "is_initialized": lambda: False,
        "get_rng_state": get_rng_state, "set_rng_state": nothing, "get_rng_state_all": list, "set_rng_state_all": nothing,
        **TYPES,
    },
    "accelerator": {
        "is_available": _has_gpu, "device_count": _gpus, "synchronize": devices.synchronize, "current_device_index": lambda: 0,
        "current_accelerator": lambda check_available=False: TABLE["device"]("cuda") if _has_gpu() else None,
        "set_device_index": nothing,
    },
    "mps": {"is_available": lambda: False, "empty_cache": nothing, "manual_seed": nothing, "synchronize": nothing},
    "xpu": {"is_available": lambda: False, "device_count": lambda: 0, "empty_cache": nothing, "synchronize": nothing},
    "backends": {},
    "backends.cudnn": {
        "benchmark": False, "deterministic": True, "enabled": False, "allow_tf32": True, "is_available": lambda: False,
        "version": lambda: None, "flags": _Checked,
    },
    "backends.mps": {"is_available": lambda: False, "is_built": lambda: False},
    **{f"backends.{name}": {"is_available": lambda: False} for name in ("mkl", "mkldnn", "openmp", "opt_einsum")},
    "backends.cuda": {
        "sdp_kernel": _Checked, "is_built": _has_gpu,
        **{f"enable_{kind}_sdp": nothing for kind in ("flash", "mem_efficient", "math", "cudnn")},
        **{f"{kind}_sdp_enabled": lambda: True for kind in ("flash", "mem_efficient", "math", "cudnn")},
    },
    "backends.cuda.matmul": {},
}  # fmt: skip
