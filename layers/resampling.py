"""Interpolation as modules, as in `torch.nn`; formulas are in `functional.interpolate`."""

from __future__ import annotations

from ..backend.tape.tensor import Tensor
from . import functional as F
from .functional import _check as check
from .functional._check import Ints
from .functional.resampling import MODES, Floats
from .module import Layer

__all__ = ["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"]


class Upsample(Layer):
    """Sequences, images or volumes at another size: `functional.interpolate` as a layer.

    Parameters
    ----------
    size : int or tuple of int, optional
        Lengths of the axes behind the channels: of all, or of each.
    scale_factor : float or tuple of float, optional
        Or how many times as long they are, rounded down.
    mode : str, default "nearest"
        "nearest", "nearest-exact", "area", "linear", "bilinear", "bicubic" or "trilinear".
    align_corners : bool, optional
        Whether the first and last places of input and output lie on each other; for linear and cubic modes.
    recompute_scale_factor : bool, optional
        Whether places are computed with the ratio of lengths although `scale_factor` is given.

    Raises
    ------
    ValueError
        If `mode` is another word; in a call, if options do not fit the shape or each other.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Upsample(scale_factor=2, mode="bilinear")(weft.ones((1, 3, 4, 5))).shape
    (1, 3, 8, 10)
    """

    def __init__(
        self,
        size: Ints | None = None,
        scale_factor: Floats | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ):
        check.one_of("mode", mode, tuple(MODES))
        self.size = size
        self.scale_factor: Floats | None = scale_factor
        if isinstance(scale_factor, tuple):
            self.scale_factor = tuple(map(float, scale_factor))
        elif isinstance(scale_factor, int | float):
            self.scale_factor = float(scale_factor)
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        given = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{given}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Images at another size, each pixel that of the nearest place before it.

    Parameters
    ----------
    size : int or tuple of int, optional
        Height and width.
    scale_factor : float or tuple of float, optional
        Or how many times as large they are.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.UpsamplingNearest2d(scale_factor=2)(weft.tensor([[[[1.0, 2.0]]]])).tolist()
    [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]
    """

    def __init__(self, size: Ints | None = None, scale_factor: Floats | None = None):
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Images at another size, interpolated between the four nearest pixels, corners on corners.

    Parameters
    ----------
    size : int or tuple of int, optional
        Height and width.
    scale_factor : float or tuple of float, optional
        Or how many times as large they are.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.UpsamplingBilinear2d(size=(1, 3))(weft.tensor([[[[1.0, 2.0]]]])).tolist()
    [[[[1.0, 1.5, 2.0]]]]
    """

    def __init__(self, size: Ints | None = None, scale_factor: Floats | None = None):
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
