"""The streams and the memory of `cupy_stand_in`: work is done at once, but counts as done only where CUDA says so.

Each stream has a clock; an event carries it to whoever waits. An access to memory that the last one, on another stream,
is not known to come before, is a Race. Memory comes from pools as CuPy's does: by stream, the most recently freed first.
Page-locked memory that is let go of is scribbled on, as others get it; memory that a copy reads must be as it was when that
was asked for, until somebody has waited for the copy. `behave` says what an event answers that nobody has waited for.
A capture records and does nothing; a graph holds addresses, not memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import itertools
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes  # noqa: F401  (before CuPy, which registers bfloat16 only then)
import numpy as np

real = importlib.import_module("cupy")
CUDARuntimeError = real.cuda.runtime.CUDARuntimeError
OUT_OF_MEMORY, UNSUPPORTED, INVALIDATED = 2, 900, 901  # cudaErrorMemoryAllocation, cudaErrorStreamCapture…


lock = threading.RLock()  # of the clocks: threads prepare batches and ask for copies at the same time


class Race(AssertionError):
    """Two streams use memory, and nothing says which comes first."""


# --- streams: who knows of what -------------------------------------------------------------------------------------------
class Clock(dict):
    """How much of each stream's work is known to be done: {stream: number of operations}."""

    def learn(self, other: Clock) -> None:
        for stream, time in other.items():
            self[stream] = max(self.get(stream, 0), time)


