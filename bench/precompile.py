"""`python -m weft.bench.precompile [--arch SM]`: every kernel that weft can launch compiled into the cache, on all cores."""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import os
import sys
from collections.abc import Sequence

from ..backend.device import devices
from ..kernels.toolchain import compiler
from . import attention_hopper

__all__ = ["compile_all", "families", "main"]


def families(arch: str) -> compiler.Families:
    """Every source that weft can launch on `arch`, as `compiler.families`, and the candidates that the benches time beside them."""
    candidates = attention_hopper.KERNELS if arch == "sm_90a" else ()
    return compiler.families() | {
        k.source: ([i.expression for i in k.instances.values()], k.options) for k in candidates
    }


def _build(source: str, expression: str, options: tuple[str, ...], arch: str) -> str | None:
    """In a process of its own: compile one kernel, as its first launch would; what went wrong."""
    try:
        compiler.build(source, (expression,), options, arch=arch)
        return None
    except Exception as error:
        return f"{expression} of {source}: {type(error).__name__}: {error}"


def compile_all(arch: str, processes: int | None = None) -> list[str]:
    """Fill the cache with every instantiation; returns what failed."""
    jobs = [(s, e, options, arch) for s, (expressions, options) in families(arch).items() for e in expressions]
    jobs.sort(key=lambda job: "attention" not in job[0])  # they take longest
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes or os.cpu_count(), mp_context=context) as pool:
        return [problem for problem in pool.map(_build, *zip(*jobs)) if problem]


def main(argv: Sequence[str] | None = None) -> int:
    """Compile for the GPU of this machine, or for another; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m weft.bench.precompile")
    known = ", ".join(compiler.ARCHITECTURES)
    parser.add_argument("--arch", metavar="SM", help=f"compile for this ({known}), for which no GPU is needed")
    arch = parser.parse_args(argv).arch
    try:
        arch or devices.canonical("cuda")
    except devices.DeviceError as error:
        print(f"python -m weft.bench.precompile: {error}", file=sys.stderr)
        return 2
    problems = compile_all(arch or compiler.architecture())
    print("\n".join(problems) or "all kernels compile")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
