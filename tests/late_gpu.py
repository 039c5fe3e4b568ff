"""A GPU that does everything at the worst moment, with the few calls of CuPy's by which batches travel.

Streams are queues. What is asked of them is done when something forces it, or when the `policy` says so: "eager" does
all at once, "lazy" nothing by itself, "copies" and "compute" the one kind of stream long before the other, an integer
seeds a random choice. Device memory that the host lets go of is given out again at once, and page-locked memory is
scribbled on, whatever still reads or writes them: as on a real GPU, order is the business of events alone.
"""

import ctypes
import random
import sys
import threading
import types
import weakref
from collections import defaultdict, deque

import numpy as np

from weft.backend.device import devices

POLICIES = ("eager", "lazy", "copies", "compute", *range(12))


def plug_in(monkeypatch, policy):
    """A new machine, the one that `import cupy` and "cuda" find from then on."""
    gpu = Late(policy)
    monkeypatch.setitem(sys.modules, "cupy", gpu.cupy)
    for name in ("cuda", "cuda:0"):
        monkeypatch.setitem(devices._opened, name, gpu.cupy)
    return gpu


class Late:
    """The machine; `cupy` is the module that speaks to it."""

    def __init__(self, policy):
        self.policy, self.random = policy, random.Random(policy if isinstance(policy, int) else 0)
        self.lock = threading.RLock()
        self.streams = []
        self.pinned = []  # all page-locked memory that was ever asked for
        self.free = defaultdict(list)  # device memory by size
        self.waits = []  # the names of threads that had to wait for the device
        self.compute = Stream(self)
        self.cupy = self._module()

    def _module(self):
        cupy = types.ModuleType("cupy")
        cupy.empty = lambda shape, dtype: Array(self, shape, dtype)
        cupy.asarray = lambda a, dtype=None, copy=None: a
        runtime = types.SimpleNamespace(
            getDeviceCount=lambda: 1, getDevice=lambda: 0, CUDARuntimeError=CUDARuntimeError
        )
        cupy.cuda = types.SimpleNamespace(
            Device=Device,
            Event=lambda block, disable_timing: Event(self),
            Stream=lambda non_blocking: Stream(self),
            get_current_stream=lambda: self.compute,
            alloc_pinned_memory=self.alloc_pinned_memory,
            runtime=runtime,
        )
        return cupy

    # --- what is asked of it ------------------------------------------------------------------------------------------
    def alloc_pinned_memory(self, size):
        memory = np.full(-(-size // 512) * 512, 0xCC, np.uint8)
        self.pinned.append(memory)
        owner = (ctypes.c_char * memory.nbytes).from_buffer(memory)
        weakref.finalize(owner, memory.fill, 0xDD)  # it goes to somebody else
        return owner

    def apply(self, function, *arrays):
        """A kernel on the compute stream: function(*arrays) of NumPy, as a new array."""
        shapes = [np.empty(a.shape, a.dtype) for a in arrays]
        like = function(*shapes)
        out = Array(self, like.shape, like.dtype)
        to, given = out.memory, [a.memory for a in arrays]
        self.compute.ask(lambda: np.copyto(to, function(*given)))
        return out

    # --- what it does ---------------------------------------------------------------------------------------------------
    def tick(self):
        """Time passes."""
        with self.lock:
            copies = [s for s in self.streams if s is not self.compute]
            if isinstance(self.policy, int):
                for _ in range(self.random.randrange(4)):
                    self.random.choice(self.streams).step()
                return
            moving = {"eager": self.streams, "lazy": [], "copies": copies, "compute": [self.compute]}[self.policy]
            while sum(stream.step() for stream in moving):
                pass

    def finish(self):
        """Do all that was asked for."""
        with self.lock:
            while sum(stream.step() for stream in self.streams):
                pass
            assert not any(stream.queue for stream in self.streams), "a stream waits for ever"


class CUDARuntimeError(RuntimeError):
    pass


class Device:
    def __init__(self, id):
        self.id = id

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Event:
    def __init__(self, gpu):
        self.gpu, self.stream, self.is_over = gpu, None, False

    @property
    def done(self):
        self.gpu.tick()
        return self.is_over

    def synchronize(self):
        with self.gpu.lock:
            if not self.is_over:
                self.gpu.waits.append(threading.current_thread().name)
            self.force()

    def force(self):
        while not self.is_over:
            if not self.stream.step():
                self.stream.queue[0].force()


class Stream:
    def __init__(self, gpu):
        self.gpu, self.queue = gpu, deque()  # of functions, and of events to wait for
        gpu.streams.append(self)

    def ask(self, operation):
        with self.gpu.lock:
            self.queue.append(operation)
        self.gpu.tick()

    def step(self):
        """Do one thing, unless there is nothing to do or the stream has to wait."""
        if not self.queue or (isinstance(self.queue[0], Event) and not self.queue[0].is_over):
            return False
        operation = self.queue.popleft()
        if not isinstance(operation, Event):
            operation()
        return True

    def record(self, event):
        event.stream = self
        self.ask(lambda: setattr(event, "is_over", True))
        return event

    def wait_event(self, event):
        self.ask(event)

    def is_capturing(self):
        return False


class Array:
    """An array on the device: `memory` is not to be read by the host before `Late.finish`."""

    device = Device(0)

    def __init__(self, gpu, shape, dtype):
        self.gpu, self.shape, self.dtype = gpu, tuple(shape), np.dtype(dtype)
        self.ndim, self.size = len(self.shape), int(np.prod(self.shape))
        size = self.size * self.dtype.itemsize
        block = gpu.free[size].pop() if gpu.free[size] else np.full(size, 0xAA, np.uint8)
        self.memory = block.view(self.dtype).reshape(self.shape)
        weakref.finalize(self, gpu.free[size].append, block)

    def set(self, host, stream):
        assert (host.shape, host.dtype) == (self.shape, self.dtype)
        if not host.size:
            return
        address, to = host.ctypes.data, self.memory
        (source,) = [m for m in self.gpu.pinned if m.ctypes.data <= address < m.ctypes.data + m.nbytes]
        given = np.ndarray(host.shape, host.dtype, source, address - source.ctypes.data)
        stream.ask(lambda: np.copyto(to, given))


Array.__module__ = "cupy"
