"""Draws README's picture: `python docs/overview.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from weft.training import picture

INK, PALE = "#1f2d3d", "#5b6b7b"
CODE = "model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), …)\nloss(model(x), y).backward();  optimizer.step()"
MIDDLE = "one operation = a forward and its pullback,\nwritten once against the array API standard"
FAMILIES = len(list(Path(__file__).parents[1].glob("kernels/*.cu")))
PLACES = [
    ("#dcebfb", "NumPy", "any CPU\nunder 100 MB installed\nthe reference"),
    ("#e0f2e6", "CuPy + CUDA", f"NVIDIA GPUs\n{FAMILIES} readable .cu families\na step as one graph"),
    ("#fde9dc", "emulator", "the same .cu files, no GPU\nevery access checked\nlaptop, CI"),
]


def box(
    axis: Any, place: tuple[float, float, float, float], colour: str, title: str, text: str, *, code: bool = False
) -> None:
    """A rounded box with words in it."""
    from matplotlib.patches import FancyBboxPatch

    x, y, width, height = place
    style = "round,pad=0,rounding_size=0.12"
    axis.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=colour, edgecolor="none"))
    middle = x + width / 2
    if title:
        axis.text(middle, y + height - 0.26, title, ha="center", va="center", fontsize=10, fontweight="bold", color=INK)
    font = {"family": "monospace", "fontsize": 8} if code else {"fontsize": 8.2}
    axis.text(
        middle,
        y + (height - 0.42 * bool(title)) / 2,
        text,
        ha="center",
        va="center",
        color=INK,
        linespacing=1.5,
        **font,
    )


def draw(path: Path) -> None:
    """The same model on three machines."""
    with picture(path, size=(7.4, 3.7)) as (axis,):
        axis.set(xlim=(0, 9), ylim=(0, 4.7))
        axis.set_axis_off()
        box(axis, (1.2, 3.75, 6.6, 0.85), "#eef1f5", "", CODE, code=True)
        box(axis, (2.2, 2.35, 4.6, 0.8), "#f6f0dc", "", MIDDLE)
        arrow = {"arrowstyle": "-|>", "color": PALE, "linewidth": 1.1}
        axis.annotate("", (4.5, 3.18), (4.5, 3.72), arrowprops=arrow)
        for k, (colour, title, text) in enumerate(PLACES):
            box(axis, (0.15 + 2.95 * k, 0.45, 2.8, 1.4), colour, title, text)
            axis.annotate("", (1.55 + 2.95 * k, 1.88), (3.2 + 1.3 * k, 2.32), arrowprops=arrow)
        axis.text(
            4.5,
            0.15,
            "the same seed, the same random numbers",
            ha="center",
            va="center",
            fontsize=9,
            color=PALE,
            style="italic",
        )


if __name__ == "__main__":
    draw(Path(__file__).with_name("overview.png"))
