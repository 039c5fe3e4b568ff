"""What launches ask of a GPU's memory, counted in the emulator by source line (counters.cpp says how).

    with counters.counting() as launches:
        layer_norm.forward(x, weight, bias, eps=1e-5)
    print(launches[0])

It is exact for what depends on addresses: sectors of global memory, bank conflicts of shared memory, bytes. It knows
nothing of caches, latency, or of what NVIDIA's compiler merges, hoists or keeps in registers.
"""

from __future__ import annotations

import bisect
import contextlib
import ctypes
import dataclasses
import functools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..toolchain.launch import Instance
from ..toolchain.sources import Place, own_line
from ..toolchain.tensor_map import TensorMap
from .build import Library, code_of, compiled, places
from .counts import SECTOR, Counts, Launch
from .sample import Sample

__all__ = [
    "SECTOR",
    "Counts",
    "Launch",
    "compile_counted",
    "counted_library",
    "counting",
    "current",
    "listing",
    "sampling",
]

_SPACES, _HOW = ("global", "shared", "code", "tensor"), ("read", "write", "update")
_LONGEST = 512  # bytes of a basic block that are looked up
_STEP = 3  # bytes between look-ups: shorter than almost every instruction with a line of its own
_CALL = 5  # bytes of the call that opens a basic block; what counts begins after it


@dataclasses.dataclass
class Counted:
    """What has been launched, in order, or is only listed.

    `samples`: of large grids some blocks are run, and of launches that are alike the first. `only`: where given, no other
    instantiation is run. `code`: whether trips are counted, which takes a library of its own. `tell` is called with each launch.
    """

    samples: bool = False
    code: bool = True
    only: Instance | None = None
    is_list: bool = False
    launches: list[Launch] = dataclasses.field(default_factory=list)
    listed: list[Instance] = dataclasses.field(default_factory=list)
    known: dict[Any, Launch] = dataclasses.field(default_factory=dict)
    tell: Callable[[Launch], None] = lambda launch: None

    @property
    def is_rough(self) -> bool:
        """Whether results are not those of the kernels."""
        return self.is_list or self.samples or self.only is not None

    def leaves_out(self, instance: Instance, key: Any) -> bool:
        """Whether a launch need not be run, being like one that was, or listed, or not asked for."""
        if self.is_list:
            self.listed.append(instance)
        elif self.only not in (None, instance):
            return True
        elif self.samples and key in self.known:
            self.add(self.known[key], key)
        else:
            return False
        return True

    def add(self, launch: Launch, key: Any) -> None:
        """Count one that was run, or is like one that was."""
        self.launches.append(launch)
        self.known[key] = launch
        self.tell(launch)


class _Counting(threading.local):
    counted: Counted | None = None


_counting = _Counting()


@contextlib.contextmanager
def counting(only: Instance | None = None, code: bool = True) -> Iterator[list[Launch]]:
    """Count what this thread launches in the emulator within the block.

    Parameters
    ----------
    only
        Where given, no other instantiation is run, and what nothing has written is zeros.
    code
        False: `trips` and `never` are empty, and the libraries that run when nothing is counted do this, too: none is compiled.

    Yields
    ------
    list of Launch
        One for each launch that is done, in order.
    """
    with _into(Counted(only=only, code=code)) as counted:
        yield counted.launches


@contextlib.contextmanager
def sampling(
    known: dict[Any, Launch] | None = None, tell: Callable[[Launch], None] = lambda launch: None
) -> Iterator[list[Launch]]:
    """Count, but run no more than counting needs: for what takes long, and whose results nobody wants.

    Of launches that are alike in kernel, grid and arguments (but for what these hold) the first is run; of a large grid, blocks
    that are spread evenly (sample.py), whose counts are multiplied: more and more, and at last all, until `Launch.is_trusted`.
    What no block of a sample does is not known of, as where one in the midst of many does all. What nothing has written is zeros,
    and races are not looked for.

    Parameters
    ----------
    known
        Launches by what they have in common: one that is like one of these is not run. Those that are run are added.
    tell
        Called with each launch once it is counted.

    Yields
    ------
    list of Launch
        One for each launch, in order: the same one for those that are alike.
    """
    with _into(Counted(samples=True, known={} if known is None else known, tell=tell)) as counted:
        yield counted.launches


@contextlib.contextmanager
def listing() -> Iterator[list[Instance]]:
    """Compile and run nothing, but list what would be. What nothing has written is zeros.

    Yields
    ------
    list of Instance
        One for each launch, in order.
    """
    with _into(Counted(is_list=True)) as counted:
        yield counted.listed


@contextlib.contextmanager
def _into(counted: Counted) -> Iterator[Counted]:
    before, _counting.counted = _counting.counted, counted
    try:
        yield counted
    finally:
        _counting.counted = before


def current() -> Counted | None:
    """Where counters go; None where nothing is counted."""
    return _counting.counted


def counts_code(counted: Counted | None) -> bool:
    """Whether a launch needs the library that counts trips, too."""
    return counted is not None and counted.code


def key_of(instance: Instance, grid: Any, block: Any, args: Sequence[Any], shared: int) -> Any:
    """What launches have in common that cost the same. Keys and counters of random streams, of 64 bits, are not asked for."""
    return instance, tuple(grid), tuple(block), shared, *map(_kind_of, args)


