"""What launchers of kernels that go down columns (`columns.cuh`) share: which windows these are for, and the launch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .windows import reciprocal

__all__ = ["fits", "launch"]

BLOCK = 256


def fits(image: Any, down: Any, across: Any, windows: tuple[tuple[int, int], ...]) -> bool:
    """Whether `image` (N, C, H, W) has windows of these sizes and strides, alike along both axes and each with a pixel."""
    if (across.kernel, across.stride) not in windows:
        return False
    alike = all((a.kernel, a.stride, a.dilation) == (across.kernel, across.stride, 1) for a in (down, across))
    padded = any(2 * a.before > a.kernel or (a.output - 1) * a.stride >= a.size + a.before for a in (down, across))
    most = math.prod(image.shape[:2]) * max(math.prod(image.shape[2:]), down.output * across.output)
    return alike and not padded and 0 < most < 1 << 31


def launch(
    instance: Callable[[int], Any],
    steps: tuple[int, ...],
    start: int,
    arrays: tuple[Any, ...],
    down: Any,
    across: Any,
    rows: int,
    columns: int,
    *more: np.generic,
) -> None:
    """`instance(step)`, whose threads go down `step` of so many rows, each in one of so many columns of every plane.

    To begin takes a thread as long as `start` rows.
    """
    step = min(steps, key=lambda d: math.ceil(rows / d) * (d + start))
    groups = math.ceil(rows / step)
    items = math.prod(arrays[0].shape[:2]) * groups * columns
    sizes = items, down.size, across.size, down.output, across.output, columns, groups, down.before, across.before
    instance(step)(
        math.ceil(items / BLOCK), BLOCK, *arrays, *map(np.int32, sizes), *more, reciprocal(columns), reciprocal(groups)
    )
