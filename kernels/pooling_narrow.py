"""Launcher of `pooling_narrow_backward.cu`: gradients of maxima by windows 5 columns wide, as `pooling_maxima.py` uses it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .toolchain.launch import HALVES, Kernel

__all__ = ["fits", "gradient", "span"]

LINE = 292  # words between the rows of a block's tiles
PAD = 4  # words before the first pixel's of a tile's row
SIDES = (5,)  # of windows, across: by 7 there would be as many instructions as without
V = 4  # neighbouring pixels of a thread

gradient = Kernel("pooling_narrow_backward.cu", "narrow_maxima_gradient", HALVES, SIDES)


def fits(dtype: np.dtype, across: Any) -> bool:
    """Whether it is for windows as narrow as these, of those that `pooling_maxima` is for: as many in a row as it has pixels."""
    is_same = across.output == across.size and across.before == across.kernel // 2
    return dtype in HALVES and across.kernel in SIDES and is_same and across.size % V == 0


def span(columns: int, tiles: int) -> int:
    """Words of a row of a tile of so many columns; of one tile across, what is behind is before the next one's."""
    return columns + (PAD if tiles == 1 else 2 * PAD)
