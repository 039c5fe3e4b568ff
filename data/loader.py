"""DataLoader: batches of a data set, in an order that a seed decides, from a position that can be saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend.array.creation import asarray
from ..backend.array.random import Generator, default_generator
from ..backend.device.devices import canonical
from .arrays import ArrayDataset
from .prefetch import prefetch
from .staged import Staged

__all__ = ["DataLoader"]


@dataclass
class _Position:
    """Where a pass over the data stands: batches of this epoch that the consumer has received."""

    epoch: int = 0
    batch: int = 0
    begun: bool = False


class DataLoader:
    """Iterate over a data set in batches of Tensors.

    Each `for batch in loader` is one epoch: a Tensor, or a tuple of them, per batch; no batch shares memory with the data
    set.

    Parameters
    ----------
    dataset : object
        Anything with `len(dataset)` and `dataset[indices]`, where `indices` is a NumPy array of integers or
        (unshuffled) a slice; gives an array (B, …) or a tuple of them, as `ArrayDataset` does.
    batch_size : int, default 1
        Samples in a batch, ≥ 1.
    shuffle : bool, default False
        Whether each epoch has an order of its own.
    drop_last : bool, default False
        Whether a last batch that is smaller than the others is left out.
    seed : int, optional
        Decides the order when shuffling; None is drawn from `generator`.
    generator : Generator, optional
        What the seed is drawn from; None is the default generator.
    prefetch : int, default 2
        Batches prepared ahead in one background thread; 0 prepares each when it is asked for. Data that are
        resident on a device other than the CPU are never prefetched: there is nothing for the host to do.
    pin_memory : bool, optional
        Whether batches that go from the host to a GPU are gathered in page-locked memory, from where they are
        copied while the GPU computes; None means True. Batches for the CPU, and data that are resident on a device,
        are not concerned.
    device : str, optional
        Where the batches go; None is the device of the data set if it is resident on one, else the default device.
    transform : callable, optional
        Called with the inputs of each batch (the first array, raw) to give those that the model sees: a
        `Standardize`, say, which turns uint8 images into normalised float32. It runs in the background thread on
        NumPy arrays; if the batches go to another device, there, so that the narrow dtype is what travels.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    As `torch.utils.data.DataLoader`, with these differences: a data set is indexed by whole batches; the order of epoch
    e is a function of (`seed`, e) alone; the position can be saved and resumed; what the data set or the transform
    raises is raised when the batch concerned is due.

    Data that fit into a GPU's memory are best kept there: of `DataLoader(dataset.to("cuda"), …)` the host sends the
    order of each epoch, and gathering a batch is one launch per array. The batches are the same, bit for bit.

    Examples
    --------
    >>> data = weft.data.ArrayDataset(np.arange(10.0, dtype=np.float32), np.arange(10))
    >>> [y.tolist() for x, y in DataLoader(data, batch_size=4)]
    [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    >>> loader = DataLoader(data, batch_size=4, shuffle=True, seed=7)
    >>> sorted(i for x, y in loader for i in y.tolist()) == list(range(10))
    True
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        seed: int | None = None,
        generator: Generator | None = None,
        prefetch: int = 2,
        pin_memory: bool | None = None,
        device: str | None = None,
        transform: Callable[[Any], Any] | None = None,
    ):
        self.batch_size = _integer("batch_size", batch_size, 1)
        self.prefetch = _integer("prefetch", prefetch, 0)
        if not isinstance(pin_memory, bool | None):
            raise ValueError(f"`pin_memory` must be True, False or None, got {pin_memory!r}")
        if seed is None and shuffle:
            seed = int((generator or default_generator).integers(0, 2**63, ()))
        self.seed = _integer("seed", seed or 0, 0, 2**64)
        self.dataset, self.shuffle, self.drop_last, self.transform = dataset, bool(shuffle), bool(drop_last), transform
        self._resident = isinstance(dataset, ArrayDataset) and dataset.device != "cpu"
        self.device = canonical(dataset.device if device is None and self._resident else device)
        self.pin_memory = pin_memory
        is_staged = pin_memory is not False and not self._resident and Staged.serves(self.device)
        self._staged = Staged(dataset, self.device) if is_staged else None
        self._position = _Position()

    def __len__(self) -> int:
        """Batches per epoch."""
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """The batches of one epoch, or what is left of it after `load_state_dict`.

        A pass that was broken off counts as an epoch: the next one has an order of its own.
        """
        if self._position.begun:
            self._position = _Position(self._position.epoch + 1)
        self._position.begun = True
        return self._epoch(self._position)

    def _epoch(self, position: _Position) -> Iterator[Any]:
        with closing(self._batches(self._indices(position))) as batches:
            for batch in batches:
                position.batch += 1
                yield self._deliver(batch)
        if position is self._position:
            self._position = _Position(position.epoch + 1)

    def _batches(self, indices: Iterator[Any]) -> Any:
        if self._staged is not None:
            return self._staged.batches(indices, self.prefetch)
        return prefetch(self._fetch, indices, 0 if self._resident else self.prefetch)

    def _indices(self, position: _Position) -> Iterator[Any]:
        order = None
        if self.shuffle:
            # The upper half of Philox's 128-bit key is 0 for every stream that a user seeds with 64 bits.
            order = Generator(self.seed | (position.epoch + 1) << 64).permutation(len(self.dataset))
            order = self.dataset.indices(order) if self._resident else order
        for batch in range(position.batch, len(self)):
            part = slice(batch * self.batch_size, min((batch + 1) * self.batch_size, len(self.dataset)))
            yield part if order is None else order[part]

    def _fetch(self, index: Any) -> Any:
        """Gather one batch, in the background thread; transform it if it stays on the host."""
        batch = self.dataset[index]
        return self._transformed(batch) if self.device == "cpu" else batch

    def _deliver(self, batch: Any) -> Any:
        """Make Tensors of a batch, in the consumer's thread, which alone talks to a device."""
        if self._staged is None and self.device != "cpu":
            batch = _each(lambda a: asarray(a, device=self.device).data, batch)
        if self.device != "cpu":
            batch = self._transformed(batch)
        return _each(lambda a: asarray(a, device=self.device), batch)

    def _transformed(self, batch: Any) -> Any:
        if self.transform is not None:
            several = isinstance(batch, tuple | list)
            batch = (self.transform(batch[0]), *batch[1:]) if several else self.transform(batch)
        return _each(_own, batch)

    def state_dict(self) -> dict[str, int]:
        """Where the consumer stands, fit for JSON.

        Batches that were only prefetched don't count. In the body of the loop over the last batch of an epoch, the
        position is the end of that epoch.

        Returns
        -------
        dict of str to int
            Epoch, batches of it received, seed; and what they depend on.

        Examples
        --------
        >>> data = weft.data.ArrayDataset(np.arange(10.0, dtype=np.float32), np.arange(10))
        >>> DataLoader(data, batch_size=4).state_dict()
        {'epoch': 0, 'batch': 0, 'seed': 0, 'samples': 10, 'batch_size': 4, 'shuffle': False, 'drop_last': False}
        """
        return {"epoch": self._position.epoch, "batch": self._position.batch, "seed": self.seed, **self._division()}

    def _division(self) -> dict[str, int]:
        """What must be the same for a position to mean the same batches."""
        return {
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next iteration go on with the batch after the last one received when `state_dict` was called.

        Parameters
        ----------
        state : dict of str to int
            What `state_dict` returned.

        Raises
        ------
        ValueError
            If an entry is missing or out of range, or if this loader would not give the same batches.

        Examples
        --------
        >>> data = weft.data.ArrayDataset(np.arange(10.0, dtype=np.float32), np.arange(10))
        >>> loader, other = (DataLoader(data, batch_size=4) for _ in range(2))
        >>> _ = next(iter(loader))
        >>> other.load_state_dict(loader.state_dict())
        >>> [y.tolist() for x, y in other]
        [[4, 5, 6, 7], [8, 9]]
        """
        missing = [key for key in self.state_dict() if key not in state]
        if missing:
            raise ValueError(f"`state` must have the entries of DataLoader.state_dict, lacks {missing}")
        for key, value in self._division().items():
            if state[key] != value:
                raise ValueError(
                    f"`state` was saved with {key}={state[key]}, this loader has {key}={value}; "
                    f"resume with the same data and arguments"
                )
        epoch, batch = _integer("epoch", state["epoch"], 0), _integer("batch", state["batch"], 0, len(self) + 1)
        self.seed = _integer("seed", state["seed"], 0, 2**64)
        self._position = _Position(epoch, batch)


def _integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < low or (high and value >= high):
        limits = f"at least {low}" if high is None else f"in [{low}, {high})"
        raise ValueError(f"`{name}` must be an integer {limits}, got {value!r}")
    return int(value)


def _each(function: Callable[[Any], Any], batch: Any) -> Any:
    return tuple(map(function, batch)) if isinstance(batch, tuple | list) else function(batch)


def _own(array: Any) -> Any:
    """The array itself, or a copy if it is a view of the (read-only) data set."""
    return array.copy() if isinstance(array, np.ndarray) and not array.flags.writeable else array
