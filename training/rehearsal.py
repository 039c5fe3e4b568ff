"""The validation tried on one batch before the first epoch, which may take hours: what would go wrong then does so now."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.array import random
from ..backend.array.creation import asarray
from ..backend.device.devices import to_numpy, waiting_is_meant
from ..backend.tape.autograd import no_grad
from ..layers.evaluating import evaluating
from ..layers.loss import CrossEntropyLoss, NLLLoss
from . import check

__all__ = ["rehearse"]


def rehearse(trainer: Any) -> None:
    """Evaluate on the first batch of validation data that lie in memory, and compare their labels with the model's classes.

    Random numbers that the model draws are drawn again later.

    Parameters
    ----------
    trainer : Trainer
        Whose `validation_loader` it is.

    Raises
    ------
    ValueError
        If a label is no class of the model. Besides, whatever model, loss and metrics say of the batch.
    """
    loader = trainer.validation_loader
    if not check.is_plain(loader) or loader.transform is not None:
        return
    arrays = loader.dataset.arrays
    batch = tuple(asarray(a[: loader.batch_size], device=trainer.device) for a in arrays)
    state = random.default_generator.get_state()
    try:
        if isinstance(trainer.loss, CrossEntropyLoss | NLLLoss):
            with waiting_is_meant():
                _check_classes(trainer, batch, to_numpy(arrays[-1]))
        trainer.evaluate([batch])
    except Exception as error:
        error.add_note("This is about `validation_loader`, which was tried on one batch before the first epoch.")
        raise
    finally:
        random.default_generator.set_state(state)


def _check_classes(trainer: Any, batch: tuple[Any, ...], labels: np.ndarray) -> None:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        return
    with evaluating(trainer.model), no_grad(), trainer.autocast():
        output = trainer.model(*batch[:-1])
    if getattr(output, "ndim", 0) != 2:
        return
    bad = np.flatnonzero((labels >= output.shape[1]) & (labels != trainer.loss.ignore_index))
    if len(bad):
        raise ValueError(
            f"`y of validation_loader` must hold classes in [0, {output.shape[1]}), those that the model has scores for, got "
            f"{labels[bad[0]]} in sample {int(bad[0])}"
        )
