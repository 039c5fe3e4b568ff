"""DataLoader: batches of a data set, in an order that a seed decides, from a position that can be saved."""

from __future__ import annotations

import operator
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..backend.array.creation import asarray
from ..backend.array.random import Generator, generator_of
from ..backend.device.devices import canonical
from ..backend.device.parallel import MOST
from ..backend.device.ranks import Share, share_of
from .arrays import ArrayDataset
from .augment.transform import Augmentation, batch_generator
from .collate import each, with_first
from .fetch import Fetch
from .prefetch import prefetch
from .staged import Staged
from .workers import Task, Workers, seeded

__all__ = ["DataLoader"]

# What `repr` says, besides the data set and the size of a batch, where it is not 0, False or None.
_SHOWN = (
    "shuffle",
    "seed",
    "sampler",
    "batch_sampler",
    "drop_last",
    "num_workers",
    "collate_fn",
    "transform",
    "device",
)


_LEFT: list[
    Workers
] = []  # in a forked process, those of its parent: to end them would be to wait for threads left there


@dataclass
class _Position:
    """Where a pass over the data stands: batches of this epoch that the consumer has received."""

    epoch: int = 0
    batch: int = 0
    begun: bool = False


@dataclass(frozen=True)
class _Make:
    """Makes the batch of a task, where data are loaded: here, in the background thread, or in a worker process."""

    fetch: Fetch
    transform: Callable[[Any], Any] | None
    is_seeded: bool  # in this process, whose random numbers are others' too

    def __call__(self, task: Task) -> Any:
        with seeded(task) if self.is_seeded else nullcontext():
            batch = self.fetch(task.index)
            return each(_own, _transformed(self.transform, batch, (task.seed, task.epoch, task.number)))


