"""`torch.multiprocessing`: processes that train one model in shared memory, without locks.

A process is forked, whatever start is asked for, so what it is given need not be pickled. `share_memory` puts parameters and
buffers into memory that forked processes share. An optimizer of such a process moves the parameters into its own arena: so each
of its steps begins with what lies in the shared memory, and leaves there what it has made of it.
"""

from __future__ import annotations

import mmap
import multiprocessing
from typing import Any

import numpy as np

from ...backend.array import random
from ...backend.tape.sharing import changed
from ...backend.tape.tensor import Parameter, Tensor
from ...layers import Module
from ...optimizers.optimizer import Optimizer

__all__ = ["FUNCTIONS", "Process", "share_memory", "share_tensor", "spawn"]

_context = multiprocessing.get_context("fork") if "fork" in multiprocessing.get_all_start_methods() else None
_shared: dict[int, tuple[Tensor, np.ndarray]] = {}  # tensors, which live on here, and the memory that is shared


def share_tensor(x: Tensor) -> Tensor:
    """Put a tensor into memory that forked processes share.

    Parameters
    ----------
    x : Tensor
        On a CPU.

    Returns
    -------
    Tensor
        Itself.

    Raises
    ------
    RuntimeError
        If it is on another device.
    """
    if x.device != "cpu":
        raise RuntimeError(f"`share_memory_` needs a tensor on the CPU, got one on {x.device}; move it: .cpu()")
    if id(x) not in _shared:
        memory = np.frombuffer(mmap.mmap(-1, max(x.data.nbytes, 1)), x.dtype, x.data.size).reshape(x.shape)
        memory[...] = x.data
        x.data = memory
        if isinstance(x, Parameter):
            x._grad_view = None
        _shared[id(x)] = x, memory
    return x


def share_memory(module: Module) -> Module:
    """Put a module's parameters and buffers into memory that forked processes share.

    Parameters
    ----------
    module : Module
        Which.

    Returns
    -------
    Module
        Itself.
    """
    for x in (*module.parameters(), *module.buffers()):
        share_tensor(x)
    return module


def _steps_in_shared_memory() -> None:
    """Have the steps of this process begin and end in the shared memory."""
    advance, step = Optimizer.advance, Optimizer._step

    def begin(self: Optimizer) -> Any:
        for x, memory in _of(self):
            if x.data is not memory:
                x.data[...] = memory
                changed(x.data)
        return advance(self)

    def end(self: Optimizer, *args: Any) -> None:
        step(self, *args)
        for x, memory in _of(self):
            if x.data is not memory:
                memory[...] = x.data

    setattr(Optimizer, "advance", begin)  # noqa: B010  (mypy's "unsound")
    setattr(Optimizer, "_step", end)  # noqa: B010


def _of(optimizer: Optimizer) -> list[tuple[Tensor, np.ndarray]]:
    return [_shared[id(p)] for group in optimizer.param_groups for p in group["params"] if id(p) in _shared]


def _run(target: Any, args: tuple, options: dict[str, Any]) -> None:
    _steps_in_shared_memory()
    random.manual_seed(random.default_generator.seed + multiprocessing.current_process()._identity[-1])
    target(*args, **options)


class Process:
    """A forked process.

    Parameters
    ----------
    group : None
        As in Python.
    target : callable
        What it runs.
    name : str, optional
        As in Python.
    args, kwargs : tuple and dict
        What `target` is called with.
    daemon : bool, optional
        As in Python.
    """

    def __new__(
        cls,
        group: None = None,
        target: Any = None,
        name: Any = None,
        args: Any = (),
        kwargs: Any = None,
        *,
        daemon: Any = None,
    ) -> Any:
        if _context is None:
            raise RuntimeError("`Process` needs an operating system that can fork")
        return _context.Process(group, _run, name, (target, tuple(args), dict(kwargs or {})), daemon=daemon)


def spawn(fn: Any, args: tuple = (), nprocs: int = 1, join: bool = True, daemon: bool = False, **_options: Any) -> Any:
    """Run fn(number, *args) in several processes.

    Parameters
    ----------
    fn : callable
        What they run.
    args : tuple, default ()
        What it is called with after the process's number.
    nprocs : int, default 1
        How many.
    join : bool, default True
        Whether to wait for them.
    daemon : bool, default False
        As in Python.
    **_options : object
        PyTorch's, which change nothing.

    Returns
    -------
    list of Process or None
        Those, if nobody waits.

    Raises
    ------
    RuntimeError
        If a process that is waited for has failed.
    """
    processes = [Process(target=fn, args=(i, *args), daemon=daemon) for i in range(nprocs)]
    for process in processes:
        process.start()
    if not join:
        return processes
    for i, process in enumerate(processes):
        process.join()
        if process.exitcode:
            raise RuntimeError(f"process {i} of `spawn` has ended with {process.exitcode}; what it printed says why")
    return None


FUNCTIONS: dict[str, Any] = {
    "Process": Process,
    "spawn": spawn,
    "set_start_method": lambda method=None, force=False: None,
    "get_start_method": lambda allow_none=False: "fork",
    "get_context": lambda method=None: _context,
    "set_sharing_strategy": lambda strategy: None,
    "get_sharing_strategy": lambda: "file_system",
    **{
        name: getattr(multiprocessing, name)
        for name in (
            "Queue",
            "SimpleQueue",
            "Pipe",
            "Event",
            "Lock",
            "Value",
            "Array",
            "Manager",
            "cpu_count",
            "current_process",
            "Pool",
            "Barrier",
            "Semaphore",
        )
    },
}
