"""How far a run has come."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields
from typing import Any

from ..backend.device import markup

__all__ = ["History", "Progress"]

SHOWN = 40  # rows of a history in a notebook, the last ones


class History(list[dict[str, float]]):
    """A list of rows, one for each epoch, which a notebook shows as a table.

    Examples
    --------
    >>> History([{"epoch": 1, "loss": 0.5}])[-1]["loss"]
    0.5
    """

    def _repr_html_(self) -> str:
        columns = list(dict.fromkeys(name for row in self for name in row))
        rows = [[_number(row[name]) if name in row else "" for name in columns] for row in self[-SHOWN:]]
        notes = [f"the last {SHOWN} of {len(self)} epochs"] if len(self) > SHOWN else []
        return markup.table(columns, rows, notes or ([] if self else ["no epoch yet"]))


def _number(x: Any) -> str:
    return f"{x:.4g}" if isinstance(x, float) else str(x)


@dataclass
class Progress:
    """What a `Trainer` has counted: epochs, updates, batches, samples, seconds; and the history.

    Its fields are entries of checkpoints, under these names.

    Parameters
    ----------
    epoch : int, default 0
        Epochs done.
    step : int, default 0
        Updates done.
    batch : int, default 0
        Batches done of the current epoch; 0 between two epochs.
    samples : int, default 0
        Samples in these batches; between two epochs, in those of the last one.
    seconds : float, default 0.0
        Time that they took, validation and callbacks at the end of the epoch left out.
    row : dict of str to float, optional
        The current epoch's row of the history, as far as it is known.
    history : History, optional
        One row for each epoch done.

    Examples
    --------
    >>> progress = Progress()
    >>> progress.count_batch(32)
    >>> progress.count_batch(16)
    >>> progress.batch, progress.samples
    (2, 48)
    """

    epoch: int = 0
    step: int = 0
    batch: int = 0
    samples: int = 0
    seconds: float = 0.0
    row: dict[str, float] = field(default_factory=dict)
    history: History = field(default_factory=History)

    def begin_epoch(self) -> None:
        """Forget what was counted in the epoch before."""
        self.row, self.samples, self.seconds = {}, 0, 0.0

    def count_batch(self, samples: int) -> None:
        """Count a batch.

        Parameters
        ----------
        samples : int
            How many it has.
        """
        self.batch += 1
        self.samples += samples

    def end_epoch(self, row: dict[str, float]) -> None:
        """Count the epoch.

        Parameters
        ----------
        row : dict of str to float
            Its row of the history.
        """
        self.row = row
        self.history.append(row)
        self.epoch += 1
        self.batch = 0

    def state_dict(self) -> dict[str, Any]:
        """The fields by name.

        Returns
        -------
        dict
            The row is empty between two epochs, where it is the last one of the history.
        """
        state = {f.name: getattr(self, f.name) for f in fields(self)}
        return state if self.batch else {**state, "row": {}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called.

        Parameters
        ----------
        state : dict
            Copied; other entries are left aside.
        """
        for f in fields(self):
            setattr(self, f.name, copy.deepcopy(state[f.name]))
        self.history = History(self.history)
