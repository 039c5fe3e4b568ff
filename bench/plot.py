"""Pictures of results, as PNG: samples per second of the models, and each kernel's share of the device's limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..training.plots import _figure, _write
from .results import DEVICES, best, measured_rate, of, share

__all__ = ["plot"]

INK, FAINT = "#333333", "#888888"
OURS, THEIRS = "#2a78d6", "#e39a6f"  # apart also for the colour-blind, and in grey


def plot(results: dict, path: Path) -> list[Path]:
    """Write STEM-models.png, STEM-operations.png and STEM-kernels.png, where `path` is STEM.json; returns those written.

    Raises ImportError without matplotlib.
    """
    written = []
    for part, draw in (("models", _models), ("operations", _operations), ("kernels", _kernels)):
        to = path.with_name(f"{path.stem}-{part}.png")
        if draw(results, to):
            written.append(to)
    return written


# --- models -------------------------------------------------------------------------------------------------------------
def _models(results: dict, path: Path) -> bool:
    """Two panels, training and inference; in each, a group of dots for each model, on a logarithmic scale.

    Dots, as such a scale has no zero that the length of a bar could be measured from.
    """
    entries = [e for e in of(results, "models") if best(e, "weft") or best(e, "torch")]
    if not entries:
        return False
    panels = [what for what in ("training", "inference") if any(f"-{what}" in e["name"] for e in entries)]
    groups = {what: _groups([e for e in entries if f"-{what}" in e["name"]]) for what in panels}
    height = 1.5 + 0.23 * max(sum(len(dots) + 1.6 for dots in g.values()) for g in groups.values())
    with _figure(len(panels), size=(1 + 4.6 * len(panels), height)) as (figure, axes):
        for axis, what in zip(axes, panels):
            _draw_groups(axis, groups[what])
            axis.set_title(what, loc="left", fontsize=9, color=INK)
            axis.set_xlabel("samples per second")
        _finish(figure, "weft: the model zoo", results, entries, path)
    return True


def _groups(entries: list[dict]) -> dict[str, list[tuple[str, float, str]]]:
    """For each model, dots (what, samples per second, colour): on a CPU, then on a GPU, float32 before half precision."""
    groups: dict[str, list[tuple[str, float, str]]] = {}
    for entry in sorted(entries, key=lambda e: e["device"] != "cpu"):
        on, half = DEVICES[entry["device"]], ", bfloat16" * ("bfloat16" in entry["name"])
        dots = groups.setdefault(entry["about"].split(",")[0].rsplit(" ", 1)[0], [])
        for name, label in (("weft", "weft"), ("weft.capture", "weft.capture")):
            if "seconds" in entry["runs"].get(name, ()):
                batch = f", batch {entry['units']:,}" if name == "weft" else ""
                dots.append((f"{on}: {label}{half}{batch}", 1 / entry["runs"][name]["seconds"], OURS))
        if theirs := best(entry, "torch"):
            way = theirs[1].removeprefix("torch").lstrip(",. ")
            dots.append((f"{on}: PyTorch{f' {way}' * bool(way)}{half}", 1 / theirs[0], THEIRS))
    return groups


def _draw_groups(axis: Any, groups: dict[str, list[tuple[str, float, str]]]) -> None:
    at, dots_at = 0.0, []
    for model, dots in groups.items():
        axis.text(0, at + 0.2, model, transform=axis.get_yaxis_transform(), fontsize=9, fontweight="bold", color=INK)
        for label, value, colour in dots:
            at += 1
            axis.plot(value, at, "o", color=colour, markersize=5)
            axis.annotate(
                measured_rate(value),
                (value, at),
                (6, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=INK,
            )
            dots_at.append((at, label, value))
        at += 1.6
    ticks, labels, values = zip(*dots_at)
    axis.set_xscale("log")
    axis.set_xlim(min(values) / 3, max(values) * 12)  # room for the numbers
    axis.set_ylim(at - 0.8, -0.9)
    axis.set_yticks(ticks, labels)
    axis.tick_params(axis="y", length=0, labelcolor=INK, labelsize=7)


# --- operations, kernels ------------------------------------------------------------------------------------------------
def _operations(results: dict, path: Path) -> bool:
    """PyTorch's time over weft's, as bars that begin where both are as fast, for each number of threads."""
    rows: dict[str, dict[str, float]] = {}
    entries = of(results, "operations")
    for entry in entries:
        ours, theirs = best(entry, "weft"), best(entry, "torch")
        if ours and theirs:
            threads = f"{entry['threads']} thread{'s' * (entry['threads'] > 1)}"
            rows.setdefault(entry["about"], {})[threads] = theirs[0] / ours[0]
    if not rows:
        return False
    colours = dict(zip(dict.fromkeys(name for values in rows.values() for name in values), (OURS, "#8fbcee")))
    with _figure(1, size=(9, 1.5 + 0.34 * len(rows))) as (figure, (axis,)):
        axis.set_xscale("log")
        _bars(axis, list(rows.items()), colours, "{:.2f}×", start=1.0)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
        axis.set_xlabel("as fast as PyTorch")
        _finish(figure, "weft: operations on a CPU", results, entries, path)
    return True


def _kernels(results: dict, path: Path) -> bool:
    """The share of the limit that weft and PyTorch's best way reach."""
    rows, entries = [], of(results, "kernels")
    for entry in entries:
        times = {"weft": best(entry, "weft"), "PyTorch, the best way": best(entry, "torch")}
        shares = {name: share(entry, t[0], results["ceilings"]) for name, t in times.items() if t}
        if times["weft"] and shares["weft"]:
            rows.append((entry["about"], {name: s for name, s in shares.items() if s}))
    if not rows:
        return False
    with _figure(1, size=(8.5, 1.4 + 0.3 * len(rows))) as (figure, (axis,)):
        _bars(axis, rows, {"weft": OURS, "PyTorch, the best way": THEIRS}, "{:.0%}")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axis.set_xlabel("share of what a copy, or a product of matrices, reached in the same run")
        _finish(figure, "weft: kernels", results, entries, path)
    return True


