"""Data parallel: one model, N processes, each with its share of every batch, on MPI and NCCL.

    mpiexec -n 4 python train.py            # weft.distributed.init() finds the others
    mpiexec -n 4 weft train --data …        # does it by itself

Nothing here is loaded unless it is asked for, and nothing imports mpi4py in a process that computes alone.
"""

from .checkpoint import load_sharded, save_sharded
from .collectives import all_gather, all_reduce, barrier, broadcast, rank, reduce_scatter, size
from .data_parallel import DistributedDataParallel
from .start import init, is_initialized
from .zero import ZeroRedundancyOptimizer

__all__ = [
    "DistributedDataParallel",
    "ZeroRedundancyOptimizer",
    "all_gather",
    "all_reduce",
    "barrier",
    "broadcast",
    "init",
    "is_initialized",
    "load_sharded",
    "rank",
    "reduce_scatter",
    "save_sharded",
    "size",
]
