"""The same processes over NCCL, one GPU each: sums on a stream of their own, beside what computes.

What is summed was computed on the caller's stream, so NCCL's stream waits for that; and whoever uses the sum makes the
caller's stream wait for NCCL's. Both waits are events, which a CUDA graph records, NCCL's kernels included: so they are in
captured steps, too. The host waits for neither.

NCCL adds up in an order that the machine's topology and the size decide, not timing. Half precision goes through float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.device.devices import DeviceError

__all__ = ["NCCL"]


class NCCL:
    """A communicator of NCCL among the processes of a group, through CuPy's binding.

    Parameters
    ----------
    group : Group
        Its MPI tells the others how to meet.
    """

    def __init__(self, group: Any):
        import cupy
        from cupy.cuda import nccl

        if not hasattr(nccl, "NcclCommunicator"):  # CuPy has an empty module in its place
            raise DeviceError(
                'sums over GPUs need NCCL, found no libnccl.so.2; pip install "weft[nccl]" (nvidia-nccl-cu13)'
            )
        self.cupy, self.nccl, self.group = cupy, nccl, group
        identity = group.object_of(nccl.get_unique_id() if group.rank == 0 else None)
        self.comm = nccl.NcclCommunicator(group.size, identity, group.rank)
        self.stream = cupy.cuda.Stream(non_blocking=True)
        names = {"float32": nccl.NCCL_FLOAT32, "float64": nccl.NCCL_FLOAT64, "int32": nccl.NCCL_INT32,
                 "int64": nccl.NCCL_INT64, "uint8": nccl.NCCL_UINT8}  # fmt: skip
        self.dtypes = {np.dtype(name): code for name, code in names.items()}
        self.operations = {"sum": nccl.NCCL_SUM, "mean": nccl.NCCL_SUM, "max": nccl.NCCL_MAX,
                           "min": nccl.NCCL_MIN, "prod": nccl.NCCL_PROD}  # fmt: skip

    def start(self, x: Any, op: str = "sum", *, cuts: Sequence[int] | None = None, scatter: bool = False) -> _OnStream:
        """Begin x ← Σ over all processes, in place, on NCCL's stream; see `Group.start`.

        Parameters
        ----------
        x : cupy.ndarray of shape (n,)
            Contiguous.
        op : {"sum", "mean", "max", "min", "prod"}
            What is done.
        cuts : sequence of int, optional
            Where the parts of the processes begin, for `scatter`.
        scatter : bool
            Only the own part is to be summed.

        Returns
        -------
        object
            With `poll` and `wait`.
        """
        wide = x.astype(np.float32) if x.dtype.itemsize == 2 else x
        code, operation = self._code(wide), self.operations[op]
        self._follow()
        if scatter and cuts is not None:
            self.nccl.groupStart()
            for root in range(self.group.size):
                part = wide[cuts[root] : cuts[root + 1]]
                if part.size:
                    self.comm.reduce(part.data.ptr, part.data.ptr, part.size, code, operation, root, self.stream.ptr)
            self.nccl.groupEnd()
        else:
            self.comm.allReduce(wide.data.ptr, wide.data.ptr, wide.size, code, operation, self.stream.ptr)
        return _OnStream(self, x, wide, op)

    def gather_parts(self, x: Any, cuts: Sequence[int]) -> None:
        """Everybody receives what each process has in its own part of a vector.

        Parameters
        ----------
        x : cupy.ndarray of shape (n,)
            Contiguous.
        cuts : sequence of int
            Where the parts begin.
        """
        raw = x.view(np.uint8)
        self._follow()
        self.nccl.groupStart()
        for root in range(self.group.size):
            part = raw[cuts[root] * x.itemsize : cuts[root + 1] * x.itemsize]
            if part.size:
                self.comm.broadcast(
                    part.data.ptr, part.data.ptr, part.size, self.nccl.NCCL_UINT8, root, self.stream.ptr
                )
        self.nccl.groupEnd()
        self.lead()

    def _code(self, x: Any) -> int:
        if x.dtype not in self.dtypes:
            raise TypeError(f"sums over GPUs need float16, bfloat16, float32, float64, int32 or int64, got {x.dtype}")
        return self.dtypes[x.dtype]

    def _follow(self) -> None:
        """Let NCCL's stream wait for what the caller's has yet to do."""
        event = self.cupy.cuda.Event(disable_timing=True)
        event.record(self.cupy.cuda.get_current_stream())
        self.stream.wait_event(event)

    def lead(self) -> None:
        """Let the caller's stream wait for NCCL's."""
        event = self.cupy.cuda.Event(disable_timing=True)
        event.record(self.stream)
        self.cupy.cuda.get_current_stream().wait_event(event)


class _OnStream:
    """A sum that NCCL's stream is at, or will be."""

    def __init__(self, nccl: NCCL, x: Any, wide: Any, op: str):
        self.nccl, self.x, self.wide, self.op = nccl, x, wide, op

    def poll(self) -> bool:
        """Whether it is known to be done, which the host does not ask."""
        return False

    def wait(self) -> None:
        """Let the caller's stream wait for it."""
        self.nccl.lead()
        if self.op == "mean":
            self.wide /= self.nccl.group.size
        if self.wide is not self.x:
            self.x[...] = self.wide
