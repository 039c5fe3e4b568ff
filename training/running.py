"""What callbacks, and what is saved of a run, may rely on: the part of a `Trainer` that others see."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from ..backend.tape.tensor import Tensor
from ..layers import Module
from ..optimizers import GradScaler, Optimizer
from .metrics.metric import Mean
from .progress import Progress

__all__ = ["Running"]


class Running(Protocol):
    """A `Trainer` while it trains, as its callbacks see it; `Trainer` says what each attribute is."""

    model: Module
    loss: Any
    optimizer: Optimizer
    scheduler: Any
    scaler: GradScaler
    callbacks: list[Any]
    parameters: list[Tensor]
    metrics: dict[str, Any]
    mean_loss: Mean
    device: str
    progress: Progress
    epoch: int
    epochs: int
    step: int
    batch: int
    samples: int
    seconds: float
    row: dict[str, float]
    history: list[dict[str, float]]
    current_batch: Any
    current_loss: Tensor
    gradient_norm: Tensor | None
    stopping: str | None
    train_loader: Any
    validation_loader: Any
    stepper: Any
    limits: Any

    @property
    def is_between_updates(self) -> bool:
        """Whether the last batch was followed by an update."""

    def stop(self, reason: str) -> None:
        """End the training after this batch."""

    def log(self, **values: float) -> None:
        """Put numbers into the row of this epoch."""

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision in which batches are computed."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what a checkpoint holds."""
