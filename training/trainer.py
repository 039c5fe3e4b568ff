"""Trainer: the loop over epochs and batches, and what is needed to break it off and go on as if it had not been."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ..backend.array import random
from ..backend.array.creation import asarray
from ..backend.device.devices import canonical, waiting_is_meant
from ..backend.modes import nvtx
from ..backend.tape.autograd import no_grad
from ..backend.tape.tensor import Tensor
from ..optimizers import GradScaler
from ..optimizers.schedulers import ReduceLROnPlateau
from .callbacks import Callback
from .metrics import collect
from .metrics.metric import Mean, Metric
from .predict import Predictor
from .resumable import Resumable
from .step import Step

__all__ = ["Trainer"]


class Trainer(Step, Resumable, Predictor):
    """Trains a model on batches (x, y), and evaluates and applies it.

    Parameters
    ----------
    model : Module
    loss : `loss(output, target)` giving a scalar Tensor: a module such as `CrossEntropyLoss()`, or a function
    optimizer : of the model's parameters
    scheduler : learning-rate schedule. `scheduler_interval` says when it steps: after each "epoch" or each "step"
        (update). `ReduceLROnPlateau`, which looks at the validation, goes into the callback `Plateau` instead.
    metrics : names ("accuracy", see `weft.training.metrics`), Metrics, or a list or dict of these
    callbacks : see `weft.training.callbacks`
    clip_grad_norm : greatest norm of the whole gradient at an update
    accumulate : batches per update. Each sample counts the same, however the batches are cut: for a loss that is a
        mean over samples the gradient is that of one batch of all of them. The last update of an epoch takes what is
        left.
    precision : "bfloat16" or "float16": what model and loss compute in half precision is what `autocast` says, in
        training and in `evaluate`; parameters stay float32. For "float16" the loss is scaled (`GradScaler`), and an
        update whose gradients are not finite is left out.
    capture : whether a step (forward, loss, backward, clipping, update) is recorded and replayed as one launch, see
        `weft.capture`. None: on "cuda" and "emulator", unless something has to look into the step; True: always, or
        ValueError (RuntimeError, if it shows while recording) says what stands in the way; False: never. The results
        are the same bits. Batches of two shapes are recorded, full ones and the last one; any others run as usual.
    device : where the model is moved to, and every batch; by default where the model is
    seed : seeds the default generator, which dropout draws from, when the trainer is made

    Attributes: `history`, a list with one dict per epoch ("epoch", "step", "lr", "loss", the metrics, "val_loss",
    "val_…", "seconds", "samples_per_second"); `epoch`, `step`, `batch`: epochs and updates done, and batches of the
    current epoch.

    The host waits for the device once an epoch, when it reads the loss and the metrics (and where a callback says so), not
    in between: `weft.set_sync_debug_mode("error")` holds a model and a loss to that. Inside `weft.nvtx.emit()` epochs and
    steps are marked.

    Python code of model and loss does not run when a captured step is replayed. What changes between epochs (a layer's
    mode and its options, frozen parameters) has the step recorded anew; a model whose forward counts, or draws numbers
    on the host, needs `capture=False`.

    >>> x = weft.linspace(-1, 1, 64).reshape(-1, 1)
    >>> model = nn.Linear(1, 1)
    >>> trainer = Trainer(model, nn.MSELoss(), weft.optimizers.SGD(model.parameters(), lr=0.5))
    >>> history = trainer.fit([(x, 2 * x + 1)], epochs=100)
    >>> round(model.weight.item(), 3), round(model.bias.item(), 3)
    (2.0, 1.0)
    """

    def __init__(
        self,
        model: Any,
        loss: Any,
        optimizer: Any,
        *,
        scheduler: Any = None,
        scheduler_interval: str = "epoch",
        metrics: Any = None,
        callbacks: Sequence[Callback] = (),
        clip_grad_norm: float | None = None,
        accumulate: int = 1,
        precision: str | None = None,
        capture: bool | None = None,
        device: str | None = None,
        seed: int | None = None,
    ):
        if scheduler_interval not in ("epoch", "step"):
            raise ValueError(f"`scheduler_interval` must be 'epoch' or 'step', got {scheduler_interval!r}")
        if isinstance(scheduler, ReduceLROnPlateau):
            raise TypeError("`scheduler` must not be a ReduceLROnPlateau; pass callbacks=[Plateau(scheduler)]")
        if not isinstance(accumulate, int) or accumulate < 1:
            raise ValueError(f"`accumulate` must be a positive integer, got {accumulate!r}")
        if precision not in (None, "bfloat16", "float16"):
            raise ValueError(f"`precision` must be None, 'bfloat16' or 'float16', got {precision!r}")
        if seed is not None:
            random.manual_seed(seed)
        first = next(iter(model.parameters()), None)
        device = canonical(device or (first.device if first is not None else None))
        super().__init__(model.to(device), device=device)
        self.loss, self.optimizer, self.scheduler = loss, optimizer, scheduler
        self.scheduler_interval, self.clip_grad_norm, self.accumulate = scheduler_interval, clip_grad_norm, accumulate
        self.precision, self.capture = precision, capture
        self.scaler = GradScaler(enabled=precision == "float16")
        self.metrics = collect(metrics)
        self.callbacks = sorted(callbacks, key=lambda callback: callback.order)
        self.history: list[dict[str, Any]] = []
        self.epoch = self.step = self.batch = self.epochs = 0
        self.stopping: str | None = None
        self.train_loader: Any = None
        self.validation_loader: Any = None
        self.gradient_norm: Any = None  # of the last update, before clipping: a 0-d Tensor, where there is clipping
        self._positions = None
        self._pending = self._pending_batches = 0  # samples and batches whose gradients wait for an update
        self._listen()
        self._end_steps()
        self._begin_epoch()

    # --- training ---------------------------------------------------------------------------------------------------
    def fit(
        self, train_loader: Iterable[Any], validation_loader: Iterable[Any] | None = None, epochs: int = 1
    ) -> list[dict[str, Any]]:
        """Train until `epochs` epochs are done, counting those of earlier calls and of a resumed run; return `history`.

        Loaders give batches (x, y), or (x₁, x₂, …, y) for models with several inputs: a `DataLoader`, a list, anything
        that can be iterated anew for each epoch. After `load_state_dict`, training goes on with the very next batch.

        Raises ValueError if an epoch has no batches; whatever model, loss or a callback raises.
        """
        if not isinstance(epochs, int) or epochs < 0:
            raise ValueError(f"`epochs` must be an integer ≥ 0, got {epochs!r}")
        self.train_loader, self.validation_loader = train_loader, validation_loader
        self.epochs, self.stopping = epochs, None
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self._pending = self._pending_batches = 0
        self._go_on()
        self._call("on_fit_begin")
        try:
            while self.epoch < epochs and self.stopping is None:
                with nvtx.range("epoch {}", self.epoch + 1):
                    self._fit_epoch()
        finally:
            self._end_steps()
            self._call("on_fit_end")
        return self.history

    def stop(self, reason: str) -> None:
        """Let `fit` return after this batch (or, called at the end of an epoch, after this epoch). For callbacks."""
        self.stopping = reason

    def log(self, **values: float) -> None:
        """Add entries to this epoch's row of `history`. For callbacks, in `on_epoch_end` at the latest."""
        self.row.update(values)

    def _begin_epoch(self) -> None:
        self.row: dict[str, Any] = {}
        self.samples, self.seconds, self.mean_loss = 0, 0.0, Mean()
        for metric in self.metrics.values():
            metric.reset()

    def _fit_epoch(self) -> None:
        if not self.batch:
            self._begin_epoch()
        batches = self._batches()
        self.model.train()
        self._call("on_epoch_begin")
        self._listen()
        self._begin_steps()
        self._began = time.perf_counter() - self.seconds
        for batch in nvtx.each("step", batches):
            self._fit_batch(self._placed(batch))
            self.seconds = time.perf_counter() - self._began
            for callback in self._listeners["on_batch_end"]:
                callback.on_batch_end(self)
            if self.stopping is not None and self.is_between_updates:
                self._positions = self._loader_states()
                return
        if not self.batch:
            raise ValueError("`train_loader` must give batches in each epoch, got none; was it a generator, used up?")
        if self._pending:
            self._update(self._pending)
            self._count_update()
        self._end_epoch()

    def _fit_batch(self, batch: tuple[Tensor, ...]) -> None:
        self.current_batch = batch
        for callback in self._listeners["on_batch_begin"]:
            callback.on_batch_begin(self)
        self.current_loss, output, norm = self._run_step(batch)
        n = batch[-1].shape[0]
        self._pending += n
        self._pending_batches += 1
        if self._pending_batches == self.accumulate:
            self.gradient_norm = norm
            self._count_update()
        self.mean_loss.update(self.current_loss, n)
        for metric in self.metrics.values():
            metric.update(output, batch[-1])
        self.batch += 1
        self.samples += n

    def _count_update(self) -> None:
        if self.scheduler is not None and self.scheduler_interval == "step":
            self.scheduler.step()
        self.step += 1
        self._pending = self._pending_batches = 0

    def _end_epoch(self) -> None:
        row = {"epoch": self.epoch + 1, "step": self.step, "lr": self.optimizer.param_groups[0]["lr"]}
        with waiting_is_meant():
            row |= {"loss": self.mean_loss.compute(), **_computed(self.metrics), **self.row}
        self.seconds = time.perf_counter() - self._began  # computing has waited for the device
        if self.validation_loader is not None:
            self._call("on_validation_begin")
            results = self.evaluate(self.validation_loader)
            row |= {f"val_{name}": value for name, value in results.items() if isinstance(value, float)}
        row |= {"seconds": self.seconds, "samples_per_second": self.samples / max(self.seconds, 1e-9)}
        if self.scheduler is not None and self.scheduler_interval == "epoch":
            self.scheduler.step()
        self.row = row
        self.history.append(row)
        self.epoch += 1
        self.batch = 0
        self._call("on_epoch_end")

    # --- evaluation -------------------------------------------------------------------------------------------------
    def evaluate(self, loader: Iterable[Any]) -> dict[str, Any]:
        """The loss and the metrics on all batches of `loader`, in eval mode, by name.

        Raises ValueError if there are no batches.
        """
        metrics = {name: copy.copy(metric) for name, metric in self.metrics.items()}
        for metric in metrics.values():
            metric.reset()
        mean_loss = Mean()
        was_training = self.model.training
        self.model.eval()
        try:
            with no_grad():
                for batch in map(self._placed, loader):
                    output, loss = self.forward(batch)
                    mean_loss.update(loss, batch[-1].shape[0])
                    for metric in metrics.values():
                        metric.update(output, batch[-1])
        finally:
            self.model.train(was_training)
        if not mean_loss.sums["count"]:
            raise ValueError("`loader` must give at least one batch, got none")
        with waiting_is_meant():
            return {"loss": mean_loss.compute(), **{name: metric.compute() for name, metric in metrics.items()}}

    def _placed(self, batch: Any) -> tuple[Tensor, ...]:
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            raise TypeError(f"a loader must give batches (x, y), got {type(batch).__name__}")
        return tuple(
            a if type(a) is Tensor and a.device == self.device else asarray(a, device=self.device) for a in batch
        )

    def _call(self, name: str) -> None:
        """What callbacks do once an epoch, or once a fit: there they may wait for the device."""
        with waiting_is_meant():
            for callback in self.callbacks:
                getattr(callback, name)(self)


def _computed(metrics: dict[str, Metric]) -> dict[str, float]:
    """Those that fit into one cell of the history (a confusion matrix does not)."""
    return {name: value for name, metric in metrics.items() if isinstance(value := metric.compute(), float)}
