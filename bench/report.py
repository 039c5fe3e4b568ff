"""Tables in README.md, generated from bench/results/*.json: `python -m weft.bench.report` rewrites them in place.

A table stands between `<!-- results:STEM -->` and `<!-- /results -->`, where STEM names the JSON file.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from .compare import _ms

__all__ = ["main", "render", "table"]

ROOT = Path(__file__).resolve().parent.parent
MARKED = re.compile(r"(<!-- results:([\w.-]+) -->\n)(.*?)(<!-- /results -->)", re.DOTALL)


def table(results: dict) -> str:
    """Markdown for one results file of `weft bench --save`."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    lines = [f"{results['device']}; {versions}; commit {results['commit']}, {results['date']}. Medians, float32.", "",
             "| workload | threads | weft | PyTorch | ratio | of the BLAS limit |", "|---|--:|--:|--:|--:|--:|"]  # fmt: skip
    for r in results["results"]:
        theirs = f"{_ms(r['torch_s'])} | **{r['ratio']:.2f}×**" if r["torch_s"] else "– | –"
        limit = f"{r['blas_limit_s'] / r['weft_s']:.0%}" if r["blas_limit_s"] else "–"
        lines.append(f"| {r['about']} | {r['threads']} | {_ms(r['weft_s'])} | {theirs} | {limit} |")
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
