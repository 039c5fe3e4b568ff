"""What the benches of several processes share: how these are started, and the step of training that they make."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["launched", "measured", "single_threaded", "steps_of_mlp"]


def launched(n: int, *arguments: object) -> list[str]:
    """The command that runs `python arguments …` in n processes.

    >>> launched(2, "-m", "weft")[1:3]
    ['-n', '2']
    """
    mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or "mpiexec"
    return [mpiexec, "-n", str(n), sys.executable, *map(str, arguments)]


def single_threaded() -> dict[str, str]:
    """The environment, with one thread for every BLAS."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def measured(command: list[str]) -> Any:
    """What a command prints, which is JSON."""
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=single_threaded())
    return json.loads(run.stdout)


def steps_of_mlp(batch: int, steps: int, *, warmup: int, together: bool = True) -> list[float]:
    """Seconds of each step of an MLP 784-512-256-10 with Adam, in one of several processes with a core of its own.

    Without `together` each process trains by itself.
    """
    import weft
    from weft import distributed as dist
    from weft import layers as nn
    from weft import optimizers as optim

    dist.init()
    os.sched_setaffinity(0, {dist.rank() % (os.cpu_count() or 1)})
    weft.set_num_threads(1)
    weft.manual_seed(0)
    model: nn.Module = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))
    if together:
        model = dist.DistributedDataParallel(model)
    optimizer, loss = optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    x, y = weft.randn(batch, 784), weft.randint(0, 10, (batch,))
    times = []
    for step in range(warmup + steps):
        if step == warmup:
            dist.barrier()
        start = time.perf_counter()
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return times[warmup:]
