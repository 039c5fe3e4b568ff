"""Mixed precision: inside `autocast`, matrix products run in half precision, what is sensitive to it in float32.

The lists follow `torch.autocast`. Whatever is on neither runs in the dtype that its arguments promote to.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from . import dtypes
from .autograd import _mode
from .manipulation import astype
from .tensor import Parameter, Tensor

__all__ = ["autocast", "is_autocast_enabled"]

# Products: their operations grow faster than their data, and tensor cores accumulate in float32 anyway.
LOW = (
    "linear.linear", "linear.matmul", "linear.tensordot", "linear.vecdot", "convolution.conv2d",
    "convolution.conv_transpose2d", "activation.prelu", "attention.scaled_dot_product_attention",
)  # fmt: skip

# Sums of many terms, exponentials and powers.
FULL = (
    "activation.log_softmax", "activation.softmax", "activation.softplus", "activation.log_sigmoid",
    "elementwise.exp", "elementwise.expm1", "elementwise.log", "elementwise.log10", "elementwise.log1p",
    "elementwise.log2", "elementwise.logaddexp", "elementwise.pow", "elementwise.reciprocal", "elementwise.acos",
    "elementwise.asin", "elementwise.cosh", "elementwise.sinh", "elementwise.tan",
    "linalg.vector_norm", "loss.binary_cross_entropy", "loss.binary_cross_entropy_with_logits",
    "loss.hinge_embedding_loss", "loss.hinge_loss", "loss.huber_loss", "loss.kl_div", "loss.l1_loss", "loss.mse_loss",
    "loss.multi_margin_loss", "loss.nll_loss", "loss.smooth_l1_loss", "loss.soft_margin_loss",
    "loss.softmax_cross_entropy", "normalization.batch_norm", "normalization.batch_norm_inference",
    "normalization.group_norm", "normalization.layer_norm", "normalization.rms_norm", "reductions.cumulative_prod",
    "reductions.cumulative_sum", "reductions.logsumexp", "reductions.mean", "reductions.prod", "reductions.std",
    "reductions.sum", "reductions.var",
)  # fmt: skip


class autocast:
    """Run products in half precision inside the block (or function), and what needs it in float32.

    Parameters
    ----------
    dtype : "bfloat16" (the range of float32: needs nothing else) or "float16" (three more bits of precision, and a
        range from 6e-8 to 65504: scale the loss with a `GradScaler`).
    enabled : False makes it do nothing, and inside another autocast, switches that off.

    Parameters stay float32, and so do their gradients: each is rounded when a product first uses it in the block, and
    the rounded copy is kept until the block ends. float64 and integers are left as they are. Call `backward` outside
    the block: an operation's gradient is computed in the operation's own dtype. Where `torch.autocast` takes a device
    first, this takes the dtype: the device is that of the tensors, and a CPU runs the same code.

    Raises ValueError for any other dtype. Reference: Micikevicius et al., Mixed precision training (2018).

    >>> w = weft.ones((2, 2), requires_grad=True)
    >>> with weft.autocast("bfloat16"):
    ...     y = weft.ones((1, 2)) @ w
    >>> y.dtype, w.dtype
    (dtype(bfloat16), dtype('float32'))
    """

    def __init__(self, dtype: Any = "bfloat16", *, enabled: bool = True):
        self.dtype = np.dtype(dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        if self.dtype.name not in ("bfloat16", "float16"):
            raise ValueError(f"`dtype` must be bfloat16 or float16, got {self.dtype}")
        self.enabled = enabled
        self._outer: list[Any] = []

    def __enter__(self) -> autocast:
        self._outer.append(_mode.cast)
        _mode.cast = _Cast(self.dtype) if self.enabled else None
        return self

    def __exit__(self, *error: object) -> None:
        _mode.cast = self._outer.pop()

    def __call__(self, function: Any) -> Any:
        @functools.wraps(function)
        def inside(*args: Any, **options: Any) -> Any:
            with autocast(self.dtype, enabled=self.enabled):
                return function(*args, **options)

        return inside


def is_autocast_enabled() -> bool:
    """Whether products run in half precision here."""
    return _mode.cast is not None


class _Cast:
    """What `primitive` does to arguments inside the block; remembers the rounded copies of parameters."""

    def __init__(self, dtype: np.dtype):
        self.dtype = dtype
        self.targets = {**dict.fromkeys(LOW, dtype), **dict.fromkeys(FULL, np.dtype(np.float32))}
        self.copies: dict[tuple, tuple[Tensor, Tensor]] = {}  # by identity, and by the tape that recorded the rounding

    def anew(self) -> _Cast:
        """The same without the copies, for another tape."""
        return _Cast(self.dtype)

    def __call__(self, name: str, args: tuple) -> tuple:
        target = self.targets.get(name)
        if target is None:
            return args
        return tuple(self._one(a, target) if isinstance(a, Tensor) else a for a in args)

    def _one(self, a: Tensor, target: np.dtype) -> Tensor:
        dtype = np.dtype(dtypes.of(a))
        if dtype == target or not dtypes.is_real_floating(dtype) or dtype.itemsize > 4:
            return a
        if not isinstance(a, Parameter):
            return astype(a, target)
        key = id(a), _mode.enabled, _mode.level, _mode.base
        if key not in self.copies:
            self.copies[key] = a, astype(a, target)  # `a` is kept so that its identity stays its own
        return self.copies[key][1]
