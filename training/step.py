"""One batch: forward, loss, backward, clipping and update; on a GPU, as one launch, and on a CPU as one list of calls."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

from ..backend.device import ranks
from ..backend.device.devices import kind
from ..backend.modes.capture import capture as capture_step
from ..backend.tape.recording import active
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Tensor
from ..optimizers import GradScaler, Optimizer
from ..optimizers.arena import contiguous, runs_kernels
from ..optimizers.clipping import clip_grad_norm_
from .listeners import Listeners

__all__ = ["Batch", "Step", "StepResult"]

Batch = tuple[Tensor, ...]  # inputs of the model, and as the last one the target

# Shapes of batches that are recorded: that of full batches and that of the last one. Each recording keeps the memory
# of its intermediate results, so that batches of ever new shapes would fill a GPU.
RECORDINGS = 2
# On a CPU a step is recorded, unless asked for, where calls are what costs: of models with at most so many parameters, after so
# many batches, by which a recording, which takes as long as tens of small steps, is sure to pay. Eager against captured,
# one thread, Adam: 16-32-10 with batches of 16 2.5 times, 64-128-128-10 with 32 1.5, 784-128-10 with 64 1.15,
# 784-512-256-10 with 128 1.08.
SMALL = 1 << 19
BATCHES = 50


class StepResult(NamedTuple):
    """What a `Step` gives for a batch: Tensors that nobody has waited for yet.

    Parameters
    ----------
    loss : Tensor
        () of the batch.
    output : Tensor or None
        (N, …) of the model, or None where nobody wants it (`Step.keeps_output`).
    gradient_norm : Tensor or None
        () of the whole gradient before clipping; None without clipping or without an update.
    samples : int
        N.
    updated : bool
        Whether the parameters were updated, or the gradients wait for those of other batches.

    Examples
    --------
    >>> StepResult(weft.tensor(0.5), None, None, samples=16, updated=True).loss
    tensor(0.5)
    """

    loss: Tensor
    output: Any
    gradient_norm: Tensor | None
    samples: int
    updated: bool


class Step:
    """Forward, loss, backward and, once in `accumulate` batches, an update of the parameters.

    With losses lᵢ that are means over the nᵢ samples of batches i = 1 … `accumulate`, the update's gradient is that of
    one batch of all samples: g = Σᵢ nᵢ ∇lᵢ / Σᵢ nᵢ. It is clipped to the norm `clip_grad_norm`: g ← g · min(1, c / ‖g‖).
    `update` is all that happens between backward and the next batch.

    Parameters
    ----------
    forward : function of a batch
        Gives the model's output and the loss, a scalar Tensor.
    optimizer : Optimizer
        Its parameters are those that are trained.
    scaler : GradScaler, optional
        Scales the loss, for float16. By default it is left as it is.
    clip_grad_norm : float, optional
        Greatest norm of the whole gradient. By default it is not clipped.
    accumulate : int, default 1
        Batches per update.
    capture : bool, optional
        Whether a step is recorded and replayed, as `Trainer` says.
    listeners : Listeners, optional
        What is called at "on_loss" and "on_gradients".

    Attributes
    ----------
    parameters : list of Tensor
        The optimizer's, as they were when `begin_fit` was called.
    current_loss : Tensor
        () of the last batch.
    gradient_norm : Tensor or None
        () at the last update, before clipping.
    keeps_output : bool
        Whether results have the model's output.
    waiting_batches, waiting_samples : int
        Those whose gradients wait for an update.

    Examples
    --------
    >>> w = weft.Parameter([1.0])
    >>> step = Step(lambda batch: (w * batch[0], (w * batch[0]).sum()), optim.SGD([w], lr=0.5))
    >>> step.begin_fit()
    >>> result = step((weft.tensor([3.0]), weft.tensor([0.0])))
    >>> result.loss, result.updated, w.tolist()
    (tensor(3.), True, [-0.5])
    """

    current_loss: Tensor
    spread: Any = None  # the model over all processes, if there are others
    _read_by_steps = "forward", "clip_grad_norm", "keeps_output", "optimizer", "scaler"
    _captured: capture_step | None
    _shapes: set[tuple[tuple[int, ...], ...]]  # of batches, those that are recorded
    _left: int  # batches that are run as usual before one is recorded
    _model: Any
    _device: str

    def __init__(
        self,
        forward: Callable[[Batch], tuple[Any, Tensor]],
        optimizer: Optimizer,
        *,
        scaler: GradScaler | None = None,
        clip_grad_norm: float | None = None,
        accumulate: int = 1,
        capture: bool | None = None,
        listeners: Listeners | None = None,
    ):
        self.forward, self.optimizer = forward, optimizer
        self.scaler = GradScaler(enabled=False) if scaler is None else scaler
        self.clip_grad_norm, self.accumulate, self.capture = clip_grad_norm, accumulate, capture
        self.listeners = Listeners() if listeners is None else listeners
        self.parameters: list[Tensor] = []
        self.gradient_norm: Tensor | None = None
        self.keeps_output = True
        self.waiting_batches = self.waiting_samples = 0
        self.release()

    # --- the step itself ----------------------------------------------------------------------------------------------
    def __call__(self, batch: Batch) -> StepResult:
        """Train on a batch, on the device where the parameters are."""
        step = self.train_step if self._captured is None else self._captured_or_not(batch)
        loss, output, norm = step(*batch)
        self.current_loss = loss
        n = batch[-1].shape[0] if ranks.share is None else ranks.share.total
        self.waiting_batches += 1
        self.waiting_samples += n
        updated = self.waiting_batches == self.accumulate
        if updated:
            self.gradient_norm = norm
            self.waiting_batches = self.waiting_samples = 0
        return StepResult(loss, output, norm, n, updated)

    def train_step(self, *batch: Tensor) -> tuple[Tensor, Any, Tensor | None]:
        """What the device does for a batch; what the host counts is counted by `__call__`.

        Parameters
        ----------
        *batch : Tensor
            Inputs of the model and, as the last one, the target.

        Returns
        -------
        tuple
            The first three fields of `StepResult`.
        """
        if self._captured is not None and (recording := active()) is not None:
            recording.ends_with(self._obstacle)  # a hook, say, that came during the epoch
        is_last = self.spread is None or self.waiting_batches + 1 == self.accumulate
        with nullcontext() if is_last else self.spread.no_sync():  # what processes have is added up once
            output, loss = self.forward(batch)
        self.current_loss = loss.detach()
        self._notify("on_loss")
        if not self.waiting_samples:  # not right after the update: until here the gradients it used can be looked at
            self.optimizer.zero_grad()
        n, weight, total = batch[-1].shape[0], 1.0, batch[-1].shape[0]
        if ranks.share is not None:  # gradients are means over processes, which count as much as they have samples
            weight, total = ranks.group.size, ranks.share.total
            weight = weight * n / max(1, total) if self.accumulate == 1 else weight
        weight = weight if self.accumulate == 1 else weight * n
        self.scaler.scale(loss if weight == 1 else loss * weight).backward()
        norm = None
        if self.waiting_batches + 1 == self.accumulate:
            norm = self.update(self.waiting_samples + total)
        return self.current_loss, output.detach() if self.keeps_output else None, norm

    def update(self, samples: int) -> Tensor | None:
        """Update the parameters with the gradients that backward has accumulated.

        Parameters
        ----------
        samples : int
            How many they are of.

        Returns
        -------
        Tensor or None
            () norm of the whole gradient before clipping, if it is clipped.
        """
        if self.accumulate > 1:
            for g in contiguous([p.grad.data for p in self.parameters if p.grad is not None]):
                g /= samples
                changed(g)
        norm = None
        if self.clip_grad_norm is not None or self.listeners.to("on_gradients"):
            self.scaler.unscale_(self.optimizer)
        if self.clip_grad_norm is not None:
            clip = getattr(
                self.optimizer, "clip_grad_norm_", None
            )  # of an optimizer that has parts of the gradients alone
            norm = clip(self.clip_grad_norm) if clip else clip_grad_norm_(self.parameters, self.clip_grad_norm)
            self.gradient_norm = norm
        self._notify("on_gradients")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm

    def flush(self) -> bool:
        """Update with what `accumulate` has left over at the end of an epoch.

        Returns
        -------
        bool
            Whether there was anything.
        """
        if not self.waiting_samples:
            return False
        if self.spread is not None:
            self.spread.reduce_gradients()
        self.update(self.waiting_samples)
        self.waiting_batches = self.waiting_samples = 0
        return True

    def _notify(self, event: str) -> None:
        """Notify the listeners, except where what they would look at is not computed, but recorded."""
        recording = active()
        if recording is None or not recording.is_recording:
            self.listeners.notify(event)

    # --- capturing ----------------------------------------------------------------------------------------------------
    def begin_fit(self) -> None:
        """Find the parameters; forget gradients that wait for an update."""
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.waiting_batches = self.waiting_samples = 0

    def begin_epoch(self, model: Any, device: str, *, keeps_output: bool) -> None:
        """Capture the step, if it can be; one captured before is kept.

        Parameters
        ----------
        model : Module
            What `forward` calls.
        device : str
            Where the batches will be.
        keeps_output : bool
            Whether results are to have the model's output.

        Raises
        ------
        ValueError
            If `capture` is True and something keeps the step from being captured.
        """
        self.keeps_output, self._model, self._device = keeps_output, model, device
        obstacle = None if self.capture is False else self._obstacle()
        if self.capture and obstacle:
            raise ValueError(f"`capture=True` needs steps without the host, but {obstacle}")
        if self.capture is False or obstacle:
            self.release()
            return
        if self._captured is None:
            self._captured = capture_step(self.train_step, strict=self.capture is True)
            self._captured.variants = RECORDINGS
            self._captured.is_silent = kind(device) == "cpu"
            self._left = BATCHES if kind(device) == "cpu" and self.capture is None else 0

    def __getstate__(self) -> dict[str, Any]:
        """For `copy` and `pickle`: a recording is of this step's memory, and a copy makes its own."""
        return vars(self) | {"_captured": None, "_shapes": set()}

    def release(self) -> None:
        """Let go of what was recorded, and of its memory."""
        self._captured, self._shapes, self._left = None, set(), 0

    def _captured_or_not(self, batch: Batch) -> Callable[..., tuple[Tensor, Any, Tensor | None]]:
        if self._left:
            self._left -= 1
            return self.train_step
        share = ranks.share
        if share is not None and share.count * ranks.group.size != share.total:  # its weight is not what was recorded
            return self.train_step
        shapes = tuple(a.shape for a in batch)
        if self._captured is None or (shapes not in self._shapes and len(self._shapes) == RECORDINGS):
            return self.train_step
        self._shapes.add(shapes)
        return self._captured

    def _obstacle(self) -> str | None:
        """What keeps a step from being captured."""
        device = self._device
        if kind(device) not in ("cpu", "cuda", "emulator"):
            return f"the device {device!r} has no captured steps"
        if kind(device) == "cpu" and self.capture is None and sum(p.size for p in self.parameters) > SMALL:
            return "it would hardly be faster"
        if kind(device) == "cpu" and ranks.group is not None:
            return "several processes exchange gradients in it"
        if self.accumulate > 1:
            return f"`accumulate` is {self.accumulate}: the steps between updates are not the same"
        for callback in self.listeners.to("on_loss") + self.listeners.to("on_gradients"):
            if callback.looks_inside:
                return f"the callback {type(callback).__name__} looks into them"
        for name, module in self._model.named_modules():
            if module._hooks is not None:
                return f"the module {name!r} ({type(module).__name__}) has hooks"
        dtypes = [p.dtype for p in self.parameters]
        if (
            self.scaler.is_enabled()
            and kind(device) != "cpu"
            and not (self.optimizer.kernel and runs_kernels(device, *dtypes))
        ):
            return f"whether {type(self.optimizer).__name__} leaves out an update for float16 is decided there"
        return None
