"""Where did the NaN come from? The answer is searched for only once there is one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend.array import random
from ..backend.device import faults, ranks
from ..backend.device.devices import kind, namespace_of, to_numpy, waiting_is_meant
from ..backend.device.dtypes import is_integral, is_real_floating
from ..backend.tape.autograd import no_grad
from ..backend.tape.tensor import Tensor, innermost
from ..layers import Embedding
from .callbacks import Callback
from .running import Running

__all__ = ["NonFiniteError", "StopOnNaN"]


class NonFiniteError(ArithmeticError):
    """The loss has become NaN or infinite; the message names the layer where it began.

    Examples
    --------
    >>> model = nn.Linear(1, 1)
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = weft.training.Trainer(model, nn.MSELoss(), optimizer, callbacks=[StopOnNaN()])
    >>> trainer.fit([([[np.nan]], [[1.0]])])
    Traceback (most recent call last):
        ...
    weft.training.nonfinite.NonFiniteError: the loss is nan at epoch 1, batch 1: the input of this batch is not finite; ...
    """


class StopOnNaN(Callback):
    """Raises NonFiniteError when the loss is NaN or infinite, and says where that began.

    All that is done while all is well is to look at the loss. Then:

    - If the batch is not finite, or has a class or an index that is none, which losses and embeddings on a GPU answer
      with NaN, the message says so.
    - If a weight is not finite, the last update did it: the message names the last layer (of those in use before the
      loss) whose gradient was not finite, or says that the gradients were finite and the step was too long.
    - Otherwise the batch is run again, with the same random numbers, and a hook on every layer: the message names the
      first whose output is not finite, or says that it is the loss itself (the logarithm of 0, for one).

    A captured step (see `Trainer`) is over when its loss can be looked at. If its update has left weights that are not
    finite, where that began cannot be told any more: `Trainer(capture=False)` can.

    The weights are left as they are; a checkpoint from before is what to go back to.

    Parameters
    ----------
    every : int, optional
        Batches from one look at the loss to the next. By default 1 on a CPU, and 50 elsewhere, since looking waits for
        the device.

    Raises
    ------
    ValueError
        If `every` is less than 1.

    Examples
    --------
    >>> model = nn.Linear(1, 1)
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = weft.training.Trainer(model, nn.MSELoss(), optimizer, callbacks=[StopOnNaN()])
    >>> len(trainer.fit([(weft.ones((2, 1)), weft.ones((2, 1)))], epochs=2))
    2
    """

    looks_inside = False

    def __init__(self, every: int | None = None):
        if every is not None and (not isinstance(every, int) or isinstance(every, bool) or every < 1):
            raise ValueError(f"`every` must be at least 1, got {every!r}")
        self.every = every
        self._generator_state: dict[str, int] = {}
        self._has_checked = False

    def on_batch_begin(self, trainer: Running) -> None:
        self._generator_state = random.default_generator.get_state()
        self._has_checked = False

    def on_loss(self, trainer: Running) -> None:
        self._has_checked = True
        self._check_loss(trainer, trainer.batch, is_over=False)

    def on_batch_end(self, trainer: Running) -> None:
        if not self._has_checked:  # the step was replayed
            self._check_loss(trainer, trainer.batch - 1, is_over=True)

    def _check_loss(self, trainer: Running, batch: int, *, is_over: bool) -> None:
        every = self.every or (1 if kind(trainer.device) == "cpu" else 50)
        if batch % every:
            return
        with waiting_is_meant():
            told = None
            try:
                value = trainer.current_loss.item()
            except IndexError as error:  # a class or an index that is none: below, with batch and layer
                value, told = math.nan, error
            if not math.isfinite(value):
                where = f"epoch {trainer.epoch + 1}, batch {batch + 1}"
                raise NonFiniteError(f"the loss is {value} at {where}: {self._explanation(trainer, is_over)}") from told

    def _explanation(self, trainer: Running, is_over: bool) -> str:
        for i, x in enumerate(trainer.current_batch):
            if is_real_floating(x.dtype) and not _is_finite(x):
                what = "the target" if i == len(trainer.current_batch) - 1 else "the input"
                return f"{what} of this batch is not finite; check the data"
        if ranks.group is not None:  # to run it again would be to do alone what takes all
            return f"it began in process {ranks.group.rank}; one process alone would say in which layer"
        layer, wrong = self._run_again(trainer)
        if wrong is not None:
            return f"{wrong}; check the data"
        names = {id(p): name for name, p in trainer.model.named_parameters()}
        nonfinite = [p for p in trainer.model.parameters() if not _is_finite(p)]
        if nonfinite and is_over:
            return f"so is `{names[id(nonfinite[0])]}` after its update; Trainer(capture=False) finds where that began"
        if nonfinite:
            gradients = [p for p in trainer.model.parameters() if p.grad is not None and not _is_finite(p.grad)]
            if gradients:  # NaN spreads from the loss backwards: it began nearest to the loss
                name = names[id(gradients[-1])]
                return f"the gradient of `{name}` was not finite at the last update; try clip_grad_norm"
            return f"the last update made `{names[id(nonfinite[0])]}` overflow; lower the learning rate"
        if layer is None:
            return "all layers gave finite outputs, so it began in the loss itself"
        return f"it began in the output of {layer}, whose inputs were finite"

    def _run_again(self, trainer: Running) -> tuple[str | None, str | None]:
        """The first layer whose output is not finite, and what is said of an index that is none.

        The current batch is run again, all modules being watched: an outer one ends after those inside it.
        """
        found: list[str] = []
        wrong: list[str] = []

        def watch(name: str) -> Callable[..., None]:
            def hook(module: Any, args: Any, output: Any) -> None:
                faults.forget()  # it is looked for here
                layer = f"`{name}` ({type(module).__name__})" if name else f"the model ({type(module).__name__})"
                if isinstance(module, Embedding) and (bad := _outside(args[0], module.num_embeddings)):
                    wrong.append(f"{layer} was given the index {bad}, and has rows 0 … {module.num_embeddings - 1}")
                outputs = output if isinstance(output, tuple | list) else (output,)
                if not all(_is_finite(o) for o in outputs if isinstance(o, Tensor)):
                    found.append(layer)

            return hook

        handles = [module.register_forward_hook(watch(name)) for name, module in trainer.model.named_modules()]
        after = random.default_generator.get_state()
        random.default_generator.set_state(self._generator_state)
        *inputs, target = trainer.current_batch
        output = None
        try:
            with no_grad(), np.errstate(all="ignore"), trainer.autocast():
                output = trainer.model(*inputs)
        except IndexError as error:  # outside of a recording the emulator looks at indices
            wrong.append(str(error))
        finally:
            random.default_generator.set_state(after)
            for handle in handles:
                handle.remove()
        shape: tuple[int, ...] = getattr(output, "shape", ())
        if not wrong and len(shape) > 1 and target.shape == shape[:1] + shape[2:] and is_integral(target.dtype):
            ignored = getattr(trainer.loss, "ignore_index", -100)
            if bad := _outside(target, shape[1], ignored):
                wrong.append(f"the target holds {bad}, which is no class: they are 0 … {shape[1] - 1}")
        return found[0] if found else None, wrong[0] if wrong else None


def _outside(indices: Tensor, count: int, ignored: int | None = None) -> str | None:
    """The first of the indices that is not in [0, count), and where it stands."""
    x = to_numpy(innermost(indices))
    bad = np.flatnonzero(((x < 0) | (x >= count)) & (x != ignored))
    return f"{x.flat[bad[0]]} at position {int(bad[0])}" if len(bad) else None


def _is_finite(t: Tensor) -> bool:
    if not is_real_floating(t.dtype):
        return True
    xp = namespace_of(t.data)
    return bool(xp.all(xp.isfinite(t.data)))
