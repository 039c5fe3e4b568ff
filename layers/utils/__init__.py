"""Tools beside the layers, as `torch.nn.utils`: packed sequences (`rnn`), parametrisations, pruning, gradient clipping, fusion.

Not here: `clip_grad_norm`, deprecated in PyTorch for `clip_grad_norm_`.
"""

from typing import TYPE_CHECKING, Any

from . import parametrizations, parametrize, prune, rnn, stateless
from .fusion import fuse_conv_bn_eval, fuse_conv_bn_weights, fuse_linear_bn_eval, fuse_linear_bn_weights
from .legacy_spectral_norm import remove_spectral_norm, spectral_norm
from .legacy_weight_norm import remove_weight_norm, weight_norm
from .vectors import (
    convert_conv2d_weight_memory_format,
    convert_conv3d_weight_memory_format,
    parameters_to_vector,
    skip_init,
    vector_to_parameters,
)

if TYPE_CHECKING:
    from ...optimizers.clipping import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "convert_conv2d_weight_memory_format",
    "convert_conv3d_weight_memory_format",
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "prune",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "skip_init",
    "spectral_norm",
    "stateless",
    "vector_to_parameters",
    "weight_norm",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Clipping, which lies with the optimizers: these are loaded when it is first asked for."""
        if name in ("clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"):
            from ...optimizers import clipping

            return getattr(clipping, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
