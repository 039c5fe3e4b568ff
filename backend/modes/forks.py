"""Whether what several threads do at once is in each other's way, while a step is recorded.

The recorder has one thread do all branches of a fork in turn. What a thread keeps for itself from step to step would then be
the same for all of them, and in a replay they would write to it at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from typing import Any

import numpy as np

from .log import Fork, Region, memory_at
from .plan import extent, touched, written_by

__all__ = ["clash"]


def clash(entries: list[Any]) -> bool:
    """Whether a branch of a fork writes what another one reads or writes."""
    return any(_clash(fork.branches) for fork in entries if isinstance(fork, Fork))


def _clash(branches: list[list[Any]]) -> bool:
    touches = [_by_root(r for entry in branch for r in touched(entry)) for branch in branches]
    writes = [_by_root(r for entry in branch for r in written_by(entry)) for branch in branches]
    return any(
        _overlap(written[root], others[root])
        for i, j in permutations(range(len(branches)), 2)
        for written, others in [(writes[i], touches[j])]
        for root in written.keys() & others.keys()
    )


def _by_root(regions: Iterable[Region]) -> dict[int, list[Region]]:
    found: dict[int, set[Region]] = {}
    for region in regions:
        if region.nbytes:
            found.setdefault(id(region.root), set()).add(region)
    return {root: list(of_root) for root, of_root in found.items()}


def _overlap(some: list[Region], others: list[Region]) -> bool:
    """Whether regions of one root share a byte. Few of many reach into the same stretch of it: only they are looked at."""
    (starts, ends), (first, last) = (np.array([extent(r) for r in regions]).T for regions in (some, others))
    near = np.argwhere((starts[:, None] < last) & (first < ends[:, None])).tolist()
    return any(np.shares_memory(_shown(some[i]), _shown(others[j])) for i, j in near)


def _shown(region: Region) -> np.ndarray:
    """A view of the memory where the region was, which nobody reads: it may have been freed."""
    memory = memory_at(region.root.start, region.root.nbytes)
    view: np.ndarray = np.ndarray(region.shape, region.dtype, memory, region.offset, region.strides)
    return view
