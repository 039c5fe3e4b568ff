"""Markdown of results, and the tables in README.md: `python -m weft.bench.report` rewrites them in place.

A table stands between `<!-- results:STEM PART -->` and `<!-- /results -->`: that PART of bench/results/STEM.json.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from .results import DEVICES, best, load, measured_rate, measured_time, new, of, share, speed_ups

__all__ = ["main", "markdown", "render", "table"]

ROOT = Path(__file__).resolve().parent.parent
MARKED = re.compile(r"(<!-- results:([\w.-]+) (\w+) -->\n)(.*?)(<!-- /results -->)", re.DOTALL)


def markdown(results: dict) -> str:
    """All of a results document."""
    parts = [f"## {part}\n\n{table(results, part)}" for part in ROWS if of(results, part)]
    return "# weft bench\n\n" + "\n".join(parts)


def table(results: dict, part: str) -> str:
    """What was measured of "models", "operations" or "kernels"; above it, on what."""
    if not of(results, part):
        return "Not measured yet.\n"
    header, rows = ROWS[part]
    here = {entry["device"]: entry.get("threads") for entry in of(results, part)}
    machines = [_machine(results["machines"][device], DEVICES[device]) for device in here]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    about = [*machines, versions, f"commit {results['commit']}, {results['date']}. Medians."]
    names = header.split(" | ")
    left = 2 if part == "models" else 1
    rule = "|".join(["---"] * left + ["--:"] * (len(names) - left))
    lines = [
        "; ".join(about),
        "",
        f"| {header} |",
        f"|{rule}|",
        *(f"| {' | '.join(cells)} |" for cells in rows(results)),
    ]
    if part == "kernels" and results["ceilings"]:
        limits = (f"{n} {r / 1e12:,.2f} {'TB/s' if n == 'copy' else 'TFLOP/s'}" for n, r in results["ceilings"].items())
        lines[1:1] = ["", f"Limits measured in the same run: {', '.join(limits)}."]
    if part == "models" and (mnist := results.get("mnist", {})).get("reached"):
        lines += ["", f"MNIST to {mnist['goal']:.0%} test accuracy on the GPU: {mnist['seconds']:.1f} s."]
    return "\n".join(lines) + "\n"


def _machine(machine: dict, kind: str) -> str:
    driver = f", driver {machine['driver']}" if machine.get("driver") else ""
    return f"{kind}: {machine['device']}{driver}"


def _models(results: dict) -> Iterator[list[str]]:
    """Samples per second."""
    against = {(entry["device"], entry["name"]): times for _, entry, times in speed_ups(results)}
    for entry in of(results, "models"):
        rates = {name: measured_rate(1 / r["seconds"]) for name, r in entry["runs"].items() if "seconds" in r}
        times = against.get((entry["device"], entry["name"]))
        on = DEVICES[entry["device"]] + (f", {n} thread{'s' * (n > 1)}" if (n := entry.get("threads")) else "")
        yield [
            entry["about"],
            on,
            rates.get("weft", "–"),
            rates.get("weft.capture", "–"),
            *_theirs(entry, rates),
            f"{times:,.0f}×" if times else "–",
        ]


def _theirs(entry: dict, shown: dict[str, str]) -> list[str]:
    """PyTorch's best way, and how many times as fast weft's best is."""
    ours, theirs = best(entry, "weft"), best(entry, "torch")
    if theirs is None:
        return ["–", "–"]
    way = theirs[1].removeprefix("torch").lstrip(",. ")
    return [shown[theirs[1]] + f" ({way})" * bool(way), f"**{theirs[0] / ours[0]:.2f}×**" if ours else entry["status"]]


def _operations(results: dict) -> Iterator[list[str]]:
    for entry in of(results, "operations"):
        yield [entry["about"], str(entry["threads"]), *_times(results, entry)]


def _kernels(results: dict) -> Iterator[list[str]]:
    for entry in of(results, "kernels"):
        if best(entry, "weft") or entry["status"] != "ok":
            yield [entry["about"], *_times(results, entry)]


def _times(results: dict, entry: dict) -> list[str]:
    """weft's time, its share of the limit, PyTorch's time, the ratio."""
    shown = {name: measured_time(r["seconds"]) for name, r in entry["runs"].items() if "seconds" in r}
    ours = best(entry, "weft")
    part = share(entry, ours[0], results["ceilings"]) if ours else None
    return [shown[ours[1]] if ours else entry["status"], f"{part:.0%}" if part else "–", *_theirs(entry, shown)]


ROWS = {
    "models": (
        "samples per second | on | weft | weft.capture | PyTorch, the best way | ratio | GPU against CPU",
        _models,
    ),
    "operations": ("workload | threads | weft | of the limit | PyTorch | ratio", _operations),
    "kernels": ("kernel | weft | of the limit | PyTorch, the best way | ratio", _kernels),
}


def render(text: str, folder: Path = ROOT / "bench" / "results") -> str:
    """`text` with every marked table replaced by what its results file says."""

    def replace(match: re.Match) -> str:
        path, part = folder / f"{match[2]}.json", match[3]
        return match[1] + table(load(path) if path.is_file() else new(), part) + match[5]

    return MARKED.sub(replace, text)


def main() -> int:
    """Rewrite the tables in README.md; returns the exit status."""
    readme = ROOT / "README.md"
    readme.write_text(render(readme.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
