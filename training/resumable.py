"""The part of the trainer that breaks a run off and goes on with it as if it had not been."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any

from ..backend.array import random
from ..optimizers import GradScaler
from .callbacks import Callback
from .metrics.metric import Mean, Metric

__all__ = ["Resumable"]


class Resumable:
    """`state_dict` and `load_state_dict` of a `Trainer`, and how `fit` finds its way back to the middle of an epoch."""

    model: Any
    optimizer: Any
    scheduler: Any
    metrics: dict[str, Metric]
    callbacks: list[Callback]
    scaler: GradScaler
    history: list[dict[str, Any]]
    epoch: int
    step: int
    batch: int
    samples: int
    seconds: float
    row: dict[str, Any]
    mean_loss: Mean
    train_loader: Any
    validation_loader: Any
    _positions: dict[str, Any] | None  # where `fit` has to go on in the loaders; None: where they stand
    _pending: int
    _pending_batches: int

    @property
    def is_between_updates(self) -> bool:
        """False while gradients of some batches wait for those of others (`accumulate`): nothing can be saved then."""
        return not self._pending

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the run depends on, and its history: for `save_checkpoint`, which copies it to the disk.

        The model, the optimizer, the schedule, the loss scale, the position in the data, the state of the default
        generator (dropout), the running sums of the epoch, the callbacks. A run that loads it goes on bit for bit like
        the one that was not broken off, if the data and the arguments are the same. A loader without `state_dict` must
        give its batches in the same order each time.

        Raises RuntimeError between the batches of one update (see `is_between_updates`).
        """
        if not self.is_between_updates:
            raise RuntimeError(
                f"`state_dict` must be taken between updates, got {self._pending_batches} batches waiting for theirs"
            )
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "loaders": self._loader_states() if self._positions is None else self._positions,
            "generator": random.default_generator.get_state(),
            "epoch": self.epoch,
            "step": self.step,
            "batch": self.batch,
            "samples": self.samples,
            "seconds": self.seconds,
            "row": self.row if self.batch else {},
            "history": self.history,
            "sums": {name: metric.state_dict() for name, metric in [("loss", self.mean_loss), *self.metrics.items()]},
            "callbacks": {name: callback.state_dict() for name, callback in self._named_callbacks()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was called: give `fit` the same data then.

        Raises whatever says that model, optimizer or schedule are not those that were saved.
        """
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None and state["scheduler"] is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])
        random.default_generator.set_state(state["generator"])
        for name in ("epoch", "step", "batch", "samples", "seconds", "row", "history"):
            setattr(self, name, copy.deepcopy(state[name]))
        self._positions = state["loaders"]
        for name, metric in [("loss", self.mean_loss), *self.metrics.items()]:
            if name in state["sums"]:
                metric.load_state_dict(state["sums"][name])
        for name, callback in self._named_callbacks():
            if name in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][name])

    def _go_on(self) -> None:
        """Put the loaders where they stood when the run was broken off; an epoch ended by an exception begins anew."""
        positions, self._positions = self._positions, None
        if positions is None:
            self.batch = 0
            return
        for name, loader in self._loaders():
            if positions[name] is not None and loader is not None:
                loader.load_state_dict(positions[name])

    def _batches(self) -> Iterable[Any]:
        """What is left of this epoch."""
        if self.batch and not hasattr(self.train_loader, "load_state_dict"):
            return islice(self.train_loader, self.batch, None)
        return self.train_loader

    def _loaders(self) -> list[tuple[str, Any]]:
        return [("train", self.train_loader), ("validation", self.validation_loader)]

    def _loader_states(self) -> dict[str, Any]:
        stated = [(name, getattr(loader, "state_dict", None)) for name, loader in self._loaders()]
        return {name: None if state_dict is None else state_dict() for name, state_dict in stated}

    def _named_callbacks(self) -> list[tuple[str, Callback]]:
        """Callbacks by class, the second of one class as "Name.1": one more or less does not disturb the others."""
        seen: Counter[str] = Counter()
        named = []
        for callback in self.callbacks:
            kind = type(callback).__name__
            named.append((f"{kind}.{seen[kind]}" if seen[kind] else kind, callback))
            seen[kind] += 1
        return named
