"""What is in `torch.nn`, `torch.optim` and the other modules that programs import: of weft, but for a few names."""

from __future__ import annotations

from typing import Any

from ... import layers, optimizers
from ...backend.array import linalg
from ...backend.device import devices
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


class Dropout2d(layers.Dropout2d):
    """weft's, which drops single values of an input (N, C) as PyTorch does."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[..., None, None])[..., 0, 0] if x.ndim == 2 else super().forward(x)


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
    "nn.utils": {
        "clip_grad_norm_": optimizers.clip_grad_norm_, "clip_grad_value_": optimizers.clip_grad_value_, "__from__": utils,
    },
    "nn.utils.rnn": {"__from__": rnn},
    "optim": {"__from__": optimizers},
    "optim.lr_scheduler": {"__from__": optimizers.schedulers},
    "linalg": {"__from__": linalg},
    "onnx": {},
    "utils": {},
    "utils.data": {"__from__": loading},
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
