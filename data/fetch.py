"""One batch of a data set: PyTorch's contract, `__getitem__` for a sample and `__getitems__` for a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import ArrayDataset
from .collate import default_collate, whole

__all__: list[str] = []


class Fetch:
    """Called with the indices of a batch (`batched=False`: with that of one sample), gives it as the data set has it."""

    def __init__(self, dataset: Any, collate_fn: Callable[[Any], Any] | None, batched: bool = True):
        self.dataset, self.collate_fn, self.batched = dataset, collate_fn, batched
        kind = type(dataset)
        self.at_once = gives_batches(kind)
        self.is_plain = (  # arrays that are indexed, no more
            batched
            and collate_fn is None
            and self.at_once
            and getattr(kind, "__getitems__", None) is ArrayDataset.__getitems__
        )

    def __call__(self, index: Any) -> Any:
        if self.is_plain:
            return self.dataset.__getitems__(index)
        if not self.batched:
            sample = self.dataset[index]
            return sample if self.collate_fn is None else self.collate_fn(sample)
        index = self._listed(index)
        if not self.at_once or (self.collate_fn is not None and isinstance(self.dataset, ArrayDataset)):
            samples = [self.dataset[i] for i in index]
            return (self.collate_fn or default_collate)(samples)
        batch = self.dataset.__getitems__(index)
        if self.collate_fn is not None:
            return self.collate_fn(batch)
        # PyTorch's `__getitems__` gives a list of samples.
        return default_collate(batch) if isinstance(batch, list) else whole(batch)

    def checked(self, index: Any) -> Any:
        """What a sampler gave for a batch, as `__call__` takes it; arrays are gathered with no look at the bounds."""
        if not self.is_plain:
            return index
        found, n = self.dataset.indices(index), len(self.dataset)
        if found.ndim != 1 or (found.size and not -n <= found.min() <= found.max() < n):
            raise IndexError(f"a sampler must give indices of the {n} samples, got {str(index)[:60]}")
        return found

    def _listed(self, index: Any) -> list[Any]:
        """A list of Python integers, or whatever a sampler gives for keys."""
        if isinstance(index, slice):
            return list(range(*index.indices(len(self.dataset))))
        return index.tolist() if isinstance(index, np.ndarray) else list(index)


def gives_batches(kind: type) -> bool:
    """Whether a class of data sets has `__getitems__`, and it speaks of the same samples as `__getitem__`.

    The nearer definition counts: a subclass that redefines `__getitem__` alone means single samples by it.
    """
    for base in kind.__mro__:
        if "__getitems__" in vars(base):
            return True
        if "__getitem__" in vars(base):
            return False
    return False
