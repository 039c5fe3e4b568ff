"""Layers that learn how many features they have from their first input, as PyTorch's `Lazy…`.

Until then their parameters are `UninitializedParameter`s, and the optimizer is to be made after the first call, which makes a
LazyLinear a Linear. A state_dict may be loaded before: it has the shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from typing import Any, TypeVar

from ..backend.tape.tensor import DType, Tensor
from .convolution import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .functional import _check as check
from .functional._check import Ints
from .linear import Linear
from .module import Module
from .normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from .parameter import UninitializedBuffer, UninitializedParameter, is_lazy

__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
    "LazyLinear",
    "LazyModuleMixin",
]


Lazy = TypeVar("Lazy", bound=type)


class LazyModuleMixin(Module):
    """What makes a module lazy: its first call runs `initialize_parameters`, and makes it a `cls_to_become`.

    A subclass gives itself `UninitializedParameter`s and defines `initialize_parameters`, which materializes them.

    Examples
    --------
    >>> from weft import layers as nn
    >>> class Scale(nn.LazyModuleMixin):
    ...     def __init__(self):
    ...         self.scale = nn.UninitializedParameter()
    ...
    ...     def initialize_parameters(self, x):
    ...         if self.has_uninitialized_params():
    ...             self.scale.materialize(x.shape[-1:])
    ...             nn.init.ones_(self.scale)
    ...
    ...     def forward(self, x):
    ...         return self.scale * x
    >>> Scale()(weft.tensor([3.0, 4.0])).tolist()
    [3.0, 4.0]
    """

    cls_to_become: type | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.initialize_parameters(*args, **kwargs)
        if self.has_uninitialized_params():
            raise RuntimeError(
                f"`initialize_parameters` of {type(self).__name__} must materialize all parameters; some have no shape"
            )
        if self.cls_to_become is None:
            return super().__call__(*args, **kwargs)
        made: Any = self.cls_to_become
        self.__class__ = made
        return self(*args, **kwargs)

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of its own has no shape yet.

        Returns
        -------
        bool
            True before the first call.
        """
        return any(is_lazy(x) for _, x in [*self._own_parameters(), *self._own_buffers()])

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materialize parameters and buffers, if they are not, by the shapes of the first input.

        Parameters
        ----------
        *args, **kwargs : Any
            What the module is called with.

        Raises
        ------
        NotImplementedError
            In a class that does not define it.
        """
        raise NotImplementedError(f"`{type(self).__name__}` must define initialize_parameters(self, …)")

    def reset_parameters(self) -> None:
        """Draw new initial values, if there is something to draw them for."""
        if not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]


class _Lazy(LazyModuleMixin):
    """What counts the features of its input in the attribute `features`."""

    features: str

    def _count(self, input: Tensor) -> int:
        """Features of an input."""
        raise NotImplementedError

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the parameters and buffers, once the features are known."""
        raise NotImplementedError

    def initialize_parameters(self, input: Tensor) -> None:
        check.tensor("input", input)
        setattr(self, self.features, self._count(input))
        shapes = self._shapes()
        was_lazy = self.has_uninitialized_params()
        for name, shape in shapes.items():
            tensor: Any = vars(self).get(name)
            if is_lazy(tensor):
                tensor.materialize(shape)
            elif tensor is not None and tuple(tensor.shape) != shape:
                setattr(self, self.features, 0)
                raise ValueError(
                    f"`input` must have the features of what was loaded, `{name}` {tuple(tensor.shape)}, got {tuple(input.shape)}"
                )
        if was_lazy:
            self.reset_parameters()


class LazyLinear(_Lazy, Linear):
    """A `Linear` that takes `in_features` from its first input, as `torch.nn.LazyLinear`.

    Parameters
    ----------
    out_features : int
        Length of the last axis of y.
    bias : bool, default True
        Whether b is learned; otherwise there is none.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.LazyLinear(4)
    >>> layer(weft.ones((2, 3))).shape, layer
    ((2, 4), Linear(in_features=3, out_features=4, bias=True))
    """

    cls_to_become = Linear
    features = "in_features"

    def __init__(self, out_features: int, bias: bool = True, *, device: str | None = None, dtype: DType = None):
        check.sizes(out_features=out_features)
        Linear.__init__(self, 0, 0, False)
        self.out_features = out_features
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.bias = UninitializedParameter(device=device, dtype=dtype) if bias else None

    def _count(self, input: Tensor) -> int:
        if not input.ndim:
            raise ValueError("`input` must have shape (…, in_features), got ()")
        return input.shape[-1]

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.out_features, self.in_features), "bias": (self.out_features,)}


