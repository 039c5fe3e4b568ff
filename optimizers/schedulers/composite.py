"""Schedules made of schedules, and the one that watches a metric."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ...backend.device.options import integer, number
from ...backend.tape.tensor import Tensor
from ..optimizer import Optimizer
from .schedule import LRScheduler, _checked, append_shared, per_group

__all__ = ["ChainedScheduler", "ReduceLROnPlateau", "SequentialLR"]


class SequentialLR(LRScheduler):
    """One schedule after another.

    The i-th is in charge from milestones[i−1] to milestones[i], counting from 0 again.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer of all of them.
    schedulers : sequence of LRScheduler
        Schedules of time, all for one optimizer.
    milestones : list of int
        Where the next one takes over; one fewer than there are schedules.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    ValueError
        If there are no schedules, other optimizers, or milestones of another number.
    TypeError
        If one is no schedule of time.

    Notes
    -----
    As `torch.optim.lr_scheduler.SequentialLR`.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> warmup = optim.schedulers.ConstantLR(optimizer, factor=0.5, total_iters=9)
    >>> decay = optim.schedulers.ExponentialLR(optimizer, gamma=0.1)
    >>> schedule = optim.schedulers.SequentialLR(optimizer, [warmup, decay], milestones=[2])
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [0.5, 0.5, 1.0, 0.1]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: list[int], last_epoch: int = -1
    ):
        _check_all(self, optimizer, schedulers)
        if not isinstance(milestones, list | tuple):
            raise TypeError(f"`milestones` must be a list of int, got {milestones!r:.80}")
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"`milestones` must be one fewer than the {len(schedulers)} schedulers, got {len(milestones)}"
            )
        for i, milestone in enumerate(milestones):
            integer(f"milestones[{i}]", milestone, 0)
        if list(milestones) != sorted(milestones):
            raise ValueError(f"`milestones` must be in rising order, got {list(milestones)}")
        self.optimizer = optimizer
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        self.last_epoch = last_epoch + 1
        _reset(optimizer)  # each schedule's constructor has set its own first lr: undo, let the first begin
        _undo(self)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _adopt(self) -> None:
        for schedule in self._schedulers:
            schedule._adopt()

    def restart(self) -> None:
        self.last_epoch = 0
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first.restart()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        schedule = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            schedule.restart()
        else:
            schedule.step()
        self._last_lr = schedule.get_last_lr()


def _reset(optimizer: Optimizer) -> None:
    """Every group at its first lr, as if no schedule had begun."""
    for group in optimizer.param_groups:
        group["lr"] = group.get("initial_lr", group["lr"])


def _undo(schedule: Any) -> None:
    """Take back the first step of every schedule within."""
    for part in schedule._schedulers:
        if hasattr(part, "_schedulers"):
            _undo(part)
        else:
            part.last_epoch -= 1


