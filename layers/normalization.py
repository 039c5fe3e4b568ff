"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..backend.array.creation import asarray, ones, zeros
from ..backend.array.einsum import einsum
from ..backend.device import ranks
from ..backend.device.dtypes import int64
from ..backend.device.options import integer, number
from ..backend.tape.autograd import is_computed_again
from ..backend.tape.tensor import DType, Parameter, Tensor
from . import functional as F
from . import init
from .functional import _check as check
from .functional.normalization import sync_batch_norm
from .module import Layer, Module

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "CrossMapLRN2d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
    "SyncBatchNorm",
]


def _affine(
    shape: int | tuple[int, ...], weight: bool, bias: bool, device: str | None, dtype: DType
) -> tuple[Parameter | None, Parameter | None]:
    """A weight of ones and a bias of zeros, where wanted."""
    w = Parameter(ones(shape, device=device, dtype=dtype)) if weight else None
    return w, Parameter(zeros(shape, device=device, dtype=dtype)) if bias else None


class _Norm(Layer):
    """What has a weight and a bias that start at 1 and 0."""

    weight: Parameter | None
    bias: Parameter | None = None

    def reset_parameters(self) -> None:
        """The initial weight and bias again."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _RunningNorm(_Norm):
    """What may keep running statistics of its channels."""

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    _optional_state = ("num_batches_tracked",)  # older PyTorch files do not have it
    dims: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.sizes(num_features=num_features)
        check.eps(eps)
        if momentum is not None:
            number("momentum", momentum, 0, 1)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.weight, self.bias = _affine(num_features, affine, affine and bias, device, dtype)
        track = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, device=device, dtype=dtype) if track else None)
        self.register_buffer("running_var", ones(num_features, device=device, dtype=dtype) if track else None)
        self.register_buffer("num_batches_tracked", zeros((), device=device, dtype=int64) if track else None)

    def reset_running_stats(self) -> None:
        """Forget what was tracked."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            self.num_batches_tracked.data[...] = 0

    def reset_parameters(self) -> None:
        """The initial weight and bias again, and nothing tracked."""
        self.reset_running_stats()
        super().reset_parameters()

    def _check_dims(self, input: Tensor, without_batch: int | None = None) -> None:
        if input.ndim not in self.dims:
            shapes = {2: "(N, C)", 3: "(N, C, L)", 4: "(N, C, H, W)", 5: "(N, C, D, H, W)"} | (
                {without_batch: "(C, …)"} if without_batch else {}
            )
            wanted = " or ".join(shapes[d] for d in sorted(self.dims, reverse=True))
            raise ValueError(f"`input` of {type(self).__name__} must have shape {wanted}, got {tuple(input.shape)}")

    def extra_repr(self) -> str:
        numbers = f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"
        affine = f"affine={self.affine}, bias={self.bias is not None}"
        return f"{numbers}, {affine}, track_running_stats={self.track_running_stats}"