class _LazyConv(_Lazy):
    features = "in_channels"

    def __init__(
        self,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: str | Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        layer: Any = super()
        layer.__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode)
        self._prepare(out_channels, bias, device, dtype)

    def _prepare(self, out_channels: int, bias: bool, device: str | None, dtype: DType) -> None:
        this: Any = self
        check.sizes(out_channels=out_channels)
        if out_channels % this.groups:
            raise ValueError(f"`groups` must divide `out_channels`, got {this.groups} for {out_channels}")
        this.out_channels = out_channels
        this.weight = UninitializedParameter(device=device, dtype=dtype)
        this.bias = UninitializedParameter(device=device, dtype=dtype) if bias else None

    def _count(self, input: Tensor) -> int:
        this: Any = self
        if input.ndim not in (this.axes + 1, this.axes + 2):
            raise ValueError(
                f"`input` must have {this.axes + 1} or {this.axes + 2} axes, (N, C, …) or (C, …), got {tuple(input.shape)}"
            )
        channels = input.shape[-this.axes - 1]
        if channels % this.groups:
            raise ValueError(f"`groups` must divide the channels of `input`, got {this.groups} for {channels}")
        return channels

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        this: Any = self
        return {"weight": this._weight_shape(), "bias": (this.out_channels,)}


class _LazyConvTranspose(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: str = "zeros",
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        layer: Any = super(_LazyConv, self)
        layer.__init__(0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode)
        self._prepare(out_channels, bias, device, dtype)


class _LazyNorm(_Lazy):
    features = "num_features"

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        device: str | None = None,
        dtype: DType = None,
    ):
        this: Any = self
        where: Any = {"device": device, "dtype": dtype}
        super().__init__(0, eps, momentum, affine, track_running_stats, bias=bias, **where)  # type: ignore[call-arg]
        for name in ("weight", "bias"):
            if getattr(this, name) is not None:
                setattr(this, name, UninitializedParameter(**where))
        if track_running_stats:
            this.running_mean, this.running_var = UninitializedBuffer(**where), UninitializedBuffer(**where)

    def _count(self, input: Tensor) -> int:
        this: Any = self
        if input.ndim not in this.dims:
            raise ValueError(f"`input` must have {' or '.join(map(str, this.dims))} axes, got {tuple(input.shape)}")
        return input.shape[0 if this.unbatched == input.ndim else 1]

    unbatched = 0  # how many axes an input without a batch has

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        this: Any = self
        return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (this.num_features,))


def parameters_of(layer: type, learned: str) -> Callable[[Lazy], Lazy]:
    """A lazy layer's docstring gets the parameters of another's, but for the one that it learns."""
    section = cleandoc(layer.__doc__ or "").partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    entries = section.replace("\n    ", "\r    ").split("\n")  # an entry and what is indented below it
    kept = "\n".join(entry for entry in entries if not entry.startswith(f"{learned} :")).replace("\r", "\n")

    def describe(lazy: Lazy) -> Lazy:
        summary, _, rest = cleandoc(lazy.__doc__ or "").partition("\n\n")
        lazy.__doc__ = f"{summary}\n\nParameters\n----------\n{kept}\n\n{rest}"
        return lazy

    return describe


@parameters_of(Conv1d, "in_channels")
class LazyConv1d(_LazyConv, Conv1d):
    """A `Conv1d` that takes `in_channels` from its first input, as `torch.nn.LazyConv1d`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LazyConv1d(4, 3)(weft.ones((2, 3, 5))).shape
    (2, 4, 3)
    """

    cls_to_become = Conv1d


@parameters_of(ConvTranspose1d, "in_channels")
class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """A `ConvTranspose1d` that takes `in_channels` from its first input, as `torch.nn.LazyConvTranspose1d`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LazyConvTranspose1d(4, 3)(weft.ones((2, 3, 5))).shape
    (2, 4, 7)
    """

    cls_to_become = ConvTranspose1d


