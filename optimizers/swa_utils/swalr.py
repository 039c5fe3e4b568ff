"""The learning rate of stochastic weight averaging."""

from __future__ import annotations

import math
from typing import Any

from ...backend.device.options import integer, number
from ..optimizer import Optimizer
from ..schedulers.schedule import LRScheduler, _checked, per_group

__all__ = ["SWALR"]


class SWALR(LRScheduler):
    """From the present learning rate to a constant one: lr = (1 − a) lr₀ + a swa_lr, a from 0 to 1 in anneal_epochs steps.

    a = (1 − cos πt)/2 ("cos") or t ("linear") of t = step / anneal_epochs. lr₀ is what another schedule has left: each
    step goes on from the lr that it finds.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    swa_lr : float or list of float
        Where it ends, for all groups or for each.
    anneal_epochs : int, default 10
        Steps until then; 0 is at once.
    anneal_strategy : {"cos", "linear"}, default "cos"
        The way there.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    ValueError
        If an option is out of range.
    TypeError
        If `optimizer` is no weft Optimizer.

    Notes
    -----
    As `torch.optim.swa_utils.SWALR`; "swa_lr" stands in each group.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.swa_utils.SWALR(optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> lrs
    [1.0, 0.75, 0.5, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ):
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"`anneal_strategy` must be 'cos' or 'linear', got {anneal_strategy!r}")
        integer("anneal_epochs", anneal_epochs, 0)
        for value, group in zip(per_group("swa_lr", _checked(self, optimizer), swa_lr), optimizer.param_groups):
            number("swa_lr", value, 0)
            group["swa_lr"] = value
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        lrs = []
        for group in self.optimizer.param_groups:
            lr, end = group["lr"], group["swa_lr"]
            start = end if before == 1 else (lr - before * end) / (1 - before)
            lrs.append(end * now + start * (1 - now))
        return lrs

    def _share(self, step: int) -> float:
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def _begin_group(self, group: dict[str, Any]) -> None:
        group.setdefault("swa_lr", self.optimizer.param_groups[0]["swa_lr"])
