"""The process that measures: `weft bench` starts one for each device (on a CPU, for each number of threads).

What it is to do comes as JSON on standard input (`Task`); what it finds goes to standard output, a JSON object on each
line. So whoever started it keeps what was measured if a kernel takes the process down or never ends: it is told of each
bench beforehand, and starts another process with the rest.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend.device import devices
from ..backend.tape import autograd
from . import gpu_kernels, gpu_layers, gpu_products, gpu_recurrent, models, operations
from .case import Bench
from .machine import Cuda, Emulator, Machine
from .measure import blank, guarded, measure
from .mnist import mnist
from .turns import Rival
from .workloads import WORKLOADS

__all__ = ["LOST", "Task", "benches", "perform"]

LOST = 75  # the exit status of a process whose device answers no more

Send = Callable[[dict[str, Any]], None]


@dataclass
class Task:
    """What to measure: the benches of `parts` whose names begin with one of `names`, but for those `known`.

    `seconds` of samples for each contender, `limit` for each bench, `total` for all. `threads`: of a CPU.
    """

    device: str
    parts: list[str]
    names: list[str] = field(default_factory=list)
    threads: int = 1
    seconds: float = 0.25
    limit: float = 60.0
    total: float = 3600.0
    tiny: bool = False
    torch: bool = True
    compile: bool = True
    data: str | None = None
    known: list[dict[str, Any]] = field(default_factory=list)

    def chooses(self, name: str) -> bool:
        return not self.names or name.startswith(tuple(self.names))


def benches(kind: str, parts: Sequence[str]) -> list[Bench]:
    """In the order in which they're measured: what the others are held against, what matters most."""
    found = models.benches(kind) if "models" in parts else []
    if "kernels" in parts:
        found = [*found, *gpu_kernels.BENCHES, *gpu_products.BENCHES, *gpu_layers.BENCHES, *gpu_recurrent.BENCHES]
    return found if kind == "cpu" else [*gpu_kernels.CEILINGS, *found]


def perform(task: Task, machine: Machine, send: Send, *, on_hang: Callable[[], None] | None = None) -> None:
    """Measure everything and `send` it: {"begin": entry} before, {"entry": entry} after each bench.

    `on_hang` is called, in a thread, where a bench does not even stop when its time is up. Raises DeviceLost where the
    rest must be done by another process.
    """
    deadline = time.monotonic() + task.total
    send({"machine": describe(machine), "kind": machine.kind, "versions": versions(machine)})
    chosen = [b for b in benches(machine.kind, task.parts) if task.chooses(b.name) or b in gpu_kernels.CEILINGS]
    entries = {entry["name"]: entry for entry in task.known if entry["part"] != "operations"}
    reports, autograd.report_fallbacks = autograd.report_fallbacks, machine.kind != "cpu"
    try:
        for late in (False, True)[: 1 + (task.compile and machine.torch is not None)]:
            for bench in sorted(chosen, key=lambda b: late and b.part == "models"):  # which take longest to compile
                entry = _one(task, machine, bench, late, entries.get(bench.name), deadline, send, on_hang)
                if entry is not None:
                    entries[bench.name] = entry
            if task.data is not None and not late and deadline - time.monotonic() > 10:
                limit = min(task.limit, deadline - time.monotonic())
                send({"mnist": guarded(lambda: mnist(machine, str(task.data)), limit)})
                _check_alive(machine)
    finally:
        autograd.report_fallbacks = reports
    if machine.kind == "cpu" and "operations" in task.parts:
        _operations(task, machine, deadline, send)


def _one(
    task: Task,
    machine: Machine,
    bench: Bench,
    late: bool,
    entry: dict | None,
    deadline: float,
    send: Send,
    on_hang: Callable[[], None] | None,
) -> dict | None:
    """Measure a bench, or what torch.compile makes of it; None if there is nothing to do or no time to do it in."""
    left = deadline - time.monotonic()
    threads = {"threads": task.threads} if machine.kind == "cpu" else {}
    if entry is not None and entry["passes"] >= 1 and not (late and entry["passes"] == 1 and entry.get("is_late")):
        return None
    if left < 2:
        if entry is None:
            send({"entry": blank(bench, machine.kind, "skipped") | threads})
        return None
    known = set(entry["runs"]) if entry else set()
    begun = (entry or blank(bench, machine.kind, "failed")) | {"passes": 1 + late} | threads
    send({"begin": begun})
    options: dict[str, Any] = {"seconds": 0.0, "most": 1} if task.tiny else {"seconds": task.seconds}
    with _watched(task.limit + 20, on_hang):
        entry = (
            measure(
                bench,
                machine,
                tiny=task.tiny,
                late=late,
                entry=entry and dict(begun),
                limit=min(task.limit, left),
                **options,
            )
            | threads
        )
    send({"entry": entry, "new": sorted(set(entry["runs"]) - known, key=list(entry["runs"]).index)})
    if "problem" in json.dumps(entry):
        _check_alive(machine)
    return entry


