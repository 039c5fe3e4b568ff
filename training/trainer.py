"""Trainer: the loop over epochs and batches."""

from __future__ import annotations

import copy
import datetime
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, Generic, Self, TypeVar, overload

import numpy as np

from ..backend.array import random
from ..backend.array.creation import asarray
from ..backend.array.manipulation import astype
from ..backend.device import faults, ranks
from ..backend.device.devices import canonical, is_array, waiting_is_meant
from ..backend.device.dtypes import is_real_floating
from ..backend.modes import nvtx
from ..backend.modes.autocast import autocast
from ..backend.tape.autograd import no_grad
from ..backend.tape.tensor import Tensor
from ..layers.evaluating import evaluating
from ..layers.module import Module
from ..optimizers import GradScaler, Optimizer
from ..optimizers.schedulers import LRScheduler, ReduceLROnPlateau
from . import check
from .callbacks import Callback
from .limits import Limits
from .listeners import Listeners
from .metrics import Metrics, collect
from .metrics.metric import Mean
from .predict import Predictor
from .processes import any_of, by_first, each_share, is_first, meet, over_all, require_same_data, spread
from .progress import Progress
from .rehearsal import rehearse
from .run_state import RunState
from .step import Batch, Step

__all__ = ["Trainer"]

T = TypeVar("T")


class _Part(Generic[T]):
    """An attribute of one of the trainer's parts that is read and written as if it were the trainer's own."""

    def __init__(self, part: str):
        self._part = part

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, trainer: None, owner: type) -> Self: ...

    @overload
    def __get__(self, trainer: object, owner: type) -> T: ...

    def __get__(self, trainer: object | None, owner: type) -> Self | T:
        return self if trainer is None else getattr(getattr(trainer, self._part), self._name)

    def __set__(self, trainer: object, value: T) -> None:
        setattr(getattr(trainer, self._part), self._name, value)