class Event:
    """What was asked of a stream until it was recorded there."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False):
        self.clock = Clock()

    def record(self, stream: Stream | None = None) -> None:
        with lock:
            self.clock = Clock((stream or get_current_stream()).now())

    def synchronize(self) -> None:
        with lock:
            if not self.is_known():
                waits.append(threading.current_thread().name)
            host_learns(self.clock)

    @property
    def done(self) -> bool:
        with lock:
            if not self.is_known() and happens_to_be_done():
                host_learns(self.clock)
            return self.is_known()

    def is_known(self) -> bool:
        """Whether the host has waited for it, or seen that it is done."""
        return all(host.get(stream, 0) >= time for stream, time in self.clock.items())


class Stream:
    """Work in order. Its clock says what is known to be done before whatever the stream is given next."""

    null: Stream
    blocking: list[Stream] = []  # these and the null stream wait for each other
    every: list[Stream] = []
    numbers = itertools.count()

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None):
        self.ptr, self.device_id, self.is_non_blocking = next(Stream.numbers), 0, non_blocking
        self.clock, self.graph = Clock(), None
        Stream.every.append(self)
        if not (null or non_blocking):
            Stream.blocking.append(self)

    def __enter__(self) -> Stream:
        thread.streams.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        thread.streams.pop()

    def use(self) -> Stream:
        thread.streams[-1] = self
        return self

    def now(self) -> Clock:
        self.clock.learn(host)
        if self is Stream.null or not self.is_non_blocking:
            for other in Stream.blocking if self is Stream.null else [Stream.null]:
                self.clock.learn(other.clock)
        return self.clock

    def synchronize(self) -> None:
        if self.graph is not None:
            self.graph.is_broken = True
            raise CUDARuntimeError(UNSUPPORTED)
        host_learns(self.now())

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        with lock:
            self.clock.learn(event.clock)

    def begin_capture(self, mode: int | None = None) -> None:
        if self is Stream.null:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        assert self.graph is None, "the stream is capturing already"
        self.graph = Graph.__new__(Graph)
        self.graph.operations, self.graph.is_broken = [], False

    def end_capture(self) -> Graph:
        graph, self.graph = self.graph, None
        if graph is None or graph.is_broken:
            raise CUDARuntimeError(INVALIDATED)
        return graph

    def is_capturing(self) -> bool:
        return self.graph is not None

    def refuse_in_capture(self, what: str) -> None:
        if self.graph is not None:
            raise RuntimeError(f"the current stream is capturing, so {what} are disallowed")

    def do(self, operation: Callable[[], Any], reads: list[Memory], writes: list[Memory]) -> None:
        """Have something done to memory, in the order of the stream."""
        if self.graph is not None:
            self.graph.operations.append((operation, *([weakref.ref(m) for m in used] for used in (reads, writes))))
            return
        with lock:
            now = self.now()
            now[self.ptr] = now.get(self.ptr, 0) + 1
            for memory in reads:
                memory.access(now, self.ptr, writes=False)
            for memory in writes:
                memory.access(now, self.ptr, writes=True)
        with np.errstate(all="ignore"):
            operation()


class Graph:
    """What a capture recorded."""

    operations: list[tuple]  # what is done, and the memory that it reads and writes, which may have gone
    is_broken: bool

    def __init__(self, *args: Any, **kwargs: Any):
        raise NotImplementedError("currently this class cannot be initiated by the user")

    def launch(self, stream: Stream | None = None) -> None:
        for operation, *used in self.operations:
            reads, writes = ([m() for m in memory] for memory in used)
            assert None not in reads + writes, "the graph uses memory that was freed"
            (stream or get_current_stream()).do(operation, reads, writes)


class Thread(threading.local):
    """What CuPy keeps for each thread."""

    def __init__(self) -> None:
        self.streams, self.allocators = [Stream.null], [None]


def get_current_stream(device_id: int = -1) -> Stream:
    return thread.streams[-1]


Stream.null = Stream(null=True)
host, thread = Clock(), Thread()
flying: list[tuple] = []  # copies from the host that may be under way: stream, time, host memory, what it held
waits: list[str] = []  # the names of threads that had to wait for an event
happens_to_be_done: Callable[[], bool]  # the answer of an event that nobody has waited for


def behave(policy: str | int) -> None:
    """How fast the device is: "lazy" does nothing before somebody waits, "eager" all at once, an integer seeds chance."""
    global happens_to_be_done
    chance = random.Random(policy if isinstance(policy, int) else 0)
    happens_to_be_done = {"lazy": lambda: False, "eager": lambda: True}.get(policy, lambda: chance.random() < 0.5)


behave("lazy")


def host_learns(clock: Clock) -> None:
    """The host has waited. What copies that are done by now have read must not have been overwritten."""
    with lock:
        host.learn(clock)
        for copy in [f for f in flying if host.get(f[0], 0) >= f[1]]:
            flying.remove(copy)
            assert copy[2].tobytes() == copy[3].tobytes(), "memory was filled again while it was copied from"


def finish() -> None:
    """The host waits for all that was asked of all streams."""
    for stream in Stream.every:
        host_learns(stream.clock)


def reset() -> None:
    """What earlier tests left under way is forgotten."""
    behave("lazy")
    for kept in (flying, waits, pinned):
        kept.clear()


# --- page-locked memory -------------------------------------------------------------------------------------------------
pinned: list[np.ndarray] = []  # all that was ever asked for


def alloc_pinned_memory(size: int) -> Any:
    memory = np.full(-(-size // 512) * 512, 0xCC, np.uint8)
    pinned.append(memory)
    owner = (ctypes.c_char * memory.nbytes).from_buffer(memory)
    weakref.finalize(owner, memory.fill, 0xDD)  # it goes to somebody else
    return owner


def read_by_a_copy(array: np.ndarray) -> np.ndarray:
    """The array's memory: not owned, as a copy under way does not own it, where it is page-locked."""
    address = array.ctypes.data
    for memory in pinned if array.size else ():
        if memory.ctypes.data <= address < memory.ctypes.data + memory.nbytes:
            return np.ndarray(array.shape, array.dtype, memory, address - memory.ctypes.data, array.strides)
    return array


