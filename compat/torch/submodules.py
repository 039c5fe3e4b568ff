"""What is in `torch.nn`, `torch.optim` and the other modules that programs import: of weft, but for a few names."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import types
from typing import Any

from ... import layers, optimizers
from ...backend.array import fft, linalg
from ...backend.device import devices
from ...backend.modes import derivatives, transforms
from ...backend.tape.tensor import Parameter, Tensor
from ...layers import functional, init, utils
from ...layers.utils import rnn
from ...optimizers import swa_utils
from . import (
    arithmetic,
    differentiation,
    distributions,
    gradchecks,
    loading,
    memory,
    more_distributions,
    processes,
    profiling,
)
from .dtypes import TYPES
from .functions import TABLE, _autocast, _scaler
from .optimizing import Optimizer
from .runtime import fork_rng, get_rng_state, nothing, set_rng_state, vmap

__all__ = ["SUBMODULES"]


class DataParallel(layers.Module):
    """A module on one device: `module`, called as it is. Its names in a state dict begin with "module."."""

    def __init__(self, module: Any, *_devices: Any, **_options: Any):
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **options: Any) -> Any:
        return self.module(*args, **options)

    def no_sync(self) -> Any:
        """Nothing is synchronised anyway."""
        return contextlib.nullcontext()


def _two_axes(of: Any, input: Any, s: Any = None, dim: Any = (-2, -1), norm: Any = None) -> Any:
    """A Fourier transform of two axes."""
    return of(input, s=s, axes=tuple(dim), norm=norm or "backward")


def _init_process_group(*_args: Any, world_size: int = -1, **_options: Any) -> None:
    """One process is a group of its own."""
    size = int(os.environ.get("WORLD_SIZE", 1)) if world_size in (-1, None) else world_size
    if size > 1:
        raise NotImplementedError(f"`world_size` must be 1, got {size}; weft.distributed trains on several processes")


def _reduced(tensor: Any, *_args: Any, **_options: Any) -> None:
    """Over a group of one."""


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


def _jacobian(func: Any, inputs: Any, create_graph: bool = False, **_options: Any) -> Any:
    if isinstance(inputs, Tensor):
        return derivatives.jacrev(func)(inputs)
    return tuple(derivatives.jacrev(func, i)(*inputs) for i in range(len(inputs)))


def _hessian(func: Any, inputs: Any, create_graph: bool = False, **_options: Any) -> Any:
    if isinstance(inputs, Tensor):
        return derivatives.hessian(func)(inputs)

    def block(i: int, j: int) -> Any:
        return derivatives.jacrev(lambda *x: transforms.grad(func, i)(*x), j)(*inputs)

    return tuple(tuple(block(i, j) for j in range(len(inputs))) for i in range(len(inputs)))


def _vjp_of(func: Any, inputs: Any, v: Any = None, **_options: Any) -> Any:
    value, pull = derivatives.vjp(func, *(inputs if isinstance(inputs, tuple) else (inputs,)))
    found = pull(value * 0 + 1 if v is None else v)
    return value, found if isinstance(inputs, tuple) else found[0]


def _jvp_of(func: Any, inputs: Any, v: Any = None, **_options: Any) -> Any:
    primals, tangents = (x if isinstance(x, tuple) else (x,) for x in (inputs, v))
    return derivatives.jvp(func, primals, tangents)


def _func_jvp(func: Any, primals: tuple, tangents: tuple, **_options: Any) -> Any:
    return derivatives.jvp(func, primals, tangents)


def _backward(
    tensors: Any, grad_tensors: Any = None, retain_graph: Any = None, create_graph: bool = False, **o: Any
) -> None:
    roots: list[Any] = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    seeds = [grad_tensors] if isinstance(grad_tensors, Tensor) else grad_tensors or [None] * len(roots)
    for k, (root, seed) in enumerate(zip(roots, seeds, strict=True)):
        root.backward(seed, retain_graph or k + 1 < len(roots), create_graph)  # they may share what is freed


def _checkpoint(function: Any, *args: Any, **options: Any) -> Any:
    """`torch.utils.checkpoint.checkpoint`; keyword arguments go to the function."""
    ours = {"use_reentrant", "preserve_rng_state", "context_fn", "determinism_check", "debug"}
    given = {k: v for k, v in options.items() if k not in ours}
    return transforms.checkpoint(functools.partial(function, **given) if given else function, *args)


def _checkpoint_sequential(functions: Any, segments: int, input: Any, **_options: Any) -> Any:
    parts = list(functions.children()) if isinstance(functions, layers.Module) else list(functions)
    size = len(parts) // segments
    for k in range(segments):
        run = layers.Sequential(*parts[k * size : len(parts) if k + 1 == segments else (k + 1) * size])
        input = transforms.checkpoint(run, input) if k + 1 < segments else run(input)
    return input


def _no_script(f: Any = None, *_args: Any, **_options: Any) -> Any:
    """The function or module itself: it runs as it is."""
    return f if f is not None else lambda f: f


def _not_downloaded(*args: Any, **_options: Any) -> Any:
    raise RuntimeError(f"nothing is downloaded, got {args!r:.200}; put the file there, and use torch.load")


def _grad_and_value(function: Any, argnums: Any = 0) -> Any:
    """PyTorch's order of the two."""
    both = transforms.value_and_grad(function, argnums)

    def run(*args: Any, **options: Any) -> tuple[Any, Any]:
        value, slope = both(*args, **options)
        return slope, value

    return run


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
    **{name: arithmetic.METHODS[name] for name in ("digamma", "erfc", "erfinv", "exp2", "logit", "sinc", "xlogy")},
    polygamma=arithmetic.FUNCTIONS["polygamma"], gammaln=arithmetic.lgamma, psi=arithmetic.digamma,
    erf=Tensor.erf, expit=Tensor.sigmoid, expm1=Tensor.expm1,
    log1p=Tensor.log1p, logsumexp=Tensor.logsumexp, softmax=Tensor.softmax, log_softmax=Tensor.log_softmax,
    round=Tensor.round, entr=lambda x: -arithmetic.METHODS["xlogy"](x, x),
)  # fmt: skip

