"""`weft bench`: what there is to measure here, measured by other processes, printed as it comes, and saved.

A CPU's numbers are taken in processes pinned to as many cores as they use threads, from before any library is loaded, so
that neither NumPy's BLAS nor PyTorch has more. A GPU's are taken in one of its own, so that an error in a kernel costs the
bench that it happens in, and no other.
"""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .. import _signals
from ..backend.device import devices
from ..backend.device.options import did_you_mean
from ..data.writing import make_folder, reason
from ..training.atomic import write_atomically
from ..training.cli.folder import path_of
from ..training.cli.parser import Parser, UsageError, number, report
from ..training.signals import PutOff
from . import results as document
from .perform import perform
from .worker import Task, benches
from .workloads import WORKLOADS

__all__ = ["main"]

PARTS = ("models", "operations", "kernels")
ABOUT = """\
Measure weft on this machine, beside PyTorch where that is installed.

  models      samples per second of the model zoo, in training and in inference, on the CPU and on the GPU (run as
              usual, recorded with weft.capture, in bfloat16)
  operations  training steps and single operations on the CPU, against PyTorch and against BLAS or a copy alone
  kernels     every CUDA kernel on the GPU, as a share of what a copy and products of matrices reach in the same run

All that this machine can do, unless parts, a device or names are given. What is computed is checked before it is timed
(against float64; the operations are checked by the tests instead). On a CPU each library runs in a process of its own; they
take turns, and a turn ends when the threads of the one that had it are asleep.

Ctrl-C, SIGTERM and SIGHUP print and save what there is, and say how to go on (exit status 130, 143, 129)."""
EXAMPLES = """\
examples:
  weft bench                                  everything (a few minutes)
  weft bench --models --save results          the model zoo; results/bench.json, .md and pictures
  weft bench resnet18                         only what begins so, --list shows the names
  weft bench --kernels attention conv         on a GPU
  weft bench --device emulator --kernels      a rehearsal of the GPU's benches at tiny sizes, without one
"""


def _parser() -> Parser:
    parser = Parser(prog="weft bench", description=ABOUT, epilog=EXAMPLES)
    add = parser.add_argument
    add("names", nargs="*", default=[], metavar="NAME", help="only benches whose names begin so")
    for part in PARTS:
        add(
            f"--{part}", action="append_const", const=part, dest="parts", help=f"only the {part} (these options add up)"
        )
    add("--device", help="only this: cpu, cuda, cuda:1, emulator (default: the CPU, and the GPU where there is one)")
    add("--threads", type=number(int, 1), metavar="N", help="of the CPU (default: all cores; operations also on one)")
    add("--save", metavar="PATH", help="a folder, or a .json file: JSON, and beside it Markdown and PNG")
    add("--resume", action="store_true", help="keep what --save PATH holds already, and measure the rest")
    add("--seconds", type=number(float, 0, above=True), metavar="S", help="for each contender (1; on a GPU 0.25)")
    add("--limit", type=number(float, 0, above=True), default=120.0, metavar="S", help="for each bench (120)")
    add("--total", type=number(float, 0, above=True), default=3600.0, metavar="S", help="for everything (3600)")
    add("--no-torch", dest="torch", action="store_false", default=True, help="weft alone")
    add("--no-compile", dest="compile", action="store_false", default=True, help="without torch.compile, which is slow")
    add("--data", metavar="FOLDER", help="MNIST's files: on a GPU, also the time to 99 %% test accuracy")
    add("--list", action="store_true", help="print the names of the benches and stop")
    add("--tiny", action="store_true", default=False, help=argparse.SUPPRESS)  # for compute-sanitizer and the tests
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """`weft bench`; returns the exit status: 1 if anything is wrong or failed, 2 if it cannot be done."""
    parser = _parser()
    options = parser.parse_args(argv)
    if devices.kind(getattr(options, "device", "cpu")) not in document.DEVICES:
        parser.error(f"--device must be one of {', '.join(document.DEVICES)}, got {options.device!r}")
    for name in ("save", "data"):
        if getattr(options, name, None) == "":
            parser.error(f"--{name} must name a folder{' or a .json file' if name == 'save' else ''}, got ''")
    if "" in options.names:
        parser.error("NAME must not be empty, which would be every bench: leave it out")
    if hasattr(options, "list"):
        return _list(options)
    if hasattr(options, "resume") and not hasattr(options, "save"):
        parser.error("--resume needs --save PATH")
    words = sys.argv[1:] if argv is None else list(argv)
    return report("weft bench", lambda: _bench(options, words))


def _names(kind: str, parts: Sequence[str]) -> list[tuple[str, str]]:
    """(part, name) of all that there is on a kind of device."""
    operations = [("operations", w.name) for w in WORKLOADS] if kind == "cpu" and "operations" in parts else []
    chosen = benches(kind, [p for p in parts if p != "operations" and (kind != "cpu" or p != "kernels")])
    return [*((b.part, b.name) for b in chosen), *operations]