# --- memory ---------------------------------------------------------------------------------------------------------------
class Memory:
    """A piece of the device's memory."""

    limit, taken = 1 << 62, 0  # of all there are
    everywhere: weakref.WeakValueDictionary[int, Memory] = weakref.WeakValueDictionary()  # by address

    def __init__(self, size: int):
        if Memory.taken + size > Memory.limit:
            raise CUDARuntimeError(OUT_OF_MEMORY)
        raw = np.empty(size + 256, np.uint8)
        start = -raw.ctypes.data % 256
        self.bytes, self.device_id = raw[start : start + size], 0
        self.ptr, self.last_write, self.last_reads = self.bytes.ctypes.data, Clock(), Clock()
        self.size, Memory.taken = size, Memory.taken + size
        Memory.everywhere[self.ptr] = self

    def __del__(self) -> None:
        Memory.taken -= getattr(self, "size", 0)

    @staticmethod
    def at(place: int) -> Memory:
        found = Memory.everywhere.get(max((p for p in list(Memory.everywhere) if p <= place), default=0))
        assert found is not None, f"nobody's memory: {place:#x}"
        assert place < found.ptr + found.size, f"nobody's memory: {place:#x}"
        return found

    def access(self, now: Clock, stream: int, *, writes: bool) -> None:
        for other, time in [*self.last_write.items(), *(self.last_reads.items() if writes else ())]:
            if now.get(other, 0) < time:
                raise Race(
                    f"stream {stream} {'writes' if writes else 'reads'} {self.size} bytes that stream {other} uses"
                )
        if writes:
            self.last_write, self.last_reads = Clock({stream: now[stream]}), Clock()
        else:
            self.last_reads[stream] = now[stream]


class MemoryPointer:
    """A place in memory."""

    def __init__(self, mem: Any, offset: int):
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, 0


class PooledMemory:
    """What a pool hands out: goes back to it, for the same stream, when nobody has it any more."""

    def __init__(self, free: list[Memory], used: set[Memory]):
        self.chunk, self.free, self.used = free.pop(), free, used
        self.ptr, self.size = self.chunk.ptr, self.chunk.size
        used.add(self.chunk)

    def __del__(self) -> None:
        self.used.discard(self.chunk)
        self.free.append(self.chunk)


class MemoryPool:
    """Memory that is kept when it is freed, for the next who asks for as much on the same stream."""

    def __init__(self, allocator: Callable[[int], MemoryPointer] | None = None):
        self._allocate = allocator or (lambda size: MemoryPointer(Memory(size), 0))
        self._free: dict[tuple, list[Memory]] = {}  # by stream and size
        self._used: set[Memory] = set()

    def malloc(self, size: int) -> MemoryPointer:
        size = -(-size // 512) * 512
        free = self._free.setdefault((get_current_stream().ptr, size), [])
        if not free:
            try:
                free.append(self._allocate(size).mem)
            except CUDARuntimeError:
                self.free_all_blocks()
                try:
                    free.append(self._allocate(size).mem)
                except CUDARuntimeError:
                    raise real.cuda.memory.OutOfMemoryError(size, self.total_bytes(), 0) from None
        return MemoryPointer(PooledMemory(free, self._used), 0)

    def free_all_blocks(self, stream: Stream | None = None) -> None:
        for free in self._free.values():
            free.clear()

    def used_bytes(self) -> int:
        return sum(m.size for m in self._used)

    def free_bytes(self) -> int:
        return sum(m.size for free in self._free.values() for m in free)

    def total_bytes(self) -> int:
        return self.used_bytes() + self.free_bytes()


@contextlib.contextmanager
def using_allocator(allocator: Callable[[int], MemoryPointer] | None = None) -> Iterator[None]:
    thread.allocators.append(allocator)
    try:
        yield
    finally:
        thread.allocators.pop()


default_pool = MemoryPool()
default_allocator = [default_pool.malloc]


def get_allocator() -> Callable[[int], MemoryPointer]:
    return thread.allocators[-1] or default_allocator[0]


def set_allocator(allocator: Callable[[int], MemoryPointer] | None = None) -> None:
    default_allocator[0] = allocator or MemoryPool().malloc