def _bars(
    axis: Any, rows: list[tuple[str, dict[str, float]]], colours: dict[str, str], numbers: str, start: float = 0.0
) -> None:
    """A group of bars for each row, from `start`, each with its number; a line stands at 1."""
    thick = 0.8 / len(colours)
    for i, (name, colour) in enumerate(colours.items()):
        at = [row + (i - (len(colours) - 1) / 2) * thick for row, (_, values) in enumerate(rows) if name in values]
        values = [values[name] for _, values in rows if name in values]
        axis.barh(at, [v - start for v in values], thick, left=start, color=colour, label=name)
        for y, value in zip(at, values):
            side, shift = ("left", 3) if value >= start else ("right", -3)
            axis.annotate(
                numbers.format(value),
                (value, y),
                (shift, 0),
                textcoords="offset points",
                va="center",
                ha=side,
                fontsize=6,
                color=INK,
            )
    axis.set_yticks(range(len(rows)), [about for about, _ in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.margins(x=0.12)
    axis.axvline(1.0, color=INK, linewidth=0.8)
    axis.tick_params(axis="y", length=0, labelcolor=INK, labelsize=7)
    axis.grid(False, axis="y")
    axis.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


def _finish(figure: Any, title: str, results: dict, entries: list[dict], path: Path) -> None:
    machines = [results["machines"][device]["device"] for device in dict.fromkeys(e["device"] for e in entries)]
    torch = f", PyTorch {results['versions']['torch']}" if "torch" in results["versions"] else ""
    figure.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold")
    about = f"{'; '.join(machines)}{torch}; commit {results['commit']}, {results['date']}"
    figure.text(0.012, 0.012, about, fontsize=7, color=FAINT)
    figure.set_dpi(150)  # of the file: letters are not as wide at another
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    _write(figure, path)
