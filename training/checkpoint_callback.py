"""The callback that writes checkpoints: the last and the best, at the end of every epoch, every N updates, and on Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..backend.device.devices import waiting_is_meant
from . import check
from .callbacks import Callback, Monitor
from .checkpoint import FilePath, save_checkpoint
from .running import Running

__all__ = ["Checkpoint"]


class Checkpoint(Callback):
    """Saves the trainer in `folder`: as `last.safetensors`, and the best by `monitor` as `best.safetensors`.

    On Ctrl-C it lets the batch end, saves, and raises KeyboardInterrupt; a second Ctrl-C does not wait.

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

    Raises
    ------
    ValueError
        If `every` is less than 1.

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
        self._saved_step = -1
        self._interrupted = False
        self._previous_handler: Any = None

    @property
    def last(self) -> Path:
        """The file of the last checkpoint."""
        return self.folder / "last.safetensors"

    @property
    def best(self) -> Path:
        """The file of the best one."""
        return self.folder / "best.safetensors"

    def on_fit_begin(self, trainer: Running) -> None:
        self._saved_step = trainer.step
        self._interrupted = False
        if threading.current_thread() is threading.main_thread():  # the only one that may
            self._previous_handler = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, *_: Any) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True

    def on_batch_end(self, trainer: Running) -> None:
        if not trainer.is_between_updates:
            return
        due = self.every is not None and trainer.step % self.every == 0 and trainer.step != self._saved_step
        if due or self._interrupted:
            self._save(trainer, self.last)
        if self._interrupted:
            trainer.stop("interrupted")

    def on_epoch_end(self, trainer: Running) -> None:
        if self.monitor is not None and trainer.validation_loader is not None and self.monitor.improves(trainer.row):
            self._save(trainer, self.best)
        self._save(trainer, self.last)
        if self._interrupted:
            trainer.stop("interrupted")

    def on_fit_end(self, trainer: Running) -> None:
        if self._previous_handler is not None:
            signal.signal(signal.SIGINT, self._previous_handler)
            self._previous_handler = None
        if self._interrupted:
            raise KeyboardInterrupt

    def _save(self, trainer: Running, path: Path) -> None:
        with waiting_is_meant():
            save_checkpoint(path, {**trainer.state_dict(), **self.extra})
        self._saved_step = trainer.step
        if self.announce is not None:
            self.announce(f"saved {path} at epoch {trainer.epoch}, batch {trainer.batch}, step {trainer.step}")

    def state_dict(self) -> dict[str, Any]:
        return {} if self.monitor is None else {"best": self.monitor.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.monitor is not None and "best" in state:
            self.monitor.best = state["best"]
