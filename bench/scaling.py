"""How training scales with processes: measured here, up to four, and a model of it, drawn to 1,024 GPUs.

    python -m weft.bench.scaling --save bench/results

*Measured*: steps of an MLP with 128 samples in each process (weak) and 256 in all (strong), and sums of vectors of several
sizes. More processes than cores share them, which the table says.

*Modelled*: the time of a sum of S bytes over N processes, with a latency α and a bandwidth β,

    ring   t = 2 (N − 1) (α + S / (N β))
    tree   t = 2 ⌈log₂ N⌉ (α + S / β)     of pieces that follow each other: S/β counts twice, not 2 log₂ N times

fitted to the measured sums; and with data-sheet numbers of GPUs in their place, the share of a step that is not waiting:
backward, two thirds of the computing, hides what it can of the sum. Nothing of that has been measured.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .processes import launched, measured, steps_of_mlp

__all__ = ["main", "ring", "tree"]

SIZES = (1 << 16, 1 << 18, 1 << 20, 1 << 22)  # bytes
# Parameters, FLOP of a sample's step (forward and backward), and samples on one GPU
MODELS = {
    "ResNet-18, 224², batch 256": (11.7e6, 3 * 2 * 1.81e9, 256),
    "GPT-2 124M, 16 × 1,024 tokens": (124e6, 6 * 124e6 * 1024, 16),
    "GPT-2 1.5B, 4 × 1,024 tokens": (1.56e9, 6 * 1.56e9 * 1024, 4),
}
# Assumed, of data sheets: 40 % of an H200's 989 TFLOP/s in bfloat16; 400 Gbit/s of network for each GPU; 10 µs
FLOPS, BANDWIDTH, LATENCY = 0.4 * 989e12, 50e9, 10e-6


def ring(n: float, size: float, latency: float, bandwidth: float) -> float:
    """Seconds of a sum of `size` bytes over n processes in a ring.

    >>> ring(1, 1e9, 1e-5, 1e9)
    0.0
    """
    return 2 * (n - 1) * (latency + size / (n * bandwidth))


def tree(n: float, size: float, latency: float, bandwidth: float) -> float:
    """Seconds of a sum of `size` bytes over n processes in a tree, in pieces that follow each other.

    >>> tree(1, 1e9, 1e-5, 1e9)
    0.0
    """
    return 0.0 if n == 1 else 2 * math.ceil(math.log2(n)) * latency + 2 * size / bandwidth


def worker(batch: int, steps: int) -> None:
    """One of N processes: print the step and the sums, in process 0."""
    import weft
    from weft import distributed as dist

    times = steps_of_mlp(batch, steps, warmup=10)
    sums = {}
    for size in SIZES:
        vector, took = np.ones(size // 4, np.float32), []
        for _ in range(steps):
            dist.barrier()
            start = time.perf_counter()
            if dist.is_initialized():
                weft.backend.device.ranks.group.reduce(vector, "mean")
            took.append(time.perf_counter() - start)
        sums[size] = statistics.median(took)
    if dist.rank() == 0:
        print(json.dumps({"step": statistics.fmean(times), "sums": sums}), flush=True)
    dist.barrier()


def run(n: int, batch: int, steps: int) -> dict[str, Any]:
    """What n processes measure."""
    command = ["-m", "weft.bench.scaling", "--worker", str(batch), str(steps)]
    return dict(measured(launched(n, *command) if n > 1 else [sys.executable, *command]))


def fit(measured: dict[int, dict[str, float]]) -> tuple[float, float, float]:
    """Latency and bandwidth of the ring that fit best, relative errors counting; and the greatest of those."""
    rows, times = [], []
    for n, sums in measured.items():
        for size, t in sums.items():
            rows.append([2 * (n - 1), 2 * (n - 1) * int(size) / n])
            times.append(t)
    a, t = np.array(rows), np.array(times)
    (latency, inverse), *_ = np.linalg.lstsq(a / t[:, None], np.ones_like(t), rcond=None)
    latency, inverse = max(latency, 1e-7), max(inverse, 1e-12)
    return latency, 1 / inverse, float(np.max(np.abs(a @ [latency, inverse] / t - 1)))


def efficiency(n: int, model: str, way: Any) -> float:
    """The share of a step that is computing, with as many samples on each of n GPUs: a model."""
    parameters, flop, samples = MODELS[model]
    computing = flop * samples / FLOPS
    waiting = max(0.0, way(n, 2 * parameters, LATENCY, BANDWIDTH) - computing * 2 / 3)
    return computing / (computing + waiting)


def draw(path: Path) -> None:
    """The model's curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    counts = [2**k for k in range(11)]
    for i, model in enumerate(MODELS):
        for way, style in ((ring, "-"), (tree, "--")):
            shares = [100 * efficiency(n, model, way) for n in counts]
            axes.plot(counts, shares, style, color=f"C{i}", label=f"{model}, {way.__name__}")
    axes.set(xscale="log", xlabel="GPUs", ylabel="share of the step that is computing, %", ylim=(0, 105))
    axes.set_xticks(counts, [f"{n:,}" for n in counts])
    axes.set_title("A model, not measured: 40 % of 989 TFLOP/s, 400 Gbit/s for each GPU, 10 µs", fontsize="medium")
    axes.legend(fontsize="small", loc="lower left")
    figure.savefig(path, dpi=120)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, fit, print and draw.

    Parameters
    ----------
    argv : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m weft.bench.scaling")
    parser.add_argument("--processes", type=int, default=4, help="up to so many")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--save", type=Path, help="folder for scaling.md and scaling.png")
    parser.add_argument("--worker", nargs=2, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.worker:
        worker(*given.worker)
        return 0
    cores = len(os.sched_getaffinity(0))
    lines = [
        "| processes | weak: 128 each, ms | samples/s | strong: 256 in all, ms | speed-up |",
        "|--:|--:|--:|--:|--:|",
    ]
    sums, first = {}, 0.0
    for n in range(1, given.processes + 1):
        weak, strong = run(n, 128, given.steps), run(n, 256 // n, given.steps)
        first = first or strong["step"]
        if n > 1:
            sums[n] = weak["sums"]
        shared = f" ({cores} cores)" if n > cores else ""
        row = f"| {n}{shared} | {weak['step'] * 1e3:.2f} | {128 * n / weak['step']:,.0f} | {strong['step'] * 1e3:.2f} |"
        lines.append(f"{row} {first / strong['step']:.2f} |")
    alone = {n: s for n, s in sums.items() if n <= cores} or sums
    latency, bandwidth, error = fit(alone)
    lines += ["", "| sum of | " + " | ".join(f"{n} processes, ms" for n in sums) + " |", "|--:|" + "--:|" * len(sums)]
    lines += [f"| {s >> 10:,} KiB | " + " | ".join(f"{sums[n][str(s)] * 1e3:.3f}" for n in sums) + " |" for s in SIZES]
    which = f"up to {max(alone)} processes, which have a core each" if alone is not sums else "all of them"
    fitted = f"{latency * 1e6:.1f} µs and {bandwidth / 1e9:.2f} GB/s fit the sums of {which}, to {error:.0%} at worst."
    lines += [
        "",
        f"The ring's latency and bandwidth: {fitted}",
        "",
        "A **model**, not measured, of GPUs (40 % of 989 TFLOP/s, ",
    ]
    lines[-1] += "400 Gbit/s for each, 10 µs), gradients in bfloat16: the share of a step that is computing."
    counts = (8, 64, 256, 1024)
    lines += ["", "| | " + " | ".join(f"{n:,} GPUs" for n in counts) + " |", "|---|" + "--:|" * len(counts)]
    for model in MODELS:
        for way in (ring, tree):
            shares = " | ".join(f"{efficiency(n, model, way):.0%}" for n in counts)
            lines.append(f"| {model}, {way.__name__} | {shares} |")
    print("\n".join(lines))
    if given.save:
        given.save.mkdir(parents=True, exist_ok=True)
        (given.save / "scaling.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        draw(given.save / "scaling.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
