"""Batches on their way from the host to a GPU: page-locked memory, a stream for the copies, and who waits for whom.

    background thread        consumer's thread                                 copy stream        compute stream
    parcel, fill host   →    send: allocate; ask for the copy              →   copy           ∥   the step before
                             receive, a batch later: the arrays may be used                       waits for the copy

The host waits for nothing, but that `parcel` waits when all memory that it may have is still being copied from: the GPU
is then behind by some steps, and memory without end would be needed to prepare more.

Three hazards, and what is done about each:

- *Host memory is filled again while it is being copied from.* Each copy is followed by an event on the copy stream; the
  memory goes to the next batch when that is done, and back to CuPy, which would give it to others, not before.
- *Device memory is written to while an earlier owner is in use.* CuPy's pool gives out memory that the host has let go
  of, though kernels that read it may not have run. It knows one order, that of the compute stream, from whose arena the
  arrays come; so the copy stream waits for an event of the compute stream, recorded when they are allocated. A ring of
  fixed arrays would do without, at the price of another copy per batch, since whoever iterates may keep the batches. To
  overlap with a step a copy must be asked for before that step is: `data.DataLoader` sends one batch ahead.
- *A batch is dropped before it was received* (a loop that was left): its memory would go to kernels that do not wait for
  the copy. `settle` has the compute stream wait for every copy that was asked for.

In the emulator the same steps are taken, with memory and copies of NumPy's that are done at once.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from .devices import gpu, kind, namespace

__all__ = ["Parcel", "Staging"]

_ALIGNMENT = 512  # bytes: where each array of a parcel starts, as in memory from CUDA's allocator
_UNDER_WAY = 2  # copies that are not waited for: the one for the step that runs, and the one for the next


class Parcel:
    """The arrays of one batch: `host` is to be filled, `device` is to be used once received."""

    def __init__(self, memory: np.ndarray, specs: Sequence[tuple[tuple[int, ...], np.dtype]]):
        self.memory = memory
        self.host: list[np.ndarray] = []
        self.device: list[Any] = []
        self.arrived: Any = None  # the event after the copy
        start = 0
        for shape, dtype in specs:
            end = start + _size(shape, dtype)
            self.host.append(memory[start:end].view(dtype).reshape(shape))
            start = _aligned(end)


class Staging:
    """The way to one device ("cuda:…" or "emulator"): memory on this side that is used again, and copies in order.

    One thread asks for parcels and fills them, one sends and receives; they may be the same.

        parcel = staging.parcel([((128, 784), np.dtype("uint8"))])
        np.take(images, indices, axis=0, out=parcel.host[0])
        staging.send(parcel)
        ...
        (x,) = staging.receive(parcel)
    """

    def __init__(self, device: str):
        self._link: Any = _Cuda(device) if kind(device) == "cuda" else _Emulated(device)
        # Memory that was sent, and the event after the copy from it; the oldest first.
        self._sent: deque[tuple[np.ndarray, Any]] = deque()
        self._last: Any = None  # the event after the last copy that was asked for

    def parcel(self, specs: Sequence[tuple[tuple[int, ...], np.dtype]]) -> Parcel:
        """Memory for arrays of these shapes and dtypes that no copy reads any more.

        Raises MemoryError if the driver has no page-locked memory left.
        """
        size = 0
        for shape, dtype in specs:
            size = _aligned(size) + _size(shape, dtype)
        if self._sent:
            memory, copied = self._sent[0]
            is_over = copied.done
            if is_over or len(self._sent) > _UNDER_WAY:
                self._sent.popleft()
                if not is_over:
                    copied.synchronize()
                if memory.nbytes >= size:
                    return Parcel(memory, specs)
        return Parcel(self._link.allocate(size), specs)

    def send(self, parcel: Parcel) -> Parcel:
        """Ask for the copy of what is in `host`, which is not to be touched any more; nor `device`, until received."""
        parcel.device, parcel.arrived = self._link.copy(parcel.host)
        self._last = parcel.arrived
        self._sent.append((parcel.memory, parcel.arrived))
        return parcel

    def receive(self, parcel: Parcel) -> list[Any]:
        """The arrays on the device: whatever is asked of the compute stream from now on finds the batch in them."""
        self._link.wait(parcel.arrived)
        return parcel.device

    def settle(self) -> None:
        """Have the compute stream wait for all that was sent: parcels that nobody received may then be dropped."""
        if self._last is not None:
            self._link.wait(self._last)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the interpreter's end there may be no CUDA to ask
            for _, copied in self._sent:
                copied.synchronize()


class _Cuda:
    """Page-locked memory, and copies on a stream of their own."""

    def __init__(self, device: str):
        import cupy

        self.name = device
        with gpu(device):
            self.stream = cupy.cuda.Stream(non_blocking=True)  # one that does not wait for the default stream by itself

    def allocate(self, size: int) -> np.ndarray:
        import cupy

        try:
            with gpu(self.name):
                memory = cupy.cuda.alloc_pinned_memory(max(size, 1))
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise MemoryError(
                f"`pin_memory` needs {size} bytes of page-locked memory, which the driver does not give ({error}); "
                f"use smaller batches, less prefetch or pin_memory=False"
            ) from error
        return np.frombuffer(memory, np.uint8)

    def copy(self, host: Sequence[np.ndarray]) -> tuple[list[Any], Any]:
        import cupy

        with gpu(self.name):
            compute = cupy.cuda.get_current_stream()
            if compute.is_capturing():
                raise RuntimeError("a captured step cannot load batches: pass them as arguments")
            arrays = [cupy.empty(a.shape, a.dtype) for a in host]
            self.stream.wait_event(compute.record(_event()))
            for to, a in zip(arrays, host):
                to.set(a, stream=self.stream)
            return arrays, self.stream.record(_event())

    def wait(self, event: Any) -> None:
        import cupy

        with gpu(self.name):
            cupy.cuda.get_current_stream().wait_event(event)


def _event() -> Any:
    """One that puts a thread which waits for it to sleep."""
    import cupy

    return cupy.cuda.Event(block=True, disable_timing=True)


class _Emulated:
    """NumPy's memory, and copies that are done when they are asked for."""

    def __init__(self, device: str):
        self.xp = namespace(device)

    def allocate(self, size: int) -> np.ndarray:
        return np.empty(size, np.uint8)

    def copy(self, host: Sequence[np.ndarray]) -> tuple[list[Any], Any]:
        return [self.xp.asarray(a) for a in host], _Done()

    def wait(self, event: Any) -> None: ...


class _Done:
    done = True

    def synchronize(self) -> None: ...


def _size(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return math.prod(shape) * dtype.itemsize


def _aligned(end: int) -> int:
    return -(-end // _ALIGNMENT) * _ALIGNMENT
