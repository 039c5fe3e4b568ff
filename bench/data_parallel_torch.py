"""What `data_parallel.py` runs with PyTorch: the same step in one of N processes, over gloo. Nothing of weft is imported."""

import json
import os
import sys
import time

__all__ = ["main"]


def main(rank: int, size: int, together: bool, steps: int, batch: int, store: str) -> None:
    """Print the seconds of each step, in process 0.

    Parameters
    ----------
    rank, size : int
        Which process, of how many.
    together : bool
        Whether they add up gradients.
    steps, batch : int
        How many steps are timed, of how many samples.
    store : str
        A file by which they meet.
    """
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    os.sched_setaffinity(0, {rank % (os.cpu_count() or 1)})
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))
    if together:
        model = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    loss = nn.CrossEntropyLoss()
    x, y = torch.randn(batch, 784), torch.randint(0, 10, (batch,))
    times = []
    for step in range(steps + 20):
        if step == 20:
            dist.barrier()
        start = time.perf_counter()
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    if rank == 0:
        print(json.dumps(times[20:]), flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    rank, size, together, steps, batch = map(int, sys.argv[1:6])
    main(rank, size, bool(together), steps, batch, sys.argv[6])
