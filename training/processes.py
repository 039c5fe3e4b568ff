"""A run in several processes, as its parts see it: who writes, whose samples, sums over all. Alone, nothing of it is felt."""

from __future__ import annotations

import copy
import importlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from ..backend.device import ranks
from ..backend.device.devices import to_numpy
from ..backend.device.ranks import Share, share_of
from ..data import DataLoader
from ..layers import Module, SyncBatchNorm
from .metrics.metric import Metric

__all__ = ["any_of", "by_first", "each_share", "is_first", "meet", "over_all", "require_same_data", "spread"]

T = TypeVar("T")
M = TypeVar("M", bound=Metric)


def meet() -> None:
    """Find the others, if a launcher has started several processes: `weft.distributed` is loaded then, and not before."""
    if ranks.group is None and ranks.launched()[1] > 1:
        importlib.import_module("weft.distributed").init()


def is_first() -> bool:
    """Whether this is the process that writes files and prints."""
    return ranks.group is None or ranks.group.rank == 0


def by_first(do: Callable[[], T]) -> T:
    """What process 0 alone does; all return what it returns, or raise what it raises."""
    if ranks.group is None:
        return do()
    result, error = None, None
    if is_first():
        try:
            result = do()
        except Exception as raised:
            error = raised
    result, error = ranks.group.object_of((result, error))
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def any_of(flag: bool) -> bool:
    """Whether it is so in any process."""
    return flag if ranks.group is None else bool(ranks.group.reduce(np.array([flag], np.uint8), "max")[0])


def spread(model: Module) -> Any:
    """The model as it is applied in training by several processes, batch normalisations by the whole batch; None for one."""
    if ranks.group is None:
        return None
    SyncBatchNorm.convert_sync_batchnorm(model)
    return importlib.import_module("weft.distributed").DistributedDataParallel(model, broadcast_buffers=False)


def require_same_data(name: str, batches: Any) -> None:
    """Raise ValueError, in all processes, unless all have the same data: each takes its share of what is one whole."""
    if ranks.group is None:
        return
    found = ranks.group.objects(_described(batches))
    for rank, theirs in enumerate(found):
        if theirs != found[0]:
            raise ValueError(
                f"`{name}` must be the same in all processes, which share its batches out, got {found[0]} in process 0 and "
                f"{theirs} in process {rank}; load and split the whole of it, with one seed, in each"
            )


def _described(batches: Any) -> str:
    """How many samples, in which batches; of arrays a checksum of some sixty-four of them."""
    if not isinstance(batches, DataLoader):
        return f"{len(batches)} batches" if hasattr(batches, "__len__") else type(batches).__name__
    arrays = getattr(batches.dataset, "arrays", ())
    few = [to_numpy(a[:: max(1, len(a) // 64)]) for a in arrays]
    sums = "".join(f", checksum {zlib.crc32(np.ascontiguousarray(a).tobytes()):08x}" for a in few)
    size = f"{len(batches.dataset)} samples" if hasattr(batches.dataset, "__len__") else "samples"
    return f"{size} in batches of {batches.batch_size}, seed {batches.seed}{sums}"


def each_share(batches: Iterable[Any]) -> Iterator[tuple[Share | None, Any]]:
    """Of each batch, the share of this process and what is in it; the share is None for a process by itself."""
    group = ranks.group
    if group is None:
        for batch in batches:
            yield None, batch
    elif isinstance(batches, DataLoader):
        yield from batches.shares(group.rank, group.size)
    else:
        for batch in batches:
            share = share_of(len(batch[-1]), group.rank, group.size)
            yield share, tuple(a[share.start : share.start + share.count] for a in batch)


def over_all(metric: M) -> M:
    """The metric of what all processes have seen."""
    if ranks.group is None:
        return metric
    merged = copy.copy(metric)
    merged.merge(ranks.group.objects(metric.read()))
    return merged