def _kind_of(argument: Any) -> Any:
    if isinstance(argument, TensorMap):
        return argument.rows, _kind_of(argument.array)
    if isinstance(argument, np.ndarray):
        return argument.shape, argument.strides, argument.dtype
    return argument.item() if isinstance(argument, np.generic) and not isinstance(argument, np.uint64) else None


# --- the runtime's structures (counters.cpp) --------------------------------------------------------------------------
_SUMMED = ("requests", "threads", "requested", "sectors", "ideal", "lines", "phases", "cycles")


class _Site(ctypes.Structure):
    _fields_ = [("pc", ctypes.c_uint64), ("file", ctypes.c_char_p),
                *((name, ctypes.c_int32) for name in ("line", "space", "how", "bytes")),
                *((name, ctypes.c_uint64) for name in (*_SUMMED, "worst"))]  # fmt: skip


class _Totals(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("read", "written", "sectors_read", "sectors_written")]


def compile_counted(instance: Instance) -> Path:
    """The library that counts, of this one instantiation: where it lies."""
    return compiled(instance.source, (instance.expression,), counting=True)


@functools.cache
def counted_library(instance: Instance) -> Library:
    """The same, loaded."""
    return Library(compile_counted(instance), (instance.expression,))


def begin(code: Library, sizes: Sequence[int]) -> None:
    """Forget the last launch; `sizes` are the bytes of the next one's buffers."""
    code.handle.emulator_count((ctypes.c_uint64 * len(sizes))(*sizes), len(sizes))


def end(code: Library, instance: Instance, grid: Any, block: Any, shared: int, sample: Sample | None = None) -> Launch:
    """What was counted, of all blocks or of a sample."""
    order = sample.order if sample else ()
    weight_of = dict(zip(sample.blocks, sample.weights)) if sample else {}
    sites, totals, costs = _counted(code, [weight_of[block] for block in order])
    starts, there = code_of(code.path) if counts_code(current()) else (frozenset(), frozenset())
    counts, trips = _by_line(code, sites, starts)
    sums = {field[0]: getattr(totals, field[0]) for field in _Totals._fields_}
    never = there - trips.keys()
    launch = Launch(instance, tuple(grid), tuple(block), shared, counts, trips, never, **sums)
    if sample is None:
        return launch
    cost_of = dict(zip(order, costs[: len(order)]))
    error = sample.error([cost_of[block] for block in sample.blocks])
    return dataclasses.replace(launch, sampled=len(order), error=error)


def costs(code: Library, number: int) -> list[float]:
    """About how many cycles so many blocks take that were counted each by itself, in the order that they were run in."""
    return list(_counted(code, ())[2][:number])


def _counted(code: Library, weights: Sequence[int]) -> tuple[Sequence[Any], _Totals, Any]:
    """The sites, the totals, and the costs of the blocks, of which the first stand for so many."""
    first, totals, costs = ctypes.POINTER(_Site)(), _Totals(), ctypes.POINTER(ctypes.c_double)()
    count = code.handle.emulator_counted
    count.restype = ctypes.c_size_t
    given = (ctypes.c_uint64 * len(weights))(*weights)
    number = count(given, ctypes.c_size_t(len(weights)), ctypes.byref(first), ctypes.byref(totals), ctypes.byref(costs))
    return first[:number], totals, costs


def _by_line(code: Library, sites: Sequence[Any], begins: Iterable[int]) -> tuple[tuple[Counts, ...], dict[Place, int]]:
    blocks = sorted((site.pc, site.requests) for site in sites if _SPACES[site.space] == "code")
    starts = [start for start, _ in blocks]
    others = sorted({*starts, *begins, 1 << 62})  # those that nobody came to end the one before them, too
    nexts = [others[bisect.bisect_right(others, start)] - _CALL for start in starts]
    ends = [min(start + _LONGEST, max(start + 1, following)) for start, following in zip(starts, nexts)]
    within = [at for low, high in zip(starts, ends) for at in range(low, high, _STEP)]
    found = places(code.path, [*within, *(site.pc for site in sites if site.pc)])
    gathered: dict[Any, Any] = {}
    for site in sites:
        if _SPACES[site.space] == "code":
            continue
        chain = found[site.pc] if site.pc else [(site.file.decode().rpartition("/")[2], site.line)]
        sums = gathered.setdefault((*own_line(chain), _SPACES[site.space], _HOW[site.how]), Counter())
        for name in _SUMMED:
            sums[name] += getattr(site, name)
        for name in ("bytes", "worst"):
            sums[name] = max(sums[name], getattr(site, name))
    times: dict[tuple[Place, ...], int] = {}  # by line and the calls that it is inlined by
    for at in within:
        if calls := tuple(found[at]):
            times[calls] = max(times.get(calls, 0), blocks[bisect.bisect_right(starts, at) - 1][1])
    trips: Counter[Place] = Counter()
    for calls, count in times.items():
        trips[calls[0]] += count
    counts: list[Any] = [Counts(*key, **sums) for key, sums in sorted(gathered.items())]
    return tuple(counts), dict(trips)
