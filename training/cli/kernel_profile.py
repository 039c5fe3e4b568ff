"""`weft info --kernels --profile`: what a GPU would be kept busy with, for cases that users have, without a GPU."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from ... import _signals, manual_seed
from ...backend.device.devices import canonical
from ...backend.device.options import did_you_mean
from ...kernels.emulator import counters
from ...kernels.emulator.roofline import LIMITS, Roofline, prepare, roofline
from ...kernels.toolchain.launch import Instance
from ...kernels.toolchain.machine_code import Machine, tool
from ...kernels.toolchain.settings import multiprocessors
from ..atomic import write_atomically
from ..plots import _figure, _write
from ..signals import PutOff
from . import instance_cases
from .kernel_cases import CASES, REQUESTS
from .parser import UsageError
from .progress import Progress

__all__ = ["CASES", "asked", "chosen", "listed", "measure", "measured", "run", "save", "to_json"]

DTYPES = (np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16))
COLOURS = ("#2a78d6", "#7a5bb5", "#e39a6f", "#c9a227", "#3a9a5b", "#b5403a")  # of LIMITS
HOTTEST = 3  # lines that are shown of each kernel
FEW = 1  # multiprocessor that grids are made for: the cases are small, but a block does as much as in large ones


def chosen(name: str) -> list[str]:
    """The cases that begin with `name`: CASES, and of kernels' instantiations those that none of these launches.

    UsageError where nothing begins so.
    """
    cases = [case for case in CASES if case.startswith(name)]
    launched = {instance.expression for case in cases for instance in listed(case)}
    found = cases + [e for e in instance_cases.instances() if e.startswith(name) and e not in launched]
    if not found:
        kernels = {e.partition("<")[0] for e in instance_cases.instances()}
        known = f"{', '.join(CASES)}, or kernels{did_you_mean(name, [*CASES, *kernels])}"
        raise UsageError(f"--profile: unknown case {name!r}; choose from {known}")
    return found


def listed(name: str) -> list[Instance]:
    """What a case launches, in every dtype, without running it."""
    if name not in CASES:
        return [instance_cases.instances()[name]]
    canonical("emulator")
    with np.errstate(all="ignore"), multiprocessors(FEW):
        found = []
        for dtype in DTYPES:
            with counters.listing():
                run = CASES[name](dtype)
            with counters.listing() as instances:
                run()
            found += instances
    return found


def measure(names: Sequence[str], machine: Machine) -> list[dict[str, Any]]:
    """The rooflines of all launches of these cases, in each dtype: rows of "case", "dtype" and "roofline".

    Of launches that are alike in kernel and size, the first. Raises DeviceError without the emulator's C++ compiler,
    ToolkitError without NVRTC or the disassembler.
    """
    return [row for rows in measured(names, machine) for row in rows]


def measured(names: Sequence[str], machine: Machine) -> Generator[list[dict[str, Any]], None, None]:
    """The same, each case's rows as soon as they are known, while those behind it are compiled."""
    tool()
    canonical("emulator")
    wanted = {name: listed(name) for name in names}
    compiling = prepare((instance for instances in wanted.values() for instance in instances), machine.arch)
    compiled: set[Instance] = set()
    with contextlib.closing(compiling):
        for name, instances in wanted.items():
            while not compiled.issuperset(instances):
                compiled.add(next(compiling))
            yield _rows(name, machine)


def _rows(name: str, machine: Machine) -> list[dict[str, Any]]:
    rows = []
    for dtype in DTYPES if name in CASES else ("",):
        different = {
            (launch.instance, launch.grid, launch.block): launch for launch in reversed(_launches(name, dtype))
        }
        rows += [
            {"case": name, "dtype": str(dtype), "roofline": roofline(launch, machine)}
            for launch in reversed(different.values())
        ]
    return rows


def asked(name: str) -> list[counters.Launch]:
    """What all launches of a case ask of memory, in each dtype; how often code runs is not counted, nor machine code read.

    So nothing is compiled that is not for running them; and where REQUESTS has the case, it is taken from there. Raises
    DeviceError without the emulator's C++ compiler.
    """
    canonical("emulator")
    case, found = REQUESTS.get(name, CASES[name]), []
    for dtype in DTYPES:
        manual_seed(0)
        run = case(dtype)
        with multiprocessors(FEW), counters.counting(code=False) as launches:
            run()
        found += launches
    return found


def _launches(name: str, dtype: Any) -> list[counters.Launch]:
    manual_seed(0)  # what weights and masks are decides a little of what is counted
    if name in CASES:
        run = CASES[name](dtype)
        with multiprocessors(FEW), counters.counting() as launches:
            run()
        return launches
    instance = instance_cases.instances()[name]
    with np.errstate(all="ignore"), multiprocessors(FEW), counters.counting(only=instance) as launches:
        instance_cases.launch(instance)
    return launches


