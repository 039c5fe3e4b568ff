"""Tables in README.md, generated from bench/results/*.json: `python -m weft.bench.report` rewrites them in place.

A table stands between `<!-- results:STEM -->` and `<!-- /results -->`, where STEM names the JSON file.
"""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path

from .compare import _ms

__all__ = ["gpu_table", "main", "render", "table"]

ROOT = Path(__file__).resolve().parent.parent
MARKED = re.compile(r"(<!-- results:([\w.-]+) -->\n)(.*?)(<!-- /results -->)", re.DOTALL)


def table(results: dict) -> str:
    """Markdown for one results file of `weft bench --save`, or of `python -m weft.bench.gpu`."""
    if results.get("kind") == "gpu":
        return gpu_table(results)
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    lines = [f"{results['device']}; {versions}; commit {results['commit']}, {results['date']}. Medians, float32.", "",
             "| workload | threads | weft | PyTorch | ratio | of the BLAS limit |", "|---|--:|--:|--:|--:|--:|"]  # fmt: skip
    for r in results["results"]:
        theirs = f"{_ms(r['torch_s'])} | **{r['ratio']:.2f}×**" if r["torch_s"] else "– | –"
        limit = f"{r['blas_limit_s'] / r['weft_s']:.0%}" if r["blas_limit_s"] else "–"
        lines.append(f"| {r['about']} | {r['threads']} | {_ms(r['weft_s'])} | {theirs} | {limit} |")
    return "\n".join(lines) + "\n"


def gpu_table(results: dict) -> str:
    """weft beside the best that PyTorch reaches; the limits are a copy, and products of matrices, in the same run."""
    limits = results["ceilings"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    units = {"copy": "TB/s"}
    shown = ", ".join(f"{name} {rate / 1e12:,.2f} {units.get(name, 'TFLOP/s')}" for name, rate in limits.items())
    lines = [f"{results['device']}, driver {results['driver']}; {versions}; commit {results['commit']}, {results['date']}. "
             f"Medians. Limits measured in the same run: {shown}.", "",
             "| what | weft | of the limit | PyTorch, the best way | ratio |", "|---|--:|--:|--:|--:|"]  # fmt: skip
    for entry in results["benches"]:
        times = {name: run["seconds"] for name, run in entry["runs"].items() if "seconds" in run}
        ours = min((t for name, t in times.items() if name.startswith("weft")), default=None)
        theirs = min((t, name) for name, t in [*times.items(), ("", math.inf)] if not name or name.startswith("torch"))
        if ours is None:
            lines += [] if entry["status"] == "ok" else [f"| {entry['about']} | {entry['status']} | – | – | – |"]
            continue
        limit = limits.get(entry["ceiling"] or "")
        share = f"{entry['work'] / ours / limit:.0%}" if limit else "–"
        other = f"{_ms(theirs[0])} ({theirs[1]}) | **{theirs[0] / ours:.2f}×**" if theirs[1] else "– | –"
        lines.append(f"| {entry['about']} | {_ms(ours)} | {share} | {other} |")
    if (mnist := results.get("mnist", {})).get("reached"):
        lines.append(f"| MNIST to {mnist['goal']:.0%} test accuracy | {mnist['seconds']:.1f} s | – | – | – |")
    return "\n".join(lines) + "\n"


def render(text: str, folder: Path = ROOT / "bench" / "results") -> str:
    """`text` with every marked table replaced by what its results file says."""

    def replace(match: re.Match) -> str:
        path = folder / f"{match[2]}.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"README.md names results that are not there: {path}; run `weft bench --save {path}`"
            )
        return match[1] + table(json.loads(path.read_text())) + match[4]

    return MARKED.sub(replace, text)


def main() -> int:
    """Rewrite the tables in README.md; returns the exit status."""
    readme = ROOT / "README.md"
    readme.write_text(render(readme.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