@parameters_of(BatchNorm1d, "num_features")
class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """A `BatchNorm1d` that takes `num_features` from its first input, as `torch.nn.LazyBatchNorm1d`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.LazyBatchNorm1d()
    >>> layer(weft.ones((2, 3, 5))).shape, layer.num_features
    ((2, 3, 5), 3)
    """

    cls_to_become = BatchNorm1d


@parameters_of(BatchNorm1d, "num_features")
class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """An `InstanceNorm1d` that takes `num_features` from its first input, as `torch.nn.LazyInstanceNorm1d`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.LazyInstanceNorm1d()
    >>> layer(weft.ones((2, 3, 5))).shape, layer.num_features
    ((2, 3, 5), 3)
    """

    cls_to_become = InstanceNorm1d
    unbatched = 2


@parameters_of(Conv2d, "in_channels")
class LazyConv2d(_LazyConv, Conv2d):
    """A `Conv2d` that takes `in_channels` from its first input, as `torch.nn.LazyConv2d`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LazyConv2d(4, 3)(weft.ones((2, 3, 5, 5))).shape
    (2, 4, 3, 3)
    """

    cls_to_become = Conv2d


@parameters_of(ConvTranspose2d, "in_channels")
class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """A `ConvTranspose2d` that takes `in_channels` from its first input, as `torch.nn.LazyConvTranspose2d`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LazyConvTranspose2d(4, 3)(weft.ones((2, 3, 5, 5))).shape
    (2, 4, 7, 7)
    """

    cls_to_become = ConvTranspose2d


@parameters_of(BatchNorm2d, "num_features")
class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """A `BatchNorm2d` that takes `num_features` from its first input, as `torch.nn.LazyBatchNorm2d`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.LazyBatchNorm2d()
    >>> layer(weft.ones((2, 3, 5, 5))).shape, layer.num_features
    ((2, 3, 5, 5), 3)
    """

    cls_to_become = BatchNorm2d


@parameters_of(BatchNorm2d, "num_features")
class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """An `InstanceNorm2d` that takes `num_features` from its first input, as `torch.nn.LazyInstanceNorm2d`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.LazyInstanceNorm2d()
    >>> layer(weft.ones((2, 3, 5, 5))).shape, layer.num_features
    ((2, 3, 5, 5), 3)
    """

    cls_to_become = InstanceNorm2d
    unbatched = 3


@parameters_of(Conv3d, "in_channels")
class LazyConv3d(_LazyConv, Conv3d):
    """A `Conv3d` that takes `in_channels` from its first input, as `torch.nn.LazyConv3d`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LazyConv3d(4, 3)(weft.ones((2, 3, 5, 5, 5))).shape
    (2, 4, 3, 3, 3)
    """

    cls_to_become = Conv3d


@parameters_of(ConvTranspose3d, "in_channels")
class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """A `ConvTranspose3d` that takes `in_channels` from its first input, as `torch.nn.LazyConvTranspose3d`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LazyConvTranspose3d(4, 3)(weft.ones((2, 3, 5, 5, 5))).shape
    (2, 4, 7, 7, 7)
    """

    cls_to_become = ConvTranspose3d


@parameters_of(BatchNorm3d, "num_features")
class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """A `BatchNorm3d` that takes `num_features` from its first input, as `torch.nn.LazyBatchNorm3d`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.LazyBatchNorm3d()
    >>> layer(weft.ones((2, 3, 5, 5, 5))).shape, layer.num_features
    ((2, 3, 5, 5, 5), 3)
    """

    cls_to_become = BatchNorm3d


@parameters_of(BatchNorm3d, "num_features")
class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """An `InstanceNorm3d` that takes `num_features` from its first input, as `torch.nn.LazyInstanceNorm3d`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.LazyInstanceNorm3d()
    >>> layer(weft.ones((2, 3, 5, 5, 5))).shape, layer.num_features
    ((2, 3, 5, 5, 5), 3)
    """

    cls_to_become = InstanceNorm3d
    unbatched = 4
