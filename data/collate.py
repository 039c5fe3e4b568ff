"""From samples to a batch: PyTorch's `default_collate`; and what is done to every array in a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any

import numpy as np

from ..backend.array.creation import asarray
from ..backend.array.manipulation import stack
from ..backend.device.numeric import check_numeric
from ..backend.tape.tensor import Tensor, device_of, from_python

__all__ = ["default_collate"]


def default_collate(batch: Sequence[Any]) -> Any:
    """One batch of a list of samples, as `torch.utils.data.default_collate`.

    Tensors and arrays are stacked along a new first axis, numbers become an array, strings stay a list; dicts, tuples,
    named tuples and lists are gone through, entry by entry, and keep their type.

    Parameters
    ----------
    batch : sequence of samples
        At least one; all of one structure, their arrays of one shape.

    Returns
    -------
    Tensor, array, or dict, tuple or list of these
        Tensors where the samples have Tensors, NumPy arrays where they have NumPy arrays or numbers; a `DataLoader`
        makes Tensors of all.

    Raises
    ------
    ValueError
        If there is no sample, or samples differ in shape, length or keys.
    TypeError
        If a sample holds something else; it is named, with its place.

    Notes
    -----
    Where it departs from PyTorch: Python floats become the default dtype, float32, as they do everywhere in weft; tuples stay
    tuples; an entry that only some of the samples have is an error.

    Examples
    --------
    >>> default_collate([{"x": np.zeros(2), "y": 3, "name": "a"}, {"x": np.ones(2), "y": 4, "name": "b"}])
    {'x': array([[0., 0.],
           [1., 1.]]), 'y': array([3, 4]), 'name': ['a', 'b']}
    """
    if not isinstance(batch, Sized) or not isinstance(batch, Iterable):
        raise TypeError(f"`batch` must be a list of samples, got {batch!r:.80}")
    if not len(batch):
        raise ValueError("`batch` must hold at least one sample, got none")
    return _collated(list(batch), "")


def _collated(samples: list[Any], where: str) -> Any:
    first = samples[0]
    if isinstance(first, str | bytes):
        return samples
    if isinstance(first, Mapping):
        _agree("keys", where, [list(s) if isinstance(s, Mapping) else type(s).__name__ for s in samples], as_sets=True)
        return _mapping(first, {key: _collated([s[key] for s in samples], f"{where}[{key!r}]") for key in first})
    if isinstance(first, tuple | list):
        _agree("length", where, [len(s) if isinstance(s, tuple | list) else type(s).__name__ for s in samples])
        return _sequence(first, [_collated(list(part), f"{where}[{i}]") for i, part in enumerate(zip(*samples))])
    try:
        return _stacked(samples, where)
    except TypeError as error:
        raise TypeError(f"samples{where}: {error}") from error


def _stacked(samples: list[Any], where: str) -> Any:
    first = samples[0]
    if isinstance(first, int | float | complex) and not isinstance(first, np.generic):
        return from_python(samples)
    if not is_array(first) and not hasattr(first, "__array__"):
        raise TypeError(
            f"a sample must be a tensor, array, number or string, or a dict, tuple or list of these, "
            f"got {type(first).__name__}; give `collate_fn`"
        )
    if all(isinstance(s, np.ndarray | np.generic) for s in samples):
        for s in samples:
            check_numeric(s, s)
    else:
        samples = [s if isinstance(s, Tensor) else asarray(s, device=device_of(s)) for s in samples]
    _agree("shape", where, [tuple(s.shape) for s in samples])
    return stack(samples) if isinstance(samples[0], Tensor) else np.stack(samples)


def _agree(what: str, where: str, found: list[Any], as_sets: bool = False) -> None:
    for i, other in enumerate(found):
        if other != found[0] and not (as_sets and set(other) == set(found[0])):
            raise ValueError(
                f"samples{where} must agree in their {what} to become a batch, got {found[0]} for the first and {other} for "
                f"number {i}; make them alike (padding, cropping), or give `collate_fn`"
            )


def is_array(entry: Any) -> bool:
    """Tensors, arrays of any library, NumPy's numbers."""
    if isinstance(entry, Tensor | np.ndarray | np.generic):
        return not isinstance(entry, str | bytes)
    return hasattr(entry, "__dlpack__") or device_of(entry) != "cpu"


def each(function: Callable[[Any], Any], batch: Any) -> Any:
    """The same batch with `function` of every array in it; whatever else is there stays as it is.

    >>> each(lambda a: a + 1, {"x": np.arange(2), "names": ["a", "b"]})
    {'x': array([1, 2]), 'names': ['a', 'b']}
    """
    if is_array(batch):
        return function(batch)
    if isinstance(batch, Mapping):
        return _mapping(batch, {key: each(function, entry) for key, entry in batch.items()})
    if isinstance(batch, tuple | list):
        return _sequence(batch, [each(function, entry) for entry in batch])
    return batch


def with_first(function: Callable[[Any], Any], batch: Any) -> Any:
    """The same batch with `function` of its first entry; of all of it, if it is no sequence."""
    if isinstance(batch, tuple | list):
        return _sequence(batch, [function(batch[0]), *batch[1:]])
    return function(batch)


def whole(batch: Any) -> Any:
    """A batch that a data set gave at once: lists of numbers in it are arrays.

    >>> whole(([0.5, 1.5], {"y": [1, 2], "name": ["a", "b"]}))
    (array([0.5, 1.5], dtype=float32), {'y': array([1, 2]), 'name': ['a', 'b']})
    """
    if isinstance(batch, Mapping):
        return _mapping(batch, {key: whole(entry) for key, entry in batch.items()})
    if isinstance(batch, tuple):
        return _sequence(batch, [whole(entry) for entry in batch])
    if isinstance(batch, list):
        return batch if batch and all(isinstance(entry, str | bytes) for entry in batch) else from_python(batch)
    return asarray(batch, device="cpu") if hasattr(batch, "__array__") and not is_array(batch) else batch


def _mapping(like: Mapping[Any, Any], entries: dict[Any, Any]) -> Any:
    if type(like) is dict:
        return entries
    try:
        made: Any = copy.copy(like)  # keeps what the constructor does not tell, a `defaultdict`'s factory say
        made.update(entries)
    except (AttributeError, TypeError):
        return entries
    return made


def _sequence(like: Any, entries: list[Any]) -> Any:
    if hasattr(like, "_fields"):
        return type(like)(*entries)
    return entries if isinstance(like, list) else tuple(entries)
