"""The processes that `weft bench` measures in: one for each task, and another where it ends in what it measures."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .._signals import ENDING
from ..backend.device import devices
from ..training.cli.parser import UsageError
from ..training.signals import PutOff, Terminated
from . import results as document
from .worker import LOST, Task

__all__ = ["perform"]


def perform(task: Task, cores: list[int], results: dict, path: Path | None, end: float, signals: PutOff) -> None:
    """A process for the task; another one for the rest, where it is taken down by what it measures. `signals` have begun."""
    kind = devices.kind(task.device)
    while True:
        task.known = [
            e for e in results["benches"] if e["device"] == kind and e.get("threads", task.threads) == task.threads
        ]
        task.total = end - time.monotonic()
        status, begun = _run(task, cores, results, path, signals)
        if status == 0:
            return
        if -status in ENDING:  # all processes of the command are told to end, and the signal comes to that one first
            raise KeyboardInterrupt if -status == signal.SIGINT else Terminated(-status)
        if begun is not None:
            how = "its device was lost" if status == LOST else f"exit status {status}"
            document.put(results, begun | {"problem": f"the process ended in it ({how})"})
            print(document.text_of(begun | {"problem": how}, results["ceilings"], ()), flush=True)
        if begun is None:
            raise UsageError(f"the process that measures on {task.device} ended with exit status {status}")
        print("going on in a new process", flush=True)


def _run(task: Task, cores: list[int], results: dict, path: Path | None, signals: PutOff) -> tuple[int, dict | None]:
    """(exit status, the entry that had been begun and not ended) of a process that performs the task."""
    is_cpu = devices.kind(task.device) == "cpu"
    limits = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "WEFT_NUM_THREADS")
    environment = {**os.environ, **(dict.fromkeys(limits, str(task.threads)) if is_cpu else {})}

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; here it is decided what it means
        if is_cpu and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)

    command = [sys.executable, "-m", f"{__package__}.worker"]
    begun = None
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        preexec_fn=prepare if os.name == "posix" else None,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                json.dump(vars(task), process.stdin)
            while True:
                with signals.raised():  # while it waits; in a callback, as when a process forks, what is raised is lost
                    line = process.stdout.readline()
                if not line:
                    break
                message = json.loads(line)
                begun = message.get("begin", None if "entry" in message else begun)
                _take(message, task, results)
                if path is not None and "entry" in message:
                    document.save(results, path)
            with signals.raised():
                status = process.wait()
        except BaseException:
            process.kill()  # it would go on measuring for nobody
            raise
    return status, begun


def _take(message: dict[str, Any], task: Task, results: dict) -> None:
    """Put what a process tells into the results, and show it."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    if is_terminal:
        print("\r\x1b[K", end="")
    if "begin" in message:
        if is_terminal:
            print(f"{message['begin']['name']} …", end="", flush=True)
    elif "entry" in message:
        document.put(results, message["entry"])
        if message["new"] or "problem" in message["entry"]:
            print(document.text_of(message["entry"], results["ceilings"], message["new"]), flush=True)
    elif "mnist" in message:
        results["mnist"] = message["mnist"]
        print(f"MNIST: {json.dumps(message['mnist'])}", flush=True)
    else:
        results["machines"][message["kind"]] = message["machine"]
        results["versions"] |= message["versions"]
        threads = f", {task.threads} thread{'s' * (task.threads > 1)}" * (message["kind"] == "cpu")
        versions = ", ".join(f"{name} {version}" for name, version in message["versions"].items())
        without = ", without PyTorch" * ("torch" not in message["versions"])
        print(f"\n{message['machine']['device']}{threads}; {versions}{without}\n{document.HEADER}", flush=True)
