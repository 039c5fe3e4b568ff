"""Pooling layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from ..backend.tape.tensor import Tensor
from . import functional as F
from .functional import _check as check
from .functional._check import Ints
from .module import Layer, Module

__all__ = ["AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AvgPool1d", "AvgPool2d", "MaxPool1d", "MaxPool2d"]

Output = TypeVar("Output")


class _MaxPool(Module, Generic[Output]):
    """`Output` is what a call returns: a Tensor or, with `return_indices`, two. That is for type checkers alone."""

    if TYPE_CHECKING:

        def __call__(self, input: Tensor) -> Output: ...

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None,
        padding: Ints,
        dilation: Ints,
        return_indices: bool,
        ceil_mode: bool,
    ):
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        text = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        return f"{text}, dilation={self.dilation}, ceil_mode={self.ceil_mode}"


class MaxPool1d(_MaxPool[Output]):
    """The maximum of each window of x (N, C, L) or (C, L), as `torch.nn.MaxPool1d`; see `MaxPool2d`."""

    @overload
    def __init__(
        self: MaxPool1d[Tensor],
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        return_indices: Literal[False] = False,
        ceil_mode: bool = False,
    ): ...
    @overload
    def __init__(
        self: MaxPool1d[tuple[Tensor, Tensor]],
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        *,
        return_indices: Literal[True],
        ceil_mode: bool = False,
    ): ...
    @overload
    def __init__(
        self: MaxPool1d[Any],
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ): ...
    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__(kernel_size, stride, padding, dilation, return_indices, ceil_mode)

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return F.max_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class MaxPool2d(_MaxPool[Output]):
    """The maximum of each window of x (N, C, H, W) or (C, H, W), as `torch.nn.MaxPool2d`: y (N, C, Ho, Wo),

        Ho = ⌊(H + 2·padding − dilation·(kernel − 1) − 1)/stride⌋ + 1,   or ⌈…⌉ with `ceil_mode`

    The stride is the kernel's size unless given. Padding never wins. With `return_indices`, also the position of each
    maximum in the flattened (H, W). The gradient goes to the first maximum of a window.

    >>> from weft import layers as nn
    >>> nn.MaxPool2d(2)(weft.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    @overload
    def __init__(
        self: MaxPool2d[Tensor],
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        return_indices: Literal[False] = False,
        ceil_mode: bool = False,
    ): ...
    @overload
    def __init__(
        self: MaxPool2d[tuple[Tensor, Tensor]],
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        *,
        return_indices: Literal[True],
        ceil_mode: bool = False,
    ): ...
    @overload
    def __init__(
        self: MaxPool2d[Any],
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ): ...
    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__(kernel_size, stride, padding, dilation, return_indices, ceil_mode)

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return F.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class AvgPool1d(Layer):
    """The mean of each window of x (N, C, L) or (C, L), as `torch.nn.AvgPool1d`; see `AvgPool2d`."""

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        self.kernel_size = check.several("kernel_size", kernel_size, 1, 1)
        self.stride = self.kernel_size if stride is None else check.several("stride", stride, 1, 1)
        self.padding = check.several("padding", padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Layer):
    """The mean of each window of x (N, C, H, W) or (C, H, W), as `torch.nn.AvgPool2d`; sizes as in `MaxPool2d`.

    Zeros of the padding count unless `count_include_pad=False`; `divisor_override` divides instead of the window's
    size.

    >>> from weft import layers as nn
    >>> nn.AvgPool2d(2)(weft.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AdaptiveAvgPool(Layer):
    def __init__(self, output_size: int | Sequence[int | None] | None):
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of `output_size` windows that cover x (N, C, L) or (C, L), as `torch.nn.AdaptiveAvgPool1d`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of windows that cover x (N, C, H, W) or (C, H, W), `output_size` of them (None: as the input).

    Window i of n along an axis of H is [⌊i·H/n⌋, ⌈(i + 1)·H/n⌉), as in `torch.nn.AdaptiveAvgPool2d`.

    >>> from weft import layers as nn
    >>> nn.AdaptiveAvgPool2d(1)(weft.ones((2, 3, 8, 8))).shape
    (2, 3, 1, 1)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)
