"""Data parallel beside PyTorch: a training step of an MLP in N processes, one thread each, over MPI and over gloo.

    python -m weft.bench.data_parallel --torch /path/to/python/with/torch

Runs alternate, and each is made twice, with and without communication, so that both work under the same load of memory and of
other programs; what communication adds is the difference. Medians over the rounds of each run's lower quartile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .processes import launched, measured, single_threaded, steps_of_mlp

__all__ = ["main"]

HERE = Path(__file__).resolve().parent


def worker(together: bool, steps: int, batch: int) -> None:
    """One of N processes: print the seconds of each step, in process 0."""
    from weft import distributed as dist

    times = steps_of_mlp(batch, steps, warmup=20, together=together)
    if dist.rank() == 0:
        print(json.dumps(times), flush=True)
    dist.barrier()


def run_weft(n: int, together: bool, steps: int, batch: int) -> float:
    """Seconds of a step."""
    return typical(measured(launched(n, "-m", "weft.bench.data_parallel", "--worker", int(together), steps, batch)))


def run_torch(python: str, n: int, together: bool, steps: int, batch: int) -> float:
    """Seconds of a step."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(n), str(int(together)), str(steps), str(batch), f"{folder}/store"]
        script = str(HERE / "data_parallel_torch.py")
        processes = [
            subprocess.Popen(
                [python, script, str(rank), *arguments], stdout=subprocess.PIPE, text=True, env=single_threaded()
            )
            for rank in range(n)
        ]
        outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError("PyTorch's run failed")
    return typical(json.loads(outputs[0]))


def typical(times: list[float]) -> float:
    """The lower quartile: what a step takes while no other program has the cores."""
    return statistics.quantiles(times, n=4)[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print a table.

    Parameters
    ----------
    argv : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m weft.bench.data_parallel")
    parser.add_argument("--torch", help="a Python that has PyTorch")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=128, help="samples in each process")
    parser.add_argument("--worker", nargs=3, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.worker:
        worker(bool(given.worker[0]), *given.worker[1:])
        return 0
    contenders = {"weft, MPI": run_weft}
    if given.torch:
        contenders["PyTorch DDP, gloo"] = lambda *options: run_torch(given.torch, *options)
    found: dict[tuple[str, bool], list[float]] = {(name, t): [] for name in contenders for t in (False, True)}
    for _ in range(given.rounds):
        for (name, together), times in found.items():
            times.append(contenders[name](given.processes, together, given.steps, given.batch) * 1e3)
    print(
        f"MLP 784-512-256-10, Adam, {given.batch} samples in each of {given.processes} processes, one thread each; ms"
    )
    print(f"{'':20}{'alone':>10}{'together':>10}{'added':>10}{'share':>8}")
    for name in contenders:
        alone, together = (statistics.median(found[name, t]) for t in (False, True))
        print(f"{name:20}{alone:10.2f}{together:10.2f}{together - alone:10.2f}{(together - alone) / together:8.1%}")
    for key, times in found.items():
        print(f"    {key[0]}, {'together' if key[1] else 'alone'}: {' '.join(f'{t:.2f}' for t in times)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