class DataLoader:
    """Iterate over a data set in batches of Tensors.

    Each `for batch in loader` is one epoch. A batch has the structure of a sample (a tensor, a tuple, a named tuple, a
    dict …), with Tensors in the place of arrays and numbers.

    Parameters
    ----------
    dataset : object
        With `len(dataset)`, and `dataset[i]`, one sample, for an integer i. If its class has `__getitems__` as well, that
        is called with the list of a batch's indices: a list that it returns is one of samples, anything else the
        batch itself: an array (B, …), or a tuple or dict of them, as `ArrayDataset` gives.
    batch_size : int or None, default 1
        Samples in a batch, ≥ 1; None gives single samples, not collated.
    shuffle : bool, default False
        Whether each epoch has an order of its own.
    sampler : iterable of int, optional
        The indices of an epoch, in its order; iterated anew for each.
    batch_sampler : iterable of lists of int, optional
        The indices of each batch; instead of `batch_size`, `shuffle`, `sampler` and `drop_last`. Of either kind of sampler,
        `set_epoch(e)` is called before epoch e, if it has it: the order may then differ from epoch to epoch, and be resumed.
    num_workers : int, default 0
        Processes that make batches, each with a copy of the data set; 0 makes them in this process. The batches are
        the same however many there are.
    collate_fn : callable, optional
        Makes a batch of the list of its samples (of what `__getitems__` returns, if that is the data set's own);
        `default_collate` if None.
    pin_memory : bool, optional
        Whether batches that go from the host to a GPU are gathered in page-locked memory, from where they are
        copied while the GPU computes; None means True. Batches for the CPU, and data that are resident on a device,
        are not concerned.
    drop_last : bool, default False
        Whether a last batch that is smaller than the others is left out.
    timeout : float, default 0
        Seconds that a worker may take for a batch; 0 is no limit.
    worker_init_fn : callable, optional
        Called in each worker with its number before it loads anything; see `get_worker_info`.
    multiprocessing_context : str or context, optional
        How workers are started; None is "fork" on Linux and Python's default elsewhere.
    generator : Generator, optional
        What the seed is drawn from; None is the default generator.
    prefetch_factor : int, optional
        Batches that each worker prepares ahead; None means 2.
    persistent_workers : bool, default False
        Whether workers are kept from epoch to epoch, with the data set as it was when they were started.
    seed : int, optional
        Decides the order when shuffling, and what is drawn at random while samples are made; None is drawn from
        `generator` where one of them is concerned.
    prefetch : int, optional
        Batches prepared ahead in one background thread; 0 prepares each when it is asked for. None is 2 for an
        `ArrayDataset`, and 0 for data sets of one's own, whose code need not be fit for threads. Data that are
        resident on a device other than the CPU are never prefetched: there is nothing for the host to do.
    device : str, optional
        Where the batches go; None is the device of the data set if it is resident on one, else the default device.
    transform : callable, optional
        Called with the inputs of each batch (its first entry, raw) to give those that the model sees: a
        `Standardize`, say, which turns uint8 images into normalised float32. It runs where batches are made, on
        NumPy arrays; if the batches go to another device, there, so that the narrow dtype is what travels. An
        `augment.Augmentation` is given the whole batch, so that labels, masks and boxes change along, and random
        numbers that depend on (`seed`, epoch, batch) alone.

    Raises
    ------
    ValueError
        If a parameter is out of range, or two of them exclude each other.
    TypeError
        If the data set has no `__getitem__` or `__len__`, or a function is none.

    Notes
    -----
    As `torch.utils.data.DataLoader`, with these differences: the order of epoch e is a function of (`seed`, e) alone;
    so is what a data set draws from `random`, `numpy.random` and weft's default generator for batch b one of
    (`seed`, e, b), in whatever process (in a background thread, `prefetch` ≥ 1, nothing is seeded), and nobody else's random
    numbers move by it; the position can be saved and resumed (with a `sampler`, as far as it gives the same order
    again); what the data set or the transform raises is raised when the batch concerned is due.

    A process that was forked within a pass cannot go on with it where threads or workers prepare batches (RuntimeError),
    and can begin one of its own.

    A class that redefines `__getitem__` without `__getitems__` is asked for single samples, whatever it inherits.

    Data that fit into a GPU's memory are best kept there: of `DataLoader(dataset.to("cuda"), …)` the host sends the
    order of each epoch, and gathering a batch is one launch per array. The batches are the same, bit for bit.

    Examples
    --------
    >>> data = weft.data.ArrayDataset(np.arange(10.0, dtype=np.float32), np.arange(10))
    >>> [y.tolist() for x, y in DataLoader(data, batch_size=4)]
    [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    >>> loader = DataLoader(data, batch_size=4, shuffle=True, seed=7)
    >>> loader
    DataLoader(ArrayDataset((10,) float32, (10,) int64), batch_size=4, shuffle=True, seed=7, device='cpu')
    >>> sorted(i for x, y in loader for i in y.tolist()) == list(range(10))
    True

    A data set of one's own gives one sample at a time:

    >>> class Squares:
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, i):
    ...         return {"x": np.full(2, i), "y": i * i}
    >>> next(iter(DataLoader(Squares(), batch_size=3)))["y"]
    tensor([0, 1, 4])
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = False,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool | None = None,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        seed: int | None = None,
        prefetch: int | None = None,
        device: str | None = None,
        transform: Callable[[Any], Any] | None = None,
    ):
        for what in ("__getitem__", "__len__"):
            if not hasattr(dataset, what):
                found = f"{type(dataset).__name__} has no `{what}`, got {dataset!r:.60}"
                raise TypeError(f"`dataset` must have `__getitem__` and `__len__`, {found}")
        if not isinstance(shuffle, bool | int | None):
            raise TypeError(f"`shuffle` must be True, False or None, got {shuffle!r}")
        for name, order in (("sampler", sampler), ("batch_sampler", batch_sampler)):
            if order is not None and not isinstance(order, Iterable):
                raise TypeError(f"`{name}` must be an iterable of indices or None, got {order!r}")
        for name, function in (
            ("collate_fn", collate_fn),
            ("worker_init_fn", worker_init_fn),
            ("transform", transform),
        ):
            if function is not None and not callable(function):
                raise TypeError(f"`{name}` must be a function or None, got {function!r}")
        self.batch_size = None if batch_size is None else _integer("batch_size", batch_size, 1)
        self.num_workers = _integer("num_workers", num_workers, 0)
        if self.num_workers > (most := MOST * (os.cpu_count() or 1)):
            raise ValueError(
                f"`num_workers` must be at most {most}, {MOST} for each of this machine's cores, got {num_workers}"
            )
        self.dataset, self.shuffle, self.drop_last, self.transform = dataset, bool(shuffle), bool(drop_last), transform
        self.sampler, self.batch_sampler, self.collate_fn = sampler, batch_sampler, collate_fn
        self._check_order()
        if not isinstance(pin_memory, bool | None):
            raise ValueError(f"`pin_memory` must be True, False or None, got {pin_memory!r}")
        self.pin_memory = pin_memory
        fetch = Fetch(dataset, collate_fn, batched=self.batch_size is not None or batch_sampler is not None)
        self._resident = isinstance(dataset, ArrayDataset) and dataset.device != "cpu"
        default = 2 if fetch.is_plain else 0
        self.prefetch = default if prefetch is None else _integer("prefetch", prefetch, 0)
        if seed is None and (shuffle or not fetch.is_plain or isinstance(transform, Augmentation)):
            seed = int(generator_of(generator).integers(0, 2**63, ()))
        self.seed = _integer("seed", seed or 0, 0, 2**64)
        self.device = canonical(dataset.device if device is None and self._resident else device)
        here = transform if self.device == "cpu" else None
        draws = not fetch.is_plain or here is not None  # may draw random numbers, as far as we know
        self._make = _Make(fetch, here, draws and not self.num_workers and not self.prefetch)
        self.timeout, self.worker_init_fn, self.persistent_workers = timeout, worker_init_fn, bool(persistent_workers)
        self.multiprocessing_context, self.prefetch_factor = multiprocessing_context, prefetch_factor
        self._check_workers()
        is_staged = pin_memory is not False and not self._resident and Staged.serves(self.device)
        gathers = type(dataset) is ArrayDataset and fetch.is_plain and not self.num_workers
        self._staged = Staged(self.device, dataset if gathers else None) if is_staged else None
        self._workers: Workers | None = None  # those that persist
        self._position = _Position()

    def _check_order(self) -> None:
        if self.batch_sampler is not None:
            if self.batch_size != 1 or self.shuffle or self.sampler is not None or self.drop_last:
                raise ValueError(
                    "`batch_sampler` must come without `batch_size`, `shuffle`, `sampler` and `drop_last`, got "
                    f"batch_size={self.batch_size}, shuffle={self.shuffle}, sampler={self.sampler!r}, "
                    f"drop_last={self.drop_last}"
                )
        elif self.sampler is not None and self.shuffle:
            raise ValueError("`sampler` must come without `shuffle`, got shuffle=True: the sampler decides the order")
        if self.batch_size is None and self.drop_last:
            raise ValueError(
                "`drop_last` must be False where `batch_size` is None: no batch is smaller than the others"
            )

    def _check_workers(self) -> None:
        if not isinstance(self.timeout, int | float) or self.timeout < 0:
            raise ValueError(f"`timeout` must be at least 0 seconds, got {self.timeout!r}")
        if self.prefetch_factor is not None:
            _integer("prefetch_factor", self.prefetch_factor, 1)
        if self.num_workers == 0:
            for name in ("persistent_workers", "prefetch_factor", "timeout", "multiprocessing_context"):
                if value := getattr(self, name):
                    raise ValueError(f"`{name}` must come with num_workers ≥ 1, got {name}={value!r} and num_workers=0")
        elif self._resident:
            raise ValueError(
                f"`num_workers` must be 0 for data that are resident on {self.dataset.device}, got {self.num_workers}"
            )

    def __len__(self) -> int:
        """Batches per epoch."""
        if self.batch_sampler is not None:
            return len(self.batch_sampler)  # type: ignore[arg-type]
        n, size = self._samples(), self.batch_size or 1
        return n // size if self.drop_last else -(-n // size)

    def _samples(self) -> int:
        """Samples in an epoch."""
        return len(self.sampler if hasattr(self.sampler, "__len__") else self.dataset)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        """The batches of one epoch, or what is left of it after `load_state_dict`.

        A pass that was broken off counts as an epoch: the next one has an order of its own.
        """
        if self._position.begun:
            self._position = _Position(self._position.epoch + 1)
        self._position.begun = True
        return self._epoch(self._position)

    def shares(self, rank: int, size: int) -> Iterator[tuple[Share, Any]]:
        """As `iter`, but of each batch the share of one of `size` processes, and which it is.

        The batches, their order and the position are those of one process. Only the share is loaded, except where an
        `augment.Augmentation` is given the whole batch, and where the data set says `draws_batches = True`: its batches are drawn
        at random as a whole. What another data set draws at random in making samples depends on how many processes there are.

        Parameters
        ----------
        rank : int
            Which process.
        size : int
            How many.

        Yields
        ------
        Share, batch
            A share may be empty, at the end of an epoch.

        Examples
        --------
        >>> data = weft.data.ArrayDataset(np.arange(10.0, dtype=np.float32), np.arange(10))
        >>> [(share.total, y.tolist()) for share, (x, y) in DataLoader(data, batch_size=4).shares(1, 2)]
        [(4, [2, 3]), (4, [6, 7]), (2, [9])]
        """
        if self.batch_size is None and self.batch_sampler is None:
            raise ValueError("`batch_size` must be a number for batches to be shared, got None")
        if self._position.begun:
            self._position = _Position(self._position.epoch + 1)
        self._position.begun = True
        whole = isinstance(self.transform, Augmentation) or getattr(self.dataset, "draws_batches", False)
        found: deque[Share] = deque()
        part = None if whole else (rank, size, found)
        for batch in self._epoch(self._position, part):
            if whole:
                share = share_of(len(batch[-1]), rank, size)
                rows = slice(share.start, share.start + share.count)
                yield share, each(operator.itemgetter(rows), batch)
            else:
                yield found.popleft(), batch

    def _epoch(self, position: _Position, part: tuple[int, int, deque[Share]] | None = None) -> Iterator[Any]:
        process, is_helped = os.getpid(), bool(self.num_workers or (self.prefetch and not self._resident))
        with (
            self._working(position) as workers,
            closing(self._batches(self._tasks(position, part), workers)) as batches,
        ):
            for batch in batches:
                position.batch += 1
                yield self._deliver(batch, (self.seed, position.epoch, position.batch - 1))
                if is_helped and os.getpid() != process:
                    raise RuntimeError(
                        f"`DataLoader`: a pass must go on in the process that began it, {process}, got {os.getpid()}, "
                        "forked from that, which has neither its threads nor its workers; iterate anew there"
                    )
        if position is self._position:
            self._position = _Position(position.epoch + 1)

    @contextmanager
    def _working(self, position: _Position) -> Iterator[Workers | None]:
        """The worker processes of one pass; those that persist serve one pass at a time."""
        if not self.num_workers:
            yield None
            return
        process = os.getpid()
        workers, self._workers = self._workers, None
        if workers is not None and workers.process != process:
            _LEFT.append(workers)
            workers = None
        workers = workers or Workers(
            self._make,
            self.dataset,
            self.num_workers,
            self.worker_init_fn,
            (self.seed, position.epoch),
            self.multiprocessing_context,
            self.timeout,
        )
        is_sound = False
        try:
            yield workers
            is_sound = True
        except GeneratorExit:
            is_sound = True
            raise
        finally:
            if os.getpid() != process:
                _LEFT.append(workers)
            elif self.persistent_workers and is_sound and self._workers is None:
                workers.rest()
                self._workers = workers
            else:
                workers.stop()

    def _batches(self, tasks: Iterator[Task], workers: Workers | None) -> Any:
        make: Callable[[Any], Any] = self._make
        items: Iterator[Any] = tasks
        ahead = 0 if self._resident else self.prefetch
        if workers is not None:
            make, items = workers.result, map(workers.submit, tasks)
            ahead = self.num_workers * (self.prefetch_factor or 2)
        return prefetch(make, items, ahead) if self._staged is None else self._staged.batches(make, items, ahead)

    def _tasks(self, position: _Position, part: tuple[int, int, deque[Share]] | None) -> Iterator[Task]:
        for number, index in enumerate(self._indices(position), position.batch):
            if part is not None:
                rank, size, shares = part
                index = range(*index.indices(self._samples())) if isinstance(index, slice) else index
                share = share_of(len(index), rank, size)
                shares.append(share)
                index = index[share.start : share.start + share.count]
                index = slice(index.start, index.stop) if isinstance(index, range) else index
                number = number * size + rank  # random numbers of its own
            yield Task(self.seed, position.epoch, number, index)

    def _indices(self, position: _Position) -> Iterator[Any]:
        """What is left of an epoch: the indices of each batch, or single ones where nothing is collated."""
        if self.batch_sampler is None and self.sampler is None:
            yield from self._own_indices(position)
            return
        order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        if hasattr(order, "set_epoch"):
            order.set_epoch(position.epoch)
        batches = iter(order)
        if self.batch_sampler is None and self.batch_size is not None:
            batches = self._grouped(batches, self.batch_size)
        yield from map(self._make.fetch.checked, islice(batches, position.batch, None))

    def _own_indices(self, position: _Position) -> Iterator[Any]:
        order, n = None, len(self.dataset)
        if self.shuffle:
            # The upper half of Philox's 128-bit key is 0 for every stream that a user seeds with 64 bits.
            order = Generator(self.seed | (position.epoch + 1) << 64).permutation(n)
        if self.batch_size is None:
            yield from (range(n) if order is None else order.tolist())[position.batch :]
            return
        order = self.dataset.indices(order) if self._resident and order is not None else order
        for batch in range(position.batch, len(self)):
            part = slice(batch * self.batch_size, min((batch + 1) * self.batch_size, n))
            yield part if order is None else order[part]

    def _grouped(self, indices: Iterator[Any], size: int) -> Iterator[list[Any]]:
        while part := list(islice(indices, size)):
            if len(part) == size or not self.drop_last:
                yield part

    def _deliver(self, batch: Any, key: tuple[int, int, int]) -> Any:
        """Make Tensors of a batch, in the consumer's thread, which alone talks to a device."""
        if self._staged is None and self.device != "cpu":
            batch = each(lambda a: asarray(a, device=self.device).data, batch)
        if self.device != "cpu":
            batch = _transformed(self.transform, batch, key)
        return each(lambda a: asarray(a, device=self.device), batch)

    def __repr__(self) -> str:
        data = self.dataset
        shown = repr(data) if type(data) is ArrayDataset else f"{type(data).__name__} of {len(data):,} samples"
        parts = [shown] if self.batch_sampler is not None else [shown, f"batch_size={self.batch_size}"]
        for name in _SHOWN:
            value = getattr(self, name)
            if isinstance(value, bool | int | str):
                parts += [f"{name}={value!r}"] if value else []
            elif value is not None:
                parts.append(f"{name}={getattr(value, '__name__', type(value).__name__)}")
        return f"DataLoader({', '.join(parts)})"

    def __getstate__(self) -> dict[str, Any]:
        """A copy of the loader starts workers of its own."""
        return {**vars(self), "_workers": None}

    def state_dict(self) -> dict[str, Any]:
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

    def _division(self) -> dict[str, Any]:
        """What must be the same for a position to mean the same batches."""
        return {
            "samples": self._samples(),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }

    def _end(self) -> int | None:
        """What every position in an epoch is below; None if only the sampler knows."""
        sized = self.batch_sampler is None or hasattr(self.batch_sampler, "__len__")
        return len(self) + 1 if sized else None

    def load_state_dict(self, state: dict[str, Any]) -> None:
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
        epoch, batch = _integer("epoch", state["epoch"], 0), _integer("batch", state["batch"], 0, self._end())
        self.seed = _integer("seed", state["seed"], 0, 2**64)
        self._position = _Position(epoch, batch)


def _integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < low or (high and value >= high):
        limits = f"at least {low}" if high is None else f"in [{low}, {high})"
        raise ValueError(f"`{name}` must be an integer {limits}, got {value!r}")
    return int(value)


def _transformed(transform: Callable[[Any], Any] | None, batch: Any, key: tuple[int, int, int]) -> Any:
    """What a loader's transform makes of a batch: augmentations are given all of it, other functions the inputs."""
    if transform is None:
        return batch
    if isinstance(transform, Augmentation):
        return transform.of_batch(batch, batch_generator(*key))
    return with_first(transform, batch)


def _own(array: Any) -> Any:
    """The array itself, or a copy if it is a view of the (read-only) data set."""
    return array.copy() if isinstance(array, np.ndarray) and not array.flags.writeable else array
