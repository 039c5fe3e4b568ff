"""The callback that writes checkpoints: at the end of every epoch, every N updates, and when the process is to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..backend.device.devices import waiting_is_meant
from . import check
from .atomic import check_writable
from .callbacks import Callback, Monitor
from .checkpoint import FilePath, save_checkpoint
from .processes import any_of, by_first
from .running import Running
from .signals import PutOff

__all__ = ["Checkpoint"]


class Checkpoint(Callback):
    """Saves the trainer in `folder`: as `last.safetensors`, and the best by `monitor` as `best.safetensors`.

    On SIGINT (Ctrl-C), SIGTERM and SIGHUP it lets the update end, saves, and does what the signal would have done: it raises
    KeyboardInterrupt, or calls the handler of your own; where SIGTERM and SIGHUP have none it raises SystemExit, with their
    exit status (143, 129). During a validation it saves at its end. A Ctrl-C after that does not wait.

    Parameters
    ----------
    folder : str or path
        Made if it is missing.
    every : int, optional
        Save `last` after every so many updates too, not only at the end of each epoch.
    monitor : str, optional
        Column of the history whose best value counts. None, or no validation: no best is kept.
    mode : {"min", "max"}, optional
        Which values are better, as in `Monitor`.
    extra : dict, optional
        Entries to save beside the trainer's, such as those that `load_model` needs (see `model_state`).
    announce : function of a str, optional
        Called with one line after each save, when the file is safely on the disk.

    Attributes
    ----------
    saved : tuple of int or None
        Epoch and batch of what `last` was saved at, since this object was made.

    Raises
    ------
    ValueError
        If `every` is less than 1; from `fit`, if there is no column `monitor`.
    WriteError
        From `fit`, before the first epoch if it can be known by then: `folder` cannot be written to.

    See Also
    --------
    Trainer.state_dict : What is saved.

    Examples
    --------
    >>> import tempfile
    >>> model = nn.Linear(1, 1)
    >>> trainer = weft.training.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(folder)
    ...     trainer.callbacks.append(checkpoint)
    ...     history = trainer.fit([(weft.ones((2, 1)), weft.ones((2, 1)))], epochs=2)
    ...     trainer.load_state_dict(weft.training.load_checkpoint(checkpoint.last))
    >>> trainer.epoch
    2
    """

    order = 2  # saves what the other callbacks have become
    writes = True

    def __init__(
        self,
        folder: FilePath,
        *,
        every: int | None = None,
        monitor: str | None = "val_loss",
        mode: str | None = None,
        extra: dict[str, Any] | None = None,
        announce: Callable[[str], None] | None = None,
    ):
        check.path("folder", folder)
        if every is not None and (not isinstance(every, int) or every < 1):
            raise ValueError(f"`every` must be at least 1, got {every!r}")
        if not isinstance(extra, dict | None):
            raise TypeError(f"`extra` must be a dict or None, got {extra!r:.80}")
        if announce is not None and not callable(announce):
            raise TypeError(f"`announce` must be a function or None, got {announce!r:.80}")
        self.folder, self.every, self.extra, self.announce = Path(folder), every, dict(extra or {}), announce
        self.monitor = None if monitor is None else Monitor(monitor, mode)
        self.saved: tuple[int, int] | None = None
        self._saved_step = -1
        self._signals = PutOff()

    @property
    def last(self) -> Path:
        """The file of the last checkpoint."""
        return self.folder / "last.safetensors"

    @property
    def best(self) -> Path:
        """The file of the best one."""
        return self.folder / "best.safetensors"

    def on_fit_begin(self, trainer: Running) -> None:
        by_first(lambda: check_writable(self.last))
        if self.monitor is not None:
            if trainer.validation_loader is not None:
                self.monitor.require(trainer)
            by_first(lambda: check_writable(self.best))
        self._saved_step = trainer.step
        self._signals.begin()

    def on_batch_end(self, trainer: Running) -> None:
        if not trainer.is_between_updates:
            return
        due = self.every is not None and trainer.step % self.every == 0 and trainer.step != self._saved_step
        is_to_end = any_of(self._signals.number is not None)
        if due or is_to_end or (trainer.limits.is_over and trainer.step != self._saved_step):
            self._save(trainer, self.last)
        if is_to_end:
            trainer.stop("interrupted")

    def on_epoch_end(self, trainer: Running) -> None:
        if self.monitor is not None and trainer.validation_loader is not None and self.monitor.improves(trainer.row):
            self._save(trainer, self.best)
        self._save(trainer, self.last)
        if any_of(self._signals.number is not None):
            trainer.stop("interrupted")

    def on_fit_end(self, trainer: Running) -> None:
        self._signals.end()
        if trainer.stopping is not None or trainer.epoch >= trainer.epochs:  # otherwise an exception says more
            self._signals.deliver()

    def _save(self, trainer: Running, path: Path) -> None:
        with waiting_is_meant():
            state = {**trainer.state_dict(), **self.extra}
            by_first(lambda: save_checkpoint(path, state))
        self._saved_step = trainer.step
        if path == self.last:
            self.saved = trainer.epoch, trainer.batch
        if self.announce is not None:
            self.announce(f"saved {path} at epoch {trainer.epoch}, batch {trainer.batch}, step {trainer.step}")

    def state_dict(self) -> dict[str, Any]:
        return {} if self.monitor is None else {"best": self.monitor.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.monitor is not None and "best" in state:
            self.monitor.best = state["best"]