def _list(options: argparse.Namespace) -> int:
    kinds = [devices.kind(options.device)] if hasattr(options, "device") else ["cpu", "cuda"]
    for kind in kinds:
        for part, name in _names(kind, getattr(options, "parts", PARTS)):
            if not options.names or name.startswith(tuple(options.names)):
                print(f"{document.DEVICES[kind]:<10}{part:<12}{name}")
    return 0


# --- what to do ---------------------------------------------------------------------------------------------------------
def _tasks(options: argparse.Namespace, cores: list[int]) -> list[Task]:
    """One for each process that is to measure. Raises UsageError or DeviceError for what this machine cannot do."""
    parts = list(dict.fromkeys(getattr(options, "parts", PARTS)))
    places = [devices.select(options.device)] if hasattr(options, "device") else ["cpu"]
    if not hasattr(options, "device"):
        try:
            places.append(devices.canonical("cuda"))
        except devices.DeviceError as error:
            if parts == ["kernels"]:
                raise UsageError(f"--kernels measures on a GPU: {error}. --device emulator rehearses it") from None
            print(f"no GPU is measured: {' '.join(str(error).split())}")
    available = {name for place in places for _, name in _names(devices.kind(place), parts)}
    for name in options.names:
        if not any(there.startswith(name) for there in available):
            hint = did_you_mean(name, sorted(available | {full.partition("-")[0] for full in available}))
            raise UsageError(f"no bench here has a name that begins with {name!r}; see weft bench --list{hint}")
    threads = getattr(options, "threads", len(cores))
    if threads > len(cores):
        raise UsageError(f"--threads must be between 1 and {len(cores)} here, got {threads}")
    common = {
        "names": options.names,
        "limit": options.limit,
        "total": options.total,
        "tiny": options.tiny,
        "torch": options.torch,
        "compile": options.compile,
    }
    tasks = []
    for place in places:
        is_cpu = devices.kind(place) == "cpu"
        seconds = getattr(options, "seconds", 1.0 if is_cpu else 0.25)
        on_it = [p for p in parts if p != ("kernels" if is_cpu else "operations")]
        here = Task(place, on_it, threads=threads, seconds=seconds, **common)
        if is_cpu and "operations" in parts and threads > 1 and not hasattr(options, "threads"):
            tasks.append(Task(place, ["operations"], threads=1, seconds=seconds, **common))
        if place.startswith("emulator"):
            here.tiny = True
        if not is_cpu:
            here.data = getattr(options, "data", None)
        if on_it and any(name.startswith(tuple(options.names) or "") for _, name in _names(devices.kind(place), on_it)):
            tasks.append(here)
    if not tasks:
        raise UsageError(f"nothing to measure: there are no {' and '.join(parts)} for {' and '.join(places)}")
    return tasks


def _bench(options: argparse.Namespace, words: Sequence[str]) -> int:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    tasks = _tasks(options, cores)
    path = _path(options.save) if hasattr(options, "save") else None
    if path is not None:
        _check_writable(path)
    has_more = path is not None and hasattr(options, "resume") and path.is_file()
    results = document.load(path) if path and has_more else document.new()
    end = time.monotonic() + options.total
    with _signals.given_back():  # a second interrupt, as `timeout` sends it, must not end the process on the spot
        signals = PutOff()
        signals.begin()
        try:
            _signals.explain = lambda: _how_to_go_on(path, words)
            for task in tasks:
                perform(task, cores[-task.threads :], results, path, end, signals)
        finally:  # they are put off: what is known is printed and saved as a whole
            try:
                _finish(results, path)
            finally:
                signals.end()
    return int(any(entry["status"] in ("failed", "wrong") for entry in results["benches"]))


def _how_to_go_on(path: Path | None, words: Sequence[str]) -> str:
    """What is said when a signal ends it."""
    if path is None:
        return "nothing is kept without --save PATH, by which --resume goes on"
    return "go on with: " + shlex.join(["weft", "bench", *["--resume"][: "--resume" not in words], *words])


def _finish(results: dict, path: Path | None) -> None:
    if results["benches"]:
        print(f"\n{document.text(results)}".rstrip(), flush=True)
        if path is not None:
            _publish(results, path)


def _path(save: str) -> Path:
    path = path_of("--save", save)
    return path if save.endswith(".json") else path / "bench.json"


def _check_writable(path: Path) -> None:
    """Before anything is measured."""
    try:
        make_folder(path.parent)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except (OSError, ValueError) as error:
        raise UsageError(f"--save: `{path}` could not be written: {reason(error)}; choose another place") from error


def _publish(results: dict, path: Path) -> None:
    """Markdown and pictures beside the JSON."""
    from .plot import plot
    from .report import markdown

    document.save(results, path)
    write_atomically(path.with_suffix(".md"), markdown(results).encode())
    try:
        pictures = plot(results, path)
    except ImportError as error:
        pictures = []
        print(f"no pictures: {error}")
    print("saved " + ", ".join(map(str, [path, path.with_suffix(".md"), *pictures])))
