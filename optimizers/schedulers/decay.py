"""Schedules that only go one way: steps, exponentials, lines, powers, and whatever a function says."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...backend.device.options import integer, number
from ..optimizer import Optimizer
from .schedule import LRScheduler, append_shared, per_group

__all__ = [
    "ConstantLR",
    "ExponentialLR",
    "InverseTimeLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "NoamLR",
    "PolynomialLR",
    "StepLR",
]


class LambdaLR(LRScheduler):
    """Whatever a function says: lr = lr₀ · f(t).

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    lr_lambda : callable or list of callable
        f, one function of t for all groups or one for each.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    TypeError
        If `lr_lambda` holds what cannot be called.
    ValueError
        If there is not one function for each group.

    Notes
    -----
    As `torch.optim.lr_scheduler.LambdaLR`.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.LambdaLR(optimizer, lambda t: 0.5**t)
    >>> lrs = []
    >>> for _ in range(3):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ):
        self.lr_lambdas = _functions(optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * _factor(f, self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]

    def _begin_group(self, group: dict[str, Any]) -> None:
        append_shared("lr_lambda", self.lr_lambdas, len(self.base_lrs))


class MultiplicativeLR(LRScheduler):
    """A factor at each step: lr ← lr · f(t).

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    lr_lambda : callable or list of callable
        f, one function of t for all groups or one for each.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    TypeError
        If `lr_lambda` holds what cannot be called.
    ValueError
        If there is not one function for each group.

    Notes
    -----
    As `torch.optim.lr_scheduler.MultiplicativeLR`.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.MultiplicativeLR(optimizer, lambda t: 1 / t)
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [1.0, 1.0, 0.5, 0.167]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ):
        self.lr_lambdas = _functions(optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        lrs = [group["lr"] for group in self.optimizer.param_groups]
        return (
            lrs
            if self._is_initial
            else [lr * _factor(f, self.last_epoch) for lr, f in zip(lrs, self.lr_lambdas, strict=True)]
        )

    def _begin_group(self, group: dict[str, Any]) -> None:
        append_shared("lr_lambda", self.lr_lambdas, len(self.base_lrs))


def _factor(f: Callable[[int], float], t: int) -> float:
    factor = f(t)
    number("lr_lambda(t)", factor)
    return factor


def _functions(optimizer: Any, lr_lambda: Any) -> list[Callable[[int], float]]:
    functions = per_group("lr_lambda", optimizer, lr_lambda) if isinstance(optimizer, Optimizer) else []
    for f in functions:
        if not callable(f):
            raise TypeError(f"`lr_lambda` must be a function of t (or a list of them), got {type(f).__name__}")
    return functions


class StepLR(LRScheduler):
    """A factor every few steps: lr = lr₀ · gamma^⌊t / step_size⌋.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    step_size : int
        Steps from one factor to the next.
    gamma : float, default 0.1
        The factor.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    TypeError
        If `optimizer` is no weft Optimizer.

    Notes
    -----
    As `torch.optim.lr_scheduler.StepLR`.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.StepLR(optimizer, step_size=2)
    >>> lrs = []
    >>> for _ in range(5):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [1.0, 1.0, 0.1, 0.1, 0.01]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        integer("step_size", step_size, 1)
        number("gamma", gamma, 0)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float) -> float:
        return lr if self.last_epoch == 0 or self.last_epoch % self.step_size else lr * self.gamma

    def closed_form(self, base_lr: float) -> float:
        return base_lr * self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """A factor at chosen steps: lr = lr₀ · gamma^(number of milestones ≤ t).

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    milestones : iterable of int
        The steps.
    gamma : float, default 0.1
        The factor.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    TypeError
        If `optimizer` is no weft Optimizer.

    Notes
    -----
    As `torch.optim.lr_scheduler.MultiStepLR`.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.MultiStepLR(optimizer, [1, 3])
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [1.0, 0.1, 0.1, 0.01]
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1):
        number("gamma", gamma, 0)
        milestones = list(milestones) if isinstance(milestones, Iterable) else [milestones]
        for i, milestone in enumerate(milestones):
            integer(f"milestones[{i}]", milestone, 0)
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs, PyTorch's too: milestones are counted, {step: how often}.

        Returns
        -------
        dict
            All numbers of the schedule, fit for JSON.
        """
        return {**super().state_dict(), "milestones": Counter(self.milestones)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict`.

        Parameters
        ----------
        state_dict : dict
            What `state_dict` returned.
        """
        if isinstance(state_dict, Mapping) and isinstance(counts := state_dict.get("milestones"), Mapping):
            counted = [int(step) for step, count in counts.items() for _ in range(int(count))]
            state_dict = {**state_dict, "milestones": sorted(counted)}
        super().load_state_dict(state_dict)

    def next_lr(self, lr: float, base_lr: float) -> float:
        return lr * self.gamma ** self.milestones.count(self.last_epoch)

    def closed_form(self, base_lr: float) -> float:
        return base_lr * self.gamma ** bisect_right(self.milestones, self.last_epoch)


class ConstantLR(LRScheduler):
    """A factor for the first steps: lr = factor · lr₀ before t = total_iters, lr₀ from then on.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    factor : float, default 1.0 / 3
        In (0, 1].
    total_iters : int, default 5
        Steps that it lasts.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    ValueError
        If `factor` is out of range.
    TypeError
        If `optimizer` is no weft Optimizer.

    Notes
    -----
    As `torch.optim.lr_scheduler.ConstantLR`; a factor of 0 is refused, since it could not be divided out again,
    and so is a negative `total_iters`. With 0, lr stays at factor · lr₀.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [0.5, 0.5, 1.0, 1.0]
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1):
        number("factor", factor, above=0, high=1)
        integer("total_iters", total_iters, 0)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float) -> float:
        if self.last_epoch == 0:
            return lr * self.factor
        return lr * (1.0 / self.factor) if self.last_epoch == self.total_iters else lr

    def closed_form(self, base_lr: float) -> float:
        return base_lr if self.last_epoch >= self.total_iters else base_lr * self.factor


class LinearLR(LRScheduler):
    """A line from one factor to another: lr = lr₀ · f.

    f goes from start_factor at t = 0 to end_factor at t = total_iters, where it stays.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    start_factor : float, default 1.0 / 3
        In (0, 1].
    end_factor : float, default 1.0
        In [0, 1].
    total_iters : int, default 5
        Steps from one to the other.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    ValueError
        If a factor is out of range.
    TypeError
        If `optimizer` is no weft Optimizer.

    Notes
    -----
    As `torch.optim.lr_scheduler.LinearLR`; a negative `total_iters` is refused. With 0, lr stays at start_factor · lr₀.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [0.5, 0.75, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        number("start_factor", start_factor, above=0, high=1)
        number("end_factor", end_factor, 0, 1)
        integer("total_iters", total_iters, 0)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float) -> float:
        rise = self.end_factor - self.start_factor
        if self.last_epoch == 0:
            return lr * self.start_factor
        if self._is_initial or self.last_epoch > self.total_iters:
            return lr
        return lr * (1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise))

    def closed_form(self, base_lr: float) -> float:
        done = min(self.total_iters, self.last_epoch) / self.total_iters if self.total_iters else 0.0
        return base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done)


class ExponentialLR(LRScheduler):
    """A factor at every step: lr = lr₀ · gamma^t.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    gamma : float
        The factor.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    TypeError
        If `optimizer` is no weft Optimizer.

    Notes
    -----
    As `torch.optim.lr_scheduler.ExponentialLR`.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.ExponentialLR(optimizer, gamma=0.5)
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [1.0, 0.5, 0.25, 0.125]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        number("gamma", gamma, 0)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float) -> float:
        return lr if self._is_initial else lr * self.gamma

    def closed_form(self, base_lr: float) -> float:
        return base_lr * self.gamma**self.last_epoch


class PolynomialLR(LRScheduler):
    """A power down to zero: lr = lr₀ · (1 − t / total_iters)^power, and 0 from t = total_iters on.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    total_iters : int, default 5
        Steps to zero.
    power : float, default 1.0
        1 is a line.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    TypeError
        If `optimizer` is no weft Optimizer.

    Notes
    -----
    As `torch.optim.lr_scheduler.PolynomialLR`.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.PolynomialLR(optimizer, total_iters=2, power=2.0)
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [1.0, 0.25, 0.0, 0.0]
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        integer("total_iters", total_iters, 1)
        number("power", power, 0)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float) -> float:
        if self._is_initial or self.last_epoch > self.total_iters:
            return lr
        left, left_before = (1.0 - t / self.total_iters for t in (self.last_epoch, self.last_epoch - 1))
        return lr * (left / left_before) ** self.power

    def closed_form(self, base_lr: float) -> float:
        return base_lr * (1.0 - min(self.total_iters, self.last_epoch) / self.total_iters) ** self.power


class InverseTimeLR(LRScheduler):
    """The 1/t schedule of stochastic approximation: lr = lr₀ / (1 + decay_rate · t / decay_steps).

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    decay_rate : float, default 1.0
        How much the denominator grows in `decay_steps`, ≥ 0.
    decay_steps : float, default 1
        > 0.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    ValueError
        If either is out of range.
    TypeError
        If `optimizer` is no weft Optimizer.

    References
    ----------
    Robbins and Monro, "A stochastic approximation method", 1951.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.InverseTimeLR(optimizer)
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [1.0, 0.5, 0.333, 0.25]
    """

    def __init__(self, optimizer: Optimizer, decay_rate: float = 1.0, decay_steps: float = 1, last_epoch: int = -1):
        number("decay_rate", decay_rate, 0)
        number("decay_steps", decay_steps)
        if decay_steps <= 0:
            raise ValueError(f"`decay_steps` must be > 0, got {decay_steps}")
        self.decay_rate, self.decay_steps = decay_rate, decay_steps
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float) -> float:
        return self.closed_form(base_lr)

    def closed_form(self, base_lr: float) -> float:
        return base_lr / (1.0 + self.decay_rate * self.last_epoch / self.decay_steps)


class NoamLR(LRScheduler):
    """A line up, then one over the root of time: lr = lr₀ · d^-½ · min(s^-½, s · warmup_steps^-1.5), s = t + 1.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    d_model : int
        d, the width of the model, ≥ 1.
    warmup_steps : int, default 4000
        Steps up, ≥ 1.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    ValueError
        If either is out of range.
    TypeError
        If `optimizer` is no weft Optimizer.

    Notes
    -----
    For the paper's schedule give the optimizer lr = 1 (and Adam betas = (0.9, 0.98), eps = 1e-9).

    References
    ----------
    Vaswani et al., "Attention is all you need", 2017, section 5.3.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.NoamLR(optimizer, d_model=4, warmup_steps=2)
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [0.177, 0.354, 0.289, 0.25]
    """

    def __init__(self, optimizer: Optimizer, d_model: int, warmup_steps: int = 4000, last_epoch: int = -1):
        number("d_model", d_model)
        number("warmup_steps", warmup_steps)
        if d_model < 1 or warmup_steps < 1:
            raise ValueError(f"`d_model` and `warmup_steps` must be ≥ 1, got {d_model} and {warmup_steps}")
        self.d_model, self.warmup_steps = d_model, warmup_steps
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float) -> float:
        return self.closed_form(base_lr)

    def closed_form(self, base_lr: float) -> float:
        s = self.last_epoch + 1
        return base_lr * self.d_model**-0.5 * min(s**-0.5, s * self.warmup_steps**-1.5)
