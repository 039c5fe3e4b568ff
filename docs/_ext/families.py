"""The pages of the kernels: a family's mathematics from the head of its source, the prediction of its roofline, the source."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from reference import escaped, markup

from weft.training import picture

ROOT = Path(__file__).resolve().parents[2]
GLOBAL = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\([^\n]*\)(?:\s*//[^\n]*)?\s*)?(\w+)\s*\(")
CASE = re.compile(r"(\w+): (\w+)")
HEADER = ("case: kernel", "instructions / byte", "sectors", "cycles", "issue", "lanes", "share of a copy's speed")


def families() -> list[str]:
    """The stems of the sources that hold kernels."""
    return sorted(path.stem for path in (ROOT / "kernels").glob("*.cu"))


def head(stem: str) -> list[str]:
    """The comment that a source opens with, without its signs."""
    lines = (ROOT / "kernels" / f"{stem}.cu").read_text(encoding="utf-8").splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("//"))
    return [line[2:].removeprefix(" ") for line in lines[:end]]


def predictions() -> dict[str, dict[str, dict[str, float]]]:
    """The rows of bench/results/kernels.json by family: each kernel belongs to the source that defines it."""
    defined: dict[str, str] = {}
    for stem in families():
        for name in GLOBAL.findall((ROOT / "kernels" / f"{stem}.cu").read_text(encoding="utf-8")):
            defined.setdefault(name, stem)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row, numbers in json.loads((ROOT / "bench" / "results" / "kernels.json").read_text(encoding="utf-8")).items():
        if match := CASE.match(row):
            found.setdefault(defined.get(match[2], ""), {})[row] = numbers
    return found


def page(stem: str, rows: dict[str, dict[str, float]], has_picture: bool) -> str:
    """A family's page."""
    title = stem.replace("_", " ")
    lines = [title, "=" * len(title), "", *markup(head(stem)), ""]
    lines += ["Roofline", "--------", ""]
    if rows:
        lines += [
            "Predicted for an H200 from the emulator's counters and the machine code, not measured; what the columns say "
            "stands on :doc:`the page of all families <index>`.",
            "",
        ]
        lines += [f".. image:: {stem}.png", f"   :alt: shares of a copy's speed, {title}", ""] * has_picture
        lines += [".. list-table::", "   :header-rows: 1", "", *_row(HEADER)]
        for name, numbers in rows.items():
            values = (numbers["instructions"], numbers["sectors"], numbers["cycles"])
            shares = (f"{numbers[key]:.0%}" if key in numbers else "" for key in ("issue", "lanes", "share"))
            lines += _row((f"``{name}``", *(f"{value:.3g}" for value in values), *shares))
    else:
        lines += ["No case of ``weft info --kernels --profile`` runs it yet.", ""]
    for suffix, language, about in (("cu", "cuda", "Source"), ("py", "python", "Launcher")):
        if (ROOT / "kernels" / f"{stem}.{suffix}").is_file():
            lines += ["", about, "-" * len(about), "", f".. literalinclude:: ../../../kernels/{stem}.{suffix}"]
            lines += [f"   :language: {language}", "   :linenos:", ""]
    return "\n".join(lines)


def _row(cells: tuple[str, ...]) -> list[str]:
    return [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(cells)]


def draw(path: Path, title: str, rows: dict[str, dict[str, float]]) -> None:
    """Bars: how near to the speed of a copy each kernel is predicted to come."""
    names = list(rows)
    with picture(path, size=(8, 0.9 + 0.24 * len(names)), title=f"{title}: predicted, H200") as (axis,):
        axis.barh(names, [100 * rows[name]["share"] for name in names], color="#2a78d6", height=0.7)
        axis.set(xlim=(0, 100), xlabel="of the speed of a copy of the same bytes (%)")
        axis.invert_yaxis()
        axis.tick_params(axis="y", labelsize=6)
        axis.grid(False, axis="y")


INTRO = """\
A family is a ``.cu`` file, with its mathematics, its layout and what it must cost at its head, and the launcher of the same
stem. The emulator runs them on any Linux machine with a C++ compiler; :doc:`a tutorial </tutorials/08-own-kernel>` writes one.

What is predicted: instructions of threads per byte moved; *sectors*, over the fewest that the bytes could fill, and *cycles* of
shared memory per phase, of the worst line; *issue*, the time of the instructions over that of the bytes; *lanes*, that of the
busiest pipe, by how many lanes it has; *share*, of the speed of a copy of these bytes. The cases are small ones, in which what a
block does once weighs more than in large ones. Kernels of matrix products have other limits than bytes. None of this was
measured on a GPU.
"""


def index() -> str:
    """The page of all families."""
    lines = ["Kernels", "=======", "", INTRO, ".. toctree::", "   :hidden:", ""]
    lines += [f"   {stem.replace('_', ' ')} <{stem}>" for stem in families()] + [""]
    for stem in families():
        lines += [f":doc:`{stem}`", f"    {escaped(head(stem)[0])}", ""]
    return "\n".join(lines)


def pages(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and text of each page; pictures are drawn."""
    rows = predictions()
    yield "index", index()
    for stem in families():
        mine = rows.get(stem, {})
        if mine:
            draw(folder / f"{stem}.png", stem.replace("_", " "), mine)
        yield stem, page(stem, mine, bool(mine))