class Trainer(Predictor):
    """Trains a model on batches (x, y), evaluates it and applies it.

    Parameters
    ----------
    model : Module
        What is trained.
    loss : Module or function
        `loss(output, target)` gives a scalar Tensor: a module such as `CrossEntropyLoss()`, or a function.
    optimizer : Optimizer
        Of the model's parameters.
    scheduler : LRScheduler, optional
        Schedule of the learning rate. `ReduceLROnPlateau`, which looks at the validation, goes into the callback
        `Plateau` instead.
    scheduler_interval : {"epoch", "step"}, default "epoch"
        After what the scheduler steps: each epoch, or each update that the loss scaler does not leave out (for float16
        the host waits at each update to know).
    metrics : str, Metric, or a list or dict of these, optional
        Names ("accuracy", see `weft.training.metrics`) or objects.
    callbacks : sequence of Callback, default ()
        Called in the order of their `order`, see `Callback`.
    clip_grad_norm : float, optional
        Greatest norm of the whole gradient at an update. By default it is not clipped.
    accumulate : int, default 1
        Batches per update. Each sample counts the same, however the batches are cut: for a loss that is a mean over
        samples the gradient is that of one batch of all of them. The last update of an epoch takes what is left.
    precision : {"bfloat16", "float16"}, optional
        What model and loss compute in half precision is what `autocast` says, in training and in `evaluate`; parameters
        stay float32. For "float16" the loss is scaled (`GradScaler`), and an update whose gradients are not finite is
        left out. By default all is computed in the dtype of the parameters.
    capture : bool, optional
        Whether a step (forward, loss, backward, clipping, update) is recorded and replayed as one launch, see
        `weft.capture`. By default on "cuda" and "emulator", unless something has to look into the step, and on a CPU for
        models of at most half a million parameters, from the fiftieth batch on, if it can be; True: always,
        or ValueError (RuntimeError, if it shows while recording) says what stands in the way; False: never. The results
        are the same bits. Batches of two shapes are recorded, full ones and the last one; any others run as usual.
    device : str, optional
        Where the model is moved to, and every batch. By default where the model is.
    seed : int, optional
        Seeds the default generator, which dropout draws from, when the trainer is made.
    fast_dev_run : bool or int, default False
        A trial of everything: one epoch of so many batches (True: one), and as many of validation; callbacks that write
        (`Callback.writes`) are left out.
    overfit_batches : int or float, default 0
        Train on the first so many batches, or that share of them, the same ones in every epoch, and validate on them, too: a
        model that cannot learn these by heart has a fault.
    max_time : float, str or timedelta, optional
        After how long `fit` stops, at the next update: seconds, or "HH:MM:SS", "DD:HH:MM:SS". `Checkpoint` saves then.

    Attributes
    ----------
    history : list of dict
        One row per epoch: "epoch", "step", "lr", "loss", the metrics, "val_loss", "val_…", "seconds",
        "samples_per_second".
    row : dict
        The current epoch's row, as far as it is known.
    epoch, step : int
        Epochs and updates done.
    batch, samples : int
        Batches of the current epoch done, and samples in them.
    seconds : float
        Time that they took.
    epochs : int
        How many `fit` was asked for.
    stopping : str or None
        Why `fit` returns before that.
    current_batch : tuple of Tensor
        The batch of the moment.
    current_loss : Tensor
        () its loss.
    gradient_norm : Tensor or None
        () of the last update's gradient before clipping, where there is clipping.
    mean_loss : Metric
        The mean of the loss over the current epoch; with `metrics`, which is a dict, what the row will have.
    scaler : GradScaler
        Of the loss; not enabled but for "float16".
    stepper : Step
        What is done with a batch.
    progress : Progress
        What is counted.

    Raises
    ------
    ValueError
        If `scheduler_interval`, `accumulate` or `precision` is none of these.
    TypeError
        If model, loss, optimizer, scheduler or a callback is no such object (a name, or a class that was not called), or
        the scheduler is a `ReduceLROnPlateau`.

    Notes
    -----
    The host waits for the device once an epoch, when it reads the loss and the metrics (and where a callback says so),
    not in between: `weft.set_sync_debug_mode("error")` holds a model and a loss to that. Inside `weft.nvtx.emit()`
    epochs and steps are marked.

    Python code of model and loss does not run when a captured step is replayed. What it finds by name is looked at before
    each batch, as `weft.capture` says: where a callback has changed it (a layer's mode, its options, a list in the model, a
    frozen parameter) the step is recorded anew. A model whose forward counts or appends to a list runs as usual, with a
    RuntimeWarning; one that draws numbers on the host needs `capture=False`.

    Examples
    --------
    >>> x = weft.linspace(-1, 1, 64).reshape(-1, 1)
    >>> model = nn.Linear(1, 1)
    >>> trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.5))
    >>> history = trainer.fit([(x, 2 * x + 1)], epochs=50)
    >>> round(model.weight.item(), 3), round(model.bias.item(), 3)
    (2.0, 1.0)
    """

    optimizer: _Part[Optimizer] = _Part("stepper")
    scaler: _Part[GradScaler] = _Part("stepper")
    clip_grad_norm: _Part[float | None] = _Part("stepper")
    accumulate: _Part[int] = _Part("stepper")
    capture: _Part[bool | None] = _Part("stepper")
    parameters: _Part[list[Tensor]] = _Part("stepper")
    current_loss: _Part[Tensor] = _Part("stepper")
    gradient_norm: _Part[Tensor | None] = _Part("stepper")
    epoch: _Part[int] = _Part("progress")
    step: _Part[int] = _Part("progress")
    batch: _Part[int] = _Part("progress")
    samples: _Part[int] = _Part("progress")
    seconds: _Part[float] = _Part("progress")
    row: _Part[dict[str, float]] = _Part("progress")
    history: _Part[list[dict[str, float]]] = _Part("progress")
    current_batch: Batch
    _read_by_steps = "model", "_spread", "loss", "precision", "stepper"

    def __init__(
        self,
        model: Module,
        loss: Callable[..., Tensor],
        optimizer: Optimizer,
        *,
        scheduler: LRScheduler | None = None,
        scheduler_interval: str = "epoch",
        metrics: Metrics = None,
        callbacks: Sequence[Callback] = (),
        clip_grad_norm: float | None = None,
        accumulate: int = 1,
        precision: str | None = None,
        capture: bool | None = None,
        device: str | None = None,
        seed: int | None = None,
        fast_dev_run: bool | int = False,
        overfit_batches: float = 0,
        max_time: float | str | datetime.timedelta | None = None,
    ):
        meet()
        check.instance("model", model, Module, "nn.Linear(2, 1)")
        check.loss(loss)
        check.optimizer(optimizer, model, loss)
        if scheduler_interval not in ("epoch", "step"):
            raise ValueError(f"`scheduler_interval` must be 'epoch' or 'step', got {scheduler_interval!r}")
        if isinstance(scheduler, ReduceLROnPlateau):
            raise TypeError("`scheduler` must not be a ReduceLROnPlateau; pass callbacks=[Plateau(scheduler)]")
        check.schedule(scheduler, optimizer)
        callbacks = check.callbacks(callbacks)
        if not isinstance(accumulate, int) or isinstance(accumulate, bool) or accumulate < 1:
            raise ValueError(f"`accumulate` must be a positive integer, got {accumulate!r}")
        if precision not in (None, "bfloat16", "float16"):
            raise ValueError(f"`precision` must be None, 'bfloat16' or 'float16', got {precision!r}")
        is_number = isinstance(clip_grad_norm, int | float) and not isinstance(clip_grad_norm, bool)
        if clip_grad_norm is not None and not (is_number and clip_grad_norm > 0):
            raise ValueError(f"`clip_grad_norm` must be None or a positive number, got {clip_grad_norm!r}")
        if not isinstance(capture, bool | None):
            raise TypeError(f"`capture` must be None, True or False, got {capture!r}")
        self.limits = Limits(fast_dev_run, overfit_batches, max_time)
        if seed is not None:
            random.manual_seed(seed)
        first = next(iter(model.parameters()), None)
        device = canonical(device or (first.device if first is not None else None))
        super().__init__(model.to(device), device=device)
        self._spread = spread(self.model)
        self.loss, self.precision, self.metrics = loss, precision, collect(metrics)
        self.scheduler, self.scheduler_interval = scheduler, scheduler_interval
        self.callbacks = sorted(callbacks, key=lambda callback: callback.order)
        self._listeners = Listeners(self._call)
        self.stepper = Step(
            self.forward,
            optimizer,
            scaler=GradScaler(enabled=precision == "float16"),
            clip_grad_norm=clip_grad_norm,
            accumulate=accumulate,
            capture=capture,
            listeners=self._listeners,
        )
        self.stepper.spread = self._spread
        if type(self).train_step is not Trainer.train_step:
            self.stepper.train_step = self.train_step  # type: ignore[method-assign]
        self.progress = Progress()
        self._run_state = RunState(self)
        self.mean_loss = Mean()
        self._parameters_before = list(model.parameters())  # a layer that is replaced later brings others
        self.epochs = 0
        self.stopping: str | None = None
        self.train_loader: Any = None
        self.validation_loader: Any = None
        self._began = 0.0
        self._last_scale = 0.0
        self._begin_epoch()

    # --- training ---------------------------------------------------------------------------------------------------
    def fit(
        self,
        train_loader: Any,
        validation_loader: Any = None,
        epochs: int = 1,
        *,
        batch_size: int = 32,
        shuffle: bool = True,
        validation: Any = None,
    ) -> list[dict[str, float]]:
        """Train until `epochs` epochs are done, counting those of earlier calls and of a resumed run.

        Parameters
        ----------
        train_loader : iterable of batches
            Batches (x, y), or (x₁, x₂, …, y) for models with several inputs: a `DataLoader`, a list, anything that can
            be iterated anew for each epoch. After `load_state_dict`, training goes on with the very next batch.
            Or the inputs of all samples, an array or Tensor (N, …), with their targets as the next argument; or a tuple
            (x, …, y) of these.
        validation_loader : iterable of batches, optional
            What the model is evaluated on after each epoch, or a tuple (x, …, y) of arrays. Where `train_loader` is an
            array, the targets (N, …).
        epochs : int, default 1
            How many there are to be in all.
        batch_size : int, default 32
            Samples per batch, where arrays are given.
        shuffle : bool, default True
            Whether arrays are trained on in another order each epoch.
        validation : iterable of batches or tuple of array, optional
            By name what `validation_loader` is, for `fit(x, y, validation=(x2, y2))`.

        Returns
        -------
        list of dict
            `history`.

        Raises
        ------
        TypeError
            If the data are neither batches nor arrays.
        ValueError
            If an epoch has no batches; if data in memory are not finite or their targets no labels, for a loss of classes;
            if a column that a callback watches will not be there; if a layer was replaced and the optimizer has the old one.
        IndexError
            If a class or an index is none; on a GPU, which nobody waits for, at the end of the epoch.
            Besides, whatever model, loss or a callback raises.

        Examples
        --------
        >>> w = nn.Linear(1, 1)
        >>> trainer = Trainer(w, nn.MSELoss(), optim.SGD(w.parameters(), lr=0.1))
        >>> batches = [(weft.ones((4, 1)), weft.zeros((4, 1)))] * 3
        >>> [row["step"] for row in trainer.fit(batches, epochs=2)]
        [3, 6]
        """
        if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 0:
            raise ValueError(f"`epochs` must be an integer ≥ 0, got {epochs!r}")
        if isinstance(train_loader, Tensor) or is_array(train_loader):
            if validation_loader is None:
                raise TypeError("`fit` needs targets beside an array of inputs: fit(x, y), got x alone")
            train_loader, validation_loader = (train_loader, self._beside(train_loader, validation_loader)), None
        if validation is not None:
            if validation_loader is not None:
                raise TypeError("`validation` says what `validation_loader` does, got both")
            validation_loader = validation
        check.trainable(self.model, self.optimizer, self._parameters_before)
        self.train_loader = self._batches("train_loader", train_loader, batch_size=batch_size, shuffle=shuffle)
        if validation_loader is not None:
            validation_loader = self._batches("validation_loader", validation_loader, batch_size=batch_size)
            check.data("validation_loader", validation_loader, self.loss)
        self.validation_loader = validation_loader
        check.data("train_loader", self.train_loader, self.loss)
        require_same_data("train_loader", self.train_loader)
        require_same_data("validation_loader", validation_loader)
        self.train_loader, self.validation_loader = self.limits.of(self.train_loader, validation_loader)
        epochs = self.limits.epochs(self.epoch, epochs)
        if self.epoch < epochs and validation_loader is not None:
            rehearse(self)
        with waiting_is_meant():
            faults.forget()
            self._last_scale = self.scaler.get_scale()
        self.epochs, self.stopping = epochs, None
        self.stepper.begin_fit()
        self._run_state.restore_positions()
        self.limits.begin()
        begun: list[Callback] = []
        try:
            with waiting_is_meant():
                for callback in self._called():
                    begun.append(callback)
                    self._call(callback, "on_fit_begin")
            while self.epoch < epochs and self.stopping is None:
                with nvtx.range("epoch {}", self.epoch + 1):
                    self._fit_epoch()
        finally:
            self.stepper.release()
            self._end(begun)
        return self.history

    def _end(self, begun: list[Callback]) -> None:
        """Tell each of them, also after one has raised."""
        with waiting_is_meant(), ExitStack() as stack:
            for callback in reversed(begun):
                stack.callback(self._call, callback, "on_fit_end")

    def _batches(self, name: str, data: Any, **options: Any) -> Any:
        first = next(self.model.parameters(), None)
        return check.batches(name, data, None if first is None else first.dtype, **options)

    @staticmethod
    def _beside(x: Any, y: Any) -> Any:
        return y if isinstance(y, Tensor) else asarray(y, device=x.device if isinstance(x, Tensor) else "cpu")

    def stop(self, reason: str) -> None:
        """Let `fit` return after this batch (or, called at the end of an epoch, after this epoch). For callbacks.

        Parameters
        ----------
        reason : str
            What `stopping` will be.

        Examples
        --------
        >>> w = nn.Linear(1, 1)
        >>> trainer = Trainer(w, nn.MSELoss(), optim.SGD(w.parameters(), lr=0.1))
        >>> trainer.stop("it is late")
        >>> trainer.stopping
        'it is late'
        """
        self.stopping = reason

    def log(self, **values: float) -> None:
        """Add entries to this epoch's row of `history`. For callbacks, in `on_epoch_end` at the latest.

        Parameters
        ----------
        **values : float
            By the name of their column.

        Examples
        --------
        >>> w = nn.Linear(1, 1)
        >>> trainer = Trainer(w, nn.MSELoss(), optim.SGD(w.parameters(), lr=0.1))
        >>> trainer.log(temperature=21.5)
        >>> trainer.row
        {'temperature': 21.5}
        """
        self.row.update(values)

    def _begin_epoch(self) -> None:
        self.progress.begin_epoch()
        self.mean_loss = Mean()
        for metric in self.metrics.values():
            metric.reset()

    def _fit_epoch(self) -> None:
        progress = self.progress
        if not progress.batch:
            self._begin_epoch()
        batches = self._run_state.remaining_batches()
        self.model.train()
        self._call_all("on_epoch_begin")
        self._listeners.find(self._called())
        self.stepper.begin_epoch(self.model, self.device, keeps_output=bool(self.metrics))
        self._began = time.perf_counter() - progress.seconds
        for share, batch in nvtx.each("step", each_share(batches)):
            with ranks.sharing(share):
                self._fit_batch(self._placed(batch))
            progress.seconds = time.perf_counter() - self._began
            if self.limits.is_over and self.stopping is None:
                self.stop(f"`max_time` of {self.limits.seconds:g} s is over")
            self._listeners.notify("on_batch_end")
            if any_of(self.stopping is not None) and self.stopping is None:
                self.stop("another process has stopped")
            if self.stopping is not None and self.is_between_updates:
                self._run_state.keep_positions()
                return
        if not progress.batch:
            raise ValueError("`train_loader` must give batches in each epoch, got none; was it a generator, used up?")
        if self.stepper.flush():
            self._count_update()
        self._end_epoch()

    def _fit_batch(self, batch: Batch) -> None:
        self.current_batch = batch
        self._listeners.notify("on_batch_begin")
        result = self.stepper(batch)
        if result.updated:
            self._count_update()
        if n := batch[-1].shape[0]:
            self.mean_loss.update(result.loss, n)
            for metric in self.metrics.values():
                metric.update(result.output, batch[-1])
        self.progress.count_batch(result.samples)

    def _count_update(self) -> None:
        if self.scheduler is not None and self.scheduler_interval == "step" and not self._was_skipped():
            self.scheduler.step()
        self.progress.step += 1

    def _was_skipped(self) -> bool:
        """Whether the scaler left the last update out: then it has lowered the scale."""
        if not self.scaler.is_enabled():
            return False
        with waiting_is_meant():
            before, self._last_scale = self._last_scale, self.scaler.get_scale()
        return self._last_scale < before

    def _end_epoch(self) -> None:
        row = {"epoch": self.epoch + 1, "step": self.step, "lr": self.optimizer.param_groups[0]["lr"]}
        with waiting_is_meant():
            row |= {"loss": over_all(self.mean_loss).compute(), **_scalars(self._metrics()), **self.row}
            faults.tell()
        self.seconds = time.perf_counter() - self._began  # computing has waited for the device
        if self.validation_loader is not None:
            self._call_all("on_validation_begin")
            row |= {f"val_{name}": value for name, value in _scalars(self.evaluate(self.validation_loader)).items()}
        row |= {"seconds": self.seconds, "samples_per_second": self.samples / max(self.seconds, 1e-9)}
        row = by_first(lambda: row)
        if self.scheduler is not None and self.scheduler_interval == "epoch":
            self.scheduler.step()
        self.progress.end_epoch(row)
        self._call_all("on_epoch_end")

    def _metrics(self) -> dict[str, Any]:
        return {name: over_all(metric).compute() for name, metric in self.metrics.items()}

    def _placed(self, batch: Any) -> Batch:
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            raise TypeError(f"a loader must give batches (x, y), got {type(batch).__name__}")
        return tuple(
            a if type(a) is Tensor and a.device == self.device else asarray(a, device=self.device) for a in batch
        )

    def _call(self, callback: Callback, event: str) -> None:
        getattr(callback, event)(self)

    def _call_all(self, event: str) -> None:
        """What callbacks do once an epoch, or once a fit: there they may wait for the device."""
        with waiting_is_meant():
            for callback in self._called():
                self._call(callback, event)

    def _called(self) -> list[Callback]:
        """The callbacks that take part."""
        trial, others = bool(self.limits.batches), not is_first()
        return [c for c in self.callbacks if not (trial and c.writes) and not (others and c.first_alone)]

    # --- the model and its loss ---------------------------------------------------------------------------------------
    def forward(self, batch: Batch) -> tuple[Any, Tensor]:
        """Output and loss of a batch.

        Parameters
        ----------
        batch : tuple of Tensor
            Inputs of the model and, as the last one, the target.

        Returns
        -------
        output : Tensor
            What the model gives. One of half precision, if there are metrics to compute with it, is in float32.
        loss : Tensor
            () what is minimised.

        Examples
        --------
        >>> trainer = Trainer(nn.Identity(), nn.MSELoss(), optim.SGD([weft.Parameter([0.0])], lr=0.1))
        >>> trainer.forward((weft.ones(2), weft.zeros(2)))
        (tensor([1., 1.]), tensor(1.))
        """
        with self.autocast():
            is_alone = self._spread is None or not self.model.training
            output = (self.model if is_alone else self._spread)(*batch[:-1])
            # of no samples: nothing, which all parameters take part in
            loss = self.loss(output, batch[-1]) if batch[-1].shape[:1] != (0,) else (output * 0).sum()
        is_half = self.precision is not None and output.dtype.itemsize < 4 and is_real_floating(output.dtype)
        is_half &= bool(self.metrics)  # the logits of a language model are gigabytes
        return astype(output.detach(), np.dtype(np.float32)) if is_half else output, loss

    def train_step(self, *batch: Tensor) -> tuple[Tensor, Any, Tensor | None]:
        """What the device does for a batch; to be overridden by who wants another step.

        Parameters
        ----------
        *batch : Tensor
            Inputs of the model and, as the last one, the target.

        Returns
        -------
        tuple
            The loss, the model's output or None, and the norm of the gradient or None, as `StepResult` has them.
        """
        return Step.train_step(self.stepper, *batch)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which model and loss are called.

        Returns
        -------
        context manager
            `autocast(precision)`, or one that does nothing.

        Examples
        --------
        >>> model = nn.Linear(1, 1)
        >>> trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), precision="bfloat16")
        >>> with trainer.autocast():
        ...     model(weft.ones((1, 1))).dtype
        dtype(bfloat16)
        """
        return nullcontext() if self.precision is None else autocast(self.precision)

    def evaluate(self, loader: Iterable[Any]) -> dict[str, Any]:
        """The loss and the metrics on all batches, in eval mode.

        Parameters
        ----------
        loader : iterable of batches
            Batches (x, y), or (x₁, x₂, …, y); or a tuple of arrays of all samples.

        Returns
        -------
        dict
            "loss" and each metric, by name.

        Raises
        ------
        ValueError
            If there are no batches; if data in memory are not finite or no labels, as for `fit`.

        Examples
        --------
        >>> trainer = Trainer(nn.Identity(), nn.MSELoss(), optim.SGD([weft.Parameter([0.0])], lr=0.1), metrics="mae")
        >>> trainer.evaluate([([1.0, 2.0], [1.0, 4.0])])
        {'loss': 2.0, 'mae': 1.0}
        """
        batches = self._batches("loader", loader)
        if loader is not self.validation_loader:  # which `fit` has looked at
            check.data("loader", batches, self.loss)
        metrics = {name: copy.copy(metric) for name, metric in self.metrics.items()}
        for metric in metrics.values():
            metric.reset()
        mean_loss = Mean()
        with waiting_is_meant():
            faults.forget()
        with evaluating(self.model), no_grad():
            for _, part in each_share(batches):
                batch = self._placed(part)
                if not batch[-1].shape[0]:
                    continue
                output, loss = self.forward(batch)
                mean_loss.update(loss, batch[-1].shape[0])
                for metric in metrics.values():
                    metric.update(output, batch[-1])
        mean_loss, metrics = over_all(mean_loss), {name: over_all(metric) for name, metric in metrics.items()}
        if not mean_loss.sums["count"]:
            raise ValueError("`loader` must give at least one batch, got none")
        with waiting_is_meant():
            faults.tell()
            return {"loss": mean_loss.compute(), **{name: metric.compute() for name, metric in metrics.items()}}

    # --- breaking off and going on ------------------------------------------------------------------------------------
    @property
    def is_between_updates(self) -> bool:
        """False while gradients of some batches wait for those of others (`accumulate`): nothing can be saved then."""
        return not self.stepper.waiting_samples

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the run depends on, and its history: for `save_checkpoint`, which copies it to the disk.

        The model, the optimizer, the schedule, the loss scale, the position in the data, the state of the default
        generator (dropout), the running sums of the epoch, the callbacks. A run that loads it goes on bit for bit like
        the one that was not broken off, if the data and the arguments are the same. A loader without `state_dict` must
        give its batches in the same order each time.

        Returns
        -------
        dict
            A tree of dicts and lists of numbers, strings, arrays and Tensors.

        Raises
        ------
        RuntimeError
            Between the batches of one update (see `is_between_updates`).

        Examples
        --------
        >>> w = nn.Linear(1, 1)
        >>> trainer = Trainer(w, nn.MSELoss(), optim.SGD(w.parameters(), lr=0.1))
        >>> trainer.state_dict()["epoch"]
        0
        """
        return self._run_state.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was called: give `fit` the same data then.

        Parameters
        ----------
        state : dict
            As `state_dict` or `load_checkpoint` gives it. Whatever says that model, optimizer or schedule are not those
            that were saved is raised.

        Raises
        ------
        CheckpointError
            Having changed nothing, if an entry is missing or of another kind. Where `load_checkpoint` gave the state,
            whatever is raised is one, and names the file.

        Examples
        --------
        >>> w = nn.Linear(1, 1)
        >>> trainer = Trainer(w, nn.MSELoss(), optim.SGD(w.parameters(), lr=0.1))
        >>> trainer.load_state_dict({**trainer.state_dict(), "epoch": 7})
        >>> trainer.epoch
        7
        """
        self._run_state.load_state_dict(state)

    def __repr__(self) -> str:
        parts = {"loss": self.loss, "optimizer": self.optimizer, "scheduler": self.scheduler, "metrics": self.metrics}
        parts |= {"callbacks": [type(callback).__name__ for callback in self.callbacks], "precision": self.precision}
        lines = [f"{name}: {str(part).strip()}" for name, part in parts.items() if part]
        weights = sum(p.size for p in self.model.parameters())
        lines.insert(0, f"model: {type(self.model).__name__}, {weights:,} parameters on {self.device}")
        lines.append(f"done: {self.epoch} epochs, {self.step} updates")
        return "\n".join(["Trainer (", *(f"  {line}" for text in lines for line in text.splitlines()), ")"])


def _scalars(results: dict[str, Any]) -> dict[str, float]:
    """Those that fit into one cell of the history (a confusion matrix does not)."""
    return {name: value for name, value in results.items() if isinstance(value, float)}
