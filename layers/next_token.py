"""The logits of the next token: of a model called as usual, or of a recorded step."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.array.creation import asarray
from ..backend.device.dtypes import float32, float64
from ..backend.modes.capture import capture
from ..backend.tape.tensor import Tensor
from . import functional as F
from .cache import KeyValueCache

__all__: list[str] = []

MANY = 96  # tokens, from which on recording the step that reads one is made up for


def logits_of(model: Any, tokens: np.ndarray, counts: np.ndarray | None, cache: Any) -> tuple[np.ndarray, Any]:
    """Logits (N, C) for what follows, in float64, and the cache: None once there are more tokens than the context."""
    if tokens.shape[1] > model.context:
        cache, tokens = None, tokens[:, -model.context :]
        counts = None if counts is None else counts[:, -model.context :]
    given, device = tokens if cache is None else tokens[:, cache.length :], model.output_weight().device
    mask = None if counts is None else asarray(counts, device=device)
    logits = _last(model, asarray(given, device=device), mask, cache)
    return logits.cpu().numpy().astype(np.float64), cache


def _last(model: Any, tokens: Tensor, mask: Tensor | None, cache: Any) -> Tensor:
    """The logits behind the last of these tokens."""
    return F.linear(model.features(tokens, mask, cache)[:, -1, :], model.output_weight())


def is_worth_recording(model: Any, cache: Any, count: int, room: int) -> bool:
    """Whether it pays, and whatever is given the cache can do with a Tensor for the place and masks of all its room."""
    if count < MANY or not isinstance(cache, KeyValueCache) or cache.max_length != room:
        return False
    modules = model._readers()
    readers = [model.features, *(module.forward for module in modules)]
    if not all(getattr(reader, "is_recordable", False) for reader in readers) or any(m._hooks for m in modules):
        return False
    weight = model.output_weight()
    return weight.device == "cpu" and weight.dtype in (float32, float64)


class RecordedToken:
    """One more token, as `capture` has it: each time the same NumPy calls, without what decides on them.

    The first tokens are read as usual; recording takes as long as some fifty of a small model.
    """

    def __init__(self, model: Any, cache: KeyValueCache, counts: np.ndarray | None):
        self.place = asarray(np.zeros(1, np.int64), device="cpu")
        mask = None if counts is None else asarray(counts, device="cpu")
        cache.follow(self.place)

        def step(token: Tensor) -> Tensor:
            return _last(model, token, mask, cache)

        self.step = capture(step, warmup=1)
        self.step.is_silent = True  # of what cannot be recorded, such as a model with hooks: it runs as usual

    def logits(self, token: np.ndarray, place: int) -> np.ndarray:
        self.place.data[0] = place
        return self.step(asarray(token, device="cpu")).numpy().astype(np.float64)
