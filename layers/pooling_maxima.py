"""Layers that take maxima of windows that are no grid, and the way back from maxima."""

from __future__ import annotations

from collections.abc import Sequence

from ..backend.device.options import integer
from ..backend.tape.tensor import Tensor
from . import functional as F
from .functional._check import Ints
from .functional.pooling import check_windows
from .functional.pooling_maxima import Maxima, Ratios, check_fractional
from .module import Layer, Module

__all__ = [
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]


class _AdaptiveMaxPool(Module):
    axes: int

    def __init__(self, output_size: int | Sequence[int | None] | None, return_indices: bool = False):
        several = output_size if isinstance(output_size, tuple | list) else (output_size,)
        if len(several) not in (1, self.axes):
            raise ValueError(f"`output_size` must be an int or None, or {self.axes} of them, got {output_size!r}")
        for size in several:
            if size is not None:
                integer("output_size", size, 1)
        self.output_size = output_size
        self.return_indices = return_indices

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima of windows that cover x (N, C, L) or (C, L), as `torch.nn.AdaptiveMaxPool1d`.

    Window i of n along an axis of length L is [⌊i·L/n⌋, ⌈(i + 1)·L/n⌉).

    Parameters
    ----------
    output_size : int or None, or sequence of one
        n, how many windows along all axes or each; None: as many as elements.
    return_indices : bool, default False
        Whether to return also the position of each maximum in L.

    Raises
    ------
    ValueError
        In a call, if it does not fit x.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.AdaptiveMaxPool1d(2)(weft.ones((2, 3, 8))).shape
    (2, 3, 2)
    """

    axes = 1

    def forward(self, input: Tensor) -> Maxima:
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima of windows that cover x (N, C, H, W) or (C, H, W), as `torch.nn.AdaptiveMaxPool2d`.

    Window i of n along an axis of length L is [⌊i·L/n⌋, ⌈(i + 1)·L/n⌉).

    Parameters
    ----------
    output_size : int or None, or sequence of two
        n, how many windows along all axes or each; None: as many as elements.
    return_indices : bool, default False
        Whether to return also the position of each maximum in the flattened (H, W).

    Raises
    ------
    ValueError
        In a call, if it does not fit x.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.AdaptiveMaxPool2d(2)(weft.ones((2, 3, 8, 8))).shape
    (2, 3, 2, 2)
    """

    axes = 2

    def forward(self, input: Tensor) -> Maxima:
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima of windows that cover x (N, C, D, H, W) or (C, D, H, W), as `torch.nn.AdaptiveMaxPool3d`.

    Window i of n along an axis of length L is [⌊i·L/n⌋, ⌈(i + 1)·L/n⌉).

    Parameters
    ----------
    output_size : int or None, or sequence of three
        n, how many windows along all axes or each; None: as many as elements.
    return_indices : bool, default False
        Whether to return also the position of each maximum in the flattened (D, H, W).

    Raises
    ------
    ValueError
        In a call, if it does not fit x.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.AdaptiveMaxPool3d(2)(weft.ones((2, 3, 4, 8, 8))).shape
    (2, 3, 2, 2, 2)
    """

    axes = 3

    def forward(self, input: Tensor) -> Maxima:
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)


class _FractionalMaxPool(Module):
    axes: int
    _random_samples: Tensor | None

    def __init__(
        self,
        kernel_size: Ints,
        output_size: Ints | None = None,
        output_ratio: Ratios | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ):
        if output_size is not None and output_ratio is not None:
            got = f"got {output_size} and {output_ratio}"
            raise ValueError(f"`output_size` and `output_ratio` must not both be given, {got}")
        found = check_fractional(self.axes, kernel_size, output_size, output_ratio)
        self.kernel_size, self.output_size, self.output_ratio = found
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)

    def extra_repr(self) -> str:
        text = f"kernel_size={self.kernel_size}"
        return f"{text}, output_size={self.output_size}, output_ratio={self.output_ratio}"


class FractionalMaxPool2d(_FractionalMaxPool):
    """Maxima of windows of x (N, C, H, W) or (C, H, W) whose distances vary at random.

    As `torch.nn.FractionalMaxPool2d`: along an axis, window i begins at ⌊(i + u)·α⌋ − ⌊u·α⌋ with u in [0, 1) drawn anew for
    each image and channel.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Elements in a window.
    output_size : int or tuple of int, optional
        How many windows, along all axes or each.
    output_ratio : float or tuple of float, optional
        The same as a share of the elements, in (0, 1); exactly one of the two must be given.
    return_indices : bool, default False
        Whether to return also the position of each maximum in the flattened (H, W).
    _random_samples : Tensor, optional
        (N, C, 2), the numbers u; drawn in each call unless given.

    Raises
    ------
    ValueError
        If not exactly one of `output_size` and `output_ratio` is given; in a call, if a size does not fit x.

    References
    ----------
    Graham, "Fractional Max-Pooling" (2014).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.FractionalMaxPool2d(2, output_size=3)(weft.ones((2, 3, 8, 8))).shape
    (2, 3, 3, 3)
    """

    axes = 2

    def forward(self, input: Tensor) -> Maxima:
        return F.fractional_max_pool2d(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )


class FractionalMaxPool3d(_FractionalMaxPool):
    """Maxima of windows of x (N, C, D, H, W) or (C, D, H, W) whose distances vary at random.

    As `torch.nn.FractionalMaxPool3d`: along an axis, window i begins at ⌊(i + u)·α⌋ − ⌊u·α⌋ with u in [0, 1) drawn anew for
    each image and channel.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Elements in a window.
    output_size : int or tuple of int, optional
        How many windows, along all axes or each.
    output_ratio : float or tuple of float, optional
        The same as a share of the elements, in (0, 1); exactly one of the two must be given.
    return_indices : bool, default False
        Whether to return also the position of each maximum in the flattened (D, H, W).
    _random_samples : Tensor, optional
        (N, C, 3), the numbers u; drawn in each call unless given.

    Raises
    ------
    ValueError
        If not exactly one of `output_size` and `output_ratio` is given; in a call, if a size does not fit x.

    References
    ----------
    Graham, "Fractional Max-Pooling" (2014).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.FractionalMaxPool3d(2, output_size=3)(weft.ones((2, 3, 4, 8, 8))).shape
    (2, 3, 3, 3, 3)
    """

    axes = 3

    def forward(self, input: Tensor) -> Maxima:
        return F.fractional_max_pool3d(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )


class _MaxUnpool(Layer):
    axes: int

    def __init__(self, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0):
        self.kernel_size, self.stride, self.padding, _ = check_windows(self.axes, kernel_size, stride, padding)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """The way back from `MaxPool1d`, as `torch.nn.MaxUnpool1d`: maxima where they were found, zeros elsewhere.

    A call takes the maxima (N, C, L) or (C, L), their indices and, if the stride leaves several possibilities, the
    `output_size`.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Of `MaxPool1d`; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides.

    Raises
    ------
    ValueError
        If a size is too small; in a call, if sizes do not fit.
    IndexError
        In a call, if an index is outside the result (not on a GPU).

    Examples
    --------
    >>> from weft import layers as nn
    >>> y, indices = nn.MaxPool1d(2, return_indices=True)(weft.ones((2, 3, 8)))
    >>> nn.MaxUnpool1d(2)(y, indices).shape
    (2, 3, 8)
    """

    axes = 1

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpool):
    """The way back from `MaxPool2d`, as `torch.nn.MaxUnpool2d`: maxima where they were found, zeros elsewhere.

    A call takes the maxima (N, C, H, W) or (C, H, W), their indices and, if the stride leaves several possibilities, the
    `output_size`.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Of `MaxPool2d`; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides.

    Raises
    ------
    ValueError
        If a size is too small; in a call, if sizes do not fit.
    IndexError
        In a call, if an index is outside the result (not on a GPU).

    Examples
    --------
    >>> from weft import layers as nn
    >>> y, indices = nn.MaxPool2d(2, return_indices=True)(weft.ones((2, 3, 8, 8)))
    >>> nn.MaxUnpool2d(2)(y, indices).shape
    (2, 3, 8, 8)
    """

    axes = 2

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool3d(_MaxUnpool):
    """The way back from `MaxPool3d`, as `torch.nn.MaxUnpool3d`: maxima where they were found, zeros elsewhere.

    A call takes the maxima (N, C, D, H, W) or (C, D, H, W), their indices and, if the stride leaves several possibilities, the
    `output_size`.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Of `MaxPool3d`; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides.

    Raises
    ------
    ValueError
        If a size is too small; in a call, if sizes do not fit.
    IndexError
        In a call, if an index is outside the result (not on a GPU).

    Examples
    --------
    >>> from weft import layers as nn
    >>> y, indices = nn.MaxPool3d(2, return_indices=True)(weft.ones((2, 3, 4, 8, 8)))
    >>> nn.MaxUnpool3d(2)(y, indices).shape
    (2, 3, 4, 8, 8)
    """

    axes = 3

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return F.max_unpool3d(input, indices, self.kernel_size, self.stride, self.padding, output_size)
