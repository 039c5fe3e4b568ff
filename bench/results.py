"""What `weft bench` finds out, as a document: put together, read, written, and shown as text.

{"commit", "date", "versions": {library: version}, "machines": {device: {"device": its name, …}},
 "ceilings": {"copy": bytes/s, dtype: operations/s}, "mnist": {…},
 "benches": [{"part", "device", "threads", "name", "about", "status", "work", "ceiling", "units", "unit",
              "runs": {contender: {"seconds", "error", "problem", …}}, …}]}
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..backend.device.memory import size
from ..training.atomic import write_atomically
from ..training.cli.parser import UsageError

__all__ = [
    "LIMITS",
    "best",
    "key",
    "load",
    "measured_rate",
    "measured_time",
    "new",
    "of",
    "put",
    "save",
    "share",
    "speed_ups",
    "text",
    "text_of",
]

OF_DTYPE = {f"product-{name}": name for name in ("bfloat16", "float32", "tf32")}
HEADER = f"{'':<24}{'time':>11}{'rate':>20}{'of limit':>10}\n{'─' * 96}"
LIMITS = ("BLAS alone", "copy alone")  # of a CPU, measured beside what is held against them
DEVICES = {"cpu": "CPU", "cuda": "GPU", "emulator": "emulator"}


# --- the document -------------------------------------------------------------------------------------------------------
def new() -> dict[str, Any]:
    """Results with no benches yet."""
    return {
        "commit": os.environ.get("WEFT_COMMIT") or _commit(),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {},
        "machines": {},
        "ceilings": {},
        "benches": [],
    }


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        run = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return run.stdout.strip() or None


def key(entry: dict) -> tuple:
    """What makes an entry the same one."""
    return entry["device"], entry["part"], entry.get("threads", 0), entry["name"]


def put(results: dict, entry: dict) -> None:
    """Add an entry, or replace the one of the same key."""
    entries = {key(e): e for e in results["benches"]} | {key(entry): entry}
    results["benches"] = list(entries.values())
    ceiling = "copy" if entry["name"] == "copy" else OF_DTYPE.get(entry["name"])
    seconds = [run["seconds"] for run in entry["runs"].values() if "seconds" in run]
    if ceiling and seconds:
        results["ceilings"][ceiling] = entry["work"] / min(seconds)


def of(results: dict, part: str) -> list[dict]:
    """The entries of a part."""
    return [entry for entry in results["benches"] if entry["part"] == part]


def load(path: Path) -> dict[str, Any]:
    """Results that `save` wrote. Raises UsageError for anything else."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        results["benches"], results["machines"], results["ceilings"]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} holds no results of `weft bench --save`") from None
    return results


def save(results: dict, path: Path) -> None:
    """Write the document, all of it or nothing."""
    write_atomically(path, (json.dumps(results, indent=1) + "\n").encode())


# --- what it says -------------------------------------------------------------------------------------------------------
def best(entry: dict, whose: str) -> tuple[float, str] | None:
    """(seconds, contender) of the fastest way of "weft", or of "torch"."""
    return min(
        ((r["seconds"], n) for n, r in entry["runs"].items() if n.startswith(whose) and "seconds" in r), default=None
    )


def share(entry: dict, seconds: float, ceilings: dict[str, float]) -> float | None:
    """Of what the device reaches in a copy or in a product of matrices; on a CPU, of what BLAS or a copy alone reaches."""
    for name in LIMITS:
        if name in entry["runs"]:
            return entry["runs"][name]["seconds"] / seconds
    limit = ceilings.get(entry.get("ceiling") or "")
    return entry["work"] / (seconds * entry["units"]) / limit if limit else None


def speed_ups(results: dict) -> Iterator[tuple[dict, dict, float]]:
    """(entry on the CPU, entry on the GPU, how many times as many samples per second the GPU does) for each model."""
    cpu = {entry["name"]: entry for entry in of(results, "models") if entry["device"] == "cpu"}
    for entry in of(results, "models"):
        there = cpu.get(entry["name"].removesuffix("-bfloat16"))
        if entry["device"] != "cpu" and there is not None:
            ours, slow = best(entry, "weft"), best(there, "weft")
            if ours and slow:
                yield there, entry, slow[0] / ours[0]


