"""Schedules that come and go: cosines, warm-ups, cycles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...backend.device.options import integer, number
from ..optimizer import Optimizer
from .schedule import LRScheduler, MomentumCycle, _checked, append_shared, per_group, share

__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR", "WarmupCosineLR"]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine down: lr = eta_min + ½ (lr₀ − eta_min) (1 + cos(π t / T_max)), and up again beyond T_max.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    T_max : int
        Steps down.
    eta_min : float, default 0.0
        The least lr.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    TypeError
        If `optimizer` is no weft Optimizer.

    Notes
    -----
    As `torch.optim.lr_scheduler.CosineAnnealingLR`.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017 (without its restarts).

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.CosineAnnealingLR(optimizer, T_max=3)
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [1.0, 0.75, 0.25, 0.0]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        number("T_max", T_max, above=0)
        number("eta_min", eta_min, 0)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float) -> float:
        if self._is_initial:
            return lr
        t, T, low = self.last_epoch, self.T_max, self.eta_min
        if (t - 1 - T) % (2 * T) == 0:  # the last lr was eta_min: the ratio below would be 0/0
            return lr + (base_lr - low) * (1 - math.cos(math.pi / T)) / 2
        return low + (lr - low) * (1 + math.cos(math.pi * t / T)) / (1 + math.cos(math.pi * (t - 1) / T))

    def closed_form(self, base_lr: float) -> float:
        return _cosine(base_lr, self.eta_min, self.last_epoch / self.T_max)


def _cosine(start: float, end: float, done: float) -> float:
    """From `start` (done = 0) to `end` (done = 1) along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine down, again and again: lr = eta_min + ½ (lr₀ − eta_min) (1 + cos(π T_cur / T_i)).

    The i-th lasts T_i = T_0 · T_mult^i steps, of which T_cur are done.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    T_0 : int
        Steps of the first, ≥ 1.
    T_mult : int, default 1
        How much longer each is than the one before, ≥ 1.
    eta_min : float, default 0.0
        The least lr.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    ValueError
        If `T_0` or `T_mult` is no such integer.
    TypeError
        If `optimizer` is no weft Optimizer.

    Notes
    -----
    As `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [1.0, 0.5, 1.0, 0.5]
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1):
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            integer(name, value, 1)
        number("eta_min", eta_min, 0)
        self.T_0, self.T_i, self.T_mult, self.eta_min, self.T_cur = T_0, T_0, T_mult, eta_min, float(last_epoch)
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float) -> float:
        return _cosine(base_lr, self.eta_min, self.T_cur / self.T_i)

    def step(self, epoch: float | None = None) -> None:
        """Move on to the next lr, or to that of a fraction of an epoch.

        Parameters
        ----------
        epoch : float, optional
            Where to move, such as `epoch + i / batches`; None is one further.

        Raises
        ------
        ValueError
            If `epoch` is negative.

        Examples
        --------
        >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
        >>> schedule = optim.schedulers.CosineAnnealingWarmRestarts(optimizer, T_0=2)
        >>> schedule.step(0.5)
        >>> round(schedule.get_last_lr()[0], 3)
        0.854
        """
        if epoch is not None:
            number("epoch", epoch, 0)
        self._adopt()
        self._step_count += 1
        if epoch is None and self.last_epoch >= 0:
            self.last_epoch += 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            self._place(epoch or 0)
        self._set(self.get_lr())

    def _place(self, epoch: float) -> None:
        """Find the cycle that `epoch` falls in: the n-th begins at T_0 (1 + T_mult + … + T_mult^(n−1))."""
        self.last_epoch, self.T_cur, self.T_i = math.floor(epoch), epoch, self.T_0
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult


class WarmupCosineLR(LRScheduler):
    """A line up to lr₀, then half a cosine down to `eta_min`, which it keeps.

    lr = lr₀ (t+1) / (warmup_steps+1)                                 t < warmup_steps: no step is wasted on lr = 0
    lr = eta_min + ½ (lr₀ − eta_min) (1 + cos(π (t − warmup_steps) / (total_steps − warmup_steps)))     otherwise

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    warmup_steps : int
        Steps up, in [0, total_steps).
    total_steps : int
        Steps up and down.
    eta_min : float, default 0.0
        The least lr.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    ValueError
        If `warmup_steps` is out of range.
    TypeError
        If `optimizer` is no weft Optimizer.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.WarmupCosineLR(optimizer, warmup_steps=1, total_steps=3)
    >>> lrs = []
    >>> for _ in range(4):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [0.5, 1.0, 0.5, 0.0]
    """

    def __init__(
        self, optimizer: Optimizer, warmup_steps: int, total_steps: int, eta_min: float = 0.0, last_epoch: int = -1
    ):
        number("warmup_steps", warmup_steps)
        number("total_steps", total_steps)
        number("eta_min", eta_min, 0)
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(f"`warmup_steps` must be in [0, total_steps), got {warmup_steps} of {total_steps}")
        self.warmup_steps, self.total_steps, self.eta_min = warmup_steps, total_steps, eta_min
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float) -> float:
        return self.closed_form(base_lr)

    def closed_form(self, base_lr: float) -> float:
        t, warmup = self.last_epoch, self.warmup_steps
        if t < warmup:
            return base_lr * (t + 1) / (warmup + 1)
        return _cosine(base_lr, self.eta_min, min(1.0, (t - warmup) / (self.total_steps - warmup)))


class OneCycleLR(LRScheduler):
    """One rise and one fall of lr, and momentum the other way.

    lr goes up from max_lr/div_factor to max_lr in the share `pct_start` of `total_steps`, then down to
    max_lr/(div_factor·final_div_factor).

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    max_lr : float or list of float
        The greatest lr, for all groups or for each.
    total_steps : int, optional
        Steps of the cycle; None is epochs · steps_per_epoch.
    epochs : int, optional
        Epochs of the cycle.
    steps_per_epoch : int, optional
        Batches of an epoch.
    pct_start : float, default 0.3
        Share of the rise, in [0, 1].
    anneal_strategy : {"cos", "linear"}, default "cos"
        Half cosines or lines.
    cycle_momentum : bool, default True
        Whether momentum (or β₁) goes from max_momentum to base_momentum and back.
    base_momentum : float or list of float, default 0.85
        The least momentum.
    max_momentum : float or list of float, default 0.95
        The greatest momentum.
    div_factor : float, default 25.0
        What max_lr is divided by at the start.
    final_div_factor : float, default 1e4
        What that is divided by at the end.
    three_phase : bool, default False
        Whether the fall back to max_lr/div_factor mirrors the rise and a last phase takes the rest.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    ValueError
        If a parameter is out of range, there is no momentum to cycle, or `step` is called more than total_steps
        times.
    TypeError
        If `optimizer` is no weft Optimizer.

    Notes
    -----
    Call `step` after every batch, total_steps − 1 times; one more is allowed. As `torch.optim.lr_scheduler.OneCycleLR`.

    References
    ----------
    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.OneCycleLR(optimizer, max_lr=1.0, total_steps=5, pct_start=0.4)
    >>> lrs = []
    >>> for _ in range(5):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [0.04, 1.0, 0.75, 0.25, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        _checked(self, optimizer)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                got = f"got total_steps=None, epochs={epochs} and steps_per_epoch={steps_per_epoch}"
                raise ValueError(f"`total_steps` must be given, or both `epochs` and `steps_per_epoch`, {got}")
            integer("epochs", epochs, 1)
            integer("steps_per_epoch", steps_per_epoch, 1)
            total_steps = epochs * steps_per_epoch
        integer("total_steps", total_steps, 1)
        number("pct_start", pct_start, 0, 1)
        number("div_factor", div_factor, above=0)
        number("final_div_factor", final_div_factor, above=0)
        for high in per_group("max_lr", optimizer, max_lr):
            number("max_lr", high, 0)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"`anneal_strategy` must be 'cos' or 'linear', got {anneal_strategy!r}")
        self.total_steps, self.anneal_strategy, self.cycle_momentum = total_steps, anneal_strategy, cycle_momentum
        rise = float(pct_start * total_steps) - 1
        # (last step, lr from, lr to, momentum from, momentum to), the numbers by their names in the group
        self.phases: list[list[Any]] = [[rise, "initial_lr", "max_lr", "max_momentum", "base_momentum"]]
        if three_phase:
            self.phases.append([2 * rise, "max_lr", "initial_lr", "base_momentum", "max_momentum"])
            self.phases.append([total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"])
        else:
            self.phases.append([total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"])
        if last_epoch == -1:
            if cycle_momentum:
                MomentumCycle.begin(optimizer, base_momentum, max_momentum)
            for group, high in zip(optimizer.param_groups, per_group("max_lr", optimizer, max_lr)):
                low = high / div_factor
                group.update(initial_lr=low, max_lr=high, min_lr=low / final_div_factor)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(f"`step` must be called at most total_steps = {self.total_steps} times, this is call {t}")
        number = next((i for i, phase in enumerate(self.phases) if t <= phase[0]), len(self.phases) - 1)
        start = self.phases[number - 1][0] if number else 0.0
        end, lr_from, lr_to, momentum_from, momentum_to = self.phases[number]
        done = (t - start) / (end - start) if end > start else 1.0  # a phase of no steps, as with pct_start = 1
        lrs = []
        for group in self.optimizer.param_groups:
            lrs.append(self._anneal(group[lr_from], group[lr_to], done))
            if self.cycle_momentum:
                MomentumCycle.set(group, self._anneal(group[momentum_from], group[momentum_to], done))
        return lrs

    def _begin_group(self, group: dict[str, Any]) -> None:
        groups, momenta = self.optimizer.param_groups, ("base_momentum", "max_momentum") if self.cycle_momentum else ()
        if "max_lr" in group:  # the others' proportions
            scale = group["max_lr"] / groups[0]["max_lr"]
            group.setdefault("initial_lr", groups[0]["initial_lr"] * scale)
            group.setdefault("min_lr", groups[0]["min_lr"] * scale)
        share(groups, group, ("initial_lr", "max_lr", "min_lr", *momenta))

    def _anneal(self, start: float, end: float, done: float) -> float:
        return _cosine(start, end, done) if self.anneal_strategy == "cos" else start + (end - start) * done


class CyclicLR(LRScheduler):
    """Up in a line from base_lr to max_lr, down again, and so on; momentum the other way.

    The height of the k-th cycle is multiplied by 1 ("triangular"), 2^(1−k) ("triangular2") or gamma^t ("exp_range"), or
    by `scale_fn` of k or t (`scale_mode` "cycle" or "iterations").

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    base_lr : float or list of float
        The least lr, for all groups or for each.
    max_lr : float or list of float
        The greatest lr, for all groups or for each.
    step_size_up : int, default 2000
        Steps up.
    step_size_down : int, optional
        Steps down; None is as many.
    mode : {"triangular", "triangular2", "exp_range"}, default "triangular"
        How the height changes.
    gamma : float, default 1.0
        Of "exp_range".
    scale_fn : callable, optional
        In the place of `mode`.
    scale_mode : {"cycle", "iterations"}, default "cycle"
        What `scale_fn` is a function of.
    cycle_momentum : bool, default True
        Whether momentum (or β₁) goes the other way.
    base_momentum : float, default 0.8
        The least momentum.
    max_momentum : float, default 0.9
        The greatest momentum.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    ValueError
        If `mode` is none of these, or there is no momentum to cycle.
    TypeError
        If `optimizer` is no weft Optimizer.

    Notes
    -----
    As `torch.optim.lr_scheduler.CyclicLR`.

    References
    ----------
    Smith, "Cyclical learning rates for training neural networks", 2017.

    Examples
    --------
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.schedulers.CyclicLR(optimizer, base_lr=0.0, max_lr=1.0, step_size_up=2)
    >>> lrs = []
    >>> for _ in range(5):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> [round(lr, 3) for lr in lrs]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ):
        _checked(self, optimizer)
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(
                f"`mode` must be 'triangular', 'triangular2' or 'exp_range' (or give `scale_fn`), got {mode!r}"
            )
        base_lrs = per_group("base_lr", optimizer, base_lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        for low, high in zip(base_lrs, self.max_lrs):
            number("base_lr", low, 0)
            number("max_lr", high, 0)
        number("step_size_up", step_size_up, above=0)
        if step_size_down is not None:
            number("step_size_down", step_size_down, above=0)
        number("gamma", gamma, 0)
        if scale_fn is not None and not callable(scale_fn):
            raise TypeError(f"`scale_fn` must be a function of one number, got {scale_fn!r:.80}")
        self.total_size = float(step_size_up + (step_size_down or step_size_up))
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self._scale_fn_custom, self.scale_mode = mode, gamma, scale_fn, scale_mode
        self.cycle_momentum = cycle_momentum
        knows = all("base_momentum" in group and "max_momentum" in group for group in optimizer.param_groups)
        if cycle_momentum and (last_epoch == -1 or not knows):  # resumed in a new optimizer, it begins with its own
            MomentumCycle.begin(optimizer, base_momentum, max_momentum)
        if last_epoch == -1:
            for group, low in zip(optimizer.param_groups, base_lrs):
                group["lr"] = low
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x, top = 1.0 + self.last_epoch / self.total_size - cycle, self.step_ratio
        height = (x / top if x <= top else (x - 1) / (top - 1)) * self._scale(cycle)
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                high = group["max_momentum"]
                MomentumCycle.set(group, high - (high - group["base_momentum"]) * height)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def _begin_group(self, group: dict[str, Any]) -> None:
        append_shared("max_lr", self.max_lrs, len(self.base_lrs))
        lows = self.base_lrs[:]
        append_shared("base_lr", lows, len(lows))
        group["initial_lr"] = lows[-1]
        if self.cycle_momentum:
            share(self.optimizer.param_groups, group, ("base_momentum", "max_momentum"))

    def _scale(self, cycle: int) -> Any:
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(cycle if self.scale_mode == "cycle" else self.last_epoch)
        return {"triangular": 1.0, "triangular2": 2.0 ** (1 - cycle), "exp_range": self.gamma**self.last_epoch}[
            self.mode
        ]
