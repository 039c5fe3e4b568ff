"""What launchers give to `windows.cuh`: how to divide by multiplying, which elements windows have, and which windows these."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Even", "Ranges", "ranges", "reciprocal", "steps", "windows_of"]


@functools.lru_cache(maxsize=1024)
def reciprocal(divisor: int) -> np.uint64:
    """What `quotient` multiplies by and shifts by, in one number, for divisors up to 2³¹; for 0 as for 1."""
    divisor = max(1, divisor)
    shift = (divisor - 1).bit_length()
    return np.uint64(-(-(1 << (31 + shift)) // divisor) | shift << 32)


def steps(stride: int, dilation: int) -> tuple[int, int]:
    """(apart, skip): where window o reads a place with tap i, the next to read it is o + apart, with tap i − skip."""
    common = math.gcd(stride, dilation)
    return dilation // common, stride // common


class Even(NamedTuple):
    """Windows that cover an axis evenly: window o has [⌊o·size/output⌋, ⌈(o + 1)·size/output⌉)."""

    size: int
    output: int

    @property
    def kernel(self) -> int:
        """Elements of the longest."""
        return -(-self.size // self.output) + (self.size % self.output > 0)


class Ranges(NamedTuple):
    """Place i has [⌊(step·i + first)/over⌋ − shift, ⌊(step·i + last)/over⌋ − shift), or what of it is there."""

    step: int
    first: int
    last: int
    over: int
    shift: int

    @property
    def is_identity(self) -> bool:
        """Whether each place has the one of its own number."""
        return self in (Ranges(1, 0, 1, 1, 0), (self.over, 0, 2 * self.over - 1, self.over, 0))

    def has_all(self, places: int, size: int) -> bool:
        """Whether so many places have all of an axis, from its first element to its last."""
        return (
            max(self.first, 0) // self.over <= self.shift
            and (self.step * (places - 1) + self.last) // self.over - self.shift >= size
        )

    def most(self, places: int) -> int:
        """How many at most so many neighbouring places have."""
        return (self.step * (places - 1) + self.last - self.first + self.over - 1) // self.over

    def fitting(self, room: int) -> int:
        """The greatest number of neighbouring places that never have more than `room`; less than 1: none."""
        return (room * self.over - self.last + self.first) // self.step + 1


def ranges(axis: Any) -> Ranges:
    """The elements that windows have."""
    if isinstance(axis, Even):
        return Ranges(axis.size, 0, axis.size + axis.output - 1, axis.output, 0)
    return Ranges(axis.stride, 0, axis.kernel, 1, axis.before)


def windows_of(axis: Any) -> Ranges:
    """The windows that have an element."""
    if isinstance(axis, Even):
        return ranges(Even(axis.output, axis.size))
    return Ranges(1, axis.before - axis.kernel + axis.stride, axis.before + axis.stride, axis.stride, 0)
