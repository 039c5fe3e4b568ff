"""The learning-rate range test."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from ..backend.device.devices import waiting_is_meant
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Tensor
from .optimizer import Optimizer

__all__ = ["LRFinderResult", "lr_find"]

Batch = TypeVar("Batch")


class LRFinderResult(NamedTuple):
    """What `lr_find` saw.

    Parameters
    ----------
    lrs : list of float
        The lr of each step.
    losses : list of float
        The loss before each step.
    suggestion : float
        The lr at which the smoothed loss falls steepest.

    Examples
    --------
    >>> LRFinderResult([0.1, 1.0], [2.0, 1.0], 0.1).suggestion
    0.1
    """

    lrs: list[float]
    losses: list[float]
    suggestion: float


def lr_find(
    optimizer: Optimizer,
    loss: Callable[[Batch], Tensor],
    batches: Iterable[Batch],
    *,
    start_lr: float = 1e-7,
    end_lr: float = 10.0,
    num_steps: int = 100,
    smoothing: float = 0.9,
    divergence: float = 4.0,
) -> LRFinderResult:
    """Train for a moment with an lr that grows exponentially, watch the loss, and put everything back.

        lrₖ = start_lr (end_lr / start_lr)^(k / (num_steps−1))

    The sweep ends early where the smoothed loss is not finite or exceeds `divergence` times its minimum. The suggestion
    is the lr at which the smoothed loss falls steepest over log lr, before its minimum.

    Parameters
    ----------
    optimizer : Optimizer
        Its parameters, state and options are as before afterwards.
    loss : callable
        Maps a batch to the loss, a Tensor with one element: `lambda batch: F.cross_entropy(model(batch[0]),
        batch[1])`. What else it changes (running statistics, random generators) stays changed.
    batches : iterable
        Started again as often as needed.
    start_lr : float, default 1e-7
        The first lr, > 0.
    end_lr : float, default 10.0
        The last lr.
    num_steps : int, default 100
        Steps from the first to the last, ≥ 3.
    smoothing : float, default 0.9
        Weight of the past in the moving average of the loss (bias-corrected).
    divergence : float, default 4.0
        How many times its minimum the smoothed loss may be.

    Returns
    -------
    LRFinderResult
        The rates, the losses and a suggestion.

    Raises
    ------
    ValueError
        If the range or `num_steps` is no sweep, there are no batches, or the first loss is not finite.

    References
    ----------
    Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3.

    Examples
    --------
    >>> p = weft.Parameter([1.0])
    >>> found = optim.lr_find(optim.SGD([p], lr=0.5), lambda batch: (p * batch).square().sum(), [2.0], num_steps=5, end_lr=0.1)
    >>> len(found.lrs), p.item()
    (5, 1.0)
    """
    if not 0 < start_lr < end_lr:
        raise ValueError(f"`start_lr` must be > 0 and below `end_lr`, got {start_lr} and {end_lr}")
    if num_steps < 3:
        raise ValueError(f"`num_steps` must be ≥ 3, got {num_steps}")
    params = [p for group in optimizer.param_groups for p in group["params"]]
    weights, saved = [p.data + 0 for p in params], optimizer.state_dict()
    try:
        lrs, losses, smoothed = _sweep(optimizer, loss, batches, start_lr, end_lr, num_steps, smoothing, divergence)
    finally:
        for p, w in zip(params, weights):
            p.data[...] = w
            changed(p.data)
        optimizer.load_state_dict(saved)
        optimizer.zero_grad()
    return LRFinderResult(lrs, losses, _steepest(lrs, smoothed))


def _sweep(
    optimizer: Optimizer,
    loss: Callable,
    batches: Iterable,
    start: float,
    end: float,
    num: int,
    beta: float,
    divergence: float,
) -> tuple[list[float], list[float], list[float]]:
    lrs: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    for k, batch in enumerate(itertools.islice(_again(batches), num)):
        lr = start * (end / start) ** (k / (num - 1))
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        value = loss(batch)
        with waiting_is_meant():  # it stops at the first loss that is too high
            number = float(value.item())
        average = beta * average + (1 - beta) * number
        corrected = average / (1 - beta ** (k + 1))
        if not math.isfinite(number) or (smoothed and corrected > divergence * min(smoothed) > 0):
            break
        lrs.append(lr)
        losses.append(number)
        smoothed.append(corrected)
        value.backward()
        optimizer.step()
    return lrs, losses, smoothed


def _again(batches: Iterable) -> Any:
    """The batches over and over. Raises ValueError if there are none."""
    while True:
        batch = None
        for batch in batches:
            yield batch
        if batch is None:
            raise ValueError(
                "`batches` must yield batches each time it is iterated, got none (pass a loader, not an iterator)"
            )


def _steepest(lrs: list[float], losses: list[float]) -> float:
    """Where the loss falls fastest per step, up to its minimum; the steps are equal in log lr."""
    if not losses:
        raise ValueError("`loss` must be finite at `start_lr`, got a loss that is not")
    lowest = min(range(len(losses)), key=losses.__getitem__)
    falls = [losses[i + 1] - losses[i] for i in range(lowest)]
    return lrs[min(range(len(falls)), key=falls.__getitem__)] if falls else lrs[lowest]