class _BatchNorm(_RunningNorm):
    def forward(self, input: Tensor) -> Tensor:
        self._check_dims(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None and not is_computed_again():
            self.num_batches_tracked.data += 1
            if self.momentum is None:
                momentum = 1.0 / self.num_batches_tracked.item()
        return self._by_batch(input, momentum)

    def _by_batch(self, input: Tensor, momentum: float) -> Tensor:
        tracked = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of x (N, C) or (N, C, L), as `torch.nn.BatchNorm1d`; see `BatchNorm2d`.

    Parameters
    ----------
    num_features : int
        Channels C of x.
    eps : float, default 1e-5
        Added to the variance: keeps the division from 0.
    momentum : float or None, default 0.1
        Weight of a new batch in the running statistics; None averages over all batches.
    affine : bool, default True
        Whether weight and bias are learned; otherwise there are none.
    track_running_stats : bool, default True
        False normalises by the batch in evaluation, too.
    bias : bool, default True
        False leaves out the bias alone.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        In a call, if x has another number of axes or of channels, or one value per channel in training.

    References
    ----------
    Ioffe & Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift"
    (2015).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.BatchNorm1d(2, eps=1e-12, affine=False)(weft.tensor([[1.0, 5.0], [3.0, 7.0]])).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of x (N, C, H, W), as `torch.nn.BatchNorm2d`: of each channel c.

        y = weight · (x − μ) / √(σ² + eps) + bias

    Training: μ and σ² are the mean and the (biased) variance of the channel in this batch, and the running statistics
    follow,

        running ← (1 − momentum) · running + momentum · batch

    with the unbiased variance of the batch. Where a text has a decay α, running ← α · running + (1 − α) · batch, then
    momentum = 1 − α. Evaluation: μ and σ² are the running statistics, unless `track_running_stats=False`, then those of
    the batch.

    State: `weight`, `bias` (C), from 1 and 0; `running_mean`, `running_var` (C), from 0 and 1; `num_batches_tracked`.

    Parameters
    ----------
    num_features : int
        Channels C of x.
    eps : float, default 1e-5
        Added to the variance: keeps the division from 0.
    momentum : float or None, default 0.1
        Weight of a new batch in the running statistics; None averages over all batches.
    affine : bool, default True
        Whether weight and bias are learned; otherwise there are none.
    track_running_stats : bool, default True
        False normalises by the batch in evaluation, too.
    bias : bool, default True
        False leaves out the bias alone.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        In a call, if x has another number of axes or of channels, or one value per channel in training.

    References
    ----------
    Ioffe & Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift"
    (2015).

    Examples
    --------
    >>> from weft import layers as nn
    >>> norm = nn.BatchNorm2d(3)
    >>> norm(weft.ones((2, 3, 4, 4))).shape, norm.num_batches_tracked.item()
    ((2, 3, 4, 4), 1)
    """

    dims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of x (N, C, D, H, W), as `torch.nn.BatchNorm3d`; see `BatchNorm2d`.

    Parameters
    ----------
    num_features : int
        Channels C of x.
    eps : float, default 1e-5
        Added to the variance: keeps the division from 0.
    momentum : float or None, default 0.1
        Weight of a new batch in the running statistics; None averages over all batches.
    affine : bool, default True
        Whether weight and bias are learned; otherwise there are none.
    track_running_stats : bool, default True
        False normalises by the batch in evaluation, too.
    bias : bool, default True
        False leaves out the bias alone.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        In a call, if x has another number of axes or of channels, or one value per channel in training.

    References
    ----------
    Ioffe & Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift"
    (2015).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.BatchNorm3d(3)(weft.ones((2, 3, 4, 4, 4))).shape
    (2, 3, 4, 4, 4)
    """

    dims = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation of x (N, C, …) over the batches of all processes, as `torch.nn.SyncBatchNorm`; see `BatchNorm2d`.

    After `weft.distributed.init()`, mean and variance are those of all processes' samples, with gradients through them, so
    that N processes compute what one does with the whole batch. In one process, as here, and in evaluation, its numbers are
    those of the other batch normalisations.

    Parameters
    ----------
    num_features : int
        Channels C of x.
    eps : float, default 1e-5
        Added to the variance: keeps the division from 0.
    momentum : float or None, default 0.1
        Weight of a new batch in the running statistics; None averages over all batches.
    affine : bool, default True
        Whether weight and bias are learned; otherwise there are none.
    track_running_stats : bool, default True
        False normalises by the batch in evaluation, too.
    process_group : optional
        PyTorch's argument: which processes take part. None is all of them, and the only choice.
    bias : bool, default True
        False leaves out the bias alone.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If `process_group` is given; in a call, if x has fewer than two axes or another number of channels, or one value
        per channel in training.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm1d(2)))
    Sequential(
      (0): SyncBatchNorm(2, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    )
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: None = None,
        *,
        bias: bool = True,
        device: str | None = None,
        dtype: DType = None,
    ):
        if process_group is not None:
            raise ValueError(f"`process_group` must be None, all processes, got {process_group!r}")
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, bias=bias, device=device, dtype=dtype
        )
        self.process_group = process_group

    def _by_batch(self, input: Tensor, momentum: float) -> Tensor:
        if ranks.group is None or not self.training:
            return super()._by_batch(input, momentum)
        running = (self.running_mean, self.running_var) if self.track_running_stats else (None, None)
        return sync_batch_norm(input, *running, self.weight, self.bias, momentum, self.eps)

    def _check_dims(self, input: Tensor, without_batch: int | None = None) -> None:
        if input.ndim < 2:
            raise ValueError(f"`input` of SyncBatchNorm must have shape (N, C, …), got {tuple(input.shape)}")

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: None = None) -> Module:
        """The module with every batch normalisation in it replaced by one of these, which has its parameters and buffers.

        Parameters
        ----------
        module : Module
            Changed in place, unless it is a batch normalisation itself.
        process_group : optional
            As for the class.

        Returns
        -------
        Module
            `module`, or what replaces it.
        """
        found = module
        if isinstance(module, _BatchNorm):
            m = module
            found = cls(
                m.num_features,
                m.eps,
                m.momentum,
                m.affine,
                m.track_running_stats,
                process_group,
                bias=m.bias is not None,
            )
            found.weight, found.bias = m.weight, m.bias
            found.running_mean, found.running_var = m.running_mean, m.running_var
            found.num_batches_tracked = m.num_batches_tracked
            found.training = m.training
        for name, child in module.named_children():
            converted = cls.convert_sync_batchnorm(child, process_group)
            if converted is not child:
                found.add_module(name, converted)
        return found


