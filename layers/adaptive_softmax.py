"""A softmax over many classes that spends little on the rare ones, as in `torch.nn`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from ..backend.array import indexing
from ..backend.array.elementwise import add, greater_equal, less, logical_and, negative, subtract
from ..backend.array.manipulation import astype, concat, expand_dims, squeeze
from ..backend.array.reductions import argmax, mean
from ..backend.device.dtypes import int64
from ..backend.device.options import integer, number
from ..backend.nn.loss import check_targets
from ..backend.tape import autograd
from ..backend.tape.tensor import DType, Tensor
from . import functional as F
from .containers import ModuleList, Sequential
from .functional import _check as check
from .functional.embedding import _check_indices
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class _Output(NamedTuple):
    """PyTorch's `_ASMoutput`: the log-probability of each target, and minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Softmax in two steps, for classes sorted by falling frequency, as `torch.nn.AdaptiveLogSoftmaxWithLoss`.

    The head chooses among the most frequent classes and the clusters, a tail among the classes of its cluster:
    log p(c) = log head(c), or log head(cluster of c) + log tail(c). Tail k is two matrices with in_features / div_valueᵏ
    numbers between them. The layer is called with inputs x (N, in_features) and classes (N,), or of one example, and gives
    `output`, the log-probability of each class, and `loss`, minus their mean.

    Parameters
    ----------
    in_features : int
        Length of the last axis of x.
    n_classes : int
        How many classes there are.
    cutoffs : sequence of int
        Where clusters begin, ascending within 1 … n_classes − 1. Classes before the first are in the head.
    div_value : float, default 4.0
        By how much each tail is narrower than the one before.
    head_bias : bool, default False
        Whether the head has a bias.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If `cutoffs` do not ascend within 1 … n_classes − 1; in a call, if shapes do not fit.
    IndexError
        In a call, if a target is no class (not on a GPU).

    Notes
    -----
    Which examples a tail is for, the host has to know: in training a GPU is waited for, once for each cluster.

    References
    ----------
    Grave et al., "Efficient Softmax Approximation for GPUs" (2017).

    Examples
    --------
    >>> from weft import layers as nn
    >>> layer = nn.AdaptiveLogSoftmaxWithLoss(16, 100, cutoffs=[10, 40])
    >>> layer(weft.ones((2, 16)), weft.tensor([3, 70])).output.shape, layer.log_prob(weft.ones((2, 16))).shape
    ((2,), (2, 100))
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.sizes(in_features=in_features, n_classes=n_classes)
        number("div_value", div_value, above=0)
        if not isinstance(cutoffs, Sequence):
            raise TypeError(f"`cutoffs` must be a sequence of integers, got {cutoffs!r:.80}")
        for cutoff in cutoffs:
            integer("cutoffs", cutoff)
        steps = [0, *cutoffs, n_classes]
        if not len(cutoffs) or any(a >= b for a, b in itertools.pairwise(steps)):
            raise ValueError(
                f"`cutoffs` must ascend within 1 … {n_classes - 1}, and be at least one, got {cutoffs!r:.80}"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = steps[1:]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(itertools.pairwise(self.cutoffs)):
            width = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, device=device, dtype=dtype),
                    Linear(width, high - low, bias=False, device=device, dtype=dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        for layer in self.modules():
            if isinstance(layer, Linear):
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _Output:
        _check_indices("target_", target_)
        if input_.ndim != target_.ndim + 1 or target_.ndim > 1 or input_.shape[:-1] != target_.shape:
            raise ValueError(
                f"`input_` and `target_` must have shapes (N, {self.in_features}) and (N,), or ({self.in_features},) and (), "
                f"got {tuple(input_.shape)} and {tuple(target_.shape)}"
            )
        check_targets(target_.data, self.n_classes, None)
        if not target_.ndim:
            one = self.forward(expand_dims(input_, axis=0), expand_dims(target_, axis=0))
            return _Output(squeeze(one.output, axis=0), one.loss)
        target = astype(target_, int64)
        if autograd.rebinds:  # who looks on must see what is done for any example: every tail for each
            each = _at(self.log_prob(input_), target)
            return _Output(each, negative(mean(each)))
        in_head = target
        output: Tensor | None = None
        for i, (low, high) in enumerate(itertools.pairwise(self.cutoffs)):
            is_mine = logical_and(greater_equal(target, low), less(target, high))
            in_head = indexing.where(is_mine, self.shortlist_size + i, in_head)
            (rows,) = indexing.nonzero(is_mine)
            if rows.shape[0]:
                log_p = F.log_softmax(self.tail[i](indexing.take(input_, rows, axis=0)), 1)
                mine = _at(log_p, subtract(indexing.take(target, rows, axis=0), low))
                mine = indexing._scatter_add(mine, rows, size=target.shape[0], axis=0)
                output = mine if output is None else add(output, mine)
        found = _at(F.log_softmax(self.head(input_), 1), in_head)
        output = found if output is None else add(output, found)
        return _Output(output, negative(mean(output)))

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probability of every class.

        Parameters
        ----------
        input : Tensor
            x, (N, in_features).

        Returns
        -------
        Tensor
            (N, n_classes).
        """
        return self._log_prob(input, self.head(input))

    def _log_prob(self, input: Tensor, head: Tensor) -> Tensor:
        log_head, n = F.log_softmax(head, 1), self.shortlist_size
        parts = [log_head[:, :n]]
        for i, tail in enumerate(self.tail):
            parts.append(add(F.log_softmax(tail(input), 1), log_head[:, n + i : n + i + 1]))
        return concat(parts, axis=1)

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each example: `log_prob(input).argmax(dim=1)`, which often needs the head alone.

        Parameters
        ----------
        input : Tensor
            x, (N, in_features).

        Returns
        -------
        Tensor
            Integers (N,).
        """
        if autograd.rebinds:
            return argmax(self.log_prob(input).detach(), axis=1)
        head = self.head(input).detach()
        best = argmax(head, axis=1)
        (rows,) = indexing.nonzero(greater_equal(best, self.shortlist_size))
        if rows.shape[0]:
            log_p = self._log_prob(indexing.take(input, rows, axis=0), indexing.take(head, rows, axis=0))
            best[rows] = argmax(log_p.detach(), axis=1)
        return best


def _at(log_p: Tensor, index: Tensor) -> Tensor:
    """Of each row, the number at its index."""
    return squeeze(indexing.take_along_axis(log_p, expand_dims(index, axis=1), axis=1), axis=1)
