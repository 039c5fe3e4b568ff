"""Pooling layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from ..backend.device.options import integer, number
from ..backend.tape.tensor import Tensor
from . import functional as F
from .functional import _check as check
from .functional._check import Ints
from .functional.pooling import check_divisor, check_windows
from .module import Layer, Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
]

Output = TypeVar("Output")


class _MaxPool(Module, Generic[Output]):
    """`Output` is what a call returns: a Tensor or, with `return_indices`, two. That is for type checkers alone."""

    axes: int

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
        check_windows(self.axes, kernel_size, stride, padding, dilation)
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
    """The maximum of each window of x (N, C, L) or (C, L), as `torch.nn.MaxPool1d`; see `MaxPool2d`.

        y[n, c, l] = max_k x[n, c, l·stride + k·dilation − padding]

    Parameters
    ----------
    kernel_size : int or tuple of int
        Elements in a window.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides, which are never the maximum; at most half of the window.
    dilation : int or tuple of int, default 1
        Distance between the elements that a window takes.
    return_indices : bool, default False
        Whether to return also where the maxima are.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts.

    Raises
    ------
    ValueError
        In a call, if a size does not fit x.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.MaxPool1d(2)(weft.tensor([[1.0, 4.0, 3.0, 2.0]]))
    tensor([[4., 3.]])
    >>> y, indices = nn.MaxPool1d(2, return_indices=True)(weft.tensor([[1.0, 4.0, 3.0, 2.0]]))
    >>> indices
    tensor([[1, 2]])
    """

    axes = 1

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
    """The maximum of each window of x (N, C, H, W) or (C, H, W), as `torch.nn.MaxPool2d`: y (N, C, Ho, Wo).

        Ho = ⌊(H + 2·padding − dilation·(kernel_size − 1) − 1)/stride⌋ + 1,   or ⌈…⌉ with `ceil_mode`

    The gradient goes to the first maximum of a window.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Elements in a window, along both axes or each; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides, which are never the maximum; at most half of the window.
    dilation : int or tuple of int, default 1
        Distance between the elements that a window takes.
    return_indices : bool, default False
        Whether to return also the position of each maximum in the flattened (H, W).
    ceil_mode : bool, default False
        Whether a last window that sticks out counts.

    Raises
    ------
    ValueError
        In a call, if a size does not fit x.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.MaxPool2d(2)(weft.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    axes = 2

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


class MaxPool3d(_MaxPool[Output]):
    """The maximum of each window of x (N, C, D, H, W) or (C, D, H, W), as `torch.nn.MaxPool3d`; see `MaxPool2d`.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Elements in a window, along all axes or each; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides, which are never the maximum; at most half of the window.
    dilation : int or tuple of int, default 1
        Distance between the elements that a window takes.
    return_indices : bool, default False
        Whether to return also the position of each maximum in the flattened (D, H, W).
    ceil_mode : bool, default False
        Whether a last window that sticks out counts.

    Raises
    ------
    ValueError
        In a call, if a size does not fit x.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.MaxPool3d(2)(weft.ones((1, 3, 4, 8, 8))).shape
    (1, 3, 2, 4, 4)
    """

    axes = 3

    @overload
    def __init__(
        self: MaxPool3d[Tensor],
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        return_indices: Literal[False] = False,
        ceil_mode: bool = False,
    ): ...
    @overload
    def __init__(
        self: MaxPool3d[tuple[Tensor, Tensor]],
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
        self: MaxPool3d[Any],
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
        return F.max_pool3d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class AvgPool1d(Layer):
    """The mean of each window of x (N, C, L) or (C, L), as `torch.nn.AvgPool1d`; see `AvgPool2d`.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Elements in a window.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Zeros on both sides; at most half of the window.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts.
    count_include_pad : bool, default True
        Whether the zeros of the padding count.

    Raises
    ------
    ValueError
        If a size is too small; in a call, if it does not fit x.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.AvgPool1d(2)(weft.tensor([[1.0, 3.0, 3.0, 5.0]]))
    tensor([[2., 4.]])
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        check_windows(1, kernel_size, stride, padding)
        self.kernel_size = check.several("kernel_size", kernel_size, 1, 1)
        self.stride = self.kernel_size if stride is None else check.several("stride", stride, 1, 1)
        self.padding = check.several("padding", padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Layer):
    """What those over several axes share."""

    axes: int

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        check_windows(self.axes, kernel_size, stride, padding)
        if divisor_override is not None:
            check_divisor(divisor_override)
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """The mean of each window of x (N, C, H, W) or (C, H, W), as `torch.nn.AvgPool2d`; sizes as in `MaxPool2d`.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Elements in a window, along both axes or each; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Zeros on both sides; at most half of the window.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts.
    count_include_pad : bool, default True
        Whether the zeros of the padding count.
    divisor_override : int, optional
        What the sum is divided by, instead of how many elements count.

    Raises
    ------
    ValueError
        In a call, if a size does not fit x, or `divisor_override` is 0.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.AvgPool2d(2)(weft.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    axes = 2

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


class AvgPool3d(_AvgPool):
    """The mean of each window of x (N, C, D, H, W) or (C, D, H, W), as `torch.nn.AvgPool3d`; see `AvgPool2d`.

    Unlike there, x is at least as large as a window along each axis, whatever the padding.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Elements in a window, along all axes or each; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Zeros on both sides; at most half of the window.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts.
    count_include_pad : bool, default True
        Whether the zeros of the padding count.
    divisor_override : int, optional
        What the sum is divided by, instead of how many elements count.

    Raises
    ------
    ValueError
        In a call, if a size does not fit x, or `divisor_override` is 0.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.AvgPool3d(2)(weft.ones((1, 3, 4, 8, 8))).shape
    (1, 3, 2, 4, 4)
    """

    axes = 3

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class _LPPool(Layer):
    axes: int

    def __init__(self, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False):
        check_windows(self.axes, kernel_size, stride, 0)
        number("norm_type", norm_type, infinite=True)
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        text = f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}"
        return f"{text}, ceil_mode={self.ceil_mode}"


class LPPool1d(_LPPool):
    """The p-norm (Σ xᵖ)^(1/p) of each window of x (N, C, L) or (C, L), as `torch.nn.LPPool1d`.

    Parameters
    ----------
    norm_type : float
        p, not 0; infinity gives the largest |x|.
    kernel_size : int or tuple of int
        Elements in a window.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts.

    Raises
    ------
    ValueError
        If a size is too small; in a call, if it does not fit x, or `norm_type` is 0.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LPPool1d(2, 2)(weft.ones((2, 3, 8))).shape
    (2, 3, 4)
    """

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool1d(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPool):
    """The p-norm (Σ xᵖ)^(1/p) of each window of x (N, C, H, W) or (C, H, W), as `torch.nn.LPPool2d`.

    Parameters
    ----------
    norm_type : float
        p, not 0; infinity gives the largest |x|.
    kernel_size : int or tuple of int
        Elements in a window.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts.

    Raises
    ------
    ValueError
        If a size is too small; in a call, if it does not fit x, or `norm_type` is 0.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LPPool2d(2, 2)(weft.ones((2, 3, 8, 8))).shape
    (2, 3, 4, 4)
    """

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool2d(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class LPPool3d(_LPPool):
    """The p-norm (Σ xᵖ)^(1/p) of each window of x (N, C, D, H, W) or (C, D, H, W), as `torch.nn.LPPool3d`.

    Parameters
    ----------
    norm_type : float
        p, not 0; infinity gives the largest |x|.
    kernel_size : int or tuple of int
        Elements in a window.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts.

    Raises
    ------
    ValueError
        If a size is too small; in a call, if it does not fit x, or `norm_type` is 0.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.LPPool3d(2, 2)(weft.ones((2, 3, 4, 8, 8))).shape
    (2, 3, 2, 4, 4)
    """

    axes = 3

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool3d(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class _AdaptiveAvgPool(Layer):
    axes: int

    def __init__(self, output_size: int | Sequence[int | None] | None):
        several = output_size if isinstance(output_size, tuple | list) else (output_size,)
        if len(several) not in (1, self.axes):
            raise ValueError(f"`output_size` must be an int or None, or {self.axes} of them, got {output_size!r}")
        for size in several:
            if size is not None:
                integer("output_size", size, 1)
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of windows that cover x (N, C, L) or (C, L), as `torch.nn.AdaptiveAvgPool1d`.

    Window i of n is [⌊i·L/n⌋, ⌈(i + 1)·L/n⌉).

    Parameters
    ----------
    output_size : int or None, or sequence of one
        n, how many windows; None: L.

    Raises
    ------
    ValueError
        In a call, if it does not fit x.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.AdaptiveAvgPool1d(2)(weft.tensor([[1.0, 2.0, 3.0]]))
    tensor([[1.5, 2.5]])
    """

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of windows that cover x (N, C, H, W) or (C, H, W), as `torch.nn.AdaptiveAvgPool2d`.

    Window i of n along an axis of H is [⌊i·H/n⌋, ⌈(i + 1)·H/n⌉).

    Parameters
    ----------
    output_size : int or None, or sequence of two
        n, how many windows along both axes or each; None: as many as elements.

    Raises
    ------
    ValueError
        In a call, if it does not fit x.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.AdaptiveAvgPool2d(1)(weft.ones((2, 3, 8, 8))).shape
    (2, 3, 1, 1)
    """

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means of windows that cover x (N, C, D, H, W) or (C, D, H, W), as `torch.nn.AdaptiveAvgPool3d`; see `AdaptiveAvgPool2d`.

    Parameters
    ----------
    output_size : int or None, or sequence of three
        n, how many windows along all axes or each; None: as many as elements.

    Raises
    ------
    ValueError
        In a call, if it does not fit x.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.AdaptiveAvgPool3d(1)(weft.ones((2, 3, 4, 8, 8))).shape
    (2, 3, 1, 1, 1)
    """

    axes = 3

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool3d(input, self.output_size)
