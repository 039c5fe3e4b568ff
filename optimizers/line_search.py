"""A step length that satisfies the strong Wolfe conditions, as PyTorch's L-BFGS looks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Point", "strong_wolfe"]

SUFFICIENT, CURVATURE = 1e-4, 0.9  # c₁ and c₂


class Point(NamedTuple):
    """Where a line has been looked at: step length, loss, gradient, and the slope along the line."""

    t: Any
    loss: Any
    gradient: Any
    slope: Any


def strong_wolfe(
    at: Callable[[Any], Point], start: Point, t: Any, longest: Any, tolerance: float, evaluations: int
) -> tuple[Point, int]:
    """A point with f(t) ≤ f(0) + c₁ t f′(0) and |f′(t)| ≤ c₂ |f′(0)|, and how often the loss was evaluated.

    First the step is lengthened until such a point, or an interval that has one, is found (Nocedal and Wright, algorithm
    3.5); then the interval is narrowed by cubic interpolation (3.6), until `longest` times its length, the greatest change
    of a parameter, is below `tolerance`. After `evaluations` more than the first, the best point of the interval is taken.
    """
    with np.errstate(all="ignore"):  # a loss that is not finite gives lengths that are not, and ends the search
        interval, count, is_done = _bracket(at, start, t, evaluations)
        if is_done:
            return interval[0], count + 1
        return _narrowed(at, start, interval, longest, tolerance, count, evaluations)


def _rises(point: Point, start: Point) -> bool:
    return bool(point.loss > start.loss + SUFFICIENT * point.t * start.slope)


def _is_flat(point: Point, start: Point) -> bool:
    return bool(abs(point.slope) <= -CURVATURE * start.slope)


def _bracket(at: Callable[[Any], Point], start: Point, t: Any, limit: int) -> tuple[list[Point], int, bool]:
    """A point that will do, or two around one; evaluations after the first; whether it is the former."""
    before, here, count = start, at(t), 0
    while count < limit:
        if _rises(here, start) or (count > 1 and here.loss >= before.loss):
            return [before, here], count, False
        if _is_flat(here, start):
            return [here], count, True
        if here.slope >= 0:
            return [before, here], count, False
        t = _cubic_minimum(before, here, here.t + 0.01 * (here.t - before.t), 10 * here.t)
        before, here, count = here, at(t), count + 1
    return [start, here], count, False


def _narrowed(
    at: Callable[[Any], Point], start: Point, ends: list[Point], longest: Any, tolerance: float, count: int, limit: int
) -> tuple[Point, int]:
    low = 0 if ends[0].loss <= ends[1].loss else 1
    was_at_an_end = False
    while count < limit and not abs(ends[1].t - ends[0].t) * longest < tolerance:
        least, greatest = sorted((ends[0].t, ends[1].t))
        t = _cubic_minimum(ends[0], ends[1], least, greatest)
        margin = 0.1 * (greatest - least)
        is_at_an_end = min(greatest - t, t - least) < margin
        if is_at_an_end and (was_at_an_end or t >= greatest or t <= least):
            t = greatest - margin if abs(t - greatest) < abs(t - least) else least + margin
            is_at_an_end = False
        was_at_an_end = is_at_an_end
        here, count = at(t), count + 1
        if _rises(here, start) or here.loss >= ends[low].loss:
            ends[1 - low] = here
            low = 0 if ends[0].loss <= ends[1].loss else 1
            continue
        is_done = _is_flat(here, start)
        if not is_done and here.slope * (ends[1 - low].t - ends[low].t) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = here
        if is_done:
            break
    return ends[low], count + 1


def _cubic_minimum(a: Point, b: Point, least: Any, greatest: Any) -> Any:
    """Where the cubic through both points, with both slopes, is least; the middle where it has no minimum."""
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / np.float64(a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (least + greatest) / 2
    d2 = np.sqrt(square)
    if a.t <= b.t:
        t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    else:
        t = a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2))
    return min(max(t, least), greatest)
