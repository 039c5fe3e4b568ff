"""Memory: who has how much of a GPU's, and what to do when there is none left.

CuPy's pool hands out a GPU's memory and keeps what comes back for reuse. Each captured step has a pool of its own, which
is held as long as the step (see `capture`): its intermediate results are written again at every replay.
"""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from . import devices

__all__ = ["OutOfMemoryError", "empty_cache", "memory_allocated", "memory_reserved", "memory_summary"]

_peaks = itertools.count()
recorders: weakref.WeakSet[Any] = weakref.WeakSet()  # what has a `pool` for a captured step; `capture` adds to it
programs: weakref.WeakSet[Any] = weakref.WeakSet()  # captured steps of a CPU, which have a `peak` and a `peak_as_usual`


class OutOfMemoryError(MemoryError):
    """A GPU has no room for what was asked for; the message says how much that was, who has the rest, and what may help.

    Examples
    --------
    >>> issubclass(weft.OutOfMemoryError, MemoryError)
    True
    """


class Usage(NamedTuple):
    """A GPU's memory in bytes, as exactly as the pools and the driver know it."""

    tensors: int  # what live arrays take up, in blocks of 512 bytes
    reusable: int  # kept by the pool for the next arrays
    captured: int  # pools of captured steps
    steps: int  # how many of those there are
    free: int
    total: int

    @property
    def elsewhere(self) -> int:
        """What other programs have, CUDA itself, and libraries with an allocator of their own."""
        return self.total - self.free - self.tensors - self.reusable - self.captured

    def __str__(self) -> str:
        parts = [f"{size(self.tensors)} in tensors", f"{size(self.reusable)} kept for reuse"]
        if self.steps:
            parts.append(f"{size(self.captured)} in {self.steps} captured step{'s' * (self.steps > 1)}")
        parts += [f"{size(self.elsewhere)} elsewhere", f"{size(self.free)} of {size(self.total)} free"]
        return ", ".join(parts)


def usage(device: str) -> Usage:
    """What there is to know of "cuda:…"."""
    import cupy

    with devices.gpu(device):
        pool, (free, total) = cupy.get_default_memory_pool(), cupy.cuda.runtime.memGetInfo()
        captured = [held for r in recorders if (held := r.pool.total_bytes())]
        used, held = pool.used_bytes(), pool.total_bytes()
    return Usage(used, held - used, sum(captured), len(captured), free, total)


def memory_summary(device: str | None = None) -> str:
    """One line on the memory of a device: a GPU's, tensors and captured steps apart; on a CPU the whole process's.

    Parameters
    ----------
    device : str, optional
        Which; the default device if None.

    Returns
    -------
    str
        To be printed.

    Raises
    ------
    DeviceError
        If there is no such device.

    Examples
    --------
    >>> print(weft.memory_summary("cpu"))
    cpu: the process takes ...iB, ...iB at its peak...
    """
    device = devices.existing(device)
    if devices.kind(device) == "cuda":
        return f"{device}: {usage(device)}"
    now, peak = _of_the_process()
    takes = f"takes {size(now)}, {size(peak)} at its peak" if now else f"peaked at {size(peak)}"
    return f"{device}: the process {takes}{_of_programs() if device == 'cpu' else ''}"


def _of_programs() -> str:
    """What captured steps make room for, and what they would without being captured."""
    peaks = [(p.peak, p.peak_as_usual) for p in programs]
    if not peaks:
        return ""
    steps = f"{len(peaks)} captured step{'s' * (len(peaks) > 1)}"
    held, as_usual = (size(sum(column)) for column in zip(*peaks))
    return f", {held} of it for {steps}, {as_usual} at their peak when run as usual"


def memory_allocated(device: str | None = None) -> int:
    """Bytes of a GPU's memory that live tensors and captured steps take up, as `torch.cuda.memory_allocated`.

    Parameters
    ----------
    device : str, optional
        Which GPU; the default device if None.

    Returns
    -------
    int
        In blocks of 512 bytes, as they were handed out.

    Raises
    ------
    ValueError
        If the device is no GPU: what tensors take up on a CPU (or in the emulator) NumPy does not count; `memory_summary`
        has the process's memory.

    Examples
    --------
    >>> weft.memory_allocated("cpu")
    Traceback (most recent call last):
        ...
    ValueError: `memory_allocated` needs a GPU, got 'cpu'; weft.memory_summary('cpu') has the process's memory
    """
    found = _usage_of("memory_allocated", device)
    return found.tensors + found.captured


