"""What all learning-rate schedules share."""

from __future__ import annotations

import copy
import inspect
import types
from collections.abc import Sequence
from typing import Any

from ...backend.device.options import integer, number
from ..optimizer import Optimizer

__all__ = ["LRScheduler"]


class LRScheduler:
    """Base of all schedules, with the interface of `torch.optim.lr_scheduler.LRScheduler`.

    A schedule sets the `lr` of each of the optimizer's groups when it is built (t = 0) and at each `step()` (t = 1, 2 …
    kept in `last_epoch`; an "epoch" is whatever passes between two calls). The group's first lr stays in "initial_lr"
    and, in the equations of the subclasses, is called lr₀.

    A subclass defines `next_lr(lr, base_lr)`: one group's lr at `last_epoch`, from the lr before and from lr₀; or, as
    in PyTorch, `get_lr()` for all groups. Where a formula in t alone exists too, `closed_form(base_lr)` states it.
    Schedules that multiply the current lr compose: two of them on one optimizer multiply their factors.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups get their lr.
    last_epoch : int, default -1
        Number of the last step taken, to resume from; -1 starts.

    Raises
    ------
    TypeError
        If `optimizer` is no weft Optimizer.
    KeyError
        If it is to resume and the groups have no "initial_lr".

    Notes
    -----
    A group that `add_param_group` adds later joins at the next `step()`, with its own lr as lr₀, and with what the other
    groups share (such as `max_lr`).

    Departures from PyTorch: no warning when `step()` is called before the optimizer's; there, most schedules raise after
    `add_param_group`.

    Examples
    --------
    >>> class Halved(optim.schedulers.LRScheduler):
    ...     def next_lr(self, lr, base_lr):
    ...         return base_lr * 0.5**self.last_epoch
    >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
    >>> schedule = Halved(optimizer)
    >>> schedule.step()
    >>> optimizer.param_groups[0]["lr"]
    0.5
    """

    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        self.optimizer = _checked(self, optimizer)
        integer("last_epoch", last_epoch, -1)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"`initial_lr` must be in param_groups[{i}] to resume from last_epoch={last_epoch}, got a group without "
                    "it: load the optimizer's state_dict first, or start with last_epoch=-1"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def step(self, epoch: int | None = None) -> None:
        """Move on to the next lr. Call it after the optimizer's `step`.

        Parameters
        ----------
        epoch : int, optional
            Where to move, by the closed form where there is one, as older programs do (deprecated in PyTorch); one further
            unless given.

        Raises
        ------
        ValueError
            If `epoch` is negative.

        Examples
        --------
        >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
        >>> schedule = optim.schedulers.ExponentialLR(optimizer, gamma=0.5)
        >>> schedule.step()
        >>> schedule.last_epoch, schedule.get_last_lr()
        (1, [0.5])
        """
        self._adopt()
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
            self._set(self.get_lr())
        else:
            integer("epoch", epoch, 0)
            self._move_to(epoch)

    def _adopt(self) -> None:
        """Take in groups that were added to the optimizer since; the lr that they came with is their lr₀."""
        for group in self.optimizer.param_groups[len(self.base_lrs) :]:
            self._begin_group(group)
            group.setdefault("initial_lr", group["lr"])
            self.base_lrs.append(group["initial_lr"])

    def _begin_group(self, group: dict[str, Any]) -> None:
        """What a subclass keeps for each group, for one that was added later."""

    def restart(self) -> None:
        """Set the lr of t = 0, by the closed form where there is one: how `SequentialLR` enters a schedule.

        Examples
        --------
        >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
        >>> schedule = optim.schedulers.ExponentialLR(optimizer, gamma=0.5)
        >>> schedule.step()
        >>> schedule.restart()
        >>> schedule.last_epoch, schedule.get_last_lr()
        (0, [1.0])
        """
        self._adopt()
        self._move_to(0)

    def _move_to(self, epoch: int) -> None:
        self.last_epoch = epoch
        lrs = [lr for base in self.base_lrs if (lr := self.closed_form(base)) is not None]
        self._set(lrs if len(lrs) == len(self.base_lrs) else self.get_lr())

    def _set(self, lrs: Sequence[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr
        self._last_lr = list(lrs)

    def get_lr(self) -> list[float]:
        """Compute the lr of each group at `last_epoch`. To look at the current one, use `get_last_lr`.

        Returns
        -------
        list of float
            One lr for each group.

        Examples
        --------
        >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
        >>> schedule = optim.schedulers.ExponentialLR(optimizer, gamma=0.5)
        >>> schedule.last_epoch = 1
        >>> schedule.get_lr()
        [0.5]
        """
        groups = self.optimizer.param_groups
        return [self.next_lr(group["lr"], base) for group, base in zip(groups, self.base_lrs, strict=True)]

    def next_lr(self, lr: float, base_lr: float) -> float:
        """One group's lr at `last_epoch`.

        Parameters
        ----------
        lr : float
            Its current lr.
        base_lr : float
            Its initial lr, lr₀.

        Returns
        -------
        float
            Its next lr.

        Raises
        ------
        NotImplementedError
            In a class that states no schedule.

        Examples
        --------
        >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
        >>> schedule = optim.schedulers.ExponentialLR(optimizer, gamma=0.5)
        >>> schedule.last_epoch = 1
        >>> schedule.next_lr(0.8, base_lr=1.0)
        0.4
        """
        raise NotImplementedError

    def closed_form(self, base_lr: float) -> float | None:
        """One group's lr at `last_epoch` by a formula in t alone.

        Parameters
        ----------
        base_lr : float
            Its initial lr, lr₀.

        Returns
        -------
        float or None
            Its lr; None for a schedule that has no such formula.

        Examples
        --------
        >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
        >>> schedule = optim.schedulers.ExponentialLR(optimizer, gamma=0.5)
        >>> schedule.last_epoch = 3
        >>> schedule.closed_form(base_lr=1.0)
        0.125
        """
        return None

    def get_last_lr(self) -> list[float]:
        """The lr of each group, as last set by this schedule.

        Returns
        -------
        list of float
            One lr for each group.

        Examples
        --------
        >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
        >>> schedule = optim.schedulers.ExponentialLR(optimizer, gamma=0.5)
        >>> schedule.get_last_lr()
        [1.0]
        """
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs.

        Returns
        -------
        dict
            All numbers of the schedule, fit for JSON; of functions nothing, of callable objects their `__dict__`.

        Examples
        --------
        >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
        >>> schedule = optim.schedulers.ExponentialLR(optimizer, gamma=0.5)
        >>> schedule.state_dict()["last_epoch"]
        0
        """
        return {name: _saved(value) for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict`; load the optimizer's too, which holds the current lr.

        Parameters
        ----------
        state_dict : dict
            What `state_dict` returned.

        Raises
        ------
        ValueError, TypeError
            Having changed nothing, if it is not that of such a schedule.

        Examples
        --------
        >>> optimizer = optim.SGD([weft.Parameter([1.0])], lr=1.0)
        >>> schedule = optim.schedulers.ExponentialLR(optimizer, gamma=0.5)
        >>> schedule.step()
        >>> other = optim.schedulers.ExponentialLR(optimizer, gamma=0.1)
        >>> other.load_state_dict(schedule.state_dict())
        >>> other.gamma, other.last_epoch
        (0.5, 1)
        """
        self._check_state(state_dict)
        self._adopt()
        for name, value in state_dict.items():
            current = getattr(self, name, None)
            setattr(self, name, _loaded(current, copy.deepcopy(value)))

    def _check_state(self, state_dict: Any) -> None:
        name = type(self).__name__
        if not isinstance(state_dict, dict):
            raise TypeError(f"`state_dict` must be what `state_dict()` of {name} returned, got {state_dict!r:.80}")
        mine = vars(self)
        options = inspect.signature(type(self).__init__).parameters
        needed = [key for key in options if isinstance(mine.get(key), int | float)]
        needed += [key for key in ("last_epoch", "_schedulers") if key in mine and key not in needed]
        if missing := [key for key in needed if key not in state_dict]:
            raise ValueError(
                f"`state_dict` must be that of {name}, with {missing}, got the keys {sorted(state_dict)[:20]}; was it saved "
                "by another schedule?"
            )
        for key, value in state_dict.items():
            if key == "last_epoch":
                integer("last_epoch", value, -1)
            elif type(mine.get(key)) in (int, float) and value is not None:
                number(key, value, infinite=True)

    def __repr__(self) -> str:
        names = inspect.signature(type(self).__init__).parameters
        options = [f"{name}={vars(self)[name]!r}" for name in names if name in vars(self) and name != "optimizer"]
        parts = [f"  {line}" for part in getattr(self, "_schedulers", []) for line in f"{part!r}".splitlines()]
        lr = ", ".join(f"{lr:.4g}" for lr in self.get_last_lr())
        head = f"{type(self).__name__}({', '.join([*options, f'lr=[{lr}]'])})"
        return "\n".join([head, *parts])


def _is_function(value: Any) -> bool:
    return isinstance(value, types.FunctionType | types.BuiltinFunctionType | types.MethodType)


def _saved(value: Any) -> Any:
    if isinstance(value, LRScheduler):
        return value.state_dict()
    if isinstance(value, list | tuple):
        return [_saved(v) for v in value]
    if callable(value):
        return None if _is_function(value) else copy.deepcopy(vars(value))
    return copy.deepcopy(value)


def _loaded(current: Any, value: Any) -> Any:
    """The inverse of `_saved`: objects take their state back, everything else is replaced."""
    if isinstance(current, LRScheduler):
        current.load_state_dict(value)
        return current
    if callable(current):
        if value is not None:
            vars(current).update(value)
        return current
    if isinstance(current, list) and current and (isinstance(current[0], LRScheduler) or callable(current[0])):
        return [_loaded(c, v) for c, v in zip(current, value, strict=True)]
    return value


def _checked(schedule: Any, optimizer: Any) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"`optimizer` of {type(schedule).__name__} must be a weft Optimizer, got {type(optimizer).__name__}"
        )
    return optimizer


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for each group, from a list or from one for all."""
    n = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * n
    if len(value) != n:
        raise ValueError(f"`{name}` must hold one value for each of the {n} parameter groups, got {len(value)}")
    return list(value)


def append_shared(name: str, values: list[Any], index: int) -> None:
    """Have a value for the group at `index`, which was added later: the one that all others have."""
    if len(values) > index:  # somebody has appended it
        return
    if any(value != values[0] for value in values):
        raise ValueError(
            f"`{name}` was given for each parameter group and has none for group {index}, which was added since: append "
            "it to the schedule's list"
        )
    values.append(values[0])


def share(groups: Sequence[dict[str, Any]], group: dict[str, Any], names: Sequence[str]) -> None:
    """Have the options of these names in a group that was added later: its own, or those that the others have."""
    for name in (name for name in names if name not in group):
        if any(other.get(name) != groups[0].get(name) for other in groups if other is not group):
            raise ValueError(
                f"`{name}` is not the same in all parameter groups: give the group that is added one of its own"
            )
        group[name] = groups[0][name]


class MomentumCycle:
    """Sets what a schedule cycles besides lr: the group's `momentum`, or β₁ of its `betas`."""

    @staticmethod
    def begin(optimizer: Optimizer, base: Any, maximum: Any) -> None:
        """Check that there is a momentum to cycle, note its bounds in the groups, start at the maximum."""
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                f"`cycle_momentum` needs an optimizer with momentum or betas, got {type(optimizer).__name__}"
            )
        lows, highs = per_group("base_momentum", optimizer, base), per_group("max_momentum", optimizer, maximum)
        limits: dict[str, Any] = {"low": 0, "below": 1} if "betas" in optimizer.defaults else {"low": 0, "high": 1}
        for low, high in zip(lows, highs):
            number("base_momentum", low, **limits)
            number("max_momentum", high, **limits)
        for group, low, high in zip(optimizer.param_groups, lows, highs):
            group["base_momentum"], group["max_momentum"] = low, high
            MomentumCycle.set(group, high)

    @staticmethod
    def set(group: dict[str, Any], momentum: float) -> None:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum
