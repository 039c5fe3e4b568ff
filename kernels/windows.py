"""What launchers give to `windows.cuh`: how to divide by multiplying, and which windows read one place."""

from __future__ import annotations

import functools
import math

import numpy as np

__all__ = ["reciprocal", "steps"]


@functools.lru_cache(maxsize=1024)
def reciprocal(divisor: int) -> np.uint64:
    """What `quotient` multiplies by instead of dividing: ⌊(2⁶⁴ − 1) / divisor⌋, and for 0 as for 1."""
    return np.uint64(((1 << 64) - 1) // max(1, divisor))


def steps(stride: int, dilation: int) -> tuple[int, int]:
    """(apart, skip): where window o reads a place with tap i, the next to read it is o + apart, with tap i − skip."""
    common = math.gcd(stride, dilation)
    return dilation // common, stride // common
