"""Connectionist temporal classification, with PyTorch's name and signature."""

from __future__ import annotations

from collections.abc import Sequence

from ...backend.array.creation import arange, asarray
from ...backend.array.elementwise import clip
from ...backend.array.indexing import take
from ...backend.array.manipulation import astype, expand_dims, reshape, squeeze
from ...backend.array.reductions import cumulative_sum
from ...backend.device.dtypes import int64, is_integral
from ...backend.device.options import integer
from ...backend.nn import ctc as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check
from .loss import REDUCTIONS

__all__ = ["ctc_loss"]


def _integers(name: str, x: Tensor | Sequence[int] | int, device: str) -> Tensor:
    """Integers of one axis on a device, as int64."""
    x = asarray(x, device=device)
    if not is_integral(x.dtype) and x.size:
        raise TypeError(f"`{name}` must have an integer dtype, got {x.dtype}; convert it: {name}.long()")
    return astype(x, int64, copy=False)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int] | int,
    target_lengths: Tensor | Sequence[int] | int,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """−ln of the probability of all alignments of a target with a longer sequence, which may repeat labels and have blanks.

    In the gradient PyTorch's convention holds: exp(log_probs) − posterior, which is right for whatever `log_probs` came
    from through `log_softmax`. Of `log_probs` that are not normalised it is not the derivative.

    Parameters
    ----------
    log_probs : Tensor
        Logarithms of probabilities, as from `log_softmax`: (T, N, C) or (T, C).
    targets : Tensor
        Class indices without blanks: (N, S), of which the first of each row count, or all of them in a row, (Σ lengths,).
    input_lengths : Tensor, sequence of int or int
        The N lengths of the inputs, at most T.
    target_lengths : Tensor, sequence of int or int
        The N lengths of the targets. Of targets in a row they are read on the host.
    blank : int, default 0
        The class that stands for no label.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides each loss by its target's length, 1 at least, and takes the mean over N.
    zero_infinity : bool, default False
        Whether a target that is too long for its input has loss and gradient 0, not ∞ and NaN.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, (N,), or () for (T, C).

    Raises
    ------
    TypeError
        If one is not of a fitting dtype.
    ValueError
        If the shapes do not fit, a length is too large, a target holds the blank, or an option is out of range.
    IndexError
        If a label is no class. On a GPU, which it would have to wait for, the loss is NaN.

    References
    ----------
    Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent Neural
    Networks" (2006).

    Examples
    --------
    Of two steps, each ½ blank and ½ label, the target is missed by two blanks alone:

    >>> from weft.layers import functional as F
    >>> x = F.log_softmax(weft.zeros((2, 1, 2)), 2)
    >>> round(weft.exp(-F.ctc_loss(x, weft.tensor([[1]]), [2], [1])).item(), 3)
    0.75
    """
    check.floating("log_probs", log_probs)
    check.one_of("reduction", reduction, REDUCTIONS)
    check.tensor("targets", targets)
    if log_probs.ndim not in (2, 3) or not log_probs.size:
        raise ValueError(
            f"`log_probs` must have shape (T, N, C) or (T, C), none of them 0, got {tuple(log_probs.shape)}"
        )
    is_batch = log_probs.ndim == 3
    x = log_probs if is_batch else expand_dims(log_probs, axis=1)
    steps, n, classes = x.shape
    integer("blank", blank, 0, classes - 1)
    y = _integers("targets", targets, x.device)
    lengths = {"input_lengths": input_lengths, "target_lengths": target_lengths}
    of_inputs, of_targets = (reshape(_integers(k, v, x.device), (-1,)) for k, v in lengths.items())
    for name, found in zip(lengths, (of_inputs, of_targets)):
        check.shape(name, found, (n,))
    if y.ndim == 1:
        y = _padded(y, of_targets)
    if y.ndim != 2 or y.shape[0] != n:
        raise ValueError(f"`targets` must have shape ({n}, S), or (Σ target_lengths,), got {tuple(targets.shape)}")
    primitives.check_alignment(y.data, of_targets.data, of_inputs.data, steps, classes, blank)
    loss = primitives.ctc_loss(
        x, y, of_inputs, of_targets, blank=blank, reduction=reduction, zero_infinity=zero_infinity
    )
    return loss if is_batch or reduction != "none" else squeeze(loss, axis=0)


def _padded(targets: Tensor, lengths: Tensor) -> Tensor:
    """(Σ lengths,) → (N, longest); what lies beyond a target's end is not looked at."""
    sizes = lengths.tolist()
    if sum(sizes) != targets.shape[0] or min(sizes) < 0:
        raise ValueError(
            f"`targets` in a row must have as many labels as `target_lengths` say, {sizes}, got {targets.shape[0]}"
        )
    if not targets.size:
        return reshape(targets, (len(sizes), 0))
    starts = cumulative_sum(lengths) - lengths
    index = expand_dims(starts, axis=1) + arange(max(sizes), device=targets.device)
    return reshape(take(targets, reshape(clip(index, max=targets.size - 1), (-1,)), axis=0), index.shape)
