"""`weft bench`: weft against PyTorch (where it is installed) and against BLAS, in one process, alternating.

Each thread count gets a process of its own, pinned to that many cores before any library is loaded, so that neither NumPy's
BLAS nor PyTorch has more. Times are medians over repeats; a ratio is PyTorch's time over weft's (above 1: weft is faster);
the limit is what BLAS alone needs for the matrix products of the workload, as a fraction of weft's time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..training.atomic import write_atomically
from ..training.cli import Parser, number, report
from .workloads import WORKLOADS

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """`weft bench`; returns the exit status."""
    names = [w.name for w in WORKLOADS]
    parser = Parser(prog="weft bench", description=__doc__)
    add = parser.add_argument
    add("workloads", nargs="*", default=[], metavar="WORKLOAD", help=f"which to run: {', '.join(names)} (default: all)")
    add("--threads", type=number(int, 1), nargs="+", metavar="N", help="thread counts (default: 1 and all cores)")
    add("--seconds", type=number(float, 0, above=True), default=2.0, metavar="S", help="time for each library (2)")
    add("--save", metavar="FILE", help="write the results as JSON")
    add("--worker", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    for name in options.workloads:
        if name not in names:
            parser.error(f"unknown workload {name!r}; choose from {', '.join(names)}")
    if options.worker:
        return _worker(options.workloads, options.worker, options.seconds)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    counts = getattr(options, "threads", sorted({1, len(cores)}))
    if max(counts) > len(cores):
        parser.error(f"--threads must be between 1 and {len(cores)} here, got {max(counts)}")
    save = getattr(options, "save", None)
    return report("weft bench", lambda: _compare(options.workloads or names, counts, cores, options.seconds, save))


def _compare(names: list[str], counts: list[int], cores: list[int], seconds: float, save: str | None) -> int:
    results = []
    for n in counts:
        print(f"\n{n} thread{'s' * (n > 1)}, float32, median times\n{HEADER}\n{'─' * len(HEADER)}", flush=True)
        for row in _measure(names, n, cores[-n:], seconds):
            print(_line(row), flush=True)
            results.append(row)
    if save is not None:
        write_atomically(save, (json.dumps({**_machine(), "results": results}, indent=1) + "\n").encode())
        print(f"\nsaved {save}")
    return 0


HEADER = f"{'workload':<74}{'weft':>11}{'PyTorch':>12}{'ratio':>8}{'of BLAS limit':>16}"


def _line(row: dict) -> str:
    theirs = f"{_ms(row['torch_s']):>12}{row['ratio']:>8.2f}" if row["torch_s"] else f"{'–':>12}{'–':>8}"
    limit = f"{row['blas_limit_s'] / row['weft_s']:>15.0%}" if row["blas_limit_s"] else f"{'–':>15}"
    return f"{row['about']:<74}{_ms(row['weft_s']):>11}{theirs} {limit}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


def _measure(names: list[str], threads: int, cores: list[int], seconds: float) -> Any:
    """Run the worker pinned to `cores` and yield its rows as they come."""
    limits = {
        name: str(threads)
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "WEFT_NUM_THREADS")
    }
    package = __package__.rpartition(".")[0]
    command = [
        sys.executable,
        "-m",
        f"{package}.bench.compare",
        "--worker",
        str(threads),
        "--seconds",
        str(seconds),
        *names,
    ]
    pin = (lambda: os.sched_setaffinity(0, cores)) if hasattr(os, "sched_setaffinity") else None
    with subprocess.Popen(
        command, env={**os.environ, **limits}, stdout=subprocess.PIPE, text=True, preexec_fn=pin
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        raise SystemExit(f"weft bench: the measuring process ended with exit code {process.returncode}")


def _worker(names: list[str], threads: int, seconds: float) -> int:
    try:
        import torch

        torch.set_num_threads(threads)
    except ImportError:
        torch = None
    for workload in WORKLOADS:
        if workload.name not in names:
            continue
        runs = {"weft": workload.weft()}
        if torch is not None:
            runs["torch"] = workload.torch(torch)
        if workload.products:
            runs["blas"] = _products(workload.products)
        times = alternate(runs, seconds)
        target = workload.target if threads == 1 else 0.8
        row = {"name": workload.name, "about": workload.about, "threads": threads, "target": target,
               "weft_s": times["weft"], "torch_s": times.get("torch"), "blas_limit_s": times.get("blas"),
               "ratio": times["torch"] / times["weft"] if "torch" in times else None}  # fmt: skip
        print(json.dumps(row), flush=True)
    return 0


def alternate(runs: dict[str, Callable], seconds: float) -> dict[str, float]:
    """Median seconds per call of each function (of "blas" the least), sampled in turn so that noise hits all alike."""
    counts = {}
    for name, run in runs.items():
        run()
        start = time.perf_counter()
        run()
        counts[name] = max(1, round(0.01 / max(time.perf_counter() - start, 1e-7)))  # a sample lasts 10 ms or one call
    samples: dict[str, list[float]] = {name: [] for name in runs}
    deadline = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < deadline or len(samples[next(iter(runs))]) < 5:
        for name, run in runs.items():
            n = counts[name]
            start = time.perf_counter()
            for _ in range(n):
                run()
            samples[name].append((time.perf_counter() - start) / n)
    # BLAS alone is a limit, hence its best; where other libraries' idle threads spin, its median would be their doing
    return {name: min(s) if name == "blas" else statistics.median(s) for name, s in samples.items()}


def _products(products: list[tuple[int, int, int, int]]) -> Callable:
    """BLAS alone, on the same products."""
    import numpy as np

    rng = np.random.default_rng(0)
    work = []
    for m, k, n, times in products:
        a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
        work.append((a, b, np.empty((m, n), np.float32), times))

    def run() -> None:
        for a, b, out, times in work:
            for _ in range(times):
                np.matmul(a, b, out=out)

    return run


def _machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    import numpy as np

    versions = {"python": platform.python_version(), "numpy": np.__version__}
    for name in ("torch", "cupy"):
        try:
            versions[name] = __import__(name).__version__
        except ImportError:
            continue
    return {"device": _processor(), "versions": versions, "commit": _commit(), "date": time.strftime("%Y-%m-%d")}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _commit() -> str | None:
    here = Path(__file__).parent
    run = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return run.stdout.strip() or None


if __name__ == "__main__":
    sys.exit(main())
