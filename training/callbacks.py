"""Callbacks: what a `Trainer` calls at certain moments, and those that steer the training.

The one that saves is in `checkpoint_callback.py`, those that report are in `reporting.py`, the search for what is not
finite is in `nonfinite.py`; all are exported by `weft.training`.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

from ..backend.device.devices import namespace_of
from ..backend.device.options import integer, number
from ..backend.tape.tensor import Tensor, wrap
from ..optimizers import EMA as WeightAverage
from ..optimizers.clipping import get_total_norm
from ..optimizers.schedulers import ReduceLROnPlateau
from .metrics.metric import Mean
from .running import Running

__all__ = ["EMA", "Callback", "EarlyStopping", "GradientNorm", "Monitor", "Plateau"]


class Callback:
    """Base class of callbacks: override what you need; each method receives the trainer.

    Methods that are not overridden cost nothing in the loop over batches.

    Attributes
    ----------
    order : int
        Callbacks with a lower one come first: those that change something (0), those that report it (1), `Checkpoint`
        (2).
    looks_inside : bool
        `on_loss` and `on_gradients` look into a step: a callback that overrides one keeps it from being captured (see
        `Trainer`). With `looks_inside = False` it does not, and these two are not called when a captured step is
        replayed.
    writes : bool
        Whether it leaves something behind: `Trainer(fast_dev_run=)` does without it.
    first_alone : bool
        Whether, of several processes, the first one alone calls it.

    Examples
    --------
    >>> class Count(Callback):
    ...     batches = 0
    ...
    ...     def on_batch_end(self, trainer):
    ...         self.batches += 1
    >>> model, count = nn.Linear(1, 1), Count()
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = weft.training.Trainer(model, nn.MSELoss(), optimizer, callbacks=[count])
    >>> history = trainer.fit([(weft.ones((2, 1)), weft.ones((2, 1)))] * 3, epochs=2)
    >>> count.batches
    6
    """

    order = 0
    looks_inside = True
    writes = False
    first_alone = False

    def on_fit_begin(self, trainer: Any) -> None:
        """Called first in `fit`, when the loaders stand where training goes on.

        Parameters
        ----------
        trainer : Trainer
            That is being used, here and below.
        """

    def on_epoch_begin(self, trainer: Any) -> None:
        """Called before the first batch of an epoch, and where a resumed run goes on in one.

        Parameters
        ----------
        trainer : Trainer
            Its model is in training mode.
        """

    def on_batch_begin(self, trainer: Any) -> None:
        """Called before each batch.

        Parameters
        ----------
        trainer : Trainer
            The batch is `trainer.current_batch`.
        """

    def on_loss(self, trainer: Any) -> None:
        """Called for each batch, between forward and backward.

        Parameters
        ----------
        trainer : Trainer
            The loss of the batch is `trainer.current_loss`; gradients are still those of the last update.
        """

    def on_gradients(self, trainer: Any) -> None:
        """Called once per update, just before the optimizer's step.

        Parameters
        ----------
        trainer : Trainer
            The gradients of `trainer.parameters` are what the step will use, clipped and not scaled.
        """

    def on_batch_end(self, trainer: Any) -> None:
        """Called after each batch.

        Parameters
        ----------
        trainer : Trainer
            `trainer.batch` counts the batch.
        """

    def on_validation_begin(self, trainer: Any) -> None:
        """Called before the validation after an epoch, if there is one.

        Parameters
        ----------
        trainer : Trainer
            Its model has all updates of the epoch.
        """

    def on_epoch_end(self, trainer: Any) -> None:
        """Called after each epoch and its validation.

        Parameters
        ----------
        trainer : Trainer
            `trainer.row`, the epoch's row of the history, is complete, and `trainer.epoch` counts the epoch.
        """

    def on_fit_end(self, trainer: Any) -> None:
        """Called last in `fit`, whatever ended the training, exceptions included, those of other callbacks too.

        Parameters
        ----------
        trainer : Trainer
            `trainer.stopping` says why it was stopped, if it was.
        """

    def state_dict(self) -> dict[str, Any]:
        """What goes into checkpoints.

        Returns
        -------
        dict
            Numbers, strings, arrays, and lists and dicts of these.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Parameters
        ----------
        state : dict
            As `state_dict` gave it; Tensors have become NumPy arrays, and tuples lists.
        """


_BETTER_HIGH = ("accuracy", "precision", "recall", "f1", "r2")


class Monitor:
    """The best value so far of one column of the history. NaN is never better.

    Parameters
    ----------
    name : str
        Of the column.
    mode : {"min", "max"}, optional
        Which values are better. By default "max" for accuracy, precision, recall, F1 and R², else "min".
    min_delta : float, default 0.0
        By how much a value must be better than the best to count.

    Attributes
    ----------
    best : float
        The best value; at first infinite, and worse than any other.

    Raises
    ------
    ValueError
        If `mode` or `min_delta` is none of these.

    Examples
    --------
    >>> monitor = Monitor("val_accuracy")
    >>> [monitor.improves({"val_accuracy": a}) for a in (0.5, 0.4, 0.6)]
    [True, False, True]
    """

    def __init__(self, name: str, mode: str | None = None, min_delta: float = 0.0):
        if not isinstance(name, str) or not name:
            raise TypeError(f"`monitor` must be the name of a column, such as 'val_loss', got {name!r}")
        if mode not in ("min", "max", None):
            raise ValueError(f"`mode` must be 'min', 'max' or None, got {mode!r}")
        number("min_delta", min_delta, 0)
        self.name, self.min_delta = name, min_delta
        self.mode = mode or ("max" if name.endswith(_BETTER_HIGH) else "min")
        self.best = math.inf if self.mode == "min" else -math.inf

    def require(self, trainer: Running) -> None:
        """Whether there will be such a column, asked before the first epoch.

        Parameters
        ----------
        trainer : Trainer
            That is to train. With callbacks of your own, which may log columns, nothing can be known.

        Raises
        ------
        ValueError
            If there will be none.
        """
        parts = (trainer, *trainer.callbacks)
        if not all(type(part).__module__.startswith(f"{__package__}.") for part in parts):
            return
        names = ["loss", *trainer.metrics]
        columns = [*names, "lr", "epoch", "step", "seconds", "samples_per_second"]
        if trainer.validation_loader is not None:
            columns += [f"val_{name}" for name in names]
        if any(isinstance(callback, GradientNorm) for callback in trainer.callbacks):
            columns += ["grad_norm", "grad_norm_max"]
        if self.name not in columns and trainer.epoch < trainer.epochs:
            without = self.name.startswith("val_") and trainer.validation_loader is None
            fix = "; give `fit` a validation, which has these" if without else ""
            raise ValueError(f"`monitor` must be one of {sorted(columns)}, got {self.name!r}{fix}")

    def value(self, row: dict[str, float]) -> float:
        """The value in a row of the history.

        Parameters
        ----------
        row : dict
            Values by column.

        Returns
        -------
        float
            That of the column `name`.

        Raises
        ------
        ValueError
            If there is no such column.

        Examples
        --------
        >>> Monitor("loss").value({"epoch": 1, "loss": 0.5})
        0.5
        """
        if self.name not in row:
            raise ValueError(f"`monitor` must be one of {sorted(row)}, got {self.name!r}")
        return float(row[self.name])

    def improves(self, row: dict[str, float]) -> bool:
        """Whether a row's value is the best so far; it then is the one to beat.

        Parameters
        ----------
        row : dict
            Values by column.

        Returns
        -------
        bool
            False for NaN.

        Raises
        ------
        ValueError
            If there is no such column.

        Examples
        --------
        >>> monitor = Monitor("loss", min_delta=0.1)
        >>> monitor.improves({"loss": 0.5}), monitor.improves({"loss": 0.45})
        (True, False)
        """
        value = self.value(row)
        better = value < self.best - self.min_delta if self.mode == "min" else value > self.best + self.min_delta
        if better:
            self.best = value
        return better


class EarlyStopping(Callback):
    """Stops when `monitor` has not improved for `patience` epochs, and gives the model its best epoch's weights back.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Column of the history.
    patience : int, default 5
        Epochs without an improvement.
    min_delta : float, default 0.0
        By how much a value must be better than the best to count.
    mode : {"min", "max"}, optional
        Which values are better, as in `Monitor`.
    restore_best : bool, default True
        Put the best weights (and buffers) back when `fit` ends at the end of an epoch, also if it was not this that
        ended it. They are copied at each improvement, and are part of checkpoints.

    Attributes
    ----------
    best_epoch : int
        When the best value was reached, counted from 1.
    wait : int
        Epochs since.

    Raises
    ------
    ValueError
        If `patience` is less than 1; from `fit`, if there is no such column.

    References
    ----------
    L. Prechelt, "Early stopping – but when?" (1998): the criterion UP, without strips.

    Examples
    --------
    >>> model, stop = nn.Linear(1, 1), EarlyStopping("loss", patience=3)
    >>> optimizer = optim.SGD(model.parameters(), lr=0.0)
    >>> trainer = weft.training.Trainer(model, nn.MSELoss(), optimizer, callbacks=[stop])
    >>> len(trainer.fit([(weft.ones((2, 1)), weft.zeros((2, 1)))], epochs=50)), stop.best_epoch
    (4, 1)
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
        integer("patience", patience)
        if patience < 1:
            raise ValueError(f"`patience` must be at least 1, got {patience}")
        self.monitor, self.patience, self.restore_best = Monitor(monitor, mode, min_delta), patience, restore_best
        self.best_epoch = self.wait = 0
        self._weights: dict[str, Any] | None = None

    @property
    def best(self) -> float:
        """The best value so far."""
        return self.monitor.best

    def on_fit_begin(self, trainer: Running) -> None:
        self.monitor.require(trainer)
        self._stop_if_due(trainer)  # a run that had been stopped here, and was resumed

    def on_epoch_end(self, trainer: Running) -> None:
        if self.monitor.improves(trainer.row):
            self.best_epoch, self.wait = trainer.epoch, 0
            if self.restore_best:
                self._weights = {name: _copied(t) for name, t in trainer.model.state_dict().items()}
        else:
            self.wait += 1
            self._stop_if_due(trainer)

    def _stop_if_due(self, trainer: Running) -> None:
        if self.wait >= self.patience:
            best = f"{self.best:.4g} at epoch {self.best_epoch}"
            trainer.stop(f"{self.monitor.name} has not improved for {self.wait} epochs; its best was {best}")

    def on_fit_end(self, trainer: Running) -> None:
        if self._weights is not None and trainer.batch == 0:
            trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "wait": self.wait, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.monitor.best, self.best_epoch, self.wait = state["best"], state["best_epoch"], state["wait"]
        if not isinstance(state["weights"], dict | None):
            raise TypeError(f"`weights` must be a dictionary of arrays, got {state['weights']!r:.60}")
        self._weights = state["weights"]


