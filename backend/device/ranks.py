"""Whether other processes compute with this one: what `weft.distributed` puts here, and layers and training look at.

`group` is None in a process that computes alone, which knows nothing of MPI.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

__all__ = ["Share", "launched", "require_met", "share_of", "sharing"]

group: Any = None  # what `weft.distributed.init` has made: `weft.distributed.group.Group`

# Rank and number of processes, as launchers tell them: MPICH's mpiexec, Open MPI's, any of PMIx, Slurm's srun, torchrun.
_LAUNCHERS = (
    ("PMI_RANK", "PMI_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("RANK", "WORLD_SIZE"),
)


def launched(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Rank and number of processes that a launcher started together; (0, 1) for a process by itself.

    >>> launched({"PMI_RANK": "1", "PMI_SIZE": "4"})
    (1, 4)
    >>> launched({})
    (0, 1)
    """
    for rank, size in _LAUNCHERS:
        if environment.get(rank, "").isdigit() and environment.get(size, "").isdigit():
            return int(environment[rank]), int(environment[size])
    return 0, 1


def require_met() -> None:
    """Raise RuntimeError in one of several processes that has not met the others: each would silently compute alone.

    >>> require_met()
    """
    if group is None and (n := launched()[1]) > 1:
        raise RuntimeError(f"{n} processes were started, which have not met; call `weft.distributed.init()` first")


class Share(NamedTuple):
    """Which samples of a batch this process has: `start` … `start + count - 1` of `total`.

    >>> Share(start=2, count=3, total=8)
    Share(start=2, count=3, total=8)
    """

    start: int
    count: int  # type: ignore[assignment]
    total: int


def share_of(total: int, rank: int, size: int) -> Share:
    """An even share: the first `total % size` processes have one sample more.

    >>> [share_of(5, rank, 2) for rank in range(2)]
    [Share(start=0, count=3, total=5), Share(start=3, count=2, total=5)]
    """
    each, more = divmod(total, size)
    return Share(rank * each + min(rank, more), each + (rank < more), total)


share: Share | None = None  # of the batch that a model is being applied to: masks of dropout are those of its samples


@contextmanager
def sharing(of_batch: Share | None) -> Iterator[None]:
    """Within the block, what a model is applied to is this share of a batch."""
    global share
    before, share = share, of_batch
    try:
        yield
    finally:
        share = before
