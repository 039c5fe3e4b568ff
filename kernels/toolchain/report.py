"""What every kernel takes of the hardware, as a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .compiler import Families, Program, Resources, build
from .sources import FOLDER

__all__ = ["compile_all", "table"]


def compile_all(
    families: Families, architectures: Sequence[str], folder: Path = FOLDER
) -> Iterator[tuple[str, str, Program]]:
    """(source, architecture, program) for all of them, each as it is done; as many at a time as there are cores.

    Raises what `build` raises, and then starts no more.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # NVRTC lets go of the interpreter
        jobs = {
            pool.submit(build, source, expressions, options, arch=arch, folder=folder): (source, arch)
            for source, (expressions, options) in families.items()
            for arch in architectures
        }
        try:
            for job in as_completed(jobs):
                yield *jobs[job], job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def table(rows: Iterable[tuple[str, str, Resources]]) -> str:
    """(source, architecture, what a kernel takes) as a table: a line for each kernel, four columns for an architecture.

    >>> from weft.kernels.toolchain.compiler import Resources
    >>> from weft.kernels.toolchain.report import table
    >>> for line in table([("a.cu", "sm_80", Resources("f<float>", registers=32, shared=512))]).splitlines():
    ...     print(line.rstrip())
                                 sm_80
                regs  smem stack spill
    a.cu
      f<float>    32   512     0     0
    """
    sources: dict[str, dict[str, dict[str, Resources]]] = {}
    for source, arch, taken in rows:
        sources.setdefault(source, {}).setdefault(taken.kernel, {})[arch] = taken
    kernels = [cells for of_source in sources.values() for cells in of_source.values()]
    architectures = sorted({arch for cells in kernels for arch in cells}, key=lambda arch: int(arch.strip("sm_af")))
    width = 2 + max((len(kernel) for of_source in sources.values() for kernel in of_source), default=0)
    lines = [
        " " * width + "".join(f"{arch:>24}" for arch in architectures),
        " " * width + "  regs  smem stack spill" * len(architectures),
    ]
    for source in sorted(sources):
        lines.append(source)
        for kernel, cells in sources[source].items():
            lines.append(f"  {kernel:<{width - 2}}" + "".join(_cells(cells.get(arch)) for arch in architectures))
    return "\n".join(lines)


def _cells(taken: Resources | None) -> str:
    if taken is None:
        return " " * 24
    return f"{taken.registers:6}{taken.shared:6}{taken.stack:6}{taken.spill_stores + taken.spill_loads:6}"
