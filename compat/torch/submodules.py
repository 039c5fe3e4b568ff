"""What is in `torch.nn`, `torch.optim` and the other modules that programs import: of weft, but for a few names."""

from __future__ import annotations

import contextlib
import multiprocessing
from typing import Any

from ... import layers, optimizers
from ...backend.array import fft, linalg
from ...backend.device import devices
from ...backend.modes import transforms
from ...backend.tape.tensor import Parameter, Tensor
from ...layers import functional, init, utils
from ...layers.utils import rnn
from . import differentiation, distributions, loading
from .functions import _autocast, _scaler

__all__ = ["SUBMODULES"]


def _nothing(*_args: Any, **_options: Any) -> None:
    """Settings that change nothing here."""


def _on_one_device(module: Any, *_devices: Any, **_options: Any) -> Any:
    """`DataParallel` on one device is the module."""
    return module


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

SUBMODULES: dict[str, Any] = {
    "nn": {"Parameter": Parameter, "DataParallel": _on_one_device, "Dropout2d": Dropout2d, "__from__": layers},
    "nn.parallel": {"DataParallel": _on_one_device},
    "distributions": {"__from__": distributions},
    "utils.data.sampler": {"__from__": loading},
    "amp": {"autocast": _autocast, "GradScaler": _scaler},
    "cuda.amp": {"autocast": _autocast, "GradScaler": _scaler},
    "nn.functional": {"__from__": functional, "sigmoid": functional.sigmoid, "tanh": functional.tanh},
    "nn.init": {"__from__": init},
    "nn.parameter": {"Parameter": Parameter},
    "nn.modules": {"__from__": layers},
    **{f"nn.modules.{name}": {"__from__": layers} for name in FILES.split()},
    "nn.utils": {
        "clip_grad_norm_": optimizers.clip_grad_norm_, "clip_grad_value_": optimizers.clip_grad_value_, "__from__": utils,
    },
    "nn.utils.rnn": {"__from__": rnn},
    "optim": {"__from__": optimizers},
    "optim.lr_scheduler": {"__from__": optimizers.schedulers},
    "nn.modules.linear": {"NonDynamicallyQuantizableLinear": layers.Linear, "__from__": layers},
    "linalg": {"__from__": linalg, "norm": Tensor.norm},
    "fft": {"__from__": fft},
    "func": {"grad": transforms.grad, "grad_and_value": _grad_and_value},
    "distributed": {
        "is_available": lambda: False, "is_initialized": lambda: False, "get_rank": lambda: 0, "get_world_size": lambda: 1,
    },
    "multiprocessing": {"__from__": multiprocessing},
    "serialization": {"add_safe_globals": _nothing, "safe_globals": contextlib.nullcontext},
    "onnx": {},
    "utils": {},
    "utils.tensorboard": {"SummaryWriter": SummaryWriter},
    "utils.data": {"__from__": loading},
    "utils.data.distributed": {},
    "utils.data.dataset": {"__from__": loading},
    "utils.data.dataloader": {"__from__": loading},
    "autograd": {"Variable": lambda x, **_o: x, "__from__": differentiation},
    "cuda": {
        "is_available": lambda: "cuda" in {d.split(":")[0] for d in devices.devices()}, "device_count": lambda: 0,
        "manual_seed": _nothing, "manual_seed_all": _nothing, "empty_cache": _nothing, "synchronize": devices.synchronize,
    },
    "accelerator": {"is_available": lambda: False, "device_count": lambda: 0},
    "mps": {"is_available": lambda: False},
    "backends": {},
    "backends.cudnn": {"benchmark": False, "deterministic": True, "enabled": False},
    "backends.mps": {"is_available": lambda: False},
    "backends.cuda": {},
    "backends.cuda.matmul": {"allow_tf32": False},
}  # fmt: skip
