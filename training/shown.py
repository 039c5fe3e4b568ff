"""A picture that has been drawn: a PNG file, which notebooks show."""

from __future__ import annotations

from pathlib import Path

from . import check
from .checkpoint import FilePath

__all__ = ["Picture"]


class Picture:
    """A PNG file. What draws one returns it, so that a notebook shows what the last line of a cell has drawn.

    Parameters
    ----------
    path : str or path
        The file.

    Attributes
    ----------
    path : Path
        The same.

    Examples
    --------
    >>> Picture("curves.png")
    Picture('curves.png')
    """

    def __init__(self, path: FilePath):
        check.path("path", path)
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Picture({str(self.path)!r})"

    def _repr_png_(self) -> bytes | None:
        return self.path.read_bytes() if self.path.is_file() else None