def measured_time(seconds: float) -> str:
    """Three digits or so, with the unit that fits.

    >>> from weft.bench.results import measured_time
    >>> measured_time(1.2345e-5), measured_time(0.012345), measured_time(2.5)
    ('12.3 µs', '12.3 ms', '2.50 s')
    """
    for unit, scale in (("µs", 1e6), ("ms", 1e3)):
        if seconds * scale < 999.5:
            value = seconds * scale
            return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f} {unit}"
    return f"{seconds:.2f} s"


def measured_rate(rate: float) -> str:
    """At least three digits.

    >>> from weft.bench.results import measured_rate
    >>> measured_rate(1.2345), measured_rate(123456.7)
    ('1.23', '123,457')
    """
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


# --- as text ------------------------------------------------------------------------------------------------------------
def text_of(entry: dict, ceilings: dict[str, float], names: Sequence[str] | None = None) -> str:
    """An entry as it is printed: a line for each contender (of those in `names`)."""
    status = "" if entry["status"] == "ok" else f"   — {entry['status'].upper()}"
    lines = [f"{entry['about']}{status}"]
    if "problem" in entry:
        lines.append(f"    {_last_line(entry['problem'])}")
    lines += [_line(entry, name, r, ceilings) for name, r in entry["runs"].items() if names is None or name in names]
    return "\n".join(lines)


def _line(entry: dict, name: str, run: dict, ceilings: dict[str, float]) -> str:
    error = f"error {run['error']:.0e}" if "error" in run else ""
    if "problem" in run:
        return f"    {name:<20} failed: {_last_line(run['problem'])[:150]}"
    if run.get("is_wrong"):
        return f"    {name:<20} WRONG, {error}, tolerance {entry['tolerance']:.0e}"
    if "seconds" not in run:
        return f"    {name:<20} not measured"
    part, theirs = share(entry, run["seconds"], ceilings), best(entry, "torch")
    ratio = theirs[0] / run["seconds"] if theirs and name.startswith("weft") else None
    cells = [
        f"{measured_time(run['seconds'] * entry.get('units', 1)):>11}",
        f"{_rate(entry, run):>20}",
        f"{part:>10.0%}" if part and name not in LIMITS else " " * 10,
        f"{ratio:>8.2f}× PyTorch" if ratio else " " * 17,
        f"  {error}",
    ]
    return f"    {name:<20}{''.join(cells)}".rstrip()


def _last_line(problem: str) -> str:
    return (problem.strip().splitlines() or [""])[-1]


def _rate(entry: dict, run: dict) -> str:
    if entry["part"] == "operations":
        return f"peak {size(run['memory'])}" if "memory" in run else ""
    if entry["part"] == "models" or not entry["ceiling"]:
        return f"{measured_rate(1 / run['seconds'])} {entry['unit']}/s"
    rate = entry["work"] / run["seconds"] / 1e12
    return f"{rate:.2f} TB/s" if entry["ceiling"] == "copy" else f"{rate:.1f} TFLOP/s"


def text(results: dict) -> str:
    """What stands at the end: limits, the GPU against the CPU, MNIST, and whatever is wrong."""
    limits = ", ".join(
        f"{n} {r / 1e12:.2f} T{'B' if n == 'copy' else 'FLOP'}/s" for n, r in results["ceilings"].items()
    )
    lines = [f"limits measured here: {limits}"] if limits else []
    for there, entry, times in speed_ups(results):
        where = f"{DEVICES[entry['device']]} against CPU"
        lines.append(f"{where}: {times:,.1f}× the samples per second ({entry['about']}; CPU: batch {there['units']})")
    if "mnist" in results:
        lines.append(f"MNIST: {json.dumps(results['mnist'])}")
    lines += [f"{e['status'].upper()}: {e['name']}" for e in results["benches"] if e["status"] in ("wrong", "failed")]
    return "\n".join(lines)
