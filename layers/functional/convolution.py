"""Convolutions, with PyTorch's names and signatures."""

from __future__ import annotations

from collections.abc import Sequence

from ...backend.array.manipulation import permute_dims
from ...backend.nn import convolution as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check
from ._check import Ints
from ._images import as_batch, as_given, check_axes

__all__ = ["conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]

KERNELS = {1: "K", 2: "KH, KW", 3: "KD, KH, KW"}


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of sequences, see `conv2d`; the formula stands with `layers.Conv1d`.

    Parameters
    ----------
    input : Tensor
        x, (N, C, L) or (C, L).
    weight : Tensor
        (O, C/groups, K).
    bias : Tensor, optional
        (O,).
    stride : int or tuple of int, default 1
        S: the window moves by this much.
    padding : int, tuple of int, "valid" or "same", default 0
        P elements on both sides; "valid" is none, "same" keeps the length (with stride 1).
    dilation : int or tuple of int, default 1
        D: distance between the elements that a window takes.
    groups : int, default 1
        Into how many groups the channels are split; an output sees the inputs of its own group only.

    Returns
    -------
    Tensor
        (N, O, Lo) or (O, Lo), Lo = ⌊(L + 2P − D(K − 1) − 1)/S⌋ + 1.

    Raises
    ------
    TypeError
        If an operand is not a Tensor, or dtypes differ.
    ValueError
        If shapes or sizes do not fit, or x is smaller than the kernel.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.conv1d(weft.tensor([[1.0, 2.0, 4.0]]), weft.tensor([[[-1.0, 1.0]]]))
    tensor([[1., 2.]])
    """
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
    """Cross-correlation of images; the formula stands with `layers.Conv2d`.

    Parameters
    ----------
    input : Tensor
        x, (N, C, H, W) or (C, H, W).
    weight : Tensor
        (O, C/groups, KH, KW).
    bias : Tensor, optional
        (O,).
    stride : int or tuple of int, default 1
        S, of both axes or of each: the window moves by this much.
    padding : int, tuple of int, "valid" or "same", default 0
        P elements on both sides; "valid" is none, "same" keeps the size (with stride 1).
    dilation : int or tuple of int, default 1
        D: distance between the elements that a window takes.
    groups : int, default 1
        Into how many groups the channels are split; an output sees the inputs of its own group only.

    Returns
    -------
    Tensor
        (N, O, Ho, Wo) or (O, Ho, Wo), Ho = ⌊(H + 2P − D(KH − 1) − 1)/S⌋ + 1.

    Raises
    ------
    TypeError
        If an operand is not a Tensor, or dtypes differ.
    ValueError
        If shapes or sizes do not fit, or x is smaller than the kernel.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.conv2d(weft.ones((1, 3, 8, 8)), weft.ones((4, 3, 3, 3)), padding="same").shape
    (1, 4, 8, 8)
    """
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of volumes; the formula stands with `layers.Conv2d`.

    Parameters
    ----------
    input : Tensor
        x, (N, C, D, H, W) or (C, D, H, W).
    weight : Tensor
        (O, C/groups, KD, KH, KW).
    bias : Tensor, optional
        (O,).
    stride : int or tuple of int, default 1
        S, of all axes or of each: the window moves by this much.
    padding : int, tuple of int, "valid" or "same", default 0
        P elements on both sides; "valid" is none, "same" keeps the size (with stride 1).
    dilation : int or tuple of int, default 1
        D: distance between the elements that a window takes.
    groups : int, default 1
        Into how many groups the channels are split; an output sees the inputs of its own group only.

    Returns
    -------
    Tensor
        (N, O, Do, Ho, Wo) or (O, Do, Ho, Wo), sizes as for `conv2d`.

    Raises
    ------
    TypeError
        If an operand is not a Tensor, or dtypes differ.
    ValueError
        If shapes or sizes do not fit, or x is smaller than the kernel.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.conv3d(weft.ones((1, 3, 4, 8, 8)), weft.ones((4, 3, 3, 3, 3)), padding="same").shape
    (1, 4, 4, 8, 8)
    """
    return _convolve(3, input, weight, bias, stride, padding, dilation, groups)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """Cross-correlation of sequences whose axes are time, batch, channels; see `conv1d`.

    Parameters
    ----------
    input : Tensor
        x, (L, N, C).
    weight : Tensor
        (K, C, O).
    bias : Tensor
        (O,).
    pad : int, default 0
        Zeros at both ends of time.

    Returns
    -------
    Tensor
        (L + 2·pad − K + 1, N, O).

    Raises
    ------
    TypeError
        If an operand is not a Tensor, or dtypes differ.
    ValueError
        If shapes or sizes do not fit, or x is smaller than the kernel.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.conv_tbc(weft.ones((5, 2, 3)), weft.ones((2, 3, 4)), weft.zeros(4), pad=1).shape
    (6, 2, 4)
    """
    for name, x in (("input", input), ("weight", weight)):
        if check.tensor(name, x).ndim != 3:
            wanted = "(L, N, C)" if x is input else "(K, C, O)"
            raise ValueError(f"`{name}` must have shape {wanted}, got {tuple(x.shape)}")
    y = conv1d(permute_dims(input, (1, 2, 0)), permute_dims(weight, (2, 1, 0)), bias, padding=pad)
    return permute_dims(y, (2, 0, 1))


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
    """The adjoint of `conv1d`; see `conv_transpose2d`.

    Parameters
    ----------
    input : Tensor
        x, (N, C, L) or (C, L).
    weight : Tensor
        (C, O/groups, K).
    bias : Tensor, optional
        (O,).
    stride : int or tuple of int, default 1
        S: outputs of neighbouring elements are this far apart.
    padding : int or tuple of int, default 0
        P elements are cut off on both sides.
    output_padding : int or tuple of int, default 0
        Elements more at the end; less than the stride or the dilation.
    groups : int, default 1
        Into how many groups the channels are split; an output sees the inputs of its own group only.
    dilation : int or tuple of int, default 1
        D: distance between the elements of a kernel.

    Returns
    -------
    Tensor
        (N, O, Lo) or (O, Lo), Lo = (L − 1)·S − 2P + D(K − 1) + output_padding + 1.

    Raises
    ------
    TypeError
        If an operand is not a Tensor, or dtypes differ.
    ValueError
        If shapes or sizes do not fit, or nothing is left of the output.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.conv_transpose1d(weft.tensor([[1.0, 2.0]]), weft.tensor([[[1.0, 10.0]]]), stride=2)
    tensor([[ 1., 10.,  2., 20.]])
    """
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
    """The adjoint of `conv2d`: what its pullback does to a gradient.

    Parameters
    ----------
    input : Tensor
        x, (N, C, H, W) or (C, H, W).
    weight : Tensor
        (C, O/groups, KH, KW).
    bias : Tensor, optional
        (O,).
    stride : int or tuple of int, default 1
        S, of both axes or of each: outputs of neighbouring elements are this far apart.
    padding : int or tuple of int, default 0
        P elements are cut off on both sides.
    output_padding : int or tuple of int, default 0
        Elements more at the end; less than the stride or the dilation.
    groups : int, default 1
        Into how many groups the channels are split; an output sees the inputs of its own group only.
    dilation : int or tuple of int, default 1
        D: distance between the elements of a kernel.

    Returns
    -------
    Tensor
        (N, O, Ho, Wo) or (O, Ho, Wo), Ho = (H − 1)·S − 2P + D(KH − 1) + output_padding + 1.

    Raises
    ------
    TypeError
        If an operand is not a Tensor, or dtypes differ.
    ValueError
        If shapes or sizes do not fit, or nothing is left of the output.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.conv_transpose2d(weft.ones((1, 3, 5, 5)), weft.ones((3, 4, 2, 2)), stride=2).shape
    (1, 4, 10, 10)
    """
    return _convolve_transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The adjoint of `conv3d`: what its pullback does to a gradient.

    Parameters
    ----------
    input : Tensor
        x, (N, C, D, H, W) or (C, D, H, W).
    weight : Tensor
        (C, O/groups, KD, KH, KW).
    bias : Tensor, optional
        (O,).
    stride : int or tuple of int, default 1
        S, of all axes or of each: outputs of neighbouring elements are this far apart.
    padding : int or tuple of int, default 0
        P elements are cut off on both sides.
    output_padding : int or tuple of int, default 0
        Elements more at the end; less than the stride or the dilation.
    groups : int, default 1
        Into how many groups the channels are split; an output sees the inputs of its own group only.
    dilation : int or tuple of int, default 1
        D: distance between the elements of a kernel.

    Returns
    -------
    Tensor
        (N, O, Do, Ho, Wo) or (O, Do, Ho, Wo), sizes as for `conv_transpose2d`.

    Raises
    ------
    TypeError
        If an operand is not a Tensor, or dtypes differ.
    ValueError
        If shapes or sizes do not fit, or nothing is left of the output.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.conv_transpose3d(weft.ones((1, 3, 2, 5, 5)), weft.ones((3, 4, 2, 2, 2)), stride=2).shape
    (1, 4, 4, 10, 10)
    """
    return _convolve_transposed(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


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
        raise ValueError(f"`weight` must have shape ({names}, {KERNELS[n]}), got {tuple(weight.shape)}")
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
    x = as_batch(n, input)
    y = primitives.conv(x, weight, bias, stride=stride, padding=sides, dilation=dilation, groups=groups)
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
    if any(size < 0 or size == p == 0 for size, p in zip(sizes, padding)):
        raise ValueError(f"`padding` must leave something of the output, got {padding}, which gives the size {sizes}")
    if 0 in sizes:  # of a larger one nothing, so that the gradients are zeros
        padding = tuple(p - (size == 0) for size, p in zip(sizes, padding))
        y = _convolve_transposed(n, input, weight, bias, stride, padding, output_padding, groups, dilation)
        return y[(..., *(slice(None if size else 0) for size in sizes))]
    options = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    y = primitives.conv_transpose(as_batch(n, input), weight, bias, **options, groups=groups)
    return as_given(n, y, input)