class ChainedScheduler(LRScheduler):
    """Several schedules at once: each multiplies the lr that the one before has left.

    Parameters
    ----------
    schedulers : sequence of LRScheduler
        Schedules of time, all for one optimizer.
    optimizer : Optimizer, optional
        The optimizer of all of them; None is that of the first.

    Raises
    ------
    ValueError
        If there are no schedules, or other optimizers.
    TypeError
        If one is no schedule of time.

    Notes
    -----
    As `torch.optim.lr_scheduler.ChainedScheduler`.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> half = optim.schedulers.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> decay = optim.schedulers.ExponentialLR(optimizer, gamma=0.1)
    >>> schedule = optim.schedulers.ChainedScheduler([half, decay])
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [0.5, 0.05, 0.01, 0.001]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None):
        _check_all(self, optimizer, schedulers)
        self._schedulers = list(schedulers)
        self.optimizer = schedulers[0].optimizer
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    _adopt = SequentialLR._adopt

    def restart(self) -> None:
        _reset(self.optimizer)
        for schedule in self._schedulers:
            schedule.last_epoch = -1
            schedule._initial_step()  # which multiplies what the one before has left
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:  # type: ignore[override]
        for schedule in self._schedulers:
            schedule.step()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


def _check_all(composite: Any, optimizer: Optimizer | None, schedulers: Sequence[Any]) -> None:
    """Schedules of time, all for one optimizer (the first one's, where None is given)."""
    name = type(composite).__name__
    if not isinstance(schedulers, Sequence) or isinstance(schedulers, str):
        raise TypeError(f"`schedulers` of {name} must be a sequence of schedules, got {type(schedulers).__name__}")
    if not len(schedulers):
        raise ValueError(f"`schedulers` of {name} must hold at least one schedule, got none")
    for i, schedule in enumerate(schedulers):
        if not isinstance(schedule, LRScheduler) or isinstance(schedule, ReduceLROnPlateau):
            raise TypeError(f"`schedulers[{i}]` of {name} must be a schedule of time, got {type(schedule).__name__}")
        optimizer = schedule.optimizer if optimizer is None else optimizer
        if schedule.optimizer is not optimizer:
            raise ValueError(f"`schedulers[{i}]` of {name} must belong to the same optimizer as the others")


class ReduceLROnPlateau(LRScheduler):
    """A factor when a metric no longer improves: lr ← max(factor · lr, min_lr).

    "Improved" means below best·(1 − threshold) or best − threshold (`threshold_mode` "rel", "abs"), or with mode "max"
    above best·(1 + threshold) or best + threshold.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    mode : {"min", "max"}, default "min"
        Whether the metric is to fall or to rise.
    factor : float, default 0.1
        What lr is multiplied by, < 1.
    patience : int, default 10
        Steps without improvement that are let pass.
    threshold : float, default 1e-4
        What counts as improvement.
    threshold_mode : {"rel", "abs"}, default "rel"
        How `threshold` is meant.
    cooldown : int, default 0
        Steps after a reduction in which bad ones are not counted.
    min_lr : float or list of float, default 0
        The least lr, for all groups or for each.
    eps : float, default 1e-8
        A change smaller than this is not made.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    TypeError
        If `optimizer` is no weft Optimizer.

    Notes
    -----
    As `torch.optim.lr_scheduler.ReduceLROnPlateau`: `step(metric)` needs the metric.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.ReduceLROnPlateau(optimizer, patience=1)
    >>> for loss in (1.0, 0.5, 0.5, 0.5):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ):
        self.optimizer = _checked(self, optimizer)
        number("factor", factor)
        if not factor < 1:
            raise ValueError(f"`factor` must be < 1, got {factor}")
        number("factor", factor, 0)
        integer("patience", patience, 0)
        integer("cooldown", cooldown, 0)
        number("threshold", threshold, 0)
        number("eps", eps, 0)
        if mode not in ("min", "max"):
            raise ValueError(f"`mode` must be 'min' or 'max', got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"`threshold_mode` must be 'rel' or 'abs', got {threshold_mode!r}")
        self.mode, self.factor, self.patience, self.cooldown, self.eps = mode, factor, patience, cooldown, eps
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.min_lrs = per_group("min_lr", optimizer, min_lr)
        for least in self.min_lrs:
            number("min_lr", least, 0)
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = self.last_epoch = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: float | Tensor) -> None:  # type: ignore[override]
        """Look at the metric and reduce the lr if it is time.

        Parameters
        ----------
        metrics : float or Tensor
            The metric, one number.

        Examples
        --------
        >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
        >>> schedule = optim.schedulers.ReduceLROnPlateau(optimizer)
        >>> schedule.step(weft.tensor(0.5))
        >>> schedule.best
        0.5
        """
        if isinstance(metrics, str) or not hasattr(metrics, "__float__"):
            raise TypeError(f"`metrics` must be a number, got {metrics!r}")
        metric = float(metrics)
        self.last_epoch += 1
        if self._improves(metric):
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _adopt(self) -> None:
        while len(self.min_lrs) < len(self.optimizer.param_groups):
            append_shared("min_lr", self.min_lrs, len(self.min_lrs))

    def _improves(self, metric: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        change = sign * self.threshold
        bar = self.best * (1 + change) if self.threshold_mode == "rel" else self.best + change
        return sign * metric > sign * bar

    def _reduce(self) -> None:
        self._adopt()
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            new = max(group["lr"] * self.factor, least)
            if group["lr"] - new > self.eps:
                group["lr"] = new

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "best": self.best if math.isfinite(self.best) else None
        }  # JSON knows no infinity

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._check_state(state_dict | {"best": 0.0} if isinstance(state_dict, dict) else state_dict)
        if state_dict.get("mode") not in ("min", "max") or "best" not in state_dict:
            raise ValueError(f"`state_dict` must hold `mode` and `best`, got the keys {sorted(state_dict)}")
        worst = math.inf if state_dict["mode"] == "min" else -math.inf
        super().load_state_dict(state_dict | {"best": worst if state_dict["best"] is None else state_dict["best"]})
