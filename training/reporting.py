"""Callbacks that report: a CSV file, a progress bar; those of other programs are in `loggers.py`."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any, TextIO

from ..backend.device.devices import waiting_is_meant
from . import check
from .atomic import check_writable, write_atomically
from .callbacks import Callback
from .checkpoint import FilePath
from .output import Output
from .processes import by_first, is_first
from .running import Running

__all__ = ["CSVLogger", "ProgressBar"]


class CSVLogger(Callback):
    """Writes the history to a CSV file after each epoch, and when a run goes on: one row per epoch, in full precision.

    The file is written anew each time, atomically, so that it agrees with the history also after a run was broken off
    and resumed.

    Parameters
    ----------
    path : str or path
        The file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> model = nn.Linear(1, 1)
    >>> trainer = weft.training.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trainer.callbacks.append(CSVLogger(folder + "/log.csv"))
    ...     history = trainer.fit([(weft.ones((2, 1)), weft.ones((2, 1)))])
    ...     Path(folder, "log.csv").read_text().splitlines()[0]
    'epoch,step,lr,loss,seconds,samples_per_second'
    """

    order = 1
    writes = True

    def __init__(self, path: FilePath):
        check.path("path", path)
        self.path = path

    def on_fit_begin(self, trainer: Running) -> None:
        by_first(lambda: check_writable(Path(self.path)))
        if trainer.history:  # it may have been broken off after a checkpoint and before the file was written
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer: Running) -> None:
        if not is_first():
            return
        columns = list(dict.fromkeys(name for row in trainer.history for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(trainer.history)
        write_atomically(self.path, text.getvalue().encode())


class ProgressBar(Callback):
    """One line for each epoch; on a terminal also a bar with loss and throughput, ten times a second.

    The bar is drawn by rich, if it is installed. Nothing is read from the device, which waits for it, more often than
    it is shown.

    Parameters
    ----------
    file : text stream, optional
        Where it goes. By default standard output. If it can no longer be written to, training goes on.

    Attributes
    ----------
    interval : float
        Seconds between two updates of the bar.

    Examples
    --------
    >>> model, file = nn.Linear(1, 1), io.StringIO()
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = weft.training.Trainer(model, nn.MSELoss(), optimizer, callbacks=[ProgressBar(file)])
    >>> history = trainer.fit([(weft.ones((2, 1)), weft.ones((2, 1)))], epochs=2)
    >>> [line[:15] for line in file.getvalue().splitlines()]
    ['epoch 1/2  loss', 'epoch 2/2  loss']
    """

    order = 1
    interval = 0.1

    def __init__(self, file: TextIO | None = None):
        if file is not None:
            check.has_methods("file", file, ("write", "isatty"), "sys.stdout")
        self.file = file
        self._output = Output(file)
        self._bar: Any = None
        self._due = 0.0

    def on_fit_begin(self, trainer: Running) -> None:
        self._output = Output(self.file)
        if self._output.isatty() and is_first():
            self._bar = make_bar(self._output)

    def on_epoch_begin(self, trainer: Running) -> None:
        if self._bar is not None:
            total = len(trainer.train_loader) if hasattr(trainer.train_loader, "__len__") else None
            self._task = self._bar.add_task(f"epoch {trainer.epoch + 1}/{trainer.epochs}", total=total, text="")
            self._bar.start()

    def on_batch_end(self, trainer: Running) -> None:
        now = time.monotonic()
        if self._bar is None or now < self._due:
            return
        self._due = now + self.interval
        shown = {"loss": trainer.mean_loss, **trainer.metrics}
        with waiting_is_meant():
            values = {name: value for name, metric in shown.items() if isinstance(value := metric.compute(), float)}
        text = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        speed = trainer.samples / max(trainer.seconds, 1e-9)
        self._bar.update(self._task, completed=trainer.batch, text=f"{text}  {speed:,.0f} samples/s")

    def on_epoch_end(self, trainer: Running) -> None:
        line = summary_line(trainer.row, trainer.epochs)
        if not is_first():
            return
        if self._bar is None:
            print(line, file=self._output, flush=True)
        else:
            self._bar.remove_task(self._task)
            self._bar.stop()
            self._bar.console.print(line, highlight=False, soft_wrap=True)

    def on_fit_end(self, trainer: Running) -> None:
        if self._bar is not None:
            self._bar.stop()


def make_bar(file: TextIO | Output) -> Any:
    """A progress bar of rich.

    Parameters
    ----------
    file : text stream
        Where it goes.

    Returns
    -------
    rich.progress.Progress or None
        Its tasks have a `text` of their own; None where rich is not installed.
    """
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    return Progress(*columns, console=Console(file=file), transient=True)  # type: ignore[arg-type]


def summary_line(row: dict[str, float], epochs: int) -> str:
    """An epoch's row of the history as a line to read.

    Parameters
    ----------
    row : dict
        Values by column.
    epochs : int
        How many there are to be.

    Returns
    -------
    str
        Without a line break.

    Examples
    --------
    >>> row = {"epoch": 3, "step": 30, "lr": 0.001, "loss": 0.25, "samples_per_second": 5000.0, "seconds": 0.5}
    >>> summary_line(row, epochs=10)
    'epoch  3/10  loss 0.2500  lr 0.001  5,000 samples/s  0.5 s'
    """
    width = len(str(epochs))
    parts = [f"epoch {row['epoch']:{width}}/{epochs}"]
    parts += [f"{name} {value:.4f}" for name, value in row.items() if name not in _SHOWN_APART]
    parts += [f"lr {row['lr']:.3g}", f"{row['samples_per_second']:,.0f} samples/s", f"{row['seconds']:.1f} s"]
    return "  ".join(parts)


_SHOWN_APART = ("epoch", "step", "lr", "seconds", "samples_per_second")
