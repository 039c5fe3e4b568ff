"""What records the operations of a step and launches them all: a CUDA graph, or in the emulator a list."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any

from ..device import devices, memory

__all__ = ["recorder_for"]


def recorder_for(device: str, recording: Any) -> Any:
    """What has `record(step)`, which gives a graph and what the step returned, `launch(graph)` and, meanwhile, `owns(data)`."""
    if devices.kind(device) == "cpu":
        from .host import Host

        return Host(recording)
    return _Emulated() if devices.kind(device) == "emulator" else _Cuda()


class _Emulated:
    """A list of operations on the emulator's memory."""

    def record(self, step: Callable[[], Any]) -> tuple[Any, Any]:
        from ...kernels import emulator

        with emulator.capture() as graph:
            outputs = step()
        return graph, outputs

    def owns(self, data: Any) -> bool:
        from ...kernels import emulator

        graph = emulator.current()
        return graph is None or graph.has_made(data)

    def launch(self, graph: Any) -> None:
        graph.launch()


class _Cuda:
    """A CUDA graph, recorded on a stream and a memory pool of its own, launched on the stream of whoever calls.

    The default stream, on which CuPy works, cannot be recorded. Nothing runs on the other one, so the two need no order. Its
    products have a workspace of their own, so that replays and what else runs meanwhile do not meet in one.

    A graph holds addresses. Its intermediate results are free memory to the pool, which gives that back to CUDA as it
    sees fit (when it finds no room for more, for one) while the graph goes on writing there. So all of it is held here.
    """

    def __init__(self) -> None:
        import cupy

        from ...kernels.toolchain.cublas import cublas

        held: list[Any] = []
        self._held = held

        def allocate(size: int) -> Any:
            piece = cupy.cuda.Memory(size)
            held.append(piece)
            return cupy.cuda.MemoryPointer(piece, 0)

        self.pool = cupy.cuda.MemoryPool(allocate)
        self.stream = cupy.cuda.Stream(non_blocking=True)
        with self.stream:
            libraries = cublas()
            libraries.place()  # while memory may be had
        weakref.finalize(self, libraries.forget, self.stream.ptr)
        memory.recorders.add(self)

    def record(self, step: Callable[[], Any]) -> tuple[Any, Any]:
        import cupy

        cupy.get_default_memory_pool().free_all_blocks()  # what the steps before left: there is room for this one then
        with cupy.cuda.using_allocator(memory.explaining(self.pool.malloc)), self.stream:
            self.stream.begin_capture()
            try:
                outputs = step()
            except BaseException:
                with contextlib.suppress(cupy.cuda.runtime.CUDARuntimeError):  # it complains of what is being raised
                    self.stream.end_capture()
                raise
            return self.stream.end_capture(), outputs

    def owns(self, data: Any) -> bool:
        at = data.data.ptr
        return any(piece.ptr <= at < piece.ptr + piece.size for piece in self._held)

    def launch(self, graph: Any) -> None:
        graph.launch()
