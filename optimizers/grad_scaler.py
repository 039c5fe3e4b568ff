"""Loss scaling: gradients that float16 would round to zero are computed a power of two larger."""

from __future__ import annotations

import math
from typing import Any, overload

import numpy as np

from ..backend.array.creation import asarray
from ..backend.array.elementwise import isfinite, logical_not, minimum
from ..backend.array.indexing import where
from ..backend.device.devices import existing_kind
from ..backend.device.options import integer, number
from ..backend.tape.autograd import no_grad
from ..backend.tape.recording import active
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Tensor
from .clipping import get_total_norm, scale_
from .optimizer import Optimizer

__all__ = ["GradScaler"]

_LARGEST = float(np.finfo(np.float32).max)


class GradScaler:
    """Scales the loss by s before backward, the gradients by 1/s at the step; finds s as training goes.

    A step whose gradients are not all finite is left out, and s ← `backoff_factor` · s. After `growth_interval` steps in
    a row that were finite, s ← `growth_factor` · s.

        scaler = weft.GradScaler()
        with weft.autocast("float16"):
            loss = criterion(model(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)                                # only to see or clip gradients
        optim.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()

    Parameters
    ----------
    device : str, optional
        Where s lies; None is the device of the first loss.
    init_scale : float, default 2.0**16
        The first s, positive and finite.
    growth_factor : float, default 2.0
        What s is multiplied by after good steps, > 1.
    backoff_factor : float, default 0.5
        What s is multiplied by after a bad step, in (0, 1).
    growth_interval : int, default 2000
        Good steps in a row before s grows, ≥ 1.
    enabled : bool, default True
        False makes all methods do nothing to losses and gradients.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    All decisions are made in device memory: nothing waits for a GPU. bfloat16 has the range of float32 and needs none
    of this.

    As `torch.amp.GradScaler`. Departures: `device` may be left out; without `unscale_`, `.grad` keeps the scaled
    gradients, which the update divides as it reads them; a step that is left out counts for the optimizer's own step
    number.

    References
    ----------
    Micikevicius et al., "Mixed precision training", 2018, section 3.2.

    Examples
    --------
    >>> scaler = weft.GradScaler(init_scale=8.0)
    >>> scaler.scale(weft.tensor(0.5))
    tensor(4.)
    """

    def __init__(
        self,
        device: str | None = None,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        number("init_scale", init_scale)
        if not (init_scale > 0 and math.isfinite(init_scale)):
            raise ValueError(f"`init_scale` must be positive and finite, got {init_scale}")
        number("growth_factor", growth_factor, above=1)
        if not (type(backoff_factor) is float and 0 < backoff_factor < 1):
            number("backoff_factor", backoff_factor)
            raise ValueError(f"`backoff_factor` must be between 0 and 1, got {backoff_factor}")
        integer("growth_interval", growth_interval)
        if growth_interval < 1:
            raise ValueError(f"`growth_interval` must be at least 1, got {growth_interval}")
        if device is not None:
            existing_kind(device)
        self._device, self._enabled = device, bool(enabled)
        self._growth, self._backoff, self._interval = growth_factor, backoff_factor, growth_interval
        self._start: tuple[float, int] = (float(init_scale), 0)
        self._scale: Any = None  # s, and how many steps in a row were finite: 0-d, on the device
        self._streak: Any = None
        self._checks: dict[int, tuple[Tensor, bool]] = {}  # by optimizer: (a gradient is not finite, they are unscaled)
        self._stepped: set[int] = set()

    @overload
    def scale(self, outputs: Tensor) -> Tensor: ...

    @overload
    def scale(self, outputs: list[Tensor]) -> list[Tensor]: ...

    @overload
    def scale(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]: ...

    def scale(self, outputs: Any) -> Any:
        """Multiply losses by s; gradients flow back.

        Parameters
        ----------
        outputs : Tensor, or list or tuple of them
            What to scale.

        Returns
        -------
        Tensor, or list or tuple of them
            s · outputs; `outputs` itself where the scaler is disabled.

        Raises
        ------
        TypeError
            If it is neither.

        Examples
        --------
        >>> scaler = weft.GradScaler(init_scale=4.0)
        >>> scaler.scale([weft.tensor(0.5), weft.tensor(2.0)])
        [tensor(2.), tensor(8.)]
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, list | tuple):
            return type(outputs)(self.scale(o) for o in outputs)
        if not isinstance(outputs, Tensor):
            raise TypeError(f"`outputs` must be a Tensor, or a list or tuple of them, got {type(outputs).__name__}")
        return outputs * self._scale_on(outputs.device).to(outputs.device)

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of `optimizer` by s, so that they can be clipped or looked at before `step`.

        Parameters
        ----------
        optimizer : Optimizer
            Whose gradients to divide.

        Raises
        ------
        RuntimeError
            If that was done since the last `update`, or `step` was called.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> optimizer, scaler = optim.SGD([p], lr=0.5), weft.GradScaler(init_scale=8.0)
        >>> scaler.scale((p * p).sum()).backward()
        >>> p.grad
        tensor([16.])
        >>> scaler.unscale_(optimizer)
        >>> p.grad
        tensor([2.])
        """
        if not self._enabled:
            return
        if id(optimizer) in self._stepped:
            raise RuntimeError("`unscale_` must come before `step`, which was called since the last update()")
        if self._checks.get(id(optimizer), (None, False))[1]:
            raise RuntimeError("`unscale_` was called on this optimizer since the last update()")
        if recording := active():
            recording.if_it_fails(self._begin)
        with no_grad():
            self._checks[id(optimizer)] = self._check(optimizer), True
            gradients = _gradients(optimizer)
            if gradients:
                scale_(gradients, 1 / self._scale_on(gradients[0].device))

    def step(self, optimizer: Optimizer, *args: Any, **options: Any) -> Any:
        """Call `optimizer.step` with gradients divided by s, unless one of them is not finite.

        Parameters
        ----------
        optimizer : Optimizer
            Whose step to take.
        *args : object
            Handed on where the scaler is disabled.
        **options : object
            Handed on to `optimizer.step`.

        Returns
        -------
        object
            What `optimizer.step` returns.

        Raises
        ------
        RuntimeError
            If it was called since the last `update`.
        ValueError
            For a closure: its loss would not be scaled.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> optimizer, scaler = optim.SGD([p], lr=0.5), weft.GradScaler(init_scale=8.0)
        >>> scaler.scale((p * p).sum()).backward()
        >>> scaler.step(optimizer)
        >>> p.item()
        0.0
        """
        if not self._enabled:
            return optimizer.step(*args, **options)
        if args or "closure" in options:
            raise ValueError("`step` takes no closure: the loss of a closure would not be scaled")
        if id(optimizer) in self._stepped:
            raise RuntimeError("`step` was called on this optimizer since the last update()")
        if recording := active():
            recording.if_it_fails(self._begin)
        with no_grad():
            if id(optimizer) not in self._checks:
                self._checks[id(optimizer)] = self._check(optimizer), False
            found, is_unscaled = self._checks[id(optimizer)]
            self._stepped.add(id(optimizer))
            multiplier = None if is_unscaled else 1 / self._scale_on(found.device)
        return optimizer.step(multiplier=multiplier, skip=found, **options)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Find the scale of the next iteration, or set it. Once per iteration, after the last `step`.

        Parameters
        ----------
        new_scale : float or Tensor, optional
            The scale to set.

        Raises
        ------
        RuntimeError
            If no optimizer was stepped.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> optimizer, scaler = optim.SGD([p], lr=0.5), weft.GradScaler(init_scale=8.0)
        >>> scaler.scale((p * p).sum()).backward()
        >>> p.grad.data[...] = np.inf
        >>> scaler.step(optimizer)
        >>> scaler.update()
        >>> p.item(), scaler.get_scale()
        (1.0, 4.0)
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._set(float(new_scale.item() if isinstance(new_scale, Tensor) else new_scale), 0)
        elif not self._checks:
            raise RuntimeError("`update` must come after a step: scaler.step(optimizer)")
        else:
            with no_grad():
                self._adapt()
        self._begin()

    def _begin(self) -> None:
        """Nothing has been done to any optimizer in this iteration."""
        self._checks.clear()
        self._stepped.clear()

    def __getstate__(self) -> dict[str, Any]:
        """For `copy` and `pickle`: between two iterations, since what was checked belongs to the optimizers of this one."""
        return vars(self) | {"_checks": {}, "_stepped": set()}

    def _adapt(self) -> None:
        scale, streak = self._scale, self._streak
        flags = [found.to(scale.device) for found, _ in self._checks.values()]
        failed = flags[0]
        for flag in flags[1:]:
            failed = failed | flag
        longer = streak + 1
        full = longer == self._interval
        limit = _LARGEST / self._growth
        grows = full & (scale <= limit)  # or it would be infinite, for good
        new = where(failed, scale * self._backoff, where(grows, minimum(scale, limit) * self._growth, scale))
        scale.data[...] = new.data  # in place: a captured step reads it from where it is
        changed(scale.data)
        streak.data[...] = where(failed | full, 0, longer).data

    def _check(self, optimizer: Optimizer) -> Tensor:
        """Whether a gradient is not finite: a 0-d Tensor on their device."""
        look = getattr(optimizer, "_not_finite", None)  # of which each process has a part alone
        if look is not None and (found := look()) is not None:
            return found
        gradients = _gradients(optimizer)
        if not gradients:
            return asarray(False, device=self._device)
        return logical_not(isfinite(get_total_norm(gradients, math.inf)))

    def _scale_on(self, device: str) -> Any:
        """s, on the device that it was first asked for on."""
        if recording := active():
            recording.depends_on(self._options)
            recording.ends_with(self._is_between_steps)
        if self._scale is None:
            if recording is not None and recording.is_recording:
                raise RuntimeError(
                    "a GradScaler is used for the first time in it: its scale would lie in the recording's memory"
                )
            device = self._device or device
            self._scale = asarray(np.float32(self._start[0]), device=device)
            self._streak = asarray(np.int32(self._start[1]), device=device)
        return self._scale

    def _options(self) -> tuple:
        return self._growth, self._backoff, self._interval, id(self._scale)

    def _is_between_steps(self) -> str | None:
        return None if not self._checks else "it has `unscale_` or `step` of a GradScaler without its `update`"

    # --- looking, saving ----------------------------------------------------------------------------------------------
    def get_scale(self) -> float:
        """Read s as a number (waits for a GPU).

        Returns
        -------
        float
            s; 1.0 where the scaler is disabled.

        Examples
        --------
        >>> weft.GradScaler(init_scale=8.0).get_scale()
        8.0
        """
        return (self._start[0] if self._scale is None else self._scale.item()) if self._enabled else 1.0

    def is_enabled(self) -> bool:
        """Whether losses and gradients are scaled.

        Returns
        -------
        bool
            The `enabled` of the constructor.

        Examples
        --------
        >>> weft.GradScaler(enabled=False).is_enabled()
        False
        """
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs, under PyTorch's names.

        Returns
        -------
        dict
            "scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"; empty where the scaler
            is disabled.

        Examples
        --------
        >>> weft.GradScaler(init_scale=8.0).state_dict()
        {'scale': 8.0, 'growth_factor': 2.0, 'backoff_factor': 0.5, 'growth_interval': 2000, '_growth_tracker': 0}
        """
        if not self._enabled:
            return {}
        streak = self._start[1] if self._streak is None else self._streak.item()
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth,
            "backoff_factor": self._backoff,
            "growth_interval": self._interval,
            "_growth_tracker": streak,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`.

        Parameters
        ----------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        RuntimeError
            For that of a disabled scaler.

        Examples
        --------
        >>> scaler = weft.GradScaler()
        >>> scaler.load_state_dict(weft.GradScaler(init_scale=8.0).state_dict())
        >>> scaler.get_scale()
        8.0
        """
        if not self._enabled:
            return
        if not isinstance(state, dict):
            raise TypeError(f"`state` must be what `state_dict()` of a GradScaler returned, got {state!r:.80}")
        if not state:
            raise RuntimeError("`state` must be that of an enabled GradScaler, got an empty one")
        self._growth, self._backoff = state["growth_factor"], state["backoff_factor"]
        self._interval = state["growth_interval"]
        self._set(state["scale"], state["_growth_tracker"])

    def _set(self, scale: float, streak: int) -> None:
        """Give s and the streak new values, where they are: a captured step reads them from there."""
        self._start = scale, streak
        if self._scale is not None:
            for tensor, value in ((self._scale, scale), (self._streak, streak)):
                tensor.data[...] = value
                changed(tensor.data)


def _gradients(optimizer: Optimizer) -> list[Tensor]:
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
