"""Padding layers: elements added on the sides of the last axes."""

from __future__ import annotations

from collections.abc import Sequence

from ..backend.device.options import integer, number
from ..backend.tape.tensor import Tensor
from . import functional as F
from .functional import _check as check
from .functional._check import Ints
from .functional._images import check_axes
from .module import Layer

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Layer):
    axes: int
    mode: str
    padding: tuple[int, ...]

    def __init__(self, padding: Ints):
        sides = tuple(padding) if isinstance(padding, Sequence) else (padding,) * (2 * self.axes)
        for side in sides:
            integer("padding", side)
        if len(sides) != 2 * self.axes:
            raise ValueError(f"`padding` must be an int or {2 * self.axes} ints, got {padding!r}")
        self.padding = sides

    def forward(self, input: Tensor) -> Tensor:
        check_axes(self.axes, check.tensor("input", input))
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Ints, value: float):
        super().__init__(padding)
        number("value", value, infinite=True)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Ints):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ReflectionPad(_Pad):
    mode = "reflect"


class _ReplicationPad(_Pad):
    mode = "replicate"


class _CircularPad(_Pad):
    mode = "circular"


class CircularPad1d(_CircularPad):
    """What is at the other end around x (N, C, L) or (C, L), as `torch.nn.CircularPad1d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right); negative numbers take elements away.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if x has another number of axes, or
        `padding` is longer than the axis.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.CircularPad1d(1)(weft.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[3.0, 1.0, 2.0, 3.0, 1.0]]
    """

    axes = 1


class CircularPad2d(_CircularPad):
    """What is at the other end around x (N, C, H, W) or (C, H, W), as `torch.nn.CircularPad2d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right, top, bottom); negative numbers take elements away.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if x has another number of axes, or
        `padding` is longer than the axis.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.CircularPad2d(1)(weft.ones((2, 3, 3))).shape
    (2, 5, 5)
    """

    axes = 2


class CircularPad3d(_CircularPad):
    """What is at the other end around x (N, C, D, H, W) or (C, D, H, W), as `torch.nn.CircularPad3d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right, top, bottom, front, back); negative numbers take elements away.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if x has another number of axes, or
        `padding` is longer than the axis.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.CircularPad3d(1)(weft.ones((2, 3, 3, 3))).shape
    (2, 5, 5, 5)
    """

    axes = 3


class ConstantPad1d(_ConstantPad):
    """A `value` around x (N, C, L) or (C, L), as `torch.nn.ConstantPad1d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right); negative numbers take elements away.
    value : float
        What is added.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if nothing would be left of an axis.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ConstantPad1d(1, 9.0)(weft.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[9.0, 1.0, 2.0, 3.0, 9.0]]
    """

    axes = 1


class ConstantPad2d(_ConstantPad):
    """A `value` around x (N, C, H, W) or (C, H, W), as `torch.nn.ConstantPad2d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right, top, bottom); negative numbers take elements away.
    value : float
        What is added.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if nothing would be left of an axis.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ConstantPad2d(1, 9.0)(weft.ones((2, 3, 3))).shape
    (2, 5, 5)
    """

    axes = 2


class ConstantPad3d(_ConstantPad):
    """A `value` around x (N, C, D, H, W) or (C, D, H, W), as `torch.nn.ConstantPad3d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right, top, bottom, front, back); negative numbers take elements away.
    value : float
        What is added.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if nothing would be left of an axis.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ConstantPad3d(1, 9.0)(weft.ones((2, 3, 3, 3))).shape
    (2, 5, 5, 5)
    """

    axes = 3


class ReflectionPad1d(_ReflectionPad):
    """The mirror image, without the edge element itself around x (N, C, L) or (C, L), as `torch.nn.ReflectionPad1d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right); negative numbers take elements away.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if x has another number of axes, or
        `padding` is as long as the axis.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ReflectionPad1d(1)(weft.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[2.0, 1.0, 2.0, 3.0, 2.0]]
    """

    axes = 1


class ReflectionPad2d(_ReflectionPad):
    """The mirror image, without the edge element itself around x (N, C, H, W) or (C, H, W), as `torch.nn.ReflectionPad2d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right, top, bottom); negative numbers take elements away.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if x has another number of axes, or
        `padding` is as long as the axis.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ReflectionPad2d(1)(weft.ones((2, 3, 3))).shape
    (2, 5, 5)
    """

    axes = 2


class ReflectionPad3d(_ReflectionPad):
    """The mirror image, without the edge element itself around x (N, C, D, H, W) or (C, D, H, W), as `torch.nn.ReflectionPad3d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right, top, bottom, front, back); negative numbers take elements away.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if x has another number of axes, or
        `padding` is as long as the axis.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ReflectionPad3d(1)(weft.ones((2, 3, 3, 3))).shape
    (2, 5, 5, 5)
    """

    axes = 3


class ReplicationPad1d(_ReplicationPad):
    """The edge element around x (N, C, L) or (C, L), as `torch.nn.ReplicationPad1d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right); negative numbers take elements away.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if x has another number of axes.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ReplicationPad1d(1)(weft.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[1.0, 1.0, 2.0, 3.0, 3.0]]
    """

    axes = 1


class ReplicationPad2d(_ReplicationPad):
    """The edge element around x (N, C, H, W) or (C, H, W), as `torch.nn.ReplicationPad2d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right, top, bottom); negative numbers take elements away.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if x has another number of axes.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ReplicationPad2d(1)(weft.ones((2, 3, 3))).shape
    (2, 5, 5)
    """

    axes = 2


class ReplicationPad3d(_ReplicationPad):
    """The edge element around x (N, C, D, H, W) or (C, D, H, W), as `torch.nn.ReplicationPad3d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right, top, bottom, front, back); negative numbers take elements away.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if x has another number of axes.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ReplicationPad3d(1)(weft.ones((2, 3, 3, 3))).shape
    (2, 5, 5, 5)
    """

    axes = 3


class ZeroPad1d(_ZeroPad):
    """Zeros around x (N, C, L) or (C, L), as `torch.nn.ZeroPad1d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right); negative numbers take elements away.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if nothing would be left of an axis.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ZeroPad1d(1)(weft.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[0.0, 1.0, 2.0, 3.0, 0.0]]
    """

    axes = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around x (N, C, H, W) or (C, H, W), as `torch.nn.ZeroPad2d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right, top, bottom); negative numbers take elements away.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if nothing would be left of an axis.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ZeroPad2d(1)(weft.ones((2, 3, 3))).shape
    (2, 5, 5)
    """

    axes = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around x (N, C, D, H, W) or (C, D, H, W), as `torch.nn.ZeroPad3d`.

    Parameters
    ----------
    padding : int or tuple of int
        How many elements on all sides, or (left, right, top, bottom, front, back); negative numbers take elements away.

    Raises
    ------
    ValueError
        If `padding` holds another number of sides; in a call, if nothing would be left of an axis.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ZeroPad3d(1)(weft.ones((2, 3, 3, 3))).shape
    (2, 5, 5, 5)
    """

    axes = 3
