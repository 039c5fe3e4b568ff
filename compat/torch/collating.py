"""From samples to a batch, as `torch.utils.data` does it: Tensors, whatever the samples hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...backend.array import creation
from ...backend.tape.tensor import Tensor
from ...data import collate

__all__ = ["default_collate", "default_convert"]


def default_convert(data: Any) -> Any:
    """NumPy's arrays and numbers as Tensors, in containers too.

    Parameters
    ----------
    data : object
        A sample.

    Returns
    -------
    object
        The same, with Tensors.
    """
    if collate.is_array(data):
        return creation.asarray(data)
    if isinstance(data, Mapping):
        return collate._mapping(data, {key: default_convert(entry) for key, entry in data.items()})
    return _like(data, map(default_convert, data)) if isinstance(data, tuple | list) else data


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch of a list of samples: Tensors, stacked along a new first axis, in the structure of a sample.

    Parameters
    ----------
    batch : sequence of samples
        Tensors, arrays, numbers, strings; dicts, tuples, named tuples and lists of these.

    Returns
    -------
    object
        Tensors, float64 of Python's floats; strings as they came; a plain tuple is a list.

    Raises
    ------
    ValueError
        If there is no sample, or samples differ in shape or length.
    TypeError
        If a sample holds something else.
    """
    if not len(batch):
        raise ValueError("`batch` must hold at least one sample, got none")
    first = batch[0]
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        return collate._mapping(first, {key: default_collate([s[key] for s in batch]) for key in first})
    if isinstance(first, tuple | list):
        collate._agree("length", "", [len(s) for s in batch])
        return _like(first, map(default_collate, zip(*batch)))
    if isinstance(first, float):
        return creation.tensor(list(batch), dtype=np.float64)
    found = collate.default_collate(batch)
    return found if isinstance(found, Tensor) else creation.asarray(found)


def _like(first: Any, parts: Any) -> Any:
    """Parts in a named tuple like the first sample; else in a list."""
    return type(first)(*parts) if hasattr(first, "_fields") else list(parts)
