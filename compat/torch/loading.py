"""`torch.utils.data`: data sets, samplers, and weft's loader, whose batches are made in this process."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ... import data
from ...backend.array.random import randint, randperm
from ...backend.tape.tensor import Tensor
from ...data import WeightedRandomSampler, get_worker_info
from .collating import default_collate, default_convert

__all__ = [
    "BatchSampler", "ChainDataset", "ConcatDataset", "DataLoader", "Dataset", "DistributedSampler", "IterableDataset",
    "RandomSampler", "Sampler", "SequentialSampler", "StackDataset", "Subset", "SubsetRandomSampler", "TensorDataset",
    "WeightedRandomSampler", "default_collate", "default_convert", "get_worker_info", "random_split",
]  # fmt: skip


class Dataset:
    """Samples by number."""

    def __class_getitem__(cls, _kind: Any) -> type:
        return cls

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset([self, other])


class TensorDataset(Dataset):
    """Rows of tensors.

    Parameters
    ----------
    *tensors : Tensor
        Of one length.
    """

    def __init__(self, *tensors: Tensor):
        if len(found := {len(t) for t in tensors}) > 1:
            raise ValueError(f"`tensors` must have one length, got {sorted(found)}")
        self.tensors = tensors

    def __getitem__(self, index: int) -> tuple:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class ConcatDataset(Dataset):
    """Data sets one after the other.

    Parameters
    ----------
    datasets : iterable of data sets
        Which.
    """

    def __init__(self, datasets: Any):
        self.datasets = list(datasets)
        self.cumulative_sizes = list(itertools.accumulate(map(len, self.datasets)))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"`index` must be below {len(self)}, got {index}")
        index %= len(self)
        k = int(np.searchsorted(self.cumulative_sizes, index, side="right"))
        return self.datasets[k][index - (self.cumulative_sizes[k - 1] if k else 0)]


class Subset(Dataset):
    """Some samples of a data set.

    Parameters
    ----------
    dataset : data set
        Of which.
    indices : sequence of int
        Which.
    """

    def __init__(self, dataset: Any, indices: Sequence[int]):
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]


def random_split(dataset: Any, lengths: Sequence[float], generator: Any = None) -> list[Subset]:
    """Parts of a data set, drawn at random without overlap.

    Parameters
    ----------
    dataset : data set
        Of which.
    lengths : sequence of int, or of fractions with the sum 1
        How large each is.
    generator : Generator, optional
        What the order is drawn from.

    Returns
    -------
    list of Subset
        The parts.

    Raises
    ------
    ValueError
        If the lengths do not add up to the data set's.
    """
    n = len(dataset)
    sizes = [int(size) for size in lengths]
    if abs(sum(lengths) - 1) < 1e-6 and n != 1:
        sizes = [int(n * fraction) for fraction in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
    if sum(sizes) != n:
        raise ValueError(f"`lengths` must add up to {n}, the data set's length, got {list(lengths)}")
    order = randperm(n, generator=generator).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends)]


class Sampler(Dataset):
    """An order of indices.

    Parameters
    ----------
    data_source : data set, optional
        Of which.
    """

    def __init__(self, data_source: Any = None):
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)


class SequentialSampler(Sampler):
    """Indices in their order."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))


class RandomSampler(Sampler):
    """Indices in an order of each epoch's own, or each drawn from all.

    Parameters
    ----------
    data_source : data set
        Of which.
    replacement : bool, default False
        Whether each is drawn from all.
    num_samples : int, optional
        How many an epoch has; as many as the data set if None.
    generator : Generator, optional
        What they are drawn from.
    """

    def __init__(
        self, data_source: Any, replacement: bool = False, num_samples: int | None = None, generator: Any = None
    ):
        super().__init__(data_source)
        self.replacement, self.generator = replacement, generator
        self.num_samples = len(data_source) if num_samples is None else num_samples

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        n, left = len(self.data_source), self.num_samples
        while left > 0:  # piece by piece: num_samples may be astronomical
            if self.replacement:
                order = randint(0, n, (min(left, 1024),), generator=self.generator).tolist()
            else:
                order = randperm(n, generator=self.generator).tolist()[:left]
            yield from order
            left -= len(order)


class SubsetRandomSampler(Sampler):
    """Some indices, in an order of each epoch's own.

    Parameters
    ----------
    indices : sequence of int
        Which.
    generator : Generator, optional
        What the order is drawn from.
    """

    def __init__(self, indices: Sequence[int], generator: Any = None):
        super().__init__(indices)
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        return (int(self.indices[i]) for i in randperm(len(self.indices), generator=self.generator).tolist())


