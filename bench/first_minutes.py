"""`python -m weft.bench.first_minutes`: what only a GPU can tell, the shortest answers first, a line for each as it comes.

It asks in the order of what is learnt: whether the driver takes the cubins that were carried there; whether embeddings
and products can be recorded; what a launch costs. Whatever fails is a line, too, and stops nothing. `--device emulator`
rehearses all of it without a GPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import capture, full, manual_seed, no_grad, randn, synchronize, tensor
from ..backend.device import devices
from ..kernels import gemm
from ..kernels.toolchain import cache, compiler
from ..kernels.toolchain.launch import KERNELS, Instance
from ..layers import Embedding, Linear, Sequential
from ..optimizers import Adam
from . import precompile

__all__ = ["QUESTIONS", "main"]


def cubins(device: str) -> str:
    """Every instantiation loaded by the driver: of the carried cubins, or of such as are compiled on the way."""
    wanted = precompile.families(compiler.architecture() if devices.kind(device) == "cuda" else "sm_90a")
    instances = [i for k in KERNELS if k.source in wanted for i in k.instances.values()]
    if devices.kind(device) != "cuda" and "WEFT_CUBINS_OF" not in os.environ:
        return f"{len(instances)} kernels, which no driver has been asked about"
    before = _in_the_cache()
    failed = [message for instance in instances if (message := _load(instance, device))]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(instances)}: {failed[0]}")
    made = len(_in_the_cache() - before)
    how = f", {made} of them compiled on the way" if made else ""
    return f"{len(instances)} kernels{how}" + (", found but not loaded" if devices.kind(device) != "cuda" else "")


def _in_the_cache() -> set[str]:
    return {path.name for path in cache.folder().glob("*.cubin")}


def _load(instance: Instance, device: str) -> str | None:
    try:
        if devices.kind(device) == "cuda":
            compiler.gpu.function(instance, 0)
        else:  # whether all were carried can be asked here
            compiler.build(instance.source, (instance.expression,), instance.options, arch="sm_90a")
        return None
    except Exception as error:
        return f"{instance.expression}: {error}"


def embedding(device: str) -> str:
    """A model with an embedding, recorded: its gradient sorts the indices by the array library."""
    manual_seed(0)
    model = Sequential(Embedding(64, 32), Linear(32, 8)).to(device)
    optimizer = Adam(model.parameters())
    indices = tensor([i * 7 % 64 for i in range(48)], device=device)

    def step(indices: Any) -> Any:
        optimizer.zero_grad()
        loss = (model(indices) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    recorded = capture(step, warmup=1, strict=True)
    losses = [float(recorded(indices).item()) for _ in range(6)]
    if not losses[-1] < losses[0]:
        raise RuntimeError(f"the loss does not fall when it is replayed: {losses}")
    return f"replayed, loss {losses[0]:.4g} to {losses[-1]:.4g}"


def products(device: str) -> str:
    """cuBLAS and cublasLt within a recording, in float32 and bfloat16."""
    import ml_dtypes

    worst = 0.0
    for dtype in (np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)):
        layer = Linear(64, 96).to(device).to(dtype)
        x = randn(32, 64, device=device).to(dtype)
        recorded = capture(lambda x, layer=layer: layer(x) @ layer.weight, warmup=1, strict=True)
        with no_grad():
            expected = (layer(x) @ layer.weight).numpy().astype(np.float64)
            for _ in range(3):
                error = np.abs(recorded(x).numpy().astype(np.float64) - expected).max() / np.abs(expected).max()
                worst = max(worst, float(error))
    if not worst <= 1e-6:
        raise RuntimeError(f"what is replayed differs from what is not by {worst:.3g}")
    return f"replayed, the same to {worst:.2g}"


def launches(device: str) -> str:
    """Microseconds of the host for a kernel's launch, and for one of a recording that has 100."""
    x = full((256,), 1.0, device=device)

    def chain(x: Any) -> Any:
        for _ in range(100):
            x = x * 1.0001
        return x

    recorded, times = capture(chain, warmup=1), []
    for f in (chain, recorded):
        for _ in range(3):
            f(x)
        synchronize(device)
        start = time.perf_counter()
        for _ in range(10):
            f(x)
        synchronize(device)
        times.append((time.perf_counter() - start) / 10 * 1e6)
    return f"100 operations: {times[0]:.0f} µs one by one, {times[1]:.0f} µs replayed"


def matrices(device: str) -> str:
    """One product of 4096³ in bfloat16 (64³ where that is computed by the host): the rate of cuBLAS."""
    import ml_dtypes

    n = 4096 if devices.kind(device) == "cuda" else 64
    a, b = (randn(n, n, device=device).to(np.dtype(ml_dtypes.bfloat16)).data for _ in range(2))
    for _ in range(2):
        gemm.gemm(a, b)
    synchronize(device)
    start = time.perf_counter()
    for _ in range(10):
        gemm.gemm(a, b)
    synchronize(device)
    return f"{n}³: {20 * n**3 / (time.perf_counter() - start) / 1e12:.3g} TFLOP/s"


QUESTIONS: dict[str, Callable[[str], str]] = {
    "the driver takes the cubins": cubins,
    "an embedding's step is recorded": embedding,
    "cuBLAS is recorded": products,
    "launches": launches,
    "bfloat16 products": matrices,
}


def answers(device: str) -> Iterator[tuple[str, bool, str, float]]:
    """Each question, whether its answer is a good one, the answer, and how many seconds it took."""
    for question, ask in QUESTIONS.items():
        start = time.perf_counter()
        try:
            good, answer = True, ask(device)
        except Exception as error:
            good, answer = False, f"{type(error).__name__}: {error}"
        yield question, good, answer, time.perf_counter() - start


def main(argv: Sequence[str] | None = None) -> int:
    """Ask everything; 1 where an answer is not as hoped for, 2 where there is no such device."""
    parser = argparse.ArgumentParser(prog="python -m weft.bench.first_minutes", description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    device = parser.parse_args(argv).device
    try:
        devices.canonical(device)
    except (devices.DeviceError, ValueError) as error:
        print(f"python -m weft.bench.first_minutes: {error}", file=sys.stderr)
        return 2
    status = 0
    for question, good, answer, seconds in answers(device):
        status |= not good
        print(f"{question}: {'' if good else 'NO, '}{answer} ({seconds:.1f} s)", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
