"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Iterable

from ..backend.array.creation import ones, zeros
from ..backend.device.dtypes import int64
from ..backend.device.options import integer, number
from ..backend.tape.autograd import is_computed_again
from ..backend.tape.tensor import DType, Parameter, Tensor
from . import functional as F
from . import init
from .functional import _check as check
from .module import Layer

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "LayerNorm", "RMSNorm"]


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
            shapes = {2: "(N, C)", 3: "(N, C, L)", 4: "(N, C, H, W)"} | (
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
    >>> nn.BatchNorm1d(2, eps=0.0, affine=False)(weft.tensor([[1.0, 5.0], [3.0, 7.0]])).tolist()
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