class _InstanceNorm(_RunningNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
        device: str | None = None,
        dtype: DType = None,
    ):
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, bias=bias, device=device, dtype=dtype
        )

    def forward(self, input: Tensor) -> Tensor:
        batched = max(self.dims)
        self._check_dims(input, batched - 1)
        x = input if input.ndim == batched else input.unsqueeze(0)
        y = F.instance_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return y if input.ndim == batched else y.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of x (N, C, L) or (C, L), as `torch.nn.InstanceNorm1d`; see `InstanceNorm2d`.

    Parameters
    ----------
    num_features : int
        Channels C of x.
    eps : float, default 1e-5
        Added to the variance: keeps the division from 0.
    momentum : float, default 0.1
        Weight of a new batch in the running statistics.
    affine : bool, default False
        Whether weight and bias are learned; otherwise there are none.
    track_running_stats : bool, default False
        Whether evaluation uses running statistics.
    bias : bool, default True
        False leaves out the bias alone.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        In a call, if x has another number of axes or of channels.

    References
    ----------
    Ulyanov et al., "Instance Normalization: The Missing Ingredient for Fast Stylization" (2016).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.InstanceNorm1d(1, eps=0.0)(weft.tensor([[1.0, 3.0, 1.0, 3.0]])).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Batch normalisation of each example by itself: x (N, C, H, W) or (C, H, W), as `torch.nn.InstanceNorm2d`.

        y = weight · (x − μ) / √(σ² + eps) + bias

    with mean and biased variance of each channel of each example.

    Parameters
    ----------
    num_features : int
        Channels C of x.
    eps : float, default 1e-5
        Added to the variance: keeps the division from 0.
    momentum : float, default 0.1
        Weight of a new batch in the running statistics.
    affine : bool, default False
        Whether weight and bias are learned; otherwise there are none.
    track_running_stats : bool, default False
        Whether evaluation uses running statistics.
    bias : bool, default True
        False leaves out the bias alone.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        In a call, if x has another number of axes or of channels.

    References
    ----------
    Ulyanov et al., "Instance Normalization: The Missing Ingredient for Fast Stylization" (2016).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.InstanceNorm2d(3)(weft.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of x (N, C, D, H, W) or (C, D, H, W), as `torch.nn.InstanceNorm3d`; see `InstanceNorm2d`.

    Parameters
    ----------
    num_features : int
        Channels C of x.
    eps : float, default 1e-5
        Added to the variance: keeps the division from 0.
    momentum : float, default 0.1
        Weight of a new batch in the running statistics.
    affine : bool, default False
        Whether weight and bias are learned; otherwise there are none.
    track_running_stats : bool, default False
        Whether evaluation uses running statistics.
    bias : bool, default True
        False leaves out the bias alone.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        In a call, if x has another number of axes or of channels.

    References
    ----------
    Ulyanov et al., "Instance Normalization: The Missing Ingredient for Fast Stylization" (2016).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.InstanceNorm3d(3)(weft.ones((2, 3, 4, 4, 4))).shape
    (2, 3, 4, 4, 4)
    """

    dims = (4, 5)


def _shape(normalized_shape: int | Iterable[int]) -> tuple[int, ...]:
    shape = tuple(normalized_shape) if isinstance(normalized_shape, list | tuple) else (normalized_shape,)
    for length in shape:
        integer("normalized_shape", length, 0)
    if not shape:
        raise ValueError("`normalized_shape` must hold the length of at least one axis, got ()")
    return shape


class LayerNorm(_Norm):
    """Normalisation of each example over its last axes, as `torch.nn.LayerNorm`.

        y = weight · (x − μ) / √(σ² + eps) + bias

    with mean and biased variance over the axes of `normalized_shape`, which is the shape of weight and bias.

    Parameters
    ----------
    normalized_shape : int or iterable of int
        Lengths of the last axes of x.
    eps : float, default 1e-5
        Added to the variance: keeps the division from 0.
    elementwise_affine : bool, default True
        Whether weight and bias are learned; otherwise there are none.
    bias : bool, default True
        False leaves out the bias alone.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        In a call, if the shape of x does not end with `normalized_shape`.

    References
    ----------
    Ba et al., "Layer Normalization" (2016).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LayerNorm(4)(weft.ones((2, 3, 4))).shape
    (2, 3, 4)
    """

    def __init__(
        self,
        normalized_shape: int | Iterable[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.eps(eps)
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight, self.bias = _affine(
            self.normalized_shape, elementwise_affine, elementwise_affine and bias, device, dtype
        )

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        text = f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        return f"{text}, bias={self.bias is not None}"


class RMSNorm(_Norm):
    """Division by the root mean square over the last axes, as `torch.nn.RMSNorm`: y = weight · x / √(mean x² + eps).

    Parameters
    ----------
    normalized_shape : int or iterable of int
        Lengths of the last axes of x, and the shape of the weight.
    eps : float, optional
        Unless given, the machine epsilon of the dtype, or of float32 for half precision.
    elementwise_affine : bool, default True
        Whether the weight is learned; otherwise there is none.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        In a call, if the shape of x does not end with `normalized_shape`.

    References
    ----------
    Zhang & Sennrich, "Root Mean Square Layer Normalization" (2019).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.RMSNorm(2)(weft.tensor([3.0, -3.0])).tolist()
    [1.0, -1.0]
    """

    def __init__(
        self,
        normalized_shape: int | Iterable[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.eps(eps)
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight, _ = _affine(self.normalized_shape, elementwise_affine, False, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Norm):
    """Normalisation of each example over groups of neighbouring channels, as `torch.nn.GroupNorm`: x (N, C, …).

        y = weight · (x − μ) / √(σ² + eps) + bias

    with mean and biased variance over the C/num_groups channels of a group and all positions; weight and bias are (C).

    Parameters
    ----------
    num_groups : int
        How many groups; 1 normalises each example as a whole, C each channel of it.
    num_channels : int
        C, a multiple of `num_groups`.
    eps : float, default 1e-5
        Added to the variance: keeps the division from 0.
    affine : bool, default True
        Whether weight and bias are learned; otherwise there are none.
    bias : bool, default True
        False leaves out the bias alone.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If `num_groups` does not divide `num_channels`; in a call, if x has other channels.

    References
    ----------
    Wu & He, "Group Normalization" (2018).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.GroupNorm(2, 4)(weft.ones((2, 4, 5, 5))).shape
    (2, 4, 5, 5)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.eps(eps)
        check.sizes(num_groups=num_groups, num_channels=num_channels)
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"`num_groups` must divide `num_channels`, got {num_groups} and {num_channels}")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.weight, self.bias = _affine(num_channels, affine, affine and bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        affine = f"affine={self.affine}, bias={self.bias is not None}"
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, {affine}"


class LocalResponseNorm(Layer):
    """Division by what neighbouring channels of x (N, C, …) sum to, as `torch.nn.LocalResponseNorm`.

        y[c] = x[c] / (k + alpha/size · Σ_{|i| ≤ size/2} x[c + i]²)^beta

    Parameters
    ----------
    size : int
        How many channels are summed; of an even number, one more before c than after it.
    alpha : float, default 1e-4
        Weight of the sum.
    beta : float, default 0.75
        Exponent.
    k : float, default 1
        What is added to the sum.

    Raises
    ------
    ValueError
        If `size` is less than 1; in a call, if x has fewer than three axes.

    References
    ----------
    Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (2012).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LocalResponseNorm(2)(weft.ones((2, 4, 5))).shape
    (2, 4, 5)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        integer("size", size, 1)
        check.numbers(alpha=alpha, beta=beta, k=k)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(LocalResponseNorm):
    """`LocalResponseNorm` of images (N, C, H, W) as in Lua Torch, `torch.nn.CrossMapLRN2d`.

    Its sums are over the channels at most ⌊(size − 1)/2⌋ away and, as PyTorch's, over channel 0. The gradient is that of
    this formula; PyTorch's is not.

    Parameters
    ----------
    size : int
        How many channels are summed; one less if even.
    alpha : float, default 1e-4
        Weight of the sum, which is divided by `size`.
    beta : float, default 0.75
        Exponent.
    k : float, default 1
        What is added to the sum.

    Raises
    ------
    ValueError
        If `size` is less than 1; in a call, if x has not four axes.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.CrossMapLRN2d(3)(weft.ones((2, 4, 5, 5))).shape
    (2, 4, 5, 5)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1):
        super().__init__(size, alpha, beta, k)

    def forward(self, input: Tensor) -> Tensor:
        check.floating("input", input)
        if input.ndim != 4:
            raise ValueError(f"`input` must have shape (N, C, H, W), got {tuple(input.shape)}")
        channels = np.arange(input.shape[1])
        near = np.abs(channels[:, None] - channels) <= (self.size - 1) // 2
        near[:, 0] = True
        summed = asarray(near.astype(input.dtype), device=input.device)
        sums = einsum("dc,nchw->ndhw", summed, input * input)
        return input / (sums * (self.alpha / self.size) + self.k) ** self.beta
