"""Breaking a run off and going on with it as if it had not been."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any

from ..backend.array import random
from . import expected
from .callbacks import Callback
from .expected import part
from .metrics.metric import Metric
from .processes import is_first, over_all
from .running import Running
from .tensor_file import FilePath

__all__ = ["RunState"]


class RunState:
    """What the rest of a `Trainer`'s run depends on, as one tree, and the way back to the middle of an epoch.

    Parameters
    ----------
    trainer : Trainer
        Whose run it is. Its parts are looked up when they are needed, so that they may be replaced.

    Attributes
    ----------
    positions : dict or None
        By "train" and "validation", where the next `fit` has to go on in the loaders; None: where they stand.

    Examples
    --------
    >>> model = nn.Linear(1, 1)
    >>> trainer = weft.training.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    >>> list(RunState(trainer).state_dict())[:4]
    ['model', 'optimizer', 'scheduler', 'scaler']
    """

    def __init__(self, trainer: Running):
        self.trainer = trainer
        self.positions: dict[str, Any] | None = None
        self._source: FilePath | None = None  # of the positions

    def state_dict(self) -> dict[str, Any]:
        """The tree, as `Trainer.state_dict` describes it.

        Returns
        -------
        dict
            For `save_checkpoint`.

        Raises
        ------
        RuntimeError
            Between the batches of one update.
        """
        trainer = self.trainer
        if not trainer.is_between_updates:
            waiting = trainer.stepper.waiting_batches
            raise RuntimeError(f"`state_dict` must be taken between updates, got {waiting} batches waiting for theirs")
        return {
            "model": trainer.model.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "scheduler": None if trainer.scheduler is None else trainer.scheduler.state_dict(),
            "scaler": trainer.scaler.state_dict(),
            "loaders": self._loader_states() if self.positions is None else self.positions,
            "generator": random.default_generator.get_state(),
            **trainer.progress.state_dict(),
            "sums": {name: over_all(metric).state_dict() for name, metric in self._sums()},
            "callbacks": {name: callback.state_dict() for name, callback in self._named_callbacks()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the trainer where `state_dict` was called.

        Parameters
        ----------
        state : dict
            As `state_dict` or `load_checkpoint` gives it.

        Raises
        ------
        CheckpointError
            Having changed nothing, if an entry is missing or of another kind; and for whatever says that model, optimizer
            or schedule are not those that were saved, where the state is one that `load_checkpoint` gave.
        """
        trainer, source = self.trainer, getattr(state, "path", None)
        self._check(state, source)
        with part("model", source):
            trainer.model.load_state_dict(state["model"])
        with part("optimizer", source):
            trainer.optimizer.load_state_dict(state["optimizer"])
        if trainer.scheduler is not None and state["scheduler"] is not None:
            with part("scheduler", source):
                trainer.scheduler.load_state_dict(state["scheduler"])
        if state.get("scaler"):
            trainer.scaler.load_state_dict(state["scaler"])
        random.default_generator.set_state(state["generator"])
        trainer.progress.load_state_dict(state)
        self.positions, self._source = state["loaders"], source
        for name, metric in self._sums():
            if name in state["sums"]:
                with part(f"sums.{name}", source):
                    metric.load_state_dict(state["sums"][name])
                    if not is_first():  # they are counted once
                        metric.reset()
        for name, callback in self._named_callbacks():
            if name in state["callbacks"]:
                with part(f"callbacks.{name}", source):
                    callback.load_state_dict(state["callbacks"][name])

    def _check(self, state: dict[str, Any], source: FilePath | None) -> None:
        """Raise CheckpointError, before anything is loaded, where an entry is missing or of another kind than ours."""
        trainer = self.trainer
        with part("state", source):
            expected.dictionary(state, "state")
            for name in ("epoch", "step", "batch", "samples"):
                expected.count(state[name], name)
            expected.number(state["seconds"], "seconds")
            expected.row(state["row"], "row")
            expected.like(state["history"], [], "history")
            for i, row in enumerate(state["history"]):
                expected.row(row, f"history.{i}")
            for name in ("seed", "counter"):
                expected.count(
                    expected.dictionary(state["generator"], "generator")[name], f"generator.{name}", 1 << 128
                )
            for name in ("train", "validation"):
                expected.like(expected.dictionary(state["loaders"], "loaders")[name], {}, f"loaders.{name}")
            expected.arrays(state["model"], "model")
            optimizer = expected.dictionary(state["optimizer"], "optimizer")
            expected.clocks(optimizer["state"], "optimizer.state")
            groups = [{k: v for k, v in group.items() if k != "params"} for group in trainer.optimizer.param_groups]
            expected.like(optimizer["param_groups"], groups, "optimizer.param_groups", whole=False)
            if trainer.scheduler is not None:
                expected.like(state["scheduler"], trainer.scheduler.state_dict(), "scheduler")
            expected.like(state.get("scaler") or None, trainer.scaler.state_dict() or None, "scaler")
            for name, sums in expected.dictionary(state["sums"], "sums").items():
                expected.numbers_of_any_shape(sums, f"sums.{name}")
            callbacks = expected.dictionary(state["callbacks"], "callbacks")
            for name, callback in self._named_callbacks():
                if name in callbacks:
                    expected.like(callbacks[name], callback.state_dict(), f"callbacks.{name}", whole=False)

    def keep_positions(self) -> None:
        """Note where the loaders stand: the next `fit` goes on there."""
        self.positions = self._loader_states()

    def restore_positions(self) -> None:
        """Put the loaders where the run was broken off; an epoch that was ended by an exception begins anew."""
        positions, self.positions = self.positions, None
        if positions is None:
            self.trainer.progress.batch = 0
            return
        for name, loader in self._loaders():
            if positions[name] is not None and loader is not None:
                with part(f"loaders.{name}", self._source):
                    if not hasattr(loader, "load_state_dict"):
                        raise ValueError(f"the batches came of a DataLoader, and now of a {type(loader).__name__}")
                    loader.load_state_dict(positions[name])

    def remaining_batches(self) -> Iterable[Any]:
        """What is left of this epoch.

        Returns
        -------
        iterable
            The loader itself, if it knows where it stands; otherwise its batches after those that are done.
        """
        loader, done = self.trainer.train_loader, self.trainer.progress.batch
        return islice(loader, done, None) if done and not hasattr(loader, "load_state_dict") else loader

    def _loaders(self) -> list[tuple[str, Any]]:
        return [("train", self.trainer.train_loader), ("validation", self.trainer.validation_loader)]

    def _loader_states(self) -> dict[str, Any]:
        stated = [(name, getattr(loader, "state_dict", None)) for name, loader in self._loaders()]
        return {name: None if state_dict is None else state_dict() for name, state_dict in stated}

    def _sums(self) -> list[tuple[str, Metric]]:
        return [("loss", self.trainer.mean_loss), *self.trainer.metrics.items()]

    def _named_callbacks(self) -> list[tuple[str, Callback]]:
        """Callbacks by class, the second of one class as "Name.1": one more or less does not disturb the others."""
        seen: Counter[str] = Counter()
        named = []
        for callback in self.trainer.callbacks:
            kind = type(callback).__name__
            named.append((f"{kind}.{seen[kind]}" if seen[kind] else kind, callback))
            seen[kind] += 1
        return named
