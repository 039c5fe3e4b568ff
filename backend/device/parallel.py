"""Threads for array work: one persistent pool, shared by every primitive that splits its batch.

NumPy lets go of Python's global lock inside its loops and its matrix products, so plain threads scale. While they run,
BLAS is held to one thread of its own: n threads that each wake n more would only get in each other's way. What threads BLAS has
woken look for more work for a tenth of a second (OpenBLAS), on the cores that others want: `products` are spread over these, too.
"""

import contextvars
import itertools
import os
import queue
import threading
from collections.abc import Callable

VARIABLES = ("WEFT_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")

_threads = 0  # 0: not asked for yet
_blas: list | None = None  # threadpoolctl's controllers, one for each BLAS in the process
_tasks: queue.SimpleQueue | None = None
_workers = 0
noting: Callable[..., bool] | None = None  # told of regions, by their function and bounds, while a step is recorded
_region = threading.Lock()  # held while the pool works: nested and concurrent regions run serially
_holding = threading.Lock()  # held while somebody comes or goes who holds BLAS to one thread
_holders = 0
_limits: list[tuple] = []  # of each BLAS while it is held: how many threads it had


def num_threads() -> int:
    """Number of threads that work is spread over on a CPU, the calling thread included.

    Returns
    -------
    int
        What `set_num_threads` was told; else the first of WEFT_NUM_THREADS, OMP_NUM_THREADS and OPENBLAS_NUM_THREADS that is
        set to a positive integer; else the number of cores that the process may run on.

    Examples
    --------
    >>> weft.num_threads() >= 1
    True
    """
    global _threads
    if not _threads:
        _threads = next(filter(None, map(_threads_from_environment, VARIABLES)), 0) or _available_cores()
    return _threads


MOST = 32  # threads for each core: more are a mistake, and take gigabytes of stacks


def set_num_threads(n: int) -> None:
    """Choose how many threads work is spread over on a CPU, and, up to the number of cores, how many BLAS uses outside of that.

    Parameters
    ----------
    n : int
        At least 1. Results do not depend on it, but for the last bits of large products of matrices, which are cut by it.

    Raises
    ------
    ValueError
        If `n` is no positive integer, or far more than there are cores.

    Examples
    --------
    >>> weft.set_num_threads(weft.num_threads())
    """
    global _threads
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"`n` must be a positive integer, got {n!r}")
    if n > (most := MOST * (os.cpu_count() or 1)):
        raise ValueError(f"`n` must be at most {most}, {MOST} threads for each of this machine's cores, got {n}")
    # BLAS's threads wait busily for each other: with one too many, a recurrent layer takes 200 times as long
    of_blas = min(n, _available_cores())
    with _holding:
        if _holders:
            _limits[:] = [(library, of_blas) for library, _ in _limits]
        else:
            for library in _blas_libraries():
                library.set_num_threads(of_blas)
    _threads = n


def parallel_for(fn: Callable[[int, int], object], n: int, *, grain: int = 1) -> None:
    """Call `fn(start, stop)` on contiguous chunks that together cover `range(n)`, in parallel.

    Runs as one call `fn(0, n)` in the calling thread where there is one thread to use, where `n <= grain`, and while
    another parallel region runs (around this one, or in another thread). How many chunks there are depends on the
    number of threads: `fn` must give the same result however the range is cut. So a reduction lets `n` count blocks of
    a fixed size, keeps one partial result for each, and adds them up in order.

    The first exception, in the order of the chunks, is raised after every chunk has ended.

    Parameters
    ----------
    fn : Callable
        Called with `start < stop`; sees the caller's context variables (`np.errstate` among them).
    n : int
        Length of the range.
    grain : int, default 1
        Number of items too few to be worth a second thread.

    Examples
    --------
    >>> squares = [0] * 5
    >>> def fill(start, stop):
    ...     for i in range(start, stop):
    ...         squares[i] = i * i
    >>> parallel_for(fill, 5)
    >>> squares
    [0, 1, 4, 9, 16]
    """
    if n <= 0:
        return
    chunks = min(num_threads(), -(-n // grain))
    if noting is not None and noting(fn, [n * i // chunks for i in range(chunks + 1)]):
        return
    if chunks == 1 or not _region.acquire(blocking=False):
        fn(0, n)
        return
    region = _region
    try:
        with blas_held:
            bounds = [n * i // chunks for i in range(chunks + 1)]
            _run([_Task(fn, start, stop) for start, stop in itertools.pairwise(bounds)])
    finally:
        region.release()


def alone(fn: Callable[[int, int], object]) -> None:
    """Call `fn(0, 1)` in this thread, with BLAS held to it."""
    if noting is None or not noting(fn, [0, 1], is_alone=True):
        with blas_held:
            fn(0, 1)


class _Held:
    """Within the block, BLAS keeps to the thread that calls it; it may be entered again, and by other threads."""

    def __enter__(self) -> None:
        global _holders
        with _holding:
            _holders += 1
            if _holders == 1:
                for library in _blas_libraries():
                    _limits.append((library, library.get_num_threads()))
                    library.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        global _holders
        with _holding:
            _holders -= 1
            if not _holders:
                _let_go()


blas_held = _Held()


def _let_go() -> None:
    while _limits:
        library, limit = _limits.pop()
        library.set_num_threads(limit)


class _Task:
    """One chunk of a parallel region, to be run once by any thread."""

    __slots__ = ("args", "context", "done", "error")

    def __init__(self, *args):
        self.args = args
        self.context = contextvars.copy_context()
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def run(self) -> None:
        try:
            self.context.run(*self.args)
        except BaseException as error:  # handed to the thread that asked
            self.error = error
        finally:
            self.done.release()


def _run(tasks: list[_Task]) -> None:
    """Run the tasks on the pool, the first of them in this thread, and wait for all."""
    queued = _pool(len(tasks) - 1)
    for task in tasks[1:]:
        queued.put(task)
    tasks[0].run()
    for task in tasks:
        task.done.acquire()
    for task in tasks:
        if task.error is not None:
            raise task.error


def _pool(size: int) -> queue.SimpleQueue:
    """The queue of a pool of at least `size` threads. Daemons: they sleep in `get` and need no farewell at exit."""
    global _tasks, _workers
    if _tasks is None:
        _tasks = queue.SimpleQueue()
    while _workers < size:
        threading.Thread(target=_work, args=(_tasks,), name=f"weft-{_workers}", daemon=True).start()
        _workers += 1
    return _tasks


def _work(tasks: queue.SimpleQueue) -> None:
    while True:
        tasks.get().run()


def _blas_libraries() -> list:
    global _blas
    if _blas is None:
        from threadpoolctl import (
            ThreadpoolController,
        )  # 2 ms to look through the process's libraries: once, and not at import

        _blas = ThreadpoolController().select(user_api="blas").lib_controllers
    return _blas


def blas_architectures() -> set[str]:
    """The processor architectures whose kernels BLAS chose, in OpenBLAS's or BLIS's words."""
    return {library.architecture for library in _blas_libraries() if hasattr(library, "architecture")}


def _threads_from_environment(name: str) -> int:
    value = os.environ.get(name, "").split(",")[0].strip()  # OpenMP allows a list, one entry for each level of nesting
    return int(value) if value.isdecimal() else 0


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _forget_pool() -> None:
    """A forked child has none of its parent's threads, and must not wait for a region that one of them held."""
    global _tasks, _workers, _region, _holding, _holders
    _tasks, _workers, _region, _holding, _holders = None, 0, threading.Lock(), threading.Lock(), 0
    _let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