# --- what is shown ----------------------------------------------------------------------------------------------------
class Table:
    """A line for each kernel, shares of the predicted time, and below it the lines that cost most; printed as it is found."""

    def __init__(self, width: int, machine: Machine):
        self.width, self.machine, self.shown = width, machine, ""

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Print these rows, the first below the names of the columns."""
        lines = []
        if not self.shown:
            columns = "".join(f"{name:>8}" for name in LIMITS)
            lines.append(f"{'':{self.width + 2}}{columns}  pipe         regs  warps  spills  predicted")
        for row in rows:
            heading = f"{row['case']}, {row['dtype']}" if row["dtype"] else "single instantiations"
            if heading != self.shown:
                lines.append(heading)
            self.shown = heading
            found: Roofline = row["roofline"]
            shares = "".join(f"{found.seconds[name] / found.time:8.0%}" for name in LIMITS)
            taken = (
                f"  {found.pipe:<9}{found.registers:8}{found.occupancy:7.0%}{found.spills:8}{found.time * 1e6:8.3g} µs"
            )
            lines.append(f"  {found.kernel:<{self.width}}{shares}{taken}")
            lines += [f"      {cost}" for cost in found.lines[:HOTTEST]]
        if lines:
            print("\n".join(lines), flush=True)

    def end(self) -> None:
        """Print what the columns are."""
        print(
            f"\nPredicted for {self.machine.name} and not measured: each limit's share of the greatest of them.\n"
            "DRAM: bytes of the arguments over the bandwidth; L2: all sectors asked for; issue: instructions; lanes: those of the\n"
            "busiest pipe, which is named, by how many lanes it has; tensor, shared: cycles of tensor cores and of shared memory;\n"
            "warps: how many of those that there is room for run at a time.",
            flush=True,
        )


def to_json(rows: Sequence[dict[str, Any]]) -> str:
    """All that is known: the limit and the time that it implies."""
    flat = [
        {
            **{key: row[key] for key in ("case", "dtype")},
            **dataclasses.asdict(row["roofline"]),
            "limit": row["roofline"].limit,
            "predicted_seconds": row["roofline"].time,
        }
        for row in rows
    ]
    return json.dumps({"predicted": flat}, indent=1)


def save(rows: Sequence[dict[str, Any]], folder: Path, machine: Machine) -> list[Path]:
    """Write profile.json and profile.png, the roofline, to a folder that is there; returns those written.

    Raises ImportError without matplotlib.
    """
    write_atomically(folder / "profile.json", to_json(rows).encode())
    draw(rows, folder / "profile.png", machine)
    return [folder / "profile.json", folder / "profile.png"]


def draw(rows: Sequence[dict[str, Any]], path: Path, machine: Machine) -> None:
    """Each kernel as a dot below the roof: warp instructions per second over warp instructions per byte of DRAM."""
    ceiling = 4 * machine.multiprocessors * machine.clock
    with _figure(1, size=(7.5, 4.5)) as (figure, (axis,)):
        found = [row["roofline"] for row in rows if row["roofline"].bytes]
        x = [each.instructions / each.bytes for each in found]
        y = [each.instructions / each.time for each in found]
        ridge = ceiling / machine.bandwidth
        ends = min([*x, ridge]) / 2, max([*x, ridge]) * 2
        axis.plot([ends[0], ridge, ends[1]], [ends[0] * machine.bandwidth, ceiling, ceiling], color="#333333")
        for limit, colour in zip(LIMITS, COLOURS, strict=True):
            dots = [(a, b) for a, b, each in zip(x, y, found) if each.limit == limit]
            if dots:
                axis.plot(*zip(*dots), "o", color=colour, markersize=4, label=limit)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("instructions of warps per byte of DRAM")
        axis.set_ylabel("instructions of warps per second")
        axis.legend(title="limit", fontsize=8, frameon=False)
        figure.suptitle(
            f"weft: kernels on {machine.name}, predicted", x=0.012, ha="left", fontsize=11, fontweight="bold"
        )
        figure.tight_layout()
        _write(figure, path)


@_signals.given_back()  # a second interrupt, as `timeout` sends it, must not end the process on the spot
def run(name: str, machine: Machine, *, as_json: bool, folder: str | None) -> int:
    """Profile, print and save; returns the exit status. An interrupt leaves what is known: printed, and saved."""
    names, rows = chosen(name), []
    width = max(len(instance.expression) for name in names for instance in listed(name))
    table = None if as_json else Table(width, machine)
    signals = PutOff()
    signals.begin()
    try:
        with Progress("profiling", len(names)) as progress, contextlib.closing(measured(names, machine)) as cases:
            while True:
                with signals.raised():  # else they are put off: what is known is printed and saved as a whole
                    found = next(cases, None)
                if found is None:
                    break
                rows += found
                if table:
                    with progress.aside():
                        table.add(found)
                progress.advance()
    finally:
        try:
            if rows:
                _finish(rows, table, folder, machine)
        finally:
            signals.end()
    return 0


def _finish(rows: Sequence[dict[str, Any]], table: Table | None, folder: str | None, machine: Machine) -> None:
    try:
        if table:
            table.end()
        else:
            print(to_json(rows), flush=True)
    finally:  # also where nobody reads it
        if folder is not None:
            for path in save(rows, Path(folder), machine):
                print(path, file=sys.stderr)
