"""Callbacks: what a `Trainer` calls at certain moments, and those that steer the training.

Those that save and those that report are in `saving.py` and `reporting.py`, the search for what is not finite in
`nonfinite.py`; all are exported by `weft.training`.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend.device.devices import namespace_of
from ..backend.tape.tensor import Tensor, wrap
from ..optimizers import EMA as WeightAverage
from ..optimizers.clipping import get_total_norm
from .metrics.metric import Mean

__all__ = ["EMA", "Callback", "EarlyStopping", "GradientNorm", "Monitor", "Plateau"]


class Callback:
    """Base class: override what you need; each method receives the trainer.

    In the order of their being called: `on_fit_begin`; for each epoch `on_epoch_begin`; for each batch
    `on_batch_begin`, `on_loss` (the loss of the batch is `trainer.current_loss`; gradients are still those of the last
    update), `on_gradients` (once per update, just before the optimizer's step), `on_batch_end`; `on_validation_begin`
    (if there is validation); `on_epoch_end` (`trainer.row`, the epoch's row of the history, is complete, and
    `trainer.epoch` counts the epoch); at last `on_fit_end`, whatever ended the training. Methods that are not
    overridden cost nothing in the loop over batches.

    Callbacks with a lower `order` come first: those that change something (0), those that report it (1), `Checkpoint`
    (2). `on_loss` and `on_gradients` look into a step: a callback that overrides one keeps it from being captured (see
    `Trainer`). With `looks_inside = False` it does not, and these two are not called when a captured step is replayed.
    `state_dict` (numbers, strings, arrays, lists and dicts of these) goes into checkpoints.

    >>> class Count(Callback):
    ...     batches = 0
    ...
    ...     def on_batch_end(self, trainer):
    ...         self.batches += 1
    """

    order = 0
    looks_inside = True

    def on_fit_begin(self, trainer: Any) -> None: ...

    def on_epoch_begin(self, trainer: Any) -> None: ...

    def on_batch_begin(self, trainer: Any) -> None: ...

    def on_loss(self, trainer: Any) -> None: ...

    def on_gradients(self, trainer: Any) -> None: ...

    def on_batch_end(self, trainer: Any) -> None: ...

    def on_validation_begin(self, trainer: Any) -> None: ...

    def on_epoch_end(self, trainer: Any) -> None: ...

    def on_fit_end(self, trainer: Any) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


_BETTER_HIGH = ("accuracy", "precision", "recall", "f1", "r2")


class Monitor:
    """The best value so far of one column of the history.

    Parameters: `name` of the column; `mode`, "min" or "max" (None: "max" for accuracy, precision, recall, F1 and R²,
    else "min"); `min_delta`, by how much a value must be better than the best to count. NaN is never better.

    >>> monitor = Monitor("val_accuracy")
    >>> [monitor.improves({"val_accuracy": a}) for a in (0.5, 0.4, 0.6)]
    [True, False, True]
    """

    def __init__(self, name: str, mode: str | None = None, min_delta: float = 0.0):
        if mode not in ("min", "max", None):
            raise ValueError(f"`mode` must be 'min', 'max' or None, got {mode!r}")
        if min_delta < 0:
            raise ValueError(f"`min_delta` must be ≥ 0, got {min_delta}")
        self.name, self.min_delta = name, min_delta
        self.mode = mode or ("max" if name.endswith(_BETTER_HIGH) else "min")
        self.best = math.inf if self.mode == "min" else -math.inf

    def value(self, row: dict[str, Any]) -> float:
        """This row's value. Raises ValueError if there is no such column."""
        if self.name not in row:
            raise ValueError(f"`monitor` must be one of {sorted(row)}, got {self.name!r}")
        return float(row[self.name])

    def improves(self, row: dict[str, Any]) -> bool:
        """Whether this row's value is the best so far; it then is the one to beat."""
        value = self.value(row)
        better = value < self.best - self.min_delta if self.mode == "min" else value > self.best + self.min_delta
        if better:
            self.best = value
        return better


class EarlyStopping(Callback):
    """Stop when `monitor` has not improved for `patience` epochs, and give the model its best epoch's weights back.

    Parameters: `monitor`, `mode`, `min_delta` as `Monitor`; `restore_best`: put the best weights (and buffers) back
    when `fit` ends at the end of an epoch, also if it was not this that ended it. They are copied at each improvement,
    and are part of checkpoints.

    Attributes: `best` (the value), `best_epoch`, `wait` (epochs since).

    Prechelt, "Early stopping – but when?" (1998), his criterion UP without strips.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        *,
        min_delta: float = 0.0,
        mode: str | None = None,
        restore_best: bool = True,
    ):
        if patience < 1:
            raise ValueError(f"`patience` must be at least 1, got {patience}")
        self.monitor, self.patience, self.restore_best = Monitor(monitor, mode, min_delta), patience, restore_best
        self.best_epoch = self.wait = 0
        self._weights: dict[str, Any] | None = None

    @property
    def best(self) -> float:
        return self.monitor.best

    def on_fit_begin(self, trainer: Any) -> None:
        self._stop_if_due(trainer)  # a run that had been stopped here, and was resumed

    def on_epoch_end(self, trainer: Any) -> None:
        if self.monitor.improves(trainer.row):
            self.best_epoch, self.wait = trainer.epoch, 0
            if self.restore_best:
                self._weights = {name: _copied(t) for name, t in trainer.model.state_dict().items()}
        else:
            self.wait += 1
            self._stop_if_due(trainer)

    def _stop_if_due(self, trainer: Any) -> None:
        if self.wait >= self.patience:
            best = f"{self.best:.4g} at epoch {self.best_epoch}"
            trainer.stop(f"{self.monitor.name} has not improved for {self.wait} epochs; its best was {best}")

    def on_fit_end(self, trainer: Any) -> None:
        if self._weights is not None and trainer.batch == 0:
            trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "wait": self.wait, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.monitor.best, self.best_epoch, self.wait = state["best"], state["best_epoch"], state["wait"]
        self._weights = state["weights"]


def _copied(t: Tensor) -> Tensor:
    return wrap(namespace_of(t.data).asarray(t.data, copy=True), t.device)


class Plateau(Callback):
    """Gives the value of `monitor` to a `ReduceLROnPlateau` after each epoch."""

    def __init__(self, scheduler: Any, monitor: str = "val_loss"):
        self.scheduler, self.monitor = scheduler, Monitor(monitor, scheduler.mode)

    def on_epoch_end(self, trainer: Any) -> None:
        self.scheduler.step(self.monitor.value(trainer.row))

    def state_dict(self) -> dict[str, Any]:
        return self.scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state)


class EMA(Callback):
    """Keeps an exponential moving average of the weights (see `weft.optimizers.EMA`), and validates with it.

    From the validation to the end of `on_epoch_end` the model has the averaged weights, so that `EarlyStopping` keeps
    those that it measured; then training goes on with its own. `callback.average.copy_to()` puts the averages into the
    model for good.
    """

    order = 1  # swaps back after all that look at the weights

    def __init__(self, decay: float = 0.999):
        self.decay = decay
        self.average: Any = None  # an optimizers.EMA, made when the model has found its device
        self._saved: dict[str, Any] = {}
        self._own: Any = None
        self._step = 0

    def on_fit_begin(self, trainer: Any) -> None:
        self._step = trainer.step
        if self.average is None:
            self.average = WeightAverage(trainer.model.parameters(), self.decay)
        if self._saved:
            self.average.load_state_dict(self._saved)
            self._saved = {}

    def on_batch_end(self, trainer: Any) -> None:
        if trainer.step != self._step:
            self._step = trainer.step
            self.average.update()

    def on_validation_begin(self, trainer: Any) -> None:
        if self._step != trainer.step:  # the last update of the epoch, of what `accumulate` had left
            self.on_batch_end(trainer)
        self._own = self.average.averaged()
        self._own.__enter__()

    def on_epoch_end(self, trainer: Any) -> None:
        self.on_fit_end(trainer)

    def on_fit_end(self, trainer: Any) -> None:
        own, self._own = self._own, None
        if own is not None:
            own.__exit__(None, None, None)

    def state_dict(self) -> dict[str, Any]:
        return self._saved if self.average is None else self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._saved = state


class GradientNorm(Callback):
    """Logs the norm of the whole gradient (before clipping): "grad_norm", its mean over the epoch, and "grad_norm_max".

    Measured at every `every`-th update; where the trainer clips the norm it is known already. A mean that shrinks
    towards 0 from epoch to epoch while the loss stays is a vanishing gradient; a maximum far above the mean is what
    clipping is for.
    """

    def __init__(self, every: int = 1):
        if every < 1:
            raise ValueError(f"`every` must be at least 1, got {every}")
        self.every = every
        self._mean, self._max = Mean(), 0.0

    def on_gradients(self, trainer: Any) -> None:
        if trainer.step % self.every:
            return
        norm = trainer.gradient_norm
        if norm is None:
            norm = get_total_norm(p.grad for p in trainer.parameters if p.grad is not None)
        self._mean.update(norm)
        xp = namespace_of(norm.data)
        self._max = xp.maximum(xp.asarray(self._max, dtype=norm.data.dtype), norm.data)

    def on_epoch_end(self, trainer: Any) -> None:
        trainer.log(grad_norm=self._mean.compute(), grad_norm_max=float(self._max))
        self._mean, self._max = Mean(), 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self._mean.state_dict(), "max": float(self._max)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._mean.load_state_dict(state["mean"])
        self._max = state["max"]
