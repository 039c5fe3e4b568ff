"""Images as columns of windows, and back, as in `torch.nn`; formulas are in the functions of the lower-case names."""

from __future__ import annotations

from ..backend.tape.tensor import Tensor
from . import functional as F
from .functional import _check as check
from .functional._check import Ints
from .functional.folding import options
from .module import Layer

__all__ = ["Fold", "Unfold"]


class _Windows(Layer):
    def __init__(self, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1):
        options(kernel_size, dilation, padding, stride)
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Unfold(_Windows):
    """The windows that a convolution sees, as columns: (N, C, H, W) → (N, C·KH·KW, L).

    Parameters
    ----------
    kernel_size : int or tuple of int
        (KH, KW): the size of a window.
    dilation : int or tuple of int, default 1
        Distance between the pixels that a window takes.
    padding : int or tuple of int, default 0
        Zeros on both sides.
    stride : int or tuple of int, default 1
        The window moves by this much.

    Raises
    ------
    ValueError
        If a size is out of range; in a call, if no window lies inside x.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Unfold(2, stride=2)(weft.ones((1, 3, 4, 6))).shape
    (1, 12, 6)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(_Windows):
    """Images from the columns of their windows, overlapping ones added up: (N, C·KH·KW, L) → (N, C, H, W).

    Parameters
    ----------
    output_size : int or tuple of int
        (H, W) of the images.
    kernel_size : int or tuple of int
        (KH, KW): the size of a window.
    dilation : int or tuple of int, default 1
        Distance between the pixels that a window takes.
    padding : int or tuple of int, default 0
        Pixels on both sides, of which nothing is kept.
    stride : int or tuple of int, default 1
        The window moves by this much.

    Raises
    ------
    ValueError
        If a size is out of range; in a call, if the shape of x does not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Fold((4, 6), 2, stride=2)(weft.ones((1, 12, 6))).shape
    (1, 3, 4, 6)
    """

    def __init__(self, output_size: Ints, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1):
        check.several("output_size", output_size, 2, 1)
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
