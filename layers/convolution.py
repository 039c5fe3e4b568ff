"""Convolutional layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..backend.array.creation import empty
from ..backend.tape.tensor import DType, Parameter, Tensor
from . import functional as F
from . import init
from .functional import _check as check
from .functional._check import Ints
from .functional.convolution import check_named_padding, same_padding
from .module import Layer

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


class _Conv(Layer):
    """What the convolutions share; a subclass says how many axes the kernel has."""

    axes: int
    transposed = False
    padding: str | tuple[int, ...]
    output_padding: tuple[int, ...] = ()
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
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
        check.sizes(in_channels=in_channels, out_channels=out_channels)
        if not isinstance(groups, int) or groups < 1 or in_channels % groups or out_channels % groups:
            got = f"got {groups} for {in_channels} and {out_channels}"
            raise ValueError(f"`groups` must be a positive int that divides `in_channels` and `out_channels`, {got}")
        check.one_of("padding_mode", padding_mode, list(PADDING_MODES)[: 1 if self.transposed else None])
        n = self.axes
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = check.several("kernel_size", kernel_size, n, 1)
        self.stride = check.several("stride", stride, n, 1)
        self.padding = padding if isinstance(padding, str) else check.several("padding", padding, n)
        self.dilation = check.several("dilation", dilation, n, 1)
        self.groups = groups
        self.padding_mode = padding_mode
        if isinstance(padding, str):
            check_named_padding(padding, self.stride)
        self.weight = Parameter(empty(self._weight_shape(), device=device, dtype=dtype))
        self.bias = Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def _weight_shape(self) -> tuple[int, ...]:
        sides = (self.out_channels, self.in_channels)
        first, second = sides[::-1] if self.transposed else sides
        return (first, second // self.groups, *self.kernel_size)

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.default_(self.weight, self.bias)

    def _padded(self, input: Tensor) -> tuple[Tensor, str | Ints]:
        """The input, and the padding that is left to the convolution: all of it if it is zeros."""
        if self.padding_mode == "zeros":
            return input, self.padding
        if self.padding == "valid":
            return input, 0
        if isinstance(self.padding, str):
            sides = same_padding(self.kernel_size, self.dilation)
        else:
            sides = [(p, p) for p in self.padding]
        return F.pad(input, [p for side in reversed(sides) for p in side], mode=PADDING_MODES[self.padding_mode]), 0

    def extra_repr(self) -> str:
        none = (0,) * self.axes
        shown = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        shown += [f"padding={self.padding}"] * (self.padding != none)
        shown += [f"dilation={self.dilation}"] * (self.dilation != (1,) * self.axes)
        shown += [f"output_padding={self.output_padding}"] * (self.output_padding not in ((), none))
        shown += [f"groups={self.groups}"] * (self.groups != 1)
        shown += ["bias=False"] * (self.bias is None)
        shown += [f"padding_mode={self.padding_mode}"] * (self.padding_mode != "zeros")
        return ", ".join(shown)


class Conv1d(_Conv):
    """Cross-correlation of sequences, as `torch.nn.Conv1d`: x (N, C, L) or (C, L) → y (N, O, Lo).

        y[n, o, l] = b[o] + Σ_{c,k} W[o, c, k] · x[n, c, l·S + k·D − P]
        Lo = ⌊(L + 2P − D(K − 1) − 1)/S⌋ + 1

    with `weight` W (O, C/groups, K) and `bias` b (O), both starting as U(−1/√f, 1/√f), f = C/groups · K.

    Parameters
    ----------
    in_channels : int
        Channels C of x.
    out_channels : int
        Channels O of y.
    kernel_size : int or tuple of int
        Length K of the kernel.
    stride : int or tuple of int, default 1
        S: the window moves by this much.
    padding : int, tuple of int, "valid" or "same", default 0
        P elements on both sides; "valid" is none, "same" keeps the length (with stride 1).
    dilation : int or tuple of int, default 1
        D: distance between the elements that a window takes.
    groups : int, default 1
        Into how many groups the channels are split; an output sees the inputs of its own group only.
    bias : bool, default True
        Whether b is learned; otherwise there is none.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}, default "zeros"
        What the padding is made of.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If `groups` does not divide the channels, a size is too small, or "same" meets a stride above 1; in a call,
        if x has other channels or is smaller than the kernel.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Conv1d(3, 4, 5, padding="same")(weft.ones((2, 3, 10))).shape
    (2, 4, 10)
    """

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        x, padding = self._padded(input)
        return F.conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Conv):
    """Cross-correlation of images, as `torch.nn.Conv2d`: x (N, C, H, W) or (C, H, W) → y (N, O, Ho, Wo).

        y[n, o, h, w] = b[o] + Σ_{c,i,j} W[o, c, i, j] · x[n, c, h·S + i·D − P, w·S + j·D − P]
        Ho = ⌊(H + 2P − D(KH − 1) − 1)/S⌋ + 1

    with `weight` W (O, C/groups, KH, KW) and `bias` b (O), both starting as U(−1/√f, 1/√f), f = C/groups · KH · KW.

    Parameters
    ----------
    in_channels : int
        Channels C of x.
    out_channels : int
        Channels O of y.
    kernel_size : int or tuple of int
        Size (KH, KW) of the kernel, or one number for both; so below.
    stride : int or tuple of int, default 1
        S: the window moves by this much.
    padding : int, tuple of int, "valid" or "same", default 0
        P elements on both sides; "valid" is none, "same" keeps the size (with stride 1).
    dilation : int or tuple of int, default 1
        D: distance between the elements that a window takes.
    groups : int, default 1
        Into how many groups the channels are split; an output sees the inputs of its own group only.
    bias : bool, default True
        Whether b is learned; otherwise there is none.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}, default "zeros"
        What the padding is made of.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If `groups` does not divide the channels, a size is too small, or "same" meets a stride above 1; in a call,
        if x has other channels or is smaller than the kernel.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Conv2d(3, 16, 3, padding=1)(weft.ones((2, 3, 32, 32))).shape
    (2, 16, 32, 32)
    """

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        x, padding = self._padded(input)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv3d(_Conv):
    """Cross-correlation of volumes, as `torch.nn.Conv3d`: x (N, C, D, H, W) or (C, D, H, W) → y (N, O, Do, Ho, Wo).

    The formula is that of `Conv2d`, over three axes, with `weight` (O, C/groups, KD, KH, KW) and `bias` (O), both
    starting as U(−1/√f, 1/√f), f = C/groups · KD · KH · KW.

    Parameters
    ----------
    in_channels : int
        Channels C of x.
    out_channels : int
        Channels O of y.
    kernel_size : int or tuple of int
        Size (KD, KH, KW) of the kernel, or one number for all three; so below.
    stride : int or tuple of int, default 1
        S: the window moves by this much.
    padding : int, tuple of int, "valid" or "same", default 0
        P elements on both sides; "valid" is none, "same" keeps the size (with stride 1).
    dilation : int or tuple of int, default 1
        D: distance between the elements that a window takes.
    groups : int, default 1
        Into how many groups the channels are split; an output sees the inputs of its own group only.
    bias : bool, default True
        Whether b is learned; otherwise there is none.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}, default "zeros"
        What the padding is made of.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If `groups` does not divide the channels, a size is too small, or "same" meets a stride above 1; in a call,
        if x has other channels or is smaller than the kernel.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Conv3d(3, 16, 3, padding=1)(weft.ones((2, 3, 4, 8, 8))).shape
    (2, 16, 4, 8, 8)
    """

    axes = 3

    def forward(self, input: Tensor) -> Tensor:
        x, padding = self._padded(input)
        return F.conv3d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _ConvTranspose(_Conv):
    padding: tuple[int, ...]
    transposed = True

    def __init__(
        self,
        in_channels: int,
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
        if isinstance(padding, str):
            raise TypeError(f"`padding` must be an int or ints for a transposed convolution, got {padding!r}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device=device,
            dtype=dtype,
        )
        self.output_padding = check.several("output_padding", output_padding, self.axes)
        if any(o >= max(s, d) for o, s, d in zip(self.output_padding, self.stride, self.dilation)):
            raise ValueError(
                f"`output_padding` must be smaller than `stride` {self.stride} or `dilation` {self.dilation}, "
                f"got {self.output_padding}"
            )

    if TYPE_CHECKING:

        def __call__(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor: ...

    def _extra(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """The output padding that makes the output `output_size` large: a stride > 1 leaves several possibilities."""
        if output_size is None:
            return self.output_padding
        n, extra = self.axes, []
        if len(output_size) not in (n, input.ndim):
            raise ValueError(f"`output_size` must hold {n} sizes, or all {input.ndim} of y, got {tuple(output_size)}")
        lengths = zip(
            input.shape[-n:], tuple(output_size)[-n:], self.stride, self.padding, self.dilation, self.kernel_size
        )
        for size, wanted, s, p, d, k in lengths:
            least = (size - 1) * s - 2 * p + d * (k - 1) + 1
            if not least <= wanted < least + s:
                raise ValueError(
                    f"`output_size` must be {least} … {least + s - 1} along each axis for this input, got {wanted}"
                )
            extra.append(wanted - least)
        return tuple(extra)


class ConvTranspose1d(_ConvTranspose):
    """The adjoint of `Conv1d`, as `torch.nn.ConvTranspose1d`: x (N, C, L) or (C, L) → y (N, O, Lo).

        Lo = (L − 1)·S − 2P + D(K − 1) + output_padding + 1

    with `weight` (C, O/groups, K) and `bias` (O), both starting as U(−1/√f, 1/√f), f = O/groups · K. A call may say
    which Lo it wants, `layer(x, output_size=(9,))`, instead of `output_padding`.

    Parameters
    ----------
    in_channels : int
        Channels C of x.
    out_channels : int
        Channels O of y.
    kernel_size : int or tuple of int
        Length K of the kernel.
    stride : int or tuple of int, default 1
        S: outputs of neighbouring elements are this far apart.
    padding : int or tuple of int, default 0
        P elements are cut off on both sides.
    output_padding : int or tuple of int, default 0
        Elements more at the end: picks among the Lo that `Conv1d` would have brought to L. Less than the stride or
        the dilation.
    groups : int, default 1
        Into how many groups the channels are split; an output sees the inputs of its own group only.
    bias : bool, default True
        Whether b is learned; otherwise there is none.
    dilation : int or tuple of int, default 1
        D: distance between the elements of a kernel.
    padding_mode : {"zeros"}, default "zeros"
        There is no other.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    TypeError
        If `padding` is a str.
    ValueError
        If `groups` does not divide the channels or a size is too small; in a call, if x has other channels or
        `output_size` is out of reach.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ConvTranspose1d(3, 4, 2, stride=2)(weft.ones((2, 3, 5))).shape
    (2, 4, 10)
    """

    axes = 1

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        extra = self._extra(input, output_size)
        return F.conv_transpose1d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )


class ConvTranspose2d(_ConvTranspose):
    """The adjoint of `Conv2d`, as `torch.nn.ConvTranspose2d`: x (N, C, H, W) or (C, H, W) → y (N, O, Ho, Wo).

        Ho = (H − 1)·S − 2P + D(KH − 1) + output_padding + 1

    with `weight` (C, O/groups, KH, KW) and `bias` (O), both starting as U(−1/√f, 1/√f), f = O/groups · KH · KW. A call
    may say which size it wants, `layer(x, output_size=(9, 9))`, instead of `output_padding`.

    Parameters
    ----------
    in_channels : int
        Channels C of x.
    out_channels : int
        Channels O of y.
    kernel_size : int or tuple of int
        Size (KH, KW) of the kernel, or one number for both; so below.
    stride : int or tuple of int, default 1
        S: outputs of neighbouring elements are this far apart.
    padding : int or tuple of int, default 0
        P elements are cut off on both sides.
    output_padding : int or tuple of int, default 0
        Elements more at the end: picks among the sizes that `Conv2d` would have brought to (H, W). Less than the
        stride or the dilation.
    groups : int, default 1
        Into how many groups the channels are split; an output sees the inputs of its own group only.
    bias : bool, default True
        Whether b is learned; otherwise there is none.
    dilation : int or tuple of int, default 1
        D: distance between the elements of a kernel.
    padding_mode : {"zeros"}, default "zeros"
        There is no other.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    TypeError
        If `padding` is a str.
    ValueError
        If `groups` does not divide the channels or a size is too small; in a call, if x has other channels or
        `output_size` is out of reach.

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.ConvTranspose2d(3, 4, 2, stride=2)
    >>> layer(weft.ones((2, 3, 5, 5))).shape
    (2, 4, 10, 10)
    >>> layer(weft.ones((2, 3, 5, 5)), output_size=(11, 11)).shape
    (2, 4, 11, 11)
    """

    axes = 2

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        extra = self._extra(input, output_size)
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )


class ConvTranspose3d(_ConvTranspose):
    """The adjoint of `Conv3d`, as `torch.nn.ConvTranspose3d`, from x (N, C, D, H, W) or (C, D, H, W).

    Sizes are those of `ConvTranspose2d`, over three axes; `weight` (C, O/groups, KD, KH, KW) and `bias` (O) both start as
    U(−1/√f, 1/√f), f = O/groups · KD · KH · KW. A call may say which size it wants, `output_size=(9, 9, 9)`, instead of
    `output_padding`.

    Parameters
    ----------
    in_channels : int
        Channels C of x.
    out_channels : int
        Channels O of y.
    kernel_size : int or tuple of int
        Size (KD, KH, KW) of the kernel, or one number for all three; so below.
    stride : int or tuple of int, default 1
        S: outputs of neighbouring elements are this far apart.
    padding : int or tuple of int, default 0
        P elements are cut off on both sides.
    output_padding : int or tuple of int, default 0
        Elements more at the end: picks among the sizes that `Conv3d` would have brought to (D, H, W). Less than the
        stride or the dilation.
    groups : int, default 1
        Into how many groups the channels are split; an output sees the inputs of its own group only.
    bias : bool, default True
        Whether b is learned; otherwise there is none.
    dilation : int or tuple of int, default 1
        D: distance between the elements of a kernel.
    padding_mode : {"zeros"}, default "zeros"
        There is no other.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    TypeError
        If `padding` is a str.
    ValueError
        If `groups` does not divide the channels or a size is too small; in a call, if x has other channels or
        `output_size` is out of reach.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ConvTranspose3d(3, 4, 2, stride=2)(weft.ones((2, 3, 2, 5, 5))).shape
    (2, 4, 4, 10, 10)
    """

    axes = 3

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        extra = self._extra(input, output_size)
        return F.conv_transpose3d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )
