"""The workloads of a CPU, measured: weft, PyTorch and what the machine reaches at best, in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend.device.parallel import parallel_for
from ..backend.modes.capture import capture
from .results import LIMITS
from .turns import Rival, Sampler, alternate
from .workloads import Product, Workload

__all__ = ["measure"]

WARM = 6  # calls of a captured step after which it has been recorded and checked
PIECE = 1 << 18  # float32 numbers that a thread copies at a time


def measure(workload: Workload, rival: Rival | None, threads: int, seconds: float) -> dict[str, Any]:
    """The entry of a workload in the results; `rival`: PyTorch, or None."""
    runs, captured = {"weft": workload.weft()}, None
    if workload.is_step:
        runs["weft.capture"] = captured = capture(workload.weft())
        for _ in range(WARM):
            captured()
    if workload.products:
        runs["BLAS alone"] = _products(workload.products)
    elif workload.moved:
        runs["copy alone"] = _copies(workload.moved)
    samplers: dict[str, Callable[[], float]] = {name: Sampler(run) for name, run in runs.items()}
    if rival is not None:
        problem = rival.prepare("operations", workload.name).get("problem")
        if problem:
            raise RuntimeError(problem)
        samplers["torch"] = rival.sample
    # limits are what can be reached, hence their best
    rows: dict[str, dict[str, float]] = {
        name: {"seconds": min(s) if name in LIMITS else statistics.median(s)}
        for name, s in alternate(samplers, seconds).items()
    }
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
        "target": None if rival is None else workload.target if threads == 1 else 0.8,
        "status": "ok",
    }


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


def _copies(moved: int) -> Callable:
    """A copy that reads and writes as many bytes, by all threads."""
    a, b = np.zeros(moved // 8, np.float32), np.empty(moved // 8, np.float32)

    def run() -> None:
        parallel_for(lambda i, j: np.copyto(b[i * PIECE : j * PIECE], a[i * PIECE : j * PIECE]), -(-a.size // PIECE))

    return run