def _operations(task: Task, machine: Machine, deadline: float, send: Send) -> None:
    known = {(entry["name"], entry["threads"]) for entry in task.known if entry["part"] == "operations"}
    for workload in WORKLOADS:
        if not task.chooses(workload.name) or (workload.name, task.threads) in known or time.monotonic() > deadline:
            continue
        begun = {"part": "operations", "device": "cpu", "threads": task.threads, "name": workload.name}
        begun |= {"about": workload.about, "runs": {}, "status": "failed"}
        send({"begin": begun})
        try:
            entry = operations.measure(workload, machine.rival, task.threads, task.seconds)
        except Exception:
            entry = begun | {"problem": traceback.format_exc(limit=-8)}
        send({"entry": entry, "new": list(entry["runs"])})


# --- what may go wrong --------------------------------------------------------------------------------------------------
class DeviceLost(RuntimeError):
    """After an error in a kernel, nothing else runs in this process."""


def _check_alive(machine: Machine) -> None:
    try:
        machine.synchronize()
    except Exception as error:
        raise DeviceLost(str(error)) from error


@contextlib.contextmanager
def _watched(seconds: float, on_hang: Callable[[], None] | None) -> Iterator[None]:
    """Call `on_hang`, from another thread, if what is inside takes longer: a kernel that never ends hears no alarm."""
    if on_hang is None:
        yield
        return
    timer = threading.Timer(seconds, on_hang)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


# --- where it runs ------------------------------------------------------------------------------------------------------
def describe(machine: Machine) -> dict[str, Any]:
    try:
        return machine.describe()
    except Exception as error:
        return {"device": machine.device, "driver": f"unknown: {error}"}


def versions(machine: Machine) -> dict[str, str]:
    found = {"python": platform.python_version(), "numpy": np.__version__}
    for name in ("cupy", "torch", "triton"):
        if name in sys.modules and (name == "torch" or machine.kind == "cuda"):
            found[name] = str(getattr(sys.modules[name], "__version__", "unknown"))
    return found if machine.rival is None else found | {"torch": machine.rival.version}


def torch_for(kind: str) -> Any:
    """PyTorch in the precision that it is asked for, or None. On a CPU it has a process of its own."""
    if kind == "cpu":
        return None
    try:
        import torch
    except ImportError:
        return None
    if kind == "cuda":
        if not torch.cuda.is_available():
            print("without PyTorch, which finds no GPU", file=sys.stderr)
            return None
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
    return torch


def machine_for(task: Task) -> Machine:
    kind = devices.kind(task.device)
    torch = torch_for(kind) if task.torch else None
    if kind == "cpu":
        machine = Machine("cpu", np)
        if task.torch and importlib.util.find_spec("torch") is not None:
            machine.rival = Rival(task.threads)
        return machine
    if kind != "cuda":
        return Emulator(torch)
    if task.tiny:
        import cupy

        cupy.cuda.set_allocator(None)  # no pool: compute-sanitizer is to see where each array ends
    return Cuda(torch, task.device)


def main() -> int:
    """Perform the task on standard input; returns the exit status."""
    told = sys.stdin.read()
    if not told:  # whoever began it has gone
        return 130
    task = Task(**json.loads(told))
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed is for people

    def send(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=lines, flush=True)

    machine = None
    try:
        machine = machine_for(task)
        perform(task, machine, send, on_hang=lambda: os._exit(LOST))
    except DeviceLost as error:
        print(f"the device was lost: {error}", file=sys.stderr, flush=True)
        os._exit(LOST)
    except (KeyboardInterrupt, BrokenPipeError):  # whoever listened has gone
        return 130
    finally:
        if machine is not None and machine.rival is not None:
            machine.rival.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
