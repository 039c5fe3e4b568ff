"""Processes that MPI has started together, and what they do with vectors: `sums.py` says how they are added up."""

from __future__ import annotations

import os
import pickle
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend.device import devices
from ..backend.tape.recording import active
from .sums import Pending
from .sums import raw_bytes as _bytes

__all__ = ["Group"]

IMPATIENT, NAP = 2000, 5e-5  # looks without sleep, about a millisecond of them; and seconds between later ones


class Group:
    """The processes of an MPI communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        Which; it is the group's own.

    Attributes
    ----------
    rank, size : int
        Which process this is, and of how many.
    local_rank, local_size : int
        The same among the processes of this machine.
    calls : int
        Collectives begun, which are the same in all processes: who has begun fewer keeps the others waiting.
    waited : float
        Seconds that this process has spent in communication.
    """

    def __init__(self, comm: Any):
        from mpi4py import MPI

        self.comm, self.MPI = comm, MPI
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        here = comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = here.Get_rank(), here.Get_size()
        here.Free()
        self.watch: Any = None
        self._nccl: Any = None
        self._windows: list[Any] = []
        self._nothing = np.zeros(self.size, np.uint8)
        self.others = [(self.rank + i) % self.size for i in range(1, self.size)]
        self._tag = 0
        self.waited = 0.0
        self.calls = 0
        self._spare: dict[tuple[int, Any], list[np.ndarray]] = {}

    # --- what is begun, and goes on beside other work -----------------------------------------------------------------
    def start(
        self, x: np.ndarray, op: str = "sum", *, cuts: Sequence[int] | None = None, scatter: bool = False
    ) -> Pending:
        """Begin x ← Σ over all processes, in place; x, a contiguous vector, must not be touched until `wait` returns.

        Parameters
        ----------
        x : ndarray of shape (n,)
            The same size and dtype in all processes.
        op : {"sum", "mean", "max", "min", "prod"}
            Instead of a sum.
        cuts : sequence of int, optional
            Process r owns x[cuts[r] : cuts[r + 1]]; even parts if None.
        scatter : bool
            Only the own part is to be summed; the others are left as they are.

        Returns
        -------
        Pending
            Has `poll` and `wait`.
        """
        refuse_capture()
        return Pending(self, x, op, cuts, scatter)

    def start_gather(self, x: np.ndarray, cuts: Sequence[int]) -> Pending:
        """Begin to give everybody what each process has in its own part of x."""
        refuse_capture()
        return Pending(self, x, None, cuts, False)

    def start_any(
        self, x: Any, op: str = "sum", *, cuts: Sequence[int] | None = None, scatter: bool = False
    ) -> Pending | _Done:
        """`start` of a vector of any device. What a device has yet to compute, or records for later, keeps its order."""
        if type(x) is np.ndarray:
            return self.start(x, op, cuts=cuts, scatter=scatter)
        if hasattr(x, "_is_weft_tensor"):
            raise TypeError("sums over processes have no second derivative: leave `weft.grad` outside of them")
        if kind_of(x) == "cuda":
            return self.accelerated().start(x, op, cuts=cuts, scatter=scatter)
        from ..kernels.emulator import record

        record(lambda raw: self.start(raw, op, cuts=cuts, scatter=scatter).wait(), x.view(np.ndarray))
        return _Done()

    def reduce_any(self, x: Any, op: str = "sum") -> Any:
        """x ← Σ over all processes, in place, for a contiguous array of any device."""
        self.start_any(devices.namespace_of(x).reshape(x, (-1,)), op).wait()
        return x

    def gather_parts(self, x: Any, cuts: Sequence[int]) -> None:
        """Everybody receives what each process has in its own part of a vector of any device."""
        if type(x) is np.ndarray:
            self.start_gather(x, cuts).wait()
        elif kind_of(x) == "cuda":
            self.accelerated().gather_parts(x, cuts)
        else:
            from ..kernels.emulator import record

            record(lambda raw: self.start_gather(raw, cuts).wait(), x.view(np.ndarray))

    def accelerated(self) -> Any:
        """The same processes, over NCCL."""
        if self._nccl is None:
            from .nccl import NCCL

            self._nccl = NCCL(self)
        return self._nccl

    # --- memory that all see ------------------------------------------------------------------------------------------
    def shared(self, n: int, dtype: Any) -> list[np.ndarray] | None:
        """(n,) of memory for each process, which all see; all call this. None where they have no machine, or room, in common.

        It is kept to the end: to give it back would take all processes at once.
        """
        size = -(-n * np.dtype(dtype).itemsize // 4096) * 4096
        has_room = self.local_size == self.size and _free() > 4 * size * self.size
        if not all(self.objects(has_room)):
            return None
        window = self.MPI.Win.Allocate_shared(size, 1, comm=self.comm)
        window.Lock_all()
        self._windows.append(window)
        pieces: list[Any] = [window.Shared_query(r)[0] for r in range(self.size)]
        return [np.frombuffer(piece, dtype, n) for piece in pieces]

    def see(self) -> None:
        """What others have written before a barrier is here, and what was written here is there."""
        for window in self._windows:
            window.Sync()

    def begin_barrier(self, tag: int) -> list[Any]:
        """Requests that are done when all are here. Messages with a tag: several barriers are under way, which MPI's own
        would mix up where one process comes to them in another order than the next.
        """
        refuse_capture()
        self.see()
        byte, nothing = self.MPI.BYTE, self._nothing
        requests = [self.comm.Irecv([nothing[r : r + 1], byte], r, tag) for r in self.others]
        return requests + [self.comm.Isend([nothing[self.rank : self.rank + 1], byte], r, tag) for r in self.others]

    # --- what waits ---------------------------------------------------------------------------------------------------
    def reduce(self, x: np.ndarray, op: str = "sum") -> np.ndarray:
        """x ← Σ over all processes, in place, for a contiguous array."""
        self.start(x.reshape(-1), op).wait()
        return x

    def gather(self, x: np.ndarray) -> np.ndarray:
        """(size, …) what all processes have."""
        return self.begin_gather(x)()

    def begin_gather(self, x: np.ndarray) -> Callable[[], np.ndarray]:
        """Begin that; what waits for it and returns it."""
        refuse_capture()
        self.calls += 1
        x, found = np.ascontiguousarray(x), np.empty((self.size, *x.shape), x.dtype)
        request = self.comm.Iallgather([_bytes(x), self.MPI.BYTE], [_bytes(found), self.MPI.BYTE])

        def finish(sent: np.ndarray = x) -> np.ndarray:  # which must not go before it has been read
            self.wait_for(request)
            return found

        return finish

    def broadcast(self, x: np.ndarray, source: int = 0) -> np.ndarray:
        """What process `source` has in x, a contiguous array, in place."""
        refuse_capture()
        self.calls += 1
        self.wait_for(self.comm.Ibcast([_bytes(x), self.MPI.BYTE], source))
        return x

    def objects(self, value: Any) -> list[Any]:
        """What all processes have, of anything small that pickle knows: our own processes are not strangers."""
        mine = np.frombuffer(pickle.dumps(value), np.uint8)
        counts = self.gather(np.array([mine.size])).reshape(-1).tolist()
        ends = np.cumsum(counts).tolist()
        found, byte = np.empty(ends[-1], np.uint8), self.MPI.BYTE
        places = [end - count for end, count in zip(ends, counts)]
        self.wait_for(self.comm.Iallgatherv([mine, byte], [found, counts, places, byte]))
        return [pickle.loads(found[start:end].tobytes()) for start, end in zip(places, ends)]

    def object_of(self, value: Any, source: int = 0) -> Any:
        """What process `source` has, of anything small."""
        mine = np.frombuffer(pickle.dumps(value if self.rank == source else None), np.uint8).copy()
        size = int(self.broadcast(np.array([mine.size]), source)[0])
        return pickle.loads(self.broadcast(mine if self.rank == source else np.empty(size, np.uint8), source).tobytes())

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.calls += 1
        self.wait_for(self.comm.Ibarrier())

    def next_tag(self) -> int:
        """Of the messages of one sum: all processes begin them in one order."""
        self.calls += 1
        self._tag = (self._tag + 2) % 32768
        return self._tag

    def are_done(self, requests: list[Any]) -> bool:
        """Whether all of them are."""
        try:
            return bool(self.MPI.Request.Testall(requests))
        except self.MPI.Exception:
            if self.watch is not None:
                self.watch.is_lost()  # perhaps another process has died, which is the watch's to say
            raise

    def wait_for(self, requests: Any) -> None:
        """Wait for a request of MPI, or several; not in MPI, which would keep a core busy that another
        process may need to get here."""
        done = self.are_done
        requests = requests if isinstance(requests, list) else [requests]
        if done(requests):
            return
        start = time.perf_counter()
        if self.watch is not None:
            self.watch.waits(self.calls)
        looks = 0
        while not done(requests):
            looks += 1
            if looks > IMPATIENT:
                time.sleep(NAP)
            elif looks > 20:
                os.sched_yield()
        if self.watch is not None:
            self.watch.goes_on()
        self.waited += time.perf_counter() - start

    # --- memory -------------------------------------------------------------------------------------------------------
    def borrow(self, n: int, dtype: Any) -> np.ndarray:
        """(n,) memory that was used before, if there is any: new pages cost more than the sum."""
        spare = self._spare.get((n, dtype))
        return spare.pop() if spare else np.empty(n, dtype)

    def give_back(self, memory: np.ndarray) -> None:
        """Memory that was borrowed, for the next one."""
        self._spare.setdefault((memory.size, memory.dtype), []).append(memory)


def _free() -> int:
    """Bytes that memory in common may still take; in a container often 64 MiB in all."""
    try:
        return shutil.disk_usage("/dev/shm").free
    except OSError:
        return 0


def refuse_capture() -> None:
    """A step that is being recorded and hears of other processes on the host must not be replayed."""
    recording = active()
    if recording is not None:
        recording.ends_with(_on_the_host)


def _on_the_host() -> str:
    return "processes send each other numbers from the host, which a replay would not"


class _Done:
    """What has been done already, or will be when a recording is launched."""

    def poll(self) -> bool:
        return True

    def wait(self) -> None:
        pass


def kind_of(x: Any) -> str:
    """ "cpu", "cuda" or "emulator"."""
    return "emulator" if isinstance(x, np.ndarray) else "cuda"
