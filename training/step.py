"""What a `Trainer` does with one batch: forward, loss, backward, clipping and update; on a GPU, as one launch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..backend.array.manipulation import astype
from ..backend.device.devices import kind
from ..backend.device.dtypes import is_real_floating
from ..backend.modes.autocast import autocast
from ..backend.modes.capture import capture as capture_step
from ..backend.tape.recording import active
from ..backend.tape.tensor import Tensor
from ..optimizers import GradScaler
from ..optimizers.arena import contiguous, runs_kernels
from ..optimizers.clipping import clip_grad_norm_
from .callbacks import Callback

__all__ = ["Step"]

# Shapes of batches that are recorded: that of full batches and that of the last one. Each recording keeps the memory
# of its intermediate results, so that batches of ever new shapes would fill a GPU.
RECORDINGS = 2


class Step:
    """The step of a `Trainer`, and the choice whether it is captured."""

    model: Any
    loss: Any
    optimizer: Any
    device: str
    callbacks: list[Callback]
    clip_grad_norm: float | None
    accumulate: int
    precision: str | None
    capture: bool | None
    metrics: dict[str, Any]
    scaler: GradScaler
    parameters: list[Tensor]
    current_loss: Tensor
    _pending: int
    _pending_batches: int
    _listeners: dict[str, list[Callback]]
    _captured: capture_step | None
    _recorded_settings: list[Any] | None
    _shapes: set[Any]

    # --- the step itself ----------------------------------------------------------------------------------------------
    def train_step(self, *batch: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The loss of a batch, the output if there are metrics, the gradient's norm if it is clipped; updates the model.

        All of it is work for the device: what is counted on the host is counted by `fit`.
        """
        output, loss = self.forward(batch)
        self.current_loss = loss.detach()
        self._ask("on_loss")
        if not self._pending:  # and not right after the update: until here the gradients it used can be looked at
            self.optimizer.zero_grad()
        n = batch[-1].shape[0]
        self.scaler.scale(loss if self.accumulate == 1 else loss * n).backward()
        norm = self._update(self._pending + n) if self._pending_batches + 1 == self.accumulate else None
        return self.current_loss, output.detach() if self.metrics else None, norm

    def forward(self, batch: tuple[Tensor, ...]) -> tuple[Any, Any]:
        """Output and loss of a batch. A half-precision output comes back in float32, which metrics compute with."""
        with self.autocast():
            output = self.model(*batch[:-1])
            loss = self.loss(output, batch[-1])
        is_half = self.precision is not None and output.dtype.itemsize < 4 and is_real_floating(output.dtype)
        is_half &= bool(self.metrics)  # the logits of a language model are gigabytes
        return astype(output.detach(), np.dtype(np.float32)) if is_half else output, loss

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which model and loss are called."""
        return nullcontext() if self.precision is None else autocast(self.precision)

    def _update(self, samples: int) -> Tensor | None:
        """Update with the gradients of so many samples; the norm of all gradients, if they are clipped."""
        if self.accumulate > 1:
            for g in contiguous([p.grad.data for p in self.parameters if p.grad is not None]):
                g /= samples
        norm = None
        if self.clip_grad_norm is not None or self._listeners["on_gradients"]:
            self.scaler.unscale_(self.optimizer)
        if self.clip_grad_norm is not None:
            norm = self.gradient_norm = clip_grad_norm_(self.parameters, self.clip_grad_norm)
        self._ask("on_gradients")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm

    # --- callbacks that look into it ----------------------------------------------------------------------------------
    def _listen(self) -> None:
        """Find the callbacks that do something in the loop over batches: the others cost nothing there."""
        names = ("on_batch_begin", "on_loss", "on_gradients", "on_batch_end")
        self._listeners = {name: [c for c in self.callbacks if _overrides(c, name)] for name in names}

    def _ask(self, name: str) -> None:
        """Call those that listen, except where what they would look at is not computed, but recorded."""
        recording = active()
        if recording is None or not recording.is_recording:
            for callback in self._listeners[name]:
                getattr(callback, name)(self)

    # --- capturing ----------------------------------------------------------------------------------------------------
    def _begin_steps(self) -> None:
        """Capture the step for this epoch, if it can be; one captured before is kept if nothing has changed for it."""
        obstacle = None if self.capture is False else self._obstacle()
        if self.capture and obstacle:
            raise ValueError(f"`capture=True` needs steps without the host, but {obstacle}")
        if self.capture is False or obstacle:
            self._end_steps()
            return
        settings = self._settings()
        if self._captured is None or settings != self._recorded_settings:
            self._captured = capture_step(self.train_step, strict=self.capture is True)
            self._recorded_settings, self._shapes = settings, set()

    def _end_steps(self) -> None:
        """Let go of what was recorded, and of its memory."""
        self._captured = self._recorded_settings = None
        self._shapes = set()

    def _run_step(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | None, Tensor | None]:
        if self._captured is not None:
            shapes = tuple(a.shape for a in batch)
            if shapes in self._shapes or len(self._shapes) < RECORDINGS:
                self._shapes.add(shapes)
                return self._captured(*batch)
        return self.train_step(*batch)

    def _obstacle(self) -> str | None:
        """What keeps a step from being captured."""
        if kind(self.device) not in ("cuda", "emulator"):
            return f"the device {self.device!r} has no captured steps"
        if self.accumulate > 1:
            return f"`accumulate` is {self.accumulate}: the steps between updates are not the same"
        for callback in self._listeners["on_loss"] + self._listeners["on_gradients"]:
            if callback.looks_inside:
                return f"the callback {type(callback).__name__} looks into them"
        for name, module in self.model.named_modules():
            if module._hooks is not None:
                return f"the module {name!r} ({type(module).__name__}) has hooks"
        dtypes = [p.dtype for p in self.parameters]
        if self.scaler.is_enabled() and not (self.optimizer.kernel and runs_kernels(self.device, *dtypes)):
            return f"whether {type(self.optimizer).__name__} leaves out an update for float16 is decided there"
        return None

    def _settings(self) -> list[Any]:
        """What a recording depends on, and code may change between epochs: modes, options, what is frozen."""
        settings: list[Any] = [self.clip_grad_norm, self.precision]
        for top in (self.model, self.loss):
            for module in top.modules() if hasattr(top, "modules") else ():
                plain = {k: v for k, v in vars(module).items() if v is None or isinstance(v, bool | int | float | str)}
                settings.append((module.training, plain))
        for group in self.optimizer.param_groups:
            settings.append([p.requires_grad for p in group["params"]])
        return settings


def _overrides(callback: Callback, name: str) -> bool:
    return getattr(type(callback), name) is not getattr(Callback, name)
