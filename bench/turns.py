"""Libraries measured fairly on a CPU: each in a process of its own, in turn, and a turn ends when its threads are asleep.

Threads that have nothing to do spin for a while before they sleep: those of OpenBLAS for a tenth of a second, those of OpenMP
for some. Within one process, or right after it, they take a core from whoever is measured next; with two threads that moved
ratios by a factor of two.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Rival", "Sampler", "alternate", "settle"]

SAMPLE = 0.03  # seconds of calls, or one call
PATIENCE = 1.0  # seconds: what computes for longer does so on purpose


def settle() -> None:
    """Return when no thread of this process computes any more."""
    deadline = time.perf_counter() + PATIENCE
    while time.perf_counter() < deadline:
        before = time.process_time()
        time.sleep(0.005)
        if time.process_time() - before < 0.0005:
            return


class Sampler:
    """Seconds per call of `run`, when it is called: the mean over some calls."""

    def __init__(self, run: Callable[[], Any], length: float = SAMPLE):
        self.run = run
        run()
        start = time.perf_counter()
        run()
        self.calls = max(1, round(length / max(time.perf_counter() - start, 1e-7)))

    def __call__(self) -> float:
        start = time.perf_counter()
        for _ in range(self.calls):
            self.run()
        found = (time.perf_counter() - start) / self.calls
        settle()
        return found


def alternate(samplers: dict[str, Callable[[], float]], seconds: float, least: int = 5) -> dict[str, list[float]]:
    """Samples of each, in turn so that noise hits all alike, for `seconds` each and `least` times at least."""
    samples: dict[str, list[float]] = {name: [] for name in samplers}
    deadline = time.perf_counter() + seconds * len(samplers)
    settle()
    while samplers and (time.perf_counter() < deadline or len(samples[next(iter(samplers))]) < least):
        for name, sample in samplers.items():
            samples[name].append(sample())
    return samples


class Rival:
    """PyTorch, in a process that computes when it is told to and sleeps otherwise (`rival.py`)."""

    def __init__(self, threads: int):
        command = [sys.executable, "-m", f"{__package__}.rival", str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._asked = 0
        self.version: str = self._ask()["version"]

    def prepare(self, part: str, name: str, *, tiny: bool = False) -> dict[str, Any]:
        """Build a bench, and check it; what is to be noted of it ("error", "is_wrong", "problem")."""
        settle()
        return self._ask(part=part, name=name, tiny=tiny)["row"]

    def sample(self) -> float:
        """Seconds per call of what was prepared last."""
        return self._ask()["seconds"]

    def _ask(self, **message: Any) -> dict[str, Any]:
        """The answer to this message: what was asked before and given up is answered, too."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asked += 1
        self._process.stdin.write(json.dumps(message | {"id": self._asked}) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            answer = json.loads(line)
            if answer["id"] == self._asked:
                return answer
        raise RuntimeError(f"PyTorch's process ended with exit status {self._process.wait()}")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
