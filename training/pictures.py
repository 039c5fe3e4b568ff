"""A figure in weft's style, written as a PNG file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..backend.device.options import integer
from .checkpoint import FilePath
from .plots import _figure, _write

__all__ = ["picture"]


@contextmanager
def picture(
    path: FilePath, panels: int = 1, *, size: tuple[float, float] | None = None, title: str = ""
) -> Iterator[list[Any]]:
    """Axes of matplotlib in the style of weft's plots, side by side; at the end of the block they are written to a file.

    No window system and no global state of matplotlib has a part in it. The same drawing gives the same bytes.

    Parameters
    ----------
    path : str or path
        The PNG file.
    panels : int, default 1
        How many axes.
    size : tuple of float, optional
        Width and height in inches, of 150 pixels each. By default (1.2 + 3.6 · panels, 3.4).
    title : str, default ""
        Stands above the axes.

    Yields
    ------
    list of matplotlib.axes.Axes
        One for each panel.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> with picture("parabola.png", title="a parabola") as (axis,):  # doctest: +SKIP
    ...     axis.plot([-1, 0, 1], [1, 0, 1])
    ...     axis.set(xlabel="x", ylabel="x²")
    """
    integer("panels", panels, 1)
    with _figure(panels, size) as (figure, axes):
        figure.set_layout_engine("constrained")
        figure.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold")
        yield axes
        _write(figure, path)