class BatchSampler(Sampler):
    """Indices of another sampler, batch by batch.

    Parameters
    ----------
    sampler : iterable of int
        Where they come from.
    batch_size : int
        How many a batch has.
    drop_last : bool
        Whether a last batch that is smaller is left out.
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool):
        super().__init__(sampler)
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __len__(self) -> int:
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rest = iter(self.sampler)
        while batch := list(itertools.islice(rest, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch


class DistributedSampler(Sampler):
    """The indices of one process among several: all of them, as there is one.

    Parameters
    ----------
    dataset : data set
        Of which.
    num_replicas, rank : int, optional
        How many processes there are, and which this is.
    shuffle : bool, default True
        Whether in an order of each epoch's own.
    seed : int, default 0
        Of the order.
    drop_last : bool, default False
        PyTorch's; one process has no rest.
    """

    def __init__(
        self, dataset: Any, num_replicas: int | None = None, rank: int | None = None, shuffle: bool = True, seed: int = 0,
        drop_last: bool = False,
    ):  # fmt: skip
        super().__init__(dataset)
        if num_replicas not in (None, 1):
            raise NotImplementedError(
                f"`num_replicas` must be 1, got {num_replicas}; weft.distributed has samplers of parts"
            )
        self.shuffle, self.seed, self.epoch = shuffle, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Another order.

        Parameters
        ----------
        epoch : int
            Of which epoch.
        """
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = (
            np.random.default_rng(self.seed + self.epoch).permutation(len(self)) if self.shuffle else range(len(self))
        )
        return iter(map(int, order))


class IterableDataset(Dataset):
    """Samples one after the other."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"`{type(self).__name__}` must define __iter__(self)")


class ChainDataset(IterableDataset):
    """Iterable data sets, one after the other.

    Parameters
    ----------
    datasets : iterable of data sets
        Which.
    """

    def __init__(self, datasets: Any):
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.datasets)


class StackDataset(Dataset):
    """Data sets side by side.

    Parameters
    ----------
    *args, **kwargs : data set
        A sample is a tuple, or a dict, of one of each.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        self.datasets: Any = args or kwargs

    def __len__(self) -> int:
        return len(self.datasets[0] if isinstance(self.datasets, tuple) else next(iter(self.datasets.values())))

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, tuple):
            return tuple(d[index] for d in self.datasets)
        return {name: d[index] for name, d in self.datasets.items()}


class _Stream:
    """A loader of an iterable data set."""

    def __init__(
        self, dataset: Any, batch_size: int | None, drop_last: bool = False, collate_fn: Any = None, **_options: Any
    ):
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.collate_fn = collate_fn or (default_collate if batch_size is not None else default_convert)

    def __len__(self) -> int:
        n = len(self.dataset)
        return n if self.batch_size is None else n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if self.batch_size is None:
            yield from map(self.collate_fn, self.dataset)
            return
        rest = iter(self.dataset)
        while batch := list(itertools.islice(rest, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield self.collate_fn(batch)


_PLACES = ("shuffle", "sampler", "batch_sampler", "num_workers", "collate_fn", "pin_memory", "drop_last", "timeout")


class DataLoader(data.DataLoader):
    """weft's loader, in whose process batches are made however many workers are asked for: the batches are the same.

    Without workers, what samples draw from `random`, `numpy.random` and torch is the program's own, as in PyTorch; where workers
    are asked for, it is seeded for each batch. What a `collate_fn` returns stays as it is.
    """

    def __new__(cls, dataset: Any, batch_size: int | None = 1, *args: Any, **options: Any) -> Any:
        if isinstance(dataset, IterableDataset):
            return _Stream(dataset, batch_size, **dict(zip(_PLACES, args)), **options)
        return super().__new__(cls)

    def __init__(self, dataset: Any, batch_size: int | None = 1, *args: Any, **options: Any):
        options |= dict(zip(_PLACES, args))
        is_apart = bool(options.get("num_workers"))
        for word in ("num_workers", "persistent_workers", "prefetch_factor", "multiprocessing_context"):
            options.pop(word, None)
        is_batched = batch_size is not None or options.get("batch_sampler") is not None
        self._is_of_a_program = options.get("collate_fn") is not None
        if not self._is_of_a_program and not isinstance(dataset, data.ArrayDataset):
            options["collate_fn"] = default_collate if is_batched else default_convert
        options["shuffle"] = bool(options.get("shuffle"))
        super().__init__(dataset, batch_size, **{k: v for k, v in options.items() if k != "pin_memory_device"})
        self._make = dataclasses.replace(self._make, is_seeded=self._make.is_seeded and is_apart)

    def __class_getitem__(cls, _kind: Any) -> type:
        return cls

    def _deliver(self, batch: Any, key: tuple[int, int, int]) -> Any:
        return batch if self._is_of_a_program else super()._deliver(batch, key)