def _copied(t: Tensor) -> Tensor:
    return wrap(namespace_of(t.data).asarray(t.data, copy=True), t.device)


class Plateau(Callback):
    """Gives the value of `monitor` to a `ReduceLROnPlateau` after each epoch.

    Parameters
    ----------
    scheduler : ReduceLROnPlateau
        Of the trainer's optimizer.
    monitor : str, default "val_loss"
        Column of the history.

    Raises
    ------
    ValueError
        From `fit`, if there is no such column, or if the scheduler is that of another optimizer.

    Examples
    --------
    >>> model = nn.Linear(1, 1)
    >>> optimizer = optim.SGD(model.parameters(), lr=0.0)
    >>> plateau = Plateau(optim.schedulers.ReduceLROnPlateau(optimizer, patience=1), "loss")
    >>> trainer = weft.training.Trainer(model, nn.MSELoss(), optimizer, callbacks=[plateau])
    >>> history = trainer.fit([(weft.ones((2, 1)), weft.zeros((2, 1)))], epochs=3)
    >>> plateau.scheduler.num_bad_epochs
    0
    """

    def __init__(self, scheduler: ReduceLROnPlateau, monitor: str = "val_loss"):
        if not isinstance(scheduler, ReduceLROnPlateau):
            got = f"the class {scheduler.__name__}" if isinstance(scheduler, type) else f"a {type(scheduler).__name__}"
            raise TypeError(f"`scheduler` must be a ReduceLROnPlateau(optimizer), got {got}")
        self.scheduler, self.monitor = scheduler, Monitor(monitor, scheduler.mode)

    def on_fit_begin(self, trainer: Running) -> None:
        if self.scheduler.optimizer is not trainer.optimizer:
            raise ValueError(
                "`scheduler` of Plateau must be a schedule of the trainer's optimizer, got that of another one"
            )
        self.monitor.require(trainer)

    def on_epoch_end(self, trainer: Running) -> None:
        self.scheduler.step(self.monitor.value(trainer.row))

    def state_dict(self) -> dict[str, Any]:
        return self.scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state)


