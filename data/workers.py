"""Batches made by worker processes, and random numbers that depend on seed, epoch and batch, not on who made it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..backend.array.random import default_generator
from ..backend.device import devices, parallel
from ..backend.tape.tensor import device_of, innermost
from .collate import each

__all__ = ["get_worker_info"]


class Task(NamedTuple):
    """A batch to be made: which (by seed, epoch and number), and of which samples."""

    seed: int
    epoch: int
    number: int
    index: Any


class WorkerInfo(NamedTuple):
    """What a worker process knows of itself: its number among `num_workers`, its seed, its copy of the data set."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_BROKEN = (
    "a worker process of the DataLoader ended without a word (killed, out of memory, or it could not be started: its "
    "script needs `if __name__ == '__main__':`); num_workers=0 shows what happens in it"
)
_info: WorkerInfo | None = None
_make: Callable[[Task], Any] | None = None  # in a worker: what makes a batch
_failure: Exception | None = None  # in a worker: what `worker_init_fn` raised


def get_worker_info() -> WorkerInfo | None:
    """Which worker process of a `DataLoader` this is, as `torch.utils.data.get_worker_info`.

    Returns
    -------
    WorkerInfo or None
        `id`, `num_workers`, `seed` and the worker's `dataset`; None in the main process.

    Examples
    --------
    >>> weft.data.get_worker_info() is None
    True
    """
    return _info


def seed_all(*key: int) -> int:
    """Seed `random`, `numpy.random` and weft's default generator with a function of `key`; returns the seed."""
    import random

    words = np.random.SeedSequence(key).generate_state(8)
    seed = int(words[0]) | int(words[1]) << 32
    random.seed(seed)
    np.random.seed(words[2:6])  # noqa: NPY002  (the stream that users' code draws from)
    default_generator.manual_seed(int(words[6]) | int(words[7]) << 32)
    return seed


@contextlib.contextmanager
def seeded(task: Task) -> Iterator[None]:
    """Let what is drawn in this block belong to the task alone; afterwards all streams go on where they were."""
    import random

    states = random.getstate(), np.random.get_state(), default_generator.get_state()  # noqa: NPY002
    seed_all(task.seed, task.epoch, task.number)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        default_generator.set_state(states[2])


class Workers:
    """Processes, each with a copy of the data set, that make batches: `make(task)`, whichever is free the next one."""

    def __init__(
        self,
        make: Callable[[Task], Any],
        dataset: Any,
        num_workers: int,
        init_fn: Callable[[int], Any] | None,
        key: tuple[int, int],
        context: Any = None,
        timeout: float = 0,
    ):
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        if context is None and sys.platform == "linux":
            context = "fork"  # as PyTorch: data sets of a notebook, or with a lambda in them, need no pickling
        if context is None or isinstance(context, str):
            context = multiprocessing.get_context(context)
        self.timeout, self._pending, self.process = timeout or None, set[Any](), os.getpid()
        self._pool = ProcessPoolExecutor(
            num_workers, context, _start, (make, dataset, num_workers, init_fn, key, context.Value("i", 0))
        )
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", ".*fork", DeprecationWarning
            )  # threads of ours that a worker does without
            self.submit(None)  # now: the fewer threads there are at a fork, the better

    def submit(self, task: Task | None) -> Any:
        """What `result` waits for."""
        from concurrent.futures import BrokenExecutor

        try:
            future = self._pool.submit(_work, task)
        except BrokenExecutor as error:
            raise RuntimeError(_BROKEN) from error
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        return future

    def result(self, future: Any) -> Any:
        """A batch; or what the data set raised, with the worker's traceback as its cause."""
        from concurrent.futures import BrokenExecutor

        try:
            return future.result(self.timeout)
        except BrokenExecutor as error:
            raise RuntimeError(_BROKEN) from error
        except TimeoutError as error:
            if future.done():  # the data set's own
                raise
            self.stop(at_once=True)
            raise RuntimeError(f"`timeout` must leave a worker the time for a batch, got {self.timeout} s") from error

    def rest(self) -> None:
        """Forget what was asked for and is not yet begun."""
        for future in list(self._pending):
            future.cancel()

    def stop(self, at_once: bool = False) -> None:
        """End the processes; each finishes the batch that it is at, unless it shall not."""
        if at_once:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _start(make: Any, dataset: Any, num_workers: int, init_fn: Any, key: tuple[int, int], count: Any) -> None:
    """Make a worker of this process."""
    global _info, _make, _failure
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides what an interrupt means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not what a fork has taken over
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with count.get_lock():
        number = count.value
        count.value += 1
    devices.set_default_device("cpu")  # a GPU belongs to the main process
    parallel.set_num_threads(1)
    _info, _make = WorkerInfo(number, num_workers, seed_all(*key, 1 << 32, number), dataset), make
    try:
        if init_fn is not None:
            init_fn(number)
    except Exception as error:
        _failure = error


def _end_with_parent() -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: Task | None) -> Any:
    """What a worker does: raw arrays of the batch, since they are what travels."""
    if task is None:
        return None
    try:
        if _failure is not None:
            raise _failure
        assert _make is not None
        seed_all(task.seed, task.epoch, task.number)
        return each(_on_host, _make(task))
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # it cannot be sent: its text can
            raise RuntimeError("".join(traceback.format_exception(error))) from None
        raise


def _on_host(array: Any) -> Any:
    raw = innermost(array)
    return raw if device_of(raw) == "cpu" else devices.to_numpy(raw)
