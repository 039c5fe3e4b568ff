"""`torch.utils.data`: data sets, samplers, and weft's loader, whose batches are made in this process."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ... import data
from ...backend.array.random import randint, randperm
from ...backend.tape.tensor import Tensor
from ...data import WeightedRandomSampler, default_collate, get_worker_info

__all__ = [
    "ConcatDataset", "DataLoader", "Dataset", "RandomSampler", "Sampler", "SequentialSampler", "Subset", "TensorDataset",
    "WeightedRandomSampler", "default_collate", "get_worker_info", "random_split",
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


class DataLoader(data.DataLoader):
    """weft's loader, in whose process batches are made however many workers are asked for: the batches are the same."""

    def __init__(self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None, **options: Any):
        for word in ("num_workers", "persistent_workers", "prefetch_factor", "multiprocessing_context"):
            options.pop(word, None)
        super().__init__(
            dataset, batch_size, bool(shuffle), **{k: v for k, v in options.items() if k != "pin_memory_device"}
        )

    def __class_getitem__(cls, _kind: Any) -> type:
        return cls