DISTRIBUTIONS = {
    **dict.fromkeys(("normal", "categorical", "bernoulli", "distribution"), distributions),
    **dict.fromkeys(
        ("kl", "independent", "uniform", "multivariate_normal", "beta", "gamma", "transforms"), more_distributions
    ),
}

SUBMODULES: dict[str, Any] = {
    "nn": {"Parameter": Parameter, "DataParallel": DataParallel, "Dropout2d": Dropout2d, "__from__": layers},
    "nn.parallel": {"DataParallel": DataParallel, "DistributedDataParallel": DataParallel},
    "nn.parallel.distributed": {"DistributedDataParallel": DataParallel},
    "nn.attention": {"SDPBackend": _Backends, "sdpa_kernel": _Checked},
    "distributions": {"__from__": distributions, **{n: getattr(more_distributions, n) for n in more_distributions.__all__}},
    **{f"distributions.{name}": {"__from__": of} for name, of in DISTRIBUTIONS.items()},
    "utils.data.sampler": {"__from__": loading},
    "amp": {"autocast": _autocast, "GradScaler": _scaler},
    "cuda.amp": {"autocast": _autocast, "GradScaler": _scaler},
    "nn.functional": {"__from__": functional, "sigmoid": functional.sigmoid, "tanh": functional.tanh},
    "nn.init": {"__from__": init, **{name: getattr(init, f"{name}_") for name in OLD_NAMES.split()}},
    "nn.parameter": {"Parameter": Parameter},
    "nn.modules": {"__from__": layers},
    **{f"nn.modules.{name}": {"__from__": layers} for name in FILES.split()},
    "nn.utils": {
        "clip_grad_norm": optimizers.clip_grad_norm_, "clip_grad_norm_": optimizers.clip_grad_norm_,
        "clip_grad_value_": optimizers.clip_grad_value_, "__from__": utils,
    },
    "nn.utils.rnn": {"__from__": rnn},
    "optim": {"Optimizer": Optimizer, "__from__": optimizers},
    **{f"optim.{name}": {"Optimizer": Optimizer, "__from__": optimizers} for name in OPTIMIZERS.split()},
    "profiler": profiling.FUNCTIONS,
    "autograd.profiler": profiling.FUNCTIONS,
    "optim.swa_utils": {"__from__": swa_utils},
    "nn.utils.parametrizations": {"__from__": utils.parametrizations},
    "nn.utils.parametrize": {"__from__": utils.parametrize},
    "nn.utils.clip_grad": {"__from__": utils, "clip_grad_norm_": optimizers.clip_grad_norm_},
    **{f"nn.utils.{name}": {"__from__": utils} for name in ("convert_parameters", "stateless")},
    "optim.lr_scheduler": {"__from__": optimizers.schedulers},
    "nn.modules.linear": {"NonDynamicallyQuantizableLinear": layers.Linear, "__from__": layers},
    "linalg": {"__from__": linalg, **arithmetic.LINALG},
    "fft": {
        "__from__": fft,
        **{name: functools.partial(_two_axes, getattr(fft, f"{name[:-1]}n")) for name in ("fft2", "ifft2", "rfft2", "irfft2")},
    },
    "func": {
        "grad": transforms.grad, "grad_and_value": _grad_and_value, "vmap": vmap, "jacrev": derivatives.jacrev,
        "jacfwd": derivatives.jacrev, "hessian": derivatives.hessian, "vjp": derivatives.vjp, "jvp": _func_jvp,
        "functional_call": utils.stateless.functional_call,
    },
    "_vmap_internals": {"vmap": vmap},
    "distributed": {
        "is_available": lambda: False, "is_initialized": lambda: False, "get_rank": lambda *_: 0, "get_world_size": lambda *_: 1,
        "init_process_group": _init_process_group, "destroy_process_group": nothing, "barrier": nothing,
        "all_reduce": _reduced, "broadcast": _reduced, "ReduceOp": types.SimpleNamespace(SUM="sum", AVG="avg", MAX="max"),
        "is_nccl_available": lambda: False,
    },
    "multiprocessing": processes.FUNCTIONS,
    "serialization": {"add_safe_globals": nothing, "safe_globals": contextlib.nullcontext},
    "onnx": {},
    "utils": {},
    "utils.checkpoint": {"checkpoint": _checkpoint, "checkpoint_sequential": _checkpoint_sequential},
    "utils.tensorboard": {"SummaryWriter": SummaryWriter},
    "utils.data": {"__from__": loading},
    "utils.data.distributed": {"__from__": loading},
    "utils.data.dataset": {"__from__": loading},
    "utils.data.dataloader": {"__from__": loading},
    "autograd": {
        "Variable": Variable, "backward": _backward, "set_grad_enabled": TABLE["set_grad_enabled"], "detect_anomaly": _Checked,
        "set_detect_anomaly": _Checked, "inference_mode": TABLE["inference_mode"], "gradcheck": gradchecks.gradcheck,
        "gradgradcheck": gradchecks.gradgradcheck,
        "__from__": differentiation,
    },
    "autograd.variable": {"Variable": Variable},
    "autograd.function": {"__from__": differentiation, "once_differentiable": _no_script},
    "autograd.functional": {"jacobian": _jacobian, "hessian": _hessian, "vjp": _vjp_of, "jvp": _jvp_of},
    "autograd.grad_mode": {"no_grad": TABLE["no_grad"], "enable_grad": TABLE["enable_grad"]},
    "sparse": {
        "mm": TABLE["spmm"], "sum": Tensor.sum, "softmax": Tensor.softmax, "log_softmax": Tensor.log_softmax,
        "addmm": Tensor.addmm, "FloatTensor": memory.sparse_coo_tensor, "DoubleTensor": memory.sparse_coo_tensor,
        "LongTensor": memory.sparse_coo_tensor,
    },
    "cuda.sparse": {"FloatTensor": memory.sparse_coo_tensor},
    "jit": {
        "script": _no_script, "trace": lambda f, *_args, **_options: f, "ignore": _no_script, "export": _no_script,
        "unused": _no_script, "is_scripting": lambda: False, "is_tracing": lambda: False, "ScriptModule": layers.Module,
        "script_method": _no_script, "save": TABLE["save"], "load": TABLE["load"], "Final": Any,
    },
    "hub": {"load_state_dict_from_url": _not_downloaded, "load": _not_downloaded, "set_dir": nothing},
    "utils.model_zoo": {"load_url": _not_downloaded},
    "random": {"manual_seed": TABLE["manual_seed"], "fork_rng": fork_rng, "get_rng_state": get_rng_state,
               "set_rng_state": set_rng_state, "initial_seed": TABLE["initial_seed"], "seed": TABLE["seed"]},
    "version": {"cuda": None, "hip": None, "__version__": "2.13.0+weft"},
    "_utils": {"_accumulate": itertools.accumulate},
    "_dynamo": {"config": types.SimpleNamespace(suppress_errors=True), "reset": nothing},
    "compiler": {"disable": _no_script, "is_compiling": lambda: False, "reset": nothing},
    "special": {"__from__": _SPECIAL},
    "types": {"Device": str, "Number": float},
    "cuda": {
        "is_available": lambda: "cuda" in {d.split(":")[0] for d in devices.devices()},
        "device_count": lambda: sum(d.startswith("cuda") for d in devices.devices()),
        "synchronize": devices.synchronize, "manual_seed": nothing, "manual_seed_all": nothing, "empty_cache": nothing,
        "current_device": lambda: 0, "set_device": nothing, "get_device_name": lambda *_: "cuda", "init": nothing,
        "is_bf16_supported": lambda *_: True, "device": _Checked, "Stream": _Checked, "stream": _Checked,
        "memory_allocated": lambda *_: 0, "max_memory_allocated": lambda *_: 0, "reset_peak_memory_stats": nothing,
        "memory_reserved": lambda *_: 0, "max_memory_reserved": lambda *_: 0, "is_initialized": lambda: False,
        "get_rng_state": get_rng_state, "set_rng_state": nothing, "get_rng_state_all": list, "set_rng_state_all": nothing,
        **TYPES,
    },
    "accelerator": {"is_available": lambda: False, "device_count": lambda: 0},
    "mps": {"is_available": lambda: False},
    "backends": {},
    "backends.cudnn": {"benchmark": False, "deterministic": True, "enabled": False},
    "backends.mps": {"is_available": lambda: False},
    "backends.cuda": {},
    "backends.cuda.matmul": {"allow_tf32": False},
}  # fmt: skip