def memory_reserved(device: str | None = None) -> int:
    """Bytes of a GPU's memory that this process has asked for, as `torch.cuda.memory_reserved`.

    `memory_allocated` and what is kept for reuse: it grows to the most that was needed at one time and shrinks when captured
    steps are let go of, in `empty_cache`, and when the GPU is full. After a run, it is the run's peak.

    Parameters
    ----------
    device : str, optional
        Which GPU; the default device if None.

    Returns
    -------
    int
        Whole pieces, as CUDA gave them.

    Raises
    ------
    ValueError
        If the device is no GPU.

    Examples
    --------
    >>> weft.memory_reserved("cpu")
    Traceback (most recent call last):
        ...
    ValueError: `memory_reserved` needs a GPU, got 'cpu'; weft.memory_summary('cpu') has the process's memory
    """
    found = _usage_of("memory_reserved", device)
    return found.tensors + found.captured + found.reusable


def empty_cache(device: str | None = None) -> None:
    """Give memory that is kept for reuse back to the GPU, for other programs, as `torch.cuda.empty_cache`.

    The library does it itself where it runs out.

    Parameters
    ----------
    device : str, optional
        Which GPU; the default device if None. Nothing happens on other devices.

    Raises
    ------
    DeviceError
        If there is no such device.

    Examples
    --------
    >>> weft.empty_cache("cpu")
    """
    device = devices.existing(device)
    if devices.kind(device) == "cuda":
        import cupy

        with devices.gpu(device):
            cupy.get_default_memory_pool().free_all_blocks()


def peak_of_tensors() -> Any:
    """A context manager whose `peak` is the most bytes that tensors took at one time, on the current GPU, within it.

    The pool is asked after each allocation of this thread: exact, and too slow for always.
    """
    import cupy

    pool = cupy.get_default_memory_pool()

    class Peak(cupy.cuda.MemoryHook):
        name = f"weft {next(_peaks)}"  # CuPy wants another for each
        peak = pool.used_bytes()

        def malloc_postprocess(self, **_: Any) -> None:
            self.peak = max(self.peak, pool.used_bytes())

    return Peak()


def explaining(allocate: Callable[[int], Any]) -> Callable[[int], Any]:
    """An allocator of CuPy's whose OutOfMemoryError is ours."""
    import cupy

    def explained(nbytes: int) -> Any:
        try:
            return allocate(nbytes)
        except cupy.cuda.memory.OutOfMemoryError as error:
            device = f"cuda:{cupy.cuda.runtime.getDevice()}"
            raise OutOfMemoryError(
                f"{device} has no {size(nbytes)} left ({usage(device)}); try a smaller batch, "
                f"weft.autocast('bfloat16'), weft.checkpoint, or accumulating gradients over several batches"
            ) from error

    return explained


def explain_exhaustion() -> None:
    """Have whatever CuPy allocates from now on raise our error when there is no room for it."""
    import cupy

    with contextlib.suppress(ValueError):  # within the program's own `using_allocator`, whose errors remain CuPy's
        cupy.cuda.set_allocator(explaining(cupy.cuda.get_allocator()))


def _usage_of(name: str, device: str | None) -> Usage:
    device = devices.existing(device)
    if devices.kind(device) != "cuda":
        raise ValueError(
            f"`{name}` needs a GPU, got {device!r}; weft.memory_summary({device!r}) has the process's memory"
        )
    return usage(device)


def _of_the_process() -> tuple[int, int]:
    """Bytes in memory now (0 where only Linux would tell) and at most."""
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    try:
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0, peak
    return now, max(now, peak)


def size(nbytes: int) -> str:
    """Bytes, to read.

    >>> size(96), size(5 * 2**20)
    ('96 B', '5.0 MiB')
    """
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if abs(nbytes) >= 1 << power:
            return f"{nbytes / (1 << power):,.1f} {unit}"
    return f"{nbytes} B"
