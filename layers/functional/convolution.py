"""Convolutions, with PyTorch's names and signatures. In one dimension they run as in two, with height 1."""

from __future__ import annotations

from collections.abc import Sequence

from ...backend.nn import convolution as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check
from ._check import Ints
from ._images import as_given, as_images, check_axes

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"]


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of x (N, C, L) or (C, L) with weight (O, C/groups, K), plus bias (O): see `conv2d`."""
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of x (N, C, H, W) or (C, H, W) with weight (O, C/groups, KH, KW), plus bias (O).

    The result is (N, O, Ho, Wo) with Ho = ⌊(H + 2P − D(KH − 1) − 1)/S⌋ + 1. `padding` is an int, one for each axis,
    "valid" (none) or "same" (Ho = H; stride 1).

    >>> from weft.layers import functional as F
    >>> F.conv2d(weft.ones((1, 3, 8, 8)), weft.ones((4, 3, 3, 3)), padding="same").shape
    (1, 4, 8, 8)
    """
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The adjoint of `conv1d`: x (N, C, L) or (C, L), weight (C, O/groups, K), bias (O): see `conv_transpose2d`."""
    return _convolve_transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The adjoint of `conv2d`: x (N, C, H, W) or (C, H, W), weight (C, O/groups, KH, KW), bias (O): y (N, O, Ho, Wo).

    Ho = (H − 1)·S − 2P + D(KH − 1) + output_padding + 1.
    """
    return _convolve_transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def _check_operands(
    n: int, input: Tensor, weight: Tensor, bias: Tensor | None, channels: int, out: int, groups: int
) -> None:
    check_axes(n, input)
    if input.shape[-n - 1] != channels:
        got = f"got {input.shape[-n - 1]}, in shape {tuple(input.shape)}"
        raise ValueError(
            f"`input` must have {channels} channels for `weight` {tuple(weight.shape)} and groups={groups}, {got}"
        )
    check.same_dtype("input", input, "weight", weight)
    if bias is not None:
        check.shape("bias", bias, (out,))


def _check_weight(n: int, weight: Tensor, groups: int, names: str) -> None:
    if check.tensor("weight", weight).ndim != n + 2:
        raise ValueError(
            f"`weight` must have shape ({names}, {'K' if n == 1 else 'KH, KW'}), got {tuple(weight.shape)}"
        )
    if not isinstance(groups, int) or groups < 1 or weight.shape[0] % groups:
        raise ValueError(
            f"`groups` must be a positive int that divides {weight.shape[0]}, the first axis of `weight`, got {groups}"
        )


def _convolve(
    n: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: str | Ints,
    dilation: Ints,
    groups: int,
) -> Tensor:
    check.tensor("input", input)
    _check_weight(n, weight, groups, "O, C/groups")
    _check_operands(n, input, weight, bias, weight.shape[1] * groups, weight.shape[0], groups)
    stride = check.several("stride", stride, n, 1)
    dilation = check.several("dilation", dilation, n, 1)
    image, kernel = input.shape[-n:], weight.shape[-n:]
    if isinstance(padding, str):
        sides = _named_padding(padding, kernel, stride, dilation)
    else:
        sides = tuple([(p, p) for p in check.several("padding", padding, n)])
    for size, k, d, (before, after) in zip(image, kernel, dilation, sides):
        if size + before + after < d * (k - 1) + 1:
            raise ValueError(
                f"`input` must be at least as large as the kernel, which spans {d * (k - 1) + 1}, "
                f"got {size} + {before + after} of padding, in shape {tuple(input.shape)}"
            )
    if n == 1:
        stride, sides, dilation = (1, *stride), ((0, 0), *sides), (1, *dilation)
    x, w = as_images(n, input), as_images(n, weight)
    y = primitives.conv2d(x, w, bias, stride=stride, padding=sides, dilation=dilation, groups=groups)
    return as_given(n, y, input)


def _named_padding(
    name: str, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    check_named_padding(name, stride)
    return tuple(same_padding(kernel, dilation)) if name == "same" else ((0, 0),) * len(kernel)


def check_named_padding(name: str, stride: Sequence[int]) -> None:
    """`padding` given by name is "valid" or, with stride 1, "same"; or ValueError."""
    check.one_of("padding", name, ("valid", "same"))
    if name == "same" and max(stride) > 1:
        raise ValueError(f"`padding` may be 'same' with stride 1 alone, got stride {stride}")


def same_padding(kernel: Sequence[int], dilation: Sequence[int]) -> list[tuple[int, int]]:
    """(before, after) along each axis such that a convolution of stride 1 keeps the size; the odd one goes after."""
    return [(span // 2, span - span // 2) for span in (d * (k - 1) for k, d in zip(kernel, dilation))]


def _convolve_transposed(
    n: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints,
    output_padding: Ints,
    groups: int,
    dilation: Ints,
) -> Tensor:
    check.tensor("input", input)
    _check_weight(n, weight, groups, "C, O/groups")
    _check_operands(n, input, weight, bias, weight.shape[0], weight.shape[1] * groups, groups)
    stride = check.several("stride", stride, n, 1)
    dilation = check.several("dilation", dilation, n, 1)
    padding = check.several("padding", padding, n)
    output_padding = check.several("output_padding", output_padding, n)
    if any(extra >= max(s, d) for extra, s, d in zip(output_padding, stride, dilation)):
        got = f"got {output_padding} with stride {stride} and dilation {dilation}"
        raise ValueError(f"`output_padding` must be less than the stride or the dilation, {got}")
    spans = [d * (k - 1) + 1 for k, d in zip(weight.shape[-n:], dilation)]
    lengths = zip(input.shape[-n:], stride, padding, output_padding, spans)
    sizes = tuple((i - 1) * s - 2 * p + extra + span for i, s, p, extra, span in lengths)
    if min(sizes) < 1:
        raise ValueError(f"`padding` must leave something of the output, got {padding}, which gives the size {sizes}")
    if n == 1:
        stride, padding, output_padding, dilation = (1, *stride), (0, *padding), (0, *output_padding), (1, *dilation)
    x, w = as_images(n, input), as_images(n, weight)
    y = primitives.conv_transpose2d(
        x, w, bias, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation, groups=groups
    )
    return as_given(n, y, input)
