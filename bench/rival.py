"""PyTorch's process, for `turns.Rival`: `python -m weft.bench.rival THREADS`.

Each line on standard input is a JSON object. One with "part" and "name" prepares a bench, {} samples it; answered before
anything is prepared, {} tells the version.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from . import models
from .machine import Machine
from .measure import noted, prepared
from .turns import SAMPLE, Sampler, settle
from .workloads import WORKLOADS

__all__ = ["Server", "main"]


class Server:
    """Answers to messages, with PyTorch on a machine that has it."""

    def __init__(self, machine: Machine):
        self.machine = machine
        self.sampler: Sampler | None = None

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if "part" in message:
            self.sampler = None  # and the memory of what was measured last
            self.machine.release()
            row: dict[str, Any] = {}
            with noted(row):
                run = self._prepare(message["part"], message["name"], message["tiny"], row)
                if run is not None:
                    self.sampler = Sampler(run, 0.0 if message["tiny"] else SAMPLE)
            return {"row": row}
        return {"version": self.machine.torch.__version__} if self.sampler is None else {"seconds": self.sampler()}

    def _prepare(self, part: str, name: str, tiny: bool, row: dict[str, Any]) -> Callable[[], Any] | None:
        if part == "operations":
            workload = next(w for w in WORKLOADS if w.name == name)
            return workload.torch(self.machine.torch)
        bench = next(b for b in models.benches("cpu") if b.name == name)
        case = bench.make(self.machine, **(bench.tiny if tiny else bench.sizes))
        return prepared(case, "torch", self.machine, row)


def main(threads: int) -> int:
    """Answer until standard input ends, or nobody listens; returns the exit status."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed is for people
    import torch

    torch.set_num_threads(threads)
    server = Server(Machine("cpu", np, torch))
    for line in sys.stdin:
        message = json.loads(line)
        answer = server.answer(message)
        settle()
        try:
            print(json.dumps(answer | {"id": message["id"]}), file=lines, flush=True)
        except BrokenPipeError:
            os._exit(0)  # else `lines` is flushed once more
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
