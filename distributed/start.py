"""Starting: from what a launcher has put into the environment to a group of processes."""

from __future__ import annotations

import os
import sys

from .. import _signals
from ..backend.device import ranks
from ..backend.device.parallel import VARIABLES, num_threads, set_num_threads
from .group import Group
from .watch import Watch

__all__ = ["init", "is_initialized"]

EXTRA = 'pip install "weft[distributed]"'


def own_gpu(visible: str | None, rank: int, size: int) -> str | None:
    """Which GPU of a machine is that of a process, for CUDA_VISIBLE_DEVICES; None: the launcher has seen to it."""
    if visible is None:
        return str(rank)
    gpus = [name for name in visible.split(",") if name.strip()]
    return gpus[rank] if len(gpus) >= size > 1 else None


def is_initialized() -> bool:
    """Whether `init` has found other processes.

    Returns
    -------
    bool
        False in a process that computes alone.

    Examples
    --------
    >>> weft.distributed.is_initialized()
    False
    """
    return ranks.group is not None


def init(timeout: float | None = None) -> None:
    """Meet the other processes that `mpiexec`, `srun` or another launcher has started; alone, do nothing.

    Parameters
    ----------
    timeout : float, optional
        Seconds that one process may keep the others waiting before all of them are ended. By default what the environment
        variable WEFT_TIMEOUT says, or 300.

    Raises
    ------
    ImportError
        If there are other processes, and mpi4py or an MPI library is missing.
    RuntimeError
        If the launcher has started several processes that MPI does not know of.
    ValueError
        If `timeout` is not positive.

    Notes
    -----
    A second call does nothing. A process that raises, dies or hangs ends all others, with a line that names it.

    Examples
    --------
    >>> weft.distributed.init()
    >>> weft.distributed.size()
    1
    """
    if timeout is None:
        timeout = float(os.environ.get("WEFT_TIMEOUT", 300))
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not timeout > 0:
        raise ValueError(f"`timeout` must be a positive number of seconds, got {timeout!r}")
    size = ranks.launched()[1]
    if ranks.group is not None or size == 1:
        return
    os.environ.setdefault("OMPI_MCA_osc", "^ucx")  # of Open MPI 5.0, which complains when memory is shared
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: it finds no library of MPI
        raise ImportError(f"{size} processes need mpi4py and an MPI library ({error}); {EXTRA}") from None
    comm = MPI.COMM_WORLD.Dup()
    if comm.Get_size() == 1:
        raise RuntimeError(
            f"the launcher has started {size} processes, and MPI knows of 1: it is another library's launcher; start them "
            f"with the mpiexec beside {sys.executable}, or with srun --mpi"
        )
    group = Group(comm)
    gpu = own_gpu(os.environ.get("CUDA_VISIBLE_DEVICES"), group.local_rank, group.local_size)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # read when CUDA starts, which nothing has asked for yet
    group.watch = Watch(group, timeout)
    _signals.speaks = group.rank == 0
    if not any(name in os.environ for name in VARIABLES):  # each has its share of the cores
        set_num_threads(max(1, num_threads() // group.local_size))
    ranks.group = group