class EMA(Callback):
    """Keeps an exponential moving average of the weights, w̄ ← d w̄ + (1 − d) w at each update, and validates with it.

    From the validation to the end of `on_epoch_end` the model has the averaged weights, so that `EarlyStopping` keeps
    those that it measured; then training goes on with its own.

    Parameters
    ----------
    decay : float, default 0.999
        d, see `weft.optimizers.EMA`.

    Attributes
    ----------
    average : weft.optimizers.EMA or None
        From the beginning of `fit` on. `average.copy_to()` puts the averages into the model for good.

    Examples
    --------
    >>> model, ema = nn.Linear(1, 1), EMA(0.9)
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = weft.training.Trainer(model, nn.MSELoss(), optimizer, callbacks=[ema])
    >>> history = trainer.fit([(weft.ones((2, 1)), weft.zeros((2, 1)))] * 3)
    >>> ema.average.step
    3
    """

    order = 1  # swaps back after all that look at the weights

    def __init__(self, decay: float = 0.999):
        if not (isinstance(decay, int | float) and 0 <= decay < 1):
            raise ValueError(f"`decay` must be in [0, 1), got {decay!r}")
        self.decay = decay
        self.average: WeightAverage | None = None  # made when the model has found its device
        self._saved: dict[str, Any] = {}
        self._averaged: AbstractContextManager[Any] | None = None  # entered while the model has the averages
        self._step = 0

    def on_fit_begin(self, trainer: Running) -> None:
        self._step = trainer.step
        if self.average is None:
            self.average = WeightAverage(trainer.model.parameters(), self.decay)
        if self._saved:
            self.average.load_state_dict(self._saved)
            self._saved = {}

    def on_batch_end(self, trainer: Running) -> None:
        if trainer.step != self._step and self.average is not None:
            self._step = trainer.step
            self.average.update()

    def on_validation_begin(self, trainer: Running) -> None:
        if self._step != trainer.step:  # the last update of the epoch, of what `accumulate` had left
            self.on_batch_end(trainer)
        if self.average is not None:
            self._averaged = self.average.averaged()
            self._averaged.__enter__()

    def on_epoch_end(self, trainer: Running) -> None:
        self.on_fit_end(trainer)

    def on_fit_end(self, trainer: Running) -> None:
        averaged, self._averaged = self._averaged, None
        if averaged is not None:
            averaged.__exit__(None, None, None)

    def state_dict(self) -> dict[str, Any]:
        return self._saved if self.average is None else self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state and not state.keys() >= {"averages", "step"}:
            raise ValueError(f"`state` of EMA must have the entries averages and step, got {sorted(state)}")
        self._saved = state


