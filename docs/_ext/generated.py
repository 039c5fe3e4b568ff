"""The pages that are made of something else: the kernels' sources, the catalogue, the results."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import concepts
import families

from weft.bench import report
from weft.bench.results import load, new

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"
PARTS = {
    "The model zoo on a CPU": ("cpu", "models"),
    "Operations on a CPU": ("cpu", "operations"),
    "The model zoo on a GPU": ("gpu", "models"),
    "Kernels on a GPU": ("gpu", "kernels"),
}
INTRO = """\
# Results

All tables are made from `bench/results/` when the site is built. `weft bench` measures them anew on your machine, beside PyTorch
where that is installed; models and kernels are checked against float64 before they are timed. Ratios are PyTorch's time, the
best way that it has, over weft's: below 1 weft is the slower one.

With two threads, the idle threads of either library go on spinning for a while and take the other's time: those rows, and the
model zoo, move by a factor of two from run to run.
"""


def results() -> str:
    """The page of what was measured."""
    parts = [INTRO]
    for title, (stem, part) in PARTS.items():
        path = RESULTS / f"{stem}.json"
        parts.append(f"## {title}\n")
        if (RESULTS / f"{stem}-{part}.png").is_file():
            parts.append(f"![{title}: samples per second]({stem}-{part}.png)\n")
        parts.append(report.table(load(path) if path.is_file() else new(), part))
    status = (RESULTS / "STATUS.md").read_text(encoding="utf-8").removeprefix("# ")
    return "\n".join([*parts, f"## {status}"])


def pages(folder: Path) -> Iterator[tuple[Path, str]]:
    """File and text of each page; what they show is drawn or copied beside them."""
    (folder / "kernels").mkdir(parents=True, exist_ok=True)
    for stem, text in families.pages(folder / "kernels"):
        yield folder / "kernels" / f"{stem}.rst", text
    concepts.draw(folder)
    yield folder / "catalogue.md", concepts.page()
    for path in RESULTS.glob("*.png"):
        shutil.copy(path, folder / path.name)
    yield folder / "results.md", results()


def _write(app: Any) -> None:
    for path, text in pages(Path(app.srcdir) / "_generated"):
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx."""
    app.connect("builder-inited", _write, priority=401)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
