"""The workloads of a CPU, measured: weft, PyTorch and BLAS alone, in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend.modes.capture import capture
from .workloads import Product, Workload

__all__ = ["alternate", "measure"]

WARM = 6  # calls of a captured step after which it has been recorded and checked


def measure(workload: Workload, torch: Any, threads: int, seconds: float) -> dict[str, Any]:
    """The entry of a workload in the results; `torch`: the module, or None."""
    runs, captured = {"weft": workload.weft()}, None
    if workload.is_step:
        runs["weft.capture"] = captured = capture(workload.weft())
        for _ in range(WARM):
            captured()
    if torch is not None:
        runs["torch"] = workload.torch(torch)
    if workload.products:
        runs["BLAS alone"] = _products(workload.products)
    times = alternate(runs, seconds)
    target = None if torch is None else workload.target if threads == 1 else 0.8
    rows: dict[str, dict[str, float]] = {name: {"seconds": t} for name, t in times.items()}
    if captured is not None and captured.peaks:
        for name, peak in zip(("weft.capture", "weft"), captured.peaks[-1]):
            rows[name]["memory"] = peak
    return {
        "part": "operations",
        "device": "cpu",
        "threads": threads,
        "name": workload.name,
        "about": workload.about,
        "runs": rows,
        "target": target,
        "status": "ok",
    }


def alternate(runs: dict[str, Callable], seconds: float) -> dict[str, float]:
    """Median seconds per call of each function (of "BLAS alone" the least), sampled in turn so that noise hits all alike."""
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
    return {name: min(s) if name == "BLAS alone" else statistics.median(s) for name, s in samples.items()}


def _products(products: list[Product]) -> Callable:
    """BLAS alone, on the same products."""
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