class GradientNorm(Callback):
    """Logs the norm of the whole gradient (before clipping): "grad_norm", its mean over the epoch, and "grad_norm_max".

    A mean that shrinks towards 0 from epoch to epoch while the loss stays is a vanishing gradient; a maximum far above
    the mean is what clipping is for. Where the trainer clips the norm it is known already.

    Parameters
    ----------
    every : int, default 1
        Updates from one measurement to the next.

    Raises
    ------
    ValueError
        If `every` is less than 1.

    Examples
    --------
    >>> w = weft.Parameter([3.0])
    >>> product = lambda output, target: (w * target).sum()
    >>> optimizer = optim.SGD([w], lr=0.1)
    >>> trainer = weft.training.Trainer(nn.Identity(), product, optimizer, callbacks=[GradientNorm()])
    >>> row = trainer.fit([([1.0], [2.0]), ([1.0], [4.0])])[0]
    >>> row["grad_norm"], row["grad_norm_max"]
    (3.0, 4.0)
    """

    def __init__(self, every: int = 1):
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"`every` must be at least 1, got {every!r}")
        self.every = every
        self._mean = Mean()
        self._max: Any = 0.0  # from the first update on, an array on the device

    def on_gradients(self, trainer: Running) -> None:
        if trainer.step % self.every:
            return
        norm = trainer.gradient_norm
        if norm is None:
            norm = get_total_norm(p.grad for p in trainer.parameters if p.grad is not None)
        self._mean.update(norm)
        xp = namespace_of(norm.data)
        self._max = xp.maximum(xp.asarray(self._max, dtype=norm.data.dtype), norm.data)

    def on_epoch_end(self, trainer: Running) -> None:
        trainer.log(grad_norm=self._mean.compute(), grad_norm_max=float(self._max))
        self._mean, self._max = Mean(), 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self._mean.state_dict(), "max": float(self._max)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._mean.load_state_dict(state["mean"])
        self._max = state["max"]
